/* SPDX-License-Identifier: MIT */
/* Who is signed in, for all tabs: signing in, renewal before the token ends, signing out, and requests in that person's name. */
import { backoffMs } from './backoff.ts';
import type { Arrival, ChannelMessage } from './callback.ts';
import { explain, newPending, Provider, SignInError, type Pending, type ProviderConfig, type TokenResponse } from './provider.ts';
import { Problem } from './problem.ts';
import { LONGEST_WAIT_MS, renewalDelayMs } from './renewal.ts';
import { TokenStore, type ApiRequest } from './tokens.ts';

/** GET /v1/config. */
export type Config = { sign_in: 'dev'; token?: string } | ({ sign_in: 'oidc' } & ProviderConfig);

/** A window of its own at the provider. */
export interface Popup {
	go(url: string): void;
	close(): void;
}

/** What the browser gives. */
export interface Host {
	redirectUri: string;
	arrival: Arrival;
	/** skewS: see Provider.discover. */
	config(): Promise<{ config: Config; skewS: number }>;
	/** Leaves this page for the provider, to come back with an answer. Resolves never. */
	leaveFor(url: string, pending: Pending): Promise<never>;
	/** Forgets everything that this page is: loads `url`, null: itself as signed out. */
	forget(url: string | null): void;
	/** The query that the callback is reached with in a hidden frame. */
	silently(url: string): Promise<string>;
	/** Null: windows are blocked. At a click only. */
	popup(): Popup | null;
	tellOthers(message: ChannelMessage): void;
}

export interface IdentityListener {
	/** Who is signed in, or that nobody is. */
	onChange(): void;
	/** There is a newer access token than before. */
	onRenewed(): void;
}

export class Identity {
	readonly #host: Host;
	readonly #on: IdentityListener;
	readonly #tokens = new TokenStore();
	#config: Config | null = null;
	#provider: Provider | null = null;
	#begun: Promise<void> | null = null;
	readonly #arrival: Arrival;
	#popup: { window: Popup; pending: Pending } | null = null;
	#renewing: Promise<void> | null = null;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#renewAt: number | null = null;
	#failures = 0;
	#why = '';
	/** Who was signed in last in this page. */
	#lastSubject: string | null = null;
	#waiting = new Set<() => void>();
	/** Counts the access tokens: what was made with an older one is told by it. */
	#epoch = 0;
	/** Counts the ends: a round that one overtakes gives nothing. */
	#ends = 0;

	constructor(host: Host, on: IdentityListener) {
		this.#host = host;
		this.#on = on;
		this.#arrival = host.arrival;
	}

	get isSignedIn(): boolean {
		return !this.#tokens.isEmpty;
	}

	/** To show; '' while nobody is signed in, and in development mode. */
	get user(): string {
		return this.#tokens.user;
	}

	/** The token is bound to a key of this page (DPoP): whoever else gets to see it can do nothing with it. */
	get isBound(): boolean {
		return this.#tokens.isBound;
	}

	get epoch(): number {
		return this.#epoch;
	}

	/** A person has to sign in; false also while nobody knows yet. */
	get isSignedOut(): boolean {
		return this.#why !== '';
	}

	/** Why nobody is signed in. */
	get why(): string {
		return this.#why;
	}

