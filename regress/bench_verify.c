/* SPDX-License-Identifier: MIT */
/*
 * bench_verify [--openssl] [--rounds N] [--count N]: access tokens verified per second, as a ratio to
 * nothing but EVP_PKEY_verify of the same hash and signature, in one run and interleaved; with
 * --openssl also to `openssl speed`; and what the memory grows by in --count verifications.
 * links: authd/token.c authd/jws.c authd/jwk.c authd/jwkread.c authd/jwa.c authd/claims.c
 * links: authd/claimread.c authd/tokenerr.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authd/token.h"
#include "authd/tokenerr.h"
#include "common/cleanup.h"
#include "common/mono.h"
#include "regress/unit/jose.h"

#define ROUNDS_MAX 100
#define SLICE_MS 500
#define BATCH 64 /* between two looks at the clock */
#define BOUND 0.6
#define ISSUER "https://idp.example.org/realms/a"

/* Of the size that providers write. */
#define CLAIMS \
	"{\"iss\":\"" ISSUER "\",\"sub\":\"5f1c8c4e-2b34-4f0e-9a51-0d3f0c1b7a11\",\"aud\":" \
	"[\"fog\",\"account\"],\"exp\":%lld,\"iat\":%lld,\"azp\":\"fog-page\",\"jti\":" \
	"\"f8a7f4c2-7f7e-4a50-8b0a-3e9f1d1f2b7e\",\"sid\":\"0c0b6b8e-7f0d-4d6c-9a8d-0a1b2c3d4e5f\"," \
	"\"scope\":\"openid profile email\",\"realm_access\":{\"roles\":[\"developers\",\"staff\"]}}"

struct contender {
	const char *name, *kid, *speed; /* speed: the label of `openssl speed -mr` */
	enum jwa_alg alg;
	EVP_PKEY *key;
	EVP_PKEY_CTX *ctx;
	char token[4096];
	unsigned char digest[32], signature[512];
	size_t signature_len;
	double ours[ROUNDS_MAX], bare[ROUNDS_MAX], speed_rate[ROUNDS_MAX];
};

static struct contender contenders[] = {
	{ .name = "RS256", .kid = "r", .speed = "+F2:", .alg = JWA_RS256 },
	{ .name = "ES256", .kid = "e", .speed = "+F4:", .alg = JWA_ES256 },
};

static const struct claims_policy policy = {
	.issuer = ISSUER,
	.audience = "fog",
	.client_id = "fog-page",
	.groups_path = "realm_access.roles",
	.skew_s = 60,
	.max_life_s = 3600,
};

static struct jwk_set *keys;

/* ---- preparation ------------------------------------------------------------------------------ */

static void
make_token(struct contender *c)
{
	static char token[JOSE_TOKEN_SIZE];
	char header[128], claims[1024];
	long long now = (long long)wall_s();

	snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", c->name,
	    c->kid);
	snprintf(claims, sizeof(claims), CLAIMS, now + 1800, now);
	jose_make(token, header, claims, c->key, c->alg);
	if (strlen(token) >= sizeof(c->token))
		errx(1, "the token is too long");
	memcpy(c->token, token, strlen(token) + 1);
}

/* The same text and key for OpenSSL alone, as far as it can be prepared. */
static void
make_bare(struct contender *c)
{
	char input[sizeof(c->token)];
	size_t len = (size_t)(strrchr(c->token, '.') - c->token);

	memcpy(input, c->token, len);
	input[len] = '\0';
	c->signature_len = jose_sign_der(c->key, "SHA256", false, input, c->signature,
	    sizeof(c->signature));
	if (EVP_Digest(input, len, c->digest, NULL, EVP_sha256(), NULL) != 1)
		errx(1, "no SHA-256");
	c->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, c->key, NULL);
	if (c->ctx == NULL || EVP_PKEY_verify_init(c->ctx) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(c->ctx, EVP_sha256()) != 1)
		errx(1, "no context for %s", c->name);
}

static void
add_key(char *set, size_t size, const struct contender *c)
{
	char public[JOSE_JWK_SIZE];
	size_t len = strlen(set);

	jose_public(c->key, public);
	snprintf(set + len, size - len, "%s{\"kid\":\"%s\",%s}", len > 0 ? "," : "{\"keys\":[",
	    c->kid, public);
}

static void
prepare(void)
{
	char set[3 * JOSE_JWK_SIZE] = "";

	if (token_init() != 0)
		errx(1, "token_init");
	for (size_t i = 0; i < COUNT_OF(contenders); i++) {
		struct contender *c = &contenders[i];

		c->key = c->alg == JWA_RS256 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
		if (c->key == NULL)
			errx(1, "no key for %s", c->name);
		make_token(c);
		make_bare(c);
		add_key(set, sizeof(set), c);
	}
	strncat(set, "]}", sizeof(set) - strlen(set) - 1);
	if (jwk_set_parse(set, strlen(set), JWA_ALL, &keys, NULL) != 0)
		errx(1, "jwk_set_parse");
}

/* ---- measuring -------------------------------------------------------------------------------- */

static void
check_token(struct contender *c)
{
	struct claims claims;
	int error = token_check_access(c->token, strlen(c->token), keys, &policy, wall_s(),
	    &claims);

	if (error != 0)
		errx(1, "%s: %s", c->name, token_error_code(error));
}

