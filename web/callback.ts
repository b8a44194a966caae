/* SPDX-License-Identifier: MIT */
/* What a page and the page that a provider redirects to say to each other: through the address, storage and messages. Pure but for what
 * is passed in. */
import type { Pending } from './provider.ts';

/** The redirect URI is this at our own origin; after signing out a provider leads back to / there. */
export const CALLBACK_PATH = '/signed-in';
export const CHANNEL = 'fog.sign-in';
const PENDING_KEY = 'fog.sign-in';
const BACK_KEY = 'fog.back';
const ANSWER_HASH = '#signed-in';
export const SIGNED_OUT_HASH = '#signed-out';
/** What we have a provider say when it leads back (OIDC RP-Initiated Logout 3). */
export const SIGNED_OUT_STATE = 'signed-out';
/** Longer queries and values are none of ours. */
const QUERY_MAX_CHARS = 8192;

/** How this page was come to. */
export type Arrival =
	| { kind: 'fresh' }
	| { kind: 'signed-out' }
	/** pending null: nobody here has asked for this answer. */
	| { kind: 'answer'; answer: URLSearchParams; pending: Pending | null };

/** Between the windows of one browser. */
export type ChannelMessage = { type: 'signed-out' } | { type: 'answer'; query: string };

/** Only for the time of a redirect: this page's memory does not survive one. back: the hash to come back to, which holds ids alone. */
export function keepPending(storage: Storage, { state, nonce, verifier }: Pending, back: string): void {
	storage.setItem(PENDING_KEY, JSON.stringify({ state, nonce, verifier }));
	storage.setItem(BACK_KEY, back);
}

export function takePending(storage: Storage): { pending: Pending | null; back: string } {
	const text = storage.getItem(PENDING_KEY);
	const back = storage.getItem(BACK_KEY) ?? '';

	storage.removeItem(PENDING_KEY);
	storage.removeItem(BACK_KEY);
	try {
		const { state, nonce, verifier } = JSON.parse(text ?? '{}') as Record<string, unknown>;
		if (typeof state === 'string' && typeof nonce === 'string' && typeof verifier === 'string')
			return { pending: { state, nonce, verifier }, back };
	} catch { /* not ours */ }
	return { pending: null, back };
}

/** The arrival that an address tells of. Whatever was kept for a redirect is used up by this, also by none. */
export function readArrival({ search, hash }: { search: string; hash: string }, storage: Storage): { arrival: Arrival; back: string } {
	const { pending, back } = takePending(storage);

	if (hash === SIGNED_OUT_HASH || new URLSearchParams(search).get('state') === SIGNED_OUT_STATE)
		return { arrival: { kind: 'signed-out' }, back: '' };
	if (!hash.startsWith(`${ANSWER_HASH}?`) || hash.length > QUERY_MAX_CHARS)
		return { arrival: { kind: 'fresh' }, back: hash };
	return { arrival: { kind: 'answer', answer: new URLSearchParams(hash.slice(ANSWER_HASH.length + 1)), pending }, back };
}

/** What the callback page does with the query that it was called with. */
export type Relay =
	/** We are the hidden frame of a silent round. */
	| { to: 'parent'; query: string }
	/** We are where a page has sent itself. */
	| { to: 'page'; address: string }
	/** We are a window of our own, beside the page that waits. */
	| { to: 'channel'; message: ChannelMessage };

export function relayOf(query: string, isFramed: boolean, storage: Storage): Relay {
	const parameters = new URLSearchParams(query.length > QUERY_MAX_CHARS ? '' : query);
	const isAnswer = parameters.has('code') || parameters.has('error');

	if (isFramed)
		return { to: 'parent', query };
	if (!isAnswer)
		return { to: 'page', address: `/${SIGNED_OUT_HASH}` };
	if (keptState(storage) === parameters.get('state'))
		return { to: 'page', address: `/${ANSWER_HASH}?${parameters}` };
	return { to: 'channel', message: { type: 'answer', query: `?${parameters}` } };
}

function keptState(storage: Storage): string | null {
	try {
		return String((JSON.parse(storage.getItem(PENDING_KEY) ?? '') as { state?: unknown }).state);
	} catch {
		return '';
	}
}
