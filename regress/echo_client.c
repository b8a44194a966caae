/* SPDX-License-Identifier: MIT */
/*
 * What a person at a terminal feels, measured by a client small enough for an emulated machine. One attachment by the
 * binary protocol of PROTOCOL, over loopback:
 *
 *   echo_client echo PORT SESSION TOKEN KEYS   types KEYS keys, ten a second, into a prompt, and waits for each echo
 *   echo_client drain PORT SESSION TOKEN SECONDS LINE   types LINE, then reads and acknowledges all output
 *   echo_client speed                          microseconds of a round trip between two processes, by pipes
 *
 * echo prints p50, p99 and the longest time in microseconds, drain how many bytes came. speed is for telling how much
 * slower one machine is than another at what an echo is made of: system calls and changes of process.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_KEYS 10000
#define KEY_EVERY_US 100000
#define LINE_KEYS 20 /* then the line is wiped, so that it never wraps */
#define ECHO_PATIENCE_US 60000000
#define ROUND_TRIPS 2000
#define ROUNDS 7
#define MESSAGE_MAX 124 /* of ours, without its type */
#define FRAME_MAX 65537 /* a type and 64 KiB of output */

struct client {
	int fd;
	bool is_attached;
	uint64_t in_next, out_next;
	size_t len; /* of what has been read and not yet taken */
	unsigned char buf[10 + FRAME_MAX];
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "echo_client: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
	exit(1);
}

static uint64_t
number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
write_all(int fd, const void *from, size_t len)
{
	const char *at = from;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n <= 0)
			die("write");
		at += n;
		len -= (size_t)n;
	}
}

/* --- WebSocket (RFC 6455): short frames, whose mask is zero --- */

static void
send_message(struct client *c, char type, const void *payload, size_t len)
{
	unsigned char frame[7 + MESSAGE_MAX] = { 0x82 };

	if (len > MESSAGE_MAX)
		die("a message that long");
	frame[1] = (unsigned char)(0x80 | (len + 1));
	frame[6] = (unsigned char)type;
	memcpy(frame + 7, payload, len);
	write_all(c->fd, frame, 7 + len);
}

static void
send_keys(struct client *c, const char *keys, size_t len)
{
	unsigned char payload[MESSAGE_MAX];
	uint64_t offset = htobe64(c->in_next);

	if (len > sizeof(payload) - sizeof(offset))
		die("a line that long");
	memcpy(payload, &offset, sizeof(offset));
	memcpy(payload + sizeof(offset), keys, len);
	send_message(c, 'i', payload, sizeof(offset) + len);
	c->in_next += len;
}

/* The payload of the first frame that is whole; 0: there is none yet. */
static size_t
whole_frame(const struct client *c, size_t *header)
{
	size_t len;

	if (c->len < 2)
		return 0;
	len = c->buf[1];
	*header = 2;
	if (len == 126) {
		*header = 4;
		len = c->len < 4 ? 0 : (size_t)c->buf[2] << 8 | c->buf[3];
	} else if (len == 127) {
		uint64_t wide = 0;

		*header = 10;
		if (c->len >= 10)
			memcpy(&wide, c->buf + 2, sizeof(wide));
		len = be64toh(wide);
		if (len > FRAME_MAX)
			die("a frame that long");
	}
	return c->len >= *header + len ? *header + len : 0;
}

static uint64_t
number_in(const char *json, const char *name)
{
	const char *at = strstr(json, name);

	if (!at)
		die(name);
	return strtoull(at + strlen(name), NULL, 10);
}

static void
take_hello(struct client *c, const unsigned char *text, size_t len)
{
	char json[1024];

	if (len >= sizeof(json))
		die("hello");
	memcpy(json, text, len);
	json[len] = '\0';
	c->out_next = number_in(json, "\"out_from\":");
	if (!c->is_attached) /* of a later one it is only for information */
		c->in_next = number_in(json, "\"in_next\":");
	c->is_attached = true;
}

/* RFC 6455 5.5.1 */
static _Noreturn void
die_closed(const unsigned char *payload, size_t len)
{
	fprintf(stderr, "echo_client: closed: %d %.*s\n",
	    len < 2 ? 0 : payload[0] << 8 | payload[1], len < 2 ? 0 : (int)len - 2,
	    len < 2 ? "" : (const char *)payload + 2);
	exit(1);
}

/* Bytes of output in a frame, which it acknowledges; *seen is set if one of them is `wanted`. */
static size_t
take_frame(struct client *c, const unsigned char *payload, size_t len, int wanted, bool *seen)
{
	uint64_t all;

	if ((c->buf[0] & 0x0f) == 8)
		die_closed(payload, len);
	if ((c->buf[0] & 0x0f) != 2 || len == 0)
		return 0;
	if (payload[0] == 'h')
		take_hello(c, payload + 1, len - 1);
	if (payload[0] != 'o')
		return 0;
	c->out_next += len - 1;
	all = htobe64(c->out_next);
	send_message(c, 'a', &all, sizeof(all));
	*seen |= memchr(payload + 1, wanted, len - 1) != NULL;
	return len - 1;
}