	/** Finds out how this service signs people in, and does that as far as it goes without anybody. After a failure the next call tries again. */
	begin(): Promise<void> {
		this.#begun ??= this.#begin().catch((error) => {
			this.#begun = null;
			throw explain(error);
		});
		return this.#begun;
	}

	async #begin(): Promise<void> {
		const { config, skewS } = await this.#host.config();

		this.#config = config;
		if (config.sign_in === 'dev')
			return this.#take(() => this.#tokens.takeDev(config.token ?? 'dev'));
		if (config.sign_in !== 'oidc')
			throw new Problem(501, 'Cannot sign in', 'This page does not know the way this service signs people in.');
		this.#provider = await Provider.discover(config, this.#host.redirectUri, skewS);
		await this.#arrive(this.#provider);
	}

	async #arrive(provider: Provider): Promise<void> {
		const arrival = this.#arrival;

		if (arrival.kind === 'fresh')
			return this.#leave(provider);
		if (arrival.kind === 'signed-out')
			return this.#need('You have signed out.');
		if (!arrival.pending)
			return this.#need('That sign-in was not begun here.');
		try {
			this.#accept(await provider.exchange(arrival.answer, arrival.pending));
		} catch (error) {
			const failure = explain(error);
			if (!(failure instanceof SignInError))
				throw failure;
			this.#need(failure.message);
		}
	}

	async #leave(provider: Provider): Promise<void> {
		const pending = newPending();

		await this.#host.leaveFor(await provider.authorizationUrl(pending), pending);
	}

	#accept(response: TokenResponse): void {
		const { accept_id_tokens: useIdToken = false } = this.#config as ProviderConfig;

		this.#take(() => {
			if (!this.#tokens.take(response, useIdToken, this.#provider?.dpop, Date.now()))
				throw new SignInError('The identity provider gave no ID token.', true);
		});
	}

	#take(put: () => void): void {
		put();
		if (this.#lastSubject !== null && this.#lastSubject !== this.#tokens.subject)
			return this.#beSomebodyElse();
		this.#epoch++;
		this.#failures = 0;
		this.#why = '';
		this.#lastSubject = this.#tokens.subject;
		this.#schedule(renewalDelayMs(this.#tokens.expiresAt, Date.now()));
		for (const wake of this.#waiting)
			wake();
		this.#waiting.clear();
		this.#on.onChange();
		this.#on.onRenewed();
	}

	/* What is on the screens is the first one's. */
	#beSomebodyElse(): void {
		this.#need('Somebody else has signed in.');
		this.#host.forget(null);
	}

	/* Nobody is signed in any more, and a person has to do something about that. */
	#need(why: string): void {
		this.#tokens.clear();
		this.#ends++;
		this.#why = why;
		this.#schedule(null);
		this.#on.onChange();
	}

	/** Resolves when somebody is signed in, or with the signal. */
	signedIn(signal: AbortSignal): Promise<void> {
		return new Promise((resolve) => {
			if (this.isSignedIn || signal.aborted)
				return resolve();
			this.#waiting.add(resolve);
			signal.addEventListener('abort', () => {
				this.#waiting.delete(resolve);
				resolve();
			}, { once: true });
		});
	}

	/* --- requests --- */

	/** One request to the API. A refused token is renewed, once, and the request made once more. */
	async send(request: ApiRequest): Promise<Response> {
		const epoch = this.#epoch;
		const first = await this.#tokens.send(request);

		if (first.status !== 401 || !this.#provider)
			return first;
		if (epoch === this.#epoch)
			await this.renew();
		if (!this.isSignedIn)
			return first;
		const second = await this.#tokens.send(request);
		if (second.status === 401)
			this.#need('The service does not take your sign-in.');
		return second;
	}

	/**
	 * One request to another node. What that says of the token changes nothing here: no other node can sign anybody out, and none gets a token that
	 * it could use itself.
	 */
	async sendElsewhere(request: ApiRequest): Promise<Response> {
		if (!this.isBound)
			throw new Problem(502, 'This sign-in holds for one node only');
		return this.#tokens.send(request);
	}

	/* --- renewal --- */

	/** The computer has slept, or the network was away: timers may be late. */
	wake(): void {
		if (this.#renewAt !== null && Date.now() >= this.#renewAt)
			this.#renewSoon();
	}

	/** The next access token; those who ask meanwhile get the same one. Rejects when it is worth another try; that nobody is signed in is no failure. */
	renew(): Promise<void> {
		this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
		return this.#renewing;
	}

	async #renew(): Promise<void> {
		const provider = this.#provider;
		const ends = this.#ends;

		if (!provider || !this.isSignedIn)
			return;
		try {
			const response = await this.#nextTokens(provider);
			if (ends === this.#ends)
				this.#accept(response);
		} catch (error) {
			const failure = explain(error);
			if (ends !== this.#ends)
				return;
			if (failure instanceof SignInError)
				return this.#need(failure.message);
			this.#schedule(backoffMs(this.#failures++));
			throw failure;
		}
	}

	async #nextTokens(provider: Provider): Promise<TokenResponse> {
		try {
			const response = await this.#tokens.refreshed(provider);
			if (response && (response.id_token || !(this.#config as ProviderConfig).accept_id_tokens))
				return response;
		} catch (error) {
			if (!(error instanceof SignInError))
				throw error;
		}
		return this.#silentRound(provider);
	}

	async #silentRound(provider: Provider): Promise<TokenResponse> {
		const pending = newPending();
		const query = await this.#host.silently(await provider.authorizationUrl(pending, 'none'));

		return provider.exchange(new URLSearchParams(query), pending);
	}

	#schedule(delayMs: number | null): void {
		clearTimeout(this.#timer);
		this.#renewAt = delayMs === null ? null : Date.now() + delayMs;
		if (delayMs !== null)
			this.#timer = setTimeout(() => this.#onTimer(), Math.min(delayMs, LONGEST_WAIT_MS));
	}

	#onTimer(): void {
		const left = (this.#renewAt ?? Infinity) - Date.now();

		if (left > 0)
			this.#schedule(left);
		else
			this.#renewSoon();
	}

	#renewSoon(): void {
		this.renew().catch(() => undefined); /* has its next try scheduled */
	}

	/* --- a person's doing --- */

	/** At a click. Where there is something to keep in this page, in a window of its own. */
	async signIn(): Promise<void> {
		const popup = this.#epoch > 0 ? this.#host.popup() : null;

		this.#popup?.window.close();
		this.#popup = null;
		try {
			await this.begin();
			const pending = newPending();
			if (!this.#provider)
				return popup?.close();
			const url = await this.#provider.authorizationUrl(pending);
			if (!popup)
				return await this.#host.leaveFor(url, pending);
			this.#popup = { window: popup, pending };
			popup.go(url);
		} catch (error) {
			popup?.close();
			this.#why = explain(error).message;
			this.#on.onChange();
		}
	}

	/** Signs out here, in the other windows and at the provider. */
	signOut(): void {
		const url = this.#provider && this.#tokens.logoutUrl(this.#provider);

		this.#need('You have signed out.');
		this.#host.tellOthers({ type: 'signed-out' });
		this.#host.forget(url);
	}

	/** The service says that this sign-in is over. */
	drop(why: string): void {
		if (this.isSignedIn && this.#provider)
			this.#need(why);
	}

	async onMessage(message: ChannelMessage): Promise<void> {
		if (message.type === 'signed-out' && this.#provider) {
			this.#need('You have signed out in another window.');
			this.#host.forget(null);
		} else if (message.type === 'answer') {
			await this.#onPopupAnswer(new URLSearchParams(message.query));
		}
	}

	/* Every window of this browser hears of it; it is for one. */
	async #onPopupAnswer(answer: URLSearchParams): Promise<void> {
		const popup = this.#popup;

		if (!popup || answer.get('state') !== popup.pending.state)
			return;
		this.#popup = null;
		popup.window.close();
		try {
			this.#accept(await this.#provider!.exchange(answer, popup.pending));
		} catch (error) {
			this.#need(explain(error).message);
		}
	}
}

