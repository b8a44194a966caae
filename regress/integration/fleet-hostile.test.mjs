// SPDX-License-Identifier: MIT
// Two real nodes, and four whose keys and certificates are good and whose words are not: what they say of themselves, how they
// answer requests that are passed on to them, and what stands in nodes.yaml. None of it stops a session from being made on a node
// that is well, makes a second one, or reaches a person or a log as it came (S22, S23, S37).
import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, before, describe, it } from "node:test";
import { Fleet, whyNoFleet } from "../lib/fleet.mjs";
import { exchange, policyOf, runFogd } from "../lib/harness.mjs";
import { NodeKey } from "../lib/nodekey.mjs";
import { until, withDeadline } from "../lib/proc.mjs";
import { TestCa } from "../lib/oidc.mjs";

const skip = whyNoFleet();
const MARK = "made-up-by-mallory";
const HTML = `<script>alert("${MARK}")</script>`;
const QUOTES = `${MARK}" event=forged node=north role=`;
const CONTROLS = `${MARK}\u001b[2J\u0000\r\nevent=forged node=north\n`;
// What a person, a terminal or a line of a log must not be given.
const RAW = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202e]/;
const FLOOD_BYTES = 100 * 1024 * 1024;

const POLICY = policyOf([
	["default", { sessions: 32 }],
	["trap", { sessions: 32, more: { data_labels: "[honey]" } }],
]);
const REAL = ["north", "south"];
const PLAYED = ["mallory", "mila", "milo", "mina"];
const LATENCIES = { mallory: 1, north: 20, south: 60, mila: 500, milo: 500, mina: 500 };

// --- a node's answers, as it should give them ---

const fnv1a = (name) => Buffer.from(name).reduce((hash, byte) => Math.imul(hash ^ byte, 16777619) >>> 0, 2166136261);
const tagOf = (name) => fnv1a(name).toString(16).padStart(8, "0");
// A session's id: the tag of its node, and chance.
const idOf = (name) => `${tagOf(name)}-1234-8abc-9def-${Math.floor(Math.random() * 2 ** 48).toString(16).padStart(12, "0")}`;
const ptyOf = (url, id) => `${url.replace("https:", "wss:")}/v1/sessions/${id}/pty`;
const soon = () => new Date(Date.now() + 600_000).toISOString().replace(/\.\d+/, "");
const WELL = { v: 1, version: "0.1.0", ready: true, draining: false, sessions: 0, cpu_milli: 0, memory_bytes: 0, suspects: [] };

const json = (response, status, body, headers = {}) => {
	response.writeHead(status, { "Content-Type": "application/json", ...headers });
	response.end(typeof body === "string" ? body : JSON.stringify(body));
};
const problem = (response, status, members) => json(response, status,
	{ type: "about:blank", title: "no", status, code: "forbidden", ...members }, { "Content-Type": "application/problem+json" });
const redirect = (response, status, Location) => response.writeHead(status, { Location }).end();

async function flood(response) {
	const chunk = Buffer.alloc(65536, "x");
	response.writeHead(200, { "Content-Type": "application/jwt", "Content-Length": FLOOD_BYTES });
	for (let sent = 0; sent < FLOOD_BYTES && !response.destroyed; sent += chunk.length)
		if (!response.write(chunk))
			await Promise.race([once(response, "drain"), once(response, "close")]);
	response.end();
}

async function drip(response, text = "e30.".repeat(1000)) {
	response.writeHead(200, { "Content-Length": text.length });
	for (const byte of text) {
		if (response.destroyed)
			return;
		response.write(byte);
		await sleep(50);
	}
}

const never = () => undefined;
const hangUp = ({ response }) => response.socket.destroy();

// Its server, what it answers, and what it was asked.
class PlayedNode {
	onStatus;
	onCreate;
	onOther;
	asked = [];
	#said = new Map(); // by who asked: its first answer

