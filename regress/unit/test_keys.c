/* SPDX-License-Identifier: MIT */
/*
 * When the provider's keys are fetched and how long they serve, minute by minute without a clock.
 * links: authd/keys.c authd/metadata.c authd/httpsurl.c authd/jwk.c authd/jwkread.c authd/jwa.c authd/jws.c authd/tokenerr.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "authd/jws.h"
#include "authd/keys.h"
#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "regress/unit/jose.h"

#define ISSUER "https://idp.example"
#define OTHER_ISSUER "https://other.example"
#define LOCATION ISSUER "/.well-known/openid-configuration"
#define JWKS_URI ISSUER "/keys"
#define REFRESH_MS UINT64_C(600000)
#define MAX_AGE_MS UINT64_C(3600000)
#define COOLDOWN_MS UINT64_C(30000)
#define START_MS UINT64_C(5000000)

static EVP_PKEY *pkeys[2];

static int
make_pkeys(void **state)
{
	(void)state;
	assert_int_equal(json_init(), 0);
	assert_int_equal(jwa_init(), 0);
	for (size_t i = 0; i < COUNT_OF(pkeys); i++) {
		pkeys[i] = EVP_EC_gen("P-256");
		assert_non_null(pkeys[i]);
	}
	return 0;
}

static int
free_pkeys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pkeys); i++)
		EVP_PKEY_free(pkeys[i]);
	return 0;
}

/* --- what a provider says --- */

static struct keys *
new_keys(void)
{
	struct keys_config config = { .issuer = ISSUER,
		.algorithms = JWA_ALL,
		.refresh_ms = REFRESH_MS,
		.max_age_ms = MAX_AGE_MS,
		.cooldown_ms = COOLDOWN_MS };
	struct keys *k = keys_new(&config);

	assert_non_null(k);
	return k;
}

static enum keys_step
give_document(struct keys *k, uint64_t now_ms, const char *issuer, const char *jwks_uri)
{
	char text[2048];
	int n = snprintf(text, sizeof(text),
	    "{\"issuer\":\"%s\",\"jwks_uri\":\"%s\",\"authorization_endpoint\":\"%s/auth\","
	    "\"token_endpoint\":\"%s/token\"}",
	    issuer, jwks_uri, issuer, issuer);

	return keys_take(k, now_ms, text, (size_t)n);
}

/* The set of the first `count` keys, from `first`. */
static enum keys_step
give_set(struct keys *k, uint64_t now_ms, size_t first, size_t count)
{
	char text[3 * JOSE_JWK_SIZE] = "{\"keys\":[";

	for (size_t i = first; i < first + count; i++) {
		char jwk[JOSE_JWK_SIZE];
		size_t at = strlen(text);

		jose_public(pkeys[i], jwk);
		snprintf(text + at, sizeof(text) - at, "%s{%s,\"kid\":\"key-%zu\"}",
		    i > first ? "," : "", jwk, i);
	}
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}");
	return keys_take(k, now_ms, text, strlen(text));
}

/* A whole round in which all goes well. */
static void
good_round(struct keys *k, uint64_t now_ms, size_t first, size_t count)
{
	keys_begin(k);
	assert_string_equal(keys_url(k), LOCATION);
	assert_int_equal(give_document(k, now_ms, ISSUER, JWKS_URI), KEYS_MORE);
	assert_string_equal(keys_url(k), JWKS_URI);
	assert_int_equal(give_set(k, now_ms, first, count), KEYS_DONE);
	assert_false(keys_is_fetching(k));
}

/* What a token signed by key i comes to with the keys at hand. */
static int
verify(const struct keys *k, uint64_t now_ms, size_t i)
{
	static char token[JOSE_TOKEN_SIZE];
	struct jwk_set *set = keys_usable(k, now_ms);
	char header[128];
	struct jws jws;

	if (!set)
		return -1000;
	snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"key-%zu\"}", i);
	jose_make(token, header, "{}", pkeys[i], JWA_ES256);
	assert_int_equal(jws_parse(token, strlen(token), &jws), 0);
	return jwk_set_verify(set, &jws);
}

/* --- the tests --- */

static void
test_first_round(void **state)
{
	struct keys *k = new_keys();

	(void)state;
	assert_true(keys_due_ms(k) <= START_MS); /* at once */
	assert_null(keys_usable(k, START_MS));
	assert_int_equal(keys_sign_in(k, START_MS), SIGN_IN_WAITING);
	keys_begin(k);
	assert_true(keys_is_fetching(k));
	assert_int_equal(keys_due_ms(k), KEYS_NEVER);
	assert_string_equal(keys_url(k), LOCATION);
	assert_int_equal(keys_max_bytes(k), METADATA_MAX_BYTES);
	assert_int_equal(give_document(k, START_MS + 1, ISSUER, JWKS_URI), KEYS_MORE);
	assert_string_equal(keys_url(k), JWKS_URI);
	assert_int_equal(keys_max_bytes(k), JWK_SET_MAX_BYTES);
	assert_null(keys_usable(k, START_MS + 1)); /* not before it is whole */
	assert_int_equal(give_set(k, START_MS + 2, 0, 1), KEYS_DONE);
	assert_int_equal(verify(k, START_MS + 2, 0), 0);
	assert_int_equal(keys_sign_in(k, START_MS + 2), SIGN_IN_READY);
	assert_string_equal(keys_trouble(k), "");
	assert_int_equal(keys_due_ms(k), START_MS + 2 + REFRESH_MS);
	keys_free(k);
}

