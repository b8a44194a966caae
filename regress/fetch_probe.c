/* SPDX-License-Identifier: MIT */
/*
 * The real fetcher, started as fogd starts it, and asked as authd asks; or the prober, as placerd asks.
 * The environment is the configuration (OIDC_ISSUER_URL …). `fetch_probe PROGRAM [CA-FILE
 * [FLEET-CA-FILE]]`, a file "-" is none, reads lines "URL MAX-BYTES TIMEOUT-MS" and prints one line of
 * JSON for each answer; numbers count from 1 as they were asked. A line that goes on with tabs and
 * METHOD, AUTHORIZATION, IDEMPOTENCY-KEY, FORWARDED-BY and BODY is for a node. The first line printed
 * has the fetcher's pid. The end of its input ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <event2/event.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/log.h"
#include "common/privdrop.h"
#include "common/proc.h"

#define LINE_BYTES 20000
#define ASKED_MAX 4096
#define NOBODY 65534
#define SHOWN_BYTES 256

static struct {
	struct event_base *base;
	struct event *input;
	struct peer *control, *edge;
	uint64_t asked;
	struct {
		size_t len, parts;
		unsigned char head[SHOWN_BYTES];
	} answers[ASKED_MAX];
	pid_t pid;
	bool is_prober;
	char line[LINE_BYTES];
	size_t line_len;
} probe;

static int
on_part(void *ctx, struct peer *from, struct msg *m)
{
	struct view part = m->u.fetched_part.part;
	size_t have = probe.answers[m->request_id].len;
	size_t room = have < SHOWN_BYTES ? SHOWN_BYTES - have : 0;

	(void)ctx;
	(void)from;
	memcpy(probe.answers[m->request_id].head + have, part.p, part.len < room ? part.len : room);
	probe.answers[m->request_id].len += part.len;
	probe.answers[m->request_id].parts++;
	return 0;
}

static int
on_fetched(void *ctx, struct peer *from, struct msg *m)
{
	size_t len = probe.answers[m->request_id].len;

	(void)ctx;
	(void)from;
	printf("{\"id\":%llu,\"error\":\"%s\",\"status\":%u,\"total\":%u,\"bytes\":%zu,"
	       "\"parts\":%zu,\"head\":\"",
	    (unsigned long long)m->request_id, session_fetch_error_name(m->u.fetched.error),
	    m->u.fetched.status, m->u.fetched.total_bytes, len, probe.answers[m->request_id].parts);
	for (size_t i = 0; i < len && i < SHOWN_BYTES; i++)
		printf("%02x", probe.answers[m->request_id].head[i]);
	puts("\"}");
	return 0;
}

static unsigned
phase_of(void *ctx, struct peer *from, const struct msg *m)
{
	(void)ctx;
	(void)from;
	if (m->request_id == 0)
		return PH_NOTE;
	return m->request_id <= probe.asked ? PH_FETCH : PH_NEW;
}

static void
on_down(void *ctx, struct peer *p, enum peer_down why, const char *detail)
{
	(void)ctx;
	fprintf(stderr, "fetch_probe: %s is down: %s %s\n", edge_name(peer_edge(p)),
	    peer_down_name(why), detail ? detail : "");
	event_base_loopbreak(probe.base);
}

static const msg_handler edge_handlers[MSG_COUNT] = {
	[MSG_AUTH_FETCHED_PART] = on_part,
	[MSG_AUTH_FETCHED] = on_fetched,
	[MSG_PLACE_FETCHED_PART] = on_part,
	[MSG_PLACE_FETCHED] = on_fetched,
};
static const struct peer_ops edge_ops = { edge_handlers, phase_of, on_down };

static struct view
take_field(char **rest)
{
	char *field = strsep(rest, "\t");

	return view_of(field);
}

/* What follows the first tab. */
static void
read_node_request(struct pl_fetch *f, char *rest)
{
	static const char *const methods[] = { "", "GET", "POST", "PATCH", "DELETE" };
	struct view method = take_field(&rest);

	f->to = FETCH_TO_NODE;
	for (unsigned i = METHOD_GET; i <= METHOD_DELETE; i++) {
		if (view_is(method, methods[i]))
			f->method = (uint8_t)i;
	}
	f->authorization = take_field(&rest);
	f->idem_key = take_field(&rest);
	f->forwarded_by = take_field(&rest);
	f->body = take_field(&rest);
}

static void
ask(char *line)
{
	size_t len = strcspn(line, " ");
	struct pl_fetch get = { .url = view_bytes(line, len),
		.to = FETCH_TO_PROVIDER,
		.method = METHOD_GET };
	char *end;

	if (probe.asked + 1 >= ASKED_MAX || line[len] == '\0')
		return;
	get.max_bytes = (uint32_t)strtoul(line + len, &end, 10);
	get.timeout_ms = (uint32_t)strtoul(end, &end, 10);
	if (*end == '\t')
		read_node_request(&get, end + 1);
	peer_send(probe.edge, probe.is_prober ? MSG_PROBE_SEND : MSG_FETCH_SEND, ++probe.asked,
	    NULL, &get, -1);
}

static void
on_input(evutil_socket_t fd, short what, void *arg)
{
	ssize_t n = read(fd, probe.line + probe.line_len, LINE_BYTES - 1 - probe.line_len);
	char *end;

	(void)what;
	(void)arg;
	if (n <= 0) {
		event_base_loopbreak(probe.base);
		return;
	}
	probe.line_len += (size_t)n;
	probe.line[probe.line_len] = '\0';
	while ((end = strchr(probe.line, '\n'))) {
		*end = '\0';
		ask(probe.line);
		probe.line_len -= (size_t)(end + 1 - probe.line);
		memmove(probe.line, end + 1, probe.line_len + 1);
	}
}

