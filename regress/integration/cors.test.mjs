// SPDX-License-Identifier: MIT
// The page of one node calls the API of another (Fetch 3.2): only from an origin that FLEET_ORIGINS covers, without
// credentials of the browser, and nothing is different for a node that has no FLEET_ORIGINS.
import assert from "node:assert/strict";
import { exchange, suite } from "../lib/harness.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const FLEET = "https://*.fog.example.org https://10.0.0.5:8443";
const PAGE = "https://b.fog.example.org";
const OTHERS = ["https://fog.example.org", "https://b.fog.example.org:8443", "http://b.fog.example.org", "https://evil.example",
	"https://b.fog.example.org.evil.example", "https://b.fog.example.org/", "null", "https://b.fog.example.org, https://evil.example", "*"];
const CALLS = ["GET /healthz", "GET /v1/sessions", "GET /v1/config", "GET /v1/nodes", "GET /v1/nothing"];
const CORS = /^access-control-/;
const corsOf = ({ headers }) => Object.fromEntries(Object.entries(headers).filter(([name]) => CORS.test(name)));

const call = (fog, line, headers, options = {}) => exchange(fog.url, ...line.split(" "), { token: "alice", headers, ...options });
const preflight = (fog, path, method, origin = PAGE) =>
	exchange(fog.url, "OPTIONS", path, { headers: { Origin: origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization" } });

suite("CORS", { env: { FLEET_ORIGINS: FLEET } }, ({ fog, test }) => {
	test("a call from the page of another node: its origin, alone, and what it may read", async () => {
		for (const origin of [PAGE, "https://a.b.fog.example.org", "https://10.0.0.5:8443"]) {
			for (const line of CALLS) {
				const answer = await call(fog, line, { Origin: origin });
				assert.deepEqual(corsOf(answer), { "access-control-allow-origin": origin,
					"access-control-expose-headers": "Retry-After, DPoP-Nonce, Date, WWW-Authenticate" }, line);
				assert.equal(answer.headers.vary, "Origin", line);
			}
		}
		assert.equal((await call(fog, "GET /healthz", { Origin: PAGE }, { token: undefined })).status, 200);
	});

	test("a problem is readable too: who has no token learns that it wants one", async () => {
		const answer = await call(fog, "GET /v1/sessions", { Origin: PAGE }, { token: undefined });
		assert.equal(answer.status, 401);
		assert.equal(answer.headers["access-control-allow-origin"], PAGE);
		assert.match(answer.headers["access-control-expose-headers"], /WWW-Authenticate/);
		assert.match(answer.headers["www-authenticate"], /^Bearer/);
	});

	test("any other origin: no word of CORS, but that the answer depends on it", async () => {
		for (const origin of [...OTHERS, undefined]) {
			for (const line of CALLS) {
				const answer = await call(fog, line, origin === undefined ? {} : { Origin: origin });
				assert.deepEqual(corsOf(answer), {}, `${line} from ${origin}`);
				assert.equal(answer.headers.vary, "Origin");
			}
		}
	});

	test("a preflight: the methods of the path and our own headers, for ten minutes, and no credentials", async () => {
		for (const [path, methods] of [["/v1/sessions", ["POST", "GET", "HEAD"]], ["/v1/sessions/0/attach", ["POST"]], ["/healthz", ["GET", "HEAD"]]]) {
			const answer = await preflight(fog, path, methods[0]);
			assert.equal(answer.status, 204, path);
			assert.equal(answer.body, "");
			assert.equal(answer.headers["content-length"], undefined);
			assert.deepEqual(answer.headers["access-control-allow-methods"].split(", ").sort(), methods.sort());
			assert.deepEqual(answer.headers["access-control-allow-headers"].toLowerCase().split(", ").sort(),
				["accept", "authorization", "content-type", "dpop", "fog-location", "idempotency-key"]);
			assert.equal(answer.headers["access-control-max-age"], "600");
			assert.equal(answer.headers["access-control-allow-origin"], PAGE);
			assert.equal(answer.headers["access-control-allow-credentials"], undefined);
		}
	});

	test("a preflight of anybody else, of no call, and what only looks like one: refused as before", async () => {
		for (const origin of OTHERS) {
			const answer = await preflight(fog, "/v1/sessions", "POST", origin);
			assert.equal(answer.status, 405, origin);
			assert.deepEqual(corsOf(answer), {}, origin);
		}
		assert.equal((await preflight(fog, "/v1/nothing", "GET")).status, 404);
		assert.equal((await exchange(fog.url, "OPTIONS", "/v1/sessions", { headers: { Origin: PAGE } })).status, 405);
		for (const path of ["/", "/readyz", "/openapi.json"]) {
			const answer = await preflight(fog, path, "GET");
			assert.equal(answer.status, 405, path);
			assert.deepEqual(corsOf(answer), {}, path);
		}
	});

	test("files and other paths have no CORS, and the host is checked before all of it", async () => {
		for (const path of ["/", "/readyz", "/openapi.json"]) {
			const answer = await call(fog, `GET ${path}`, { Origin: PAGE });
			assert.deepEqual(corsOf(answer), {}, path);
			assert.equal(answer.headers.vary, undefined, path);
		}
		const foreign = await call(fog, "GET /v1/config", { Origin: PAGE, Host: "evil.example" });
		assert.equal(foreign.status, 421);
		assert.deepEqual(corsOf(foreign), {});
	});

	test("the page of another node attaches here, and a stranger's does not", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach, { headers: { Origin: PAGE } });
		await terminal.run("echo he''re", /here/);
		await terminal.close();
		for (const origin of ["https://evil.example", "https://fog.example.org", "http://b.fog.example.org"]) {
			const { token } = await fog.mint(session);
			const answer = await exchange(fog.url, "GET", `/v1/sessions/${session.id}/pty?token=${token}`, { headers: { Origin: origin,
				Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==" } });
			assert.equal(answer.status, 403, origin);
		}
	});

	test("our own page may call the nodes and attach to them: connect-src has each of them twice", async () => {
		const { headers } = await exchange(fog.url, "GET", "/");
		const sources = /connect-src ([^;]*)/.exec(headers["content-security-policy"])[1].split(" ");
		assert.deepEqual(sources.slice(-4), ["https://*.fog.example.org", "wss://*.fog.example.org", "https://10.0.0.5:8443", "wss://10.0.0.5:8443"]);
	});
});

suite("CORS without a fleet", {}, ({ fog, test }) => {
	test("no header more than ever, whatever the Origin, and no preflight", async () => {
		for (const line of CALLS) {
			const [plain, asked] = [await call(fog, line, {}), await call(fog, line, { Origin: PAGE })];
			const names = ({ headers }) => Object.keys(headers).sort();
			assert.deepEqual(names(asked), names(plain), line);
			assert.ok(!names(plain).includes("vary"));
			assert.deepEqual(corsOf(asked), {});
		}
		assert.equal((await preflight(fog, "/v1/sessions", "POST")).status, 405);
		const { headers } = await exchange(fog.url, "GET", "/");
		assert.match(headers["content-security-policy"], /connect-src 'self' ws:\/\/127\.0\.0\.1:\d+ ws:\/\/localhost:\d+;/);
	});
});
