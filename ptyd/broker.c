/* SPDX-License-Identifier: MIT */
/* What placerd and the spawner say to the broker. See broker.h. */
#include "ptyd/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/egress.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "common/secret.h"
#include "ptyd/usage.h"

#define CREATE_MS 9000     /* the spawner gives up after 5 s */
#define KEPT_ENDED_MAX 512 /* ended sessions known at once */
#define FIRST_COLS 80
#define FIRST_ROWS 24
/* Of an access token (OIDC_MAX_TOKEN_SECONDS), with skew and IDENTITY_GRACE_SECONDS. */
#define IDENTITY_MAX_MS ((86400 + 60 + 86400) * UINT64_C(1000))

#define COPY_FIELD(type, kind, name, min, max) to.name = from->name;

/* --- placerd --- */

unsigned
broker_phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	return m->request_id == 0 ? PH_NOTE : requests_phase(broker.requests, m->request_id);
}

static int
write_plan(const struct pl_holder_plan *plan, int fd)
{
	unsigned char bytes[RECORD_MAX_BYTES];
	struct writer w;
	int rc;

	writer_init(&w, bytes, sizeof(bytes));
	rc = codec_put(&w, &msg_layouts[PAYLOAD_holder_plan], plan, NULL);
	if (rc == 0 && write(fd, bytes, w.len) != (ssize_t)w.len)
		rc = -FOG_E_NOMEM;
	if (rc == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		rc = -FOG_E_INTERNAL;
	explicit_bzero(bytes, sizeof(bytes));
	return rc;
}

/* The holder's copy of what it is, sealed: it trusts no hand that it goes through. */
static int
seal_plan(const struct session *s, const struct pl_plan *order, int *out)
{
	cleanup_fd int fd = memfd_create("holder-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const struct pl_session_record *from = &s->record.pl;
	struct pl_holder_plan to;
	int rc;

	if (fd < 0)
		return -FOG_E_NOMEM;
	FIELDS_holder_hello(COPY_FIELD, ) to.broker_nonce = from->broker_nonce;
	to.broker_uid = geteuid();
	to.ttl_seconds = order->ttl_seconds;
	to.idle_timeout_s = order->idle_timeout_s;
	to.ring_bytes = order->ring_bytes;
	rc = write_plan(&to, fd);
	explicit_bzero(&to, sizeof(to));
	if (rc == 0)
		*out = steal_fd(&fd);
	return rc;
}

/* A new session with its nonces and its slot, not in any file yet. */
static struct session *
session_of_plan(const struct pl_plan *from, uint32_t slot)
{
	struct pl_session_record to = { .slot = slot };
	struct session *s = NULL;

	FIELDS_owned(COPY_FIELD, ) if (secret_random(&to.nonce, sizeof(to.nonce)) == 0 &&
	    secret_random(&to.broker_nonce, sizeof(to.broker_nonce)) == 0) s = session_new(&to);
	explicit_bzero(&to, sizeof(to));
	if (s)
		s->holds_slot = slots_take(&broker.slots, slot);
	return s;
}

#define IPV4_BYTES 4
#define COPY_BOX(T, kind, name, min, max) .name = m->u.plan.name,

/* The spawner gets a record of one size, and rules that have been looked at. */
static int
copy_network(const struct pl_plan *from, struct pl_spawn *to)
{
	struct egress_rule rules[EGRESS_RULES_MAX];
	int count = egress_unpack(from->egress.p, from->egress.len, rules);

	if (count < 0 ||
	    (from->resolver.len != 0 && from->resolver.len != IPV4_BYTES &&
		from->resolver.len != sizeof(to->resolver)))
		return -FOG_E_BOUNDS;
	to->egress_count = (uint8_t)count;
	egress_pack(rules, (size_t)count, to->egress.b);
	to->resolver_len = (uint8_t)from->resolver.len;
	memcpy(&to->resolver, from->resolver.p, from->resolver.len);
	return 0;
}

static int
order_session(struct session *s, const struct msg *m, const char **why)
{
	struct pl_spawn order = { .session_id = s->record.pl.session_id,
		.slot = s->record.pl.slot,
		.cols = FIRST_COLS,
		.rows = FIRST_ROWS,
		.image = m->u.plan.image,
		FIELDS_box(COPY_BOX, ) };
	int fd, rc;

	*why = "plan: its egress or its resolver is malformed";
	if (copy_network(&m->u.plan, &order) != 0)
		return -FOG_E_SPAWN;
	*why = "plan: its record cannot be written";
	if (!session_save(s))
		return -FOG_E_SPAWN;
	*why = "plan: the order could not be passed on";
	rc = seal_plan(s, &m->u.plan, &fd);
	if (rc != 0)
		return rc;
	return proc_send(EDGE_PTY_SPAWN, MSG_SPAWN_SESSION, m->request_id, &m->trace, &order, fd);
}

static void
count(uint32_t *living, uint32_t *ended, struct session **oldest_kept)
{
	struct session *s;

	*living = *ended = 0;
	*oldest_kept = NULL;
	TAILQ_FOREACH(s, &broker.sessions, next) {
		if (!session_is_ended(s)) {
			(*living)++;
			continue;
		}
		(*ended)++;
		if (s->record.pl.acknowledged && s->stage == SESSION_APART &&
		    (!*oldest_kept ||
			s->record.pl.ended_boot_ms < (*oldest_kept)->record.pl.ended_boot_ms))
			*oldest_kept = s;
	}
}

/* Our own limits, whatever placerd has checked. */
static int
check_plan(const struct pl_plan *plan, uint32_t *slot, const char **why)
{
	const struct config *c = proc_config();
	struct plan_limits limits = { c->max_sessions, c->session_uid_base };
	struct plan_host host = { .slots = &broker.slots,
		.id_known = session_find(&plan->session_id) != NULL };
	struct session *oldest;
	uint32_t ended;
	int rc;

	count(&host.living, &ended, &oldest);
	rc = plan_check(plan, &limits, &host, slot, why);
	if (rc == 0 && ended >= KEPT_ENDED_MAX && !oldest) {
		*why = "too many ended sessions are not acknowledged";
		rc = -FOG_E_FULL;
	} else if (rc == 0 && ended >= KEPT_ENDED_MAX) {
		session_forget(oldest);
	}
	return rc;
}

static int
place_on_create(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s;
	const char *why;
	uint32_t slot;
	int rc = check_plan(&m->u.plan, &slot, &why);

	(void)ctx;
	(void)from;
	if (rc != 0) {
		log_warnx("event=plan_refused sid=%s detail=\"%s\"", log_id(&m->u.plan.session_id),
		    why);
		broker_refuse(m->request_id, &m->trace, rc == -FOG_E_FULL ? rc : -FOG_E_SPAWN, why);
		return 0;
	}
	s = session_of_plan(&m->u.plan, slot);
	if (!s || !pending_new(s, m, PH_CREATE, CREATE_MS)) {
		broker_refuse(m->request_id, &m->trace, -FOG_E_FULL, "");
		if (s)
			session_forget(s);
		return 0;
	}
	rc = order_session(s, m, &why);
	if (rc != 0)
		session_abort(s, rc, why);
	return 0;
}

/* Something is to be asked of its holder. */
static int
check_living(const struct session *s)
{
	if (!s || s->is_half_made)
		return -FOG_E_NO_SESSION;
	if (session_is_ended(s))
		return -FOG_E_SESSION_ENDED;
	if (session_is_other_version(s))
		return -FOG_E_HOLDER_VERSION;
	return s->stage == SESSION_LIVE && peer_is_up(s->holder) ? 0 : -FOG_E_UNAVAILABLE;
}

/* Our own limit on how long anybody may stay attached (S21); the holder looks at the rest. */
static int
check_until(uint64_t until_boot_ms)
{
	if (until_boot_ms <= boot_ms() + IDENTITY_MAX_MS)
		return 0;
	log_warnx("event=identity_refused detail=\"its end is beyond the hard limit\"");
	return -FOG_E_BAD_ATTACH_TOKEN;
}

static int
check_attach(const struct session *s, const struct pl_grant *grant)
{
	int rc = check_living(s);

	if (rc == 0)
		rc = check_until(grant->until_boot_ms);
	return rc == 0 && !proc_peer(EDGE_DELIVERY) ? -FOG_E_UNAVAILABLE : rc;
}

static int
place_on_attach(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.grant.session_id);
	struct pending *p = NULL;
	int rc = check_attach(s, &m->u.grant);

	(void)ctx;
	(void)from;
	if (rc == 0) {
		p = pending_new(s, m, PH_ATTACH, proc_config()->request_timeout_ms);
		rc = p ? 0 : -FOG_E_FULL;
	}
	if (rc != 0) {
		broker_refuse(m->request_id, &m->trace, rc, "");
		return 0;
	}
	p->role = m->u.grant.role;
	/* Should this fail, the session has ended and the request is answered. */
	peer_send(s->holder, MSG_HOLD_ATTACH, m->request_id, &m->trace, &m->u.grant, -1);
	return 0;
}

static int
place_on_extend(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.extend.session_id);
	struct pending *p = NULL;
	int rc = check_living(s);

	(void)ctx;
	(void)from;
	if (rc == 0) {
		p = pending_new(s, m, PH_EXTEND, proc_config()->request_timeout_ms);
		rc = p ? 0 : -FOG_E_FULL;
	}
	if (rc != 0) {
		broker_refuse(m->request_id, &m->trace, rc, "");
		return 0;
	}
	p->ttl_seconds = m->u.extend.ttl_seconds;
	/* Should this fail, the session has ended and the request is answered. */
	peer_send(s->holder, MSG_HOLD_EXTEND, m->request_id, &m->trace, &m->u.extend, -1);
	return 0;
}

