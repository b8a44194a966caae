/* SPDX-License-Identifier: MIT */
/*
 * The name of an image in requests and policy: "NAME@sha256:HEX" or "sha256:HEX". The digest alone
 * says which image it is, NAME is for people; a tag could be moved and is refused. Pure.
 */
#ifndef FOG_IMAGEREF_H
#define FOG_IMAGEREF_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/codec.h"

#define IMAGEREF_NAME_MAX 64 /* bytes of NAME: [a-z0-9][a-z0-9._-]*, no ".." */
#define IMAGEREF_DIGEST_TEXT_SIZE 72
#define IMAGEREF_MAX_BYTES (IMAGEREF_NAME_MAX + IMAGEREF_DIGEST_TEXT_SIZE)

/* NULL and *digest, or what is wrong (static text, which says what would be right). */
const char *imageref_parse(struct view text, struct raw32 *digest);

/* "sha256:HEX", lower case. */
void imageref_format(const struct raw32 *digest, char out[static IMAGEREF_DIGEST_TEXT_SIZE]);

/* All zero stands for no image. */
bool imageref_is_none(const struct raw32 *digest);

#endif
