/* SPDX-License-Identifier: MIT */
/* placerd: the role, its policy file and the reload of it; `placerd -n NAME` only checks one. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/nodetoken.h"
#include "common/privdrop.h"
#include "common/proc.h"
#include "placerd/admin.h"
#include "placerd/fleet.h"
#include "placerd/nodes.h"
#include "placerd/placerd.h"
#include "placerd/probe.h"
#include "placerd/quota.h"
#include "placerd/reread.h"
#include "placerd/yaml.h"

#define NODE_KEY_MAX_BYTES 16384

static struct placerd placerd;

/* fd is taken. NULL: err has "FILE:LINE: message". */
static char *
read_file(const char *name, int fd, size_t max, size_t *len, char *err, size_t err_size)
{
	char *bytes = fd < 0 ? NULL : proc_read_file(fd, max, len);
	int saved = errno;

	close_fd(&fd);
	if (!bytes)
		yaml_format_error(err, err_size, name, 1, "", "cannot be read: %s",
		    saved == EFBIG ? "it is no regular file, or too large"
				   : strerrordesc_np(saved));
	return bytes;
}

static struct policy *
read_policy(const char *name, int fd, char *err, size_t err_size)
{
	size_t len = 0;
	cleanup_free char *bytes = read_file(name, fd, YAML_FILE_MAX_BYTES, &len, err, err_size);

	return bytes ? policy_new_from_yaml(name, bytes, len, err, err_size) : NULL;
}

/* As nodes_new_from_yaml. */
static struct nodes *
understand(const char *name, const void *bytes, size_t len, const char *origins,
    const char *self_name, char *err, size_t err_size)
{
	struct nodes *nodes = nodes_new_from_yaml(name, bytes, len, origins, self_name, err,
	    err_size);
	size_t checked = 0;

	if (!nodes || nodes_check_keys(nodes, &checked, SIZE_MAX, name, err, err_size) == 0)
		return nodes;
	nodes_free(nodes);
	return NULL;
}

/* self_name is for a file that does not say which of the nodes this one is. */
static struct nodes *
read_nodes(const char *name, int fd, const char *self_name, char *err, size_t err_size)
{
	size_t len = 0;
	cleanup_free char *bytes = read_file(name, fd, NODES_FILE_MAX_BYTES, &len, err, err_size);

	return bytes
	    ? understand(name, bytes, len, proc_config()->fleet_origins, self_name, err, err_size)
	    : NULL;
}

static void
log_file_error(const char *event, const char *err)
{
	char shown[YAML_ERROR_BYTES * 2];

	log_error("event=%s detail=%s", event, log_escape(view_of(err), shown, sizeof(shown)));
}

/* --- check alone --- */

/* As ordinary root there are no ids to drop to; the filter comes on all the same. */
static const char *
confine_check(void)
{
	const char *step = getuid() == 0 ? NULL : privdrop_finish(0);

	if (!step && filter_load(PROC_PLACERD) != 0)
		step = "filter";
	return step;
}

static void
print_groups(const struct policy_profile *p)
{
	for (size_t g = 0; g < p->n_groups; g++)
		dprintf(STDERR_FILENO, " %s", p->groups[g]);
	dprintf(STDERR_FILENO, "%s\n", p->n_groups == 0 ? " (everybody)" : "");
}

/* Zero is what a profile does not say: without it the service's own ring size counts. */
static void
print_ring(const struct policy_profile *p)
{
	if (p->limits.ring_bytes > 0)
		dprintf(STDERR_FILENO, "ring_size %llu ", (unsigned long long)p->limits.ring_bytes);
}

static void
print_images(const struct policy_profile *p)
{
	dprintf(STDERR_FILENO, "images");
	for (size_t i = 0; i < p->n_images; i++)
		dprintf(STDERR_FILENO, " %s", p->images[i].ref);
	dprintf(STDERR_FILENO, "%s ", p->n_images == 0 ? " (none)" : "");
}

