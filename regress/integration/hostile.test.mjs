// SPDX-License-Identifier: MIT
// Each process played as broken into (regress/hostile_peer.c): its neighbours keep their pids, say who lied and go on;
// fogd replaces the liar; no session is lost (S7, S8). The sessions are made by honest processes first and counted by
// honest ones afterwards, over the same RUN_DIR; in between one program of the copied installation is the hostile one.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { build, exchange, Instance, instanceEnv, parseLog, ROLES } from "../lib/harness.mjs";
import { identify, isAlive, signal, sleep, until, waitGone, withDeadline } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const program = path.join(build, "regress/hostile_peer");
const LIBEXEC = "libexec/cloudshell-fog";
const QUIET_MS = 200; // in which something that must not happen would have
const DEATHS_PER_RUN = 4; // then a new fogd, which knows no back-off yet

// Signal numbers by name, and the edge of each misdeed.
function misdeedsOf(role) {
	const lines = execFileSync(program, ["--list", role], { encoding: "utf8" }).trim().split("\n");
	return new Map(lines.map((line) => line.split(" ")).map(([number, edge, name]) => [name, { number: Number(number), edge }]));
}

// A copy of the installation with one program replaced.
function install(dir, role) {
	fs.mkdirSync(path.join(dir, "sbin"), { recursive: true });
	fs.copyFileSync(path.join(build, "sbin/fogd"), path.join(dir, "sbin/fogd"));
	fs.cpSync(path.join(build, LIBEXEC), path.join(dir, LIBEXEC), { recursive: true });
	fs.copyFileSync(program, path.join(dir, LIBEXEC, role));
	fs.symlinkSync(path.join(build, "share"), path.join(dir, "share"));
}

// An instance whose `role` is hostile, on the folder of an honest one that does not run.
class HostileInstance {
	lines = [];
	clients = new Set();
	holders = new Map();
	deaths = 0;

	constructor(fog, role) {
		this.fog = fog;
		this.role = role;
		this.dir = path.join(fog.dir, `hostile-${role}`);
		install(this.dir, role);
	}

	async start() {
		const mark = this.lines.length;
		this.deaths = 0;
		this.pids = {};
		this.child = spawn(path.join(this.dir, "sbin/fogd"), ["-d"], {
			cwd: "/", env: instanceEnv(this.fog.dir), stdio: ["ignore", "ignore", "pipe"],
		});
		this.exited = new Promise((resolve) => this.child.once("exit", resolve));
		let partial = "";
		this.child.stderr.setEncoding("utf8").on("data", (text) => {
			const lines = (partial + text).split("\n");
			partial = lines.pop();
			for (const line of lines)
				this.onLine(line);
		});
		await this.waitLog({ event: "ready" }, mark);
		this.fogd = identify(this.child.pid);
		if (this.role !== "gatewayd") {
			const { addr } = await this.waitLog({ event: "listening" }, mark);
			this.url = `http://127.0.0.1:${/\d+$/.exec(addr)[0]}`;
		}
		await this.waitWired(mark);
		return this;
	}

	// Who said it, and the fields.
	onLine(line) {
		const fields = { ...parseLog(line), said_by: /(?:^|\s)([a-z]+)\[\d+\] /.exec(line)?.[1], text: line };
		this.lines.push(fields);
		if (fields.event === "role_started")
			this.pids[fields.role] = identify(Number(fields.pid));
		if (fields.holder_pid)
			this.holders.set(fields.holder_pid, identify(Number(fields.holder_pid)));
	}

	// The hostile role has its ends. A holder has none here.
	async waitWired(mark) {
		const edges = { gatewayd: 2, authd: 3, placerd: 3, ptyd: 3, spawner: 1, fetcher: 1, prober: 1, holder: 0 }[this.role];
		await until("the hostile role is wired",
			() => this.events({ event: "hostile_ready", said_by: this.role }, mark).length >= edges);
	}

	events(wanted, mark = 0) {
		return this.lines.slice(mark).filter((fields) => Object.entries(wanted).every(([key, value]) =>
			value instanceof RegExp ? value.test(fields[key] ?? "") : fields[key] === String(value)));
	}