/* The provider is down at start: it is tried again and again, later and later. */
static void
test_down_at_start(void **state)
{
	static const uint64_t waits_ms[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
	struct keys *k = new_keys();
	uint64_t now = START_MS;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(waits_ms); i++) {
		assert_true(keys_due_ms(k) <= now);
		keys_begin(k);
		assert_int_equal(keys_retry_after_s(k, now), 1); /* it may come any moment */
		keys_fail(k, now, "connection_failed");
		assert_int_equal(keys_due_ms(k), now + waits_ms[i]);
		assert_int_equal(keys_retry_after_s(k, now), waits_ms[i] / 1000);
		assert_int_equal(keys_retry_after_s(k, now + 1), waits_ms[i] / 1000);
		assert_int_equal(keys_sign_in(k, now), SIGN_IN_WAITING);
		assert_string_equal(keys_trouble(k), "connection_failed");
		now += waits_ms[i];
	}
	good_round(k, now, 0, 1);
	assert_int_equal(keys_sign_in(k, now), SIGN_IN_READY);
	assert_string_equal(keys_trouble(k), "");
	keys_begin(k); /* and the next failure is a first one again */
	keys_fail(k, now, "timeout");
	assert_int_equal(keys_due_ms(k), now + KEYS_RETRY_MIN_MS);
	keys_free(k);
}

/* Down during work: what is at hand serves until its age, counted from the last good round. */
static void
test_age(void **state)
{
	struct keys *k = new_keys();
	uint64_t now = START_MS, end = START_MS + MAX_AGE_MS;

	(void)state;
	assert_int_equal(keys_end_ms(k), KEYS_NEVER);
	good_round(k, now, 0, 1);
	assert_int_equal(keys_end_ms(k), end);
	for (now = keys_due_ms(k); now < end; now = keys_due_ms(k)) {
		keys_begin(k);
		assert_int_equal(verify(k, now, 0), 0);
		keys_fail(k, now, "timeout");
		assert_int_equal(verify(k, now, 0), 0);
		assert_int_equal(keys_sign_in(k, now), SIGN_IN_STALE);
	}
	assert_int_equal(verify(k, end - 1, 0), 0);
	assert_null(keys_usable(k, end));
	assert_int_equal(keys_sign_in(k, end), SIGN_IN_WAITING);
	assert_true(keys_retry_after_s(k, end) >= 1);
	good_round(k, now, 0, 1); /* recovers */
	assert_int_equal(verify(k, now, 0), 0);
	assert_int_equal(keys_sign_in(k, now), SIGN_IN_READY);
	keys_free(k);
}

static void
test_rotation(void **state)
{
	struct keys *k = new_keys();
	uint64_t now = START_MS;

	(void)state;
	good_round(k, now, 0, 1);
	assert_int_equal(verify(k, now, 1), -TOKEN_E_KID_UNKNOWN);
	now += 10;
	assert_true(keys_want_unknown(k, now));
	assert_string_equal(keys_url(k), JWKS_URI); /* straight to the set */
	assert_int_equal(give_set(k, now + 5, 0, 2), KEYS_DONE);
	assert_int_equal(verify(k, now + 5, 0), 0);
	assert_int_equal(verify(k, now + 5, 1), 0);
	now = keys_due_ms(k);
	assert_int_equal(now, START_MS + REFRESH_MS); /* not put off by the token */
	good_round(k, now, 1, 1);
	assert_int_equal(verify(k, now, 0), -TOKEN_E_KID_UNKNOWN); /* the whole set is another */
	assert_int_equal(verify(k, now, 1), 0);
	keys_free(k);
}

static void
test_cooldown(void **state)
{
	struct keys *k = new_keys();
	uint64_t now = START_MS;
	unsigned rounds = 0;

	(void)state;
	good_round(k, now, 0, 1);
	/* Ten tokens a second with unknown keys, for five cool-downs; a round takes two seconds. */
	for (uint64_t begun = 0; now < START_MS + 5 * COOLDOWN_MS; now += 100) {
		if (keys_is_fetching(k)) {
			assert_true(keys_want_unknown(k, now)); /* it waits for this one */
			if (now - begun >= 2000)
				assert_int_equal(give_set(k, now, 0, 1), KEYS_DONE);
		} else if (keys_want_unknown(k, now)) {
			rounds++;
			begun = now;
		}
	}
	assert_int_equal(rounds, 5);
	keys_free(k);
}

