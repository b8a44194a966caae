// SPDX-License-Identifier: MIT
// Many sessions at once, all attached and idle: what they cost, and that the service still answers and gives all of it
// back. Run as root: node regress/bench/idle.mjs (FOG_BUILD as for the tests). The README says what to look at.
//   SESSIONS=2000    how many, at most 4096
//   PARALLEL=8       how many are made, or typed into, at one time
//   KILL=placerd,…   kill -9 these roles while all are attached; each has to be replaced, and nobody is detached
import assert from "node:assert/strict";
import fs from "node:fs";
import { countBy, countsOf, daemons, descriptorKinds, mapValues, memoryKiB, memoryOf, pssWithoutKiB, terminalsInUse, threadsOf }
	from "../lib/footprint.mjs";
import { ROLES, policyOf, startInstance } from "../lib/harness.mjs";
import { descendants, identify, isRoot, programName, signal, sleep, until, waitGone } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const SESSIONS = Number(process.env.SESSIONS ?? 2000);
const PARALLEL = Number(process.env.PARALLEL ?? 8);
const KILL = (process.env.KILL ?? "").split(",").filter(Boolean);
const SESSIONS_OF_ONE = 64; // max_sessions of a policy ends there
const RING_KIB = 4096; // OUTPUT_RING_BYTES
const QUIET_MS = 3000;
const READY_MS = 30_000;

const say = (...text) => console.log(text.join(" "));
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

// --- the machine ---

// A session is a terminal and three processes: holder, init and shell.
const NEEDED = {
	"/proc/sys/kernel/pty/max": terminalsInUse() + SESSIONS + 1024, // pty.reserve
	"/proc/sys/kernel/pid_max": 3 * SESSIONS + 4096,
	"/proc/sys/kernel/threads-max": 3 * SESSIONS + 4096,
};

// Raises what is too low; gives what puts it back.
function raiseLimits() {
	const lower = Object.entries(NEEDED).filter(([file, needed]) => Number(fs.readFileSync(file, "latin1")) < needed);
	const old = lower.map(([file]) => [file, fs.readFileSync(file, "latin1")]);
	for (const [file, needed] of lower) {
		fs.writeFileSync(file, String(needed));
		say(`${file} raised to ${needed}`);
	}
	return () => old.forEach(([file, value]) => fs.writeFileSync(file, value));
}

// Two descriptors a terminal in gatewayd and in ptyd; Node raises its own limit as far as it may.
function checkDescriptors() {
	const [, hard] = /^Max open files +\d+ +(\d+|unlimited)/m.exec(fs.readFileSync("/proc/self/limits", "latin1"));
	assert.ok(hard === "unlimited" || Number(hard) > 2 * SESSIONS + 1000, `ulimit -Hn is ${hard}: raise it in the shell`);
}

// --- the sessions ---

// Calls fn for each, so many at a time.
async function each(items, fn) {
	const left = items[Symbol.iterator]();
	await Promise.all(Array.from({ length: PARALLEL }, async () => {
		for (let { value, done } = left.next(); !done; { value, done } = left.next())
			await fn(value);
	}));
}

async function open(fog, index) {
	const session = await fog.create({ token: `idle${Math.floor(index / SESSIONS_OF_ONE)}`, ttl: 3600 });
	const terminal = await BinaryTerminal.open(fog, session.attach);
	await terminal.run("echo $((6*7))", /\b42\r$/m);
	return { session, terminal };
}

async function echoAll(opened) {
	const times = [];
	await each(opened.entries(), async ([index, { terminal }]) => {
		const start = performance.now();
		const answer = new RegExp(`\\b${index + 100_000}\\r$`, "m");
		terminal.type(`echo $((${index}+100000))\n`);
		await until("echo", () => terminal.screen.take(answer), { interval: 0 });
		times.push(performance.now() - start);
	});
	times.sort((a, b) => a - b);
	return { median: times[times.length >> 1], most: times.at(-1) };
}

// Who was attached through a gatewayd that died comes back to where they were.
async function attachAgain(fog, opened) {
	const start = performance.now();
	await each(opened, async (one) => {
		one.terminal = await BinaryTerminal.open(fog, await fog.mint(one.session), { from: one.terminal });
		assert.equal(one.terminal.hello.out_lost, 0);
	});
	say(`attached again: ${seconds(start)}`);
}

async function killAndWait(fog, role, opened) {
	const start = performance.now();
	const victim = identify(daemons(fog)[role]);
	signal(victim, "SIGKILL");
	await waitGone(victim);
	const isReady = async () => (await fog.api("GET", "/readyz").catch(() => ({}))).status === 200;
	const ready = await until("ready", isReady, { timeout: READY_MS, interval: 100 }).catch(() => false);
	say(`kill -9 of ${role}: ${ready ? `ready again after ${seconds(start)}` : `not ready within ${READY_MS / 1000} s`}`);
	if (ready && role === "gatewayd")
		await attachAgain(fog, opened);
	const detached = opened.filter(({ terminal }) => terminal.closed).length;
	assert.ok(ready && detached === 0, `the service did not come back, or ${detached} terminals were detached`);
}

