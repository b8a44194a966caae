// SPDX-License-Identifier: MIT
// Configuration: what is refused and how it is said (S22, S24), -n and -T, SIGHUP, and that no secret reaches a log.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { DEFAULT_POLICY, makeDir, policyOf, runFogd, suite } from "../lib/harness.mjs";
import { isRoot, until } from "../lib/proc.mjs";
import { BinaryTerminal, JsonTerminal } from "../lib/ws.mjs";

const KEY = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

// The line of DEFAULT_POLICY that holds text, counted from 1, and the policy with a replacement in it.
const change = (from, to) => {
	const lines = DEFAULT_POLICY.split("\n");
	const at = lines.findIndex((line) => line.includes(from));
	assert.ok(at >= 0, from);
	lines[at] = lines[at].replace(from, to);
	return { policy: lines.join("\n"), line: at + 1 };
};
const insertAfter = (text, added) => {
	const lines = DEFAULT_POLICY.split("\n");
	const at = lines.findIndex((line) => line.includes(text));
	lines.splice(at + 1, 0, added);
	return { policy: lines.join("\n"), line: at + 2 };
};

// Arguments, and for root the environment too, as /proc shows them.
const argumentsOf = (pid) =>
	fs.readFileSync(`/proc/${pid}/cmdline`, "latin1") + (isRoot ? fs.readFileSync(`/proc/${pid}/environ`, "latin1") : "");

const BAD_POLICIES = [
	["misspelt key", change("max_sessions:", "max_session:")],
	["unknown top-level key", { policy: `${DEFAULT_POLICY}extra: 1\n`, line: DEFAULT_POLICY.split("\n").length }],
	["duplicate key", insertAfter("cpu:", '    cpu: "1"')],
	["anchor", { policy: DEFAULT_POLICY.replace('cpu: "500m"', 'cpu: &a "500m"'), line: 3 }],
	["alias", change('cpu: "500m"', "cpu: *a")],
	["tag", change('cpu: "500m"', 'cpu: !!str "500m"')],
	["wrong unit of cpu", change('"500m"', '"500Q"')],
	["wrong unit of memory", change('"512Mi"', '"512MB"')],
	["negative memory", change('"512Mi"', '"-1Mi"')],
	["number that is none", change("max_ttl_seconds: 3600", "max_ttl_seconds: 1h")],
	["number out of range", change("max_ttl_seconds: 3600", "max_ttl_seconds: 0")],
	["number too large", change("max_sessions: 3", "max_sessions: 99999999999")],
	["idle time out of range", insertAfter("cpu:", "    idle_timeout_seconds: 604801")],
	["ring too small", insertAfter("cpu:", "    ring_size: 65535")],
	["ring no quantity", insertAfter("cpu:", "    ring_size: all")],
	["groups no list", change("allowed_groups: []", "allowed_groups: admins")],
	["a profile twice", change("name: large", "name: default")],
	["empty name", change("name: large", 'name: ""')],
	["not YAML", change("storage:", "storage: [")],
	["two documents", { policy: `${DEFAULT_POLICY}---\n${DEFAULT_POLICY}` }],
	["empty file", { policy: "" }],
];

