/* SPDX-License-Identifier: MIT */
/*
 * A terminal to be measured: a shell on a PTY, and one way to reach it. Each way is one row of
 * operations; what is measured (measure.h) knows nothing else, so a further way is a further row
 * and no other change.
 */
#ifndef FOG_BENCH_TERMINAL_H
#define FOG_BENCH_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "regress/bench/procstat.h"

/* The first member of what open returns. */
struct terminal {
	const struct terminal_ops *ops;
};

struct terminal_ops {
	const char *name;
	/* Starts a login shell and connects to it; its prompt may still be to come. */
	struct terminal *(*open)(void);
	void (*type)(struct terminal *t, const void *bytes, size_t len);
	/*
	 * Waits for output; never empty, borrowed until the next call. is_counting: only the length
	 * is wanted, p may be NULL, so that decoding in the client does not count against a server.
	 */
	struct view (*next)(struct terminal *t, bool is_counting);
	/*
	 * CPU seconds so far of all that stands between the PTY and the client. The first call
	 * comes before another terminal of this kind is opened.
	 */
	double (*cpu_s)(struct terminal *t);
	/*
	 * Memory of the same processes, without the ring that keeps output. -1 where it cannot be
	 * read. NULL: not asked.
	 */
	int (*memory)(struct terminal *t, struct memory *out);
	/* Ends the shell too. */
	void (*close)(struct terminal *t);
};

extern const struct terminal_ops terminal_pty;    /* a PTY read by this process */
extern const struct terminal_ops terminal_relay;  /* one process between TCP and a PTY */
extern const struct terminal_ops terminal_relay2; /* two, over a socketpair */
extern const struct terminal_ops terminal_ttyd;   /* another web terminal, where there is one */
extern const struct terminal_ops terminal_fog_v1; /* ours: fog.pty.v1, fog.pty.json, over TLS */
extern const struct terminal_ops terminal_fog_json;
extern const struct terminal_ops terminal_fog_v1_tls;
extern const struct terminal_ops terminal_fog_json_tls;
extern const struct terminal_ops terminal_fog_sandbox; /* ours, fog.pty.v1, in a real sandbox */
extern const struct terminal_ops terminal_bwrap;       /* other sandboxes on the same root: box.h */
extern const struct terminal_ops terminal_crun;

/* The environment of a shell, the same as in a session of the stub connector. */
extern char *const terminal_shell_env[];
/* In a child on a new PTY: becomes the login shell. */
void terminal_become_shell(void) __attribute__((noreturn));

/* $TTYD, or NULL. */
const char *terminal_ttyd_path(void);
/* Its process and the version that it says of itself ("" when it says none); starts it. */
pid_t terminal_ttyd_pid(void);
const char *terminal_ttyd_version(void);

/* Types all of a text. */
void terminal_type_text(struct terminal *t, const char *text);
/* Reads until output holds the text; what follows it in the same piece is dropped. */
void terminal_expect(struct terminal *t, const char *text);
/* Reads until output ends like the prompt of a shell. */
void terminal_expect_prompt(struct terminal *t);
/* Waits for the prompt, then: no echo, no prompt, nothing comes but what commands print. */
void terminal_quieten(struct terminal *t);

#endif
