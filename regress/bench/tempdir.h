/* SPDX-License-Identifier: MIT */
/* Temporary folders of the benchmark. */
#ifndef FOG_BENCH_TEMPDIR_H
#define FOG_BENCH_TEMPDIR_H

#include <stddef.h>

/* $TMPDIR or /tmp. */
const char *tempdir_parent(void);
/* A new folder that everybody may enter. 0, or -1 with errno; out is "" until it is made. */
int tempdir_make(const char *parent, char *out, size_t size);
/* Away with all that is in it, but for what lies on another file system; path becomes "". */
void tempdir_remove(char *path);

#endif
