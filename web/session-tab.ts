/* SPDX-License-Identifier: MIT */
/* One tab: a loop that opens or re-attaches a session and keeps it attached, with its streams, its screen and its state. */
import { attachUrl, isLive, newIdempotencyKey, Problem, type Api, type Grant, type Session, type Wish } from './api.ts';
import { backoffMs } from './backoff.ts';
import {
	Attachment, CLOSE_IDENTITY_EXPIRED, CLOSE_IDENTITY_REVOKED, CLOSE_TAKEN_OVER, Streams, type Closed, type Continuation,
} from './connection.ts';
import { OfferWatch, type Measured, type Place } from './latency.ts';
import type { Exit, Hello, Role, Status } from './protocol.ts';
import { INITIAL, isFinal, next, type Event, type State } from './state.ts';
import { TermScreen } from './term.ts';
import { degradedWords, isFallback, missedHintWords, placementWords, reasonWords, timeOf } from './text.ts';

/** A note beside "Connected" is news, and goes away. */
const NOTE_MS = 20_000;
/**
 * After so long without a word the service has noticed that this end is gone (two unanswered pings), and who drives the session
 * now is somebody else. Before, it may be what is left of this end's own connection, which is replaced without a question.
 */
const OWN_GHOST_MS = 100_000;
/** A renewal that was refused so often is a person's business. */
const RENEWAL_TRIES = 5;

/** What a tab is for: a session to make, or one to attach to. */
export interface Start {
	sessionId: string | null;
	/** Null: whoever drives the session is not taken over without asking. */
	role: Role | null;
	profile: string;
	/** A session of an earlier visit; when it is gone, a new one is no surprise. */
	isReplaceable: boolean;
	/** The node that a new session is to be on, whatever the person keeps to; '': no such wish. */
	hint?: string;
}

/** What helps to place a new session. */
export interface Placing {
	/** The node that the person keeps to; ''. */
	readonly pin: string;
	latencyMs(): Promise<Record<string, number>>;
}

/** Told beside the terminal until the person has seen it. */
export interface Advice {
	text: string;
	/** A node where a new session can be opened; '': there is nothing to do. */
	node: string;
}

export interface TabListener {
	/** Anything that is shown of this tab has changed. */
	onChange(): void;
	onLink(address: string): void;
	onLeave(): void;
}

export class SessionTab {
	readonly screen: TermScreen;
	readonly panel: HTMLElement;
	state: State = INITIAL;
	sessionId: string | null;
	profile: string;
	title = '';
	placement = '';
	placementReason = '';
	/** What is worse than it should be; ''. */
	degraded = '';
	advice: Advice | null = null;
	expiresAt: number | null = null;
	latencyMs: number | null = null;
	/** Bytes of output that this screen does not show. */
	skippedBytes = 0;
	/** There was output since the tab was last on top. */
	hasNews = false;

	readonly #api: Api;
	readonly #placing: Placing;
	readonly #on: TabListener;
	/** What #key stands for: a repeat says the same, or the service refuses it. */
	#wish: Wish | null = null;
	/** For the first session of this tab alone. */
	#hint: string;
	#place: Place | null = null;
	#offers = new OfferWatch();
	#key = newIdempotencyKey();
	#role: Role | null;
	#isReplaceable: boolean;
	#isKnown = false;
	#streams = new Streams();
	#attachment: Attachment | null = null;
	#run = new AbortController();
	#wake: () => void = () => {};
	#noteTimer = 0;
	/** Of the access token that the last attach token was asked for with. */
	#grantEpoch = 0;
	/** Of the one that the service saw for this attachment last. */
	#shownEpoch = 0;
	#isRenewing = false;
	/** How long this person may stay attached, RFC 3339; null: without an end. */
	#identityUntil: string | null = null;

	constructor(api: Api, placing: Placing, panel: HTMLElement, start: Start, on: TabListener) {
		const { sessionId, role, profile, isReplaceable, hint = '' } = start;

		this.#api = api;
		this.#placing = placing;
		this.#hint = hint;
		this.#on = on;
		this.panel = panel;
		this.sessionId = sessionId;
		this.profile = profile;
		this.#role = role;
		this.#isReplaceable = isReplaceable;
		this.screen = new TermScreen(panel, {
			onInput: (bytes, isAnswer) => this.#type(bytes, isAnswer),
			onResize: () => this.#attachment?.sendSize(),
			onTitle: (title) => {
				this.title = title;
				on.onChange();
			},
			onLink: (address) => on.onLink(address),
			onLeave: () => on.onLeave(),
			isReplaying: () => this.#streams.isReplaying,
		});
	}

