/* SPDX-License-Identifier: MIT */
/* nodes.yaml: what is read, what is refused and where, and finding a node in a fleet of any size. */
/* links: placerd/nodes.c placerd/yaml.c */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "placerd/nodes.h"
#include "placerd/yaml.h"

#define ORIGINS \
	"https://*.example.org https://*.example.org:8443 https://10.0.0.5:8443 " \
	"https://[2001:db8::1]"
#define TEXT_MAX (64 * 1024)
#define KEY_TEXT_SIZE 125

/* The DER of a SubjectPublicKeyInfo of P-256, but for its point: as openssl pkey -pubout writes it. */
static const unsigned char prefix[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42,
	0x00 };

static void
key_text(uint32_t number, char out[static KEY_TEXT_SIZE])
{
	unsigned char der[91] = { 0 };

	memcpy(der, prefix, sizeof(prefix));
	der[sizeof(prefix)] = 4;
	for (size_t i = 0; i < 4; i++)
		der[sizeof(prefix) + 1 + i] = (unsigned char)(number >> (8 * i));
	assert_int_equal(EVP_EncodeBlock((unsigned char *)out, der, sizeof(der)),
	    KEY_TEXT_SIZE - 1);
}

/* Lines of a good file; %1 and %2 stand for two keys. */
static const char *const lines[] = { "self: fog-1", "nodes:", "  - name: fog-1",
	"    url: https://fog-1.example.org", "    region: berlin", "    tier: fog",
	"    trust: attested", "    data_labels: [gdpr, health]",
	"    capacity: { sessions: 40, cpu: \"16\", memory: \"64Gi\" }", "    public_key: \"%1\"",
	"  - name: cloud-1", "    url: https://cloud-1.example.org:8443", "    region: us-east-1",
	"    tier: cloud", "    trust: basic", "    capacity: { sessions: 400 }",
	"    public_key: \"%2\"" };

/* The text of a line, with its keys; returns the new end. */
static size_t
put_line(char *text, size_t at, const char *line)
{
	for (; *line; line++) {
		if (*line == '%') {
			char key[KEY_TEXT_SIZE];

			key_text((uint32_t) * ++line, key);
			at += (size_t)snprintf(text + at, TEXT_MAX - at, "%s", key);
		} else {
			text[at++] = *line;
		}
		assert_true(at < TEXT_MAX - KEY_TEXT_SIZE);
	}
	text[at++] = '\n';
	text[at] = '\0';
	return at;
}

/* The good file with one line (from 1) replaced; 0: none. An empty one is left out. */
static void
compose(char *text, size_t line, const char *by)
{
	size_t at = 0;

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		const char *now = i + 1 == line ? by : lines[i];

		if (*now)
			at = put_line(text, at, now);
	}
}

/* In the smallest parts that there are: one member or item at a time. */
static struct nodes *
load_in_parts(const char *text, const char *self_name, char err[YAML_ERROR_BYTES])
{
	struct nodes_reader *r = nodes_reader_new("n.yaml", text, strlen(text), ORIGINS, self_name,
	    err, YAML_ERROR_BYTES);
	struct nodes *nodes = NULL;

	while (r && nodes_reader_go_on(r, 1, &nodes) == 1)
		assert_null(nodes);
	nodes_reader_free(r);
	return nodes;
}

/* Read at once or in parts, the same comes of it. */
static struct nodes *
load(const char *text, const char *self_name, char err[YAML_ERROR_BYTES])
{
	char err_of_parts[YAML_ERROR_BYTES] = "";
	struct nodes *parts = load_in_parts(text, self_name, err_of_parts), *nodes;

	err[0] = '\0';
	nodes = nodes_new_from_yaml("n.yaml", text, strlen(text), ORIGINS, self_name, err,
	    YAML_ERROR_BYTES);
	assert_int_equal(nodes != NULL, parts != NULL);
	assert_string_equal(err, err_of_parts);
	if (nodes)
		assert_int_equal(nodes_count(nodes), nodes_count(parts));
	nodes_free(parts);
	return nodes;
}

