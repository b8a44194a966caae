/* SPDX-License-Identifier: MIT */
/*
 * What an earlier broker has left: records, sockets, half-written files. Every living holder is
 * joined again; what is not ours, or cannot be read, is named in the log and left alone.
 */
#include "ptyd/broker.h"

#include <dirent.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"

#define RETRY_MS 200
#define HALF_MADE_TRIES 30 /* a holder on its way may take some seconds to listen */

void
adopt_settled(struct session *s)
{
	if (!s->is_awaited)
		return;
	s->is_awaited = false;
	broker_try_list();
}

/* Nothing listens there (any more). */
static void
nobody_there(struct session *s, int error)
{
	if (s->is_half_made && s->tries++ < HALF_MADE_TRIES && error == -ECONNREFUSED) {
		session_set_timer(s, RETRY_MS);
		adopt_settled(s);
	} else if (s->is_half_made) {
		log_info("event=half_made_removed sid=%s", log_id(&s->record.pl.session_id));
		adopt_settled(s);
		session_forget(s);
	} else {
		session_apart(s);
	}
}

/* Its queue of connections is full, or we are short of something. */
static bool
is_passing(int rc)
{
	return rc == -EAGAIN || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS;
}

void
adopt_try(struct session *s)
{
	int rc = join_start(s);

	if (rc == 0)
		return;
	if (is_passing(rc))
		session_set_timer(s, RETRY_MS);
	else if (rc == -ECONNREFUSED || rc == -ENOENT || rc == -ESRCH)
		nobody_there(s, rc);
	else {
		errno = -rc;
		log_warn("event=adoption_failed sid=%s", log_id(&s->record.pl.session_id));
		session_set_stage(s, SESSION_FOREIGN);
		adopt_settled(s);
	}
}

/* A record file becomes a session. -1: it is of another version. */
static int
read_record(const char *name, const struct id128 *id)
{
	struct record r = { 0 };
	enum record_result result = record_load(name, &r);
	struct session *s = NULL;

	if (result == RECORD_OTHER_VERSION) {
		log_error("event=start_failed step=\"read the records\" file=%s "
			  "detail=\"of another version of this program; it is left untouched\"",
		    name);
		return -1;
	}
	if (result == RECORD_OK && id_equal(id, &r.pl.session_id))
		s = session_new(&r.pl);
	record_fini(&r);
	if (!s) {
		log_warnx("event=record_left_alone file=%s detail=\"it cannot be read\"", name);
		return 0;
	}
	s->is_found = s->is_awaited = true;
	s->is_half_made = s->record.pl.status == STATUS_STARTING;
	s->holds_slot = slots_take(&broker.slots, s->record.pl.slot);
	return 0;
}

/* The record of an ended session may name the same slot, and gives it back soon: not this one. */
static void
hold_stray_slot(uint32_t slot)
{
	slots_take(&broker.strays, slot);
	slots_take(&broker.slots, slot);
}

/*
 * A socket without a readable record. Its holder may live: then its slot, which is in its uid,
 * must not be given to another session.
 */
static void
check_socket(const char *name, const struct id128 *id)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	uint32_t slot;
	struct ucred who;
	socklen_t len = sizeof(who);

	record_name(id, RECORD_FILE_SOCKET, at.sun_path);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
		if (errno == ECONNREFUSED && unlink(name) == 0)
			log_info("event=stale_socket_removed file=%s", name);
		return;
	}
	log_warnx("event=holder_left_alone file=%s detail=\"it has no readable record\"", name);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	    plan_slot_of_holder(proc_config()->session_uid_base, who.uid, &slot))
		hold_stray_slot(slot);
}

static int
visit(const char *name, bool sockets)
{
	enum record_file kind;
	struct id128 id;

	if (name[0] == '.')
		return 0;
	if (record_parse_name(name, &id, &kind) != 0) {
		if (!sockets)
			log_warnx("event=file_left_alone file=%s", name);
		return 0;
	}
	if (kind == RECORD_FILE_REC && !sockets)
		return read_record(name, &id);
	if (kind == RECORD_FILE_TMP && !sockets && unlink(name) == 0)
		log_info("event=unfinished_record_removed file=%s", name);
	if (kind == RECORD_FILE_SOCKET && sockets && !session_find(&id))
		check_socket(name, &id);
	return 0;
}

static int
visit_all(bool sockets)
{
	DIR *d = opendir(".");
	struct dirent *e;
	int rc = 0;

	if (!d) {
		log_warn("event=start_failed step=\"read the directory of sessions\"");
		return -1;
	}
	while (rc == 0 && (e = readdir(d)))
		rc = visit(e->d_name, sockets);
	closedir(d);
	return rc;
}

int
adopt_all(void)
{
	struct session *s, *following;

	if (visit_all(false) != 0 || visit_all(true) != 0)
		return -1;
	for (s = TAILQ_FIRST(&broker.sessions); s; s = following) {
		following = TAILQ_NEXT(s, next);
		adopt_try(s);
	}
	return 0;
}
