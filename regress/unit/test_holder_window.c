/* SPDX-License-Identifier: MIT */
/*
 * Tests of ptyd/holder_window.c: rows for the rules, and a model of a path that shows where the
 * window settles.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/err.h"
#include "ptyd/holder_window.h"

#define KIB 1024u
#define MIB (1024u * KIB)
#define ACK_BYTES 8192u
#define ACK_MS 50

/* --- rules --- */

static void
test_bounds_follow_the_ring(void **state)
{
	static const struct {
		size_t ring, start, max;
	} rows[] = {
		{ 4 * MIB, WINDOW_START_BYTES, WINDOW_MAX_BYTES },
		{ 256 * KIB, WINDOW_START_BYTES, 128 * KIB },
		{ 64 * KIB, 32 * KIB, 32 * KIB },
		{ 4096, 2048, 2048 },
	};
	struct window w;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		window_init(&w, rows[i].ring);
		assert_int_equal(w.bytes, rows[i].start);
		assert_int_equal(w.max_bytes, rows[i].max);
	}
}

/* Without an acknowledgement: only what waits for the socket counts. */
static void
test_unacknowledged(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 4 * MIB);
	window_begin(&w, 1000);
	assert_int_equal(window_send_room(&w, 3 * MIB), 3 * MIB);
	assert_int_equal(window_read_room(&w, 1000), WINDOW_UNACKED_BYTES);
	assert_int_equal(window_read_room(&w, 1000 + WINDOW_UNACKED_BYTES / 2),
	    WINDOW_UNACKED_BYTES / 2);
	assert_int_equal(window_read_room(&w, 1000 + WINDOW_UNACKED_BYTES), 0);
	assert_int_equal(window_read_room(&w, 1000 + 4 * MIB), 0);
	window_sent(&w, 3 * MIB, 5);
	assert_int_equal(window_read_room(&w, 1000 + 3 * MIB), WINDOW_UNACKED_BYTES);
}

static void
test_acknowledged(void **state)
{
	const uint32_t full = WINDOW_START_BYTES;
	struct window w;

	(void)state;
	window_init(&w, 4 * MIB);
	window_begin(&w, 0);
	window_sent(&w, 100, 0);
	assert_int_equal(window_ack(&w, 100, 20), 0);
	assert_int_equal(w.base_ms, 20);
	/* What fits goes out however little it is; of more, no small pieces. */
	window_sent(&w, full - 10, 30);
	assert_int_equal(window_send_room(&w, 10), 10);
	assert_int_equal(window_send_room(&w, 11), 0);
	assert_int_equal(window_read_room(&w, w.sent), 0);
	assert_int_equal(window_ack(&w, 100 + full / 8, 31), 0);
	assert_int_equal(window_send_room(&w, 1 * MIB), full / 8 + 10);
	assert_int_equal(window_read_room(&w, w.sent), full / 8 + 10);
	/* A replay: more waits than the window, so the terminal is not read. */
	assert_int_equal(window_read_room(&w, w.sent + full), 0);
}

static void
test_acks_are_checked(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 4 * MIB);
	window_begin(&w, 500);
	window_sent(&w, 100, 0);
	assert_int_equal(window_ack(&w, 601, 1), -FOG_E_OFFSET);
	assert_int_equal(window_ack(&w, UINT64_MAX, 1), -FOG_E_OFFSET);
	assert_false(w.has_acked);
	assert_int_equal(window_ack(&w, 600, 1), 0);
	assert_int_equal(window_ack(&w, 3, 2), 0);
	assert_true(w.acked == 600);
	/* After a gap nothing is on its way, and what comes late of before it is no lie. */
	window_sent(&w, 100, 3);
	window_skip(&w, 5000);
	assert_int_equal(window_ack(&w, 700, 4), 0);
	assert_true(w.acked == 5000);
	assert_int_equal(window_ack(&w, 5001, 4), -FOG_E_OFFSET);
}

/* What is known of the path stays; that this client acknowledges does not. */
static void
test_attaching_again(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 4 * MIB);
	window_begin(&w, 0);
	window_sent(&w, 100, 0);
	window_ack(&w, 100, 20);
	w.bytes = 100 * KIB;
	window_begin(&w, 50);
	assert_int_equal(w.bytes, 100 * KIB);
	assert_int_equal(w.base_ms, 20);
	assert_int_equal(window_send_room(&w, 1 * MIB), 1 * MIB);
	assert_int_equal(window_ack(&w, 51, 30), -FOG_E_OFFSET);
}

