/* SPDX-License-Identifier: MIT */
/* The decisions about the provider's keys. No I/O and no clock: see keys.h. */
#include "authd/keys.h"

#include <stdlib.h>
#include <string.h>

enum stage { STAGE_IDLE, STAGE_METADATA, STAGE_SET };

struct keys {
	struct keys_config config;
	struct jwk_set *set; /* NULL: none yet */
	struct jwk_report report;
	char uri[URL_MAX_BYTES + 1];      /* where that came from */
	char uri_next[URL_MAX_BYTES + 1]; /* of the round under way */
	enum stage stage;
	bool for_unknown;      /* the round under way was begun by a token */
	bool reads_document;   /* and does not go straight to the set */
	uint64_t good_ms;      /* end of the last good round */
	uint64_t due_ms;       /* of the next by age or after a failure */
	uint64_t quiet_end_ms; /* until then no round for an unknown key */
	unsigned failures;     /* in a row */
	const char *trouble;
	char location[METADATA_LOCATION_SIZE];
};

struct keys *
keys_new(const struct keys_config *config)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->config = *config;
	k->trouble = "";
	metadata_location(config->issuer, k->location);
	return k;
}

void
keys_free(struct keys *k)
{
	if (!k)
		return;
	jwk_set_free(k->set);
	free(k);
}

uint64_t
keys_due_ms(const struct keys *k)
{
	return k->stage == STAGE_IDLE ? k->due_ms : KEYS_NEVER;
}

uint64_t
keys_end_ms(const struct keys *k)
{
	return k->set ? k->good_ms + k->config.max_age_ms : KEYS_NEVER;
}

bool
keys_is_fetching(const struct keys *k)
{
	return k->stage != STAGE_IDLE;
}

const char *
keys_url(const struct keys *k)
{
	return k->stage == STAGE_SET ? k->uri_next : k->location;
}

size_t
keys_max_bytes(const struct keys *k)
{
	return k->stage == STAGE_SET ? JWK_SET_MAX_BYTES : METADATA_MAX_BYTES;
}

void
keys_begin(struct keys *k)
{
	k->stage = STAGE_METADATA;
	k->reads_document = true;
	k->for_unknown = false;
}

/* The document is read again by its age alone; a token that waits is spared that way. */
static void
begin_for_unknown(struct keys *k, uint64_t now_ms)
{
	keys_begin(k);
	k->for_unknown = true;
	if (keys_usable(k, now_ms) && k->failures == 0) {
		memcpy(k->uri_next, k->uri, sizeof(k->uri_next));
		k->stage = STAGE_SET;
		k->reads_document = false;
	}
}

bool
keys_want_unknown(struct keys *k, uint64_t now_ms)
{
	if (keys_is_fetching(k))
		return true;
	if (now_ms < k->quiet_end_ms)
		return false;
	begin_for_unknown(k, now_ms);
	return true;
}

/* From the end: however long a round takes, a token that waited for it begins no second one. */
static void
end_round(struct keys *k, uint64_t now_ms)
{
	if (k->for_unknown)
		k->quiet_end_ms = now_ms + k->config.cooldown_ms;
	k->stage = STAGE_IDLE;
	k->for_unknown = false;
}

static uint64_t
backoff_ms(const struct keys *k)
{
	uint64_t ms = KEYS_RETRY_MIN_MS;

	for (unsigned i = 1; i < k->failures && ms < KEYS_RETRY_MAX_MS; i++)
		ms *= 2;
	if (ms > KEYS_RETRY_MAX_MS)
		ms = KEYS_RETRY_MAX_MS;
	return ms < k->config.refresh_ms ? ms : k->config.refresh_ms;
}

void
keys_fail(struct keys *k, uint64_t now_ms, const char *why)
{
	k->failures++;
	k->trouble = why;
	k->due_ms = now_ms + backoff_ms(k);
	end_round(k, now_ms);
}

static enum keys_step
take_metadata(struct keys *k, uint64_t now_ms, const char *body, size_t len)
{
	struct metadata document;
	int error = metadata_parse(body, len, k->config.issuer, &document);

	if (error != 0) {
		keys_fail(k, now_ms, metadata_error_code(error));
		return KEYS_FAILED;
	}
	memcpy(k->uri_next, document.jwks_uri.text, sizeof(k->uri_next));
	k->stage = STAGE_SET;
	return KEYS_MORE;
}

static enum keys_step
take_set(struct keys *k, uint64_t now_ms, const char *body, size_t len)
{
	struct jwk_set *set;
	int error = jwk_set_parse(body, len, k->config.algorithms, &set, &k->report);

	if (error != 0) {
		keys_fail(k, now_ms, jwk_error_code(error));
		return KEYS_FAILED;
	}
	jwk_set_free(k->set);
	k->set = set;
	memcpy(k->uri, k->uri_next, sizeof(k->uri));
	k->good_ms = now_ms;
	/* Else a flood of unknown keys would put off the reading of the document for ever. */
	if (k->reads_document)
		k->due_ms = now_ms + k->config.refresh_ms;
	k->failures = 0;
	k->trouble = "";
	end_round(k, now_ms);
	return KEYS_DONE;
}

enum keys_step
keys_take(struct keys *k, uint64_t now_ms, const char *body, size_t len)
{
	if (k->stage == STAGE_METADATA)
		return take_metadata(k, now_ms, body, len);
	return take_set(k, now_ms, body, len);
}

struct jwk_set *
keys_usable(const struct keys *k, uint64_t now_ms)
{
	return now_ms < keys_end_ms(k) ? k->set : NULL;
}

enum sign_in
keys_sign_in(const struct keys *k, uint64_t now_ms)
{
	if (!keys_usable(k, now_ms))
		return SIGN_IN_WAITING;
	return k->failures > 0 ? SIGN_IN_STALE : SIGN_IN_READY;
}

const char *
keys_trouble(const struct keys *k)
{
	return k->trouble;
}

const struct jwk_report *
keys_report(const struct keys *k)
{
	return &k->report;
}

uint32_t
keys_retry_after_s(const struct keys *k, uint64_t now_ms)
{
	uint64_t wait_ms = k->due_ms > now_ms ? k->due_ms - now_ms : 0;

	return keys_is_fetching(k) || wait_ms == 0 ? 1 : (uint32_t)((wait_ms + 999) / 1000);
}
