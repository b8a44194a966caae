/* SPDX-License-Identifier: MIT */
/* The lifecycle of a role, and its control pair with fogd: see proc.h. */
#include "common/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/privdrop.h"

#define CONFIG_RECORD_MAX 32768
#define STILL_GONE_MS 500 /* epochs are unique, so one number names the end that is gone */

static struct process {
	const struct role *role;
	struct event_base *base;
	struct config config;
	struct peer *control;
	struct peer *edges[EDGE_COUNT];
	struct peer_ops ops;
	msg_handler handlers[MSG_COUNT];
	bool rooted;
	bool has_gift[GIFT_END];
} proc;

const struct edge_row proc_edges[EDGE_COUNT] = {
	[EDGE_GATE_AUTH] = { PROC_GATEWAYD, PROC_AUTHD, false },
	[EDGE_AUTH_PLACE] = { PROC_AUTHD, PROC_PLACERD, false },
	[EDGE_PLACE_PTY] = { PROC_PLACERD, PROC_PTYD, false },
	[EDGE_PTY_SPAWN] = { PROC_PTYD, PROC_SPAWNER, false },
	[EDGE_DELIVERY] = { PROC_GATEWAYD, PROC_PTYD, true },
	[EDGE_AUTH_FETCH] = { PROC_AUTHD, PROC_FETCHER, false },
	[EDGE_PLACE_PROBE] = { PROC_PLACERD, PROC_PROBER, false },
};

struct event_base *
proc_base(void)
{
	return proc.base;
}

const struct config *
proc_config(void)
{
	return &proc.config;
}

struct peer *
proc_peer(enum edge edge)
{
	return peer_is_up(proc.edges[edge]) ? proc.edges[edge] : NULL;
}

int
proc_send(enum edge edge, enum msg_type type, uint64_t request_id, const struct trace *trace,
    const void *payload, int fd)
{
	struct peer *p = proc_peer(edge);

	if (p)
		return peer_send(p, type, request_id, trace, payload, fd);
	close_fd(&fd);
	return -FOG_E_UNAVAILABLE;
}

const struct peer_ops *
proc_peer_ops(void)
{
	return &proc.ops;
}

int
proc_take_gift(enum gift gift)
{
	if (!proc.has_gift[gift])
		return -1;
	proc.has_gift[gift] = false;
	return (int)gift;
}

/* Before anything is opened: the number of an absent gift is the next that open gives. */
static void
note_gifts(void)
{
	for (int gift = 0; gift < GIFT_END; gift++)
		proc.has_gift[gift] = fcntl(gift, F_GETFD) >= 0;
}

bool
proc_is_rooted(void)
{
	return proc.rooted;
}

char *
proc_read_file(int fd, size_t max, size_t *len)
{
	char *text;
	ssize_t n;
	/* By lseek: the filters refuse what libc makes of fstat. A pipe has no end to seek to. */
	off_t size = lseek(fd, 0, SEEK_END);

	if (size < 0)
		return NULL;
	if ((size_t)size > max) {
		errno = EFBIG;
		return NULL;
	}
	text = malloc((size_t)size + 1);
	if (!text)
		return NULL;
	/* Sealed memfds and files alike: read by offset, so that a second reader is not harmed. */
	n = pread(fd, text, (size_t)size, 0);
	if (n != size) {
		errno = n < 0 ? errno : EIO;
		free(text);
		return NULL;
	}
	text[n] = '\0';
	*len = (size_t)n;
	return text;
}

/* --- the control pair --- */

