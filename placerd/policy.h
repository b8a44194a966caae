/* SPDX-License-Identifier: MIT */
/*
 * What may be had, and by whom: the profiles of policy.yaml (fog-policy.yaml(5)), and admission as
 * a pure function that denies unless every rule passes (S23).
 */
#ifndef PLACERD_POLICY_H
#define PLACERD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/codec.h"
#include "common/egress.h"
#include "common/err.h"
#include "common/session.h"

#define POLICY_PROFILES_MAX 1024
#define POLICY_NAME_MAX_BYTES 64
#define POLICY_GROUPS_MAX 64
#define POLICY_GROUP_MAX_BYTES 128
#define POLICY_TTL_MAX_SECONDS (86400 * 7)
#define POLICY_SESSIONS_MAX 64
#define POLICY_CPU_MAX_MILLI UINT64_C(1024000)
#define POLICY_MEMORY_MIN_BYTES (UINT64_C(8) << 20)
#define POLICY_MEMORY_MAX_BYTES (UINT64_C(1) << 44) /* 16Ti */
#define POLICY_STORAGE_MIN_BYTES (UINT64_C(16) << 20)
#define POLICY_STORAGE_MAX_BYTES (UINT64_C(1) << 43)
#define POLICY_STORAGE_MIN_WITH_HOME_BYTES (UINT64_C(64) << 20) /* a quarter of it is the rest */
#define POLICY_PIDS_MIN 2
#define POLICY_PIDS_MAX 4194304 /* the kernel's own limit */
#define POLICY_PIDS_DEFAULT 512
#define POLICY_IO_WEIGHT_MAX 10000
#define POLICY_IMAGES_MAX 16
#define POLICY_PLACES_MAX 16      /* regions, and data labels, of one profile */
#define POLICY_SHELL_MAX_BYTES 31 /* a struct raw32 with its NUL */
#define POLICY_IDLE_MAX_SECONDS POLICY_TTL_MAX_SECONDS
#define POLICY_RING_MIN_BYTES (UINT64_C(64) << 10)
#define POLICY_RING_MAX_BYTES (UINT64_C(64) << 20)
#define POLICY_DETAIL_BYTES 400
#define POLICY_CHANGE_BYTES 201
#define POLICY_VERSION_SIZE 17 /* 16 hex digits and a NUL */

/* What a session does when its owner signs out at the provider, or is revoked by an admin. */
enum on_logout { ON_LOGOUT_END, ON_LOGOUT_DETACH };
const char *policy_on_logout_name(enum on_logout on_logout); /* as in the file; static */
const char *policy_home_name(enum home_mode home);
const char *policy_limits_name(enum limits_mode limits_mode);

/* The resolver of a session. */
struct policy_dns {
	unsigned char address[16]; /* network order */
	size_t len;                /* 0: none, 4 or 16 */
	size_t line;               /* where it stands in the file, from 1 */
};

/* What one session gets. */
struct policy_limits {
	uint64_t cpu_milli; /* thousandths of a CPU */
	uint64_t memory_bytes;
	uint64_t storage_bytes;
	uint64_t ring_bytes;           /* of output kept; 0: the profile does not say */
	uint32_t idle_timeout_seconds; /* 0: none */
	enum on_logout on_logout;
	uint32_t pids;
	uint32_t io_weight; /* 0: the profile does not say */
	enum home_mode home;
	enum limits_mode limits_mode;
	struct raw32 shell; /* its path, then NUL to the end; all NUL: the profile does not say */
	struct policy_dns dns;
	struct egress_rule egress[EGRESS_RULES_MAX];
	size_t n_egress; /* none: nothing may go out */
};

/* Of a region or a data label, with its NUL. */
typedef char policy_name[POLICY_NAME_MAX_BYTES + 1];

struct policy_image {
	char *ref; /* as in the file */
	struct raw32 digest;
};

struct policy_profile {
	char *name;
	size_t line;      /* where its name stands in the file, from 1 */
	size_t home_line; /* likewise; 0: it does not say */
	struct policy_limits limits;
	uint32_t max_ttl_seconds;
	uint32_t max_sessions; /* of one subject, at one time */
	char **groups;         /* none: every authenticated subject */
	size_t n_groups;
	struct view *groups_sorted;  /* the same by view_compare */
	struct policy_image *images; /* the first is for who asks for none */
	size_t n_images;
	policy_name regions[POLICY_PLACES_MAX];
	size_t n_regions; /* none: every region */
	policy_name labels[POLICY_PLACES_MAX];
	size_t n_labels; /* a node must have all of these data labels */
	enum node_trust min_trust;
};

struct policy;

/*
 * Reads policy.yaml, given as bytes; file_name is for messages only. Returns a policy that owns
 * its memory, or NULL with "FILE:LINE: message" in err (YAML_ERROR_BYTES are enough).
 */
struct policy *policy_new_from_yaml(const char *file_name, const void *bytes, size_t len, char *err,
    size_t err_size);
void policy_free(struct policy *policy);

/* Which policy this is: the first 16 hex digits of the SHA-256 of the file's bytes. Borrowed. */
const char *policy_version(const struct policy *policy);

/* The profile at index, in the order of the file, or NULL past the end. Borrowed. */
const struct policy_profile *policy_profile_at(const struct policy *policy, size_t index);

/* Borrowed, or NULL. Names are compared byte by byte. In the time of log n. */
const struct policy_profile *policy_find_profile(const struct policy *policy, struct view name);

