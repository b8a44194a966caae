/* SPDX-License-Identifier: MIT */
/*
 * The table of revocations and its journal: see revoked.h. In libc's balanced tree, as quota.c has
 * it: names are chosen outside, and a tree has no bad keys.
 */
#include "placerd/revoked.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SUM_BYTES 8
#define FRAME_BYTES 2 /* the length before a record */
#define FILE_MAX_BYTES (512u << 20)
#define COMPACT_STEP_BYTES (1u << 20)
#define CHUNK_BYTES (64u << 10)

static const char *const file_names[REVOKED_FILES] = { "revoked.0", "revoked.1" };

/* Whose rules: of a subject, or of a sid whose subject the provider did not name. */
struct owner {
	struct view issuer, name; /* first: the tree compares keys; they point into names */
	bool is_sid;
	SLIST_HEAD(, rule) rules;
	char names[];
};

struct rule {
	struct revoked_rule said; /* first: what revoked_next gives; sid points into names */
	SLIST_ENTRY(rule) of_owner;
	TAILQ_ENTRY(rule) next;
	struct owner *owner;
	uint64_t written_s;
	char names[];
};

struct jti {
	struct view issuer, name; /* first, as above */
	TAILQ_ENTRY(jti) next;
	uint64_t expires_s;
	char names[];
};

struct revoked {
	void *owners, *jti_root;
	TAILQ_HEAD(rules, rule) rules;
	TAILQ_HEAD(jtis, jti) jtis;
	size_t n_rules, n_jtis;
	uint64_t keep_seconds;

	int fds[REVOKED_FILES];
	unsigned current;    /* the file that counts */
	uint64_t generation; /* of it */
	uint64_t end;        /* of its last good record */
	uint64_t compact_at;
	bool is_stale; /* it holds records of no more use */
};

/* --- the tree --- */

static int
compare_owners(const void *left, const void *right)
{
	const struct owner *a = left, *b = right;
	int order = view_compare(a->name, b->name);

	if (order == 0)
		order = view_compare(a->issuer, b->issuer);
	return order ? order : (int)a->is_sid - (int)b->is_sid;
}

static int
compare_jtis(const void *left, const void *right)
{
	const struct jti *a = left, *b = right;
	int order = view_compare(a->name, b->name);

	return order ? order : view_compare(a->issuer, b->issuer);
}

static struct view
copy_text(char *to, struct view text)
{
	if (text.len > 0)
		memcpy(to, text.p, text.len);
	return view_bytes(to, text.len);
}

/* NULL when `name` is empty: that is nobody. */
static struct owner *
find_owner(const struct revoked *r, struct view issuer, struct view name, bool is_sid)
{
	struct owner key = { .issuer = issuer, .name = name, .is_sid = is_sid };
	struct owner *const *node = name.len ? tfind(&key, &r->owners, compare_owners) : NULL;

	return node ? *node : NULL;
}

static struct owner *
owner_new(struct revoked *r, struct view issuer, struct view name, bool is_sid)
{
	struct owner *o = calloc(1, sizeof(*o) + issuer.len + name.len);

	if (!o)
		return NULL;
	o->issuer = copy_text(o->names, issuer);
	o->name = copy_text(o->names + issuer.len, name);
	o->is_sid = is_sid;
	if (tsearch(o, &r->owners, compare_owners))
		return o;
	free(o);
	return NULL;
}

static void
owner_drop_if_idle(struct revoked *r, struct owner *o)
{
	if (!SLIST_EMPTY(&o->rules))
		return;
	tdelete(o, &r->owners, compare_owners);
	free(o);
}

static void
forget_rule(struct revoked *r, struct rule *rule)
{
	struct owner *o = rule->owner;

	SLIST_REMOVE(&o->rules, rule, rule, of_owner);
	TAILQ_REMOVE(&r->rules, rule, next);
	r->n_rules--;
	free(rule);
	owner_drop_if_idle(r, o);
}

static void
forget_jti(struct revoked *r, struct jti *j)
{
	tdelete(j, &r->jti_root, compare_jtis);
	TAILQ_REMOVE(&r->jtis, j, next);
	r->n_jtis--;
	free(j);
}

static struct rule *
find_rule(const struct revoked *r, const struct pl_revoke *what)
{
	bool is_sid = what->subject.len == 0;
	const struct owner *o = find_owner(r, what->issuer, is_sid ? what->sid : what->subject,
	    is_sid);
	struct rule *rule;

	if (!o)
		return NULL;
	SLIST_FOREACH(rule, &o->rules, of_owner)
	if (view_equal(rule->said.sid, what->sid))
		return rule;
	return NULL;
}

