/* SPDX-License-Identifier: MIT */
/* How long to wait before the next try. Pure. */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * Milliseconds before try number `attempt` (from 0): 0.5, 1, 2, 4, 8 and then 15 s, less up to a quarter so that the
 * people of a restarted gateway do not all come back at once. A server's own wish (Retry-After) is the least, up to 15 s.
 */
export function backoffMs(attempt: number, random: () => number = Math.random, retryAfterMs = 0): number {
	const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
	const jittered = Math.round(full * (1 - 0.25 * random()));

	return Math.max(jittered, Math.min(retryAfterMs, LONGEST_MS));
}
