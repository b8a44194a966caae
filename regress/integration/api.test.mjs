// SPDX-License-Identifier: MIT
// The HTTP API of DESIGN 3.1: the whole life of a session, and each way of being refused. Every answer here is also
// held against docs/openapi.json by the harness.
import assert from "node:assert/strict";
import { policyOf, suite } from "../lib/harness.mjs";
import { compileAll, document } from "../lib/openapi.mjs";
import { sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal, JsonTerminal, RefusedUpgrade } from "../lib/ws.mjs";

const UNKNOWN_ID = "00000000-0000-8000-8000-000000000000";
const ATTACH_TTL_SECONDS = 2;

const refused = async (promise) => {
	const error = await promise.then(() => assert.fail("the upgrade was not refused"), (reason) => reason);
	assert.ok(error instanceof RefusedUpgrade, error);
	return error;
};

suite("API", { env: { ATTACH_TOKEN_TTL_SECONDS: String(ATTACH_TTL_SECONDS) } }, ({ fog, test }) => {
	const sessionsOf = async (token) => (await fog.expect(200, "GET", "/v1/sessions", { token })).sessions;

	test("openapi.json is sound and is what the server gives", async () => {
		assert.ok(compileAll() > 20);
		assert.deepEqual(await fog.expect(200, "GET", "/openapi.json"), document);
	});

	test("health, readiness, sign-in configuration, profiles and nodes", async () => {
		assert.deepEqual(await fog.expect(200, "GET", "/healthz"), { status: "ok" });
		const ready = await fog.expect(200, "GET", "/readyz");
		assert.equal(ready.status, "ready");
		assert.equal(ready.dev_mode, true);
		assert.equal(ready.sign_in, "dev");
		assert.ok(Object.values(ready.parts).every((up) => up));
		assert.deepEqual(await fog.expect(200, "GET", "/v1/config"), { sign_in: "dev", token: "dev" });

		const { profiles } = await fog.expect(200, "GET", "/v1/profiles", { token: "alice" });
		assert.deepEqual(profiles, [
			{ name: "default", cpu: "500m", memory: "512Mi", storage: "1Gi", max_ttl_seconds: 3600, idle_timeout_seconds: 0, max_sessions: 3 },
		]);
		const more = await fog.expect(200, "GET", "/v1/profiles", { token: "alice+power-users" });
		assert.deepEqual(more.profiles.map(({ name }) => name), ["default", "large"]);
		const { nodes } = await fog.expect(200, "GET", "/v1/nodes", { token: "alice" });
		assert.deepEqual(nodes.map(({ self }) => self), [true]);
	});

	test("a session's whole life: create, list, show, attach, 42, resize, exit 3", async () => {
		const before = Date.now();
		const session = await fog.create({ ttl: 300 });
		assert.equal(session.attach.ws_url, `ws://127.0.0.1:${fog.port}/v1/sessions/${session.id}/pty`);
		const tokenLife = Date.parse(session.attach.expires_at) - Date.now();
		assert.ok(tokenLife <= ATTACH_TTL_SECONDS * 1000 && tokenLife > 0, `attach token lives ${tokenLife} ms`);

		assert.deepEqual((await sessionsOf(session.token)).map(({ session_id: id }) => id), [session.id]);
		const shown = await fog.show(session);
		assert.equal(shown.profile, "default");
		assert.ok(["starting", "running", "detached"].includes(shown.status), shown.status);
		assert.deepEqual(shown.placement, session.placement);
		assert.equal(shown.placement_reason, session.placement_reason);
		const life = Date.parse(shown.expires_at) - Date.parse(shown.created_at);
		assert.ok(Math.abs(life - 300_000) <= 2000, `session lives ${life} ms`);
		assert.ok(Math.abs(Date.parse(shown.created_at) - before) <= 5000, shown.created_at);

		const terminal = await JsonTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		await fog.waitStatus(session, "running");
		terminal.resize(132, 43);
		await until("stty size shows the new size", () => terminal.run("stty size", /\b43 132\r$/m, 500));
		terminal.type("exit 3\n");
		assert.deepEqual(await terminal.waitExit(), { type: "exit", code: 3 });
		assert.equal((await terminal.waitClosed()).code, 1000);
		assert.ok(terminal.frames.every(({ type }) => ["stdout", "exit"].includes(type)));
		for (const frame of terminal.frames.filter(({ type }) => type === "stdout"))
			assert.deepEqual(Object.keys(frame).sort(), ["data_b64", "type"]);

		const ended = await fog.waitStatus(session, "exited");
		assert.deepEqual(ended.exit, { code: 3 });
		await fog.expect(409, "POST", `/v1/sessions/${session.id}/attach`, { token: session.token, body: {} });
	});

	test("a shell that dies of a signal n reports 128 + n", async () => {
		const session = await fog.create();
		const terminal = await JsonTerminal.open(fog, session.attach);
		terminal.type("kill -KILL $$\n");
		assert.deepEqual(await terminal.waitExit(), { type: "exit", code: 137 });
		assert.deepEqual((await fog.waitStatus(session, "exited")).exit, { code: 137, signal: 9 });
	});

	test("DELETE ends the session, its shell and its stream", async () => {
		const session = await fog.create();
		const terminal = await JsonTerminal.open(fog, session.attach);
		await terminal.run("echo up$((1+1))", /\bup2\r$/m);
		const { token } = session;
		assert.deepEqual(await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token }), { terminated: true });
		await terminal.waitClosed();
		assert.ok((await fog.waitStatus(session, "terminated")).end_reason);
	});

	test("a session that nobody is attached to is detached, and can be attached again", async () => {
		const session = await fog.create();
		const first = await JsonTerminal.open(fog, session.attach);
		await first.run("kept=yes; echo s''et", /\bset\r$/m);
		await first.close();
		await fog.waitStatus(session, "detached");
		const second = await JsonTerminal.open(fog, await fog.mint(session));
		await second.run("echo kept=$kept", /\bkept=yes\r$/m);
	});

	test("Idempotency-Key: a repeat gives the same session, another body is refused", async () => {
		const token = fog.user();
		const headers = { "Idempotency-Key": "a-key-1" };
		const first = await fog.create({ token, headers });
		const again = await fog.create({ token, headers });
		assert.equal(again.id, first.id);
		assert.notEqual(again.attach.token, first.attach.token);
		const problem = await fog.expect(422, "POST", "/v1/sessions",
			{ token, headers, body: { profile: "default", ttl_seconds: 601 } });
		assert.equal(problem.code, "idempotency_mismatch");
		assert.equal((await sessionsOf(token)).length, 1);
		assert.notEqual((await fog.create({ headers })).id, first.id, "the key of somebody else");
	});

	test("Idempotency-Key: repeats at the same moment make one session", async () => {
		const token = fog.user();
		const options = { token, headers: { "Idempotency-Key": "a-key-2" }, body: { profile: "default", ttl_seconds: 600 } };
		const answers = await Promise.all(Array.from({ length: 6 }, () => fog.api("POST", "/v1/sessions", options)));
		const made = answers.filter(({ status }) => status === 201);
		assert.ok(made.length >= 1);
		assert.ok(answers.every(({ status }) => [201, 409, 503].includes(status)));
		assert.equal(new Set(made.map(({ json }) => json.session_id)).size, 1);
		assert.equal((await sessionsOf(token)).length, 1);
	});

	const good = { profile: "default", ttl_seconds: 600 };
	const wrongBodies = [
		["unknown member", { ...good, colour: "red" }, "colour"],
		["duplicate member", '{"profile":"default","ttl_seconds":600,"profile":"default"}', "profile"],
		["duplicate member, escaped", '{"profile":"default","ttl_seconds":600,"\\u0070rofile":"default"}', "\\u0070rofile"],
		["profile missing", { ttl_seconds: 600 }, "profile"],
		["ttl_seconds missing", { profile: "default" }, "ttl_seconds"],
		["profile a number", { ...good, profile: 7 }, "profile"],
		["profile empty", { ...good, profile: "" }, "profile"],
		["profile too long", { ...good, profile: "p".repeat(65) }, "profile"],
		["profile with NUL", { ...good, profile: "def\0ault" }, undefined],
		["profile with a control character", { ...good, profile: "def\x1bault" }, "profile"],
		["ttl_seconds a string", { ...good, ttl_seconds: "600" }, "ttl_seconds"],
		["ttl_seconds a fraction", { ...good, ttl_seconds: 1.5 }, "ttl_seconds"],
		["ttl_seconds zero", { ...good, ttl_seconds: 0 }, "ttl_seconds"],
		["ttl_seconds negative", { ...good, ttl_seconds: -1 }, "ttl_seconds"],
		["ttl_seconds over a year", { ...good, ttl_seconds: 31_536_001 }, "ttl_seconds"],
		["ttl_seconds beyond 64 bits", '{"profile":"default","ttl_seconds":18446744073709552216}', undefined],
		["ttl_seconds null", { ...good, ttl_seconds: null }, "ttl_seconds"],
		["placement_hint a list", { ...good, placement_hint: [] }, "placement_hint"],
		["image_ref empty", { ...good, image_ref: "" }, "image_ref"],
		["image_ref too long", { ...good, image_ref: "a".repeat(256) }, "image_ref"],
		["image_ref a list", { ...good, image_ref: ["base"] }, "image_ref"],
		["latency_ms a list", { ...good, latency_ms: [1] }, "latency_ms"],
		["latency_ms of a node a string", { ...good, latency_ms: { here: "1" } }, /latency_ms|here/],
		["latency_ms negative", { ...good, latency_ms: { here: -1 } }, /latency_ms|here/],
		["an array", [good], undefined],
		["a string", '"default"', undefined],
		["empty", "", undefined],
		["cut", '{"profile":"default","ttl_seconds":6', undefined],
		["something behind it", `${JSON.stringify(good)} x`, undefined],
		["not UTF-8", Buffer.from('{"profile":"\xff","ttl_seconds":600}', "latin1"), undefined],
		["very deep", `{"profile":${"[".repeat(3000)}${"]".repeat(3000)},"ttl_seconds":600}`, undefined],
	];
	test("a body of the wrong shape is 400, names the member, and makes no session", async () => {
		const token = fog.user();
		for (const [name, body, member] of wrongBodies) {
			const answer = await fog.api("POST", "/v1/sessions", { token, body });
			assert.equal(answer.status, 400, `${name}: ${answer.body}`);
			if (member instanceof RegExp)
				assert.match(answer.json.member ?? "", member, name);
			else if (member !== undefined)
				assert.equal(answer.json.member, member, name);
		}
		assert.deepEqual(await sessionsOf(token), []);
	});

	test("a member of 100 kB is refused, whatever it is", async () => {
		const token = fog.user();
		const long = "a".repeat(100_000);
		const names = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`node-${i}-${"a".repeat(10)}`, i]));
		for (const more of [{ image_ref: long }, { image_ref: `${long}@sha256:${"0a".repeat(32)}` }, { latency_ms: { [long]: 1 } }, { latency_ms: names }]) {
			const { status, json } = await fog.api("POST", "/v1/sessions", { token, body: { ...good, ...more } });
			assert.ok([400, 413].includes(status), `${status} ${JSON.stringify(json)}`);
		}
		assert.deepEqual(await sessionsOf(token), []);
	});

	test("what policy refuses carries a rule_id and makes no session", async () => {
		const token = fog.user();
		const rows = [
			[422, "profile_unknown", { ...good, profile: "nonesuch" }],
			[422, "ttl_not_allowed", { ...good, ttl_seconds: 3601 }],
			[403, "denied", { ...good, profile: "large" }],
			// Without a sandbox there are no images.
			[403, "denied", { ...good, image_ref: "base" }, "profile.images"],
			[403, "denied", { ...good, image_ref: `base@sha256:${"0a".repeat(32)}` }, "profile.images"],
		];
		for (const [status, code, body, rule] of rows) {
			const problem = await fog.expect(status, "POST", "/v1/sessions", { token, body });
			assert.equal(problem.code, code);
			assert.ok(problem.rule_id, JSON.stringify(problem));
			if (rule)
				assert.equal(problem.rule_id, rule);
		}
		assert.deepEqual(await sessionsOf(token), []);
	});

	test("a group opens its profile, and only to its members", async () => {
		const body = { profile: "large", ttl_seconds: 7200 };
		await fog.expect(403, "POST", "/v1/sessions", { token: "alice", body });
		await fog.expect(403, "POST", "/v1/sessions", { token: "alice+admins", body });
		const session = await fog.create({ token: "alice+power-users", profile: "large", ttl: 7200 });
		// The subject is alice with or without groups: the session is alice's.
		assert.equal((await fog.show({ id: session.id, token: "alice" })).profile, "large");
	});

	test("too many sessions: 409, also for requests at the same moment; an ended session frees its place", async () => {
		const token = fog.user();
		const answers = await Promise.all(Array.from({ length: 6 }, () => fog.api("POST", "/v1/sessions", { token, body: good })));
		assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 201, 409, 409, 409]);
		for (const { json } of answers.filter(({ status }) => status === 409)) {
			assert.equal(json.code, "too_many_sessions");
			assert.ok(json.rule_id);
		}
		const [{ session_id: id }] = await sessionsOf(token);
		await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
		await fog.waitStatus({ id, token }, "terminated");
		await fog.create({ token });
	});

	test("no token, or none that can be one: 401 with a challenge on every call that needs one", async () => {
		const calls = [
			["POST", "/v1/sessions", good], ["GET", "/v1/sessions"], ["GET", `/v1/sessions/${UNKNOWN_ID}`],
			["DELETE", `/v1/sessions/${UNKNOWN_ID}`], ["POST", `/v1/sessions/${UNKNOWN_ID}/attach`, {}],
			["GET", "/v1/profiles"], ["GET", "/v1/nodes"],
		];
		for (const [method, target, body] of calls)
			await fog.expect(401, method, target, { body });
		const wrong = ["Basic YWxpY2U6eA==", "Bearer", "Bearer ", "Bearer a b", "Bearer al\u00efce", "alice", "Bearer +admins", `Bearer ${"a".repeat(600)}`];
		for (const value of wrong)
			await fog.expect(401, "GET", "/v1/sessions", { headers: { Authorization: value } });
	});

	// RFC 6750 3, RFC 9449 7.1. Without an identity provider there is no DPoP: its challenge is in signin.test.mjs.
	test("the challenge says what kind of token is wanted, and an error only when one came", async () => {
		const realm = 'Bearer realm="cloudshell-fog"';
		const rows = [
			[401, {}, realm],
			[401, { Authorization: "Basic YWxpY2U6eA==" }, realm],
			[401, { Authorization: "DPoP alice", DPoP: "a.b.c" }, realm],
			[401, { Authorization: "Bearer +admins" }, `${realm}, error="invalid_token"`],
			[401, { Authorization: "bEARER a b" }, `${realm}, error="invalid_token"`],
			[400, { Authorization: ["Bearer alice", "Bearer alice"] }, `${realm}, error="invalid_request"`],
			[400, { Authorization: "Bearer alice", DPoP: ["a.b.c", "a.b.c"] }, `${realm}, error="invalid_request"`],
		];
		for (const [status, headers, challenge] of rows) {
			const answer = await fog.api("GET", "/v1/sessions", { headers });
			assert.equal(answer.status, status, JSON.stringify(headers));
			assert.equal(answer.headers["www-authenticate"], challenge, JSON.stringify(headers));
			assert.equal(answer.headers["cache-control"], "no-store");
			assert.equal(answer.headers["dpop-nonce"], undefined);
			assert.ok(!answer.body.includes("admins"), answer.body);
		}
		await fog.expect(200, "GET", "/v1/sessions", { headers: { Authorization: "bearer alice" } });
		const proofs = ["a b", "a.b.c\u00ef", "p".repeat(4097)];
		for (const DPoP of proofs) {
			const headers = { Authorization: "Bearer alice", DPoP };
			assert.equal((await fog.expect(401, "GET", "/v1/sessions", { headers })).code, "dpop_proof_invalid");
		}
	});

	test("POST /v1/oidc/backchannel-logout is not there without an identity provider", async () => {
		const target = "/v1/oidc/backchannel-logout";
		const form = { "Content-Type": "application/x-www-form-urlencoded" };
		await fog.expect(404, "POST", target, { headers: form, body: "logout_token=a.b.c" });
		await fog.expect(404, "POST", target, { body: { logout_token: "a.b.c" } });
		await fog.expect(405, "GET", target);
	});

	test("every answer keeps its address to itself and its page unframed", async () => {
		for (const target of ["/", "/healthz", "/v1/sessions", "/v1/config", "/nope"]) {
			const { headers } = await fog.api("GET", target);
			assert.equal(headers["referrer-policy"], "no-referrer", target);
			assert.match(headers["content-security-policy"], /; frame-src 'none'; frame-ancestors 'none';/, target);
		}
	});

	test("an attach token is not an access token", async () => {
		const { attach } = await fog.create();
		await fog.expect(401, "GET", "/v1/sessions", { token: attach.token });
	});

	test("somebody else's session is 404, like one that never was", async () => {
		const session = await fog.create();
		const token = fog.user();
		for (const id of [session.id, UNKNOWN_ID]) {
			const answers = [
				await fog.expect(404, "GET", `/v1/sessions/${id}`, { token }),
				await fog.expect(404, "DELETE", `/v1/sessions/${id}`, { token }),
				await fog.expect(404, "POST", `/v1/sessions/${id}/attach`, { token, body: {} }),
			];
			assert.deepEqual(answers.map(({ code }) => code), Array(3).fill("session_unknown"));
		}
		assert.deepEqual(await sessionsOf(token), []);
		assert.ok(["starting", "running", "detached"].includes((await fog.show(session)).status));
	});

	test("a session id that is none: 400 or 404, never 500", async () => {
		for (const id of ["x", "..", "%2e%2e", "%00", UNKNOWN_ID.toUpperCase(), `${UNKNOWN_ID}0`, "a".repeat(300)]) {
			const { status } = await fog.api("GET", `/v1/sessions/${id}`, { token: "alice" });
			assert.ok([400, 404].includes(status), `${id}: ${status}`);
		}
	});

	test("wrong method 405 with Allow, unknown path 404", async () => {
		const rows = [
			["PUT", "/v1/sessions", ["GET", "POST"]], ["POST", `/v1/sessions/${UNKNOWN_ID}`, ["DELETE", "GET", "PATCH"]],
			["GET", `/v1/sessions/${UNKNOWN_ID}/attach`, ["POST"]], ["POST", `/v1/sessions/${UNKNOWN_ID}/pty`, ["GET"]],
			["DELETE", "/v1/profiles", ["GET"]], ["POST", "/healthz", ["GET"]], ["PATCH", "/v1/nodes", ["GET"]],
		];
		for (const [method, target, methods] of rows) {
			const { status, headers } = await fog.api(method, target, { token: "alice" });
			assert.equal(status, 405, `${method} ${target}`);
			const allowed = headers.allow.split(/, */);
			assert.ok(methods.every((name) => allowed.includes(name)), `${target}: Allow: ${headers.allow}`);
			assert.ok(!allowed.includes(method), headers.allow);
		}
		for (const target of ["/v1", "/v1/", "/v1/session", "/v1/sessions/", "/nope", "/v1/sessions/x/y/z", "/index.html/x"])
			await fog.expect(404, "GET", target, { token: "alice" });
	});

	test("an attach token works once", async () => {
		const session = await fog.create();
		const terminal = await JsonTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		const again = await refused(JsonTerminal.open(fog, session.attach));
		assert.equal(again.status, 401);
		assert.match(again.headers["www-authenticate"] ?? "", /^Bearer/);
		await terminal.run("echo $((7*7))", /\b49\r$/m);
		await terminal.close();
		assert.equal((await refused(JsonTerminal.open(fog, session.attach, { via: "query" }))).status, 401);
	});

	test("of many uses at the same moment one wins", async () => {
		const session = await fog.create();
		const tries = await Promise.allSettled(Array.from({ length: 8 }, () => JsonTerminal.open(fog, session.attach)));
		assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1);
		for (const { reason } of tries.filter(({ status }) => status === "rejected"))
			assert.equal(reason.status, 401);
	});

	test("an expired attach token, and one for another session or signed by nobody: 401 before the upgrade", async () => {
		const session = await fog.create();
		const other = await fog.create();
		const foreign = { ...session.attach, ws_url: other.attach.ws_url };
		assert.equal((await refused(JsonTerminal.open(fog, foreign))).status, 401);
		const [head, claims, mac] = session.attach.token.split(".");
		const flipped = (mac[0] === "A" ? "B" : "A") + mac.slice(1);
		const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url");
		const forged = [`${head}.${claims}.${flipped}`, `${head}.${claims}.`, `${none}.${claims}.`, `${head}.${claims}`, "x.y.z",
			`${session.attach.token}.x`, `${head}.${claims}A.${mac}`];
		for (const token of forged)
			assert.equal((await refused(JsonTerminal.open(fog, { ...session.attach, token }, { via: "query" }))).status, 401, token.slice(0, 8));
		await sleep(Math.max(0, Date.parse(session.attach.expires_at) - Date.now()) + 1100);
		const late = await refused(JsonTerminal.open(fog, session.attach));
		assert.equal(late.status, 401);
		assert.match(late.headers["content-type"], /^application\/problem\+json/);
		await (await JsonTerminal.open(fog, await fog.mint(session))).run("echo $((6*7))", /\b42\r$/m);
	});

	test("no attach token at all: 401 before the upgrade", async () => {
		const session = await fog.create();
		const target = `/v1/sessions/${session.id}/pty`;
		const headers = {
			Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": Buffer.alloc(16, 7).toString("base64"),
		};
		await fog.expect(401, "GET", target, { headers });
		await fog.expect(401, "GET", target, { headers, token: session.token });
	});

	test("the token in ?token= works, with JSON frames and no subprotocol", async () => {
		const session = await fog.create();
		const terminal = await JsonTerminal.open(fog, session.attach, { via: "query" });
		assert.equal(terminal.socket.protocol, "");
		await terminal.run("echo $((6*7))", /\b42\r$/m);
	});

	test("the server echoes the fog.pty.* subprotocol and never the token", async () => {
		const session = await fog.create();
		const json = await JsonTerminal.open(fog, session.attach);
		assert.equal(json.socket.protocol, "fog.pty.json");
		await json.close();
		const binary = await BinaryTerminal.open(fog, await fog.mint(session));
		assert.equal(binary.socket.protocol, "fog.pty.v1");
	});

	test("roles: a token for a driver or a viewer; an unknown one is 400", async () => {
		const session = await fog.create();
		const target = `/v1/sessions/${session.id}/attach`;
		const { token } = session;
		await fog.expect(201, "POST", target, { token, body: { role: "driver" } });
		await fog.expect(201, "POST", target, { token, body: { role: "viewer" } });
		assert.equal((await fog.expect(400, "POST", target, { token, body: { role: "owner" } })).member, "role");
		assert.equal((await fog.expect(400, "POST", target, { token, body: { roll: "driver" } })).member, "roll");
		await fog.expect(201, "POST", target, { token });
	});

	test("Fog-Forwarded-By is a node's name, once; a session is confirmed by its owner alone", async () => {
		const session = await fog.create();
		const { token } = session;
		for (const value of ["", "North", "a b", "n".repeat(65), ["a", "b"], "a,b", "a\u00e9"])
			await fog.expect(400, "GET", "/v1/sessions", { token, headers: { "Fog-Forwarded-By": value } });
		await fog.expect(200, "GET", `/v1/sessions/${session.id}`, { token, headers: { "Fog-Forwarded-By": "fog-2.lab" } });

		const target = `/v1/sessions/${session.id}/confirm`;
		assert.deepEqual(await fog.expect(200, "POST", target, { token }), { confirmed: true });
		await fog.expect(404, "POST", target, { token: fog.user() });
		await fog.expect(404, "POST", `/v1/sessions/${UNKNOWN_ID}/confirm`, { token });
		await fog.expect(401, "POST", target);
		await fog.expect(400, "POST", target, { token, body: {} });
		await fog.expect(405, "GET", target, { token });
	});

	test("a node's status is for nodes of its fleet alone, and no person's token is one of theirs", async () => {
		const target = "/v1/node/status";
		assert.equal((await fog.expect(401, "GET", target)).code, "token_missing");
		for (const token of ["alice", "a.b.c", "a".repeat(2049)])
			assert.equal((await fog.expect(401, "GET", target, { token })).code, "node_token_invalid");
		await fog.expect(405, "POST", target, { token: "a.b.c" });
	});

	test("the audit log has every event of a session, and every refusal, as JSON lines", async () => {
		const token = fog.user();
		await fog.expect(403, "POST", "/v1/sessions", { token, body: { ...good, profile: "large" } });
		const session = await fog.create({ token });
		await (await JsonTerminal.open(fog, session.attach)).run("echo $((6*7))", /\b42\r$/m);
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token });
		const wanted = ["session.created", "placement.decided", "runtime.allocated", "session.attached", "session.terminated"];
		const seen = await until("all events", () => {
			const records = fog.auditRecords();
			const events = records.filter((record) => JSON.stringify(record).includes(session.id)).map(({ event }) => event);
			return wanted.every((event) => events.includes(event)) && records;
		});
		assert.ok(seen.some((record) => record.event === "policy.denied" && JSON.stringify(record).includes(`"${token}"`)));
		assert.ok(seen.every(({ event, time }) => typeof event === "string" && /^\d{4}-.*Z$/.test(time)), JSON.stringify(seen[0]));
	});
});