	/** What this tab is to its session, or is about to be; null: nothing, or nobody knows yet. */
	get role(): Role | null {
		return isFinal(this.state) ? null : this.#role;
	}

	get canEnd(): boolean {
		return this.sessionId !== null && this.state.name !== 'ended';
	}

	/** Bytes typed that wait for a connection. */
	get unsentBytes(): number {
		return this.#streams.input.unsentBytes;
	}

	set shown(shown: boolean) {
		this.panel.hidden = !shown;
		this.screen.shown = shown;
		this.hasNews = false;
		if (shown)
			this.#attachment?.sendSize();
	}

	/** Detaches; the session goes on. */
	dispose(): void {
		this.#stop();
		clearTimeout(this.#noteTimer);
		this.screen.dispose();
		this.panel.remove();
	}

	/** Begins, or begins again on a blank screen. */
	start(): void {
		this.#streams = new Streams();
		this.#isKnown = false;
		this.skippedBytes = 0;
		if (!this.sessionId && this.#wish && this.#wish.hint !== (this.#hint || this.#placing.pin))
			this.#forgetWish(); /* refused, and the person wants another one now */
		this.screen.reset();
		this.#restart();
	}

	/** Another session in the place of one that has ended. */
	startNew(profile: string): void {
		this.sessionId = null;
		this.profile = profile;
		this.#role = 'driver';
		this.#forgetWish();
		this.#hint = '';
		this.title = this.placement = this.placementReason = this.degraded = '';
		this.advice = this.#place = null;
		this.#offers = new OfferWatch();
		this.expiresAt = null;
		this.start();
	}

	#forgetWish(): void {
		this.#wish = null;
		this.#key = newIdempotencyKey();
	}

	/** The nodes have been measured: whether another is better for this session, which the person may want to know. */
	onMeasured(measured: Measured): void {
		const offer = this.#place && this.role === 'driver' && this.canEnd ? this.#offers.next(this.#place, measured) : null;

		if (offer)
			this.#advise(offer);
	}

	/** Something that the person asked for and does not get. */
	tell(text: string): void {
		this.#advise({ text, node: '' });
	}

	/** The person has seen it. */
	dismiss(): void {
		this.#advise(null);
	}

	#advise(advice: Advice | null): void {
		this.advice = advice;
		this.#on.onChange();
	}

	/** On the same screen, from where it was left: as the one driver, or to look on. */
	startAs(role: Role): void {
		this.#role = role;
		this.#streams.heardAt = Date.now(); /* however long ago that was: the person has chosen */
		this.#restart();
	}

	/** No need to wait any longer. */
	retryNow(): void {
		this.#wake();
		this.#attachment?.nudge();
	}

