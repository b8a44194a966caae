/* SPDX-License-Identifier: MIT */
/* What fogd opens while it may, and which role gets which descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
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

#define FILE_MAX_BYTES (16u << 20) /* a fleet of thousands; each reader has a bound of its own */
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
seal(const char *variable, const void *bytes, size_t len, int *out, char err[static ERR_SIZE])
{
	*out = gifts_sealed(variable, bytes, len, false);
	if (*out < 0)
		FAIL("%s: %s", variable, strerror(errno));
	return 0;
}

/* A signing key is written as digits, which are wiped, and reaches its role as bytes. */
static int
seal_hex(const char *variable, char *hex, size_t len, int *out, char err[static ERR_SIZE])
{
	unsigned char key[KEY_HEX_MAX / 2];
	int rc;

	if (len < KEY_HEX_MIN || len > KEY_HEX_MAX || len % 2 != 0 ||
	    strspn(hex, "0123456789abcdefABCDEF") < len)
		FAIL("%s: must be %d to %d hexadecimal digits (openssl rand -hex 32)", variable,
		    KEY_HEX_MIN, KEY_HEX_MAX);
	for (size_t i = 0; i < len / 2; i++)
		key[i] = (unsigned char)strtoul((const char[]){ hex[2 * i], hex[2 * i + 1], '\0' },
		    NULL, 16);
	rc = seal(variable, key, len / 2, out, err);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(hex, len);
	return rc;
}

#define AT(member) offsetof(struct config, member)
#define OPEN NULL, NULL, 0 /* no secret */

/*
 * Variables that name a file, and whose gift its sealed copy is: first those of a reload, by their
 * numbers. One that may be a systemd credential too is secret.
 */
static const struct file_row {
	const char *variable;
	size_t path; /* in struct config */
	enum proc_id to;
	enum gift gift;
	const char *credential;
	const char *digits_variable; /* may hold the key itself, which is written in digits */
	size_t digits;
} files[] = {
	[FILE_POLICY] = { "POLICY_CONFIG", AT(policy_config), PROC_PLACERD, GIFT_PLACERD_POLICY,
	    OPEN },
	[FILE_TLS_CERT] = { "TLS_CERT_FILE", AT(tls_cert_file), PROC_GATEWAYD,
	    GIFT_GATEWAYD_TLS_CERT, OPEN },
	[FILE_TLS_KEY] = { "TLS_KEY_FILE", AT(tls_key_file), PROC_GATEWAYD, GIFT_GATEWAYD_TLS_KEY,
	    OPEN },
	[FILE_NODES] = { "NODES_CONFIG", AT(nodes_config), PROC_PLACERD, GIFT_PLACERD_NODES, OPEN },
	{ "NODE_KEY_FILE", AT(node_key_file), PROC_PLACERD, GIFT_PLACERD_NODE_KEY, "node-key", NULL,
	    0 },
	{ "OIDC_CA_FILE", AT(oidc_ca_file), PROC_FETCHER, GIFT_FETCHER_CA, OPEN },
	{ "FLEET_CA_FILE", AT(fleet_ca_file), PROC_FETCHER, GIFT_FETCHER_FLEET_CA, OPEN },
	{ "FLEET_CA_FILE", AT(fleet_ca_file), PROC_PROBER, GIFT_FETCHER_FLEET_CA, OPEN },
	{ "SESSION_TOKEN_SIGNING_KEY_FILE", AT(signing_key_file), PROC_AUTHD,
	    GIFT_AUTHD_SIGNING_KEY, "session-token-signing-key", "SESSION_TOKEN_SIGNING_KEY",
	    AT(signing_key) },
	{ "SESSION_TOKEN_SIGNING_KEY_PREVIOUS_FILE", AT(signing_key_previous_file), PROC_AUTHD,
	    GIFT_AUTHD_SIGNING_KEY_PREVIOUS, "session-token-signing-key-previous",
	    "SESSION_TOKEN_SIGNING_KEY_PREVIOUS", AT(signing_key_previous) },
};

