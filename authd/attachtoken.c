/* SPDX-License-Identifier: MIT */
/*
 * Attach tokens, made and verified by hand: libjwt 1.10.2 writes "JWT" over the type that its
 * caller set (RFC 8725 3.11 wants one of our own), lets a token's header choose the verification,
 * and takes members twice.
 */
#include "authd/attachtoken.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "common/b64url.h"
#include "common/compact.h"
#include "common/json.h"

/* {"alg":"HS256","typ":"fog-attach+jwt"} in base64url: the only header that there is. */
#define HEADER_TEXT "eyJhbGciOiJIUzI1NiIsInR5cCI6ImZvZy1hdHRhY2grand0In0"
#define HEADER_LEN (sizeof(HEADER_TEXT) - 1)

#define SIGNATURE_BYTES 32
#define DECODED_MAX_BYTES B64URL_BYTES_MAX(ATTACHTOKEN_MAX_BYTES)
#define TOKEN_ID_TEXT_LEN B64URL_TEXT_LEN(ID_BYTES)
#define ROLE_NAME_MAX_BYTES 16
#define CLAIM_NUMBER_MAX INT64_C(253402300799) /* as seconds, the end of the year 9999 */

static const char *const error_texts[] = { [ATTACHTOKEN_OK] = "ok",
#define ATTACHTOKEN_TEXT(name, text) [ATTACHTOKEN_E_##name] = text,
	ATTACHTOKEN_ERRORS(ATTACHTOKEN_TEXT)
#undef ATTACHTOKEN_TEXT
};

/* The claims as JSON has them. */
struct claims_text {
	struct json_str iss, jti, sid, sub, sub_iss, role, boot, id_sid;
	uint64_t iat, exp, exp_boot, id_until, id_iat;
};

