/* SPDX-License-Identifier: MIT */
/* SIGHUP: every role prepares its new files; when all could, all change, else none (S22). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "ptyd/fogd.h"

/* Which file goes to which role. */
static const struct {
	enum reload_file file;
	enum proc_id to;
	size_t offset; /* in struct files */
} reload_rows[] = {
	{ FILE_POLICY, PROC_PLACERD, offsetof(struct files, policy) },
	{ FILE_TLS_CERT, PROC_GATEWAYD, offsetof(struct files, tls_cert) },
	{ FILE_TLS_KEY, PROC_GATEWAYD, offsetof(struct files, tls_key) },
};

static int
file_at(const struct files *files, size_t offset)
{
	return *(const int *)(const void *)((const char *)files + offset);
}

static void
commit_all(struct fogd *f, bool apply)
{
	struct pl_commit commit = { .apply = apply };

	for (size_t i = 0; i < FOGD_ROLES; i++) {
		if (f->children[i].control)
			peer_send(f->children[i].control, MSG_CTL_COMMIT, 0, NULL, &commit, -1);
	}
}

static void
finish(struct fogd *f)
{
	commit_all(f, f->reload_ok);
	if (f->reload_ok) {
		gifts_close_files(&f->files);
		f->files = f->next_files;
		log_info("event=reloaded");
	} else {
		gifts_close_files(&f->next_files);
		log_warnx("event=reload_refused detail=\"the old configuration stays\"");
	}
	f->next_files = (struct files){ -1, -1, -1 };
	notify_send("READY=1");
}

static void
ask(struct fogd *f, size_t row)
{
	struct child *c = child_of(f, reload_rows[row].to);
	struct pl_prepare prepare = { .file = (uint8_t)reload_rows[row].file };
	int fd = file_at(&f->next_files, reload_rows[row].offset);

	if (fd < 0)
		return;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || !c->control ||
	    peer_send(c->control, MSG_CTL_PREPARE, 0, NULL, &prepare, steal_fd(&fd)) != 0) {
		close_fd(&fd);
		f->reload_ok = false;
		return;
	}
	f->awaited++;
}

void
reload_begin(struct fogd *f)
{
	char err[512];

	if (f->awaited > 0) {
		log_warnx("event=reload_refused detail=\"one is under way\"");
		return;
	}
	notify_send("RELOADING=1");
	if (gifts_open_files(&f->config, &f->next_files, err, sizeof(err)) != 0) {
		log_warnx("event=reload_refused detail=\"%s\"", err);
		notify_send("READY=1");
		return;
	}
	f->reload_ok = true;
	for (size_t i = 0; i < COUNT_OF(reload_rows); i++)
		ask(f, i);
	if (f->awaited == 0)
		finish(f);
}

void
reload_answer(struct child *c, bool ok)
{
	struct fogd *f = c->fogd;

	if (f->awaited == 0)
		return;
	f->reload_ok = f->reload_ok && ok;
	if (--f->awaited == 0)
		finish(f);
}

/* A role that died in the middle: nobody changes, it starts again with the old files. */
void
reload_child_gone(struct child *c)
{
	struct fogd *f = c->fogd;

	if (f->awaited == 0)
		return;
	f->awaited = 0;
	f->reload_ok = false;
	finish(f);
}
