/* SPDX-License-Identifier: MIT */
/*
 * The record of a session: a file `<uuid>.rec` in the broker's directory with what adoption needs
 * and, later, the final state. Written whole beside the old one and renamed over it; a cut at any
 * byte is seen (R7):
 *   u32 magic, u32 version, u32 length of the payload, session_record, u64 FNV-1a of all before
 *
 * An older and a newer build read each other's records: fields are appended to session_record, what
 * follows the last known one is passed over (and dropped when the record is written again), and who
 * appends one has to say what a record without it means. A change of what is there already takes
 * another version, over which a build that does not know it refuses to start (R5).
 */
#ifndef FOG_RECORD_H
#define FOG_RECORD_H

#include "common/msg.h"

#define RECORD_MAGIC 0x666f6772u /* "fogr" */
#define RECORD_VERSION 4 /* 1 had no sid, 2 no image, 3 no confirm_by_boot_ms: read as if empty */
#define RECORD_MAX_BYTES 8192

struct record {
	struct pl_session_record pl; /* its views borrow from storage */
	unsigned char *storage;
	size_t storage_len;
};

enum record_result {
	RECORD_OK,
	RECORD_BROKEN, /* cut, or not a record at all */
	RECORD_OTHER_VERSION,
	RECORD_NO_MEMORY,
	RECORD_IO /* errno */
};

/* A copy that owns its texts. RECORD_OK, RECORD_BROKEN: a field is out of bounds. */
enum record_result record_init(struct record *r, const struct pl_session_record *from);
void record_fini(struct record *r); /* wipes: there are nonces in it */

int record_encode(struct writer *w, const struct pl_session_record *from);
enum record_result record_decode(const void *bytes, size_t len, struct record *out);

/* Files by name in the working directory. */
enum record_file { RECORD_FILE_REC, RECORD_FILE_TMP, RECORD_FILE_SOCKET, RECORD_FILE_COUNT };
#define RECORD_NAME_SIZE (ID_TEXT_SIZE + 8)

void record_name(const struct id128 *id, enum record_file kind, char out[static RECORD_NAME_SIZE]);
/* Exactly a name that record_name writes for a session id, or -1. */
int record_parse_name(const char *name, struct id128 *id, enum record_file *kind);

enum record_result record_save(const struct record *r);
enum record_result record_load(const char *name, struct record *out);
void record_unlink(const struct id128 *id, enum record_file kind); /* not there: fine */

#endif
