/* SPDX-License-Identifier: MIT */
/* What fogd opens while it may, and which role gets which descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/mono.h"
#include "ptyd/fogd.h"

#define FILE_MAX_BYTES (1u << 20)
#define INIT_MAX_BYTES (8u << 20)
#define KEY_HEX_MIN 64
#define KEY_HEX_MAX 128
#define LOCK_RETRY_MS 2000
#define CONTROL_BACKLOG 16
#define AUDIT_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
#define CONTROL_SOCKET "control.sock"

int
gifts_sealed(const char *name, const void *bytes, size_t len, bool executable)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	if (fd < 0)
		return -1;
	if (write(fd, bytes, len) != (ssize_t)len || fchmod(fd, executable ? 0555 : 0400) != 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) != 0)
		close_fd(&fd);
	return fd;
}

/* --- files of the operator --- */

/* S22: owned by root or by whoever starts the service, and written by nobody else. */
static const char *
check_owner(int fd, bool is_secret)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return "must be owned by root or by the user that starts the service";
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return "must not be writable by group or others (chmod go-w)";
	if (is_secret && (st.st_mode & S_IROTH))
		return "must not be readable by others (chmod o-r)";
	return NULL;
}

static char *
read_operator_file(const char *variable, const char *path, bool is_secret, size_t *len,
    char err[static ERR_SIZE])
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *wrong = fd < 0 ? strerror(errno) : check_owner(fd, is_secret);
	char *bytes = wrong ? NULL : proc_read_file(fd, FILE_MAX_BYTES, len);

	if (!bytes)
		snprintf(err, ERR_SIZE, "%s=%s: %s", variable, path,
		    wrong ? wrong : strerror(errno));
	return bytes;
}

static int
copy_sealed(const char *variable, const char *path, int *out, char err[static ERR_SIZE])
{
	size_t len = 0;
	char *bytes = *path ? read_operator_file(variable, path, false, &len, err) : NULL;

	*out = -1;
	if (!bytes)
		return *path ? -1 : 0;
	*out = gifts_sealed(variable, bytes, len, false);
	explicit_bzero(bytes, len);
	free(bytes);
	if (*out < 0)
		FAIL("%s: %s", variable, strerror(errno));
	return 0;
}

int
gifts_open_files(const struct config *c, struct files *out, char err[static ERR_SIZE])
{
	struct files f = NO_FILES;

	if (copy_sealed("POLICY_CONFIG", c->policy_config, &f.fds[FILE_POLICY], err) != 0 ||
	    copy_sealed("TLS_CERT_FILE", c->tls_cert_file, &f.fds[FILE_TLS_CERT], err) != 0 ||
	    copy_sealed("TLS_KEY_FILE", c->tls_key_file, &f.fds[FILE_TLS_KEY], err) != 0) {
		gifts_close_files(&f);
		return -1;
	}
	*out = f;
	return 0;
}

void
gifts_close_files(struct files *files)
{
	for (int i = 0; i < FILE_COUNT; i++)
		close_fd(&files->fds[i]);
}

/* --- the signing keys --- */

static int
key_from_hex(const char *variable, const char *hex, size_t len, int *out, char err[static ERR_SIZE])
{
	unsigned char key[KEY_HEX_MAX / 2];
	bool good = len >= KEY_HEX_MIN && len <= KEY_HEX_MAX && len % 2 == 0 &&
	    strspn(hex, "0123456789abcdefABCDEF") >= len;

	for (size_t i = 0; good && i < len / 2; i++)
		key[i] = (unsigned char)strtoul((const char[]){ hex[2 * i], hex[2 * i + 1], '\0' },
		    NULL, 16);
	if (good)
		*out = gifts_sealed("signing-key", key, len / 2, false);
	explicit_bzero(key, sizeof(key));
	if (!good)
		FAIL("%s: must be %d to %d hexadecimal digits (openssl rand -hex 32)", variable,
		    KEY_HEX_MIN, KEY_HEX_MAX);
	if (*out < 0)
		FAIL("%s: %s", variable, strerror(errno));
	return 0;
}

static int
key_from_file(const char *variable, const char *path, int *out, char err[static ERR_SIZE])
{
	size_t len = 0;
	char *text = read_operator_file(variable, path, true, &len, err);
	int rc;

	if (!text)
		return -1;
	rc = key_from_hex(variable, text, strcspn(text, "\r\n"), out, err);
	explicit_bzero(text, len);
	free(text);
	return rc;
}

