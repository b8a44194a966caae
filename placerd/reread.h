/* SPDX-License-Identifier: MIT */
/*
 * nodes.yaml of a running service, read in parts: thousands of nodes take a tenth of a second and more,
 * in which whoever asks placerd for anything would wait.
 */
#ifndef PLACERD_REREAD_H
#define PLACERD_REREAD_H

#include <stddef.h>

#include "placerd/nodes.h"

struct event_base;
struct reread;

/* What is done in one turn of the loop: about 3 ms, and 20 for what looks at the whole file at once. */
#define REREAD_MEMBERS 8192
#define REREAD_KEYS 1024

/* nodes is taken; or it is NULL, and err says why. Called once, from the loop; it may free the reread. */
typedef void reread_done_fn(void *ctx, struct nodes *nodes, const char *err);

/*
 * As nodes_new_from_yaml and nodes_check_keys; bytes is taken, file_name, origins and self_name outlive
 * it. NULL: no memory.
 */
struct reread *reread_new(struct event_base *base, const char *file_name, char *bytes, size_t len,
    const char *origins, const char *self_name, reread_done_fn *done, void *ctx);
void reread_free(struct reread *r); /* NULL is fine; done is not called any more */

#endif
