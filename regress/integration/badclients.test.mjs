// SPDX-License-Identifier: MIT
// Clients that ask for what is not there, do too much or nothing at all: each gets the answer that PROTOCOL defines, costs
// memory within a bound, and no other session notices. Frames that are none, and floods that are read: websocket.test.mjs,
// terminal.test.mjs.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { memoryKiB } from "../lib/footprint.mjs";
import { suite } from "../lib/harness.mjs";
import { isRoot, sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal, frame, JsonTerminal, RawWebSocket } from "../lib/ws.mjs";

// A sanitizer build keeps freed memory in quarantine, and is slow.
const isSanitized = process.env.FOG_SANITIZED === "1";
const GROWTH_KIB = isSanitized ? 262_144 : 256;
const MESSAGE_KIB = 128; // WS_MAX_MESSAGE_BYTES: one that is put together
const RING_BYTES = 4 << 20; // of the default profile
const SLOW_ECHO_MS = isSanitized ? 3000 : 1000;
const SLOT_MS = 10; // gatewayd passes at most one resize in each

const u64 = (value) => {
	const bytes = Buffer.alloc(8);
	bytes.writeBigUInt64BE(BigInt(value));
	return bytes;
};
const u16 = (...values) => Buffer.concat(values.map((value) => Buffer.from([value >> 8, value & 255])));
const binary = (type, payload) => frame({ opcode: 2, payload: Buffer.concat([Buffer.from(type), payload]) });
const json = (object) => frame({ payload: JSON.stringify(object) });
const stdin = (text) => json({ type: "stdin", data_b64: Buffer.from(text).toString("base64") });
const input = (offset, text) => binary("i", Buffer.concat([u64(offset), Buffer.from(text)]));