/* From the environment, a file, or a systemd credential, in this order; none: *out stays -1. */
static int
open_key(const char *variable, char *hex, const char *path, const char *credential, int *out,
    char err[static ERR_SIZE])
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	char name[64], file[PATH_MAX];
	int rc;

	if (*hex) {
		rc = key_from_hex(variable, hex, strlen(hex), out, err);
		explicit_bzero(hex, strlen(hex));
		return rc;
	}
	snprintf(name, sizeof(name), "%s_FILE", variable);
	if (*path || !credentials)
		return *path ? key_from_file(name, path, out, err) : 0;
	snprintf(file, sizeof(file), "%s/%s", credentials, credential);
	return access(file, F_OK) == 0 ? key_from_file(credential, file, out, err) : 0;
}

static int
open_keys(struct fogd *f, char err[static ERR_SIZE])
{
	struct config *c = &f->config;

	if (open_key("SESSION_TOKEN_SIGNING_KEY", c->signing_key, c->signing_key_file,
		"session-token-signing-key", &f->signing_key, err) != 0 ||
	    open_key("SESSION_TOKEN_SIGNING_KEY_PREVIOUS", c->signing_key_previous,
		c->signing_key_previous_file, "session-token-signing-key-previous",
		&f->signing_key_previous, err) != 0)
		return -1;
	if (f->signing_key_previous >= 0 && f->signing_key < 0)
		FAIL("SESSION_TOKEN_SIGNING_KEY: must be set when the one before it is, "
		     "SESSION_TOKEN_SIGNING_KEY_PREVIOUS");
	return 0;
}

/* --- programs and the page, relative to this program --- */

static int
find_prefix(char *out, size_t out_size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return -1;
	self[n] = '\0';
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(self, '/');

		if (!slash)
			return -1;
		*slash = '\0';
	}
	return snprintf(out, out_size, "%s", self) < (int)out_size ? 0 : -1;
}

static int
open_program(const char *prefix, const char *file, int flags, int *out, char err[static ERR_SIZE])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/libexec/cloudshell-fog/%s", prefix, file);
	*out = open(path, flags | O_CLOEXEC);
	if (*out < 0)
		FAIL("%s: %s; is the installation complete?", path, strerror(errno));
	return 0;
}

/* Init runs from a sealed memfd: no session shares an inode with a program of the host (S28). */
static int
open_init(const char *prefix, int *out, char err[static ERR_SIZE])
{
	cleanup_fd int fd = -1;
	cleanup_free char *bytes = NULL;
	size_t len = 0;

	if (open_program(prefix, "session-init", O_RDONLY, &fd, err) != 0)
		return -1;
	bytes = proc_read_file(fd, INIT_MAX_BYTES, &len);
	*out = bytes ? gifts_sealed("session-init", bytes, len, true) : -1;
	if (*out < 0)
		FAIL("session-init: %s", strerror(errno));
	return 0;
}

static int
open_programs(struct fogd *f, char err[static ERR_SIZE])
{
	char prefix[PATH_MAX - 64], page[PATH_MAX];

	if (find_prefix(prefix, sizeof(prefix)) != 0)
		FAIL("cannot tell where this program is installed");
	FOR_EACH_CHILD(f, c) {
		if (open_program(prefix, c->program->file, O_PATH, &c->exe_fd, err) != 0)
			return -1;
	}
	if (open_program(prefix, "holder", O_PATH, &f->holder_exe, err) != 0 ||
	    open_init(prefix, &f->init_memfd, err) != 0)
		return -1;
	snprintf(page, sizeof(page), "%s/share/cloudshell-fog/web", prefix);
	f->page = open(page, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->page < 0)
		FAIL("%s: %s", page, strerror(errno));
	return 0;
}

/* --- users and directories --- */

static int
find_users(struct fogd *f, char err[static ERR_SIZE])
{
	FOR_EACH_CHILD(f, c) {
		char name[64];
		const struct passwd *pw;

		c->uid = geteuid();
		c->gid = getegid();
		if (!f->rooted || !c->program->user)
			continue;
		snprintf(name, sizeof(name), USER_PREFIX "%s", c->program->user);
		pw = getpwnam(name);
		if (!pw)
			FAIL("user %s: does not exist; run systemd-sysusers, or make run-dev",
			    name);
		c->uid = pw->pw_uid;
		c->gid = pw->pw_gid;
	}
	return 0;
}

/* By the directory that was checked, and not by its name; born with its mode, so that no path is
 * followed to change it. */
static int
bind_in(int dir, int sock, mode_t mask)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	mode_t before = umask(mask);
	int rc;

	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET, dir);
	rc = bind(sock, (const struct sockaddr *)&to, sizeof(to));
	umask(before);
	return rc;
}

/*
 * Whoever may connect to it may end sessions: root, and the admin group where there is one. Nobody
 * can before listen, when its group is right. run_dir negative: only what can be checked without
 * making it.
 */
