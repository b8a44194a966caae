/* SPDX-License-Identifier: MIT */
/* Reading nodes.yaml while others are served: see reread.h. */
#include "placerd/reread.h"

#include <stdlib.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "placerd/yaml.h"

struct reread {
	struct event *turn;
	const char *file_name;
	char *bytes;
	struct nodes_reader *reader;
	struct nodes *nodes; /* NULL: not yet */
	size_t checked;      /* keys of them */
	reread_done_fn *done;
	void *ctx;
	char err[YAML_ERROR_BYTES];
};

/* 1: there is more to do; 0, or -1 with err. */
static int
go_on(struct reread *r)
{
	int rc;

	if (r->nodes)
		return nodes_check_keys(r->nodes, &r->checked, REREAD_KEYS, r->file_name, r->err,
		    sizeof(r->err));
	rc = nodes_reader_go_on(r->reader, REREAD_MEMBERS, &r->nodes);
	return rc < 0 ? -1 : 1;
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval next_turn = { 0 };
	struct reread *r = arg;
	struct nodes *nodes;
	int rc;

	(void)fd;
	(void)what;
	rc = r->reader ? go_on(r) : -1;
	if (rc == 1 && event_add(r->turn, &next_turn) == 0)
		return;
	nodes = rc == 0 ? r->nodes : NULL;
	if (nodes)
		r->nodes = NULL;
	r->done(r->ctx, nodes, r->err);
}

struct reread *
reread_new(struct event_base *base, const char *file_name, char *bytes, size_t len,
    const char *origins, const char *self_name, reread_done_fn *done, void *ctx)
{
	static const struct timeval next_turn = { 0 };
	struct reread *r = calloc(1, sizeof(*r));

	if (!r) {
		free(bytes);
		return NULL;
	}
	*r = (struct reread){ .file_name = file_name, .bytes = bytes, .done = done, .ctx = ctx };
	yaml_format_error(r->err, sizeof(r->err), file_name, 1, "", "out of memory");
	r->reader = nodes_reader_new(file_name, bytes, len, origins, self_name, r->err,
	    sizeof(r->err));
	r->turn = evtimer_new(base, on_turn, r);
	if (r->turn && event_add(r->turn, &next_turn) == 0)
		return r;
	reread_free(r);
	return NULL;
}

void
reread_free(struct reread *r)
{
	if (!r)
		return;
	if (r->turn)
		event_free(r->turn);
	nodes_reader_free(r->reader);
	nodes_free(r->nodes);
	free(r->bytes);
	free(r);
}
