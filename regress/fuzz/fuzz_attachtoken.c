/* SPDX-License-Identifier: MIT */
/*
 * attachtoken under libFuzzer. The first byte says what the rest is: a token as it comes; what is
 * signed with the right key; or claims that get our header and the right signature, so that the
 * code behind the signature is reached. links: authd/attachtoken.c
 */
#include "authd/attachtoken.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/b64url.h"

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define HEADER_TEXT "eyJhbGciOiJIUzI1NiIsInR5cCI6ImZvZy1hdHRhY2grand0In0"
#define MAC_BYTES 32
#define BOOT "3f1c2d4e-0000-4aaa-8bbb-123456789abc"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned char key_bytes[] = "0123456789abcdef0123456789abcdef";
static unsigned char old_key_bytes[] = "an older key, of the same length";
static const struct secret key = { key_bytes, 32 };
static const struct secret old_key = { old_key_bytes, 32 };
static const struct secret *const keys[ATTACHTOKEN_KEYS] = { &key, &old_key };
static const struct attach_now now = { 1750000000, 5000000, BOOT };

static void
check_round_trip(const struct attachtoken *claims)
{
	char token[ATTACHTOKEN_SIZE];
	struct attachtoken again;

	INVARIANT(attachtoken_mint(&key, claims, token, sizeof(token)) == 0);
	INVARIANT(attachtoken_verify(keys, token, strlen(token), &now, &again) == 0);
	INVARIANT(id_equal(&again.token_id, &claims->token_id));
	INVARIANT(id_equal(&again.session_id, &claims->session_id));
	INVARIANT(again.role == claims->role);
	INVARIANT(strcmp(again.subject, claims->subject) == 0);
	INVARIANT(strcmp(again.subject_issuer, claims->subject_issuer) == 0);
	INVARIANT(strcmp(again.boot_id, BOOT) == 0);
	INVARIANT(again.issued_wall_s == claims->issued_wall_s);
	INVARIANT(again.expires_wall_s == claims->expires_wall_s);
	INVARIANT(again.expires_boot_ms == claims->expires_boot_ms);
	INVARIANT(again.identity_until_boot_ms == claims->identity_until_boot_ms);
	INVARIANT(again.identity_issued_s == claims->identity_issued_s);
	INVARIANT(strcmp(again.identity_sid, claims->identity_sid) == 0);
}

static void
verify(const char *token, size_t len)
{
	struct attachtoken claims;
	int error = attachtoken_verify(keys, token, len, &now, &claims);

	if (error != 0) {
		INVARIANT(error < 0);
		INVARIANT(strcmp(attachtoken_strerror(error), "unknown error") != 0);
		return;
	}
	INVARIANT(len <= ATTACHTOKEN_MAX_BYTES);
	INVARIANT(claims.expires_boot_ms > now.boot_ms);
	INVARIANT(claims.identity_until_boot_ms == 0 ||
	    claims.identity_until_boot_ms > now.boot_ms);
	check_round_trip(&claims);
}

static void
sign_and_verify(char *token, size_t len)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len;

	INVARIANT(HMAC(EVP_sha256(), key.bytes, (int)key.len, (unsigned char *)token, len, mac,
		      &mac_len) != NULL);
	token[len++] = '.';
	INVARIANT(b64url_encode(mac, mac_len, token + len, B64URL_TEXT_LEN(MAC_BYTES) + 1) == 0);
	verify(token, len + B64URL_TEXT_LEN(MAC_BYTES));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char token[3 * ATTACHTOKEN_MAX_BYTES];
	size_t header_len = strlen(HEADER_TEXT ".");

	if (len == 0 || len > ATTACHTOKEN_MAX_BYTES + 16)
		return 0;
	switch (*data++) {
	case 'S':
		memcpy(token, data, len - 1);
		sign_and_verify(token, len - 1);
		break;
	case 'C':
		memcpy(token, HEADER_TEXT ".", header_len);
		INVARIANT(b64url_encode(data, len - 1, token + header_len,
			      sizeof(token) - header_len - 1 - MAC_BYTES * 2) == 0);
		sign_and_verify(token, strlen(token));
		break;
	default:
		verify((const char *)data, len - 1);
		break;
	}
	return 0;
}
