/* SPDX-License-Identifier: MIT */
/* What may pass between a terminal and the rest of the browser, and things in words. Pure. */
import type { Session } from './api.ts';
import type { Role } from './protocol.ts';

const TITLE_MAX_CHARS = 100;
const LINK_MAX_CHARS = 2048;
/** C0, DEL, C1, line and paragraph separators, and the marks that turn the direction of text. */
const UNSAFE_IN_TITLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** Control characters but tab, line feed and carriage return. */
const UNSAFE_IN_PASTE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;
/** Reports that a terminal sends by itself: CSI … c n R t y, CSI I and O, and any OSC, DCS or APC answer. */
const ANSWER = /^(?:\x1b\[[?>=]?[\d;]*\$?[cnRty]|\x1b\[[IO]|\x1b[\]P_])/;

/** A title as plain text on one line, at most 100 characters. */
export function cleanTitle(title: string): string {
	return [...title.replace(UNSAFE_IN_TITLE, '')].slice(0, TITLE_MAX_CHARS).join('').trim();
}

export function cleanPaste(text: string): string {
	return text.replace(UNSAFE_IN_PASTE, '');
}

/** The address in canonical form when it is http or https; null for everything else. */
export function safeLink(address: string): string | null {
	if (address.length > LINK_MAX_CHARS || !URL.canParse(address))
		return null;
	const url = new URL(address);

	return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
}

/** True for what a terminal says to a program's query rather than what a person typed. */
export function answersQuery(data: string): boolean {
	return ANSWER.test(data);
}

export function isMac(platform: string): boolean {
	return /^(Mac|iP)/.test(platform);
}

/** Where a session runs, in a few words, from a text or an object of texts. */
export function placementWords(placement: unknown): string {
	if (typeof placement === 'string')
		return placement.slice(0, 80);
	if (typeof placement !== 'object' || placement === null)
		return '';
	const { tier, node, name, region } = placement as Record<string, unknown>;

	return [tier, node ?? name, region].filter((part) => typeof part === 'string' && part).join(' · ').slice(0, 80);
}

/** What the codes of placement_reason say (placerd/place.h). */
const REASON_WORDS: Record<string, string> = {
	'local-only': 'this service has one node',
	'fog-first': 'fog nodes come first',
	'cloud-fallback': 'no fog node could take it',
	'hint-honoured': 'the node that was asked for',
	'hint-unknown-node': 'the node that was asked for is not known',
	'hint-not-fit': 'the node that was asked for cannot take it',
	'nearest': 'the nearest to you',
	'stayed': 'where you were, as no other node is much nearer',
	'next-best': 'a better node was tried and failed',
};
const REASON_MAX_CHARS = 300;

/** The codes of a placement_reason: they are joined by commas. */
export function reasonCodes(reason: unknown): string[] {
	return typeof reason === 'string' ? reason.slice(0, REASON_MAX_CHARS).split(',').map((code) => code.trim()).filter(Boolean) : [];
}

/** Why it runs there, in words; a code that is not known stays as it is. */
export function reasonWords(reason: unknown): string {
	return reasonCodes(reason).map((code) => (Object.hasOwn(REASON_WORDS, code) ? REASON_WORDS[code] : code)).join('; ');
}

export function isFallback(reason: unknown): boolean {
	return reasonCodes(reason).includes('cloud-fallback');
}

/** What is worse than it should be: by the reason, or by what the service says of it. */
export function degradedWords(reason: unknown, detail = ''): string {
	const why = isFallback(reason) ? 'in the cloud because no fog node could take it' : detail || reasonWords(reason);

	return why ? `Degraded: ${why}` : 'Degraded';
}

/** What became of a wish for a node that was not met; '': it was, or there was none. */
export function missedHintWords(hint: string, reason: unknown, node: string): string {
	const codes = reasonCodes(reason);
	const why = codes.includes('hint-unknown-node') ? 'is not known here' : codes.includes('hint-not-fit') ? 'cannot take this session' : '';

	return hint && why && `${hint} ${why}: it runs on ${node || 'another node'}.`;
}

const UNITS: readonly [name: string, ms: number][] = [['day', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]];

/** A length of time, rounded down to its largest unit: '3 days', '2 h', '59 min', '1 s'. */
export function durationWords(ms: number): string {
	const [name, unit] = UNITS.find(([, unit]) => ms >= unit) ?? ['s', 1000];
	const count = Math.max(0, Math.floor(ms / unit));

	return `${count} ${name}${name === 'day' && count > 1 ? 's' : ''}`;
}

/** '1 byte', '1,234 bytes'. */
export function byteWords(count: number): string {
	return count === 1 ? '1 byte' : `${count.toLocaleString('en')} bytes`;
}

/** Milliseconds since 1970 of an RFC 3339 time; null for what is none. */
export function timeOf(text: string | null | undefined): number | null {
	const time = Date.parse(text ?? '');

	return Number.isNaN(time) ? null : time;
}

/** What the list says about a session: who has it, since when, until when and where. `role`: this page's own part in it. */
export function sessionWords(session: Session, role: Role | null, now: number): { name: string; detail: string; times: string } {
	const created = timeOf(session.created_at);
	const expires = timeOf(session.expires_at);
	const who = role ? ROLE_WORDS[role] : STATUS_WORDS[session.status] ?? session.status;

	return {
		name: `${session.profile ?? 'Session'}, ${who}`,
		detail: [
			created !== null && `started ${durationWords(now - created)} ago`,
			expires !== null && `ends in ${durationWords(expires - now)}`,
			placementWords(session.placement),
		].filter(Boolean).join(' · '),
		times: [created, expires].filter((time) => time !== null).map((time) => new Date(time).toLocaleString()).join(' – '),
	};
}

const ROLE_WORDS: Record<Role, string> = { driver: 'open in this page', viewer: 'watched in this page' };
const STATUS_WORDS: Record<string, string> = { running: 'running elsewhere', detached: 'detached' };