	/** There is a newer access token: the service is shown that, on the connection that is there. */
	async renew(): Promise<void> {
		const current = this.#attachment;
		const { identity } = this.#api;

		if (this.#isRenewing || !current?.isAttached)
			return;
		this.#isRenewing = true;
		for (let tries = 0; current.isAttached && this.#shownEpoch < identity.epoch; tries++) {
			const why = await this.#renewOnce(current);
			if (!why)
				tries = -1;
			else if (tries >= RENEWAL_TRIES || !identity.isSignedIn)
				break;
			else
				await sleep(backoffMs(tries));
		}
		this.#isRenewing = false;
		if (current.isAttached && this.#shownEpoch < identity.epoch)
			this.#dispatch({ type: 'note', note: 'the service does not renew your sign-in here' });
	}

	/* '' or why not. */
	async #renewOnce(current: Attachment): Promise<string> {
		const { epoch } = this.#api.identity;

		try {
			const grant = await this.#api.attach(this.sessionId!, this.#role ?? 'viewer', this.#run.signal);
			const refusal = await current.renew(grant.token);
			if (!refusal)
				this.#shownEpoch = epoch;
			return refusal;
		} catch (error) {
			return problemOf(error).title;
		}
	}

	/** Somebody has signed in or out, or could not. */
	onIdentity(): void {
		if (!this.#api.identity.isSignedOut)
			return;
		if (this.state.name === 'signed-out')
			this.#dispatchSignedOut();
		else if (this.#attachment?.isAttached && this.#identityUntil)
			this.#dispatch({ type: 'status', status: { state: 'identity_expiring', reason: '', detail: '', expiresAt: this.#identityUntil } });
	}

	/** Ends the session. */
	async end(): Promise<void> {
		const id = this.sessionId;

		if (!id)
			return;
		try {
			await this.#api.endSession(id);
		} catch (error) {
			if (problemOf(error).status !== 404)
				return this.#dispatch({ type: 'note', note: `not ended: ${problemOf(error).title}` });
		}
		if (this.sessionId !== id)
			return;
		this.#stop();
		this.#finish({ session_id: id, status: 'terminated' });
	}

	/** Asks for as long a life as policy allows, which also says that somebody is there. */
	async extend(): Promise<void> {
		if (!this.sessionId)
			return;
		const warning = 'warning' in this.state ? this.state.warning?.kind : undefined;
		const before = this.expiresAt ?? 0;

		try {
			this.#learn(await this.#api.extendSession(this.sessionId));
			if (warning === 'expiring' && (this.expiresAt ?? 0) <= before)
				this.#dispatch({ type: 'not-extended', why: 'Policy does not allow this session a longer time.' });
			else
				this.#onStatus({ state: 'extended', reason: '', detail: '', expiresAt: null });
		} catch (error) {
			const { title, detail, ruleId } = problemOf(error);
			this.#dispatch({ type: 'not-extended', why: `Not extended: ${title}. ${detail}${ruleId && ` (rule ${ruleId})`}` });
		}
	}

	#dispatch(event: Event): void {
		const { input } = this.#streams;

		this.state = next(this.state, event);
		clearTimeout(this.#noteTimer);
		if ('note' in this.state && this.state.note)
			this.#noteTimer = setTimeout(() => this.#dispatch({ type: 'note', note: '' }), NOTE_MS);
		if (isFinal(this.state)) {
			if (input.unsentBytes > 0)
				this.state = next(this.state, { type: 'unsent', bytes: input.unsentBytes });
			input.clear();
		}
		this.screen.enabled = !isFinal(this.state);
		this.#on.onChange();
	}

	#stop(): void {
		this.#run.abort();
		this.#run = new AbortController();
		this.#attachment?.close();
		this.#attachment = null;
		this.latencyMs = null;
	}

	#restart(): void {
		this.#stop();
		this.#dispatch({ type: 'begin', doing: this.sessionId ? 'terminal' : 'service' });
		void this.#keepAttached(this.#run.signal);
	}

	/* The one place that decides what to do about a failure: a new try later, a person, or words. */
	async #keepAttached(signal: AbortSignal): Promise<void> {
		for (let attempt = 0; !signal.aborted && !isFinal(this.state); attempt++) {
			const tried = await this.#tryOnce(signal);
			if (!tried || signal.aborted || isFinal(this.state))
				return;
			if (tried.wasGood)
				attempt = 0;
			if (this.#api.identity.isSignedOut) {
				await this.#untilSignedIn(signal);
				attempt = -1;
			} else {
				await this.#pause(backoffMs(attempt, Math.random, tried.retryAfterMs), tried.reason, signal);
			}
		}
	}

	/* One attachment from its beginning to its end. Null: there is nothing more to try. */
	async #tryOnce(signal: AbortSignal): Promise<{ reason: string; wasGood: boolean; retryAfterMs: number } | null> {
		try {
			const grant = await this.#obtainGrant(signal);
			if (!grant || signal.aborted)
				return null;
			const closed = await this.#attach(grant);
			if (!signal.aborted)
				await this.#onClosed(closed);
			return { ...closed, retryAfterMs: 0 };
		} catch (error) {
			const problem = problemOf(error);
			const isOver = !problem.isTransient && !(problem.isSignedOut && this.#api.identity.isSignedOut);
			if (signal.aborted)
				return null;
			if (isOver)
				this.#dispatch({ type: 'problem', problem });
			return { reason: problem.title, wasGood: false, retryAfterMs: problem.retryAfterMs };
		}
	}

	async #onClosed({ code, reason }: Closed): Promise<void> {
		const { identity } = this.#api;

