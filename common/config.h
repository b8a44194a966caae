/* SPDX-License-Identifier: MIT */
/*
 * config.def expanded. fogd reads the environment once into struct config; each role gets a
 * record with the fields of its own and the defaults for the rest.
 */
#ifndef FOG_CONFIG_H
#define FOG_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/msg.h"

#define TO_GATEWAYD (1u << PROC_GATEWAYD)
#define TO_AUTHD (1u << PROC_AUTHD)
#define TO_PLACERD (1u << PROC_PLACERD)
#define TO_PTYD (1u << PROC_PTYD)
#define TO_SPAWNER (1u << PROC_SPAWNER)
#define TO_FETCHER (1u << PROC_FETCHER)
#define TO_PROBER (1u << PROC_PROBER)
#define TO_ALL UINT32_MAX

#include "common/config.def"

typedef uint32_t config_u32;
typedef bool config_flag;
typedef char *config_str; /* owned, never NULL */

struct config {
#define CONFIG_MEMBER(kind, field, VAR, def, min, max, who, help) config_##kind field;
	CONFIG(CONFIG_MEMBER)
#undef CONFIG_MEMBER
};

/*
 * Reads the environment (`get`: getenv or a test's). 0, or -1 with a message that names the
 * variable, its value (not of secret ones) and what would be right. *c is then empty.
 */
int config_from_env(struct config *c, const char *(*get)(const char *name), char *err,
    size_t err_size);
/* getenv; started without root RUN_DIR and STATE_DIR follow the user's directories (XDG Base Directory). */
const char *config_user_env(const char *name);
void config_fini(struct config *c); /* wipes the signing keys */

/* Every variable of the table out of this process's environment, secrets overwritten (S5). */
void config_clear_env(void);

/* The record of one role, and reading it there. 0 or -FOG_E_…; fields of others stay default. */
int config_put(struct writer *w, const struct config *c, enum proc_id role);
int config_get(struct reader *r, struct config *c, enum proc_id role);

/* What was understood, one `VARIABLE=value` a line; secrets as `set`. */
void config_print(const struct config *c, FILE *out);

/* LOG_LEVEL as a number of log.h; the table has checked it. */
int config_log_level(const struct config *c);

#endif
