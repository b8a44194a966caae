// SPDX-License-Identifier: MIT
// HTTP framing on raw sockets (S11, S12): a malformed or oversize request gets one answer and the connection ends. And
// static files: content hashes, caching, the page's policy (S35).
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import { exchange, suite } from "../lib/harness.mjs";
import { checkProblem } from "../lib/openapi.mjs";
import { sleep, until, withDeadline } from "../lib/proc.mjs";

// A raw connection that keeps all it receives.
class Connection {
	text = "";
	ended = false;
	error = undefined;

	constructor(fog) {
		this.socket = net.connect(fog.port, "127.0.0.1");
		this.socket.setEncoding("latin1").on("data", (chunk) => { this.text += chunk; });
		this.socket.on("error", (error) => { this.error = error; });
		this.whenEnded = new Promise((resolve) => this.socket.once("close", () => {
			this.ended = true;
			resolve();
		}));
		fog.track(this);
	}

	write(bytes) {
		this.socket.write(bytes, "latin1");
	}

	// The answers once the server has closed.
	async answers(timeout = 10_000) {
		await withDeadline(this.whenEnded, "the server closes the connection", timeout);
		return parseAnswers(this.text);
	}

	// n answers on a connection that stays open.
	waitAnswers(n, timeout = 10_000) {
		return until(`${n} answers`, () => {
			const found = parseAnswers(this.text);
			return found.length >= n && found;
		}, { timeout });
	}

	destroy() {
		this.socket.destroy();
	}
}

// Splits a byte stream into complete answers; anything left over that is no part of an answer is an error.
function parseAnswers(text) {
	const answers = [];
	while (text.length > 0) {
		const end = text.indexOf("\r\n\r\n");
		if (end < 0)
			break;
		const [statusLine, ...lines] = text.slice(0, end).split("\r\n");
		assert.match(statusLine, /^HTTP\/1\.1 [1-5][0-9]{2} /);
		const headers = {};
		for (const line of lines) {
			const [, name, value] = /^([A-Za-z0-9-]+): (.*)$/.exec(line) ?? assert.fail(`malformed header line ${JSON.stringify(line)}`);
			assert.ok(!(name.toLowerCase() in headers), `header ${name} twice`);
			headers[name.toLowerCase()] = value;
		}
		const length = Number(headers["content-length"] ?? 0);
		const body = text.slice(end + 4, end + 4 + length);
		if (body.length < length)
			break;
		answers.push({ status: Number(statusLine.slice(9, 12)), headers, body });
		text = text.slice(end + 4 + length);
	}
	return answers;
}

const HEADER_TIMEOUT_MS = 500;
const BODY_TIMEOUT_MS = 600;
const MAX_CONNECTIONS = 8;
const HTTP_MAX_REQUESTS = 5;

