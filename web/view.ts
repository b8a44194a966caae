/* SPDX-License-Identifier: MIT */
/* The page's elements. Everything from outside goes in as text. */
import type { Session } from './api.ts';
import type { Action, State, Words } from './state.ts';
import { placementWords, reasonWords } from './text.ts';

type ViewAction = Action | 'end' | 'screen-reader';

export class View {
	readonly terminal = element('terminal');
	readonly #profiles = element<HTMLSelectElement>('profile');
	readonly #end = element<HTMLButtonElement>('end');
	readonly #confirm = element<HTMLDialogElement>('confirm');
	readonly #onOpen: (id: string) => void;
	readonly #onEnd: (id: string) => void;

	constructor(onAction: (action: ViewAction) => void, onOpen: (id: string) => void, onEnd: (id: string) => void) {
		this.#onOpen = onOpen;
		this.#onEnd = onEnd;
		for (const button of document.querySelectorAll<HTMLButtonElement>('[data-action]'))
			onClick(button, () => onAction(button.dataset.action as Action));
		onClick(element('new'), () => onAction('new'));
		onClick(this.#end, () => this.#confirm.showModal());
		onClick(element('confirm-no'), () => this.#confirm.close());
		onClick(element('confirm-yes'), () => {
			this.#confirm.close();
			onAction('end');
		});
		const reader = element('screen-reader');
		onClick(reader, () => {
			reader.ariaPressed = String(!this.isScreenReader);
			onAction('screen-reader');
		});
	}

	get profile(): string {
		return this.#profiles.value;
	}

	get isScreenReader(): boolean {
		return element('screen-reader').ariaPressed === 'true';
	}

	set canEnd(can: boolean) {
		this.#end.disabled = !can;
	}

	show(state: State, words: Words): void {
		const status = element('status');

		document.body.dataset.state = state.name;
		status.dataset.tone = words.tone;
		setText('status', words.status);
		setText('doing', words.status);
		this.#showNotice(words.notice);
	}

	#showNotice(notice: Words['notice']): void {
		element('notice').hidden = !notice;
		this.setSessions([]);
		if (!notice)
			return;
		setText('notice-title', notice.title);
		setOptional('notice-detail', notice.detail);
		setOptional('notice-rule', notice.ruleId && `Rule: ${notice.ruleId}`);
		for (const button of document.querySelectorAll<HTMLButtonElement>('[data-action]')) {
			const rank = notice.actions.indexOf(button.dataset.action as Action);
			button.hidden = rank < 0;
			button.classList.toggle('main', rank === 0);
		}
	}

	setProfiles(names: string[]): void {
		this.#profiles.replaceChildren(...names.map((name) => new Option(name, name)));
		element('profile-label').hidden = names.length < 2;
	}

	setPlacement(placement: unknown, reason: unknown, expiresAt?: string): void {
		const where = placementWords(placement);

		element('placement').hidden = !where;
		setText('where', where);
		setText('why', reasonWords(reason));
		element('placement').title = reasonWords(reason);
		this.setExpiry(expiresAt ?? '');
	}

	setExpiry(expiresAt: string): void {
		const time = new Date(expiresAt);

		element('where').title = Number.isNaN(time.getTime()) ? '' : `This session ends at ${time.toLocaleTimeString()}`;
	}

	setLatency(ms: number | null): void {
		setOptional('latency', ms === null ? '' : `${Math.max(1, Math.round(ms))} ms`);
	}

	setSessions(sessions: Session[]): void {
		const list = element('sessions');

		list.hidden = sessions.length === 0;
		list.replaceChildren(...sessions.map((session) => this.#sessionItem(session)));
	}

	#sessionItem(session: Session): HTMLLIElement {
		const item = document.createElement('li');
		const name = document.createElement('span');
		const since = session.created_at ? `, since ${new Date(session.created_at).toLocaleTimeString()}` : '';

		name.textContent = `${session.profile ?? 'Session'} (${session.status}${since})`;
		item.append(
			name,
			button('Open', () => this.#onOpen(session.session_id)),
			button('End', () => this.#onEnd(session.session_id), 'danger'),
		);
		return item;
	}

	showLink(address: string): void {
		setOptional('link', address);
	}

	focusControls(): void {
		element('new').focus();
	}
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
	const found = document.getElementById(id);

	if (!found)
		throw new Error(`no #${id}`);
	return found as T;
}

function onClick(target: HTMLElement, handler: () => void): void {
	target.addEventListener('click', handler);
}

function button(label: string, handler: () => void, className = ''): HTMLButtonElement {
	const made = document.createElement('button');

	made.type = 'button';
	made.className = className;
	made.textContent = label;
	onClick(made, handler);
	return made;
}

/* Unchanged text is left alone, so that a live region does not say it again. */
function setText(id: string, text: string): void {
	const target = element(id);

	if (target.textContent !== text)
		target.textContent = text;
}

function setOptional(id: string, text: string): void {
	setText(id, text);
	element(id).hidden = !text;
}
