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
#include "common/privdrop.h"
#include "common/proc.h"
#include "placerd/admin.h"
#include "placerd/placerd.h"
#include "placerd/quota.h"
#include "placerd/yaml.h"

static struct placerd placerd;

/* fd is taken. NULL: err has "FILE:LINE: message". */
static struct policy *
read_policy(const char *name, int fd, char *err, size_t err_size)
{
	size_t len = 0;
	cleanup_free char *bytes = fd < 0 ? NULL : proc_read_file(fd, YAML_FILE_MAX_BYTES, &len);
	int saved = errno;

	close_fd(&fd);
	if (bytes)
		return policy_new_from_yaml(name, bytes, len, err, err_size);
	yaml_format_error(err, err_size, name, 1, "", "cannot be read: %s",
	    saved == EFBIG ? "it is no regular file, or too large" : strerrordesc_np(saved));
	return NULL;
}

static void
log_policy_error(const char *event, const char *err)
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
}

/* fogd -T: each profile in one line, as it was understood. */
static void
print_policy(const struct policy *policy)
{
	const struct policy_profile *p;

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
		dprintf(STDERR_FILENO, "allowed_groups");
		print_groups(p);
	}
}

/* The file is read before, and understood after, the drop. */
static int
check_policy(const char *name, bool print)
{
	char err[YAML_ERROR_BYTES];
	size_t len = 0;
	char *bytes = proc_read_file(GIFT_PLACERD_POLICY, YAML_FILE_MAX_BYTES, &len);
	const char *step = confine_check();
	struct policy *policy;

	if (!bytes || step) {
		dprintf(STDERR_FILENO, "%s:1: cannot be checked: %s\n", name,
		    step ? step : "it cannot be read");
		free(bytes);
		return 1;
	}
	policy = policy_new_from_yaml(name, bytes, len, err, sizeof(err));
	if (!policy)
		dprintf(STDERR_FILENO, "%s\n", err);
	else if (print)
		print_policy(policy);
	policy_free(policy);
	free(bytes);
	return policy ? 0 : 1;
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
	log_policy_error("start_failed", err);
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

static int
load(void *ctx)
{
	struct placerd *d = ctx;

	if (load_policy(d) != 0 || load_node_name(d) != 0 || load_audit(d) != 0 ||
	    load_revoked(d) != 0)
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
start(void *ctx)
{
	return peers_start(ctx) == 0 ? admin_start(ctx) : -1;
}

static int
prepare(void *ctx, enum reload_file file, int fd)
{
	struct placerd *d = ctx;
	char err[YAML_ERROR_BYTES];

	if (file != FILE_POLICY) {
		close_fd(&fd);
		return -1;
	}
	policy_free(d->next_policy);
	d->next_policy = read_policy(proc_config()->policy_config, fd, err, sizeof(err));
	if (d->next_policy)
		return 0;
	log_policy_error("reload_refused", err);
	return -1;
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
		log_info("event=policy_reloaded");
	}
	policy_free(d->next_policy);
	d->next_policy = NULL;
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

	if (argc == 3 && (strcmp(argv[1], "-n") == 0 || strcmp(argv[1], "-T") == 0))
		return check_policy(argv[2], strcmp(argv[1], "-T") == 0);
	return proc_main(&role);
}