/* clang-format off */
#define CLAIM_STR(name, min, max) \
	{ #name, JSON_KIND_STR, true, min, max, offsetof(struct claims_text, name) }
#define CLAIM_NUMBER(name) \
	{ #name, JSON_KIND_U64, true, 0, CLAIM_NUMBER_MAX, offsetof(struct claims_text, name) }
/* clang-format on */

static const struct json_member claim_members[] = {
	CLAIM_STR(iss, 1, 64),
	CLAIM_STR(jti, TOKEN_ID_TEXT_LEN, TOKEN_ID_TEXT_LEN),
	CLAIM_STR(sid, ID_TEXT_SIZE - 1, ID_TEXT_SIZE - 1),
	CLAIM_STR(sub, 1, ATTACHTOKEN_SUBJECT_MAX_BYTES),
	CLAIM_STR(sub_iss, 1, ATTACHTOKEN_SUBJECT_ISSUER_MAX_BYTES),
	CLAIM_STR(role, 1, ROLE_NAME_MAX_BYTES),
	CLAIM_STR(boot, BOOT_ID_SIZE - 1, BOOT_ID_SIZE - 1),
	CLAIM_NUMBER(iat),
	CLAIM_NUMBER(exp),
	CLAIM_NUMBER(exp_boot),
	CLAIM_NUMBER(id_until),
	CLAIM_NUMBER(id_iat),
	CLAIM_STR(id_sid, 0, ATTACHTOKEN_SID_MAX_BYTES),
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

const char *
attachtoken_strerror(int error)
{
	if (error > 0 || error <= -(int)ROWS(error_texts))
		return "unknown error";
	return error_texts[-error];
}

/* Sets *out to the role of that name. Returns 0 or -1. */
static int
role_parse(const char *name, enum attach_role *out)
{
	for (unsigned int role = ROLE_DRIVER; role <= ROLE_VIEWER; role++) {
		if (strcmp(session_role_name(role), name) == 0) {
			*out = (enum attach_role)role;
			return 0;
		}
	}
	return -1;
}

static bool
is_text_or_empty(const char *s, size_t size)
{
	size_t len = strnlen(s, size);

	return len < size && json_text_is_printable(s, len);
}

static bool
is_text(const char *s, size_t size)
{
	return s[0] != '\0' && is_text_or_empty(s, size);
}

/* What holds for every token's claims, whoever made them. */
static int
claims_check(const struct attachtoken *claims)
{
	if (claims->role != ROLE_DRIVER && claims->role != ROLE_VIEWER)
		return -ATTACHTOKEN_E_ROLE;
	if (!is_text(claims->subject, sizeof(claims->subject)) ||
	    !is_text(claims->subject_issuer, sizeof(claims->subject_issuer)) ||
	    !is_text_or_empty(claims->identity_sid, sizeof(claims->identity_sid)) ||
	    !is_text(claims->boot_id, sizeof(claims->boot_id)) ||
	    strlen(claims->boot_id) != BOOT_ID_SIZE - 1)
		return -ATTACHTOKEN_E_CLAIMS;
	if (claims->issued_wall_s < 0 || claims->expires_wall_s > CLAIM_NUMBER_MAX ||
	    claims->expires_wall_s <= claims->issued_wall_s ||
	    claims->expires_boot_ms > CLAIM_NUMBER_MAX ||
	    claims->identity_until_boot_ms > CLAIM_NUMBER_MAX ||
	    claims->identity_issued_s > CLAIM_NUMBER_MAX)
		return -ATTACHTOKEN_E_CLAIMS;
	return 0;
}

static int
key_check(const struct secret *key)
{
	if (key->len < ATTACHTOKEN_KEY_MIN_BYTES || key->len > SECRET_MAX_BYTES)
		return -ATTACHTOKEN_E_KEY;
	return 0;
}

/* Returns NULL when a text is not UTF-8 or memory is out. */
static json_t *
claims_to_json(const struct attachtoken *claims)
{
	char jti[TOKEN_ID_TEXT_LEN + 1], sid[ID_TEXT_SIZE];

	if (b64url_encode(claims->token_id.b, ID_BYTES, jti, sizeof(jti)) != 0)
		return NULL;
	id_format(&claims->session_id, sid);
	/* clang-format off */
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s}",
	    "iss", ATTACHTOKEN_ISSUER,
	    "jti", jti,
	    "sid", sid,
	    "sub", claims->subject,
	    "sub_iss", claims->subject_issuer,
	    "role", session_role_name(claims->role),
	    "boot", claims->boot_id,
	    "iat", (json_int_t)claims->issued_wall_s,
	    "exp", (json_int_t)claims->expires_wall_s,
	    "exp_boot", (json_int_t)claims->expires_boot_ms,
	    "id_until", (json_int_t)claims->identity_until_boot_ms,
	    "id_iat", (json_int_t)claims->identity_issued_s,
	    "id_sid", claims->identity_sid);
	/* clang-format on */
}

/* Writes header, dot, claims and a NUL: what is signed. */
static int
put_signing_input(const struct attachtoken *claims, char *out, size_t out_size)
{
	char json[DECODED_MAX_BYTES];
	json_t *object = claims_to_json(claims);
	size_t len;

	if (object == NULL)
		return -ATTACHTOKEN_E_ARGUMENT;
	len = json_dumpb(object, json, sizeof(json), JSON_COMPACT);
	json_decref(object);
	if (len == 0 || len > sizeof(json))
		return -ATTACHTOKEN_E_SPACE;
	memcpy(out, HEADER_TEXT ".", HEADER_LEN + 1);
	if (b64url_encode(json, len, out + HEADER_LEN + 1, out_size - HEADER_LEN - 1) != 0)
		return -ATTACHTOKEN_E_SPACE;
	return 0;
}

/* RFC 7515 5.1: over the text of the first two parts and the dot between them. */
static int
compute_signature(const struct secret *key, const char *input, size_t len,
    unsigned char out[static SIGNATURE_BYTES])
{
	const unsigned char *bytes = (const unsigned char *)input;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len = 0;

	if (HMAC(EVP_sha256(), key->bytes, (int)key->len, bytes, len, mac, &mac_len) == NULL)
		return -ATTACHTOKEN_E_CRYPTO;
	if (mac_len != SIGNATURE_BYTES)
		return -ATTACHTOKEN_E_CRYPTO;
	memcpy(out, mac, SIGNATURE_BYTES);
	explicit_bzero(mac, sizeof(mac));
	return 0;
}

static int
put_signature(const struct secret *key, char *token, size_t size)
{
	unsigned char mac[SIGNATURE_BYTES];
	size_t len = strlen(token);
	int error = compute_signature(key, token, len, mac);

	if (error != 0)
		return error;
	if (size - len < 1 + B64URL_TEXT_LEN(SIGNATURE_BYTES) + 1)
		return -ATTACHTOKEN_E_SPACE;
	token[len++] = '.';
	if (b64url_encode(mac, sizeof(mac), token + len, size - len) != 0)
		return -ATTACHTOKEN_E_SPACE;
	return 0;
}

int
attachtoken_mint(const struct secret *key, const struct attachtoken *claims, char *out,
    size_t out_size)
{
	char token[ATTACHTOKEN_SIZE];
	int error;

	if (key_check(key) != 0)
		return -ATTACHTOKEN_E_KEY;
	if (claims_check(claims) != 0)
		return -ATTACHTOKEN_E_ARGUMENT;
	if (json_init() != 0)
		return -ATTACHTOKEN_E_CRYPTO;
	error = put_signing_input(claims, token, sizeof(token));
	if (error == 0)
		error = put_signature(key, token, sizeof(token));
	if (error == 0 && strlen(token) >= out_size)
		error = -ATTACHTOKEN_E_SPACE;
	if (error == 0)
		memcpy(out, token, strlen(token) + 1);
	explicit_bzero(token, sizeof(token));
	return error;
}

static int
check_header(struct view part)
{
	return view_is(part, HEADER_TEXT) ? 0 : -ATTACHTOKEN_E_HEADER;
}

static bool
is_absent(const struct secret *key)
{
	return key == NULL || key->len == 0;
}

/* Every key is tried, whatever the one before it said: time tells nothing of which one fits. */
static int
compare_signature(const struct secret *const keys[static ATTACHTOKEN_KEYS], struct view input,
    const unsigned char got[static SIGNATURE_BYTES])
{
	unsigned char made[SIGNATURE_BYTES];
	bool is_equal = false;
	int error = 0;

	for (size_t i = 0; i < ATTACHTOKEN_KEYS && error == 0; i++) {
		if (is_absent(keys[i]))
			continue;
		error = compute_signature(keys[i], input.p, input.len, made);
		if (error == 0)
			is_equal |= secret_equal(got, made, SIGNATURE_BYTES);
	}
	explicit_bzero(made, sizeof(made)); /* what a forger asks for */
	if (error != 0)
		return error;
	return is_equal ? 0 : -ATTACHTOKEN_E_SIGNATURE;
}

static int
check_signature(const struct secret *const keys[static ATTACHTOKEN_KEYS],
    const struct view parts[static COMPACT_PARTS])
{
	struct view text = parts[COMPACT_SIGNATURE];
	unsigned char got[SIGNATURE_BYTES];
	size_t got_len;

	if (text.len != B64URL_TEXT_LEN(SIGNATURE_BYTES))
		return -ATTACHTOKEN_E_SIGNATURE;
	if (b64url_decode(text.p, text.len, got, sizeof(got), &got_len) != 0)
		return -ATTACHTOKEN_E_ENCODING;
	return compare_signature(keys, compact_input(parts), got);
}

static int
claims_from_text(const struct claims_text *text, struct attachtoken *out)
{
	size_t id_len;

	if (strcmp(text->iss.s, ATTACHTOKEN_ISSUER) != 0)
		return -ATTACHTOKEN_E_ISSUER;
	if (role_parse(text->role.s, &out->role) != 0)
		return -ATTACHTOKEN_E_ROLE;
	if (b64url_decode(text->jti.s, text->jti.len, out->token_id.b, ID_BYTES, &id_len) != 0 ||
	    id_len != ID_BYTES || id_parse(text->sid.s, text->sid.len, &out->session_id) != 0)
		return -ATTACHTOKEN_E_CLAIMS;
	memcpy(out->subject, text->sub.s, text->sub.len + 1);
	memcpy(out->subject_issuer, text->sub_iss.s, text->sub_iss.len + 1);
	memcpy(out->boot_id, text->boot.s, text->boot.len + 1);
	out->issued_wall_s = (time_t)text->iat;
	out->expires_wall_s = (time_t)text->exp;
	out->expires_boot_ms = text->exp_boot;
	out->identity_until_boot_ms = text->id_until;
	out->identity_issued_s = text->id_iat;
	memcpy(out->identity_sid, text->id_sid.s, text->id_sid.len + 1);
	return claims_check(out);
}

static int
read_claims(struct view part, struct attachtoken *out)
{
	unsigned char json[DECODED_MAX_BYTES];
	struct json_error_text why;
	struct claims_text text;
	struct json_t *object = NULL;
	size_t len;
	int error = -ATTACHTOKEN_E_CLAIMS;

	if (b64url_decode(part.p, part.len, json, sizeof(json), &len) != 0)
		return -ATTACHTOKEN_E_ENCODING;
	if (json_parse_strict((const char *)json, len, 1, &object, &why) != 0)
		return -ATTACHTOKEN_E_CLAIMS;
	if (json_read_members(object, claim_members, ROWS(claim_members), &text, &why) == 0)
		error = claims_from_text(&text, out);
	json_release(object);
	return error;
}

/* The clock since boot decides; a wall clock far from it means that one of them is wrong. */
static int
check_clocks(const struct attachtoken *claims, const struct attach_now *now)
{
	if (strcmp(claims->boot_id, now->boot_id) != 0)
		return -ATTACHTOKEN_E_BOOT;
	if (now->boot_ms >= claims->expires_boot_ms)
		return -ATTACHTOKEN_E_EXPIRED;
	if (claims->identity_until_boot_ms != 0 && now->boot_ms >= claims->identity_until_boot_ms)
		return -ATTACHTOKEN_E_IDENTITY;
	if (now->wall_s >= claims->expires_wall_s + ATTACHTOKEN_SKEW_S)
		return -ATTACHTOKEN_E_EXPIRED;
	if (now->wall_s < claims->issued_wall_s - ATTACHTOKEN_SKEW_S)
		return -ATTACHTOKEN_E_FUTURE;
	return 0;
}

static int
check_keys(const struct secret *const keys[static ATTACHTOKEN_KEYS])
{
	const struct secret *previous = keys[ATTACHTOKEN_PREVIOUS];

	if (key_check(keys[ATTACHTOKEN_CURRENT]) != 0)
		return -ATTACHTOKEN_E_KEY;
	return is_absent(previous) ? 0 : key_check(previous);
}

int
attachtoken_verify(const struct secret *const keys[static ATTACHTOKEN_KEYS], const char *token,
    size_t len, const struct attach_now *now, struct attachtoken *out)
{
	struct attachtoken claims = { 0 };
	struct view parts[COMPACT_PARTS];
	int error;

	if (check_keys(keys) != 0)
		return -ATTACHTOKEN_E_KEY;
	if (len == 0 || len > ATTACHTOKEN_MAX_BYTES)
		return -ATTACHTOKEN_E_LENGTH;
	if (compact_split(view_bytes(token, len), parts) != 0)
		return -ATTACHTOKEN_E_PARTS;
	error = check_header(parts[COMPACT_HEADER]);
	if (error == 0)
		error = check_signature(keys, parts);
	if (error == 0)
		error = read_claims(parts[COMPACT_PAYLOAD], &claims);
	if (error == 0)
		error = check_clocks(&claims, now);
	if (error == 0)
		*out = claims;
	return error;
}

int
attachtoken_init(void)
{
	const struct attachtoken claims = { .role = ROLE_VIEWER,
		.subject = "self-test",
		.subject_issuer = ATTACHTOKEN_ISSUER,
		.expires_wall_s = 1,
		.boot_id = "00000000-0000-0000-0000-000000000000",
		.expires_boot_ms = 1 };
	const struct attach_now now = { 0, 0, claims.boot_id };
	struct secret key;
	const struct secret *const keys[ATTACHTOKEN_KEYS] = { &key };
	struct attachtoken read_back;
	char token[ATTACHTOKEN_SIZE];
	int error;

	if (secret_init_random(&key, ATTACHTOKEN_KEY_MIN_BYTES) != 0)
		return -ATTACHTOKEN_E_CRYPTO;
	error = attachtoken_mint(&key, &claims, token, sizeof(token));
	if (error == 0)
		error = attachtoken_verify(keys, token, strlen(token), &now, &read_back);
	secret_wipe(&key);
	return error;
}
