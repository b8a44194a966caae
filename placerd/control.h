/* SPDX-License-Identifier: MIT */
/*
 * The control socket (RUN_DIR/control.sock): administrators, whom the mode of the socket lets in,
 * ask for what no token can. One JSON object in one line in, one out, any number in turn on a
 * connection:
 *
 *	{"command":"ping"}				{"pong":true,"version":"0.1.0"}
 *	{"command":"revoke_session","session_id":"…"}	{"revoked":true}
 *	{"command":"revoke_subject","issuer":"https://…","subject":"…"}
 *							{"revoked":true,"ended":2,"detached":0}
 *
 * A refusal is {"error":"what is wrong and what would be right","code":"…"}; the code is that of
 * err.def. Who asked (SO_PEERCRED) stands in the audit log.
 */
#ifndef PLACERD_CONTROL_H
#define PLACERD_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/id.h"

#define CONTROL_CONNECTIONS_MAX 8
#define CONTROL_LINE_MAX_BYTES 65536
#define CONTROL_TIMEOUT_MS 10000 /* until the line is whole, from the answer before it */
#define CONTROL_ERROR_SIZE 400

struct control;
struct event_base;
struct json_t;

enum control_command { CONTROL_PING, CONTROL_REVOKE_SESSION, CONTROL_REVOKE_SUBJECT };

struct control_request {
	enum control_command command;
	struct id128 session_id; /* CONTROL_REVOKE_SESSION */
	struct view issuer, subject;
};

/*
 * Pure. Reads one line, without its newline. 0 with *object, which the views of *out point into and
 * which the caller gives to json_release; or -1 with what is wrong.
 */
int control_parse(const char *line, size_t len, struct control_request *out, struct json_t **object,
    char err[static CONTROL_ERROR_SIZE]);

/* Living sessions for which it was ordered. */
struct control_count {
	uint32_t ended, detached;
};

/* What is done, and audited, for one who asks. 0, or -FOG_E_… */
struct control_ops {
	int (*revoke_session)(void *ctx, const struct ucred *by, const struct id128 *session_id);
	/* A failure may come after the sessions were dealt with, and is to be repeated. */
	int (*revoke_subject)(void *ctx, const struct ucred *by, struct view issuer,
	    struct view subject, struct control_count *count);
};

/*
 * fd (taken) listens already, and does not block. NULL when out of memory.
 * base, ops and ctx outlive it. Needs json_init before.
 */
struct control *control_new(struct event_base *base, int fd, const struct control_ops *ops,
    void *ctx);
void control_free(struct control *c); /* NULL is fine */

#endif