static void
test_good(void **state)
{
	char text[TEXT_MAX], err[YAML_ERROR_BYTES];
	const struct node *fog, *cloud;
	struct nodes *nodes;

	(void)state;
	compose(text, 0, "");
	nodes = load(text, "another", err);
	if (!nodes)
		fail_msg("%s", err);
	assert_int_equal(nodes_count(nodes), 2);
	fog = nodes_at(nodes, 0);
	cloud = nodes_at(nodes, 1);
	assert_string_equal(fog->name, "fog-1");
	assert_string_equal(fog->url, "https://fog-1.example.org");
	assert_string_equal(fog->region, "berlin");
	assert_int_equal(fog->tier, TIER_FOG);
	assert_int_equal(fog->trust, TRUST_ATTESTED);
	assert_int_equal(fog->labels, 3);
	assert_int_equal(fog->capacity.sessions, 40);
	assert_int_equal(fog->capacity.cpu_milli, 16000);
	assert_int_equal(fog->capacity.memory_bytes, UINT64_C(64) << 30);
	assert_int_equal(fog->key[0], 4);
	assert_int_equal(fog->key[1], '1');
	assert_int_equal(fog->tag, id_node_tag("fog-1"));
	assert_int_equal(fog->line, 3);
	assert_int_equal(fog->key_line, 10);
	assert_int_equal(cloud->tier, TIER_CLOUD);
	assert_int_equal(cloud->trust, TRUST_BASIC);
	assert_int_equal(cloud->labels, 0);
	assert_int_equal(cloud->capacity.cpu_milli, 0);
	assert_int_equal(cloud->line, 11);
	assert_int_equal(nodes_self(nodes), 0);
	nodes_free(nodes);
}

static void
test_find(void **state)
{
	char text[TEXT_MAX], err[YAML_ERROR_BYTES];
	struct nodes *nodes;

	(void)state;
	compose(text, 1, "");
	nodes = load(text, "cloud-1", err);
	assert_non_null(nodes);
	assert_int_equal(nodes_self(nodes), 1); /* by its name, where the file does not say */
	assert_int_equal(nodes_find(nodes, view_of("fog-1")), 0);
	assert_int_equal(nodes_find(nodes, view_of("cloud-1")), 1);
	assert_int_equal(nodes_find(nodes, view_of("cloud-")), SIZE_MAX);
	assert_int_equal(nodes_find(nodes, view_of("")), SIZE_MAX);
	assert_int_equal(nodes_find(nodes, view_bytes("fog-1\0x", 7)), SIZE_MAX);
	assert_int_equal(nodes_find(nodes, view_of(text)), SIZE_MAX);
	assert_int_equal(nodes_find_tag(nodes, id_node_tag("cloud-1")), 1);
	assert_int_equal(nodes_find_tag(nodes, id_node_tag("cloud-1") + 1), SIZE_MAX);
	assert_int_equal(nodes_label(nodes, view_of("gdpr")), 1);
	assert_int_equal(nodes_label(nodes, view_of("health")), 2);
	assert_int_equal(nodes_label(nodes, view_of("heal")), 0);
	assert_int_equal(nodes_label_count(nodes), 2);
	assert_true(view_is(nodes_label_at(nodes, 1), "health"));
	assert_int_equal(nodes_label_at(nodes, 2).len, 0);
	assert_true(nodes_has_cloud(nodes));
	assert_true(nodes_has_cloud_in(nodes, view_of("us-east-1")));
	assert_false(nodes_has_cloud_in(nodes, view_of("berlin"))); /* a fog node is there */
	nodes_free(nodes);
}

