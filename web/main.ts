/* SPDX-License-Identifier: MIT */
/* The page: tabs, the list of sessions, what buttons do, and the events of the browser that make connections worth another try. */
import { Api, Problem } from './api.ts';
import { leaveRoles, takeRoles } from './baton.ts';
import { BrowserHost } from './browser-host.ts';
import { Identity } from './identity.ts';
import { Latencies, type Measured } from './latency.ts';
import { keepPin, readPin, type FogNode } from './nodes.ts';
import { BROWSER, forgetTimings } from './probe.ts';
import type { Role } from './protocol.ts';
import type { SessionTab, Start } from './session-tab.ts';
import { SessionsPanel } from './sessions-panel.ts';
import type { Action } from './state.ts';
import { Tabs } from './tabs.ts';
import { formatHash, parseHash, TABS_MAX } from './tabset.ts';
import { element, onClick, View } from './view.ts';
import './style.css';

const TICK_MS = 1000;
/** After a list of nodes that could not be had. */
const MEASURE_RETRY_MS = 60_000;

let tick = 0;
let measureTimer = 0;
let pin = readPin(localStorage);
let shownTab: SessionTab | null = null;

const host = new BrowserHost(() => location.hash);
const identity = new Identity(host, { onChange: onIdentity, onRenewed });
const api = new Api(identity);
const view = new View(onAction, (name) => keepPin(localStorage, pin = name));
const latencies = new Latencies(BROWSER, location.origin, listNodes, onMeasured);
const placing = {
	get pin() {
		return pin;
	},
	latencyMs: () => latencies.forCreate(),
};
const tabs = new Tabs(api, placing, element('tabs'), element('panels'), {
	onChange: render,
	onLink: (address) => view.showLink(address),
	onClose: (tab) => void closeTab(tab),
});
const panel = new SessionsPanel(api, {
	roleIn: (id) => tabs.find(id)?.role ?? null,
	onOpen: openSession,
	onNew: () => newSession(),
	onEnd: endListed,
});

function render(): void {
	const { active } = tabs;

	clearTimeout(tick);
	const { countdown } = view.show(active, Date.now());
	if (countdown)
		tick = setTimeout(render, TICK_MS);
	element<HTMLButtonElement>('new').disabled = tabs.isFull;
	/* An id is no secret; it brings a reload back to the same shell. */
	const address = formatHash(tabs.openSet) || location.pathname;
	if (location.hash !== formatHash(tabs.openSet))
		history.replaceState(null, '', address);
	focusWhenReady(active);
}

/* Once a terminal can be typed in; not away from somebody who is in the bar of tabs or in a dialog. */
function focusWhenReady(tab: SessionTab | null): void {
	const isReady = tab?.state.name === 'connected' || tab?.state.name === 'watching';
	const isNew = isReady && tab !== shownTab;

	shownTab = isReady ? tab : null;
	if (isNew && !document.activeElement?.closest('[role=tablist], dialog'))
		tab!.screen.focus();
}

/* Somebody has signed in or out. */
function onIdentity(): void {
	view.showIdentity(identity);
	if (identity.isSignedIn) {
		loadProfiles();
		measureNodes();
	} else {
		api.forget();
	}
	for (const tab of tabs.all)
		tab.onIdentity();
}

function onRenewed(): void {
	for (const tab of tabs.all)
		void tab.renew();
}

/* Only while somebody looks: who does not look opens no session. */
function measureNodes(): void {
	clearTimeout(measureTimer);
	if (document.visibilityState !== 'visible' || !identity.isSignedIn)
		return;
	void latencies.refresh().then(() => {
		clearTimeout(measureTimer);
		measureTimer = setTimeout(measureNodes, Math.max(MEASURE_RETRY_MS, latencies.dueInMs));
	});
}

async function listNodes(): Promise<FogNode[]> {
	const nodes = await api.nodes();

	view.showNodes(nodes, pin);
	return nodes;
}

function onMeasured(measured: Measured): void {
	forgetTimings();
	for (const tab of tabs.all)
		tab.onMeasured(measured);
}

function loadProfiles(): void {
	api.ready().then((profiles) => (view.profiles = profiles.map(({ name }) => name))).catch(() => undefined);
}

/* Opens a tab on top and gives '', or why not. */
function openTab(start: Start): string {
	if (tabs.isFull)
		return `${TABS_MAX} tabs are open: close one first.`;
	tabs.activate(tabs.open(start));
	return '';
}

function openSession(id: string): string {
	const known = tabs.find(id);

	if (!known?.canEnd)
		return openTab({ sessionId: id, role: null, profile: '', isReplaceable: false });
	tabs.activate(known);
	known.screen.focus();
	return '';
}

