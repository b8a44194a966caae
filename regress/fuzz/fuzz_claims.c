/* SPDX-License-Identifier: MIT */
/*
 * Claims under libFuzzer. The first byte says by which rules and with which typ: A an access token
 * of type at+jwt, J of type JWT, I of type JWT where ID tokens are taken, T with a typ up to the
 * first newline, L a logout token. links: authd/claims.c authd/claimread.c authd/tokenerr.c
 */
#include "authd/claims.h"

#include <stdlib.h>
#include <string.h>

#include "authd/tokenerr.h"
#include "common/buf.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define NOW 1750000000
#define ISSUER "https://idp.example.org"
#define TYP_MAX_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct claims_policy policy = {
	.issuer = ISSUER,
	.audience = "fog",
	.client_id = "fog",
	.groups_path = "realm_access.roles",
	.skew_s = 60,
	.max_life_s = 600,
};

static void
check_taken(const struct claims *c)
{
	struct view groups = view_bytes(c->groups, c->groups_len);

	INVARIANT(strcmp(c->issuer, ISSUER) == 0);
	INVARIANT(text_is_clean(view_of(c->subject)) && text_is_clean(view_of(c->sid)));
	INVARIANT(text_is_clean(view_of(c->jti)));
	INVARIANT(c->expires_s > c->issued_s && c->expires_s - c->issued_s <= 600);
	INVARIANT(c->expires_s > NOW - 60 && c->issued_s <= NOW + 60);
	INVARIANT(c->auth_time_s <= CLAIMS_DATE_MAX);
	INVARIANT(list_check(groups, SIZE_MAX, 1, CLAIMS_TEXT_MAX_BYTES));
	INVARIANT(c->jkt[0] == '\0' || strlen(c->jkt) == CLAIMS_JKT_SIZE - 1);
}

static void
check_access(const struct claims_policy *p, const char *typ, const uint8_t *data, size_t len)
{
	struct claims claims;
	int error = claims_check_access(p, NOW, typ, data, len, &claims);

	INVARIANT(error <= 0 && strcmp(token_error_code(error), "unknown") != 0);
	if (error != 0)
		return;
	check_taken(&claims);
	INVARIANT(claims.subject[0] != '\0');
}

static void
check_logout(const uint8_t *data, size_t len)
{
	struct claims claims;
	int error = claims_check_logout(&policy, NOW, "logout+jwt", data, len, &claims);

	INVARIANT(error <= 0 && strcmp(token_error_code(error), "unknown") != 0);
	if (error != 0)
		return;
	check_taken(&claims);
	INVARIANT(claims.jti[0] != '\0');
	INVARIANT(claims.subject[0] != '\0' || claims.sid[0] != '\0');
}

static void
check_with_typ(const uint8_t *data, size_t len)
{
	const uint8_t *end = memchr(data, '\n', len);
	char typ[TYP_MAX_BYTES + 1];
	size_t typ_len = end != NULL ? (size_t)(end - data) : len;

	if (end == NULL || typ_len > TYP_MAX_BYTES)
		return;
	memcpy(typ, data, typ_len);
	typ[typ_len] = '\0';
	check_access(&policy, typ, end + 1, len - typ_len - 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct claims_policy lenient = policy;

	lenient.accept_id_tokens = lenient.require_client = true;
	if (len == 0)
		return 0;
	switch (data[0]) {
	case 'A':
		check_access(&policy, "at+jwt", data + 1, len - 1);
		break;
	case 'I':
		check_access(&lenient, "JWT", data + 1, len - 1);
		break;
	case 'T':
		check_with_typ(data + 1, len - 1);
		break;
	case 'L':
		check_logout(data + 1, len - 1);
		break;
	default:
		check_access(&policy, "JWT", data + 1, len - 1);
		break;
	}
	return 0;
}
