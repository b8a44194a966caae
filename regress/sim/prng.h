/* SPDX-License-Identifier: MIT */
/*
 * Made-up chance: the same seed and stream give the same numbers on every machine (xoshiro256**,
 * seeded by splitmix64). All in integers, so that no compiler rounds a decision differently.
 */
#ifndef FOG_SIM_PRNG_H
#define FOG_SIM_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
	uint64_t s[4];
};

#define PER_MILLION 1000000u

void prng_init(struct prng *r, uint64_t seed, uint64_t stream);
uint64_t prng_next(struct prng *r);
uint32_t prng_below(struct prng *r, uint32_t n);                   /* 0..n-1; 0 for n 0 */
uint32_t prng_between(struct prng *r, uint32_t min, uint32_t max); /* both included */
bool prng_chance(struct prng *r, uint32_t per_million);
/* Exponential with that mean, nearly: the logarithm is made of straight pieces. */
uint64_t prng_exponential(struct prng *r, uint64_t mean);
uint64_t prng_mix(uint64_t v); /* scatters; the same for the same v */

#endif
