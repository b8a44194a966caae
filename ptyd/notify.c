/* SPDX-License-Identifier: MIT */
/* sd_notify(3) and sd_watchdog_enabled(3) by hand: root links no libsystemd for a datagram. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <event2/event.h>

#include "ptyd/fogd.h"

static int notify_fd = -1;

/* From the loop, so that one which does not turn is found out. */
static void
on_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	notify_send(arg);
}

/* An abstract address is written with @ in front (sd_notify(3), NOTIFY_SOCKET). */
void
notify_init(struct event_base *base)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
	uint64_t half = usec ? strtoull(usec, NULL, 10) / 2 : 0;
	struct timeval every = { (time_t)(half / 1000000), (suseconds_t)(half % 1000000) };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(to.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(to.sun_path, path, len);
	to.sun_path[0] = *path == '@' ? '\0' : '/';
	len += offsetof(struct sockaddr_un, sun_path);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Where that fails, every send will. */
	(void)connect(notify_fd, (const struct sockaddr *)&to, (socklen_t)len);
	unsetenv("NOTIFY_SOCKET");
	if (half)
		event_add(event_new(base, -1, EV_PERSIST, on_beat, "WATCHDOG=1"), &every);
}

void
notify_send(const char *state)
{
	if (notify_fd >= 0 && send(notify_fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		log_warn("event=notify_failed");
}
