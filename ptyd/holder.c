/* SPDX-License-Identifier: MIT */
/*
 * The holder of one session: see holder.h. It is started by the spawner with its ids dropped and
 * the descriptors of launch.h, goes on whatever happens to the daemons, and ends the session when
 * its time is over, whoever is attached (S10).
 */
#include "ptyd/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/privdrop.h"
#include "ptyd/launch.h"

#define PLAN_MAX_BYTES 16384
#define PLAN_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define HOLDER_NOFILE 128 /* a stream each for the driver, 32 viewers, 36 that part; 20 more */
#define DRAIN_MS 2000
#define FLUSH_MS 5000
#define LINGER_MS 600000
#define LINGER_SHUTDOWN_MS 5000 /* nobody is expected to ask any more */

/* --- states --- */

void
holder_set_status(struct holder *h, unsigned status)
{
	if (h->state.status == status)
		return;
	log_info("event=session_status from=%s to=%s", session_status_name(h->state.status),
	    session_status_name(status));
	h->state.status = (uint8_t)status;
	broker_send_state(h);
}

static void
set_phase(struct holder *h, enum holder_phase phase)
{
	static const uint64_t limits_ms[] = { [HOLDER_DRAINING] = DRAIN_MS,
		[HOLDER_FLUSHING] = FLUSH_MS,
		[HOLDER_LINGERING] = LINGER_MS };
	uint64_t limit_ms = limits_ms[phase];

	h->phase = phase;
	if (phase == HOLDER_LINGERING && h->state.end_reason == END_SHUTDOWN)
		limit_ms = LINGER_SHUTDOWN_MS;
	time_arm(h->phase_timer, limit_ms);
	term_update(h);
}

static void
begin_draining(struct holder *h)
{
	if (h->phase != HOLDER_LIVING)
		return;
	time_stop(h);
	set_phase(h, HOLDER_DRAINING);
}

void
holder_end(struct holder *h, unsigned status, unsigned reason)
{
	if (h->phase != HOLDER_LIVING)
		return;
	h->final_status = status;
	h->final_reason = reason;
	/* Init kills all there is, tells how the shell died, and ends. */
	shutdown(HOLDER_FD_INIT, SHUT_WR);
	begin_draining(h);
}

/* All output is in the ring: the end can be told, to the broker first. */
static void
begin_flushing(struct holder *h)
{
	unsigned status = h->final_status;

	if (status == 0)
		status = h->state.exit_kind == EXIT_NONE ? STATUS_FAILED : STATUS_EXITED;
	h->state.end_reason = (uint8_t)(h->final_reason ? h->final_reason : END_EXIT);
	set_phase(h, HOLDER_FLUSHING);
	holder_set_status(h, status);
	clients_flush(h);
}

static void
begin_lingering(struct holder *h)
{
	set_phase(h, HOLDER_LINGERING);
	clients_drop(h);
}

void
holder_advance(struct holder *h)
{
	if (h->phase == HOLDER_DRAINING && h->term_is_over && h->init_has_told)
		begin_flushing(h);
	if (h->phase == HOLDER_FLUSHING && clients_have_all(h))
		begin_lingering(h);
	if (h->phase == HOLDER_LINGERING && h->state_is_kept)
		event_base_loopexit(h->base, NULL);
}

/* This phase has had its time. */
static void
on_phase_timer(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;

	(void)fd;
	(void)what;
	if (h->phase == HOLDER_DRAINING)
		h->term_is_over = h->init_has_told = true;
	else if (h->phase == HOLDER_FLUSHING)
		begin_lingering(h);
	else
		h->state_is_kept = true;
	holder_advance(h);
}

void
holder_state_kept(struct holder *h)
{
	h->state_is_kept = true;
	holder_advance(h);
}

/* --- init --- */

/* One record, and who sent it: by the kernel's word, and by the number it has for us. */
static ssize_t
receive_from_init(int fd, unsigned char b[static SHELL_RECORD_BYTES], pid_t *sender)
{
	char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { b, SHELL_RECORD_BYTES };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &mh, 0);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&mh) : NULL;
	struct ucred who = { 0 };

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
		memcpy(&who, CMSG_DATA(c), sizeof(who));
	*sender = who.pid;
	return n;
}

