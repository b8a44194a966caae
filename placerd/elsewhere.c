/* SPDX-License-Identifier: MIT */
/*
 * Requests that are for another node. One node at a time is named to authd, which passes the request
 * on to it with the person's own token (S37); what it says became of that decides what is next. A node
 * whose answer was lost may have made a session all the same: it ends that by itself, since nobody
 * confirms it (provisional.c). So there is never a second session for one request.
 */
#include "placerd/placerd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/where.h"

#define TRY_MIN_MS 50       /* there is no point in less */
#define SESSION_TRY_MS 3000 /* for a request about a session that is there already */
#define HTTP_CONFLICT 409

/* --- creates with an Idempotency-Key that were passed on --- */

static uint64_t
hash_view(uint64_t h, struct view v)
{
	h = fnv1a(h, &v.len, sizeof(v.len));
	return fnv1a(h, v.p, v.len);
}

static uint64_t
hash_key(const struct pl_create *want)
{
	uint64_t h = hash_view(FNV1A_SEED, want->issuer);

	return hash_view(hash_view(h, want->subject), want->idem_key);
}

static struct passed_now
now_of(void)
{
	return (struct passed_now){ .wall_s = (uint64_t)wall_s(), .mono_ms = mono_ms() };
}

static const struct passed_key *
find_passed(const struct placerd *d, const struct pl_create *want)
{
	return want->idem_key.len > 0 ? passed_find(d->passed, hash_key(want), mono_ms()) : NULL;
}

/* Before that node is asked. 0 or -FOG_E_UNAVAILABLE. */
static int
keep_key(struct placerd *d, const struct pl_create *want, const struct elsewhere *e)
{
	if (want->idem_key.len == 0 || e->is_repeat)
		return 0;
	return passed_ask(d->passed, hash_key(want), e->wish_hash, e->tag, now_of());
}

static void
settle_key(struct placerd *d, const struct pl_create *want, enum passed_state state)
{
	passed_settle(d->passed, hash_key(want), state, now_of());
}

/* It goes no further from here: free, nobody has made it as far as was heard; or made, maybe. */
static void
give_up_key(struct placerd *d, const struct pl_create *want, enum passed_state state)
{
	const struct passed_key *key = find_passed(d, want);

	if (key && key->state == PASSED_ASKED)
		settle_key(d, want, state);
}

enum elsewhere_repeat
elsewhere_find_repeat(struct placerd *d, const struct pl_create *want, uint64_t wish_hash,
    size_t *node)
{
	const struct passed_key *key = find_passed(d, want);

	if (!key)
		return ELSEWHERE_NEW;
	if (key->wish_hash != wish_hash)
		return ELSEWHERE_OTHER_WISH;
	*node = nodes_find_tag(d->nodes, key->tag);
	/* Its client was sent there and may have made it: while nobody can say so it is not made anew. */
	if (key->state == PASSED_BOUND && *node != SIZE_MAX &&
	    fleet_state(d->fleet, *node, mono_ms()) == NODE_DOWN)
		return ELSEWHERE_GONE;
	if (key->state == PASSED_ASKED)
		return ELSEWHERE_UNDER_WAY;
	return *node == SIZE_MAX ? ELSEWHERE_GONE : ELSEWHERE_MADE;
}

/* --- naming a node --- */

/* A reload moves indices, and takes nodes away: the tag stays. SIZE_MAX: it is gone. */
static size_t
node_of(const struct placerd *d, const struct elsewhere *e)
{
	return nodes_find_tag(d->nodes, e->tag);
}

static void
set_node(const struct placerd *d, struct elsewhere *e, size_t node)
{
	e->tag = nodes_at(d->nodes, node)->tag;
	snprintf(e->name, sizeof(e->name), "%s", nodes_at(d->nodes, node)->name);
}

static int
name_node(struct placerd *d, const struct asked *q, uint64_t timeout_ms)
{
	const struct elsewhere *e = q->elsewhere;
	const struct node *node = nodes_at(d->nodes, node_of(d, e));
	struct pl_forward forward = { .session_id = q->session_id,
		.node = view_of(node->name),
		.url = view_of(node->url),
		.self = view_of(d->node_name),
		.timeout_ms = (uint32_t)timeout_ms,
		.reason = view_of(e->reason) };

	log_info("event=forwarded req=%llx node=%s timeout_ms=%llu", (unsigned long long)q->id,
	    node->name, (unsigned long long)timeout_ms);
	return peers_answer(q, MSG_AUTH_FORWARD, &forward);
}