	waitLog(wanted, mark = 0, timeout = 10_000) {
		return until(`log line ${Object.entries(wanted).map(([key, value]) => `${key}=${value}`).join(" ")}`,
			() => this.events(wanted, mark)[0], { timeout });
	}

	get liar() {
		return this.pids[this.role];
	}

	honest() {
		return ROLES.filter((role) => role !== this.role).map((role) => [role, this.pids[role]]);
	}

	track(client) {
		this.clients.add(client);
		return client;
	}

	request(method, target, options) {
		const answer = exchange(this.url, method, target, options);
		answer.catch(() => undefined);
		return answer;
	}

	async create(key, token) {
		const answer = await this.request("POST", "/v1/sessions", {
			token, headers: key && { "Idempotency-Key": key }, body: { profile: "default", ttl_seconds: 600 },
		});
		return { status: answer.status, json: answer.body && JSON.parse(answer.body) };
	}

	// Until those that had to be told everything again know it.
	waitReady() {
		return until("readyz", async () => (await exchange(this.url, "GET", "/readyz")).status === 200);
	}

	async stop() {
		for (const client of this.clients)
			client.destroy();
		this.clients.clear();
		this.child.kill("SIGTERM");
		await withDeadline(this.exited, "the hostile instance ends on SIGTERM");
		for (const found of Object.values(this.pids))
			await waitGone(found);
	}

	// Whatever was made here; the harness knows those of the honest instance.
	killAll() {
		this.child?.kill("SIGKILL");
		for (const found of this.holders.values())
			if (found)
				signal(found, "SIGKILL");
	}

	// Runs body; what was logged meanwhile is printed when it fails.
	async watched(body) {
		const mark = this.lines.length;
		try {
			await body(mark);
		} catch (error) {
			console.error(["--- log of the hostile instance", ...this.lines.slice(mark).map(({ text }) => text).slice(-100), "---"].join("\n"));
			throw error;
		}
	}
}

// --- what follows a misdeed ---

const lied = (by, why = "lied") => ({ by, why });
const stuck = (by) => lied(by, "stuck");
// So loud that the accusing lines may be among those that full log pipes dropped: what follows is seen all the same.
const loudlyStuck = (by) => ({ ...stuck(by), loud: true });
const tolerated = {};
// The role itself says what it was answered.
const hears = (message, error = "none") => ({ heard: { event: "heard", message, error } });
const says = (fields) => ({ heard: { event: "result", ...fields } });

const floodOver = says({ what: "flood_over" });

async function checkAccused(hostile, { by, why, loud }, edge, liar, mark) {
	if (by === "fogd") {
		await hostile.waitLog({ event: "peer_down", said_by: "fogd", edge: "control", peer: hostile.role, why }, mark);
		await hostile.waitLog({ event: "peer_bad", edge: "control", accused: hostile.role, by: "fogd" }, mark);
	} else if (!loud) {
		await hostile.waitLog({ event: "peer_down", said_by: by, edge, peer: hostile.role, why }, mark, 30_000);
		await hostile.waitLog({ event: "peer_bad", edge, accused: hostile.role, by }, mark);
	}
	await waitGone(liar, { timeout: 30_000 });
	hostile.deaths++;
	await until("the liar is replaced", () => hostile.liar.pid !== liar.pid);
	await hostile.waitWired(mark);
}

async function checkOutcome(hostile, outcome, edge, liar, mark) {
	if (outcome.by)
		return checkAccused(hostile, outcome, edge, liar, mark);
	if (outcome.heard)
		await hostile.waitLog({ ...outcome.heard, said_by: hostile.role }, mark);
	else
		await sleep(QUIET_MS);
	assert.deepEqual(hostile.events({ event: /^peer_(bad|down)$/ }, mark).map(({ text }) => text), [], "nobody is accused");
	assert.ok(isAlive(liar), `${hostile.role} was not replaced`);
}