static int
on_new_peer(void *ctx, struct peer *from, struct msg *m)
{
	enum edge edge = (enum edge)m->u.new_peer.edge;
	const struct edge_row *row = &proc_edges[edge];
	bool is_left = row->left == proc.role->id;
	struct peer_end end = { .edge = edge,
		.self = proc.role->id,
		.epoch = m->u.new_peer.epoch,
		.other = is_left ? row->right : row->left,
		.way = !row->one_way ? PEER_BOTH
		    : is_left        ? PEER_RECEIVE_ONLY
				     : PEER_SEND_ONLY };

	(void)ctx;
	(void)from;
	if (!is_left && row->right != proc.role->id)
		return -FOG_E_LIAR;
	if (peer_is_up(proc.edges[edge]))
		proc.role->edge_down(proc.role->ctx, edge);
	peer_free(proc.edges[edge]);
	end.fd = steal_fd(&m->fd);
	proc.edges[edge] = peer_new(proc.base, &end, &proc.ops, proc.role->ctx);
	if (!proc.edges[edge])
		return -FOG_E_NOMEM;
	log_debug("event=edge_up edge=%s epoch=%llu", edge_name(edge),
	    (unsigned long long)end.epoch);
	if (proc.role->edge_up)
		proc.role->edge_up(proc.role->ctx, proc.edges[edge]);
	return 0;
}

int
proc_prepared(bool ok)
{
	struct pl_prepared answer = { .ok = ok };

	return peer_send(proc.control, MSG_CTL_PREPARED, 0, NULL, &answer, -1);
}

static enum log_level
configured_level(void)
{
	return (enum log_level)config_log_level(&proc.config);
}

static int
on_prepare(void *ctx, struct peer *from, struct msg *m)
{
	enum reload_file file = (enum reload_file)m->u.prepare.file;
	int rc = 0;

	(void)ctx;
	(void)from;
	if (proc.role->prepare)
		rc = proc.role->prepare(proc.role->ctx, file, steal_fd(&m->fd));
	return rc == PROC_PREPARED_LATER ? 0 : proc_prepared(rc == 0);
}

static int
on_commit(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	log_set_level(configured_level());
	if (proc.role->commit)
		proc.role->commit(proc.role->ctx, m->u.commit.apply);
	return 0;
}

static int
on_verbose(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	log_set_level(m->u.verbose.on ? LOG_LEVEL_DEBUG : configured_level());
	return 0;
}

static int
on_stop(void *ctx, struct peer *from, struct msg *m)
{
	(void)ctx;
	(void)from;
	if (proc.role->stop)
		proc.role->stop(proc.role->ctx, m->u.stop.end_sessions);
	event_base_loopexit(proc.base, NULL);
	return 0;
}

unsigned
proc_control_phase(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)m;
	return PH_NOTE;
}

/* fogd has died, or has another table: a role without its parent ends (DESIGN 2.1). */
static void
on_control_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	(void)ctx;
	(void)p;
	log_info("event=parent_gone why=%s detail=\"%s\"", peer_down_name(why), detail);
	event_base_loopbreak(proc.base);
}

static const msg_handler control_handlers[MSG_COUNT] = {
	[MSG_CTL_NEW_PEER] = on_new_peer,
	[MSG_CTL_PREPARE] = on_prepare,
	[MSG_CTL_COMMIT] = on_commit,
	[MSG_CTL_STOP] = on_stop,
	[MSG_CTL_VERBOSE] = on_verbose,
};
static const struct peer_ops control_ops = { control_handlers, proc_control_phase,
	on_control_down };

/* --- edges --- */

static void
report_bad(const struct peer *p)
{
	struct pl_new_peer bad = { .edge = (uint8_t)peer_edge(p), .epoch = peer_epoch(p) };

	if (peer_is_up(proc.control))
		peer_send(proc.control, MSG_CTL_PEER_BAD, 0, NULL, &bad, -1);
}

/* No new end has come: the neighbour lives, and has closed this one. */
static void
on_still_gone(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	for (int edge = EDGE_CONTROL + 1; edge < EDGE_COUNT; edge++) {
		const struct peer *p = proc.edges[edge];

		if (p && !peer_is_up(p) && peer_epoch(p) == (uintptr_t)arg)
			report_bad(p);
	}
}

/* Most often a neighbour that has died, for which fogd needs nobody's word. */
static void
watch_gone(const struct peer *p)
{
	static const struct timeval wait = { .tv_usec = STILL_GONE_MS * 1000 };

	event_base_once(proc.base, -1, EV_TIMEOUT, on_still_gone, (void *)(uintptr_t)peer_epoch(p),
	    &wait);
}

