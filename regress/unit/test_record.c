/* SPDX-License-Identifier: MIT */
/* Tests of ptyd/record.c: what was written is read, and a cut at any byte is seen (R7). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/secret.h"
#include "ptyd/record.h"

static char folder[] = "/tmp/fog-record-XXXXXX", top[4096];

static struct pl_session_record
example(void)
{
	struct pl_session_record r = { .profile = view_of("default"),
		.status = STATUS_EXITED,
		.created_s = 1700000000,
		.expires_s = 1700003600,
		.node = view_of("edge-1"),
		.region = view_of("local"),
		.tier = TIER_FOG,
		.placement_reason = view_of("only_node"),
		.exit_kind = EXIT_CODE,
		.exit_value = 3,
		.end_reason = END_EXIT,
		.issuer = view_of("dev"),
		.subject = view_of("alice"),
		.sid = view_of("sid-7"),
		.idem_key = view_of("abc"),
		.idem_hash = 77,
		.confirm_by_boot_ms = 98765,
		.slot = 12,
		.acknowledged = 1,
		.ended_boot_ms = 123456 };

	assert_int_equal(id_session_new(9, &r.session_id), 0);
	assert_int_equal(secret_random(&r.nonce, sizeof(r.nonce)), 0);
	assert_int_equal(secret_random(&r.broker_nonce, sizeof(r.broker_nonce)), 0);
	return r;
}

static void
assert_same(const struct pl_session_record *a, const struct pl_session_record *b)
{
	assert_true(id_equal(&a->session_id, &b->session_id));
	assert_memory_equal(&a->nonce, &b->nonce, sizeof(a->nonce));
	assert_memory_equal(&a->broker_nonce, &b->broker_nonce, sizeof(a->nonce));
	assert_true(view_equal(a->subject, b->subject));
	assert_true(view_equal(a->sid, b->sid));
	assert_true(view_equal(a->idem_key, b->idem_key));
	assert_true(a->idem_hash == b->idem_hash && a->ended_boot_ms == b->ended_boot_ms);
	assert_true(a->confirm_by_boot_ms == b->confirm_by_boot_ms);
	assert_int_equal(a->slot, b->slot);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->exit_value, b->exit_value);
	assert_int_equal(a->acknowledged, b->acknowledged);
}

static size_t
encode(unsigned char out[static RECORD_MAX_BYTES])
{
	struct pl_session_record from = example();
	struct writer w;

	writer_init(&w, out, RECORD_MAX_BYTES);
	assert_int_equal(record_encode(&w, &from), 0);
	return w.len;
}

static void
test_every_cut_and_flip(void **state)
{
	unsigned char bytes[RECORD_MAX_BYTES];
	size_t len = encode(bytes);
	struct record r = { 0 };

	(void)state;
	assert_int_equal(record_decode(bytes, len, &r), RECORD_OK);
	record_fini(&r);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(record_decode(bytes, cut, &r), RECORD_BROKEN);
	bytes[len] = 0;
	assert_int_equal(record_decode(bytes, len + 1, &r), RECORD_BROKEN);
	for (size_t i = 0; i < len; i++) {
		bytes[i] ^= 0x20;
		/* The version is looked at first: of another one nothing else is known. */
		assert_int_equal(record_decode(bytes, len, &r),
		    i >= 4 && i < 8 ? RECORD_OTHER_VERSION : RECORD_BROKEN);
		bytes[i] ^= 0x20;
	}
	assert_null(r.storage);
}

/* Each single bit. */
static void
test_every_bit(void **state)
{
	unsigned char bytes[RECORD_MAX_BYTES];
	size_t len = encode(bytes);
	struct record r = { 0 };

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_int_not_equal(record_decode(bytes, len, &r), RECORD_OK);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_int_equal(record_decode(bytes, len, &r), RECORD_OK);
	record_fini(&r);
}

/*
 * The fields of version 4, by which another build finds a session, its owner and its times. They
 * stay as they are, with their order and kinds; more may be appended. A build that cannot do
 * with them takes another RECORD_VERSION, and starts only when it can read the older records, as
 * those of version 1 (the same without sid, image and confirm_by_boot_ms), 2 (without the last two)
 * and 3 (without the last), or when none is left.
 */
