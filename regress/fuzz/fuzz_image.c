/* SPDX-License-Identifier: MIT */
/* links: fogctl/image_text.c */
/*
 * The manifest and the index of the image store under libFuzzer. What is taken is what would be
 * written, byte for byte; what is refused says why, in ASCII.
 */
#include "fogctl/image.h"

#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_refusal(const struct image_error *err)
{
	INVARIANT(err->text[0]);
	for (const char *p = err->text; *p; p++)
		INVARIANT(*p >= 0x20 && *p < 0x7f);
}

static void
check_manifest(const char *bytes, size_t len)
{
	char text[IMAGE_MANIFEST_MAX];
	struct image_error err = { "" };
	struct image_manifest m;

	if (image_manifest_parse(bytes, len, &m, &err) != 0) {
		check_refusal(&err);
		return;
	}
	INVARIANT(image_manifest_format(&m, text) == (int)len && memcmp(text, bytes, len) == 0);
	INVARIANT(m.entries <= IMAGE_ENTRIES_MAX && m.bytes <= IMAGE_BYTES_MAX);
	INVARIANT(strlen(m.digest) == IMAGE_HEX_SIZE - 1 && m.source[0]);
}

static void
check_rows(const struct image_index *x)
{
	for (size_t i = 0; i < x->count; i++) {
		INVARIANT(image_name_is_valid(x->rows[i].name));
		INVARIANT(strlen(x->rows[i].digest) == IMAGE_HEX_SIZE - 1);
		INVARIANT(image_index_find(x, x->rows[i].name) == &x->rows[i]);
	}
}

static void
check_index(const char *bytes, size_t len)
{
	static struct image_index x;
	struct image_error err = { "" };
	char *text;
	size_t n;

	if (image_index_parse(bytes, len, &x, &err) != 0) {
		check_refusal(&err);
		INVARIANT(x.count == 0);
		return;
	}
	check_rows(&x);
	text = image_index_format(&x, &n);
	INVARIANT(text && n == len && memcmp(text, bytes, len) == 0);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *bytes = malloc(len ? len : 1); /* of exactly this size: a read behind it is found */

	INVARIANT(bytes);
	memcpy(bytes, data, len);
	check_manifest(bytes, len);
	check_index(bytes, len);
	free(bytes);
	return 0;
}
