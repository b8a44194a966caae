/* SPDX-License-Identifier: MIT */
/* Words that travel between processes as numbers: append only. */
#ifndef FOG_SESSION_H
#define FOG_SESSION_H

/* X(NAME, text): the public name of a session's state (DESIGN 3.1). */
#define STATUSES(X) \
	X(STARTING, "starting") \
	X(RUNNING, "running") /* a driver is attached */ \
	X(DETACHED, "detached") \
	X(EXITED, "exited") \
	X(EXPIRED, "expired") \
	X(TERMINATED, "terminated") \
	X(FAILED, "failed") \
	X(LOST, "lost")

/* Why a session ended. */
#define END_REASONS(X) \
	X(EXIT, "exit") /* the shell ended by itself */ \
	X(TTL, "ttl") \
	X(REQUEST, "request") /* DELETE by its owner */ \
	X(SHUTDOWN, "shutdown") \
	X(SPAWN, "spawn_failed") \
	X(HOLDER, "holder_lost")  /* its holder died */ \
	X(ABANDONED, "abandoned") /* made, but the answer was never awaited */ \
	X(IDLE, "idle")           /* no input and no job for idle_timeout_seconds */ \
	X(REVOKED, "revoked")     /* its owner signed out, or was revoked by an admin */ \
	X(ADMIN, "admin")         /* ended by an admin, by its id */

/* Where the making of a session failed (a person sees the text). */
#define STAGES(X) \
	X(PLAN, "plan") \
	X(PTY, "pty") \
	X(SOCKET, "socket") \
	X(FORK, "fork") \
	X(NAMESPACE, "namespace") \
	X(IDS, "ids") \
	X(INIT, "init") \
	X(SHELL, "shell") \
	X(HOLDER, "holder") \
	X(ADOPT, "adopt") \
	X(IMAGE, "image") \
	X(STORAGE, "storage") \
	X(HOME, "home") \
	X(DEVICES, "devices") \
	X(NETWORK, "network") \
	X(ROOT, "root") \
	X(PROC, "proc") \
	X(TERMINAL, "terminal") \
	X(LIMITS, "limits") \
	X(FILTER, "filter")

#define ENUM_STATUS(name, text) STATUS_##name,
#define ENUM_END(name, text) END_##name,
#define ENUM_STAGE(name, text) STAGE_##name,

enum session_status { STATUS_NONE, STATUSES(ENUM_STATUS) STATUS_COUNT };
enum end_reason { END_NONE, END_REASONS(ENUM_END) END_COUNT };
enum spawn_stage { STAGE_NONE, STAGES(ENUM_STAGE) STAGE_COUNT };
enum attach_role { ROLE_NONE, ROLE_DRIVER, ROLE_VIEWER };
enum exit_kind { EXIT_NONE, EXIT_CODE, EXIT_SIGNAL };
enum node_tier { TIER_NONE, TIER_FOG, TIER_CLOUD };
enum connector { CONNECTOR_NONE, CONNECTOR_STUB, CONNECTOR_SANDBOX };
enum home_mode { HOME_EPHEMERAL, HOME_PERSISTENT };
enum limits_mode { LIMITS_REQUIRED, LIMITS_BEST_EFFORT };

/* The limits of a session (S29): bit 1 << LIMIT_x says that one holds. X(NAME, public name) */
#define LIMITS(X) \
	X(CPU, "cpu") \
	X(MEMORY, "memory") \
	X(SWAP, "swap") \
	X(PIDS, "pids") \
	X(IO, "io") \
	X(STORAGE, "storage")

#define ENUM_LIMIT(name, text) LIMIT_##name,
enum session_limit { LIMITS(ENUM_LIMIT) LIMIT_COUNT };

/* What is known of a session's consumption: bit 1 << USAGE_x of a usage record. */
enum session_usage {
	USAGE_CPU,
	USAGE_MEMORY,
	USAGE_MEMORY_PEAK,
	USAGE_PIDS,
	USAGE_OOM_KILLS,
	USAGE_CPU_PRESSURE,
	USAGE_MEMORY_PRESSURE,
	USAGE_IO_PRESSURE,
	USAGE_EGRESS_DENIED,
	USAGE_COUNT
};

