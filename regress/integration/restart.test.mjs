// SPDX-License-Identifier: MIT
// kill -9 of each process in turn while somebody types (R1 to R4): the shell stays, every byte arrives once and in order,
// new requests work within 3 s. And of fogd: the holders stay, and the next fogd finds every session.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { exchange, suite } from "../lib/harness.mjs";
import { isAlive, signal, sleep, until, waitGone } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const RECOVERY_MS = 3000;
const BACK_OFF_MS = [0, 100, 200, 400, 800, 1600, 2000, 2000]; // of fogd, for one role
const STEADY_MS = 10_500; // longer than fogd remembers

// Attaches again as a person's page does: mint, resume at the known offset, try again until it works.
async function reattach(fog, session, from, timeout = RECOVERY_MS) {
	return until("attached again", async () => {
		const { status, json } = await fog.api("POST", `/v1/sessions/${session.id}/attach`, { token: session.token, body: {} });
		return status === 201 && BinaryTerminal.open(fog, json, { from });
	}, { timeout, interval: 50 });
}

// A request, and a reset of the connection before the answer.
function askAndLeave(fog) {
	return new Promise((resolve) => {
		const socket = net.connect(fog.port, "127.0.0.1");
		socket.on("error", () => undefined).once("close", resolve);
		socket.write(`GET /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1:${fog.port}\r\nAuthorization: Bearer nobody\r\n\r\n`,
			() => setTimeout(() => socket.resetAndDestroy(), 20));
	});
}

// A person who types numbered lines and attaches again whenever the connection ends.
class Typist {
	typed = 0;
	attachments = 1;
	output = "";

	constructor(fog, session) {
		this.fog = fog;
		this.session = session;
	}

	async begin() {
		this.terminal = await BinaryTerminal.open(this.fog, this.session.attach);
		await this.terminal.run("stty -echo -onlcr; PS1= PS2=; n=0; echo pid=$$ qui''et", /pid=(\d+) quiet\r?\n/)
			.then(([, pid]) => { this.shellPid = pid; });
		this.start = this.terminal.outOffset;
		this.skip = this.terminal.screen.text.length;
	}

	// Types until `until` is resolved.
	async type(done) {
		let going = true;
		const finished = Promise.resolve(done).finally(() => { going = false; });
		finished.catch(() => undefined);
		while (going) {
			await this.keepAttached();
			this.terminal.type(`n=$((n+1)); echo line$n\n`);
			this.typed++;
			await sleep(10);
		}
		await finished;
	}

	async keepAttached() {
		if (this.terminal.closed === undefined)
			return;
		this.keep();
		this.terminal = await reattach(this.fog, this.session, this.terminal, 2 * RECOVERY_MS);
		assert.equal(this.terminal.hello.out_lost, 0);
		this.attachments++;
	}

	keep() {
		this.output += this.terminal.screen.text.slice(this.skip);
		this.skip = 0;
	}

	// All that was typed has been answered, once and in order, by the same shell.
	async check() {
		await this.keepAttached();
		this.terminal.type("echo pid=$$ n=$n do''ne\n");
		const wanted = Array.from({ length: this.typed }, (_, i) => `line${i + 1}\n`).join("") + `pid=${this.shellPid} n=${this.typed} done\n`;
		await until("all output", async () => {
			await this.keepAttached();
			return this.terminal.outOffset - this.start >= wanted.length;
		});
		this.keep();
		assert.equal(this.output, wanted);
		assert.equal(this.terminal.outOffset - this.start, wanted.length);
	}
}