static int
place_on_renew(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.regrant.session_id);
	struct pending *p = NULL;
	int rc = check_living(s);

	(void)ctx;
	(void)from;
	if (rc == 0)
		rc = check_until(m->u.regrant.until_boot_ms);
	if (rc == 0) {
		p = pending_new(s, m, PH_RENEW, proc_config()->request_timeout_ms);
		rc = p ? 0 : -FOG_E_FULL;
	}
	if (rc != 0) {
		broker_refuse(m->request_id, &m->trace, rc, "");
		return 0;
	}
	p->attachment = m->u.regrant.attachment;
	/* Should this fail, the session has ended and the request is answered. */
	peer_send(s->holder, MSG_HOLD_RENEW, m->request_id, &m->trace, &m->u.regrant, -1);
	return 0;
}

static int
place_on_confirm(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.confirm.session_id);
	struct pending *p = NULL;
	int rc = check_living(s);

	(void)ctx;
	(void)from;
	if (rc == 0) {
		p = pending_new(s, m, PH_CONFIRM, proc_config()->request_timeout_ms);
		rc = p ? 0 : -FOG_E_FULL;
	}
	if (rc != 0) {
		broker_refuse(m->request_id, &m->trace, rc, "");
		return 0;
	}
	p->confirm_by_boot_ms = m->u.confirm.confirm_by_boot_ms;
	/* Should this fail, the session has ended and the request is answered. */
	peer_send(s->holder, MSG_HOLD_CONFIRM, m->request_id, &m->trace, &m->u.confirm, -1);
	return 0;
}

