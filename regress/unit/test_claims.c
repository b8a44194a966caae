/* SPDX-License-Identifier: MIT */
/*
 * Tests of authd/claims.c and authd/claimread.c: what is taken and what is read from it, the edges
 * of each rule, and logout tokens. What an access token is refused for: test_bad_tokens.c.
 * links: authd/claims.c authd/claimread.c authd/tokenerr.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/claims.h"
#include "authd/tokenerr.h"
#include "common/buf.h"
#include "common/cleanup.h"

#define NOW 1750000000
#define ISSUER "https://idp.example.org/realms/a"
#define JKT "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
#define EVENT "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"

static const struct claims_policy policy = {
	.issuer = ISSUER,
	.audience = "fog",
	.client_id = "fog-page",
	.groups_path = "groups",
	.skew_s = 60,
	.max_life_s = 3600,
};

static struct claims claims;

/* Merges changes, where null takes a claim away, into base. */
static char *
payload_of(const char *base, const char *changes)
{
	json_t *json = json_loads(base, 0, NULL), *change = json_loads(changes, 0, NULL), *value;
	const char *name;
	char *text;

	assert_non_null(json);
	if (change == NULL)
		fail_msg("%s is not JSON", changes);
	json_object_foreach(change, name, value) {
		if (json_is_null(value))
			json_object_del(json, name);
		else
			json_object_set(json, name, value);
	}
	text = json_dumps(json, JSON_COMPACT);
	json_decref(change);
	json_decref(json);
	return text;
}

/* The claims of an access token of now. */
static int
access_of(const struct claims_policy *p, const char *typ, const char *changes)
{
	static const char base[] = "{\"iss\":\"" ISSUER "\",\"sub\":\"alice\",\"aud\":\"fog\","
				   "\"exp\":1750000300,\"iat\":1749999990}";
	cleanup_free char *payload = payload_of(base, changes);

	return claims_check_access(p, NOW, typ, (unsigned char *)payload, strlen(payload), &claims);
}

static int
logout_of(const char *typ, const char *changes)
{
	static const char base[] = "{\"iss\":\"" ISSUER "\",\"sub\":\"alice\",\"sid\":\"s1\","
				   "\"aud\":\"fog-page\",\"exp\":1750000100,\"iat\":1749999990,"
				   "\"jti\":\"j1\"," EVENT "}";
	cleanup_free char *payload = payload_of(base, changes);

	return claims_check_logout(&policy, NOW, typ, (unsigned char *)payload, strlen(payload),
	    &claims);
}

/* The groups, each after a bar. */
static const char *
groups(void)
{
	static char text[CLAIMS_GROUPS_BYTES + 1];
	struct view list = view_bytes(claims.groups, claims.groups_len), item;
	size_t at = 0;

	text[0] = '\0';
	while (list_next(&list, &item))
		at += (size_t)snprintf(text + at, sizeof(text) - at, "|%.*s", VIEW_ARG(item));
	assert_int_equal(list.len, 0);
	return text;
}

static void
test_plain(void **state)
{
	(void)state;
	memset(&claims, 0x5a, sizeof(claims));
	assert_int_equal(access_of(&policy, "at+jwt", "{}"), 0);
	assert_string_equal(claims.issuer, ISSUER);
	assert_string_equal(claims.subject, "alice");
	assert_int_equal(claims.expires_s, 1750000300);
	assert_int_equal(claims.issued_s, 1749999990);
	assert_string_equal(groups(), "");
	assert_false(claims.has_auth_time);
	assert_string_equal(claims.jti, "");
	assert_string_equal(claims.sid, "");
	assert_string_equal(claims.jkt, "");
}

static void
test_everything(void **state)
{
	(void)state;
	assert_int_equal(access_of(&policy, "JWT",
			     "{\"jti\":\"j\",\"sid\":\"s\",\"auth_time\":1749990000,"
			     "\"groups\":[\"dev\",\"ops team\",\"gr\xc3\xbcn\"],"
			     "\"cnf\":{\"jkt\":\"" JKT "\"},\"typ\":\"Bearer\",\"azp\":\"other\"}"),
	    0);
	assert_string_equal(claims.jti, "j");
	assert_string_equal(claims.sid, "s");
	assert_true(claims.has_auth_time);
	assert_int_equal(claims.auth_time_s, 1749990000);
	assert_string_equal(groups(), "|dev|ops team|gr\xc3\xbcn");
	assert_string_equal(claims.jkt, JKT);
}

