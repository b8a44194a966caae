// SPDX-License-Identifier: MIT
// Three fog nodes and a cloud, whole and real, in network namespaces: where sessions go and why, what follows when nodes die in
// the middle of it or are cut off, and that neither a node's keys nor a client's word relax anything (S23, S37, R12).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { Fleet, fogctl, fogctlPath, whyNoFleet } from "../lib/fleet.mjs";
import { exchange, policyOf } from "../lib/harness.mjs";
import { DpopKey } from "../lib/oidc.mjs";
import { signal, sleep, until, withDeadline } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const skip = whyNoFleet();
const NEAR = { north: 4, east: 30, south: 60, sky: 90 };
const POLICY = policyOf([
	["default", { sessions: 32 }],
	["single", { sessions: 1 }],
	["records", { sessions: 32, more: { data_labels: "[records]" } }],
	["vault", { sessions: 32, more: { min_trust: "attested" } }],
	["abroad", { sessions: 32, more: { regions: "[mars]" } }],
]);
const NODES = [
	{ name: "north", region: "lab" },
	{ name: "east", region: "lab", labels: ["records"] },
	{ name: "south", region: "lab" },
	{ name: "sky", tier: "cloud", region: "us-east-1", trust: "basic", sessions: 64 },
];

const body = (more = {}) => ({ profile: "default", ttl_seconds: 600, latency_ms: NEAR, ...more });
const at = (made) => [made.placement.node, made.placement_reason];
const reasons = (made) => made.placement_reason.split(",");

async function typed(fog, attach, text = "forty''two") {
	const terminal = await BinaryTerminal.open(fog, attach);
	await terminal.run(`echo ${text}`, new RegExp(text.replaceAll("'", "")));
	return terminal;
}