/* Where the first sample is a queue, it says nothing of the path: a small one is taken first. */
static void
test_first_sample_is_a_queue(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 4 * MIB);
	window_begin(&w, 0);
	window_sent(&w, 2 * MIB, 0);
	window_ack(&w, 2 * MIB, 9000);
	assert_int_equal(w.base_ms, 0);
	assert_int_equal(w.bytes, WINDOW_MIN_BYTES);
	window_sent(&w, WINDOW_MIN_BYTES, 9000);
	window_ack(&w, w.sent, 9200);
	assert_int_equal(w.base_ms, 200);
}

/* --- a path --- */

#define HISTORY 4096 /* ms */

/*
 * A flood through a link of so many bytes a millisecond, an acknowledgement every 8 KiB or 50 ms,
 * and a round trip in which what was acknowledged comes back.
 */
struct path {
	struct window w;
	uint64_t now_ms, end, delivered, acked_at_client, unacked_since_ms;
	uint64_t acks[HISTORY]; /* that arrive at this millisecond */
	unsigned rate, rtt_ms, jitter_ms, seed;
};

static void
start_path(struct path *p, unsigned rate, unsigned rtt_ms)
{
	memset(p, 0, sizeof(*p));
	p->rate = rate;
	p->rtt_ms = rtt_ms;
	p->seed = 1;
	p->now_ms = 1000;
	window_init(&p->w, 4 * MIB);
	window_begin(&p->w, 0);
}

static unsigned
jitter(struct path *p)
{
	p->seed = p->seed * 1103515245u + 12345u;
	return p->jitter_ms ? (p->seed >> 16) % p->jitter_ms : 0;
}

static void
client_acks(struct path *p)
{
	uint64_t waiting = p->delivered - p->acked_at_client;
	uint64_t at = p->now_ms + p->rtt_ms + jitter(p);

	if (waiting == 0)
		p->unacked_since_ms = p->now_ms;
	if (waiting < ACK_BYTES && p->now_ms - p->unacked_since_ms < ACK_MS)
		return;
	p->acked_at_client = p->delivered;
	p->unacked_since_ms = p->now_ms;
	p->acks[at % HISTORY] = p->delivered;
}

/* One millisecond; waiting: bytes that the program has to say. */
static void
step(struct path *p, uint64_t waiting)
{
	uint64_t *ack = &p->acks[++p->now_ms % HISTORY];
	uint64_t queue = p->w.sent - p->delivered;
	size_t n;

	p->delivered += queue < p->rate ? queue : p->rate;
	client_acks(p);
	if (*ack > 0)
		assert_int_equal(window_ack(&p->w, *ack, p->now_ms), 0);
	*ack = 0;
	n = window_read_room(&p->w, p->end);
	p->end += n < waiting ? n : waiting;
	n = window_send_room(&p->w, p->end - p->w.sent);
	if (n > 0)
		window_sent(&p->w, n, p->now_ms);
}

/* What a prompt after ^C would wait for, in the link's queue. */
static uint64_t
queue_ms(const struct path *p)
{
	return (p->w.sent - p->delivered) / p->rate;
}

struct result {
	unsigned percent;  /* of the link */
	unsigned queue_ms; /* the longest */
};

static struct result
flood(struct path *p, unsigned ms)
{
	uint64_t start = p->delivered;
	struct result r = { 0 };

	for (unsigned i = 0; i < ms; i++) {
		step(p, UINT64_MAX);
		if (queue_ms(p) > r.queue_ms)
			r.queue_ms = (unsigned)queue_ms(p);
	}
	r.percent = (unsigned)((p->delivered - start) * 100 / ((uint64_t)p->rate * ms));
	print_message("    %u %% of the link, queue %u ms, window %u, base %u ms\n", r.percent,
	    r.queue_ms, p->w.bytes, (unsigned)p->w.base_ms);
	return r;
}

/* A person types: single bytes, some time apart. */
static void
type(struct path *p, unsigned keys)
{
	for (unsigned i = 0; i < keys * 400; i++)
		step(p, i % 400 == 0 ? 1 : 0);
}

