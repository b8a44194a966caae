// SPDX-License-Identifier: MIT
// fogctl and the control socket: who may, what it does to people's terminals, and what stands in the audit log.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { build, suite } from "../lib/harness.mjs";
import { until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const fogctl = path.join(build, "bin/fogctl");
const NOBODY = 65534, ADMIN_GROUP = "daemon";
const isRoot = process.getuid() === 0;
const UNKNOWN = "0192f0c1-2345-8678-9abc-def012345678";

const adminGid = () =>
	Number(fs.readFileSync("/etc/group", "utf8").split("\n").map((line) => line.split(":")).find(([name]) => name === ADMIN_GROUP)[2]);

function run(args, { program = fogctl, uid, gid } = {}) {
	return new Promise((resolve, reject) => {
		const child = spawn(program, args, { cwd: "/", uid, gid, stdio: ["ignore", "pipe", "pipe"] });
		const out = { stdout: "", stderr: "" };

		for (const stream of ["stdout", "stderr"])
			child[stream].setEncoding("utf8").on("data", (text) => { out[stream] += text; });
		child.once("error", reject);
		child.once("close", (code) => resolve({ code, ...out }));
	});
}

suite("fogctl", { env: isRoot ? { ADMIN_GROUP } : {} }, ({ fog, test }) => {
	const socket = () => path.join(fog.runDir, "control.sock");
	const ctl = (...args) => run(["--socket", socket(), ...args]);
	const audit = (event, mark) => fog.auditRecords().slice(mark).filter((record) => record.event === event);
	const auditMark = () => fog.auditRecords().length;
	const myself = `uid ${process.getuid()} gid ${process.getgid()} pid `;

	test("ping", async () => {
		const { code, stdout, stderr } = await ctl("ping");
		assert.deepEqual([code, stderr], [0, ""]);
		assert.match(stdout, /^the service answers, version \d/);
		const { version } = JSON.parse((await ctl("--json", "ping")).stdout);
		assert.equal((await run(["--version"])).stdout, `fogctl ${version}\n`);
	});

	test("sessions revoke: the terminal is closed, and the audit log says who did it", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const mark = auditMark();
		const { code, stdout } = await ctl("sessions", "revoke", session.id);

		assert.deepEqual([code, stdout], [0, `session ${session.id} is being ended\n`]);
		await until("the terminal is closed", () => terminal.closed, { timeout: 2000 });
		await fog.waitStatus(session, "terminated");
		const [{ actor, session_id: id, reason }] = audit("session.terminated", mark);
		assert.deepEqual([id, reason], [session.id, "admin"]);
		assert.ok(actor.startsWith(myself), actor);
	});

	test("sessions revoke: one that is not there, or has ended, is refused", async () => {
		const unknown = await ctl("sessions", "revoke", UNKNOWN);
		assert.deepEqual([unknown.code, unknown.stdout], [1, ""]);
		assert.match(unknown.stderr, /refused: There is no such session/);
		const malformed = await ctl("--json", "sessions", "revoke", "everything");
		assert.equal(malformed.code, 1);
		assert.equal(JSON.parse(malformed.stdout).code, "bad_request");

		const session = await fog.create();
		assert.equal((await ctl("sessions", "revoke", session.id)).code, 0);
		await fog.waitStatus(session, "terminated");
		const again = await ctl("--json", "sessions", "revoke", session.id);
		assert.deepEqual([again.code, JSON.parse(again.stdout).code], [1, "session_ended"]);
	});

	test("subjects revoke: all sessions of that subject end, and no other's", async () => {
		const token = fog.user(), other = await fog.create();
		const sessions = [await fog.create({ token }), await fog.create({ token })];
		const terminals = [];
		for (const { attach } of sessions)
			terminals.push(await BinaryTerminal.open(fog, attach));
		const mark = auditMark();
		const { code, stdout } = await ctl("--json", "subjects", "revoke", "dev", token);

		assert.equal(code, 0);
		assert.deepEqual(JSON.parse(stdout), { revoked: true, ended: 2, detached: 0 });
		for (const terminal of terminals)
			await until("the terminal is closed", () => terminal.closed, { timeout: 2000 });
		assert.equal((await fog.show(other)).status, "detached"); // alive, and attached by nobody
		const records = audit("identity.revoked", mark);
		assert.deepEqual(records.map(({ phase }) => phase), ["intent", "outcome"]);
		for (const { subject, issuer, actor } of records) {
			assert.deepEqual([issuer, subject], ["dev", token]);
			assert.ok(actor.startsWith(myself), actor);
		}
		// Of one who has none the word counts all the same.
		const { stdout: said } = await ctl("subjects", "revoke", "dev", "who-never-came");
		assert.match(said, /who-never-came at dev is revoked; sessions ended: 0, detached: 0/);
	});

	test("wrong command lines: 2, and nothing is asked", async () => {
		for (const args of [[], ["stop"], ["sessions"], ["sessions", "revoke"], ["subjects", "revoke", "dev"],
			["ping", "twice"], ["--colour", "ping"], ["--socket"], ["sessions", "revoke", UNKNOWN, UNKNOWN]]) {
			const { code, stdout, stderr } = await run(args);
			assert.deepEqual([code, stdout], [2, ""], args.join(" "));
			assert.match(stderr, /fogctl/);
		}
	});

	test("--help names every command and option, and the manual has an example of each", async () => {
		const { code, stdout } = await run(["--help"]);
		const page = fs.readFileSync(path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
			"../../man/fogctl.8"), "utf8");
		const names = [...stdout.matchAll(/^ {2}(--[a-z]+|[a-z]+(?: [a-z]+)*)/gm)].map(([, name]) => name);

		assert.equal(code, 0);
		assert.deepEqual(names, ["ping", "sessions revoke", "subjects revoke", "--json", "--socket", "--help", "--version"]);
		for (const name of names) {
			assert.ok(page.includes(name.startsWith("--") ? `.It Fl -${name.slice(2)}` : `.It Ic ${name}`), name);
			assert.ok(name.startsWith("--") || new RegExp(`^\\.Dl fogctl .*${name}|^\\.Dl fogctl ${name}`, "m").test(page), name);
		}
	});

	test("no service: 3, and what to look at", async () => {
		const missing = await run(["--socket", path.join(fog.dir, "none.sock"), "ping"]);
		assert.deepEqual([missing.code, missing.stdout], [3, ""]);
		assert.match(missing.stderr, /none\.sock: No such file or directory; .*RUN_DIR/);
		const long = await run(["--socket", "x".repeat(200), "ping"]);
		assert.equal(long.code, 3);
	});

	test("only root and the admin group get in", async () => {
		const program = path.join(fog.dir, "fogctl");
		const mark = auditMark();
		fs.copyFileSync(fogctl, program); // the build may lie where nobody can go
		fs.chmodSync(program, 0o755);
		fs.chmodSync(fog.dir, 0o755);
		assert.equal(fs.statSync(socket()).mode & 0o777, 0o660);
		const refused = await run(["--socket", socket(), "ping"], { program, uid: NOBODY, gid: NOBODY });
		assert.deepEqual([refused.code, refused.stdout], [3, ""]);
		assert.match(refused.stderr, /Permission denied; only root and the members of ADMIN_GROUP/);

		const session = await fog.create();
		const allowed = await run(["--socket", socket(), "sessions", "revoke", session.id],
			{ program, uid: NOBODY, gid: adminGid() });
		assert.deepEqual([allowed.code, allowed.stderr], [0, ""]);
		await fog.waitStatus(session, "terminated");
		const { actor } = audit("session.terminated", mark).find((record) => record.session_id === session.id && record.actor);
		assert.ok(actor.startsWith(`uid ${NOBODY} gid ${adminGid()} pid `), actor);
	}, { skip: !isRoot && "needs root to be somebody else" });

	test("bad clients of the socket: a half line, garbage, too many", async () => {
		const clients = [];
		const open = () => new Promise((resolve, reject) => {
			const client = net.connect(socket());
			client.setEncoding("utf8").on("data", (text) => { client.text = (client.text ?? "") + text; });
			client.once("connect", () => resolve(client)).once("error", reject);
			client.once("close", () => { client.isClosed = true; });
			clients.push(fog.track(client));
		});

		const half = await open();
		half.write('{"command":"pi');
		const garbage = await open();
		garbage.write(Buffer.from([0xff, 0x00, 0x1b, 0x0a]));
		await until("garbage is answered", () => garbage.text?.includes('"code":"bad_request"'));
		for (let i = 0; i < 6; i++)
			await open();
		const extra = await open();
		await until("one too many is told so", () => extra.isClosed && extra.text.includes("too many connections"));
		for (const client of clients.slice(2))
			client.destroy();
		assert.equal((await ctl("ping")).code, 0);
		await until("the half line is closed", () => half.isClosed, { timeout: 15_000 });
		assert.match(half.text, /"code":"timeout"/);
	}, { timeout: 40_000 });

	test("nothing that somebody else wrote is a command to the operator's terminal", async () => {
		const evil = "\u001b]0;owned\u0007\u009b2J\u202e";
		const file = path.join(fog.dir, "evil.sock");
		const answers = [{ error: evil, code: "x" }, { pong: true, version: evil }];
		const server = net.createServer((client) => client.once("data", () => client.end(`${JSON.stringify(answers.shift())}\n`)));
		await new Promise((resolve) => server.listen(file, resolve));
		try {
			for (const code of [1, 0]) {
				const { stdout, stderr, ...said } = await run(["--socket", file, "ping"]);
				assert.equal(said.code, code);
				assert.match(stdout + stderr, /\\x1b\]0;owned\\x07/);
				assert.doesNotMatch(stdout + stderr, /[^\n -~]/);
			}
			const { stdout, stderr } = await ctl("subjects", "revoke", "dev", "nobody\u202egnp.exe"); // turns the line around
			assert.doesNotMatch(stdout + stderr, /[^\n -~]/);
		} finally {
			server.close();
		}
	});

	test("it is served again when placerd has died", async () => {
		const victim = await fog.kill("placerd");
		const { code } = await ctl("ping"); // waits in the backlog
		assert.equal(code, 0);
		await fog.roleProcess("placerd", { not: victim });
	});
});