/* As authd asserts it. Without both an issuer and a subject it is nobody (S18). */
struct policy_identity {
	struct view issuer;
	struct view subject;
	struct view groups; /* packed, see list_next */
};

struct policy_request {
	struct view profile;
	uint32_t ttl_seconds;  /* 0: as long as the profile allows */
	struct view image_ref; /* empty: none */
	bool needs_image;      /* the session is to run in an image (RUNTIME=sandbox) */
};

/*
 * R(NAME, error, rule_id): every decision, and the order in which the rules are tried: the first
 * that does not pass decides. Who is asking comes first, so that a request for a profile which one
 * may not use says nothing more about it; the session count comes last, since it alone changes
 * from one moment to the next. Behind ALLOW is what placement denies after admission, in the order
 * of its constraints (placerd/place.h). An all-zero decision is a denial.
 */
#define POLICY_RULES(R) \
	R(IDENTITY, FOG_E_DENIED, "identity.missing") \
	R(PROFILE, FOG_E_UNKNOWN_PROFILE, "profile.unknown") \
	R(GROUPS, FOG_E_DENIED, "profile.allowed_groups") \
	R(DIGEST, FOG_E_IMAGE_REF, "profile.images") \
	R(IMAGES, FOG_E_DENIED, "profile.images") \
	R(TTL, FOG_E_TTL, "profile.max_ttl_seconds") \
	R(LIFE, FOG_E_TTL, "session.not_shorter") \
	R(SESSIONS, FOG_E_QUOTA, "profile.max_sessions") \
	R(ALLOW, FOG_OK, "profile.admitted") \
	R(REGIONS, FOG_E_DENIED, "profile.regions") \
	R(LABELS, FOG_E_DENIED, "profile.data_labels") \
	R(TRUST, FOG_E_DENIED, "profile.min_trust") \
	R(HEALTHY, FOG_E_NO_NODE, "node.healthy") \
	R(DRAINING, FOG_E_FULL, "node.draining") \
	R(FULL, FOG_E_FULL, "node.max_sessions") \
	R(NOWHERE, FOG_E_NO_NODE, "placement.no_node")

#define POLICY_RULE_ENUM(name, error, rule_id) POLICY_##name,
enum policy_rule { POLICY_RULES(POLICY_RULE_ENUM) POLICY_RULE_COUNT };

struct policy_decision {
	enum policy_rule rule;             /* POLICY_ALLOW, or the one that denied */
	char version[POLICY_VERSION_SIZE]; /* of the policy that decided */
	/* Denied: what would have to change, as clean text for a person and for a program. */
	char detail[POLICY_DETAIL_BYTES];
	char change[POLICY_CHANGE_BYTES];
	/* Admitted, also when placement denies: */
	struct policy_limits limits;
	policy_name regions[POLICY_PLACES_MAX];
	size_t n_regions; /* none: every region */
	policy_name labels[POLICY_PLACES_MAX];
	size_t n_labels;
	enum node_trust min_trust;
	uint32_t ttl_seconds;
	uint32_t max_sessions; /* for quota_reserve in the same turn of the event loop */
	struct raw32 image;    /* 0: it needs none */
};

/*
 * `change` of a decision is the smallest change after which the rule that denied does not deny any
 * more: one or more of these, joined by "; ", and all of them are needed. Another rule may deny then.
 *
 *   NAME <= NUMBER   NAME >= NUMBER   NAME >= WORD   NAME: present   NAME: absent
 *   NAME: one of A, B   NAME: all of A, B        (", ..." at the end: there are more)
 *
 * NAME is a member of the request; "identity" or "group" of whoever asks; "sessions", which that
 * subject has in the profile; "policy.KEY", the profile's in policy.yaml; or "node.WHAT", of one node
 * at least. It names no profile and no image that the subject may not ask for.
 */

/*
 * Decides one request. live_sessions: those that the subject has in that profile now, with the
 * ones being made. Copies all it says, so the decision outlives a reload of the policy.
 */
void policy_admit(const struct policy *policy, const struct policy_identity *identity,
    const struct policy_request *request, uint32_t live_sessions, struct policy_decision *decision);

/*
 * Decides whether a session of request->profile that lives life_seconds in all may live
 * request->ttl_seconds: by the same rules, but that it takes no further place. Allowed:
 * decision->ttl_seconds is its whole life from its making.
 */
void policy_extend(const struct policy *policy, const struct policy_identity *identity,
    const struct policy_request *request, uint32_t life_seconds, struct policy_decision *decision);

/*
 * Why no node is fit. Constraints are met one after the other, so the one to name is that which
 * takes the last node: given POLICY_ALLOW first and then each answer again, with place_judge of the
 * next node as against (not 0), the last answer is the rule for policy_deny_placement. In any order.
 */
enum policy_rule policy_rule_of_placement(enum policy_rule so_far, uint32_t against);

/*
 * Makes a denial by rule of a decision that admitted the request for that profile; POLICY_ALLOW: there
 * was no node to look at.
 */
void policy_deny_placement(struct policy_decision *decision, enum policy_rule rule,
    struct view profile);

/* Is the profile shown to this identity (GET /v1/profiles)? As admission would decide on groups. */
bool policy_visible(const struct policy_identity *identity, const struct policy_profile *profile);

/* The error of err.def (positive, FOG_OK when allowed) and the static rule id of a decision. */
enum fog_err policy_rule_error(enum policy_rule rule);
const char *policy_rule_id(enum policy_rule rule);

#endif