async function commit(hostile, misdeeds, [name, outcome, options = {}]) {
	if (hostile.deaths >= DEATHS_PER_RUN) {
		await hostile.stop();
		await hostile.start();
	}
	const { number, edge } = misdeeds.get(name);
	const finish = await options.before?.(hostile);
	const mark = hostile.lines.length;
	const honest = hostile.honest();
	const liar = hostile.liar;
	assert.ok(signal(liar, number));
	await hostile.waitLog({ event: "misdeed", name }, mark);
	await checkOutcome(hostile, outcome, edge, liar, mark);
	await finish?.(mark);
	assert.deepEqual(hostile.honest(), honest, "every other role was started once");
	for (const [role, found] of [...honest, ["fogd", hostile.fogd]])
		assert.ok(isAlive(found), `${role} died of it`);
}

// --- what is pending when it happens ---

// A request whose last stop is the hostile role, and its answer afterwards: an orderly one.
const pending = (method, target, message, options) => async (hostile) => {
	if (hostile.role === "spawner")
		await hostile.waitReady();
	const mark = hostile.lines.length;
	const answer = hostile.request(method, typeof target === "function" ? target() : target, { token: "bystander", ...options });
	await hostile.waitLog({ event: "heard", message }, mark);
	return async () => {
		const { status } = await withDeadline(answer, "an answer after the lie", 15_000);
		assert.ok(status >= 500, `answered ${status}`);
	};
};

const someSession = "/v1/sessions/018f0000-0000-8000-8000-000000000001";
const creating = { body: { profile: "default", ttl_seconds: 600 } };
const listing = (message) => ({ before: pending("GET", "/v1/sessions", message) });
const showing = (message) => ({ before: pending("GET", someSession, message) });
const extending = (message) => ({ before: pending("PATCH", someSession, message) });
const making = (message) => ({ before: pending("POST", "/v1/sessions", message, creating) });

const MADE_UP = "badbadba-0000-8000-8000-000000000001";

// An extension of the session that a hostile ptyd has made up.
const extendingMadeUp = {
	before: async (hostile) => {
		const target = `/v1/sessions/${MADE_UP}`;
		await until("the made-up session is known", async () =>
			(await exchange(hostile.url, "GET", target, { token: "victim" })).status === 200);
		return pending("PATCH", target, "PTY_EXTEND", { token: "victim" })(hostile);
	},
};

// An attach to the session that a hostile ptyd has made up, waiting for its stream.
const attaching = {
	before: async (hostile) => {
		const minted = await until("an attach token for the made-up session", async () => {
			const answer = await exchange(hostile.url, "POST", `/v1/sessions/${MADE_UP}/attach`, { token: "victim", body: {} });
			return answer.status === 201 && JSON.parse(answer.body);
		});
		const mark = hostile.lines.length;
		const opened = BinaryTerminal.open(hostile, minted).then(() => "attached", () => "refused");
		await hostile.waitLog({ event: "heard", message: "PTY_ATTACH" }, mark);
		return async () => assert.equal(await withDeadline(opened, "the upgrade is answered", 15_000), "refused");
	},
};