static void
on_init(evutil_socket_t fd, short what, void *arg)
{
	struct holder *h = arg;
	unsigned char b[SHELL_RECORD_BYTES];
	pid_t sender;
	ssize_t n = receive_from_init(fd, b, &sender);
	enum exit_kind kind;
	unsigned value;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && launch_shell_begun(b, (size_t)n)) {
		h->shell_group = sender;
		return;
	}
	if (n > 0 && launch_shell_end_get(b, (size_t)n, &kind, &value)) {
		h->state.exit_kind = (uint8_t)kind;
		h->state.exit_value = value;
	}
	h->init_has_told = true;
	event_del(h->on_init);
	begin_draining(h);
	term_update(h);
	holder_advance(h);
}

/* Reaped; that the session is over is known from its pipe. */
static void
on_init_exit(evutil_socket_t fd, short what, void *arg)
{
	siginfo_t info = { 0 };

	(void)arg;
	(void)what;
	waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
	log_debug("event=init_reaped status=%d", info.si_status);
}

static int
watch_init(struct holder *h)
{
	h->on_init = event_new(h->base, HOLDER_FD_INIT, EV_READ | EV_PERSIST, on_init, h);
	h->on_init_exit = event_new(h->base, HOLDER_FD_INIT_PID, EV_READ, on_init_exit, h);
	if (!h->on_init || !h->on_init_exit)
		return -1;
	return event_add(h->on_init, NULL) || event_add(h->on_init_exit, NULL) ? -1 : 0;
}

/* --- start --- */

/* The broker has sealed it: what the spawner passed on is what the broker wrote. */
static int
read_plan(struct holder *h)
{
	struct reader r;
	struct stat st;
	int seals = fcntl(HOLDER_FD_PLAN, F_GET_SEALS);

	if (seals < 0 || (seals & PLAN_SEALS) != PLAN_SEALS || fstat(HOLDER_FD_PLAN, &st) != 0 ||
	    st.st_size <= 0 || st.st_size > PLAN_MAX_BYTES) {
		errno = EPERM;
		return -1;
	}
	h->plan_bytes = malloc((size_t)st.st_size);
	if (!h->plan_bytes ||
	    pread(HOLDER_FD_PLAN, h->plan_bytes, (size_t)st.st_size, 0) != st.st_size)
		return -1;
	close(HOLDER_FD_PLAN);
	reader_init(&r, h->plan_bytes, (size_t)st.st_size);
	errno = EBADMSG;
	if (codec_get(&r, &msg_layouts[PAYLOAD_holder_plan], &h->plan, NULL) != 0)
		return -1;
	return reader_done(&r);
}

static int
prepare_descriptors(void)
{
	for (int fd = HOLDER_FD_MASTER; fd < HOLDER_FD_END; fd++) {
		int flags = fcntl(fd, F_GETFL);

		if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
		    fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
			return -1;
	}
	return 0;
}

static int
prepare(struct holder *h)
{
	if (prepare_descriptors() != 0 || read_plan(h) != 0)
		return -1;
	h->base = event_base_new();
	h->ring = ring_new(h->plan.ring_bytes);
	if (!h->base || !h->ring)
		return -1;
	h->state = (struct pl_state){ .session_id = h->plan.session_id, .status = STATUS_DETACHED };
	input_init(&h->input);
	tokens_init(&h->tokens);
	h->phase_timer = evtimer_new(h->base, on_phase_timer, h);
	if (!h->phase_timer)
		return -1;
	if (clients_start(h) != 0 || broker_start(h) != 0 || time_start(h) != 0 ||
	    identity_start(h) != 0 || watch_init(h) != 0)
		return -1;
	return term_start(h);
}

static int
confine(void)
{
	if (privdrop_limits(HOLDER_NOFILE, false) || privdrop_finish(0))
		return -1;
	errno = -filter_load_program(HOLDER_FD_FILTER);
	if (errno != 0 || (filter_is_built() && !privdrop_filter_is_on()))
		return -1;
	close(HOLDER_FD_FILTER);
	return 0;
}

int
main(void)
{
	static struct holder h;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NAME, "holder", 0, 0, 0);
	if (prepare(&h) != 0 || confine() != 0 || broker_listen(&h) != 0) {
		launch_report(HOLDER_FD_REPORT, STAGE_HOLDER, errno);
		return 1;
	}
	close(HOLDER_FD_REPORT);
	log_info("event=holder_ready");
	event_base_dispatch(h.base);
	return 0;
}
