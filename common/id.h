/* SPDX-License-Identifier: MIT */
/*
 * 128-bit identifiers: random ids, session ids (UUIDv8 with the node's tag in front) and W3C trace
 * ids.
 */
#ifndef COMMON_ID_H
#define COMMON_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_BYTES 16

/* Bytes of "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" with its NUL. */
#define ID_TEXT_SIZE 37

#define TRACE_ID_BYTES 16

/* Bytes of a trace id in hexadecimal with its NUL. */
#define TRACE_ID_TEXT_SIZE 33

/* Plain data: copy it by assignment. Big-endian, as RFC 9562 4 writes it. */
struct id128 {
	unsigned char b[ID_BYTES];
};

/*
 * 128 random bits, no version or variant. Returns 0, or -1 with errno when the kernel gave no
 * randomness.
 */
int id_random(struct id128 *out);

/*
 * A new session id: UUIDv8 (RFC 9562 5.8). Bits 0-31 are node_tag, 48-51 the version 8, 64-65 the
 * variant 10, the other 90 are random. Returns 0, or -1 with errno.
 */
int id_session_new(uint32_t node_tag, struct id128 *out);

/* Whether id has the version and variant of a session id. */
bool id_is_session(const struct id128 *id);

/* The node's tag in a session id: says where to ask, proves nothing. */
uint32_t id_session_node_tag(const struct id128 *id);

/*
 * The tag of a node's name: FNV-1a, 32 bits, over its bytes. Not cryptographic: it spreads some
 * hundred names of one fleet, and whoever loads the list of nodes refuses two names with one tag.
 */
uint32_t id_node_tag(const char *name);

/* Writes the canonical form (RFC 9562 4), lower case, NUL-terminated. */
void id_format(const struct id128 *id, char out[static ID_TEXT_SIZE]);

/*
 * Reads exactly the form that id_format writes: 36 characters, lower case, nothing around it. Any
 * version. text needs no NUL. Returns 0, or -1 for everything else.
 */
int id_parse(const char *text, size_t len, struct id128 *out);

bool id_equal(const struct id128 *a, const struct id128 *b);

/* All zero: in a message that can go without an id, none. */
bool id_is_zero(const struct id128 *id);

/* A new trace id, never all zero (W3C Trace Context 3.2.2.3). Returns 0, or -1 with errno. */
int trace_random(unsigned char out[static TRACE_ID_BYTES]);

/*
 * Takes the trace id out of the value of a `traceparent` header (W3C Trace Context 3.2.2): version
 * 00 alone, 55 characters, lower-case hexadecimal, neither trace id nor parent id all zero. value
 * needs no NUL. Returns 0, or -1 for everything else: the caller then starts a new trace with
 * trace_random.
 */
int trace_parse(const char *value, size_t len, unsigned char out[static TRACE_ID_BYTES]);

/* Writes the trace id as 32 lower-case hexadecimal digits, NUL-terminated. */
void trace_format(const unsigned char trace[static TRACE_ID_BYTES],
    char out[static TRACE_ID_TEXT_SIZE]);

#endif