#define URL(url) "    url: " url
#define LONG64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct bad_row {
	size_t line; /* replaced */
	const char *by;
	size_t at; /* where the mistake is said to be */
	const char *says;
} bad_rows[] = {
	{ 1, "self: fog-2", 1, "no node of the list is named \"fog-2\"" },
	{ 1, "self: Fog", 1, "must be of a-z and 0-9" },
	{ 1, "selv: fog-1", 1, "did you mean \"self\"?" },
	{ 3, "  - name: cloud-1", 11, "is the name of the node \"cloud-1\" on line 3 too" },
	{ 3, "  - name: Fog-1", 3, "must be of a-z and 0-9" },
	{ 3, "  - name: fog_1", 3, "must be of a-z and 0-9" },
	{ 3, "  - name: -fog", 3, "must be of a-z and 0-9" },
	{ 3, "  - name: \"12\"", 1, "no node of the list is named" },
	{ 3, "  - name: 12", 3, "write \"12\" with the quotes" },
	{ 3, "  - name: " LONG64 "a", 3, "65 bytes; allowed are 1 to 64" },
	{ 4, URL("http://fog-1.example.org"), 4, "must begin with https://" },
	{ 4, URL("HTTPS://fog-1.example.org"), 4, "must begin with https://" },
	{ 4, URL("fog-1.example.org"), 4, "must begin with https://" },
	{ 4, URL("https://"), 4, "the host must be" },
	{ 4, URL("https://fog-1.example.org/"), 4, "must have no path" },
	{ 4, URL("https://fog-1.example.org/fog"), 4, "must have no path" },
	{ 4, URL("https://fog-1.example.org?x"), 4, "no query" },
	{ 4, URL("\"https://fog-1.example.org#x\""), 4, "no fragment" },
	{ 4, URL("https://me@fog-1.example.org"), 4, "must have no user" },
	{ 4, URL("https://me:pw@fog-1.example.org"), 4, "must have no user" },
	{ 4, URL("https://fog-1.example.org:0"), 4, "the port must be a number from 1 to 65535" },
	{ 4, URL("https://fog-1.example.org:65536"), 4, "the port must be" },
	{ 4, URL("https://fog-1.example.org:99999999999"), 4, "the port must be" },
	{ 4, URL("https://fog-1.example.org:08443"), 4, "the port must be" },
	{ 4, URL("https://fog-1.example.org:8x"), 4, "the port must be" },
	{ 4, URL("\"https://fog-1.example.org:\""), 4, "the port must be" },
	{ 4, URL("https://fog-1.example.org:443"), 4, "without :443" },
	{ 4, URL("https://Fog-1.example.org"), 4, "in lower case" },
	{ 4, URL("https://fog-1..example.org"), 4, "the host must be" },
	{ 4, URL("https://fog-1.example.org."), 4, "the host must be" },
	{ 4, URL("https://fog 1.example.org"), 4, "the host must be" },
	{ 4, URL("https://10.0.0.256"), 4, "looks like an IPv4 address" },
	{ 4, URL("https://10.5"), 4, "looks like an IPv4 address" },
	{ 4, URL("https://[2001:db8::1"), 4, "the ] of the address is missing" },
	{ 4, URL("https://[2001:db8::g]"), 4, "no IPv6 address" },
	{ 4, URL("https://[2001:db8:0:0::1]"), 4, "in its short form" },
	{ 4, URL("https://[2001:DB8::1]"), 4, "in its short form" },
	{ 4, URL("https://[2001:db8::1]8"), 4, "after the ] comes" },
	{ 4, URL("https://[fe80::1%eth0]"), 4, "no IPv6 address" },
	{ 4, URL("https://fog-1.example.com"), 4, "FLEET_ORIGINS does not cover" },
	{ 4, URL("https://example.org"), 4, "FLEET_ORIGINS does not cover" },
	{ 4, URL("https://fog-1.example.org:9443"), 4, "FLEET_ORIGINS does not cover" },
	{ 4, URL("https://10.0.0.5"), 4, "FLEET_ORIGINS does not cover" },
	{ 4, URL("https://cloud-1.example.org:8443"), 12,
	    "is the url of the node \"fog-1\" on line 3 too" },
	{ 4, URL("https://" LONG64 LONG64 LONG64 LONG64 ".example.org"), 4,
	    "allowed are 1 to 255" },
	{ 5, "    region: Berlin", 5, "must be of a-z and 0-9" },
	{ 5, "    region: \"\"", 5, "must be of a-z and 0-9" },
	{ 5, "    region: " LONG64 "a", 5, "allowed are 1 to 64" },
	{ 6, "    tier: edge", 6, "must be fog or cloud" },
	{ 6, "    tier: FOG", 6, "must be fog or cloud" },
	{ 7, "    trust: full", 7, "must be attested, trusted or basic" },
	{ 7, "    trust: unknown", 7, "must be attested, trusted or basic" },
	{ 7, "", 3, "the key \"trust\" is missing" },
	{ 7, "    trust: basic\n    trust: attested", 8, "given twice" },
	{ 8, "    data_labels: gdpr", 8, "must be a list" },
	{ 8, "    data_labels: [gdpr, gdpr]", 8, "\"gdpr\" is given twice" },
	{ 8, "    data_labels: [GDPR]", 8, "a data label has a-z" },
	{ 8, "    data_labels: [\"\"]", 8, "a data label has a-z" },
	{ 9, "    capacity: { sessions: 0 }", 9, "\"0\" is not a whole number from 1 to 4095" },
	{ 9, "    capacity: { sessions: -1 }", 9, "\"-1\" is not a whole number from 1 to 4095" },
	{ 9, "    capacity: { sessions: 4096 }", 9, "not a whole number from 1 to 4095" },
	{ 9, "    capacity: { sessions: 99999999999999999999 }", 9, "not a whole number" },
	{ 9, "    capacity: { sessions: 1.5 }", 9, "not a whole number" },
	{ 9, "    capacity: { sessions: 1, cpu: \"-1\" }", 9, "is not a quantity" },
	{ 9, "    capacity: { sessions: 1, cpu: 0 }", 9, "out of bounds; allowed are 1m to" },
	{ 9, "    capacity: { sessions: 1, memory: 0 }", 9, "out of bounds; allowed are 8Mi to" },
	{ 9, "    capacity: { sessions: 1, memory: 2000Ti }", 9, "out of bounds" },
	{ 9, "    capacity: { cpu: 1 }", 9, "the key \"sessions\" is missing" },
	{ 9, "    capacity: 40", 9, "must be a mapping" },
	{ 9, "    capacity: -1", 9, "must be a mapping" },
	{ 10, "    public_key: \"%2\"", 17, "is the key of the node \"fog-1\" on line 3 too" },
	{ 10, "    public_key: abc", 10, "is no public key of P-256" },
	{ 10, "    public_key: \"%1=\"", 10, "is no public key of P-256" },
	{ 10, "    public_key: \" %1\"", 10, "is no public key of P-256" },
	{ 10, "    colour: green", 10, "unknown key \"colour\"" },
	{ 16, "    capacity: { sessions: 1 }\n    &a key: b", 17, "an anchor" },
};

