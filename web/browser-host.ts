/* SPDX-License-Identifier: MIT */
/* What the browser gives for signing in: addresses, frames, windows, and messages between the windows of one profile. */
import { CALLBACK_PATH, CHANNEL, keepPending, readArrival, SIGNED_OUT_HASH, type Arrival, type ChannelMessage } from './callback.ts';
import type { Config, Host, Popup } from './identity.ts';
import { Problem } from './problem.ts';
import { fetchJson } from './api.ts';
import type { Pending } from './provider.ts';

const SILENT_TIMEOUT_MS = 10_000;
/** A clock that is off by less is right. */
const SKEW_MIN_S = 5;
const POPUP_FEATURES = 'popup,width=520,height=680';

export class BrowserHost implements Host {
	readonly redirectUri = location.origin + CALLBACK_PATH;
	readonly arrival: Arrival;
	readonly #channel = new BroadcastChannel(CHANNEL);
	readonly #hash: () => string;
	#isLeaving = false;

	/** hash: of the tabs to come back to. Takes the answer of the provider out of the address at once. */
	constructor(hash: () => string) {
		const { arrival, back } = readArrival(location, sessionStorage);

		this.#hash = hash;
		this.arrival = arrival;
		if (location.search || location.hash !== back)
			history.replaceState(null, '', location.pathname + back);
	}

	/** What is not saved is to be lost: nobody is asked. */
	get isLeaving(): boolean {
		return this.#isLeaving;
	}

	listen(handler: (message: ChannelMessage) => void): void {
		this.#channel.addEventListener('message', ({ data }) => handler(data as ChannelMessage));
	}

	async config(): Promise<{ config: Config; skewS: number }> {
		const { value, date } = await fetchJson<Config>('/v1/config');
		const skewS = Math.round((date - Date.now()) / 1000);

		return { config: value, skewS: Math.abs(skewS) >= SKEW_MIN_S ? skewS : 0 };
	}

	leaveFor(url: string, pending: Pending): Promise<never> {
		keepPending(sessionStorage, pending, this.#hash());
		location.replace(url);
		return new Promise(() => undefined);
	}

	forget(url: string | null): void {
		this.#isLeaving = true;
		if (url)
			return location.replace(url);
		history.replaceState(null, '', location.pathname + SIGNED_OUT_HASH);
		location.reload();
	}

	silently(url: string): Promise<string> {
		const frame = document.createElement('iframe');

		/* The provider's page cannot lead this one away, nor ask anything. */
		frame.setAttribute('sandbox', 'allow-scripts allow-same-origin');
		frame.hidden = true;
		frame.title = 'Sign-in';
		frame.src = url;
		return new Promise<string>((resolve, reject) => {
			const overdue = new AbortController();
			const timer = setTimeout(() => settle(() => reject(new Problem(0, 'Cannot reach the identity provider'))), SILENT_TIMEOUT_MS);
			const settle = (how: () => void): void => {
				clearTimeout(timer);
				overdue.abort();
				frame.remove();
				how();
			};
			addEventListener('message', ({ origin, source, data }) => {
				if (origin === location.origin && source === frame.contentWindow && typeof data?.query === 'string')
					settle(() => resolve(data.query));
			}, { signal: overdue.signal });
			document.body.append(frame);
		});
	}

	popup(): Popup | null {
		const opened = open('about:blank', '', POPUP_FEATURES);

		return opened && {
			go: (url) => opened.location.replace(url),
			close: () => opened.close(),
		};
	}

	tellOthers(message: ChannelMessage): void {
		this.#channel.postMessage(message);
	}
}
