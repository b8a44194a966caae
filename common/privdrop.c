/* SPDX-License-Identifier: MIT */
/*
 * Dropping privilege and proving it: see privdrop.h. By system calls, not by libcap: this runs
 * between fork and exec too, where nothing may allocate, and a holder maps one library less.
 */
#include "common/privdrop.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define CAP_HIGHEST 63

const uint64_t privdrop_spawner_caps = CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_SETUID) |
    CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_FOWNER) |
    CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_NET_ADMIN) |
    CAP_BIT(CAP_SYS_CHROOT);
const uint64_t privdrop_fogd_caps = CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_SETUID) |
    CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_FOWNER) |
    CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_NET_ADMIN) |
    CAP_BIT(CAP_SYS_CHROOT);

struct caps {
	uint64_t effective, permitted, inheritable;
};

static int
caps_get(struct caps *c)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) != 0)
		return -1;
	c->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	c->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	c->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

static int
caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { (uint32_t)effective, (uint32_t)permitted,
						      (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		    (uint32_t)(inheritable >> 32) } };

	return (int)syscall(SYS_capset, &head, data);
}

/* EINVAL: beyond the last capability that this kernel knows. A drop makes new credentials, a read does not. */
static int
cut_bounding_set(uint64_t keep)
{
	int has;

	for (int cap = 0; cap <= CAP_HIGHEST; cap++) {
		if (keep & CAP_BIT(cap))
			continue;
		has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			break;
		if (has && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return -1;
	}
	return 0;
}

static int
raise_ambient(uint64_t keep)
{
	for (int cap = 0; cap <= CAP_HIGHEST; cap++) {
		if (!(keep & CAP_BIT(cap)))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
			return -1;
	}
	return 0;
}

static int
set_ids(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0)
		return -1;
	return setresuid(uid, uid, uid);
}

const char *
privdrop_before_exec(uid_t uid, gid_t gid, uint64_t keep)
{
	if (cut_bounding_set(keep) != 0)
		return "bounding set";
	/* Permitted capabilities must survive the change of uid to become ambient after it. */
	if (uid != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		return "keep capabilities";
	if (set_ids(uid, gid) != 0)
		return "ids";
	if (caps_set(keep, keep, uid == 0 ? 0 : keep) != 0)
		return "capabilities";
	if (uid != 0 && raise_ambient(keep) != 0)
		return "ambient capabilities";
	return NULL;
}

const char *
privdrop_limit_caps(uint64_t keep)
{
	if (cut_bounding_set(keep) != 0)
		return "bounding set";
	return caps_set(keep, keep, 0) == 0 ? NULL : "capabilities";
}

static bool
is_root(int fd)
{
	struct stat wanted, root;

	return fstat(fd, &wanted) == 0 && stat("/", &root) == 0 && wanted.st_dev == root.st_dev &&
	    wanted.st_ino == root.st_ino;
}

const char *
privdrop_enter_root(int root_fd, bool rooted)
{
	if (fchdir(root_fd) != 0)
		return "enter the root directory";
	if (rooted && chroot(".") != 0)
		return "chroot";
	if (rooted && !is_root(root_fd))
		return "proof: the root directory is another";
	return NULL;
}

/* With CAP_SETUID kept (the spawner) there is nothing to prove about ids. */
static bool
ids_are_final(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) != 0 || r != e || e != s)
		return false;
	if (getresgid(&rg, &eg, &sg) != 0 || rg != eg || eg != sg)
		return false;
	if (r == 0)
		return false;
	return setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0;
}

static const char *
prove(uint64_t keep)
{
	struct caps c;

	if (caps_get(&c) != 0 || c.effective != keep || c.permitted != keep || c.inheritable != 0)
		return "proof: capabilities are not those of the role";
	if (!(keep & CAP_BIT(CAP_SETUID)) && !ids_are_final())
		return "proof: ids can be regained";
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return "proof: no_new_privs is off";
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return "proof: dumpable";
	return NULL;
}

const char *
privdrop_finish(uint64_t keep)
{
	errno = 0;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return "ambient capabilities";
	/* While CAP_SETPCAP is there; roles lost it before exec, with their bounding set. */
	if ((keep & CAP_BIT(CAP_SETPCAP)) && cut_bounding_set(keep) != 0)
		return "bounding set";
	if (caps_set(keep, keep, 0) != 0)
		return "capabilities";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return "no_new_privs";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return "dumpable";
	errno = 0;
	return prove(keep);
}

const char *
privdrop_to_session(uid_t uid, gid_t gid)
{
	if (geteuid() == 0) {
		if (cut_bounding_set(0) != 0)
			return "bounding set";
		if (set_ids(uid, gid) != 0)
			return "ids";
	}
	return privdrop_finish(0);
}

bool
privdrop_filter_is_on(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}

static int
set_limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit now;

	if (getrlimit(what, &now) != 0)
		return -1;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value)
		value = now.rlim_max;
	return setrlimit(what, &(struct rlimit){ value, value });
}

int
privdrop_core_limit(void)
{
	static const struct rlimit one = { 1, 1 };

	return setrlimit(RLIMIT_CORE, &one) == 0 ? 0 : set_limit(RLIMIT_CORE, 1);
}

const char *
privdrop_limits(uint64_t nofile, bool may_write_files)
{
	if (set_limit(RLIMIT_NOFILE, nofile) != 0)
		return "RLIMIT_NOFILE";
	if (privdrop_core_limit() != 0)
		return "RLIMIT_CORE";
	if (!may_write_files && set_limit(RLIMIT_FSIZE, 0) != 0)
		return "RLIMIT_FSIZE";
	return NULL;
}