static void
assert_refused(const char *text, size_t line, const char *says, const char *what)
{
	char err[YAML_ERROR_BYTES], start[32];
	struct nodes *nodes = load(text, "fog-1", err);

	(void)snprintf(start, sizeof(start), "n.yaml:%zu: ", line);
	if (nodes || strncmp(err, start, strlen(start)) != 0 || !strstr(err, says))
		fail_msg("%s: \"%s\" is not \"%s... %s\"", what, err, start, says);
}

static void
test_bad(void **state)
{
	char text[TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_rows); i++) {
		compose(text, bad_rows[i].line, bad_rows[i].by);
		assert_refused(text, bad_rows[i].at, bad_rows[i].says, bad_rows[i].by);
	}
	assert_refused("", 1, "the file is empty", "nothing");
	assert_refused("nodes: []\n", 1, "needs at least 1 item", "no node");
}

static void
test_self(void **state)
{
	char text[TEXT_MAX], err[YAML_ERROR_BYTES];

	(void)state;
	compose(text, 1, "");
	assert_null(load(text, "fog-9", err));
	assert_string_equal(err,
	    "n.yaml:1: no node of the list has this node's name, \"fog-9\"; "
	    "add it, or set NODE_NAME or self");
}

static const char *const good_urls[] = { "https://a.example.org", "https://a-b.c.example.org",
	"https://a.example.org:8443", "https://10.0.0.5:8443", "\"https://[2001:db8::1]\"" };

static void
test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(good_urls); i++) {
		char text[TEXT_MAX], line[128], err[YAML_ERROR_BYTES];
		struct nodes *nodes;

		(void)snprintf(line, sizeof(line), "    url: %s", good_urls[i]);
		compose(text, 4, line);
		nodes = load(text, "fog-1", err);
		if (!nodes)
			fail_msg("%s", err);
		nodes_free(nodes);
	}
}

/* A key with one byte of its DER changed is another kind of key, or none. */
static void
test_keys(void **state)
{
	char text[TEXT_MAX], line[256], err[YAML_ERROR_BYTES], key[KEY_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i <= sizeof(prefix); i++) {
		unsigned char der[91] = { 0 };

		memcpy(der, prefix, sizeof(prefix));
		der[sizeof(prefix)] = 4;
		der[i] ^= 1;
		EVP_EncodeBlock((unsigned char *)key, der, sizeof(der));
		(void)snprintf(line, sizeof(line), "    public_key: \"%s\"", key);
		compose(text, 10, line);
		assert_null(load(text, "fog-1", err));
		assert_non_null(strstr(err, "n.yaml:10: nodes[0].public_key: is no public key"));
	}
	for (size_t i = 0; i < KEY_TEXT_SIZE - 1; i++) { /* no character may be another */
		key_text(9, key);
		key[i] = key[i] == '=' ? 'A' : '-';
		(void)snprintf(line, sizeof(line), "    public_key: \"%s\"", key);
		compose(text, 10, line);
		assert_null(load(text, "fog-1", err));
	}
	key_text(9, key);
	key[121] = (char)(key[121] + 1); /* bits that stand for nothing */
	(void)snprintf(line, sizeof(line), "    public_key: \"%s\"", key);
	compose(text, 10, line);
	assert_null(load(text, "fog-1", err));
}

