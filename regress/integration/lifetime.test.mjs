// SPDX-License-Identifier: MIT
// How long a session lives: idle time, and what counts as use; extension within policy, which outlives the daemons; and how
// much of its output is kept, by its profile.
import assert from "node:assert/strict";
import { build, policyOf, suite } from "../lib/harness.mjs";
import { isRoot, sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const IDLE_S = 3;
// A look comes each second at this timeout, and a busy machine is late.
const LATE_MS = 1000 + 1500;
const MAX_TTL = 7200;

const policy = policyOf([
	["default", { ttl: MAX_TTL }],
	["idle", { sessions: 20, more: { idle_timeout_seconds: IDLE_S } }],
	["small", { more: { ring_size: "64Ki", idle_timeout_seconds: 0 } }],
	["closing", { groups: ["insiders"] }],
]);

const seconds = (text) => Date.parse(text) / 1000;

async function openIn(fog, options) {
	const session = await fog.create(options);
	const terminal = await BinaryTerminal.open(fog, session.attach);
	await terminal.run("PS1= PS2=; echo rea''dy", /ready\r\n/);
	return { session, terminal };
}

// What runs, and whether the session is still there when it would have ended long since.
const USES = [
	["nothing", "", false],
	["a job in the foreground", "sleep 60", true],
	["a job that reads the terminal", "cat", true],
	["a pipeline in the foreground", "sleep 60 | cat", true],
	["another shell", "sh", true],
	["a job in the background", "sleep 60 &", false],
	["output of a job in the background", "while :; do echo tick; sleep 0.2; done &", false],
	["a job that is stopped", "sh -c 'kill -STOP $$'", false],
	["a builtin that is over", "echo over", false],
];

function keptByJobs({ fog, test }) {
	test("a job in the foreground keeps a session, and nothing else that runs or prints does", async () => {
		const seen = await Promise.all(USES.map(async ([name, line, stays]) => {
			const { session, terminal } = await openIn(fog, { profile: "idle" });
			const start = performance.now();
			terminal.type(`${line}\n`);
			if (stays) {
				await sleep(IDLE_S * 1000 + LATE_MS + 1000);
				return [name, (await fog.show(session)).status, false];
			}
			await terminal.waitExit(IDLE_S * 1000 + LATE_MS + 1000);
			const early = performance.now() - start < IDLE_S * 1000 - 100;
			return [name, (await fog.waitStatus(session, "expired")).status, early];
		}));
		assert.deepEqual(seen, USES.map(([name, , stays]) => [name, stays ? "running" : "expired", false]));
	}, { timeout: 60_000 });
}

// The shell has no pid namespace of its own there.
if (isRoot && !build.startsWith("/root"))
	suite("lifetime, started by an ordinary user", { policy, asUser: { uid: 65534, gid: 65534 } }, keptByJobs);

suite("lifetime", { policy }, ({ fog, test }) => {
	const open = (options) => openIn(fog, options);
	const statusOf = (terminal, state) => terminal.statuses.findLast((status) => status.state === state);
	const waitState = (terminal, state, timeout) => until(`status ${state}`, () => statusOf(terminal, state), { timeout });
	const extend = ({ id, token }, body = {}) => fog.api("PATCH", `/v1/sessions/${id}`, { token, body });

	// --- idle time ---

	test("the list of profiles says after which time an idle session ends", async () => {
		const { profiles } = await fog.expect(200, "GET", "/v1/profiles", { token: fog.user() });
		assert.deepEqual(profiles.map(({ name, idle_timeout_seconds: idle }) => [name, idle]),
			[["default", 0], ["idle", IDLE_S], ["small", 0]]);
	});

	test("an idle session is warned, and ends with that reason", async () => {
		const { session, terminal } = await open({ profile: "idle" });
		const start = performance.now();
		const warning = await waitState(terminal, "idle");
		assert.ok(performance.now() - start < IDLE_S * 1000 + LATE_MS);
		assert.equal(warning.reason, "idle");
		const left = seconds(warning.expires_at) - Date.now() / 1000;
		assert.ok(left > -1 && left < IDLE_S, `told to end in ${left} s`);
		assert.equal(terminal.exit, undefined, "it is warned before");
		const exit = await terminal.waitExit();
		const took = performance.now() - start;
		assert.ok(took > IDLE_S * 1000 - 100 && took < IDLE_S * 1000 + LATE_MS, `it ended after ${took} ms`);
		assert.equal(exit.reason, "idle");
		const { status, end_reason: reason } = await fog.waitStatus(session, "expired");
		assert.deepEqual([status, reason], ["expired", "idle"]);
		assert.deepEqual(await terminal.waitClosed().then(({ code }) => code), 4002);
		assert.equal((await extend(session)).json.code, "session_ended");
	});

	keptByJobs({ fog, test });

	test("when the job in the foreground is over, the whole idle time begins", async () => {
		const { terminal } = await open({ profile: "idle" });
		await terminal.run(`sleep ${IDLE_S + 1}; echo o''ver`, /over\r\n/, 15_000);
		const start = performance.now();
		assert.equal((await terminal.waitExit()).reason, "idle");
		const took = performance.now() - start;
		assert.ok(took > IDLE_S * 1000 - 100 && took < IDLE_S * 1000 + LATE_MS, `it ended after ${took} ms`);
	});

	test("typing keeps a session, also after the warning", async () => {
		const { session, terminal } = await open({ profile: "idle" });
		for (let i = 0; i < 5; i++) {
			terminal.type("\n");
			await sleep(1000);
		}
		assert.equal(statusOf(terminal, "idle"), undefined, "whoever types is not warned");
		await waitState(terminal, "idle");
		terminal.type("\n");
		await sleep(IDLE_S * 1000 - 500);
		assert.equal((await fog.show(session)).status, "running");
		assert.equal((await terminal.waitExit()).reason, "idle");
		assert.equal(terminal.statuses.filter(({ state }) => state === "idle").length, 2, "it is warned again");
	});

	test("a session that nobody is attached to is idle too; a new driver begins anew", async () => {
		const [left, back] = await Promise.all([open({ profile: "idle" }), open({ profile: "idle" })]);
		await Promise.all([left.terminal.close(), back.terminal.close()]);
		await sleep(IDLE_S * 1000 - 1000);
		const again = await BinaryTerminal.open(fog, await fog.mint(back.session));
		const start = performance.now();
		const { end_reason: reason } = await fog.waitStatus(left.session, "expired", { timeout: IDLE_S * 1000 + LATE_MS });
		assert.equal(reason, "idle");
		assert.equal((await again.waitExit()).reason, "idle");
		const took = performance.now() - start;
		assert.ok(took > IDLE_S * 1000 - 100, `it ended ${took} ms after its new driver came`);
	});

	test("a viewer is warned too, and does not keep a session by typing", async () => {
		const { session, terminal } = await open({ profile: "idle" });
		const { id, token } = session;
		const minted = await fog.expect(201, "POST", `/v1/sessions/${id}/attach`, { token, body: { role: "viewer" } });
		await terminal.close();
		const start = performance.now();
		const viewer = await BinaryTerminal.open(fog, minted);
		assert.equal(viewer.hello.role, "viewer");
		const typing = setInterval(() => viewer.type("\n"), 300);
		try {
			assert.equal((await viewer.waitExit()).reason, "idle");
		} finally {
			clearInterval(typing);
		}
		assert.ok(performance.now() - start < IDLE_S * 1000 + LATE_MS);
		assert.ok(statusOf(viewer, "idle"));
		const attached = fog.auditRecords().filter(({ session_id: of, event }) => of === id && event === "session.attached");
		assert.deepEqual(attached.map(({ phase, role }) => `${phase} ${role}`),
			["intent driver", "outcome driver", "intent viewer", "outcome viewer"]);
	});

	test("a profile without an idle time keeps a session that nothing is done with", async () => {
		const { session } = await open();
		await sleep(IDLE_S * 1000 + LATE_MS);
		assert.equal((await fog.show(session)).status, "running");
	});

	// --- extension ---

	test("an extension: as long as the profile allows, or as was asked; clients are told", async () => {
		const { session, terminal } = await open({ ttl: 600 });
		const before = await fog.show(session);
		assert.equal(seconds(before.expires_at) - seconds(before.created_at), 600);
		for (const [body, life] of [[{ ttl_seconds: 600 }, 600], [{ ttl_seconds: 601 }, 601], [{}, MAX_TTL], [undefined, MAX_TTL]]) {
			terminal.statuses = [];
			const { status, json } = await fog.api("PATCH", `/v1/sessions/${session.id}`, { token: session.token, body });
			assert.equal(status, 200);
			assert.equal(seconds(json.expires_at) - seconds(json.created_at), life);
			assert.deepEqual(json, await fog.show(session));
			const told = await waitState(terminal, "extended");
			assert.equal(told.expires_at, json.expires_at);
		}
		const again = await BinaryTerminal.open(fog, await fog.mint(session));
		assert.equal(seconds(again.hello.expires_at) - seconds(before.created_at), MAX_TTL);
	});

	test("an extension begins the idle time anew", async () => {
		const { session, terminal } = await open({ profile: "idle", ttl: 600 });
		await waitState(terminal, "idle");
		assert.equal((await extend(session)).status, 200);
		const start = performance.now();
		assert.equal((await terminal.waitExit()).reason, "idle");
		const took = performance.now() - start;
		assert.ok(took > IDLE_S * 1000 - 100, `it ended ${took} ms after its extension`);
	});

	const REFUSALS = [
		["longer than the profile allows", { ttl_seconds: MAX_TTL + 1 }, 422, "ttl_not_allowed", "profile.max_ttl_seconds"],
		["much longer", { ttl_seconds: 31536000 }, 422, "ttl_not_allowed", "profile.max_ttl_seconds"],
		["shorter than it is", { ttl_seconds: 599 }, 422, "ttl_not_allowed", "session.not_shorter"],
		["shorter than it has lived", { ttl_seconds: 1 }, 422, "ttl_not_allowed", "session.not_shorter"],
		["zero", { ttl_seconds: 0 }, 400, "bad_member"],
		["above the shape", { ttl_seconds: 31536001 }, 400, "bad_member"],
		["negative", { ttl_seconds: -1 }, 400, "bad_member"],
		["text", { ttl_seconds: "700" }, 400, "bad_member"],
		["unknown member", { ttl: 700 }, 400, "bad_member"],
		["no object", "[]", 400, "bad_request"],
		["no JSON", "{", 400, "bad_request"],
	];

	test("what an extension is refused for", async () => {
		const session = await fog.create({ ttl: 600 });
		const before = await fog.show(session);
		for (const [name, body, status, code, rule] of REFUSALS) {
			const answer = await extend(session, body);
			assert.deepEqual([answer.status, answer.json.code, answer.json.rule_id], [status, code, rule], `${name}: ${answer.body}`);
		}
		const target = `/v1/sessions/${session.id}`;
		await fog.expect(404, "PATCH", target, { token: fog.user(), body: {} });
		await fog.expect(401, "PATCH", target, { body: {} });
		await fog.expect(415, "PATCH", target, { token: session.token, body: "{}", headers: { "Content-Type": "text/plain" } });
		assert.deepEqual(await fog.show(session), before);
		const denied = fog.auditRecords().filter(({ session_id: id, event }) => id === session.id && event === "policy.denied");
		assert.equal(denied.length, REFUSALS.filter(([, , , , rule]) => rule).length);
	});

	test("who may no longer use the profile is refused", async () => {
		const user = fog.user();
		const session = await fog.create({ token: `${user}+insiders`, profile: "closing" });
		const answer = await extend({ id: session.id, token: user });
		assert.deepEqual([answer.status, answer.json.code, answer.json.rule_id], [403, "denied", "profile.allowed_groups"]);
		assert.equal((await extend(session)).status, 200);
	});

	test("an extended session lives past its first end, is warned again, and ends at the new one", async () => {
		const { session, terminal } = await open({ ttl: 10 });
		await waitState(terminal, "expiring", 15_000);
		terminal.statuses = [];
		assert.equal((await extend(session, { ttl_seconds: 13 })).status, 200);
		const { created_at: created } = await fog.show(session);
		await waitState(terminal, "extended");
		const warning = await waitState(terminal, "expiring");
		assert.equal(seconds(warning.expires_at) - seconds(created), 13);
		assert.equal((await terminal.waitExit()).reason, "ttl");
		const age = Date.now() / 1000 - seconds(created);
		assert.ok(age > 12 && age < 16, `it ended at the age of ${age} s`);
	});

	test("an extension outlives placerd and ptyd", async () => {
		const { session, terminal } = await open({ ttl: 600 });
		const told = (await extend(session, { ttl_seconds: 1200 })).json;
		const terms = () => fog.waitStatus(session, "running").then(({ created_at: from, expires_at: to }) => seconds(to) - seconds(from));
		for (const roles of [["placerd"], ["ptyd"], ["ptyd", "placerd"]]) {
			for (const role of roles)
				await fog.kill(role);
			await fog.waitReady();
			assert.equal(await terms(), 1200, `after the death of ${roles}`);
		}
		const longer = await until("extended again", async () => {
			const answer = await extend(session, { ttl_seconds: 1300 });
			return answer.status === 200 && answer.json;
		});
		assert.equal(seconds(longer.expires_at) - seconds(told.expires_at), 100);
		assert.equal(terminal.closed, undefined);
	}, { timeout: 60_000 });

	test("the audit log has the intent and the outcome of an extension, and the role of an attach", async () => {
		const { session } = await open({ ttl: 600 });
		await extend(session, { ttl_seconds: 700 });
		const lines = fog.auditRecords().filter(({ session_id: id }) => id === session.id);
		assert.deepEqual(lines.filter(({ event }) => event === "session.extended").map(({ phase, detail }) => [phase, detail]),
			[["intent", "ttl_seconds 700"], ["outcome", "ttl_seconds 700"]]);
		assert.deepEqual(lines.filter(({ event }) => event === "session.attached").map(({ phase, role }) => [phase, role]),
			[["intent", "driver"], ["outcome", "driver"]]);
	});

	// --- output kept ---

	test("a profile's ring_size is what is kept of the output; the rest is told as lost", async () => {
		const ask = async (profile) => {
			const { session, terminal } = await open({ profile });
			await terminal.run("head -c 300000 /dev/zero | tr '\\0' a; echo do''ne", /done\r\n/);
			await terminal.close();
			const { hello } = await BinaryTerminal.open(fog, await fog.mint(session), { out: 0 });
			return hello;
		};
		const [small, usual] = [await ask("small"), await ask("default")];
		assert.equal(small.out_next - small.out_from, 64 * 1024);
		assert.equal(small.out_lost, small.out_from);
		assert.deepEqual([usual.out_from, usual.out_lost], [0, 0]);
		assert.ok(usual.out_next > 300_000);
	});
});
