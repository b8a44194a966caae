/* SPDX-License-Identifier: MIT */
/* What is told of the fleet: see fleetlist.h. */
#include "placerd/fleetlist.h"

#include <string.h>

#include "common/mono.h"
#include "common/nodetoken.h"
#include "common/proc.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/probe.h"
#include "placerd/where.h"

/* What comes before the distance, in this order. */
#define NOT_UP (UINT64_C(1) << 34)
#define NO_SEAT (UINT64_C(1) << 33)

/* How near a node is to this one, which is near the person who came here. The unknown come last. */
static uint64_t
distance(const struct placerd *d, size_t node, uint64_t now_mono_ms)
{
	uint64_t far = fleet_state(d->fleet, node, now_mono_ms) == NODE_UP ? 0 : NOT_UP;
	uint32_t mean = fleet_mean_ms(d->fleet, node);

	return far + (mean ? mean : UINT32_MAX);
}

/* Likewise, for whoever looks for a place there. */
static uint64_t
distance_of_seat(const struct placerd *d, size_t node, uint64_t now_mono_ms)
{
	bool has_seat = fleet_load(d->fleet, node).sessions <
	    nodes_at(d->nodes, node)->capacity.sessions;

	return distance(d, node, now_mono_ms) + (has_seat ? 0 : NO_SEAT);
}

/* The max nearest other nodes, nearest first: out has room for them. How many. */
static size_t
nearest(const struct placerd *d,
    uint64_t (*far_of)(const struct placerd *d, size_t node, uint64_t now_mono_ms), size_t max,
    size_t out[static FLEETLIST_NODES_MAX])
{
	uint64_t at[FLEETLIST_NODES_MAX], now = mono_ms();
	size_t n = 0;

	for (size_t i = 0; i < nodes_count(d->nodes); i++) {
		uint64_t far = far_of(d, i, now);
		size_t to;

		if (i == nodes_self(d->nodes) || (n == max && far >= at[n - 1]))
			continue;
		if (n < max)
			n++;
		for (to = n - 1; to > 0 && at[to - 1] > far; to--) {
			at[to] = at[to - 1];
			out[to] = out[to - 1];
		}
		at[to] = far;
		out[to] = i;
	}
	return n;
}

static enum node_state
shown_state(const struct placerd *d, size_t node)
{
	enum node_state state = fleet_state(d->fleet, node, mono_ms());

	return fleet_is_cordoned(d->fleet, node) && state == NODE_UP ? NODE_DRAINING : state;
}

static void
send_node(struct peer *from, const struct msg *m, const struct node *node, bool is_self,
    enum node_state state)
{
	struct pl_node row = { .name = view_of(node->name),
		.region = view_of(node->region),
		.tier = (uint8_t)node->tier,
		.self = is_self,
		.url = view_of(is_self ? "" : node->url),
		.state = (uint8_t)state };

	peer_send(from, MSG_AUTH_NODE, m->request_id, &m->trace, &row, -1);
}

/* Where it was, or in place of the last where there is no room for one more. */
static size_t
put_first(const struct placerd *d, size_t node, size_t others[static FLEETLIST_NODES_MAX], size_t n)
{
	size_t at = 0;

	if (node == HOLD_NONE || node == nodes_self(d->nodes))
		return n;
	while (at < n && others[at] != node)
		at++;
	if (at == n && n < FLEETLIST_NODES_MAX - 1)
		n++;
	else if (at == n)
		at--;
	memmove(&others[1], &others[0], at * sizeof(others[0]));
	others[0] = node;
	return n;
}

/*
 * The nearest that have a seat; and before them where the subject is held on to, full or not: what is
 * not measured is not stayed at.
 */
static size_t
choose_shown(const struct placerd *d, const struct pl_identity *who,
    size_t others[static FLEETLIST_NODES_MAX])
{
	struct hold hold = where_hold(d, who->issuer, who->subject);
	size_t n = nearest(d, distance_of_seat, FLEETLIST_NODES_MAX - 1, others);

	n = put_first(d, hold.last, others, n);
	return put_first(d, hold.home, others, n);
}

/* Whoever wants the list is about to want a session: so they are known by then, also who was full. */
static void
ask_for_loads(struct placerd *d, const struct pl_identity *who)
{
	struct hold hold = where_hold(d, who->issuer, who->subject);
	size_t others[FLEETLIST_NODES_MAX];
	size_t n = nearest(d, distance, FLEET_WANTED_MAX, others);

	fleet_wanted(d->fleet, hold.home, mono_ms());
	fleet_wanted(d->fleet, hold.last, mono_ms());
	for (size_t i = 0; i < n; i++)
		fleet_wanted(d->fleet, others[i], mono_ms());
	if (d->probe)
		probe_soon(d->probe);
}

int
fleetlist_on_nodes(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	size_t others[FLEETLIST_NODES_MAX];
	size_t n = choose_shown(d, &m->u.identity, others);

	send_node(from, m, nodes_at(d->nodes, nodes_self(d->nodes)), true,
	    d->is_draining ? NODE_DRAINING : NODE_UP);
	for (size_t i = 0; i < n; i++)
		send_node(from, m, nodes_at(d->nodes, others[i]), false, shown_state(d, others[i]));
	peer_send(from, MSG_AUTH_DONE, m->request_id, &m->trace, NULL, -1);
	ask_for_loads(d, &m->u.identity);
	return 0;
}

void
fleetlist_also(struct placerd *d, struct peer *from, const struct msg *m)
{
	size_t others[FLEETLIST_NODES_MAX];
	size_t n = m->u.identity.forwarded_by.len > 0
	    ? 0
	    : nearest(d, distance, FLEETLIST_ALSO_MAX, others);

	for (size_t i = 0; i < n; i++) {
		const struct node *node = nodes_at(d->nodes, others[i]);
		enum node_state state = fleet_state(d->fleet, others[i], mono_ms());
		struct pl_also also = { .node = view_of(node->name),
			.url = view_of(node->url),
			.self = view_of(d->node_name),
			.is_down = state == NODE_DOWN };

		peer_send(from, MSG_AUTH_ALSO, m->request_id, &m->trace, &also, -1);
	}
}

int
fleetlist_on_status(void *ctx, struct peer *from, struct msg *m)
{
	struct placerd *d = ctx;
	char token[NODETOKEN_MAX_BYTES + 1];
	struct pl_node_status answer = { 0 };
	int rc = d->node_key ? probe_answer_status(d, m->u.node_token.token, token)
			     : -FOG_E_NODE_TOKEN;

	if (rc != 0)
		return peers_refuse_message(from, m, rc, "", "");
	answer.token = view_of(token);
	peer_send(from, MSG_AUTH_NODE_STATUS, m->request_id, &m->trace, &answer, -1);
	return 0;
}
