/* SPDX-License-Identifier: MIT */
/* What the spawner reads from /proc: see spawner.h. */
#include "ptyd/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define STATUS_FILE_BYTES 4096

/* Reads a small file of /proc whole; false: it is not there. */
static bool
read_proc(const char *path, char out[static STATUS_FILE_BYTES])
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, STATUS_FILE_BYTES - 1);

	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The number after "\nKEY:\t". */
static bool
find_number(const char *text, const char *key, long *value)
{
	const char *at = strstr(text, key);
	char *end;

	if (!at)
		return false;
	at += strlen(key);
	*value = strtol(at, &end, 10);
	return end != at;
}

pid_t
spawner_pid_of(int pidfd)
{
	char path[64], text[STATUS_FILE_BYTES];
	long pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (!read_proc(path, text) || !find_number(text, "\nPid:\t", &pid))
		return -1;
	return pid > 0 ? (pid_t)pid : 0;
}

bool
spawner_process_of(pid_t pid, uid_t *uid, char *name, size_t name_size)
{
	char path[64], text[STATUS_FILE_BYTES];
	const char *end;
	long got;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (!read_proc(path, text) || !find_number(text, "\nUid:\t", &got))
		return false;
	end = strchr(text, '\n');
	if (strncmp(text, "Name:\t", 6) != 0 || !end)
		return false;
	snprintf(name, name_size, "%.*s", (int)(end - text - 6), text + 6);
	*uid = (uid_t)got;
	return true;
}

bool
spawner_is_leaving(pid_t pid)
{
	char path[64], text[STATUS_FILE_BYTES];
	long room;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return !read_proc(path, text) || !find_number(text, "\nFDSize:\t", &room) || room == 0;
}