static void
test_refusal_leaves_out_untouched(void **state)
{
	(void)state;
	assert_int_equal(access_of(&policy, "at+jwt", "{}"), 0);
	assert_int_equal(access_of(&policy, "at+jwt", "{\"sub\":\"bob\",\"cnf\":{}}"),
	    -TOKEN_E_CNF);
	assert_string_equal(claims.subject, "alice");
}

static void
test_types(void **state)
{
	static const char *const taken[] = { "", "JWT", "jwt", "at+jwt", "AT+JWT",
		"application/at+jwt", "Application/JWT" };
	struct claims_policy strict = policy;

	(void)state;
	strict.require_at_jwt = true;
	for (size_t i = 0; i < COUNT_OF(taken); i++) {
		bool is_at = strcasestr(taken[i], "at+jwt") != NULL;

		assert_int_equal(access_of(&policy, taken[i], "{}"), 0);
		assert_int_equal(access_of(&strict, taken[i], "{}"),
		    is_at ? 0 : -TOKEN_E_TYP_NOT_AT_JWT);
	}
}

static void
test_id_tokens(void **state)
{
	static const char *const marks[] = { "{\"nonce\":\"n\"}", "{\"at_hash\":\"h\"}",
		"{\"c_hash\":\"h\"}", "{\"s_hash\":\"h\"}" };
	struct claims_policy lenient = policy;

	(void)state;
	lenient.accept_id_tokens = true;
	for (size_t i = 0; i < COUNT_OF(marks); i++) {
		assert_int_equal(access_of(&policy, "", marks[i]), -TOKEN_E_ID_TOKEN);
		assert_int_equal(access_of(&policy, "JWT", marks[i]), -TOKEN_E_ID_TOKEN);
		/* at+jwt says what it is: an older Keycloak puts a nonce into access tokens. */
		assert_int_equal(access_of(&policy, "at+jwt", marks[i]), 0);
		assert_int_equal(access_of(&lenient, "JWT", marks[i]), 0);
	}
	assert_int_equal(access_of(&lenient, "JWT", "{\"typ\":\"ID\"}"), 0);
	assert_int_equal(access_of(&lenient, "JWT", "{\"typ\":\"Refresh\"}"),
	    -TOKEN_E_TYP_OTHER_USE);
	assert_int_equal(access_of(&lenient, "JWT", "{" EVENT "}"), -TOKEN_E_LOGOUT_TOKEN);
}

static void
test_audiences(void **state)
{
	(void)state;
	assert_int_equal(access_of(&policy, "", "{\"aud\":[\"fog\"]}"), 0);
	assert_int_equal(access_of(&policy, "", "{\"aud\":[\"account\",\"fog\",\"x\"]}"), 0);
}

static void
test_clients(void **state)
{
	struct claims_policy p = policy;

	(void)state;
	p.require_client = true;
	assert_int_equal(access_of(&p, "", "{\"azp\":\"fog-page\"}"), 0);
	assert_int_equal(access_of(&p, "", "{\"client_id\":\"fog-page\"}"), 0);
	assert_int_equal(access_of(&p, "", "{\"cid\":\"fog-page\"}"), 0);
	assert_int_equal(access_of(&p, "", "{\"appid\":\"fog-page\",\"azp\":\"fog-page\"}"), 0);
}

/* The last second that is taken and the first that is not, with a skew of 60 s and of none. */
static void
test_edges_of_time(void **state)
{
	static const struct {
		uint32_t skew_s;
		const char *changes;
		int want;
	} rows[] = {
		{ 60, "{\"exp\":1749999941,\"iat\":1749999000}", 0 },
		{ 60, "{\"exp\":1749999940,\"iat\":1749999000}", -TOKEN_E_EXP_PAST },
		{ 0, "{\"exp\":1750000001}", 0 },
		{ 0, "{\"exp\":1750000000}", -TOKEN_E_EXP_PAST },
		{ 60, "{\"nbf\":1750000060}", 0 },
		{ 60, "{\"nbf\":1750000061}", -TOKEN_E_NBF_FUTURE },
		{ 0, "{\"nbf\":1750000000}", 0 },
		{ 0, "{\"nbf\":1750000001}", -TOKEN_E_NBF_FUTURE },
		{ 60, "{\"iat\":1750000060}", 0 },
		{ 60, "{\"iat\":1750000061}", -TOKEN_E_IAT_FUTURE },
		/* a skew of an hour counts as a minute */
		{ 3600, "{\"exp\":1749999940,\"iat\":1749999000}", -TOKEN_E_EXP_PAST },
		{ 3600, "{\"nbf\":1750000061}", -TOKEN_E_NBF_FUTURE },
		/* fractions: the token lives shorter, never longer */
		{ 0, "{\"exp\":1750000000.999}", -TOKEN_E_EXP_PAST },
		{ 0, "{\"exp\":1750000001.5}", 0 },
		{ 0, "{\"nbf\":1750000000.001}", -TOKEN_E_NBF_FUTURE },
		{ 0, "{\"nbf\":1749999999.001}", 0 },
		/* an hour at most */
		{ 60, "{\"iat\":1749999000,\"exp\":1750002600}", 0 },
		{ 60, "{\"iat\":1749999000,\"exp\":1750002601}", -TOKEN_E_LIFE },
		{ 60, "{\"iat\":1750000050,\"exp\":1750000050}", -TOKEN_E_LIFE },
	};
	struct claims_policy p = policy;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		p.skew_s = rows[i].skew_s;
		if (access_of(&p, "", rows[i].changes) != rows[i].want)
			fail_msg("skew %u, %s", rows[i].skew_s, rows[i].changes);
	}
}

