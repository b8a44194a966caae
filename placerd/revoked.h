/* SPDX-License-Identifier: MIT */
/*
 * Identities that are taken no more (OIDC Back-Channel Logout 1.0 2.6), until no token from before
 * can be alive: a table, and a journal from which the next placerd reads it (R7). Bounded.
 *
 * The journal is two files of which one counts, that with the higher generation. A record goes
 * behind the last good one by one O_DSYNC write, so that it is on the disk when that returns. When
 * most of a file is of no more use the living records are written to the other file, its header
 * last: until that is whole the old file counts. A sum over the generation keeps records of an
 * earlier use of the same file out. So placerd needs no other call than lseek and write once it
 * runs: it neither opens nor cuts a file.
 *
 * File: u32 magic, u32 version, u64 generation, u64 FNV-1a of these; then records: u16 length of
 * what follows without the sum, u8 enum revoked_kind, u64 when it was written (wall clock), the
 * fields of `revoke` in messages.def, u64 FNV-1a of the record, its seed
 * XORed with the generation.
 */
#ifndef PLACERD_REVOKED_H
#define PLACERD_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/msg.h"

#define REVOKED_RULES_MAX 65536
#define REVOKED_JTIS_MAX 65536
#define REVOKED_MAGIC 0x666f6776u /* "fogv" */
#define REVOKED_VERSION 1
#define REVOKED_HEADER_BYTES 24
#define REVOKED_RECORD_MAX_BYTES 2048
#define REVOKED_FILES 2

enum revoked_kind {
	REVOKED_KIND_NONE,
	REVOKED_RULE, /* with subject or sid: who is taken no more; with a jti: that it was seen */
	REVOKED_DONE, /* the sessions of this rule have been dealt with */
	REVOKED_KIND_COUNT
};

/* One that was revoked; what it borrows lives as long as its entry. */
struct revoked_rule {
	struct view issuer, subject, sid; /* one of subject and sid may be empty */
	uint64_t at_s;                    /* what was issued then or before is dead */
	bool is_done;                     /* its sessions have been dealt with */
};

struct revoked;

/* keep_seconds: no token is older than that. NULL: no memory. */
struct revoked *revoked_new(uint64_t keep_seconds);
void revoked_free(struct revoked *r); /* NULL is fine; closes its files */

/* What was found at the start. */
struct revoked_found {
	size_t rules, jtis;     /* that live */
	uint64_t dropped_bytes; /* behind the longest valid prefix */
	bool is_unfinished;     /* the other file has no whole header: a rewrite was cut short */
};

enum revoked_result {
	REVOKED_OK,
	REVOKED_OTHER_VERSION, /* nothing was written (R5) */
	REVOKED_IO,            /* errno */
	REVOKED_NO_MEMORY
};

/*
 * Opens or makes its files in this directory, reads them, and rewrites what is not clean. Before
 * the filter; the descriptors are kept.
 */
enum revoked_result revoked_open(struct revoked *r, int dir_fd, uint64_t now_s,
    struct revoked_found *found);

/*
 * Takes the records of one journal file as bytes: the longest valid prefix. Pure; for revoked_open,
 * the tests and the fuzzer. *used: bytes of that prefix, the header included; 0: not even that.
 * REVOKED_OK, REVOKED_OTHER_VERSION or REVOKED_NO_MEMORY.
 */
enum revoked_result revoked_parse(struct revoked *r, const void *bytes, size_t len, uint64_t now_s,
    size_t *used);
/* The generation that a header says; 0: it is no whole header of this version. */
uint64_t revoked_generation(const void *bytes, size_t len);

/* Does a rule speak of this identity, whose token was issued then? */
bool revoked_refuses(const struct revoked *r, struct view issuer, struct view subject,
    struct view sid, uint64_t issued_s);
/* Does the rule speak of this identity at all? With a sid: of that, and of those that have none. */
bool revoked_rule_matches(const struct revoked_rule *rule, struct view issuer, struct view subject,
    struct view sid);

/* 0, or -FOG_E_BAD_LOGOUT_TOKEN: this jti of this issuer was taken before. An empty one never was. */
int revoked_check_jti(const struct revoked *r, struct view issuer, struct view jti, uint64_t now_s);
/*
 * Remembers the rule, and the jti. 0: it is on the disk; -FOG_E_FULL: no room, nothing has changed;
 * -FOG_E_NOMEM; -FOG_E_BOUNDS; -FOG_E_UNAVAILABLE: the rule counts, but it could not be written, and
 * the jti is not taken: to be repeated.
 */
int revoked_add(struct revoked *r, const struct pl_revoke *what, uint64_t now_s);
/* The sessions of this rule have been dealt with: the next placerd need not do it again. */
void revoked_done(struct revoked *r, const struct pl_revoke *what, uint64_t now_s);

/* Walks the rules: NULL begins, NULL ends. None may be added meanwhile. */
const struct revoked_rule *revoked_next(const struct revoked *r, const struct revoked_rule *prev);

size_t revoked_rules(const struct revoked *r);
size_t revoked_jtis(const struct revoked *r);
uint64_t revoked_file_bytes(const struct revoked *r); /* of the file that counts, to its good end */

#endif