static struct rule *
rule_new(struct revoked *r, const struct pl_revoke *what)
{
	bool is_sid = what->subject.len == 0;
	struct view name = is_sid ? what->sid : what->subject;
	struct owner *o = find_owner(r, what->issuer, name, is_sid);
	struct rule *rule;

	if (!o)
		o = owner_new(r, what->issuer, name, is_sid);
	rule = o ? calloc(1, sizeof(*rule) + what->sid.len) : NULL;
	if (!rule) {
		if (o)
			owner_drop_if_idle(r, o);
		return NULL;
	}
	rule->owner = o;
	rule->said.issuer = o->issuer;
	rule->said.subject = is_sid ? view_of("") : o->name;
	rule->said.sid = copy_text(rule->names, what->sid);
	SLIST_INSERT_HEAD(&o->rules, rule, of_owner);
	TAILQ_INSERT_TAIL(&r->rules, rule, next);
	r->n_rules++;
	return rule;
}

static struct jti *
find_jti(const struct revoked *r, struct view issuer, struct view name)
{
	struct jti key = { .issuer = issuer, .name = name };
	struct jti *const *node = tfind(&key, &r->jti_root, compare_jtis);

	return node ? *node : NULL;
}

static struct jti *
jti_new(struct revoked *r, struct view issuer, struct view name)
{
	struct jti *j = calloc(1, sizeof(*j) + issuer.len + name.len);

	if (!j)
		return NULL;
	j->issuer = copy_text(j->names, issuer);
	j->name = copy_text(j->names + issuer.len, name);
	if (!tsearch(j, &r->jti_root, compare_jtis)) {
		free(j);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->jtis, j, next);
	r->n_jtis++;
	return j;
}

/* --- time --- */

static bool
is_over(uint64_t since_s, uint64_t keep_seconds, uint64_t now_s)
{
	return now_s > since_s && now_s - since_s > keep_seconds;
}

static bool
rule_is_over(const struct revoked *r, uint64_t at_s, uint64_t written_s, uint64_t now_s)
{
	return is_over(at_s > written_s ? at_s : written_s, r->keep_seconds, now_s);
}

static void
sweep(struct revoked *r, uint64_t now_s)
{
	struct rule *rule, *next_rule;
	struct jti *j, *next_jti;

	for (rule = TAILQ_FIRST(&r->rules); rule; rule = next_rule) {
		next_rule = TAILQ_NEXT(rule, next);
		if (rule_is_over(r, rule->said.at_s, rule->written_s, now_s))
			forget_rule(r, rule);
	}
	for (j = TAILQ_FIRST(&r->jtis); j; j = next_jti) {
		next_jti = TAILQ_NEXT(j, next);
		if (j->expires_s < now_s)
			forget_jti(r, j);
	}
}

/* --- records --- */

struct record {
	enum revoked_kind kind;
	uint64_t written_s;
	struct pl_revoke what;
};

static uint64_t
sum_of(uint64_t generation, const void *record, size_t len)
{
	return fnv1a(FNV1A_SEED ^ generation, record, len);
}

static int
put_record(struct writer *w, uint64_t generation, const struct record *e)
{
	size_t start = w->len;
	struct writer at;

	put_u16(w, 0);
	put_u8(w, (uint8_t)e->kind);
	put_u64(w, e->written_s);
	codec_put(w, &msg_layouts[PAYLOAD_revoke], &e->what, NULL);
	if (w->err)
		return w->err;
	writer_init(&at, w->p + start, FRAME_BYTES);
	put_u16(&at, (uint16_t)(w->len - start - FRAME_BYTES));
	put_u64(w, sum_of(generation, w->p + start, w->len - start));
	return w->err;
}

static bool
says_something(const struct record *e)
{
	bool names_somebody = e->what.subject.len > 0 || e->what.sid.len > 0;

	return e->kind == REVOKED_DONE ? names_somebody : names_somebody || e->what.jti.len > 0;
}

