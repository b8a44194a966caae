/* SPDX-License-Identifier: MIT */
/* links: common/privdrop.c common/filter.c */
/*
 * The drop and its proof (S2), each case in a process of its own. What needs root is skipped, and
 * said, without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/privdrop.h"

#define NOBODY 65534

/* In the child: leaves with the line that was not true. */
#define CHECK(what) \
	do { \
		if (!(what)) \
			_exit(say(#what, __LINE__)); \
	} while (0)

static int
say(const char *what, int line)
{
	dprintf(STDERR_FILENO, "line %d: %s (errno %d)\n", line, what, errno);
	return 1;
}

/* CHECK for functions that give the step that failed. */
static void
done(const char *step)
{
	if (step)
		_exit(say(step, 0));
}

static void
in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
need_root(void)
{
	if (geteuid() != 0) {
		print_message("skipped: this case needs root\n");
		skip();
	}
}

static uint64_t
status_mask(const char *field)
{
	char line[256];
	FILE *f = fopen("/proc/thread-self/status", "re");
	uint64_t value = UINT64_MAX;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtoull(line + strlen(field) + 1, NULL, 16);
	}
	if (f)
		fclose(f);
	return value;
}

/* --- without root, too --- */

static void
limits_without_files(void)
{
	struct rlimit l;

	done(privdrop_limits(100, false));
	CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == 100 && l.rlim_max == 100);
	CHECK(getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_cur == 1 && l.rlim_max == 1);
	CHECK(getrlimit(RLIMIT_FSIZE, &l) == 0 && l.rlim_cur == 0 && l.rlim_max == 0);
}

static void
limits_with_files(void)
{
	struct rlimit before, l;

	CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
	done(privdrop_limits(100, true));
	CHECK(getrlimit(RLIMIT_FSIZE, &l) == 0 && l.rlim_cur == before.rlim_cur);
	/* A hard limit that is lower already is taken as it is. */
	done(privdrop_limits(200, true));
	CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_max <= 200);
}

static void
test_limits(void **state)
{
	(void)state;
	in_child(limits_without_files);
	in_child(limits_with_files);
}

static void
filter_shows(void)
{
	CHECK(!privdrop_filter_is_on());
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(filter_load(PROC_AUTHD) == 0);
	CHECK(privdrop_filter_is_on());
}

static void
test_filter_is_on(void **state)
{
	(void)state;
	if (!filter_is_built()) {
		print_message("skipped: a sanitizer build has no filters\n");
		skip();
	}
	in_child(filter_shows);
}

static void
enter_root_fails(void)
{
	CHECK(privdrop_enter_root(-1, false) != NULL);
	CHECK(errno == EBADF);
}

static void
enters_directory(void)
{
	char here[64];
	int fd = open("/proc", O_RDONLY | O_DIRECTORY);

	done(privdrop_enter_root(fd, false));
	CHECK(getcwd(here, sizeof(here)) && strcmp(here, "/proc") == 0);
}

static void
test_enter_directory(void **state)
{
	(void)state;
	in_child(enter_root_fails);
	in_child(enters_directory);
}

/* --- the way of a role, as root --- */

static int
open_empty_dir(void)
{
	char path[] = "/tmp/test-privdrop-XXXXXX";
	int fd;

	CHECK(mkdtemp(path) != NULL && chmod(path, 0555) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0 && rmdir(path) == 0);
	return fd;
}

static void
check_is_nobody(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	CHECK(getresuid(&r, &e, &s) == 0 && r == NOBODY && e == NOBODY && s == NOBODY);
	CHECK(getresgid(&rg, &eg, &sg) == 0 && rg == NOBODY && eg == NOBODY && sg == NOBODY);
	CHECK(getgroups(0, NULL) == 0);
	CHECK(setuid(0) != 0 && setgid(0) != 0 && setgroups(0, NULL) != 0);
}

static void
before_exec_of_a_role(void)
{
	const uint64_t keep = CAP_BIT(CAP_SYS_CHROOT);

	done(privdrop_before_exec(NOBODY, NOBODY, keep));
	CHECK(status_mask("CapBnd") == keep);
	CHECK(status_mask("CapPrm") == keep);
	CHECK(status_mask("CapEff") == keep);
	CHECK(status_mask("CapInh") == keep);
	CHECK(status_mask("CapAmb") == keep);
	check_is_nobody();
}

