/* SPDX-License-Identifier: MIT */
/*
 * The URL that a DPoP proof is for (htu, RFC 9449 4.2), in normal form: two that are equal by RFC
 * 3986 6.2.2 and 6.2.3 become the same.
 */
#ifndef AUTHD_HTU_H
#define AUTHD_HTU_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

#define HTU_MAX_BYTES 1024
#define HTU_HOST_MAX_BYTES 253 /* RFC 1035 2.3.4 as text */

struct htu {
	bool is_https;
	char host[HTU_HOST_MAX_BYTES + 1]; /* lower case; an IPv6 address with its brackets */
	uint16_t port;                     /* that of the scheme when none is named */
	char path[HTU_MAX_BYTES + 2];      /* "/" when there is none */
};

/*
 * Reads http://… or https://…, at most HTU_MAX_BYTES of it; text needs no NUL. Scheme and host become
 * lower case, escapes of unreserved characters those characters, other escapes upper case, dot
 * segments go, and so do query and fragment (RFC 9449 4.3 step 9). Refused: other schemes, a user,
 * no host, escapes that are none, and characters that no URL holds (RFC 3986 2). Returns 0 or -1;
 * *out is set only on success.
 */
int htu_parse(struct view text, struct htu *out);

bool htu_same_origin(const struct htu *a, const struct htu *b);

/* Whether the host is localhost, 127.0.0.1 or [::1]. */
bool htu_is_loopback(const struct htu *htu);

#endif