function newSession(hint = ''): string {
	return openTab({ sessionId: null, role: 'driver', profile: view.profile, isReplaceable: false, hint });
}

/* Beside the session that is there, which stays. */
function openThere(tab: SessionTab): void {
	const node = tab.advice?.node;

	if (!node)
		return;
	tab.dismiss();
	const why = newSession(node);
	if (why)
		tab.tell(why);
}

async function closeTab(tab: SessionTab): Promise<void> {
	const isSure = tab.unsentBytes === 0 || await view.confirm({
		title: 'Close this tab?',
		detail: 'Something you typed has not been sent yet, and would be lost. The session itself goes on.',
		yes: 'Close tab',
	});

	if (isSure)
		tabs.close(tab);
}

function confirmEnd(): Promise<boolean> {
	return view.confirm({
		title: 'End this session?',
		detail: 'Its programs are stopped, and what is not saved is lost.',
		yes: 'End session',
	});
}

async function endActive(): Promise<void> {
	const tab = tabs.active;

	if (tab && await confirmEnd())
		await tab.end();
}

async function endListed(id: string): Promise<string> {
	if (!await confirmEnd())
		return '';
	try {
		await api.endSession(id);
		return '';
	} catch (error) {
		return `Not ended: ${error instanceof Problem ? error.title : String(error)}`;
	}
}

const ON_TAB: Record<Exclude<Action, 'sessions' | 'new' | 'sign-in'>, (tab: SessionTab) => void> = {
	'retry': (tab) => tab.start(),
	'reconnect': (tab) => tab.retryNow(),
	'take-back': (tab) => tab.startAs('driver'),
	'take-over': (tab) => tab.startAs('driver'),
	'watch': (tab) => tab.startAs('viewer'),
	'stay': (tab) => void tab.extend(),
	'extend': (tab) => void tab.extend(),
	'close': (tab) => void closeTab(tab),
	'open-there': openThere,
	'dismiss': (tab) => tab.dismiss(),
};

function onAction(action: Action): void {
	const tab = tabs.active;

	if (action === 'sessions')
		panel.show();
	else if (action === 'sign-in')
		void identity.signIn();
	else if (action === 'new')
		tab?.state.name === 'ended' ? tab.startNew(view.profile) : newSession();
	else if (tab)
		ON_TAB[action](tab);
}

/** The network or the person is back: no need to wait, and a connection may be dead without knowing. */
function retryNow(): void {
	if (document.visibilityState !== 'visible')
		return;
	identity.wake();
	measureNodes();
	for (const tab of tabs.all)
		tab.retryNow();
}

/* The tabs that the address names, with the one on top that it says. */
function openFromAddress(roles: Map<string, Role>, isReplaceable: boolean): void {
	const { ids, active } = parseHash(location.hash);
	const wanted = ids[active];

	for (const id of ids)
		if (!tabs.find(id) && !tabs.isFull)
			tabs.open({ sessionId: id, role: roles.get(id) ?? null, profile: '', isReplaceable });
	const tab = wanted && tabs.find(wanted);
	if (tab)
		tabs.activate(tab);
}

function begin(): void {
	openFromAddress(takeRoles(sessionStorage), parseHash(location.hash).ids.length === 1);
	if (tabs.all.length === 0)
		newSession();
	loadProfiles();
}

onClick(element('sign-out'), () => identity.signOut());
host.listen((message) => void identity.onMessage(message));
onClick(element('new'), () => newSession());
onClick(element('end'), () => void endActive());
onClick(element('screen-reader'), ({ currentTarget }) => {
	const toggle = currentTarget as HTMLElement;
	tabs.screenReader = toggle.ariaPressed !== 'true';
	toggle.ariaPressed = String(tabs.screenReader);
});
addEventListener('online', retryNow);
document.addEventListener('visibilitychange', retryNow);
/* Not every browser tells of a change of the network. */
(navigator as { connection?: EventTarget }).connection?.addEventListener('change', retryNow);
/* What was typed and not sent would be lost with the page. */
addEventListener('beforeunload', (event) => {
	if (!host.isLeaving && tabs.all.some(({ unsentBytes }) => unsentBytes > 0))
		event.preventDefault();
});
addEventListener('pagehide', () => host.isLeaving || leaveRoles(sessionStorage, new Map(
	tabs.all.flatMap(({ sessionId, role }) => (sessionId && role ? [[sessionId, role]] : [])))));
addEventListener('pageshow', ({ persisted }) => {
	if (persisted) {
		takeRoles(sessionStorage);
		retryNow();
	}
});
addEventListener('hashchange', () => openFromAddress(new Map(), false));
begin();