static const struct {
	const char *name;
	enum field_kind kind;
} fields_4[] = {
	{ "session_id", FIELD_id },
	{ "profile", FIELD_str },
	{ "status", FIELD_u8 },
	{ "created_s", FIELD_u64 },
	{ "expires_s", FIELD_u64 },
	{ "node", FIELD_str },
	{ "region", FIELD_str },
	{ "tier", FIELD_u8 },
	{ "placement_reason", FIELD_str },
	{ "exit_kind", FIELD_u8 },
	{ "exit_value", FIELD_u32 },
	{ "end_reason", FIELD_u8 },
	{ "image", FIELD_raw32 },
	{ "issuer", FIELD_str },
	{ "subject", FIELD_str },
	{ "sid", FIELD_str },
	{ "idem_key", FIELD_str },
	{ "idem_hash", FIELD_u64 },
	{ "confirm_by_boot_ms", FIELD_u64 },
	{ "nonce", FIELD_raw32 },
	{ "slot", FIELD_u32 },
	{ "broker_nonce", FIELD_raw32 },
	{ "acknowledged", FIELD_u8 },
	{ "ended_boot_ms", FIELD_u64 },
};

static void
test_layout_of_version_4(void **state)
{
	const struct layout *l = &msg_layouts[PAYLOAD_session_record];

	(void)state;
	assert_int_equal(RECORD_VERSION, 4);
	assert_true(l->count >= COUNT_OF(fields_4));
	for (size_t i = 0; i < COUNT_OF(fields_4); i++) {
		assert_string_equal(l->fields[i].name, fields_4[i].name);
		assert_int_equal(l->fields[i].kind, fields_4[i].kind);
	}
}

/* Records as builds before this one wrote them. */
static void
test_of_earlier_builds(void **state)
{
	static const struct {
		const char *name;
		enum session_status status;
	} rows[] = { { "living", STATUS_DETACHED }, { "ended", STATUS_EXITED },
		{ "version-2", STATUS_DETACHED }, { "version-3", STATUS_DETACHED } };
	char path[4400];
	struct record r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		snprintf(path, sizeof(path), "%s/regress/fuzz/seeds/record/%s", top, rows[i].name);
		assert_int_equal(record_load(path, &r), RECORD_OK);
		assert_int_equal(r.pl.status, rows[i].status);
		assert_true(view_is(r.pl.profile, "default"));
		assert_true(r.pl.subject.len > 0 && r.pl.expires_s > r.pl.created_s);
		assert_int_equal(r.pl.sid.len, 0);
		assert_int_equal(r.pl.confirm_by_boot_ms, 0); /* it stays */
		assert_true(r.pl.slot < SESSION_SLOTS && r.pl.acknowledged <= 1);
		record_fini(&r);
	}
}

/* A later build appends a field: what we know of is read, and written again without it. */
static void
test_of_a_later_build(void **state)
{
	unsigned char bytes[RECORD_MAX_BYTES], longer[RECORD_MAX_BYTES];
	struct pl_session_record from = example();
	struct record r, again;
	struct writer w;
	size_t len;

	(void)state;
	writer_init(&w, bytes, sizeof(bytes));
	assert_int_equal(record_encode(&w, &from), 0);
	len = w.len - 12 - 8;
	writer_init(&w, longer, sizeof(longer));
	put_u32(&w, RECORD_MAGIC);
	put_u32(&w, RECORD_VERSION);
	put_u32(&w, (uint32_t)len + 5);
	put_raw(&w, bytes + 12, len);
	put_raw(&w, "later", 5);
	put_u64(&w, fnv1a(FNV1A_SEED, w.p, w.len));
	assert_int_equal(record_decode(longer, w.len, &r), RECORD_OK);
	assert_same(&from, &r.pl);
	assert_int_equal(record_init(&again, &r.pl), RECORD_OK);
	assert_int_equal(again.storage_len, len + 12 + 8);
	record_fini(&again);
	record_fini(&r);
}

