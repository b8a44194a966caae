/* SPDX-License-Identifier: MIT */
/* Which handler a request goes to: rows of method and path pattern. Pure. */
#ifndef GATEWAYD_ROUTE_H
#define GATEWAYD_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define ROUTE_ALLOW_SIZE 64

struct conn;

enum route_flag {
	ROUTE_TOKEN = 1,   /* wants Authorization */
	ROUTE_BODY = 2,    /* may have a body, and then application/json */
	ROUTE_HEAD = 4,    /* HEAD too: GET without its body */
	ROUTE_FORM = 8,    /* may have a body, and then application/x-www-form-urlencoded */
	ROUTE_ISSUER = 16, /* there only with an identity provider */
	ROUTE_NODE = 32    /* wants Authorization of another node, not of a person */
};

struct route {
	const char *method;
	const char *pattern; /* path; a segment "{id}" matches any one non-empty segment */
	unsigned flags;
	void (*handle)(struct conn *c);
};

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/*
 * Finds the row of method and path. ROUTE_FOUND: *row, and *id is the segment of {id} (p NULL:
 * none). ROUTE_NO_METHOD: allow is the value for the Allow field (RFC 9110 10.2.1).
 */
enum route_match route_find(const struct route *rows, size_t count, struct view method,
    struct view path, const struct route **row, struct view *id,
    char allow[static ROUTE_ALLOW_SIZE]);

#endif
