// SPDX-License-Identifier: MIT
// Never two sessions for one request, whoever dies in the middle of it: a session that was made for another node waits for its
// confirmation in its holder, and the node that was asked first knows whom it has asked, over restarts of everything else.
// FULL=1 tries each kind of death many times.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, whyNoFleet } from "../lib/fleet.mjs";
import { policyOf } from "../lib/harness.mjs";
import { descendants, isAlive, signal, sleep, until, waitGone, withDeadline } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const skip = whyNoFleet();
const tries = process.env.FULL === "1" ? 5 : 1;
const PROVISIONAL_MS = 10_000;
const NEAR = { north: 1, east: 200, south: 400 };
const FAR = { north: 400, east: 1, south: 200 }; // what would lead a new request elsewhere
const DEATHS = ["placerd", "ptyd", "everything"];

const body = (more = {}) => ({ profile: "default", ttl_seconds: 600, latency_ms: NEAR, ...more });

describe("one session for one request", { skip }, () => {
	let fleet;
	let alice;

	const test = (title, fn, timeout = 60_000) => it(title, async (t) => {
		try {
			await withDeadline(fn(t), title, timeout);
		} catch (error) {
			fleet.printLogs();
			throw error;
		}
	});
	const ask = (by, more, options) => fleet.at(by).api("POST", "/v1/sessions", { token: alice, body: body(more), ...options });
	const create = (by, more, options) => fleet.at(by).expect(201, "POST", "/v1/sessions", { token: alice, body: body(more), ...options });
	const forOther = (by) => create(by, {}, { headers: { "Fog-Forwarded-By": "east" } });
	const sessionsOf = async (name) => (await fleet.at(name).expect(200, "GET", "/v1/sessions",
		{ token: alice, headers: { "Fog-Forwarded-By": "test" } })).sessions;
	const living = async (name) => (await sessionsOf(name)).filter(({ status }) => ["starting", "running", "detached"].includes(status))
		.map(({ session_id: id }) => id);
	const everywhere = async () => (await Promise.all(fleet.names.map(living))).flat();
	const confirm = (by, made) => fleet.at(by).expect(200, "POST", `/v1/sessions/${made.session_id}/confirm`, { token: alice });
	const show = (by, made) => fleet.at(by).show({ id: made.session_id, token: alice });
	const end = (by, id) => fleet.at(by).expect(200, "DELETE", `/v1/sessions/${id}`, { token: alice });

	async function endAll() {
		for (const name of fleet.names)
			for (const id of await living(name))
				await end(name, id);
	}

	// Of everything but the holders, as a crash of the whole service; else of one process, which fogd replaces.
	async function die(name, what) {
		const fog = fleet.at(name);
		if (what !== "everything") {
			const victim = await fog.kill(what);
			await fog.roleProcess(what, { not: victim });
			return fog.waitReady();
		}
		const victims = [fog.fogd, ...await Promise.all(Object.keys(fog.rolePids()).map((role) => fog.roleProcess(role)))];
		const holders = fog.holders();
		for (const victim of victims)
			signal(victim, "SIGKILL");
		for (const victim of victims)
			await waitGone(victim);
		await fog.restartFogd();
		assert.ok(holders.every(isAlive), "the holders live on");
		return fog.waitReady();
	}

	before(async () => {
		fleet = await Fleet.start({ nodes: ["north", "east", "south"].map((name) => ({ name })), policy: policyOf([["default", { sessions: 32 }]]) });
		alice = await fleet.token("alice");
	});
	after(() => fleet?.stop());

	for (const what of DEATHS) {
		for (let i = 0; i < tries; i++)
			test(`its answer is lost, and then dies ${what} of the node that has made it: the other one is the only one (${i + 1})`, async () => {
				await fleet.settled(); // whoever has died before
				const broker = await fleet.at("north").roleProcess("ptyd");
				assert.ok(signal(broker, "SIGSTOP"));
				const headers = { "Idempotency-Key": `lost ${what} ${i}` };
				const made = await create("south", {}, { headers });
				assert.equal(made.placement.node, "east");
				const mark = fleet.at("north").logMark();
				assert.ok(signal(broker, "SIGCONT"));
				// What it was asked it makes now, and nobody waits for it.
				await fleet.at("north").waitLog({ event: "session_started" }, { mark });
				const [second] = await living("north");
				assert.ok(second);
				await die("north", what);
				await until("the second one ends", async () => (await living("north")).length === 0, { timeout: PROVISIONAL_MS + 5000 });
				assert.equal((await show("north", { session_id: second })).end_reason, "abandoned");
				assert.deepEqual(await everywhere(), [made.session_id]);
				assert.equal((await create("south", { latency_ms: FAR }, { headers })).session_id, made.session_id);
				await endAll();
				await fleet.settled();
			});

		test(`a confirmation before or after ${what} dies keeps the session; without one it ends, at its time`, async () => {
			const [sooner, later, never, minted, attached] = await Promise.all([1, 2, 3, 4, 5].map(() => forOther("north")));
			const started = Date.now();
			await confirm("north", sooner);
			const terminal = await BinaryTerminal.open(fleet.at("north"), attached.attach);
			await die("north", what);
			await confirm("north", later);
			await confirm("north", later); // as one whose answer was lost is confirmed again
			await fleet.at("north").expect(201, "POST", `/v1/sessions/${minted.session_id}/attach`, { token: alice, body: {} });
			await until("it ends", async () => (await show("north", never)).status === "terminated", { timeout: PROVISIONAL_MS + 5000 });
			const lived = Date.now() - started;
			assert.ok(lived > PROVISIONAL_MS - 2000 && lived < PROVISIONAL_MS + 5000, `${lived} ms`);
			assert.equal((await show("north", never)).end_reason, "abandoned");
			await sleep(2000);
			assert.deepEqual((await living("north")).sort(), [sooner, later, minted, attached].map(({ session_id: id }) => id).sort());
			await die("north", what); // and to whoever comes after it stays confirmed
			await confirm("north", sooner);
			assert.equal((await living("north")).length, 4);
			await terminal.close();
			await endAll();
		});
	}

	test("its time runs out while nobody is there but its holder", async () => {
		const made = await forOther("north");
		const [holder, ...others] = fleet.at("north").holders();
		assert.deepEqual(others, []);
		await fleet.at("north").terminateFogd();
		await until("it has ended", () => descendants(holder.pid).length === 0, { timeout: PROVISIONAL_MS + 5000 });
		await fleet.at("north").restartFogd();
		await fleet.at("north").waitReady();
		assert.deepEqual([(await show("north", made)).status, (await show("north", made)).end_reason], ["terminated", "abandoned"]);
		await fleet.settled();
	});

	for (const what of ["placerd", "everything"]) {
		test(`the same key again at the node that was asked first, after ${what} there has died`, async () => {
			const headers = { "Idempotency-Key": `asked first ${what}` };
			const made = await create("south", {}, { headers });
			assert.equal(made.placement.node, "north");
			await die("south", what);
			assert.equal((await create("south", {}, { headers })).session_id, made.session_id);
			// Wherever it would be placed now, and whoever of the others dies too.
			await die("north", "placerd");
			assert.equal((await create("south", { latency_ms: FAR }, { headers })).session_id, made.session_id);
			const other = await ask("south", { ttl_seconds: 599 }, { headers });
			assert.deepEqual([other.status, other.json.code], [422, "idempotency_mismatch"]);
			fleet.cut(["south"], ["north"]);
			const lost = await ask("south", { latency_ms: FAR }, { headers });
			assert.deepEqual([lost.status, lost.json.code], [503, "node_unreachable"]);
			assert.match(lost.headers["retry-after"], /^\d+$/);
			fleet.heal();
			await fleet.settled();
			assert.equal((await create("south", { latency_ms: FAR }, { headers })).session_id, made.session_id);
			assert.deepEqual(await everywhere(), [made.session_id]);
			await endAll();
		});

		for (let i = 0; i < tries; i++)
			test(`the node that was asked first dies (${what}) while the other makes it: a repeat gives one session (${i + 1})`, async () => {
				const headers = { "Idempotency-Key": `in the middle ${what} ${i}` };
				const gate = await fleet.at("north").roleProcess("gatewayd");
				assert.ok(signal(gate, "SIGSTOP"));
				const mark = fleet.at("south").logMark();
				const first = ask("south", {}, { headers }).catch((error) => ({ error }));
				await fleet.at("south").waitLog({ event: "forwarded", node: "north" }, { mark });
				await die("south", what);
				assert.notEqual((await first).status, 201);
				assert.ok(signal(gate, "SIGCONT"));
				const again = await until("the node is heard again", async () => {
					const answer = await ask("south", { latency_ms: FAR }, { headers });
					return answer.status === 201 && answer.json;
				}, { timeout: 15_000 });
				assert.equal(again.placement.node, "north");
				await sleep(PROVISIONAL_MS + 2000);
				assert.deepEqual(await everywhere(), [again.session_id]);
				await endAll();
				await fleet.settled();
			});
	}
});