static void
print_network(const struct policy_limits *limits)
{
	char text[EGRESS_TEXT_SIZE > INET6_ADDRSTRLEN ? EGRESS_TEXT_SIZE : INET6_ADDRSTRLEN];

	dprintf(STDERR_FILENO, "egress");
	for (size_t i = 0; i < limits->n_egress; i++) {
		egress_format(&limits->egress[i], text);
		dprintf(STDERR_FILENO, " \"%s\"", text);
	}
	dprintf(STDERR_FILENO, "%s ", limits->n_egress == 0 ? " (none)" : "");
	if (limits->dns.len > 0 &&
	    inet_ntop(limits->dns.len == 4 ? AF_INET : AF_INET6, limits->dns.address, text,
		sizeof(text)))
		dprintf(STDERR_FILENO, "dns %s ", text);
}

/* What a sandbox of it is like. */
static void
print_box(const struct policy_limits *limits)
{
	dprintf(STDERR_FILENO, "pids %u ", limits->pids);
	if (limits->io_weight > 0)
		dprintf(STDERR_FILENO, "io_weight %u ", limits->io_weight);
	dprintf(STDERR_FILENO, "home %s limits %s ", policy_home_name(limits->home),
	    policy_limits_name(limits->limits_mode));
	if (limits->shell.b[0])
		dprintf(STDERR_FILENO, "shell %s ", (const char *)limits->shell.b);
}

static void
print_names(const char *key, const policy_name *names, size_t n, const char *none)
{
	dprintf(STDERR_FILENO, "%s", key);
	for (size_t i = 0; i < n; i++)
		dprintf(STDERR_FILENO, " %s", names[i]);
	dprintf(STDERR_FILENO, "%s ", n == 0 ? none : "");
}

/* Where it may run. */
static void
print_places(const struct policy_profile *p)
{
	print_names("regions", p->regions, p->n_regions, " (every)");
	print_names("data_labels", p->labels, p->n_labels, " (none)");
	dprintf(STDERR_FILENO, "min_trust %s ", session_trust_name(p->min_trust));
}

/* fogd -T: each profile in one line, as it was understood. */
static void
print_policy(const struct policy *policy)
{
	const struct policy_profile *p;

	dprintf(STDERR_FILENO, "policy version %s\n", policy_version(policy));
	for (size_t i = 0; (p = policy_profile_at(policy, i)); i++) {
		dprintf(STDERR_FILENO,
		    "profile %s: cpu %llum memory %llu storage %llu "
		    "max_ttl_seconds %u idle_timeout_seconds %u max_sessions %u on_logout %s ",
		    p->name, (unsigned long long)p->limits.cpu_milli,
		    (unsigned long long)p->limits.memory_bytes,
		    (unsigned long long)p->limits.storage_bytes, p->max_ttl_seconds,
		    p->limits.idle_timeout_seconds, p->max_sessions,
		    policy_on_logout_name(p->limits.on_logout));
		print_ring(p);
		print_box(&p->limits);
		print_images(p);
		print_network(&p->limits);
		print_places(p);
		dprintf(STDERR_FILENO, "recording off "); /* there is nothing else yet */
		dprintf(STDERR_FILENO, "allowed_groups");
		print_groups(p);
	}
}

static void
print_nodes(const struct nodes *nodes)
{
	for (size_t i = 0; i < nodes_count(nodes); i++) {
		const struct node *n = nodes_at(nodes, i);

		dprintf(STDERR_FILENO, "node %s%s: %s region %s tier %s trust %s sessions %u",
		    n->name, i == nodes_self(nodes) ? " (this one)" : "", n->url, n->region,
		    session_tier_name(n->tier), session_trust_name(n->trust), n->capacity.sessions);
		if (n->capacity.cpu_milli > 0)
			dprintf(STDERR_FILENO, " cpu %llum",
			    (unsigned long long)n->capacity.cpu_milli);
		if (n->capacity.memory_bytes > 0)
			dprintf(STDERR_FILENO, " memory %llu",
			    (unsigned long long)n->capacity.memory_bytes);
		for (size_t label = 0; label < nodes_label_count(nodes); label++) {
			struct view name = nodes_label_at(nodes, label);

			if (n->labels & nodes_label(nodes, name))
				dprintf(STDERR_FILENO, " %.*s", (int)name.len, name.p);
		}
		dprintf(STDERR_FILENO, "\n");
	}
}

