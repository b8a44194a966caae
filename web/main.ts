/* SPDX-License-Identifier: MIT */
/* The page: one loop opens or re-attaches a session and keeps it attached; the state goes to the view after every event. */
import { Api, attachUrl, newIdempotencyKey, Problem, type Grant, type Profile, type Session } from './api.ts';
import { backoffMs } from './backoff.ts';
import { Attachment, Streams } from './connection.ts';
import { describe, INITIAL, isFinal, next, type Action, type Event } from './state.ts';
import { TermScreen } from './term.ts';
import { sessionIdFrom } from './text.ts';
import { View } from './view.ts';
import './style.css';

/** A connection that lasted so long was good: the next back-off starts afresh. */
const STABLE_MS = 5000;
/** A note beside "Connected" is news, and goes away. */
const NOTE_MS = 20_000;
const LIVE = new Set(['starting', 'running', 'detached']);

/** What one run of the loop is for: a session to make, or one to attach to. */
interface Job {
	sessionId: string | null;
	profile: string | null;
	key: string;
	/** A session of an earlier visit; when it is gone, a new one is no surprise. */
	isRemembered: boolean;
	/** Where it runs has been shown. */
	isPlaced: boolean;
	streams: Streams;
}

let state = INITIAL;
let profiles: Profile[] | null = null;
let job = jobFor(sessionIdFrom(location.hash), true);
let attachment: Attachment | null = null;
let run = new AbortController();
let wake: () => void = () => {};
let noteTimer = 0;

const api = new Api();
const view = new View(onAction, onOpenListed, onEndListed);
const screen = new TermScreen(view.terminal, {
	onInput: typeInput,
	onResize: () => attachment?.sendSize(),
	onTitle: (title) => (document.title = title ? `${title} – cloudshell-fog` : 'cloudshell-fog'),
	onLink: (address) => view.showLink(address),
	onLeave: () => view.focusControls(),
	isReplaying: () => job.streams.isReplaying,
});

function jobFor(sessionId: string | null, isRemembered: boolean): Job {
	return {
		sessionId,
		profile: null,
		key: newIdempotencyKey(),
		isRemembered,
		isPlaced: false,
		streams: new Streams(sessionId !== null),
	};
}

function dispatch(event: Event): void {
	state = next(state, event);
	clearTimeout(noteTimer);
	if (state.name === 'connected' && state.note)
		noteTimer = setTimeout(() => dispatch({ type: 'note', note: '' }), NOTE_MS);
	if (isFinal(state))
		job.streams.input.clear();
	screen.enabled = !isFinal(state);
	view.show(state, describe(state));
	view.canEnd = job.sessionId !== null && state.name !== 'ended';
}

function start(work: Job, isSameScreen = false): void {
	run.abort();
	run = new AbortController();
	attachment?.close();
	attachment = null;
	job = work;
	remember(work.sessionId);
	if (!work.isPlaced)
		view.setPlacement(null, null);
	if (!isSameScreen)
		screen.reset();
	dispatch({ type: 'begin', doing: work.sessionId ? 'terminal' : profiles ? 'session' : 'service' });
	void keepAttached(work, run.signal);
}

/* The one place that decides what to do about a failure: a new try later, or words. */
async function keepAttached(work: Job, signal: AbortSignal): Promise<void> {
	for (let attempt = 0; !signal.aborted && !isFinal(state); attempt++) {
		let reason = '';
		let retryAfterMs = 0;
		try {
			const grant = await obtainGrant(work, signal);
			const closed = grant ? await attach(work, grant, signal) : null;
			if (!closed)
				return;
			reason = closed.reason;
			attempt = closed.lastedMs >= STABLE_MS ? 0 : attempt;
		} catch (error) {
			if (signal.aborted)
				return;
			const problem = problemOf(error);
			if (!problem.isTransient)
				return void fail(problem, signal);
			reason = problem.title;
			retryAfterMs = problem.retryAfterMs;
		}
		if (!signal.aborted && !isFinal(state))
			await pause(backoffMs(attempt, Math.random, retryAfterMs), reason, work.streams.received !== null, signal);
	}
}

/** An attach token for the job's session, which is made first where there is none. Null: the session is over, and that has been said. */
async function obtainGrant(work: Job, signal: AbortSignal): Promise<Grant | null> {
	if (!profiles) {
		await api.signIn(signal);
		profiles = await api.profiles(signal);
		view.setProfiles(profiles.map(({ name }) => name));
	}
	if (work.sessionId && !work.isPlaced)
		await recall(work, work.sessionId, signal);
	if (isFinal(state))
		return null;
	if (!work.sessionId)
		return createSession(work, signal);
	try {
		return await api.attach(work.sessionId, signal);
	} catch (error) {
		if (error instanceof Problem && [404, 409, 410].includes(error.status) && await sayGone(work.sessionId, signal))
			return null;
		throw error;
	}
}

/* A session of an earlier visit: where it runs, whether it still does, or a new one in its place. */
async function recall(work: Job, id: string, signal: AbortSignal): Promise<void> {
	try {
		const session = await api.session(id, signal);
		view.setPlacement(session.placement, session.placement_reason, session.expires_at);
		if (!LIVE.has(session.status))
			finish(session);
	} catch (error) {
		if (!(error instanceof Problem) || error.status !== 404)
			throw error;
		if (!work.isRemembered)
			return finish({ session_id: id, status: 'unknown' });
		work.sessionId = null;
		remember(null);
	}
	work.isPlaced = true;
}