describe("fogd -n", () => {
	let dir;
	const put = (policy) => fs.writeFileSync(path.join(dir, "policy.yaml"), policy);
	before(() => { dir = makeDir(); });
	after(() => fs.rmSync(dir, { recursive: true, force: true }));

	it("takes a good configuration", async () => {
		put(DEFAULT_POLICY);
		const { code, text } = await runFogd(["-n"], { dir });
		assert.equal(code, 0, text);
	});

	for (const [name, { policy, line }] of BAD_POLICIES) {
		it(`policy: ${name}: file and line, exit status not 0`, async () => {
			put(policy);
			const { code, text } = await runFogd(["-n"], { dir });
			assert.ok(code > 0, `exit ${code}: ${text}`);
			// Where the reader notices a missing end is its own affair.
			const where = line === undefined || name === "not YAML" ? "[0-9]+" : String(line);
			assert.match(text, new RegExp(`policy\\.yaml:${where}\\b`));
		});
	}

	const BAD_ENV = [
		["LISTEN_ADDR", "nonsense"], ["LISTEN_ADDR", "127.0.0.1:65536"], ["LISTEN_ADDR", "shell.example.org:8080"],
		["LISTEN_ADDR", "0.0.0.0:0"], // the dev shim is for loopback alone
		["RUNTIME", "k8s"], ["RUNTIME", "docker"], ["USE_K8S", "1"], ["USE_STUB_CONNECTOR", "yes"],
		["OIDC_ISSUER_URL", "https://issuer.example"], ["OIDC_CLIENT_ID", "x"], ["NODES_CONFIG", "/nonexistent"], ["FLEET_ORIGINS", "https://*.org"],
		["FLEET_ORIGINS", "http://a.example.org"], ["FLEET_CA_FILE", "/nonexistent"], ["NODE_KEY_FILE", "/nonexistent"], ["FORWARD_TIMEOUT_MS", "100"],
		["OIDC_AUDIENCE", "x"], ["OIDC_CA_FILE", "/nonexistent"], ["OIDC_REQUIRE_AT_JWT", "1"], ["OIDC_SKEW_SECONDS", "30"], ["DPOP_NONCE", "1"],
		["ADMIN_GROUP", "no-such-group"], ["SESSION_TOKEN_SIGNING_KEY_PREVIOUS", KEY], ["SESSION_TOKEN_SIGNING_KEY_PREVIOUS", "abc"],
		["RUN_DIR", `/${"x".repeat(100)}`], ["OTEL_SERVICE_NAME", "fog"], ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"],
		["SESSION_TOKEN_SIGNING_KEY", "abc"], ["SESSION_TOKEN_SIGNING_KEY", KEY.replace("0", "x")],
		["ATTACH_TOKEN_TTL_SECONDS", "0"], ["ATTACH_TOKEN_TTL_SECONDS", "61"], ["ATTACH_TOKEN_TTL_SECONDS", "1m"],
		["HTTP_HEADER_TIMEOUT_MS", "-1"], ["MAX_CONNECTIONS_PER_SOURCE", "0"], ["LOG_LEVEL", "loud"],
		["TLS_CERT_FILE", "/nonexistent"], ["POLICY_CONFIG", "/nonexistent/policy.yaml"], ["GATEWAY_URL", "shell.example"],
	];
	for (const [name, value] of BAD_ENV) {
		it(`${name}=${value === "abc" || value.length > 60 ? "…" : value} is refused by name`, async () => {
			put(DEFAULT_POLICY);
			const { code, text } = await runFogd(["-n"], { dir, env: { [name]: value } });
			assert.ok(code > 0, `exit ${code}: ${text}`);
			assert.match(text, name === "POLICY_CONFIG" ? /POLICY_CONFIG|policy\.yaml/ : new RegExp(`\\b${name}\\b`));
			if (name.startsWith("SESSION_TOKEN_SIGNING_KEY"))
				assert.ok(!text.includes(value), "the key is in the message");
		});
	}

	const ISSUER = { OIDC_ISSUER_URL: "https://issuer.example/realms/a", OIDC_CLIENT_ID: "fog" };
	const BAD_TOGETHER = [
		["an issuer without TLS", { ...ISSUER, OIDC_ISSUER_URL: "http://issuer.example" }, /OIDC_ISSUER_URL: must begin with https:/],
		["an issuer with a query", { ...ISSUER, OIDC_ISSUER_URL: "https://issuer.example/?a=b" }, /OIDC_ISSUER_URL: must have neither query/],
		["an issuer without a client", { ...ISSUER, OIDC_CLIENT_ID: undefined }, /OIDC_CLIENT_ID: must be set/],
		["authorities that are not there", { ...ISSUER, OIDC_CA_FILE: "/nonexistent" }, /OIDC_CA_FILE=\/nonexistent: No such file/],
		["at+jwt alone and ID tokens", { ...ISSUER, OIDC_REQUIRE_AT_JWT: "1", OIDC_ACCEPT_ID_TOKENS: "1" }, /OIDC_ACCEPT_ID_TOKENS: contradicts OIDC_REQUIRE_AT_JWT/],
		["keys that die before they are fetched anew", { ...ISSUER, OIDC_KEYS_MAX_AGE_SECONDS: "100", OIDC_KEYS_REFRESH_SECONDS: "200" },
			/OIDC_KEYS_MAX_AGE_SECONDS: must not be below/],
		["an issuer does not open the stub to the network", { ...ISSUER, LISTEN_ADDR: "0.0.0.0:0" }, /LISTEN_ADDR=.*must be on loopback/],
		["a bad key of before beside a good one", { SESSION_TOKEN_SIGNING_KEY: KEY, SESSION_TOKEN_SIGNING_KEY_PREVIOUS: "abc" },
			/SESSION_TOKEN_SIGNING_KEY_PREVIOUS: must be 64 to 128/],
	];
	for (const [name, env, message] of BAD_TOGETHER) {
		it(`refused: ${name}`, async () => {
			put(DEFAULT_POLICY);
			const { code, text } = await runFogd(["-n"], { dir, env });
			assert.ok(code > 0, `exit ${code}: ${text}`);
			assert.match(text, message);
		});
	}

	it("takes an issuer, two keys, and the group of root as admins", async () => {
		put(DEFAULT_POLICY);
		const env = { ...ISSUER, SESSION_TOKEN_SIGNING_KEY: KEY, SESSION_TOKEN_SIGNING_KEY_PREVIOUS: KEY, ADMIN_GROUP: "root" };
		const { code, text } = await runFogd(["-n"], { dir, env });
		assert.equal(code, 0, text);
	});

	it("without USE_STUB_CONNECTOR it is the sandbox, for root alone, and closed to the network until there is an issuer", async () => {
		put(DEFAULT_POLICY);
		const { code, text } = await runFogd(["-n"], { dir, env: { USE_STUB_CONNECTOR: undefined } });
		if (isRoot)
			assert.equal(code, 0, text);
		else
			assert.match(text, /RUNTIME=sandbox: needs root/);
		const open = await runFogd(["-n"], { dir, env: { USE_STUB_CONNECTOR: undefined, LISTEN_ADDR: "0.0.0.0:0", TRUSTED_PROXIES: "127.0.0.1" } });
		assert.ok(open.code > 0, open.text);
		assert.match(open.text, isRoot ? /LISTEN_ADDR=.*without OIDC_ISSUER_URL.*must be on loopback/ : /RUNTIME=sandbox/);
	});

	it("a policy that others may write, or that is no file, is refused", async () => {
		put(DEFAULT_POLICY);
		const file = path.join(dir, "policy.yaml");
		fs.chmodSync(file, 0o666);
		try {
			const { code, text } = await runFogd(["-n"], { dir });
			assert.ok(code > 0, text);
			assert.match(text, /policy\.yaml/);
		} finally {
			fs.chmodSync(file, 0o644);
		}
		const { code, text } = await runFogd(["-n"], { dir, env: { POLICY_CONFIG: dir } });
		assert.ok(code > 0, text);
	});

	it("a policy that belongs to somebody else is refused", { skip: isRoot ? false : "needs root" }, async () => {
		put(DEFAULT_POLICY);
		const file = path.join(dir, "policy.yaml");
		fs.chownSync(file, 12_345, 12_345);
		try {
			const { code, text } = await runFogd(["-n"], { dir });
			assert.ok(code > 0, text);
			assert.match(text, /policy\.yaml/);
		} finally {
			fs.chownSync(file, 0, 0);
		}
	});

	describe("the fleet", () => {
		const { publicKey, privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
		const nodes = (url = "https://a.fog.example.org") => `self: a
nodes:
  - name: a
    url: ${url}
    region: here
    tier: fog
    trust: basic
    capacity: { sessions: 10 }
    public_key: "${publicKey.export({ type: "spki", format: "der" }).toString("base64")}"
`;
		const check = async ({ text = nodes(), mode = 0o600, env = {}, args = ["-n"] } = {}) => {
			put(DEFAULT_POLICY);
			const [file, key] = ["nodes.yaml", "node-key"].map((name) => path.join(dir, name));
			fs.writeFileSync(file, text);
			fs.rmSync(key, { force: true });
			fs.writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }), { mode });
			fs.chmodSync(key, mode);
			return runFogd(args, { dir, env: { NODES_CONFIG: file, NODE_KEY_FILE: key, FLEET_ORIGINS: "https://*.fog.example.org", ...env } });
		};

		it("a good one is taken, and printed", async () => {
			const { code, text } = await check();
			assert.equal(code, 0, text);
			const printed = await check({ args: ["-T"] });
			assert.equal(printed.code, 0, printed.text);
			assert.match(printed.text, /https:\/\/a\.fog\.example\.org/);
			assert.doesNotMatch(printed.text, /PRIVATE KEY/);
		});

		it("without self in the file it is NODE_NAME, else the name of the host", async () => {
			const text = nodes().replace("self: a\n", "");
			for (const [options, wanted] of [[{ text, env: { NODE_NAME: "a" } }, 0], [{ text, env: { NODE_NAME: "b" } }, 1],
				[{ text: text.replace("name: a", `name: ${os.hostname()}`) }, 0]]) {
				const { code, text: said } = await check(options);
				assert.equal(code, wanted, said);
			}
		});

		it("the key may be a credential of systemd", async () => {
			const { code, text } = await check({ env: { NODE_KEY_FILE: "", CREDENTIALS_DIRECTORY: dir } });
			assert.equal(code, 0, text);
		});

		it("refused: no key, a key that others can read, no origins, a node that they do not cover, a bad file", async () => {
			const without = { NODE_KEY_FILE: "" };
			for (const [options, message] of [
				[{ env: without }, /NODE_KEY_FILE: must be set with NODES_CONFIG/],
				[{ mode: 0o644 }, /NODE_KEY_FILE=.*must not be readable by others/],
				[{ env: { FLEET_ORIGINS: "" } }, /FLEET_ORIGINS: must be set when NODES_CONFIG is/],
				[{ text: nodes("https://a.evil.example") }, /nodes\.yaml:4:/],
				[{ text: "nodes: 1\n" }, /nodes\.yaml:1:/],
				[{ env: { NODES_CONFIG: "/nonexistent" } }, /NODES_CONFIG=\/nonexistent: No such file/],
			]) {
				const { code, text } = await check(options);
				assert.ok(code > 0, `${message}: ${text}`);
				assert.match(text, message);
			}
		});
	});

	it("a signing key that others can read is refused", async () => {
		put(DEFAULT_POLICY);
		const file = path.join(dir, "key");
		fs.writeFileSync(file, `${KEY}\n`);
		for (const [mode, wanted] of [[0o600, 0], [0o640, 0], [0o644, 1]]) {
			fs.chmodSync(file, mode);
			const { code, text } = await runFogd(["-n"], { dir, env: { SESSION_TOKEN_SIGNING_KEY_FILE: file } });
			assert.equal(code, wanted, text);
			if (wanted !== 0)
				assert.match(text, /SESSION_TOKEN_SIGNING_KEY_FILE=.*must not be readable by others/);
			assert.ok(!text.includes(KEY.slice(0, 16)));
		}
	});

	it("-T prints what it understood, and no secret", async () => {
		put(DEFAULT_POLICY);
		const { code, stdout, text } = await runFogd(["-T"], { dir, env: { SESSION_TOKEN_SIGNING_KEY: KEY, SESSION_TOKEN_SIGNING_KEY_PREVIOUS: KEY,
			MAX_CONNECTIONS_PER_SOURCE: "77" } });
		assert.equal(code, 0, text);
		assert.match(stdout, /LISTEN_ADDR=.*127\.0\.0\.1:0/);
		assert.match(stdout, /MAX_CONNECTIONS_PER_SOURCE=.*77/);
		for (const name of ["default", "large", "power-users", "7200"])
			assert.ok(stdout.includes(name), `${name} is missing:\n${stdout}`);
		assert.ok(!text.includes(KEY) && !text.includes(KEY.slice(0, 16)));
	});

	it("-T prints a profile's idle time, and its ring size where it has one", async () => {
		put(policyOf([["plain"], ["more", { more: { idle_timeout_seconds: 900, ring_size: "64Ki" } }]]));
		const { code, stdout, stderr } = await runFogd(["-T"], { dir });
		assert.equal(code, 0, stderr);
		const told = (name) => new RegExp(`profile ${name}: .*`).exec(`${stdout}${stderr}`)[0];
		assert.match(told("plain"), / idle_timeout_seconds 0 /);
		assert.doesNotMatch(told("plain"), /ring_size/);
		assert.match(told("more"), / idle_timeout_seconds 900 .* ring_size 65536 /);
	});

	it("an unknown flag is refused with the usage", async () => {
		const { code, text } = await runFogd(["-X"], { dir });
		assert.ok(code > 0);
		assert.match(text, /usage: /i);
	});
});

