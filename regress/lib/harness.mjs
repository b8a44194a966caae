// SPDX-License-Identifier: MIT
// A private instance of the service in a temporary folder, and an API client whose every answer is held against
// docs/openapi.json. Environment: FOG_BUILD (build tree), FOG_LOGS=1 (print logs also of tests that pass).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Secrets } from "./leaks.mjs";
import { checkAnswer } from "./openapi.mjs";
import { descendants, identify, isAlive, programName, signal, sleep, until, waitGone, withDeadline } from "./proc.mjs";

export const repo = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const build = path.resolve(process.env.FOG_BUILD ?? path.join(repo, "build"));
export const fogdPath = path.join(build, "sbin/fogd");
export const ROLES = ["gatewayd", "authd", "placerd", "ptyd", "spawner", "fetcher", "prober"];

// more: optional keys, each with its value.
const profile = (name, { cpu = "500m", memory = "512Mi", storage = "1Gi", ttl = 3600, sessions = 3, groups = [], more = {} } = {}) => `  - name: ${name}
    cpu: "${cpu}"
    memory: "${memory}"
    storage: "${storage}"
    max_ttl_seconds: ${ttl}
    max_sessions: ${sessions}
    allowed_groups: [${groups.join(", ")}]
${Object.entries(more).filter(([, value]) => value !== undefined).map(([key, value]) => `    ${key}: ${value}\n`).join("")}`;

export const policyOf = (profiles) => `profiles:\n${profiles.map(([name, options]) => profile(name, options)).join("")}`;

export const DEFAULT_POLICY = policyOf([
	["default"],
	["large", { cpu: "2", memory: "4Gi", ttl: 7200, sessions: 1, groups: ["power-users"] }],
]);

// What makes sanitizers, coverage and malloc variants work also for the instance.
const PASSED_ENV = /^(PATH|LANG|LC_ALL|[AUL]SAN_OPTIONS|LLVM_PROFILE_FILE|GCOV_\w+|MALLOC_\w+|GLIBC_TUNABLES)$/;

// The kernel counts processes by id, so files that run at once share none: build-aux/run-tests.sh gives each a lane of its
// own. number: among the instances of one file, below 8. 64 sessions each; in lane 0 the first is the option's default.
export const uidBase = (number = 0) => 0x7000_0000 + (Number(process.env.TEST_LANE ?? 0) % 8 * 8 + number) * 64 * 65536;

export function instanceEnv(dir, extra = {}) {
	const env = {
		...Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ENV.test(name))),
		HOME: dir,
		USE_STUB_CONNECTOR: "1",
		LISTEN_ADDR: "127.0.0.1:0",
		METRICS_ADDR: "off",
		POLICY_CONFIG: path.join(dir, "policy.yaml"),
		RUN_DIR: path.join(dir, "run"),
		STATE_DIR: path.join(dir, "state"),
		SESSION_UID_BASE: String(uidBase()),
		// All tests come from one address; those of the limits set their own.
		FAILED_TOKENS_PER_MINUTE: "0",
		ATTACHES_PER_MINUTE: "0",
		CREATES_PER_MINUTE: "0",
		...extra,
	};
	return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
}

// A private folder with a policy; the caller removes it.
export function makeDir(policy = DEFAULT_POLICY, asUser) {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-"));
	for (const name of ["run", "state"])
		fs.mkdirSync(path.join(dir, name), { mode: 0o755 });
	fs.writeFileSync(path.join(dir, "policy.yaml"), policy, { mode: 0o644 });
	if (asUser)
		for (const name of ["", "run", "state", "policy.yaml"])
			fs.chownSync(path.join(dir, name), asUser.uid, asUser.gid);
	return dir;
}

// key=value fields of a log line; a quoted value is unescaped.
export function parseLog(line) {
	const fields = {};
	for (const [, key, value] of line.matchAll(/(?:^|\s)([a-z][a-z0-9_]*)=("(?:[^"\\]|\\.)*"|\S*)/g))
		fields[key] = value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, "$1") : value;
	return fields;
}

