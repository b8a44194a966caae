/* SPDX-License-Identifier: MIT */
/* policy and config: files that are held against the very functions of placerd. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/id.h"
#include "common/json.h"
#include "fogctl/command.h"
#include "placerd/asked_record.h"
#include "placerd/decision.h"
#include "placerd/nodes.h"
#include "placerd/policy.h"
#include "placerd/yaml.h"

#define GROUPS_BYTES (FOGCTL_VALUES_MAX * (POLICY_GROUP_MAX_BYTES + 2))

/* NULL: said why, and *status. */
static struct policy *
load_policy(const char *name, int *status)
{
	char err[YAML_ERROR_BYTES];
	size_t len = 0;
	cleanup_free char *bytes = file_read(name, YAML_FILE_MAX_BYTES, &len, status);
	struct policy *policy;

	if (!bytes)
		return NULL;
	policy = policy_new_from_yaml(name, bytes, len, err, sizeof(err));
	if (policy)
		return policy;
	put_text(stderr, err);
	putc('\n', stderr);
	*status = EXIT_USAGE;
	return NULL;
}

/* --- a profile as it was understood --- */

static int
set(json_t *obj, const char *name, json_t *value)
{
	return json_object_set_new(obj, name, value);
}

static int
set_number(json_t *obj, const char *name, uint64_t value)
{
	return set(obj, name, json_integer((json_int_t)value));
}