describe("start", () => {
	let dir;
	before(() => { dir = makeDir(); });
	after(() => fs.rmSync(dir, { recursive: true, force: true }));

	it("with the port in use: one line that says so, exit status not 0", async () => {
		const taken = net.createServer().listen(0, "127.0.0.1");
		await new Promise((resolve) => taken.once("listening", resolve));
		try {
			const { port } = taken.address();
			const { code, text } = await runFogd(["-d"], { dir, env: { LISTEN_ADDR: `127.0.0.1:${port}` } });
			assert.ok(code > 0, text);
			const told = text.split("\n").filter((line) => line.includes(`127.0.0.1:${port}`) && /in use/i.test(line));
			assert.equal(told.length, 1, text);
		} finally {
			taken.close();
		}
	});

	it("with a bad policy: file and line, and nothing listens", async () => {
		const { policy, line } = change("max_sessions:", "max_session:");
		fs.writeFileSync(path.join(dir, "policy.yaml"), policy);
		const { code, text } = await runFogd(["-d"], { dir });
		assert.ok(code > 0, text);
		assert.match(text, new RegExp(`policy\\.yaml:${line}\\b`));
		assert.doesNotMatch(text, /event=ready/);
	});
});

// By hand: Node 18's recursive readdir takes a socket for a directory.
const filesBelow = (dir) => fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
	const name = path.join(dir, entry.name);
	if (entry.isDirectory())
		return filesBelow(name);
	return entry.isFile() ? [name] : [];
});

