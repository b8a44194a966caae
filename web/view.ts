/* SPDX-License-Identifier: MIT */
/* The page's elements around the terminals. Everything from outside goes in as text. */
import type { Identity } from './identity.ts';
import type { FogNode } from './nodes.ts';
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
	readonly #nodes = element<HTMLSelectElement>('node');
	readonly #confirm = element<HTMLDialogElement>('confirm');

	/** onPin: the person keeps to a node from now on, '': to none. */
	constructor(onAction: (action: Action) => void, onPin: (name: string) => void) {
		this.#nodes.addEventListener('change', () => onPin(this.#nodes.value));
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

	/** The nodes that there are to keep to, and the one that the person keeps to, also if it is none of them. */
	showNodes(nodes: FogNode[], pin: string): void {
		const rows = nodes.map(({ name, tier, region, state }): [string, string] =>
			[name, [name, tier, region, state !== 'up' && !['', 'unknown'].includes(state) && state].filter(Boolean).join(' · ')]);

		if (pin && !nodes.some(({ name }) => name === pin))
			rows.push([pin, `${pin} · not in the list`]);
		element('node-label').hidden = nodes.length < 2 && !pin;
		const options = [new Option('Automatic', ''), ...rows.map(([name, words]) => new Option(words, name))];
		/* Left alone while nothing has changed: it may be open. */
		if (options.map(({ text }) => text).join('\n') !== [...this.#nodes.options].map(({ text }) => text).join('\n'))
			this.#nodes.replaceChildren(...options);
		this.#nodes.value = pin;
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
		this.#showAdvice(tab);
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

	/* The texts stay where they are, empty or not: what comes into them is said aloud. */
	#showAdvice(tab: SessionTab | null): void {
		const advice = tab?.state.name === 'connected' ? tab.advice : null;

		setOptional('degraded', tab?.degraded ?? '');
		element('degraded').title = tab?.degraded ?? '';
		element('advice').classList.toggle('shown', advice !== null);
		setText(element('advice-text'), advice?.text ?? '');
		element('advice-actions').hidden = !advice;
		element('advice-open').hidden = !advice?.node;
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
