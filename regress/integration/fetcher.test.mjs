// SPDX-License-Identifier: MIT
// The real fetcher under its real filter, asked by regress/fetch_probe.c as authd asks, against a provider that does
// everything wrong (S20): each misdeed with the error that authd is told, in bounded time and memory.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import dgram from "node:dgram";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { after, before, describe, it } from "node:test";
import { build, parseLog } from "../lib/harness.mjs";
import { HostileProvider } from "../lib/hostile-oidc.mjs";
import { isRoot, sleep, until, withDeadline } from "../lib/proc.mjs";
import { TestCa, listen } from "../lib/testca.mjs";

const programsOf = (role) => [path.join(build, "regress/fetch_probe"), path.join(build, "libexec/cloudshell-fog", role)];
const sanitized = process.env.FOG_SANITIZED === "1";
const MAX = 65_536;
const TIMEOUT_MS = 1500;

// A fetcher of its own, for one issuer.
class Fetcher {
	#answers = new Map();
	#asked = 0;
	log = "";

	// resolvConf: a file in place of /etc/resolv.conf, in a mount namespace of its own. role: fetcher or prober.
	constructor({ issuer, caFile, resolvConf, role = "fetcher", fleetCaFile, env = {} }) {
		const command = [...programsOf(role), caFile ?? "-", fleetCaFile ?? "-"];
		const inNamespace = ["unshare", "--mount", "sh", "-euc", 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"', "sh", resolvConf];
		const [file, ...args] = [...resolvConf ? inNamespace : [], ...command];
		this.child = spawn(file, args, {
			env: { PATH: process.env.PATH, USE_STUB_CONNECTOR: "1", ...issuer && { OIDC_ISSUER_URL: issuer, OIDC_CLIENT_ID: "fog" }, ...env },
			stdio: ["pipe", "pipe", "pipe"],
		});
		this.exited = new Promise((resolve) => this.child.once("exit", (code, signal) => resolve(code ?? signal)));
		this.child.stderr.setEncoding("utf8").on("data", (text) => { this.log += text; });
		let partial = "";
		this.child.stdout.setEncoding("utf8").on("data", (text) => {
			const lines = (partial + text).split("\n");
			partial = lines.pop();
			for (const answer of lines.map((line) => JSON.parse(line)))
				if (answer.pid)
					this.pid = answer.pid;
				else
					this.#answers.set(answer.id, answer);
		});
		this.child.stdin.on("error", () => undefined);
	}

	async start() {
		await until("the fetcher runs", () => this.pid ?? (this.child.exitCode !== null && assert.fail(this.log)));
		return this;
	}

	// error, status, bytes, head (a Buffer), took_ms. Waits until the rate bound allows it.
	async get(url, options) {
		return until(`the rate allows ${url}`, async () => {
			const answer = await this.getNow(url, options);
			return answer.error !== "too_many_fetches" && answer;
		}, { timeout: 60_000 });
	}

	// to: of a node: { method, authorization, key, by, body }.
	async getNow(url, { max = MAX, timeout = TIMEOUT_MS, to } = {}) {
		const id = ++this.#asked;
		const began = Date.now();
		const more = to ? ["", to.method ?? "GET", to.authorization ?? "", to.key ?? "", to.by ?? "", to.body ?? ""].join("\t") : "";
		this.child.stdin.write(`${url} ${max} ${timeout}${more}\n`);
		const answer = await until(`an answer about ${url}`, () => this.#answers.get(id), { timeout: timeout + 5000 });
		return { ...answer, head: Buffer.from(answer.head, "hex"), took_ms: Date.now() - began };
	}

	async fails(url, error, options) {
		const answer = await this.get(url, options);
		assert.equal(answer.error, error, url);
		assert.deepEqual([answer.status, answer.bytes, answer.parts], [0, 0, 0], "no part of it was passed on");
		return answer;
	}

	memoryKiB() {
		return Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${this.pid}/status`, "utf8"))[1]);
	}

	async stop() {
		this.child.stdin.end();
		return withDeadline(this.exited, "the fetcher ends with its parent");
	}
}

const servers = [];
async function serve(server) {
	servers.push(server);
	return listen(server, 0, "127.0.0.1");
}

describe("fetcher", () => {
	let hostile, fetcher;
	before(async () => {
		hostile = await HostileProvider.start();
		fetcher = await new Fetcher({ issuer: hostile.issuer("honest"), caFile: hostile.ca.file }).start();
	});
	after(async () => {
		for (const server of servers)
			server.close();
		await fetcher.stop();
		await hostile.stop();
	});

	const documentOf = (name) => `${hostile.issuer(name)}/.well-known/openid-configuration`;

	it("a document comes whole, and the request says no more than it must", async () => {
		const answer = await fetcher.get(`${documentOf("honest")}?s3cr3t`);
		assert.equal(answer.error, "ok");
		assert.equal(answer.status, 200);
		assert.ok(answer.head.toString().startsWith(`{"issuer":"${hostile.issuer("honest")}"`));
		assert.equal(answer.bytes, answer.total);
		assert.deepEqual(Object.keys(hostile.requests.at(-1).headers).sort(), ["accept", "host", "user-agent"]);
		assert.ok(!fetcher.log.includes("s3cr3t"), "the log has the host, not what follows");
		assert.equal(parseLog(fetcher.log.split("\n").find((line) => line.includes("event=fetched"))).host, "127.0.0.1");
	});

	it("a body of many parts comes in order", async () => {
		const port = await serve(https.createServer(hostile.ca.issue(), (request, response) => response.end(Buffer.alloc(1_000_000, "x"))));
		const answer = await fetcher.get(`https://127.0.0.1:${port}/`, { max: 1_048_576 });
		assert.deepEqual([answer.error, answer.bytes, answer.parts], ["ok", 1_000_000, 82]);
	});

	it("an answer of exactly the size that is allowed, and of one byte more", async () => {
		const port = await serve(https.createServer(hostile.ca.issue(), (request, response) => {
			response.writeHead(200, { "Transfer-Encoding": "chunked" }).end(Buffer.alloc(Number(request.url.slice(1)), "x"));
		}));
		assert.equal((await fetcher.get(`https://127.0.0.1:${port}/1000`, { max: 1000 })).bytes, 1000);
		await fetcher.fails(`https://127.0.0.1:${port}/1001`, "answer_too_large", { max: 1000 });
	});

	describe("misdeeds of the provider", () => {
		const OUTCOMES = {
			huge: "answer_too_large", huge_chunked: "answer_too_large", huge_head: "answer_too_large", gzip_bomb: "answer_too_large",
			never: "timeout", slow: "timeout", slow_head: "timeout", cut_short: "answer_not_http",
		};
		for (const [name, error] of Object.entries(OUTCOMES)) {
			it(`${name}: ${error}`, async () => {
				const began = fetcher.memoryKiB();
				const { took_ms: took } = await fetcher.fails(documentOf(`discovery_${name}`), error, { timeout: name === "gzip_bomb" ? 20_000 : TIMEOUT_MS });
				if (error === "timeout")
					assert.ok(took >= TIMEOUT_MS - 50 && took < TIMEOUT_MS + 1000, `${took} ms`);
				if (!sanitized)
					assert.ok(fetcher.memoryKiB() - began < 4096, `grew by ${fetcher.memoryKiB() - began} KiB`);
			});
		}

		for (const [name, error] of Object.entries({ tls_other_name: "certificate_or_tls", tls_expired: "certificate_or_tls",
			tls_other_ca: "certificate_or_tls", tls_none: "certificate_or_tls", tls_silent: "timeout" })) {
			it(`${name}: ${error}`, () => fetcher.fails(documentOf(name), error));
		}

		it("compressed bodies stay as they came: nothing is unpacked", async () => {
			const gzip = await fetcher.get(documentOf("discovery_gzip_bomb"), { max: 1_048_576, timeout: 20_000 });
			assert.equal(gzip.error, "ok");
			assert.deepEqual([...gzip.head.subarray(0, 2)], [0x1f, 0x8b]);
			const brotli = await fetcher.get(documentOf("discovery_brotli_bomb"), { timeout: 20_000 });
			assert.equal(brotli.error, "ok");
			assert.ok(brotli.bytes < 50_000, `${brotli.bytes} bytes`);
		});

		it("a redirect is an answer with its status, wherever it leads", async () => {
			for (const [name, status] of Object.entries({ http: 302, loopback: 302, file: 302, same_host: 307, forever: 308 })) {
				const mark = hostile.requests.length;
				const answer = await fetcher.get(documentOf(`discovery_redirect_${name}`));
				assert.deepEqual([answer.error, answer.status], ["ok", status], name);
				assert.equal(hostile.requests.length, mark + 1, "one request");
			}
			assert.deepEqual(hostile.trapped, []);
		});

		it("every status is passed on for authd to judge", async () => {
			for (const status of [204, 206, 401, 404, 500])
				assert.equal((await fetcher.get(documentOf(`discovery_status_${status}`))).status, status);
		});

		it("no TLS below 1.2, and no more headers than a hundred", async () => {
			const old = await serve(https.createServer({ ...hostile.ca.issue(), minVersion: "TLSv1", maxVersion: "TLSv1.1",
				ciphers: "DEFAULT@SECLEVEL=0" }, (request, response) => response.end("x")));
			await fetcher.fails(`https://127.0.0.1:${old}/`, "certificate_or_tls");
			const many = await serve(https.createServer(hostile.ca.issue(), (request, response) =>
				response.writeHead(200, Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, "1"]))).end("x")));
			await fetcher.fails(`https://127.0.0.1:${many}/`, "answer_too_large");
		});

		it("what is no HTTP/1.1: said so", async () => {
			const answers = ["hello\r\n\r\n", "HTTP/1.1 two hundred\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"];
			const port = await serve(tls.createServer(hostile.ca.issue(), (socket) => {
				socket.on("error", () => undefined).once("data", (text) => socket.end(answers[Number(/\d/.exec(text)[0])]));
			}));
			for (const i of answers.keys())
				await fetcher.fails(`https://127.0.0.1:${port}/${i}`, "answer_not_http");
		});
	});

	it("only the issuer's own host may be private: no other name or address of this machine is connected to", async () => {
		const trap = (host) => `https://${host}:${hostile.trapPort}/keys`;
		for (const host of ["127.0.0.2", "localhost", "[::1]", "[::ffff:127.0.0.2]", "0.0.0.0", "[::]", "10.0.0.1", "192.168.1.1",
			"169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.64.0.1", "[64:ff9b::7f00:2]", "[2002:7f00:2::1]", "255.255.255.255"])
			await fetcher.fails(trap(host), "address_not_allowed");
		for (const url of [trap("2130706434"), trap("127.2"), trap("0x7f.0.0.2"), trap("user@127.0.0.1"), "http://127.0.0.1/", "file:///etc/passwd",
			"gopher://127.0.0.1/", "https://", "HTTPS://127.0.0.1/", "dict://127.0.0.1:11211/"])
			await fetcher.fails(url, "url_not_https");
		assert.deepEqual(hostile.trapped, []);
	});

	it("a closed port and a name that nobody has", async () => {
		const gone = https.createServer(hostile.ca.issue());
		const port = await listen(gone, 0, "127.0.0.1");
		await new Promise((resolve) => gone.close(resolve));
		await fetcher.fails(`https://127.0.0.1:${port}/`, "connection_failed");
		const { error } = await fetcher.get("https://nobody.invalid/");
		assert.match(error, /^(name_not_resolved|timeout)$/); // the latter where name servers do not answer
	});

	it("four at once, and the others are told so at once", async () => {
		await sleep(2500); // the rate bound, which is another
		const all = await Promise.all(Array.from({ length: 6 }, () => fetcher.getNow(documentOf("discovery_never"))));
		const busy = all.filter(({ error }) => error === "too_many_fetches");
		assert.equal(all.filter(({ error }) => error === "timeout").length, 4);
		assert.equal(busy.length, 2);
		assert.ok(busy.every(({ took_ms: took }) => took < 500));
		assert.equal((await fetcher.get(documentOf("honest"))).error, "ok", "and then goes on");
	});

	it("no descriptor and no connection is left of all that", { skip: isRoot ? false : "needs root" }, async () => {
		await until("they are closed", () => {
			const names = fs.readdirSync(`/proc/${fetcher.pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${fetcher.pid}/fd/${fd}`));
			return names.filter((name) => name.startsWith("socket:")).length <= 8;
		});
	});

	it("the whole of it was done without leaving the filter, and it ends with its parent", async () => {
		const other = await new Fetcher({ issuer: hostile.issuer("honest"), caFile: hostile.ca.file }).start();
		other.getNow(documentOf("discovery_never")).catch(() => undefined); // nobody will answer
		assert.equal(await other.stop(), 0, other.log);
		assert.equal(fetcher.child.exitCode, null, fetcher.log);
	});

	it("more requests than authd ever makes: refused as busy", async () => {
		const other = await new Fetcher({ issuer: hostile.issuer("honest"), caFile: hostile.ca.file }).start();
		const errors = (await Promise.all(Array.from({ length: 60 }, () => other.getNow("file:///x")))).map(({ error }) => error);
		const done = errors.filter((error) => error === "url_not_https").length;
		assert.ok(done >= 20 && done <= 30, `${done} of 60`);
		assert.equal(errors.filter((error) => error === "too_many_fetches").length, 60 - done);
		await other.stop();
	});

	it("link-local is refused though the operator names it, and without an issuer everything is", async () => {
		const local = await new Fetcher({ issuer: "https://169.254.169.254/", caFile: hostile.ca.file }).start();
		await local.fails("https://169.254.169.254/latest/meta-data/", "address_not_allowed");
		await local.stop();
		const none = await new Fetcher({}).start();
		await none.fails(documentOf("honest"), "url_not_https");
		await none.stop();
	});

	it("without OIDC_CA_FILE the system's authorities decide; a file without certificates does not start", async () => {
		if (fs.existsSync("/etc/ssl/certs/ca-certificates.crt")) {
			const system = await new Fetcher({ issuer: hostile.issuer("honest") }).start();
			await system.fails(documentOf("honest"), "certificate_or_tls");
			await system.stop();
		}
		const empty = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "fog-ca-")), "empty.pem");
		fs.writeFileSync(empty, "no certificate\n");
		const refused = new Fetcher({ issuer: hostile.issuer("honest"), caFile: empty });
		assert.equal(await refused.exited, 1);
		assert.match(refused.log, /event=start_failed .*OIDC_CA_FILE.*no certificate in PEM/);
		fs.rmSync(path.dirname(empty), { recursive: true });
	});

	it("a name from /etc/hosts: the issuer's may be private, and its certificate must be its own", async () => {
		const port = await serve(https.createServer(hostile.ca.issue({ names: ["localhost"] }), (request, response) => response.end("here")));
		const local = await new Fetcher({ issuer: `https://localhost:${port}/x`, caFile: hostile.ca.file }).start();
		assert.equal((await local.get(`https://localhost:${port}/x`)).head.toString(), "here");
		await local.fails(`https://127.0.0.1:${port}/x`, "address_not_allowed");
		await local.stop();
	});
});