static void
test_group_paths(void **state)
{
	static const struct {
		const char *path, *changes, *want;
	} rows[] = {
		{ NULL, "{\"groups\":[\"a\"]}", "" },
		{ "groups", "{}", "" },
		{ "groups", "{\"groups\":[]}", "" },
		{ "groups", "{\"groups\":\"one\"}", "|one" },
		{ "realm_access.roles", "{\"realm_access\":{\"roles\":[\"a\",\"b\"]}}", "|a|b" },
		{ "realm_access.roles", "{\"realm_access\":{}}", "" },
		{ "realm_access.roles", "{\"realm_access\":[\"roles\"]}", "" },
		{ "a.b.c", "{\"a\":{\"b\":{\"c\":[\"x\"]}}}", "|x" },
		{ "https://example.org/groups", "{\"https://example.org/groups\":[\"x\"]}", "|x" },
		{ "a.b", "{\"a.b\":[\"whole\"],\"a\":{\"b\":[\"walked\"]}}", "|whole" },
		{ "a..b", "{\"a\":{\"\":{\"b\":[\"x\"]}}}", "|x" },
		{ "groups.", "{\"groups\":[\"x\"]}", "" },
	};
	struct claims_policy p = policy;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		p.groups_path = rows[i].path;
		assert_int_equal(access_of(&p, "", rows[i].changes), 0);
		if (strcmp(groups(), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].changes, groups());
	}
}

/* As many groups as fit, and one more; likewise by bytes. */
static void
test_group_bound(void **state)
{
	char payload[16384];
	int n, error, count = CLAIMS_GROUPS_MAX;

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		n = snprintf(payload, sizeof(payload),
		    "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"aud\":\"fog\",\"exp\":1750000300,"
		    "\"iat\":1749999990,\"groups\":[\"g0000000000000\"");
		for (int i = 1; i < count + extra; i++)
			n += snprintf(payload + n, sizeof(payload) - (size_t)n, ",\"g%013d\"", i);
		n += snprintf(payload + n, sizeof(payload) - (size_t)n, "]}");
		error = claims_check_access(&policy, NOW, "", (unsigned char *)payload, (size_t)n,
		    &claims);
		assert_int_equal(error, extra == 0 ? 0 : -TOKEN_E_GROUPS_SIZE);
	}
}

/* Held against each other by a revocation: never is a token newer than the logout that followed it. */
static void
test_fraction_of_iat(void **state)
{
	static const char logout[] =
	    "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"aud\":\"fog-web\",\"exp\":1750000060,"
	    "\"iat\":1749999990.25,\"jti\":\"j\","
	    "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}";
	struct claims_policy p = policy;

	(void)state;
	assert_int_equal(access_of(&policy, "", "{\"iat\":1749999990.75}"), 0);
	assert_int_equal(claims.issued_s, 1749999990);
	p.client_id = "fog-web";
	assert_int_equal(claims_check_logout(&p, NOW, "", (const unsigned char *)logout,
			     strlen(logout), &claims),
	    0);
	assert_int_equal(claims.issued_s, 1749999991);
}

static void
test_text_bounds(void **state)
{
	char changes[512];

	(void)state;
	snprintf(changes, sizeof(changes), "{\"sub\":\"%0255d\"}", 1);
	assert_int_equal(access_of(&policy, "", changes), 0);
	snprintf(changes, sizeof(changes), "{\"sub\":\"%0256d\"}", 1);
	assert_int_equal(access_of(&policy, "", changes), -TOKEN_E_SUB_TEXT);
}

