/* SPDX-License-Identifier: MIT */
/* The orders of administrators: see admin.h. */
#include "placerd/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"
#include "placerd/control.h"
#include "placerd/drained.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
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

/* --- sessions and subjects --- */

static json_t *
kill_session(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	struct trace trace;
	char who[BY_SIZE];
	int rc = new_trace(&trace);

	if (rc == 0)
		rc = revoke_session_as_admin(d, &r->session_id, describe(by, who), &trace);
	return rc ? control_refuse(rc, err_title(rc)) : json_pack("{s:b}", "killed", 1);
}

/* The last moment, by the provider's clock, of a token that can be out now: authd takes one dated
 * ahead of us by the skew. */
static uint64_t
latest_issued_s(void)
{
	return (uint64_t)wall_s() + proc_config()->oidc_skew_seconds;
}

static json_t *
revoke_subject(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	struct pl_revoke what = { .issuer = r->issuer,
		.subject = r->subject,
		.sid = view_of(""),
		.at_s = latest_issued_s(),
		.jti = view_of("") };
	struct revoke_count count = { 0 };
	char who[BY_SIZE], text[CONTROL_ERROR_SIZE];
	struct trace trace;
	int rc = new_trace(&trace);

	if (rc == 0)
		rc = revoke_now(d, &what, describe(by, who), &trace, &count);
	if (rc == 0)
		return json_pack("{s:b, s:I, s:I}", "revoked", 1, "ended", (json_int_t)count.ended,
		    "detached", (json_int_t)count.detached);
	/* Those that live have been dealt with all the same. */
	snprintf(text, sizeof(text), "%s; repeat it until it is done, or tokens of now stay good",
	    err_title(rc));
	return control_refuse(rc, text);
}

static json_t *
show_session(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	json_t *row = admin_show_session(d, &r->session_id);

	(void)by;
	return row ? json_pack("{s:o}", "session", row)
		   : control_refuse(-FOG_E_NO_SESSION, err_title(-FOG_E_NO_SESSION));
}

/* --- nodes --- */

static void
write_order(struct placerd *d, const struct ucred *by, enum audit_name name, struct view node,
    int rc)
{
	struct trace trace = { { 0 } };
	char who[BY_SIZE];
	struct audit_event e = { .name = name,
		.node = node,
		.reason = view_of(rc ? err_code(rc) : ""),
		.actor = describe(by, who),
		.trace = &trace };

	(void)new_trace(&trace); /* without one the line says so much less, but it is there */
	audit_write(d->keepers.audit, &e);
}

static json_t *
refuse_unkept(int rc)
{
	if (rc == -FOG_E_UNAVAILABLE)
		return control_refuse(rc,
		    "it holds, but could not be written, and a restart undoes it: repeat it when "
		    "the disk of STATE_DIR has room");
	return control_refuse(rc,
	    rc == -FOG_E_FULL ? "too many nodes are cordoned; take them out of NODES_CONFIG"
			      : err_title(rc));
}

static json_t *
refuse_node(const char *before, struct view name, const char *after)
{
	char text[CONTROL_ERROR_SIZE];

	snprintf(text, sizeof(text), "%s%.*s%s", before, VIEW_ARG(name), after);
	return control_refuse(-FOG_E_BAD_MEMBER, text);
}

static bool
is_self(const struct placerd *d, struct view name)
{
	return name.len == 0 || view_is(name, d->node_name);
}

static size_t
count_living(const struct placerd *d)
{
	return registry_live(d->registry);
}

static json_t *
drain_self(struct placerd *d, const struct ucred *by, bool on)
{
	int rc = drained_set_self(d->drained, on);

	d->is_draining = on;
	write_order(d, by, on ? AUDIT_NODE_DRAINED : AUDIT_NODE_UNDRAINED, view_of(d->node_name),
	    rc);
	if (on)
		log_info("event=node_drained node=%s sessions=%zu", d->node_name, count_living(d));
	else
		log_info("event=node_undrained node=%s", d->node_name);
	if (rc != 0)
		return refuse_unkept(rc);
	return json_pack("{s:s, s:b, s:I}", "node", d->node_name, "draining", (int)on, "sessions",
	    (json_int_t)count_living(d));
}

static json_t *
drain_node(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	if (is_self(d, r->node))
		return drain_self(d, by, true);
	return refuse_node("only a node itself can drain: run this on \"", r->node,
	    "\", or place nothing there from here: fogctl nodes cordon");
}

/* What is no longer in NODES_CONFIG can be let go of, too. */
static json_t *
cordon(struct placerd *d, const struct ucred *by, struct view name, bool on)
{
	size_t node = nodes_find(d->nodes, name);
	bool holds;
	int rc;

	if (node == SIZE_MAX && (on || !drained_has(d->drained, name)))
		return refuse_node("no node of NODES_CONFIG is named \"", name,
		    "\"; fogctl nodes list names them");
	rc = drained_set_node(d->drained, name, on);
	holds = rc == 0 || rc == -FOG_E_UNAVAILABLE; /* drained.h */
	if (node != SIZE_MAX && holds)
		fleet_cordon(d->fleet, node, on);
	write_order(d, by, on ? AUDIT_NODE_CORDONED : AUDIT_NODE_UNDRAINED, name, rc);
	if (holds && on)
		log_info("event=node_cordoned node=%.*s", VIEW_ARG(name));
	else if (holds)
		log_info("event=node_undrained node=%.*s", VIEW_ARG(name));
	return rc ? refuse_unkept(rc)
		  : json_pack("{s:s%, s:b}", "node", name.p, name.len, "cordoned", (int)on);
}

