/* SPDX-License-Identifier: MIT */
/* The HTTP API (v1), as far as the page needs it. The bearer token lives in this object and nowhere else. */
import type { Role } from './protocol.ts';

const REQUEST_TIMEOUT_MS = 15_000;
const TEXT_MAX_CHARS = 400;
/** Of requests that nobody takes back. */
const NEVER = new AbortController().signal;

export interface Config {
	auth: { mode: string; token?: string };
}

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

/** An answer that is not a success (RFC 9457), or none at all (status 0). */
export class Problem extends Error {
	override name = 'Problem';

	constructor(
		readonly status: number,
		readonly title: string,
		readonly detail = '',
		readonly ruleId = '',
		readonly retryAfterMs = 0,
	) {
		super(title);
	}

	/** Worth trying again without asking anybody: no answer, too many requests, or a part that restarts. */
	get isTransient(): boolean {
		return [0, 429, 502, 503, 504].includes(this.status);
	}
}

/** Whether a session of this status can be attached to. */
export function isLive({ status }: Session): boolean {
	return ['starting', 'running', 'detached'].includes(status);
}

export class Api {
	#token = '';
	#ready: Promise<Profile[]> | null = null;

	/** Signs in, once for all tabs, and says what this person may ask for. After a failure the next call tries again. */
	ready(): Promise<Profile[]> {
		this.#ready ??= this.#begin().catch((error) => {
			this.#ready = null;
			throw error;
		});
		return this.#ready;
	}

	async #begin(): Promise<Profile[]> {
		await this.#signIn();
		return (await this.#call<{ profiles: Profile[] }>('GET', '/v1/profiles')).profiles;
	}

	/* Only the development mode needs nothing from a person. */
	async #signIn(): Promise<void> {
		const { auth } = await this.#call<Config>('GET', '/v1/config');

		if (auth?.mode !== 'dev')
			throw new Problem(501, 'Cannot sign in', 'This page does not know the way this service signs people in.');
		this.#token = auth.token ?? 'dev';
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
		const init: RequestInit = {
			method,
			headers: { Accept: 'application/json', ...headers },
			credentials: 'omit',
			cache: 'no-store',
			redirect: 'error',
			signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
		};
		const sent = init.headers as Record<string, string>;

		if (this.#token)
			sent.Authorization = `Bearer ${this.#token}`;
		if (body) {
			sent['Content-Type'] = 'application/json';
			init.body = JSON.stringify(body);
		}
		const response = await fetch(path, init).catch(() => {
			throw new Problem(0, 'Cannot reach the service');
		});
		if (!response.ok)
			throw await problemFrom(response);
		return await response.json().catch(() => {
			throw new Problem(0, 'The answer of the service was cut short');
		}) as T;
	}
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
