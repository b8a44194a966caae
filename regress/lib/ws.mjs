// SPDX-License-Identifier: MIT
// Terminal clients for the tests: JSON frames, the binary fog.pty.v1 (DESIGN 3.2), and raw bytes for what a decent
// client would never send.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import { StringDecoder } from "node:string_decoder";
import WebSocket from "ws";
import { until, withDeadline } from "./proc.mjs";

const TEXT_KEPT = 1 << 20;

// Output as text with a cursor: waitFor looks behind what it matched last.
class Screen {
	#decoder = new StringDecoder("utf8");
	text = "";
	cursor = 0;
	bytes = 0;

	push(chunk) {
		this.bytes += chunk.length;
		this.text += this.#decoder.write(chunk);
		const excess = this.text.length - 2 * TEXT_KEPT;
		if (excess > 0) {
			this.text = this.text.slice(-TEXT_KEPT);
			this.cursor = 0;
		}
	}

	take(pattern) {
		const found = pattern.exec(this.text.slice(this.cursor));
		if (found)
			this.cursor += found.index + found[0].length;
		return found;
	}
}

// A refused upgrade, with the HTTP answer.
export class RefusedUpgrade extends Error {
	constructor(answer) {
		super(`upgrade refused with ${answer.status}: ${answer.body}`);
		Object.assign(this, answer);
	}
}

function openSocket(url, protocols, { origin, headers, ca } = {}) {
	const socket = new WebSocket(url, protocols, { origin, headers, ca, perMessageDeflate: false, handshakeTimeout: 10_000 });
	const opened = new Promise((resolve, reject) => {
		socket.once("open", resolve);
		socket.once("error", reject);
		socket.once("unexpected-response", (_request, response) => {
			let body = "";
			response.setEncoding("utf8").on("data", (text) => { body += text; });
			response.on("end", () => reject(new RefusedUpgrade({ status: response.statusCode, headers: response.headers, body })));
		});
	});
	opened.catch(() => undefined);
	socket.on("error", () => undefined);
	return { socket, opened };
}

class Terminal {
	screen = new Screen();
	exit = undefined;
	closed = undefined;

	constructor(url, protocols, options) {
		const { socket, opened } = openSocket(url, protocols, options);
		this.socket = socket;
		this.opened = opened;
		socket.on("message", (data, binary) => this.onMessage(data, binary));
		this.whenClosed = new Promise((resolve) => {
			socket.once("close", (code, reason) => {
				this.closed = { code, reason: reason.toString("utf8") };
				resolve(this.closed);
			});
		});
	}

	async waitFor(pattern, timeout = 10_000) {
		try {
			return await until(`output matches ${pattern}`, () => {
				const found = this.screen.take(pattern);
				assert.ok(found || !this.closed, `the connection closed before output matched ${pattern}`);
				return found;
			}, { timeout });
		} catch (error) {
			error.message += `\nclosed: ${JSON.stringify(this.closed)}, output so far: ${JSON.stringify(this.screen.text.slice(-2000))}`;
			throw error;
		}
	}

	// Types a line and waits for what it prints.
	async run(line, pattern, timeout) {
		this.type(`${line}\n`);
		return this.waitFor(pattern, timeout);
	}

	waitExit(timeout = 10_000) {
		return until("exit frame", () => this.exit, { timeout });
	}

	waitClosed(timeout = 10_000) {
		return withDeadline(this.whenClosed, "connection is closed", timeout);
	}

	async close() {
		this.socket.close(1000);
		return this.waitClosed();
	}

	destroy() {
		this.socket.terminate();
	}
}

export class JsonTerminal extends Terminal {
	frames = [];

	// via: "query" names no subprotocol at all, "protocol" names fog.pty.json and carries the token beside it.
	static async open(fog, { ws_url: url, token }, { via = "protocol", ...options } = {}) {
		const terminal = via === "query"
			? new JsonTerminal(`${url}?token=${token}`, [], { ca: fog.ca, ...options })
			: new JsonTerminal(url, ["fog.pty.json", `fog.token.${token}`], { ca: fog.ca, ...options });
		fog.track(terminal);
		await terminal.opened;
		return terminal;
	}

	onMessage(data, binary) {
		if (binary)
			throw new Error("binary frame in the JSON protocol");
		const frame = JSON.parse(data.toString("utf8"));
		this.frames.push(frame);
		if (frame.type === "stdout")
			this.screen.push(Buffer.from(frame.data_b64, "base64"));
		else if (frame.type === "exit")
			this.exit = frame;
	}

	send(frame) {
		this.socket.send(JSON.stringify(frame));
	}

	type(text) {
		this.send({ type: "stdin", data_b64: Buffer.from(text).toString("base64") });
	}

	resize(cols, rows) {
		this.send({ type: "resize", cols, rows });
	}
}

// PROTOCOL 2: at latest so many bytes of output or so long after it.
const ACK_BYTES = 8192;
const ACK_MS = 50;

