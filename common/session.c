/* SPDX-License-Identifier: MIT */
/* Names of the numbers of session.h. */
#include "common/session.h"

#include "common/cleanup.h"

#define NAME_ROW(name, text) text,

static const char *const statuses[] = { "unknown", STATUSES(NAME_ROW) };
static const char *const ends[] = { "", END_REASONS(NAME_ROW) };
static const char *const stages[] = { "unknown", STAGES(NAME_ROW) };
static const char *const roles[] = { "unknown", "driver", "viewer" };
static const char *const sign_ins[] = { "unknown", SIGN_INS(NAME_ROW) };
static const char *const fetch_errors[] = { "ok", FETCH_ERRORS(NAME_ROW) };
static const char *const limits[] = { LIMITS(NAME_ROW) };
static const char *const node_states[] = { "unknown", NODE_STATES(NAME_ROW) };
static const char *const trusts[] = { "unknown", TRUSTS(NAME_ROW) };
static const char *const tiers[] = { "unknown", "fog", "cloud" };

const char *
session_status_name(unsigned status)
{
	return statuses[status < COUNT_OF(statuses) ? status : 0];
}

const char *
session_end_name(unsigned reason)
{
	return ends[reason < COUNT_OF(ends) ? reason : 0];
}

const char *
session_stage_name(unsigned stage)
{
	return stages[stage < COUNT_OF(stages) ? stage : 0];
}

const char *
session_role_name(unsigned role)
{
	return roles[role < COUNT_OF(roles) ? role : 0];
}

const char *
session_tier_name(unsigned tier)
{
	return tiers[tier < COUNT_OF(tiers) ? tier : 0];
}

const char *
session_node_state_name(unsigned state)
{
	return node_states[state < COUNT_OF(node_states) ? state : 0];
}

const char *
session_trust_name(unsigned trust)
{
	return trusts[trust < COUNT_OF(trusts) ? trust : 0];
}

const char *
session_sign_in_name(unsigned sign_in)
{
	return sign_ins[sign_in < COUNT_OF(sign_ins) ? sign_in : 0];
}

const char *
session_fetch_error_name(unsigned error)
{
	return error < COUNT_OF(fetch_errors) ? fetch_errors[error] : "unknown";
}

const char *
session_limit_name(unsigned limit)
{
	return limit < COUNT_OF(limits) ? limits[limit] : "unknown";
}

int
session_has_ended(unsigned status)
{
	return status >= STATUS_EXITED && status < STATUS_COUNT;
}
