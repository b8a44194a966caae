/* SPDX-License-Identifier: MIT */
/* Penalties after a crash: see penalty.h. */
#include "gatewayd/penalty.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mono.h"
#include "common/proc.h"

#define MAP_VERSION 0x666f6701u
#define STRIKES_MAX 16
#define REMEMBERED_MS (UINT64_C(3600) * 1000) /* after its end, for the next one's length */

/* The source is written first, and counts only while the flag is set. */
struct work {
	struct source_key from;
	_Atomic uint32_t is_on;
};

struct penalty {
	struct source_key from;
	uint64_t until_boot_ms; /* 0: a free place */
	uint32_t strikes, spare;
};

struct penalty_map {
	uint32_t death; /* fogd's: PENALTY_DEATH_… */
	uint32_t version;
	struct work work[PENALTY_THREADS];
	_Atomic uint32_t died; /* the number of the thread that did, and one; 0: not known */
	struct penalty penalty[PENALTY_SOURCES];
};
_Static_assert(sizeof(struct penalty_map) <= PENALTY_BYTES, "fogd makes the memory that long");

struct penalties {
	struct penalty_map *map;
	uint32_t seconds;
	uint64_t last_boot_ms; /* when the last of them ends */
	bool is_mapped;
};

static _Thread_local struct work *mine;
static _Thread_local _Atomic uint32_t *my_death;
static _Thread_local uint32_t my_number;

struct penalties *
penalties_new(void *map, uint32_t seconds)
{
	struct penalties *p = calloc(1, sizeof(*p));

	if (p)
		*p = (struct penalties){ .map = map, .seconds = seconds };
	return p;
}

/* A flag and no more (S4); then the default action, which SA_RESETHAND has put back. */
static void
on_death(int number, siginfo_t *info, void *context)
{
	bool is_own = info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());

	(void)context;
	/* The kernel's, for what this thread did, or its own abort(). One that was sent says nothing. */
	if (my_death && is_own)
		atomic_store(my_death, my_number + 1);
	raise(number);
}

