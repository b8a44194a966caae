// SPDX-License-Identifier: MIT
// ^C during a flood: how soon the prompt is back over a slow and distant link, and for a client that reads 10 MB/s; and
// what a flood costs gatewayd. FULL=1: 50 tries, on a machine that does nothing else. FOG_LOGS=1 prints each.
import assert from "node:assert/strict";
import { after } from "node:test";
import { FaultProxy } from "../lib/faultproxy.mjs";
import { suite } from "../lib/harness.mjs";
import { sleep, status, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const isFull = process.env.FULL === "1";
const TRIES = isFull ? 50 : 10;
const MISSES = 1;
const RTT_MS = 200;
const SLOW = { latencyMs: RTT_MS / 2, bytesPerSecond: 125_000 }; // 1 Mbit/s
const SLOW_BOUND_MS = 2 * RTT_MS + 250;
const FAST = { bytesPerSecond: 10_000_000 };
const FAST_BOUND_MS = 90;
const ATTACHMENTS = 8;
const GROWTH_KIB = 256;
// Beside other tests half of the tries are held to the bounds, the longest to more.
const slack = isFull ? 1 : 2;
// A sanitizer build keeps freed memory in quarantine, and takes its time.
const isMeasurable = process.env.FOG_SANITIZED !== "1";
const PROMPT = "prompt> ";

const proxy = await FaultProxy.start();

async function openPrompt(fog) {
	const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
	await terminal.run(`PS1='${PROMPT.slice(0, 3)}''${PROMPT.slice(3)}'`, new RegExp(`^${PROMPT}$`, "m"), 30_000);
	return terminal;
}

const hasPrompt = (terminal) => terminal.screen.text.endsWith(`\n${PROMPT}`);

// The flood has filled whatever there is to fill; then ^C, and the time to the prompt.
async function interruptOnce(terminal, index, floodMs) {
	const start = terminal.outOffset;
	terminal.type("yes\n");
	// Not in step with acknowledgements or with the flood's own rhythm.
	await sleep(floodMs + 37 * (index % 10));
	const at = terminal.outOffset;
	const pressed = performance.now();
	terminal.type("\x03");
	await until("the prompt", () => hasPrompt(terminal), { timeout: 60_000, interval: 2 });
	return { ms: performance.now() - pressed, flood: at - start, behind: terminal.outOffset - at };
}

// The times of all tries, sorted. The link has to be in use: a small window would make ^C quick as well.
async function interrupt(fog, t, { tries, floodMs, leastBytes }) {
	const terminal = await openPrompt(fog);
	const results = [];
	for (let i = 0; i < tries; i++)
		results.push(await interruptOnce(terminal, i, floodMs));
	if (process.env.FOG_LOGS === "1")
		t.diagnostic(results.map(({ ms, flood, behind }) => `${Math.round(ms)} ms, ${flood} B before and ${behind} B behind`).join("; "));
	const sorted = results.map(({ ms }) => Math.round(ms)).sort((a, b) => a - b);
	const behind = Math.max(...results.map((result) => result.behind));
	const flood = Math.round(results.reduce((sum, result) => sum + result.flood, 0) / tries);
	t.diagnostic(`median ${sorted[tries >> 1]} ms, longest ${sorted.at(-1)} ms; flood ${flood} bytes, at most ${behind} behind the key`);
	assert.ok(flood > leastBytes, `the flood does not flow: ${flood} bytes`);
	await terminal.close();
	return sorted;
}

suite("interrupt", { env: { GATEWAY_URL: proxy.url, LISTEN_ADDR: "127.0.0.1:0" } }, ({ fog, test }) => {
	after(() => proxy.stop());

	const connect = (conditions) => {
		proxy.target = fog.port;
		proxy.set(conditions);
	};

	test(`${RTT_MS} ms and 1 Mbit/s: ^C in a flood brings the prompt back within ${SLOW_BOUND_MS} ms`, async (t) => {
		connect(SLOW);
		const floodMs = 2000;
		const leastBytes = (SLOW.bytesPerSecond * floodMs) / 1000 / 2;
		const sorted = await interrupt(fog, t, { tries: TRIES, floodMs, leastBytes });
		const bound = isMeasurable ? SLOW_BOUND_MS : 2 * SLOW_BOUND_MS;
		assert.ok(sorted[TRIES >> 1] <= bound, `ms: ${sorted.join(" ")}`);
		assert.ok(sorted[TRIES - 1 - MISSES] <= slack * bound, `ms: ${sorted.join(" ")}`);
	}, { timeout: 30_000 + TRIES * 10_000 });

	test(`10 MB/s: ^C in a flood brings the prompt back within ${FAST_BOUND_MS} ms, half of the time`, async (t) => {
		connect(FAST);
		const sorted = await interrupt(fog, t, { tries: 11, floodMs: 500, leastBytes: 1_000_000 });
		if (isMeasurable)
			assert.ok(sorted[5] <= slack * FAST_BOUND_MS, `ms: ${sorted.join(" ")}`);
	}, { timeout: 60_000 });

	test(`a flood costs gatewayd at most ${GROWTH_KIB} KiB for each attachment`, async (t) => {
		connect(SLOW);
		const { pid } = await fog.roleProcess("gatewayd");
		// The first of all touches what stays.
		await (await openPrompt(fog)).close();
		const before = status(pid).rssKiB;
		const terminals = [];
		for (let i = 0; i < ATTACHMENTS; i++)
			terminals.push(await openPrompt(fog));
		for (const terminal of terminals)
			terminal.type("yes 0123456789012345678901234567890123456789\n");
		let most = 0;
		for (let i = 0; i < 30; i++) {
			await sleep(100);
			most = Math.max(most, (status(pid).rssKiB - before) / ATTACHMENTS);
		}
		t.diagnostic(`${Math.round(most)} KiB for each of ${ATTACHMENTS}`);
		for (const terminal of terminals)
			terminal.destroy();
		if (isMeasurable)
			assert.ok(most <= GROWTH_KIB, `${most} KiB`);
	}, { timeout: 60_000 });
});