static bool
understand_policy(const char *name, const char *bytes, size_t len, bool print, char *err,
    size_t err_size)
{
	struct policy *policy = policy_new_from_yaml(name, bytes, len, err, err_size);

	if (policy && print)
		print_policy(policy);
	policy_free(policy);
	return policy;
}

/* There is no configuration of this role here: the environment is empty, and what the file needs of
 * it stands before the name ("ORIGINS\nSELF\nNAME"). */
static bool
understand_nodes(const char *argument, const char *bytes, size_t len, bool print, char *err,
    size_t err_size)
{
	const char *self = strchr(argument, '\n'), *name = self ? strchr(self + 1, '\n') : NULL;
	char *origins = name ? strndup(argument, (size_t)(self - argument)) : NULL;
	char *self_name = origins ? strndup(self + 1, (size_t)(name - self - 1)) : NULL;
	struct nodes *nodes = NULL;

	if (self_name)
		nodes = understand(name + 1, bytes, len, origins, self_name, err, err_size);
	else
		snprintf(err, err_size, "%s:1: cannot be checked", argument);
	if (nodes && print)
		print_nodes(nodes);
	nodes_free(nodes);
	free(self_name);
	free(origins);
	return nodes;
}

/* -n, -T: a policy file is checked, and printed. -N, -P: likewise a file of nodes. */
static const struct check {
	const char *option;
	bool print;
	size_t max_bytes;
	bool (*understand)(const char *, const char *, size_t, bool, char *, size_t);
} checks[] = {
	{ "-n", false, YAML_FILE_MAX_BYTES, understand_policy },
	{ "-T", true, YAML_FILE_MAX_BYTES, understand_policy },
	{ "-N", false, NODES_FILE_MAX_BYTES, understand_nodes },
	{ "-P", true, NODES_FILE_MAX_BYTES, understand_nodes },
};

/* The file is read before, and understood after, the drop. */
static int
check_file(const struct check *check, const char *name)
{
	char err[YAML_ERROR_BYTES];
	size_t len = 0;
	cleanup_free char *bytes = proc_read_file(GIFT_PLACERD_POLICY, check->max_bytes, &len);
	/* OpenSSL looks for its configuration at its first digest: not behind the filter. */
	const char *step = create_load() && nodetoken_load() ? confine_check() : "OpenSSL";

	if (!bytes || step) {
		dprintf(STDERR_FILENO, "%s:1: cannot be checked: %s\n", name,
		    step ? step : "it cannot be read");
		return 1;
	}
	if (check->understand(name, bytes, len, check->print, err, sizeof(err)))
		return 0;
	dprintf(STDERR_FILENO, "%s\n", err);
	return 1;
}

static const struct check *
find_check(const char *option)
{
	for (size_t i = 0; i < COUNT_OF(checks); i++) {
		if (strcmp(option, checks[i].option) == 0)
			return &checks[i];
	}
	return NULL;
}

/* --- the role --- */

static int
load_policy(struct placerd *d)
{
	char err[YAML_ERROR_BYTES];

	d->policy = read_policy(proc_config()->policy_config, proc_take_gift(GIFT_PLACERD_POLICY),
	    err, sizeof(err));
	if (d->policy)
		return 0;
	log_file_error("start_failed", err);
	return -1;
}

/* The host's name is out of reach once the filter is on. */
static int
load_node_name(struct placerd *d)
{
	struct view name = view_of(proc_config()->node_name);
	char host[65] = "";

	if (name.len == 0 && gethostname(host, sizeof(host) - 1) == 0)
		name = view_of(host);
	if (name.len > 0 && text_is_clean(name) &&
	    view_copy(name, d->node_name, sizeof(d->node_name)) == 0)
		return 0;
	log_error("event=start_failed step=\"name of this node\" detail=\"set NODE_NAME\"");
	return -1;
}

