// SPDX-License-Identifier: MIT
// Where a session runs, in the page, in a real browser: distances are measured and sent, a node can be kept to, the place and the reason
// are told, and a better node is offered and never forced. The service, its sessions and its policy for the page are real; the other
// nodes of its list are played, each at a distance of its own.
import assert from "node:assert/strict";
import { after, afterEach, before } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { policyOf, suite } from "../lib/harness.mjs";
import { sleep, until } from "../lib/proc.mjs";

const token = "dev"; // the person that the page signs in as
const MEASURE_EVERY_MS = 300_000;
const MARKUP = "<img src=x onerror=document.title=1>";

const env = { FLEET_ORIGINS: "https://*.fog.test", NODE_NAME: "here", NODE_REGION: "home" };
const other = (name, more = {}) => ({ name, region: "lab", tier: "fog", url: `https://${name}.fog.test`, self: false, state: "up", ...more });

// What stands between a window and the service: a longer list of nodes, their distances, and answers that place elsewhere.
class PlayedFleet {
	others = [];
	self = {};
	distanceMs = {}; // by name; null: no answer at all
	placed = {}; // members of the answer to a create
	unreachable = undefined;
	probes = [];
	creates = [];
	#sockets = [];

	async stand(page) {
		await page.route(/\/v1\/nodes$/, async (route) => {
			const { nodes } = await (await route.fetch()).json();
			const self = nodes.find(({ name }) => name === "here");
			await route.fulfill({ json: { nodes: [{ ...self, self: true, state: "up", ...this.self }, ...this.others] } });
		});
		await page.route(/\/healthz$/, (route) => this.#probe(route));
		await page.route(/\/v1\/sessions$/, (route) => route.request().method() === "POST" ? this.#create(route) : this.#list(route));
		await page.routeWebSocket(/\/pty/, (socket) => {
			socket.connectToServer();
			this.#sockets.push(socket);
		});
	}

	// A status frame on every connection.
	say(status) {
		for (const socket of this.#sockets)
			socket.send(Buffer.from(`s${JSON.stringify(status)}`));
	}

	async #probe(route) {
		const { hostname } = new URL(route.request().url());
		const name = hostname.endsWith(".fog.test") ? hostname.replace(".fog.test", "") : "here";
		this.probes.push(name);
		if (this.distanceMs[name] === null)
			return; // until the page gives up
		await sleep(this.distanceMs[name] ?? 1);
		await route.fulfill({ body: "ok", headers: { "Access-Control-Allow-Origin": "*" } }).catch(() => undefined);
	}

	// The service knows none of the others: it is asked without them.
	async #create(route) {
		const asked = route.request().postDataJSON();
		this.creates.push(asked);
		const { placement_hint: _hint, latency_ms: _latency, ...postData } = asked;
		const response = await route.fetch({ postData });
		await route.fulfill({ response, json: { ...await response.json(), ...this.placed } });
	}

	async #list(route) {
		const response = await route.fetch();
		await route.fulfill({ response, json: { ...await response.json(), unreachable_nodes: this.unreachable } });
	}

	count(name) {
		return this.probes.filter((probed) => probed === name).length;
	}
}

