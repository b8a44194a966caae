/* SPDX-License-Identifier: MIT */
/* The table of policy.yaml's keys, and the table of admission's rules. */

#include "placerd/policy.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/imageref.h"
#include "placerd/place.h"
#include "placerd/yaml.h"

#define DNS_PORT 53

/* A group that may use a profile; an empty one stands for everybody. */
struct access {
	struct view group;
	const struct policy_profile *profile;
};

struct policy {
	struct policy_profile *profiles; /* in the order of the file */
	size_t n_profiles;
	const struct policy_profile **by_name; /* sorted */
	struct access *access;                 /* sorted by group, then as in the file */
	size_t n_access;
	char version[POLICY_VERSION_SIZE];
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

/* Words that stand for the numbers of an enum; NULL stands for none. */
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
		if (words->text[i] && strcmp(scalar->text, words->text[i]) == 0) {
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
#define TRUST_WORD(name, text) [TRUST_##name] = (text),
static const char *const trusts[] = { TRUSTS(TRUST_WORD) };
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
set_min_trust(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	static const struct words words = { trusts, COUNT_OF(trusts),
		"basic, trusted or attested" };

	(void)type;
	return set_word(&words, scalar, field, why, why_size);
}

/* Nothing is recorded yet, and a profile may say that it relies on that. */
static int
set_recording(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	(void)type;
	(void)field;
	if (strcmp(scalar->text, "off") == 0)
		return 0;
	(void)snprintf(why, why_size,
	    "not built yet in this version; write off, or remove the key");
	return -1;
}

/* Of regions and data labels: an answer lists them with commas. */
static bool
is_place_name(const char *name, size_t len)
{
	return len >= 1 && len <= POLICY_NAME_MAX_BYTES &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/") ==
	    len;
}

static int
set_place_name(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field,
    char *why, size_t why_size)
{
	(void)type;
	if (!is_place_name(scalar->text, scalar->len)) {
		(void)snprintf(why, why_size,
		    "must be 1 to %d of a-z A-Z 0-9 - . _ : /, as in \"eu-west\"",
		    POLICY_NAME_MAX_BYTES);
		return -1;
	}
	memcpy(field, scalar->text, scalar->len + 1);
	return 0;
}

static int
set_shell(const struct yaml_type *type, const struct yaml_scalar *scalar, void *field, char *why,
    size_t why_size)
{
	struct raw32 *shell = field;

	(void)type;
	if (!is_place_name(scalar->text, scalar->len) || scalar->text[0] != '/' ||
	    scalar->text[scalar->len - 1] == '/' || scalar->len > POLICY_SHELL_MAX_BYTES) {
		(void)snprintf(why, why_size,
		    "must be an absolute path of at most %d characters, as in /bin/bash",
		    POLICY_SHELL_MAX_BYTES);
		return -1;
	}
	memcpy(shell->b, scalar->text, scalar->len);
	return 0;
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
append_region(void *list)
{
	struct policy_profile *profile = list;

	return profile->regions[profile->n_regions++];
}

static void *
append_label(void *list)
{
	struct policy_profile *profile = list;

	return profile->labels[profile->n_labels++];
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

/* A profile is a few KiB: the array doubles when it is full, which a power of two is. */
static void *
append_profile(void *list)
{
	struct policy *policy = list;
	size_t n = policy->n_profiles;
	struct policy_profile *profile;

	if ((n & (n - 1)) == 0) {
		profile = reallocarray(policy->profiles, n ? n * 2 : 1, sizeof(*profile));
		if (!profile)
			return NULL;
		policy->profiles = profile;
	}
	profile = &policy->profiles[policy->n_profiles++];
	memset(profile, 0, sizeof(*profile));
	profile->limits.pids = POLICY_PIDS_DEFAULT;
	profile->min_trust = TRUST_BASIC;
	return profile;
}

static const struct yaml_type group_type = { .kind = YAML_KIND_SCALAR,
	.min = 1,
	.max = POLICY_GROUP_MAX_BYTES,
	.set = yaml_set_string };
static const struct yaml_type image_type = { .kind = YAML_KIND_SCALAR,
	.min = 1,
	.max = IMAGEREF_MAX_BYTES,
	.set = set_image };
static const struct yaml_type place_type = { .kind = YAML_KIND_SCALAR, .set = set_place_name };
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

#define IMAGES_HINT "write NAME@sha256:HEX, `fogctl image list` shows it, or remove the key"

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
	{ "images", YAML_OPTIONAL, 0,
	  { .kind = YAML_KIND_LIST, .append = append_image, .item = &image_type,
	    .min = 1, .max = POLICY_IMAGES_MAX, .hint = IMAGES_HINT } },
	OPTIONAL_LIST("egress", append_egress, egress_type, EGRESS_RULES_MAX),
	OPTIONAL("dns", set_dns, limits.dns, 0, 0),
	OPTIONAL("shell", set_shell, limits.shell, 0, 0),
	OPTIONAL_LIST("regions", append_region, place_type, POLICY_PLACES_MAX),
	OPTIONAL_LIST("data_labels", append_label, place_type, POLICY_PLACES_MAX),
	OPTIONAL("min_trust", set_min_trust, min_trust, 0, 0),
	OPTIONAL("recording", set_recording, name, 0, 0), /* its setter stores nothing */
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

/* The order of the file among equals. */
static int
compare_profiles(const void *left, const void *right)
{
	const struct policy_profile *a = *(const struct policy_profile *const *)left;
	const struct policy_profile *b = *(const struct policy_profile *const *)right;
	int order = view_compare(view_of(a->name), view_of(b->name));

	return order ? order : (a > b) - (a < b);
}

static int
compare_access(const void *left, const void *right)
{
	const struct access *a = left, *b = right;
	int order = view_compare(a->group, b->group);

	return order ? order : (a->profile > b->profile) - (a->profile < b->profile);
}

static int
compare_views(const void *left, const void *right)
{
	const struct view *a = left, *b = right;

	return view_compare(*a, *b);
}

static int
sort_groups(struct policy_profile *profile)
{
	if (profile->n_groups == 0)
		return 0;
	profile->groups_sorted = calloc(profile->n_groups, sizeof(*profile->groups_sorted));
	if (!profile->groups_sorted)
		return -1;
	for (size_t i = 0; i < profile->n_groups; i++)
		profile->groups_sorted[i] = view_of(profile->groups[i]);
	qsort(profile->groups_sorted, profile->n_groups, sizeof(*profile->groups_sorted),
	    compare_views);
	return 0;
}

static void
add_access(struct policy *policy, const struct policy_profile *profile)
{
	struct access *access = &policy->access[policy->n_access];

	for (size_t i = 0; i < profile->n_groups; i++)
		access[i] = (struct access){ profile->groups_sorted[i], profile };
	if (profile->n_groups == 0)
		access[0] = (struct access){ view_of(""), profile };
	policy->n_access += profile->n_groups ? profile->n_groups : 1;
}

/* What admission searches, so that its time does not grow with the file. 0, or -1: no memory. */
static int
sort_policy(struct policy *policy)
{
	size_t n = policy->n_profiles, n_access = 1;

	for (size_t i = 0; i < n; i++) {
		if (sort_groups(&policy->profiles[i]) != 0)
			return -1;
		n_access += policy->profiles[i].n_groups + 1;
	}
	policy->by_name = calloc(n + 1, sizeof(*policy->by_name));
	policy->access = calloc(n_access, sizeof(*policy->access));
	if (!policy->by_name || !policy->access)
		return -1;
	for (size_t i = 0; i < n; i++) {
		policy->by_name[i] = &policy->profiles[i];
		add_access(policy, &policy->profiles[i]);
	}
	qsort(policy->by_name, n, sizeof(*policy->by_name), compare_profiles);
	qsort(policy->access, policy->n_access, sizeof(*policy->access), compare_access);
	return 0;
}

/* The first in the file whose name is taken, and in *first who has it; NULL: there is none. */
static const struct policy_profile *
find_namesake(const struct policy *policy, const struct policy_profile **first)
{
	const struct policy_profile *found = NULL;

	for (size_t i = 1; i < policy->n_profiles; i++) {
		const struct policy_profile *before = policy->by_name[i - 1];
		const struct policy_profile *profile = policy->by_name[i];

		if (strcmp(before->name, profile->name) != 0 || (found && found < profile))
			continue;
		found = profile;
		*first = before;
	}
	return found;
}

static int
check_names_differ(const struct policy *policy, const char *file_name, char *err, size_t err_size)
{
	const struct policy_profile *first = NULL, *profile = find_namesake(policy, &first);
	char path[40];

	if (!profile)
		return 0;
	(void)snprintf(path, sizeof(path), "profiles[%zu].name",
	    (size_t)(profile - policy->profiles));
	yaml_format_error(err, err_size, file_name, profile->line, path,
	    "\"%s\" is the name of the profile on line %zu already", profile->name, first->line);
	return -1;
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

static int
set_version(struct policy *policy, const void *bytes, size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL))
		return -1;
	for (size_t i = 0; i < POLICY_VERSION_SIZE / 2; i++)
		(void)snprintf(policy->version + i * 2, 3, "%02x", digest[i]);
	return 0;
}

/* 0, or -1 with what is wrong. */
static int
read_policy(struct policy *policy, const char *file_name, const void *bytes, size_t len, char *err,
    size_t err_size)
{
	if (yaml_read(file_name, bytes, len, &policy_type, policy, err, err_size) < 0)
		return -1;
	if (sort_policy(policy) != 0) {
		yaml_format_error(err, err_size, file_name, 1, "", "out of memory");
		return -1;
	}
	if (set_version(policy, bytes, len) != 0) {
		yaml_format_error(err, err_size, file_name, 1, "", "its SHA-256 cannot be had");
		return -1;
	}
	if (check_names_differ(policy, file_name, err, err_size) < 0 ||
	    check_dns(policy, file_name, err, err_size) < 0)
		return -1;
	return check_homes(policy, file_name, err, err_size);
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
	if (read_policy(policy, file_name, bytes, len, err, err_size) == 0)
		return policy;
	policy_free(policy);
	return NULL;
}

static void
profile_fini(struct policy_profile *profile)
{
	for (size_t i = 0; i < profile->n_groups; i++)
		free(profile->groups[i]);
	free(profile->groups);
	free(profile->groups_sorted);
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
	free(policy->by_name);
	free(policy->access);
	free(policy);
}

const char *
policy_version(const struct policy *policy)
{
	return policy->version;
}

const struct policy_profile *
policy_profile_at(const struct policy *policy, size_t index)
{
	return index < policy->n_profiles ? &policy->profiles[index] : NULL;
}

static int
compare_name(const void *key, const void *element)
{
	const struct view *name = key;

	return view_compare(*name, view_of((*(const struct policy_profile *const *)element)->name));
}

const struct policy_profile *
policy_find_profile(const struct policy *policy, struct view name)
{
	const struct policy_profile **found = bsearch(&name, policy->by_name, policy->n_profiles,
	    sizeof(*policy->by_name), compare_name);

	return found ? *found : NULL;
}

/* Admission. */

struct inquiry {
	const struct policy *policy;
	const struct policy_identity *identity;
	const struct policy_request *request;
	const struct policy_profile *profile; /* NULL: unknown */
	uint32_t live_sessions;
	uint32_t life_seconds; /* of the session that is to live longer; 0: of a new one */
};

/* True when the rule has nothing against it; otherwise `to` says what would have to change. */
typedef bool rule_fn(const struct inquiry *inquiry, struct policy_decision *to);

static void __attribute__((format(printf, 2, 3)))
say_detail(struct policy_decision *to, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to->detail, sizeof(to->detail), fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3)))
say_change(struct policy_decision *to, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to->change, sizeof(to->change), fmt, ap);
	va_end(ap);
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
is_somebody(const struct policy_identity *identity)
{
	return identity->issuer.len > 0 && identity->subject.len > 0;
}

bool
policy_visible(const struct policy_identity *identity, const struct policy_profile *profile)
{
	struct view groups = identity->groups, group;

	if (!is_somebody(identity))
		return false;
	if (profile->n_groups == 0)
		return true;
	while (list_next(&groups, &group)) {
		if (bsearch(&group, profile->groups_sorted, profile->n_groups,
			sizeof(*profile->groups_sorted), compare_views))
			return true;
	}
	return false;
}

static bool
rule_identity(const struct inquiry *inquiry, struct policy_decision *to)
{
	if (is_somebody(inquiry->identity))
		return true;
	say_detail(to, "the request must come from an authenticated subject");
	say_change(to, "identity: present");
	return false;
}

/* Names of profiles in a change, each once. */
struct shown {
	const struct policy_profile *profiles[POLICY_CHANGE_BYTES / 3];
	size_t n;
};

/* False: there is room for no more. */
static bool
show_profile(struct shown *shown, const struct policy_profile *profile, struct policy_decision *to)
{
	for (size_t i = 0; i < shown->n; i++) {
		if (shown->profiles[i] == profile)
			return true;
	}
	if (shown->n == 0)
		say_change(to, "profile: one of ");
	if (shown->n >= COUNT_OF(shown->profiles) ||
	    !append_name(to->change, sizeof(to->change), shown->n ? ", " : "", profile->name))
		return false;
	shown->profiles[shown->n++] = profile;
	return true;
}

/* The first of the group's rows, or the row behind which they would be. */
static size_t
find_access(const struct policy *policy, struct view group)
{
	size_t low = 0, high = policy->n_access;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (view_compare(policy->access[middle].group, group) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
show_profiles_of(const struct policy *policy, struct view group, struct shown *shown,
    struct policy_decision *to)
{
	for (size_t i = find_access(policy, group);
	     i < policy->n_access && view_equal(policy->access[i].group, group); i++) {
		if (!show_profile(shown, policy->access[i].profile, to))
			return false;
	}
	return true;
}

/* Those that it may ask for, and no others: everybody's first. */
static void
change_to_visible(const struct inquiry *inquiry, struct policy_decision *to)
{
	struct view groups = inquiry->identity->groups, group = view_of("");
	struct shown shown = { .n = 0 };

	do {
		if (!show_profiles_of(inquiry->policy, group, &shown, to))
			return;
	} while (list_next(&groups, &group));
}

static bool
rule_profile(const struct inquiry *inquiry, struct policy_decision *to)
{
	if (inquiry->profile)
		return true;
	say_detail(to, "no profile has this name; GET /v1/profiles lists those you may ask for");
	change_to_visible(inquiry, to);
	return false;
}

static void
append_groups(char *text, size_t size, const struct policy_profile *profile)
{
	for (size_t i = 0; i < profile->n_groups; i++) {
		if (!append_name(text, size, i ? ", " : "", profile->groups[i]))
			return;
	}
}

static bool
rule_groups(const struct inquiry *inquiry, struct policy_decision *to)
{
	const struct policy_profile *profile = inquiry->profile;

	if (policy_visible(inquiry->identity, profile))
		return true;
	say_detail(to, "profile \"%s\" is for members of ", profile->name);
	append_groups(to->detail, sizeof(to->detail), profile);
	say_change(to, "group: one of ");
	append_groups(to->change, sizeof(to->change), profile);
	return false;
}

/* Those allowed, behind the text that is there. */
static void
append_images(char *text, size_t size, const struct policy_profile *profile)
{
	for (size_t i = 0; i < profile->n_images; i++) {
		if (!append_name(text, size, i ? ", " : "", profile->images[i].ref))
			return;
	}
}

static void
change_to_images(const struct policy_profile *profile, struct policy_decision *to)
{
	say_change(to, "image_ref: one of ");
	append_images(to->change, sizeof(to->change), profile);
}

static bool
rule_digest(const struct inquiry *inquiry, struct policy_decision *to)
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
	say_detail(to, "%s; profile \"%s\" allows ", wrong, profile->name);
	append_images(to->detail, sizeof(to->detail), profile);
	change_to_images(profile, to);
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
rule_images(const struct inquiry *inquiry, struct policy_decision *to)
{
	const struct policy_request *request = inquiry->request;
	const struct policy_profile *profile = inquiry->profile;

	if (request->needs_image ? find_image(request, profile) != NULL
				 : request->image_ref.len == 0)
		return true;
	if (!request->needs_image) {
		say_detail(to, "profile \"%s\" allows no image_ref; leave it out", profile->name);
		say_change(to, "image_ref: absent");
	} else if (profile->n_images == 0) {
		say_detail(to,
		    "profile \"%s\" names no image to run in: an admin has to list one under "
		    "images in policy.yaml, with the digest that `fogctl image list` shows",
		    profile->name);
		say_change(to, "policy.images: present%s",
		    request->image_ref.len > 0 ? "; image_ref: absent" : "");
	} else {
		say_detail(to, "profile \"%s\" allows ", profile->name);
		append_images(to->detail, sizeof(to->detail), profile);
		change_to_images(profile, to);
	}
	return false;
}

/* A session that outlives what the profile has become can be given no life that is not too long. */
static bool
rule_ttl(const struct inquiry *inquiry, struct policy_decision *to)
{
	const struct policy_profile *profile = inquiry->profile;

	if (inquiry->request->ttl_seconds <= profile->max_ttl_seconds)
		return true;
	say_detail(to, "profile \"%s\" allows a ttl_seconds of at most %u", profile->name,
	    profile->max_ttl_seconds);
	if (inquiry->life_seconds <= profile->max_ttl_seconds)
		say_change(to, "ttl_seconds <= %u", profile->max_ttl_seconds);
	else
		say_change(to, "policy.max_ttl_seconds >= %u", inquiry->request->ttl_seconds);
	return false;
}

static uint32_t
wanted_ttl(const struct inquiry *inquiry)
{
	uint32_t wish = inquiry->request->ttl_seconds;

	return wish ? wish : inquiry->profile->max_ttl_seconds;
}

static bool
rule_life(const struct inquiry *inquiry, struct policy_decision *to)
{
	if (wanted_ttl(inquiry) >= inquiry->life_seconds)
		return true;
	say_detail(to,
	    "the session lives for %u seconds as it is, and is made no shorter; end it instead",
	    inquiry->life_seconds);
	if (inquiry->life_seconds <= inquiry->profile->max_ttl_seconds)
		say_change(to, "ttl_seconds >= %u", inquiry->life_seconds);
	else if (inquiry->request->ttl_seconds == 0)
		say_change(to, "policy.max_ttl_seconds >= %u", inquiry->life_seconds);
	else
		say_change(to, "policy.max_ttl_seconds >= %u; ttl_seconds >= %u",
		    inquiry->life_seconds, inquiry->life_seconds);
	return false;
}

static bool
rule_sessions(const struct inquiry *inquiry, struct policy_decision *to)
{
	if (inquiry->live_sessions < inquiry->profile->max_sessions)
		return true;
	say_detail(to, "profile \"%s\" allows %u at a time and you have %u; end one first",
	    inquiry->profile->name, inquiry->profile->max_sessions, inquiry->live_sessions);
	say_change(to, "sessions <= %u", inquiry->profile->max_sessions - 1);
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
	const struct policy_profile *profile = inquiry->profile;
	const struct policy_image *image = find_image(inquiry->request, profile);

	decision->rule = POLICY_ALLOW;
	decision->limits = profile->limits;
	memcpy(decision->regions, profile->regions, sizeof(decision->regions));
	decision->n_regions = profile->n_regions;
	memcpy(decision->labels, profile->labels, sizeof(decision->labels));
	decision->n_labels = profile->n_labels;
	decision->min_trust = profile->min_trust;
	decision->max_sessions = profile->max_sessions;
	decision->ttl_seconds = wanted_ttl(inquiry);
	if (inquiry->request->needs_image && image)
		decision->image = image->digest;
}

static void
decide(const struct inquiry *inquiry, struct policy_decision *decision)
{
	memset(decision, 0, sizeof(*decision));
	memcpy(decision->version, inquiry->policy->version, sizeof(decision->version));
	for (unsigned int rule = 0; rule < POLICY_ALLOW; rule++) {
		decision->rule = rule;
		if (!rules[rule](inquiry, decision))
			return;
	}
	allow(inquiry, decision);
}

void
policy_admit(const struct policy *policy, const struct policy_identity *identity,
    const struct policy_request *request, uint32_t live_sessions, struct policy_decision *decision)
{
	const struct inquiry inquiry = {
		.policy = policy,
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
		.policy = policy,
		.identity = identity,
		.request = request,
		.profile = policy_find_profile(policy, request->profile),
		.life_seconds = life_seconds,
	};

	decide(&inquiry, decision);
}

/* Denials by placement. */

static const struct {
	enum place_reason constraint;
	enum policy_rule rule;
} placement_rules[] = {
	{ PLACE_REGION, POLICY_REGIONS },
	{ PLACE_LABELS, POLICY_LABELS },
	{ PLACE_TRUST, POLICY_TRUST },
	{ PLACE_UNHEALTHY, POLICY_HEALTHY },
	{ PLACE_DRAINING, POLICY_DRAINING },
	{ PLACE_NO_CAPACITY, POLICY_FULL },
	{ PLACE_FAILED, POLICY_NOWHERE },
};

enum policy_rule
policy_rule_of_placement(enum policy_rule so_far, uint32_t against)
{
	for (size_t i = 0; i < COUNT_OF(placement_rules); i++) {
		enum policy_rule rule = placement_rules[i].rule;

		if (against & (1u << placement_rules[i].constraint))
			return rule > so_far ? rule : so_far;
	}
	return so_far;
}

static void
append_places(char *text, size_t size, const policy_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!append_name(text, size, i ? ", " : "", names[i]))
			return;
	}
}

static void
deny_regions(struct policy_decision *to, struct view profile)
{
	say_detail(to, "profile \"%.*s\" runs in these regions alone, and no node is in one: ",
	    VIEW_ARG(profile));
	append_places(to->detail, sizeof(to->detail), to->regions, to->n_regions);
	say_change(to, "node.region: one of ");
	append_places(to->change, sizeof(to->change), to->regions, to->n_regions);
}

static void
deny_labels(struct policy_decision *to, struct view profile)
{
	say_detail(to,
	    "profile \"%.*s\" needs a node with all these data labels, and there is "
	    "none in its regions: ",
	    VIEW_ARG(profile));
	append_places(to->detail, sizeof(to->detail), to->labels, to->n_labels);
	say_change(to, "node.data_labels: all of ");
	append_places(to->change, sizeof(to->change), to->labels, to->n_labels);
}

static void
deny_trust(struct policy_decision *to, struct view profile)
{
	const char *trust = session_trust_name(to->min_trust);

	say_detail(to,
	    "profile \"%.*s\" needs a node whose trust is %s or more, and where it may "
	    "run there is none",
	    VIEW_ARG(profile), trust);
	say_change(to, "node.trust >= %s", trust);
}

static void
deny_healthy(struct policy_decision *to, struct view profile)
{
	say_detail(to, "no node where profile \"%.*s\" may run can be reached", VIEW_ARG(profile));
	say_change(to, "node.state: one of up");
}

static void
deny_draining(struct policy_decision *to, struct view profile)
{
	say_detail(to, "every node where profile \"%.*s\" may run is being drained",
	    VIEW_ARG(profile));
	say_change(to, "node.state: one of up");
}

static void
deny_sessions(struct policy_decision *to, struct view profile)
{
	say_detail(to, "every node where profile \"%.*s\" may run is full", VIEW_ARG(profile));
	say_change(to,
	    "node.free_sessions >= 1; node.free_cpu_milli >= %llu; "
	    "node.free_memory_bytes >= %llu",
	    (unsigned long long)to->limits.cpu_milli, (unsigned long long)to->limits.memory_bytes);
}

static void
deny_no_node(struct policy_decision *to, struct view profile)
{
	say_detail(to, "every node where profile \"%.*s\" may run was asked, and none took it",
	    VIEW_ARG(profile));
	say_change(to, "node: present");
}

void
policy_deny_placement(struct policy_decision *decision, enum policy_rule rule, struct view profile)
{
	static void (*const deniers[POLICY_RULE_COUNT])(struct policy_decision *, struct view) = {
		[POLICY_REGIONS] = deny_regions,
		[POLICY_LABELS] = deny_labels,
		[POLICY_TRUST] = deny_trust,
		[POLICY_HEALTHY] = deny_healthy,
		[POLICY_DRAINING] = deny_draining,
		[POLICY_FULL] = deny_sessions,
		[POLICY_NOWHERE] = deny_no_node,
	};

	if (rule >= POLICY_RULE_COUNT || !deniers[rule])
		rule = POLICY_NOWHERE;
	decision->rule = rule;
	deniers[rule](decision, profile);
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