static void
whole_way_of_a_role(void)
{
	int root = open_empty_dir();

	done(privdrop_before_exec(NOBODY, NOBODY, CAP_BIT(CAP_SYS_CHROOT)));
	CHECK(root >= 0);
	/* Its old path is removed: only the descriptor leads there. */
	done(privdrop_enter_root(root, true));
	close(root);
	done(privdrop_finish(0));
	CHECK(access("/etc", F_OK) != 0 && access("/proc", F_OK) != 0);
	CHECK(chroot("/") != 0);
	check_is_nobody();
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	for (int cap = 0; cap <= 40; cap++) {
		CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1 || cap == CAP_SYS_CHROOT);
		CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 1);
	}
}

static void
way_of_the_spawner(void)
{
	done(privdrop_before_exec(0, 0, privdrop_spawner_caps));
	CHECK(status_mask("CapBnd") == privdrop_spawner_caps);
	CHECK(status_mask("CapAmb") == 0);
	done(privdrop_finish(privdrop_spawner_caps));
	CHECK(status_mask("CapEff") == privdrop_spawner_caps);
	CHECK(status_mask("CapPrm") == privdrop_spawner_caps);
	CHECK(status_mask("CapInh") == 0);
	CHECK(status_mask("NoNewPrivs") == 1);
}

static void
way_of_fogd(void)
{
	done(privdrop_limit_caps(privdrop_fogd_caps));
	CHECK(status_mask("CapBnd") == privdrop_fogd_caps);
	CHECK(status_mask("CapPrm") == privdrop_fogd_caps);
	CHECK(status_mask("CapEff") == privdrop_fogd_caps);
	/* And it can still make a role out of a child. */
	before_exec_of_a_role();
}

static void
way_of_the_holder(void)
{
	done(privdrop_to_session(NOBODY, NOBODY));
	check_is_nobody();
	CHECK(status_mask("CapPrm") == 0);
	CHECK(status_mask("CapBnd") == 0);
}

static void
test_ways(void **state)
{
	(void)state;
	need_root();
	in_child(before_exec_of_a_role);
	in_child(whole_way_of_a_role);
	in_child(way_of_the_spawner);
	in_child(way_of_fogd);
	in_child(way_of_the_holder);
}

/* --- what the proof has to notice --- */

static void
proof_sees_root(void)
{
	const char *step = privdrop_finish(0);

	CHECK(step && strstr(step, "ids can be regained"));
}

static void
proof_sees_saved_uid(void)
{
	const char *step;

	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, 0) == 0);
	step = privdrop_finish(0);
	CHECK(step && strstr(step, "ids can be regained"));
}

static void
proof_sees_saved_gid(void)
{
	const char *step;

	CHECK(setresgid(NOBODY, NOBODY, 0) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	step = privdrop_finish(0);
	CHECK(step && strstr(step, "ids can be regained"));
}

static void
proof_sees_lost_capability(void)
{
	done(privdrop_before_exec(NOBODY, NOBODY, 0));
	CHECK(privdrop_finish(CAP_BIT(CAP_NET_ADMIN)) != NULL);
}

static void
test_proof(void **state)
{
	(void)state;
	need_root();
	in_child(proof_sees_root);
	in_child(proof_sees_saved_uid);
	in_child(proof_sees_saved_gid);
	in_child(proof_sees_lost_capability);
}

/* The lists of DESIGN 2.1. */
static void
test_lists(void **state)
{
	static const int spawner[] = { CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP,
		CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE, CAP_KILL, CAP_NET_ADMIN, CAP_SYS_CHROOT };
	uint64_t mask = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(spawner); i++)
		mask |= CAP_BIT(spawner[i]);
	assert_true(privdrop_spawner_caps == mask);
	/* fogd cannot hand over what it does not have. */
	assert_true((privdrop_fogd_caps & privdrop_spawner_caps) == privdrop_spawner_caps);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_filter_is_on),
		cmocka_unit_test(test_enter_directory),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