static void
on_edge_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	enum edge edge = peer_edge(p);

	(void)detail;
	if (edge >= EDGE_COUNT) { /* a holder's: the role's own affair, see edge_down */
		proc.role->edge_down(ctx, edge);
		return;
	}
	if (why == PEER_GONE)
		watch_gone(p);
	else
		report_bad(p);
	proc.role->edge_down(ctx, edge);
}

/* --- start --- */

static int
read_config(void)
{
	cleanup_free char *bytes = NULL;
	struct reader r;
	size_t len;

	bytes = proc_read_file(GIFT_CONFIG, CONFIG_RECORD_MAX, &len);
	close(GIFT_CONFIG);
	if (!bytes)
		return -1;
	reader_init(&r, bytes, len);
	return config_get(&r, &proc.config, proc.role->id);
}

static uint64_t
kept_caps(void)
{
	return proc.role->id == PROC_SPAWNER && proc.rooted ? privdrop_spawner_caps : 0;
}

/* The spawner works in the host's mount namespace: its root directory is only where it stands. */
static const char *
drop(void)
{
	bool own_root = proc.rooted && proc.role->id != PROC_SPAWNER;
	bool writes_files = proc.role->id == PROC_PLACERD || proc.role->id == PROC_PTYD ||
	    proc.role->id == PROC_SPAWNER;
	const char *step = privdrop_enter_root(GIFT_ROOT, own_root);

	close(GIFT_ROOT);
	if (!step)
		step = privdrop_finish(kept_caps());
	if (!step)
		step = privdrop_limits(PROC_NOFILE, writes_files);
	return step;
}

static bool
started_rooted(void)
{
	/* fogd leaves the role CAP_SYS_CHROOT when it could give it a root of its own. */
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &head, data) == 0 &&
	    (data[0].effective & CAP_BIT(CAP_SYS_CHROOT));
}

static void
merge_handlers(void)
{
	memcpy(proc.handlers, proc.role->handlers, sizeof(proc.handlers));
	proc.ops = (struct peer_ops){ proc.handlers, proc.role->phase_of, on_edge_down };
}

static int
prepare_process(void)
{
	note_gifts();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* fogd's to handle; a terminal sends it to all */
	signal(SIGINT, SIG_IGN);
	close_range(GIFT_END, ~0U, 0);
	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	proc.rooted = started_rooted();
	if (read_config() != 0) {
		log_error("event=start_failed step=\"read the configuration record\"");
		return -1;
	}
	log_init(STDERR_FILENO, configured_level());
	proc.base = event_base_new();
	merge_handlers();
	return proc.base ? 0 : -1;
}

static int
confine(void)
{
	const char *step = drop();
	int rc;

	if (step) {
		log_warn("event=start_failed step=\"%s\"", step);
		return -1;
	}
	rc = filter_load(proc.role->id);
	if (rc != 0 || (filter_is_built() && !privdrop_filter_is_on())) {
		errno = -rc;
		log_warn("event=start_failed step=filter");
		return -1;
	}
	return 0;
}

static int
join_fogd(void)
{
	struct peer_end end = { .fd = GIFT_CONTROL,
		.edge = EDGE_CONTROL,
		.self = proc.role->id,
		.other = PROC_FOGD,
		.way = PEER_BOTH,
		.epoch = 1 };

	proc.control = peer_new(proc.base, &end, &control_ops, NULL);
	if (!proc.control)
		return -1;
	return peer_send(proc.control, MSG_CTL_READY, 0, NULL, NULL, -1);
}

int
proc_set_verbose(bool on)
{
	struct pl_verbose wish = { .on = on };

	return peer_send(proc.control, MSG_CTL_SET_VERBOSE, 0, NULL, &wish, -1);
}

int
proc_main(const struct role *role)
{
	proc.role = role;
	if (prepare_process() != 0 || (role->load && role->load(role->ctx) != 0))
		return 1;
	if (confine() != 0 || join_fogd() != 0)
		return 1;
	if (role->start && role->start(role->ctx) != 0)
		return 1;
	event_base_dispatch(proc.base);
	return 0;
}