suite("restart", {}, ({ fog, test }) => {
	// Polls creates from now on until one works; what comes before has to be an orderly refusal or a closed door.
	async function creates(token) {
		const start = performance.now();
		const made = await until("a new session", async () => {
			const answer = await fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 600 } });
			if (answer.status === 201)
				return answer.json;
			assert.equal(answer.status, 503, answer.body);
		}, { timeout: RECOVERY_MS });
		assert.ok(performance.now() - start <= RECOVERY_MS);
		return { ...made, id: made.session_id, token };
	}

	for (const role of ["gatewayd", "authd", "placerd", "ptyd", "spawner"]) {
		test(`kill -9 of ${role} during typing`, async () => {
			const session = await fog.create();
			const typist = new Typist(fog, session);
			await typist.begin();
			const holders = fog.holders();
			const mark = fog.logMark();
			await typist.type((async () => {
				await sleep(200);
				const victim = await fog.kill(role);
				const made = await creates(fog.user());
				const terminal = await BinaryTerminal.open(fog, made.attach);
				await terminal.run("echo $((6*7))", /\b42\r$/m);
				await terminal.close();
				await fog.roleProcess(role, { not: victim });
				await fog.expect(200, "DELETE", `/v1/sessions/${made.id}`, { token: made.token });
			})());
			await typist.check();
			assert.equal(typist.attachments, role === "gatewayd" ? 2 : 1, "the terminal goes on where its path is alive");
			assert.ok(holders.every(isAlive), "a holder died");
			assert.equal(fog.events({ event: "role_started", role }, mark).length, 1, `${role} was started once`);

			// Attaching again works with the exact offset.
			const last = typist.terminal;
			last.destroy();
			await last.waitClosed();
			const again = await reattach(fog, session, last);
			assert.equal(again.hello.out_from, last.outOffset);
			assert.equal(again.hello.in_next, last.inOffset);
			assert.equal((await again.run("echo pid=$$", /pid=(\d+)\n/))[1], typist.shellPid);
			assert.equal((await fog.show(session)).status, "running");
			await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
		}, { timeout: 40_000 });
	}

	test("a used attach token stays used, and quotas, keys and owners are known, when authd, placerd and ptyd have died", async () => {
		const token = fog.user();
		const headers = { "Idempotency-Key": "before" };
		const first = await fog.create({ token, headers });
		await fog.create({ token });
		await fog.create({ token });
		const terminal = await BinaryTerminal.open(fog, first.attach);
		const shown = await fog.show(first);
		for (const role of ["placerd", "ptyd", "authd"]) {
			const victim = await fog.kill(role);
			await fog.roleProcess(role, { not: victim });
			const list = await until("the list is back", async () => {
				const { status, json } = await fog.api("GET", "/v1/sessions", { token });
				return status === 200 && json.sessions;
			}, { timeout: RECOVERY_MS });
			assert.equal(list.length, 3, role);
			assert.deepEqual(await fog.show(first), shown);
			const refused = await until("an answer", async () => {
				const answer = await fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 600 } });
				return answer.status !== 503 && answer;
			}, { timeout: RECOVERY_MS });
			assert.equal(refused.status, 409, refused.body);
			assert.equal((await fog.create({ token, headers })).id, first.id);
			await fog.expect(404, "GET", `/v1/sessions/${first.id}`, { token: fog.user() });
			const again = await BinaryTerminal.open(fog, first.attach).then(() => undefined, (error) => error);
			assert.equal(again?.status, 401, `${role}: the token was taken twice`);
		}
		assert.equal(terminal.closed, undefined);
	});

	test("an exit while ptyd and placerd are dead is not lost", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		await Promise.all([fog.kill("ptyd"), fog.kill("placerd")]);
		terminal.type("exit 5\n");
		assert.equal((await terminal.waitExit()).code, 5);
		assert.equal((await fog.waitStatus(session, "exited")).exit.code, 5);
	});

	test("killing a holder ends exactly its session", async () => {
		await fog.waitReady();
		const before = new Set(fog.holders().map(({ pid }) => pid));
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		const others = fog.holders().filter(({ pid }) => before.has(pid));
		const [victim] = fog.holders().filter(({ pid }) => !before.has(pid));
		process.kill(victim.pid, "SIGKILL");
		await terminal.waitClosed();
		assert.equal((await fog.waitStatus(session, "lost")).end_reason, "holder_lost");
		assert.ok(others.every(isAlive));
	});

	test("an attach that waits when ptyd dies is refused at once", async () => {
		const session = await fog.create();
		const victim = await fog.roleProcess("ptyd");
		assert.ok(signal(victim, "SIGSTOP"));
		const started = Date.now();
		const refused = assert.rejects(BinaryTerminal.open(fog, session.attach), ({ status }) => status === 503);
		await sleep(200);
		assert.ok(signal(victim, "SIGKILL"));
		await refused;
		assert.ok(Date.now() - started < 3000, `refused after ${Date.now() - started} ms`);
		await fog.roleProcess("ptyd", { not: victim });
		await fog.waitReady();
	});

	test("clients that ask and leave do not make a busy authd look stuck", async () => {
		const authd = await fog.roleProcess("authd");
		const mark = fog.logMark();
		assert.ok(signal(authd, "SIGSTOP"));
		try {
			for (let sent = 0; sent < 2000; sent += 100)
				await Promise.all(Array.from({ length: 100 }, () => askAndLeave(fog)));
		} finally {
			signal(authd, "SIGCONT");
		}
		await fog.waitReady();
		assert.ok(isAlive(authd));
		assert.deepEqual(fog.events({ event: "peer_down" }, mark), []);
	});

	test("a role that crashes again and again is started later and later, the others go on, and a steady one at once again (R6)", async (t) => {
		const others = () => Promise.all(["gatewayd", "placerd", "ptyd", "spawner"].map((role) => fog.roleProcess(role)));
		const before = await others();
		// Milliseconds from the kill to the next start, by the clock of this process.
		const restartMs = async () => {
			const victim = await fog.roleProcess("authd");
			const mark = fog.logMark();
			const start = performance.now();
			assert.ok(signal(victim, "SIGKILL"));
			await until("authd is started", () => fog.events({ event: "role_started", role: "authd" }, mark)[0], { interval: 2 });
			return performance.now() - start;
		};
		await sleep(STEADY_MS); // what other tests have killed is forgotten
		const mark = fog.logMark();
		const waits = [];
		for (let i = 0; i < BACK_OFF_MS.length; i++)
			waits.push(await restartMs());
		t.diagnostic(`ms: ${waits.map(Math.round).join(" ")}`);
		// A timer never comes early; a loaded machine may make each late, but hardly all of them twice as long.
		for (const [i, wait] of waits.entries())
			assert.ok(wait >= 0.95 * BACK_OFF_MS[i], `${i}: ${wait} ms`);
		const sum = (values) => values.reduce((total, value) => total + value, 0);
		assert.ok(sum(waits) <= 2 * sum(BACK_OFF_MS), `${sum(waits)} ms`);
		assert.ok(isAlive(fog.fogd));
		assert.deepEqual(await others(), before);
		assert.equal(fog.events({ event: "role_started" }, mark).length, waits.length, "a start for each death, and none else");
		await creates(fog.user());
		await sleep(STEADY_MS);
		const again = await restartMs();
		assert.ok(again <= BACK_OFF_MS.at(-1) / 2, `${again} ms`);
		await creates(fog.user());
	}, { timeout: 90_000 });

	test("a line of the audit log that was cut stays alone: all others can be read, before and after it (R7)", async () => {
		const file = path.join(fog.stateDir, "audit/audit.jsonl");
		const torn = '{"time":"2026-01-01T00:00:00.000Z","seq":';
		const mark = fog.logMark();
		const victim = await fog.roleProcess("placerd");
		assert.ok(signal(victim, "SIGSTOP")); // nothing is written behind what is cut
		const before = fs.readFileSync(file, "utf8");
		fs.appendFileSync(file, torn);
		await fog.kill("placerd");
		const made = await creates(fog.user());
		const lines = fs.readFileSync(file, "utf8").slice(before.length).split("\n");
		assert.equal(lines.shift(), torn);
		assert.equal(lines.pop(), "");
		const records = lines.map((line) => JSON.parse(line));
		assert.deepEqual(records.map(({ seq }) => seq), records.map((_, i) => i + 1), "numbered from 1, without a hole");
		assert.equal(new Set(records.map(({ run }) => run)).size, 1);
		assert.ok(records.some(({ event, session_id: id }) => event === "session.created" && id === made.id));
		assert.equal(fog.events({ event: "audit_line_torn" }, mark).length, 1);
		await fog.kill("placerd");
		await creates(fog.user());
		assert.equal(fog.events({ event: "audit_line_torn" }, mark).length, 1, "once");
	});

	test("kill -9 of fogd: roles gone, holders stay, a new fogd finds every session", async () => {
		const sessions = [await fog.create(), await fog.create()];
		const typist = new Typist(fog, sessions[0]);
		await typist.begin();
		const shown = await Promise.all(sessions.map((session) => fog.show(session)));
		const holders = fog.holders();
		assert.ok(holders.length >= 2);
		const roles = await Promise.all(["gatewayd", "authd", "placerd", "ptyd", "spawner"].map((role) => fog.roleProcess(role)));
		await fog.kill("fogd");
		for (const role of roles)
			await waitGone(role, { timeout: 5000 });
		assert.equal((await typist.terminal.waitClosed()).code, 1001);
		await assert.rejects(exchange(fog.url, "GET", "/healthz"));
		assert.ok(holders.every(isAlive), "a holder died with fogd");

		await fog.restartFogd();
		assert.ok(holders.every(isAlive), "a holder died of the new fogd");
		for (const [i, session] of sessions.entries()) {
			const found = await fog.show(session);
			assert.deepEqual({ ...found, status: "" }, { ...shown[i], status: "" });
			assert.ok(["running", "detached"].includes(found.status), found.status);
			const list = await fog.expect(200, "GET", "/v1/sessions", { token: session.token });
			assert.deepEqual(list.sessions.map(({ session_id: id }) => id), [session.id]);
		}
		await typist.type(sleep(300));
		await typist.check();
		assert.equal(typist.attachments, 2);
		await creates(fog.user());
	}, { timeout: 60_000 });

	test("SIGTERM ends fogd and the roles, and leaves the holders", async () => {
		const session = await fog.create();
		const holders = fog.holders();
		const roles = await Promise.all(["gatewayd", "authd", "placerd", "ptyd", "spawner"].map((role) => fog.roleProcess(role)));
		assert.equal((await fog.terminateFogd()).code, 0);
		for (const role of roles)
			await waitGone(role, { timeout: 5000 });
		assert.ok(holders.every(isAlive));
		await fog.restartFogd();
		const terminal = await reattach(fog, session, undefined);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
	});
});
