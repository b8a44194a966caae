/* SPDX-License-Identifier: MIT */
/* Chance: see prng.h. */
#include "regress/sim/prng.h"

uint64_t
prng_mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
	return v ^ (v >> 31);
}

void
prng_init(struct prng *r, uint64_t seed, uint64_t stream)
{
	uint64_t at = prng_mix(seed) ^ prng_mix(stream + UINT64_C(0x632be59bd9b4e019));

	for (int i = 0; i < 4; i++)
		r->s[i] = prng_mix(at += UINT64_C(0x9e3779b97f4a7c15));
}

static uint64_t
rotate(uint64_t v, int by)
{
	return (v << by) | (v >> (64 - by));
}

uint64_t
prng_next(struct prng *r)
{
	uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint32_t
prng_below(struct prng *r, uint32_t n)
{
	return (uint32_t)(((prng_next(r) >> 32) * n) >> 32);
}

uint32_t
prng_between(struct prng *r, uint32_t min, uint32_t max)
{
	return min + prng_below(r, max - min + 1);
}

bool
prng_chance(struct prng *r, uint32_t per_million)
{
	return prng_below(r, PER_MILLION) < per_million;
}

/*
 * -log2(u) is the number of leading zeros of u and what the bits after its first one say, here in
 * straight pieces: 3/2 in the mean, so two thirds of it.
 */
uint64_t
prng_exponential(struct prng *r, uint64_t mean)
{
	uint64_t u = prng_next(r) | 1;
	unsigned zeros = (unsigned)__builtin_clzll(u);
	uint64_t rest = zeros == 63 ? 0 : (u << (zeros + 1)) >> 48;
	uint64_t bits_16 = ((uint64_t)(zeros + 1) << 16) - rest;

	return (mean * (bits_16 * 2 / 3)) >> 16;
}
