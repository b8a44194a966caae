/* SPDX-License-Identifier: MIT */
/*
 * One session as placerd knows it, and the only function that changes its state. The living
 * holders are the truth: all of this can be told again by ptyd, and is when either restarts.
 */
#ifndef PLACERD_SESSION_H
#define PLACERD_SESSION_H

#include <stdbool.h>

#include "common/id.h"
#include "common/msg.h"
#include "common/session.h"
#include "placerd/policy.h"

struct audit;
struct quota;

/* Text with its NUL; the bounds are those of messages.def. */
struct session {
	struct id128 id;
	char issuer[256], subject[256];
	char sid[256]; /* of the token that made it; empty: it had none */
	char profile[65], node[65], region[65], placement_reason[65];
	char idem_key[129]; /* empty: none, or no longer to be repeated */
	uint64_t idem_hash;
	struct raw32 image; /* its digest; 0: none, or none is known */
	enum node_tier tier;
	uint64_t created_s, expires_s; /* wall clock, for display */
	uint64_t born_mono_ms;
	/*
	 * Of the sign-in under which it was driven last; 0: it had no sid, or an earlier placerd knew.
	 * Who signs out of that wants it to end, though an earlier sign-in of theirs has made it.
	 */
	uint64_t driver_sid_hash;
	struct trace trace; /* of the request that made it */
	int make_error;     /* why it could not be made; 0 */
	/*
	 * As its profile said when it was made. That is kept here alone: what another placerd has made
	 * follows the present policy, and a profile that is gone ends its sessions.
	 */
	enum on_logout on_logout;

	/* Changed by session_set_state alone. */
	enum session_status status;
	enum end_reason end_reason;
	enum exit_kind exit_kind;
	uint32_t exit_value;
	uint64_t ended_mono_ms;

	uint64_t cpu_milli, memory_bytes; /* promised to it, as its profile said; 0: not known */
	uint64_t
	    confirm_by_boot_ms; /* made for another node: its holder ends it then; 0: it stays */

	bool is_counted;       /* in the quota; released when it ends */
	bool is_named;         /* in the list that ptyd is telling, or has told last */
	bool is_other_version; /* of its holder, by that list: it cannot be attached */
	bool is_abandoned;     /* made for nobody: to be ended */

	/* What revoke.c has ordered of ptyd, in case that it did not arrive. */
	enum end_reason end_due; /* END_NONE: no end */
	bool detach_due;
	uint64_t detach_sid_hash, detach_mono_ms;
};

struct session_change {
	enum session_status status;
	enum end_reason end_reason; /* END_NONE while it lives */
	enum exit_kind exit_kind;
	uint32_t exit_value;
};

/* What a change of state is told to. */
struct session_keepers {
	struct audit *audit;
	struct quota *quota;
};

/* Copies who, what and where, but no state. 0, or -FOG_E_BOUNDS when a text does not fit. */
int session_fill(struct session *s, const struct pl_owned *from);

/* May a session in `from` (STATUS_NONE: not known yet) become `to`? An end is final. */
bool session_may_become(enum session_status from, enum session_status to);

/*
 * Logs old and new state by name; at an end also writes session.terminated to the audit log and
 * gives the place in the quota back. 0; -FOG_E_INTERNAL when the change is not legal, and then
 * nothing has changed. To the state it is in: 0, and nothing happens.
 */
int session_set_state(struct session *s, const struct session_change *to,
    const struct session_keepers *keepers);

/* Somebody is attached, or has renewed that, in this role and under this sign-in. */
void session_driven(struct session *s, uint8_t role, uint64_t sid_hash);

bool session_is_owned_by(const struct session *s, struct view issuer, struct view subject);

/* Counts the session; max as for quota_reserve. 0, or its error. */
int session_count(struct session *s, const struct session_keepers *keepers, uint32_t max);
void session_uncount(struct session *s, const struct session_keepers *keepers);

/* For the wire; borrows from s. */
struct pl_session session_to_wire(const struct session *s);

#endif