static json_t *
names_of(const policy_name *names, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *
egress_of(const struct policy_limits *limits)
{
	json_t *list = json_array();

	for (size_t i = 0; i < limits->n_egress; i++) {
		char text[EGRESS_TEXT_SIZE];

		egress_format(&limits->egress[i], text);
		(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

static int
set_dns(json_t *obj, const struct policy_dns *dns)
{
	char text[INET6_ADDRSTRLEN];

	if (dns->len == 0 ||
	    !inet_ntop(dns->len == 4 ? AF_INET : AF_INET6, dns->address, text, sizeof(text)))
		return 0;
	return set(obj, "dns", json_string(text));
}

/* What the profile does not say is left out. */
static int
set_limits(json_t *obj, const struct policy_limits *limits)
{
	int rc = set_number(obj, "cpu_milli", limits->cpu_milli);

	rc |= set_number(obj, "memory_bytes", limits->memory_bytes);
	rc |= set_number(obj, "storage_bytes", limits->storage_bytes);
	rc |= set_number(obj, "pids", limits->pids);
	if (limits->io_weight)
		rc |= set_number(obj, "io_weight", limits->io_weight);
	if (limits->ring_bytes)
		rc |= set_number(obj, "ring_bytes", limits->ring_bytes);
	if (limits->idle_timeout_seconds)
		rc |= set_number(obj, "idle_timeout_seconds", limits->idle_timeout_seconds);
	rc |= set(obj, "on_logout", json_string(policy_on_logout_name(limits->on_logout)));
	rc |= set(obj, "home", json_string(policy_home_name(limits->home)));
	rc |= set(obj, "limits", json_string(policy_limits_name(limits->limits_mode)));
	if (limits->shell.b[0])
		rc |= set(obj, "shell", json_string((const char *)limits->shell.b));
	rc |= set_dns(obj, &limits->dns);
	return rc | set(obj, "egress", egress_of(limits));
}

static int
set_places(json_t *obj, const policy_name *regions, size_t n_regions, const policy_name *labels,
    size_t n_labels, enum node_trust min_trust)
{
	int rc = 0;

	if (n_regions > 0)
		rc |= set(obj, "regions", names_of(regions, n_regions));
	if (n_labels > 0)
		rc |= set(obj, "data_labels", names_of(labels, n_labels));
	if (min_trust != TRUST_NONE)
		rc |= set(obj, "min_trust", json_string(session_trust_name(min_trust)));
	return rc;
}

static json_t *
profile_to_json(const struct policy_profile *p)
{
	json_t *obj = json_object(), *groups = json_array(), *images = json_array();
	int rc = set(obj, "name", json_string(p->name));

	for (size_t i = 0; i < p->n_groups; i++)
		rc |= json_array_append_new(groups, json_string(p->groups[i]));
	for (size_t i = 0; i < p->n_images; i++)
		rc |= json_array_append_new(images, json_string(p->images[i].ref));
	rc |= set_number(obj, "max_ttl_seconds", p->max_ttl_seconds);
	rc |= set_number(obj, "max_sessions", p->max_sessions);
	rc |= set(obj, "allowed_groups", groups);
	rc |= set(obj, "images", images);
	rc |= set_limits(obj, &p->limits);
	rc |= set_places(obj, p->regions, p->n_regions, p->labels, p->n_labels, p->min_trust);
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

static json_t *
policy_to_json(const struct policy *policy)
{
	json_t *profiles = json_array();
	const struct policy_profile *p;

	for (size_t i = 0; (p = policy_profile_at(policy, i)); i++) {
		if (json_array_append_new(profiles, profile_to_json(p)) != 0) {
			json_decref(profiles);
			return NULL;
		}
	}
	return json_pack("{s:s, s:o}", "policy", policy_version(policy), "profiles", profiles);
}

static int
out_of_memory(void)
{
	fprintf(stderr, "fogctl: out of memory\n");
	return EXIT_REFUSED;
}

static void
add_profile(struct table *t, const json_t *profile)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)profile, key, value) {
		if (strcmp(key, "name") == 0)
			continue;
		table_add_value(t, json_object_get(profile, "name"));
		table_add(t, key);
		table_add_value(t, value);
	}
}

int
run_policy_check(const struct fogctl_wish *w)
{
	static const char *const headings[] = { "PROFILE", "KEY", "VALUE", NULL };
	int status = EXIT_DONE;
	struct policy *policy = load_policy(w->arguments[0], &status);
	json_t *told = policy ? policy_to_json(policy) : NULL;
	const json_t *profile;
	struct table *t;
	size_t i;

	policy_free(policy);
	if (!policy)
		return status;
	if (!told || wish_has(w, OPTION_JSON))
		return json_print(told, EXIT_DONE);
	t = table_new(headings);
	json_array_foreach(json_object_get(told, "profiles"), i, profile)
		add_profile(t, profile);
	status = table_print(t) == 0 ? EXIT_DONE : out_of_memory();
	printf("policy %s is good\n", json_string_value(json_object_get(told, "policy")));
	json_decref(told);
	return status;
}

/* --- one request --- */

/* 0 and *out; fallback when it was not given. Else EXIT_USAGE. */
static int
read_number(const struct fogctl_wish *w, enum fogctl_option_id option, uint32_t *out)
{
	const char *text = wish_value(w, option);

	if (!text)
		return 0;
	if (!*text || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text))
		return usage_error(option == OPTION_TTL ? "--ttl is a number of seconds, not"
							: "--sessions is a number, not",
		    text);
	*out = (uint32_t)strtoul(text, NULL, 10);
	return 0;
}

struct asking {
	struct policy_identity who;
	struct policy_request request;
	uint32_t live;
	unsigned char groups[GROUPS_BYTES];
};

static int
read_asking(const struct fogctl_wish *w, struct asking *a)
{
	const struct fogctl_values *groups = &w->option[OPTION_GROUP];
	const char *runtime = wish_value(w, OPTION_RUNTIME);
	struct writer packed;
	int status = 0;

	if (!wish_has(w, OPTION_PROFILE))
		return usage_error("an option is needed", "--profile");
	if (runtime && strcmp(runtime, "sandbox") != 0 && strcmp(runtime, "stub") != 0)
		return usage_error("--runtime is sandbox or stub, not", runtime);
	writer_init(&packed, a->groups, sizeof(a->groups));
	for (size_t i = 0; i < groups->n; i++)
		put_view(&packed, view_of(groups->value[i]));
	if (packed.err)
		return usage_error("the groups are too long", NULL);
	/* Any subject will do: policy asks only whether there is one. */
	a->who = (struct policy_identity){ view_of("-"), view_of("-"),
		view_bytes(a->groups, packed.len) };
	a->request = (struct policy_request){ .profile = view_of(wish_value(w, OPTION_PROFILE)),
		.image_ref = view_of(wish_value(w, OPTION_IMAGE)),
		.needs_image = !runtime || strcmp(runtime, "sandbox") == 0 };
	a->live = 0;
	status = read_number(w, OPTION_TTL, &a->request.ttl_seconds);
	return status ? status : read_number(w, OPTION_SESSIONS, &a->live);
}

static json_t *
decision_told(const struct policy_decision *d)
{
	bool is_allowed = d->rule == POLICY_ALLOW;
	json_t *obj = json_pack("{s:b, s:s, s:s}", "allowed", (int)is_allowed, "rule_id",
	    policy_rule_id(d->rule), "policy", d->version);
	int rc = obj ? 0 : -1;

	if (is_allowed) {
		rc |= set_number(obj, "ttl_seconds", d->ttl_seconds);
		rc |= set_number(obj, "max_sessions", d->max_sessions);
		rc |= set_limits(obj, &d->limits);
		rc |= set_places(obj, d->regions, d->n_regions, d->labels, d->n_labels,
		    d->min_trust);
	} else {
		rc |= set(obj, "detail", json_string(d->detail));
		rc |= set(obj, "change", json_string(d->change));
	}
	if (rc == 0)
		return obj;
	json_decref(obj);
	return NULL;
}

int
run_policy_explain(const struct fogctl_wish *w)
{
	struct asking a = { .live = 0 };
	struct policy_decision decision;
	int status = read_asking(w, &a);
	struct policy *policy = status == 0 ? load_policy(w->arguments[0], &status) : NULL;
	json_t *told;

	if (!policy)
		return status;
	policy_admit(policy, &a.who, &a.request, a.live, &decision);
	policy_free(policy);
	status = decision.rule == POLICY_ALLOW ? EXIT_DONE : EXIT_REFUSED;
	told = decision_told(&decision);
	if (!told || wish_has(w, OPTION_JSON))
		return json_print(told, status);
	if (table_print_members(told) != 0)
		status = out_of_memory();
	json_decref(told);
	return status;
}

/* --- an audit log, once more --- */

#define TRACES 64 /* requests that are tried again at one time, of those that differ */

typedef char trace_text[TRACE_ID_TEXT_SIZE];

struct replay {
	const struct policy *policy;
	const char *file;
	size_t asked, different, unplaced;
	json_t *list;
	trace_text failed; /* the line before says that a node failed it; "": it does not */
	trace_text different_of[TRACES]; /* the newest of list */
	/* Of the line that is looked at. */
	struct asked_record record;
	struct decision d;
};

/* The outcome of one request: denied by a rule, or allowed, on a node when that is known. */
struct outcome {
	bool is_placement; /* the rule is one of placement */
	char text[160];
};

static struct outcome
outcome_of_rule(enum policy_rule rule)
{
	struct outcome o = { .is_placement = rule > POLICY_ALLOW };

	snprintf(o.text, sizeof(o.text), "%s",
	    rule == POLICY_ALLOW ? "allowed" : policy_rule_id(rule));
	return o;
}

/* What the log says of it. The rule may be one that this version does not know. */
static struct outcome
outcome_then(const json_t *line)
{
	const char *event = json_peek_str(line, "event"), *rule = json_peek_str(line, "rule_id");
	const char *node = json_peek_str(json_object_get(line, "decision"), "choice");
	struct outcome o = { 0 };

	if (event && strcmp(event, "policy.denied") == 0) {
		snprintf(o.text, sizeof(o.text), "%s", rule ? rule : "denied");
		for (unsigned i = POLICY_ALLOW + 1; i < POLICY_RULE_COUNT; i++)
			o.is_placement |= strcmp(o.text, policy_rule_id(i)) == 0;
		return o;
	}
	snprintf(o.text, sizeof(o.text), node && *node ? "allowed on %s" : "allowed",
	    node ? node : "");
	return o;
}

/* A record knows of labels only those that were asked for: others cannot be judged by it. */
static bool
knows_labels(const struct decision *d, const struct policy_decision *draft)
{
	for (size_t i = 0; i < draft->n_labels; i++) {
		size_t l = 0;

		while (l < d->n_labels && strcmp(d->labels[l], draft->labels[i]) != 0)
			l++;
		if (l == d->n_labels)
			return false;
	}
	return true;
}

/* What the draft demands of a node, in the words of the record, which knows its labels. */
static void
constrain(const struct policy_decision *draft, struct decision *d)
{
	for (size_t i = 0; i < draft->n_regions && i < COUNT_OF(d->regions); i++)
		d->regions[i] = view_of(draft->regions[i]);
	d->request.regions = d->regions;
	d->request.n_regions = draft->n_regions;
	d->request.min_trust = draft->min_trust;
	d->request.needs.cpu_milli = draft->limits.cpu_milli;
	d->request.needs.memory_bytes = draft->limits.memory_bytes;
	d->request.labels = 0;
	for (size_t i = 0; i < draft->n_labels; i++) {
		for (size_t l = 0; l < d->n_labels; l++) {
			if (strcmp(d->labels[l], draft->labels[i]) == 0)
				d->request.labels |= UINT64_C(1) << l;
		}
	}
}

/* Among the nodes that the record has. */
static struct outcome
place_again(const struct policy_decision *draft, struct decision *d)
{
	struct place_choice choice;
	struct outcome o = { 0 };
	enum policy_rule rule = POLICY_ALLOW;

	constrain(draft, d);
	if (place_choose(&d->request, d->nodes, d->n, &choice) == 0) {
		snprintf(o.text, sizeof(o.text), "allowed on %.*s",
		    VIEW_ARG(d->nodes[choice.fit[0].node].name));
		return o;
	}
	for (size_t i = 0; i < d->n; i++)
		rule = policy_rule_of_placement(rule, place_judge(&d->request, &d->nodes[i]));
	return outcome_of_rule(rule == POLICY_ALLOW ? POLICY_NOWHERE : rule);
}

static int
refuse_record(const struct replay *r, size_t number, const char *why)
{
	put_text(stderr, r->file);
	fprintf(stderr, ":%zu: ", number);
	put_text(stderr, why);
	putc('\n', stderr);
	return EXIT_USAGE;
}

/* 0 and *out, or an exit status. */
static int
outcome_now(struct replay *r, size_t number, const json_t *line, struct outcome *out)
{
	struct asked_record *asked = &r->record;
	json_t *placed = json_object_get(line, "decision");
	struct policy_decision decision;
	char err[256];

	if (asked_record_from_json(json_object_get(line, "request"), asked, err, sizeof(err)) != 0)
		return refuse_record(r, number, err);
	asked->identity.issuer = view_of(json_peek_str(line, "issuer"));
	asked->identity.subject = view_of(json_peek_str(line, "subject"));
	policy_admit(r->policy, &asked->identity, &asked->request, asked->live_sessions, &decision);
	*out = outcome_of_rule(decision.rule);
	if (decision.rule != POLICY_ALLOW || !placed)
		return 0;
	if (decision_from_json(placed, &r->d, err, sizeof(err)) != 0)
		return refuse_record(r, number, err);
	if (knows_labels(&r->d, &decision))
		*out = place_again(&decision, &r->d);
	else
		r->unplaced++;
	decision_fini(&r->d);
	return 0;
}

static const char *
member(const json_t *line, const char *name)
{
	const char *text = json_peek_str(line, name);

	return text ? text : "";
}

static bool
is_different(const struct outcome *then, const struct outcome *now)
{
	/* Which constraint took the last node cannot be told from the nodes that a record keeps. */
	if (strcmp(then->text, now->text) == 0 || (then->is_placement && now->is_placement))
		return false;
	/* A record without nodes says who was let in, and no more. */
	if (strcmp(now->text, "allowed") == 0 && strncmp(then->text, "allowed", 7) == 0)
		return false;
	/* Placement was not tried again: there is nothing to try it on. */
	return strcmp(now->text, "allowed") != 0 || !then->is_placement;
}

/* Of another try of one request that differed before. */
static bool
is_told(const struct replay *r, const char *trace)
{
	for (size_t i = 0; i < TRACES; i++) {
		if (strcmp(r->different_of[i], trace) == 0)
			return true;
	}
	return false;
}

static int
tell_different(struct replay *r, const json_t *line, const struct outcome *then,
    const struct outcome *now)
{
	snprintf(r->different_of[r->different++ % TRACES], sizeof(trace_text), "%s",
	    member(line, "trace_id"));
	return json_array_append_new(r->list,
		   json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "time", member(line, "time"),
		       "issuer", member(line, "issuer"), "subject", member(line, "subject"),
		       "profile", member(json_object_get(line, "request"), "profile"), "was",
		       then->text, "would_be", now->text)) == 0
	    ? EXIT_DONE
	    : out_of_memory();
}