/* As many milliseconds as leave time for another try, but in the last of it all that is left. */
static uint64_t
try_ms(const struct elsewhere *e)
{
	uint64_t left = elsewhere_left_ms(e);

	return left > 600 ? left / 2 : left;
}

uint64_t
elsewhere_left_ms(const struct elsewhere *e)
{
	uint64_t now = mono_ms();

	return e && e->deadline_mono_ms > now ? e->deadline_mono_ms - now : 0;
}

bool
elsewhere_is_late(const struct elsewhere *e)
{
	return e && elsewhere_left_ms(e) < TRY_MIN_MS;
}

void
elsewhere_free(struct elsewhere *e)
{
	free(e);
}

/* The request as it came, to be read again when the next node is to be chosen. */
static struct elsewhere *
keep_request(const struct msg *m)
{
	static unsigned char bytes[MSG_MAX_BYTES];
	struct elsewhere *e;
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	if (msg_put(&w, m->type, m->request_id, &m->trace, &m->u) != 0)
		return NULL;
	e = calloc(1, sizeof(*e) + w.len);
	if (!e)
		return NULL;
	e->len = w.len;
	memcpy(e->record, w.p, w.len);
	e->deadline_mono_ms = mono_ms() + proc_config()->forward_timeout_ms;
	return e;
}

static int
read_request(const struct elsewhere *e, struct msg *m)
{
	struct reader r;

	reader_init(&r, e->record, e->len);
	return msg_get_header(&r, m) == 0 ? msg_get_payload(&r, m) : -1;
}

static int
write_forwarded(struct placerd *d, const struct asked *q, const struct pl_create *want,
    enum audit_phase phase, const struct id128 *made, const char *reason)
{
	struct audit_event e = { .name = AUDIT_SESSION_FORWARDED,
		.phase = phase,
		.session_id = made,
		.issuer = want->issuer,
		.subject = want->subject,
		.profile = want->profile,
		.node = view_of(q->elsewhere->name),
		.reason = view_of(reason),
		.trace = &q->trace };

	return audit_write(d->keepers.audit, &e);
}

static int
write_intent(struct placerd *d, const struct asked *q, const struct pl_create *want)
{
	int rc = write_forwarded(d, q, want, AUDIT_INTENT, NULL, q->elsewhere->reason);

	return rc ? -FOG_E_NO_AUDIT : keep_key(d, want, q->elsewhere);
}

/* Fog-Forwarded-By has its own bounds; e is taken, and its key is free when it ends here. */
int
elsewhere_create(struct placerd *d, struct peer *from, const struct msg *m, size_t node,
    const char *reason, uint64_t wish_hash, struct elsewhere *e, const struct where *where)
{
	static const struct id128 none;
	const struct pl_create *want = &m->u.create;
	struct asked *q;
	int rc;

	if (!e)
		e = keep_request(m);
	q = e ? peers_ask_within(d, from, m, PH_CREATE, &none, elsewhere_left_ms(e) + 500) : NULL;
	if (!e)
		return peers_refuse_message(from, m, -FOG_E_NOMEM, "", "");
	if (!q) {
		elsewhere_give_up(d, want, e);
		return 0;
	}
	q->elsewhere = e;
	set_node(d, e, node);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	e->is_repeat = !where;
	e->kept = where ? where->kept : (struct where_kept){ 0 };
	e->needs = where ? where->request.needs : (struct place_room){ 0 };
	e->wish_hash = wish_hash;
	rc = write_intent(d, q, want);
	if (rc == 0)
		return name_node(d, q, try_ms(e));
	peers_take(d, q->id);
	peers_refuse(q, rc, "", "");
	elsewhere_give_up(d, want, e);
	free(q);
	return 0;
}

/* --- sessions of other nodes --- */

static const struct id128 *
session_of(const struct msg *m)
{
	switch (m->type) {
	case MSG_PLACE_MINT:
		return &m->u.who_mint.session_id;
	case MSG_PLACE_EXTEND:
		return &m->u.who_extend.session_id;
	default:
		return &m->u.who_session.session_id;
	}
}

static const struct {
	enum msg_type type;
	enum msg_phase phase;
} about_sessions[] = {
	{ MSG_PLACE_SHOW, PH_SHOW },
	{ MSG_PLACE_END, PH_END },
	{ MSG_PLACE_MINT, PH_MINT },
	{ MSG_PLACE_EXTEND, PH_EXTEND },
};