/* Where a session lives; id 0: where all do. */
static int
find_slot(const struct id128 *id, struct session **s, uint32_t *slot)
{
	*s = session_find(id);
	*slot = *s ? (*s)->record.pl.slot : SESSION_SLOTS;
	if (id_is_zero(id))
		return 0;
	return *s && (*s)->holds_slot && !session_is_ended(*s) ? 0 : -FOG_E_NO_SESSION;
}

/* What it has used: the spawner can read that. */
static int
place_on_show(void *ctx, struct peer *from, struct msg *m)
{
	struct pl_slot slot = { .session_id = m->u.session_id.session_id };
	struct pending *p = NULL;
	struct session *s;
	int rc = find_slot(&slot.session_id, &s, &slot.slot);

	(void)ctx;
	(void)from;
	if (rc == 0) {
		p = pending_new(s, m, PH_SHOW, proc_config()->request_timeout_ms);
		rc = p ? 0 : -FOG_E_FULL;
	}
	if (rc != 0) {
		broker_refuse(m->request_id, &m->trace, rc, "");
		return 0;
	}
	rc = proc_send(EDGE_PTY_SPAWN, MSG_SPAWN_USAGE, m->request_id, &m->trace, &slot, -1);
	/* Unless the edge went down by it and its requests with it. */
	p = rc ? pending_find(m->request_id, s, PH_SHOW) : NULL;
	if (p)
		pending_refuse(p, -FOG_E_UNAVAILABLE, "");
	return 0;
}

