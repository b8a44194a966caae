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
	X(IDLE, "idle")           /* no input and no job for idle_timeout_seconds */

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
	X(ADOPT, "adopt")

#define ENUM_STATUS(name, text) STATUS_##name,
#define ENUM_END(name, text) END_##name,
#define ENUM_STAGE(name, text) STAGE_##name,

enum session_status { STATUS_NONE, STATUSES(ENUM_STATUS) STATUS_COUNT };
enum end_reason { END_NONE, END_REASONS(ENUM_END) END_COUNT };
enum spawn_stage { STAGE_NONE, STAGES(ENUM_STAGE) STAGE_COUNT };
enum attach_role { ROLE_NONE, ROLE_DRIVER, ROLE_VIEWER };
enum exit_kind { EXIT_NONE, EXIT_CODE, EXIT_SIGNAL };
enum node_tier { TIER_NONE, TIER_FOG, TIER_CLOUD };
enum connector { CONNECTOR_NONE, CONNECTOR_STUB };

#define SESSION_SLOTS 4096 /* live sessions of a node; one uid range each */
#define SESSION_IDS_PER_SLOT 65536

/* Static text; "unknown" for a number that is not in the table. */
const char *session_status_name(unsigned status);
const char *session_end_name(unsigned reason);
const char *session_stage_name(unsigned stage);
const char *session_role_name(unsigned role);
const char *session_tier_name(unsigned tier);
/* True once the shell is gone: exited, expired, terminated, failed, lost. */
int session_has_ended(unsigned status);

#endif
