/* SPDX-License-Identifier: MIT */
/* The HTTP API (v1), as far as the page needs it. */
import type { Identity } from './identity.ts';
import { Problem } from './problem.ts';
import type { Role } from './protocol.ts';

export { Problem };

const REQUEST_TIMEOUT_MS = 15_000;
const TEXT_MAX_CHARS = 400;
/** Of requests that nobody takes back. */
const NEVER = new AbortController().signal;

export interface Profile {
	name: string;
	max_ttl_seconds: number;
	max_sessions: number;
}

export interface Grant {
	ws_url: string;
	token: string;
	expires_at: string;
}

export interface Session {
	session_id: string;
	status: string;
	profile?: string;
	placement?: unknown;
	placement_reason?: unknown;
	created_at?: string;
	expires_at?: string;
	exit?: { code: number; signal?: number };
	end_reason?: string;
}

export interface NewSession {
	session_id: string;
	attach: Grant;
	placement?: unknown;
	placement_reason?: unknown;
}

/** Whether a session of this status can be attached to. */
export function isLive({ status }: Session): boolean {
	return ['starting', 'running', 'detached'].includes(status);
}

export class Api {
	readonly identity: Identity;
	#ready: Promise<Profile[]> | null = null;

	constructor(identity: Identity) {
		this.identity = identity;
	}

	/** Signs in, once for all tabs, and says what this person may ask for. After a failure the next call tries again. */
	ready(): Promise<Profile[]> {
		this.#ready ??= this.#begin().catch((error) => {
			this.#ready = null;
			throw error;
		});
		return this.#ready;
	}

	/** Somebody else may be signed in from now on. */
	forget(): void {
		this.#ready = null;
	}

	async #begin(): Promise<Profile[]> {
		await this.identity.begin();
		return (await this.#call<{ profiles: Profile[] }>('GET', '/v1/profiles')).profiles;
	}

	/** A repeat with the same key gives the same session. */
	createSession(profile: Profile, key: string, signal: AbortSignal): Promise<NewSession> {
		const body = { profile: profile.name, ttl_seconds: profile.max_ttl_seconds };

		return this.#call('POST', '/v1/sessions', signal, body, { 'Idempotency-Key': key });
	}

	async sessions(signal: AbortSignal): Promise<Session[]> {
		return (await this.#call<{ sessions: Session[] }>('GET', '/v1/sessions', signal)).sessions;
	}

	session(id: string, signal: AbortSignal): Promise<Session> {
		return this.#call('GET', `/v1/sessions/${encodeURIComponent(id)}`, signal);
	}

	endSession(id: string): Promise<unknown> {
		return this.#call('DELETE', `/v1/sessions/${encodeURIComponent(id)}`);
	}

	/** As long a life as the profile allows, and the idle clock from the beginning. */
	extendSession(id: string): Promise<Session> {
		return this.#call('PATCH', `/v1/sessions/${encodeURIComponent(id)}`, NEVER, {});
	}

	/** A new attach token; the old one was good for one use. */
	attach(id: string, role: Role, signal: AbortSignal): Promise<Grant> {
		return this.#call('POST', `/v1/sessions/${encodeURIComponent(id)}/attach`, signal, { role });
	}

	async #call<T>(method: string, path: string, signal = NEVER, body?: object,
		headers: Record<string, string> = {}): Promise<T> {
		if (!this.identity.isSignedIn)
			throw new Problem(401, 'Signed out', this.identity.why);
		const response = await reach(this.identity.send({
			method,
			url: new URL(path, location.origin),
			headers: { Accept: 'application/json', ...(body && { 'Content-Type': 'application/json' }), ...headers },
			body: body ? JSON.stringify(body) : null,
			signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
		}));

		return jsonOf<T>(response);
	}
}

/** What anybody may ask for. date: when the service said it, by its clock. */
export async function fetchJson<T>(path: string): Promise<{ value: T; date: number }> {
	const response = await reach(fetch(path, {
		headers: { Accept: 'application/json' },
		credentials: 'omit',
		cache: 'no-store',
		redirect: 'error',
		signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
	}));
	const date = Date.parse(response.headers.get('Date') ?? '');

	return { value: await jsonOf<T>(response), date: Number.isNaN(date) ? Date.now() : date };
}

function reach(request: Promise<Response>): Promise<Response> {
	return request.catch((error) => {
		throw error instanceof Problem ? error : new Problem(0, 'Cannot reach the service');
	});
}

async function jsonOf<T>(response: Response): Promise<T> {
	if (!response.ok)
		throw await problemFrom(response);
	return await response.json().catch(() => {
		throw new Problem(0, 'The answer of the service was cut short');
	}) as T;
}

async function problemFrom(response: Response): Promise<Problem> {
	const members: Record<string, unknown> = await response.json().catch(() => ({})) ?? {};
	const seconds = Number(response.headers.get('Retry-After') ?? '0');

	return new Problem(
		response.status,
		text(members.title) || `The service answered ${response.status}`,
		text(members.detail),
		text(members.rule_id),
		Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : 0,
		text(members.code),
	);
}

function text(value: unknown): string {
	return typeof value === 'string' ? value.slice(0, TEXT_MAX_CHARS) : '';
}

/** A random Idempotency-Key. crypto.randomUUID() is missing on pages served over plain http. */
export function newIdempotencyKey(): string {
	const random = crypto.getRandomValues(new Uint8Array(16));

	return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * The address to attach to. `outOffset` asks for the output from that byte on, null for all that is still there. The names of loopback are one
 * origin to the service but several to a browser's policy, so the page's own name is used.
 */
export function attachUrl(wsUrl: string, outOffset: number | null, page: { protocol: string; host: string }): string {
	const url = new URL(wsUrl);
	const here = new URL(`${page.protocol}//${page.host}`);

	if (url.protocol !== 'wss:' && !(url.protocol === 'ws:' && page.protocol === 'http:'))
		throw new Problem(502, 'The service named an address that is not safe to use');
	if (LOOPBACK.has(url.hostname) && LOOPBACK.has(here.hostname) && url.port === here.port)
		url.hostname = here.hostname;
	if (outOffset !== null)
		url.searchParams.set('out', String(outOffset));
	return url.href;
}