/* A note: what is not there, or not any more, has nobody attached. */
static int
place_on_detach(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.detach.session_id);

	(void)ctx;
	(void)from;
	if (s && !session_is_ended(s))
		session_detach(s, m->u.detach.sid_hash);
	return 0;
}

static int
check_end(const struct session *s)
{
	if (!s || s->is_half_made || (s->stage == SESSION_MAKING && !s->is_found))
		return -FOG_E_NO_SESSION;
	/* A stranger at its socket is nobody that the spawner would kill. */
	return s->stage == SESSION_FOREIGN && s->pidfd < 0 ? -FOG_E_UNAVAILABLE : 0;
}

static int
place_on_end(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.end.session_id);
	int rc = check_end(s);

	(void)ctx;
	(void)from;
	if (rc == 0 && !pending_new(s, m, PH_END, proc_config()->request_timeout_ms))
		rc = -FOG_E_FULL;
	if (rc != 0)
		broker_refuse(m->request_id, &m->trace, rc, "");
	else if (session_is_ended(s))
		session_answer_ended(s);
	else
		session_ask_end(s, m->u.end.end_reason);
	return 0;
}

/*
 * An end that nobody waits for. Of a session that is being made placerd has not heard yet that it
 * is there: it ends as soon as it is.
 */
static int
place_on_end_now(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.end.session_id);
	unsigned reason = m->u.end.end_reason;

	(void)ctx;
	(void)from;
	if (reason != END_REVOKED && reason != END_ADMIN)
		return -FOG_E_LIAR;
	if (!s || s->is_half_made || session_is_ended(s))
		return 0;
	if (s->stage == SESSION_LIVE || (s->stage == SESSION_FOREIGN && s->pidfd >= 0))
		session_ask_end(s, reason);
	else
		s->end_asked = (uint8_t)reason;
	return 0;
}

static int
place_on_state_kept(void *ctx, struct peer *from, struct msg *m)
{
	struct session *s = session_find(&m->u.session_id.session_id);

	(void)ctx;
	(void)from;
	if (!s)
		return 0; /* kept longer there than here */
	if (!session_is_ended(s))
		return -FOG_E_LIAR;
	if (!s->record.pl.acknowledged) {
		s->record.pl.acknowledged = 1;
		session_save(s);
	}
	session_keep(s);
	session_tell_kept(s);
	return 0;
}

/* --- the spawner --- */

static int
spawner_on_spawned(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_spawned *done = &m->u.spawned;
	struct session *s = session_find(&done->session_id);
	char detail[128];
	int rc;

	(void)ctx;
	(void)from;
	if (!s || s->stage != SESSION_MAKING || !pending_find(m->request_id, s, PH_CREATE))
		return -FOG_E_LIAR;
	rc = join_start(s);
	if (rc == 0)
		return 0;
	snprintf(detail, sizeof(detail), "%s: %s", session_stage_name(STAGE_ADOPT),
	    strerrordesc_np(-rc) ? strerrordesc_np(-rc) : "unknown");
	session_give_up(s, -FOG_E_SPAWN, detail);
	return 0;
}

static int
spawner_on_stats(void *ctx, struct peer *from, struct msg *m)
{
	struct pl_usage usage = { .session_id = m->u.stats.session_id, .holds = m->u.stats.holds };
	struct session *s = session_find(&usage.session_id);
	bool is_known = s || id_is_zero(&usage.session_id);
	struct pending *p = is_known ? pending_find(m->request_id, s, PH_SHOW) : NULL;

	(void)ctx;
	(void)from;
	if (!p)
		return is_known ? -FOG_E_LIAR : 0; /* forgotten meanwhile */
	pending_done(p);
	/* What cannot be read is not known. */
	usage_parse(m->u.stats.files, &usage);
	usage.egress_denied = m->u.stats.egress_denied;
	usage.known |= (uint32_t)m->u.stats.knows_denied << USAGE_EGRESS_DENIED;
	if (!s)
		usage.holds = 0; /* all together have none */
	return proc_send(EDGE_PLACE_PTY, MSG_PLACE_USAGE, m->request_id, &m->trace, &usage, -1) ==
		-FOG_E_BOUNDS
	    ? -FOG_E_LIAR
	    : 0;
}