static void
test_file(void **state)
{
	struct pl_session_record from = example();
	char name[RECORD_NAME_SIZE];
	struct record r, again;
	struct stat st;

	(void)state;
	assert_int_equal(record_init(&r, &from), RECORD_OK);
	assert_same(&from, &r.pl);
	assert_int_equal(record_save(&r), RECORD_OK);
	record_name(&from.session_id, RECORD_FILE_TMP, name);
	assert_int_equal(access(name, F_OK), -1);
	record_name(&from.session_id, RECORD_FILE_REC, name);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(record_load(name, &again), RECORD_OK);
	assert_same(&from, &again.pl);
	again.pl.status = STATUS_LOST;
	assert_int_equal(record_save(&again), RECORD_OK);
	record_fini(&again);
	assert_int_equal(record_load(name, &again), RECORD_OK);
	assert_int_equal(again.pl.status, STATUS_LOST);
	record_fini(&again);
	record_fini(&r);
	record_unlink(&from.session_id, RECORD_FILE_REC);
	record_unlink(&from.session_id, RECORD_FILE_REC);
	assert_int_equal(record_load(name, &again), RECORD_IO);
}

/* Where nothing can be written the error is told and the old record stays. */
static void
test_unwritable(void **state)
{
	struct pl_session_record from = example();
	char rec[RECORD_NAME_SIZE], tmp[RECORD_NAME_SIZE];
	struct record r, again;

	(void)state;
	assert_int_equal(record_init(&r, &from), RECORD_OK);
	assert_int_equal(record_save(&r), RECORD_OK);
	record_name(&from.session_id, RECORD_FILE_REC, rec);
	record_name(&from.session_id, RECORD_FILE_TMP, tmp);
	assert_int_equal(mkdir(tmp, 0700), 0);
	r.pl.status = STATUS_LOST;
	assert_int_equal(record_save(&r), RECORD_IO);
	assert_int_equal(rmdir(tmp), 0);
	/* Nor is a link followed to somebody else's file. */
	assert_int_equal(symlink("elsewhere", tmp), 0);
	assert_int_equal(record_save(&r), RECORD_IO);
	assert_int_equal(access("elsewhere", F_OK), -1);
	assert_int_equal(record_load(rec, &again), RECORD_OK);
	assert_int_equal(again.pl.status, STATUS_EXITED);
	record_fini(&again);
	record_fini(&r);
	unlink(tmp);
	unlink(rec);
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		int kind; /* -1: not one of ours */
	} rows[] = {
		{ "01234567-0123-8123-8123-0123456789ab.rec", RECORD_FILE_REC },
		{ "01234567-0123-8123-8123-0123456789ab.tmp", RECORD_FILE_TMP },
		{ "01234567-0123-8123-8123-0123456789ab.sock", RECORD_FILE_SOCKET },
		{ "01234567-0123-8123-8123-0123456789ab", -1 },
		{ "01234567-0123-8123-8123-0123456789ab.", -1 },
		{ "01234567-0123-8123-8123-0123456789ab.rec~", -1 },
		{ "01234567-0123-8123-8123-0123456789AB.rec", -1 },
		{ "01234567-0123-4123-8123-0123456789ab.rec", -1 },
		{ "x1234567-0123-8123-8123-0123456789ab.rec", -1 },
		{ ".rec", -1 },
		{ "", -1 },
	};
	enum record_file kind;
	struct id128 id;
	char text[RECORD_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int rc = record_parse_name(rows[i].name, &id, &kind);

		print_message("%s\n", rows[i].name);
		assert_int_equal(rc == 0, rows[i].kind >= 0);
		if (rc != 0)
			continue;
		assert_int_equal(kind, rows[i].kind);
		record_name(&id, kind, text);
		assert_string_equal(text, rows[i].name);
	}
}

static int
set_up(void **state)
{
	(void)state;
	if (!realpath(getenv("FOG_TOP") ? getenv("FOG_TOP") : ".", top))
		return -1;
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	return chdir("/") == 0 ? rmdir(folder) : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut_and_flip),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_layout_of_version_4),
		cmocka_unit_test(test_of_earlier_builds),
		cmocka_unit_test(test_of_a_later_build),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_unwritable),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
