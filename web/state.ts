/* SPDX-License-Identifier: MIT */
/* The state of one tab and what the page says about it. Pure: one function changes the state, one puts it in words. */
import type { Exit, Role, Status } from './protocol.ts';
import { byteWords, durationWords, timeOf } from './text.ts';

export interface ProblemText {
	title: string;
	detail: string;
	ruleId: string;
	/** It will be the same the next time. */
	isLasting?: boolean;
}

/** The session, or this person's part in it, ends by itself soon, at a time in ms since 1970 where that was said. */
export interface Warning {
	kind: 'idle' | 'expiring' | 'identity';
	at: number | null;
	/** Why it could not be put off. */
	refused: string;
}

export type State =
	| { name: 'connecting'; doing: 'service' | 'session' | 'terminal' }
	| { name: 'connected' | 'watching'; note: string; viewers: string; warning: Warning | null }
	| { name: 'reconnecting'; retryAt: number; reason: string; terminal: boolean; queued: number }
	| { name: 'signed-out'; reason: string; terminal: boolean; queued: number }
	| { name: 'asking'; detail: string }
	| { name: 'ended'; how: string; detail: string }
	| { name: 'taken-over'; detail: string }
	| { name: 'error'; problem: ProblemText };

export type Event =
	| { type: 'begin'; doing: 'service' | 'session' | 'terminal' }
	| { type: 'ask' }
	| { type: 'hello'; role: Role; skipped: number; inputDropped: number; isResumed: boolean }
	| { type: 'skipped'; bytes: number }
	| { type: 'status'; status: Status }
	| { type: 'note'; note: string }
	| { type: 'typed' }
	| { type: 'queued'; bytes: number }
	| { type: 'unsent'; bytes: number }
	| { type: 'not-extended'; why: string }
	| { type: 'exit'; exit: Exit }
	| { type: 'gone'; status: string; reason: string; exit: Exit | null }
	| { type: 'wait'; retryAt: number; reason: string; terminal: boolean; queued: number }
	| { type: 'signed-out'; reason: string; terminal: boolean; queued: number }
	| { type: 'problem'; problem: ProblemText };

export type Action =
	'new' | 'sign-in' | 'retry' | 'reconnect' | 'take-back' | 'take-over' | 'watch' | 'stay' | 'extend' | 'sessions' | 'close' |
	'open-there' | 'dismiss';

export interface Words {
	status: string;
	/** Follows the status, and changes each second: not for a screen reader to say again and again. */
	countdown: string;
	tone: 'busy' | 'good' | 'warn' | 'bad' | 'idle';
	/** Shown beside or instead of the terminal; null while nothing needs doing. */
	notice: { title: string; detail: string; ruleId: string; actions: Action[] } | null;
}

export const INITIAL: State = { name: 'connecting', doing: 'service' };
const ASKING: State = { name: 'asking', detail: 'It is open in another window or on another device.' };
const TAKEN_OVER: State = { name: 'taken-over', detail: 'It is driven from another window or device now.' };

/** What must not be undone by the last words of a connection that closes. */
const AFTER_FINAL = new Set<Event['type']>(['begin', 'exit', 'gone', 'problem', 'unsent']);
/** A warning that came to nothing so long ago is over: somebody typed elsewhere. */
const WARNING_OVER_MS = 5000;

/** Nothing goes on by itself from here: a person has to ask. */
export function isFinal(state: State): boolean {
	return ['asking', 'ended', 'taken-over', 'error'].includes(state.name);
}

type Attached = Extract<State, { note: string }>;

function isAttached(state: State): state is Attached {
	return state.name === 'connected' || state.name === 'watching';
}

export function next(state: State, event: Event): State {
	if (isFinal(state) && !AFTER_FINAL.has(event.type))
		return state;
	switch (event.type) {
	case 'begin':
		return { name: 'connecting', doing: event.doing };
	case 'ask':
		return ASKING;
	case 'hello':
		return {
			name: event.role === 'viewer' ? 'watching' : 'connected', note: helloNote(event), viewers: '', warning: null,
		};
	case 'exit':
		return { name: 'ended', ...endWords(event.exit.reason, event.exit) };
	case 'gone':
		return { name: 'ended', ...goneWords(event.status, event.reason, event.exit) };
	case 'wait':
		return {
			name: 'reconnecting', retryAt: event.retryAt, reason: event.reason, terminal: event.terminal, queued: event.queued,
		};
	case 'signed-out':
		return { name: 'signed-out', reason: event.reason, terminal: event.terminal, queued: event.queued };
	case 'queued':
		return 'queued' in state ? { ...state, queued: event.bytes } : state;
	case 'unsent':
		return withUnsent(state, `${byteWords(event.bytes)} typed could not be sent.`);
	case 'problem':
		return { name: 'error', problem: event.problem };
	default:
		return isAttached(state) ? whileAttached(state, event) : afterTakenOver(state, event);
	}
}

