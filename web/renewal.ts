/* SPDX-License-Identifier: MIT */
/* When to renew an access token. Pure. */

/** At the latest so long before its end, or a quarter of its life where that is less. */
const LEAD_MS = 60_000;
/** The windows of many people who came at one moment do not come again at one moment. */
const JITTER_MS = 30_000;
/** However short a token's life is said to be: the provider is not asked all the time. */
const SHORTEST_MS = 1000;
/** A timer is asked no more than this (setTimeout takes 31 bits). */
export const LONGEST_WAIT_MS = 3_600_000;

/**
 * Milliseconds from `now` until a token that came at `now` and ends at `expiresAt` is renewed: a quarter of its life, at most a minute, before
 * its end, less up to a tenth of its life, at most half a minute; not before a second has gone. Null: it has no known end.
 */
export function renewalDelayMs(expiresAt: number | null, now: number, random: () => number = Math.random): number | null {
	if (expiresAt === null)
		return null;
	const life = Math.max(0, expiresAt - now);

	return Math.max(SHORTEST_MS, Math.round(life - Math.min(LEAD_MS, life / 4) - random() * Math.min(JITTER_MS, life / 10)));
}
