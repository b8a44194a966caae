/* SPDX-License-Identifier: MIT */
/*
 * The audit log (S33): one JSON object a line, one write(2) a line, to a descriptor that fogd
 * opened O_APPEND. What gives access is written before it is given; when it cannot be written
 * there is no new access. Each later event tries again, so that service resumes by itself when the
 * disk has room (R8). `seq` counts on over lines that were lost, so that the gap is seen; `run`
 * tells one life of placerd from the next.
 */
#ifndef PLACERD_AUDIT_H
#define PLACERD_AUDIT_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/codec.h"
#include "common/id.h"
#include "common/msg.h"

/* A(NAME, event) */
#define AUDIT_EVENTS(A) \
	A(SESSION_CREATED, "session.created") \
	A(SESSION_FORWARDED, "session.forwarded") /* its create, to another node */ \
	A(SESSION_ATTACHED, "session.attached") \
	A(SESSION_EXTENDED, "session.extended") \
	A(SESSION_RENEWED, "session.renewed")   /* a client showed a newer identity */ \
	A(SESSION_DETACHED, "session.detached") /* its clients, for a revoked identity */ \
	A(SESSION_TERMINATED, "session.terminated") \
	A(PLACEMENT_DECIDED, "placement.decided") \
	A(RUNTIME_ALLOCATED, "runtime.allocated") \
	A(POLICY_DENIED, "policy.denied") \
	A(IDENTITY_REVOKED, "identity.revoked") \
	A(NODE_CORDONED, "node.cordoned") \
	A(NODE_DRAINED, "node.drained") \
	A(NODE_UNDRAINED, "node.undrained") \
	A(LOG_VERBOSE, "log.verbose") \
	A(LOG_NORMAL, "log.normal") \
	A(AUDIT_RESUMED, "audit.resumed") /* lines before this one are lost: see detail */

#define AUDIT_ENUM(name, text) AUDIT_##name,
enum audit_name { AUDIT_EVENTS(AUDIT_ENUM) AUDIT_COUNT };

/* Before the order, after it, or an event that has only happened. */
enum audit_phase { AUDIT_NO_PHASE, AUDIT_INTENT, AUDIT_OUTCOME };

/* Empty members are left out of the line. All borrowed; any bytes will do. */
struct audit_event {
	enum audit_name name;
	enum audit_phase phase;
	const struct id128 *session_id;
	struct view issuer, subject, profile, role, rule_id, node, reason, actor, detail;
	struct view policy;        /* version of the policy that decided */
	const struct raw32 *image; /* its digest; NULL, or all zero: none */
	struct json_t *request,
	    *decision; /* what was asked of policy, and of placement; NULL: none */
	const struct trace *trace;
};

struct audit;

/*
 * fd is taken, also on failure. NULL: no memory or no randomness. Needs json_init before. read_fd is
 * the same file, borrowed and only looked at here: a placerd that was killed within a write, or a
 * machine that stopped there, has left a piece of a line, and the next line must not be lost in it
 * (R7).
 */
struct audit *audit_new(int fd, int read_fd);
void audit_free(struct audit *a);

/* 0, or -FOG_E_NO_AUDIT: the line is not, or not whole, in the log. */
int audit_write(struct audit *a, const struct audit_event *e);

/* When the last line failed: tries to say so in the log. 0, or -FOG_E_NO_AUDIT. */
int audit_retry(struct audit *a);
bool audit_is_writable(const struct audit *a);

#endif
