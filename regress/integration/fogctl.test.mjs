// SPDX-License-Identifier: MIT
// fogctl and the control socket: who may, what it does to people's terminals, and what stands in the audit log.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { build, policyOf, runFogd, suite } from "../lib/harness.mjs";
import { NodeKey } from "../lib/nodekey.mjs";
import { sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const fogctl = path.join(build, "bin/fogctl");
const NOBODY = 65534, ADMIN_GROUP = "daemon";
const isRoot = process.getuid() === 0;
const has = (program) => !spawnSync(program, ["--version"]).error;
const NODE = "edge-1";
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

// Rows of a table by its headings.
function table(text) {
	const [head, ...lines] = text.trimEnd().split("\n");
	const columns = [...head.matchAll(/\S+(?: \S+)* */g)].map(({ index, 0: name }) => ({ index, end: index + name.length, name: name.trim() }));
	return lines.map((line) => Object.fromEntries(columns.map(({ index, end, name }, i) =>
		[name, line.slice(index, i + 1 < columns.length ? end : undefined).trim()])));
}

suite("fogctl", { env: { NODE_NAME: NODE, ...isRoot ? { ADMIN_GROUP } : {} } }, ({ fog, test }) => {
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

	test("sessions kill: the terminal is closed, and the audit log says who did it", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const mark = auditMark();
		const { code, stdout } = await ctl("sessions", "kill", session.id);

		assert.deepEqual([code, stdout], [0, `session ${session.id} is being ended\n`]);
		await until("the terminal is closed", () => terminal.closed, { timeout: 2000 });
		await fog.waitStatus(session, "terminated");
		const [{ actor, session_id: id, reason }] = audit("session.terminated", mark);
		assert.deepEqual([id, reason], [session.id, "admin"]);
		assert.ok(actor.startsWith(myself), actor);
	});

	test("sessions kill: one that is not there, or has ended, is refused", async () => {
		const unknown = await ctl("sessions", "kill", UNKNOWN);
		assert.deepEqual([unknown.code, unknown.stdout], [1, ""]);
		assert.match(unknown.stderr, /refused: There is no such session/);
		const malformed = await ctl("--json", "sessions", "kill", "everything");
		assert.equal(malformed.code, 1);
		assert.equal(JSON.parse(malformed.stdout).code, "bad_request");

		const session = await fog.create();
		assert.equal((await ctl("sessions", "kill", session.id)).code, 0);
		await fog.waitStatus(session, "terminated");
		const again = await ctl("--json", "sessions", "kill", session.id);
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
		for (const args of [[], ["stop"], ["sessions"], ["sessions", "kill"], ["sessions", "revoke", UNKNOWN], ["subjects", "revoke", "dev"],
			["ping", "twice"], ["--colour", "ping"], ["--socket"], ["ping", "--profile", "x"], ["--json", "--json", "ping"],
			["sessions", "drain", NODE], ["nodes", "drain"], ["log", "verbose"], ["log", "verbose", "loud"], ["completion", "tcsh"],
			["policy", "explain", "x"], ["policy", "explain", "x", "--profile", "p", "--ttl", "-1"], ["policy", "replay", "x"],
			["placement", "explain"], ["placement", "explain", "x", "--live"], ["placement", "explain", "--session", UNKNOWN],
			["placement", "explain", "--session", "1", "--audit", "x"], ["placement", "explain", "--live"],
			["placement", "explain", "x", "--hint", "a"], ["placement", "explain", "--live", "--profile", "p", "--latency", "a"],
			["placement", "explain", "--live", "--profile", "p", "--latency", "a=-1"], ["sessions", "kill", UNKNOWN, UNKNOWN]]) {
			const { code, stdout, stderr } = await run(args);
			assert.deepEqual([code, stdout], [2, ""], args.join(" "));
			assert.match(stderr, /fogctl/);
		}
	});

	test("wrong command lines: said is what would be right", async () => {
		for (const [args, said] of [[["sessions"], /there are sessions list, sessions show, sessions kill, sessions drain\n/],
			[["log", "loud"], /there are log verbose\n/], [["sessions", "kill"], /it is: sessions kill ID\n/],
			[["placement", "explain", "a", "b"], /it is: placement explain \[FILE\]\n/],
			[["policy", "explain", "x", "--profile", "p", "--ttl", "1h"], /--ttl is a number of seconds, not: 1h\n/]]) {
			const { code, stderr } = await run(args);
			assert.equal(code, 2);
			assert.match(stderr, said);
		}
	});

	test("node --help: the same", async () => {
		const { code, stdout } = await run(["node", "--help"]);
		const page = fs.readFileSync(path.resolve(path.dirname(new URL(import.meta.url).pathname), "../../man/fogctl.8"), "utf8");

		assert.equal(code, 0);
		for (const [, name] of stdout.matchAll(/^ {2}([a-z-]+)/gm)) {
			assert.ok(page.includes(name.startsWith("--") ? `.It Fl -${name.slice(2)}` : `.It Ic node ${name}`), name);
			assert.ok(name.startsWith("--") || page.includes(`.Dl fogctl node ${name}`), name);
		}
	});

	test("--help names every command and option, and the manual has an example of each", async () => {
		const { code, stdout } = await run(["--help"]);
		const page = fs.readFileSync(path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
			"../../man/fogctl.8"), "utf8");
		const names = [...stdout.matchAll(/^ {2}(--[a-z]+|[a-z]+(?: [a-z]+)*)(?= )/gm)].map(([, name]) => name.replace(/ on$/, ""));

		assert.equal(code, 0);
		assert.ok(names.length > 30, names.join());
		for (const name of names) {
			assert.ok(page.includes(name.startsWith("--") ? `.It Fl -${name.slice(2)}` : `.It Ic ${name}`), name);
			assert.ok(name.startsWith("--") || new RegExp(`^\\.Dl .*fogctl .*${name}|^\\.Dl fogctl ${name}`, "m").test(page), name);
		}
	});

	test("completion: what is printed parses, and names every command and option", async () => {
		const { stdout: usage } = await run(["--help"]);
		const options = [...usage.matchAll(/^ {2}--([a-z]+)/gm)].map(([, name]) => name);
		const commands = [...usage.matchAll(/^ {2}([a-z]+(?: [a-z]+)?)(?= )/gm)].map(([, name]) => name);

		for (const shell of ["bash", "zsh", "fish"]) {
			const { code, stdout } = await run(["completion", shell]);
			assert.equal(code, 0);
			for (const word of [...commands.flatMap((name) => name.split(" ")), ...options])
				assert.match(stdout, new RegExp(`\\b${word}\\b`), `${shell}: ${word}`);
			for (const topic of ["image", "node"])
				for (const [, name] of (await run([topic, "--help"])).stdout.matchAll(new RegExp(`^ {2}${topic} ([a-z-]+)`, "gm")))
					assert.match(stdout, new RegExp(`\\b${name}\\b`), `${shell}: ${topic} ${name}`);
			const file = path.join(fog.dir, `completion.${shell}`);
			fs.writeFileSync(file, stdout);
			const check = spawnSync(shell, ["-n", file], { encoding: "utf8" });
			assert.ok(check.error?.code === "ENOENT" || (check.status === 0 && check.stderr === ""), `${shell}: ${check.stderr}`);
		}
		const { stdout: script } = await run(["completion", "bash"]);
		const complete = (...words) => spawnSync("bash", ["-c",
			`${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fogctl; printf '%s\\n' "\${COMPREPLY[@]}"`, "bash", "fogctl", ...words],
		{ encoding: "utf8" }).stdout.split("\n").filter(Boolean);
		assert.deepEqual(complete("ses"), ["sessions"]);
		assert.deepEqual(complete("--socket", "/x", "--v"), ["--version"]);
		assert.deepEqual(complete("sessions", ""), ["list", "show", "kill", "drain"]);
		assert.deepEqual(complete("--socket", "/x", "nodes", "c"), ["cordon"]);
		assert.ok(complete("policy", "explain", "x", "--t").includes("--ttl"));
		assert.deepEqual(complete("ping", "--p"), []);
		assert.deepEqual(complete("log", "verbose", ""), ["on", "off"]);
	});

	test("completion: fish completes by it", async () => {
		const { stdout: script } = await run(["completion", "fish"]);
		const complete = (line) => spawnSync("fish", ["--no-config", "-c", `${script}\ncomplete -C '${line}'`], { cwd: fog.dir, encoding: "utf8" }).stdout
			.split("\n").filter(Boolean).map((row) => row.split("\t")[0]).sort();
		assert.deepEqual(complete("fogctl sess"), ["sessions"]);
		assert.deepEqual(complete("fogctl node "), ["keygen", "show-key"]);
		assert.deepEqual(complete("fogctl nodes "), ["cordon", "drain", "list", "measure", "undrain"]);
		assert.deepEqual(complete("fogctl --socket /x nodes c"), ["cordon"]);
		assert.deepEqual(complete("fogctl --socket pol"), ["policy.yaml"]);
		assert.deepEqual(complete("fogctl policy check pol"), ["policy.yaml"]);
		assert.deepEqual(complete("fogctl policy explain x --t"), ["--ttl"]);
		assert.deepEqual(complete("fogctl log verbose "), ["off", "on"]);
		assert.deepEqual(complete("fogctl ping --p"), []);
	}, { skip: !has("fish") && "fish is not installed" });

	test("completion: zsh completes by it, also the first time", async () => {
		const dir = path.join(fog.dir, "zsh"), script = path.join(dir, "drive");
		fs.mkdirSync(dir);
		fs.writeFileSync(path.join(dir, "_fogctl"), (await run(["completion", "zsh"])).stdout);
		// It completes on a terminal alone: there each line with a TAB behind it becomes the argument of an echo.
		fs.writeFileSync(script, String.raw`zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy"
zpty -r z said '*ready*'
for line in $@[2,-1]; do
	zpty -wn z $line$'\t\x01echo "<\x05>"\n'
	zpty -r z said $'*\n<fogctl*>*'
	print -r -- $said
done
`);
		const lines = ["fogctl sess", "fogctl nodes co", "fogctl --socket /x log v", "fogctl policy explain x --tt"];
		const { stdout } = spawnSync("zsh", ["-f", script, dir, ...lines], { encoding: "utf8", timeout: 20_000 });
		for (const whole of ["<fogctl sessions", "<fogctl nodes cordon", "<fogctl --socket /x log verbose", "<fogctl policy explain x --ttl"])
			assert.match(stdout, new RegExp(`\n${whole} ?>`), `${whole}: ${stdout}`);
	}, { skip: !has("zsh") && "zsh is not installed" });

	test("status", async () => {
		const session = await fog.create();
		const told = JSON.parse((await ctl("--json", "status")).stdout);
		assert.equal(told.node, NODE);
		assert.deepEqual([told.ready, told.draining, told.audit_writable, told.verbose], [true, false, true, false]);
		assert.match(told.policy, /^[0-9a-f]{16}$/);
		assert.equal(told.nodes.up, 1);
		assert.ok(told.sessions.living >= 1 && told.sessions.most >= told.sessions.living);
		const rows = table((await ctl("status")).stdout);
		assert.equal(rows.find(({ WHAT }) => WHAT === "nodes.up").VALUE, "1");
		assert.equal(rows.find(({ WHAT }) => WHAT === "policy").VALUE, told.policy);
		assert.equal((await ctl("sessions", "kill", session.id)).code, 0);
	});

	test("sessions list and show", async () => {
		const token = fog.user(), session = await fog.create({ token });
		const { code, stdout } = await ctl("--json", "sessions", "list");
		assert.equal(code, 0);
		const row = JSON.parse(stdout).sessions.find(({ session_id: id }) => id === session.id);
		assert.deepEqual([row.status, row.subject, row.profile, row.node], ["detached", token, "default", NODE]);
		const shown = table((await ctl("sessions", "list")).stdout).find(({ SESSION }) => SESSION === session.id);
		assert.deepEqual([shown.STATUS, shown.SUBJECT], ["detached", token]);
		assert.deepEqual(JSON.parse((await ctl("--json", "sessions", "show", session.id)).stdout).session, row);
		assert.match((await ctl("sessions", "show", session.id)).stdout, new RegExp(`^session_id +${session.id}$`, "m"));
		const unknown = await ctl("sessions", "show", UNKNOWN);
		assert.deepEqual([unknown.code, unknown.stdout], [1, ""]);
		await ctl("sessions", "kill", session.id);
		await fog.waitStatus(session, "terminated");
		assert.equal(JSON.parse((await ctl("--json", "sessions", "show", session.id)).stdout).session.end_reason, "admin");
	});

	test("drain: no new sessions, those of now go on, over a restart, until it is undone", async () => {
		const session = await fog.create(), mark = auditMark();
		const drained = await ctl("sessions", "drain");
		assert.deepEqual([drained.code, drained.stderr], [0, ""]);
		assert.match(drained.stdout, new RegExp(`^${NODE} takes no new sessions; sessions here: [1-9]`));
		const refused = await fog.expect(503, "POST", "/v1/sessions", { token: fog.user(), body: { profile: "default", ttl_seconds: 60 } });
		assert.equal(refused.rule_id, "node.draining");
		await fog.kill("placerd");
		await until("the status after a restart", async () => JSON.parse((await ctl("--json", "status")).stdout).ready);
		assert.equal(JSON.parse((await ctl("--json", "status")).stdout).draining, true);
		assert.equal((await fog.show(session)).status, "detached");
		assert.equal(table((await ctl("nodes", "list")).stdout)[0].STATE, "draining");
		const undone = await ctl("nodes", "undrain", NODE);
		assert.match(undone.stdout, /takes new sessions again/);
		await fog.create();
		for (const event of ["node.drained", "node.undrained"]) {
			const [{ actor, node }] = audit(event, mark);
			assert.equal(node, NODE);
			assert.ok(actor.startsWith(myself), actor);
		}
	});

	test("nodes: this one is no other, and another one is none", async () => {
		for (const [args, said] of [[["cordon", NODE], /is this node/], [["cordon", "far"], /no node of NODES_CONFIG/],
			[["drain", "far"], /only a node itself can drain.*cordon/], [["undrain", "far"], /no node of NODES_CONFIG/]]) {
			const { code, stderr } = await ctl("nodes", ...args);
			assert.equal(code, 1, args.join(" "));
			assert.match(stderr, said);
		}
		const [row] = JSON.parse((await ctl("--json", "nodes", "list")).stdout).nodes;
		assert.deepEqual([row.name, row.self, row.cordoned, row.state], [NODE, true, false, "up"]);
	});

	test("log verbose: every part of the service, until off, or a reload", async () => {
		const verbose = async () => JSON.parse((await ctl("--json", "status")).stdout).verbose;
		// Who tells at debug level alone that there is a new end to it, when this role has died.
		const neighboursThatTell = async (victim, expected) => {
			const mark = fog.logMark();
			const told = () => [...new Set(fog.logLines(mark).filter((line) => / event=edge_up /.test(line))
				.map((line) => /(\w+)\[\d+\] debug /.exec(line)[1]))].filter((role) => role !== victim).sort();
			const { pid } = await fog.kill(victim);
			await fog.roleProcess(victim, { not: { pid } });
			await until("it is served", () => fog.expect(200, "GET", "/readyz").then(() => true, () => false));
			await until(`${expected} tell of ${victim}`, () => String(told()) === String(expected), { timeout: 3000 });
		};
		assert.match((await ctl("log", "verbose", "on")).stdout, /debug level/);
		assert.equal(await verbose(), true);
		await neighboursThatTell("ptyd", ["gatewayd", "placerd", "spawner"]);
		await neighboursThatTell("authd", ["fetcher", "gatewayd", "placerd"]);
		await ctl("log", "verbose", "on"); // those that were restarted as well
		await neighboursThatTell("placerd", ["authd", "prober", "ptyd"]);
		assert.equal((await ctl("log", "verbose", "off")).code, 0);
		assert.equal(await verbose(), false);
		await neighboursThatTell("authd", []);
		await ctl("log", "verbose", "on");
		await fog.reload();
		await until("it is as configured", async () => !await verbose());
		await neighboursThatTell("ptyd", []);
	});

	test("policy check and explain", async () => {
		const { code, stdout } = await run(["policy", "check", fog.policyFile]);
		assert.equal(code, 0);
		assert.ok(table(stdout).some(({ PROFILE, KEY, VALUE }) => PROFILE === "large" && KEY === "allowed_groups" && VALUE === "power-users"));
		const { profiles, policy } = JSON.parse((await run(["--json", "policy", "check", fog.policyFile])).stdout);
		assert.deepEqual(profiles.map(({ name }) => name), ["default", "large"]);
		assert.equal(policy, JSON.parse((await ctl("--json", "status")).stdout).policy);

		const ask = (...args) => run(["policy", "explain", fog.policyFile, "--runtime", "stub", ...args]);
		const allowed = await ask("--profile", "large", "--group", "others", "--group", "power-users", "--json");
		assert.deepEqual([allowed.code, JSON.parse(allowed.stdout).ttl_seconds], [0, 7200]);
		for (const [rule, ...args] of [["profile.unknown", "--profile", "none"], ["profile.allowed_groups", "--profile", "large"],
			["profile.max_ttl_seconds", "--profile", "default", "--ttl", "3601"], ["profile.max_sessions", "--profile", "default", "--sessions", "3"]]) {
			const denied = JSON.parse((await ask(...args, "--json")).stdout);
			assert.deepEqual([denied.allowed, denied.rule_id], [false, rule]);
			const told = await ask(...args);
			assert.equal(told.code, 1);
			assert.match(told.stdout, new RegExp(`^rule_id +${rule}$`, "m"));
		}
		assert.match((await run(["policy", "explain", fog.policyFile, "--profile", "default"])).stdout, /^rule_id +profile\.images$/m);
	});

	test("a bad file: its line, what would be right, and exit status 2", async () => {
		const file = (name, text) => {
			fs.writeFileSync(path.join(fog.dir, name), text);
			return path.join(fog.dir, name);
		};
		const policy = file("bad.yaml", policyOf([["default"]]).replace("max_sessions: 3", "max_sessions: -3"));
		const nodes = file("nodes.yaml", `nodes:\n  - name: a\n    url: "http://a.example"\n`);
		const log = file("bad.jsonl", '{"event":"audit.resumed"}\nnot a line\n');
		const record = file("record.jsonl", '{"event":"placement.decided","decision":{"request":7}}\n');
		for (const [at, ...args] of [[`${policy}:7: `, "policy", "check", policy], [`${policy}:7: `, "policy", "explain", policy, "--profile", "default"],
			[`${policy}:7: `, "config", "check", "--policy", policy], [`${nodes}:3: `, "config", "check", "--nodes", nodes, "--origins", "https://a.example"],
			[`${log}:2: `, "policy", "replay", fog.policyFile, "--audit", log], [`${log}:2: `, "placement", "explain", log],
			[`${record}:1: `, "placement", "explain", record], [`${policy}x: `, "policy", "check", `${policy}x`]]) {
			const { code, stdout, stderr } = await run(args);
			assert.deepEqual([code, stdout], [2, ""], args.join(" "));
			assert.ok(stderr.includes(at), `${args.join(" ")}: ${stderr}`);
		}
		const good = await run(["config", "check", "--policy", fog.policyFile, "--json"]);
		assert.deepEqual([good.code, JSON.parse(good.stdout).policy.profiles], [0, 2]);
	});

	test("config check: nodes.yaml", async () => {
		const row = (name, port) => `  - name: ${name}\n    url: "https://${name}.fog.example:${port}"\n    region: r\n    tier: fog\n    trust: trusted\n` +
			`    capacity: { sessions: 4, cpu: "2", memory: "1Gi" }\n    public_key: "${new NodeKey().public}"\n`;
		const file = path.join(fog.dir, "good-nodes.yaml");
		fs.writeFileSync(file, `self: a\nnodes:\n${row("a", 1)}${row("b", 2)}`);
		const { code, stdout, stderr } = await run(["--json", "config", "check", "--nodes", file, "--origins", "https://*.fog.example:1 https://*.fog.example:2"]);
		assert.deepEqual([code, stderr], [0, ""]);
		assert.deepEqual(JSON.parse(stdout).nodes, { file, self: "a", nodes: 2 });
		const uncovered = await run(["config", "check", "--nodes", file, "--origins", "https://*.fog.example:1"]);
		assert.equal(uncovered.code, 2);
		assert.ok(uncovered.stderr.includes(`${file}:`), uncovered.stderr);

		// Well-formed, and no point of the curve: the line of the key, and fogd says the same.
		const spki = Buffer.from(new NodeKey().public, "base64");
		spki[90] ^= 1;
		fs.writeFileSync(file, `self: a\nnodes:\n${row("a", 1)}${row("b", 2).replace(/public_key: .*/, `public_key: "${spki.toString("base64")}"`)}`);
		const said = `${file}:16: nodes[1].public_key: is no key of P-256; make one with "fogctl node keygen"\n`;
		const bad = await run(["config", "check", "--nodes", file, "--origins", "https://*.fog.example:1 https://*.fog.example:2"]);
		assert.deepEqual([bad.code, bad.stderr], [2, said]);
		const key = path.join(fog.dir, "own.key");
		fs.writeFileSync(key, new NodeKey().pem, { mode: 0o600 });
		const checked = await runFogd(["-n"], { dir: fog.dir, env: { NODES_CONFIG: file, NODE_KEY_FILE: key, FLEET_ORIGINS: "https://*.fog.example:1 https://*.fog.example:2" } });
		assert.equal(checked.code, 1);
		assert.ok(checked.text.includes(said), checked.text);
	});

	test("policy replay: exactly the requests that a draft decides differently", async () => {
		const mark = auditMark(), token = fog.user();
		const kept = await fog.create({ token, ttl: 60 }), longer = await fog.create({ token, ttl: 3600 });
		await fog.expect(422, "POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 3601 } });
		await fog.expect(422, "POST", "/v1/sessions", { token, body: { profile: "none", ttl_seconds: 60 } });
		const lines = fog.auditRecords().slice(mark);
		const log = path.join(fog.dir, "yesterday.jsonl"), draft = path.join(fog.dir, "draft.yaml");
		fs.writeFileSync(log, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
		const replay = async (...args) => {
			const { code, stdout, stderr } = await run(["policy", "replay", draft, "--audit", log, ...args]);
			assert.equal(stderr, "");
			return { code, stdout };
		};
		fs.copyFileSync(fog.policyFile, draft);
		const same = await replay();
		assert.deepEqual([same.code, same.stdout], [0, "0 of 4 requests would be decided differently\n"]);

		fs.writeFileSync(draft, policyOf([["default", { ttl: 1800 }], ["none"]]));
		const { code, stdout } = await replay("--json");
		assert.equal(code, 1);
		const { requests, different } = JSON.parse(stdout);
		assert.equal(requests, 4);
		assert.deepEqual(different.map(({ profile, was, would_be: now }) => [profile, was, now]),
			[["default", `allowed on ${NODE}`, "profile.max_ttl_seconds"], ["none", "profile.unknown", "allowed"]]);
		assert.equal(different[0].time, lines.filter(({ event }) => event === "placement.decided")[1].time);
		assert.deepEqual(table((await replay()).stdout).slice(0, 2).map((row) => row["WOULD BE"]), ["profile.max_ttl_seconds", "allowed"]);

		// What it demands of a node counts as well.
		fs.writeFileSync(draft, policyOf([["default", { more: { regions: "[nowhere]" } }]]));
		assert.deepEqual(JSON.parse((await replay("--json")).stdout).different.map((row) => row.would_be), ["profile.regions", "profile.regions"]);
		for (const { id } of [kept, longer])
			await ctl("sessions", "kill", id);
	});

	// A power failure leaves a piece, with zeroes behind it, and what comes later stands on a line of its own (R7).
	test("a torn line in an audit log is told of, and all others count", async () => {
		const mark = auditMark(), { id } = await fog.create();
		const lines = fog.auditRecords().slice(mark).map((line) => JSON.stringify(line));
		const log = path.join(fog.dir, "torn.jsonl");
		fs.writeFileSync(log, `${lines[0].slice(0, 100)}\n${lines[0].slice(0, 40)}\0\0\0\n\0\0\n${lines.join("\n")}\n${lines[0].slice(0, 4)}`);
		for (const args of [["policy", "replay", fog.policyFile, "--audit", log], ["placement", "explain", "--session", id, "--audit", log]]) {
			const { code, stdout, stderr } = await run(args);
			assert.equal(code, 0, stderr);
			assert.match(stdout, /^0 of 1 requests|replays to the same choice/m);
			assert.match(stderr, new RegExp(`^(?:fogctl: ${log}:[123]: a piece of a line, which is left out\n){3}`));
		}
		await ctl("sessions", "kill", id);
	});

	test("a line without an end takes no memory", async () => {
		const { code, stderr } = await run(["policy", "replay", fog.policyFile, "--audit", "/dev/zero"]);
		assert.deepEqual([code, stderr], [2, "fogctl: /dev/zero:1: the line is longer than 1048576 bytes\n"]);
	}, 20_000);

	test("a request that was tried on two nodes is one, and is printed once", async () => {
		const mark = auditMark(), { id } = await fog.create();
		const decided = fog.auditRecords().slice(mark).find(({ event }) => event === "placement.decided");
		const { time, trace_id, issuer, subject } = decided;
		const failed = { time, event: "session.forwarded", phase: "outcome", trace_id, issuer, subject, node: "far", reason: "failed" };
		const log = path.join(fog.dir, "tries.jsonl"), draft = path.join(fog.dir, "tries.yaml");
		fs.writeFileSync(log, [decided, failed, decided, failed, decided, decided].map((line) => `${JSON.stringify(line)}\n`).join(""));
		fs.writeFileSync(draft, policyOf([["default", { ttl: 60 }]]));
		const { requests, different } = JSON.parse((await run(["--json", "policy", "replay", draft, "--audit", log])).stdout);
		assert.deepEqual([requests, different.length], [2, 2]);
		await ctl("sessions", "kill", id);
	});

	test("placement explain: a session that this node has placed on another", async () => {
		const mark = auditMark(), { id } = await fog.create();
		const decided = { ...fog.auditRecords().slice(mark).find(({ event }) => event === "placement.decided"), session_id: undefined };
		const { time, trace_id, issuer, subject, node } = decided;
		const made = { time, event: "session.forwarded", phase: "outcome", trace_id, issuer, subject, node, session_id: UNKNOWN };
		const log = path.join(fog.dir, "forwarded.jsonl");
		// Another's, of the same trace, comes between.
		const other = { ...decided, subject: "somebody else", decision: { request: 7 } };
		fs.writeFileSync(log, [decided, other, made].map((line) => `${JSON.stringify(line)}\n`).join(""));
		const told = await run(["placement", "explain", "--session", UNKNOWN, "--audit", log]);
		assert.deepEqual([told.code, told.stderr], [0, ""]);
		assert.match(told.stdout, /\nreplays to the same choice\n$/);
		await ctl("sessions", "kill", id);
	});

	test("placement explain: the record replays to the same choice, and a changed one does not", async () => {
		const { id } = await fog.create();
		const log = fs.readdirSync(path.join(fog.stateDir, "audit")).map((name) => path.join(fog.stateDir, "audit", name)).find((name) => name.endsWith(".jsonl"));
		const told = await run(["placement", "explain", "--session", id, "--audit", log]);
		assert.deepEqual([told.code, told.stderr], [0, ""]);
		assert.match(told.stdout, new RegExp(`^placed on ${NODE}: `));
		assert.match(told.stdout, /\nreplays to the same choice\n$/);
		assert.match(told.stdout, new RegExp(`^1 +${NODE} +fog `, "m"));

		const { trace_id: trace } = fog.auditRecords().find(({ event, session_id: other }) => event === "session.created" && other === id);
		const line = fog.auditRecords().find(({ event, trace_id: other }) => event === "placement.decided" && other === trace);
		const file = path.join(fog.dir, "line.jsonl");
		const explain = (record) => {
			fs.writeFileSync(file, `${JSON.stringify(record)}\n`);
			return run(["--json", "placement", "explain", file]);
		};
		const same = JSON.parse((await explain(line)).stdout);
		assert.deepEqual([same.choice, same.recorded_choice, same.same], [NODE, NODE, true]);
		const full = await explain({ ...line, decision: { ...line.decision, reasons: "nearest" } });
		assert.deepEqual([full.code, JSON.parse(full.stdout).same], [1, false]);
		const other = await run(["placement", "explain", "--session", UNKNOWN, "--audit", log]);
		assert.equal(other.code, 2);
	});

	test("placement explain --live", async () => {
		const live = await ctl("placement", "explain", "--live", "--profile", "default", "--hint", "far", "--latency", `${NODE}=4`, "--latency", "far=1");
		assert.deepEqual([live.code, live.stderr], [0, ""]);
		assert.match(live.stdout, new RegExp(`^placed on ${NODE}: .*hint-unknown-node`));
		const [candidate] = JSON.parse((await ctl("--json", "placement", "explain", "--live", "--profile", "default", "--latency", `${NODE}=4`)).stdout).candidates;
		assert.deepEqual([candidate.node, candidate.rank, candidate.latency_ms], [NODE, 1, 4]);
		const unknown = await ctl("placement", "explain", "--live", "--profile", "none");
		assert.deepEqual([unknown.code, unknown.stdout], [1, ""]);
		assert.match(unknown.stderr, /There is no such profile/);
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
		assert.deepEqual([refused.code, refused.stdout], [4, ""]);
		assert.match(refused.stderr, /Permission denied; only root and the members of ADMIN_GROUP/);

		const secret = path.join(fog.dir, "secret.yaml");
		fs.writeFileSync(secret, "profiles: []\n", { mode: 0o600 });
		assert.equal((await run(["policy", "check", secret], { program, uid: NOBODY, gid: NOBODY })).code, 4);

		const session = await fog.create();
		const allowed = await run(["--socket", socket(), "sessions", "kill", session.id],
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
		const refused = await ctl("ping");
		assert.deepEqual([refused.code, refused.stderr], [1, "fogctl: refused: too many connections; close one and try again\n"]);
		await until("who was still for a second gives way", async () => (await ctl("ping")).code === 0, { timeout: 3000 });
		for (const client of clients.slice(2))
			client.destroy();
		assert.equal((await ctl("ping")).code, 0);
		await until("the half line is closed", () => half.isClosed, { timeout: 15_000 });
		assert.match(half.text, /"code":"timeout"/);
	}, { timeout: 40_000 });

	test("nothing that somebody else wrote is a command to the operator's terminal", async () => {
		const evil = "\u001b]0;owned\u0007\u009b2J\u202e\u007f";
		const file = path.join(fog.dir, "evil.sock");
		const answers = [{ error: evil, code: "x" }, { pong: true, version: evil }, { pong: true, version: evil },
			{ session: { session_id: evil, [evil]: [evil] } }];
		const server = net.createServer((client) => client.once("data", () => client.end(`${JSON.stringify(answers.shift())}\n`)));
		await new Promise((resolve) => server.listen(file, resolve));
		try {
			for (const code of [1, 0]) {
				const { stdout, stderr, ...said } = await run(["--socket", file, "ping"]);
				assert.equal(said.code, code);
				assert.match(stdout + stderr, /\\x1b\]0;owned\\x07/);
				assert.doesNotMatch(stdout + stderr, /[^\n -~]/);
			}
			const json = await run(["--json", "--socket", file, "ping"]);
			assert.doesNotMatch(json.stdout, /[^\n -~]/);
			assert.equal(JSON.parse(json.stdout).version, evil);
			assert.doesNotMatch((await run(["--socket", file, "sessions", "show", UNKNOWN])).stdout, /[^\n -~]/);
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

// Another node that is configured and never answers.
const FLEET = { NODES_CONFIG: "nodes.yaml", NODE_KEY_FILE: "node.key" };

suite("fogctl in a fleet", {
	env: (dir) => ({ FLEET_ORIGINS: "https://*.fog.example", ...Object.fromEntries(Object.entries(FLEET).map(([name, file]) => [name, path.join(dir, file)])) }),
	prepare: (dir) => {
		const key = path.join(dir, "node.key");
		spawnSync(fogctl, ["node", "keygen", "--out", key]);
		const ours = /public_key: *"?([^"\n]+)/.exec(spawnSync(fogctl, ["node", "show-key", key], { encoding: "utf8" }).stdout)[1];
		const row = (name, publicKey) => `  - name: ${name}\n    url: "https://${name}.fog.example"\n    region: r\n    tier: fog\n    trust: trusted\n` +
			`    capacity: { sessions: 4, cpu: "64", memory: "64Gi" }\n    public_key: "${publicKey}"\n`;
		fs.writeFileSync(path.join(dir, "nodes.yaml"), `self: near\nnodes:\n${row("near", ours)}${row("far", new NodeKey().public)}`, { mode: 0o644 });
	},
}, ({ fog, test }) => {
	const ctl = (...args) => run(["--socket", path.join(fog.runDir, "control.sock"), ...args]);
	const nodes = async () => JSON.parse((await ctl("--json", "nodes", "list")).stdout).nodes;

	test("cordon: over a restart and a reload, and it is audited, until it is undone", async () => {
		assert.deepEqual((await nodes()).map(({ name, self, cordoned }) => [name, self, cordoned]), [["near", true, false], ["far", false, false]]);
		assert.match((await ctl("nodes", "cordon", "far")).stdout, /^far gets no new sessions from this node/);
		await fog.kill("placerd");
		await until("it is cordoned after a restart", async () => (await nodes())[1].cordoned);
		await fog.reload();
		assert.equal((await nodes())[1].cordoned, true);
		const drain = await ctl("nodes", "drain", "far");
		assert.equal(drain.code, 1);
		assert.match(drain.stderr, /run this on "far", or .*fogctl nodes cordon/);
		assert.match((await ctl("nodes", "undrain", "far")).stdout, /^far gets new sessions from this node again/);
		assert.equal((await nodes())[1].cordoned, false);
		assert.deepEqual(fog.auditRecords().filter(({ event }) => event.startsWith("node.")).map(({ event, node }) => [event, node]),
			[["node.cordoned", "far"], ["node.undrained", "far"]]);
	});

	test("a reload of 10,000 nodes holds nobody up, and one that is refused says where", async () => {
		const file = path.join(fog.dir, "nodes.yaml"), before = fs.readFileSync(file, "utf8");
		const keys = before.match(/public_key: .*/g), spki = Buffer.from(/"(.*)"/.exec(keys[1])[1], "base64");
		const rows = Array.from({ length: 10_000 }, (_, i) => before.slice(before.indexOf("  - name: far"))
			.replaceAll("far", `n${i}`).replace(/public_key: .*/, `public_key: "${new NodeKey().public}"`));
		const reload = async (text) => {
			fs.writeFileSync(file, text);
			const waits = [];
			let isOver = false;
			const asking = (async () => {
				while (!isOver) {
					const start = performance.now();
					await fog.expect(200, "GET", "/v1/profiles", { token: fog.user() });
					waits.push(performance.now() - start);
					await sleep(2);
				}
			})();
			const { event } = await fog.reload();
			isOver = true;
			await asking;
			return { event, longest: Math.max(...waits), asked: waits.length };
		};
		// The least of three: what else the machine does is nothing of ours.
		const longest = [];
		for (let i = 0; i < 3; i++) {
			const done = await reload(before + rows.join(""));
			assert.equal(done.event, "reloaded");
			assert.ok(done.asked > 3);
			longest.push(done.longest);
		}
		assert.ok(Math.min(...longest) < 100, `the longest waits: ${longest} ms`);
		assert.equal((await nodes()).length, 10_002);

		const mark = fog.logMark();
		spki[90] ^= 1;
		rows[9_998] = rows[9_998].replace(/public_key: .*/, `public_key: "${spki.toString("base64")}"`);
		assert.equal((await reload(before + rows.join(""))).event, "reload_refused");
		const line = (before + rows.slice(0, 9_999).join("")).split("\n").length - 1;
		assert.match(fog.logLines(mark).join("\n"), new RegExp(`nodes\\.yaml:${line}: nodes\\[10000\\]\\.public_key: is no key of P-256`));
		assert.equal((await nodes()).length, 10_002);
		assert.equal((await reload(before)).event, "reloaded");
		assert.equal((await nodes()).length, 2);
	});

	test("placement explain: what is against the other node", async () => {
		const { candidates, choice } = JSON.parse((await ctl("--json", "placement", "explain", "--live", "--profile", "default", "--hint", "far")).stdout);
		assert.equal(choice, "near");
		const far = candidates.find(({ node }) => node === "far");
		assert.equal(far.fit, false);
		assert.match(far.reasons, /unhealthy/);
	});
});
