/* SPDX-License-Identifier: MIT */
/*
 * What every request in somebody's name has to pass first: the identity is not revoked, and does
 * not ask too often.
 */
#include "common/log.h"
#include "common/mono.h"
#include "placerd/placerd.h"

struct who {
	struct view issuer, subject, sid;
	uint64_t issued_s;
	struct view forwarded_by;
};

#define WHO(p) ((struct who){ (p).issuer, (p).subject, (p).sid, (p).issued_s, view_of("") })
#define WHO_BY(p) ((struct who){ (p).issuer, (p).subject, (p).sid, (p).issued_s, (p).forwarded_by })

static struct who
who_of(const struct msg *m)
{
	switch (m->type) {
	case MSG_PLACE_CREATE:
		return WHO_BY(m->u.create);
	case MSG_PLACE_MINT:
		return WHO_BY(m->u.who_mint);
	case MSG_PLACE_EXTEND:
		return WHO_BY(m->u.who_extend);
	case MSG_PLACE_ATTACH:
		return WHO(m->u.attach);
	case MSG_PLACE_RENEW:
		return WHO(m->u.renew);
	case MSG_PLACE_SHOW:
	case MSG_PLACE_END:
	case MSG_PLACE_CONFIRM:
		return WHO_BY(m->u.who_session);
	default: /* lists */
		return WHO_BY(m->u.identity);
	}
}

/* NULL: may be asked for at any rate. A renewal needs a token that was minted, which counts. */
static struct rate *
rate_of(const struct placerd *d, enum msg_type type)
{
	if (type == MSG_PLACE_CREATE)
		return d->creates;
	return type == MSG_PLACE_MINT || type == MSG_PLACE_ATTACH ? d->attaches : NULL;
}

uint64_t
identity_sid_hash(struct view sid)
{
	uint64_t h = sid.len ? fnv1a(FNV1A_SEED, sid.p, sid.len) : 0;

	return sid.len > 0 && h == 0 ? 1 : h;
}

static int
refuse(struct peer *from, const struct msg *m, int error, uint32_t retry_after_s)
{
	struct pl_refused why = { .error = (uint16_t)-error, .retry_after_s = retry_after_s };

	log_info("event=identity_refused req=%llx error=%s", (unsigned long long)m->request_id,
	    err_code(error));
	peer_send(from, MSG_AUTH_REFUSED, m->request_id, &m->trace, &why, -1);
	return 0;
}

int
identity_on_request(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	struct who who = who_of(m);
	struct rate *rate = rate_of(d, m->type);
	uint32_t retry_after_s = 0;
	int rc = 0;

	if (revoked_refuses(d->revoked, who.issuer, who.subject, who.sid, who.issued_s))
		rc = -FOG_E_REVOKED;
	else if (rate && d->is_synced) /* else it is refused anyway */
		rc = rate_take(rate, who.issuer, who.subject, mono_ms(), &retry_after_s);
	if (rc != 0)
		return refuse(from, m, rc, retry_after_s);
	if (elsewhere_on_request(d, from, m, who.forwarded_by))
		return 0;
	return peers_requests[m->type](ctx, from, m);
}
