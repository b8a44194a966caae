/* SPDX-License-Identifier: MIT */
/*
 * json under libFuzzer: any bytes as a terminal frame and as the body that asks for a session. What
 * is accepted has to keep every bound of its table, and say the same when it is written and read
 * again; what is refused has to give a reason that is fit for a log.
 */
#include "common/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define INVARIANT(condition) ((condition) ? (void)0 : abort())

#define TEXT_MAX_BYTES 65536
#define COLUMNS_MAX 1000
#define PROFILE_MAX_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct frame {
	struct json_str type, data_b64;
	uint32_t cols, rows;
};

static const struct json_member frame_members[] = {
	{ "type", JSON_KIND_STR, true, 1, 16, offsetof(struct frame, type) },
	{ "data_b64", JSON_KIND_STR, false, 0, TEXT_MAX_BYTES, offsetof(struct frame, data_b64) },
	{ "cols", JSON_KIND_U32, false, 1, COLUMNS_MAX, offsetof(struct frame, cols) },
	{ "rows", JSON_KIND_U32, false, 1, COLUMNS_MAX, offsetof(struct frame, rows) },
};

struct body {
	struct json_str profile, image_ref;
	uint32_t ttl_seconds;
	uint64_t size;
	bool is_recorded;
	struct json_u32_map latency_ms;
};

static const struct json_member body_members[] = {
	{ "profile", JSON_KIND_STR, true, 1, PROFILE_MAX_BYTES, offsetof(struct body, profile) },
	{ "image_ref", JSON_KIND_STR, false, 1, 256, offsetof(struct body, image_ref) },
	{ "ttl_seconds", JSON_KIND_U32, true, 1, 86400, offsetof(struct body, ttl_seconds) },
	{ "size", JSON_KIND_U64, false, 0, INT64_MAX, offsetof(struct body, size) },
	{ "record", JSON_KIND_BOOL, false, 0, 0, offsetof(struct body, is_recorded) },
	{ "latency_ms", JSON_KIND_OBJECT_U32, false, 0, 60000, offsetof(struct body, latency_ms) },
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static void
check_error(const struct json_error_text *err, size_t len)
{
	INVARIANT(strnlen(err->text, sizeof(err->text)) < sizeof(err->text));
	INVARIANT(strnlen(err->member, sizeof(err->member)) < sizeof(err->member));
	INVARIANT(err->text[0] != '\0' && err->offset <= len);
	for (const char *p = err->text; *p != '\0'; p++)
		INVARIANT(*p >= 0x20 && *p < 0x7f);
	for (const char *p = err->member; *p != '\0'; p++)
		INVARIANT(*p >= 0x20 && *p < 0x7f);
}

static void
check_str(const struct json_str *str, size_t min, size_t max)
{
	INVARIANT(str->len >= min && str->len <= max);
	INVARIANT(strlen(str->s) == str->len);
	INVARIANT(json_text_is_printable(str->s, str->len));
}

static void
read_frame(const struct json_t *obj)
{
	struct frame frame = { .cols = 80, .rows = 24 };
	struct json_error_text err;
	const char *type = json_peek_str(obj, "type");

	if (json_read_members(obj, frame_members, ROWS(frame_members), &frame, &err) != 0) {
		check_error(&err, 0);
		return;
	}
	INVARIANT(type == frame.type.s);
	check_str(&frame.type, 1, 16);
	if (frame.data_b64.s != NULL)
		check_str(&frame.data_b64, 0, TEXT_MAX_BYTES);
	INVARIANT(frame.cols >= 1 && frame.cols <= COLUMNS_MAX);
	INVARIANT(frame.rows >= 1 && frame.rows <= COLUMNS_MAX);
}

static void
check_map(const struct json_u32_map *map)
{
	INVARIANT(map->count <= JSON_U32_MAP_MAX);
	for (size_t i = 0; i < map->count; i++) {
		check_str(&map->entries[i].name, 1, JSON_U32_NAME_MAX_BYTES);
		INVARIANT(map->entries[i].value <= 60000);
		for (size_t j = 0; j < i; j++)
			INVARIANT(strcmp(map->entries[i].name.s, map->entries[j].name.s) != 0);
	}
}

static void
read_body(const struct json_t *obj)
{
	struct body body = { 0 };
	struct json_error_text err;

	if (json_read_members(obj, body_members, ROWS(body_members), &body, &err) != 0) {
		check_error(&err, 0);
		return;
	}
	check_str(&body.profile, 1, PROFILE_MAX_BYTES);
	if (body.image_ref.s != NULL)
		check_str(&body.image_ref, 1, 256);
	INVARIANT(body.ttl_seconds >= 1 && body.ttl_seconds <= 86400);
	INVARIANT(body.size <= INT64_MAX);
	check_map(&body.latency_ms);
}

/* What was accepted once is accepted again as jansson writes it, and is the same object. */
static void
check_written_again(const struct json_t *obj, unsigned int max_depth)
{
	char *text = json_dumps(obj, JSON_COMPACT);
	struct json_error_text err;
	struct json_t *again = NULL;

	INVARIANT(text != NULL);
	INVARIANT(json_parse_strict(text, strlen(text), max_depth, &again, &err) == 0);
	INVARIANT(json_equal(obj, again));
	json_release(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct json_error_text err;
	struct json_t *obj = NULL;
	unsigned int max_depth = len % 2 == 0 ? JSON_DEPTH_DEFAULT : 2;

	if (len > TEXT_MAX_BYTES)
		return 0;
	if (json_parse_strict((const char *)data, len, max_depth, &obj, &err) != 0) {
		INVARIANT(obj == NULL);
		check_error(&err, len);
		return 0;
	}
	INVARIANT(memchr(data, '\0', len) == NULL);
	read_frame(obj);
	read_body(obj);
	check_written_again(obj, max_depth);
	json_release(obj);
	return 0;
}
