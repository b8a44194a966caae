/* SPDX-License-Identifier: MIT */
/* sd_notify(3) by hand: root links no libsystemd for one datagram. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "ptyd/fogd.h"

static struct sockaddr_un notify_to;
static socklen_t notify_len;

/* An abstract address is written with @ in front (sd_notify(3), NOTIFY_SOCKET). */
void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(notify_to.sun_path) || (*path != '/' && *path != '@'))
		return;
	notify_to.sun_family = AF_UNIX;
	memcpy(notify_to.sun_path, path, len);
	if (*path == '@')
		notify_to.sun_path[0] = '\0';
	notify_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	unsetenv("NOTIFY_SOCKET");
}

void
notify_send(const char *state)
{
	cleanup_fd int fd = -1;

	if (notify_len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&notify_to,
		notify_len) < 0)
		log_warn("event=notify_failed");
}