static int *
slot_of(struct fogd *f, enum proc_id to, enum gift gift)
{
	return &child_of(f, to)->gifts[gift];
}

static char *
text_at(const struct config *c, size_t offset)
{
	return *(char *const *)((const char *)c + offset);
}

/* From the environment, a file, or a systemd credential, in this order; none: *out is -1. */
static int
open_file(const struct config *c, const struct file_row *row, int *out, char err[static ERR_SIZE])
{
	const char *name = row->variable, *path = text_at(c, row->path);
	const char *credential = row->credential, *dir = getenv("CREDENTIALS_DIRECTORY");
	char *digits = row->digits_variable ? text_at(c, row->digits) : NULL;
	char file[PATH_MAX], *bytes;
	size_t len = 0;
	int rc;

	*out = -1;
	if (digits && *digits)
		return seal_hex(row->digits_variable, digits, strlen(digits), out, err);
	if (!*path && credential && dir) {
		snprintf(file, sizeof(file), "%s/%s", dir, credential);
		path = access(file, F_OK) == 0 ? file : "";
		name = credential;
	}
	if (!*path)
		return 0;
	bytes = read_operator_file(name, path, credential, &len, err);
	if (!bytes)
		return -1;
	rc = digits ? seal_hex(name, bytes, strcspn(bytes, "\r\n"), out, err)
		    : seal(name, bytes, len, out, err);
	explicit_bzero(bytes, len);
	free(bytes);
	return rc;
}

int
gifts_open_files(const struct config *c, int out[FILE_COUNT], char err[static ERR_SIZE])
{
	memset(out, -1, FILE_COUNT * sizeof(*out));
	for (int i = FILE_NONE + 1; i < FILE_COUNT; i++) {
		if (open_file(c, &files[i], &out[i], err) != 0) {
			gifts_close_files(out);
			return -1;
		}
	}
	return 0;
}

void
gifts_close_files(int opened[FILE_COUNT])
{
	for (int i = 0; i < FILE_COUNT; i++)
		close_fd(&opened[i]);
}

void
gifts_take_files(struct fogd *f, int opened[FILE_COUNT])
{
	for (int i = FILE_NONE + 1; i < FILE_COUNT; i++) {
		int *slot = slot_of(f, files[i].to, files[i].gift);

		close_fd(slot);
		*slot = steal_fd(&opened[i]);
	}
}

struct child *
gifts_reader_of(struct fogd *f, enum reload_file file)
{
	return child_of(f, files[file].to);
}

/* Those that no reload changes. */
static int
open_start_files(struct fogd *f, char err[static ERR_SIZE])
{
	const struct child *placer = child_of(f, PROC_PLACERD), *auth = child_of(f, PROC_AUTHD);

	for (size_t i = FILE_COUNT; i < COUNT_OF(files); i++) {
		if (open_file(&f->config, &files[i], slot_of(f, files[i].to, files[i].gift), err) !=
		    0)
			return -1;
	}
	if (auth->gifts[GIFT_AUTHD_SIGNING_KEY_PREVIOUS] >= 0 &&
	    auth->gifts[GIFT_AUTHD_SIGNING_KEY] < 0)
		FAIL("SESSION_TOKEN_SIGNING_KEY: must be set when the one before it is, "
		     "SESSION_TOKEN_SIGNING_KEY_PREVIOUS");
	if (*f->config.nodes_config && placer->gifts[GIFT_PLACERD_NODE_KEY] < 0)
		FAIL("NODE_KEY_FILE: must be set with NODES_CONFIG (fogctl node keygen)");
	return 0;
}

/* --- programs and the page, relative to this program --- */

