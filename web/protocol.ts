/* SPDX-License-Identifier: MIT */
/* fog.pty.v1, the binary protocol of an attached terminal: one type byte, then the payload.
 * Integers are big-endian. Pure: bytes in, values out. */

export const SUBPROTOCOL = 'fog.pty.v1';
export const TOKEN_SUBPROTOCOL_PREFIX = 'fog.token.';

/** Largest input payload of one frame, so that a long paste stays interruptible. */
export const INPUT_FRAME_BYTES = 4096;
/** Longest JSON payload (hello, exit, status) that is believed. */
const JSON_MAX_BYTES = 16384;
/** Longest reason or detail that is shown. */
const TEXT_MAX_CHARS = 300;
const PROBE_BYTES = 8;
/** Longest side of a terminal, in cells; the service refuses more. */
const SIZE_MAX = 1000;

export type Role = 'driver' | 'viewer';

/** The size of a terminal, in cells. */
export interface Size {
	cols: number;
	rows: number;
}

export interface Hello {
	role: Role;
	/** What the session's programs believe it to be. */
	size: Size;
	/** Offset of the first output byte that follows. */
	outFrom: number;
	/** Output bytes that were asked for and are no longer in the ring. */
	outLost: number;
	/** The end of the output when this was said: what comes before it is replay. */
	outNext: number;
	/** The next input offset that the holder expects. */
	inNext: number;
	/** RFC 3339, where the service says it. */
	expiresAt: string | null;
	/** Until when this person may stay attached without a renewal; null: without an end. */
	identityUntil: string | null;
}

export interface Exit {
	code: number;
	/** Set when a signal ended the shell; code is then 128 + signal. */
	signal: number | null;
	/** Why the session ended ('exit', 'ttl', 'request', …), where the service says it. */
	reason: string;
}

export interface Status {
	/** Lower case, words joined by '_'. */
	state: string;
	reason: string;
	detail: string;
	/** The time that the state speaks of, RFC 3339; null: none. */
	expiresAt: string | null;
}

export type ServerFrame =
	| { type: 'hello'; hello: Hello }
	| { type: 'output'; bytes: Uint8Array }
	| { type: 'exit'; exit: Exit }
	| { type: 'status'; status: Status }
	| { type: 'probe'; payload: Uint8Array }
	| { type: 'answer'; payload: Uint8Array };

export class ProtocolError extends Error {
	override name = 'ProtocolError';
}

type Members = Record<string, unknown>;

const DECODERS: Record<string, (payload: Uint8Array) => ServerFrame> = {
	h: (payload) => ({ type: 'hello', hello: helloFrom(members(payload)) }),
	o: (payload) => ({ type: 'output', bytes: payload }),
	x: (payload) => ({ type: 'exit', exit: exitFrom(members(payload)) }),
	s: (payload) => ({ type: 'status', status: statusFrom(members(payload)) }),
	p: (payload) => ({ type: 'probe', payload: exactly(payload, PROBE_BYTES) }),
	q: (payload) => ({ type: 'answer', payload: exactly(payload, PROBE_BYTES) }),
};

/** Decodes one binary message. Throws ProtocolError for anything that is not one of the frames above. */
export function decode(message: ArrayBuffer): ServerFrame {
	const bytes = new Uint8Array(message);
	const decoder = bytes.length ? DECODERS[String.fromCharCode(bytes[0]!)] : undefined;

	if (!decoder)
		throw new ProtocolError('unknown frame');
	return decoder(bytes.subarray(1));
}

function members(payload: Uint8Array): Members {
	if (payload.length > JSON_MAX_BYTES)
		throw new ProtocolError('frame too long');
	let value: unknown;
	try {
		value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
	} catch {
		throw new ProtocolError('malformed JSON');
	}
	if (typeof value !== 'object' || value === null || Array.isArray(value))
		throw new ProtocolError('not a JSON object');
	return value as Members;
}

function exactly(payload: Uint8Array, length: number): Uint8Array {
	if (payload.length !== length)
		throw new ProtocolError('wrong frame length');
	return payload;
}

function helloFrom(m: Members): Hello {
	const outFrom = count(m, 'out_from');

	return {
		role: m.role === 'viewer' ? 'viewer' : 'driver',
		size: { cols: clampSize(count(m, 'cols')), rows: clampSize(count(m, 'rows')) },
		outFrom,
		outLost: 'out_lost' in m ? count(m, 'out_lost') : 0,
		outNext: 'out_next' in m ? count(m, 'out_next') : outFrom,
		inNext: count(m, 'in_next'),
		expiresAt: text(m.expires_at) || null,
		identityUntil: text(m.identity_until) || null,
	};
}

function exitFrom(m: Members): Exit {
	const signal = 'signal' in m && m.signal !== null ? count(m, 'signal') : null;

	if (signal !== null && !('code' in m))
		return { code: 128 + signal, signal, reason: text(m.reason) };
	return { code: count(m, 'code'), signal, reason: text(m.reason) };
}

function statusFrom(m: Members): Status {
	return {
		state: text(m.state).toLowerCase().replace(/[^a-z0-9]+/g, '_'),
		reason: text(m.reason),
		detail: text(m.detail),
		expiresAt: text(m.expires_at) || null,
	};
}

function count(m: Members, name: string): number {
	const value = m[name];

	if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
		throw new ProtocolError(`${name} is not a count`);
	return value;
}

function text(value: unknown): string {
	return typeof value === 'string' ? value.slice(0, TEXT_MAX_CHARS) : '';
}

/** Input that begins at `offset` of the input stream. */
export function encodeInput(offset: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
	const frame = new Uint8Array(9 + bytes.length);

	putHeader(frame, 'i', offset);
	frame.set(bytes, 9);
	return frame;
}

/** All output before `offset` has reached the screen. */
export function encodeAck(offset: number): Uint8Array<ArrayBuffer> {
	return putHeader(new Uint8Array(9), 'a', offset);
}

/** A latency probe; its answer carries the same number back. */
export function encodeProbe(value: number): Uint8Array<ArrayBuffer> {
	return putHeader(new Uint8Array(9), 'p', value);
}

export function encodeAnswer(payload: Uint8Array): Uint8Array<ArrayBuffer> {
	const frame = new Uint8Array(1 + PROBE_BYTES);

	frame[0] = 'q'.charCodeAt(0);
	frame.set(exactly(payload, PROBE_BYTES), 1);
	return frame;
}

export function encodeResize(cols: number, rows: number): Uint8Array<ArrayBuffer> {
	const frame = new Uint8Array(5);
	const view = new DataView(frame.buffer);

	view.setUint8(0, 'r'.charCodeAt(0));
	view.setUint16(1, clampSize(cols));
	view.setUint16(3, clampSize(rows));
	return frame;
}

/** A new attach token for the connection that is there: the person is still signed in. */
export function encodeRenewal(token: string): Uint8Array<ArrayBuffer> {
	return new TextEncoder().encode(`t${token}`);
}

/** The number in a probe's answer; null when it is none of ours. */
export function probeValue(payload: Uint8Array): number | null {
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	const value = Number(view.getBigUint64(0));

	return Number.isSafeInteger(value) ? value : null;
}

function putHeader<T extends Uint8Array>(frame: T, type: string, value: number): T {
	const view = new DataView(frame.buffer);

	view.setUint8(0, type.charCodeAt(0));
	view.setBigUint64(1, BigInt(value));
	return frame;
}

function clampSize(cells: number): number {
	return Math.max(1, Math.min(SIZE_MAX, Math.trunc(cells)));
}
