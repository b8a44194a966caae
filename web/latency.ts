/* SPDX-License-Identifier: MIT */
/* How far the nodes are from where the person is: a few probes each, when they are made, and when a better node is worth telling. The
 * service decides where a session goes; these figures only help it among nodes that policy allows. Clock and network are given. */
import { originOf, type FogNode } from './nodes.ts';

/** So many nodes are measured at most. */
export const TARGETS_MAX = 12;
/** Of one node, after one that sets the connection up and does not count. */
const PROBES = 5;
/** After so many timed probes a node that is so many times farther than the best so far is asked no more. */
const EARLY_PROBES = 2;
const EARLY_FACTOR = 3;
const BUDGET_MS = 1500;
export const MEASURE_EVERY_MS = 300_000;
/** Older figures say nothing: the computer may be somewhere else by now. */
const FIGURES_LIFE_MS = 900_000;
/** So long a new session waits for figures. */
const CREATE_WAIT_MS = 300;
const LATENCY_MAX_MS = 60_000;
/** A better node is told of when so many measures one after another say so. */
const WINS = 3;

/* The rule of placerd/place.c, place_is_worth_moving(), where its reasons are: the page offers what the service would choose. */
const MOVE_NUMERATOR = 17;
const MOVE_DENOMINATOR = 10;
const MOVE_FLOOR_MS = 4;

/** Whether a node at `other` is so much nearer than one at `now`, both in whole ms, that it is worth a move. */
export function isWorthMoving(now: number, other: number): boolean {
	return now >= other + MOVE_FLOOR_MS && now * MOVE_DENOMINATOR >= other * MOVE_NUMERATOR;
}

export interface Ports {
	/** ms, of a clock that goes on while the computer sleeps. */
	now(): number;
	/** How long one request to an origin took, in ms. Rejects when it failed or `signal` ended it. */
	probe(origin: string, signal: AbortSignal): Promise<number>;
	/** Resolves after ms, or with the signal. */
	wait(ms: number, signal: AbortSignal): Promise<void>;
}

/** ms by name of the node. */
export type Figures = ReadonlyMap<string, number>;

export interface Target {
	name: string;
	origin: string;
}

/** Which nodes are measured: this one, then those that are up, fog before cloud, in the order of the list. */
export function targetsOf(nodes: FogNode[], here: string): Target[] {
	const rank = ({ self, tier }: FogNode): number => (self ? 0 : tier === 'fog' ? 1 : 2);

	return nodes
		.filter(({ self, state }) => self || state === 'up')
		.sort((a, b) => rank(a) - rank(b))
		.flatMap((node) => {
			const origin = originOf(node, here);
			return origin ? [{ name: node.name, origin }] : [];
		})
		.slice(0, TARGETS_MAX);
}

/** Fills `figures` with the least of each node's probes, all nodes at the same time, for 1.5 s at most. A node that fails is left out. */
export async function measure(targets: Target[], ports: Ports, figures = new Map<string, number>()): Promise<Figures> {
	const over = new AbortController();
	const all = Promise.all(targets.map((target) => measureOne(target, ports, figures, over.signal)));

	await Promise.race([all, ports.wait(BUDGET_MS, over.signal)]);
	over.abort();
	return figures;
}

async function measureOne({ name, origin }: Target, ports: Ports, figures: Map<string, number>, signal: AbortSignal): Promise<void> {
	try {
		await ports.probe(origin, signal);
		for (let done = 1; done <= PROBES && !signal.aborted; done++) {
			const ms = await ports.probe(origin, signal);
			if (signal.aborted)
				return;
			figures.set(name, Math.min(ms, figures.get(name) ?? Infinity));
			if (done === EARLY_PROBES && figures.get(name)! > EARLY_FACTOR * Math.min(...figures.values()))
				return;
		}
	} catch {
		if (!signal.aborted)
			figures.delete(name);
	}
}

/** As POST /v1/sessions takes it. */
export function latencyMembers(figures: Figures): Record<string, number> {
	return Object.fromEntries([...figures].map(([name, ms]) => [name, Math.max(0, Math.min(LATENCY_MAX_MS, Math.round(ms)))]));
}

export interface Measured {
	nodes: FogNode[];
	figures: Figures;
}