suite("bad clients", {}, ({ fog, test }) => {
	const quiet = (terminal) => terminal.run("stty -echo -onlcr; PS1= PS2=; echo qui''et", /quiet\r?\n/);

	// Holder of a session that was just made.
	async function create() {
		const known = new Set(fog.holders().map(({ pid }) => pid));
		const session = await fog.create();
		return { session, holder: fog.holders().find(({ pid }) => !known.has(pid)) };
	}

	// Runs body while somebody else types; gives how long the slowest echo took, and what memory grew to.
	async function whileOthersWork(holder, body) {
		const { pid } = await fog.roleProcess("gatewayd");
		const memory = () => ({ gatewayd: memoryKiB(pid)?.anon ?? 0, holder: memoryKiB(holder.pid)?.anon ?? 0 });
		const other = await JsonTerminal.open(fog, (await fog.create()).attach);
		await other.run("echo $((6*7))", /\b42\r$/m);
		const before = memory();
		const grown = { gatewayd: 0, holder: 0 };
		let slowest = 0;
		let isOver = false;
		const watch = async () => {
			for (let i = 1000; !isOver; i++) {
				const start = performance.now();
				await other.run(`echo i$((${i}+0))`, new RegExp(`\\bi${i}\r$`, "m"));
				slowest = Math.max(slowest, performance.now() - start);
				for (const [name, kib] of Object.entries(memory()))
					grown[name] = Math.max(grown[name], kib - before[name]);
				await sleep(20);
			}
		};
		const result = await Promise.all([Promise.resolve(body()).finally(() => { isOver = true; }), watch()]);
		await other.close();
		return { slowest, grown, result: result[0] };
	}

	function checkOthers(t, { slowest, grown }, allowed = GROWTH_KIB) {
		t.diagnostic(`slowest echo of another session ${slowest.toFixed(0)} ms, grown by KiB: ${JSON.stringify(grown)}`);
		assert.ok(slowest < SLOW_ECHO_MS, `another session's echo took ${slowest} ms`);
		for (const [name, kib] of Object.entries(grown))
			assert.ok(!isRoot || kib <= allowed, `${name} grew by ${kib} KiB`);
	}

	// --- values from nowhere ---

	// One message, and the code and reason of the close frame that answers it. in_next is 0, the output a prompt.
	const refused = [
		["fog.pty.v1", "0 columns", binary("r", u16(0, 24)), 1008, /1 to 1000/],
		["fog.pty.v1", "0 rows", binary("r", u16(80, 0)), 1008, /1 to 1000/],
		["fog.pty.v1", "65535 columns", binary("r", u16(65_535, 24)), 1008, /1 to 1000/],
		["fog.pty.v1", "65535 rows", binary("r", u16(80, 65_535)), 1008, /1 to 1000/],
		["fog.pty.v1", "1001 rows", binary("r", u16(80, 1001)), 1008, /1 to 1000/],
		["fog.pty.json", "0 columns", json({ type: "resize", cols: 0, rows: 24 }), 1008, /1 to 1000/],
		["fog.pty.json", "0 rows", json({ type: "resize", cols: 80, rows: 0 }), 1008, /1 to 1000/],
		["fog.pty.json", "65535 columns", json({ type: "resize", cols: 65_535, rows: 24 }), 1008, /1 to 1000/],
		["fog.pty.json", "65535 rows", json({ type: "resize", cols: 80, rows: 65_535 }), 1008, /1 to 1000/],
		["fog.pty.json", "rows of 1e300", frame({ payload: '{"type":"resize","cols":80,"rows":1e300}' }), 1008, /1 to 1000/],
		["fog.pty.v1", "input one byte too far on", input(1, "x"), 1008, /offset/],
		["fog.pty.v1", "input at the last offset there is", input((1n << 64n) - 1n, "xy"), 1008, /offset/],
		["fog.pty.v1", "an acknowledgement of more than was sent", binary("a", u64(1 << 30)), 1008, /offset/],
		["fog.pty.v1", "an acknowledgement of the last offset there is", binary("a", u64((1n << 64n) - 1n)), 1008, /offset/],
	];
	for (const [protocol, name, bytes, code, reason] of refused) {
		test(`${protocol}, ${name}: close ${code}, and the session lives on`, async () => {
			const { session } = await create();
			const raw = await RawWebSocket.open(fog, session.attach, { protocol });
			raw.write(bytes);
			if (code === 1008) // what follows it is not looked at
				raw.write(protocol === "fog.pty.v1" ? input(0, "echo no''where\n") : stdin("echo no''where\n"));
			assert.equal(await raw.closeCode(), code);
			assert.match(raw.frames.find(({ opcode }) => opcode === 8).payload.subarray(2).toString(), reason);
			const next = await BinaryTerminal.open(fog, await fog.mint(session));
			assert.equal(next.hello.in_next, 0, "something was typed");
			assert.deepEqual([next.hello.cols, next.hello.rows], [80, 24]);
			await next.run("echo $((6*7))", /\b42\r$/m);
			assert.doesNotMatch(next.screen.text, /nowhere/);
		});
	}

	test("input with a hole is told as bad_input; what came before it was typed, once", async () => {
		const { session } = await create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await quiet(terminal);
		const at = terminal.inOffset;
		const line = Buffer.from("n=$((n+1)); echo n=$n\n");
		terminal.sendInput(at, line);
		terminal.sendInput(at, line);
		terminal.sendInput(at + 2 * line.length, line);
		assert.equal((await terminal.waitClosed()).code, 1008);
		assert.deepEqual(terminal.statuses.map(({ state, reason }) => [state, reason]), [["bad_input", "offset_invalid"]]);
		const next = await BinaryTerminal.open(fog, await fog.mint(session));
		assert.equal(next.hello.in_next, at + line.length);
		assert.equal((await next.run("echo total=$n", /total=(\d+)\n/))[1], "1");
	});

	for (const role of ["driver", "viewer"]) {
		test(`an acknowledgement of more than was sent is told as bad_input, to a ${role}`, async () => {
			const { session } = await create();
			const token = await fog.expect(201, "POST", `/v1/sessions/${session.id}/attach`, { token: session.token, body: { role } });
			const terminal = await BinaryTerminal.open(fog, token);
			terminal.sendFrame("a", u64(1 << 30));
			assert.equal((await terminal.waitClosed()).code, 1008);
			assert.deepEqual(terminal.statuses.map(({ state, reason }) => [state, reason]), [["bad_input", "offset_invalid"]]);
			await (await BinaryTerminal.open(fog, await fog.mint(session))).run("echo $((6*7))", /\b42\r$/m);
		});
	}

	test("an acknowledgement older than the last is ignored", async () => {
		const { session } = await create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("seq 1 5000", /\b5000\r$/m);
		terminal.acknowledge();
		for (const offset of [terminal.outOffset - 1, 1, 0])
			terminal.sendFrame("a", u64(offset));
		await terminal.run("seq 1 20000; echo $((6*7))", /\b42\r$/m);
		assert.equal(terminal.closed, undefined);
	});

	test("a resume offset from the future is 400, in both protocols, and the next token works", async () => {
		const { session } = await create();
		for (const Client of [BinaryTerminal, JsonTerminal]) {
			const made = await fog.mint(session);
			const error = await Client.open(fog, { ...made, ws_url: `${made.ws_url}?out=${2 ** 40}` })
				.then(() => assert.fail("attached"), (reason) => reason);
			assert.deepEqual([error.status, JSON.parse(error.body).code], [400, "offset_invalid"], String(error));
		}
		await (await BinaryTerminal.open(fog, await fog.mint(session))).run("echo $((6*7))", /\b42\r$/m);
	});

	// --- too much ---

	const storms = [
		["fog.pty.v1", (cols, rows) => binary("r", u16(cols, rows)), (text, at) => input(at, text)],
		["fog.pty.json", (cols, rows) => json({ type: "resize", cols, rows }), (text) => stdin(text)],
	];
	for (const [protocol, resize, type] of storms) {
		test(`${protocol}, 50,000 resizes a second for 2 s: the last one wins, and the shell is not flooded`, async (t) => {
			const { session, holder } = await create();
			const raw = await RawWebSocket.open(fog, session.attach, { protocol });
			const text = () => (protocol === "fog.pty.json" ? raw.text()
				: raw.frames.filter(({ payload }) => payload[0] === 0x6f).map(({ payload }) => payload.subarray(1).toString("latin1")).join(""));
			let sent = 0;
			const say = (line) => {
				raw.write(type(`${line}\n`, sent));
				sent += line.length + 1;
			};
			say("perl -e '$| = 1; $SIG{WINCH} = sub { $n++ }; print \"rea\", \"dy\\n\"; <STDIN>; print \"winch=$n.\\n\"'");
			await until("the counter counts", () => /ready\r$/m.test(text())); // behind a prompt that came after what was typed, too
			const batch = Buffer.concat(Array.from({ length: 500 }, (_, i) => resize(100 + i, 200)));
			const watched = await whileOthersWork(holder, async () => {
				const start = performance.now();
				for (let i = 0; i < 200; i++) {
					raw.write(batch);
					await sleep(Math.max(0, start + i * 10 - performance.now()));
				}
				raw.write(resize(123, 45));
				say("");
				await until("the counter has counted", () => /winch=\d+\./.test(text()));
				return performance.now() - start;
			});
			const signals = Number(/winch=(\d+)\./.exec(text())[1]);
			t.diagnostic(`${signals} signals in ${watched.result.toFixed(0)} ms`);
			assert.ok(signals >= 1, "no resizes arrived");
			assert.ok(signals <= watched.result / SLOT_MS + 1, `${signals} signals`);
			// Input may overtake a size that waits for the end of its 10 ms.
			await until("the last size", async () => {
				say("stty size");
				await sleep(SLOT_MS);
				return /^45 123\r$/m.test(text());
			}, { interval: 100 });
			checkOthers(t, watched);
			raw.destroy();
		}, { timeout: 60_000 });
	}

	const MEGABYTE = 1 << 20;
	const bytes = Buffer.from(Array.from({ length: MEGABYTE }, (_, i) => 97 + ((i * 7 + (i >> 10)) % 26)));
	const digest = createHash("sha256").update(bytes).digest("hex");

	const uploads = [
		["fog.pty.v1", BinaryTerminal, 100_000],
		["fog.pty.v1 in small messages", BinaryTerminal, 64],
		["fog.pty.json", JsonTerminal, 90_000],
	];
	for (const [name, Client, size] of uploads) {
		test(`${name}, a megabyte of input without pause: held back while nobody takes it, then complete and in order`, async (t) => {
			const { session, holder } = await create();
			const terminal = await Client.open(fog, session.attach);
			await quiet(terminal);
			const upload = async (wait) => {
				await terminal.run(`stty raw; echo rea''dy; sleep ${wait}; head -c ${MEGABYTE} | sha256sum; stty sane -echo -onlcr`, /ready\r?\n/);
				for (let at = 0; at < MEGABYTE; at += size)
					terminal.type(bytes.subarray(at, at + size));
				const [, got] = await terminal.waitFor(/([0-9a-f]{64}) {2}-/, 30_000);
				assert.equal(got, digest);
				await terminal.run("echo nex''t", /^next\r?\n/m);
			};
			await upload(0); // all buffers have been used
			checkOthers(t, await whileOthersWork(holder, () => upload(1)), GROWTH_KIB + MESSAGE_KIB);
			assert.equal(terminal.closed, undefined);
			await terminal.close();
		}, { timeout: 90_000 });
	}

	// --- nothing at all ---

	for (const [protocol, type] of [["fog.pty.v1", input], ["fog.pty.json", (_, text) => stdin(text)]]) {
		test(`${protocol}, a client that never reads in a flood: bounded memory, and ctrl-C still works`, async (t) => {
			const { session, holder } = await create();
			const driver = await BinaryTerminal.open(fog, session.attach);
			await driver.run("yes 0123456789 | head -c 6000000 | tail -c 5000000; echo; echo end''mark", /^endmark\r?\n/m, 30_000); // fills the ring
			await driver.close();
			const at = driver.inOffset;
			const line = "yes 0123456789012345678901234567890123456789\n";
			const raw = await RawWebSocket.open(fog, await fog.mint(session), { protocol });
			// The ring first: how much of it the sockets take is the kernel's affair, and before it has gone nothing flows.
			const replay = (protocol === "fog.pty.v1" ? 1 : 4 / 3) * RING_BYTES - 65_536;
			await until("the ring", () => raw.frames.reduce((sum, { payload }) => sum + payload.length, 0) > replay);
			raw.pause();
			const watched = await whileOthersWork(holder, async () => {
				raw.write(type(at, line));
				await sleep(2000);
			});
			checkOthers(t, watched);
			raw.write(type(at + line.length, "\x03"), type(at + line.length + 1, "echo back$((1+1))\n"));
			await sleep(300);
			raw.destroy();
			const next = await BinaryTerminal.open(fog, await fog.mint(session));
			assert.ok(next.hello.out_next - driver.outOffset > 65_536, "there was no flood");
			await next.waitFor(/\bback2\r$/m, 20_000);
		}, { timeout: 60_000 });
	}
});

suite("clients that fall silent", { env: { WS_PING_SECONDS: "1" } }, ({ fog, test }) => {
	test("two pings that are not answered end the connection, and no other", async () => {
		const session = await fog.create();
		const silent = await RawWebSocket.open(fog, session.attach, { protocol: "fog.pty.v1" });
		const viewer = await BinaryTerminal.open(fog,
			await fog.expect(201, "POST", `/v1/sessions/${session.id}/attach`, { token: session.token, body: { role: "viewer" } }));
		const from = performance.now();
		await fog.waitLog({ event: "detach", reason: "ping_timeout" });
		assert.ok(performance.now() - from >= 1900, "sooner than two pings");
		silent.destroy();
		assert.equal(viewer.closed, undefined, "who answers stays");
	});

	// While the shell takes no input the client is not read, so that its going cannot be read either.
	test("one who leaves with more typed than the session takes is missed", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("stty raw -echo; echo re''ady; sleep 1000", /ready/);
		for (let i = 0; i < 64; i++)
			terminal.type("x".repeat(32_768));
		await sleep(1500);
		assert.equal((await fog.show(session)).status, "running");
		terminal.socket._socket.resetAndDestroy();
		await fog.waitStatus(session, "detached", { timeout: 8000 });
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
	});
});