/* Of one try of a request there is one line of these: session.created comes with placement.decided. */
static int
replay_request(struct replay *r, size_t number, const json_t *line, bool is_again)
{
	struct outcome then = outcome_then(line), now;
	int status = outcome_now(r, number, line, &now);

	if (status != 0)
		return status;
	r->asked += !is_again;
	if (!is_different(&then, &now) || (is_again && is_told(r, member(line, "trace_id"))))
		return EXIT_DONE;
	return tell_different(r, line, &then, &now);
}

/* A node that has failed a request is told of right before the request is decided again. */
static int
replay_line(void *arg, size_t number, const json_t *line)
{
	struct replay *r = arg;
	const char *event = member(line, "event"), *trace = member(line, "trace_id");
	bool is_again = *r->failed && strcmp(r->failed, trace) == 0;
	bool has_failed = strcmp(event, "session.forwarded") == 0 &&
	    strcmp(member(line, "reason"), "failed") == 0;

	snprintf(r->failed, sizeof(r->failed), "%s", has_failed ? trace : "");
	if (!json_object_get(line, "request") ||
	    (strcmp(event, "policy.denied") != 0 && strcmp(event, "placement.decided") != 0))
		return EXIT_DONE;
	return replay_request(r, number, line, is_again);
}

static int
show_replay(const struct fogctl_wish *w, const struct replay *r)
{
	static const char *const headings[] = { "TIME", "SUBJECT", "PROFILE", "WAS", "WOULD BE",
		NULL };
	static const char *const names[] = { "time", "subject", "profile", "was", "would_be" };
	int status = r->different > 0 ? EXIT_REFUSED : EXIT_DONE;
	struct table *t;
	const json_t *row;
	size_t i;

	if (wish_has(w, OPTION_JSON))
		return json_print(json_pack("{s:I, s:I, s:O}", "requests", (json_int_t)r->asked,
				      "not_placed", (json_int_t)r->unplaced, "different", r->list),
		    status);
	t = table_new(headings);
	json_array_foreach(r->list, i, row) {
		for (size_t c = 0; c < COUNT_OF(names); c++)
			table_add_value(t, json_object_get(row, names[c]));
	}
	if (r->different == 0)
		table_drop(t);
	else if (table_print(t) != 0)
		return out_of_memory();
	printf("%zu of %zu requests would be decided differently\n", r->different, r->asked);
	if (r->unplaced > 0)
		printf("%zu were not placed again: the log does not know which nodes have the "
		       "data_labels of the draft\n",
		    r->unplaced);
	return status;
}