		if (code === CLOSE_TAKEN_OVER)
			this.#dispatch({ type: 'status', status: { state: 'taken_over', reason: '', detail: '', expiresAt: null } });
		else if (code === CLOSE_IDENTITY_REVOKED)
			identity.drop(reason);
		else if (code === CLOSE_IDENTITY_EXPIRED)
			await identity.renew();
	}

	async #untilSignedIn(signal: AbortSignal): Promise<void> {
		this.#dispatchSignedOut();
		await this.#api.identity.signedIn(signal);
		if (!signal.aborted)
			this.#dispatch(this.#waitEvent(Date.now(), 'Signed in'));
	}

	#dispatchSignedOut(): void {
		this.#dispatch({ ...this.#waitEvent(0, this.#api.identity.why), type: 'signed-out' });
	}

	#waitEvent(retryAt: number, reason: string): Extract<Event, { type: 'wait' }> {
		const { received, input } = this.#streams;

		return { type: 'wait', retryAt, reason, terminal: received !== null, queued: input.unsentBytes };
	}

	#pause(waitMs: number, reason: string, signal: AbortSignal): Promise<void> {
		this.#dispatch(this.#waitEvent(Date.now() + waitMs, reason));
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, waitMs);
			this.#wake = () => {
				clearTimeout(timer);
				resolve();
			};
			signal.addEventListener('abort', this.#wake, { once: true });
		});
	}

	/* An attach token for the session, which is made first where there is none. Null: it is over, or a person has to choose. */
	async #obtainGrant(signal: AbortSignal): Promise<Grant | null> {
		await this.#api.ready();
		if (signal.aborted)
			return null;
		this.#grantEpoch = this.#api.identity.epoch;
		if (this.#role === 'driver' && this.#isKnown && Date.now() - this.#streams.heardAt > OWN_GHOST_MS)
			this.#role = null;
		if (this.sessionId && (!this.#isKnown || !this.#role))
			await this.#lookUp(this.sessionId, signal);
		if (signal.aborted || isFinal(this.state))
			return null;
		if (!this.sessionId)
			return this.#create(signal);
		try {
			return await this.#api.attach(this.sessionId, this.#role ?? 'driver', signal);
		} catch (error) {
			if (!(error instanceof Problem) || ![404, 409, 410].includes(error.status))
				throw error;
			if (error.code === 'session_other_version')
				throw otherVersion(error);
			await this.#lookUp(this.sessionId, signal);
			if (isFinal(this.state))
				return null;
			throw error;
		}
	}

	/* Where the session runs and whether it still does. A session of an earlier visit that is gone gives way to a new one. */
	async #lookUp(id: string, signal: AbortSignal): Promise<void> {
		try {
			const session = await this.#api.session(id, signal);
			this.#learn(session);
			this.#isReplaceable = false;
			if (!isLive(session))
				return this.#finish(session);
			if (session.status === 'running' && !this.#role)
				return this.#dispatch({ type: 'ask' });
			this.#role ??= 'driver';
		} catch (error) {
			if (!(error instanceof Problem) || error.status !== 404)
				throw error;
			if (!this.#isReplaceable)
				return this.#finish({ session_id: id, status: 'unknown' });
			this.sessionId = null;
		}
		this.#isKnown = true;
	}

	#learn(session: Partial<Session>): void {
		this.profile = session.profile ?? this.profile;
		this.placement = placementWords(session.placement) || this.placement;
		this.placementReason = reasonWords(session.placement_reason) || this.placementReason;
		if (isFallback(session.placement_reason))
			this.degraded = degradedWords(session.placement_reason);
		this.#place = placeOf(session) ?? this.#place;
		this.expiresAt = timeOf(session.expires_at) ?? this.expiresAt;
	}

	async #create(signal: AbortSignal): Promise<Grant> {
		const profiles = await this.#api.ready();
		const profile = profiles.find(({ name }) => name === this.profile) ?? profiles[0];

		if (!profile)
			throw new Problem(403, 'No profile for you', 'The policy of this service allows you no session.');
		this.profile = profile.name; /* a repeat with the same key is the same request */
		if (this.state.name === 'connecting')
			this.#dispatch({ type: 'begin', doing: 'session' });
		this.#wish ??= { profile, hint: this.#hint || this.#placing.pin, latencyMs: await this.#placing.latencyMs() };
		if (signal.aborted)
			throw new Problem(0, 'Not wanted any more');
		const made = await this.#api.createSession(this.#wish, this.#key, signal);
		this.sessionId = made.session_id;
		this.#role = 'driver';
		this.#isKnown = true;
		this.#learn({ placement: made.placement, placement_reason: made.placement_reason });
		const missed = missedHintWords(this.#wish.hint, made.placement_reason, this.#place?.node ?? '');
		this.#advise(missed ? { text: missed, node: '' } : null);
		return made.attach;
	}

	#finish(session: Session): void {
		const { exit, end_reason: reason = '' } = session;

		this.#dispatch({
			type: 'gone',
			status: session.status,
			reason,
			exit: exit ? { code: exit.code, signal: exit.signal ?? null, reason } : null,
		});
	}

	async #attach(grant: Grant): Promise<Closed> {
		const epoch = this.#grantEpoch;
		const url = attachUrl(grant.ws_url, this.#streams.received, location);
		const current = new Attachment(url, grant.token, this.#streams, this.screen, {
			onHello: (hello, how) => {
				this.#shownEpoch = epoch;
				this.#onHello(hello, how);
				void this.renew(); /* the token may have changed on the way */
			},
			onSkipped: (bytes) => {
				this.skippedBytes += bytes;
				this.#dispatch({ type: 'skipped', bytes });
			},
			onOutput: () => this.#onOutput(),
			onStatus: (status) => this.#onStatus(status),
			onExit: (exit) => this.#onExit(exit),
			onLatency: (ms) => {
				this.latencyMs = ms;
				this.#on.onChange();
			},
		});

		this.#attachment = current;
		const closed = await current.closed;
		if (this.#attachment === current) {
			this.#attachment = null;
			this.latencyMs = null;
		}
		return closed;
	}

	#onHello({ role, expiresAt, identityUntil }: Hello, how: Continuation): void {
		this.#identityUntil = identityUntil;
		this.#role = role;
		this.expiresAt = timeOf(expiresAt) ?? this.expiresAt;
		this.skippedBytes += how.skipped;
		this.#dispatch({ type: 'hello', role, ...how });
	}

	#onStatus(status: Status): void {
		if (status.state === 'extended' || status.state === 'expiring')
			this.expiresAt = timeOf(status.expiresAt) ?? this.expiresAt;
		if (status.state === 'renewed' || status.state === 'identity_expiring')
			this.#identityUntil = status.expiresAt;
		if (status.state === 'degraded')
			this.#degrade(status);
		this.#dispatch({ type: 'status', status });
		if (status.state === 'identity_expiring')
			this.#api.identity.renew().catch(() => undefined); /* has its next try scheduled */
	}

	#degrade({ reason, detail }: Status): void {
		this.degraded = degradedWords(reason, detail);
		if (this.#place && isFallback(reason))
			this.#place = { ...this.#place, isFallback: true };
	}

	#onExit(exit: Exit): void {
		this.#dispatch({ type: 'exit', exit });
		if (exit.reason === 'revoked')
			this.#api.identity.drop('You have been signed out.');
	}

	#onOutput(): void {
		if (this.screen.isShown || this.hasNews)
			return;
		this.hasNews = true;
		this.#on.onChange();
	}

	#type(bytes: Uint8Array, isAnswer: boolean): void {
		if (isFinal(this.state) || this.state.name === 'connecting')
			return;
		if (this.#role !== 'driver') {
			if (!isAnswer)
				this.#onStatus({ state: 'read_only', reason: '', detail: '', expiresAt: null });
			return;
		}
		if (!this.#streams.input.push(bytes))
			this.#dispatch({ type: 'note', note: 'too much input at once, not sent' });
		this.#attachment?.sendInput();
		if ('queued' in this.state)
			this.#dispatch({ type: 'queued', bytes: this.unsentBytes });
		else if ('warning' in this.state && this.state.warning)
			this.#dispatch({ type: 'typed' });
	}
}

/* Null: the answer does not say. */
function placeOf({ placement, placement_reason: reason }: Partial<Session>): Place | null {
	const { node, tier } = (placement ?? {}) as Record<string, unknown>;

	return typeof node === 'string' && typeof tier === 'string' ? { node, tier, isFallback: isFallback(reason) } : null;
}

function problemOf(error: unknown): Problem {
	return error instanceof Problem ? error : new Problem(500, 'Something went wrong in this page', String(error));
}

/* Tried again it would be the same. */
function otherVersion({ status, ruleId, code }: Problem): Problem {
	return new Problem(status, 'Another version of the service runs this session',
		'It goes on until it ends by itself, but this version cannot open it. You can end it, or begin a new one.', ruleId, 0, code);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