/* Reads for so long, or until `wanted` has come; the bytes of output. */
static size_t
read_for(struct client *c, uint64_t us, int wanted, bool *seen)
{
	uint64_t end = now_us() + us, at;
	size_t header = 0, frame, output = 0;
	ssize_t n;

	*seen = false;
	while (!*seen && (at = now_us()) < end) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		if (poll(&p, 1, (int)((end - at) / 1000) + 1) == 0)
			continue;
		n = read(c->fd, c->buf + c->len, sizeof(c->buf) - c->len);
		if (n <= 0)
			die("read");
		c->len += (size_t)n;
		while ((frame = whole_frame(c, &header)) != 0) {
			output += take_frame(c, c->buf + header, frame - header, wanted, seen);
			c->len -= frame;
			memmove(c->buf, c->buf + frame, c->len);
		}
	}
	return output;
}

static void
attach(struct client *c, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)number(argv[0])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[8192] = "";
	size_t len = 0;
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	dprintf(c->fd,
	    "GET /v1/sessions/%s/pty HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	    "Sec-WebSocket-Protocol: fog.pty.v1, fog.token.%s\r\n\r\n",
	    argv[1], argv[0], argv[2]);
	/* One at a time, so that no byte of the first frame is taken. */
	while (len < sizeof(text) - 1 && !strstr(text, "\r\n\r\n")) {
		if (read(c->fd, text + len++, 1) != 1)
			die("attach");
	}
	errno = 0;
	if (strncmp(text, "HTTP/1.1 101 ", 13) != 0)
		die(text);
}

/* --- the three modes --- */

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int
run_echo(struct client *c, char **argv)
{
	static uint64_t took[MAX_KEYS];
	size_t keys = number(argv[3]);
	bool seen;

	if (keys < 1 || keys > MAX_KEYS)
		die("KEYS");
	attach(c, argv);
	read_for(c, 2000000, -1, &seen); /* the prompt */
	for (size_t i = 0; i < keys; i++) {
		uint64_t began = now_us();

		send_keys(c, "x", 1);
		read_for(c, ECHO_PATIENCE_US, 'x', &seen);
		errno = ETIMEDOUT;
		if (!seen)
			die("echo");
		took[i] = now_us() - began;
		if (i % LINE_KEYS == LINE_KEYS - 1)
			send_keys(c, "\x15", 1); /* ctrl-U */
		if (took[i] < KEY_EVERY_US)
			read_for(c, KEY_EVERY_US - took[i], -1, &seen);
	}
	send_keys(c, "\x15", 1);
	qsort(took, keys, sizeof(*took), by_size);
	printf("p50_us=%llu p99_us=%llu max_us=%llu\n", (unsigned long long)took[keys / 2],
	    (unsigned long long)took[(keys * 99 + 99) / 100 - 1],
	    (unsigned long long)took[keys - 1]);
	return 0;
}

static int
run_drain(struct client *c, char **argv)
{
	size_t output;
	bool seen;

	attach(c, argv);
	read_for(c, 1000000, -1, &seen);
	send_keys(c, argv[4], strlen(argv[4]));
	send_keys(c, "\r", 1);
	output = read_for(c, number(argv[3]) * 1000000, -1, &seen);
	printf("bytes=%zu\n", output);
	return 0;
}

static _Noreturn void
answer_bytes(int from, int to)
{
	char byte;

	while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1)
		;
	_exit(0);
}

static int
run_speed(void)
{
	int there[2], back[2];
	uint64_t took[ROUNDS], middle;
	char byte = 'x';

	if (pipe(there) != 0 || pipe(back) != 0)
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		close(there[1]);
		close(back[0]);
		answer_bytes(there[0], back[1]);
	}
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t began = now_us();

		for (size_t n = 0; n < ROUND_TRIPS; n++) {
			if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
				die("pipe");
		}
		took[i] = now_us() - began;
	}
	qsort(took, ROUNDS, sizeof(*took), by_size);
	middle = took[ROUNDS / 2];
	printf("%.2f\n", (double)middle / ROUND_TRIPS);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct client client;

	if (argc == 2 && strcmp(argv[1], "speed") == 0)
		return run_speed();
	if (argc == 6 && strcmp(argv[1], "echo") == 0)
		return run_echo(&client, argv + 2);
	if (argc == 7 && strcmp(argv[1], "drain") == 0)
		return run_drain(&client, argv + 2);
	fputs("usage: echo_client echo PORT SESSION TOKEN KEYS\n"
	      "       echo_client drain PORT SESSION TOKEN SECONDS LINE\n"
	      "       echo_client speed\n",
	    stderr);
	return 2;
}
