/* SPDX-License-Identifier: MIT */
/*
 * ttyd, the program that $TTYD names: one server for the whole run, a shell for each WebSocket. Its
 * protocol: subprotocol tty, JSON with the size first, then a byte that says what follows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"
#include "regress/bench/child.h"
#include "regress/bench/http.h"
#include "regress/bench/procstat.h"
#include "regress/bench/tempdir.h"
#include "regress/bench/terminal.h"
#include "regress/bench/websocket.h"

#define START_S 10
#define LOG_BYTES 8192
#define INPUT_OR_OUTPUT '0'

struct ttyd_terminal {
	struct terminal base;
	struct websocket ws;
};

static struct {
	pid_t pid;
	uint16_t port;
	char log[512], version[64];
} server;

const char *
terminal_ttyd_path(void)
{
	const char *path = getenv("TTYD");

	return path && path[0] ? path : NULL;
}

/* A number or word that the log has behind the text. */
static bool
find_in_log(const char *text, char *out, size_t size)
{
	char log[LOG_BYTES];
	FILE *f = fopen(server.log, "re");
	size_t n = f ? fread(log, 1, sizeof(log) - 1, f) : 0;
	const char *at;

	if (f)
		fclose(f);
	log[n] = '\0';
	at = strstr(log, text);
	if (!at)
		return false;
	at += strlen(text);
	snprintf(out, size, "%.*s", (int)strcspn(at, " \n"), at);
	return true;
}

/* Once. */
static void
start_server(void)
{
	char *argv[] = { (char *)(uintptr_t)terminal_ttyd_path(), "-i", "127.0.0.1", "-p", "0",
		"-W", "-w", "/tmp", "/bin/sh", "-l", NULL };
	double deadline_s = bench_now_s() + START_S;
	char port[16];
	int log;

	if (server.pid != 0)
		return;
	snprintf(server.log, sizeof(server.log), "%s/fog-bench-ttyd.XXXXXX", tempdir_parent());
	log = mkstemp(server.log);
	if (log < 0)
		bench_fail_errno("%s", server.log);
	close(log);
	server.pid = child_start();
	if (server.pid == 0)
		child_exec(argv, terminal_shell_env, server.log);
	while (!find_in_log("Listening on port: ", port, sizeof(port))) {
		if (bench_now_s() > deadline_s)
			bench_fail("%s does not listen", argv[0]);
		bench_sleep_ms(10);
	}
	server.port = (uint16_t)strtoul(port, NULL, 10);
	find_in_log(" N: ttyd ", server.version, sizeof(server.version));
	unlink(server.log); /* ttyd has it open, and nothing of it is wanted any more */
}

pid_t
terminal_ttyd_pid(void)
{
	start_server();
	return server.pid;
}

const char *
terminal_ttyd_version(void)
{
	start_server();
	return server.version;
}

static void
upgrade(struct ttyd_terminal *t)
{
	struct http_answer a;
	struct link l;

	link_open(&l, server.port, false);
	http_exchange(&l, &a,
	    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	    "Sec-WebSocket-Protocol: tty\r\n\r\n",
	    server.port);
	if (a.status != 101)
		bench_fail("ttyd answers %u", a.status);
	ws_init(&t->ws, &l, view_bytes(a.body, a.body_len));
}

static struct terminal *
ttyd_open(void)
{
	static const char first[] = "{\"AuthToken\":\"\",\"columns\":80,\"rows\":24}";
	struct ttyd_terminal *t = calloc(1, sizeof(*t));

	if (!t)
		bench_fail("out of memory");
	start_server();
	t->base.ops = &terminal_ttyd;
	upgrade(t);
	ws_send(&t->ws, WS_BINARY, first, strlen(first));
	return &t->base;
}

static void
ttyd_type(struct terminal *base, const void *bytes, size_t len)
{
	struct ttyd_terminal *t = (struct ttyd_terminal *)base;
	char message[WS_SEND_MAX] = { INPUT_OR_OUTPUT };

	if (len >= sizeof(message))
		bench_fail("typing %zu bytes at once", len);
	memcpy(message + 1, bytes, len);
	ws_send(&t->ws, WS_BINARY, message, len + 1);
}

static struct view
ttyd_next(struct terminal *base, bool is_counting)
{
	struct ttyd_terminal *t = (struct ttyd_terminal *)base;
	struct view v;

	(void)is_counting;
	do {
		v = ws_next(&t->ws, WS_BINARY);
	} while (v.len < 2 || v.p[0] != INPUT_OR_OUTPUT);
	return view_bytes(v.p + 1, v.len - 1);
}

static double
ttyd_cpu_s(struct terminal *base)
{
	(void)base;
	return proc_cpu_s(server.pid);
}

static int
ttyd_memory(struct terminal *base, struct memory *out)
{
	(void)base;
	return proc_memory(server.pid, 0, out);
}

static void
ttyd_close(struct terminal *base)
{
	struct ttyd_terminal *t = (struct ttyd_terminal *)base;

	ws_fini(&t->ws);
	free(t);
}

const struct terminal_ops terminal_ttyd = { "ttyd", ttyd_open, ttyd_type, ttyd_next, ttyd_cpu_s,
	ttyd_memory, ttyd_close };