const CASES = {
	gatewayd: [
		// What it has in hand leads nowhere: no subject to name, one socket to authd, a delivery socket that is shut.
		["write_on_delivery", says({ what: "write", error: "EPIPE", with_descriptor: "EPIPE" })],
		["count_sockets", says({ what: "seqpacket_sockets", count: "3" })],
		["make_session", hears("GATE_CREATED")],
		["attach_to_another_session", hears("GATE_REFUSED", "attach_token_invalid")],
		["mint_as_somebody_else", hears("GATE_REFUSED", "session_unknown")],
		["attach", hears("GATE_DELIVER")],
		["attach", hears("GATE_REFUSED", "attach_token_used")],
		["attach_with_altered_token", hears("GATE_REFUSED", "attach_token_invalid")],
		["flood", floodOver],
		["probe", hears("GATE_READY")],
		["garbage", lied("authd")],
		["garbage_flood", lied("authd")],
		["descriptor_bomb", lied("authd")],
		["second_hello", lied("authd")],
		["oversize", lied("authd")],
		["name_a_subject", lied("authd")],
		["speak_to_ptyd", lied("authd")],
		["answer_as_placerd", lied("authd")],
		["id_in_use", lied("authd")],
		["mute", stuck("authd")],
		["control_garbage", lied("fogd")],
		["accuse_strangers", lied("fogd")],
		["hang_up", tolerated],
	],
	authd: [
		["late_left", floodOver],
		["garbage_left", lied("gatewayd")],
		["cut_left", tolerated], // an answer to nothing is dropped, and not even decoded
		["deliver", lied("gatewayd")],
		["descriptor_left", lied("gatewayd")],
		["wrong_verb_left", lied("gatewayd"), listing("AUTH_LIST")],
		["other_session_left", lied("gatewayd"), showing("AUTH_SHOW")],
		["extended_another", lied("gatewayd"), extending("AUTH_EXTEND")],
		["garbage_right", lied("placerd")],
		["speak_as_ptyd", lied("placerd")],
		["id_in_use", lied("placerd")],
		["no_request_id", lied("placerd")],
		["bounds_right", lied("placerd")],
		["mute", stuck("placerd")],
		["fetch_flood", floodOver],
		["garbage_fetch", lied("fetcher")],
		["fetch_as_gatewayd", lied("fetcher")],
		["fetch_no_request_id", lied("fetcher")],
		["fetch_bounds", lied("fetcher")],
		["fetch_descriptor", lied("fetcher")],
		["fetch_as_placerd", lied("fetcher")],
		["token_to_provider", lied("fetcher")],
		["control_garbage", lied("fogd")],
		["accuse_strangers", lied("fogd")],
	],
	placerd: [
		["late_left", floodOver],
		["create_twin", hears("PLACE_REFUSED", "spawn_failed")],
		["attach_unknown", hears("PLACE_REFUSED", "session_unknown")],
		["end_unknown", hears("PLACE_REFUSED", "session_unknown")],
		["extend_unknown", hears("PLACE_REFUSED", "session_unknown")],
		["flood", floodOver],
		["attach_unknown", hears("PLACE_REFUSED", "session_unknown")],
		["kept_though_living", lied("ptyd")],
		["garbage_left", lied("authd")],
		["descriptor_bomb", lied("authd")],
		["wrong_verb_left", lied("authd"), listing("PLACE_LIST")],
		["other_session_left", lied("authd"), showing("PLACE_SHOW")],
		["extended_another", lied("authd"), extending("PLACE_EXTEND")],
		["forward_to_a_stranger", lied("authd"), showing("PLACE_SHOW")],
		["list_of_a_stranger", lied("authd"), listing("PLACE_LIST")],
		["probe_flood", floodOver],
		["garbage_probe", lied("prober")],
		["probe_as_authd", lied("prober")],
		["probe_no_request_id", lied("prober")],
		["probe_bounds", lied("prober")],
		["garbage_right", lied("ptyd")],
		["plan_out_of_bounds", lied("ptyd")],
		["extend_for_ever", lied("ptyd")],
		["descriptor_right", lied("ptyd")],
		["speak_as_spawner", lied("ptyd")],
		["speak_as_holder", lied("ptyd")],
		["id_in_use", lied("ptyd")],
		["mute", stuck("ptyd")],
		["control_garbage", lied("fogd")],
		["accuse_strangers", lied("fogd")],
	],
	ptyd: [
		["late_left", floodOver],
		["deliver_unasked", floodOver],
		["spawn_without_plan", hears("PTY_SPAWN_FAILED")],
		["garbage_left", lied("placerd")],
		["known_late", lied("placerd")],
		["known_all_twice", lied("placerd")],
		["descriptor_left", lied("placerd")],
		["bounds_left", lied("placerd")],
		["extended_another", lied("placerd"), extendingMadeUp],
		["extended_otherwise", lied("placerd"), extendingMadeUp],
		["garbage_delivery", lied("gatewayd")],
		["deliver_bomb", lied("gatewayd")],
		["deliver_without_descriptor", lied("gatewayd")],
		["deliver_another_session", lied("gatewayd"), attaching],
		["deliver_no_stream", lied("gatewayd"), attaching],
		["deliver_blocking_stream", lied("gatewayd"), attaching],
		["deliver_nothing", lied("gatewayd"), attaching],
		["garbage_right", lied("spawner")],
		["spawn_out_of_range", lied("spawner")],
		["spawn_no_descriptor", lied("spawner")],
		["mute", loudlyStuck("spawner")],
		["kill_fogd", lied("spawner")],
		["kill_system_init", lied("spawner")],
		["kill_by_no_pidfd", lied("spawner")],
		["control_garbage", lied("fogd")],
	],
	spawner: [
		["late", floodOver],
		["spawned_nothing", tolerated, making("SPAWN_SESSION")],
		["garbage", lied("ptyd")],
		["descriptor_bomb", lied("ptyd")],
		["speak_as_placerd", lied("ptyd")],
		["spawned_another", lied("ptyd"), making("SPAWN_SESSION")],
		["control_garbage", lied("fogd")],
		["accuse_strangers", lied("fogd")],
	],
	fetcher: [
		["unasked", lied("authd")], // without an issuer nothing is ever asked
		["garbage", lied("authd")],
		["descriptor_bomb", lied("authd")],
		["speak_as_placerd", lied("authd")],
		["speak_as_gatewayd", lied("authd")],
		["no_request_id", lied("authd")],
		["bounds", lied("authd")],
		["oversize", lied("authd")],
		["control_garbage", lied("fogd")],
		["accuse_strangers", lied("fogd")],
	],
	prober: [
		["unasked", lied("placerd")], // without NODES_CONFIG nothing is ever asked
		["garbage", lied("placerd")],
		["descriptor_bomb", lied("placerd")],
		["speak_as_authd", lied("placerd")],
		["speak_as_ptyd", lied("placerd")],
		["speak_as_fetcher", lied("placerd")],
		["no_request_id", lied("placerd")],
		["bounds", lied("placerd")],
		["oversize", lied("placerd")],
		["control_garbage", lied("fogd")],
		["accuse_strangers", lied("fogd")],
	],
};