int
run_policy_replay(const struct fogctl_wish *w)
{
	struct replay r = { .file = wish_value(w, OPTION_AUDIT) };
	int status = EXIT_DONE;
	struct policy *policy;

	if (!r.file)
		return usage_error("an option is needed", "--audit");
	policy = load_policy(w->arguments[0], &status);
	if (!policy)
		return status;
	r.policy = policy;
	r.list = json_array();
	status = audit_walk(r.file, "event", replay_line, &r);
	if (status == EXIT_DONE)
		status = show_replay(w, &r);
	json_decref(r.list);
	policy_free(policy);
	return status;
}

/* --- config check --- */

static int
check_policy(const char *name, json_t *told)
{
	int status = EXIT_DONE;
	struct policy *policy = load_policy(name, &status);
	size_t n = 0;

	if (!policy)
		return status;
	while (policy_profile_at(policy, n))
		n++;
	(void)set(told, "policy",
	    json_pack("{s:s, s:s, s:I}", "file", name, "version", policy_version(policy),
		"profiles", (json_int_t)n));
	policy_free(policy);
	return EXIT_DONE;
}

static const char *
own_name(const struct fogctl_wish *w, char host[static 65])
{
	if (wish_has(w, OPTION_NODE))
		return wish_value(w, OPTION_NODE);
	return gethostname(host, 64) == 0 ? host : "";
}

