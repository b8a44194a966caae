/* SPDX-License-Identifier: MIT */
/* The errors of err.def: negative codes between functions, u16 between processes. */
#ifndef FOG_ERR_H
#define FOG_ERR_H

enum fog_err {
	FOG_OK = 0,
#define E(name, status, code, title) FOG_E_##name,
#include "common/err.def"
#undef E
	FOG_E_COUNT
};

/* All take a code of either sign; an unknown one reads as FOG_E_INTERNAL. Static strings. */
int err_http_status(int code);
const char *err_code(int code);
const char *err_title(int code);

#endif
