// SPDX-License-Identifier: MIT
// Exact resume through a network that cuts: output without a gap or a repeat for a client and for the page in a browser,
// keystrokes that arrive once. FULL=1: 50 MB and 100 cuts each. SEED chooses other cuts.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { after } from "node:test";
import { chromium } from "playwright-core";
import { FaultProxy, randomFrom } from "../lib/faultproxy.mjs";
import { suite } from "../lib/harness.mjs";
import { sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const isFull = process.env.FULL === "1";
const SEED = Number(process.env.SEED ?? 1);
const CLIENT = isFull ? { bytes: 50_000_000, cuts: 100 } : { bytes: 10_000_000, cuts: 30 };
const PAGE = isFull ? { bytes: 50_000_000, cuts: 100 } : { bytes: 3_000_000, cuts: 10 };
const TIMEOUT_MS = isFull ? 300_000 : 60_000;
const KEYSTROKES = 1000;

const proxy = await FaultProxy.start({ seed: SEED });
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

// Lines "1" to "n", as many as fill so many bytes, as the terminal makes them: CR LF.
function numbered(bytes) {
	const lines = [];
	let length = 0;
	for (let i = 1; length < bytes; i++) {
		lines.push(`${i}\r\n`);
		length += lines.at(-1).length;
	}
	return { count: lines.length, output: Buffer.from(lines.join("")) };
}

// A program that prints them, and what it printed as a hash of its own. It pauses now and then: nobody is attached
// between two connections, the program runs on, and what the ring no longer has would be lost.
const STEP = 20_000;
const numberedProgram = (count, pauseSeconds) => "{ i=0; while [ $i -lt " + count + " ]; do " +
	`e=$((i+${STEP})); [ $e -le ${count} ] || e=${count}; seq $((i+1)) $e; i=$e; sleep ${pauseSeconds}; done; } | ` +
	"tee /dev/tty | sha256sum | sed s/^/wrote=/";
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const hashLine = (output) => `wrote=${sha256(output.toString("latin1").replaceAll("\r", ""))}  -\r\n`;

// A person's client: attaches again at once whenever the connection has ended, at the offset it has.
class Client {
	segments = [];
	#text = "";

	constructor(fog, session) {
		this.fog = fog;
		this.session = session;
	}

	async begin() {
		this.terminal = await BinaryTerminal.open(this.fog, this.session.attach);
		await this.terminal.run("stty -echo; PS1= PS2=; echo qui''et", /quiet\r?\n/);
		this.terminal.destroy();
		await this.terminal.waitClosed();
		this.start = this.terminal.outOffset;
		return this;
	}

	// True once the last connection is gone and a new one is there.
	async keepAttached() {
		if (this.terminal.closed === undefined)
			return;
		const last = this.terminal;
		if (this.isRecording)
			this.record();
		this.terminal = await until("attached again", async () => {
			const { id, token } = this.session;
			const { status, json } = await this.fog.api("POST", `/v1/sessions/${id}/attach`, { token, body: {} });
			return status === 201 && BinaryTerminal.open(this.fog, json, { from: last });
		}, { interval: 5 });
		const { hello } = this.terminal;
		assert.equal(hello.out_lost, 0, "the output left the ring while nobody was attached");
		assert.equal(hello.out_from, last.outOffset, "the output goes on where it ended");
		this.isRecording = true;
	}

	// What this connection brought: from where to where, and its hash.
	record() {
		const { hello, outOffset } = this.terminal;
		this.#text += this.terminal.screen.text;
		this.segments.push({ from: hello.out_from - this.start, to: outOffset - this.start, digest: this.terminal.digest() });
	}

	// The output of all connections; its last megabyte of each.
	text() {
		return this.#text + this.terminal.screen.text;
	}

	get received() {
		return this.terminal.outOffset - this.start;
	}

	// The segments follow each other, and each is that part of what was written.
	check(expected) {
		let at = 0;
		for (const { from, to, digest } of this.segments) {
			assert.equal(from, at, "a gap or a repeat between two connections");
			assert.ok(to <= expected.length, `${to - expected.length} bytes too many`);
			assert.equal(digest, sha256(expected.subarray(from, to)), `bytes ${from} to ${to}`);
			at = to;
		}
		assert.equal(at, expected.length);
	}
}

// A ring that a busy machine does not overrun while it attaches again.
const env = { GATEWAY_URL: proxy.url, LISTEN_ADDR: "127.0.0.1:0", OUTPUT_RING_BYTES: String(16 << 20) };

suite("resume", { env }, ({ fog, test }) => {
	after(() => proxy.stop());

	const connect = () => {
		proxy.target = fog.port;
		proxy.stopCutting();
		proxy.set();
		proxy.cuts = proxy.connections = 0;
	};

	test(`${CLIENT.bytes / 1e6} MB of numbered output across ${CLIENT.cuts} cuts are the bytes that were written`, async (t) => {
		connect();
		const session = await fog.create();
		const client = await new Client(fog, session).begin();
		const { count, output } = numbered(CLIENT.bytes);
		const expected = Buffer.concat([output, Buffer.from(hashLine(output))]);
		await client.keepAttached();
		const average = CLIENT.bytes / CLIENT.cuts;
		client.terminal.type(`${numberedProgram(count, 0.01)}\n`);
		await until("the program prints", () => client.received > 0);
		// What goes up is the request, of some 700 bytes, and acknowledgements.
		proxy.cutBetween({ down: [1, average], up: [500, 900] });
		proxy.cutAll();
		const deadline = performance.now() + TIMEOUT_MS;
		while (client.received < expected.length) {
			assert.ok(performance.now() < deadline, `${client.received} of ${expected.length} bytes`);
			await client.keepAttached();
			if (proxy.cuts >= CLIENT.cuts)
				proxy.stopCutting();
			await sleep(2);
		}
		client.record();
		client.check(expected);
		t.diagnostic(`${client.segments.length} connections, ${proxy.cuts} cuts, seed ${SEED}`);
		assert.ok(proxy.cuts >= CLIENT.cuts, `only ${proxy.cuts} cuts`);
		assert.equal((await fog.show(session)).status, "running");
	}, { timeout: TIMEOUT_MS });

	test(`${KEYSTROKES} keystrokes across cuts arrive once and in order`, async (t) => {
		connect();
		const session = await fog.create();
		const client = await new Client(fog, session).begin();
		await client.keepAttached();
		const random = randomFrom(SEED);
		// Every key a line discipline would treat as its own stays out; the terminal passes the rest unchanged.
		const keys = Array.from({ length: KEYSTROKES }, () => String.fromCharCode(33 + Math.floor(random() * 94)));
		// Not in a file: the next session that writes it in the same folder may be another user.
		await client.terminal.run(`stty -icanon; echo rea''dy; typed=$(head -c ${KEYSTROKES}); stty icanon; echo \${#typed}; ` +
			`printf %s "$typed" | sha256sum`, /ready\r\n/);
		proxy.cutBetween({ up: [300, 1500], down: [100, 330] });
		proxy.cutAll();
		for (const key of keys) {
			await client.keepAttached();
			client.terminal.type(key);
			if (random() < 0.1)
				await sleep(random() * 10);
		}
		proxy.stopCutting();
		const [, size, digest] = await until("what was typed", async () => {
			await client.keepAttached();
			return client.text().match(/(\d+)\r\n([0-9a-f]{64})  -\r\n$/);
		});
		assert.equal(Number(size), KEYSTROKES);
		assert.equal(digest, sha256(keys.join("")));
		t.diagnostic(`${proxy.connections} connections, ${proxy.cuts} cuts`);
		assert.ok(proxy.cuts >= 10, `only ${proxy.cuts} cuts`);
		// No key came twice behind the last one: it would be part of what the shell reads now.
		proxy.cutAll();
		await client.terminal.waitClosed();
		await client.keepAttached();
		await client.terminal.run("echo n''ext", /^next\r\n/);
		await client.terminal.close();
	}, { timeout: TIMEOUT_MS });

	// --- the page ---

	// What the page's sockets received, put together by the offsets that each hello names.
	class Recorder {
		sockets = 0;
		output = [];
		next = undefined;
		problem = undefined;

		constructor(page) {
			page.on("websocket", (socket) => {
				this.sockets++;
				socket.on("framereceived", ({ payload }) => this.#take(payload));
			});
		}

		#take(payload) {
			const bytes = payload.subarray(1);
			if (payload[0] === 0x68)
				this.#onHello(JSON.parse(bytes.toString("utf8")));
			else if (payload[0] === 0x6f)
				this.#onOutput(bytes);
		}

		#onHello({ out_from: from, out_lost: lost }) {
			if (this.next !== undefined && (from !== this.next || lost !== 0))
				this.problem ??= `resumed at ${from}, lost ${lost}, where ${this.next} was next`;
			this.next = from;
		}

		#onOutput(bytes) {
			this.next += bytes.length;
			this.output.push(bytes);
		}

		text() {
			return Buffer.concat(this.output).toString("latin1");
		}
	}

	// Runs in the page before its script: keeps whatever xterm.js decodes, which is what the page has written to its terminal.
	// xterm.js sets its decoders as properties of an object, one for bytes and one for strings; the page's script stays as it is.
	function recordWritten() {
		const pieces = [];
		const bytesOf = (data) => (typeof data === "string" ? new TextEncoder().encode(data) : data.slice());
		for (const name of ["_utf8Decoder", "_stringDecoder"])
			Object.defineProperty(Object.prototype, name, {
				set(decoder) {
					const decode = decoder.decode.bind(decoder);
					decoder.decode = (data, target) => {
						pieces.push(bytesOf(data));
						return decode(data, target);
					};
					Object.defineProperty(this, name, { value: decoder });
				},
			});
		globalThis.written = {
			size: () => pieces.reduce((sum, { length }) => sum + length, 0),
			digest: async (from) => {
				const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
				const digest = await crypto.subtle.digest("SHA-256", bytes.subarray(from));
				return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
			},
		};
	}

	test(`${PAGE.bytes / 1e6} MB across ${PAGE.cuts} cuts in the page: its terminal takes the same bytes, shows the last`, async (t) => {
		connect();
		assert.ok(fs.existsSync(executablePath), `no browser at ${executablePath}`);
		const browser = await chromium.launch({
			executablePath,
			headless: true,
			args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
		});
		try {
			const page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
			const recorder = new Recorder(page);
			const problems = [];
			page.on("pageerror", (error) => problems.push(error.message));
			await page.addInitScript(recordWritten);
			await page.goto(proxy.url);
			const connected = () => page.waitForSelector('body[data-state="connected"]', { timeout: 15_000, state: "attached" });
			await connected();
			const type = async (text) => {
				await page.locator(".xterm-helper-textarea").focus();
				await page.keyboard.type(`${text}\n`);
			};
			await type("stty -echo; PS1= PS2=; echo qui''et");
			await until("the shell is quiet", () => /quiet\r\n/.test(recorder.text()));
			const before = recorder.text().length;

			const { count, output } = numbered(PAGE.bytes);
			const expected = output.toString("latin1") + hashLine(output);
			// The program waits for the first cut; and it is slower, as the page takes longer to come back.
			await type(`sleep 1; ${numberedProgram(count, 0.05)}`);
			const average = PAGE.bytes / PAGE.cuts;
			proxy.cutBetween({ down: [1, average], up: [600, 1000] });
			await sleep(300);
			proxy.cutAll();
			const deadline = performance.now() + TIMEOUT_MS;
			let received = 0;
			while (received < expected.length && !recorder.problem) {
				assert.ok(performance.now() < deadline, `${received} of ${expected.length} bytes, ${proxy.cuts} cuts`);
				if (proxy.cuts >= PAGE.cuts)
					proxy.stopCutting();
				// The network is back: the page does not wait for its back-off.
				await page.evaluate(() => globalThis.dispatchEvent(new Event("online")));
				await sleep(20);
				received = recorder.output.reduce((sum, { length }) => sum + length, 0) - before;
			}
			assert.equal(recorder.problem, undefined);
			const text = recorder.text().slice(before);
			assert.equal(text.length, expected.length);
			assert.equal(sha256(text), sha256(expected));
			// And what the page made of it: its terminal took the same bytes, in the same order.
			const sizeWritten = async () => await page.evaluate(() => globalThis.written.size()) - before;
			await until("the terminal has taken as much", async () => await sizeWritten() >= expected.length, { timeout: 30_000 });
			assert.equal(await sizeWritten(), expected.length);
			assert.equal(await page.evaluate((from) => globalThis.written.digest(from), before), sha256(expected));
			t.diagnostic(`${recorder.sockets} connections, ${proxy.cuts} cuts`);
			assert.ok(proxy.cuts >= PAGE.cuts, `only ${proxy.cuts} cuts`);
			await connected();
			const wanted = expected.split("\r\n").slice(-6, -1);
			await until("the last lines are on the screen", async () => {
				const rows = (await page.locator(".xterm-rows > div").allInnerTexts()).map((row) => row.replaceAll("\u00a0", " ").trimEnd());
				const filled = rows.filter(Boolean).slice(-wanted.length);
				return filled.join("\n") === wanted.join("\n");
			}, { interval: 100 });
			assert.deepEqual(problems, []);
		} finally {
			await browser.close();
		}
	}, { timeout: TIMEOUT_MS + 30_000 });
});
