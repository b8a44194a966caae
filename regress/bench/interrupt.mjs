// SPDX-License-Identifier: MIT
// ^C during a flood over a slow and distant link: how soon the prompt is back, and what the flood costs gatewayd.
// Run by hand (node --test regress/bench/interrupt.mjs): what it aims at needs the acknowledged window, which is not there.
// FULL=1: 50 tries, of which 49 have to meet the bound. TRIES: so many. FOG_LOGS=1 prints each.
import assert from "node:assert/strict";
import { after } from "node:test";
import { FaultProxy } from "../lib/faultproxy.mjs";
import { suite } from "../lib/harness.mjs";
import { sleep, status, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const isFull = process.env.FULL === "1";
const TRIES = Number(process.env.TRIES ?? (isFull ? 50 : 1));
const MISSES = Math.floor(TRIES / 50);
const RTT_MS = 200;
const BYTES_PER_SECOND = 125_000; // 1 Mbit/s
// The aim, of which each run says how many tries met it; and what has to hold. What is sent and not acknowledged is not
// bounded yet, so what the sockets on the way hold, 4 MiB by tcp_wmem, comes before the prompt.
const AIM_MS = 2 * RTT_MS + 250;
const BOUND_MS = 45_000;
const FLOOD_MS = 2000;
const ACK_MS = 50; // as the page does
const ATTACHMENTS = 8;
const AIM_KIB = 256;
const GROWTH_KIB = 768; // CLIENT_HIGH_BYTES, one read more, and what the allocator adds
// A sanitizer build keeps freed memory in quarantine.
const isMeasurable = process.env.FOG_SANITIZED !== "1";
const PROMPT = "prompt> ";

const proxy = await FaultProxy.start();

async function openFlooded(fog) {
	const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
	terminal.ticker = setInterval(() => terminal.acknowledge(), ACK_MS);
	terminal.whenClosed.then(() => clearInterval(terminal.ticker));
	await terminal.run(`PS1='${PROMPT.slice(0, 3)}''${PROMPT.slice(3)}'`, new RegExp(`^${PROMPT}$`, "m"), 30_000);
	return terminal;
}

const hasPrompt = (terminal) => terminal.screen.text.endsWith(`\n${PROMPT}`);

// The flood has filled whatever there is to fill; then ^C, and the time to the prompt.
async function interruptOnce(terminal, index) {
	const start = terminal.outOffset;
	terminal.type("yes\n");
	// Not in step with acknowledgements or with the flood's own rhythm.
	await sleep(FLOOD_MS + 37 * (index % 10));
	assert.ok(terminal.outOffset - start > (FLOOD_MS / 1000) * BYTES_PER_SECOND / 4, "the flood does not flow");
	const pressed = performance.now();
	const at = terminal.outOffset;
	terminal.type("\x03");
	await until("the prompt", () => hasPrompt(terminal), { timeout: 60_000, interval: 2 });
	return { ms: performance.now() - pressed, behind: terminal.outOffset - at };
}

suite("interrupt", { env: { GATEWAY_URL: proxy.url, LISTEN_ADDR: "127.0.0.1:0" } }, ({ fog, test }) => {
	after(() => proxy.stop());

	const slowDown = () => {
		proxy.target = fog.port;
		proxy.set({ latencyMs: RTT_MS / 2, bytesPerSecond: BYTES_PER_SECOND });
	};

	test(`${RTT_MS} ms and 1 Mbit/s: ^C in a flood of yes brings the prompt back within ${BOUND_MS} ms`, async (t) => {
		slowDown();
		const terminal = await openFlooded(fog);
		const tries = [];
		for (let i = 0; i < TRIES; i++)
			tries.push(await interruptOnce(terminal, i));
		if (process.env.FOG_LOGS === "1")
			t.diagnostic(tries.map(({ ms, behind: bytes }) => `${Math.round(ms)} ms, ${bytes} B`).join("; "));
		const sorted = tries.map(({ ms }) => Math.round(ms)).sort((a, b) => a - b);
		const behind = Math.max(...tries.map((tried) => tried.behind));
		t.diagnostic(`ms to the prompt: ${sorted.join(" ")}`);
		t.diagnostic(`${sorted.filter((ms) => ms <= AIM_MS).length} of ${TRIES} within ${AIM_MS} ms`);
		t.diagnostic(`median ${sorted[TRIES >> 1]} ms, longest ${sorted.at(-1)} ms, most output behind the key ${behind} bytes`);
		assert.ok(sorted[TRIES - 1 - MISSES] <= BOUND_MS, `${sorted[TRIES - 1 - MISSES]} ms`);
		await terminal.close();
	}, { timeout: 30_000 + TRIES * 65_000 });

	test(`a flood costs gatewayd at most ${GROWTH_KIB} KiB for each attachment`, async (t) => {
		slowDown();
		const { pid } = await fog.roleProcess("gatewayd");
		// The first of all touches what stays.
		await (await openFlooded(fog)).close();
		const before = status(pid).rssKiB;
		const terminals = [];
		for (let i = 0; i < ATTACHMENTS; i++)
			terminals.push(await openFlooded(fog));
		for (const terminal of terminals)
			terminal.type("yes 0123456789012345678901234567890123456789\n");
		let most = 0;
		for (let i = 0; i < 30; i++) {
			await sleep(100);
			most = Math.max(most, (status(pid).rssKiB - before) / ATTACHMENTS);
		}
		t.diagnostic(`${Math.round(most)} KiB for each of ${ATTACHMENTS}; the aim is ${AIM_KIB}`);
		for (const terminal of terminals)
			terminal.destroy();
		if (isMeasurable)
			assert.ok(most <= GROWTH_KIB, `${most} KiB`);
	}, { timeout: 60_000 });
});