/* The round of an unknown key fails: it is over for the cool-down, and the back-off goes on. */
static void
test_cooldown_after_failure(void **state)
{
	struct keys *k = new_keys();
	uint64_t now = START_MS;

	(void)state;
	good_round(k, now, 0, 1);
	assert_true(keys_want_unknown(k, now));
	keys_fail(k, now + 4000, "timeout");
	now += 4000;
	assert_false(keys_want_unknown(k, now));
	assert_false(keys_want_unknown(k, now + COOLDOWN_MS - 1));
	assert_int_equal(keys_due_ms(k), now + KEYS_RETRY_MIN_MS);
	assert_int_equal(keys_sign_in(k, now), SIGN_IN_STALE);
	assert_int_equal(verify(k, now, 0), 0);
	/* The document is read again: the set may have moved. */
	assert_true(keys_want_unknown(k, now + COOLDOWN_MS));
	assert_string_equal(keys_url(k), LOCATION);
	keys_free(k);
}

/* A refresh by age that is under way serves a token with an unknown key, too, and costs it nothing. */
static void
test_unknown_during_refresh(void **state)
{
	struct keys *k = new_keys();
	uint64_t now = START_MS;

	(void)state;
	good_round(k, now, 0, 1);
	now = keys_due_ms(k);
	keys_begin(k);
	assert_true(keys_want_unknown(k, now));
	assert_int_equal(give_document(k, now, ISSUER, JWKS_URI), KEYS_MORE);
	assert_true(keys_want_unknown(k, now));
	assert_int_equal(give_set(k, now, 0, 1), KEYS_DONE);
	/* Made before the key was: one of its own is still its due. */
	assert_true(keys_want_unknown(k, now));
	assert_int_equal(give_set(k, now, 0, 2), KEYS_DONE);
	assert_int_equal(verify(k, now, 1), 0);
	assert_false(keys_want_unknown(k, now));
	keys_free(k);
}

static void
test_other_issuer(void **state)
{
	static const struct {
		const char *issuer, *trouble;
	} rows[] = {
		{ OTHER_ISSUER, "issuer_other" },
		{ ISSUER "/", "issuer_other" },
		{ "HTTPS://idp.example", "issuer_other" },
	};
	struct keys *k = new_keys();
	uint64_t now = START_MS;

	(void)state;
	good_round(k, now, 0, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		keys_begin(k);
		assert_int_equal(give_document(k, now, rows[i].issuer, JWKS_URI), KEYS_FAILED);
		assert_string_equal(keys_trouble(k), rows[i].trouble);
		assert_false(keys_is_fetching(k));
		assert_int_equal(verify(k, now, 0), 0); /* the old ones stay */
	}
	/* Nor is its set ever asked for, even by a token that waits. */
	now += COOLDOWN_MS;
	assert_true(keys_want_unknown(k, now));
	assert_string_equal(keys_url(k), LOCATION);
	keys_free(k);
}

static void
test_bad_sets_change_nothing(void **state)
{
	static const char *const rows[] = { "", "[]", "{\"keys\":{}}", "{\"keys\":[]}",
		"{\"keys\":[", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}" };
	struct keys *k = new_keys();
	uint64_t now = START_MS;

	(void)state;
	good_round(k, now, 0, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		keys_begin(k);
		assert_int_equal(give_document(k, now, ISSUER, JWKS_URI "/new"), KEYS_MORE);
		assert_string_equal(keys_url(k), JWKS_URI "/new");
		assert_int_equal(keys_take(k, now, rows[i], strlen(rows[i])), KEYS_FAILED);
		assert_true(strncmp(keys_trouble(k), "set_", 4) == 0);
		assert_int_equal(verify(k, now, 0), 0);
		assert_int_equal(keys_sign_in(k, now), SIGN_IN_STALE);
	}
	good_round(k, now, 1, 1);
	assert_int_equal(verify(k, now, 1), 0);
	keys_free(k);
}

/* Back-off never waits longer than a refresh would. */
static void
test_short_refresh(void **state)
{
	struct keys_config config = { .issuer = ISSUER,
		.algorithms = JWA_ALL,
		.refresh_ms = 5000,
		.max_age_ms = 10000,
		.cooldown_ms = 1000 };
	struct keys *k = keys_new(&config);

	(void)state;
	for (int i = 0; i < 10; i++) {
		keys_begin(k);
		keys_fail(k, START_MS, "timeout");
	}
	assert_int_equal(keys_due_ms(k), START_MS + 5000);
	keys_free(k);
	keys_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_round),
		cmocka_unit_test(test_down_at_start),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_cooldown),
		cmocka_unit_test(test_cooldown_after_failure),
		cmocka_unit_test(test_unknown_during_refresh),
		cmocka_unit_test(test_other_issuer),
		cmocka_unit_test(test_bad_sets_change_nothing),
		cmocka_unit_test(test_short_refresh),
	};

	return cmocka_run_group_tests(tests, make_pkeys, free_pkeys);
}