void
penalties_watch(void)
{
	static const int deaths[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction act = { .sa_sigaction = on_death, .sa_flags = SA_SIGINFO | SA_RESETHAND },
			 now;

	for (size_t i = 0; i < COUNT_OF(deaths); i++) {
		/* A sanitizer's own comes first. */
		if (sigaction(deaths[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			sigaction(deaths[i], &act, NULL);
	}
}

int
penalties_open(int fd, uint32_t seconds, struct penalties **out)
{
	cleanup_fd int owned = fd;
	void *map;

	*out = NULL;
	if (fd < 0 || seconds == 0)
		return 0;
	/* Beyond the end of a shorter file every touch would be a SIGBUS. */
	if (lseek(owned, 0, SEEK_END) < PENALTY_BYTES)
		return -1;
	map = mmap(NULL, PENALTY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, owned, 0);
	if (map == MAP_FAILED)
		return -1;
	*out = penalties_new(map, seconds);
	if (*out) {
		(*out)->is_mapped = true;
		penalties_watch();
	} else
		munmap(map, PENALTY_BYTES);
	return *out ? 0 : -1;
}

void
penalties_free(struct penalties *p)
{
	if (p && p->is_mapped)
		munmap(p->map, PENALTY_BYTES);
	free(p);
}

/* --- what an earlier gatewayd has left --- */

static uint32_t
most_seconds(const struct penalties *p)
{
	return p->seconds > PENALTY_MAX_SECONDS ? p->seconds : PENALTY_MAX_SECONDS;
}

/* As source_of_address() makes them. */
static bool
is_source(const struct source_key *k)
{
	struct in6_addr a;
	struct source_key again;

	memcpy(&a, k->b, sizeof(a));
	again = source_of_address(&a);
	return source_equal(&again, k) && !IN6_IS_ADDR_UNSPECIFIED(&a);
}

static bool
is_sound(const struct penalties *p, const struct penalty *e, uint64_t now_ms)
{
	return is_source(&e->from) && e->strikes >= 1 && e->strikes <= STRIKES_MAX &&
	    e->until_boot_ms <= now_ms + most_seconds(p) * UINT64_C(1000) &&
	    e->until_boot_ms + REMEMBERED_MS > now_ms;
}

/* What is not sound, or too old to matter, goes. */
static void
tidy(struct penalties *p, uint64_t now_ms)
{
	struct penalty_map *m = p->map;

	if (m->version != MAP_VERSION)
		memset(m->penalty, 0, sizeof(m->penalty));
	m->version = MAP_VERSION;
	for (size_t i = 0; i < PENALTY_SOURCES; i++) {
		struct penalty *e = &m->penalty[i];

		if (!is_sound(p, e, now_ms))
			*e = (struct penalty){ 0 };
		else if (e->until_boot_ms > p->last_boot_ms)
			p->last_boot_ms = e->until_boot_ms;
	}
}

/* --- a penalty --- */

static struct penalty *
find(const struct penalties *p, const struct source_key *from)
{
	for (size_t i = 0; i < PENALTY_SOURCES; i++) {
		struct penalty *e = &p->map->penalty[i];

		if (e->until_boot_ms > 0 && source_equal(&e->from, from))
			return e;
	}
	return NULL;
}

/* A free place, or that of the penalty which ends first. */
static struct penalty *
place(const struct penalties *p)
{
	struct penalty *first = &p->map->penalty[0];

	for (size_t i = 1; i < PENALTY_SOURCES; i++) {
		if (p->map->penalty[i].until_boot_ms < first->until_boot_ms)
			first = &p->map->penalty[i];
	}
	*first = (struct penalty){ 0 };
	return first;
}

static void
punish(struct penalties *p, const struct source_key *from, uint64_t now_ms)
{
	struct penalty *e = find(p, from);
	uint64_t seconds;
	char text[SOURCE_TEXT_SIZE];

	if (!e)
		e = place(p);
	e->from = *from;
	if (e->strikes < STRIKES_MAX)
		e->strikes++;
	seconds = (uint64_t)p->seconds << (e->strikes - 1);
	if (seconds > most_seconds(p))
		seconds = most_seconds(p);
	e->until_boot_ms = now_ms + seconds * 1000;
	if (e->until_boot_ms > p->last_boot_ms)
		p->last_boot_ms = e->until_boot_ms;
	log_warnx("event=source_punished source=%s seconds=%llu crashes=%u",
	    source_format(from, text), (unsigned long long)seconds, e->strikes);
}

/* Others were only in the middle of their work when it died. Where nobody knows which: any of them. */
static bool
is_blamed(const struct penalty_map *m, size_t thread)
{
	uint32_t died = atomic_load(&m->died);

	return atomic_load(&m->work[thread].is_on) && is_source(&m->work[thread].from) &&
	    (died < 1 || died > PENALTY_THREADS || died == thread + 1);
}

/* Two threads may have worked for the same one. */
static bool
was_before(const struct penalty_map *m, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (is_blamed(m, i) && source_equal(&m->work[i].from, &m->work[at].from))
			return true;
	}
	return false;
}

size_t
penalties_judge(struct penalties *p, uint64_t now_boot_ms)
{
	struct penalty_map *m = p->map;
	bool crashed = m->version == MAP_VERSION && m->death == PENALTY_DEATH_CRASH;
	size_t count = 0;

	tidy(p, now_boot_ms);
	for (size_t i = 0; crashed && i < PENALTY_THREADS; i++) {
		if (!is_blamed(m, i) || was_before(m, i))
			continue;
		punish(p, &m->work[i].from, now_boot_ms);
		count++;
	}
	memset(m->work, 0, sizeof(m->work));
	atomic_store(&m->died, 0);
	m->death = 0;
	return count;
}

uint32_t
penalties_left(const struct penalties *p, const struct source_key *from, uint64_t now_boot_ms)
{
	const struct penalty *e;

	if (!p || now_boot_ms >= p->last_boot_ms)
		return 0;
	e = find(p, from);
	if (!e || e->until_boot_ms <= now_boot_ms)
		return 0;
	return (uint32_t)((e->until_boot_ms - now_boot_ms + 999) / 1000);
}

/* --- who is being worked for --- */

void
penalty_thread(struct penalties *p, unsigned number)
{
	mine = p && number < PENALTY_THREADS ? &p->map->work[number] : NULL;
	my_number = number;
	my_death = mine ? &p->map->died : NULL;
}

void
penalty_working(const struct source_key *from)
{
	if (!mine)
		return;
	atomic_store_explicit(&mine->is_on, 0, memory_order_relaxed);
	if (!from)
		return;
	/* A crash between the two would be blamed on whoever was here before. */
	atomic_signal_fence(memory_order_seq_cst);
	mine->from = *from;
	atomic_store_explicit(&mine->is_on, 1, memory_order_release);
}
