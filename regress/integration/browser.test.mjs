// SPDX-License-Identifier: MIT
// The page in a real browser, as a person uses it.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import { suite } from "../lib/harness.mjs";
import { isAlive, until } from "../lib/proc.mjs";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

suite("page", {}, ({ fog, test }) => {
	let browser;
	let page;
	const problems = [];

	before(async () => {
		assert.ok(fs.existsSync(executablePath), `no browser at ${executablePath}`);
		browser = await chromium.launch({
			executablePath,
			headless: true,
			args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
		});
	});
	after(() => browser?.close());

	// The screen as text. The DOM renderer has one element per row, and pads with no-break spaces.
	const rows = async () => (await page.locator(".xterm-rows > div").allInnerTexts()).map((row) => row.replaceAll("\u00a0", " ").trimEnd());
	const waitRow = (pattern, timeout = 10_000) => until(`a row matches ${pattern}`,
		async () => (await rows()).find((row) => pattern.test(row)), { timeout, interval: 50 })
		.catch(async (error) => {
			throw new Error(`${error.message}\nstate ${await page.getAttribute("body", "data-state")}\n${(await rows()).join("\n")}`);
		});
	const waitState = (state, timeout = 15_000) => page.waitForSelector(`body[data-state="${state}"]`, { timeout, state: "attached" });
	const type = async (text) => {
		await page.locator(".xterm-helper-textarea").focus();
		await page.keyboard.type(`${text}\n`);
	};

	async function open(address = fog.url) {
		await page?.context().close();
		const context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
		page = await context.newPage();
		page.setDefaultTimeout(15_000);
		page.on("pageerror", (error) => problems.push(`page error: ${error.message}`));
		page.on("console", (message) => {
			if (message.type() === "error" && /Content.Security.Policy|Refused to/.test(message.text()))
				problems.push(message.text());
		});
		await page.goto(address);
		await waitState("connected");
	}

	// The page of one test leaves no session behind that would count in the next.
	const endSessions = async () => {
		const { sessions } = await fog.expect(200, "GET", "/v1/sessions", { token: "dev" });
		for (const { session_id: id, status } of sessions)
			if (["starting", "running", "detached"].includes(status))
				await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token: "dev" });
	};

	test("42", async () => {
		await open();
		await type("echo $((6*7))");
		await waitRow(/^42$/);
	});

	test("a resize of the window is seen by stty size", async () => {
		const sizeOf = async () => {
			await type("clear; stty size | sed 's/^/size /'");
			return (await waitRow(/^size \d+ \d+$/)).split(" ").slice(1).map(Number);
		};
		const [rowsBefore, colsBefore] = await sizeOf();
		assert.equal(rowsBefore, await page.locator(".xterm-rows > div").count());
		await page.setViewportSize({ width: 700, height: 450 });
		await until("stty size has followed", async () => {
			const [rowsNow, colsNow] = await sizeOf();
			return rowsNow < rowsBefore && colsNow < colsBefore && rowsNow === await page.locator(".xterm-rows > div").count();
		});
	});

	test("wide characters and colour arrive as such", async () => {
		await type("clear; printf '\\033[31m%s\\033[0m|\\n' 'ä日本語'");
		await waitRow(/^ä日本語\|$/);
	});

	test("a lost connection is told, and the same shell comes back", async () => {
		await type("clear; kept=yes; echo pid=$$");
		const before = await waitRow(/^pid=\d+$/);
		const [holder] = fog.holders();
		await fog.kill("gatewayd");
		await waitState("reconnecting");
		assert.match(await page.innerText("#status"), /Connection lost/);
		await waitState("connected");
		assert.ok(isAlive(holder));
		await type("clear; echo kept=$kept pid=$$");
		await waitRow(new RegExp(`^kept=yes ${before}$`));
	});

	test("a reload comes back to the same shell", async () => {
		await page.reload();
		await waitState("connected");
		await type("clear; echo kept=$kept");
		await waitRow(/^kept=yes$/);
		const address = page.url();
		assert.doesNotMatch(address, /token|eyJ/);
		assert.equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])), '[{},{},""]');
	});

	test("a second window takes over, and the first says so", async () => {
		const first = page;
		const address = page.url();
		page = await first.context().newPage();
		await page.goto(address);
		await waitState("connected");
		await first.waitForSelector('body[data-state="taken-over"]', { timeout: 10_000, state: "attached" });
		await type("clear; echo kept=$kept");
		await waitRow(/^kept=yes$/);
	});

	test("exit 3 shows code 3", async () => {
		await type("exit 3");
		await waitState("ended");
		assert.match(await page.innerText("#status"), /\b3\b/);
	});

	test("what policy refuses is said in words, with its rule", async () => {
		await endSessions();
		const made = [];
		for (let i = 0; i < 3; i++)
			made.push(await fog.create({ token: "dev" }));
		await page.context().close();
		const context = await browser.newContext();
		page = await context.newPage();
		await page.goto(fog.url);
		await waitState("error");
		assert.match(await page.innerText("#notice"), /too many sessions/i);
		assert.match(await page.innerText("#notice-rule"), /\S/);
		await endSessions();
	});

	test("nothing on the way broke the page's own policy or threw", () => {
		assert.deepEqual(problems, []);
	});
});