static int
open_control(struct fogd *f, int run_dir, char err[static ERR_SIZE])
{
	const char *name = f->config.admin_group;
	const struct group *group = *name ? getgrnam(name) : NULL;

	if (*name && !group)
		FAIL("ADMIN_GROUP=%s: there is no such group", name);
	if (run_dir < 0)
		return 0;
	unlinkat(run_dir, CONTROL_SOCKET, 0); /* of a former run: the lock says that it is over */
	f->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->control < 0 || bind_in(run_dir, f->control, group ? 0117 : 0177) != 0 ||
	    (group &&
		fchownat(run_dir, CONTROL_SOCKET, (uid_t)-1, group->gr_gid, AT_SYMLINK_NOFOLLOW) !=
		    0) ||
	    listen(f->control, CONTROL_BACKLOG) != 0)
		FAIL("RUN_DIR=%s: " CONTROL_SOCKET ": %s", f->config.run_dir, strerror(errno));
	return 0;
}

/* Makes `path` and its missing parents (0755), then opens it: nobody else may write it. */
static int
make_dir(const char *variable, const char *path, char err[static ERR_SIZE])
{
	cleanup_fd int fd = -1;
	char part[PATH_MAX];
	struct stat st;

	if (*path != '/')
		FAIL("%s=%s: must be an absolute path", variable, path);
	for (size_t i = 1; path[i - 1]; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			FAIL("%s=%s: %s", variable, path, strerror(errno));
		if (!path[i])
			break;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		FAIL("%s=%s: %s", variable, path, strerror(errno));
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		FAIL("%s=%s: must be owned by root or by the user that starts the service, and not "
		     "writable by others",
		    variable, path);
	return steal_fd(&fd);
}

/* A directory of ours inside it, with owner and mode as they must be, whatever they were. */
static int
make_own_dir(int parent, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	int fd;

	if (mkdirat(parent, name, mode) != 0 && errno != EEXIST)
		return -1;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && geteuid() == 0 && fchown(fd, uid, gid) != 0)
		close_fd(&fd);
	if (fd >= 0 && fchmod(fd, mode) != 0)
		close_fd(&fd);
	return fd;
}

