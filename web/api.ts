/* SPDX-License-Identifier: MIT */
/* The HTTP API (v1), as far as the page needs it. */
import type { Identity } from './identity.ts';
import { isName, nodesFrom, originOf, repeatAt, type FogNode } from './nodes.ts';
import { Problem } from './problem.ts';
import type { Role } from './protocol.ts';
import type { ApiRequest } from './tokens.ts';

export { Problem };

const REQUEST_TIMEOUT_MS = 15_000;
const TEXT_MAX_CHARS = 400;
/** As many nodes that did not answer are told. */
const UNREACHABLE_MAX = 16;
const NODES_PATH = '/v1/nodes';
/** Of another node's list: it does not hold up those of the others for longer, nor has it more rows. */
const NODE_TIMEOUT_MS = 2000;
const ROWS_MAX = 256;
const SESSION_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
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

/** What a session is asked for with. A repeat has to say the same. */
export interface Wish {
	profile: Profile;
	/** Name of a node; '': none. */
	hint: string;
	latencyMs: Record<string, number>;
}

/** Whether a session of this status can be attached to. */
export function isLive({ status }: Session): boolean {
	return ['starting', 'running', 'detached'].includes(status);
}

export class Api {
	readonly identity: Identity;
	#ready: Promise<Profile[]> | null = null;
	#nodes: FogNode[] = [];

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
	createSession({ profile, hint, latencyMs }: Wish, key: string, signal: AbortSignal): Promise<NewSession> {
		const body = {
			profile: profile.name,
			ttl_seconds: profile.max_ttl_seconds,
			...(hint && { placement_hint: hint }),
			...(Object.keys(latencyMs).length > 0 && { latency_ms: latencyMs }),
		};

		return this.#call('POST', '/v1/sessions', signal, body, { 'Idempotency-Key': key });
	}

	/** Of all nodes. unreachable: names of those that did not say what they have. */
	async sessions(signal: AbortSignal): Promise<{ sessions: Session[]; unreachable: string[] }> {
		const answer = await this.#call<{ sessions: Session[]; unreachable_nodes?: unknown }>('GET', '/v1/sessions', signal);
		const names = Array.isArray(answer.unreachable_nodes) ? answer.unreachable_nodes : [];
		const unreachable = names.filter(isName).slice(0, UNREACHABLE_MAX);

		return this.identity.isBound ? this.#gather(answer.sessions, unreachable, signal) : { sessions: answer.sessions, unreachable };
	}

	/* The service cannot show the others a token that is bound to this page's key: the page asks them itself, all at the same time. */
	async #gather(sessions: Session[], names: string[], signal: AbortSignal): Promise<{ sessions: Session[]; unreachable: string[] }> {
		const nodes = names.every((name) => this.#nodes.some((node) => node.name === name)) ? this.#nodes : await this.nodes(signal);
		const unreachable: string[] = [];
		const known = new Map(sessions.map((session) => [session.session_id, session]));

		await Promise.all(names.map(async (name) => {
			const node = nodes.find((other) => other.name === name && !other.self);
			const theirs = node ? await this.#sessionsOf(node, signal).catch(() => null) : null;
			if (!theirs)
				unreachable.push(name);
			for (const session of theirs ?? [])
				if (!known.has(session.session_id))
					known.set(session.session_id, session);
		}));
		return { sessions: [...known.values()], unreachable };
	}

	/* Null: the node has no address that is safe to use. */
	async #sessionsOf(node: FogNode, signal: AbortSignal): Promise<Session[] | null> {
		const origin = originOf(node, location.origin);

		if (!origin)
			return null;
		const answer = await jsonOf<{ sessions?: unknown }>(await this.identity.sendElsewhere({
			method: 'GET',
			url: new URL('/v1/sessions', origin),
			headers: { Accept: 'application/json', 'Fog-Location': 'body' },
			body: null,
			signal: AbortSignal.any([signal, AbortSignal.timeout(NODE_TIMEOUT_MS)]),
		}));
		return Array.isArray(answer.sessions) ? answer.sessions.filter((row) => isRowOf(node, row)).slice(0, ROWS_MAX) : null;
	}

	/** Asks which nodes there are. */
	async nodes(signal = NEVER): Promise<FogNode[]> {
		this.#nodes = nodesFrom((await this.#call<{ nodes?: unknown }>('GET', NODES_PATH, signal)).nodes);
		return this.#nodes;
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
		const request = {
			method,
			url: new URL(path, location.origin),
			headers: {
				Accept: 'application/json',
				...(body && { 'Content-Type': 'application/json' }),
				...(this.identity.isBound && { 'Fog-Location': 'body' }),
				...headers,
			},
			body: body ? JSON.stringify(body) : null,
			signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
		};
		const response = await reach(this.identity.send(request));

		if (response.status === 409 && this.identity.isBound && path !== NODES_PATH)
			return this.#repeatElsewhere<T>(request, response);
		return jsonOf<T>(response);
	}

	/* A token that is bound to this page's key cannot be passed on by the service: the page asks the session's node itself, once. */
	async #repeatElsewhere<T>(request: ApiRequest, response: Response): Promise<T> {
		const members: Record<string, unknown> = await response.clone().json().catch(() => ({})) ?? {};

		if (members.code !== 'on_other_node')
			throw await problemFrom(response);
		const url = repeatAt(members.location, request.url, this.#nodes) ?? repeatAt(members.location, request.url, await this.nodes());
		if (!url)
			throw unsafeAddress();
		const value = await jsonOf<T>(await reach(this.identity.sendElsewhere({ ...request, url })));
		demandOwnAddress(value, url);
		return value;
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

/* Each node speaks for itself. */
function isRowOf({ name }: FogNode, row: unknown): row is Session {
	const { session_id: id, status, placement } = (row ?? {}) as Partial<Session>;

	return typeof id === 'string' && SESSION_ID.test(id) && typeof status === 'string' &&
		(placement as { node?: unknown } | null | undefined)?.node === name;
}

function unsafeAddress(): Problem {
	return new Problem(502, 'The service named an address that is not safe to use');
}

/* A node's word holds for itself: what it gives is attached to at itself. */
function demandOwnAddress(value: unknown, { host }: URL): void {
	const { attach, ws_url: own } = (value ?? {}) as Partial<NewSession & Grant>;
	const address = attach?.ws_url ?? own;

	if (address !== undefined && (!URL.canParse(address) || new URL(address).host !== host || new URL(address).protocol !== 'wss:'))
		throw unsafeAddress();
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
 * The address to attach to, which may be on another node: the page's policy (connect-src) bounds where. `outOffset` asks for the output from
 * that byte on, null for all that is still there. The names of loopback are one origin to the service but several to a browser's policy, so the
 * page's own name is used.
 */
export function attachUrl(wsUrl: string, outOffset: number | null, page: { protocol: string; host: string }): string {
	const url = new URL(wsUrl);
	const here = new URL(`${page.protocol}//${page.host}`);

	if (url.protocol !== 'wss:' && !(url.protocol === 'ws:' && page.protocol === 'http:'))
		throw unsafeAddress();
	if (LOOPBACK.has(url.hostname) && LOOPBACK.has(here.hostname) && url.port === here.port)
		url.hostname = here.hostname;
	if (outOffset !== null)
		url.searchParams.set('out', String(outOffset));
	return url.href;
}