const OURS = `sha256:${"0a".repeat(32)}`;
const OTHER = `sha256:${"0b".repeat(32)}`;
const boxes = policyOf([
	["default", { more: { pids: 64, io_weight: 50, home: "persistent", limits: "best-effort", images: `[base@${OURS}]`,
		egress: '["192.0.2.0/24 tcp 443", "192.0.2.53 udp 53"]', dns: "192.0.2.53" } }],
	["bare"],
]);

suite("API: a profile with all that a sandbox has", { policy: boxes }, ({ fog, test }) => {
	test("the stub has no use for it: no image, no limits, no usage", async () => {
		const session = await fog.create();
		const { token } = session;
		const shown = await fog.show(session);
		for (const [where, row] of [["shown", shown], ["listed", (await fog.expect(200, "GET", "/v1/sessions", { token })).sessions[0]]])
			assert.deepEqual(["image_ref", "limits", "usage"].filter((name) => name in row), [], where);
		assert.ok(fog.auditRecords().every((record) => !("image" in record)));
		await (await JsonTerminal.open(fog, session.attach)).run("echo $((6*7))", /\b42\r$/m);
	});
});

// None of these gets as far as a sandbox. RUNTIME=sandbox needs root by itself.
if (process.getuid() === 0) suite("API: images, as policy has them", { policy: boxes, env: { RUNTIME: "sandbox" } }, ({ fog, test }) => {
	const rows = [
		["a name", 422, "image_ref_invalid", "default", "base", /a digest is needed.*profile "default" allows base@sha256:(0a){32}/],
		["a tag", 422, "image_ref_invalid", "default", "debian:12", /a digest is needed/],
		["half a digest", 422, "image_ref_invalid", "default", `base@${OURS.slice(0, -1)}`, /64 of 0-9 and a-f/],
		["a path", 422, "image_ref_invalid", "default", `../base@${OURS}`, /the name before the @/],
		["another image", 403, "denied", "default", OTHER, /profile "default" allows base@sha256:(0a){32}/],
		["a profile without images", 403, "denied", "bare", undefined, /names no image to run in.*fogctl image list/],
		["a profile without images, and one named", 403, "denied", "bare", OURS, /names no image to run in/],
	];
	test("what no profile allows is refused by profile.images, with what would be right", async () => {
		const token = fog.user();
		for (const [name, status, code, profile, image, detail] of rows) {
			const problem = await fog.expect(status, "POST", "/v1/sessions", { token, body: { profile, ttl_seconds: 600, image_ref: image } });
			assert.equal(problem.code, code, name);
			assert.equal(problem.rule_id, "profile.images", name);
			assert.match(problem.detail, detail, name);
		}
		assert.deepEqual((await fog.expect(200, "GET", "/v1/sessions", { token })).sessions, []);
	});

	test("an image that is allowed and not there: 503 with the cause, and no Retry-After", async () => {
		const token = fog.user();
		const { status, headers, json } = await fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 600 } });
		assert.equal(status, 503);
		assert.equal(json.code, "spawn_failed");
		assert.match(json.detail, /^image: /);
		assert.equal(headers["retry-after"], undefined);
		const created = await until("intent and outcome", () => {
			const records = fog.auditRecords().filter(({ event, subject }) => event === "session.created" && subject === token);
			return records.length === 2 && records;
		});
		assert.deepEqual(created.map(({ phase, image }) => [phase, image]), [["intent", OURS], ["outcome", OURS]]);
		assert.match(created[1].detail, /^image: /);
	});
});
