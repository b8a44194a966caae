// SPDX-License-Identifier: MIT
// Sessions come and go, in every way they can; then all that the service occupies is as it was before: descriptors,
// threads, processes, terminals, files, memory. What is kept of ended sessions is kept by design: its bounds are held here.
// Once with plain shells, and once with sandboxes: then also mounts, loop devices, ranges of ids, disks, and where they can
// be had links, rules and groups.
// FULL=1: 10,000 rounds, and the ten minutes after which nothing is kept. ROUNDS, PARALLEL, KINDS: others than these.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { countsOf, filesBelow, mapValues, memoryOf } from "../lib/footprint.mjs";
import { suite } from "../lib/harness.mjs";
import { isRoot, sleep, until } from "../lib/proc.mjs";
import { hasEgress, hasGroups, sandboxSuite } from "../lib/sandboxhost.mjs";
import { BinaryTerminal, JsonTerminal } from "../lib/ws.mjs";

const isFull = process.env.FULL === "1";
const ROUNDS = Number(process.env.ROUNDS ?? (isFull ? 10_000 : 200));
const PARALLEL = Number(process.env.PARALLEL ?? 8);
const REPORT_EVERY = 1000;
const SETTLE_MS = 1000;
const TIMEOUT_MS = isFull ? 3_600_000 : 240_000;

// What is kept of a session that has ended, for those who ask how it ended.
const PTYD_KEEPS = 512; // KEPT_ENDED_MAX, ptyd/broker.c: records, a file each in RUN_DIR
const PLACERD_KEEPS = 4096; // REGISTRY_ENDED_MAX, placerd/registry.h: in memory
const KEEP_MS = 600_000; // KEEP_MS, ptyd/sessions.c, and REGISTRY_KEEP_MS

// Memory that a daemon may have more than before, and placerd for each ended session that it keeps more than before. A
// leak of 1 KiB a round shows in the 200 rounds, one of 48 bytes in the last 4,000 of the 10,000.
const GROWTH_KIB = 192;
const KEPT_KIB = 1.45;

const echo = (terminal) => terminal.run("echo $((6*7))", /\b42\r$/m);
const end = (fog, { id, token }) => fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
const mint = (fog, { id, token }, role) => fog.expect(201, "POST", `/v1/sessions/${id}/attach`, { token, body: { role } });

// The session is over for everybody who was attached.
async function over(code, ...terminals) {
	for (const terminal of terminals) {
		await terminal.waitExit();
		assert.equal((await terminal.waitClosed()).code, code);
	}
}

// One round each. attaches: how often somebody attaches, which the audit log tells twice; sessions: 0, if none is made.
const KINDS = {
	neverAttached: { ends: "terminated", attaches: 0, run: end },
	deleted: { ends: "terminated", attaches: 1, run: async (fog, session) => {
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await echo(terminal);
		await end(fog, session);
		await over(4002, terminal);
	} },
	exited: { ends: "exited", attaches: 1, run: async (fog, session) => {
		const terminal = await JsonTerminal.open(fog, session.attach);
		terminal.type("exit 3\n");
		await over(1000, terminal);
		assert.equal(terminal.exit.code, 3);
	} },
	dropped: { ends: "terminated", attaches: 2, run: async (fog, session) => {
		const first = await BinaryTerminal.open(fog, session.attach);
		first.type("seq 1 5000\n");
		first.destroy();
		const second = await BinaryTerminal.open(fog, await mint(fog, session, "driver"), { from: first });
		second.destroy();
		await end(fog, session);
	} },
	takenOver: { ends: "terminated", attaches: 2, run: async (fog, session) => {
		const first = await BinaryTerminal.open(fog, session.attach);
		const second = await JsonTerminal.open(fog, await mint(fog, session, "driver"));
		assert.equal((await first.waitClosed()).code, 4001);
		await echo(second);
		await end(fog, session);
		await over(4002, second);
	} },
	viewed: { ends: "terminated", attaches: 3, run: async (fog, session) => {
		const driver = await BinaryTerminal.open(fog, session.attach);
		const viewer = await BinaryTerminal.open(fog, await mint(fog, session, "viewer"));
		const leaving = await JsonTerminal.open(fog, await mint(fog, session, "viewer"));
		await echo(driver);
		await viewer.waitFor(/\b42\r$/m);
		leaving.destroy();
		await end(fog, session);
		await over(4002, driver, viewer);
	} },
	expired: { ends: "expired", attaches: 1, ttl: 1, run: async (fog, session) => {
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await over(4002, terminal);
	} },
	refused: { ends: undefined, run: async (fog, _, token) => {
		await fog.expect(422, "POST", "/v1/sessions", { token, body: { profile: "none", ttl_seconds: 60 } });
		await fog.expect(404, "DELETE", "/v1/sessions/00000000-0000-8000-8000-000000000000", { token });
	} },
};
const kinds = process.env.KINDS?.split(",") ?? Object.keys(KINDS);