// --- the figures ---

const kib = (value) => `${value.toFixed(1)} KiB`;

// Sum of what the processes of each name have.
function sumByName(fog) {
	const sums = {};
	for (const pid of descendants(fog.pid)) {
		const memory = memoryKiB(pid);
		if (!memory)
			continue;
		const sum = sums[programName(pid)] ??= { count: 0, pss: 0, anon: 0 };
		sum.count++;
		sum.pss += memory.pss;
		sum.anon += memory.anon;
	}
	return sums;
}

function report(fog, before) {
	const pids = daemons(fog);
	const now = memoryOf(fog);
	for (const [name, { pss, anon }] of Object.entries(now)) {
		const grown = anon - before[name].anon;
		say(`${name.padEnd(9)} anonymous ${kib(anon)}, grown by ${kib(grown)}, ${kib(grown / SESSIONS)} a session; PSS ${kib(pss)}; ` +
			`${threadsOf(pids[name])} thread; descriptors ${JSON.stringify(descriptorKinds(pids[name]))}`);
	}
	const daemonNames = new Set(ROLES);
	for (const [name, { count, pss, anon }] of Object.entries(sumByName(fog)))
		if (!daemonNames.has(name))
			say(`${name}: ${count}, PSS ${kib(pss)}, each ${kib(pss / count)}; anonymous each ${kib(anon / count)}`);
	const holders = fog.holders();
	const ringless = holders.map(({ pid }) => pssWithoutKiB(pid, RING_KIB)).sort((a, b) => a - b);
	say(`holders without their rings: PSS median ${kib(ringless[ringless.length >> 1])}, most ${kib(ringless.at(-1))}`);
	say(`threads of holders: ${JSON.stringify(countBy(holders.map(({ pid }) => String(threadsOf(pid)))))}, descriptors: ` +
		JSON.stringify(countBy(holders.map(({ pid }) => String(fs.readdirSync(`/proc/${pid}/fd`).length)))));
	say(`terminals in use: ${terminalsInUse()}`);
}

// --- all of it ---

async function run(fog) {
	await sleep(QUIET_MS); // the connections of the start are gone
	const counts = countsOf(fog);
	const memory = memoryOf(fog);
	const terminals = terminalsInUse();

	let start = performance.now();
	const opened = [];
	await each(Array(SESSIONS).keys(), async (index) => opened.push(await open(fog, index)));
	say(`${SESSIONS} sessions made and attached, ${PARALLEL} at a time: ${seconds(start)}`);
	await sleep(QUIET_MS);
	report(fog, memory);

	start = performance.now();
	const echo = await echoAll(opened);
	say(`echo in each, ${PARALLEL} at a time: ${seconds(start)}, median ${echo.median.toFixed(1)} ms, most ${echo.most.toFixed(1)} ms`);
	assert.deepEqual(opened.filter(({ terminal }) => terminal.closed), [], "terminals that were closed");

	for (const role of KILL)
		await killAndWait(fog, role, opened);

	start = performance.now();
	await each(opened, ({ session: { id, token } }) => fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token }));
	await each(opened, ({ terminal }) => terminal.waitClosed());
	say(`all ended: ${seconds(start)}`);
	const isBack = () => JSON.stringify(countsOf(fog)) === JSON.stringify(counts);
	await until("all is back", isBack, { timeout: 15_000, interval: 500 }).catch(() => assert.deepEqual(countsOf(fog), counts));
	const left = mapValues(memoryOf(fog), ({ anon }, name) => anon - memory[name].anon);
	say(`processes, descriptors and threads are back; terminals of the machine: ${terminalsInUse()}, before ${terminals}; ` +
		`KiB more than before: ${JSON.stringify(left)}`);
}

assert.ok(isRoot, "run it as root: otherwise the memory of the processes cannot be read");
assert.ok(SESSIONS <= 4096, "MAX_SESSIONS ends at 4096");
checkDescriptors();
const restore = raiseLimits();
const env = {
	MAX_SESSIONS: String(SESSIONS), MAX_CONNECTIONS: String(SESSIONS + 256), MAX_CONNECTIONS_PER_SOURCE: String(SESSIONS + 256),
	SESSION_UID_BASE: String(0xa000_0000), // not those of a service on this machine
};
const fog = await startInstance({ env, policy: policyOf([["default", { sessions: SESSIONS_OF_ONE }]]) });
try {
	await run(fog);
} catch (error) {
	say(`FAILED: ${error.stack}`);
	process.exitCode = 1;
} finally {
	await fog.stop();
	restore();
}
