/* SPDX-License-Identifier: MIT */
/* The development shim's bearer tokens: names joined by plus signs. */
#include "authd/devtoken.h"

#include <stdbool.h>
#include <string.h>

#define SEPARATOR '+'

static const char *const error_texts[] = { [DEVTOKEN_OK] = "ok",
#define DEVTOKEN_TEXT(name, text) [DEVTOKEN_E_##name] = text,
	DEVTOKEN_ERRORS(DEVTOKEN_TEXT)
#undef DEVTOKEN_TEXT
};

const char *
devtoken_strerror(int error)
{
	if (error > 0 || error <= -(int)(sizeof(error_texts) / sizeof(error_texts[0])))
		return "unknown error";
	return error_texts[-error];
}

/* By hand and not by isalnum, which follows the locale. */
static bool
is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '.' || c == '_' || c == '@' || c == '-';
}

static int
read_name(const char *part, size_t len, char name[static DEVTOKEN_PART_MAX_BYTES + 1])
{
	if (len == 0)
		return -DEVTOKEN_E_EMPTY_PART;
	if (len > DEVTOKEN_PART_MAX_BYTES)
		return -DEVTOKEN_E_PART_LENGTH;
	for (size_t i = 0; i < len; i++) {
		if (!is_name_character(part[i]))
			return -DEVTOKEN_E_CHARACTER;
	}
	memcpy(name, part, len);
	name[len] = '\0';
	return 0;
}

static int
add_group(struct devtoken *token, const char *part, size_t len)
{
	char *name;
	int error;

	if (token->group_count == DEVTOKEN_GROUPS_MAX)
		return -DEVTOKEN_E_GROUP_COUNT;
	name = token->groups[token->group_count];
	error = read_name(part, len, name);
	if (error != 0)
		return error;
	for (size_t i = 0; i < token->group_count; i++) {
		if (strcmp(token->groups[i], name) == 0)
			return -DEVTOKEN_E_DUPLICATE;
	}
	token->group_count++;
	return 0;
}

static size_t
part_length(const char *part, const char *end)
{
	const char *separator = memchr(part, SEPARATOR, (size_t)(end - part));

	return (size_t)((separator != NULL ? separator : end) - part);
}

int
devtoken_parse(const char *token, size_t len, struct devtoken *out)
{
	const char *end = token + len, *part = token;
	struct devtoken parsed = { 0 };
	int error;

	if (len == 0)
		return -DEVTOKEN_E_EMPTY;
	if (len > DEVTOKEN_MAX_BYTES)
		return -DEVTOKEN_E_LENGTH;
	len = part_length(part, end);
	error = read_name(part, len, parsed.subject);
	while (error == 0 && part + len < end) {
		part += len + 1;
		len = part_length(part, end);
		error = add_group(&parsed, part, len);
	}
	if (error == 0)
		*out = parsed;
	return error;
}