static enum msg_phase
phase_of(enum msg_type type)
{
	for (size_t i = 0; i < COUNT_OF(about_sessions); i++) {
		if (about_sessions[i].type == type)
			return about_sessions[i].phase;
	}
	return 0;
}

/* The other node of the session that m is about; SIZE_MAX: it is ours, or nobody's. */
static size_t
other_node_of(struct placerd *d, const struct msg *m)
{
	size_t node;

	if (!phase_of(m->type) || registry_find(d->registry, session_of(m)))
		return SIZE_MAX;
	node = nodes_find_tag(d->nodes, id_session_node_tag(session_of(m)));
	return node == nodes_self(d->nodes) ? SIZE_MAX : node;
}

static int
refuse_unreachable(struct placerd *d, struct peer *from, const struct msg *m, size_t node)
{
	char detail[160];

	snprintf(detail, sizeof(detail), "its node \"%s\" does not answer; the session may live on",
	    nodes_at(d->nodes, node)->name);
	return peers_refuse_message(from, m, -FOG_E_UNREACHABLE, "", detail);
}

bool
elsewhere_on_request(struct placerd *d, struct peer *from, const struct msg *m,
    struct view forwarded_by)
{
	size_t node = other_node_of(d, m);
	struct elsewhere *e;
	struct asked *q;

	if (node == SIZE_MAX || forwarded_by.len > 0)
		return false;
	if (fleet_state(d->fleet, node, mono_ms()) == NODE_DOWN) {
		refuse_unreachable(d, from, m, node);
		return true;
	}
	q = peers_ask_within(d, from, m, phase_of(m->type), session_of(m), SESSION_TRY_MS + 500);
	e = q ? calloc(1, sizeof(*e)) : NULL;
	if (!e) {
		if (q)
			peers_refuse(peers_take(d, q->id), -FOG_E_NOMEM, "", "");
		free(q);
		return true;
	}
	set_node(d, e, node);
	q->elsewhere = e;
	name_node(d, q, SESSION_TRY_MS);
	return true;
}

/* --- what became of it --- */

/* authd says "code: text" of a problem. */
static bool
is_problem(const struct pl_forwarded *said, int error)
{
	struct view code = view_of(err_code(error));

	return said->result == FORWARD_REFUSED && said->detail.len > code.len &&
	    view_equal(view_bytes(said->detail.p, code.len), code) &&
	    said->detail.p[code.len] == ':';
}

static void
note_failure(struct placerd *d, struct elsewhere *e, const struct pl_forwarded *said)
{
	size_t used = strlen(e->tried), node = node_of(d, e);

	if (e->n_failed < COUNT_OF(e->failed))
		e->failed[e->n_failed++] = e->tag;
	snprintf(e->tried + used, sizeof(e->tried) - used, "%s%s: %.*s", used ? "; " : "", e->name,
	    (int)(said->detail.len < 80 ? said->detail.len : 80),
	    said->detail.len ? said->detail.p : "");
	/* No word about its health: a reason to ask. */
	if (said->result == FORWARD_FAILED && node != SIZE_MAX)
		fleet_hinted(d->fleet, node, nodes_self(d->nodes), mono_ms());
	else if (is_problem(said, FOG_E_FULL) && node != SIZE_MAX && !e->is_repeat)
		fleet_refused(d->fleet, node, &e->needs, mono_ms());
	log_info("event=forward_failed node=%s result=%u status=%u", e->name, said->result,
	    said->status);
}

static void
made(struct placerd *d, struct asked *q, const struct pl_create *want, const struct id128 *id)
{
	struct elsewhere *e = q->elsewhere;

	write_forwarded(d, q, want, AUDIT_OUTCOME, id, e->reason);
	settle_key(d, want, PASSED_MADE);
	where_remember(d, want->issuer, want->subject, &e->kept);
	if (!e->is_repeat)
		fleet_promise(d->fleet, node_of(d, e), &e->needs, mono_ms());
	log_info("event=session_elsewhere sid=%s req=%llx node=%s reason=%s", log_id(id),
	    (unsigned long long)q->id, e->name, e->reason);
}