static void
test_logout(void **state)
{
	(void)state;
	assert_int_equal(logout_of("logout+jwt", "{}"), 0);
	assert_string_equal(claims.issuer, ISSUER);
	assert_string_equal(claims.subject, "alice");
	assert_string_equal(claims.sid, "s1");
	assert_string_equal(claims.jti, "j1");
	assert_int_equal(claims.expires_s, 1750000100);
	assert_int_equal(logout_of("", "{\"sid\":null}"), 0);
	assert_string_equal(claims.sid, "");
	assert_int_equal(logout_of("JWT", "{\"sub\":null}"), 0);
	assert_string_equal(claims.subject, "");
	assert_int_equal(logout_of("JWT", "{\"aud\":[\"x\",\"fog-page\"]}"), 0);
	assert_int_equal(logout_of("JWT", "{\"typ\":\"Logout\"}"), 0);
}

/* OIDC Back-Channel Logout 1.0 2.6, step by step. */
static const struct {
	const char *typ, *changes;
	enum token_error want;
} bad_logouts[] = {
	{ "at+jwt", "{}", TOKEN_E_TYP_OTHER_USE },
	{ "secevent+jwt", "{}", TOKEN_E_TYP_OTHER_USE },
	{ "dpop+jwt", "{}", TOKEN_E_TYP_OTHER_USE },
	{ "id+jwt", "{}", TOKEN_E_TYP_UNKNOWN },
	{ "", "{\"events\":null}", TOKEN_E_EVENTS_MISSING },
	{ "", "{\"events\":{}}", TOKEN_E_EVENTS_MISSING },
	{ "", "{\"events\":[\"http://schemas.openid.net/event/backchannel-logout\"]}",
	    TOKEN_E_EVENTS_MISSING },
	{ "", "{\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":true}}",
	    TOKEN_E_EVENTS_MISSING },
	{ "", "{\"events\":{\"http://schemas.openid.net/event/backchannel-login\":{}}}",
	    TOKEN_E_EVENTS_MISSING },
	{ "", "{\"nonce\":\"n\"}", TOKEN_E_NONCE },
	{ "", "{\"nonce\":false}", TOKEN_E_NONCE },
	{ "", "{\"iss\":null}", TOKEN_E_ISS_MISSING },
	{ "", "{\"iss\":\"https://other.example.org\"}", TOKEN_E_ISS_OTHER },
	{ "", "{\"aud\":null}", TOKEN_E_AUD_MISSING },
	{ "", "{\"aud\":\"fog\"}", TOKEN_E_AUD_OTHER },
	{ "", "{\"aud\":[]}", TOKEN_E_AUD_SHAPE },
	{ "", "{\"exp\":null}", TOKEN_E_EXP_MISSING },
	{ "", "{\"exp\":1749999940}", TOKEN_E_EXP_PAST },
	{ "", "{\"exp\":1750000591}", TOKEN_E_LIFE },
	{ "", "{\"nbf\":1750000061}", TOKEN_E_NBF_FUTURE },
	{ "", "{\"iat\":null}", TOKEN_E_IAT_MISSING },
	{ "", "{\"iat\":\"1750000000\"}", TOKEN_E_IAT_NUMBER },
	{ "", "{\"iat\":1750000061}", TOKEN_E_IAT_FUTURE },
	{ "", "{\"jti\":null}", TOKEN_E_JTI_MISSING },
	{ "", "{\"jti\":\"\"}", TOKEN_E_JTI_TEXT },
	{ "", "{\"jti\":5}", TOKEN_E_JTI_TEXT },
	{ "", "{\"sub\":\"\"}", TOKEN_E_SUB_TEXT },
	{ "", "{\"sub\":\"a\\u001bb\"}", TOKEN_E_SUB_TEXT },
	{ "", "{\"sid\":[]}", TOKEN_E_SID_TEXT },
	{ "", "{\"sub\":null,\"sid\":null}", TOKEN_E_WHO_MISSING },
};

static void
test_bad_logouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_logouts); i++) {
		int error = logout_of(bad_logouts[i].typ, bad_logouts[i].changes);

		if (error != -(int)bad_logouts[i].want)
			fail_msg("%s: %s", bad_logouts[i].changes, token_error_code(error));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_refusal_leaves_out_untouched),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_id_tokens),
		cmocka_unit_test(test_audiences),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_edges_of_time),
		cmocka_unit_test(test_group_paths),
		cmocka_unit_test(test_group_bound),
		cmocka_unit_test(test_fraction_of_iat),
		cmocka_unit_test(test_text_bounds),
		cmocka_unit_test(test_logout),
		cmocka_unit_test(test_bad_logouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
