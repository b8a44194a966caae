// SPDX-License-Identifier: MIT
// Faults in the making of a session and in its end: regress/fault_tracer.c kills the spawner, the maker, its mke2fs, init,
// session-init or the holder at each of their system calls in turn, or makes that call fail. After each the
// service answers, makes sessions, and has nothing left of the one that came to grief.
// EGRESS=1: sessions have a link and rules, in a network namespace that the caller has made for that.
// FULL=1: all positions; else a fixed sample of them. KIND, ACTION: only those, separated by commas. SECONDS: for the sample.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "../lib/harness.mjs";
import { isAlive, signal, sleep, until } from "../lib/proc.mjs";
import { enter, sandboxSuite, skip as skipSandbox } from "../lib/sandboxhost.mjs";

const skip = skipSandbox || (process.env.FOG_SANITIZED === "1" && "a sanitizer's runtime ends a process whose mmap fails");

if (skip)
	it("faults in the making of a sandbox", { skip }, () => undefined);

const isFull = process.env.FULL === "1";
const SECONDS = Number(process.env.SECONDS ?? (isFull ? 7200 : 35));
const program = path.join(build, "regress/fault_tracer");

const AGAIN_MS = 3000; // then it has to answer again
const LEFT_MS = 1000; // then nothing may be left of it on the host
const UNHEARD_MS = 7000; // as in ptyd/broker.h, and a second
const HALF_MADE_MS = 8000; // ptyd waits so long for a holder that may still come, HALF_MADE_TRIES in adopt.c; then its socket goes

const hasEgress = process.env.EGRESS === "1";
const ruleset = () => (hasEgress ? execFileSync("nft", ["-s", "list", "ruleset"], { encoding: "utf8" }) : "");

const KINDS = ["spawner", "maker", "tool", "init", "holder", "session-init"].filter((kind) => (process.env.KIND ?? kind).split(",").includes(kind));
const ERRORS = ["ENOMEM", "EMFILE", "EIO"];
const ACTIONS = ["kill", ...ERRORS].filter((action) => (process.env.ACTION ?? action).split(",").includes(action));

// The kernel never fails these so, or a failure means nothing: only a kill is tried there.
const NEVER_FAIL = new Set(["exit", "exit_group", "rt_sigreturn", "restart_syscall", "close", "munmap", "epoll_wait", "epoll_ctl",
	"rt_sigaction", "rt_sigprocmask", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "umask", "futex", "sched_yield",
	"set_tid_address", "set_robust_list", "arch_prctl", "rseq", "setfsuid", "setfsgid", "getrandom", "clock_gettime", "gettimeofday", "time",
	"brk", "poll", "close_range", "lseek", "unlink", "unlinkat", "wait4", "waitid", "setsid"]);

class Tracer {
	#child;
	#exited;
	lines = [];

