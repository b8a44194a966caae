// SPDX-License-Identifier: MIT
// The page of one node of a real fleet, in a real browser, signed in at a real provider: it measures the nodes, its sessions run on
// others, their terminals are of other origins, and it tells what becomes of them when nodes die and come back. One window has
// tokens that the service may pass on, the other one's are bound to its key, which sends it to the nodes itself.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { Fleet, whyNoFleet } from "../lib/fleet.mjs";
import { policyOf } from "../lib/harness.mjs";
import { USERS } from "../lib/oidc.mjs";
import { sleep, until, withDeadline } from "../lib/proc.mjs";

const skip = whyNoFleet();
const FAR_MS = 30; // one way; a measure has 1.5 s for all, on a busy machine too
const MEASURE_EVERY_MS = 300_000;
const NODES = [
	{ name: "north", region: "lab" },
	{ name: "south", region: "lab", frontMs: FAR_MS },
	{ name: "sky", tier: "cloud", region: "us-east-1", trust: "basic" },
];
const ENTRY = "sky"; // whose page it is

// What a window asks for and is answered, and where its terminals are.
class Wire {
	calls = [];
	sockets = [];

	constructor(page) {
		page.on("response", (response) => this.#take(response).catch(() => undefined));
		page.on("websocket", (socket) => {
			const seen = { host: new URL(socket.url()).host, statuses: [] };
			this.sockets.push(seen);
			socket.on("framereceived", ({ payload }) => {
				const frame = Buffer.from(payload);
				if (frame[0] === 0x73)
					seen.statuses.push(JSON.parse(frame.subarray(1)));
			});
		});
	}

	async #take(response) {
		const request = response.request();
		const { origin, pathname } = new URL(request.url());
		if (!pathname.startsWith("/v1/") && pathname !== "/healthz")
			return;
		const call = { origin, pathname, method: request.method(), status: response.status() };
		this.calls.push(call);
		const body = await response.json().catch(() => undefined);
		Object.assign(call, { sent: request.postDataJSON(), headers: await request.allHeaders(), body });
	}

	of(method, pathname) {
		return this.calls.filter((call) => call.method === method && call.pathname === pathname && call.headers);
	}

	// Those of POST /v1/sessions, each as origin and status.
	get creates() {
		return this.of("POST", "/v1/sessions").map(({ origin, status }) => [origin, status]);
	}
}