suite("running", { env: { SESSION_TOKEN_SIGNING_KEY: KEY, LOG_LEVEL: "debug" } }, ({ fog, test }) => {
	const profiles = async (token = "alice") =>
		(await fog.expect(200, "GET", "/v1/profiles", { token })).profiles.map(({ name }) => name);

	test("start says dev mode", () => {
		assert.match(fog.logs(), /dev/i);
	});

	test("a second fogd in the same RUN_DIR is kept out", async () => {
		const { code, text } = await runFogd(["-d"], { dir: fog.dir });
		assert.ok(code > 0, text);
		assert.ok(text.includes(fog.runDir), text);
		await fog.expect(200, "GET", "/readyz");
	});

	test("SIGHUP: a good policy takes effect, sessions stay", async () => {
		const session = await fog.create();
		fs.writeFileSync(fog.policyFile, policyOf([["default", { ttl: 1200 }], ["extra"]]));
		assert.equal((await fog.reload()).event, "reloaded");
		assert.deepEqual(await profiles(), ["default", "extra"]);
		await fog.expect(422, "POST", "/v1/sessions", { token: fog.user(), body: { profile: "default", ttl_seconds: 1201 } });
		const terminal = await JsonTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
	});

	test("SIGHUP: a bad policy keeps the old one, and says file and line", async () => {
		const { policy, line } = change('"500m"', '"500Q"');
		fs.writeFileSync(fog.policyFile, policy);
		const mark = fog.logMark();
		assert.equal((await fog.reload()).event, "reload_refused");
		assert.match(fog.logLines(mark).join("\n"), new RegExp(`policy\\.yaml:${line}\\b`));
		assert.deepEqual(await profiles(), ["default", "extra"]);
		const made = await fog.create({ profile: "extra" });
		assert.ok(made.id);
		fs.writeFileSync(fog.policyFile, DEFAULT_POLICY);
		assert.equal((await fog.reload()).event, "reloaded");
		assert.deepEqual(await profiles("alice+power-users"), ["default", "large"]);
	});

	test("SIGHUP: a policy that is gone keeps the old one", async () => {
		fs.rmSync(fog.policyFile);
		assert.equal((await fog.reload()).event, "reload_refused");
		assert.deepEqual(await profiles(), ["default"]);
		fs.writeFileSync(fog.policyFile, DEFAULT_POLICY);
		assert.equal((await fog.reload()).event, "reloaded");
	});

	// A record is written under another name first.
	function readIfThere(name) {
		try {
			return fs.readFileSync(name, "latin1");
		} catch (error) {
			assert.equal(error.code, "ENOENT");
			return "";
		}
	}

	test("no token, key, keystroke or output in any log line or audit record, at debug level", async () => {
		const wrongBearer = "wr0ng!bearer~value";
		const typed = "k3ystr0ke";
		const printed = "0utput";
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run(`: ${typed}; printf '%s%s\\n' 0ut put`, new RegExp(`\\b${printed}\r$`, "m"));
		const query = await fog.mint(session);
		await (await JsonTerminal.open(fog, query, { via: "query" })).run("echo $((6*7))", /\b42\r$/m);
		const unused = await fog.mint(session);
		const again = await JsonTerminal.open(fog, query, { via: "query" }).then(() => undefined, (error) => error);
		assert.equal(again?.status, 401);
		await fog.expect(401, "GET", "/v1/sessions", { headers: { Authorization: `Bearer ${wrongBearer}` } });
		await fog.expect(401, "GET", "/v1/sessions", { headers: { Authorization: "Basic c2VjcmV0LWJhc2lj" } });
		await fog.expect(404, "GET", "/nope?token=s3cret-in-query", { headers: { Cookie: "c00kie=1" } });
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
		await fog.waitLog({ event: "session_ended", sid: session.id });

		const written = [["the log", fog.logs()]];
		for (const dir of [fog.stateDir, fog.runDir])
			for (const name of filesBelow(dir))
				written.push([name, readIfThere(name)]);
		const secrets = { KEY, wrongBearer, typed, printed, basic: "c2VjcmV0LWJhc2lj", queryToken: "s3cret-in-query", cookie: "c00kie" };
		for (const { token } of [session.attach, query, unused])
			token.split(".").slice(1).forEach((part, i) => { secrets[`${token.slice(-6)} part ${i + 2}`] = part; });
		for (const [where, text] of written)
			for (const [name, secret] of Object.entries(secrets))
				assert.ok(!text.includes(secret), `${name} is in ${where}`);
		assert.ok(!argumentsOf(fog.pid).includes(KEY), "the key is in an argument list or an environment");
	});
});