export class BinaryTerminal extends Terminal {
	hello = undefined;
	statuses = [];
	answers = [];
	outOffset = 0;
	inOffset = 0;
	skipped = 0;
	#sent = [];
	#acked = 0;
	#ackTimer;
	#hash = createHash("sha256");

	// from: the terminal that is continued; its unanswered input is sent again, from the offset that hello names.
	static async open(fog, { ws_url: url, token }, { from, out = from?.outOffset, query = "", ...options } = {}) {
		const target = out === undefined ? `${url}${query}` : `${url}?out=${out}`;
		const terminal = new BinaryTerminal(target, ["fog.pty.v1", `fog.token.${token}`], { ca: fog.ca, ...options });
		fog.track(terminal);
		await terminal.opened;
		await until("hello", () => terminal.hello || terminal.closed);
		if (!terminal.hello)
			throw new Error(`closed before hello: ${JSON.stringify(terminal.closed)}`);
		if (from)
			terminal.#continueInput(from);
		return terminal;
	}

	#continueInput(from) {
		this.#sent = [...from.#sent];
		this.inOffset = from.inOffset;
		for (const [offset, bytes] of this.#sent) {
			const missing = offset + bytes.length - this.hello.in_next;
			if (missing > 0)
				this.sendInput(offset + Math.max(0, bytes.length - missing), bytes.subarray(Math.max(0, bytes.length - missing)));
		}
	}

	onMessage(data, binary) {
		if (!binary)
			throw new Error("text frame in fog.pty.v1");
		const type = String.fromCharCode(data[0]);
		const payload = data.subarray(1);
		const handlers = {
			h: () => this.#onHello(JSON.parse(payload.toString("utf8"))),
			o: () => this.#onOutput(payload),
			x: () => { this.exit = JSON.parse(payload.toString("utf8")); },
			s: () => this.statuses.push(JSON.parse(payload.toString("utf8"))),
			p: () => this.sendFrame("q", payload),
			q: () => this.answers.push(payload.toString("hex")),
		};
		if (!handlers[type])
			throw new Error(`unknown message type ${JSON.stringify(type)}`);
		handlers[type]();
	}

	#onHello(hello) {
		if (this.hello)
			this.#onGap(hello);
		else
			this.inOffset = hello.in_next;
		this.hello = hello;
		this.outOffset = this.#acked = hello.out_from;
	}

	// One more hello tells of output that this client was too slow for, or of another size.
	#onGap({ out_from: from, out_lost: lost }) {
		assert.ok(lost >= 0 && from - lost === this.outOffset, `a second hello from ${from}, lost ${lost}, at ${this.outOffset}`);
		this.skipped += lost;
	}

	#onOutput(payload) {
		if (!this.hello)
			throw new Error("output before hello");
		this.outOffset += payload.length;
		this.#hash.update(payload);
		this.screen.push(payload);
		if (this.outOffset - this.#acked >= ACK_BYTES)
			this.acknowledge();
		else
			this.#ackTimer ??= setTimeout(() => this.acknowledge(), ACK_MS).unref();
	}

	acknowledge() {
		clearTimeout(this.#ackTimer);
		this.#ackTimer = undefined;
		this.#acked = this.outOffset;
		const offset = Buffer.alloc(8);
		offset.writeBigUInt64BE(BigInt(this.outOffset));
		this.sendFrame("a", offset);
	}

	// SHA-256 of all output of this connection so far.
	digest() {
		return this.#hash.copy().digest("hex");
	}

	sendFrame(type, payload) {
		if (this.socket.readyState === WebSocket.OPEN)
			this.socket.send(Buffer.concat([Buffer.from(type), payload]));
	}

	sendInput(offset, bytes) {
		const head = Buffer.alloc(8);
		head.writeBigUInt64BE(BigInt(offset));
		this.sendFrame("i", Buffer.concat([head, bytes]));
	}

	type(text) {
		const bytes = Buffer.from(text);
		this.#sent.push([this.inOffset, bytes]);
		this.sendInput(this.inOffset, bytes);
		this.inOffset += bytes.length;
	}

	resize(cols, rows) {
		const payload = Buffer.alloc(4);
		payload.writeUInt16BE(cols, 0);
		payload.writeUInt16BE(rows, 2);
		this.sendFrame("r", payload);
	}

	// Tells of a new attach token, which keeps this connection attached; gives the status that answers.
	async renew({ token }) {
		const mark = this.statuses.length;
		this.sendFrame("t", Buffer.from(token));
		return until("the renewal is answered", () => this.statuses.slice(mark).find(({ state }) => /^(renewed|renewal_refused)$/.test(state)));
	}

	// Sends a latency probe and waits for its answer.
	async probe() {
		const mark = randomBytes(8);
		this.sendFrame("p", mark);
		await until("probe is answered", () => this.answers.includes(mark.toString("hex")));
	}
}

