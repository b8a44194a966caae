/* SPDX-License-Identifier: MIT */
/*
 * What all sandboxes of the benchmark have in common, ours and bwrap's and crun's: one root, made by
 * `fogctl image create base`, the same namespaces and mounts, the same login shell.
 */
#ifndef FOG_BENCH_BOX_H
#define FOG_BENCH_BOX_H

/* argv[0] of the login shell in a session of ours. */
#define BOX_SHELL_ARGV0 "-bash"
/* What a shell in each of them answers to BOX_QUESTION: the same shell, user and folder. */
#define BOX_QUESTION "echo \"<$(readlink /proc/$$/exe) $(id -u) $PWD>\"\n"
#define BOX_ANSWER "</usr/bin/bash 1000 /home/user>"

/*
 * Makes the image, in a STATE_DIR of its own that is removed at exit, and what crun needs. NULL, or
 * why there can be no sandbox here. Once, before any of the following.
 */
const char *box_prepare(void);

const char *box_state_dir(void); /* with the folder images */
const char *box_image(void);     /* "sha256:…" */
/* A file in a folder of ours, for what a child has to say. */
const char *box_log(void);

/* In a child on a new PTY: become the shell's sandbox. They return only where they cannot. */
void box_become_bwrap(void);
void box_become_crun(void);
/* Names what the next box_become_crun starts: its containers have names. */
void box_next_container(void);

#endif
