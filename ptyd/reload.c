/* SPDX-License-Identifier: MIT */
/* SIGHUP: every role prepares its new files; when all could, all change, else none (S22). */
#include <fcntl.h>

#include <event2/event.h>

#include "ptyd/fogd.h"

#define ANSWER_S 10

static void
finish(struct fogd *f)
{
	struct pl_commit commit = { .apply = f->reload_ok };

	f->reloading = false;
	event_del(f->reload_deadline);
	FOR_EACH_CHILD(f, c)
		peer_send(c->control, MSG_CTL_COMMIT, 0, NULL, &commit, -1);
	if (f->reload_ok) {
		gifts_take_files(f, f->next_files);
		log_info("event=reloaded");
	} else {
		gifts_close_files(f->next_files);
		log_warnx("event=reload_refused detail=\"the old configuration stays\"");
	}
	notify_send("READY=1");
}

static void
ask(struct fogd *f, enum reload_file file)
{
	struct child *c = gifts_reader_of(f, file);
	struct pl_prepare prepare = { .file = (uint8_t)file };
	int fd = fcntl(f->next_files[file], F_DUPFD_CLOEXEC, 0);

	if (fd < 0 || peer_send(c->control, MSG_CTL_PREPARE, 0, NULL, &prepare, fd) != 0)
		f->reload_ok = false;
	else
		c->preparing++;
}

static void
finish_when_all_answered(struct fogd *f)
{
	FOR_EACH_CHILD(f, c) {
		if (c->preparing > 0)
			return;
	}
	finish(f);
}

/* A role that is stuck would keep every later reload out; its end is its answer. */
static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct fogd *f = arg;

	(void)fd;
	(void)what;
	FOR_EACH_CHILD(f, c) {
		if (c->preparing == 0)
			continue;
		log_warnx("event=reload_unanswered role=%s", proc_name(c->program->id));
		child_kill(c);
	}
}

void
reload_begin(struct fogd *f)
{
	static const struct timeval patience = { .tv_sec = ANSWER_S };
	char err[ERR_SIZE] = "out of memory";

	if (f->reloading) {
		log_warnx("event=reload_refused detail=\"one is under way\"");
		return;
	}
	notify_send("RELOADING=1");
	if (!f->reload_deadline)
		f->reload_deadline = evtimer_new(f->base, on_deadline, f);
	if (!f->reload_deadline || gifts_open_files(&f->config, f->next_files, err) != 0) {
		log_warnx("event=reload_refused detail=\"%s\"", err);
		notify_send("READY=1");
		return;
	}
	f->reloading = true;
	f->reload_ok = event_add(f->reload_deadline, &patience) == 0;
	for (int file = 0; file < FILE_COUNT; file++) {
		if (f->next_files[file] >= 0)
			ask(f, (enum reload_file)file);
	}
	finish_when_all_answered(f);
}

int
reload_answer(struct child *c, bool ok)
{
	struct fogd *f = c->fogd;

	if (c->preparing == 0)
		return -FOG_E_LIAR;
	c->preparing--;
	f->reload_ok = f->reload_ok && ok;
	finish_when_all_answered(f);
	return 0;
}

/* A role that died in the middle: nobody changes, it starts again with the old files. */
void
reload_child_gone(struct child *c)
{
	struct fogd *f = c->fogd;

	c->preparing = 0;
	if (!f->reloading)
		return;
	f->reload_ok = false;
	finish_when_all_answered(f);
}