suite("HTTP framing", {}, ({ fog, test }) => {
	const host = () => `Host: 127.0.0.1:${fog.port}`;
	const get = (target = "/healthz") => `GET ${target} HTTP/1.1\r\n${host()}\r\n\r\n`;
	const post = (lines, body = "") =>
		[`POST /v1/sessions HTTP/1.1`, host(), "Authorization: Bearer raw", "Content-Type: application/json", ...lines, "", body].join("\r\n");
	const create = '{"profile":"default","ttl_seconds":60}';

	// Each is sent with a good request behind it: a server that reads on would answer twice.
	const malformed = [
		["bare LF", 400, () => `GET /healthz HTTP/1.1\n${host()}\n\n`],
		["bare LF in a header line", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\nX: y\r\n\r\n`],
		["bare CR in a header value", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX: a\rb\r\n\r\n`],
		["NUL in a header value", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX: a\0b\r\n\r\n`],
		["NUL in the target", 400, () => `GET /health\0z HTTP/1.1\r\n${host()}\r\n\r\n`],
		["control character in a header value", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX: a\x01b\r\n\r\n`],
		["no Host", 400, () => "GET /healthz HTTP/1.1\r\n\r\n"],
		["two Hosts", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\n${host()}\r\n\r\n`],
		["malformed Host", 400, () => "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n"],
		["folded header", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX: a\r\n b\r\n\r\n`],
		["space before the colon", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX : a\r\n\r\n`],
		["space before the first header", 400, () => `GET /healthz HTTP/1.1\r\n X: a\r\n${host()}\r\n\r\n`],
		["header without a name", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\n: a\r\n\r\n`],
		["header without a colon", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nnonsense\r\n\r\n`],
		["header name not a token", 400, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX(y): a\r\n\r\n`],
		["method not a token", 400, () => `G@T /healthz HTTP/1.1\r\n${host()}\r\n\r\n`],
		["two spaces in the request line", 400, () => `GET  /healthz HTTP/1.1\r\n${host()}\r\n\r\n`],
		["space in the target", 400, () => `GET /health z HTTP/1.1\r\n${host()}\r\n\r\n`],
		["target without a slash", 400, () => `GET healthz HTTP/1.1\r\n${host()}\r\n\r\n`],
		["protocol in lower case", 400, () => `GET /healthz http/1.1\r\n${host()}\r\n\r\n`],
		["HTTP/0.9", 400, () => "GET /healthz\r\n\r\n"],
		["HTTP/1.0", 505, () => `GET /healthz HTTP/1.0\r\n${host()}\r\n\r\n`],
		["HTTP/2.0", 505, () => `GET /healthz HTTP/2.0\r\n${host()}\r\n\r\n`],
		["two different Content-Lengths", 400, () => post(["Content-Length: 3", "Content-Length: 4"], "abcd")],
		["the same Content-Length twice", 400, () => post([`Content-Length: ${create.length}`, `Content-Length: ${create.length}`], create)],
		["a list in Content-Length", 400, () => post([`Content-Length: ${create.length}, ${create.length}`], create)],
		["signed Content-Length", 400, () => post([`Content-Length: +${create.length}`], create)],
		["negative Content-Length", 400, () => post(["Content-Length: -1"])],
		["hexadecimal Content-Length", 400, () => post(["Content-Length: 0x26"], create)],
		["empty Content-Length", 400, () => post(["Content-Length: "])],
		["Content-Length and Transfer-Encoding", 400, () => post(["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n")],
		["Transfer-Encoding: chunked twice", 400, () => post(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n")],
		["Transfer-Encoding: chunked, chunked", 501, () => post(["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n")],
		["Transfer-Encoding: gzip", 501, () => post(["Transfer-Encoding: gzip"], "0\r\n\r\n")],
		["Transfer-Encoding: gzip, chunked", 501, () => post(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n")],
		["chunk size not hexadecimal", 400, () => post(["Transfer-Encoding: chunked"], "g\r\nabc\r\n0\r\n\r\n")],
		["chunk size with a sign", 400, () => post(["Transfer-Encoding: chunked"], "+1\r\na\r\n0\r\n\r\n")],
		["chunk without its CRLF", 400, () => post(["Transfer-Encoding: chunked"], "1\r\naX\r\n0\r\n\r\n")],
		["chunk line ended by LF", 400, () => post(["Transfer-Encoding: chunked"], "1\na\n0\n\n")],
		["chunk extension", 400, () => post(["Transfer-Encoding: chunked"], "1;a=b\r\n{\r\n0\r\n\r\n")],
		["trailer field", 400, () => post(["Transfer-Encoding: chunked"], "1\r\n{\r\n0\r\nX: y\r\n\r\n")],
		["unknown method", 501, () => `BREW /healthz HTTP/1.1\r\n${host()}\r\n\r\n`],
		["CONNECT", 501, () => `CONNECT evil.example:443 HTTP/1.1\r\n${host()}\r\n\r\n`],
		["asterisk-form", 400, () => `OPTIONS * HTTP/1.1\r\n${host()}\r\n\r\n`],
		["absolute-form", 400, () => `GET http://evil.example/healthz HTTP/1.1\r\n${host()}\r\n\r\n`],
		["empty line in front", 400, () => `\r\n${get()}`],
		["cut percent-encoding", 400, () => `GET /health%z HTTP/1.1\r\n${host()}\r\n\r\n`],
		["unknown expectation", 417, () => post(["Expect: tea", `Content-Length: ${create.length}`], create)],
		["target too long", 414, () => `GET /${"a".repeat(70_000)} HTTP/1.1\r\n${host()}\r\n\r\n`],
		["header too long", 431, () => `GET /healthz HTTP/1.1\r\n${host()}\r\nX: ${"a".repeat(70_000)}\r\n\r\n`],
		["too many headers", 431, () => `GET /healthz HTTP/1.1\r\n${host()}\r\n${"X: a\r\n".repeat(500)}\r\n`],
		["body too large", 413, () => post(["Content-Length: 100000000"])],
		["chunk too large", 413, () => post(["Transfer-Encoding: chunked"], "5f5e100\r\n")],
	];
	for (const [name, status, bytes] of malformed) {
		test(`${name}: ${status}, one answer, closed`, async () => {
			const connection = new Connection(fog);
			connection.write(bytes() + get());
			const answers = await connection.answers();
			assert.equal(answers.length, 1, `${answers.length} answers: ${connection.text.slice(0, 400)} ${connection.error ?? ""}`);
			assert.equal(answers[0].status, status, answers[0].body);
			assert.match(answers[0].headers.connection ?? "", /^close$/i);
			checkProblem(answers[0], name);
		});
	}

	test("no malformed request made a session", async () => {
		assert.deepEqual(await fog.expect(200, "GET", "/v1/sessions", { token: "raw" }), { sessions: [] });
	});

	test("a request may arrive byte by byte", async () => {
		const connection = new Connection(fog);
		connection.socket.setNoDelay(true);
		for (const byte of get()) {
			connection.write(byte);
			await new Promise(setImmediate);
		}
		assert.equal((await connection.waitAnswers(1))[0].status, 200);
		connection.destroy();
	});

	test("pipelined requests are answered in order", async () => {
		const connection = new Connection(fog);
		connection.write(get("/healthz") + get("/nope") + get("/v1/config") + get("/v1/sessions") + get("/readyz"));
		const answers = await connection.waitAnswers(5);
		assert.deepEqual(answers.map(({ status }) => status), [200, 404, 200, 401, 200]);
		assert.deepEqual(JSON.parse(answers[2].body), { sign_in: "dev", token: "dev" });
		assert.equal(JSON.parse(answers[4].body).status, "ready");
		connection.destroy();
	});

	test("a slow answer in a pipeline is not overtaken", async () => {
		const connection = new Connection(fog);
		connection.write(post([`Content-Length: ${create.length}`], create) + get());
		const answers = await connection.waitAnswers(2);
		assert.deepEqual(answers.map(({ status }) => status), [201, 200]);
		connection.destroy();
	});

	test("a chunked body is taken", async () => {
		const connection = new Connection(fog);
		const half = create.slice(0, 10);
		const rest = create.slice(10);
		connection.write(post(["Transfer-Encoding: chunked"],
			`A\r\n${half}\r\n0${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`) + get());
		assert.deepEqual((await connection.waitAnswers(2)).map(({ status }) => status), [201, 200]);
		connection.destroy();
	});

	test("Expect: 100-continue is answered before the body is sent", async () => {
		const connection = new Connection(fog);
		connection.write(post(["Expect: 100-continue", `Content-Length: ${create.length}`]));
		await until("100 Continue", () => connection.text.startsWith("HTTP/1.1 100 "));
		connection.write(create);
		assert.deepEqual((await connection.waitAnswers(2)).map(({ status }) => status), [100, 201]);
		connection.destroy();
	});

	test("Connection: close is honoured", async () => {
		const connection = new Connection(fog);
		connection.write(`GET /healthz HTTP/1.1\r\n${host()}\r\nConnection: close\r\n\r\n${get()}`);
		assert.deepEqual((await connection.answers()).map(({ status }) => status), [200]);
	});

	test("an answer to HEAD has no body, also when it is an error", async () => {
		const other = "Host: evil.example";
		for (const [request, status] of [
			[`HEAD /nope HTTP/1.1\r\n${host()}\r\n\r\n`, 404],
			[`HEAD /v1/sessions/0/attach HTTP/1.1\r\n${host()}\r\n\r\n`, 405],
			[`HEAD / HTTP/1.1\r\n${other}\r\nConnection: close\r\n\r\n`, 421],
			[`HEAD / HTTP/1.1\r\n${host()}\r\nX : folded\r\n\r\n`, 400],
		]) {
			const connection = new Connection(fog);
			connection.socket.end(request);
			await connection.answers().catch(() => undefined);
			assert.match(connection.text, new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\n\r\n$`), connection.text);
			assert.doesNotMatch(connection.text, /\{/);
		}
	});

	test("a client that half-closes still gets its answer", async () => {
		const connection = new Connection(fog);
		connection.socket.end(get("/readyz"));
		assert.deepEqual((await connection.answers()).map(({ status }) => status), [200]);
	});

	test("a Host that is not ours: 421, and ours by each of its names: 200", async () => {
		const port = fog.port;
		for (const name of ["evil.example", `evil.example:${port}`, "127.0.0.1:1", `127.0.0.1.evil.example:${port}`]) {
			const answer = await exchange(fog.url, "GET", "/healthz", { headers: { Host: name } });
			assert.equal(answer.status, 421, name);
			checkProblem(answer, name);
		}
		for (const name of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, `LOCALHOST:${port}`])
			assert.equal((await exchange(fog.url, "GET", "/healthz", { headers: { Host: name } })).status, 200, name);
	});
});

suite("HTTP limits", {
	env: {
		HTTP_HEADER_TIMEOUT_MS: String(HEADER_TIMEOUT_MS),
		HTTP_BODY_TIMEOUT_MS: String(BODY_TIMEOUT_MS),
		MAX_CONNECTIONS_PER_SOURCE: String(MAX_CONNECTIONS),
		HTTP_MAX_REQUESTS: String(HTTP_MAX_REQUESTS),
	},
}, ({ fog, test }) => {
	const head = () => `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${fog.port}\r\n`;

	// Sends prefix, then one byte every 50 ms: a deadline that each byte pushed back would never end this.
	async function trickle(prefix, deadline_ms) {
		const connection = new Connection(fog);
		const start = performance.now();
		connection.write(prefix);
		while (!connection.ended && performance.now() - start < deadline_ms + 5000) {
			await sleep(50);
			if (!connection.ended)
				connection.socket.write("a");
		}
		const took = performance.now() - start;
		assert.ok(connection.ended, `still open after ${Math.round(took)} ms`);
		assert.ok(took >= deadline_ms * 0.8 && took <= deadline_ms + 2500, `closed after ${Math.round(took)} ms`);
		const statuses = parseAnswers(connection.text).map(({ status }) => status);
		assert.ok(statuses.length === 0 || (statuses.length === 1 && statuses[0] === 408), `answers ${statuses}`);
	}

	test("headers have an absolute deadline", () => trickle(`${head()}X: `, HEADER_TIMEOUT_MS));

	test("a body has an absolute deadline", () => trickle([
		"POST /v1/sessions HTTP/1.1", `Host: 127.0.0.1:${fog.port}`, "Authorization: Bearer raw", "Content-Type: application/json",
		"Content-Length: 4000", "", "",
	].join("\r\n"), BODY_TIMEOUT_MS));

	test("a connection carries a bounded number of requests, and the last answer says so", async () => {
		const connection = new Connection(fog);
		connection.write(`${head()}\r\n`.repeat(HTTP_MAX_REQUESTS + 3));
		const answers = await connection.answers();
		assert.equal(answers.length, HTTP_MAX_REQUESTS);
		assert.match(answers.at(-1).headers.connection ?? "", /^close$/i);
	});

	test("connections of one address are bounded; when one ends, the next is served", async () => {
		const open = [];
		await until("connections of earlier tests are gone", async () => {
			while (open.length > 0)
				open.pop().destroy();
			for (let i = 0; i < MAX_CONNECTIONS; i++) {
				const connection = new Connection(fog);
				open.push(connection);
				connection.write(`${head()}\r\n`);
			}
			await Promise.all(open.map((connection) => connection.waitAnswers(1, 400)));
			return open.every(({ ended, text }) => !ended && text.startsWith("HTTP/1.1 200"));
		});
		const extra = new Connection(fog);
		extra.write(`${head()}\r\n`);
		const statuses = (await extra.answers()).map(({ status }) => status);
		assert.ok(statuses.length === 0 || [429, 503].includes(statuses[0]), `answers ${statuses}`);
		open.pop().destroy();
		await until("a new connection is served", async () => {
			const connection = new Connection(fog);
			connection.write(`${head()}\r\n`);
			const [answer] = await connection.waitAnswers(1, 500);
			connection.destroy();
			return answer.status === 200;
		});
		for (const connection of open)
			connection.destroy();
	});
});

suite("static files", {}, ({ fog, test }) => {
	const assets = async () => {
		const { body } = await fog.api("GET", "/");
		const found = [...body.matchAll(/<(?:script|link)\b[^>]*?\b(?:src|href)="([^"]+)"/g)].map(([, target]) => new URL(target, `${fog.url}/`).pathname);
		assert.ok(found.some((target) => target.endsWith(".js")) && found.some((target) => target.endsWith(".css")), body);
		return found;
	};

	test("the page: policy, no inline script, nothing from elsewhere", async () => {
		const { status, headers, body } = await fog.api("GET", "/");
		assert.equal(status, 200);
		assert.match(headers["content-type"], /^text\/html; *charset=utf-8$/i);
		const policy = new Map(headers["content-security-policy"].split(";").map((part) => part.trim().split(/\s+/)).filter(([name]) => name)
			.map(([name, ...values]) => [name, values]));
		const scripts = policy.get("script-src") ?? policy.get("default-src");
		assert.deepEqual(policy.get("default-src"), ["'none'"]);
		assert.deepEqual(policy.get("frame-ancestors"), ["'none'"]);
		assert.deepEqual(policy.get("base-uri"), ["'none'"]);
		assert.ok(scripts.every((source) => source === "'self'" || /^'sha(256|384|512)-/.test(source)), scripts.join(" "));
		assert.ok(policy.get("connect-src").every((source) => source === "'self'" || /^wss?:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(source)));
		assert.equal(headers["x-content-type-options"], "nosniff");
		assert.equal(headers["referrer-policy"], "no-referrer");
		assert.match(headers["cache-control"], /no-cache|no-store/);
		for (const [, attributes, content] of body.matchAll(/<script\b([^>]*)>([^]*?)<\/script>/g)) {
			assert.match(attributes, /\bsrc="/);
			assert.equal(content.trim(), "");
		}
		assert.doesNotMatch(body, /\son[a-z]+=|javascript:|(?:src|href)="(?:https?:)?\/\//i);
	});

	test("what the page loads has a content hash in its name and is immutable", async () => {
		const types = { js: /^(text|application)\/javascript/, css: /^text\/css/ };
		for (const target of (await assets()).filter((name) => /\.(js|css)$/.test(name))) {
			const { status, headers, body } = await exchange(fog.url, "GET", target);
			assert.equal(status, 200, target);
			assert.match(target, /[-.][0-9A-Za-z_]{8,}\.[a-z0-9]+$/);
			assert.match(headers["content-type"], types[target.split(".").pop()], target);
			assert.match(headers["cache-control"], /\bimmutable\b/, target);
			assert.match(headers["cache-control"], /\bmax-age=31536000\b/, target);
			assert.equal(headers["x-content-type-options"], "nosniff");
			assert.ok(body.length > 0, target);
		}
	});

	test("ETag: 304 without a body; another one: 200", async () => {
		for (const target of ["/", "/openapi.json", (await assets()).find((name) => name.endsWith(".js"))]) {
			const { headers } = await exchange(fog.url, "GET", target);
			assert.match(headers.etag ?? "", /^"[^"]+"$/, target);
			for (const value of [headers.etag, `W/${headers.etag}`, `"x", ${headers.etag}`, "*"]) {
				const again = await exchange(fog.url, "GET", target, { headers: { "If-None-Match": value } });
				assert.equal(again.status, 304, `${target}: If-None-Match: ${value}`);
				assert.equal(again.body, "");
				assert.equal(again.headers.etag, headers.etag);
			}
			assert.equal((await exchange(fog.url, "GET", target, { headers: { "If-None-Match": '"x"' } })).status, 200);
		}
	});

	test("HEAD gives the headers of GET and no body", async () => {
		for (const target of ["/", "/openapi.json", "/healthz", (await assets()).find((name) => name.endsWith(".js"))]) {
			const got = await exchange(fog.url, "GET", target);
			const { status, headers, body } = await exchange(fog.url, "HEAD", target);
			assert.equal(status, 200, target);
			assert.equal(body, "");
			assert.equal(Number(headers["content-length"]), Buffer.byteLength(got.body), target);
			for (const name of ["content-type", "etag", "cache-control", "content-security-policy"])
				assert.equal(headers[name], got.headers[name], `${target}: ${name}`);
		}
	});

	test("only what was bundled is served", async () => {
		for (const target of ["/../policy.yaml", "/%2e%2e/policy.yaml", "/..%2fpolicy.yaml", "/assets/", "/.git/config", "//etc/passwd", "/openapi.json/"]) {
			const { status } = await exchange(fog.url, "GET", target);
			assert.ok([400, 404].includes(status), `${target}: ${status}`);
		}
	});

	test("openapi.json is the document of the tree", async () => {
		const { headers, body } = await exchange(fog.url, "GET", "/openapi.json");
		assert.match(headers["content-type"], /^application\/json/);
		assert.deepEqual(JSON.parse(body), JSON.parse(fs.readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8")));
	});
});