/* One fogd at a time; a successor waits for the roles of a killed predecessor to end. */
static int
take_lock(struct fogd *f, int run_dir, char err[static ERR_SIZE])
{
	uint64_t until = mono_ms() + LOCK_RETRY_MS;

	f->lock = openat(run_dir, "fogd.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock < 0)
		FAIL("RUN_DIR=%s: fogd.lock: %s", f->config.run_dir, strerror(errno));
	while (flock(f->lock, LOCK_EX | LOCK_NB) != 0) {
		if (mono_ms() >= until)
			FAIL("RUN_DIR=%s: another fogd is running here", f->config.run_dir);
		usleep(50000);
	}
	return 0;
}

static int
open_roots(struct fogd *f, int run_dir, int state_dir, char err[static ERR_SIZE])
{
	const struct child *pty = child_of(f, PROC_PTYD);
	const struct child *placer = child_of(f, PROC_PLACERD);

	f->root_dirs[ROOT_EMPTY] = make_own_dir(run_dir, "empty", geteuid(), getegid(), 0555);
	f->root_dirs[ROOT_SESSIONS] = make_own_dir(run_dir, "sessions", pty->uid, pty->gid, 0700);
	f->root_dirs[ROOT_STATE] = make_own_dir(state_dir, "placerd", placer->uid, placer->gid,
	    0700);
	for (size_t i = 0; i < COUNT_OF(f->root_dirs); i++) {
		if (f->root_dirs[i] < 0)
			FAIL("RUN_DIR=%s STATE_DIR=%s: %s", f->config.run_dir, f->config.state_dir,
			    strerror(errno));
	}
	return 0;
}

/* Root-owned file in a directory that placerd cannot write: it appends, and no more (S33). */
static int
open_audit(struct fogd *f, int state_dir, char err[static ERR_SIZE])
{
	cleanup_fd int dir = make_own_dir(state_dir, "audit", geteuid(), getegid(), 0750);

	if (dir >= 0)
		f->audit_end = openat(dir, "audit.jsonl", O_RDONLY | O_CREAT | AUDIT_FLAGS, 0640);
	if (f->audit_end >= 0)
		f->audit = openat(dir, "audit.jsonl", O_WRONLY | O_APPEND | AUDIT_FLAGS);
	if (f->audit < 0)
		FAIL("STATE_DIR=%s: audit/audit.jsonl: %s", f->config.state_dir, strerror(errno));
	return 0;
}

static int
open_dirs(struct fogd *f, char err[static ERR_SIZE])
{
	cleanup_fd int run_dir = make_dir("RUN_DIR", f->config.run_dir, err);
	cleanup_fd int state_dir = -1;

	if (run_dir < 0 || take_lock(f, run_dir, err) != 0)
		return -1;
	state_dir = make_dir("STATE_DIR", f->config.state_dir, err);
	if (state_dir < 0 || open_roots(f, run_dir, state_dir, err) != 0 ||
	    open_audit(f, state_dir, err) != 0)
		return -1;
	return open_control(f, run_dir, err);
}

static int
open_listeners(struct fogd *f, bool check_only, char err[static ERR_SIZE])
{
	const struct config *c = &f->config;

	if (bindaddr_open("LISTEN_ADDR", c->listen_addr, c->use_stub || !*c->oidc_issuer_url,
		check_only, &f->listener, err) != 0)
		return -1;
	if (strcmp(c->metrics_addr, "off") == 0)
		return 0;
	return bindaddr_open("METRICS_ADDR", c->metrics_addr, false, check_only, &f->metrics, err);
}

/* Outlives every gatewayd, so that the next one knows at whose bytes the last one died. */
static int
make_penalties(struct fogd *f, char err[static ERR_SIZE])
{
	f->penalties = memfd_create("penalties", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (f->penalties < 0 || ftruncate(f->penalties, PENALTY_BYTES) != 0 ||
	    fcntl(f->penalties, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		FAIL("memory for penalties: %s", strerror(errno));
	return 0;
}

int
gifts_open(struct fogd *f, bool check_only, char err[static ERR_SIZE])
{
	if (find_users(f, err) != 0 ||
	    (check_only ? open_control(f, -1, err) : open_dirs(f, err)) != 0 ||
	    open_programs(f, err) != 0 || gifts_open_files(&f->config, &f->files, err) != 0 ||
	    copy_sealed("OIDC_CA_FILE", f->config.oidc_ca_file, &f->ca, err) != 0 ||
	    open_keys(f, err) != 0 || make_penalties(f, err) != 0)
		return -1;
	return open_listeners(f, check_only, err);
}

/* --- who gets what --- */

static const struct {
	enum proc_id to;
	enum gift gift;
	size_t offset; /* in struct fogd */
} rows[] = {
	{ PROC_GATEWAYD, GIFT_GATEWAYD_LISTENER, offsetof(struct fogd, listener) },
	{ PROC_GATEWAYD, GIFT_GATEWAYD_METRICS, offsetof(struct fogd, metrics) },
	{ PROC_GATEWAYD, GIFT_GATEWAYD_PAGE, offsetof(struct fogd, page) },
	{ PROC_GATEWAYD, GIFT_GATEWAYD_TLS_CERT, offsetof(struct fogd, files.fds[FILE_TLS_CERT]) },
	{ PROC_GATEWAYD, GIFT_GATEWAYD_TLS_KEY, offsetof(struct fogd, files.fds[FILE_TLS_KEY]) },
	{ PROC_GATEWAYD, GIFT_GATEWAYD_PENALTIES, offsetof(struct fogd, penalties) },
	{ PROC_AUTHD, GIFT_AUTHD_SIGNING_KEY, offsetof(struct fogd, signing_key) },
	{ PROC_AUTHD, GIFT_AUTHD_SIGNING_KEY_PREVIOUS,
	    offsetof(struct fogd, signing_key_previous) },
	{ PROC_PLACERD, GIFT_PLACERD_POLICY, offsetof(struct fogd, files.fds[FILE_POLICY]) },
	{ PROC_PLACERD, GIFT_PLACERD_AUDIT, offsetof(struct fogd, audit) },
	{ PROC_PLACERD, GIFT_PLACERD_AUDIT_END, offsetof(struct fogd, audit_end) },
	{ PROC_PLACERD, GIFT_PLACERD_CONTROL, offsetof(struct fogd, control) },
	{ PROC_FETCHER, GIFT_FETCHER_CA, offsetof(struct fogd, ca) },
	{ PROC_SPAWNER, GIFT_SPAWNER_HOLDER, offsetof(struct fogd, holder_exe) },
	{ PROC_SPAWNER, GIFT_SPAWNER_INIT, offsetof(struct fogd, init_memfd) },
};

void
gifts_of(const struct fogd *f, const struct child *c, int gifts[GIFT_END])
{
	memset(gifts, -1, GIFT_END * sizeof(*gifts));
	gifts[GIFT_ROOT] = f->root_dirs[c->program->root];
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].to == c->program->id)
			memcpy(&gifts[rows[i].gift], (const char *)f + rows[i].offset, sizeof(int));
	}
}
