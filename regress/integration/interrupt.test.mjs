// SPDX-License-Identifier: MIT
// ^C during a flood: how soon the prompt is back over a slow and distant link, and for a client that reads 10 MB/s; and
// what a flood costs gatewayd. FULL=1: 50 tries, on a machine that does nothing else. FOG_LOGS=1 prints each.
// Beside other tests each time is held against a control in the same seconds: ^C on the same link when there is no flood.
import assert from "node:assert/strict";
import { after } from "node:test";
import { FaultProxy } from "../lib/faultproxy.mjs";
import { exchange, suite } from "../lib/harness.mjs";
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
const MEASUREMENTS_MAX = isFull ? 1 : 3; // the best is kept
// A sanitizer build keeps freed memory in quarantine, and takes its time.
const isMeasurable = process.env.FOG_SANITIZED !== "1";
const PROMPT = "prompt> ";

const proxy = await FaultProxy.start();

async function openPrompt(fog) {
	const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
	// A line typed before the shell's first prompt is answered on the line of that: hence the echo.
	await terminal.run(`PS1='${PROMPT.slice(0, 3)}''${PROMPT.slice(3)}'; echo`, new RegExp(`^${PROMPT}$`, "m"), 30_000);
	return terminal;
}

const hasPrompt = (terminal) => terminal.screen.text.endsWith(`\n${PROMPT}`);

async function promptAfter(terminal, keys) {
	const pressed = performance.now();
	terminal.type(keys);
	await until("the prompt", () => hasPrompt(terminal), { timeout: 60_000, interval: 2 });
	return performance.now() - pressed;
}

// What the link and the machine take for it when nothing is in the way. The command says itself that it runs: a ^C before
// that is the shell's.
async function interruptQuiet(terminal) {
	terminal.type("sh -c 'echo begun; exec sleep 1000'\n");
	await until("the command's word", () => terminal.screen.text.endsWith("'\r\nbegun\r\n"), { interval: 2 });
	await sleep(50);
	return promptAfter(terminal, "\x03");
}

// The flood has filled whatever there is to fill; then ^C, and the time to the prompt.
async function interruptOnce(terminal, index, floodMs) {
	const start = terminal.outOffset;
	terminal.type("yes\n");
	await until("the flood", () => terminal.outOffset - start > "yes\r\ny\r\n".length, { interval: 2 });
	// Not in step with acknowledgements or with the flood's own rhythm.
	await sleep(floodMs + 37 * (index % 10));
	const at = terminal.outOffset;
	const ms = await promptAfter(terminal, "\x03");
	return { ms, flood: at - start, behind: terminal.outOffset - at };
}

const sort = (values) => values.map(Math.round).sort((a, b) => a - b);

// The times of all tries, sorted, and those of the control. The link has to be in use: a small window would make ^C quick
// as well.
async function interrupt(fog, t, { tries, floodMs }) {
	const terminal = await openPrompt(fog);
	const results = [];
	const quiet = [];
	for (let i = 0; i < tries; i++) {
		results.push(await interruptOnce(terminal, i, floodMs));
		quiet.push(await interruptQuiet(terminal));
	}
	if (process.env.FOG_LOGS === "1")
		t.diagnostic(results.map(({ ms, flood, behind }) => `${Math.round(ms)} ms, ${flood} B before and ${behind} B behind`).join("; "));
	const sorted = sort(results.map(({ ms }) => ms));
	const control = sort(quiet);
	const behind = Math.max(...results.map((result) => result.behind));
	const flood = Math.round(results.reduce((sum, result) => sum + result.flood, 0) / tries);
	t.diagnostic(`median ${sorted[tries >> 1]} ms, longest ${sorted.at(-1)} ms; without a flood ${control[tries >> 1]} and ${control.at(-1)} ms; flood ${flood} bytes, at most ${behind} behind the key`);
	await terminal.close();
	return { sorted, control, flood };
}

// Bytes a second that the link carries now: of the largest file of the page.
async function carriedRate() {
	const page = (await exchange(proxy.url, "GET", "/")).body;
	const scripts = [...page.matchAll(/src="([^"]+\.js)"/g)].map(([, target]) => new URL(target, `${proxy.url}/`).pathname);
	const start = performance.now();
	const files = await Promise.all(scripts.map((target) => exchange(proxy.url, "GET", target, { timeout: 60_000 })));
	const bytes = files.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
	assert.ok(bytes > 100_000, `${bytes} bytes`);
	return (bytes * 1000) / (performance.now() - start);
}

// The time at this place among the sorted is within the bound. ownMs: what the bound allows to the link itself, which the
// control has measured together with what else the machine did.
async function expectWithin(fog, t, bound, ownMs, place, options) {
	const all = [];
	for (let i = 0; i < MEASUREMENTS_MAX; i++) {
		const rate = await carriedRate();
		const { sorted, control, flood } = await interrupt(fog, t, options);
		const allowed = isFull ? bound : bound - ownMs + Math.max(ownMs, control[place]);
		// Nothing comes before the command has gone there and the first byte back.
		const least = (Math.min(options.leastRate, rate) * (options.floodMs - ownMs)) / 1000 / 2;
		all.push(`${sorted.join(" ")} ms, allowed ${allowed} ms; flood ${flood} bytes, wanted ${Math.round(least)}`);
		if (flood > least && (!isMeasurable || sorted[place] <= allowed))
			return;
	}
	assert.fail(all.join("; "));
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
		await expectWithin(fog, t, SLOW_BOUND_MS, RTT_MS, TRIES - 1 - MISSES, { tries: TRIES, floodMs, leastRate: SLOW.bytesPerSecond });
	}, { timeout: MEASUREMENTS_MAX * (30_000 + TRIES * 10_000) });

	test(`10 MB/s: ^C in a flood brings the prompt back within ${FAST_BOUND_MS} ms, half of the time`, async (t) => {
		connect(FAST);
		await expectWithin(fog, t, FAST_BOUND_MS, 0, 5, { tries: 11, floodMs: 500, leastRate: 4_000_000 });
	}, { timeout: MEASUREMENTS_MAX * 60_000 });

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
