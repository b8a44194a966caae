/* SPDX-License-Identifier: MIT */
/*
 * links: authd/known.c authd/claims.c authd/claimread.c authd/tokenerr.c authd/jwk.c authd/jwkread.c authd/jwa.c
 * links: authd/jws.c
 */
/* Tests of authd/known.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "authd/known.h"

#define NOW_S 1000000

static const struct claims_policy policy = { .issuer = "https://id.example",
	.audience = "fog",
	.skew_s = 10 };

/* An Ed25519 key of RFC 8037 A.2. */
static struct jwk_set *
make_set(void)
{
	static const char text[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\","
				   "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	struct jwk_set *set = NULL;

	assert_int_equal(jwk_set_parse(text, strlen(text), JWA_ALL, &set, NULL), 0);
	return set;
}

static struct claims
make_claims(const char *subject, size_t groups_len)
{
	struct claims c = { .expires_s = NOW_S + 300, .issued_s = NOW_S, .groups_len = groups_len };

	snprintf(c.issuer, sizeof(c.issuer), "%s", policy.issuer);
	snprintf(c.subject, sizeof(c.subject), "%s", subject);
	snprintf(c.sid, sizeof(c.sid), "sid-of-%s", subject);
	snprintf(c.jkt, sizeof(c.jkt), "jkt-of-%s", subject);
	memset(c.groups, 'g', groups_len);
	return c;
}

static void
assert_same(const struct claims *a, const struct claims *b)
{
	assert_memory_equal(a, b, offsetof(struct claims, groups));
	assert_memory_equal(a->groups, b->groups, a->groups_len);
}

static void
test_found_again(void **state)
{
	struct known *k = known_new();
	struct jwk_set *set = make_set();
	struct claims c = make_claims("alice", CLAIMS_GROUPS_BYTES), found;

	(void)state;
	assert_false(known_get(k, view_of("a.b.c"), set, &policy, NOW_S, &found));
	known_put(k, view_of("a.b.c"), set, &c);
	assert_true(known_get(k, view_of("a.b.c"), set, &policy, NOW_S, &found));
	assert_same(&c, &found);
	jwk_set_free(set);
	known_free(k);
}

/* Each byte of a token counts, and its length. */
static void
test_no_other_token(void **state)
{
	struct known *k = known_new();
	struct jwk_set *set = make_set();
	struct claims c = make_claims("alice", 0), found;
	char token[] = "header.payload.signature";

	(void)state;
	known_put(k, view_of(token), set, &c);
	for (size_t i = 0; i < strlen(token); i++) {
		token[i] ^= 1;
		assert_false(known_get(k, view_of(token), set, &policy, NOW_S, &found));
		token[i] ^= 1;
		assert_false(known_get(k, view_bytes(token, i), set, &policy, NOW_S, &found));
	}
	jwk_set_free(set);
	known_free(k);
}

static void
test_not_past_its_end(void **state)
{
	struct known *k = known_new();
	struct jwk_set *set = make_set();
	struct claims c = make_claims("alice", 3), found;
	time_t end = (time_t)c.expires_s + (time_t)policy.skew_s;

	(void)state;
	known_put(k, view_of("a.b.c"), set, &c);
	assert_true(known_get(k, view_of("a.b.c"), set, &policy, end - 1, &found));
	assert_false(known_get(k, view_of("a.b.c"), set, &policy, end, &found));
	jwk_set_free(set);
	known_free(k);
}

/* A withdrawn key: nothing that an earlier set said counts, though the new one may lie where it lay. */
static void
test_not_under_another_set(void **state)
{
	struct known *k = known_new();
	struct jwk_set *set = make_set();
	struct claims c = make_claims("alice", 3), found;

	(void)state;
	known_put(k, view_of("a.b.c"), set, &c);
	for (int i = 0; i < 8; i++) {
		jwk_set_free(set);
		set = make_set();
		assert_false(known_get(k, view_of("a.b.c"), set, &policy, NOW_S, &found));
	}
	known_put(k, view_of("a.b.c"), set, &c);
	assert_true(known_get(k, view_of("a.b.c"), set, &policy, NOW_S, &found));
	jwk_set_free(set);
	known_free(k);
}

/* More tokens than places: each that is found is the right one. */
static void
test_full(void **state)
{
	struct known *k = known_new();
	struct jwk_set *set = make_set();
	struct claims found;
	unsigned hits = 0;
	char name[32];

	(void)state;
	for (int i = 0; i < 4 * KNOWN_TOKENS; i++) {
		snprintf(name, sizeof(name), "token-of-%d", i);
		found = make_claims(name, (size_t)i % 100);
		known_put(k, view_of(name), set, &found);
	}
	for (int i = 0; i < 4 * KNOWN_TOKENS; i++) {
		snprintf(name, sizeof(name), "token-of-%d", i);
		if (!known_get(k, view_of(name), set, &policy, NOW_S, &found))
			continue;
		hits++;
		assert_string_equal(found.subject, name);
		assert_int_equal(found.groups_len, (size_t)i % 100);
	}
	assert_in_range(hits, KNOWN_TOKENS / 2, KNOWN_TOKENS);
	jwk_set_free(set);
	known_free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_again),
		cmocka_unit_test(test_no_other_token),
		cmocka_unit_test(test_not_past_its_end),
		cmocka_unit_test(test_not_under_another_set),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