	constructor(node, ca) {
		Object.assign(this, { node, key: node.key, ca });
		this.good = ca.issue({ names: [node.host] });
		this.behave();
		this.server = https.createServer(this.good, (request, response) => this.#take(request, response));
		this.server.keepAliveTimeout = 60_000;
		this.server.on("clientError", (error, socket) => socket.destroy());
	}

	start() {
		return new Promise((resolve, reject) => this.server.once("error", reject).listen(this.node.port, this.node.host, resolve));
	}

	stop() {
		this.server.closeAllConnections();
		return new Promise((resolve) => this.server.close(resolve));
	}

	// As a node that is well and has room, and does not make what it is asked for.
	behave() {
		this.onStatus = (asked) => this.say(asked);
		this.onCreate = ({ response }) => problem(response, 503, { code: "unavailable" });
		this.onOther = ({ response }) => problem(response, 404, { code: "not_found" });
	}

	// Connections that are there go on under the old certificate: they are ended.
	present(certificate) {
		this.server.setSecureContext(certificate);
		this.server.closeAllConnections();
	}

	say({ ask, response }, { claims, status, token, key = this.key } = {}) {
		const text = token ?? key.status({ iss: this.node.name, aud: ask.iss, jti: ask.jti, ...claims },
			typeof status === "string" ? status : { ...WELL, ...status });
		response.writeHead(200, { "Content-Type": "application/jwt" });
		response.end(text);
		return text;
	}

	sayAgain(asked) {
		const token = this.#said.get(asked.ask.iss);
		this.#said.set(asked.ask.iss, this.say(asked, { token }));
	}

	place(more) {
		return { node: this.node.name, region: "here", tier: "fog", ...more };
	}

	// The answer to a create, as an honest node gives it.
	made({ id = idOf(this.node.name), attach, ...more } = {}) {
		return {
			session_id: id, placement: this.place(), placement_reason: "fog-first",
			attach: { ws_url: ptyOf(this.node.url, id), token: "e30.e30.c2ln", expires_at: soon(), ...attach },
			...more,
		};
	}

	async #take(request, response) {
		const { method, url, headers } = request;
		response.on("error", () => undefined);
		if (url === "/v1/node/status") {
			const ask = JSON.parse(Buffer.from(headers.authorization.split(".")[1], "base64url"));
			await this.onStatus({ ask, request, response });
			return;
		}
		let body = "";
		for await (const chunk of request)
			body += chunk;
		const asked = { method, url, headers, body, request, response };
		this.asked.push(asked);
		await (method === "POST" && url === "/v1/sessions" ? this.onCreate(asked) : this.onOther(asked));
	}
}