/* A connection that has not said hello may be told that it is taken over already. */
function afterTakenOver(state: State, event: Event): State {
	return event.type === 'status' && event.status.state === 'taken_over' ? TAKEN_OVER : state;
}

function whileAttached(state: Attached, event: Event): State {
	switch (event.type) {
	case 'status':
		return afterStatus(state, event.status);
	case 'skipped':
		return { ...state, note: skippedNote(event.bytes) };
	case 'note':
		return { ...state, note: event.note };
	case 'typed':
		return state.warning?.kind === 'idle' ? { ...state, warning: null } : state;
	case 'not-extended':
		return state.warning ? { ...state, warning: { ...state.warning, refused: event.why } } : { ...state, note: event.why };
	default:
		return state;
	}
}

function withUnsent(state: State, words: string): State {
	if (state.name === 'error')
		return { ...state, problem: { ...state.problem, detail: sentences(state.problem.detail, words) } };
	return 'detail' in state ? { ...state, detail: sentences(state.detail, words) } : state;
}

function helloNote(hello: { skipped: number; inputDropped: number; isResumed: boolean }): string {
	const notes = [];

	if (hello.skipped > 0)
		notes.push(skippedNote(hello.skipped));
	if (hello.inputDropped > 0)
		notes.push(`${byteWords(hello.inputDropped)} of input not sent`);
	if (hello.isResumed && notes.length === 0)
		notes.push('resumed exactly, nothing lost');
	return notes.join(', ');
}

function skippedNote(count: number): string {
	return `${byteWords(count)} of output skipped`;
}

const STATUS_NOTES: Record<string, string> = {
	shutting_down: 'the service is restarting',
	moved: 'the session moved to another node',
	viewer_joined: 'somebody is watching',
	viewer_left: 'somebody stopped watching',
	driver_joined: 'somebody drives it now',
	driver_left: 'nobody drives it now',
	took_over: 'taken over from another connection',
	read_only: 'read-only, keys typed here are not sent',
	extended: 'extended',
	bad_input: 'this page had lost count of what was sent',
	identity_expired: 'your sign-in was not renewed in time',
	revoked: 'you have been signed out',
};

/* The notes of the hello say what was lost: a note about others comes after them, not in their place. */
function withNote(state: Attached, note: string): Attached {
	return { ...state, note: [state.note, note].filter(Boolean).join(', ') };
}

function afterStatus(state: Attached, status: Status): State {
	const note = STATUS_NOTES[status.state] ?? status.state.replaceAll('_', ' ');

	switch (status.state) {
	case 'taken_over':
		return TAKEN_OVER;
	case 'idle':
	case 'expiring':
		return { ...state, warning: { kind: status.state, at: timeOf(status.expiresAt), refused: '' } };
	case 'identity_expiring':
		return { ...state, warning: { kind: 'identity', at: timeOf(status.expiresAt), refused: '' } };
	case 'renewed':
		return state.warning?.kind === 'identity' ? { ...state, warning: null } : state;
	case 'degraded':
		return state; /* stays beside the state for as long as it holds */
	case 'renewal_refused':
		return state; /* is tried again, and told when that does not help */
	case 'extended':
		return { ...state, note, warning: null };
	case 'viewer_joined':
	case 'viewer_left':
		return { ...state, note, viewers: /^0\b/.test(status.detail) ? '' : status.detail };
	case 'took_over':
		return withNote(state, note);
	default:
		return { ...state, note: status.detail || status.reason || note };
	}
}

