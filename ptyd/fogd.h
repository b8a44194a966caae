/* SPDX-License-Identifier: MIT */
/* The few types that the files of fogd share. fogd parses nothing that came from a network. */
#ifndef FOG_FOGD_H
#define FOG_FOGD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/log.h"
#include "common/proc.h"

#define FOGD_ROLES 7
#define USER_PREFIX "cloudshell-fog-"
#define ERR_SIZE 4608 /* of a message for the operator */
#define FAIL(...) return snprintf(err, ERR_SIZE, __VA_ARGS__), -1

/* One row of the table of programs. */
struct program {
	enum proc_id id;
	const char *file; /* in libexec */
	const char *user; /* after USER_PREFIX; NULL: root */
	enum { ROOT_EMPTY, ROOT_STATE, ROOT_SESSIONS } root;
};

#define FOR_EACH_CHILD(f, c) \
	for (struct child *c = (f)->children; c < (f)->children + FOGD_ROLES; c++)

/* A role as it runs. */
struct child {
	struct fogd *fogd;
	const struct program *program;
	uid_t uid;
	gid_t gid;
	int exe_fd; /* O_PATH */
	pid_t pid;  /* 0: not running */
	int pidfd;
	struct event *exited, *restart;
	struct peer *control;
	struct logpipe *log;
	uint64_t started_mono_ms;
	unsigned failures; /* in a row: sets the back-off */
	bool ready;
	unsigned preparing;  /* reload: answers still to come */
	int gifts[GIFT_END]; /* at every start, beside those made for it; -1: not there */
};

struct fogd {
	struct config config;
	struct event_base *base;
	bool rooted;
	struct child children[FOGD_ROLES];
	uint64_t edge_epochs[EDGE_COUNT], next_epoch;
	int lock;
	/* reload in progress */
	int next_files[FILE_COUNT];
	struct event *reload_deadline;
	bool reloading, reload_ok;
	bool announced, stopping;
	int status;
};

/*
 * gifts.c: everything that is opened before capabilities are cut; check_only: what can be opened
 * without making or binding anything. 0, or -1 with the message.
 */
int gifts_open(struct fogd *f, bool check_only, char err[static ERR_SIZE]);
/* Sealed copies of the files that a reload changes, by enum reload_file; -1: none is configured. */
int gifts_open_files(const struct config *c, int out[FILE_COUNT], char err[static ERR_SIZE]);
void gifts_close_files(int files[FILE_COUNT]);
/* Makes them the gifts of their readers, in place of those before. */
void gifts_take_files(struct fogd *f, int files[FILE_COUNT]);
struct child *gifts_reader_of(struct fogd *f, enum reload_file file);
/* A sealed memfd holding these bytes; -1 with errno. */
int gifts_sealed(const char *name, const void *bytes, size_t len, bool executable);

/* bindaddr.c: numeric addresses only, so that root resolves no name. 0, or -1 with the message. */
int bindaddr_open(const char *variable, const char *addr, bool need_loopback, bool check_only,
    int *out, char err[static ERR_SIZE]);

/* child.c: start, wire and end roles. */
int child_start(struct child *c);
void child_wire_all(struct child *c);
void child_kill(struct child *c);
/*
 * Runs `role option argument` on one of its gifts, which it finds at GIFT_OWN, and waits; what it says
 * goes to out. 0: it exited with 0.
 */
int child_run_check(struct fogd *f, enum proc_id id, const char *option, const char *argument,
    enum gift gift, int out);
struct child *child_of(struct fogd *f, enum proc_id id);
/* Called by child.c when a role has ended; supervisor.c decides what follows. */
void fogd_child_ended(struct child *c, int status, int code);
void fogd_child_ready(struct child *c);

/* reload.c: two steps, so that all roles change or none. */
void reload_begin(struct fogd *f);
int reload_answer(struct child *c, bool ok); /* -FOG_E_LIAR: it was not asked */
void reload_child_gone(struct child *c);

/* logpipe.c: one pipe per role; lines get the role's name and go to standard error. */
struct logpipe *logpipe_new(struct event_base *base, const char *role, pid_t pid, int read_fd);
void logpipe_free(struct logpipe *l);
void logpipe_own_sink(enum log_level level, const char *line);

/* notify.c: datagrams to NOTIFY_SOCKET, if there is one; a watchdog is told that base turns. */
void notify_init(struct event_base *base);
void notify_send(const char *state);

#endif