	static async attach(pid, ...args) {
		const t = new Tracer();
		t.#child = spawn(program, [String(pid), ...args.map(String)], { stdio: ["ignore", "pipe", "inherit"] });
		t.#exited = new Promise((resolve) => t.#child.once("exit", resolve));
		createInterface({ input: t.#child.stdout }).on("line", (line) => t.lines.push(line));
		await until("the tracer is ready", () => t.lines[0] === "ready");
		return t;
	}

	get hit() {
		return this.lines[1];
	}

	async detach() {
		this.#child.kill("SIGTERM");
		const late = setTimeout(() => this.#child.kill("SIGKILL"), 500);
		await this.#exited;
		clearTimeout(late);
	}
}

const profiles = [["default", { storage: "32Mi", memory: "64Mi", sessions: 64, more: { home: "ephemeral" } }],
	["kept", { storage: "64Mi", memory: "64Mi", sessions: 64, more: { home: "persistent", ...(hasEgress && { egress: '["10.9.8.0/24 tcp 443"]' }) } }]];

const run = (body) => !skip && sandboxSuite("faults in the making of a sandbox", { profiles }, body);

run(({ fog, test, host }) => {
	const positions = []; // kind, n, call
	const found = [];
	const tried = {};
	let slowest = { ms: 0 };
	let rules; // without sessions

	const spawner = () => fog.roleProcess("spawner");
	const homes = () => path.join(fog.stateDir, "homes");

	// One session from its beginning to its end, whatever comes of it: 201, or 503 that says why.
	async function live(token) {
		const started = performance.now();
		const { status, json, body } = await fog.api("POST", "/v1/sessions", { token, body: { profile: "kept", ttl_seconds: 60 } });
		assert.ok(performance.now() - started < 9500, `the answer took ${Math.round(performance.now() - started)} ms`);
		if (status !== 201) {
			assert.equal(status, 503, body);
			return json.detail;
		}
		await fog.api("DELETE", `/v1/sessions/${json.session_id}`, { token });
		return undefined;
	}

	async function works() {
		await until("a create works", async () => {
			const token = fog.user();
			const { status, json } = await fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 60 } });
			if (status !== 201)
				return false;
			await fog.expect(200, "DELETE", `/v1/sessions/${json.session_id}`, { token });
			return true;
		}, { timeout: AGAIN_MS });
	}

	// Those of the persistent home are made anew each time, so that mke2fs is a part of it.
	function forgetHomes() {
		for (const name of fs.readdirSync(homes()))
			fs.rmSync(path.join(homes(), name));
	}

	// A holder that could not hear that its end is known stays for a while, without anything of the sandbox.
	const onlyHolder = ({ processes, files, ...rest }) => Object.values(rest).flat().length === 0 && processes.every((line) => / holder /.test(line));

	async function settle(kind) {
		const left = await host.waitClean(LEFT_MS, { files: false }).catch((error) => {
			if (kind !== "holder" || !onlyHolder(host.left()))
				throw error;
			return host.waitClean(UNHEARD_MS, { files: false }).then(() => 0);
		});
		if (left > slowest.ms)
			slowest = { ms: left };
		return left;
	}

	async function strike({ kind, n, call }, action) {
		const victim = await spawner();
		const tracer = await Tracer.attach(victim.pid, kind, n, action === "kill" ? "kill" : os.constants.errno[action]);
		let hit;
		try {
			await live(fog.user());
			await sleep(kind === "spawner" ? 30 : 0); // it cleans up after the end
			hit = tracer.hit;
		} finally {
			await tracer.detach();
		}
		await works();
		const ms = await settle(kind);
		if (ms >= slowest.ms)
			slowest = { ms, kind, n, call, action };
		forgetHomes();
		return hit !== undefined;
	}

	test("the system calls of a session's making and end", async (t) => {
		await works();
		const s = await enter(fog, host, { profile: "kept" });
		await fog.expect(200, "DELETE", `/v1/sessions/${s.id}`, { token: s.token });
		await host.waitClean();
		forgetHomes();
		const tracer = await Tracer.attach((await spawner()).pid, "list");
		const why = await live(fog.user());
		await sleep(200);
		await tracer.detach();
		assert.equal(why, undefined);
		await host.waitClean();
		for (const line of tracer.lines.slice(1)) {
			const [kind, n, call] = line.split(" ");
			positions.push({ kind, n: Number(n), call });
		}
		for (const kind of ["spawner", "maker", "tool", "init", "holder", "session-init"]) {
			const count = positions.filter((p) => p.kind === kind).length;
			t.diagnostic(`${kind}: ${count} calls`);
			assert.ok(count > 5, kind);
		}
		forgetHomes();
		rules = ruleset();
	});

	// In an order that is the same each time and mixes all.
	function plan() {
		const all = positions.filter(({ kind }) => KINDS.includes(kind))
			.flatMap((p) => ACTIONS.filter((action) => action === "kill" || !NEVER_FAIL.has(p.call)).map((action) => [p, action]));
		if (isFull)
			return all;
		const place = (i) => Math.imul(i, 0x9e3779b1) >>> 0; // the golden section: even however many there is time for
		return all.map((row, i) => [place(i), row]).sort(([a], [b]) => a - b).map(([, row]) => row);
	}

	test("after each: it answers, it makes sessions, nothing is left", async (t) => {
		const all = plan();
		const deadline = performance.now() + SECONDS * 1000;
		let hits = 0;
		let count = 0;
		let descriptors;
		for (const [p, action] of all) {
			if (performance.now() > deadline)
				break;
			const what = `${action} ${p.kind} ${p.n} ${p.call}`;
			count++;
			try {
				const before = await spawner();
				const hit = await strike(p, action);
				hits += hit;
				tried[`${p.kind} ${action}`] = (tried[`${p.kind} ${action}`] ?? 0) + 1;
				if (!isAlive(before))
					descriptors = undefined;
				const now = async () => JSON.stringify(await host.descriptors());
				descriptors ??= await now();
				await until("descriptors are as before", async () => await now() === descriptors, { timeout: LEFT_MS })
					.catch(async () => { throw new Error(`descriptors: ${descriptors} before, ${await now()} after`); });
			} catch (error) {
				found.push(`${what}: ${error.message}`);
				console.log(`found: ${what}: ${error.message}`);
				descriptors = undefined;
				for (const holder of fog.holders())
					signal(holder, "SIGKILL");
				await host.waitClean(10_000, { files: false }).catch(() => undefined);
				forgetHomes();
			}
			if (count % 200 === 0)
				console.log(`${count} of ${all.length}, ${hits} hits, ${found.length} findings`);
		}
		await host.waitClean(HALF_MADE_MS).catch((error) => found.push(`at the end: ${error.message}`));
		assert.equal(ruleset(), rules);
		t.diagnostic(`${count} of ${all.length} positions tried, ${hits} calls hit: ${JSON.stringify(tried)}`);
		t.diagnostic(`longest until nothing was left: ${JSON.stringify(slowest)}`);
		assert.deepEqual(found, []);
		assert.ok(hits > count / 2, `only ${hits} of ${count} were hit`);
	}, { timeout: SECONDS * 1000 + 60_000 });
});

// Once more with links and rules, which have to be gone as well.
const self = fileURLToPath(import.meta.url);
const NETWORK = 'ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding && exec "$@"';
it("the same with egress", { skip: skip || hasEgress || !isFull ? skip || "FULL=1" : false }, () => new Promise((resolve, reject) => {
	const child = spawn("unshare", ["-n", "sh", "-c", NETWORK, "sh", process.execPath, "--test", self],
		{ env: { ...process.env, EGRESS: "1", NODE_TEST_CONTEXT: undefined }, stdio: ["ignore", "inherit", "inherit"] });
	child.once("error", reject).once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`it ended with ${code}`))));
}));