// One HTTP exchange on a connection of its own. body: an object becomes JSON, a string or Buffer goes out as it is.
// ca: for https.
export function exchange(url, method, target, { token, body, headers = {}, timeout = 10_000, ca } = {}) {
	const { hostname, port, protocol } = new URL(url);
	const payload = body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
	const sent = { ...headers };
	if (token !== undefined)
		sent.Authorization = `Bearer ${token}`;
	if (payload !== undefined) {
		sent["Content-Type"] ??= "application/json";
		sent["Content-Length"] = Buffer.byteLength(payload);
	}
	const answer = new Promise((resolve, reject) => {
		const { request: send } = protocol === "https:" ? https : http;
		const request = send({ host: hostname, port, method, path: target, headers: sent, agent: false, ca }, (response) => {
			const chunks = [];
			response.on("data", (chunk) => chunks.push(chunk));
			response.on("error", reject);
			response.on("end", () => resolve({
				status: response.statusCode,
				headers: response.headers,
				body: Buffer.concat(chunks).toString("utf8"),
			}));
		});
		request.on("upgrade", (response, socket) => {
			socket.destroy();
			resolve({ status: response.statusCode, headers: response.headers, body: "" });
		});
		request.on("error", reject);
		request.setTimeout(timeout, () => request.destroy(new Error(`no answer to ${method} ${target.split("?")[0]}`)));
		request.end(payload);
	});
	return answer;
}

const running = new Set();
process.once("exit", () => {
	for (const instance of running)
		instance.killAll();
});

export class Instance {
	#options;
	#child;
	#exit;
	#closed;
	#lines = [];
	#partial = "";
	#printed = 0;
	#clients = new Set();
	// By role and by pid, with the start time seen when the log named them: a number may be another process later.
	#roles = new Map();
	#holders = new Map();
	#users = 0;
	// Every token that api() has sent or got; a test adds others. Looked for everywhere at stop().
	secrets = new Secrets();

	// ready: false to go on when all processes run, though readyz may say no. host: the address by which it is reached.
	// ca: PEM, for a certificate that is not its own authority. wrap: a command that runs fogd, such as in a namespace.
	constructor(options = {}) {
		this.#options = options;
	}

	async start() {
		this.dir = makeDir(this.#options.policy, this.#options.asUser);
		this.policyFile = path.join(this.dir, "policy.yaml");
		this.runDir = path.join(this.dir, "run");
		this.stateDir = path.join(this.dir, "state");
		running.add(this);
		this.#options.prepare?.(this.dir);
		const env = this.#env();
		this.ca = this.#options.ca ?? (env.TLS_CERT_FILE && fs.readFileSync(env.TLS_CERT_FILE));
		await this.#launch(env);
		return this;
	}

	get #host() {
		return this.#options.host ?? "127.0.0.1";
	}

