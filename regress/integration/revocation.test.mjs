// SPDX-License-Identifier: MIT
// The end of an identity as placerd keeps it: by each profile's on_logout, over a crash and a restart of everything, and over a
// journal that was cut; and how often one subject may ask.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { build, policyOf, suite } from "../lib/harness.mjs";
import { until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const fogctl = path.join(build, "bin/fogctl");
const REVOKED = 4004;
const policy = policyOf([
	["default", { sessions: 5 }],
	["stays", { sessions: 5, more: { on_logout: "detach" } }],
]);

suite("revocation", { policy }, ({ fog, test }) => {
	const revoke = (token) => {
		const { status, stdout, stderr } = spawnSync(fogctl,
			["--json", "--socket", path.join(fog.runDir, "control.sock"), "subjects", "revoke", "dev", token],
			{ encoding: "utf8", timeout: 5000 });
		assert.equal(status, 0, stderr);
		return JSON.parse(stdout);
	};
	const refused = async (token) => {
		const body = await fog.expect(401, "GET", "/v1/sessions", { token });
		assert.equal(body.code, "identity_revoked");
	};
	const journal = (i) => path.join(fog.dir, "state/placerd", `revoked.${i}`);
	// The dev shim's tokens have no time of issue: none is ever newer than a revocation.

	test("each profile's on_logout: one session ends, the other detaches everybody and runs on", async () => {
		const token = fog.user();
		const ends = await fog.create({ token }), stays = await fog.create({ token, profile: "stays" });
		const terminals = [await BinaryTerminal.open(fog, ends.attach), await BinaryTerminal.open(fog, stays.attach)];
		const { token: spare } = await fog.mint(stays);
		const mark = fog.logMark(), start = performance.now();
		assert.deepEqual(revoke(token), { revoked: true, ended: 1, detached: 1 });

		for (const terminal of terminals)
			await until("the terminal is closed", () => terminal.closed, { timeout: 2000 });
		assert.ok(performance.now() - start < 2000);
		assert.equal(terminals[1].closed.code, REVOKED);
		assert.equal(terminals[1].statuses.at(-1).state, "revoked");
		const states = fog.events({ event: "session_ended" }, mark).map(({ sid, reason }) => [sid, reason]);
		assert.deepEqual(states, [[ends.id, "revoked"]]);
		// Every verb, and the token that was minted before.
		await refused(token);
		for (const [method, target, body] of [
			["POST", "/v1/sessions", { profile: "default", ttl_seconds: 60 }], ["GET", `/v1/sessions/${stays.id}`], ["GET", "/v1/profiles"],
			["POST", `/v1/sessions/${stays.id}/attach`, { role: "driver" }], ["PATCH", `/v1/sessions/${stays.id}`, { ttl_seconds: 700 }], ["GET", "/v1/nodes"],
			["DELETE", `/v1/sessions/${stays.id}`]])
			await fog.expect(401, method, target, { token, body });
		await assert.rejects(BinaryTerminal.open(fog, { ...stays.attach, token: spare }), /401|4401|identity_revoked/);
		// Nobody else notices.
		const other = await fog.create();
		assert.equal((await fog.show(other)).status, "detached");
	});

	test("it outlives placerd, and a restart of all", async () => {
		const token = fog.user();
		await fog.expect(200, "GET", "/v1/sessions", { token });
		revoke(token);
		await fog.kill("placerd");
		await fog.waitReady();
		await refused(token);
		await fog.kill("fogd");
		await fog.restartFogd();
		await refused(token);
		await fog.expect(200, "GET", "/v1/sessions", { token: fog.user() });
	});

	test("a journal that was cut: its valid part counts, and the log says what was dropped", async () => {
		const first = fog.user(), second = fog.user();
		revoke(first);
		revoke(second);
		const current = [0, 1].map((i) => ({ i, bytes: fs.readFileSync(journal(i)) }))
			.filter(({ bytes }) => bytes.length >= 24)
			.sort((a, b) => Number(b.bytes.readBigUInt64BE(8) - a.bytes.readBigUInt64BE(8)))[0];
		fs.truncateSync(journal(current.i), current.bytes.length - 3);
		const mark = fog.logMark();
		await fog.kill("placerd");
		const { dropped_bytes: dropped } = await fog.waitLog({ event: "revocations_recovered" }, { mark });
		assert.ok(Number(dropped) > 0);
		await fog.waitReady();
		await refused(first);
		revoke(second);
		await refused(second);
	});
});

suite("rates of one subject", { policy, env: { CREATES_PER_MINUTE: "3" } }, ({ fog, test }) => {
	test("creates beyond the rate are 429 with Retry-After", async () => {
		const token = fog.user();
		const answers = [];
		for (let i = 0; i < 4; i++)
			answers.push(await fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 60 } }));
		assert.deepEqual(answers.map(({ status }) => status), [201, 201, 201, 429]);
		assert.equal(answers[3].json.code, "too_many_requests");
		assert.match(answers[3].headers["retry-after"], /^([1-9]|1[0-9]|20)$/);
	});
});