// A client frame, every bit of which the caller may choose.
export function frame({ fin = true, rsv = 0, opcode = 1, masked = true, payload = "", length, lengthForm } = {}) {
	const bytes = Buffer.from(payload);
	const declared = BigInt(length ?? bytes.length);
	const form = lengthForm ?? (declared < 126n ? 7 : declared < 65_536n ? 16 : 64);
	const head = [Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode])];
	const maskBit = masked ? 0x80 : 0;
	if (form === 7) {
		head.push(Buffer.from([maskBit | Number(declared)]));
	} else {
		const extended = Buffer.alloc(form === 16 ? 3 : 9);
		extended[0] = maskBit | (form === 16 ? 126 : 127);
		if (form === 16)
			extended.writeUInt16BE(Number(declared), 1);
		else
			extended.writeBigUInt64BE(declared, 1);
		head.push(extended);
	}
	if (!masked)
		return Buffer.concat([...head, bytes]);
	const key = randomBytes(4);
	return Buffer.concat([...head, key, bytes.map((byte, index) => byte ^ key[index % 4])]);
}

const WS_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

// A WebSocket connection made of raw bytes. Frames of the server are parsed, and checked for what RFC 6455 asks of it.
export class RawWebSocket {
	#socket;
	#buffer = Buffer.alloc(0);
	frames = [];
	ended = false;
	initiatedClose = false;

	static async open(fog, { ws_url: url, token }, { protocol = "fog.pty.json", headers = [] } = {}) {
		const raw = new RawWebSocket();
		const { hostname, port, pathname, search } = new URL(url);
		const key = randomBytes(16).toString("base64");
		raw.#socket = net.connect(Number(port), hostname);
		fog.track(raw);
		raw.#socket.on("error", () => undefined);
		raw.#socket.on("data", (chunk) => raw.#onData(chunk));
		raw.#socket.once("close", () => { raw.ended = true; });
		raw.#socket.write([
			`GET ${pathname}${search} HTTP/1.1`, `Host: ${hostname}:${port}`, "Upgrade: websocket", "Connection: Upgrade",
			`Sec-WebSocket-Key: ${key}`, "Sec-WebSocket-Version: 13", `Sec-WebSocket-Protocol: ${protocol}, fog.token.${token}`,
			...headers, "", "",
		].join("\r\n"));
		await until("answer to the handshake", () => raw.head || raw.ended);
		const accept = createHash("sha1").update(key + WS_GUID).digest("base64");
		if (!/^HTTP\/1\.1 101 /.test(raw.head ?? "") || !raw.head.includes(accept))
			throw new Error(`handshake failed: ${raw.head ?? raw.#buffer.toString("latin1")}`);
		return raw;
	}

	#onData(chunk) {
		this.#buffer = Buffer.concat([this.#buffer, chunk]);
		const end = this.head === undefined ? this.#buffer.indexOf("\r\n\r\n") : -1;
		if (end >= 0) {
			this.head = this.#buffer.subarray(0, end).toString("latin1");
			this.#buffer = this.#buffer.subarray(end + 4);
		}
		while (this.head !== undefined && this.#parseFrame())
			;
	}

	#parseFrame() {
		const data = this.#buffer;
		if (data.length < 2)
			return false;
		const short = data[1] & 0x7f;
		const headLength = short < 126 ? 2 : short === 126 ? 4 : 10;
		if (data.length < headLength)
			return false;
		const length = short < 126 ? short : short === 126 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2));
		if (data.length < headLength + length)
			return false;
		this.frames.push({
			fin: (data[0] & 0x80) !== 0, rsv: (data[0] >> 4) & 7, opcode: data[0] & 0xf, masked: (data[1] & 0x80) !== 0,
			payload: Buffer.from(data.subarray(headLength, headLength + length)),
		});
		this.#buffer = data.subarray(headLength + length);
		if ((data[0] & 0xf) === 8 && !this.initiatedClose)
			this.#socket.write(frame({ opcode: 8, payload: this.frames.at(-1).payload }));
		return true;
	}

	write(...frames) {
		this.#socket.write(Buffer.concat(frames));
	}

	// While paused nothing is read, so that the server's send buffer fills.
	pause() {
		this.#socket.pause();
	}

	resume() {
		this.#socket.resume();
	}

	// All text of stdout frames of the JSON protocol so far.
	text() {
		return this.frames.filter(({ opcode }) => opcode === 1).map(({ payload }) => JSON.parse(payload.toString("utf8")))
			.filter(({ type }) => type === "stdout").map(({ data_b64: data }) => Buffer.from(data, "base64").toString("latin1")).join("");
	}

	waitFrame(opcode, timeout = 10_000) {
		return until(`frame with opcode ${opcode}`, () => this.frames.find((found) => found.opcode === opcode), { timeout });
	}

	// The status code of the server's close frame, after which the connection must end.
	async closeCode(timeout = 10_000) {
		await until("connection ends", () => this.ended, { timeout });
		const closing = this.frames.find(({ opcode }) => opcode === 8);
		return closing && (closing.payload.length >= 2 ? closing.payload.readUInt16BE(0) : 1005);
	}

	destroy() {
		this.#socket.destroy();
	}
}