// --- nodes ---

// A node: every request that came, with its connection, and whether that resumed a TLS session.
function startNode(ca, { answer = (request, response) => response.end('{"ok":1}'), ...options } = {}) {
	const node = { requests: [], connections: 0, resumed: 0 };
	node.server = https.createServer({ ...ca.issue(options), keepAliveTimeout: options.keepAlive ?? 60_000 }, (request, response) => {
		const chunks = [];
		request.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
			node.requests.push({ method: request.method, url: request.url, headers: request.headers, port: request.socket.remotePort,
				body: Buffer.concat(chunks).toString() });
			answer(request, response, node);
		});
	});
	node.server.on("secureConnection", (socket) => {
		node.connections++;
		node.resumed += socket.isSessionReused();
	});
	return node;
}

describe("fetcher: nodes of the fleet", () => {
	let hostile, other, node, fetcher, prober, url, options;
	before(async () => {
		hostile = await HostileProvider.start();
		other = new TestCa();
		node = startNode(other);
		url = `https://127.0.0.1:${await serve(node.server)}`;
		options = { fleetCaFile: other.file, env: { FLEET_ORIGINS: `https://*.fog.test:8443 ${url} https://localhost:${new URL(url).port}`, LOG_LEVEL: "debug" } };
		fetcher = await new Fetcher({ ...options, issuer: hostile.issuer("honest"), caFile: hostile.ca.file }).start();
		prober = await new Fetcher({ ...options, role: "prober", env: { ...options.env, NODES_CONFIG: "/etc/cloudshell-fog/nodes.yaml" } }).start();
	});
	after(async () => {
		await fetcher.stop();
		await prober.stop();
		for (const server of servers) {
			server.close();
			server.closeAllConnections?.();
		}
		await hostile.stop();
	});

	it("method, token, keys and body reach the node as they were given, and nothing else does", async () => {
		const token = `Bearer ${"t0ken.".repeat(1300)}`;
		const answer = await fetcher.get(`${url}/v1/sessions?q=s3cr3t`, { to: { method: "POST", authorization: token, key: "idem-1", by: "fog-1", body: '{"profile":"default"}' } });
		assert.deepEqual([answer.error, answer.status, answer.head.toString()], ["ok", 200, '{"ok":1}']);
		const { method, url: target, headers, body } = node.requests.at(-1);
		assert.deepEqual([method, target, body], ["POST", "/v1/sessions?q=s3cr3t", '{"profile":"default"}']);
		assert.deepEqual({ ...headers, host: "" }, { host: "", accept: "*/*", "user-agent": "cloudshell-fog", authorization: token,
			"idempotency-key": "idem-1", "fog-forwarded-by": "fog-1", "content-type": "application/json", "content-length": "21" });
		for (const [sent, wanted] of [["DELETE", {}], ["PATCH", { body: "{}" }], ["POST", {}], ["GET", {}]]) {
			await fetcher.get(`${url}/x`, { to: { method: sent, ...wanted } });
			const last = node.requests.at(-1);
			assert.deepEqual([last.method, last.body, last.headers["content-type"]], [sent, wanted.body ?? "", wanted.body && "application/json"]);
		}
		assert.doesNotMatch(fetcher.log, /t0ken|s3cr3t|idem-1/);
		assert.match(fetcher.log, /debug event=fetched host=127\.0\.0\.1 status=200/, "what went well is for developers");
	});

	it("probes keep their connection; what changes something has one of its own, and is sent once", async () => {
		const before = node.connections;
		for (let i = 0; i < 20; i++)
			assert.equal((await prober.get(`${url}/v1/node/status`, { to: { authorization: `Bearer ask${i}` }, timeout: 1500 })).error, "ok");
		assert.equal(node.connections, before + 1);
		assert.equal(node.requests.at(-1).headers.authorization, "Bearer ask19");
		for (let i = 0; i < 3; i++)
			await prober.get(`${url}/v1/sessions`, { to: { method: "POST", body: "{}" } });
		assert.equal(node.connections, before + 4);
		assert.ok(node.resumed >= 3, `${node.resumed} TLS sessions were resumed`);

		const cut = startNode(other, { answer: (request, response, self) => (self.requests.length > 1 ? request.socket.destroy() : response.end("x")) });
		const cutUrl = `https://127.0.0.1:${await serve(cut.server)}`;
		const cutter = await new Fetcher({ ...options, env: { FLEET_ORIGINS: cutUrl } }).start();
		assert.equal((await cutter.get(`${cutUrl}/`, { to: {} })).error, "ok");
		assert.notEqual((await cutter.get(`${cutUrl}/`, { to: { method: "POST", body: "{}" } })).error, "ok");
		assert.equal(cut.requests.length, 2, "a lost answer is no reason to ask again");
		await cutter.stop();
	});

	it("a kept connection that the node has closed: the next GET has a new one", async () => {
		const short = startNode(other, { keepAlive: 100 });
		const shortUrl = `https://127.0.0.1:${await serve(short.server)}`;
		const one = await new Fetcher({ ...options, env: { FLEET_ORIGINS: shortUrl } }).start();
		for (let i = 0; i < 2; i++) {
			assert.equal((await one.get(`${shortUrl}/`, { to: {} })).error, "ok");
			await sleep(1300);
		}
		assert.equal(short.connections, 2);
		await one.stop();
	});

	it("the connections to all nodes of a fleet are kept, not those to the last few", async () => {
		const key = other.issue();
		const wideServers = Array.from({ length: 42 }, () => https.createServer({ ...key, keepAliveTimeout: 60_000 }, (request, response) => response.end("x")));
		const ports = await Promise.all(wideServers.map(serve));
		const open = async () => (await Promise.all(wideServers.map((server) => new Promise((resolve) => server.getConnections((error, count) => resolve(count))))))
			.reduce((a, b) => a + b);
		const wide = await new Fetcher({ ...options, env: { FLEET_ORIGINS: ports.map((port) => `https://127.0.0.1:${port}`).join(" ") } }).start();
		for (const port of ports)
			assert.equal((await wide.get(`https://127.0.0.1:${port}/`, { to: {} })).error, "ok");
		await sleep(500);
		assert.equal(await open(), ports.length);
		for (const port of ports)
			assert.equal((await wide.get(`https://127.0.0.1:${port}/`, { to: {} })).error, "ok");
		assert.equal(await open(), ports.length, "and used again");
		await wide.stop();
	});

	it("only what FLEET_ORIGINS covers is connected to, private or not; link-local never", async () => {
		const trap = (host) => `https://${host}:${hostile.trapPort}/v1/sessions`;
		for (const target of [trap("127.0.0.1"), trap("localhost"), trap("fog.test"), "https://a.fog.test/", url.replace("https", "http"),
			url.replace("127.0.0.1", "127.1"), url.replace("127.0.0.1", "2130706433"), url.replace("//", "//user@"),
			`https://evil.test\\@127.0.0.1:${new URL(url).port}/`])
			await fetcher.fails(target, "url_not_https", { to: { method: "POST", authorization: "Bearer x", body: "{}" } });
		const local = await new Fetcher({ ...options, env: { FLEET_ORIGINS: "https://169.254.169.254 https://[fe80::1]" } }).start();
		for (const host of ["169.254.169.254", "[fe80::1]"])
			await local.fails(`https://${host}/latest`, "address_not_allowed", { to: {} });
		await local.stop();
		assert.deepEqual(hostile.trapped, []);
	});

	it("the provider's authorities are not the nodes', nor the other way round; a redirect is an answer", async () => {
		const foreign = startNode(hostile.ca);
		const foreignUrl = `https://127.0.0.1:${await serve(foreign.server)}`;
		const one = await new Fetcher({ ...options, issuer: hostile.issuer("honest"), caFile: hostile.ca.file, env: { FLEET_ORIGINS: `${foreignUrl} ${url}` } }).start();
		await one.fails(`${foreignUrl}/`, "certificate_or_tls", { to: { authorization: "Bearer x" } });
		assert.equal(foreign.requests.length, 0);
		assert.equal((await one.get(`${url}/`, { to: {} })).error, "ok");
		// The same server as the provider's: the connection that is there serves nodes alone.
		await one.fails(`${url}/`, "certificate_or_tls");
		await one.stop();
		const moved = startNode(other, { answer: (request, response) => response.writeHead(307, { Location: `${url}/elsewhere`, "Set-Cookie": "a=b" }).end() });
		const movedUrl = `https://127.0.0.1:${await serve(moved.server)}`;
		const two = await new Fetcher({ ...options, env: { FLEET_ORIGINS: `${movedUrl} ${url}` } }).start();
		for (let i = 0; i < 2; i++)
			assert.equal((await two.get(`${movedUrl}/`, { to: { authorization: "Bearer x" } })).status, 307);
		assert.ok(!node.requests.some((request) => request.url === "/elsewhere"));
		assert.equal(moved.requests[1].headers.cookie, undefined);
		await two.stop();
	});

	it("a node that says nothing costs 50 ms when that is what was allowed, and one that says too much its size", async () => {
		const mute = startNode(other, { answer: (request, response) => (request.url === "/huge" ? response.end(Buffer.alloc(1_000_000)) : undefined) });
		const muteUrl = `https://127.0.0.1:${await serve(mute.server)}`;
		const one = await new Fetcher({ ...options, env: { FLEET_ORIGINS: muteUrl } }).start();
		const { took_ms: took } = await one.fails(`${muteUrl}/`, "timeout", { to: {}, timeout: 50 });
		assert.ok(took < 600, `${took} ms`);
		await one.fails(`${muteUrl}/huge`, "answer_too_large", { to: {}, max: 8192 });
		const all = await Promise.all(Array.from({ length: 124 }, () => one.getNow(`${muteUrl}/`, { to: {}, timeout: 800 })));
		assert.deepEqual(["timeout", "too_many_fetches"].map((error) => all.filter((answer) => answer.error === error).length), [120, 4]);
		await one.stop();
	});

	it("a fleet that hangs keeps no key of the provider out", async () => {
		const mute = startNode(other, { answer: () => undefined });
		const muteUrl = `https://127.0.0.1:${await serve(mute.server)}`;
		const one = await new Fetcher({ ...options, issuer: hostile.issuer("honest"), caFile: hostile.ca.file, env: { FLEET_ORIGINS: muteUrl } }).start();
		const stuck = Promise.all(Array.from({ length: 120 }, () => one.getNow(`${muteUrl}/`, { to: {}, timeout: 2000 })));
		assert.equal((await one.getNow(`${hostile.issuer("honest")}/.well-known/openid-configuration`)).error, "ok");
		assert.ok((await stuck).every(({ error }) => error === "timeout"));
		await one.stop();
	});

	it("the prober fetches nothing without NODES_CONFIG, and nothing from a provider", async () => {
		const idle = await new Fetcher({ ...options, role: "prober" }).start();
		await idle.fails(`${url}/`, "url_not_https", { to: {} });
		await idle.stop();
		await prober.fails(`${hostile.issuer("honest")}/`, "url_not_https");
		assert.match(prober.log, /debug event=fetch_failed/, "a dead node fills no log");
		assert.doesNotMatch(prober.log, /ask19/);
	});

	it("a list of origins that is none does not start", async () => {
		const refused = new Fetcher({ env: { FLEET_ORIGINS: "https://*.org" } });
		assert.notEqual(await refused.exited, 0);
		assert.match(refused.log, /FLEET_ORIGINS: behind \*\. there must be a name with a dot/);
	});
});