describe("nodes that lie", { skip }, () => {
	let fleet;
	let alice;
	let stranger;
	const played = {};

	const test = (title, fn, timeout = 30_000) => it(title, async (t) => {
		try {
			await withDeadline(fn(t), title, timeout);
		} catch (error) {
			fleet.printLogs();
			throw error;
		}
	});
	const body = (more = {}) => ({ profile: "default", ttl_seconds: 600, latency_ms: LATENCIES, ...more });
	const create = (options, more) => fleet.at("south").api("POST", "/v1/sessions", { token: alice, body: body(more), ...options });
	const ofItself = { "Fog-Forwarded-By": "test" };
	const rows = async (name) => (await fleet.at(name).expect(200, "GET", "/v1/sessions", { token: alice, headers: ofItself })).sessions
		.filter(({ status }) => ["starting", "running", "detached"].includes(status));
	const living = async () => (await Promise.all(REAL.map(rows))).flat().map(({ session_id: id }) => id);
	const end = (id) => fleet.at("south").expect(200, "DELETE", `/v1/sessions/${id}`, { token: alice });
	const whoIsOut = (name, mark) => fleet.at(name).events({ event: "node_state", is: "unreachable" }, mark).map(({ node }) => node);
	const allUp = async () => {
		for (const node of Object.values(played))
			node.behave();
		await Promise.all(REAL.flatMap((by) => [...REAL, ...PLAYED].map((name) => fleet.waitState(by, name, "up", { timeout: 15_000 }))));
	};

	before(async () => {
		fleet = await Fleet.start({
			nodes: [
				...REAL.map((name) => ({ name })),
				...PLAYED.map((name) => ({ name, key: new NodeKey(), labels: name === "mallory" ? ["honey"] : [] })),
			],
			policy: POLICY, settle: false,
		});
		alice = await fleet.token("alice");
		stranger = new TestCa();
		for (const name of PLAYED) {
			played[name] = new PlayedNode(fleet.node(name), fleet.ca);
			await played[name].start();
		}
		await allUp();
	});
	afterEach(async () => {
		for (const node of Object.values(played))
			node.behave();
		for (const id of await living())
			await end(id);
	});
	after(async () => {
		for (const node of Object.values(played))
			await node.stop();
		await fleet?.stop();
		stranger?.remove();
	});

	// --- of themselves ---

	test("silent, slow, closed or under another's name: out within 5 s, and those that are well stay", async () => {
		const marks = Object.fromEntries(REAL.map((name) => [name, fleet.at(name).logMark()]));
		const begun = Date.now();
		played.mallory.onStatus = never;
		played.mila.onStatus = ({ response }) => drip(response);
		played.milo.onStatus = (asked) => played.milo.say(asked, { claims: { iss: "north" } });
		await played.mina.stop();
		await Promise.all(REAL.flatMap((by) => PLAYED.map((name) => fleet.waitState(by, name, "unreachable", { timeout: 10_000 }))));
		assert.ok(Date.now() - begun < 8000, `${Date.now() - begun} ms`);
		// It may be out before the first question that it did not answer is given up: then there is no reason to tell yet.
		const why = { mallory: /^(?:timeout)?$/, mila: /^(?:timeout)?$/, milo: /^other_name$/, mina: /^connection_failed$/ };
		for (const [name, reason] of Object.entries(why))
			assert.match(fleet.at("north").events({ event: "node_state", node: name, is: "unreachable" }, marks.north)[0].reason, reason, name);
		for (const by of REAL)
			assert.deepEqual(whoIsOut(by, marks[by]).filter((name) => REAL.includes(name)), []);
		await played.mina.start();
		await allUp();
	});

	const withSessions = (text) => JSON.stringify(WELL).replace('"sessions":0', text);
	const refused = {
		"another's name": [(n, asked) => n.say(asked, { claims: { iss: "south" } }), "other_name"],
		"an answer of before": [(n, asked) => n.sayAgain(asked), "not_of_this_ask"],
		"for another": [(n, asked) => n.say(asked, { claims: { aud: "nobody" } }), "other_audience"],
		"of 10 minutes ago": [(n, asked) => n.say(asked, { claims: { iat: -600, exp: -570 } }), "clock_differs"],
		"of in 10 minutes": [(n, asked) => n.say(asked, { claims: { iat: 600, exp: 630 } }), "clock_differs"],
		"good for an hour": [(n, asked) => n.say(asked, { claims: { exp: 3600 } }), "lifetime"],
		"under another key": [(n, asked) => n.say(asked, { key: new NodeKey() }), "signature"],
		"the question itself": [(n, asked) => n.say(asked, { token: asked.request.headers.authorization.slice(7) }), "other_kind"],
		"nothing at all": [(n, { response }) => response.end(), "empty"],
		"a page": [(n, { response }) => response.end(`<!DOCTYPE html>${HTML}`), "malformed"],
		"100 MB": [(n, { response }) => flood(response), "answer_too_large"],
		"1 MB without saying so": [(n, { response }) => response.flushHeaders() ?? response.end("x".repeat(1024 * 1024)), "answer_too_large"],
		"900 headers": [(n, { response }) => response.writeHead(200, Array.from({ length: 900 }, (_, i) => [`X-${i}`, "y"]).flat()).end(), "answer_too_large"],
		"no HTTP": [(n, { response }) => response.socket.end(`${MARK}\r\n\r\n`), "answer_not_http"],
		"a redirect to a node that is well": [(n, { response }) => redirect(response, 302, `${fleet.node("north").url}/v1/node/status`), "status_not_200"],
		"an error": [(n, { response }) => json(response, 500, { detail: QUOTES }), "status_not_200"],
		"fewer sessions than none": [(n, asked) => n.say(asked, { status: { sessions: -1 } }), "sessions"],
		"more memory than there is": [(n, asked) => n.say(asked, { status: { memory_bytes: 1e300 } }), "memory_bytes"],
		"half a CPU": [(n, asked) => n.say(asked, { status: { cpu_milli: 0.5 } }), "cpu_milli"],
		"NaN sessions": [(n, asked) => n.say(asked, { status: withSessions('"sessions":NaN') }), "claims"],
		"sessions twice": [(n, asked) => n.say(asked, { status: withSessions('"sessions":0,"sessions":1') }), "claims"],
		"another version of the record": [(n, asked) => n.say(asked, { status: { v: 2 } }), "v"],
		"10,000 suspects": [(n, asked) => n.say(asked, { status: { suspects: Array(10_000).fill("south") } }), "answer_too_large"],
		"more suspects than fit an answer": [(n, asked) => n.say(asked, { status: { suspects: Array(17).fill("south") } }), "suspects"],
		"suspects with control characters": [(n, asked) => n.say(asked, { status: { suspects: ["south\nevent=forged"] } }), "suspects"],
		"a certificate of another name": [(n) => n.ca.issue({ names: ["203.0.113.1"] }), "certificate_or_tls"],
		"a certificate of nobody's": [() => stranger.issue({ names: ["203.0.113.1"] }), "certificate_or_tls"],
		"a certificate of yesterday": [(n) => n.ca.issue({ names: [n.node.host], days: -1 }), "certificate_or_tls"],
	};

	// One wrong answer after another, each told once, and a good one between them.
	async function tryOut(node, [title, [answer, reason]]) {
		const { name } = node.node;
		const log = fleet.at("north");
		const mark = log.logMark();
		if (reason === "certificate_or_tls")
			node.present(answer(node));
		else
			node.onStatus = (asked) => answer(node, asked);
		const said = await until(`${name}: ${title}`, () => log.events({ event: "node_status_refused", node: name }, mark)[0]);
		assert.equal(said.reason, reason, `${name}: ${title}`);
		assert.notEqual((await fleet.states("north", alice))[name], "up", title);
		if (reason === "certificate_or_tls")
			node.present(node.good);
		node.behave();
		await until(`${name} is up again after ${title}`, async () => (await fleet.states("north", alice))[name] === "up", { timeout: 15_000 });
	}

	test("what a node must not say of itself: it does not count as up, the log says why, and the others are as they were", async () => {
		const marks = Object.fromEntries(REAL.map((name) => [name, fleet.at(name).logMark()]));
		const left = Object.entries(refused);
		await Promise.all(PLAYED.map(async (name) => {
			for (let next; (next = left.shift()); )
				await tryOut(played[name], next).catch((error) => {
					left.length = 0;
					throw error;
				});
		}));
		for (const by of REAL) {
			assert.deepEqual(whoIsOut(by, marks[by]).filter((name) => REAL.includes(name)), []);
			assert.deepEqual(fleet.at(by).events({ event: "forged" }, marks[by]), []);
		}
	}, 60_000);

	test("who calls all others dead has them asked a little sooner, and nothing more", async () => {
		await allUp();
		const marks = Object.fromEntries(REAL.map((name) => [name, fleet.at(name).logMark()]));
		for (const name of PLAYED)
			played[name].onStatus = (asked) => played[name].say(asked, { status: { suspects: [...REAL, ...PLAYED] } });
		const ask = (by, name, suspects) => fleet.at(by).api("GET", "/v1/node/status",
			{ headers: { Authorization: `Bearer ${played[name].key.ask({ iss: name, aud: by, suspects })}` } });
		const end = Date.now() + 4000;
		for (let turn = 0; Date.now() < end; turn++, await sleep(100))
			for (const by of REAL) {
				assert.equal((await ask(by, PLAYED[turn % PLAYED.length], [...REAL, ...PLAYED, "nobody"])).status, 200);
				const states = await fleet.states(by, alice);
				assert.deepEqual([...REAL, ...PLAYED].filter((name) => states[name] !== "up"), [], JSON.stringify(states));
			}
		for (const by of REAL)
			assert.deepEqual(fleet.at(by).events({ event: "node_state" }, marks[by]), []);
		for (const suspects of [Array(17).fill("south"), ["south\nevent=forged"], ["x".repeat(65)], [1], {}, null])
			assert.equal((await ask("north", "mallory", suspects)).status, 401, JSON.stringify(suspects));
	});

	test("a load of nothing prefers nobody against a rule; one of all there is leaves no room", async () => {
		for (const name of PLAYED)
			played[name].onStatus = (asked) => played[name].say(asked, { status: { sessions: 10_000_000, cpu_milli: 1e12, memory_bytes: 2 ** 52 } });
		const taken = played.mallory.asked.length;
		await sleep(2500);
		const full = await create();
		assert.deepEqual([full.status, full.json.placement?.node, played.mallory.asked.length], [201, "north", taken], full.body);
		await end(full.json.session_id);
		for (const name of PLAYED)
			played[name].behave();
		await sleep(1500);
		// The label is what the file says, and the file gives it to mallory alone.
		const { status, json: said } = await create({}, { profile: "default", latency_ms: { mallory: 60, north: 1 } });
		assert.deepEqual([status, said.placement.node], [201, "north"]);
		await end(said.session_id);
	});

	// --- asked to make a session ---

	// Answers of mallory's: a session as an honest node gives it, but for what is said here.
	const says = (more) => ({ response }) => json(response, 201, played.mallory.made(more?.()));
	const terminal = (change, of = "mallory") => says(() => {
		const id = idOf(of);
		return { id, attach: { ws_url: change(ptyOf(fleet.node("mallory").url, id)) } };
	});
	const swap = (from, to) => (text) => text.replace(from, to);
	const bad = {
		"nothing, ever": never,
		"a byte now and then": ({ response }) => drip(response, `${JSON.stringify(played.mallory.made())}${" ".repeat(1000)}`),
		"the line is cut": hangUp,
		"half an answer": ({ response }) => {
			response.writeHead(201, { "Content-Type": "application/json", "Content-Length": 5000 });
			response.write('{"session_id":"');
			setTimeout(() => response.destroy(), 50);
		},
		"100 MB": ({ response }) => flood(response),
		"500": ({ response }) => json(response, 500, { title: HTML, detail: HTML }),
		"500 with a page": ({ response }) => response.writeHead(500, { "Content-Type": "text/html" }).end(HTML),
		"302 to a node that is well": ({ response }) => redirect(response, 302, `${fleet.node("north").url}/v1/sessions`),
		"307 to itself": ({ response }) => redirect(response, 307, "/v1/sessions"),
		"409 to elsewhere": ({ response }) => problem(response, 409, { code: "on_other_node", location: "https://203.0.113.1/v1/sessions" }),
		"200": ({ response }) => json(response, 200, played.mallory.made()),
		"204": ({ response }) => response.writeHead(204).end(),
		"a page": ({ response }) => response.writeHead(201, { "Content-Type": "text/html" }).end(HTML),
		"an empty body": ({ response }) => json(response, 201, ""),
		"a list": ({ response }) => json(response, 201, [played.mallory.made()]),
		"very deep": ({ response }) => json(response, 201, `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`),
		"the same member twice": ({ response }) => json(response, 201,
			JSON.stringify(played.mallory.made()).replace("{", `{"session_id":"${idOf("mallory")}",`)),
		"no token": says(() => ({ attach: { token: undefined } })),
		"a token with a line of its own": says(() => ({ attach: { token: `e30.e30.x\r\nX: ${MARK}` } })),
		"a token of 5 KB": says(() => ({ attach: { token: "x".repeat(5000) } })),
		"no session": says(() => ({ session_id: undefined })),
		"another node's session": terminal((text) => text, "north"),
		"another place": says(() => ({ placement: played.mallory.place({ node: "north" }) })),
		"a place with control characters": says(() => ({ placement: played.mallory.place({ region: CONTROLS }) })),
		"a tier that is none": says(() => ({ placement: played.mallory.place({ tier: HTML }) })),
		"a terminal on another host": terminal(swap(/\/\/[^:]+/, "//203.0.113.1")),
		"a terminal on another node": terminal((text) => text.replace(fleet.node("mallory").host, fleet.node("north").host)),
		"a terminal on another port": terminal(swap(/:\d+\//, "/")),
		"a terminal without TLS": terminal(swap("wss:", "ws:")),
		"a terminal by http:": terminal(swap("wss:", "http:")),
		"a terminal by https:": terminal(swap("wss:", "https:")),
		"a terminal by javascript:": terminal(() => `javascript:alert("${MARK}")`),
		"a terminal with a user": terminal(swap("//", "//north@")),
		"a terminal elsewhere on it": terminal(swap("pty", "../x")),
		"a terminal with a query": terminal((text) => `${text}?token=${MARK}`),
		"a terminal of another session": terminal((text) => text.replace(/sessions\/[^/]+/, `sessions/${idOf("mallory")}`)),
		"a problem with a page": ({ response }) => problem(response, 403, { detail: HTML, title: HTML }),
		"a problem with control characters": ({ response }) => problem(response, 429, { code: "too_many", detail: CONTROLS, title: CONTROLS }),
		"a problem that ends the quotes of the log": ({ response }) => problem(response, 403, { detail: QUOTES, title: QUOTES, rule_id: QUOTES }),
		"a problem without its code": ({ response }) => problem(response, 403, { code: undefined, detail: HTML }),
		"a problem with another status": ({ response }) => json(response, 403, { status: 201, code: "forbidden", title: HTML }),
	};

	// Of what it said nothing has come through, in the answer or in the log.
	function assertUntouched(answer, title, mark) {
		assert.ok(!answer.body.includes(MARK), `${title}: ${answer.body}`);
		const lines = fleet.at("south").logLines(mark);
		for (const line of lines)
			assert.doesNotMatch(line, RAW, title);
		assert.deepEqual(fleet.at("south").events({ event: "forged" }, mark), [], `${title}: a line that it wrote`);
		for (const fields of fleet.at("south").events({ event: /^forward_/ }, mark))
			assert.ok(["mallory", "north"].includes(fields.node), `${title}: a field that it wrote: ${JSON.stringify(fields)}`);
	}

	test("a create: the next node serves within 3 s, there is one session, and nothing of its words comes through", async () => {
		await allUp();
		const took = {};
		for (const [title, answer] of Object.entries(bad)) {
			played.mallory.onCreate = answer;
			await sleep(150); // ten creates a second are passed on for one person
			const [count, mark, begun] = [played.mallory.asked.length, fleet.at("south").logMark(), Date.now()];
			const made = await create();
			took[title] = Date.now() - begun;
			assert.ok(took[title] < 3000, `${title}: ${took[title]} ms`);
			assert.deepEqual([made.status, made.json.placement?.node], [201, "north"], `${title}: ${made.body}`);
			assert.ok(made.json.placement_reason.split(",").includes("next-best"), made.json.placement_reason);
			assert.ok(made.json.attach.ws_url.startsWith(fleet.node("north").url.replace("https:", "wss:")), made.json.attach.ws_url);
			assert.equal(played.mallory.asked.length, count + 1, `${title}: asked once`);
			assert.deepEqual(await living(), [made.json.session_id], title);
			assertUntouched(made, title, mark);
			await end(made.json.session_id);
			if ((await fleet.states("south", alice)).mallory !== "up")
				await fleet.waitState("south", "mallory", "up");
		}
	}, 60_000);

	test("what it is given: the token that the person gave, the wish, and no more", async () => {
		const { headers, body: sent } = played.mallory.asked.findLast(({ method, url }) => method === "POST" && url === "/v1/sessions");
		assert.equal(headers.authorization, `Bearer ${alice}`);
		assert.equal(headers["fog-forwarded-by"], "south");
		assert.deepEqual(JSON.parse(sent), { profile: "default", ttl_seconds: 600, placement_hint: "mallory" });
		assert.equal(headers.cookie ?? headers.dpop ?? headers["x-forwarded-for"], undefined);
	});

	test("a session that it had a real node make with the person's token is not given out, and ends by itself", async () => {
		let stolen;
		played.mallory.onCreate = async ({ headers, response }) => {
			const { body: text } = await exchange(fleet.node("north").url, "POST", "/v1/sessions", {
				ca: fleet.ca.pem, headers: { Authorization: headers.authorization, "Fog-Forwarded-By": "mallory" }, body: body(),
			});
			stolen = JSON.parse(text).session_id;
			json(response, 201, text);
		};
		const made = await create();
		assert.equal(made.status, 201, made.body);
		assert.ok(stolen);
		assert.notEqual(made.json.session_id, stolen);
		await until("the other one is gone", async () => !(await living()).includes(stolen), { timeout: 20_000 });
		assert.deepEqual(await living(), [made.json.session_id]);
		await end(made.json.session_id);
	});

	test("one key, one session, though the first that was asked failed", async () => {
		played.mallory.onCreate = hangUp;
		const headers = { "Idempotency-Key": "in spite of it" };
		const first = await create({ headers });
		const again = await create({ headers });
		assert.deepEqual([first.status, again.status, again.json.session_id], [201, 201, first.json.session_id], again.body);
		assert.deepEqual(await living(), [first.json.session_id]);
		await end(first.json.session_id);
	});

	test("where it is the only one that may: refused, in words without its own bytes", async () => {
		for (const title of ["nothing, ever", "100 MB", ...Object.keys(bad).filter((name) => name.startsWith("a problem "))]) {
			played.mallory.onCreate = bad[title];
			const [mark, begun] = [fleet.at("south").logMark(), Date.now()];
			const refusal = await create({}, { profile: "trap" });
			assert.ok(Date.now() - begun < 4000, title);
			assert.ok([403, 503].includes(refusal.status), `${title}: ${refusal.body}`);
			assert.match(refusal.headers["content-type"], /^application\/problem\+json/);
			assert.equal(refusal.headers["x-content-type-options"], "nosniff");
			for (const text of Object.values(refusal.json).map(String))
				assert.doesNotMatch(text, RAW, title);
			for (const line of fleet.at("south").logLines(mark))
				assert.doesNotMatch(line, RAW, title);
			assert.deepEqual(fleet.at("south").events({ event: "forged" }, mark), [], `${title}: a line that it wrote`);
			assert.deepEqual(await living(), [], title);
		}
	});

	// --- asked about sessions ---

	const session = (id, more) => ({
		session_id: id, profile: "default", status: "running", created_at: soon(), expires_at: soon(),
		placement: { node: "mallory", region: "here", tier: "fog" }, placement_reason: "fog-first", ...more,
	});

	test("lists: its own rows are told, others' are not, and nothing that it does holds up or hides the rest", async () => {
		const made = await create({}, { latency_ms: { north: 1, south: 50 } });
		const mine = made.json.session_id;
		const list = async (answer) => {
			played.mallory.onOther = answer;
			const begun = Date.now();
			const got = await fleet.at("south").api("GET", "/v1/sessions", { token: alice });
			assert.equal(got.status, 200, got.body);
			assert.ok(Date.now() - begun < 3000);
			assert.equal(got.json.sessions.filter(({ session_id: id, placement }) => id === mine && placement.node === "north").length, 1, got.body);
			assert.ok(!got.body.includes(MARK), got.body);
			const { sessions, unreachable_nodes: names = [] } = got.json;
			return [names.filter((name) => name === "mallory").length, sessions.filter(({ placement }) => placement.node === "mallory").length];
		};
		const tells = (...said) => ({ response }) => json(response, 200, { sessions: said, evil: HTML });
		for (const name of PLAYED)
			played[name].onOther = ({ response }) => json(response, 200, { sessions: [] });
		assert.deepEqual(await list(tells(session(idOf("mallory"), { evil: HTML }))), [0, 1]);
		for (const [title, answer] of Object.entries({
			"never": never,
			"flood": ({ response }) => flood(response),
			"cut": hangUp,
			"page": ({ response }) => response.end(HTML),
			"another's session": tells(session(mine)),
			"in another's place": tells(session(mine, { placement: made.json.placement, status: "failed" })),
			"a profile of control characters": tells(session(idOf("mallory"), { profile: CONTROLS })),
			"a thousand": tells(...Array.from({ length: 1000 }, () => session(idOf("mallory"), { profile: MARK }))),
			"a redirect": ({ response }) => redirect(response, 302, `${fleet.node("north").url}/v1/sessions`),
		}))
			assert.deepEqual(await list(answer), [1, 0], title);
		await end(mine);
	});

	test("its sessions: another one, another place, another terminal or a page instead of them: unreachable, in our words", async () => {
		const id = idOf("mallory");
		const asks = [["GET", ""], ["DELETE", ""], ["PATCH", "", {}], ["POST", "/attach", { role: "driver" }]];
		for (const [title, answer] of Object.entries({
			"a page": ({ response }) => response.end(HTML),
			"a page as 404": ({ response }) => response.writeHead(404).end(HTML),
			"another session": ({ response }) => json(response, 200, session(idOf("mallory"))),
			"another place": ({ response }) => json(response, 200, session(id, { placement: { node: "north", region: "here", tier: "fog" } })),
			"a grant for another": ({ response }) => json(response, 201, played.mallory.made().attach),
			"a grant on another": ({ response }) => json(response, 201, played.mallory.made({ id, attach: { ws_url: ptyOf(fleet.node("north").url, id) } }).attach),
			"control characters": ({ response }) => json(response, 200, session(id, { profile: CONTROLS })),
			"the line is cut": hangUp,
			"500": ({ response }) => problem(response, 500, { code: "internal", detail: HTML }),
		})) {
			played.mallory.onOther = answer;
			await sleep(4 * 1000 / 16); // as many requests a second are passed on for one person
			for (const [method, tail, sent] of asks) {
				const got = await fleet.at("south").api(method, `/v1/sessions/${id}${tail}`, { token: alice, body: sent });
				assert.deepEqual([got.status, got.json.code], [503, "node_unreachable"], `${title}, ${method}: ${got.body}`);
				assert.ok(!got.body.includes(MARK), got.body);
			}
		}
		// A refusal of a person's wish is told, as one that this node gave, and as JSON.
		played.mallory.onOther = ({ response }) => problem(response, 404, { code: "not_found", detail: QUOTES, title: QUOTES });
		const mark = fleet.at("south").logMark();
		const told = await fleet.at("south").api("GET", `/v1/sessions/${id}`, { token: alice });
		assert.deepEqual([told.status, told.json.node, told.headers["x-content-type-options"]], [404, "mallory", "nosniff"]);
		assert.deepEqual(fleet.at("south").events({ event: "forged" }, mark), []);
	});

	test("one key, one session: where its node is silent, a repeat is refused and makes no other", async () => {
		const id = idOf("mallory");
		played.mallory.onCreate = ({ response }) => json(response, 201, played.mallory.made({ id }));
		const headers = { "Idempotency-Key": "once, wherever" };
		const first = await create({ headers });
		assert.deepEqual([first.status, first.json.session_id], [201, id], first.body);
		played.mallory.onCreate = hangUp;
		const again = await create({ headers });
		assert.equal(again.status, 503, again.body);
		assert.deepEqual(await living(), [], "no second session for the same key");
	});

	// --- what clients say ---

	test("latency_ms: unknown nodes count nothing, and what is no figure is refused by the member's name", async () => {
		const send = (text) => fleet.at("south").api("POST", "/v1/sessions", {
			token: alice, body: `{"profile":"default","ttl_seconds":600,"latency_ms":${text}}`,
		});
		const figures = ["-1", "1000000000", "60001", "1.5", "1e300", '"1"', "null", "true"];
		for (const text of [...figures.map((figure) => `{"north":${figure}}`), '{"":1}', `{"${"n".repeat(65)}":1}`, '[1]', '"near"', "-1",
			`{${Array.from({ length: 65 }, (_, i) => `"n${i}":1`)}}`, `{${Array.from({ length: 60 }, (_, i) => `"${"n".repeat(60)}${i}":1`)}}`]) {
			const { status, json: said, body: raw } = await send(text);
			assert.equal(status, 400, `${text.slice(0, 60)}: ${raw}`);
			assert.match(`${said.detail} ${JSON.stringify(said)}`, /latency_ms/, `${text.slice(0, 60)}: ${raw}`);
		}
		for (const text of ['{"north":NaN}', '{"north":Infinity}', '{"north":1,"north":2}', '{"north":1'])
			assert.equal((await send(text)).status, 400, text);
		const many = await send(`{${Array.from({ length: 100_000 }, (_, i) => `"n${i}":1`)}}`);
		assert.ok([400, 413].includes(many.status), `${many.status}`);
		const made = await fleet.at("south").expect(201, "POST", "/v1/sessions", {
			token: alice, body: body({ latency_ms: { atlantis: 0, "../../etc": 1, [HTML]: 2, north: 5, south: 60_000 } }),
		});
		assert.equal(made.placement.node, "north");
		await end(made.session_id);
	});

	test("Fog-Forwarded-By: a node's name, once, or the request is refused; a name only takes choices away", async () => {
		const send = (value) => exchange(fleet.node("south").url, "POST", "/v1/sessions", {
			ca: fleet.ca.pem, token: alice, body: body(), headers: { "Fog-Forwarded-By": value },
		});
		for (const value of ["", "North", "a b", "n".repeat(65), 'x"y', "a,b", "n\u00f6rd", ["north", "south"]]) {
			const { status, body: raw } = await send(value);
			assert.equal(status, 400, `${JSON.stringify(value)}: ${raw}`);
		}
		for (const value of ["nobody", "south", "north", ".", "-"]) {
			const { status, body: raw } = await send(value);
			assert.equal(status, 201, `${value}: ${raw}`);
			assert.equal(JSON.parse(raw).placement.node, "south", value);
			await end(JSON.parse(raw).session_id);
		}
	});

	// --- nodes.yaml ---

	const change = (from, to) => (text) => {
		const changed = text.replace(from, to);
		assert.notEqual(changed, text);
		return changed;
	};
	const south = (key, value) => change(new RegExp(`(name: south[\\s\\S]*?${key}: ).*`), `$1${value}`);
	const noPoint = () => {
		const spki = Buffer.from(fleet.node("south").publicKey, "base64");
		return Buffer.concat([spki.subarray(0, 27), Buffer.alloc(64, 1)]).toString("base64");
	};
	// Each with a part of the line that is named.
	const files = {
		"two nodes of one name": [south("name", "north"), /the name of the node "north"/],
		"two nodes of one key": [(text) => south("public_key", `"${fleet.node("north").publicKey}"`)(text), /the key of the node "north"/],
		"two nodes of one address": [(text) => south("url", fleet.node("north").url)(text), /the url of the node "north"/],
		"a tier that is none": [south("tier", "mist"), /fog or cloud/],
		"a trust that is none": [south("trust", "blind"), /attested, trusted or basic/],
		"a region that is no name": [south("region", '"Rue de Rivoli"'), /region/],
		"an address without TLS": [south("url", "http://10.0.0.1"), /must begin with https:\/\//],
		"an address with a user": [south("url", "https://root@10.0.0.1"), /must have no user/],
		"an address with a path": [south("url", "https://10.0.0.1/x"), /must have no path/],
		"an address outside of the fleet": [south("url", "https://203.0.113.7"), /FLEET_ORIGINS does not cover/],
		"room for -1": [south("capacity", "{sessions: -1}"), /capacity\.sessions/],
		"room for none": [south("capacity", "{sessions: 0}"), /capacity\.sessions/],
		"room for 10^12": [south("capacity", "{sessions: 1000000000000}"), /capacity\.sessions/],
		"no room named": [south("capacity", "{}"), /sessions/],
		"a key that is none": [south("public_key", '"MFkw"'), /no public key of P-256/],
		"a key that is no point": [(text) => south("public_key", `"${noPoint()}"`)(text), /public_key/],
		"a key that nobody knows": [change("    tier: fog\n", "    colour: red\n    tier: fog\n"), /colour/],
		"the same key twice": [change("    tier: fog\n", "    tier: fog\n    tier: fog\n"), /tier/],
		"no nodes": [() => "nodes: []\n", /nodes/],
		"no list": [() => "nodes: 7\n", /nodes/],
		"not this node": [change(/ {2}- name: north\n(?: {4}.*\n)+/, ""), /"north"/],
		"self that is none": [(text) => `self: nobody\n${text}`, /nobody/],
		"no YAML": [() => "nodes: [\n", /nodes\.yaml:[12]/],
		"control characters": [south("region", '"a\\u001b[2Jb"'), /region/],
		"nothing": [() => "", /nodes/],
	};

	test("a bad nodes.yaml: refused with file and line at the start, and on a reload the old one is kept", async () => {
		const north = fleet.node("north");
		const before = fs.readFileSync(north.nodesFile, "utf8");
		const env = {
			NODE_NAME: "north", NODES_CONFIG: north.nodesFile, NODE_KEY_FILE: north.keyFile,
			FLEET_ORIGINS: [...REAL, ...PLAYED].map((name) => fleet.node(name).url).join(" "),
		};
		const known = Object.keys(await fleet.states("north", alice)).sort();
		const place = new RegExp(`${path.basename(north.nodesFile).replaceAll(".", "\\.")}:(\\d+):`);
		for (const [title, [make, words]] of Object.entries(files)) {
			const text = make(before);
			fs.writeFileSync(north.nodesFile, text);
			const started = await runFogd(["-n"], { dir: fleet.at("north").dir, env });
			assert.ok(started.code > 0, `${title}: exit ${started.code}`);
			assert.match(started.text, place, title);
			assert.match(started.text, words, title);
			const mark = fleet.at("north").logMark();
			assert.equal((await fleet.at("north").reload()).event, "reload_refused", title);
			const said = fleet.at("north").logLines(mark).join("\n");
			assert.match(said, place, title);
			for (const output of [said, started.text])
				assert.doesNotMatch(output.replaceAll("\n", ""), RAW, title);
			const line = Number(place.exec(started.text)[1]);
			assert.equal(Number(place.exec(said)[1]), line, `${title}: the same line twice`);
			const changed = text.split("\n").findIndex((each, i) => each !== before.split("\n")[i]) + 1;
			if (/^(?:two|a (?:tier|trust|region)|an address|room|a key that is none)/.test(title))
				assert.equal(line, changed, `${title}: ${said}`);
		}
		fs.writeFileSync(north.nodesFile, before);
		assert.deepEqual(Object.keys(await fleet.states("north", alice)).sort(), known, "as it was");
		assert.equal((await fleet.at("north").reload()).event, "reloaded");
		const made = await fleet.at("north").expect(201, "POST", "/v1/sessions", { token: alice, body: body({ latency_ms: { south: 1 } }) });
		assert.equal(made.placement.node, "south");
		await end(made.session_id);
	}, 60_000);

	test("nothing that they sent stands raw in a log or a record", () => {
		for (const name of REAL) {
			for (const line of fleet.at(name).logLines())
				assert.doesNotMatch(line, RAW);
			for (const file of fs.readdirSync(path.join(fleet.at(name).stateDir, "audit")))
				for (const line of fs.readFileSync(path.join(fleet.at(name).stateDir, "audit", file), "utf8").split("\n").filter(Boolean)) {
					assert.doesNotMatch(line, RAW);
					JSON.parse(line);
				}
		}
	});
});
