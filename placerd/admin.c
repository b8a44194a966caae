/* SPDX-License-Identifier: MIT */
/* The orders of administrators: see admin.h. */
#include "placerd/admin.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/control.h"
#include "placerd/placerd.h"

#define BY_SIZE 64

/* For the audit log: numbers of the kernel, not a name that somebody gave. */
static struct view
describe(const struct ucred *by, char out[static BY_SIZE])
{
	snprintf(out, BY_SIZE, "uid %u gid %u pid %d", by->uid, by->gid, (int)by->pid);
	return view_of(out);
}

static int
new_trace(struct trace *out)
{
	if (trace_random(out->b) == 0)
		return 0;
	log_warn("event=no_randomness");
	return -FOG_E_INTERNAL;
}

/* The last moment, by the provider's clock, of a token that can be out now: authd takes one dated
 * ahead of us by the skew. */
static uint64_t
latest_issued_s(void)
{
	return (uint64_t)wall_s() + proc_config()->oidc_skew_seconds;
}

static int
revoke_session(void *ctx, const struct ucred *by, const struct id128 *session_id)
{
	struct trace trace;
	char who[BY_SIZE];
	int rc = new_trace(&trace);

	return rc ? rc : revoke_session_as_admin(ctx, session_id, describe(by, who), &trace);
}

static int
revoke_subject(void *ctx, const struct ucred *by, struct view issuer, struct view subject,
    struct control_count *out)
{
	struct pl_revoke what = { .issuer = issuer,
		.subject = subject,
		.sid = view_of(""),
		.at_s = latest_issued_s(),
		.jti = view_of("") };
	struct revoke_count count = { 0 };
	struct trace trace;
	char who[BY_SIZE];
	int rc = new_trace(&trace);

	if (rc == 0)
		rc = revoke_now(ctx, &what, describe(by, who), &trace, &count);
	*out = (struct control_count){ .ended = count.ended, .detached = count.detached };
	return rc;
}

int
admin_start(struct placerd *d)
{
	static const struct control_ops ops = { revoke_session, revoke_subject };
	int listener = proc_take_gift(GIFT_PLACERD_CONTROL);

	if (listener < 0 || control_new(proc_base(), listener, &ops, d))
		return 0;
	log_error("event=start_failed step=\"control socket\"");
	return -1;
}
