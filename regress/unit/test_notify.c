/* SPDX-License-Identifier: MIT */
/* links: ptyd/notify.c */
/* sd_notify(3) by hand: to a path and to an abstract address, and nothing without NOTIFY_SOCKET; the watchdog
 * hears of a loop that turns, and only of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "ptyd/fogd.h"

static struct event_base *base;

static int
listen_at(const char *name, const char *shown)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(shown));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(a.sun_path, name, strlen(shown));
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, len), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", shown, 1), 0);
	notify_init(base);
	assert_null(getenv("NOTIFY_SOCKET")); /* no child inherits it */
	return fd;
}

static void
expect_state(int fd, const char *state)
{
	char got[64] = "";

	notify_send(state);
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), strlen(state));
	assert_string_equal(got, state);
	close(fd);
}

static void
test_without(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_init(base);
	notify_send("READY=1"); /* to nobody: must not fail */
}

static void
test_path(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "/tmp/fog-notify-%d", (int)getpid());
	unlink(name);
	expect_state(listen_at(name, name), "READY=1");
	unlink(name);
}

static void
test_abstract(void **state)
{
	char shown[64], name[64];

	(void)state;
	snprintf(shown, sizeof(shown), "@fog-notify-%d", (int)getpid());
	memcpy(name, shown, sizeof(name));
	name[0] = '\0';
	expect_state(listen_at(name, shown), "STOPPING=1");
}

/* Of 100 ms, so every 50 ms; without a turn there is no word. */
static void
test_watchdog(void **state)
{
	char got[64], name[64];
	struct timeval patience = { .tv_usec = 120000 };
	int fd, words = 0;

	(void)state;
	snprintf(name, sizeof(name), "/tmp/fog-notify-%d", (int)getpid());
	unlink(name);
	setenv("WATCHDOG_USEC", "100000", 1);
	fd = listen_at(name, name);
	unsetenv("WATCHDOG_USEC");
	usleep(120000);
	assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
	event_base_loopexit(base, &patience);
	event_base_dispatch(base);
	while (recv(fd, got, sizeof(got), 0) == (ssize_t)strlen("WATCHDOG=1")) {
		assert_memory_equal(got, "WATCHDOG=1", strlen("WATCHDOG=1"));
		words++;
	}
	assert_in_range(words, 1, 3);
	close(fd);
	unlink(name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_abstract),
		cmocka_unit_test(test_watchdog),
	};

	base = event_base_new();
	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