/** Measures, one at a time and every 5 minutes at most, and keeps what came of it. With one node there is nothing to compare. */
export class Latencies {
	readonly #ports: Ports;
	readonly #here: string;
	readonly #nodes: () => Promise<FogNode[]>;
	readonly #onMeasured: (measured: Measured) => void;
	#figures: Figures = new Map();
	/** Of a measure that is under way. */
	#growing: Figures = new Map();
	#begunAt = -Infinity;
	#running: Promise<void> | null = null;

	/** nodes: asks for the list. */
	constructor(ports: Ports, here: string, nodes: () => Promise<FogNode[]>, onMeasured: (measured: Measured) => void) {
		this.#ports = ports;
		this.#here = here;
		this.#nodes = nodes;
		this.#onMeasured = onMeasured;
	}

	/** How long until the next measure is due. */
	get dueInMs(): number {
		return Math.max(0, MEASURE_EVERY_MS - this.#age);
	}

	/** Measures where that is due, and resolves when no measure is under way. */
	refresh(): Promise<void> {
		if (!this.#running && this.#age >= MEASURE_EVERY_MS)
			this.#running = this.#measure().catch(() => undefined).finally(() => (this.#running = null));
		return this.#running ?? Promise.resolve();
	}

	/** latency_ms of a new session: what is known, else what can be known within 300 ms, be that nothing. */
	async forCreate(): Promise<Record<string, number>> {
		const measured = this.refresh();

		if (this.#known.size === 0) {
			const over = new AbortController();
			await Promise.race([measured, this.#ports.wait(CREATE_WAIT_MS, over.signal)]);
			over.abort();
		}
		/* One node's figure alone compares nothing. */
		const figures = this.#known.size > 0 ? this.#known : this.#growing;
		return figures.size > 1 ? latencyMembers(figures) : {};
	}

	/* The clock may have been set back: then nothing is known of the age. */
	get #age(): number {
		const age = this.#ports.now() - this.#begunAt;

		return age < 0 ? Infinity : age;
	}

	get #known(): Figures {
		return this.#age < FIGURES_LIFE_MS ? this.#figures : new Map();
	}

	async #measure(): Promise<void> {
		const nodes = await this.#nodes();
		const targets = targetsOf(nodes, this.#here);
		const growing = new Map<string, number>();

		this.#figures = this.#known;
		this.#growing = growing;
		this.#begunAt = this.#ports.now();
		this.#figures = targets.length > 1 ? await measure(targets, this.#ports, growing) : growing;
		this.#growing = new Map();
		this.#onMeasured({ nodes, figures: this.#figures });
	}
}

/** Where a session runs. */
export interface Place {
	node: string;
	tier: string;
	/** It is in the cloud because no fog node could take it. */
	isFallback: boolean;
}

export interface Offer {
	node: string;
	text: string;
}

/** Of one session: tells once, after three measures one after another, that another node is better. */
export class OfferWatch {
	#wins = new Map<string, number>();
	#isDone = false;

	/** After each measure. Null: nothing to tell. */
	next(place: Place, { nodes, figures }: Measured): Offer | null {
		if (this.#isDone)
			return null;
		const better = nodes.filter((node) => isBetter(node, place, figures));

		this.#wins = new Map(better.map(({ name }) => [name, (this.#wins.get(name) ?? 0) + 1]));
		const best = better
			.filter(({ name }) => this.#wins.get(name)! >= WINS)
			.sort((a, b) => Number(b.tier === 'fog') - Number(a.tier === 'fog') || figures.get(a.name)! - figures.get(b.name)!)[0];
		if (!best)
			return null;
		this.#isDone = true;
		return { node: best.name, text: offerWords(best, place, figures) };
	}
}

function isBetter(node: FogNode, place: Place, figures: Figures): boolean {
	const now = figures.get(place.node);
	const other = figures.get(node.name);

	if (node.name === place.node || node.state !== 'up' || other === undefined)
		return false;
	if (isBack(node, place))
		return true;
	return (node.tier === 'fog' || node.tier === place.tier) && now !== undefined && isWorthMoving(Math.round(now), Math.round(other));
}

function isBack(node: FogNode, place: Place): boolean {
	return place.isFallback && place.tier === 'cloud' && node.tier === 'fog';
}

function offerWords(node: FogNode, place: Place, figures: Figures): string {
	if (isBack(node, place))
		return `The fog node ${node.name} is back: open a new session there. This one goes on.`;
	const [other, now] = [node.name, place.node].map((name) => Math.max(1, Math.round(figures.get(name)!)));

	return `${node.name} is nearer (${other} ms instead of ${now} ms): open a new session there. This one goes on.`;
}