	#env() {
		const { env = {} } = this.#options;
		return typeof env === "function" ? env(this.dir) : env;
	}

	async #launch(env) {
		const mark = this.#lines.length;
		this.secrets.add("a signing key", env.SESSION_TOKEN_SIGNING_KEY, env.SESSION_TOKEN_SIGNING_KEY_PREVIOUS);
		const [command, ...args] = [...this.#options.wrap ?? [], fogdPath, "-d"];
		this.#child = spawn(command, args, {
			cwd: "/",
			env: instanceEnv(this.dir, env),
			stdio: ["ignore", "pipe", "pipe"],
			uid: this.#options.asUser?.uid,
			gid: this.#options.asUser?.gid,
		});
		this.#exit = new Promise((resolve, reject) => {
			this.#child.once("error", reject);
			this.#child.once("exit", (code, name) => resolve({ code, signal: name }));
		});
		this.#closed = new Promise((resolve) => this.#child.once("close", resolve));
		this.#exit.catch((error) => this.#lines.push(`${fogdPath}: ${error.message}`));
		for (const stream of [this.#child.stdout, this.#child.stderr])
			stream.setEncoding("utf8").on("data", (text) => this.#onOutput(text));
		await this.#waitReady(mark);
	}

	async #waitReady(mark) {
		// An assertion ends the polling at once, where any other error would be "not yet".
		const seen = (event) => () => {
			assert.ok(this.#isRunning(), `fogd ended while starting: exit ${this.#child.exitCode ?? this.#child.signalCode}`);
			return this.events({ event }, mark)[0];
		};
		try {
			const listening = await until("log line event=listening", seen("listening"), { timeout: 20_000 });
			this.port = Number(/:([0-9]+)$/.exec(listening.addr)?.[1]);
			this.url = `${this.ca ? "https" : "http"}://${this.#host}:${this.port}`;
			this.pid = this.#child.pid;
			this.fogd = identify(this.pid);
			await until("log line event=ready", seen("ready"), { timeout: 20_000 });
			if (this.#options.ready !== false)
				await this.waitReady();
		} catch (error) {
			// The last lines may still be on their way when the exit is known.
			await Promise.race([this.#closed, sleep(500)]);
			this.printLogs();
			await this.stop().catch(() => undefined);
			throw error;
		}
	}

	#isRunning() {
		return this.#child?.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
	}

	#onOutput(text) {
		const lines = (this.#partial + text).split("\n");
		this.#partial = lines.pop();
		this.#lines.push(...lines);
		for (const { event, role, pid, holder_pid: holder } of lines.map(parseLog)) {
			if (event === "role_started")
				this.#roles.set(role, identify(Number(pid)));
			else if (event === "session_started" && holder && !this.#holders.has(Number(holder)))
				this.#holders.set(Number(holder), identify(Number(holder)));
		}
	}

	logs() {
		return [...this.#lines, this.#partial].join("\n");
	}

	// A position in the log: waitLog looks at lines after it.
	logMark() {
		return this.#lines.length;
	}

	logLines(mark = 0) {
		return this.#lines.slice(mark);
	}

	events(wanted, mark = 0) {
		return this.#lines.slice(mark).map(parseLog)
			.filter((fields) => Object.entries(wanted).every(([key, value]) =>
				value instanceof RegExp ? value.test(fields[key] ?? "") : fields[key] === String(value)));
	}

	waitLog(wanted, { mark = 0, timeout = 10_000 } = {}) {
		const what = Object.entries(wanted).map(([key, value]) => `${key}=${value}`).join(" ");
		return until(`log line ${what}`, () => this.events(wanted, mark)[0], { timeout });
	}

	printLogs() {
		const fresh = this.#lines.slice(this.#printed);
		this.#printed = this.#lines.length;
		console.error([`--- log of ${this.url ?? "an instance that did not start"}`, ...fresh, "---"].join("\n"));
	}

	// The newest pid of each role.
	rolePids() {
		return Object.fromEntries([...this.#roles].map(([role, found]) => [role, found?.pid]));
	}

	// The role's process, once it runs and is not the one that was there before.
	roleProcess(role, { not } = {}) {
		return until(`${role} runs`, () => {
			const found = this.#roles.get(role);
			return found && isAlive(found) && found.pid !== not?.pid && found;
		});
	}

	async kill(role, name = "SIGKILL") {
		const victim = role === "fogd" ? this.fogd : await this.roleProcess(role);
		this.holders();
		assert.ok(signal(victim, name), `${role} ${victim.pid} was not running`);
		await waitGone(victim);
		return victim;
	}

	// Every living holder of this instance: those below fogd while it lives, and those seen or named in the log before.
	holders() {
		for (const pid of this.fogd && isAlive(this.fogd) ? descendants(this.pid) : []) {
			if (!this.#holders.has(pid) && programName(pid) === "holder")
				this.#holders.set(pid, identify(pid));
		}
		return [...this.#holders.values()].filter((found) => found && isAlive(found));
	}

	async reload() {
		const mark = this.logMark();
		assert.ok(signal(this.fogd, "SIGHUP"));
		return this.waitLog({ event: /^reload(ed|_refused)$/ }, { mark });
	}

	// The lines of the audit log.
	auditRecords() {
		const dir = path.join(this.stateDir, "audit");
		return fs.readdirSync(dir).filter((name) => name.startsWith("audit"))
			.flatMap((name) => fs.readFileSync(path.join(dir, name), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)));
	}

	// Starts fogd again, on the same port and folder.
	async restartFogd() {
		await this.#exit;
		await this.#launch({ ...this.#env(), LISTEN_ADDR: `127.0.0.1:${this.port}` });
	}

	terminateFogd() {
		this.holders();
		this.#child.kill("SIGTERM");
		return withDeadline(this.#exit, "fogd ends on SIGTERM");
	}

	killAll() {
		if (this.#isRunning())
			this.#child.kill("SIGKILL");
		for (const holder of this.holders())
			signal(holder, "SIGKILL");
		running.delete(this);
	}

	async stop() {
		for (const client of this.#clients)
			client.destroy();
		this.#assertNoProcessTells();
		const roles = [...this.#roles.values()].filter(Boolean);
		const holders = this.holders();
		try {
			if (this.#isRunning())
				await this.terminateFogd();
			for (const role of roles)
				await waitGone(role, { timeout: 5000 });
		} finally {
			this.killAll();
			for (const role of roles)
				signal(role, "SIGKILL");
			for (const holder of holders)
				await waitGone(holder).catch(() => undefined);
			this.#child?.stdout.destroy();
			this.#child?.stderr.destroy();
			this.#assertNoFileTells();
			fs.rmSync(this.dir, { recursive: true, force: true });
		}
		// A role that ends so is started again, and one that ends so at the end is missed by nobody.
		assert.doesNotMatch(this.logs(), /ERROR: \w+Sanitizer|runtime error:/);
	}

	#assertNoProcessTells() {
		if (!this.#isRunning())
			return;
		for (const { pid } of [identify(this.#child.pid), ...descendants(this.#child.pid)])
			this.secrets.assertNotInProcess(pid, programName(pid));
	}

	#assertNoFileTells() {
		this.secrets.assertNotIn("the log", this.logs());
		// What sessions have is theirs: images, and disks larger than a string can be.
		const ours = ["audit", "placerd"].map((name) => path.join(this.stateDir, name)).filter((dir) => fs.existsSync(dir));
		for (const dir of [this.runDir, ...ours])
			this.secrets.assertNotInFiles(dir);
	}

	// Closed at stop, so that a failed test does not keep the process alive.
	track(client) {
		this.#clients.add(client);
		return client;
	}

	// A subject that no other test uses, so that quotas do not meet.
	user(...groups) {
		return [`user${++this.#users}`, ...groups].join("+");
	}

	// One API call, held against openapi.json. Gives status, headers, body (text) and json.
	async api(method, target, options) {
		const answer = await exchange(this.url, method, target, { ...options, ca: this.ca });
		checkAnswer(method, target, answer);
		if (/^application\/(problem\+)?json/.test(answer.headers["content-type"] ?? "") && answer.body)
			answer.json = JSON.parse(answer.body);
		this.secrets.add("a token", options?.token, answer.json?.token, answer.json?.attach?.token);
		return answer;
	}

	async expect(status, method, target, options) {
		const answer = await this.api(method, target, options);
		assert.equal(answer.status, status, `${method} ${target.split("?")[0]}: ${answer.body}`);
		return answer.json;
	}

	async create({ token = this.user(), profile: name = "default", ttl = 600, headers } = {}) {
		const made = await this.expect(201, "POST", "/v1/sessions", { token, headers, body: { profile: name, ttl_seconds: ttl } });
		return { ...made, id: made.session_id, token };
	}

	show({ id, token }) {
		return this.expect(200, "GET", `/v1/sessions/${id}`, { token });
	}

	// A new attach token for a session.
	mint({ id, token }) {
		return this.expect(201, "POST", `/v1/sessions/${id}/attach`, { token, body: { role: "driver" } });
	}

	// 503 while a part is being replaced is no state yet (R2).
	waitStatus({ id, token }, wanted, options) {
		return until(`session is ${wanted}`, async () => {
			const { status, json } = await this.api("GET", `/v1/sessions/${id}`, { token });
			return status !== 503 && json.status === wanted && json;
		}, options);
	}

	waitReady() {
		return until("readyz says ready", async () => (await this.api("GET", "/readyz")).status === 200);
	}
}

export const startInstance = (options) => new Instance(options).start();

// One instance for a file's tests; the log is printed when one of them fails.
export function suite(name, options, body) {
	describe(name, () => {
		const fog = new Instance(options);
		before(() => fog.start());
		after(() => fog.stop());
		body({ fog, test: (title, fn, settings) => testWith(fog, title, fn, settings) });
	});
}

function testWith(fog, title, fn, { timeout = 30_000, skip } = {}) {
	it(title, { skip }, async (t) => {
		try {
			await withDeadline(fn(t), title, timeout);
		} catch (error) {
			fog.printLogs();
			throw error;
		}
		if (process.env.FOG_LOGS === "1")
			fog.printLogs();
	});
}

// Runs fogd to its end, as -n and -T and refused starts do.
export function runFogd(args, { env, dir, timeout = 15_000 }) {
	return new Promise((resolve, reject) => {
		const child = spawn(fogdPath, args, { cwd: "/", env: instanceEnv(dir, env), stdio: ["ignore", "pipe", "pipe"] });
		const out = { stdout: "", stderr: "" };
		const timer = setTimeout(() => {
			child.kill("SIGKILL");
			reject(new Error(`fogd ${args.join(" ")} did not end within ${timeout} ms\n${out.stdout}${out.stderr}`));
		}, timeout);
		for (const stream of ["stdout", "stderr"])
			child[stream].setEncoding("utf8").on("data", (text) => { out[stream] += text; });
		child.once("error", reject);
		child.once("close", (code, name) => {
			clearTimeout(timer);
			resolve({ code, signal: name, ...out, text: out.stdout + out.stderr });
		});
	});
}