// Honest sessions with the pids of their shells.
async function makeSessions(fog, count) {
	const made = [];
	for (let i = 0; i < count; i++) {
		const session = await fog.create({ token: `keeper${i}` });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const [, pid] = await terminal.run("echo pid=$$.", /pid=(\d+)\./);
		await terminal.close();
		made.push({ ...session, shell: pid });
	}
	return made;
}

async function checkSessions(fog, sessions) {
	for (const session of sessions) {
		const { status } = await fog.show(session);
		assert.equal(status, "detached");
		const terminal = await BinaryTerminal.open(fog, await fog.mint(session));
		const [, pid] = await terminal.run("echo again=$$.", /again=(\d+)\./);
		assert.equal(pid, session.shell, "the same shell");
		await terminal.close();
	}
}

// Honest, hostile, honest again; body plays the hostile part.
async function between(role, body) {
	const fog = new Instance();
	await fog.start();
	let hostile;
	try {
		const sessions = await makeSessions(fog, 2);
		const holders = fog.holders();
		await fog.terminateFogd();
		hostile = new HostileInstance(fog, role);
		await hostile.start();
		await body(hostile, sessions);
		await hostile.stop();
		assert.ok(holders.every(isAlive), "a holder died");
		await fog.restartFogd();
		await checkSessions(fog, sessions);
	} finally {
		hostile?.killAll();
		await fog.stop();
	}
}

describe("hostile processes", { concurrency: 1 }, () => {
	for (const [role, cases] of Object.entries(CASES)) {
		it(role, { timeout: 120_000 }, (t) => between(role, async (hostile) => {
			const misdeeds = misdeedsOf(role);
			for (const found of cases)
				await t.test(found[0], () => hostile.watched(() => commit(hostile, misdeeds, found)));
		}));
	}
});

// --- the holder: what it does is written in the Idempotency-Key of its session ---

