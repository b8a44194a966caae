// SPDX-License-Identifier: MIT
// A TCP proxy on loopback that makes a bad network: cuts at random byte counts, latency, bandwidth, stalls. Its choices
// follow from the seed alone; when they take effect depends on the traffic.
import net from "node:net";

// A router between the ends holds so much of each direction before it makes the sender wait.
const QUEUE_BYTES = 32_768;
// A slow link delivers in pieces of a packet's size.
const PACKET_BYTES = 1448;
const UNLIMITED_BYTES_PER_SECOND = 10_000_000; // for the size of the wire alone

// mulberry32: numbers in [0, 1) that follow from a 32-bit seed.
export function randomFrom(seed) {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
	};
}

const between = (random, [low, high]) => low + Math.floor(random() * (high - low + 1));

// One direction of one connection. Bytes leave in the order they came, each piece not before its time.
class Lane {
	#proxy;
	#from;
	#to;
	#left;
	#onBudget;
	#pieces = [];
	#queued = 0;
	#freeAt = 0;
	#timer;
	#isEnded = false;
	#isStopped = false;

	// budget: after so many bytes onBudget is called, in the middle of a piece where it falls there.
	constructor(proxy, from, to, budget, onBudget) {
		this.#proxy = proxy;
		this.#from = from;
		this.#to = to;
		this.#left = budget;
		this.#onBudget = onBudget;
		from.on("data", (chunk) => this.take(chunk));
		from.on("close", () => {
			this.#isEnded = true;
			this.pump();
		});
		to.on("drain", () => this.pump());
	}

	take(chunk) {
		if (this.#isStopped)
			return;
		const { latencyMs, bytesPerSecond } = this.#proxy.conditions;
		const step = bytesPerSecond ? PACKET_BYTES : chunk.length;
		for (let at = 0; at < chunk.length; at += step) {
			const piece = chunk.subarray(at, at + step);
			const sendMs = bytesPerSecond ? (piece.length * 1000) / bytesPerSecond : 0;
			this.#freeAt = Math.max(performance.now(), this.#freeAt) + sendMs;
			this.#pieces.push([this.#freeAt + latencyMs, piece]);
			this.#queued += piece.length;
		}
		this.pump();
	}

	// What is on the wire is in no queue: bandwidth × latency is held on top.
	#limit() {
		const { latencyMs, bytesPerSecond } = this.#proxy.conditions;
		return QUEUE_BYTES + (latencyMs * (bytesPerSecond || UNLIMITED_BYTES_PER_SECOND)) / 1000;
	}

