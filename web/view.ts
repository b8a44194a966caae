/* SPDX-License-Identifier: MIT */
/* The page's elements around the terminals. Everything from outside goes in as text. */
import type { Identity } from './identity.ts';
import type { SessionTab } from './session-tab.ts';
import { describe, type Action, type Words } from './state.ts';
import { byteWords } from './text.ts';

/** With no tab open. */
const NOTHING: Words = {
	status: 'No session open',
	countdown: '',
	tone: 'idle',
	notice: {
		title: 'No session is open here',
		detail: 'What you have closed goes on until you end it.',
		ruleId: '',
		actions: ['new', 'sessions'],
	},
};

/** What the page asks before something that cannot be undone. */
export interface Question {
	title: string;
	detail: string;
	yes: string;
}

export class View {
	readonly #profiles = element<HTMLSelectElement>('profile');
	readonly #confirm = element<HTMLDialogElement>('confirm');

	constructor(onAction: (action: Action) => void) {
		for (const button of document.querySelectorAll<HTMLButtonElement>('[data-action]'))
			onClick(button, () => onAction(button.dataset.action as Action));
		onClick(element('confirm-no'), () => this.#confirm.close());
		onClick(element('confirm-yes'), () => this.#confirm.close('yes'));
	}

	get profile(): string {
		return this.#profiles.value;
	}

	set profiles(names: string[]) {
		this.#profiles.replaceChildren(...names.map((name) => new Option(name, name)));
		element('profile-label').hidden = names.length < 2;
	}

	/** Shows the tab on top; null: there is none. */
	show(tab: SessionTab | null, now: number): Words {
		const words = tab ? describe(tab.state, now) : NOTHING;

		document.body.dataset.state = tab?.state.name ?? 'empty';
		document.title = tab?.title ? `${tab.title} – cloudshell-fog` : 'cloudshell-fog';
		element('status').dataset.tone = words.tone;
		setText(element('status'), words.status);
		element('status').title = words.status;
		setOptional('countdown', words.countdown);
		setText(element('doing'), words.status);
		this.#showNotice(words.notice);
		this.#showFacts(tab);
		return words;
	}

	#showFacts(tab: SessionTab | null): void {
		const viewers = tab && 'viewers' in tab.state ? tab.state.viewers : '';
		const ends = tab?.expiresAt ? `This session ends at ${new Date(tab.expiresAt).toLocaleTimeString()}` : '';

		element('placement').hidden = !tab?.placement;
		element('placement').title = tab?.placementReason ?? '';
		setText(element('where'), tab?.placement ?? '');
		setText(element('why'), tab?.placementReason ?? '');
		element('where').title = ends;
		setOptional('latency', tab?.latencyMs == null ? '' : `${Math.max(1, Math.round(tab.latencyMs))} ms`);
		setOptional('skipped', tab?.skippedBytes ? `${byteWords(tab.skippedBytes)} skipped` : '');
		setOptional('viewers', viewers);
		element<HTMLButtonElement>('end').disabled = !tab?.canEnd;
		element<HTMLButtonElement>('close-tab').disabled = !tab;
	}

	#showNotice(notice: Words['notice']): void {
		element('notice').hidden = !notice;
		if (!notice)
			return;
		setText(element('notice-title'), notice.title);
		setOptional('notice-detail', notice.detail);
		setOptional('notice-rule', notice.ruleId && `Rule: ${notice.ruleId}`);
		for (const button of element('notice').querySelectorAll<HTMLButtonElement>('[data-action]')) {
			const rank = notice.actions.indexOf(button.dataset.action as Action);
			button.hidden = rank < 0;
			button.classList.toggle('main', rank === 0);
		}
	}

	/** Who is signed in. In development mode there is nothing to say. */
	showIdentity({ user, isSignedOut }: Identity): void {
		setOptional('who', user);
		element('who').title = user && `Signed in as ${user}`;
		element('sign-out').hidden = !user;
		element('sign-in').hidden = !isSignedOut;
	}

	/** True when the person says yes. */
	confirm({ title, detail, yes }: Question): Promise<boolean> {
		setText(element('confirm-title'), title);
		setText(element('confirm-detail'), detail);
		setText(element('confirm-yes'), yes);
		this.#confirm.returnValue = '';
		this.#confirm.showModal();
		return new Promise((resolve) => {
			this.#confirm.addEventListener('close', () => resolve(this.#confirm.returnValue === 'yes'), { once: true });
		});
	}

	/** The address under the pointer; '' when there is none. */
	showLink(address: string): void {
		setOptional('link', address);
	}
}

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
	const found = document.getElementById(id);

	if (!found)
		throw new Error(`no #${id}`);
	return found as T;
}

export function onClick(target: HTMLElement, handler: (event: Event) => void): void {
	target.addEventListener('click', handler);
}

export function make<K extends keyof HTMLElementTagNameMap>(name: K, className: string): HTMLElementTagNameMap[K] {
	const made = document.createElement(name);

	made.className = className;
	return made;
}

export function button(label: string, handler: () => void, className = ''): HTMLButtonElement {
	const made = make('button', className);

	made.type = 'button';
	made.textContent = label;
	onClick(made, handler);
	return made;
}

/** Unchanged text is left alone, so that a live region does not say it again. */
export function setText(target: HTMLElement, text: string): void {
	if (target.textContent !== text)
		target.textContent = text;
}

function setOptional(id: string, text: string): void {
	setText(element(id), text);
	element(id).hidden = !text;
}
