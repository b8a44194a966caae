/* SPDX-License-Identifier: MIT */
/*
 * base64url without padding (RFC 7515 2, RFC 4648 5), for tokens. One text for each value: what has
 * padding, white space, a foreign character or bits left over is refused.
 */
#ifndef COMMON_B64URL_H
#define COMMON_B64URL_H

#include <stddef.h>

/* Characters that n bytes become; add one for the NUL. */
#define B64URL_TEXT_LEN(n) (((n) / 3) * 4 + ((n) % 3 ? (n) % 3 + 1 : 0))

/* The most bytes that n characters can hold. */
#define B64URL_BYTES_MAX(n) (((n) / 4) * 3 + ((n) % 4) * 3 / 4)

/*
 * Writes len bytes as B64URL_TEXT_LEN(len) characters and a NUL. Returns 0, or -1 when out_size is
 * too small; out is written only on success.
 */
int b64url_encode(const void *bytes, size_t len, char *out, size_t out_size);

/*
 * Reads len characters; text needs no NUL. out takes up to out_size bytes and is in use even when
 * -1 is returned; *out_len is set only on success. Empty text is zero bytes. Returns 0, or -1.
 */
int b64url_decode(const char *text, size_t len, unsigned char *out, size_t out_size,
    size_t *out_len);

#endif