// --- names ---

// A name server on loopback: zone[name] = { A: [], AAAA: [] }; what it does not know does not exist.
function nameServer(zone) {
	const bytesOf = { 1: (text) => text.split("."), 28: (text) => execFileSync("python3", ["-c",
		"import ipaddress, sys; print(*ipaddress.IPv6Address(sys.argv[1]).packed)", text], { encoding: "utf8" }).trim().split(" ") };
	const server = dgram.createSocket("udp4");
	server.asked = [];
	server.on("message", (query, { port, address }) => {
		const labels = [];
		let at = 12;
		for (; query[at] !== 0; at += query[at] + 1)
			labels.push(query.toString("latin1", at + 1, at + 1 + query[at]));
		const name = labels.join(".").toLowerCase();
		const type = query.readUInt16BE(at + 1);
		server.asked.push(name);
		const found = zone[name]?.[{ 1: "A", 28: "AAAA" }[type]] ?? [];
		const head = Buffer.from(query.subarray(0, 12));
		head.writeUInt16BE(zone[name] ? 0x8180 : 0x8183, 2);
		head.writeUInt16BE(found.length, 6);
		head.fill(0, 8);
		const rows = found.map((text) => {
			const data = Buffer.from(bytesOf[type](text).map(Number));
			const row = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]);
			return Buffer.concat([row, data]);
		});
		server.send(Buffer.concat([head, query.subarray(12, at + 5), ...rows]), port, address);
	});
	return new Promise((resolve) => server.bind(0, "127.0.0.1", () => resolve(server)));
}

