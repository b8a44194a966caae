/* SPDX-License-Identifier: MIT */
/* The reasons for which a token is refused, by number. */
#include "authd/tokenerr.h"

#include <stddef.h>

#include "common/cleanup.h"

static const struct {
	const char *code, *answer;
} rows[] = { [TOKEN_OK] = { "ok", NULL },
#define TOKEN_ROW(name, code, answer) [TOKEN_E_##name] = { code, answer },
	TOKEN_ERRORS(TOKEN_ROW)
#undef TOKEN_ROW
};

const char *
token_error_code(int error)
{
	if (error > 0 || error <= -(int)COUNT_OF(rows))
		return "unknown";
	return rows[-error].code;
}

const char *
token_error_answer(int error)
{
	if (error > 0 || error <= -(int)COUNT_OF(rows))
		return NULL;
	return rows[-error].answer;
}
