/* SPDX-License-Identifier: MIT */
/* policy.yaml from any bytes: an error with a line, or a policy whose every value is in bounds. */
/* links: placerd/policy.c placerd/yaml.c */

#include <stdlib.h>
#include <string.h>

#include "common/imageref.h"
#include "placerd/policy.h"
#include "placerd/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_error(const char *err)
{
	char *end;

	check(strncmp(err, "fuzz:", 5) == 0);
	check(strtoul(err + 5, &end, 10) > 0 && strncmp(end, ": ", 2) == 0 && end[2]);
	check(strlen(err) < YAML_ERROR_BYTES);
	for (; *err; err++)
		check((unsigned char)*err >= 0x20 && (unsigned char)*err < 0x7f);
}

static void
check_profile(const struct policy_profile *profile)
{
	const struct policy_limits *limits = &profile->limits;
	size_t len = strlen(profile->name);

	check(len >= 1 && len <= POLICY_NAME_MAX_BYTES && profile->line > 0);
	check(strspn(profile->name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == len);
	check(limits->cpu_milli >= 1 && limits->cpu_milli <= POLICY_CPU_MAX_MILLI);
	check(limits->memory_bytes >= POLICY_MEMORY_MIN_BYTES);
	check(limits->memory_bytes <= POLICY_MEMORY_MAX_BYTES);
	check(limits->storage_bytes >= POLICY_STORAGE_MIN_BYTES);
	check(limits->storage_bytes <= POLICY_MEMORY_MAX_BYTES);
	check(profile->max_ttl_seconds >= 1 && profile->max_ttl_seconds <= POLICY_TTL_MAX_SECONDS);
	check(profile->max_sessions >= 1 && profile->max_sessions <= POLICY_SESSIONS_MAX);
	check(limits->idle_timeout_seconds <= POLICY_IDLE_MAX_SECONDS);
	check(limits->ring_bytes == 0 || limits->ring_bytes >= POLICY_RING_MIN_BYTES);
	check(limits->ring_bytes <= POLICY_RING_MAX_BYTES);
	check(profile->n_groups <= POLICY_GROUPS_MAX);
	for (size_t i = 0; i < profile->n_groups; i++) {
		check(strlen(profile->groups[i]) - 1 < POLICY_GROUP_MAX_BYTES);
		check(text_is_clean(view_of(profile->groups[i])));
	}
}

static void
check_box(const struct policy_profile *profile)
{
	const struct policy_limits *limits = &profile->limits;
	struct raw32 digest;

	check(limits->pids >= POLICY_PIDS_MIN && limits->pids <= POLICY_PIDS_MAX);
	check(limits->io_weight <= POLICY_IO_WEIGHT_MAX);
	check(limits->home == HOME_EPHEMERAL || limits->home == HOME_PERSISTENT);
	check(limits->limits_mode == LIMITS_REQUIRED || limits->limits_mode == LIMITS_BEST_EFFORT);
	check(limits->dns.len == 0 || limits->dns.len == 4 || limits->dns.len == 16);
	check(limits->dns.len == 0 || limits->n_egress > 0);
	check(limits->n_egress <= EGRESS_RULES_MAX && profile->n_images <= POLICY_IMAGES_MAX);
	for (size_t i = 0; i < limits->n_egress; i++)
		check(!egress_check(&limits->egress[i]));
	for (size_t i = 0; i < profile->n_images; i++) {
		check(!imageref_parse(view_of(profile->images[i].ref), &digest));
		check(memcmp(&digest, &profile->images[i].digest, sizeof(digest)) == 0);
	}
}

static void
check_place_names(const policy_name *names, size_t n)
{
	check(n <= POLICY_PLACES_MAX);
	for (size_t i = 0; i < n; i++) {
		check(names[i][0] && strnlen(names[i], sizeof(names[i])) < sizeof(names[i]));
		check(!strpbrk(names[i], " ,;\""));
	}
}

static void
check_places(const struct policy_profile *profile)
{
	const char *shell = (const char *)profile->limits.shell.b;

	check_place_names(profile->regions, profile->n_regions);
	check_place_names(profile->labels, profile->n_labels);
	check(profile->min_trust >= TRUST_BASIC && profile->min_trust <= TRUST_ATTESTED);
	check(shell[sizeof(profile->limits.shell.b) - 1] == '\0');
	check(shell[0] == '\0' || shell[0] == '/');
}

/* What is said of a denial fits the wire (FIELDS_refused), and is there when something is denied. */
static void
check_denial(const struct policy *policy, const struct policy_decision *decision)
{
	check(text_is_clean(view_of(decision->detail)));
	check(text_is_clean(view_of(decision->change)));
	check(strlen(decision->change) <= 200 && strlen(decision->detail) < POLICY_DETAIL_BYTES);
	check((decision->change[0] != '\0') == (decision->rule != POLICY_ALLOW));
	check(strcmp(decision->version, policy_version(policy)) == 0);
}

/* Each way in which placement may deny what was admitted. */
static void
check_placement(const struct policy *policy, const struct policy_profile *profile)
{
	struct policy_identity identity = { view_of("issuer"), view_of("subject"), view_of("") };
	struct policy_request request = { .profile = view_of(profile->name) };
	struct policy_decision decision;

	for (unsigned rule = POLICY_ALLOW; profile->n_groups == 0 && rule <= POLICY_RULE_COUNT;
	     rule++) {
		policy_admit(policy, &identity, &request, 0, &decision);
		check(decision.n_regions == profile->n_regions);
		check(decision.n_labels == profile->n_labels);
		check(decision.min_trust == profile->min_trust);
		policy_deny_placement(&decision, rule, request.profile);
		check(decision.rule > POLICY_ALLOW && decision.rule < POLICY_RULE_COUNT);
		check_denial(policy, &decision);
	}
}

/* In a sandbox: the first image, or nobody gets anything. */
static void
check_image(const struct policy *policy, const struct policy_profile *profile)
{
	struct policy_identity identity = { view_of("issuer"), view_of("subject"), view_of("") };
	struct policy_request request = { .profile = view_of(profile->name), .needs_image = true };
	struct policy_decision decision;

	if (profile->n_groups > 0)
		return;
	policy_admit(policy, &identity, &request, 0, &decision);
	check(decision.rule == (profile->n_images ? POLICY_ALLOW : POLICY_IMAGES));
	check(imageref_is_none(&decision.image) == (profile->n_images == 0));
	request.image_ref = view_of("base");
	policy_admit(policy, &identity, &request, 0, &decision);
	check(decision.rule == (profile->n_images ? POLICY_DIGEST : POLICY_IMAGES));
	check_denial(policy, &decision);
}

/* Somebody in no group: let in by an empty list of groups alone, and shown what he may have. */
static void
check_admission(const struct policy *policy, const struct policy_profile *profile)
{
	struct policy_identity identity = { view_of("issuer"), view_of("subject"), view_of("") };
	struct policy_request request = { .profile = view_of(profile->name) };
	struct policy_decision decision;

	policy_admit(policy, &identity, &request, 0, &decision);
	check(decision.rule == (profile->n_groups ? POLICY_GROUPS : POLICY_ALLOW));
	check(policy_visible(&identity, profile) == (decision.rule == POLICY_ALLOW));
	check(decision.ttl_seconds == (profile->n_groups ? 0 : profile->max_ttl_seconds));
	check_denial(policy, &decision);
	policy_extend(policy, &identity, &request, profile->max_ttl_seconds, &decision);
	check(decision.rule == (profile->n_groups ? POLICY_GROUPS : POLICY_ALLOW));
	policy_extend(policy, &identity, &request, profile->max_ttl_seconds + 1, &decision);
	check(decision.rule == (profile->n_groups ? POLICY_GROUPS : POLICY_LIFE));
	check_denial(policy, &decision);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[YAML_ERROR_BYTES] = "";
	struct policy *policy = policy_new_from_yaml("fuzz", data, size, err, sizeof(err));
	const struct policy_profile *profile;
	size_t n = 0;

	if (!policy) {
		check_error(err);
		return 0;
	}
	while ((profile = policy_profile_at(policy, n))) {
		n++;
		check_profile(profile);
		check_box(profile);
		check_image(policy, profile);
		check_places(profile);
		check_placement(policy, profile);
		check(policy_find_profile(policy, view_of(profile->name)) == profile);
		check_admission(policy, profile);
	}
	check(n >= 1 && n <= POLICY_PROFILES_MAX);
	policy_free(policy);
	return 0;
}