describe("the page of a fleet", { skip }, () => {
	const browser = new Browser();
	let fleet;
	let alice, wire, bob, bobWire;

	const url = (name) => fleet.node(name).url;
	const host = (name) => new URL(url(name)).host;
	const test = (title, fn, timeout = 30_000) => it(title, async (t) => {
		try {
			await withDeadline(fn(t), title, timeout);
		} catch (error) {
			fleet.printLogs();
			throw error;
		}
	});

	before(async () => {
		fleet = await Fleet.start({ nodes: NODES, policy: policyOf([["default", { sessions: 16 }]]), provider: { life: 3600 } });
		fleet.idp.configure({ redirectUris: NODES.map(({ name }) => `${url(name)}/signed-in`), dpopBound: false });
		await browser.start({ spki: [fleet.idp.certificate.spki, ...NODES.map(({ name }) => fleet.node(name).spki)] });
	});
	after(async () => {
		await browser.stop();
		await fleet?.stop();
	});

	// bound: tokens are bound to a key of the page, since the provider says that it can do that.
	async function signIn(name, { bound }) {
		let seen;
		const window = await browser.open("about:blank", { watch: (page) => (seen = new Wire(page)) });
		const { page } = window;
		if (!bound) {
			const { dpop_signing_alg_values_supported: dropped, ...metadata } = await fleet.idp.metadata();
			assert.ok(dropped);
			await page.route(/\/\.well-known\//, (route) => route.fulfill({ json: metadata, headers: { "Access-Control-Allow-Origin": "*" } }));
		}
		await page.clock.install();
		await page.goto(url(ENTRY));
		await page.waitForURL(`${fleet.idp.issuer}/interaction/**`);
		await page.fill("input[name=username]", name);
		await page.fill("input[name=password]", USERS[name].password);
		await page.click("button[type=submit]");
		await window.waitState("connected");
		return [window, seen];
	}

	// Of the sessions that the window has open.
	const idsOf = (window) => new URL(window.address()).hash.match(/[0-9a-f]{8}-[0-9a-f-]{27}/g) ?? [];
	const where = (window, text) => window.explain(`it is on ${text}`, async () => await window.text("#where") === text);
	const answers = async (window, text) => {
		await window.type(`clear; echo ${text.slice(0, 2)}''${text.slice(2)}`);
		await window.waitRow(new RegExp(`^${text}$`));
	};
	// All nodes have been asked for their distance since then, each at least until its first two figures, and no measure is under way.
	const measured = async (seen, since = 0) => {
		const answers = () => seen.calls.slice(since).filter(({ pathname }) => pathname === "/healthz");
		for (const { name } of NODES)
			await until(`${name} is measured`, () => answers().filter(({ origin }) => origin === url(name)).length > 2);
		for (let count = -1; count !== answers().length; await sleep(500))
			count = answers().length;
	};
	// The browser tells of an answer later than the page has it.
	const openNew = async (window, seen) => {
		const before = seen.creates.length;
		await window.click("New session", "header");
		await until("a session is made", () => seen.creates.length > before);
		await window.waitState("connected");
	};
	const listed = async (window, fn) => {
		await window.page.click("#list");
		try {
			return await fn();
		} finally {
			await window.page.keyboard.press("Escape");
		}
	};

	test("it measures all nodes, and the session is on the nearest fog node, which is another origin", async () => {
		[alice, wire] = await signIn("alice", { bound: false });
		await measured(wire);
		const probed = new Set(wire.of("GET", "/healthz").map(({ origin }) => origin));
		assert.deepEqual([...probed].sort(), NODES.map(({ name }) => url(name)).sort());
		await openNew(alice, wire);
		const { origin, sent, headers, body } = wire.of("POST", "/v1/sessions").at(-1);
		assert.deepEqual([origin, Object.keys(sent.latency_ms).sort()], [url(ENTRY), ["north", "sky", "south"]]);
		assert.ok(sent.latency_ms.south >= 2 * FAR_MS && sent.latency_ms.north < sent.latency_ms.south, JSON.stringify(sent.latency_ms));
		assert.match(headers.authorization, /^Bearer /);
		assert.equal(body.placement.node, "north");
		await where(alice, "fog · north · lab");
		assert.match(await alice.text("#why"), /^fog nodes come first; the nearest to you$/);
		assert.deepEqual(wire.creates, [[url(ENTRY), 201], [url(ENTRY), 201]]);
		assert.equal(wire.sockets.at(-1).host, host("north"));
		await answers(alice, "42forty");
		assert.equal(await alice.page.locator("#degraded").isVisible(), false);
		assert.deepEqual(browser.problems, []);
	});

	test("a reload comes back to the same shell, through the node that it began with", async () => {
		await alice.type("kept=yes");
		const [address, before] = [alice.address(), wire.calls.length];
		await alice.page.reload();
		await alice.page.waitForURL(address);
		await alice.page.getByRole("tab").last().click();
		await alice.waitState("connected");
		await alice.type("clear; echo kept=$kept");
		await alice.waitRow(/^kept=yes$/);
		await where(alice, "fog · north · lab");
		const asked = wire.calls.slice(before).filter(({ pathname }) => pathname.startsWith("/v1/sessions/"));
		assert.ok(asked.length > 0);
		assert.deepEqual([...new Set(asked.map(({ origin }) => origin))], [url(ENTRY)]);
		assert.equal(wire.sockets.at(-1).host, host("north"));
	});

	test("a token that is bound to the page's key: it is told where, and goes there itself", async () => {
		[bob, bobWire] = await signIn("bob", { bound: true });
		await where(bob, "fog · north · lab");
		await answers(bob, "42bound");
		assert.deepEqual(bobWire.creates, [[url(ENTRY), 409], [url("north"), 201]]);
		const [here, there] = bobWire.of("POST", "/v1/sessions");
		assert.deepEqual([here.body.code, here.body.location], ["on_other_node", `${url("north")}/v1/sessions`]);
		assert.equal(here.headers["idempotency-key"], there.headers["idempotency-key"]);
		for (const { headers, origin } of [here, there]) {
			assert.match(headers.authorization, /^DPoP /);
			assert.equal(JSON.parse(Buffer.from(headers.dpop.split(".")[1], "base64url")).htu, `${origin}/v1/sessions`);
		}
		assert.equal(bobWire.sockets.at(-1).host, host("north"));

		await bob.type("kept=bound");
		const before = bobWire.calls.length;
		await bob.page.reload();
		await bob.waitState("connected");
		await bob.type("clear; echo kept=$kept");
		await bob.waitRow(/^kept=bound$/);
		const attach = bobWire.calls.slice(before).filter(({ method, pathname }) => method === "POST" && pathname.endsWith("/attach"));
		assert.deepEqual(attach.map(({ origin, status }) => [origin, status]), [[url(ENTRY), 409], [url("north"), 201]]);
		await listed(bob, async () => {
			await bob.page.locator("#sessions-list li").first().waitFor();
			assert.match(await bob.page.locator("#sessions-list li").innerText(), / · north · lab$/m);
			assert.equal(await bob.page.locator("#sessions-unreachable li").count(), 0);
		});
		assert.deepEqual(browser.problems, []);
	});

	test("a dead node: the list says that it did not answer, and shows the rest", async () => {
		await fleet.powerOff("south");
		await fleet.waitState(ENTRY, "south", "unreachable");
		for (const window of [alice, bob])
			await listed(window, async () => {
				await window.page.locator("#sessions-unreachable li").first().waitFor();
				assert.deepEqual(await window.page.locator("#sessions-unreachable li").allTextContents(), ["unreachable: south"]);
				assert.match((await window.page.locator("#sessions-list li").allInnerTexts()).join("\n"), / · north · lab$/m);
			});
	});

	test("all fog nodes dead: new sessions are in the cloud, and the page says so", async () => {
		await fleet.powerOff("north");
		await fleet.waitState(ENTRY, "north", "unreachable");
		for (const [window, seen] of [[alice, wire], [bob, bobWire]]) {
			await openNew(window, seen);
			await where(window, "cloud · sky · us-east-1");
			assert.equal(await window.text("#degraded"), "Degraded: in the cloud because no fog node could take it");
			assert.ok(await window.page.locator("#degraded").isVisible());
			assert.match(await window.text("#why"), /no fog node could take it/);
			await until("the session itself says so", () => seen.sockets.at(-1).statuses.some(({ state }) => state === "degraded"));
			assert.equal(seen.sockets.at(-1).statuses.find(({ state }) => state === "degraded").reason, "cloud-fallback");
			assert.equal(seen.sockets.at(-1).host, host(ENTRY));
			await answers(window, "42cloudy");
		}
		await alice.type("kept=cloud");
	});

	test("healed: the fog node is offered, nothing is moved, and who accepts has both", async () => {
		await Promise.all(["north", "south"].map((name) => fleet.powerOn(name)));
		await fleet.settled();
		const inCloud = () => wire.sockets.filter((socket) => socket.host === host(ENTRY)).length;
		const [id, creates, sockets] = [idsOf(alice).at(-1), wire.creates.length, inCloud()];
		for (let round = 0; round < 3; round++) {
			const before = wire.calls.length;
			await alice.page.clock.fastForward(MEASURE_EVERY_MS + 1000);
			await measured(wire, before);
		}
		const offer = "The fog node north is back: open a new session there. This one goes on.";
		await alice.explain("the node is offered", async () => await alice.text("#advice-text") === offer);
		assert.deepEqual([idsOf(alice).at(-1), wire.creates.length], [id, creates], "nothing is done by itself");
		await alice.type("clear; echo kept=$kept");
		await alice.waitRow(/^kept=cloud$/);
		await where(alice, "cloud · sky · us-east-1");
		assert.equal(inCloud(), sockets, "on the same connection");

		await alice.page.getByRole("button", { name: "Open there" }).click();
		await where(alice, "fog · north · lab");
		await alice.waitState("connected");
		await until("it is asked for where it was offered", () => wire.of("POST", "/v1/sessions").at(-1).sent.placement_hint === "north");
		await answers(alice, "42again");
		assert.equal(await alice.page.locator("#degraded").isVisible(), false);
		assert.ok(idsOf(alice).includes(id) && idsOf(alice).at(-1) !== id);
		const token = await fleet.token("alice");
		const { sessions } = await fleet.at(ENTRY).expect(200, "GET", "/v1/sessions", { token });
		assert.equal(sessions.find(({ session_id: other }) => other === id)?.placement.node, ENTRY);
		assert.deepEqual([browser.problems, fleet.idp.problems], [[], []]);
	});
});
