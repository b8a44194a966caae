/* SPDX-License-Identifier: MIT */
/* Conversation with the shell in a terminal: see terminal.h. */
#include "regress/bench/terminal.h"

#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "regress/bench/bench.h"

#define TAIL_BYTES 4096

/* The last bytes of output, in which something is looked for. */
struct tail {
	char text[TAIL_BYTES];
	size_t len;
};

static void
tail_append(struct tail *tail, struct view v)
{
	size_t keep;

	if (v.len >= TAIL_BYTES) {
		v.p += v.len - TAIL_BYTES;
		v.len = TAIL_BYTES;
	}
	keep = tail->len < TAIL_BYTES - v.len ? tail->len : TAIL_BYTES - v.len;
	memmove(tail->text, tail->text + tail->len - keep, keep);
	memcpy(tail->text + keep, v.p, v.len);
	tail->len = keep + v.len;
}

static bool
tail_ends_with(const struct tail *tail, const char *end)
{
	size_t len = strlen(end);

	return tail->len >= len && memcmp(tail->text + tail->len - len, end, len) == 0;
}

char *const terminal_shell_env[] = { "TERM=xterm-256color", "LANG=C.UTF-8", "SHELL=/bin/sh",
	"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games", "HOME=/tmp",
	"USER=session", "LOGNAME=session", NULL };

void
terminal_become_shell(void)
{
	char *argv[] = { "-sh", NULL };

	if (chdir("/tmp") == 0)
		execve("/bin/sh", argv, terminal_shell_env);
	_exit(127);
}

void
terminal_type_text(struct terminal *t, const char *text)
{
	t->ops->type(t, text, strlen(text));
}

void
terminal_expect(struct terminal *t, const char *text)
{
	struct tail tail = { .len = 0 };

	while (!memmem(tail.text, tail.len, text, strlen(text)))
		tail_append(&tail, t->ops->next(t, false));
}

void
terminal_expect_prompt(struct terminal *t)
{
	struct tail tail = { .len = 0 };

	while (!tail_ends_with(&tail, "$ ") && !tail_ends_with(&tail, "# "))
		tail_append(&tail, t->ops->next(t, false));
}

/* The words are cut in two, so that the echo of the command is not taken for its output. */
void
terminal_quieten(struct terminal *t)
{
	terminal_expect_prompt(t);
	terminal_type_text(t, "PS1=; stty -echo; printf 'QUI%s' ET\n");
	terminal_expect(t, "QUIET");
}
