/* SPDX-License-Identifier: MIT */
/* What the control socket asks for, done by the rest of placerd. */
#ifndef PLACERD_ADMIN_H
#define PLACERD_ADMIN_H

#include <stddef.h>

struct control_request;
struct id128;
struct json_t;
struct placerd;

/*
 * Reads what an admin has taken out of service (drained.h) into d->drained, in this placerd's own
 * root directory, and makes it count. Before the filter; d->nodes and d->fleet are there.
 * 0, or -1: said why in the log.
 */
int admin_load(struct placerd *d);
/* Serves the control socket, if there is one. 0, or -1: said why in the log. */
int admin_start(struct placerd *d);
/* After a reload: what is cordoned counts for the nodes of now, and the log is as configured again. */
void admin_reloaded(struct placerd *d);

/*
 * admin_show.c: what is only looked at. Each answer is the caller's; NULL: no memory, or, of a row,
 * that it is gone.
 */
struct json_t *admin_show_status(struct placerd *d);
struct json_t *admin_show_session(struct placerd *d, const struct id128 *id);
struct json_t *admin_show_node(struct placerd *d, size_t index);
struct json_t *admin_explain(struct placerd *d, const struct control_request *request);

#endif