static void
check_bare(struct contender *c)
{
	if (EVP_PKEY_verify(c->ctx, c->signature, c->signature_len, c->digest, sizeof(c->digest)) !=
	    1)
		errx(1, "%s: EVP_PKEY_verify", c->name);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Per second of CPU time, as openssl speed counts. */
static double
rate(struct contender *c, void (*check)(struct contender *))
{
	double start = seconds(), took = 0;
	unsigned long n = 0;

	while (took < SLICE_MS / 1e3) {
		for (unsigned int i = 0; i < BATCH; i++)
			check(c);
		n += BATCH;
		took = seconds() - start;
	}
	return (double)n / took;
}

/* Starts `openssl speed`; returns where its output can be read. */
static FILE *
start_speed(pid_t *pid)
{
	static const char *const args[] = { "openssl", "speed", "-mr", "-seconds", "1", "rsa2048",
		"ecdsap256", NULL };
	posix_spawn_file_actions_t actions;
	int ends[2];
	FILE *out;

	if (pipe2(ends, O_CLOEXEC) != 0)
		err(1, "pipe2");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	errno = posix_spawnp(pid, args[0], &actions, NULL, (char *const *)args, environ);
	if (errno != 0)
		err(1, "openssl");
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	out = fdopen(ends[0], "r");
	if (out == NULL)
		err(1, "fdopen");
	return out;
}

/* One round of `openssl speed`; lines are +F2:index:bits:sign per second:verify per second. */
static void
run_speed(size_t round)
{
	pid_t pid;
	FILE *out = start_speed(&pid);
	char line[256];
	int status;

	while (fgets(line, sizeof(line), out) != NULL) {
		for (size_t i = 0; i < COUNT_OF(contenders); i++) {
			struct contender *c = &contenders[i];

			if (strncmp(line, c->speed, strlen(c->speed)) == 0)
				c->speed_rate[round] = strtod(strrchr(line, ':') + 1, NULL);
		}
	}
	fclose(out);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "openssl speed failed");
	for (size_t i = 0; i < COUNT_OF(contenders); i++) {
		if (!(contenders[i].speed_rate[round] > 0))
			errx(1, "openssl speed says nothing of %s", contenders[i].name);
	}
}

static void
run_round(size_t round, bool with_speed)
{
	for (size_t i = 0; i < COUNT_OF(contenders); i++) {
		struct contender *c = &contenders[i];

		c->ours[round] = rate(c, check_token);
		c->bare[round] = rate(c, check_bare);
	}
	if (with_speed)
		run_speed(round);
}

static double
pss_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[128];
	double kib = -1;

	if (f == NULL)
		err(1, "/proc/self/smaps_rollup");
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Pss:", 4) == 0)
			kib = strtod(line + 4, NULL);
	}
	fclose(f);
	return kib;
}

/* ---- the report ------------------------------------------------------------------------------- */

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(const double *values, size_t n)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), by_size);
	return n % 2 != 0 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double
median_ratio(const double *of, const double *by, size_t n)
{
	double ratios[ROUNDS_MAX];

	for (size_t i = 0; i < n; i++)
		ratios[i] = of[i] / by[i];
	return median(ratios, n);
}

/* Whether the bound holds; without openssl speed, that against the bare call. */
static bool
report(const struct contender *c, size_t rounds, bool with_speed)
{
	double ratio = median_ratio(c->ours, c->bare, rounds);

	printf("%s  %8.0f/s  EVP_PKEY_verify %8.0f/s  ratio %.2f", c->name, median(c->ours, rounds),
	    median(c->bare, rounds), ratio);
	if (with_speed) {
		ratio = median_ratio(c->ours, c->speed_rate, rounds);
		printf("  openssl speed %8.0f/s  ratio %.2f", median(c->speed_rate, rounds), ratio);
	}
	printf("  (bound %.1f: %s)\n", BOUND, ratio >= BOUND ? "met" : "NOT MET");
	return ratio >= BOUND;
}

static void
report_growth(unsigned long count)
{
	double before = pss_kib();

	for (unsigned long i = 0; i < count; i++)
		check_token(&contenders[i % COUNT_OF(contenders)]);
	printf("PSS %.0f KiB, after %lu verifications %+.0f KiB\n", before, count,
	    pss_kib() - before);
}

/* openssl speed inherits it. */
static void
stay_on_one_cpu(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu >= 0 ? (size_t)cpu : 0, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		warn("sched_setaffinity");
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "openssl", no_argument, NULL, 'o' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'c' },
		{ 0 },
	};
	unsigned long rounds = 5, count = 1000000;
	bool with_speed = false, is_met = true;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'o')
			with_speed = true;
		else if (c == 'r')
			rounds = strtoul(optarg, NULL, 10);
		else if (c == 'c')
			count = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (rounds < 1 || rounds > ROUNDS_MAX)
		errx(2, "--rounds: 1 to %d", ROUNDS_MAX);
	stay_on_one_cpu();
	prepare();
	for (size_t i = 0; i < rounds; i++)
		run_round(i, with_speed);
	for (size_t i = 0; i < COUNT_OF(contenders); i++)
		is_met &= report(&contenders[i], rounds, with_speed);
	report_growth(count);
	return is_met ? 0 : 3;
}