static void
test_paths(void **state)
{
	static const struct {
		const char *name;
		unsigned rate, rtt_ms, jitter_ms; /* bytes a ms */
		unsigned percent, queue_ms;       /* at least, at most */
	} rows[] = {
		{ "1 Mbit/s, 200 ms", 125, 200, 0, 90, 200 },
		{ "1 Mbit/s, 200 ms, jitter 40 ms", 125, 200, 40, 80, 250 },
		{ "256 kbit/s, 50 ms", 32, 50, 0, 95, WINDOW_MIN_BYTES / 32 + 50 },
		{ "10 Mbit/s, 20 ms", 1250, 20, 0, 90, 120 },
		{ "100 Mbit/s, 50 ms", 12500, 50, 0, 70, 100 },
		{ "10 MB/s, next to it", 10000, 1, 0, 95, 70 },
		{ "1 GB/s, next to it", 1000000, 1, 0, 20, 10 }, /* by the millisecond of a step */
	};
	struct path p;
	struct result r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].name);
		start_path(&p, rows[i].rate, rows[i].rtt_ms);
		p.jitter_ms = rows[i].jitter_ms;
		type(&p, 5);
		flood(&p, 5000);
		r = flood(&p, 20000);
		assert_true(r.percent >= rows[i].percent);
		assert_true(r.queue_ms <= rows[i].queue_ms);
	}
}

/* What the first second of a flood puts on its way, when the start was too much. */
static void
test_start_is_corrected(void **state)
{
	struct path p;

	(void)state;
	start_path(&p, 125, 200);
	type(&p, 2);
	flood(&p, 1500);
	assert_true(flood(&p, 2000).queue_ms <= 300);
}

/* A path that got longer for good: as good as a new one after a while. */
static void
test_longer_path_is_learnt(void **state)
{
	struct path p;

	(void)state;
	start_path(&p, 1000, 20);
	type(&p, 5);
	assert_true(flood(&p, 5000).percent >= 90);
	p.rtt_ms = 300;
	flood(&p, 30000);
	assert_true(flood(&p, 10000).percent >= 80);
	/* And a shorter one, as far as the flood lets it be seen; with the next key, all of it. */
	p.rtt_ms = 20;
	flood(&p, 2000);
	assert_true(flood(&p, 5000).queue_ms <= 300);
	for (int i = 0; i < 1000; i++)
		step(&p, 0);
	type(&p, 2);
	flood(&p, 2000);
	assert_true(flood(&p, 5000).queue_ms <= 150);
}

/* A late answer to a lone key does not make the window small. */
static void
test_lone_delay_is_no_queue(void **state)
{
	struct path p;
	uint32_t before;

	(void)state;
	start_path(&p, 10000, 20);
	type(&p, 3);
	flood(&p, 3000);
	for (int i = 0; i < 1000; i++)
		step(&p, 0);
	before = p.w.bytes;
	p.jitter_ms = 400;
	type(&p, 20);
	assert_true(p.w.bytes >= before);
}

/* Whatever happens: what is not sent and what may be read fit into the ring together. */
static void
test_invariant(void **state)
{
	static const size_t rings[] = { 4096, 65536, 100000, 512 * KIB, 4 * MIB };
	struct window w;

	(void)state;
	for (size_t r = 0; r < sizeof(rings) / sizeof(rings[0]); r++) {
		window_init(&w, rings[r]);
		window_begin(&w, 0);
		for (uint64_t lag = 0; lag <= rings[r]; lag += 61) {
			w.has_acked = false;
			assert_true(lag + window_read_room(&w, lag) <= rings[r]);
			w.has_acked = true;
			assert_true(lag + window_read_room(&w, lag) <= rings[r]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds_follow_the_ring),
		cmocka_unit_test(test_unacknowledged),
		cmocka_unit_test(test_acknowledged),
		cmocka_unit_test(test_acks_are_checked),
		cmocka_unit_test(test_attaching_again),
		cmocka_unit_test(test_first_sample_is_a_queue),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_start_is_corrected),
		cmocka_unit_test(test_longer_path_is_learnt),
		cmocka_unit_test(test_lone_delay_is_no_queue),
		cmocka_unit_test(test_invariant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