static int
error_of_stage(unsigned stage)
{
	if (stage == STAGE_PTY)
		return -FOG_E_NO_PTY;
	return stage == STAGE_SHELL ? -FOG_E_NO_SHELL : -FOG_E_SPAWN;
}

/* What a person can be told better than errno does. */
static const struct {
	enum spawn_stage stage;
	int error;
	const char *text;
} causes[] = {
	{ STAGE_PLAN, EAGAIN, "this node is making too many sessions at this moment; try again" },
	{ STAGE_HOLDER, ETIMEDOUT, "it took too long; this node may be overloaded" },
	{ STAGE_IMAGE, EINVAL,
	    "the file system of STATE_DIR on this node has no idmapped mounts (ext4, xfs and btrfs "
	    "have, overlayfs has not)" },
	{ STAGE_IMAGE, ENOENT, "it is not in the store of this node; see fogctl image list" },
	{ STAGE_LIMITS, EOPNOTSUPP,
	    "this node cannot enforce those of cpu, memory and pids (it has no cgroup v2 for "
	    "sessions); a profile that accepts that says limits: best-effort" },
	{ STAGE_STORAGE, ENOSPC, "the disk of this node is full" },
	{ STAGE_STORAGE, EROFS, "the disk of this node is read-only" },
	{ STAGE_STORAGE, ENODEV, "this node has no loop devices, or no ext4" },
	{ STAGE_STORAGE, EAGAIN, "each free loop device was taken by others; try again" },
	{ STAGE_STORAGE, ENOENT, "this node has no mke2fs; install e2fsprogs" },
	{ STAGE_STORAGE, ERANGE,
	    "storage has to be 16Mi at least, 64Mi with a home that is kept, and 8Ti at most" },
	{ STAGE_HOME, EBUSY, "it is in use by another session of yours with this profile" },
	{ STAGE_HOME, ENOSPC, "the disk of this node is full" },
	{ STAGE_HOME, EROFS, "the disk of this node is read-only" },
	{ STAGE_HOME, EUCLEAN, "its file system is damaged; an admin can run e2fsck on it" },
	{ STAGE_HOME, ENOENT, "this node has no mke2fs or e2fsck; install e2fsprogs" },
	{ STAGE_NETWORK, ENONET,
	    "this node forwards no packets; set net.ipv4.ip_forward=1 (IPv6: "
	    "net.ipv6.conf.all.forwarding=1)" },
	{ STAGE_NETWORK, EPROTONOSUPPORT, "the kernel of this node has no nf_tables" },
};

static const char *
cause_of(unsigned stage, int error)
{
	const char *text = strerrordesc_np(error);

	for (size_t i = 0; i < COUNT_OF(causes); i++) {
		if (causes[i].stage == stage && causes[i].error == error)
			return causes[i].text;
	}
	return text ? text : "unknown";
}

static int
spawner_on_failed(void *ctx, struct peer *from, struct msg *m)
{
	const struct pl_spawn_failed *failed = &m->u.spawn_failed;
	struct session *s = session_find(&failed->session_id);
	char detail[256];

	(void)ctx;
	(void)from;
	if (!s || s->stage != SESSION_MAKING || !pending_find(m->request_id, s, PH_CREATE))
		return -FOG_E_LIAR;
	snprintf(detail, sizeof(detail), "%s: %s", session_stage_name(failed->stage),
	    cause_of(failed->stage, (int)failed->error_number));
	session_abort(s, error_of_stage(failed->stage), detail);
	return 0;
}

const msg_handler broker_handlers[MSG_COUNT] = {
	[MSG_PTY_CREATE] = place_on_create,
	[MSG_PTY_ATTACH] = place_on_attach,
	[MSG_PTY_EXTEND] = place_on_extend,
	[MSG_PTY_END] = place_on_end,
	[MSG_PTY_RENEW] = place_on_renew,
	[MSG_PTY_CONFIRM] = place_on_confirm,
	[MSG_PTY_SHOW] = place_on_show,
	[MSG_PTY_DETACH] = place_on_detach,
	[MSG_PTY_END_NOW] = place_on_end_now,
	[MSG_PTY_STATE_KEPT] = place_on_state_kept,
	[MSG_PTY_SPAWNED] = spawner_on_spawned,
	[MSG_PTY_SPAWN_FAILED] = spawner_on_failed,
	[MSG_PTY_STATS] = spawner_on_stats,
};