suite("nodes in the page", { policy: policyOf([["default", { sessions: 8 }]]), env }, ({ fog, test }) => {
	const browser = new Browser();
	const windows = [];

	before(() => browser.start());
	after(() => browser.stop());
	afterEach(async () => {
		for (const window of windows.splice(0)) {
			await window.page.unrouteAll({ behavior: "ignoreErrors" });
			await window.close();
		}
		for (const { session_id: id } of (await fog.expect(200, "GET", "/v1/sessions", { token })).sessions) {
			const { status } = await fog.api("DELETE", `/v1/sessions/${id}`, { token });
			// One that was being made for a window that has closed goes by itself.
			assert.ok(status === 200 || status === 404, `${status}`);
		}
	});

	async function open(fleet, { clock = false } = {}) {
		const window = await browser.open("about:blank");
		windows.push(window);
		if (clock)
			await window.page.clock.install();
		await fleet.stand(window.page);
		await window.page.goto(fog.url);
		await window.waitState("connected");
		return window;
	}

	const fleetOf = (members) => Object.assign(new PlayedFleet(), members);
	const shown = (window, id) => window.page.locator(`#${id}`).isVisible();
	const said = (window, id) => window.explain(`#${id} says something`, () => window.text(`#${id}`));
	const settled = async (fleet) => {
		for (let count = -1; count !== fleet.probes.length; await sleep(400))
			count = fleet.probes.length;
	};
	const place = (tier, reason, node = "here") => ({ placement: { node, region: "home", tier }, placement_reason: reason });

	async function keepTo(window, name) {
		await window.page.click("#list");
		await window.page.getByLabel("Node for new sessions").selectOption(name);
		await window.page.keyboard.press("Escape");
	}

	// One more measure: when it is due, and over.
	async function measureAgain(window, fleet) {
		const before = fleet.count("here");
		await window.page.clock.fastForward(MEASURE_EVERY_MS + 1000);
		await until("the nodes are measured again", () => fleet.count("here") >= before + 3);
		await settled(fleet);
	}

	test("distances are measured once, in parallel, and go with the next session; who does not answer is left out", async () => {
		const fleet = fleetOf({
			others: [
				other("near"), other("far"), other("silent"), other("down", { state: "unreachable" }), other("away", { state: "draining" }),
				other("plain", { url: "http://plain.fog.test" }),
			],
			distanceMs: { here: 60, near: 20, far: 400, silent: null },
		});
		const begun = Date.now();
		const window = await open(fleet);
		await settled(fleet);
		assert.ok(Date.now() - begun < 10_000);
		assert.equal(fleet.creates.length, 1, "not held back by the node that does not answer");
		await window.page.click("#new");
		await until("another session is asked for", () => fleet.creates.length === 2);

		const { latency_ms: sent, placement_hint: hint } = fleet.creates[1];
		assert.deepEqual(Object.keys(sent).sort(), ["far", "here", "near"]);
		assert.equal(hint, undefined);
		for (const [name, ms] of Object.entries(sent))
			assert.ok(Number.isInteger(ms) && ms >= fleet.distanceMs[name] - 2 && ms < fleet.distanceMs[name] + 200, `${name}: ${ms}`);
		assert.ok(sent.near < sent.here && sent.here < sent.far);
		assert.equal(fleet.count("near"), 6);
		assert.ok(fleet.count("far") <= 3, "given up early");
		assert.equal(fleet.count("silent"), 1);
		assert.deepEqual([...new Set(fleet.probes)].sort(), ["far", "here", "near", "silent"]);
		assert.deepEqual(browser.problems, []);
	});

	test("a node can be kept to, over a reload, and what becomes of that is told", async () => {
		const fleet = fleetOf({ others: [other("near"), other(MARKUP, { url: "https://odd.fog.test" })] });
		const window = await open(fleet);
		const { page } = window;
		await keepTo(window, "near");
		assert.deepEqual(await page.locator("#node option").allTextContents(),
			["Automatic", "here · fog · home", "near · fog · lab", `${MARKUP} · fog · lab`]);
		assert.deepEqual(await page.evaluate(() => ({ ...localStorage })), { "fog.node": "near" });

		fleet.placed = place("fog", "fog-first,hint-honoured", "near");
		await page.click("#new");
		await window.explain("the place is told", async () => await window.text("#where") === "fog · near · home");
		assert.equal(fleet.creates.at(-1).placement_hint, "near");
		assert.equal(await window.text("#why"), "fog nodes come first; the node that was asked for");
		assert.equal(await shown(window, "advice-actions"), false);

		await page.goto("about:blank");
		await page.goto(fog.url);
		await until("the node is asked for again", () => fleet.creates.length === 3);
		assert.equal(fleet.creates[2].placement_hint, "near");

		fleet.placed = place("fog", "fog-first,hint-not-fit,brand-new");
		await page.click("#new");
		assert.equal(await said(window, "advice-text"), "near cannot take this session: it runs on here.");
		assert.equal(await window.text("#why"), "fog nodes come first; the node that was asked for cannot take it; brand-new");
		assert.equal(await page.getByRole("button", { name: "Open there" }).isVisible(), false);
		await page.getByRole("button", { name: "Dismiss" }).press("Enter");
		assert.equal(await window.text("#advice-text"), "");

		fleet.others = [];
		await page.goto("about:blank");
		fleet.placed = place("fog", "local-only,hint-unknown-node");
		await page.goto(fog.url);
		assert.equal(await said(window, "advice-text"), "near is not known here: it runs on here.");
		await window.explain("the node is still there to be given up", async () =>
			(await page.locator("#node option").allTextContents()).includes("near · not in the list"));
		await keepTo(window, "");
		assert.deepEqual(await page.evaluate(() => ({ ...localStorage })), {});
		await page.click("#new");
		await until("nothing is asked for any more", () => fleet.creates.length === 6 && !("placement_hint" in fleet.creates[5]));
		assert.equal(await page.locator("#node img, .advice img").count(), 0);
		assert.deepEqual(browser.problems, []);
	});

	test("in the cloud because no fog node could take it: said beside the tabs, aloud, and for that session alone", async () => {
		const fleet = fleetOf({ placed: place("cloud", "cloud-fallback,next-best", "big") });
		const window = await open(fleet);
		const { page } = window;
		const text = "Degraded: in the cloud because no fog node could take it";
		assert.equal(await said(window, "degraded"), text);
		assert.ok(await page.getByRole("status").filter({ hasText: text }).isVisible());
		assert.equal(await window.text("#where"), "cloud · big · home");
		assert.match(await page.getByRole("tab").first().textContent(), /, degraded/);

		fleet.placed = place("fog", "fog-first");
		await page.click("#new");
		await window.explain("the other session is well", async () => await window.text("#where") === "fog · here · home");
		await window.waitState("connected");
		assert.equal(await shown(window, "degraded"), false);

		// The same from the session itself, whenever that comes to know it.
		fleet.say({ state: "degraded", reason: "cloud-fallback", detail: "us-east-1" });
		assert.equal(await said(window, "degraded"), text);
		await window.waitStatus(/^Connected$/);
		fleet.say({ state: "degraded", reason: "slow-disk", detail: `the disk is slow ${MARKUP}` });
		await window.explain("in words of the service", async () => await window.text("#degraded") === `Degraded: the disk is slow ${MARKUP}`);
		await page.setViewportSize({ width: 400, height: 700 });
		assert.ok(await shown(window, "degraded"));
		assert.deepEqual(browser.problems, []);
	});

	test("a nearer node is offered after three measures, once; whoever accepts keeps the old session", async () => {
		const fleet = fleetOf({ others: [other("near")], distanceMs: { here: 150, near: 20 }, placed: place("fog", "fog-first") });
		const window = await open(fleet, { clock: true });
		const { page } = window;
		await settled(fleet);
		await measureAgain(window, fleet);
		assert.equal(await window.text("#advice-text"), "");
		const first = window.address();
		// The third that agrees; on a busy machine one may not, and the count begins anew.
		for (let round = 0; round < 8 && !await window.text("#advice-text"); round++)
			await measureAgain(window, fleet);
		assert.match(await said(window, "advice-text"), /^near is nearer \(\d+ ms instead of 1\d\d ms\): open a new session there\. This one goes on\.$/);
		assert.equal(fleet.creates.length, 1, "nothing is done by itself");
		assert.equal(await page.getByRole("status").filter({ hasText: "is nearer" }).count(), 1);

		fleet.placed = place("fog", "hint-honoured", "near");
		await page.getByRole("button", { name: "Open there" }).press("Enter");
		await window.explain("a session there", async () => await window.text("#where") === "fog · near · home");
		await window.waitState("connected");
		assert.equal(fleet.creates[1].placement_hint, "near");
		assert.equal((await window.tabs()).length, 2);
		assert.ok(window.address().startsWith(first), "the old one stays");
		assert.deepEqual(await page.evaluate(() => ({ ...localStorage })), {}, "for once");

		await page.getByRole("tab").first().click();
		for (let round = 0; round < 3; round++)
			await measureAgain(window, fleet);
		assert.equal(await window.text("#advice-text"), "", "not again");
		assert.deepEqual(browser.problems, []);
	});

	test("a fog node that is back is told to whoever is in the cloud; it can be dismissed", async () => {
		const fleet = fleetOf({ self: { tier: "cloud" }, others: [other("edge", { state: "unreachable" })], placed: place("cloud", "cloud-fallback") });
		const window = await open(fleet, { clock: true });
		await said(window, "degraded");
		fleet.others = [other("edge")];
		for (let round = 0; round < 3; round++) {
			assert.equal(await window.text("#advice-text"), "");
			await measureAgain(window, fleet);
		}
		assert.equal(await said(window, "advice-text"), "The fog node edge is back: open a new session there. This one goes on.");
		await window.click("Dismiss", "#advice");
		assert.equal(await shown(window, "advice-actions"), false);
		await measureAgain(window, fleet);
		assert.equal(await window.text("#advice-text"), "");
		assert.equal(fleet.creates.length, 1);
		assert.deepEqual(browser.problems, []);
	});

	test("the list tells where each session is, and which nodes did not say what they have", async () => {
		const fleet = fleetOf({ unreachable: ["far", MARKUP] });
		const window = await open(fleet);
		const { page } = window;
		await page.click("#list");
		await page.locator("#sessions-unreachable li").first().waitFor();
		assert.deepEqual(await page.locator("#sessions-unreachable li").allTextContents(), ["unreachable: far", `unreachable: ${MARKUP}`]);
		assert.match(await page.locator("#sessions-list li").innerText(), / · here · home$/m);
		fleet.unreachable = undefined;
		await page.locator("#sessions-unreachable").waitFor({ state: "hidden" });
		assert.deepEqual(browser.problems, []);
	});
});