/* The next node, this one, or nobody: as if it came only now, but that some have failed. */
static void
try_next(struct placerd *d, struct asked *q, struct msg *m)
{
	struct peer *auth = proc_peer(EDGE_AUTH_PLACE);
	struct elsewhere *e = q->elsewhere;

	q->elsewhere = NULL;
	if (auth && peer_epoch(auth) == q->auth_epoch) {
		create_try(d, auth, m, e);
		return;
	}
	give_up_key(d, &m->u.create, PASSED_MADE);
	elsewhere_free(e);
}

static void
refuse_lost(const struct asked *q)
{
	char detail[160];

	snprintf(detail, sizeof(detail), "its node \"%s\" does not answer; the session may live on",
	    q->elsewhere->name);
	peers_refuse(q, -FOG_E_UNREACHABLE, "", detail);
}

/*
 * Too many sessions there: the next node has a count of its own, and whoever is at the bound of their
 * profile is not to be sent around the fleet for more.
 */
static void
refuse_quota(struct placerd *d, const struct asked *q, const struct pl_create *want)
{
	char detail[160];

	snprintf(detail, sizeof(detail), "on node \"%s\", where this session would be",
	    q->elsewhere->name);
	give_up_key(d, want, PASSED_FREE);
	peers_refuse(q, -FOG_E_QUOTA, policy_rule_id(POLICY_SESSIONS), detail);
}

static int
on_create_forwarded(struct placerd *d, struct asked *q, const struct pl_forwarded *said)
{
	struct elsewhere *e = q->elsewhere;
	struct msg m;

	if (read_request(e, &m) != 0)
		return peers_refuse(q, -FOG_E_INTERNAL, "", "");
	if (said->result == FORWARD_DONE) {
		made(d, q, &m.u.create, &said->session_id);
		return 0;
	}
	if (said->result == FORWARD_BOUND) {
		write_forwarded(d, q, &m.u.create, AUDIT_OUTCOME, NULL, "redirected");
		settle_key(d, &m.u.create, PASSED_BOUND);
		return 0;
	}
	write_forwarded(d, q, &m.u.create, AUDIT_OUTCOME, NULL, "failed");
	note_failure(d, e, said);
	/* It has the session already: a second one is not made for the same key. */
	if (e->is_repeat)
		refuse_lost(q);
	else if (said->status == HTTP_CONFLICT && is_problem(said, FOG_E_QUOTA))
		refuse_quota(d, q, &m.u.create);
	else
		try_next(d, q, &m);
	return 0;
}

/* It was not asked at all: too much is under way from here, or from this person. */
static void
refuse_busy(const struct asked *q)
{
	struct pl_refused why = { .error = FOG_E_FULL, .retry_after_s = 1 };

	peers_answer(q, MSG_AUTH_REFUSED, &why);
}

int
elsewhere_on_forwarded(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	const struct request *r = requests_find(d->requests, m->request_id);
	struct asked *q = r ? r->data : NULL;
	const struct pl_forwarded *said = &m->u.forwarded;
	bool is_over = said->result == FORWARD_DONE || said->result == FORWARD_BOUND;

	(void)from;
	if (!q) { /* it crossed with our word that this took too long */
		log_debug("event=late_forward req=%llx", (unsigned long long)m->request_id);
		return 0;
	}
	if (!q->elsewhere)
		return -FOG_E_LIAR;
	if (q->phase == PH_CREATE && said->result == FORWARD_DONE &&
	    id_session_node_tag(&said->session_id) != q->elsewhere->tag)
		return -FOG_E_LIAR;
	peers_take(d, q->id);
	if (q->phase == PH_CREATE)
		on_create_forwarded(d, q, said);
	else if (said->result == FORWARD_REFUSED && said->status == 0)
		refuse_busy(q);
	else if (!is_over)
		refuse_lost(q);
	elsewhere_free(q->elsewhere);
	free(q);
	return 0;
}

void
elsewhere_on_lost(struct placerd *d, struct asked *q, int error)
{
	struct elsewhere *e = q->elsewhere;
	struct msg m;

	if (q->phase == PH_CREATE && read_request(e, &m) == 0) {
		write_forwarded(d, q, &m.u.create, AUDIT_OUTCOME, NULL, "lost");
		/* authd's word may be on its way: the client may know of it. */
		give_up_key(d, &m.u.create, PASSED_MADE);
	}
	peers_refuse(q, error, "", "");
	elsewhere_free(e);
	q->elsewhere = NULL;
}

void
elsewhere_give_up(struct placerd *d, const struct pl_create *want, struct elsewhere *e)
{
	if (e)
		give_up_key(d, want, PASSED_FREE);
	elsewhere_free(e);
}