/* Bytes of the record with its frame; 0: what is there is no whole record of this generation. */
static size_t
get_record(const unsigned char *bytes, size_t len, uint64_t generation, struct record *e)
{
	struct reader r;
	size_t n;

	reader_init(&r, bytes, len);
	n = FRAME_BYTES + get_u16(&r);
	if (r.err || len < n + SUM_BYTES)
		return 0;
	reader_init(&r, bytes + n, SUM_BYTES);
	if (get_u64(&r) != sum_of(generation, bytes, n))
		return 0;
	reader_init(&r, bytes + FRAME_BYTES, n - FRAME_BYTES);
	e->kind = (enum revoked_kind)get_u8(&r);
	e->written_s = get_u64(&r);
	if (codec_get(&r, &msg_layouts[PAYLOAD_revoke], &e->what, NULL) != 0 ||
	    reader_done(&r) != 0 || e->kind <= REVOKED_KIND_NONE || e->kind >= REVOKED_KIND_COUNT ||
	    !says_something(e))
		return 0;
	return n + SUM_BYTES;
}

static int
take_rule(struct revoked *r, const struct record *e)
{
	struct rule *rule = find_rule(r, &e->what);

	if (!rule)
		rule = rule_new(r, &e->what);
	if (!rule)
		return -FOG_E_NOMEM;
	if (e->what.at_s > rule->said.at_s)
		rule->said.at_s = e->what.at_s;
	rule->written_s = e->written_s;
	rule->said.is_done = false;
	return 0;
}

static int
take_jti(struct revoked *r, const struct record *e)
{
	struct jti *j = find_jti(r, e->what.issuer, e->what.jti);

	if (!j)
		j = jti_new(r, e->what.issuer, e->what.jti);
	if (!j)
		return -FOG_E_NOMEM;
	j->expires_s = e->what.jti_expires_s;
	return 0;
}

static bool
has_rule(const struct pl_revoke *what)
{
	return what->subject.len > 0 || what->sid.len > 0;
}

/* What a record from the journal says becomes part of the table, if it is of any use still. */
static int
take_record(struct revoked *r, const struct record *e, uint64_t now_s)
{
	bool rule_lives = !rule_is_over(r, e->what.at_s, e->written_s, now_s);
	bool jti_lives = e->what.jti.len > 0 && e->what.jti_expires_s >= now_s;
	struct rule *rule;
	int rc = 0;

	if (e->kind == REVOKED_DONE) {
		rule = find_rule(r, &e->what);
		if (rule && rule->said.at_s == e->what.at_s)
			rule->said.is_done = true;
		return 0;
	}
	r->is_stale |= !(has_rule(&e->what) && rule_lives) && !jti_lives;
	if (has_rule(&e->what) && rule_lives && r->n_rules < REVOKED_RULES_MAX)
		rc = take_rule(r, e);
	if (rc == 0 && jti_lives && r->n_jtis < REVOKED_JTIS_MAX)
		rc = take_jti(r, e);
	return rc;
}

/* --- headers --- */

static void
put_header(struct writer *w, uint64_t generation)
{
	put_u32(w, REVOKED_MAGIC);
	put_u32(w, REVOKED_VERSION);
	put_u64(w, generation);
	put_u64(w, fnv1a(FNV1A_SEED, w->p, w->len));
}

static bool
is_other_version(const void *bytes, size_t len)
{
	struct reader r;
	uint32_t magic, version;

	reader_init(&r, bytes, len);
	magic = get_u32(&r);
	version = get_u32(&r);
	/* 0: the header was being written. */
	return r.err == 0 && magic == REVOKED_MAGIC && version != 0 && version != REVOKED_VERSION;
}

uint64_t
revoked_generation(const void *bytes, size_t len)
{
	struct reader r;
	uint64_t generation;
	uint32_t magic, version;

	reader_init(&r, bytes, len);
	magic = get_u32(&r);
	version = get_u32(&r);
	generation = get_u64(&r);
	if (get_u64(&r) != fnv1a(FNV1A_SEED, bytes, len < 16 ? len : 16) || r.err ||
	    magic != REVOKED_MAGIC || version != REVOKED_VERSION)
		return 0;
	return generation;
}

enum revoked_result
revoked_parse(struct revoked *r, const void *bytes, size_t len, uint64_t now_s, size_t *used)
{
	uint64_t generation = revoked_generation(bytes, len);
	size_t at = REVOKED_HEADER_BYTES, n;
	struct record e;

	if (is_other_version(bytes, len))
		return REVOKED_OTHER_VERSION;
	*used = 0;
	if (generation == 0)
		return REVOKED_OK;
	while ((n = get_record((const unsigned char *)bytes + at, len - at, generation, &e)) > 0) {
		if (take_record(r, &e, now_s) != 0)
			return REVOKED_NO_MEMORY;
		at += n;
	}
	*used = at;
	return REVOKED_OK;
}