/* A random order of asking, so that nodes which start together do not ask the same one together. */
static uint64_t
random_seed(void)
{
	struct id128 random = { 0 };
	uint64_t seed;

	(void)id_random(&random);
	memcpy(&seed, random.b, sizeof(seed));
	return seed;
}

/* Others trust the key that their nodes.yaml pins for our name: another one would only fail there. */
static int
load_node_key(struct placerd *d)
{
	cleanup_fd int fd = proc_take_gift(GIFT_PLACERD_NODE_KEY);
	unsigned char point[NODETOKEN_KEY_BYTES];
	const char *why = "it cannot be read";
	size_t len = 0;
	char *pem = fd < 0 ? NULL : proc_read_file(fd, NODE_KEY_MAX_BYTES, &len);

	if (pem) {
		d->node_key = nodetoken_key_new(pem, len, &why);
		explicit_bzero(pem, len);
		free(pem);
	}
	if (d->node_key) {
		nodetoken_key_public(d->node_key, point);
		if (memcmp(point, nodes_at(d->nodes, nodes_self(d->nodes))->key, sizeof(point)) ==
		    0)
			return 0;
		why = "public_key of this node in NODES_CONFIG is of another key";
	}
	log_error("event=start_failed step=NODE_KEY_FILE detail=\"%s\"", why);
	return -1;
}

static void
name_self(struct placerd *d)
{
	snprintf(d->node_name, sizeof(d->node_name), "%s",
	    nodes_at(d->nodes, nodes_self(d->nodes))->name);
}

static int
load_nodes(struct placerd *d)
{
	char err[YAML_ERROR_BYTES] = "out of memory";
	const char *name = proc_config()->nodes_config;

	if (*name)
		d->nodes = read_nodes(name, proc_take_gift(GIFT_PLACERD_NODES), d->node_name, err,
		    sizeof(err));
	else
		d->nodes = nodes_new_alone(d->node_name, proc_config()->node_region,
		    proc_config()->max_sessions);
	if (d->nodes)
		d->fleet = fleet_new(nodes_count(d->nodes), nodes_self(d->nodes), random_seed(),
		    mono_ms());
	if (!d->fleet) {
		log_file_error("start_failed", err);
		return -1;
	}
	name_self(d);
	if (*name && (!nodetoken_load() || load_node_key(d) != 0))
		return -1;
	if (nodes_has_cloud(d->nodes) &&
	    !nodes_has_cloud_in(d->nodes, view_of(proc_config()->cloud_fallback_region)))
		log_warnx(
		    "event=no_fallback_region region=%s detail=\"no cloud node of NODES_CONFIG "
		    "is in CLOUD_FALLBACK_REGION\"",
		    proc_config()->cloud_fallback_region);
	return 0;
}

static int
load_audit(struct placerd *d)
{
	int fd = proc_take_gift(GIFT_PLACERD_AUDIT);
	cleanup_fd int read_fd = proc_take_gift(GIFT_PLACERD_AUDIT_END);

	if (fd >= 0 && json_init() == 0)
		d->keepers.audit = audit_new(fd, read_fd);
	if (d->keepers.audit)
		return 0;
	log_error("event=start_failed step=\"audit log\"");
	return -1;
}

/*
 * After the life of an access token it may be taken a skew longer, and what was minted with it at
 * that moment lives ten minutes at most (ptyd/holder_tokens.h).
 */
#define REVOKED_SLACK_SECONDS (60 + 600)

static const char *const revoked_errors[] = {
	[REVOKED_OTHER_VERSION] = "of another version of this program; they are left untouched",
	[REVOKED_IO] = "they cannot be read and written",
	[REVOKED_NO_MEMORY] = "out of memory",
};

