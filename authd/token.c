/* SPDX-License-Identifier: MIT */
/* Form, key, signature, claims. */
#include "authd/token.h"

#include <string.h>

#include "authd/jws.h"
#include "common/json.h"

typedef int (*claims_check)(const struct claims_policy *policy, time_t now_s, const char *typ,
    const unsigned char *payload, size_t len, struct claims *out);

int
token_init(void)
{
	return json_init() == 0 && jwa_init() == 0 ? 0 : -1;
}

static int
token_check(const char *token, size_t len, struct jwk_set *keys, const struct claims_policy *policy,
    time_t now_s, claims_check check, struct claims *out)
{
	struct jws jws;
	int error = jws_parse(token, len, &jws);

	if (error == 0)
		error = jwk_set_verify(keys, &jws);
	if (error == 0)
		error = check(policy, now_s, jws.typ, jws.payload, jws.payload_len, out);
	explicit_bzero(&jws, sizeof(jws)); /* claims and signature are all that a thief needs */
	return error;
}

int
token_check_access(const char *token, size_t len, struct jwk_set *keys,
    const struct claims_policy *policy, time_t now_s, struct claims *out)
{
	return token_check(token, len, keys, policy, now_s, claims_check_access, out);
}

int
token_check_logout(const char *token, size_t len, struct jwk_set *keys,
    const struct claims_policy *policy, time_t now_s, struct claims *out)
{
	return token_check(token, len, keys, policy, now_s, claims_check_logout, out);
}
