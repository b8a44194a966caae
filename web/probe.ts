/* SPDX-License-Identifier: MIT */
/* One probe of a node, in the browser: GET /healthz, timed. */
import type { Ports } from './latency.ts';

/** An answer that is longer is none of ours. */
const BODY_MAX_BYTES = 4096;

/** The ports of latency.ts in a browser. */
export const BROWSER: Ports = {
	now: () => Date.now(),
	probe,
	wait: (ms, signal) => new Promise((resolve) => {
		const timer = setTimeout(resolve, ms);
		signal.addEventListener('abort', () => {
			clearTimeout(timer);
			resolve();
		}, { once: true });
	}),
};

async function probe(origin: string, signal: AbortSignal): Promise<number> {
	const url = `${origin}/healthz`;
	const begun = performance.now();
	const response = await fetch(url, { mode: 'cors', credentials: 'omit', cache: 'no-store', redirect: 'error', signal });
	const took = performance.now() - begun;

	if (!response.ok)
		throw new Error(`the node answered ${response.status}`);
	await drain(response); /* else the next probe has no connection to go on */
	return requestTime(url, begun) ?? took;
}

async function drain(response: Response): Promise<void> {
	const reader = response.body?.getReader();
	let length = 0;

	for (let part; reader && !(part = await reader.read()).done; ) {
		length += part.value.length;
		if (length > BODY_MAX_BYTES) {
			await reader.cancel();
			throw new Error('the node answered too much');
		}
	}
}

/* Without what this page itself was busy with meanwhile, where the browser tells. All of the request, because a browser says no more of it where
 * a node is another origin: this node and the others are measured by the same length. */
function requestTime(url: string, begun: number): number | null {
	const entry = performance.getEntriesByName(url, 'resource').filter(({ startTime }) => startTime >= begun).at(-1);

	return entry && entry.duration > 0 ? entry.duration : null;
}

/** Room for the next ones: a browser keeps 250 timings and then no more. */
export function forgetTimings(): void {
	performance.clearResourceTimings();
}
