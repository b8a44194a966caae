/* SPDX-License-Identifier: MIT */
/* The table of err.def, and three ways to read it. */
#include "common/err.h"

struct err_row {
	int status;
	const char *code;
	const char *title;
};

static const struct err_row rows[] = {
	{ 200, "ok", "No error" },
#define E(name, status, code, title) { status, code, title },
#include "common/err.def"
#undef E
};

static const struct err_row *
row_of(int code)
{
	if (code < 0)
		code = -code;
	if (code < 0 || code >= FOG_E_COUNT)
		code = FOG_E_INTERNAL;
	return &rows[code];
}

int
err_http_status(int code)
{
	return row_of(code)->status;
}

const char *
err_code(int code)
{
	return row_of(code)->code;
}

const char *
err_title(int code)
{
	return row_of(code)->title;
}