	pump() {
		clearTimeout(this.#timer);
		if (this.#isStopped)
			return;
		const { stalled } = this.#proxy.conditions;
		while (this.#pieces.length > 0 && !stalled && !this.#to.writableNeedDrain && !this.#to.destroyed) {
			const [due, piece] = this.#pieces[0];
			const wait = due - performance.now();
			if (wait > 0.5) {
				this.#timer = setTimeout(() => this.pump(), wait);
				break;
			}
			this.#pieces.shift();
			this.#queued -= piece.length;
			if (!this.#deliver(piece))
				return;
		}
		if (this.#queued >= this.#limit())
			this.#from.pause();
		else
			this.#from.resume();
		if (this.#isEnded && this.#pieces.length === 0)
			this.#to.destroySoon();
	}

	// False: it was these bytes that used up the budget.
	#deliver(piece) {
		const part = piece.subarray(0, this.#left);
		this.#left -= part.length;
		this.#proxy.carried += part.length;
		this.#to.write(part);
		if (this.#left > 0)
			return true;
		this.#onBudget();
		return false;
	}

	stop() {
		clearTimeout(this.#timer);
		this.#isStopped = true;
		this.#pieces = [];
		this.#from.resume();
	}
}

// One connection. plan: which direction is counted, after how many bytes it is cut, and whether by a reset.
class Link {
	#proxy;
	#sockets;
	#lanes;
	isCounted;

	constructor(proxy, client, isCounted, plan) {
		const server = net.connect({ port: proxy.target, host: "127.0.0.1", noDelay: true });
		const cut = () => this.cut(plan.reset);
		const budget = (direction) => (plan?.direction === direction ? plan.bytes : Infinity);
		this.#proxy = proxy;
		this.isCounted = isCounted;
		this.#sockets = [client, server];
		this.#lanes = [
			new Lane(proxy, client, server, budget("up"), cut),
			new Lane(proxy, server, client, budget("down"), cut),
		];
		for (const socket of this.#sockets) {
			socket.on("error", () => undefined);
			socket.on("close", () => this.#sockets.every(({ destroyed }) => destroyed) && proxy.forget(this));
		}
	}

	// The first bytes of the client, which may be the last.
	begin(head) {
		this.#lanes[0].take(head);
	}

	pump() {
		for (const lane of this.#lanes)
			lane.pump();
	}

	// What has been delivered to an end stays delivered when the end is orderly; a reset may lose it as well.
	cut(isReset) {
		for (const lane of this.#lanes)
			lane.stop();
		for (const socket of this.#sockets) {
			if (isReset)
				socket.resetAndDestroy();
			else
				socket.destroySoon();
		}
		this.#proxy.cuts += this.isCounted ? 1 : 0;
		this.#proxy.forget(this);
	}

	destroy() {
		for (const lane of this.#lanes)
			lane.stop();
		for (const socket of this.#sockets)
			socket.destroy();
	}
}

export class FaultProxy {
	target; // the port behind
	cuts = 0;
	connections = 0;
	carried = 0;
	conditions = { latencyMs: 0, bytesPerSecond: 0, stalled: false };
	#match;
	#random;
	#cutting;
	#server;
	#links = new Set();
	#clients = new Set();

	// match: which connections are counted and cut, by the first bytes of the client. All of them are slow.
	static async start({ seed = 1, match = /^GET \S+\/pty/ } = {}) {
		const proxy = new FaultProxy();
		proxy.#random = randomFrom(seed);
		proxy.#match = match;
		proxy.#server = net.createServer({ noDelay: true }, (client) => proxy.#accept(client));
		await new Promise((resolve, reject) => proxy.#server.once("error", reject).listen(0, "127.0.0.1", resolve));
		proxy.port = proxy.#server.address().port;
		proxy.url = `http://127.0.0.1:${proxy.port}`;
		return proxy;
	}

	// From the next connection on: a cut after [least, most] bytes to the person (down) or from the person (up).
	cutBetween(ranges) {
		this.#cutting = Object.entries(ranges);
	}

	stopCutting() {
		this.#cutting = undefined;
	}

	// Latency is in each direction: the round trip takes twice as long.
	set({ latencyMs = 0, bytesPerSecond = 0, stalled = false } = {}) {
		this.conditions = { latencyMs, bytesPerSecond, stalled };
		for (const link of this.#links)
			link.pump();
	}

	#accept(client) {
		this.#clients.add(client);
		client.on("error", () => undefined);
		client.on("close", () => this.#clients.delete(client));
		client.once("data", (head) => {
			const isCounted = this.#match.test(head.toString("latin1"));
			this.connections += isCounted ? 1 : 0;
			const link = new Link(this, client, isCounted, isCounted && this.#cutting ? this.#plan() : undefined);
			this.#links.add(link);
			link.begin(head);
		});
	}

	#plan() {
		const [direction, range] = this.#cutting[Math.floor(this.#random() * this.#cutting.length)];
		return { direction, bytes: between(this.#random, range), reset: this.#random() < 0.5 };
	}

	forget(link) {
		this.#links.delete(link);
	}

	// Cuts every counted connection there is.
	cutAll({ reset = true } = {}) {
		for (const link of [...this.#links].filter(({ isCounted }) => isCounted))
			link.cut(reset);
	}

	async stop() {
		for (const link of this.#links)
			link.destroy();
		this.#links.clear();
		for (const client of this.#clients)
			client.destroy();
		await new Promise((resolve) => this.#server.close(resolve));
	}
}