static int
open_program(const char *prefix, const char *file, int flags, int *out, char err[static ERR_SIZE])
{
	char path[PATH_MAX + 64];

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
	char self[PATH_MAX], page[PATH_MAX + 64], *prefix;
	int *page_fd = slot_of(f, PROC_GATEWAYD, GIFT_GATEWAYD_PAGE);

	if (!realpath("/proc/self/exe", self))
		FAIL("cannot tell where this program is installed");
	prefix = dirname(dirname(self));
	FOR_EACH_CHILD(f, c) {
		if (open_program(prefix, c->program->file, O_PATH, &c->exe_fd, err) != 0)
			return -1;
	}
	if (open_program(prefix, "holder", O_PATH, slot_of(f, PROC_SPAWNER, GIFT_SPAWNER_HOLDER),
		err) != 0 ||
	    open_init(prefix, slot_of(f, PROC_SPAWNER, GIFT_SPAWNER_INIT), err) != 0)
		return -1;
	snprintf(page, sizeof(page), "%s/share/cloudshell-fog/web", prefix);
	*page_fd = open(page, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*page_fd < 0)
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
	gid_t gid = group ? group->gr_gid : (gid_t)-1;
	int fd;

	if (*name && !group)
		FAIL("ADMIN_GROUP=%s: there is no such group", name);
	if (run_dir < 0)
		return 0;
	unlinkat(run_dir, CONTROL_SOCKET, 0); /* of a former run: the lock says that it is over */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind_in(run_dir, fd, group ? 0117 : 0177) != 0 ||
	    fchownat(run_dir, CONTROL_SOCKET, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) != 0 ||
	    listen(fd, CONTROL_BACKLOG) != 0)
		FAIL("RUN_DIR=%s: " CONTROL_SOCKET ": %s", f->config.run_dir, strerror(errno));
	*slot_of(f, PROC_PLACERD, GIFT_PLACERD_CONTROL) = fd;
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
	if (fd >= 0 && ((geteuid() == 0 && fchown(fd, uid, gid) != 0) || fchmod(fd, mode) != 0))
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
	const int dirs[] = {
		[ROOT_EMPTY] = make_own_dir(run_dir, "empty", geteuid(), getegid(), 0555),
		[ROOT_SESSIONS] = make_own_dir(run_dir, "sessions", pty->uid, pty->gid, 0700),
		[ROOT_STATE] = make_own_dir(state_dir, "placerd", placer->uid, placer->gid, 0700),
	};

	FOR_EACH_CHILD(f, c) {
		c->gifts[GIFT_ROOT] = dirs[c->program->root];
		if (c->gifts[GIFT_ROOT] < 0)
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

	int *end = slot_of(f, PROC_PLACERD, GIFT_PLACERD_AUDIT_END);
	int *audit = slot_of(f, PROC_PLACERD, GIFT_PLACERD_AUDIT);

	if (dir >= 0)
		*end = openat(dir, "audit.jsonl", O_RDONLY | O_CREAT | AUDIT_FLAGS, 0640);
	if (*end >= 0)
		*audit = openat(dir, "audit.jsonl", O_WRONLY | O_APPEND | AUDIT_FLAGS);
	if (*audit < 0)
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
		check_only, slot_of(f, PROC_GATEWAYD, GIFT_GATEWAYD_LISTENER), err) != 0)
		return -1;
	if (strcmp(c->metrics_addr, "off") == 0)
		return 0;
	return bindaddr_open("METRICS_ADDR", c->metrics_addr, false, check_only,
	    slot_of(f, PROC_GATEWAYD, GIFT_GATEWAYD_METRICS), err);
}

/* Outlives every gatewayd, so that the next one knows at whose bytes the last one died. */
static int
make_penalties(struct fogd *f, char err[static ERR_SIZE])
{
	int fd = memfd_create("penalties", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, PENALTY_BYTES) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		FAIL("memory for penalties: %s", strerror(errno));
	*slot_of(f, PROC_GATEWAYD, GIFT_GATEWAYD_PENALTIES) = fd;
	return 0;
}

int
gifts_open(struct fogd *f, bool check_only, char err[static ERR_SIZE])
{
	if (find_users(f, err) != 0 ||
	    (check_only ? open_control(f, -1, err) : open_dirs(f, err)) != 0 ||
	    open_programs(f, err) != 0 || gifts_open_files(&f->config, f->next_files, err) != 0 ||
	    open_start_files(f, err) != 0 || make_penalties(f, err) != 0)
		return -1;
	gifts_take_files(f, f->next_files);
	return open_listeners(f, check_only, err);
}