/* --- writing --- */

static int
write_at(int fd, uint64_t offset, const void *bytes, size_t len)
{
	const char *p = bytes;
	ssize_t n = 1;

	if (fd < 0 || lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return -FOG_E_UNAVAILABLE;
	while (len > 0 && n > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	if (len > 0 && n == 0)
		errno = ENOSPC;
	return len == 0 ? 0 : -FOG_E_UNAVAILABLE;
}

struct rewrite {
	int fd, rc;
	uint64_t generation, at;
	struct writer w;
	unsigned char chunk[CHUNK_BYTES];
};

static void
rewrite_flush(struct rewrite *to)
{
	if (to->rc == 0)
		to->rc = write_at(to->fd, to->at, to->w.p, to->w.len);
	to->at += to->w.len;
	to->w.len = 0;
}

static void
rewrite_record(struct rewrite *to, const struct record *e)
{
	if (to->w.cap - to->w.len < REVOKED_RECORD_MAX_BYTES)
		rewrite_flush(to);
	if (put_record(&to->w, to->generation, e) != 0)
		to->rc = -FOG_E_INTERNAL;
}

static void
rewrite_rule(struct rewrite *to, const struct rule *rule)
{
	struct record e = { .kind = REVOKED_RULE,
		.written_s = rule->written_s,
		.what = { .issuer = rule->said.issuer,
		    .subject = rule->said.subject,
		    .sid = rule->said.sid,
		    .at_s = rule->said.at_s } };

	rewrite_record(to, &e);
	e.kind = REVOKED_DONE;
	if (rule->said.is_done)
		rewrite_record(to, &e);
}

static void
rewrite_jti(struct rewrite *to, const struct jti *j)
{
	struct record e = { .kind = REVOKED_RULE,
		.what = { .issuer = j->issuer, .jti = j->name, .jti_expires_s = j->expires_s } };

	rewrite_record(to, &e);
}

/* The header comes last: it is what makes the file count. */
static void
rewrite_header(struct rewrite *to)
{
	unsigned char header[REVOKED_HEADER_BYTES];
	struct writer w;

	writer_init(&w, header, sizeof(header));
	put_header(&w, to->generation);
	if (to->rc == 0)
		to->rc = write_at(to->fd, 0, header, w.len);
}

/* All that lives goes to the other file. On failure the present one goes on. */
static int
compact(struct revoked *r)
{
	unsigned other = (r->current + 1) % REVOKED_FILES;
	struct rewrite *to = malloc(sizeof(*to));
	const struct rule *rule;
	const struct jti *j;
	int rc;

	r->compact_at = r->end + COMPACT_STEP_BYTES;
	if (!to)
		return -FOG_E_NOMEM;
	to->fd = r->fds[other];
	to->rc = 0;
	to->generation = r->generation + 1;
	to->at = REVOKED_HEADER_BYTES;
	writer_init(&to->w, to->chunk, sizeof(to->chunk));
	TAILQ_FOREACH(rule, &r->rules, next)
		rewrite_rule(to, rule);
	TAILQ_FOREACH(j, &r->jtis, next)
		rewrite_jti(to, j);
	rewrite_flush(to);
	rewrite_header(to);
	rc = to->rc;
	if (rc == 0) {
		r->current = other;
		r->generation = to->generation;
		r->end = to->at;
		r->compact_at = 2 * r->end + COMPACT_STEP_BYTES;
	}
	free(to);
	return rc;
}

/* Behind the last good record, also when a write has left half of one there. */
static int
append(struct revoked *r, const struct record *e)
{
	unsigned char bytes[REVOKED_RECORD_MAX_BYTES];
	struct writer w;
	int rc;

	writer_init(&w, bytes, sizeof(bytes));
	rc = put_record(&w, r->generation, e);
	if (rc == 0)
		rc = write_at(r->fds[r->current], r->end, bytes, w.len);
	if (rc == 0)
		r->end += w.len;
	return rc;
}

/* --- start --- */

struct revoked *
revoked_new(uint64_t keep_seconds)
{
	struct revoked *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	TAILQ_INIT(&r->rules);
	TAILQ_INIT(&r->jtis);
	r->keep_seconds = keep_seconds;
	for (int i = 0; i < REVOKED_FILES; i++)
		r->fds[i] = -1;
	return r;
}

void
revoked_free(struct revoked *r)
{
	struct rule *rule;
	struct jti *j;

	if (!r)
		return;
	while ((rule = TAILQ_FIRST(&r->rules)))
		forget_rule(r, rule);
	while ((j = TAILQ_FIRST(&r->jtis)))
		forget_jti(r, j);
	for (int i = 0; i < REVOKED_FILES; i++)
		close_fd(&r->fds[i]);
	free(r);
}

struct image {
	char *bytes; /* NULL: there is no such file */
	size_t len;
};

static int
open_file(int dir_fd, const char *name, int flags)
{
	/* O_NONBLOCK: a foreign FIFO of that name would stop us. */
	return openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_DSYNC | flags,
	    S_IRUSR | S_IWUSR);
}

static enum revoked_result
read_image(struct revoked *r, int dir_fd, int i, struct image *out)
{
	struct stat st;

	r->fds[i] = open_file(dir_fd, file_names[i], 0);
	if (r->fds[i] < 0)
		return errno == ENOENT ? REVOKED_OK : REVOKED_IO;
	if (fstat(r->fds[i], &st) != 0)
		return REVOKED_IO;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return REVOKED_IO;
	}
	if (st.st_size > FILE_MAX_BYTES) {
		errno = EFBIG;
		return REVOKED_IO;
	}
	out->len = (size_t)st.st_size;
	out->bytes = malloc(out->len + 1);
	if (!out->bytes)
		return REVOKED_NO_MEMORY;
	if (pread(r->fds[i], out->bytes, out->len, 0) != st.st_size)
		return REVOKED_IO;
	return is_other_version(out->bytes, out->len) ? REVOKED_OTHER_VERSION : REVOKED_OK;
}

