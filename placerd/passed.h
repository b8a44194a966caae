/* SPDX-License-Identifier: MIT */
/*
 * Creates with an Idempotency-Key that were passed on, and to which node, for as long as a repeat gives
 * the same session: a table, and a file from which the next placerd reads it (R7). So no second session
 * is made for a key, though this process was killed before it heard what became of the first.
 *
 * The file is a ring of records of one size, made whole when it is opened first. A record is written
 * over the oldest by one O_DSYNC write, before the node is asked; its sum says whether all of it has
 * arrived. A write that was cut short therefore costs the record being written and the oldest alone. Of
 * a key's records that with the highest number counts. placerd's filter lets it neither open nor cut a file.
 *
 * File: u32 magic, u32 version; then PASSED_RECORDS times: u64 number, from 1, which says the place too;
 * u64 key hash, u64 wish hash, u32 tag of the node, u8 enum passed_state, u64 when (wall clock), u64
 * FNV-1a of these.
 */
#ifndef PLACERD_PASSED_H
#define PLACERD_PASSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASSED_FILE "passed"
#define PASSED_MAGIC 0x666f6770u /* "fogp" */
#define PASSED_VERSION 1
#define PASSED_HEADER_BYTES 8
#define PASSED_RECORD_BYTES 45
#define PASSED_RECORDS 4096
#define PASSED_FILE_BYTES (PASSED_HEADER_BYTES + PASSED_RECORDS * PASSED_RECORD_BYTES)
#define PASSED_KEYS_MAX 1024 /* the oldest is forgotten for a new one */

enum passed_state {
	PASSED_FREE,  /* nobody has made it */
	PASSED_ASKED, /* that node, which has not answered; in the file also when it has made it */
	PASSED_MADE, /* by that node; or it was asked by an earlier placerd, and may have made it */
	PASSED_BOUND, /* its client was sent there, and may have made it there or not */
	PASSED_STATE_COUNT
};

struct passed_key {
	uint64_t number; /* of its record; 0: the place is free */
	uint64_t key_hash, wish_hash;
	uint64_t until_mono_ms;
	uint32_t tag; /* of the node */
	enum passed_state state;
};

struct passed;

struct passed *passed_new(uint64_t keep_ms); /* NULL: no memory */
void passed_free(struct passed *p);          /* NULL is fine; closes the file */

enum passed_result {
	PASSED_OK,
	PASSED_OTHER_VERSION, /* nothing was written (R5) */
	PASSED_IO             /* errno */
};

struct passed_found {
	size_t keys;    /* that count still */
	size_t damaged; /* records that are not whole */
};

/* The clocks of one moment: what is kept is of the wall clock, how long it counts of the other. */
struct passed_now {
	uint64_t wall_s, mono_ms;
};

/* Opens or makes the file in this directory, and reads it. Before the filter. */
enum passed_result passed_open(struct passed *p, int dir_fd, struct passed_now now,
    struct passed_found *found);
/* Takes a whole file as bytes. Pure; for passed_open, the tests and the fuzzer. */
enum passed_result passed_parse(struct passed *p, const void *bytes, size_t len,
    struct passed_now now, struct passed_found *found);

/* NULL: it was not passed on, or too long ago. Until the next change. */
const struct passed_key *passed_find(const struct passed *p, uint64_t key_hash,
    uint64_t now_mono_ms);
/* That node is asked next. 0; -FOG_E_UNAVAILABLE: it holds, but is not on the disk. */
int passed_ask(struct passed *p, uint64_t key_hash, uint64_t wish_hash, uint32_t tag,
    struct passed_now now);
/*
 * What became of it; nothing for a key that is not known. Written where a later placerd would go another
 * way without it: a free key that is not written goes to the last node once more.
 */
void passed_settle(struct passed *p, uint64_t key_hash, enum passed_state state,
    struct passed_now now);

#endif