async function createSession(work: Job, signal: AbortSignal): Promise<Grant> {
	work.profile ??= view.profile; /* a repeat with the same key is the same request */
	const profile = profiles?.find(({ name }) => name === work.profile);

	if (!profile)
		throw new Problem(403, 'No profile for you', 'The policy of this service allows you no session.');
	if (state.name === 'connecting')
		dispatch({ type: 'begin', doing: 'session' });
	const made = await api.createSession(profile, work.key, signal);
	work.sessionId = made.session_id;
	work.isPlaced = true;
	remember(made.session_id);
	view.setPlacement(made.placement, made.placement_reason);
	return made.attach;
}

/** True when the service confirms that the session is over. */
async function sayGone(id: string, signal: AbortSignal): Promise<boolean> {
	try {
		const session = await api.session(id, signal);
		if (LIVE.has(session.status))
			return false;
		finish(session);
	} catch (error) {
		if (!(error instanceof Problem) || error.status !== 404)
			throw error;
		finish({ session_id: id, status: 'unknown' });
	}
	return true;
}

function finish(session: Session): void {
	const { exit, end_reason: reason = '' } = session;

	remember(null);
	dispatch({
		type: 'gone',
		status: session.status,
		exit: exit ? { code: exit.code, signal: exit.signal ?? null, reason } : null,
	});
}

async function attach(work: Job, grant: Grant, signal: AbortSignal) {
	if (signal.aborted)
		return null;
	const url = attachUrl(grant.ws_url, work.streams.received, location);
	const current = new Attachment(url, grant.token, work.streams, screen, {
		onHello: (hello, inputDropped) => {
			dispatch({ type: 'hello', outLost: hello.outLost, inputDropped, viewer: hello.role === 'viewer' });
			if (hello.expiresAt)
				view.setExpiry(hello.expiresAt);
			screen.focus();
		},
		onStatus: (status) => dispatch({ type: 'status', status }),
		onExit: (exit) => {
			remember(null);
			dispatch({ type: 'exit', exit });
		},
		onLatency: (ms) => view.setLatency(ms),
	});

	attachment = current;
	const closed = await current.closed;
	if (attachment === current) {
		attachment = null;
		view.setLatency(null);
	}
	return closed;
}

function pause(waitMs: number, reason: string, terminal: boolean, signal: AbortSignal): Promise<void> {
	dispatch({ type: 'wait', waitMs, reason, terminal });
	return new Promise((resolve) => {
		const timer = setTimeout(resolve, waitMs);
		wake = () => {
			clearTimeout(timer);
			resolve();
		};
		signal.addEventListener('abort', wake, { once: true });
	});
}

function problemOf(error: unknown): Problem {
	return error instanceof Problem ? error : new Problem(500, 'Something went wrong in this page', String(error));
}

async function fail(problem: Problem, signal: AbortSignal): Promise<void> {
	dispatch({ type: 'problem', problem });
	if (problem.status === 409)
		await listSessions(signal);
}

/* Too many sessions: the way on is to use or to end one of them. */
async function listSessions(signal: AbortSignal): Promise<void> {
	const sessions = await api.sessions(signal).catch(() => []);

	if (!signal.aborted)
		view.setSessions(sessions.filter(({ status }) => LIVE.has(status)));
}

function typeInput(bytes: Uint8Array): void {
	if (isFinal(state) || state.name === 'connecting')
		return;
	if (!job.streams.input.push(bytes))
		dispatch({ type: 'note', note: 'too much input at once, not sent' });
	attachment?.sendInput();
}

/* An id is no secret; it brings a reload back to the same shell. */
function remember(id: string | null): void {
	history.replaceState(null, '', id ? `#s=${id}` : location.pathname);
}

function onAction(action: Action | 'end' | 'screen-reader'): void {
	switch (action) {
	case 'new':
		return start(jobFor(null, false));
	case 'retry':
		return start(jobFor(job.sessionId, job.isRemembered));
	case 'take-back':
		return start(job, true);
	case 'reconnect':
		return wake();
	case 'end':
		return void endSession();
	case 'screen-reader':
		screen.screenReader = view.isScreenReader;
	}
}

async function endSession(): Promise<void> {
	const id = job.sessionId;

	if (!id)
		return;
	try {
		await api.endSession(id, new AbortController().signal);
	} catch (error) {
		if (problemOf(error).status !== 404)
			return dispatch({ type: 'note', note: `not ended: ${problemOf(error).title}` });
	}
	if (job.sessionId !== id)
		return;
	run.abort();
	attachment?.close();
	finish({ session_id: id, status: 'terminated' });
}

function onOpenListed(id: string): void {
	start(jobFor(id, false));
}

async function onEndListed(id: string): Promise<void> {
	await api.endSession(id, run.signal).catch(() => undefined);
	await listSessions(run.signal);
}

/** The network or the person is back: no need to wait. */
function retryNow(): void {
	if (state.name === 'reconnecting' && document.visibilityState === 'visible')
		wake();
}

addEventListener('online', retryNow);
document.addEventListener('visibilitychange', retryNow);
addEventListener('hashchange', () => {
	const id = sessionIdFrom(location.hash);
	if (id && id !== job.sessionId)
		start(jobFor(id, true));
});
start(job);