static enum revoked_result
make_missing(struct revoked *r, int dir_fd)
{
	cleanup_fd int dir = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < REVOKED_FILES; i++) {
		if (r->fds[i] < 0)
			r->fds[i] = open_file(dir_fd, file_names[i], O_CREAT | O_EXCL);
		if (r->fds[i] < 0)
			return REVOKED_IO;
	}
	return dir >= 0 && fsync(dir) == 0 ? REVOKED_OK : REVOKED_IO;
}

static enum revoked_result
take_images(struct revoked *r, const struct image images[static REVOKED_FILES], uint64_t now_s,
    struct revoked_found *found)
{
	uint64_t generations[REVOKED_FILES];
	const struct image *best, *other;
	enum revoked_result result;
	size_t used = 0;

	for (int i = 0; i < REVOKED_FILES; i++)
		generations[i] = revoked_generation(images[i].bytes, images[i].len);
	r->current = generations[1] > generations[0];
	r->generation = generations[r->current];
	best = &images[r->current];
	other = &images[!r->current];
	result = revoked_parse(r, best->bytes, best->len, now_s, &used);
	r->end = used;
	found->dropped_bytes = best->len - used;
	found->is_unfinished = other->len > 0 && generations[!r->current] == 0;
	found->rules = r->n_rules;
	found->jtis = r->n_jtis;
	return result;
}

/* Only here can a file be cut: the filter lets nobody do that later. */
static enum revoked_result
tidy(struct revoked *r, const struct revoked_found *found)
{
	bool was_useless,
	    is_clean = r->generation > 0 && !r->is_stale && found->dropped_bytes == 0 &&
	    !found->is_unfinished;

	r->compact_at = 2 * r->end + COMPACT_STEP_BYTES;
	if (is_clean)
		return REVOKED_OK;
	was_useless = r->generation == 0;
	if (ftruncate(r->fds[!r->current], 0) != 0 || compact(r) != 0)
		return REVOKED_IO;
	/* Else it stays, should the new one's header be cut. */
	return was_useless && ftruncate(r->fds[!r->current], 0) != 0 ? REVOKED_IO : REVOKED_OK;
}

enum revoked_result
revoked_open(struct revoked *r, int dir_fd, uint64_t now_s, struct revoked_found *found)
{
	struct image images[REVOKED_FILES] = { 0 };
	enum revoked_result result = REVOKED_OK;

	*found = (struct revoked_found){ 0 };
	for (int i = 0; result == REVOKED_OK && i < REVOKED_FILES; i++)
		result = read_image(r, dir_fd, i, &images[i]);
	if (result == REVOKED_OK)
		result = make_missing(r, dir_fd);
	if (result == REVOKED_OK)
		result = take_images(r, images, now_s, found);
	for (int i = 0; i < REVOKED_FILES; i++)
		free(images[i].bytes);
	return result == REVOKED_OK ? tidy(r, found) : result;
}

