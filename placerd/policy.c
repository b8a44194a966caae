/* SPDX-License-Identifier: MIT */
/* The table of policy.yaml's keys, and the table of admission's rules. */

#include "placerd/policy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/imageref.h"
#include "placerd/yaml.h"

#define DNS_PORT 53

struct policy {
	struct policy_profile *profiles;
	size_t n_profiles;
};

/* The file. */

static bool
is_name_end(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_profile_name(const char *name, size_t len)
{
	if (len == 0 || !is_name_end(name[0]) || !is_name_end(name[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_name_end(name[i]) && !strchr("-._", name[i]))
			return false;
	}
	return true;
}

/* The line goes beside the name, for a later profile of the same name. */
static int
set_profile_name(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	struct policy_profile *profile = (struct policy_profile *)((char *)field -
	    offsetof(struct policy_profile, name));

	if (scalar->len <= type->max && !is_profile_name(scalar->text, scalar->len)) {
		(void)snprintf(why, why_size,
		    "a name has a-z and 0-9, and inside also - . _; as in \"default\"");
		return -1;
	}
	profile->line = scalar->line;
	return yaml_set_string(type, scalar, &profile->name, why, why_size);
}

/* Words that stand for the numbers of an enum. */
struct words {
	const char *const *text;
	size_t count;
	const char *wanted;
};

static int
set_word(const struct words *words, const struct yaml_scalar *scalar, unsigned *value, char *why,
    size_t why_size)
{
	for (size_t i = 0; i < words->count; i++) {
		if (strcmp(scalar->text, words->text[i]) == 0) {
			*value = (unsigned)i;
			return 0;
		}
	}
	(void)snprintf(why, why_size, "must be %s", words->wanted);
	return -1;
}

static const char *const on_logouts[] = { [ON_LOGOUT_END] = "end", [ON_LOGOUT_DETACH] = "detach" };
static const char
    *const homes[] = { [HOME_EPHEMERAL] = "ephemeral", [HOME_PERSISTENT] = "persistent" };
static const char *const
    limits_modes[] = { [LIMITS_REQUIRED] = "required", [LIMITS_BEST_EFFORT] = "best-effort" };

const char *
policy_on_logout_name(enum on_logout on_logout)
{
	return on_logouts[on_logout < COUNT_OF(on_logouts) ? on_logout : ON_LOGOUT_END];
}

const char *
policy_home_name(enum home_mode home)
{
	return homes[home < COUNT_OF(homes) ? home : HOME_EPHEMERAL];
}

const char *
policy_limits_name(enum limits_mode limits_mode)
{
	return limits_modes[limits_mode < COUNT_OF(limits_modes) ? limits_mode : LIMITS_REQUIRED];
}

static int
set_on_logout(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	static const struct words words = { on_logouts, COUNT_OF(on_logouts), "end or detach" };

	(void)type;
	return set_word(&words, scalar, field, why, why_size);
}

static int
set_home(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	static const struct words words = { homes, COUNT_OF(homes), "ephemeral or persistent" };
	struct policy_profile *profile = (struct policy_profile *)((char *)field -
	    offsetof(struct policy_profile, limits.home));

	(void)type;
	profile->home_line = scalar->line;
	return set_word(&words, scalar, field, why, why_size);
}

static int
set_limits_mode(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	static const struct words words = { limits_modes, COUNT_OF(limits_modes),
		"required or best-effort" };

	(void)type;
	return set_word(&words, scalar, field, why, why_size);
}

static int
set_image(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct policy_image *image = field;
	const char *wrong = imageref_parse(view_bytes(scalar->text, scalar->len), &image->digest);

	if (wrong) {
		(void)snprintf(why, why_size, "%s", wrong);
		return -1;
	}
	return yaml_set_string(type, scalar, &image->ref, why, why_size);
}

static int
set_egress(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	const char *wrong = egress_parse(scalar->text, field);

	(void)type;
	if (!wrong)
		return 0;
	(void)snprintf(why, why_size, "%s", wrong);
	return -1;
}

/* What asking the resolver needs. */
static struct egress_rule
dns_query(const struct policy_dns *dns)
{
	struct egress_rule query = { .family = dns->len == 4 ? 4 : 6,
		.prefix = (uint8_t)(dns->len * 8),
		.protocol = EGRESS_UDP,
		.port_from = DNS_PORT,
		.port_to = DNS_PORT };

	memcpy(query.address, dns->address, dns->len);
	return query;
}

static int
set_dns(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct policy_dns *dns = field;
	struct egress_rule query;
	const char *wrong = "must be an IPv4 or IPv6 address, such as 10.0.0.53";

	(void)type;
	dns->line = scalar->line;
	if (inet_pton(AF_INET, scalar->text, dns->address) == 1)
		dns->len = 4;
	else if (inet_pton(AF_INET6, scalar->text, dns->address) == 1)
		dns->len = 16;
	query = dns_query(dns);
	if (dns->len > 0)
		wrong = egress_check(&query);
	if (!wrong)
		return 0;
	(void)snprintf(why, why_size, "%s", wrong);
	return -1;
}

static void *
append_image(void *list)
{
	struct policy_profile *profile = list;
	struct policy_image *grown;

	grown = reallocarray(profile->images, profile->n_images + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	profile->images = grown;
	memset(&grown[profile->n_images], 0, sizeof(*grown));
	return &grown[profile->n_images++];
}

/* The reader asks for no more than the list may have. */
static void *
append_egress(void *list)
{
	struct policy_limits *limits = &((struct policy_profile *)list)->limits;

	return &limits->egress[limits->n_egress++];
}

static void *
append_group(void *list)
{
	struct policy_profile *profile = list;
	char **grown;

	grown = reallocarray(profile->groups, profile->n_groups + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	profile->groups = grown;
	grown[profile->n_groups] = NULL;
	return &grown[profile->n_groups++];
}

static void *
append_profile(void *list)
{
	struct policy *policy = list;
	struct policy_profile *grown;

	grown = reallocarray(policy->profiles, policy->n_profiles + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	policy->profiles = grown;
	memset(&grown[policy->n_profiles], 0, sizeof(*grown));
	grown[policy->n_profiles].limits.pids = POLICY_PIDS_DEFAULT;
	return &grown[policy->n_profiles++];
}

static const struct yaml_type group_type = { .kind = YAML_KIND_SCALAR,
	.min = 1,
	.max = POLICY_GROUP_MAX_BYTES,
	.set = yaml_set_string };
static const struct yaml_type image_type = { .kind = YAML_KIND_SCALAR,
	.min = 1,
	.max = IMAGEREF_MAX_BYTES,
	.set = set_image };
static const struct yaml_type egress_type = { .kind = YAML_KIND_SCALAR, .set = set_egress };

/* clang-format off */
#define SCALAR_AS(key, presence, setter, member, least, most) \
	{ key, presence, offsetof(struct policy_profile, member), \
	  { .kind = YAML_KIND_SCALAR, .set = (setter), .min = (least), .max = (most) } }
#define SCALAR(key, setter, member, least, most) \
	SCALAR_AS(key, YAML_REQUIRED, setter, member, least, most)
#define OPTIONAL(key, setter, member, least, most) /* left out: as append_profile has it */ \
	SCALAR_AS(key, YAML_OPTIONAL, setter, member, least, most)
#define LIST_AS(key, presence, appender, item_type, least, most) /* into the whole struct */ \
	{ key, presence, 0, \
	  { .kind = YAML_KIND_LIST, .append = (appender), .item = &(item_type), \
	    .min = (least), .max = (most) } }
#define LIST(key, appender, item_type, least, most) \
	LIST_AS(key, YAML_REQUIRED, appender, item_type, least, most)
#define OPTIONAL_LIST(key, appender, item_type, most) \
	LIST_AS(key, YAML_OPTIONAL, appender, item_type, 0, most)
#define LATER(key) { key, YAML_RESERVED, 0, { 0 } }

static const struct yaml_key profile_keys[] = {
	SCALAR("name", set_profile_name, name, 1, POLICY_NAME_MAX_BYTES),
	SCALAR("cpu", yaml_set_cpu, limits.cpu_milli, 1, POLICY_CPU_MAX_MILLI),
	SCALAR("memory", yaml_set_bytes, limits.memory_bytes,
	       POLICY_MEMORY_MIN_BYTES, POLICY_MEMORY_MAX_BYTES),
	SCALAR("storage", yaml_set_bytes, limits.storage_bytes,
	       POLICY_STORAGE_MIN_BYTES, POLICY_STORAGE_MAX_BYTES),
	SCALAR("max_ttl_seconds", yaml_set_u32, max_ttl_seconds, 1, POLICY_TTL_MAX_SECONDS),
	SCALAR("max_sessions", yaml_set_u32, max_sessions, 1, POLICY_SESSIONS_MAX),
	LIST("allowed_groups", append_group, group_type, 0, POLICY_GROUPS_MAX),
	OPTIONAL("idle_timeout_seconds", yaml_set_u32, limits.idle_timeout_seconds,
		 0, POLICY_IDLE_MAX_SECONDS),
	OPTIONAL("ring_size", yaml_set_bytes, limits.ring_bytes,
		 POLICY_RING_MIN_BYTES, POLICY_RING_MAX_BYTES),
	OPTIONAL("on_logout", set_on_logout, limits.on_logout, 0, 0),
	OPTIONAL("pids", yaml_set_u32, limits.pids, POLICY_PIDS_MIN, POLICY_PIDS_MAX),
	OPTIONAL("io_weight", yaml_set_u32, limits.io_weight, 1, POLICY_IO_WEIGHT_MAX),
	OPTIONAL("home", set_home, limits.home, 0, 0),
	OPTIONAL("limits", set_limits_mode, limits.limits_mode, 0, 0),
	OPTIONAL_LIST("images", append_image, image_type, POLICY_IMAGES_MAX),
	OPTIONAL_LIST("egress", append_egress, egress_type, EGRESS_RULES_MAX),
	OPTIONAL("dns", set_dns, limits.dns, 0, 0),
	LATER("regions"),
	LATER("data_labels"),
	LATER("min_trust"),
	LATER("recording"),
	LATER("shell"),
	{ 0 }
};

static const struct yaml_type profile_type = { .kind = YAML_KIND_MAP, .keys = profile_keys };

static const struct yaml_key policy_keys[] = {
	LIST("profiles", append_profile, profile_type, 1, POLICY_PROFILES_MAX),
	{ 0 }
};
/* clang-format on */

static const struct yaml_type policy_type = { .kind = YAML_KIND_MAP, .keys = policy_keys };

_Static_assert(COUNT_OF(profile_keys) <= YAML_KEYS_MAX, "the reader has no room for these keys");

static int
check_names_differ(const struct policy *policy, const char *file_name, char *err, size_t err_size)
{
	for (size_t i = 1; i < policy->n_profiles; i++) {
		const struct policy_profile *profile = &policy->profiles[i], *first;
		char path[40];

		first = policy_find_profile(policy, view_of(profile->name));
		if (first == profile)
			continue;
		(void)snprintf(path, sizeof(path), "profiles[%zu].name", i);
		yaml_format_error(err, err_size, file_name, profile->line, path,
		    "\"%s\" is the name of the profile on line %zu already", profile->name,
		    first->line);
		return -1;
	}
	return 0;
}

/* Link-local and the like, which a rule reaches only if it names them. */
static bool
wants_naming(const struct egress_rule *query)
{
	for (size_t i = 0; i < egress_range_count; i++) {
		const struct egress_range *range = &egress_ranges[i];

		if (range->family == query->family &&
		    egress_is_within(query, range->prefix, range->address))
			return true;
	}
	return false;
}

/* The rule for the host's own addresses (common/egress.h) cannot be held against it here. */
static bool
rule_lets_dns_out(const struct egress_rule *rule, const struct policy_dns *dns)
{
	struct egress_rule query = dns_query(dns);

	if (rule->protocol != EGRESS_ANY && rule->protocol != EGRESS_UDP)
		return false;
	if (rule->port_to != 0 && (rule->port_from > DNS_PORT || rule->port_to < DNS_PORT))
		return false;
	return rule->family == query.family &&
	    egress_is_within(&query, rule->prefix, rule->address) &&
	    (!wants_naming(&query) || egress_reach_of(rule) == EGRESS_NAMED);
}

static bool
can_reach_its_dns(const struct policy_limits *limits)
{
	for (size_t i = 0; i < limits->n_egress; i++) {
		if (rule_lets_dns_out(&limits->egress[i], &limits->dns))
			return true;
	}
	return limits->dns.len == 0;
}

/* A resolver that no packet reaches makes every name a long wait: said here, not found out there. */
static int
check_dns(const struct policy *policy, const char *file_name, char *err, size_t err_size)
{
	for (size_t i = 0; i < policy->n_profiles; i++) {
		const struct policy_dns *dns = &policy->profiles[i].limits.dns;
		char path[40], address[INET6_ADDRSTRLEN] = "";

		if (can_reach_its_dns(&policy->profiles[i].limits))
			continue;
		(void)inet_ntop(dns->len == 4 ? AF_INET : AF_INET6, dns->address, address,
		    sizeof(address));
		(void)snprintf(path, sizeof(path), "profiles[%zu].dns", i);
		yaml_format_error(err, err_size, file_name, dns->line, path,
		    "no egress rule lets UDP port 53 through to %s; add \"%s udp 53\" to egress",
		    address, address);
		return -1;
	}
	return 0;
}

static int
check_homes(const struct policy *policy, const char *file_name, char *err, size_t err_size)
{
	for (size_t i = 0; i < policy->n_profiles; i++) {
		const struct policy_profile *profile = &policy->profiles[i];
		char path[40];

		if (profile->limits.home != HOME_PERSISTENT ||
		    profile->limits.storage_bytes >= POLICY_STORAGE_MIN_WITH_HOME_BYTES)
			continue;
		(void)snprintf(path, sizeof(path), "profiles[%zu].home", i);
		yaml_format_error(err, err_size, file_name, profile->home_line, path,
		    "a persistent home needs a storage of at least 64Mi");
		return -1;
	}
	return 0;
}

struct policy *
policy_new_from_yaml(const char *file_name, const void *bytes, size_t len, char *err,
    size_t err_size)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy) {
		yaml_format_error(err, err_size, file_name, 1, "", "out of memory");
		return NULL;
	}
	if (yaml_read(file_name, bytes, len, &policy_type, policy, err, err_size) < 0 ||
	    check_names_differ(policy, file_name, err, err_size) < 0 ||
	    check_dns(policy, file_name, err, err_size) < 0 ||
	    check_homes(policy, file_name, err, err_size) < 0) {
		policy_free(policy);
		return NULL;
	}
	return policy;
}

static void
profile_fini(struct policy_profile *profile)
{
	for (size_t i = 0; i < profile->n_groups; i++)
		free(profile->groups[i]);
	free(profile->groups);
	for (size_t i = 0; i < profile->n_images; i++)
		free(profile->images[i].ref);
	free(profile->images);
	free(profile->name);
}

void
policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->n_profiles; i++)
		profile_fini(&policy->profiles[i]);
	free(policy->profiles);
	free(policy);
}

const struct policy_profile *
policy_profile_at(const struct policy *policy, size_t index)
{
	return index < policy->n_profiles ? &policy->profiles[index] : NULL;
}

const struct policy_profile *
policy_find_profile(const struct policy *policy, struct view name)
{
	for (size_t i = 0; i < policy->n_profiles; i++) {
		if (view_is(name, policy->profiles[i].name))
			return &policy->profiles[i];
	}
	return NULL;
}

/* Admission. */

struct inquiry {
	const struct policy_identity *identity;
	const struct policy_request *request;
	const struct policy_profile *profile; /* NULL: unknown */
	uint32_t live_sessions;
	uint32_t life_seconds; /* of the session that is to live longer; 0: of a new one */
};

/* Returns true when the rule has nothing against it; otherwise says what would have to change. */
typedef bool rule_fn(const struct inquiry *inquiry, char *detail, size_t size);

static bool
is_somebody(const struct policy_identity *identity)
{
	return identity->issuer.len > 0 && identity->subject.len > 0;
}

bool
policy_visible(const struct policy_identity *identity, const struct policy_profile *profile)
{
	if (!is_somebody(identity))
		return false;
	for (size_t i = 0; i < profile->n_groups; i++) {
		if (list_holds(identity->groups, view_of(profile->groups[i])))
			return true;
	}
	return profile->n_groups == 0;
}

static bool
rule_identity(const struct inquiry *inquiry, char *detail, size_t size)
{
	if (is_somebody(inquiry->identity))
		return true;
	(void)snprintf(detail, size, "the request must come from an authenticated subject");
	return false;
}

static bool
rule_profile(const struct inquiry *inquiry, char *detail, size_t size)
{
	if (inquiry->profile)
		return true;
	(void)snprintf(detail, size,
	    "no profile has this name; GET /v1/profiles lists those you may ask for");
	return false;
}

/* Adds ", name", or ", ..." in its place when it does not fit: never half a character. */
static bool
append_name(char *text, size_t size, const char *separator, const char *name)
{
	size_t len = strlen(text), ellipsis = sizeof(", ...") - 1;

	if (len + strlen(separator) + strlen(name) + ellipsis >= size) {
		(void)snprintf(text + len, size - len, ", ...");
		return false;
	}
	(void)snprintf(text + len, size - len, "%s%s", separator, name);
	return true;
}

static bool
rule_groups(const struct inquiry *inquiry, char *detail, size_t size)
{
	const struct policy_profile *profile = inquiry->profile;

	if (policy_visible(inquiry->identity, profile))
		return true;
	(void)snprintf(detail, size, "profile \"%s\" is for members of ", profile->name);
	for (size_t i = 0; i < profile->n_groups; i++) {
		if (!append_name(detail, size, i ? ", " : "", profile->groups[i]))
			break;
	}
	return false;
}

/* Those allowed, behind the text that is there. */
static void
append_images(char *detail, size_t size, const struct policy_profile *profile)
{
	for (size_t i = 0; i < profile->n_images; i++) {
		if (!append_name(detail, size, i ? ", " : "", profile->images[i].ref))
			return;
	}
}

static bool
rule_digest(const struct inquiry *inquiry, char *detail, size_t size)
{
	const struct policy_request *request = inquiry->request;
	const struct policy_profile *profile = inquiry->profile;
	struct raw32 digest;
	const char *wrong;

	if (!request->needs_image || request->image_ref.len == 0 || profile->n_images == 0)
		return true;
	wrong = imageref_parse(request->image_ref, &digest);
	if (!wrong)
		return true;
	(void)snprintf(detail, size, "%s; profile \"%s\" allows ", wrong, profile->name);
	append_images(detail, size, profile);
	return false;
}

/* The one asked for, or the first; NULL: it is none of them. */
static const struct policy_image *
find_image(const struct policy_request *request, const struct policy_profile *profile)
{
	struct raw32 digest;

	if (request->image_ref.len == 0)
		return profile->n_images ? &profile->images[0] : NULL;
	if (imageref_parse(request->image_ref, &digest))
		return NULL;
	for (size_t i = 0; i < profile->n_images; i++) {
		if (memcmp(&profile->images[i].digest, &digest, sizeof(digest)) == 0)
			return &profile->images[i];
	}
	return NULL;
}

static bool
rule_images(const struct inquiry *inquiry, char *detail, size_t size)
{
	const struct policy_request *request = inquiry->request;
	const struct policy_profile *profile = inquiry->profile;

	if (request->needs_image ? find_image(request, profile) != NULL
				 : request->image_ref.len == 0)
		return true;
	if (!request->needs_image) {
		(void)snprintf(detail, size, "profile \"%s\" allows no image_ref; leave it out",
		    profile->name);
	} else if (profile->n_images == 0) {
		(void)snprintf(detail, size,
		    "profile \"%s\" names no image to run in: an admin has to list one under "
		    "images in policy.yaml, with the digest that `fogctl image list` shows",
		    profile->name);
	} else {
		(void)snprintf(detail, size, "profile \"%s\" allows ", profile->name);
		append_images(detail, size, profile);
	}
	return false;
}

static bool
rule_ttl(const struct inquiry *inquiry, char *detail, size_t size)
{
	if (inquiry->request->ttl_seconds <= inquiry->profile->max_ttl_seconds)
		return true;
	(void)snprintf(detail, size, "profile \"%s\" allows a ttl_seconds of at most %u",
	    inquiry->profile->name, inquiry->profile->max_ttl_seconds);
	return false;
}

static uint32_t
wanted_ttl(const struct inquiry *inquiry)
{
	uint32_t wish = inquiry->request->ttl_seconds;

	return wish ? wish : inquiry->profile->max_ttl_seconds;
}

static bool
rule_life(const struct inquiry *inquiry, char *detail, size_t size)
{
	if (wanted_ttl(inquiry) >= inquiry->life_seconds)
		return true;
	(void)snprintf(detail, size,
	    "the session lives for %u seconds as it is, and is made no shorter; end it instead",
	    inquiry->life_seconds);
	return false;
}

static bool
rule_sessions(const struct inquiry *inquiry, char *detail, size_t size)
{
	if (inquiry->live_sessions < inquiry->profile->max_sessions)
		return true;
	(void)snprintf(detail, size,
	    "profile \"%s\" allows %u at a time and you have %u; end one first",
	    inquiry->profile->name, inquiry->profile->max_sessions, inquiry->live_sessions);
	return false;
}

static rule_fn *const rules[POLICY_ALLOW] = {
	[POLICY_IDENTITY] = rule_identity,
	[POLICY_PROFILE] = rule_profile,
	[POLICY_GROUPS] = rule_groups,
	[POLICY_DIGEST] = rule_digest,
	[POLICY_IMAGES] = rule_images,
	[POLICY_TTL] = rule_ttl,
	[POLICY_LIFE] = rule_life,
	[POLICY_SESSIONS] = rule_sessions,
};

static void
allow(const struct inquiry *inquiry, struct policy_decision *decision)
{
	const struct policy_image *image = find_image(inquiry->request, inquiry->profile);

	decision->rule = POLICY_ALLOW;
	decision->limits = inquiry->profile->limits;
	decision->max_sessions = inquiry->profile->max_sessions;
	decision->ttl_seconds = wanted_ttl(inquiry);
	if (inquiry->request->needs_image && image)
		decision->image = image->digest;
}

static void
decide(const struct inquiry *inquiry, struct policy_decision *decision)
{
	memset(decision, 0, sizeof(*decision));
	for (unsigned int rule = 0; rule < POLICY_ALLOW; rule++) {
		decision->rule = rule;
		if (!rules[rule](inquiry, decision->detail, sizeof(decision->detail)))
			return;
	}
	allow(inquiry, decision);
}

void
policy_admit(const struct policy *policy, const struct policy_identity *identity,
    const struct policy_request *request, uint32_t live_sessions, struct policy_decision *decision)
{
	const struct inquiry inquiry = {
		.identity = identity,
		.request = request,
		.profile = policy_find_profile(policy, request->profile),
		.live_sessions = live_sessions,
	};

	decide(&inquiry, decision);
}

void
policy_extend(const struct policy *policy, const struct policy_identity *identity,
    const struct policy_request *request, uint32_t life_seconds, struct policy_decision *decision)
{
	const struct inquiry inquiry = {
		.identity = identity,
		.request = request,
		.profile = policy_find_profile(policy, request->profile),
		.life_seconds = life_seconds,
	};

	decide(&inquiry, decision);
}

#define RULE_ROW(name, error, rule_id) [POLICY_##name] = { error, rule_id },

static const struct {
	enum fog_err error;
	const char *rule_id;
} rule_rows[] = { POLICY_RULES(RULE_ROW) };

enum fog_err
policy_rule_error(enum policy_rule rule)
{
	return rule < POLICY_RULE_COUNT ? rule_rows[rule].error : FOG_E_INTERNAL;
}

const char *
policy_rule_id(enum policy_rule rule)
{
	return rule < POLICY_RULE_COUNT ? rule_rows[rule].rule_id : "unknown";
}
