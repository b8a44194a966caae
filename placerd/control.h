/* SPDX-License-Identifier: MIT */
/*
 * The control socket (RUN_DIR/control.sock): administrators, whom the mode of the socket lets in,
 * ask for what no token can. One JSON object in one line in, one out, any number in turn on a
 * connection:
 *
 *	{"command":"ping"}				{"pong":true,"version":"0.1.0"}
 *	{"command":"status"}				{"node":"a","ready":true,…}
 *	{"command":"show_session","session_id":"…"}	{"session":{…}}
 *	{"command":"kill_session","session_id":"…"}	{"killed":true}
 *	{"command":"revoke_subject","issuer":"https://…","subject":"…"}
 *							{"revoked":true,"ended":2,"detached":0}
 *	{"command":"cordon_node","node":"b"}		{"node":"b","cordoned":true}
 *	{"command":"drain_node"}			{"node":"a","draining":true,"sessions":3}
 *	{"command":"undrain_node","node":"b"}		{"node":"b","cordoned":false}
 *	{"command":"explain_placement","profile":"p","hint":"b","latency_ms":{"b":12}}
 *							{"decision":{…}}
 *	{"command":"log_verbose","on":true}		{"verbose":true}
 *
 * A list is answered by a line for each of its rows, and one at the end that says how many:
 *
 *	{"command":"list_sessions"}			{"session":{…}} … {"sessions":2}
 *	{"command":"list_nodes"}			{"node":{…}} … {"nodes":3}
 *
 * drain_node and undrain_node without "node" are about this one. A refusal is {"error":"what is wrong
 * and what would be right","code":"…"}; the code is that of err.def. Who asked (SO_PEERCRED) stands
 * in the audit log. What is sent waits in a buffer of CONTROL_UNSENT_BYTES and one row, a part of a
 * list is made in one turn of the loop, and the next line of a connection is looked at when its
 * answer has left: so neither a long list nor a slow reader holds anybody up. Nor do those that ask
 * nothing: where all places are taken, who has neither sent a line nor read for the longest time, and
 * for CONTROL_YIELD_MS, is closed for who comes.
 */
#ifndef PLACERD_CONTROL_H
#define PLACERD_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/json.h"

#define CONTROL_CONNECTIONS_MAX 8
#define CONTROL_LINE_MAX_BYTES 65536 /* of a request, and of each line of an answer */
#define CONTROL_TIMEOUT_MS \
	10000                 /* until the line is whole, from the answer before it; and to read */
#define CONTROL_YIELD_MS 1000 /* who is idle for longer gives way, where no place is left */
#define CONTROL_ERROR_SIZE 400
#define CONTROL_UNSENT_BYTES (32u << 10)
#define CONTROL_ROWS_PER_TURN 64

struct control;
struct event_base;
struct json_t;

enum control_command {
	CONTROL_PING,
	CONTROL_STATUS,
	CONTROL_LIST_SESSIONS,
	CONTROL_SHOW_SESSION,
	CONTROL_KILL_SESSION,
	CONTROL_REVOKE_SUBJECT,
	CONTROL_LIST_NODES,
	CONTROL_CORDON_NODE,
	CONTROL_DRAIN_NODE,
	CONTROL_UNDRAIN_NODE,
	CONTROL_EXPLAIN_PLACEMENT,
	CONTROL_LOG_VERBOSE,
	CONTROL_COMMAND_COUNT
};

/* What a command does not have is empty. */
struct control_request {
	enum control_command command;
	struct id128 session_id;
	struct view issuer, subject, node, profile, hint;
	struct json_u32_map latency_ms;
	bool on;
};

/*
 * Pure. Reads one line, without its newline. 0 with *object, which the views of *out point into and
 * which the caller gives to json_release; or -1 with what is wrong.
 */
int control_parse(const char *line, size_t len, struct control_request *out, struct json_t **object,
    char err[static CONTROL_ERROR_SIZE]);

/* The refusal of a request: error is -FOG_E_…, text is for people. NULL: no memory. */
struct json_t *control_refuse(int error, const char *text);

/* What is done, shown and audited for one who asks. Every json_t is the caller's; NULL: no memory. */
struct control_ops {
	/* All but ping and the lists. */
	struct json_t *(*answer)(void *ctx, const struct ucred *by,
	    const struct control_request *request);
	/* The sessions of now: n of them, free() them. NULL: no memory. */
	struct id128 *(*list_sessions)(void *ctx, size_t *n);
	struct json_t *(*session_row)(void *ctx, const struct id128 *id); /* NULL: gone since */
	struct json_t *(*node_row)(void *ctx, size_t index);              /* NULL: past the end */
};

/*
 * fd (taken) listens already, and does not block. NULL when out of memory.
 * base, ops and ctx outlive it. Needs json_init before.
 */
struct control *control_new(struct event_base *base, int fd, const struct control_ops *ops,
    void *ctx);
void control_free(struct control *c); /* NULL is fine */

#endif