// Lines of the audit log: a decision, intent and outcome of the making, what it runs in, its end; or the refusal.
const auditLines = ({ ends, attaches }) => (ends ? 5 + 2 * attaches : 1);

// Ids that no other instance gives out: the kernel counts processes by uid, and another test's fork bomb must not count here.
const env = { SESSION_UID_BASE: String(0x9000_0000) };

suite("soak", { env }, soak);
const egress = hasEgress ? { more: { egress: '["198.51.100.0/24 tcp 443", "10.0.0.53 udp 53"]', dns: "10.0.0.53" } } : {};
sandboxSuite("soak of sandboxes", { profiles: [["default", { storage: "64Mi", memory: "128Mi", ...egress }]] }, soak);

function soak({ fog, test, host }) {
	const made = []; // all sessions in the order of their end
	let expectedAudit = 0;
	let rounds = 0;
	let first, firstMemory; // before

	const auditFile = () => path.join(fog.stateDir, "audit/audit.jsonl");
	const auditCount = () => fs.readFileSync(auditFile(), "latin1").split("\n").length - 1;
	const records = () => [...filesBelow(path.join(fog.runDir, "sessions")).keys()];
	const memoryNow = () => ({ processes: memoryOf(fog), kept: Math.min(made.length, PLACERD_KEEPS) });

	async function round(kind) {
		const { ends, ttl, run } = KINDS[kind];
		const token = `soak${rounds++}`; // a subject of its own: what is kept by subject would stay, too
		const session = ends && await fog.create({ token, ttl });
		try {
			await run(fog, session, token);
			if (session)
				made.push({ ...await fog.waitStatus(session, ends), token });
		} catch (error) {
			error.message = `${kind} ${session?.id}: ${error.message}`;
			throw error;
		}
		expectedAudit += auditLines(KINDS[kind]);
	}

	// So many workers, each with a round at a time. All stop when one fails.
	async function runRounds(count, kindOf, onRound = () => undefined) {
		let next = 0;
		const work = async () => {
			for (let i; (i = next++) < count;) {
				await round(kindOf(i)).catch((error) => {
					next = count;
					throw error;
				});
				onRound(i + 1);
			}
		};
		await Promise.all(Array.from({ length: PARALLEL }, work));
	}

	// Connections end and processes are reaped a moment after the last answer. A terminal that is left would be a
	// descriptor of somebody: its master is what keeps it.
	async function checkCounts() {
		const same = () => JSON.stringify(countsOf(fog)) === JSON.stringify(first);
		await until("all is as it was", same).catch(() => assert.deepEqual(countsOf(fog), first));
		await host?.waitClean();
	}

	function checkMemory(t, before) {
		if (!isRoot) {
			t.diagnostic("memory and descriptors of the daemons are seen by root alone");
			return;
		}
		const { processes, kept } = memoryNow();
		for (const [name, { anon, pss }] of Object.entries(processes)) {
			const limit = GROWTH_KIB + (name === "placerd" ? (kept - before.kept) * KEPT_KIB : 0);
			const growth = anon - before.processes[name].anon;
			t.diagnostic(`${name}: ${anon} KiB, grown by ${growth}, allowed ${limit}; PSS ${pss} KiB`);
			if (process.env.FOG_SANITIZED !== "1") // it keeps freed memory in quarantine
				assert.ok(growth <= limit, `${name} grew by ${growth} KiB`);
		}
	}

	// The files of RUN_DIR: the lock, and a record for each of the last sessions that ended.
	function checkFiles() {
		assert.deepEqual([...filesBelow(fog.runDir).keys()].filter((name) => !name.startsWith("sessions/")).sort(),
			["control.sock", "fogd.lock"]);
		const kept = [...filesBelow(fog.stateDir).keys()].filter((name) => !name.startsWith("images/"));
		const template = kept.findIndex((name) => host && /^storage\/scratch-2-[0-9]+\.ext4$/.test(name));
		assert.equal(template >= 0, host !== undefined);
		assert.deepEqual(kept.filter((_, i) => i !== template),
			["audit/audit.jsonl", "placerd/drained", "placerd/passed", "placerd/revoked.0", "placerd/revoked.1", ...(host ? ["storage/slots"] : [])]);
		const names = new Set(records());
		assert.ok(names.size <= PTYD_KEEPS + PARALLEL, `${names.size} files`);
		// The newest; a session that lasted longer than others is in another place by its beginning than by its end.
		const certain = made.slice(-(PTYD_KEEPS - 16 * PARALLEL));
		for (const { session_id: id } of certain)
			assert.ok(names.has(`${id}.rec`), `no record of ${id}`);
		const all = new Set(made.map(({ session_id: id }) => `${id}.rec`));
		assert.deepEqual([...names].filter((name) => !all.has(name)), [], "files of nobody");
	}

	test("before: one round of each kind, and more ended sessions than ptyd keeps", async (t) => {
		const started = performance.now();
		await runRounds(2 * kinds.length, (i) => kinds[i % kinds.length]);
		await runRounds(PTYD_KEEPS + 2 * PARALLEL, () => "neverAttached");
		await sleep(SETTLE_MS);
		first = countsOf(fog);
		firstMemory = memoryNow();
		t.diagnostic(`${made.length} sessions in ${((performance.now() - started) / 1000).toFixed(1)} s`);
		assert.deepEqual(first.processes, { authd: 1, fetcher: 1, gatewayd: 1, placerd: 1, prober: 1, ptyd: 1, spawner: 1 });
		checkFiles();
		assert.equal(auditCount(), expectedAudit);
	}, { timeout: TIMEOUT_MS });

	// Or nobody would see whether it is left behind.
	test("while it lives a session has all that is looked for afterwards", async (t) => {
		const session = await fog.create({ token: `soak${rounds++}` });
		const { files, ...has } = mapValues(host.left(), (list) => list.length);
		const wanted = { processes: true, loops: true, mounts: false /* the host sees none of them */, links: hasEgress, rules: hasEgress, groups: hasGroups };
		t.diagnostic(JSON.stringify({ ...has, files }));
		assert.deepEqual(mapValues(has, (count) => count > 0), wanted);
		await end(fog, session);
		made.push({ ...await fog.waitStatus(session, "terminated"), token: session.token });
		expectedAudit += auditLines(KINDS.neverAttached);
		await host.waitClean();
	}, { skip: host ? false : "it is of a sandbox" });

	test(`${ROUNDS} rounds, ${PARALLEL} at a time: all is back to the start`, async (t) => {
		const started = performance.now();
		const auditBytes = fs.statSync(auditFile()).size;
		const auditBefore = expectedAudit;
		let middle;
		await runRounds(ROUNDS, (i) => kinds[i % kinds.length], (done) => {
			if (done % REPORT_EVERY !== 0)
				return;
			const anon = mapValues(memoryOf(fog), (memory) => memory?.anon);
			console.log(`${done} rounds, ${((performance.now() - started) / 1000).toFixed(0)} s, KiB: ${JSON.stringify(anon)}`);
			// From here on nobody keeps more than before.
			if (made.length > PLACERD_KEEPS + REPORT_EVERY)
				middle ??= memoryNow();
		});
		const seconds = (performance.now() - started) / 1000;
		t.diagnostic(`${seconds.toFixed(1)} s, ${(ROUNDS / seconds).toFixed(1)} rounds a second`);
		await checkCounts();
		checkFiles();
		assert.equal(auditCount(), expectedAudit, "lines of the audit log");
		t.diagnostic(`audit log: ${((fs.statSync(auditFile()).size - auditBytes) / ROUNDS).toFixed(0)} bytes and ` +
			`${((expectedAudit - auditBefore) / ROUNDS).toFixed(1)} lines a round`);
		checkMemory(t, firstMemory);
		if (middle)
			checkMemory(t, middle);
	}, { timeout: TIMEOUT_MS });

	test("how a session ended is told, as long as it is kept", async () => {
		const show = ({ session_id: id, token }) => fog.api("GET", `/v1/sessions/${id}`, { token });
		const newest = made.slice(-(PLACERD_KEEPS - PARALLEL));
		for (const session of [newest[0], newest[newest.length >> 1], newest.at(-1)]) {
			const { status, json } = await show(session);
			assert.equal(status, 200, session.session_id);
			assert.equal(json.status, session.status);
		}
		if (made.length > PLACERD_KEEPS + PARALLEL)
			assert.equal((await show(made[made.length - PLACERD_KEEPS - PARALLEL - 1])).status, 404);
	});

	test("after ten minutes nothing is kept", async (t) => {
		const last = made.at(-1);
		await until("no record is left", () => records().length === 0, { timeout: KEEP_MS + 60_000, interval: 5000 });
		await fog.expect(404, "GET", `/v1/sessions/${last.session_id}`, { token: last.token });
		await checkCounts();
		t.diagnostic(`KiB: ${JSON.stringify(memoryOf(fog))}`);
	}, { timeout: KEEP_MS + 90_000, skip: isFull && !host ? false : "FULL=1, and once" });
}
