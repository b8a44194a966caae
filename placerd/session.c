/* SPDX-License-Identifier: MIT */
/* The states of a session, and what a change of them sets off. */
#include "placerd/session.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/mono.h"
#include "placerd/audit.h"
#include "placerd/quota.h"

#define BIT(name) (1u << STATUS_##name)
#define ALIVE (BIT(RUNNING) | BIT(DETACHED))
#define ENDED (BIT(EXITED) | BIT(EXPIRED) | BIT(TERMINATED) | BIT(FAILED) | BIT(LOST))

static const unsigned may_become[STATUS_COUNT] = {
	[STATUS_NONE] = BIT(STARTING) | ALIVE | ENDED,
	[STATUS_STARTING] = ALIVE | ENDED,
	[STATUS_RUNNING] = BIT(DETACHED) | ENDED,
	[STATUS_DETACHED] = BIT(RUNNING) | ENDED,
};

bool
session_may_become(enum session_status from, enum session_status to)
{
	return from < STATUS_COUNT && to < STATUS_COUNT && (may_become[from] & (1u << to));
}

static struct quota_key
quota_key_of(const struct session *s)
{
	return (struct quota_key){ view_of(s->issuer), view_of(s->subject), view_of(s->profile) };
}

int
session_count(struct session *s, const struct session_keepers *keepers, uint32_t max)
{
	struct quota_key key = quota_key_of(s);
	int rc = quota_reserve(keepers->quota, &key, max);

	if (rc == 0)
		s->is_counted = true;
	return rc;
}

void
session_uncount(struct session *s, const struct session_keepers *keepers)
{
	struct quota_key key = quota_key_of(s);

	if (s->is_counted && quota_release(keepers->quota, &key) != 0)
		log_error("event=quota_mismatch sid=%s", log_id(&s->id));
	s->is_counted = false;
}

/* Empty while there is nothing to say. */
static struct view
describe_exit(const struct session *s, char *out, size_t out_size)
{
	static const char *const kinds[] = { [EXIT_CODE] = "exit code", [EXIT_SIGNAL] = "signal" };

	if (s->exit_kind == EXIT_NONE)
		return view_of("");
	snprintf(out, out_size, "%s %u", kinds[s->exit_kind], s->exit_value);
	return view_of(out);
}

static void
audit_end(const struct session *s, struct audit *audit)
{
	char detail[32];
	struct audit_event e = {
		.name = AUDIT_SESSION_TERMINATED,
		.session_id = &s->id,
		.issuer = view_of(s->issuer),
		.subject = view_of(s->subject),
		.profile = view_of(s->profile),
		.node = view_of(s->node),
		.reason = view_of(session_end_name(s->end_reason)),
		.detail = describe_exit(s, detail, sizeof(detail)),
		.trace = &s->trace,
	};

	audit_write(audit, &e);
}

int
session_set_state(struct session *s, const struct session_change *to,
    const struct session_keepers *keepers)
{
	enum session_status old = s->status;

	if (old == to->status)
		return 0;
	if (!session_may_become(old, to->status))
		return -FOG_E_INTERNAL;
	s->status = to->status;
	s->end_reason = to->end_reason;
	s->exit_kind = to->exit_kind;
	s->exit_value = to->exit_value;
	log_info("event=session_state sid=%s from=%s to=%s reason=%s", log_id(&s->id),
	    old == STATUS_NONE ? "none" : session_status_name(old), session_status_name(s->status),
	    s->end_reason == END_NONE ? "-" : session_end_name(s->end_reason));
	if (session_has_ended(s->status)) {
		s->ended_mono_ms = mono_ms();
		session_uncount(s, keepers);
		audit_end(s, keepers->audit);
	}
	return 0;
}

void
session_driven(struct session *s, uint8_t role, uint64_t sid_hash)
{
	if (role == ROLE_DRIVER)
		s->driver_sid_hash = sid_hash;
}

bool
session_is_owned_by(const struct session *s, struct view issuer, struct view subject)
{
	return view_is(subject, s->subject) && view_is(issuer, s->issuer);
}

#define COPY_TEXT(s, from, name) view_copy((from)->name, (s)->name, sizeof((s)->name))

int
session_fill(struct session *s, const struct pl_owned *from)
{
	s->id = from->session_id;
	s->tier = (enum node_tier)from->tier;
	s->created_s = from->created_s;
	s->expires_s = from->expires_s;
	s->idem_hash = from->idem_hash;
	s->confirm_by_boot_ms = from->confirm_by_boot_ms;
	s->image = from->image;
	if (COPY_TEXT(s, from, issuer) != 0 || COPY_TEXT(s, from, subject) != 0 ||
	    COPY_TEXT(s, from, sid) != 0 || COPY_TEXT(s, from, profile) != 0 ||
	    COPY_TEXT(s, from, node) != 0 || COPY_TEXT(s, from, region) != 0 ||
	    COPY_TEXT(s, from, placement_reason) != 0 || COPY_TEXT(s, from, idem_key) != 0)
		return -FOG_E_BOUNDS;
	return 0;
}

struct pl_session
session_to_wire(const struct session *s)
{
	return (struct pl_session){
		.session_id = s->id,
		.profile = view_of(s->profile),
		.status = (uint8_t)s->status,
		.created_s = s->created_s,
		.expires_s = s->expires_s,
		.node = view_of(s->node),
		.region = view_of(s->region),
		.tier = (uint8_t)s->tier,
		.placement_reason = view_of(s->placement_reason),
		.exit_kind = (uint8_t)s->exit_kind,
		.exit_value = s->exit_value,
		.end_reason = (uint8_t)s->end_reason,
		.image = s->image,
	};
}