describe("three fog nodes and a cloud", { skip }, () => {
	let fleet;
	let alice;

	const test = (title, fn, timeout = 40_000) => it(title, async (t) => {
		try {
			await withDeadline(fn(t), title, timeout);
		} catch (error) {
			fleet.printLogs();
			throw error;
		}
	});
	const create = (by, more, options) => fleet.at(by).expect(201, "POST", "/v1/sessions", { token: alice, body: body(more), ...options });
	const living = async (name) => (await fleet.at(name).expect(200, "GET", "/v1/sessions", { token: alice, headers: { "Fog-Forwarded-By": "test" } }))
		.sessions.filter(({ status }) => ["starting", "running", "detached"].includes(status));
	const end = (by, made) => fleet.at(by).expect(200, "DELETE", `/v1/sessions/${made.session_id}`, { token: alice });

	before(async () => {
		fleet = await Fleet.start({ nodes: NODES, policy: POLICY });
		alice = await fleet.token("alice");
	});
	after(() => fleet?.stop());

	test("the near one is chosen, its own address is given, and every node finds the session", async () => {
		const made = await create("south");
		assert.equal(made.placement.node, "north");
		assert.deepEqual(reasons(made).filter((code) => ["fog-first", "nearest"].includes(code)), ["fog-first", "nearest"]);
		assert.ok(made.attach.ws_url.startsWith(fleet.node("north").url.replace("https:", "wss:")), made.attach.ws_url);
		const terminal = await typed(fleet.at("north"), made.attach);
		for (const by of ["north", "east", "south", "sky"]) {
			const shown = await fleet.at(by).expect(200, "GET", `/v1/sessions/${made.session_id}`, { token: alice });
			assert.deepEqual([shown.status, shown.placement.node], ["running", "north"]);
			const { sessions } = await fleet.at(by).expect(200, "GET", "/v1/sessions", { token: alice });
			assert.equal(sessions.filter(({ session_id: id }) => id === made.session_id).length, 1, `${by} lists it once`);
		}
		await terminal.close();
		const grant = await fleet.at("sky").expect(201, "POST", `/v1/sessions/${made.session_id}/attach`, { token: alice, body: { role: "driver" } });
		await (await typed(fleet.at("north"), grant)).close();
		await end("east", made);
		await fleet.at("north").waitStatus({ id: made.session_id, token: alice }, "terminated");
	});

	test("a forwarded session is confirmed: it outlives the time that an unconfirmed one has", async () => {
		const made = await create("south");
		await sleep(12_000);
		assert.equal((await fleet.at("north").show({ id: made.session_id, token: alice })).status, "detached");
		await end("north", made);
	});

	test("one that nobody confirms ends by itself", async () => {
		const made = await create("north", {}, { headers: { "Fog-Forwarded-By": "nobody" } });
		assert.equal(made.placement.node, "north");
		await fleet.at("north").waitStatus({ id: made.session_id, token: alice }, "terminated", { timeout: 15_000 });
	});

	test("the hint is followed where it may be, and what became of it is said", async () => {
		const made = await create("north", { placement_hint: "sky" });
		assert.equal(made.placement.node, "sky");
		assert.ok(reasons(made).includes("hint-honoured"));
		const unknown = await create("north", { placement_hint: "nowhere" });
		assert.ok(reasons(unknown).includes("hint-unknown-node"), unknown.placement_reason);
		const refused = await create("north", { placement_hint: "north", profile: "records" });
		assert.equal(refused.placement.node, "east");
		assert.ok(reasons(refused).includes("hint-not-fit"), refused.placement_reason);
		for (const each of [made, unknown, refused])
			await end("south", each);
	});

	test("residency, trust and region are never traded: refused with the rule although nearer nodes have room", async () => {
		for (const [profile, rule] of [["vault", "profile.min_trust"], ["abroad", "profile.regions"]]) {
			const problem = await fleet.at("north").expect(403, "POST", "/v1/sessions", { token: alice, body: body({ profile }) });
			assert.equal(problem.rule_id, rule);
			assert.match(problem.policy_version, /^[0-9a-f]{16}$/);
			assert.ok(problem.change, "what would allow it");
		}
		fleet.writeNodes((row) => ({ ...row, labels: [] }));
		await fleet.at("north").reload();
		const problem = await fleet.at("north").expect(403, "POST", "/v1/sessions", { token: alice, body: body({ profile: "records" }) });
		assert.equal(problem.rule_id, "profile.data_labels");
		fleet.writeNodes();
		await fleet.at("north").reload();
	});

	test("one key, one session, whoever is asked and however often", async () => {
		const headers = { "Idempotency-Key": "once and again" };
		const first = await create("south", {}, { headers });
		const again = await create("south", { latency_ms: { ...NEAR, east: 1 } }, { headers });
		assert.equal(again.session_id, first.session_id);
		// Its node cannot be reached: nobody makes a second one for the same key.
		fleet.cut(["south"], ["north"]);
		const lost = await fleet.at("south").expect(503, "POST", "/v1/sessions", { token: alice, headers, body: body() });
		assert.equal(lost.code, "node_unreachable");
		fleet.heal();
		await fleet.settled();
		assert.equal((await create("south", {}, { headers })).session_id, first.session_id);
		const other = await fleet.at("south").expect(422, "POST", "/v1/sessions", { token: alice, headers, body: body({ ttl_seconds: 599 }) });
		assert.equal(other.code, "idempotency_mismatch");
		await end("south", first);
	});

	test("a key whose session is on a node that does not answer makes no second one", async () => {
		const headers = { "Idempotency-Key": "its node is away" };
		const first = await create("south", {}, { headers });
		assert.equal(first.placement.node, "north");
		const gate = await fleet.at("north").roleProcess("gatewayd");
		assert.ok(signal(gate, "SIGSTOP"));
		const problem = await fleet.at("south").expect(503, "POST", "/v1/sessions", { token: alice, headers, body: body() });
		assert.equal(problem.code, "node_unreachable");
		assert.ok(signal(gate, "SIGCONT"));
		await fleet.settled();
		assert.equal((await create("south", {}, { headers })).session_id, first.session_id);
		assert.deepEqual(await living("east"), []);
		await end("south", first);
	}, 60_000);

	test("whoever is at the bound of a profile on the node where it would be is not sent around for more", async () => {
		const first = await create("south", { profile: "single" });
		const problem = await fleet.at("south").expect(409, "POST", "/v1/sessions", { token: alice, body: body({ profile: "single" }) });
		assert.deepEqual([problem.code, problem.rule_id], ["too_many_sessions", "profile.max_sessions"]);
		assert.match(problem.detail, /"north"/);
		assert.deepEqual(await living("east"), []);
		await end("south", first);
	});

	test("two nodes that each prefer the other make no loop", async () => {
		const made = await create("north", { latency_ms: { east: 1 } }, { headers: { "Fog-Forwarded-By": "east" } });
		assert.equal(made.placement.node, "north");
		await end("north", made);
	});

	test("stopped in the middle of a create: the next one serves within 3 s, and one session exists", async () => {
		const before = (await living("north")).length;
		const gate = await fleet.at("north").roleProcess("gatewayd");
		assert.ok(signal(gate, "SIGSTOP"));
		const started = Date.now();
		const made = await create("south");
		assert.ok(Date.now() - started < 3000, `${Date.now() - started} ms`);
		assert.equal(made.placement.node, "east");
		assert.ok(reasons(made).includes("next-best"), made.placement_reason);
		assert.ok(signal(gate, "SIGCONT"));
		// What it has read meanwhile it makes now; nobody confirms that.
		await until("only the one lives", async () => (await living("north")).length === before, { timeout: 20_000 });
		assert.deepEqual((await living("east")).map(({ session_id: id }) => id), [made.session_id]);
		await end("south", made);
		await fleet.settled();
	}, 60_000);

	test("the record of a decision replays to the same choice", async () => {
		const made = await create("south");
		const log = path.join(fleet.at("south").stateDir, "audit/audit.jsonl");
		const decided = fleet.at("south").auditRecords().filter(({ event }) => event === "placement.decided").at(-1);
		assert.equal(decided.decision.choice, "north");
		const line = path.join(fleet.at("south").dir, "line.json");
		fs.writeFileSync(line, `${JSON.stringify(decided)}\n`);
		assert.match(fogctl("placement", "explain", line), /replays to the same choice/);
		assert.ok(fs.existsSync(log));
		await end("south", made);
	});

	test("policy replay prints exactly what a draft would decide differently", async () => {
		const log = path.join(fleet.at("north").stateDir, "audit/audit.jsonl");
		const draft = path.join(fleet.at("north").dir, "draft.yaml");
		const replay = (policy) => {
			fs.writeFileSync(draft, policy);
			const { status, stdout, stderr } = spawnSync(fogctlPath, ["--json", "policy", "replay", draft, "--audit", log], { encoding: "utf8" });
			assert.equal(stderr, "");
			return { status, ...JSON.parse(stdout) };
		};
		const same = replay(POLICY);
		assert.deepEqual([same.status, same.different], [0, []]);
		const { status, different } = replay(POLICY.replace(/name: records[\s\S]*?max_ttl_seconds: 3600/, (text) => text.replace("3600", "60")));
		const wanted = fleet.at("north").auditRecords().filter(({ event, profile, request }) =>
			["placement.decided", "policy.denied"].includes(event) && profile === "records" && request.ttl_seconds > 60);
		assert.deepEqual([...new Set(wanted.map(({ event }) => event))].sort(), ["placement.decided", "policy.denied"]);
		assert.deepEqual([status, different.length], [1, wanted.length], JSON.stringify(different));
		assert.ok(different.every((each) => each.profile === "records" && /max_ttl_seconds/.test(JSON.stringify(each))), JSON.stringify(different));
	});

	test("fogctl measures how far the nodes are", async () => {
		const socket = ["--socket", path.join(fleet.at("south").runDir, "control.sock")];
		const { latency_ms: figures } = JSON.parse(fogctl("--json", ...socket, "nodes", "measure"));
		assert.deepEqual(Object.keys(figures).sort(), fleet.names.sort());
		assert.ok(Object.values(figures).every((ms) => ms >= 1 && ms < 1000), JSON.stringify(figures));
		assert.match(fogctl(...socket, "nodes", "measure"), /^NODE +STATE +LATENCY_MS\n/);
	});

	test("a DPoP-bound token is not passed on: the client is sent there", async () => {
		const key = new DpopKey();
		const token = await fleet.token("alice", { dpop: key });
		const url = fleet.node("south").url;
		const headers = { Authorization: `DPoP ${token}`, DPoP: key.proof("POST", `${url}/v1/sessions`, { token }), "Content-Type": "application/json" };
		const options = { ca: fleet.ca.pem, body: JSON.stringify(body()) };
		const sent = await exchange(url, "POST", "/v1/sessions", { ...options, headers });
		assert.equal(sent.status, 307, sent.body);
		assert.equal(sent.headers.location, `${fleet.node("north").url}/v1/sessions`);
	});

	test("drained and cordoned nodes take no new sessions, and keep what they have", async () => {
		const there = await create("north", {});
		const socket = (name) => ["--socket", path.join(fleet.at(name).runDir, "control.sock")];
		fogctl(...socket("north"), "nodes", "drain", "north");
		await fleet.waitState("south", "north", "draining");
		assert.equal((await create("north")).placement.node, "east");
		assert.equal((await fleet.at("south").show({ id: there.session_id, token: alice })).status, "detached");
		fogctl(...socket("south"), "nodes", "cordon", "east");
		assert.equal((await create("south")).placement.node, "south");
		fogctl(...socket("north"), "nodes", "undrain", "north");
		fogctl(...socket("south"), "nodes", "undrain", "east");
		await fleet.waitState("south", "north", "up");
		for (const name of fleet.names)
			for (const { session_id } of await living(name))
				await end(name, { session_id });
	});

	test("a partition: both sides serve, and agree afterwards; each record is there once", async () => {
		const [west, rest] = [["north"], ["east", "south", "sky"]];
		const before = await create("south");
		const terminal = await typed(fleet.at("north"), before.attach);
		fleet.cut(west, rest);
		await Promise.all([fleet.waitState("south", "north", "unreachable", { timeout: 6000 }), fleet.waitState("north", "south", "unreachable", { timeout: 6000 })]);
		const [here, there] = [await create("north"), await create("south")];
		assert.deepEqual([here.placement.node, there.placement.node], ["north", "east"]);
		await terminal.run("echo still''here", /stillhere/);
		const gone = await fleet.at("south").expect(503, "GET", `/v1/sessions/${before.session_id}`, { token: alice });
		assert.equal(gone.code, "node_unreachable");
		const list = await fleet.at("south").expect(200, "GET", "/v1/sessions", { token: alice });
		assert.deepEqual(list.unreachable_nodes, ["north"]);
		assert.ok(!list.sessions.some(({ session_id: id }) => id === before.session_id));
		fleet.heal();
		await fleet.settled();
		await terminal.run("echo and''now", /andnow/);
		await terminal.close();
		const views = await Promise.all(fleet.names.map(async (name) => (await fleet.at(name).expect(200, "GET", "/v1/sessions", { token: alice }))
			.sessions.filter(({ status }) => ["running", "detached"].includes(status)).map(({ session_id: id, placement }) => `${placement.node} ${id}`).sort()));
		for (const view of views)
			assert.deepEqual(view, views[0]);
		assert.deepEqual(views[0], [before, here, there].map((made) => `${made.placement.node} ${made.session_id}`).sort());
		for (const made of [before, here, there]) {
			const records = fleet.names.flatMap((name) => fleet.at(name).auditRecords().map((record) => ({ ...record, by: name })))
				.filter((record) => record.session_id === made.session_id && record.event === "session.created" && record.phase === "outcome");
			assert.deepEqual(records.map(({ by }) => by), [made.placement.node]);
		}
		for (const name of fleet.names) {
			const seen = fleet.at(name).auditRecords().map(({ run, seq }) => `${run} ${seq}`);
			assert.equal(new Set(seen).size, seen.length, `${name}: every record once`);
		}
		for (const made of [before, here, there])
			await end("sky", made);
	}, 90_000);

	test("a node's keys start nothing, read nothing and prefer nothing", async () => {
		const decided = await create("south", { profile: "records", latency_ms: { north: 1, south: 1, sky: 1, east: 500 } });
		assert.equal(decided.placement.node, "east");
		const { NodeKey } = await import("../lib/nodekey.mjs");
		const stolen = new NodeKey(fs.readFileSync(fleet.node("sky").keyFile, "utf8"));
		const ask = (claims) => stolen.ask({ iss: "sky", aud: "north", ...claims });
		const send = (name, method, target, token, more) => exchange(fleet.node(name).url, method, target, { token, ca: fleet.ca.pem, ...more });
		assert.equal((await send("north", "GET", "/v1/node/status", ask())).status, 200);
		assert.equal((await send("north", "POST", "/v1/sessions", ask(), { body: body() })).status, 401);
		assert.equal((await send("east", "GET", "/v1/sessions", stolen.ask({ iss: "sky", aud: "east" }))).status, 401);
		assert.equal((await send("east", "DELETE", `/v1/sessions/${decided.session_id}`, stolen.ask({ iss: "sky", aud: "east" }))).status, 401);
		// In another's name, for another, of yesterday, in ten minutes.
		for (const claims of [{ iss: "south" }, { aud: "east" }, { iat: -86_400, exp: -86_300 }, { iat: 600, exp: 620 }])
			assert.equal((await send("north", "GET", "/v1/node/status", ask(claims))).status, 401, JSON.stringify(claims));
		await end("east", decided);
	});

	test("all fog dead: the cloud, with the reason and a status frame; healed: back to the fog, and nothing moved", async () => {
		for (const name of ["north", "east", "south"])
			await fleet.powerOff(name);
		await until("the cloud has lost them all", async () => Object.entries(await fleet.states("sky")).filter(([, state]) => state === "unreachable").length === 3,
			{ timeout: 6000 });
		const made = await create("sky");
		assert.equal(made.placement.node, "sky");
		assert.ok(reasons(made).includes("cloud-fallback"), made.placement_reason);
		const terminal = await typed(fleet.at("sky"), made.attach);
		assert.equal(terminal.statuses.find(({ state }) => state === "degraded")?.reason, "cloud-fallback");
		for (const name of ["north", "east", "south"])
			await fleet.powerOn(name);
		await fleet.settled();
		assert.equal((await create("sky")).placement.node, "north");
		await terminal.run("echo same''shell", /sameshell/);
		assert.equal((await fleet.at("sky").show({ id: made.session_id, token: alice })).placement.node, "sky");
		await terminal.close();
	}, 90_000);
});