// Lies by which the broker sees at once that this is no holder of its making: no session comes of it.
const STILLBORN = ["wrong-nonce", "another-session", "another-slot", "another-life"];
// Lies of a holder that seemed good: its session ends, and no other.
const TURNCOATS = ["garbage", "state-of-another", "speak-as-placerd", "hello-twice"];
// And those that lie when they are asked to live longer.
const EXTENDERS = ["extends-another", "extends-longer"];
// What it sends to gatewayd in place of a stream: that attachment ends.
const STREAMS = ["stream-garbage", "stream-huge", "stream-as-gateway", "stream-zeros"];
// And what it gives to ptyd to pass on.
const GIFTS = ["stream-no-socket", "stream-blocking", "stream-of-another"];

describe("hostile holders", () => {
	it("holder", { timeout: 120_000 }, (t) => between("holder", async (hostile, [witness]) => {
		await hostile.waitReady();
		const honest = hostile.honest();
		// A terminal of an honest session, which has to go on through all of it.
		const minted = await exchange(hostile.url, "POST", `/v1/sessions/${witness.id}/attach`, { token: witness.token, body: {} });
		const terminal = await BinaryTerminal.open(hostile, JSON.parse(minted.body));
		let turn = 0;
		const step = (name, body) => t.test(name, () => hostile.watched(async (mark) => {
			await body(mark, `liar${++turn}`);
			await terminal.run(`echo turn=$((${turn}+1000)).`, new RegExp(`turn=${turn + 1000}\\.`));
			assert.deepEqual(hostile.honest(), honest, "every role was started once");
			for (const [role, found] of [...honest, ["fogd", hostile.fogd]])
				assert.ok(isAlive(found), `${role} died of it`);
		}));
		const accused = (mark) => hostile.waitLog({ event: "peer_down", said_by: "ptyd", peer: "holder", why: "lied" }, mark);

		for (const key of STILLBORN) {
			await step(key, async (mark, token) => {
				assert.equal((await hostile.create(key, token)).status, 503);
				await accused(mark);
			});
		}
		await step("silent", async (mark, token) => {
			assert.equal((await hostile.create("silent", token)).status, 503);
		});
		for (const key of TURNCOATS) {
			await step(key, async (mark, token) => {
				const { status, json } = await hostile.create(key, token);
				assert.equal(status, 201);
				await accused(mark);
				await until("its session has ended", async () => {
					const shown = await exchange(hostile.url, "GET", `/v1/sessions/${json.session_id}`, { token });
					return ["lost", "failed"].includes(JSON.parse(shown.body).status);
				});
			});
		}
		for (const key of EXTENDERS) {
			await step(key, async (mark, token) => {
				const target = `/v1/sessions/${(await hostile.create(key, token)).json.session_id}`;
				const before = JSON.parse((await exchange(hostile.url, "GET", target, { token })).body);
				assert.ok((await exchange(hostile.url, "PATCH", target, { token, body: {} })).status >= 400);
				await accused(mark);
				const after = await until("its session has ended", async () => {
					const shown = JSON.parse((await exchange(hostile.url, "GET", target, { token })).body);
					return shown.status === "lost" && shown;
				});
				assert.equal(after.expires_at, before.expires_at);
			});
		}
		await step("flood", async (mark, token) => {
			assert.equal((await hostile.create("flood", token)).status, 201);
			await sleep(1000);
			const heard = hostile.events({ event: "holder_log", said_by: "ptyd" }, mark).length;
			assert.ok(heard <= 100, `${heard} lines of a holder in a second`);
		});
		for (const key of STREAMS) {
			await step(key, async (mark, token) => {
				const { status, json } = await hostile.create(key, token);
				assert.equal(status, 201);
				const fooled = await BinaryTerminal.open(hostile, json.attach).catch(() => undefined);
				await fooled?.waitClosed();
			});
		}
		for (const key of GIFTS) {
			await step(key, async (mark, token) => {
				const { status, json } = await hostile.create(key, token);
				assert.equal(status, 201);
				await assert.rejects(BinaryTerminal.open(hostile, json.attach));
				await accused(mark);
			});
		}
	}));
});
