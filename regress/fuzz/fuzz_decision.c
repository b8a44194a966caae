/* SPDX-License-Identifier: MIT */
/*
 * A record of a decision from any bytes: refused with a reason, or a request and nodes that placement
 * can be asked about. What it then chooses is one of them, and fit.
 */
/* links: placerd/decision.c placerd/place.c placerd/nodes.c placerd/yaml.c */

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "placerd/decision.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_request(const struct decision *d)
{
	const struct place_request *request = &d->request;

	check(request->n_regions <= DECISION_REGIONS_MAX && d->n_labels <= PLACE_LABELS_MAX);
	check(request->min_trust < TRUST_COUNT);
	for (size_t i = 0; i < request->n_regions; i++)
		check(request->regions[i].len > 0);
	for (size_t i = 0; i < d->n_labels; i++)
		check(d->labels[i][0] && memchr(d->labels[i], '\0', sizeof(d->labels[i])));
}

static void
check_nodes(const struct decision *d)
{
	check(d->n <= DECISION_NODES_MAX);
	for (size_t i = 0; i < d->n; i++) {
		const struct place_node *node = &d->nodes[i];

		check(node->name.len > 0);
		check(node->tier == TIER_FOG || node->tier == TIER_CLOUD);
		check(node->trust >= TRUST_BASIC && node->trust < TRUST_COUNT);
		check(node->state > NODE_STATE_NONE && node->state < NODE_STATE_COUNT);
		check(!(node->labels & PLACE_LABEL_NOBODY_HAS));
	}
}

static void
check_choice(const struct decision *d)
{
	char reasons[PLACE_REASON_BYTES];
	struct place_choice choice;
	int rc = place_choose(&d->request, d->nodes, d->n, &choice);

	check(choice.n_fit_all + choice.n_rejected == d->n);
	check((rc == 0) == (choice.n_fit > 0));
	for (size_t i = 0; i < choice.n_fit; i++) {
		check(choice.fit[i].node < d->n);
		check(place_judge(&d->request, &d->nodes[choice.fit[i].node]) == 0);
		place_format_reasons(choice.fit[i].reasons, reasons);
		check(i > 0 || reasons[0]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_error_text why;
	char err[256] = "";
	struct json_t *obj;
	struct decision d;

	if (json_parse_strict((const char *)data, size, JSON_DEPTH_DEFAULT, &obj, &why) != 0)
		return 0;
	if (decision_from_json(obj, &d, err, sizeof(err)) == 0) {
		check_request(&d);
		check_nodes(&d);
		check_choice(&d);
		decision_fini(&d);
	} else {
		check(err[0] && text_is_clean(view_of(err)) && !d.object && d.n == 0);
	}
	json_release(obj);
	return 0;
}