function exitWords(exit: Exit): string {
	return exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal} (exit code ${exit.code})`;
}

const GONE: Record<string, { how: string; detail: string }> = {
	exited: { how: 'the shell exited', detail: '' },
	expired: { how: 'time limit reached', detail: 'The time that policy allows for this session is over.' },
	idle: { how: 'idle for too long', detail: 'Nobody typed, and no program was running.' },
	terminated: { how: 'session ended', detail: '' },
	failed: { how: 'session failed', detail: 'The session could not be started or went wrong.' },
	shutdown: { how: 'service stopped', detail: 'The service was stopped, and its sessions with it.' },
	revoked: { how: 'signed out', detail: 'You have signed out, or an administrator has signed you out.' },
	admin: { how: 'ended by an administrator', detail: '' },
	lost: { how: 'session lost', detail: 'The service no longer has this session.' },
	unknown: { how: 'session not found', detail: 'It has ended, or it belongs to somebody else.' },
};

/** Ends that are not the shell's own doing, by the reason that they carry. */
const GONE_BY_REASON: Record<string, string> = {
	ttl: 'expired',
	idle: 'idle',
	request: 'terminated',
	shutdown: 'shutdown',
	spawn_failed: 'failed',
	holder_lost: 'lost',
	abandoned: 'terminated',
	revoked: 'revoked',
	admin: 'admin',
};

function endWords(reason: string, exit: Exit | null): { how: string; detail: string } {
	const known = GONE[GONE_BY_REASON[reason] ?? ''];

	return known ?? { how: exit ? exitWords(exit) : GONE.exited!.how, detail: '' };
}

function goneWords(status: string, reason: string, exit: Exit | null): { how: string; detail: string } {
	if (reason in GONE_BY_REASON || (status === 'exited' && exit))
		return endWords(reason, exit);
	return GONE[status] ?? { how: status.slice(0, 40), detail: '' };
}

const DOING = {
	service: 'Reaching the service…',
	session: 'Starting a session…',
	terminal: 'Connecting…',
};

export function describe(state: State, now: number): Words {
	switch (state.name) {
	case 'connecting':
		return { status: DOING[state.doing], countdown: '', tone: 'busy', notice: null };
	case 'connected':
	case 'watching':
		return describeAttached(state, now);
	case 'reconnecting':
		return describeWait(state, now);
	case 'signed-out':
		return atRest('Signed out', 'warn', {
			title: 'Sign in again',
			detail: sentences(state.reason, state.terminal ? 'This tab is kept.' : '',
				state.queued > 0 ? `${byteWords(state.queued)} typed wait to be sent.` : ''),
			actions: ['sign-in', 'close'],
		});
	case 'asking':
		return atRest('Open elsewhere', 'warn', {
			title: 'Somebody drives this session',
			detail: state.detail,
			actions: ['take-over', 'watch', 'close'],
		});
	case 'ended':
		return atRest(`Ended: ${state.how}`, 'idle', {
			title: `Ended: ${state.how}`, detail: state.detail, actions: ['new', 'close'],
		});
	case 'taken-over':
		return atRest('Taken over', 'warn', {
			title: 'This session was taken over',
			detail: state.detail,
			actions: ['take-back', 'watch', 'close'],
		});
	case 'error':
		return atRest(`Error: ${state.problem.title}`, 'bad', {
			...state.problem, actions: state.problem.isLasting ? ['sessions', 'close'] : ['retry', 'sessions', 'close'],
		});
	}
}

function atRest(status: string, tone: Words['tone'], notice: { title: string; detail: string; ruleId?: string; actions: Action[] }): Words {
	return { status, countdown: '', tone, notice: { ruleId: '', ...notice } };
}

const WARNINGS = {
	idle: { status: 'unless you type, this session ends', title: 'Nobody types in this session', action: 'stay' },
	expiring: { status: 'this session ends', title: 'The time of this session is nearly over', action: 'extend' },
	identity: { status: 'your sign-in ends', title: 'Your sign-in is nearly over', action: 'sign-in' },
} as const;

function describeAttached(state: Attached, now: number): Words {
	const isWatching = state.name === 'watching';
	const warning = currentWarning(state.warning, now);
	const news = [state.note, warning && WARNINGS[warning.kind].status].filter(Boolean).join('; ');
	const base = isWatching ? 'Watching only' : 'Connected';
	const actions: Action[] = [];

	if (warning)
		actions.push(WARNINGS[warning.kind].action);
	if (isWatching)
		actions.push('take-over');
	return {
		status: news ? `${base}: ${news}` : base,
		countdown: warning?.at ? `in ${durationWords(Math.max(0, warning.at - now))}` : warning ? 'soon' : '',
		tone: warning ? 'warn' : 'good',
		notice: actions.length === 0 ? null : {
			title: warning ? WARNINGS[warning.kind].title : 'You are watching',
			detail: sentences(isWatching ? 'Keys typed here are not sent.' : '', warning?.refused ?? ''),
			ruleId: '',
			actions,
		},
	};
}

function currentWarning(warning: Warning | null, now: number): Warning | null {
	return warning?.at && now > warning.at + WARNING_OVER_MS ? null : warning;
}

function describeWait(state: Extract<State, { name: 'reconnecting' }>, now: number): Words {
	const what = state.terminal ? 'Connection lost' : state.reason;
	const typed = state.queued > 0 ? `${byteWords(state.queued)} typed wait to be sent.` : 'Keys typed now are sent later.';

	return {
		status: `${what}, trying again`,
		countdown: `in ${durationWords(Math.max(1000, Math.ceil((state.retryAt - now) / 1000) * 1000))}`,
		tone: 'warn',
		notice: {
			title: what,
			detail: state.terminal ? sentences(state.reason, 'Your session goes on.', typed) : '',
			ruleId: '',
			actions: ['reconnect'],
		},
	};
}

function sentences(...parts: string[]): string {
	return parts.filter(Boolean).join(' ');
}
