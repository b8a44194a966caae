/* SPDX-License-Identifier: MIT */
/* The record of a session that session-init reads: see initplan.h. */
#include "ptyd/initplan.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"

static const struct field fields[] = { FIELDS_init_plan(CODEC_ROW, struct init_plan) };
const struct layout init_plan_layout = { "init_plan", fields, COUNT_OF(fields),
	sizeof(struct init_plan) };

int
init_plan_pipe(const struct init_plan *p)
{
	unsigned char record[INIT_PLAN_BYTES];
	cleanup_fd int from = -1, to = -1;
	struct writer w;
	int ends[2];

	writer_init(&w, record, sizeof(record));
	if (codec_put(&w, &init_plan_layout, p, NULL) != 0)
		return -EINVAL;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	from = ends[0];
	to = ends[1];
	return write(to, record, w.len) == (ssize_t)w.len ? steal_fd(&from) : -EIO;
}