static void
log_revoked(const struct revoked_found *found)
{
	if (found->dropped_bytes > 0 || found->is_unfinished)
		log_warnx("event=revocations_recovered rules=%zu dropped_bytes=%llu "
			  "unfinished_rewrite=%d",
		    found->rules, (unsigned long long)found->dropped_bytes, found->is_unfinished);
	else
		log_info("event=revocations_read rules=%zu", found->rules);
}

/* In its own root directory, which is entered later. */
static int
load_revoked(struct placerd *d)
{
	struct revoked_found found;
	enum revoked_result result = REVOKED_NO_MEMORY;

	d->revoked = revoked_new(proc_config()->oidc_max_token_seconds + REVOKED_SLACK_SECONDS);
	if (d->revoked)
		result = revoked_open(d->revoked, GIFT_ROOT, (uint64_t)wall_s(), &found);
	if (result == REVOKED_OK) {
		log_revoked(&found);
		return 0;
	}
	if (result == REVOKED_IO)
		log_warn("event=start_failed step=\"read the revocations\"");
	log_error("event=start_failed step=\"read the revocations\" detail=\"%s\"",
	    revoked_errors[result]);
	return -1;
}

static const char *const passed_errors[] = {
	[PASSED_OTHER_VERSION] = "of another version of this program; it is left untouched",
	[PASSED_IO] = "it cannot be read and written",
};

/* As the revocations. */
static int
load_passed(struct placerd *d)
{
	struct passed_now now = { .wall_s = (uint64_t)wall_s(), .mono_ms = mono_ms() };
	enum passed_result result = PASSED_IO;
	struct passed_found found;

	d->passed = passed_new(REGISTRY_REPEAT_MS);
	if (d->passed)
		result = passed_open(d->passed, GIFT_ROOT, now, &found);
	if (result == PASSED_OK && found.damaged > 0)
		log_warnx("event=passed_recovered keys=%zu damaged=%zu", found.keys, found.damaged);
	if (result == PASSED_OK)
		return 0;
	if (result == PASSED_IO)
		log_warn("event=start_failed step=\"read what was passed on\"");
	log_error("event=start_failed step=\"read what was passed on\" detail=\"%s\"",
	    passed_errors[result]);
	return -1;
}

static int
load(void *ctx)
{
	struct placerd *d = ctx;

	if (load_policy(d) != 0 || load_node_name(d) != 0 || load_audit(d) != 0 ||
	    load_nodes(d) != 0 || load_revoked(d) != 0 || load_passed(d) != 0 || admin_load(d) != 0)
		return -1;
	if (!create_load()) {
		log_error("event=start_failed step=\"SHA-256\"");
		return -1;
	}
	d->creates = rate_new(proc_config()->creates_per_minute);
	d->attaches = rate_new(proc_config()->attaches_per_minute);
	d->keepers.quota = quota_new();
	d->registry = registry_new();
	if (d->keepers.quota && d->registry && d->creates && d->attaches)
		return 0;
	log_error("event=start_failed step=memory");
	return -1;
}

static int
start_probe(struct placerd *d)
{
	if (nodes_count(d->nodes) == 1 && !*proc_config()->nodes_config)
		return 0;
	d->probe = probe_new(d);
	return d->probe ? 0 : -1;
}

static int
start(void *ctx)
{
	if (peers_start(ctx) != 0 || start_probe(ctx) != 0)
		return -1;
	return admin_start(ctx);
}

static int
prepare_policy(struct placerd *d, int fd, char *err, size_t err_size)
{
	policy_free(d->next_policy);
	d->next_policy = read_policy(proc_config()->policy_config, fd, err, err_size);
	return d->next_policy ? 0 : -1;
}

/* Sessions and tokens bear the name: it stays until this process ends. */
static bool
is_same_self(const struct nodes *now, const struct nodes *next)
{
	const struct node *a = nodes_at(now, nodes_self(now)),
			  *b = nodes_at(next, nodes_self(next));

	return strcmp(a->name, b->name) == 0 && memcmp(a->key, b->key, NODE_KEY_BYTES) == 0;
}

static void
forget_next_nodes(struct placerd *d)
{
	reread_free(d->reread);
	d->reread = NULL;
	nodes_free(d->next_nodes);
	d->next_nodes = NULL;
}