static void
test_labels(void **state)
{
	char text[TEXT_MAX], line[2048] = "    data_labels: [l0", err[YAML_ERROR_BYTES];
	size_t len = strlen(line);
	struct nodes *nodes;

	(void)state;
	for (unsigned i = 1; i < PLACE_LABELS_MAX; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, ", l%u", i);
	(void)snprintf(line + len, sizeof(line) - len, "]");
	compose(text, 8, line);
	nodes = load(text, "fog-1", err);
	if (!nodes)
		fail_msg("%s", err);
	assert_int_equal(nodes_label_count(nodes), PLACE_LABELS_MAX);
	assert_int_equal(nodes_at(nodes, 0)->labels, PLACE_LABEL_NOBODY_HAS - 1);
	nodes_free(nodes);
	(void)snprintf(line + len, sizeof(line) - len, ", m]");
	compose(text, 8, line);
	assert_refused(text, 8, "has more than 63 items", "64 labels of one");
	(void)snprintf(line + len, sizeof(line) - len, "]");
	compose(text, 8, line);
	len = strlen(text); /* one more, of the other node */
	(void)snprintf(text + len, sizeof(text) - len, "    data_labels: [l0, one-more]\n");
	assert_refused(text, 18, "\"one-more\" is one label more than the 63", "64 of two");
}

/* --- many --- */

static double
thread_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t
put_node(char *out, size_t out_size, const char *name, size_t number)
{
	char key[KEY_TEXT_SIZE];

	key_text((uint32_t)number, key);
	return (size_t)snprintf(out, out_size,
	    "  - name: %s\n    url: https://%s.site-%zu.example.org\n"
	    "    region: site-%zu\n    tier: %s\n    trust: trusted\n    data_labels: [gdpr, l%zu]\n"
	    "    capacity: { sessions: 100, cpu: \"64\", memory: \"256Gi\" }\n    public_key: \"%s\"\n",
	    name, name, number % 100, number % 100, number % 10 ? "fog" : "cloud", number % 50,
	    key);
}

static char *
big_file(size_t n, size_t *len)
{
	size_t size = n * 512 + 64;
	char *text = malloc(size);

	assert_non_null(text);
	*len = (size_t)snprintf(text, size, "nodes:\n");
	for (size_t i = 0; i < n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "node-%zu", i);
		*len += put_node(text + *len, size - *len, name, i);
	}
	assert_true(*len < size);
	return text;
}

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define SLACK 10
#else
#define SLACK 1
#endif

static void
test_big_fleet(void **state)
{
	char err[YAML_ERROR_BYTES];
	struct nodes *nodes;
	double from, took;
	size_t len;
	char *text = big_file(NODES_MAX, &len);

	(void)state;
	from = thread_ms();
	nodes = nodes_new_from_yaml("n.yaml", text, len, ORIGINS, "node-77", err, sizeof(err));
	took = thread_ms() - from;
	if (!nodes)
		fail_msg("%s", err);
	print_message("%d nodes, %zu bytes: %.0f ms\n", NODES_MAX, len, took);
	assert_int_equal(nodes_count(nodes), NODES_MAX);
	assert_int_equal(nodes_self(nodes), 77);
	assert_true(took < 1000 * SLACK);
	for (size_t i = 0; i < NODES_MAX; i++) {
		const struct node *node = nodes_at(nodes, i);

		assert_int_equal(nodes_find(nodes, view_of(node->name)), i);
		assert_int_equal(nodes_find_tag(nodes, node->tag), i);
	}
	nodes_free(nodes);
	free(text);
	text = big_file(NODES_MAX + 1, &len);
	assert_null(nodes_new_from_yaml("n.yaml", text, len, ORIGINS, "node-77", err, sizeof(err)));
	assert_non_null(strstr(err, "has more than 20000 items"));
	free(text);
}

static void
tag_name(char out[static 24], uint32_t number)
{
	(void)snprintf(out, 24, "%08x-node-%x", number * 2654435761u, number);
}

