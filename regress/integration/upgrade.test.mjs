// SPDX-License-Identifier: MIT
// Upgrades and downgrades while sessions run. A build that speaks with holders as the old one did takes every session over;
// one that does not leaves the shells alone, shows them, ends them when asked, and gives them back to the build that made them.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { changedBuild, ownBuild, turnTo } from "../lib/builds.mjs";
import { suite } from "../lib/harness.mjs";
import { descendants, identify, isAlive, isRoot, status as processStatus, until, waitGone } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const PROFILE_SESSIONS = 3; // of harness.mjs's default profile

// What authd says to placerd is no affair of a holder; the stream is.
const addField = (file, after) => [[file, after, `${after} F(T, u8, another_build, 0, 1) `]];
const ELSEWHERE = addField("common/messages.def", "#define FIELDS_who_mint(F, T)");
const IN_THE_STREAM = addField("common/stream.def", "#define FIELDS_stream_hello(F, T)");

suite("upgrade", {}, ({ fog, test }) => {
	const token = fog.user();
	let kept, ended, made, terminal, shell, shellPid, likeOwn, other;

	async function upgrade(build) {
		const mark = fog.logMark();
		assert.equal((await fog.terminateFogd()).code, 0);
		turnTo(build);
		await fog.restartFogd();
		assert.equal(fs.realpathSync(`/proc/${fog.pid}/exe`), path.join(fs.realpathSync(build), "sbin/fogd"));
		await fog.waitReady();
		return mark;
	}

	const list = async () => (await fog.expect(200, "GET", "/v1/sessions", { token })).sessions
		.sort((a, b) => a.session_id.localeCompare(b.session_id));
	const attach = (session) => fog.api("POST", `/v1/sessions/${session.id}/attach`, { token, body: {} });
	const refusals = (answer) => [answer.status, answer.json.code];

	async function reattach(session, from) {
		const answer = await attach(session);
		assert.equal(answer.status, 201, answer.body);
		return BinaryTerminal.open(fog, answer.json, { from });
	}

	// The same shell, with what it knew; nothing of its output is missing.
	async function itIsTheSame() {
		terminal = await reattach(kept, terminal);
		assert.equal(terminal.hello.out_lost, 0);
		const [, pid, word] = await terminal.run("echo pid=$$ word=$word do''ne", /pid=(\d+) word=(\w+) done/);
		assert.deepEqual([pid, word], [shellPid, "remembered"]);
		assert.ok(isAlive(shell));
	}

	test("a session runs, and two other builds are made", async () => {
		likeOwn = changedBuild("elsewhere", ELSEWHERE);
		other = changedBuild("stream", IN_THE_STREAM);
		kept = await fog.create({ token });
		terminal = await BinaryTerminal.open(fog, kept.attach);
		[, shellPid] = await terminal.run("word=remembered; echo pid=$$ do''ne", /pid=(\d+) done/);
		shell = identify(descendants(fog.holders()[0].pid).find((pid) => fs.readFileSync(`/proc/${pid}/status`, "latin1")
			.match(/^NSpid:.*$/m)[0].endsWith(`\t${shellPid}`)));
		assert.ok(shell);
	}, { timeout: 180_000 });

	test("a change that is no affair of holders: every session is taken over", async () => {
		const mark = await upgrade(likeOwn);
		assert.equal(fog.events({ event: "session_adopted", sid: kept.id }, mark).length, 1);
		assert.deepEqual(fog.events({ event: "holder_left_alone" }, mark), []);
		await itIsTheSame();
		ended = await fog.create({ token });
		await BinaryTerminal.open(fog, ended.attach).then((fresh) => fresh.run("echo $((6*7))", /\b42\r$/m));
	});

	test("a change of the stream: the sessions are left alone, with one warning each", async () => {
		await terminal.run("(sleep 1; echo mean''while) & echo go''ing", /going/);
		const before = await list();
		const mark = await upgrade(other);
		for (const { id } of [kept, ended]) {
			const warnings = fog.events({ event: "holder_left_alone", sid: id }, mark);
			assert.equal(warnings.length, 1);
			assert.match(warnings[0].hash, /^[0-9a-f]{16}$/);
			assert.match(warnings[0].own_hash, /^[0-9a-f]{16}$/);
			assert.notEqual(warnings[0].hash, warnings[0].own_hash);
		}
		assert.deepEqual(fog.events({ event: "session_adopted" }, mark), []);
		assert.deepEqual(fog.events({ event: "peer_bad" }, mark), []);
		assert.ok(isAlive(shell));
		const alone = (sessions) => sessions.map((session) => ({ ...session, status: "detached" }));
		assert.deepEqual(await list(), alone(before));
	});

	test("such a session is not attached, with an error that says why, and counts", async () => {
		const whole = `/v1/sessions/${kept.id}`;
		assert.deepEqual(refusals(await attach(kept)), [409, "session_other_version"]);
		assert.deepEqual(refusals(await fog.api("PATCH", whole, { token, body: {} })), [409, "session_other_version"]);
		made = await fog.create({ token });
		assert.equal((await list()).length, PROFILE_SESSIONS);
		const refused = await fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 600 } });
		assert.deepEqual(refusals(refused), [409, "too_many_sessions"]);
		await BinaryTerminal.open(fog, made.attach).then((fresh) => fresh.run("echo $((6*7))", /\b42\r$/m));
		assert.equal(fog.holders().length, PROFILE_SESSIONS);
		if (isRoot) // S29: no two of them have the same ids
			assert.equal(new Set(fog.holders().map(({ pid }) => processStatus(pid).uid[0])).size, PROFILE_SESSIONS);
	});

	for (const role of ["placerd", "ptyd", "spawner"]) {
		test(`and stays so when ${role} dies`, async () => {
			const before = await list();
			const victim = await fog.kill(role);
			await fog.roleProcess(role, { not: victim });
			await fog.waitReady();
			assert.deepEqual((await list()).map(({ session_id: id }) => id), before.map(({ session_id: id }) => id));
			assert.deepEqual(refusals(await attach(kept)), [409, "session_other_version"]);
			assert.equal((await attach(made)).status, 201);
			assert.ok(isAlive(shell));
		});
	}

	test("DELETE ends one, its shell and its holder", async () => {
		const holders = fog.holders();
		await fog.expect(200, "DELETE", `/v1/sessions/${ended.id}`, { token });
		const shown = await fog.show(ended);
		assert.deepEqual([shown.status, shown.end_reason], ["terminated", "request"]);
		assert.equal(holders.filter(isAlive).length, PROFILE_SESSIONS - 1);
		assert.deepEqual(refusals(await attach(ended)), [409, "session_ended"]);
		assert.ok(isAlive(shell));
	});

	test("back to the first build: the session is attached again, and nothing is lost", async () => {
		const children = () => descendants(shell.pid).map(identify).filter((child) => child && isAlive(child));
		await until("what the shell does meanwhile is done", () => children().length === 0);
		const mark = await upgrade(ownBuild);
		assert.equal(fog.events({ event: "session_adopted", sid: kept.id }, mark).length, 1);
		await itIsTheSame();
		assert.match(terminal.screen.text, /meanwhile/);
		// And to this build the session of the other one is the stranger.
		assert.deepEqual(refusals(await attach(made)), [409, "session_other_version"]);
		await fog.expect(200, "DELETE", `/v1/sessions/${made.id}`, { token });
		await fog.expect(200, "DELETE", `/v1/sessions/${kept.id}`, { token });
		await waitGone(shell);
		await until("the holders have gone", () => fog.holders().length === 0);
	});
});