enum auth_scheme { SCHEME_NONE, SCHEME_BEARER, SCHEME_DPOP }; /* RFC 6750 2.1, RFC 9449 7.1 */

/* How it stands with the identity provider's keys (GET /readyz). X(NAME, text) */
#define SIGN_INS(X) \
	X(DEV, "dev")         /* none is configured: any bearer is taken */ \
	X(WAITING, "waiting") /* no keys yet, or too old to be used */ \
	X(STALE, "stale")     /* the last fetch failed; the keys at hand still serve */ \
	X(READY, "ready")

#define ENUM_SIGN_IN(name, text) SIGN_IN_##name,
enum sign_in { SIGN_IN_NONE, SIGN_INS(ENUM_SIGN_IN) SIGN_IN_COUNT };

/* Why a fetch gave no answer. X(NAME, text for the log) */
#define FETCH_ERRORS(X) \
	X(URL, "url_not_https") \
	X(NAME, "name_not_resolved") \
	X(ADDRESS, \
	    "address_not_allowed") /* private, link-local, … of another host than the issuer's */ \
	X(CONNECT, "connection_failed") \
	X(TLS, "certificate_or_tls") \
	X(SIZE, "answer_too_large") \
	X(TIME, "timeout") \
	X(BUSY, "too_many_fetches") \
	X(PROTOCOL, "answer_not_http")

#define ENUM_FETCH_ERROR(name, text) FETCH_E_##name,
enum fetch_error { FETCH_OK, FETCH_ERRORS(ENUM_FETCH_ERROR) FETCH_E_COUNT };

enum fetch_to { FETCH_TO_NONE, FETCH_TO_PROVIDER, FETCH_TO_NODE };
enum fetch_method { METHOD_NONE, METHOD_GET, METHOD_POST, METHOD_PATCH, METHOD_DELETE };

/* What became of a request that was passed on. */
enum forward_result {
	FORWARD_NONE,
	FORWARD_DONE,    /* its answer is the answer: nothing more is to be tried */
	FORWARD_REFUSED, /* it has answered that it will not or cannot */
	FORWARD_FAILED, /* no answer, or one that is not to be believed: it may have done it all the same */
	FORWARD_BOUND, /* the token is DPoP-bound: the client has been sent there */
	FORWARD_COUNT
};

/* Of another node, as this one sees it. X(NAME, text) */
#define NODE_STATES(X) \
	X(UP, "up") \
	X(SUSPECT, "suspect") /* its last probes failed, too few to decide */ \
	X(DOWN, "unreachable") \
	X(DRAINING, "draining") /* by its own word, or cordoned here: it takes no new sessions */ \
	X(UNKNOWN, "unknown")   /* not heard of yet */

#define ENUM_NODE_STATE(name, text) NODE_##name,
enum node_state { NODE_STATE_NONE, NODE_STATES(ENUM_NODE_STATE) NODE_STATE_COUNT };

/* How far a node is trusted, rising. X(NAME, text) */
#define TRUSTS(X) \
	X(BASIC, "basic") \
	X(TRUSTED, "trusted") \
	X(ATTESTED, "attested")
#define ENUM_TRUST(name, text) TRUST_##name,
enum node_trust { TRUST_NONE, TRUSTS(ENUM_TRUST) TRUST_COUNT };

#define SESSION_IDS_PER_SLOT 65536
#define SESSION_RANGES 4096 /* of so many ids each, from SESSION_UID_BASE */
#define SESSION_SLOTS \
	(SESSION_RANGES - 1) /* live sessions of a node; the last range is their holders' */

/* Static text; "unknown" for a number that is not in the table. */
const char *session_status_name(unsigned status);
const char *session_end_name(unsigned reason);
const char *session_stage_name(unsigned stage);
const char *session_role_name(unsigned role);
const char *session_tier_name(unsigned tier);
const char *session_node_state_name(unsigned state);
const char *session_trust_name(unsigned trust);
const char *session_sign_in_name(unsigned sign_in);
const char *session_fetch_error_name(unsigned error);
const char *session_limit_name(unsigned limit);
/* True once the shell is gone: exited, expired, terminated, failed, lost. */
int session_has_ended(unsigned status);

#endif
