// SPDX-License-Identifier: MIT
// The binary protocol fog.pty.v1 (DESIGN 3.2): offsets both ways, resume, floods, a client that does not read, time's
// end, and a second driver.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { suite } from "../lib/harness.mjs";
import { status, sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal, frame, JsonTerminal, RawWebSocket } from "../lib/ws.mjs";

// No echo and no prompt: the output is what commands print, byte for byte.
const quiet = async (terminal) => {
	await terminal.run("stty -echo -onlcr; PS1= PS2=; echo qui''et", /quiet\r?\n/);
	return terminal;
};

// A sanitizer build keeps freed memory in quarantine.
const GROWTH_LIMIT_KIB = process.env.FOG_SANITIZED === "1" ? 262_144 : 16_384;

// What `seq 1 n` prints.
function sequence(n) {
	const lines = [];
	for (let i = 1; i <= n; i++)
		lines.push(`${i}\n`);
	return lines.join("");
}

suite("terminal", {}, ({ fog, test }) => {
	test("hello says who, how large, from where, until when", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const { hello } = terminal;
		assert.equal(hello.session_id, session.id);
		assert.equal(hello.role, "driver");
		assert.ok(hello.cols > 0 && hello.rows > 0, JSON.stringify(hello));
		assert.equal(hello.out_from, 0);
		assert.equal(hello.out_lost, 0);
		assert.equal(hello.in_next, 0);
		assert.equal(hello.expires_at, (await fog.show(session)).expires_at);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		terminal.resize(97, 31);
		await until("stty size shows the new size", () => terminal.run("stty size", /\b31 97\r$/m, 500));
		terminal.type("exit 3\n");
		assert.deepEqual(await terminal.waitExit(), { code: 3 });
		assert.equal((await terminal.waitClosed()).code, 1000);
	});

	test("death by a signal is told as such", async () => {
		const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
		terminal.type("kill -TERM $$; kill -KILL $$\n");
		const exit = await terminal.waitExit();
		assert.deepEqual(exit, { code: 137, signal: 9 });
	});

	test("output is complete before the exit is reported", async () => {
		const terminal = await quiet(await BinaryTerminal.open(fog, (await fog.create()).attach));
		terminal.type("seq 1 20000; exit 7\n");
		assert.equal((await terminal.waitExit()).code, 7);
		assert.ok(terminal.screen.text.endsWith(sequence(20000).slice(-65536)));
	});

	test("a probe is answered end to end", async () => {
		const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
		for (let i = 0; i < 5; i++)
			await terminal.probe();
	});

	test("resume continues at the byte where the other connection ended", async () => {
		const session = await fog.create();
		const first = await quiet(await BinaryTerminal.open(fog, session.attach));
		await first.run("echo one", /one\n/);
		first.type("sleep 0.3; seq 1 2000; echo end''mark\n");
		first.destroy();
		await first.waitClosed();
		const second = await BinaryTerminal.open(fog, await fog.mint(session), { from: first });
		assert.equal(second.hello.out_from, first.outOffset);
		assert.equal(second.hello.out_lost, 0);
		await second.waitFor(/endmark\n/);
		assert.equal(second.screen.text, `${sequence(2000)}endmark\n`);

		const third = await BinaryTerminal.open(fog, await fog.mint(session), { out: 0 });
		await third.waitFor(/endmark\n/);
		assert.ok(third.screen.text.endsWith(`one\n${sequence(2000)}endmark\n`));
		assert.equal(third.outOffset, second.outOffset);
	});

	test("what has left the ring is counted as lost, and the rest is exact", async () => {
		const session = await fog.create();
		const first = await quiet(await BinaryTerminal.open(fog, session.attach));
		const start = first.outOffset;
		await first.run("seq 1 1500000; echo end''mark", /endmark\n/, 30_000);
		const second = await BinaryTerminal.open(fog, await fog.mint(session), { out: start });
		await second.waitFor(/endmark\n/);
		assert.ok(second.hello.out_lost > 0, "the ring is larger than the flood");
		assert.equal(second.hello.out_from, start + second.hello.out_lost);
		assert.equal(second.outOffset, first.outOffset);
		const text = second.screen.text.slice(-100_000);
		assert.ok(`${sequence(1_500_000)}endmark\n`.endsWith(text));
	}, { timeout: 60_000 });

	test("input sent again with its old offset types nothing twice", async () => {
		const session = await fog.create();
		const terminal = await quiet(await BinaryTerminal.open(fog, session.attach));
		const line = Buffer.from("n=$((n+1)); echo n=$n\n");
		const offset = terminal.inOffset;
		terminal.sendInput(offset, line);
		terminal.sendInput(offset, line);
		terminal.sendInput(offset + 5, line.subarray(5));
		terminal.inOffset = offset + line.length;
		await terminal.waitFor(/n=1\n/);
		// Half known, half new: the known half is ignored.
		const more = Buffer.concat([line, line]);
		terminal.sendInput(offset, more);
		terminal.inOffset = offset + more.length;
		await terminal.waitFor(/n=2\n/);
		assert.equal((await terminal.run("echo total=$n", /total=(\d+)\n/))[1], "2");

		terminal.destroy();
		await terminal.waitClosed();
		const again = await BinaryTerminal.open(fog, await fog.mint(session), { from: terminal });
		assert.equal(again.hello.in_next, terminal.inOffset);
		again.sendInput(offset, more);
		assert.equal((await again.run("echo total=$n", /total=(\d+)\n/))[1], "2");
	});

	test("5 MB of output arrive complete and in order", async () => {
		const session = await fog.create();
		const terminal = await quiet(await BinaryTerminal.open(fog, session.attach));
		const lines = 720_000;
		const expected = sequence(lines);
		assert.ok(expected.length > 4_900_000);
		// Attached anew at a known offset, so that the digest covers the flood alone.
		await terminal.close();
		const flood = await BinaryTerminal.open(fog, await fog.mint(session), { from: terminal });
		flood.type(`seq 1 ${lines}; printf end''mark\n`);
		await flood.waitFor(/endmark$/, 30_000);
		assert.equal(flood.outOffset - flood.hello.out_from, expected.length + "endmark".length);
		assert.equal(flood.digest(), createHash("sha256").update(`${expected}endmark`).digest("hex"));
	}, { timeout: 60_000 });

	test("the same flood in JSON frames", async () => {
		const terminal = await quiet(await JsonTerminal.open(fog, (await fog.create()).attach));
		const before = terminal.screen.bytes;
		await terminal.run("seq 1 720000; printf end''mark", /endmark$/, 30_000);
		assert.equal(terminal.screen.bytes - before, sequence(720_000).length + "endmark".length);
	}, { timeout: 60_000 });

	test("100 KB of input arrive complete", async () => {
		const terminal = await quiet(await BinaryTerminal.open(fog, (await fog.create()).attach));
		await terminal.run("stty -icanon; echo rea''dy", /ready\n/);
		await terminal.run("echo go''ing; head -c 100000 | sha256sum", /going\n/);
		const input = Buffer.from(Array.from({ length: 100_000 }, (_, i) => 97 + ((i * 7) % 26)));
		for (let at = 0; at < input.length; at += 4096)
			terminal.type(input.subarray(at, at + 4096));
		const [, digest] = await terminal.waitFor(/([0-9a-f]{64})  -/, 15_000);
		assert.equal(digest, createHash("sha256").update(input).digest("hex"));
	});

	test("a client that does not read costs bounded memory and slows nobody", async () => {
		const session = await fog.create();
		const raw = await RawWebSocket.open(fog, session.attach);
		const other = await JsonTerminal.open(fog, (await fog.create()).attach);
		await other.run("echo $((6*7))", /\b42\r$/m);
		const { pid } = await fog.roleProcess("gatewayd");
		const before = status(pid).rssKiB;
		raw.pause();
		const stdin = (text) => frame({ payload: JSON.stringify({ type: "stdin", data_b64: Buffer.from(text).toString("base64") }) });
		raw.write(stdin("yes 0123456789012345678901234567890123456789\n"));
		for (let i = 0; i < 20; i++) {
			await sleep(100);
			const start = performance.now();
			await other.run(`echo i$((${i}+100))`, new RegExp(`\\bi${i + 100}\r$`, "m"), 2000);
			assert.ok(performance.now() - start < 1000, "the other session is slow");
			const grown = status(pid).rssKiB - before;
			assert.ok(grown < GROWTH_LIMIT_KIB, `gatewayd grew by ${grown} KiB`);
		}
		// Ctrl-C goes through although nothing is read, and then the rest drains.
		raw.write(stdin("\x03"), stdin("echo back$((1+1))\n"));
		raw.resume();
		await until("the prompt is back", () => /\bback2\r$/m.test(raw.text().slice(-4096)), { timeout: 20_000, interval: 200 });
	}, { timeout: 60_000 });

	test("at the end of its TTL the session ends, and the stream closes", async () => {
		const session = await fog.create({ ttl: 2 });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const start = performance.now();
		await terminal.run("echo pid=$$", /\bpid=\d+\r$/m);
		await terminal.waitClosed(6000);
		const took = performance.now() - start;
		assert.ok(took > 1000 && took < 4500, `closed after ${Math.round(took)} ms`);
		const ended = await fog.waitStatus(session, "expired");
		assert.ok(ended.end_reason);
		await fog.expect(409, "POST", `/v1/sessions/${session.id}/attach`, { token: session.token });
	});

	test("a session that nobody is attached to expires too", async () => {
		const session = await fog.create({ ttl: 1 });
		await fog.waitStatus(session, "expired", { timeout: 5000 });
	});

	test("a second driver takes over, and the first is told", async () => {
		const session = await fog.create();
		const first = await BinaryTerminal.open(fog, session.attach);
		await first.run("echo $((6*7))", /\b42\r$/m);
		const second = await BinaryTerminal.open(fog, await fog.mint(session), { from: first });
		await until("the first is told", () => first.statuses.find(({ state }) => state === "taken_over"));
		await first.waitClosed();
		await second.run("echo $((7*7))", /\b49\r$/m);
		assert.equal(first.exit, undefined);
		assert.equal((await fog.show(session)).status, "running");
	});
});