static void
on_nodes_reread(void *ctx, struct nodes *nodes, const char *err)
{
	struct placerd *d = ctx;
	char other_self[YAML_ERROR_BYTES];

	if (nodes && !is_same_self(d->nodes, nodes)) {
		yaml_format_error(other_self, sizeof(other_self), proc_config()->nodes_config, 1,
		    "self", "this node's name and key change by a restart alone");
		err = other_self;
		nodes_free(nodes);
		nodes = NULL;
	}
	if (!nodes)
		log_file_error("reload_refused", err);
	forget_next_nodes(d);
	d->next_nodes = nodes;
	(void)proc_prepared(nodes != NULL);
}

static int
prepare_nodes(struct placerd *d, int fd, char *err, size_t err_size)
{
	const char *name = proc_config()->nodes_config;
	size_t len = 0;
	char *bytes = read_file(name, fd, NODES_FILE_MAX_BYTES, &len, err, err_size);

	forget_next_nodes(d);
	if (!bytes)
		return -1;
	d->reread = reread_new(proc_base(), name, bytes, len, proc_config()->fleet_origins,
	    d->node_name, on_nodes_reread, d);
	if (d->reread)
		return PROC_PREPARED_LATER;
	yaml_format_error(err, err_size, name, 1, "", "out of memory");
	return -1;
}

static int
prepare(void *ctx, enum reload_file file, int fd)
{
	char err[YAML_ERROR_BYTES] = "";
	int rc = -1;

	if (file == FILE_POLICY)
		rc = prepare_policy(ctx, fd, err, sizeof(err));
	else if (file == FILE_NODES)
		rc = prepare_nodes(ctx, fd, err, sizeof(err));
	else
		close_fd(&fd);
	if (rc < 0)
		log_file_error("reload_refused", err);
	return rc;
}

/* How the nodes that stay were, stays known. */
static void
commit_nodes(struct placerd *d)
{
	size_t n = nodes_count(d->next_nodes);
	size_t *map = calloc(n, sizeof(*map));
	struct fleet *fleet = fleet_new(n, nodes_self(d->next_nodes), random_seed(), mono_ms());
	struct nodes *was = d->nodes;

	if (!map || !fleet) {
		free(map);
		fleet_free(fleet);
		log_warnx("event=nodes_not_reloaded detail=\"out of memory\"");
		return;
	}
	for (size_t i = 0; i < n; i++)
		map[i] = nodes_find(d->nodes, view_of(nodes_at(d->next_nodes, i)->name));
	fleet_adopt(fleet, d->fleet, map);
	free(map);
	fleet_free(d->fleet);
	d->fleet = fleet;
	d->nodes = d->next_nodes;
	d->next_nodes = NULL;
	probe_nodes_changed(d);
	nodes_free(was);
	log_info("event=nodes_reloaded nodes=%zu", n);
}

/* Sessions keep the limits that they were made with. */
static void
commit(void *ctx, bool apply)
{
	struct placerd *d = ctx;

	if (apply && d->next_policy) {
		policy_free(d->policy);
		d->policy = d->next_policy;
		d->next_policy = NULL;
		log_info("event=policy_reloaded version=%s", policy_version(d->policy));
	}
	if (apply && d->next_nodes)
		commit_nodes(d);
	policy_free(d->next_policy);
	d->next_policy = NULL;
	forget_next_nodes(d);
	admin_reloaded(d);
}

int
main(int argc, char **argv)
{
	const struct role role = {
		.id = PROC_PLACERD,
		.ctx = &placerd,
		.handlers = placerd_handlers,
		.phase_of = peers_phase_of,
		.load = load,
		.start = start,
		.edge_up = peers_edge_up,
		.edge_down = peers_edge_down,
		.prepare = prepare,
		.commit = commit,
	};

	if (argc == 3 && find_check(argv[1]))
		return check_file(find_check(argv[1]), argv[2]);
	return proc_main(&role);
}
