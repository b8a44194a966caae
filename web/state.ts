/* SPDX-License-Identifier: MIT */
/* The state of the page and what it says about it. Pure: one function changes the state, one puts it in words. */
import type { Exit, Status } from './protocol.ts';

export interface ProblemText {
	title: string;
	detail: string;
	ruleId: string;
}

export type State =
	| { name: 'connecting'; doing: 'service' | 'session' | 'terminal' }
	| { name: 'connected'; note: string }
	| { name: 'reconnecting'; waitMs: number; reason: string; terminal: boolean }
	| { name: 'ended'; how: string; detail: string }
	| { name: 'taken-over'; detail: string }
	| { name: 'error'; problem: ProblemText };

export type Event =
	| { type: 'begin'; doing: 'service' | 'session' | 'terminal' }
	| { type: 'hello'; outLost: number; inputDropped: number; viewer: boolean }
	| { type: 'status'; status: Status }
	| { type: 'note'; note: string }
	| { type: 'exit'; exit: Exit }
	| { type: 'gone'; status: string; exit: Exit | null }
	| { type: 'wait'; waitMs: number; reason: string; terminal: boolean }
	| { type: 'problem'; problem: ProblemText };

export type Action = 'new' | 'retry' | 'reconnect' | 'take-back';

export interface Words {
	status: string;
	tone: 'busy' | 'good' | 'warn' | 'bad' | 'idle';
	/** Shown beside or instead of the terminal; null while nothing needs doing. */
	notice: { title: string; detail: string; ruleId: string; actions: Action[] } | null;
}

export const INITIAL: State = { name: 'connecting', doing: 'service' };

/** Nothing reconnects by itself from here: a person has to ask. */
export function isFinal(state: State): boolean {
	return state.name === 'ended' || state.name === 'taken-over' || state.name === 'error';
}

export function next(state: State, event: Event): State {
	if (event.type === 'begin')
		return { name: 'connecting', doing: event.doing };
	/* What a closing connection still says does not undo an end that the person has been told of. */
	if (isFinal(state) && event.type !== 'exit' && event.type !== 'problem' && event.type !== 'gone')
		return state;
	switch (event.type) {
	case 'hello':
		return { name: 'connected', note: helloNote(event) };
	case 'status':
		return afterStatus(state, event.status);
	case 'note':
		return state.name === 'connected' ? { ...state, note: event.note } : state;
	case 'exit':
		return { name: 'ended', ...endWords(event.exit) };
	case 'gone':
		return { name: 'ended', ...goneWords(event.status, event.exit) };
	case 'wait':
		return { name: 'reconnecting', waitMs: event.waitMs, reason: event.reason, terminal: event.terminal };
	case 'problem':
		return { name: 'error', problem: event.problem };
	}
}

function helloNote(hello: { outLost: number; inputDropped: number; viewer: boolean }): string {
	const notes = [];

	if (hello.viewer)
		notes.push('watching only');
	if (hello.outLost > 0)
		notes.push(`${bytes(hello.outLost)} of output skipped`);
	if (hello.inputDropped > 0)
		notes.push(`${bytes(hello.inputDropped)} of input not sent`);
	return notes.join(', ');
}

function bytes(n: number): string {
	return n === 1 ? '1 byte' : `${n.toLocaleString('en')} bytes`;
}

const STATUS_NOTES: Record<string, string> = {
	expiring: 'the session ends soon',
	shutting_down: 'the service is restarting',
	moved: 'the session moved to another node',
	viewer_joined: 'somebody is watching',
	viewer_left: '',
	bad_input: 'some input was not taken',
};

function afterStatus(state: State, status: Status): State {
	const said = status.detail || status.reason;

	if (status.state === 'taken_over')
		return { name: 'taken-over', detail: said };
	if (state.name !== 'connected')
		return state;
	return { ...state, note: said || (STATUS_NOTES[status.state] ?? status.state.replaceAll('_', ' ')) };
}

function exitWords(exit: Exit): string {
	return exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal} (exit code ${exit.code})`;
}

const GONE: Record<string, { how: string; detail: string }> = {
	exited: { how: 'the shell exited', detail: '' },
	expired: { how: 'time limit reached', detail: 'The time that policy allows for this session is over.' },
	terminated: { how: 'session ended', detail: '' },
	failed: { how: 'session failed', detail: 'The session could not be started or went wrong.' },
	shutdown: { how: 'service stopped', detail: 'The service was stopped, and its sessions with it.' },
	lost: { how: 'session lost', detail: 'The service no longer has this session.' },
	unknown: { how: 'session not found', detail: 'It has ended, or it belongs to somebody else.' },
};

/** Ends that are not the shell's own doing, by the reason that its exit carries. */
const GONE_BY_REASON: Record<string, string> = {
	ttl: 'expired',
	request: 'terminated',
	shutdown: 'shutdown',
	spawn_failed: 'failed',
	holder_lost: 'lost',
	abandoned: 'terminated',
};

function endWords(exit: Exit): { how: string; detail: string } {
	return GONE[GONE_BY_REASON[exit.reason] ?? ''] ?? { how: exitWords(exit), detail: '' };
}

function goneWords(status: string, exit: Exit | null): { how: string; detail: string } {
	if (status === 'exited' && exit)
		return endWords(exit);
	return GONE[status] ?? { how: status.slice(0, 40), detail: '' };
}

const DOING = {
	service: 'Reaching the service…',
	session: 'Starting a session…',
	terminal: 'Connecting…',
};

export function describe(state: State): Words {
	switch (state.name) {
	case 'connecting':
		return { status: DOING[state.doing], tone: 'busy', notice: null };
	case 'connected':
		return { status: state.note ? `Connected: ${state.note}` : 'Connected', tone: 'good', notice: null };
	case 'reconnecting':
		return describeWait(state);
	case 'ended':
		return {
			status: `Ended: ${state.how}`,
			tone: 'idle',
			notice: { title: `Ended: ${state.how}`, detail: state.detail, ruleId: '', actions: ['new'] },
		};
	case 'taken-over':
		return {
			status: 'Open in another window',
			tone: 'warn',
			notice: {
				title: 'This session is open in another window',
				detail: state.detail,
				ruleId: '',
				actions: ['take-back', 'new'],
			},
		};
	case 'error':
		return {
			status: `Error: ${state.problem.title}`,
			tone: 'bad',
			notice: { ...state.problem, actions: ['retry'] },
		};
	}
}

function describeWait(state: { waitMs: number; reason: string; terminal: boolean }): Words {
	const what = state.terminal ? 'Connection lost' : state.reason;
	const seconds = Math.max(1, Math.round(state.waitMs / 1000));

	return {
		status: `${what}, trying again in ${seconds} s`,
		tone: 'warn',
		notice: {
			title: what,
			detail: state.terminal ? joined(state.reason, 'Your session goes on, and keys typed now are sent later.') : '',
			ruleId: '',
			actions: ['reconnect'],
		},
	};
}

function joined(...sentences: string[]): string {
	return sentences.filter(Boolean).join(' ');
}
