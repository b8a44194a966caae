/* SPDX-License-Identifier: MIT */
/*
 * What an admin has taken out of service, over restarts (R7): whether this node takes new sessions,
 * and on which other nodes it places none. Bounded, in one file of this placerd's directory.
 *
 * The file has two slots, of which the one with the higher generation counts. A change is written to
 * the other one by one O_DSYNC write, and a sum at its end says whether all of it has arrived: a
 * write that was cut short leaves the older slot as it was. So no file is opened, renamed or cut once
 * placerd runs, which its filter does not allow.
 *
 * Slot: u32 magic, u32 version, u64 generation, u8 bits (1: this node), u16 how many names follow,
 * each a u16 length and text, u64 FNV-1a of all before it.
 */
#ifndef PLACERD_DRAINED_H
#define PLACERD_DRAINED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define DRAINED_FILE "drained"
#define DRAINED_MAGIC 0x666f6764u /* "fogd" */
#define DRAINED_VERSION 1
#define DRAINED_NODES_MAX 1024
#define DRAINED_NAME_MAX_BYTES 64
#define DRAINED_SLOT_BYTES (80 * 1024) /* at which the second slot begins */
#define DRAINED_FILE_MAX_BYTES (2 * DRAINED_SLOT_BYTES)

struct drained;

struct drained *drained_new(void);    /* NULL: no memory */
void drained_free(struct drained *d); /* NULL is fine; closes its file */

enum drained_result {
	DRAINED_OK,
	DRAINED_OTHER_VERSION, /* nothing was written (R5) */
	DRAINED_IO             /* errno */
};

struct drained_found {
	size_t nodes;
	bool self;
	bool
	    is_recovered; /* a slot was cut short or damaged: what counts is the other, or nothing */
};

/* Opens or makes the file in this directory, and reads it. Before the filter. */
enum drained_result drained_open(struct drained *d, int dir_fd, struct drained_found *found);
/* Takes a whole file as bytes. Pure; for drained_open, the tests and the fuzzer. */
enum drained_result drained_parse(struct drained *d, const void *bytes, size_t len,
    struct drained_found *found);

bool drained_self(const struct drained *d);
bool drained_has(const struct drained *d, struct view node);
/* The names in no order; NULL past the end. Borrowed until the next change. */
const char *drained_at(const struct drained *d, size_t index);

/*
 * 0: it is on the disk, or was so before. -FOG_E_UNAVAILABLE: it holds, but could not be written, and
 * a restart undoes it: to be repeated. -FOG_E_FULL or -FOG_E_BOUNDS: nothing has changed.
 */
int drained_set_self(struct drained *d, bool is_drained);
int drained_set_node(struct drained *d, struct view node, bool is_drained);

#endif