static json_t *
cordon_node(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	if (!is_self(d, r->node))
		return cordon(d, by, r->node, true);
	return refuse_node("\"", r->node, "\" is this node: fogctl nodes drain");
}

static json_t *
undrain_node(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	return is_self(d, r->node) ? drain_self(d, by, false) : cordon(d, by, r->node, false);
}

static void
apply_cordons(struct placerd *d)
{
	const char *name;

	for (size_t i = 0; (name = drained_at(d->drained, i)); i++) {
		size_t node = nodes_find(d->nodes, view_of(name));

		if (node != SIZE_MAX && node != nodes_self(d->nodes))
			fleet_cordon(d->fleet, node, true);
	}
}

/* --- the service --- */

static enum log_level
configured_level(void)
{
	return (enum log_level)config_log_level(proc_config());
}

static json_t *
set_verbose(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	write_order(d, by, r->on ? AUDIT_LOG_VERBOSE : AUDIT_LOG_NORMAL, view_of(d->node_name), 0);
	/* fogd tells it to all roles, to this one too; the answer of status is not to wait for that. */
	log_set_level(r->on ? LOG_LEVEL_DEBUG : configured_level());
	if (proc_set_verbose(r->on) != 0)
		return control_refuse(-FOG_E_UNAVAILABLE, err_title(-FOG_E_UNAVAILABLE));
	return json_pack("{s:b}", "verbose", (int)r->on);
}

static json_t *
show_status(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	(void)by;
	(void)r;
	return admin_show_status(d);
}

static json_t *
explain(struct placerd *d, const struct ucred *by, const struct control_request *r)
{
	(void)by;
	return admin_explain(d, r);
}

static json_t *
answer(void *ctx, const struct ucred *by, const struct control_request *r)
{
	static json_t *(*const orders[CONTROL_COMMAND_COUNT])(struct placerd *,
	    const struct ucred *, const struct control_request *) = {
		[CONTROL_STATUS] = show_status,
		[CONTROL_SHOW_SESSION] = show_session,
		[CONTROL_KILL_SESSION] = kill_session,
		[CONTROL_REVOKE_SUBJECT] = revoke_subject,
		[CONTROL_CORDON_NODE] = cordon_node,
		[CONTROL_DRAIN_NODE] = drain_node,
		[CONTROL_UNDRAIN_NODE] = undrain_node,
		[CONTROL_EXPLAIN_PLACEMENT] = explain,
		[CONTROL_LOG_VERBOSE] = set_verbose,
	};

	return orders[r->command] ? orders[r->command](ctx, by, r)
				  : control_refuse(-FOG_E_INTERNAL, err_title(-FOG_E_INTERNAL));
}

static struct id128 *
list_sessions(void *ctx, size_t *n)
{
	struct placerd *d = ctx;
	size_t room;
	struct id128 *ids;

	registry_sweep(d->registry, mono_ms());
	room = registry_live(d->registry) + registry_ended(d->registry);
	ids = calloc(room + 1, sizeof(*ids));
	*n = 0;
	for (const struct session *s = NULL;
	     ids && *n < room && (s = registry_next(d->registry, (struct session *)(uintptr_t)s));)
		ids[(*n)++] = s->id;
	return ids;
}

static json_t *
session_row(void *ctx, const struct id128 *id)
{
	return admin_show_session(ctx, id);
}

static json_t *
node_row(void *ctx, size_t index)
{
	return admin_show_node(ctx, index);
}

/* --- birth --- */

static const char *const load_errors[] = {
	[DRAINED_OK] = "out of memory",
	[DRAINED_OTHER_VERSION] = "of another version of this program; it is left untouched",
	[DRAINED_IO] = "it cannot be read and written",
};

int
admin_load(struct placerd *d)
{
	struct drained_found found = { 0 };
	enum drained_result result = DRAINED_OK;

	d->drained = drained_new();
	if (d->drained)
		result = drained_open(d->drained, GIFT_ROOT, &found);
	if (!d->drained || result != DRAINED_OK) {
		log_error("event=start_failed step=\"read what is drained\" detail=\"%s\"",
		    load_errors[result]);
		return -1;
	}
	if (found.is_recovered)
		log_warnx("event=drained_recovered nodes=%zu self=%d", found.nodes, found.self);
	if (found.self || found.nodes > 0)
		log_info("event=drained_read nodes=%zu self=%d", found.nodes, found.self);
	d->is_draining = found.self;
	apply_cordons(d);
	return 0;
}

void
admin_reloaded(struct placerd *d)
{
	apply_cordons(d);
}

int
admin_start(struct placerd *d)
{
	static const struct control_ops ops = { answer, list_sessions, session_row, node_row };
	int listener = proc_take_gift(GIFT_PLACERD_CONTROL);

	if (listener < 0 || control_new(proc_base(), listener, &ops, d))
		return 0;
	log_error("event=start_failed step=\"control socket\"");
	return -1;
}
