/* SPDX-License-Identifier: MIT */
/* The compact form of a signed token (RFC 7515 3.1, 7.1), taken apart at its dots. */
#ifndef FOG_COMPACT_H
#define FOG_COMPACT_H

#include "common/buf.h"

enum { COMPACT_HEADER, COMPACT_PAYLOAD, COMPACT_SIGNATURE, COMPACT_PARTS };

/*
 * Sets parts to views into text. Refused: any number of parts but three, and an empty part: no
 * detached payload (RFC 7515 F), no token without signature (RFC 7519 6). Nothing is decoded.
 * Returns 0 or -1; parts are set only on success.
 */
int compact_split(struct view text, struct view parts[static COMPACT_PARTS]);

/* What is signed: the first two parts with the dot between them. */
struct view compact_input(const struct view parts[static COMPACT_PARTS]);

#endif