/* The fetcher runs, behind its filter: it gets its edge, and what is to be asked. */
static int
on_ready(void *ctx, struct peer *from, struct msg *m)
{
	enum edge edge = probe.is_prober ? EDGE_PLACE_PROBE : EDGE_AUTH_FETCH;
	struct pl_new_peer peer = { .edge = (uint8_t)edge, .epoch = 2 };
	struct peer_end end = { .edge = edge,
		.self = probe.is_prober ? PROC_PLACERD : PROC_AUTHD,
		.other = probe.is_prober ? PROC_PROBER : PROC_FETCHER,
		.way = PEER_BOTH,
		.epoch = 2 };
	int pair[2];

	(void)ctx;
	(void)m;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -FOG_E_NOMEM;
	end.fd = pair[0];
	probe.edge = peer_new(probe.base, &end, &edge_ops, NULL);
	peer_send(from, MSG_CTL_NEW_PEER, 0, NULL, &peer, pair[1]);
	printf("{\"pid\":%d}\n", (int)probe.pid);
	return event_add(probe.input, NULL) == 0 ? 0 : -FOG_E_NOMEM;
}

static const msg_handler control_handlers[MSG_COUNT] = { [MSG_CTL_READY] = on_ready };
static const struct peer_ops control_ops = { control_handlers, phase_of, on_down };

static int
config_memfd(void)
{
	unsigned char bytes[32768];
	struct config config;
	struct writer w;
	char err[4608];
	int fd = memfd_create("config", MFD_CLOEXEC);

	writer_init(&w, bytes, sizeof(bytes));
	if (config_from_env(&config, (const char *(*)(const char *))getenv, err, sizeof(err)) !=
	    0) {
		fprintf(stderr, "fetch_probe: %s\n", err);
		return -1;
	}
	if (config_put(&w, &config, probe.is_prober ? PROC_PROBER : PROC_FETCHER) != 0 ||
	    write(fd, bytes, w.len) != (ssize_t)w.len)
		close_fd(&fd);
	config_fini(&config);
	return fd;
}

/* It has no name any more when it is used. */
static int
empty_dir(void)
{
	char name[] = "/tmp/fetch_probe.XXXXXX";
	int fd = mkdtemp(name) ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return -1;
	fchmod(fd, 0555);
	rmdir(name);
	return fd;
}

static void
become(const char *program, const int gifts[GIFT_END])
{
	static char *const no_environment[] = { NULL };
	char *const argv[] = { (char *)(uintptr_t)program, NULL };
	int moved[GIFT_END];
	int exe = fcntl(open(program, O_PATH), F_DUPFD_CLOEXEC, 64);

	for (int i = 0; i < GIFT_END; i++)
		moved[i] = gifts[i] < 0 ? -1 : fcntl(gifts[i], F_DUPFD_CLOEXEC, 64);
	for (int i = GIFT_CONTROL; i < GIFT_END; i++) {
		if (moved[i] < 0)
			close(i);
		else
			dup2(moved[i], i);
	}
	if (geteuid() == 0 && privdrop_before_exec(NOBODY, NOBODY, CAP_BIT(CAP_SYS_CHROOT)))
		_exit(2);
	execveat(exe, "", argv, no_environment, AT_EMPTY_PATH);
	_exit(2);
}

static int
open_given(const char *file)
{
	return file && strcmp(file, "-") != 0 ? open(file, O_RDONLY | O_CLOEXEC) : -1;
}

static int
start(const char *program, const char *ca_file, const char *fleet_ca_file)
{
	struct peer_end end = { .edge = EDGE_CONTROL,
		.self = PROC_FOGD,
		.other = probe.is_prober ? PROC_PROBER : PROC_FETCHER,
		.way = PEER_BOTH,
		.epoch = 1 };
	int gifts[GIFT_END], pair[2];

	memset(gifts, 0xff, sizeof(gifts));
	gifts[GIFT_CONFIG] = config_memfd();
	gifts[GIFT_ROOT] = empty_dir();
	gifts[GIFT_FETCHER_CA] = open_given(ca_file);
	gifts[GIFT_FETCHER_FLEET_CA] = open_given(fleet_ca_file);
	if (gifts[GIFT_CONFIG] < 0 || gifts[GIFT_ROOT] < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	gifts[GIFT_CONTROL] = pair[1];
	probe.pid = fork();
	if (probe.pid == 0)
		become(program, gifts);
	close(pair[1]);
	end.fd = pair[0];
	probe.control = peer_new(probe.base, &end, &control_ops, NULL);
	return probe.control && probe.pid > 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	int status = 0;

	if (argc < 2) {
		fputs("usage: fetch_probe PROGRAM [CA-FILE [FLEET-CA-FILE]]\n", stderr);
		return 2;
	}
	probe.is_prober = strstr(argv[1], "/prober") != NULL;
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_init(STDERR_FILENO, LOG_LEVEL_INFO);
	probe.base = event_base_new();
	probe.input = event_new(probe.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
	if (!probe.input ||
	    start(argv[1], argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL) != 0)
		return 2;
	event_base_dispatch(probe.base);
	peer_free(probe.edge);
	peer_free(probe.control);
	event_free(probe.input);
	waitpid(probe.pid, &status, 0);
	if (WIFSIGNALED(status))
		fprintf(stderr, "fetch_probe: the fetcher ended by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