/* --- asking --- */

bool
revoked_rule_matches(const struct revoked_rule *rule, struct view issuer, struct view subject,
    struct view sid)
{
	if (!view_equal(rule->issuer, issuer))
		return false;
	if (rule->subject.len == 0)
		return sid.len > 0 && view_equal(rule->sid, sid);
	return view_equal(rule->subject, subject) &&
	    (rule->sid.len == 0 || sid.len == 0 || view_equal(rule->sid, sid));
}

static bool
owner_refuses(const struct owner *o, struct view issuer, struct view subject, struct view sid,
    uint64_t issued_s)
{
	const struct rule *rule;

	if (!o)
		return false;
	SLIST_FOREACH(rule, &o->rules, of_owner)
	if (issued_s <= rule->said.at_s && revoked_rule_matches(&rule->said, issuer, subject, sid))
		return true;
	return false;
}

bool
revoked_refuses(const struct revoked *r, struct view issuer, struct view subject, struct view sid,
    uint64_t issued_s)
{
	return owner_refuses(find_owner(r, issuer, subject, false), issuer, subject, sid,
		   issued_s) ||
	    owner_refuses(find_owner(r, issuer, sid, true), issuer, subject, sid, issued_s);
}

int
revoked_check_jti(const struct revoked *r, struct view issuer, struct view jti, uint64_t now_s)
{
	const struct jti *j = jti.len ? find_jti(r, issuer, jti) : NULL;

	return j && j->expires_s >= now_s ? -FOG_E_BAD_LOGOUT_TOKEN : 0;
}

static int
check_room(struct revoked *r, const struct pl_revoke *what, uint64_t now_s)
{
	bool needs_rule = !find_rule(r, what), needs_jti = what->jti.len > 0;

	if ((needs_rule && r->n_rules >= REVOKED_RULES_MAX) ||
	    (needs_jti && r->n_jtis >= REVOKED_JTIS_MAX))
		sweep(r, now_s);
	if ((needs_rule && r->n_rules >= REVOKED_RULES_MAX) ||
	    (needs_jti && r->n_jtis >= REVOKED_JTIS_MAX))
		return -FOG_E_FULL;
	return 0;
}

int
revoked_add(struct revoked *r, const struct pl_revoke *what, uint64_t now_s)
{
	struct record e = { .kind = REVOKED_RULE, .written_s = now_s, .what = *what };
	int rc = has_rule(what) ? check_room(r, what, now_s) : -FOG_E_BOUNDS;

	if (rc == 0)
		rc = take_rule(r, &e);
	if (rc == 0)
		rc = append(r, &e);
	/* Without memory it is still in the journal, and what is repeated meanwhile is harmless. */
	if (rc == 0 && what->jti.len > 0)
		rc = take_jti(r, &e);
	if (r->end >= r->compact_at) {
		sweep(r, now_s);
		compact(r); /* should it fail, this file goes on */
	}
	return rc;
}

void
revoked_done(struct revoked *r, const struct pl_revoke *what, uint64_t now_s)
{
	struct rule *rule = find_rule(r, what);
	struct record e = { .kind = REVOKED_DONE, .written_s = now_s, .what = *what };

	if (!rule || rule->said.is_done)
		return;
	rule->said.is_done = true;
	e.what.at_s = rule->said.at_s;
	e.what.jti = view_of("");
	e.what.jti_expires_s = 0;
	/* Unwritten, the next placerd deals with them once more. */
	append(r, &e);
}

const struct revoked_rule *
revoked_next(const struct revoked *r, const struct revoked_rule *prev)
{
	const struct rule *rule = prev ? TAILQ_NEXT((const struct rule *)prev, next)
				       : TAILQ_FIRST(&r->rules);

	return rule ? &rule->said : NULL;
}

size_t
revoked_rules(const struct revoked *r)
{
	return r->n_rules;
}

size_t
revoked_jtis(const struct revoked *r)
{
	return r->n_jtis;
}

uint64_t
revoked_file_bytes(const struct revoked *r)
{
	return r->end;
}
