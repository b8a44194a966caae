/* SPDX-License-Identifier: MIT */
/* The list of a person's sessions, to return to or to end. It asks again while it is open and can be seen. */
import { isLive, type Api, type Session } from './api.ts';
import type { Role } from './protocol.ts';
import { sessionWords } from './text.ts';
import { button, element, make, onClick, setText } from './view.ts';

/** From one answer to the next question. */
const REFRESH_MS = 5000;

export interface PanelListener {
	/** As what this page is attached to a session; null: not at all. */
	roleIn(id: string): Role | null;
	/** Both say '' or why not. */
	onOpen(id: string): string;
	onNew(): string;
	/** The person wants it ended, and resolves when that has been tried: '' or why not. */
	onEnd(id: string): Promise<string>;
}

interface Row {
	item: HTMLLIElement;
	name: HTMLElement;
	where: HTMLElement;
	open: HTMLButtonElement;
	end: HTMLButtonElement;
}

export class SessionsPanel {
	readonly #api: Api;
	readonly #on: PanelListener;
	readonly #dialog = element<HTMLDialogElement>('sessions');
	readonly #list = element('sessions-list');
	readonly #rows = new Map<string, Row>();
	readonly #unreachable = element('sessions-unreachable');
	#timer = 0;
	#asking = new AbortController();

	constructor(api: Api, on: PanelListener) {
		this.#api = api;
		this.#on = on;
		onClick(element('sessions-close'), () => this.#dialog.close());
		onClick(element('sessions-new'), () => this.#leave(() => on.onNew()));
		/* A click on the dialog itself is one beside its content. */
		onClick(this.#dialog, (event) => event.target === this.#dialog && this.#dialog.close());
		this.#dialog.addEventListener('close', () => this.#stop());
		document.addEventListener('visibilitychange', () => this.#refresh());
	}

	show(): void {
		if (this.#dialog.open)
			return;
		setText(element('sessions-note'), this.#rows.size ? '' : 'Looking…');
		this.#dialog.showModal();
		this.#refresh();
	}

	#leave(action: () => string): void {
		this.#dialog.close();
		const why = action();
		if (!why)
			return;
		this.show();
		this.#note(why);
	}

	#stop(): void {
		clearTimeout(this.#timer);
		this.#asking.abort();
	}

	/* One question at a time: a new one takes the place of the one under way. */
	#refresh(): void {
		this.#stop();
		if (!this.#dialog.open || document.visibilityState !== 'visible')
			return;
		this.#asking = new AbortController();
		const { signal } = this.#asking;
		this.#ask(signal).catch((error) => signal.aborted || this.#note(`The list cannot be read: ${error.message}`))
			.finally(() => {
				if (!signal.aborted)
					this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
			});
	}

	async #ask(signal: AbortSignal): Promise<void> {
		await this.#api.ready();
		const { sessions, unreachable } = await this.#api.sessions(signal);

		if (!signal.aborted)
			this.#render(sessions.filter(isLive), unreachable);
	}

	/* Rows stay the same elements, so that the keyboard does not lose its place. */
	#render(sessions: Session[], unreachable: string[]): void {
		const ids = new Set(sessions.map(({ session_id: id }) => id));

		for (const [id, { item }] of this.#rows)
			if (!ids.has(id)) {
				item.remove();
				this.#rows.delete(id);
			}
		for (const session of sessions)
			this.#fill(this.#rowOf(session.session_id), session);
		this.#showUnreachable(unreachable);
		this.#note(sessions.length ? '' : unreachable.length ? 'No session is known to run.' : 'None of your sessions is running.');
	}

	/* What a node has that does not answer is not lost: it goes on there. */
	#showUnreachable(names: string[]): void {
		const texts = names.map((name) => `unreachable: ${name}`);

		if (texts.join('\n') === [...this.#unreachable.children].map(({ textContent }) => textContent).join('\n'))
			return;
		this.#unreachable.hidden = texts.length === 0;
		this.#unreachable.replaceChildren(...texts.map((text) => {
			const item = make('li', 'why');
			item.textContent = text;
			item.title = 'Sessions on this node go on, and are shown again when it can be reached.';
			return item;
		}));
	}

	#rowOf(id: string): Row {
		const known = this.#rows.get(id);
		if (known)
			return known;

		const row = {
			item: make('li', ''),
			name: make('strong', ''),
			where: make('span', 'why'),
			open: button('Open', () => this.#leave(() => this.#on.onOpen(id))),
			end: button('End', () => void this.#end(id), 'danger'),
		};
		const words = make('div', 'words');
		row.name.id = `session-${id}`;
		row.item.dataset.session = id;
		for (const control of [row.open, row.end])
			control.setAttribute('aria-describedby', row.name.id);
		words.append(row.name, row.where);
		row.item.append(words, row.open, row.end);
		this.#list.append(row.item);
		this.#rows.set(id, row);
		return row;
	}

	#fill({ name, where, open }: Row, session: Session): void {
		const role = this.#on.roleIn(session.session_id);
		const words = sessionWords(session, role, Date.now());

		setText(name, words.name);
		setText(where, words.detail);
		where.title = words.times;
		setText(open, role ? 'Go to tab' : 'Open');
	}

	async #end(id: string): Promise<void> {
		const why = await this.#on.onEnd(id);

		this.#refresh();
		if (why)
			this.#note(why);
	}

	#note(text: string): void {
		setText(element('sessions-note'), text);
	}
}