/* Two names of one tag: some 77,000 names have two by an even chance. */
static void
find_one_tag(uint32_t *first, uint32_t *second)
{
	enum { TRIED = 1000000 };
	uint32_t(*seen)[2] = calloc(TRIED, sizeof(*seen)); /* tag, number + 1 */
	char name[24];

	assert_non_null(seen);
	*second = 0;
	for (uint32_t i = 0, at; i < TRIED / 2 && *second == 0; i++) {
		uint32_t tag;

		tag_name(name, i);
		tag = id_node_tag(name);
		for (at = tag % TRIED; seen[at][1] && seen[at][0] != tag;)
			at = (at + 1) % TRIED;
		if (seen[at][1]) {
			*first = seen[at][1] - 1;
			*second = i;
		}
		seen[at][0] = tag;
		seen[at][1] = i + 1;
	}
	free(seen);
}

static void
test_tags(void **state)
{
	char text[TEXT_MAX], err[YAML_ERROR_BYTES], name[24];
	uint32_t numbers[2] = { 0 };
	size_t len;

	(void)state;
	find_one_tag(&numbers[0], &numbers[1]);
	assert_int_not_equal(numbers[1], 0);
	len = (size_t)snprintf(text, sizeof(text), "nodes:\n");
	for (size_t i = 0; i < 2; i++) {
		tag_name(name, numbers[i]);
		len += put_node(text + len, sizeof(text) - len, name, i);
	}
	assert_null(nodes_new_from_yaml("n.yaml", text, len, ORIGINS, "x", err, sizeof(err)));
	if (!strstr(err, "n.yaml:10: nodes[1].name: has the same 32-bit tag as the node"))
		fail_msg("%s", err);
}

static void
test_alone(void **state)
{
	struct nodes *nodes = nodes_new_alone("host.example", "local", 256);

	(void)state;
	assert_non_null(nodes);
	assert_int_equal(nodes_count(nodes), 1);
	assert_int_equal(nodes_self(nodes), 0);
	assert_int_equal(nodes_find(nodes, view_of("host.example")), 0);
	assert_int_equal(nodes_find_tag(nodes, id_node_tag("host.example")), 0);
	assert_int_equal(nodes_at(nodes, 0)->tier, TIER_FOG);
	assert_int_equal(nodes_at(nodes, 0)->trust, TRUST_BASIC);
	assert_int_equal(nodes_at(nodes, 0)->capacity.sessions, 256);
	assert_string_equal(nodes_at(nodes, 0)->region, "local");
	assert_string_equal(nodes_at(nodes, 0)->url, "");
	assert_int_equal(nodes_label_count(nodes), 0);
	assert_false(nodes_has_cloud(nodes));
	nodes_free(nodes);
	nodes_free(NULL);
}

/* What is installed is an example that holds. */
static void
test_example(void **state)
{
	char text[TEXT_MAX], err[YAML_ERROR_BYTES];
	FILE *file = fopen("etc/nodes.yaml", "rb"); /* tests run at the top of the tree */
	struct nodes *nodes;
	size_t len;

	(void)state;
	assert_non_null(file);
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	nodes = nodes_new_from_yaml("etc/nodes.yaml", text, len,
	    "https://*.fog.example.org https://cloud-1.example.net:8443", "fog-1", err,
	    sizeof(err));
	if (!nodes)
		fail_msg("%s", err);
	assert_true(nodes_count(nodes) >= 2);
	assert_true(nodes_has_cloud_in(nodes, view_of("us-east-1")));
	nodes_free(nodes);
}

/* The example of fog-nodes.yaml(5), as a reader copies it. */
static void
test_manual(void **state)
{
	char page[32768], err[YAML_ERROR_BYTES], *from, *to;
	FILE *file = fopen("man/fog-nodes.yaml.5", "rb");
	struct nodes *nodes;
	size_t len;

	(void)state;
	assert_non_null(file);
	len = fread(page, 1, sizeof(page) - 1, file);
	fclose(file);
	page[len] = '\0';
	from = strstr(page, "\nnodes:\n");
	assert_non_null(from);
	to = strstr(from, "\n.Ed");
	assert_non_null(to);
	nodes = nodes_new_from_yaml("man", from, (size_t)(to - from),
	    "https://*.fog.example.org https://cloud-1.example.net:8443", "fog-1", err,
	    sizeof(err));
	if (!nodes)
		fail_msg("%s", err);
	nodes_free(nodes);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_big_fleet),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
