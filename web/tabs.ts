/* SPDX-License-Identifier: MIT */
/* The tabs of the page and their bar (WAI-ARIA tabs pattern). One is on top; the others go on receiving. */
import type { Api } from './api.ts';
import { SessionTab, type Placing, type Start } from './session-tab.ts';
import { describe } from './state.ts';
import { activeAfterClose, indexAfterKey, TABS_MAX, type OpenSet } from './tabset.ts';
import { button, make, setText } from './view.ts';

interface Entry {
	tab: SessionTab;
	/** The tab's place in the bar. */
	item: HTMLElement;
	handle: HTMLButtonElement;
	name: HTMLElement;
	/** What a screen reader hears after the name. */
	remark: HTMLElement;
}

export interface TabsListener {
	/** What is shown of the tab on top, or which one that is, has changed. */
	onChange(): void;
	onLink(address: string): void;
	/** A closing by mouse or key. */
	onClose(tab: SessionTab): void;
}

export class Tabs {
	readonly #api: Api;
	readonly #placing: Placing;
	readonly #bar: HTMLElement;
	readonly #panels: HTMLElement;
	readonly #on: TabsListener;
	#entries: Entry[] = [];
	#active = -1;
	#made = 0;
	#screenReader = false;

	constructor(api: Api, placing: Placing, bar: HTMLElement, panels: HTMLElement, on: TabsListener) {
		this.#api = api;
		this.#placing = placing;
		this.#bar = bar;
		this.#panels = panels;
		this.#on = on;
		bar.addEventListener('keydown', (event) => this.#onKey(event));
	}

	get all(): SessionTab[] {
		return this.#entries.map(({ tab }) => tab);
	}

	get active(): SessionTab | null {
		return this.#entries[this.#active]?.tab ?? null;
	}

	/** Of all terminals, also those to come. */
	get screenReader(): boolean {
		return this.#screenReader;
	}

	set screenReader(on: boolean) {
		this.#screenReader = on;
		for (const { screen } of this.all)
			screen.screenReader = on;
	}

	get isFull(): boolean {
		return this.#entries.length >= TABS_MAX;
	}

	/** The sessions that a reload comes back to. */
	get openSet(): OpenSet {
		const kept = this.all.filter(({ canEnd }) => canEnd);

		return {
			ids: kept.map(({ sessionId }) => sessionId!),
			active: Math.max(0, kept.findIndex((tab) => tab === this.active)),
		};
	}

	find(sessionId: string): SessionTab | undefined {
		return this.all.find((tab) => tab.sessionId === sessionId);
	}

	/** Adds a tab at the end and starts it. The caller has looked at isFull. */
	open(start: Start): SessionTab {
		const entry = this.#newEntry(start);

		this.#bar.append(entry.item);
		this.#entries.push(entry);
		if (this.#active < 0)
			this.activate(entry.tab);
		entry.tab.start();
		return entry.tab;
	}

	activate(tab: SessionTab): void {
		const before = this.active;

		this.#active = this.all.indexOf(tab);
		if (before && before !== tab)
			before.shown = false;
		tab.shown = true;
		for (const entry of this.#entries)
			this.#label(entry);
		this.#on.onChange();
	}

	/** Detaches and removes; the session goes on. */
	close(tab: SessionTab): void {
		const index = this.all.indexOf(tab);

		if (index < 0)
			return;
		const hadFocus = this.#bar.contains(document.activeElement);
		const active = activeAfterClose(this.#entries.length, index, this.#active);
		const [gone] = this.#entries.splice(index, 1);

		gone!.item.remove();
		tab.dispose();
		this.#active = -1;
		if (active >= 0)
			this.activate(this.#entries[active]!.tab);
		else
			this.#on.onChange();
		if (hadFocus)
			this.focusBar();
	}

	/** The keyboard goes to the tab on top: arrows lead to the others. */
	focusBar(): void {
		this.#entries[this.#active]?.handle.focus();
	}

	#newEntry(start: Start): Entry {
		const number = ++this.#made;
		const item = make('div', 'tab');
		const handle = make('button', 'handle');
		const name = make('span', 'name');
		const remark = make('span', 'hidden');
		const panel = make('div', 'panel');

		item.role = 'presentation';
		handle.type = 'button';
		handle.role = 'tab';
		handle.id = `tab-${number}`;
		handle.setAttribute('aria-controls', `panel-${number}`);
		handle.setAttribute('aria-keyshortcuts', 'Delete');
		handle.append(name, remark);
		panel.role = 'tabpanel';
		panel.id = `panel-${number}`;
		panel.hidden = true;
		panel.setAttribute('aria-labelledby', handle.id);
		panel.setAttribute('aria-describedby', 'leave-hint');
		this.#panels.append(panel);

		const entry = { tab: this.#newTab(start, panel), item, handle, name, remark };
		const cross = button('×', () => this.#on.onClose(entry.tab), 'cross');
		cross.tabIndex = -1; /* for the mouse; keys have Delete, and everybody the button beside the bar */
		cross.ariaHidden = 'true';
		item.append(handle, cross);
		handle.addEventListener('click', () => {
			this.activate(entry.tab);
			entry.tab.screen.focus();
		});
		return entry;
	}

	#newTab(start: Start, panel: HTMLElement): SessionTab {
		const tab: SessionTab = new SessionTab(this.#api, this.#placing, panel, start, {
			onChange: () => {
				const entry = this.#entries.find((other) => other.tab === tab);
				if (!entry)
					return;
				this.#label(entry);
				this.#on.onChange();
			},
			onLink: (address) => this.#on.onLink(address),
			onLeave: () => this.focusBar(),
		});
		tab.screen.screenReader = this.#screenReader;
		return tab;
	}

	#label({ tab, item, handle, name, remark }: Entry): void {
		const isActive = tab === this.active;
		const { status, tone } = describe(tab.state, Date.now());
		const label = tab.title || tab.profile || 'Session';

		setText(name, label);
		setText(remark, `, ${status}${tab.degraded && ', degraded'}${tab.hasNews ? ', new output' : ''}`);
		handle.title = `${label}: ${status}`;
		handle.ariaSelected = String(isActive);
		handle.tabIndex = isActive ? 0 : -1;
		item.dataset.tone = tone;
		item.dataset.state = tab.state.name;
		item.classList.toggle('news', tab.hasNews);
	}

	#onKey(event: KeyboardEvent): void {
		const { active } = this;
		const to = indexAfterKey(event.key, this.#active, this.#entries.length);

		if (!active || event.ctrlKey || event.altKey || event.metaKey)
			return;
		if (event.key === 'Delete')
			this.#on.onClose(active);
		else if (to !== null)
			this.activate(this.#entries[to]!.tab);
		else
			return;
		event.preventDefault();
		this.focusBar();
	}
}
