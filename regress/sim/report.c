/* SPDX-License-Identifier: MIT */
/* Reports: see report.h. */
#include "regress/sim/report.h"

#include <stdarg.h>
#include <stdlib.h>

#include "regress/sim/sim.h"

/* What the figures are about; the numbers behind it are in world.c, page.c, weather.c, request.c. */
static const char model[] =
    "\n## The model\n\n"
    "- The functions are placerd's own: place.c, hold.c, distance.c, policy.c, fleet.c. The rest is made up, "
    "from one seed, in whole numbers.\n"
    "- 48 towns of very different sizes on a plane of 20,000 by 8,000 km, in up to 24 regions. Nine "
    "nodes of ten are fog, in the towns where people are; every tenth is of the cloud, in up to six "
    "regions. A round trip is 15 us a km, 0.6 ms in the town, 0.3 to 3 ms of the node, up to 2 ms of "
    "detour between two networks, and 3 to 20 ms of the person's own last mile.\n"
    "- Nodes have one of three levels of trust, some of eight data labels, and 40 to 160 seats (cloud: "
    "four times that). Of the 32 profiles one half demands up to three regions, two labels and a level "
    "of trust.\n"
    "- People come to a node of their town. Their page measures 12 nodes, as web/latency.ts does, with "
    "±30 % of jitter on each of five probes. A node that it has not measured is held for as far as "
    "the entry finds it by its own probes.\n"
    "- Every node dies about once in ten days for 20 minutes in the mean and is drained once in thirty; "
    "twice a day some regions are cut off from the others for ten minutes. What a node knows of "
    "another's load is as old as its probes make it, eight a second in fleets of up to 64 nodes and "
    "one each two seconds in larger ones; half of the sessions come in by other nodes, and are not "
    "counted before it is heard of again. When a page asks for the list of nodes, its entry asks the "
    "16 nearest for their load where it knows nothing newer than 10 s, one each 2 s in the long run. "
    "All entries have one table together, so that each knows what another has asked, which is better "
    "than it is; a node that was full is forgotten with the request, which is worse. "
    "A death is known within 5 s, "
    "which is the bound of the failure detector's part, and a cut within what the detector takes to "
    "lose half of the fleet: 2.5 minutes among 1,000 nodes.\n"
    "- One person in fifty sends latencies out of the air, one node in fifty says that it has no "
    "load.\n";

void
report_init(struct report *r)
{
	*r = (struct report){ 0 };
	r->out = open_memstream(&r->text, &r->text_len);
	if (!r->out)
		sim_fail("no memory for the report");
}

void
report_fini(struct report *r)
{
	if (r->out)
		fclose(r->out);
	free(r->text);
	*r = (struct report){ 0 };
}

void
report_section(struct report *r, const char *title)
{
	fprintf(r->out, "\n## %s\n\n", title);
}

void
report_line(struct report *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(r->out, format, args);
	va_end(args);
	fputc('\n', r->out);
}

void
report_bound(struct report *r, bool is_met, const char *what, const char *limit, const char *found,
    ...)
{
	struct report_bound *b = &r->bounds[r->n_bounds];
	va_list args;

	if (r->n_bounds == REPORT_BOUNDS_MAX)
		sim_fail("more than %d bounds", REPORT_BOUNDS_MAX);
	r->n_bounds++;
	b->is_met = is_met;
	snprintf(b->what, sizeof(b->what), "%s", what);
	snprintf(b->limit, sizeof(b->limit), "%s", limit);
	va_start(args, found);
	vsnprintf(b->found, sizeof(b->found), found, args);
	va_end(args);
}

bool
report_print(struct report *r, FILE *out, const char *command)
{
	size_t broken = 0;

	fflush(r->out);
	fprintf(out, "# Placement: figures\n\nMade by `%s`.\n\n## Bounds\n\n", command);
	fprintf(out, "| what | bound | found | |\n|---|---|---|---|\n");
	for (size_t i = 0; i < r->n_bounds; i++) {
		const struct report_bound *b = &r->bounds[i];

		fprintf(out, "| %s | %s | %s | %s |\n", b->what, b->limit, b->found,
		    b->is_met ? "met" : "**NOT MET**");
		broken += !b->is_met;
	}
	fputs(model, out);
	fwrite(r->text, 1, r->text_len, out);
	fflush(out);
	return broken == 0;
}
