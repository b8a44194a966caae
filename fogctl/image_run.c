/* SPDX-License-Identifier: MIT */
/* Running the administrator's programs: dpkg-query, skopeo, umoci, tar. No shell is between. */
#include "fogctl/image.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

static int
spawn(char *const argv[], int cwd_fd, int out_fd, pid_t *pid)
{
	char *environment[] = { NULL, "LC_ALL=C", "HOME=/root", "TMPDIR=.", NULL };
	const char *path = getenv("PATH");
	cleanup_free char *path_variable = NULL;
	posix_spawn_file_actions_t actions;
	int rc;

	if (asprintf(&path_variable, "PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin") < 0)
		return ENOMEM;
	environment[0] = path_variable;
	rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0)
		return rc;
	rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	if (rc == 0 && cwd_fd >= 0)
		rc = posix_spawn_file_actions_addfchdir_np(&actions, cwd_fd);
	if (rc == 0)
		rc = posix_spawnp(pid, argv[0], &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int
read_lines(int fd, image_line_fn *on_line, void *arg, struct image_error *err)
{
	FILE *in = fdopen(fd, "r");
	cleanup_free char *line = NULL;
	size_t size = 0;
	int rc = 0;

	if (!in) {
		close(fd);
		return image_fail_errno(err, "reading");
	}
	while (rc == 0 && getline(&line, &size, in) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		rc = on_line(arg, line, err);
	}
	fclose(in);
	return rc;
}

static int
finish(pid_t pid, const char *program, struct image_error *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return image_fail_errno(err, "%s", program);
	if (!WIFEXITED(status))
		return image_fail(err, "%s was ended by signal %d", program, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return image_fail(err, "%s failed with status %d", program, WEXITSTATUS(status));
	return 0;
}

int
image_run(char *const argv[], const char *package, int cwd_fd, image_line_fn *on_line, void *arg,
    struct image_error *err)
{
	int ends[2] = { -1, -1 };
	struct image_error ended;
	pid_t pid = -1;
	int rc;

	if (on_line && pipe2(ends, O_CLOEXEC) != 0)
		return image_fail_errno(err, "pipe");
	rc = spawn(argv, cwd_fd, on_line ? ends[1] : STDERR_FILENO, &pid);
	close_fd(&ends[1]);
	if (rc != 0) {
		close_fd(&ends[0]);
		errno = rc;
		return rc == ENOENT
		    ? image_fail(err, "%s is not installed: apt-get install %s", argv[0], package)
		    : image_fail_errno(err, "%s", argv[0]);
	}
	rc = on_line ? read_lines(ends[0], on_line, arg, err) : 0;
	/* What on_line found wrong is said, not that the program then met a closed pipe. */
	return finish(pid, argv[0], rc == 0 ? err : &ended) == 0 ? rc : -1;
}