static int
check_nodes(const struct fogctl_wish *w, const char *name, json_t *told)
{
	const char *origins = wish_value(w, OPTION_ORIGINS);
	char err[YAML_ERROR_BYTES], host[65] = "";
	int status = EXIT_DONE;
	size_t len = 0, checked = 0;
	cleanup_free char *bytes = file_read(name, NODES_FILE_MAX_BYTES, &len, &status);
	struct nodes *nodes;

	if (!bytes)
		return status;
	nodes = nodes_new_from_yaml(name, bytes, len, origins ? origins : "", own_name(w, host),
	    err, sizeof(err));
	if (!nodes || nodes_check_keys(nodes, &checked, SIZE_MAX, name, err, sizeof(err)) != 0) {
		put_text(stderr, err);
		putc('\n', stderr);
		nodes_free(nodes);
		return EXIT_USAGE;
	}
	(void)set(told, "nodes",
	    json_pack("{s:s, s:s, s:I}", "file", name, "self",
		nodes_at(nodes, nodes_self(nodes))->name, "nodes", (json_int_t)nodes_count(nodes)));
	nodes_free(nodes);
	return EXIT_DONE;
}

int
run_config_check(const struct fogctl_wish *w)
{
	const char *policy = wish_value(w, OPTION_POLICY), *nodes = wish_value(w, OPTION_NODES);
	json_t *told = json_object();
	int status = EXIT_DONE;

	if (!policy && !nodes)
		policy = FOGCTL_POLICY;
	if (policy)
		status = check_policy(policy, told);
	if (status == EXIT_DONE && nodes)
		status = check_nodes(w, nodes, told);
	if (status == EXIT_DONE && wish_has(w, OPTION_JSON))
		return json_print(told, EXIT_DONE);
	if (status == EXIT_DONE && table_print_members(told) != 0)
		status = out_of_memory();
	json_decref(told);
	return status;
}
