// SPDX-License-Identifier: MIT
// Several sessions in the page, in a real browser: the list, tabs, take over and watch, what comes back on a second device, and
// what the page says of a gap, of queued keys, of the round trip and of a session that ends by itself.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { FaultProxy } from "../lib/faultproxy.mjs";
import { policyOf, suite } from "../lib/harness.mjs";
import { sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const token = "dev"; // the person that the page signs in as
const RING_BYTES = 65_536;
const FLOOD_BYTES = 200_000;
const LINES = 2_000_000; // more than ring, gatewayd and the kernel hold on the way
const SHORT_TTL_SECONDS = 20;
const IDLE_SECONDS = 20;
const DELAY_MS = 100; // each way
// By itself the page asks an idle connection every 15 s, and waits 10 s for the answer.
const NUDGED_MS = 8000;
// What was on its way then is lost, or arrives late, beside the new connection.
const NUDGES = [
	["the network is back", { isLost: true, nudge: () => globalThis.dispatchEvent(new Event("online")) }],
	["the network is another", { isLost: true, nudge: () => navigator.connection.dispatchEvent(new Event("change")) }],
	["the page is looked at again", { isLost: false, nudge: () => document.dispatchEvent(new Event("visibilitychange")) }],
];

const proxy = await FaultProxy.start();
const policy = policyOf([
	["default", { sessions: 8 }],
	["short", { ttl: SHORT_TTL_SECONDS }],
	["drowsy", { more: { idle_timeout_seconds: IDLE_SECONDS } }],
]);
const env = { GATEWAY_URL: proxy.url, LISTEN_ADDR: "127.0.0.1:0", OUTPUT_RING_BYTES: String(RING_BYTES) };

// Draws its screen at the start and whenever the size changes, and counts. When the gate is open it writes more than
// the ring holds. In a subshell, which has no job control: all of it is the job that a change of size is told to.
const fullScreen = ({ isOpen, leave }) => String.raw`(n=0; printf '\033[?1049h'; trap draw WINCH;` +
	String.raw` draw() { n=$((n+1)); printf '\033[H\033[2Jdrawn %s\r\n' "$n $(stty size)"; };` +
	String.raw` draw; while :; do sleep 0.05; [ -z "$gate" ] && ${isOpen} && { gate=over; seq 1 30000; ${leave}; }; done)`;

suite("sessions in the page", { policy, env }, ({ fog, test }) => {
	const browser = new Browser();
	const windows = [];

	before(() => browser.start());
	after(() => browser.stop());
	after(() => proxy.stop());
	after(() => folders.forEach((folder) => fs.rmSync(folder, { recursive: true })));
	afterEach(async () => {
		proxy.set();
		for (const window of windows.splice(0))
			await window.close();
		for (const id of await living())
			await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
	});

	// A folder in which a test and a shell tell each other by files: the test opens, the shell goes through and leaves.
	const folders = [];
	function makeGate() {
		const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fog-gate-"));
		fs.chmodSync(folder, 0o777); // the shell may be another user
		folders.push(folder);
		return {
			isOpen: `[ -e ${folder}/open ]`,
			leave: `: > ${folder}/left`,
			pass: async () => {
				fs.writeFileSync(`${folder}/open`, "");
				await until("the shell has gone through", () => fs.existsSync(`${folder}/left`));
			},
		};
	}

	const living = async () => (await fog.expect(200, "GET", "/v1/sessions", { token })).sessions
		.filter(({ status }) => ["starting", "running", "detached"].includes(status)).map(({ session_id: id }) => id);
	const statusOf = async (id) => (await fog.show({ id, token })).status;
	const linkTo = (id) => `${proxy.url}/#s=${id}`;

	async function open(address = proxy.url, options) {
		proxy.target = fog.port;
		const window = await browser.open(address, options);
		windows.push(window);
		return window;
	}

	async function openConnected(address, options) {
		const window = await open(address, options);
		await window.waitState("connected");
		return window;
	}

	// A window with a shell of its own that has been heard of.
	async function openShell(address, options) {
		const window = await openConnected(address, options);
		await window.type("PS1='$ '; clear; echo rea''dy");
		await window.waitRow(/^ready$/);
		return window;
	}

	const idIn = (window) => /#s=([0-9a-f-]{36})/.exec(window.address())[1];
	const row = (window, id) => window.page.locator(`#sessions-list [data-session="${id}"]`);
	const blank = (rows) => rows.join("\n").trimEnd();

	test("the list: by keyboard, to go to a tab, to open another, to end one", async () => {
		const other = await fog.create({ token });
		const doomed = await fog.create({ token });
		const window = await openConnected();
		const own = idIn(window);

		await window.page.focus("#list");
		await window.page.keyboard.press("Enter");
		await row(window, doomed.id).waitFor();
		assert.match(await row(window, other.id).innerText(), /default, detached\nstarted \d+ s ago · ends in 9 min · fog · /);
		assert.match(await row(window, own).innerText(), /open in this page/);
		assert.ok(await window.page.getByRole("dialog", { name: "Your sessions" }).isVisible());

		await row(window, doomed.id).getByRole("button", { name: "End" }).click();
		await window.click("No", "#confirm");
		assert.equal(await statusOf(doomed.id), "detached");
		await row(window, doomed.id).getByRole("button", { name: "End" }).click();
		await window.click("End session", "#confirm");
		await row(window, doomed.id).waitFor({ state: "detached" });
		assert.equal(await statusOf(doomed.id), "terminated");

		// What others make appears while the list is open, and the keyboard stays where it is.
		await row(window, other.id).getByRole("button", { name: "Open" }).focus();
		const late = await fog.create({ token });
		await row(window, late.id).waitFor();
		assert.equal(await window.page.evaluate(() => document.activeElement.closest("li")?.dataset.session), other.id);

		await window.page.keyboard.press("Enter");
		await window.explain("the other session is in a tab of its own", async () =>
			idIn(window) === own && window.address().includes(other.id) && await statusOf(other.id) === "running");
		assert.deepEqual(await window.tabs(), ["default", "*default"]);

		await window.page.click("#list");
		await row(window, own).getByRole("button", { name: "Go to tab" }).click();
		await until("its tab is on top", async () => (await window.tabs())[0] === "*default");
		await window.page.click("#list");
		await row(window, own).waitFor();
		await window.page.keyboard.press("Escape");
		await until("the list is closed", async () => !await window.page.isVisible("#sessions"));
	});

	test("two tabs with a shell each: news, keys, a closed one goes on, and a reload brings both back as they were", async () => {
		const window = await openShell();
		const first = idIn(window);
		await window.type("who=first; clear; echo I am $who");
		await window.waitRow(/^I am first$/);
		await window.page.click("#new");
		await window.waitState("connected");
		await until("both are in the address", () => /#s=[0-9a-f-]{36},[0-9a-f-]{36}&a=1$/.test(window.address()));
		await window.type("PS1='$ '; who=second; clear; echo I am $who");
		await window.waitRow(/^I am second$/);
		const second = /,([0-9a-f-]{36})/.exec(window.address())[1];

		// The one behind goes on receiving, and says so.
		await window.type("(sleep 1; echo be''hind) &");
		await window.page.getByRole("tab").first().click();
		await window.waitRow(/^I am first$/);
		await window.page.waitForSelector(".tab.news");
		assert.match(await window.page.getByRole("tab").nth(1).textContent(), /Connected.*new output/);
		await window.page.getByRole("tab").nth(1).focus();
		await window.page.getByRole("tab").first().focus();
		await window.page.keyboard.press("ArrowRight");
		await window.waitRow(/behind$/);
		assert.equal(await window.page.locator(".tab.news").count(), 0);
		assert.equal(await window.page.evaluate(() => document.activeElement.role), "tab");

		// Each has its own shell and its own screen, before and after.
		const screens = async () => {
			const found = [];
			for (const index of [0, 1]) {
				await window.page.getByRole("tab").nth(index).click();
				await window.waitState("connected");
				await window.waitRow(/^I am/);
				found.push(blank(await window.rows()));
			}
			return found;
		};
		const before = await screens();
		assert.notEqual(before[0], before[1]);
		const pid = async (index) => {
			await window.page.getByRole("tab").nth(index).click();
			await window.type("clear; echo $who=$$");
			return window.waitRow(/^(first|second)=\d+$/);
		};
		await window.page.reload();
		await window.waitState("connected");
		assert.deepEqual((await window.tabs()).map((name) => name[0]), ["d", "*"]);
		assert.deepEqual(await screens(), before);
		const pids = [await pid(0), await pid(1)];
		assert.match(pids.join(), /^first=\d+,second=\d+$/);
		assert.deepEqual(await window.page.evaluate(() => ({ ...sessionStorage })), {});

		// Closing detaches. The button ends.
		await window.page.getByRole("tab").nth(1).focus();
		await window.page.keyboard.press("Delete");
		await until("one tab is left", async () => (await window.tabs()).length === 1);
		await until("the other goes on", async () => await statusOf(second) === "detached");
		await window.page.click("#end");
		await window.click("End session", "#confirm");
		await window.waitState("ended");
		assert.equal(await statusOf(first), "terminated");
		await window.click("Close tab", "#notice");
		await window.waitState("empty");
		await window.click("Your sessions", "#notice");
		await row(window, second).getByRole("button", { name: "Open" }).click();
		await window.waitState("connected");
		await window.type("clear; echo $who=$$");
		await window.waitRow(new RegExp(`^${pids[1]}$`));
	}, { timeout: 60_000 });

	test("a tab behind takes no size from the window until it is on top", async () => {
		const window = await openShell();
		await window.type("(trap 'echo size $(stty size)' WINCH; clear; echo wait''ing; while :; do sleep 0.05; done)");
		await window.waitRow(/^waiting$/);
		await window.page.click("#new");
		await window.waitState("connected");
		await window.page.setViewportSize({ width: 640, height: 420 });
		await sleep(500);
		await window.page.getByRole("tab").first().click();
		await window.waitRow(/^size \d+ \d+$/);
		const sizes = (await window.rows()).filter((text) => /^size/.test(text));
		const count = (await window.rows()).length;
		assert.match(sizes.join(), new RegExp(`^size ${count} \\d+$`), "one change, to the size that is seen");
	});

	test("a link to a session that is driven asks; taking over is told to both, and taking back too", async () => {
		const first = await openShell();
		await first.type("kept=yes");
		const second = await open(linkTo(idIn(first)), { width: 800, height: 500 });
		await second.waitState("asking");
		assert.match(await second.text("#notice"), /Somebody drives this session/);
		assert.equal(await first.page.getAttribute("body", "data-state"), "connected");
		await second.click("Take over", "#notice");
		await second.waitState("connected");
		await first.waitState("taken-over");
		assert.match(await first.text("#notice"), /taken over/);
		await second.waitStatus(/taken over from another connection/);
		await second.type("clear; echo kept=$kept");
		await second.waitRow(/^kept=yes$/);

		await first.click("Take back", "#notice");
		await first.waitState("connected");
		await second.waitState("taken-over");
		await first.type("clear; echo back=$kept");
		await first.waitRow(/^back=yes$/);

		// A reload of the one that drives does not ask, also not one in the middle of another.
		await first.page.reload({ waitUntil: "domcontentloaded" });
		await first.page.reload();
		await first.waitState("connected");
		await first.waitRow(/^back=yes$/);
	});

	test("watch only: sees all, types nothing, has the driver's size; both are told; takes over when asked to", async () => {
		const driver = await openShell();
		const viewer = await open(linkTo(idIn(driver)), { width: 1300, height: 900 });
		await viewer.waitState("asking");
		await viewer.click("Watch only", "#notice");
		await viewer.waitState("watching");
		await driver.waitStatus(/somebody is watching/);
		assert.equal(await driver.text("#viewers"), "1 viewer");
		assert.equal((await viewer.rows()).length, (await driver.rows()).length, "the size is the driver's");
		await driver.type("clear; echo seen by $((1+1))");
		await viewer.waitRow(/^seen by 2$/);
		await driver.waitRow(/^seen by 2$/);
		await until("both show the same", async () => blank(await viewer.rows()) === blank(await driver.rows()));
		await sleep(300); // the prompt is there as well
		const before = blank(await driver.rows());
		assert.equal(blank(await viewer.rows()), before);

		await viewer.type("echo not taken");
		await viewer.waitStatus(/^Watching only: read-only/);
		await sleep(500);
		assert.equal(blank(await driver.rows()), before);

		// Also after a reload nothing is taken over.
		await viewer.page.reload();
		await viewer.waitState("watching");
		await viewer.waitRow(/^seen by 2$/);
		assert.equal(await driver.page.getAttribute("body", "data-state"), "connected");

		await viewer.click("Take over", "#notice");
		await viewer.waitState("connected");
		await driver.waitState("taken-over");
		await viewer.type("clear; echo taken");
		await viewer.waitRow(/^taken$/);
		await driver.click("Watch only", "#notice");
		await driver.waitState("watching");
		await driver.waitRow(/^taken$/);
		await viewer.waitStatus(/somebody is watching/);
	});

	test("a full-screen program draws for a second device and after a reload; a plain shell is not disturbed", async () => {
		const first = await openShell();
		await first.type(`clear; ${fullScreen(makeGate())}`);
		const drawn = async (window) => (await window.waitRow(/^drawn \d+ \d+ \d+$/)).split(" ").slice(1).map(Number);
		const [count, rows] = await drawn(first);
		assert.equal(rows, (await first.rows()).length);
		await first.page.reload();
		await first.waitState("connected");
		await first.explain("it is drawn again at the same size", async () => {
			const [now, same] = await drawn(first);
			return now > count && same === rows;
		});

		const second = await open(linkTo(idIn(first)), { width: 640, height: 420 });
		await second.waitState("asking");
		await second.click("Take over", "#notice");
		await second.waitState("connected");
		await second.explain("it is drawn at the size of the second device", async () => {
			const [, other] = await drawn(second);
			return other < rows && other === (await second.rows()).length;
		});

		const shell = await openShell();
		await shell.type("trap 'echo dis''turbed' WINCH; clear");
		await shell.type("echo $((40+2))");
		await shell.waitRow(/\b42$/);
		await shell.page.reload();
		await shell.waitState("connected");
		await shell.waitRow(/\b42$/);
		await sleep(400);
		await shell.type("echo $((50+2))");
		await shell.waitRow(/\b52$/);
		assert.equal((await shell.rows()).includes("disturbed"), false);
	}, { timeout: 60_000 });

	// Nobody reaches the service; the page has noticed.
	async function cut(...cutWindows) {
		proxy.target = 1; // nothing listens there
		proxy.cutAll();
		for (const window of cutWindows)
			await window.waitState("reconnecting");
	}

	// Drives a session past the proxy.
	const drive = (attach) => BinaryTerminal.open(fog, { ...attach, ws_url: attach.ws_url.replace(/:[0-9]+\//, `:${fog.port}/`) });

	async function mend(window) {
		proxy.target = fog.port;
		await window.page.evaluate(() => globalThis.dispatchEvent(new Event("online")));
	}

	test("the round trip that is shown has the delay of the network in it; while there is no connection there is none", async () => {
		proxy.set({ latencyMs: DELAY_MS });
		const window = await openConnected();
		const roundTrip = async () => Number(/^(\d+) ms$/.exec(await window.text("#latency"))?.[1] ?? 0);
		await window.explain("a round trip is shown", roundTrip);
		const slow = await roundTrip();
		assert.ok(slow >= 2 * DELAY_MS && slow < 2000, `${slow} ms`);

		proxy.set();
		await window.explain("it follows the network", async () => {
			await window.type("");
			return await roundTrip() < 2 * DELAY_MS;
		});
		await cut(window);
		assert.equal(await window.text("#latency"), "");
		assert.equal(await window.page.isVisible("#latency"), false);
		await mend(window);
		await window.explain("it is shown again", roundTrip);
	});

	// Whether the service has confirmed all input of a window: nothing is on its way then, no probe either.
	function watchConfirmed() {
		let asked = 0;
		let typed = 0;
		let confirmed = -1;
		const onSent = ({ payload }) => {
			if (payload[0] === 0x69)
				typed = Number(payload.readBigUInt64BE(1)) + payload.length - 9;
			asked += payload[0] === 0x70 ? 1 : 0;
		};
		const onReceived = ({ payload }) => {
			if (payload[0] !== 0x71)
				return;
			asked--;
			confirmed = Number(payload.readBigUInt64BE(1));
		};
		return {
			watch: (page) => page.on("websocket", (socket) => socket.on("framesent", onSent).on("framereceived", onReceived)),
			wait: () => until("all input is confirmed", () => asked === 0 && confirmed === typed),
		};
	}

	for (const [what, { isLost, nudge }] of NUDGES) {
		test(`${what}: a connection that died without a word is found dead, and resumed exactly`, async () => {
			const { watch, wait } = watchConfirmed();
			const { isOpen, leave, pass } = makeGate();
			const window = await openShell(proxy.url, { watch });
			await window.type(`clear; (until ${isOpen}; do sleep 0.05; done; echo mean''while; ${leave}) &`);
			await window.type("echo be''fore");
			await window.waitRow(/^before$/);
			await wait();
			proxy.set({ stalled: true });
			await pass();
			await window.type("echo ty''ped"); // into the dead connection
			await window.page.evaluate(nudge);
			await window.waitState("reconnecting", { timeout: NUDGED_MS });
			assert.match(await window.text("#notice-detail"), /The service stopped answering/);
			const countOf = async (pattern) => (await window.rows()).filter((text) => pattern.test(text)).length;
			assert.equal(await countOf(/meanwhile$/), 0);

			if (isLost)
				proxy.cutAll();
			proxy.set();
			await mend(window);
			await window.waitStatus(/^Connected: resumed exactly, nothing lost$/);
			await window.waitRow(/^typed$/);
			await window.type("echo la''st");
			await window.waitRow(/^last$/);
			for (const pattern of [/^before$/, /meanwhile$/, /^typed$/])
				assert.equal(await countOf(pattern), 1, `${pattern} in\n${(await window.rows()).join("\n")}`);
		});
	}

	test("keys typed while away are counted, and arrive once", async () => {
		const window = await openShell();
		await cut(window);
		assert.match(await window.text("#countdown"), /^in \d+ s$/);
		await window.type("echo on''ce", "");
		await window.explain("they are counted", async () => /\b11 bytes typed wait to be sent/.test(await window.text("#notice-detail")));
		await mend(window);
		await window.waitStatus(/^Connected: resumed exactly, nothing lost$/);
		await window.type("");
		await window.waitRow(/^once$/);
		assert.equal((await window.rows()).filter((text) => text === "once").length, 1);
		assert.equal(await window.page.isVisible("#skipped"), false);
	});

	test("keys that cannot be sent any more are told", async () => {
		const window = await openShell();
		const id = idIn(window);
		await cut(window);
		await window.type("lost", "");
		await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
		await mend(window);
		await window.waitState("ended");
		assert.match(await window.text("#notice-detail"), /4 bytes typed could not be sent/);
	});

	test("whoever was away for long does not take the session back from another without a question", async () => {
		const init = () => {
			const now = Date.now;
			let slept = 0;
			Date.now = () => now() + slept;
			globalThis.sleepFor = (ms) => { slept += ms; };
		};
		const window = await openShell(proxy.url, { init });
		const id = idIn(window);
		await cut(window);
		const other = await drive(await fog.mint({ id, token }));
		await window.page.evaluate(() => globalThis.sleepFor(200_000));
		await mend(window);
		await window.waitState("asking");
		assert.equal(other.closed, undefined);
		await window.click("Take over", "#notice");
		await window.waitState("connected");
		await until("the other is told", () => other.closed?.code === 4001);
	});

	test("output that the ring has forgotten is told in bytes, and marked on the screen", async () => {
		const window = await openShell();
		const { isOpen, leave, pass } = makeGate();
		const flood = `head -c ${FLOOD_BYTES} /dev/zero | tr '\\0' '\\r'`;
		await window.type(`clear; echo go''ing; until ${isOpen}; do sleep 0.05; done; ${flood}; ${leave}; echo do''ne`);
		await window.waitRow(/^going$/);
		await cut(window);
		await pass();
		await mend(window);
		await window.waitStatus(/^Connected: [\d,]+ bytes of output skipped/);
		await window.waitRow(/^done$/);
		assert.match(await window.text("#skipped"), /^[\d,]+ bytes skipped$/);
		const skipped = Number((await window.text("#skipped")).replaceAll(/\D/g, ""));
		assert.ok(Math.abs(skipped - (FLOOD_BYTES - RING_BYTES)) < 1000, `${skipped} of ${FLOOD_BYTES}`);
		const marks = await window.page.locator(".gap").evaluateAll((found) => found.map(({ dataset }) => dataset.words));
		assert.deepEqual(marks, [await window.text("#skipped")]);
		assert.ok(await window.page.locator(".gap").isVisible());
	});

	test("who watches over a bad network misses output, is told how much, and goes on near its end", async () => {
		const session = await fog.create({ token });
		const driver = await drive(session.attach);
		const viewer = await open(linkTo(session.id));
		await viewer.waitState("asking");
		await viewer.click("Watch only", "#notice");
		await viewer.waitState("watching");
		const { connections } = proxy;
		proxy.set({ stalled: true });
		await driver.run(`seq 1 ${LINES}; echo do''ne`, /done\r?\n/, 30_000);
		proxy.set();
		await viewer.waitStatus(/^Watching only: [\d,]+ bytes of output skipped$/, { timeout: 20_000 });
		await viewer.waitRow(/^done$/);
		await viewer.waitRow(new RegExp(`^${LINES}$`));
		assert.match(await viewer.text("#skipped"), /^[\d,]+ bytes skipped$/);
		assert.equal(proxy.connections, connections, "on the same connection");
		assert.equal(driver.closed, undefined);
	}, { timeout: 60_000 });

	test("a gap in a full-screen program is drawn over", async () => {
		const window = await openShell();
		const gate = makeGate();
		await window.type(`clear; ${fullScreen(gate)}`);
		await window.waitRow(/^drawn 1 \d+ \d+$/);
		await cut(window);
		await gate.pass();
		await mend(window);
		await window.waitStatus(/bytes of output skipped/);
		await window.waitRow(/^drawn [2-9] \d+ \d+$/);
		await window.explain("nothing else is left", async () => blank(await window.rows()).split("\n").length === 1);
	});

	test("the time limit is told before, and put off as far as policy allows", async () => {
		const made = await fog.create({ token, ttl: SHORT_TTL_SECONDS });
		const fixed = await fog.create({ token, profile: "short", ttl: SHORT_TTL_SECONDS });
		const window = await openConnected(linkTo(made.id));
		const other = await openConnected(linkTo(fixed.id));
		await window.waitStatus(/^Connected: this session ends$/, { timeout: 30_000 });
		assert.match(await window.text("#countdown"), /^in \d s$/);
		await window.click("Extend", "#notice");
		await other.waitStatus(/this session ends$/);
		await other.click("Extend", "#notice");
		await window.waitStatus(/^Connected: extended$/);
		assert.ok(Date.parse((await fog.show(made)).expires_at) > Date.now() + 3_000_000);
		await other.explain("what policy says is told", async () => /policy/i.test(await other.text("#notice")));
		await other.waitState("ended");
		assert.match(await other.text("#status"), /Ended: time limit reached/);
		await window.waitState("connected");
	}, { timeout: 60_000 });

	test("an idle session is told before it ends; a click keeps it", async () => {
		const kept = await fog.create({ token, profile: "drowsy" });
		const left = await fog.create({ token, profile: "drowsy" });
		const window = await openConnected(linkTo(kept.id));
		const other = await openConnected(linkTo(left.id));
		await window.waitStatus(/^Connected: unless you type, this session ends$/, { timeout: 40_000 });
		await window.click("Stay", "#notice");
		await window.waitStatus(/extended/);
		await other.waitState("ended", { timeout: 20_000 });
		assert.match(await other.text("#status"), /Ended: idle for too long/);
		assert.equal(await statusOf(kept.id), "running");
	}, { timeout: 90_000 });

	test("nothing on the way broke the page's own policy or threw", () => {
		assert.deepEqual(browser.problems, []);
	});
});