const canMount = isRoot && spawnSync("unshare", ["--mount", "mount", "--bind", "/etc/hosts", "/etc/resolv.conf"]).status === 0;

describe("fetcher: names", { skip: canMount ? false : "needs root and mount namespaces" }, () => {
	let hostile, server, fetcher, port, dir;
	before(async () => {
		hostile = await HostileProvider.start();
		server = await nameServer({
			"id.fog.test": { A: ["127.0.0.1"] },
			"private.fog.test": { A: ["127.0.0.1"] },
			"mixed.fog.test": { A: ["198.41.0.4", "127.0.0.1"] },
			"six.fog.test": { AAAA: ["::1"] },
			"mapped.fog.test": { AAAA: ["::ffff:127.0.0.1"] },
			"metadata.fog.test": { A: ["169.254.169.254"] },
			"empty.fog.test": {},
		});
		dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-dns-"));
		fs.chmodSync(dir, 0o755);
		fs.writeFileSync(path.join(dir, "resolv.conf"), `nameserver 127.0.0.1:${server.address().port}\n`);
		port = await serve(https.createServer(hostile.ca.issue({ names: ["id.fog.test"] }), (request, response) => response.end("here")));
		fetcher = await new Fetcher({ issuer: `https://id.fog.test:${port}`, caFile: hostile.ca.file, resolvConf: path.join(dir, "resolv.conf") }).start();
	});
	after(async () => {
		await fetcher.stop();
		server.close();
		for (const each of servers)
			each.close();
		await hostile.stop();
		fs.rmSync(dir, { recursive: true });
	});

	it("the issuer's host is asked for, and reached though it is private", async () => {
		assert.equal((await fetcher.get(`https://id.fog.test:${port}/`)).head.toString(), "here");
		assert.ok(server.asked.includes("id.fog.test"));
	});

	it("other names are judged by what they resolve to: one bad address is enough", async () => {
		for (const name of ["private", "mixed", "six", "mapped", "metadata"])
			await fetcher.fails(`https://${name}.fog.test:${port}/`, "address_not_allowed");
		for (const name of ["empty", "unknown"])
			await fetcher.fails(`https://${name}.fog.test:${port}/`, "name_not_resolved");
	});

	it("each fetch asks anew: an answer of before is no leave to connect", async () => {
		const mark = server.asked.length;
		assert.equal((await fetcher.get(`https://id.fog.test:${port}/`)).error, "ok");
		assert.ok(server.asked.length > mark);
	});
});
