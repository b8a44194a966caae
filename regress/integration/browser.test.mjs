// SPDX-License-Identifier: MIT
// The page in a real browser, as a person uses it.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { suite } from "../lib/harness.mjs";
import { isAlive, until } from "../lib/proc.mjs";

suite("page", {}, ({ fog, test }) => {
	const browser = new Browser();
	let page;

	before(() => browser.start());
	after(() => browser.stop());

	// The page of one test leaves no session behind that would count in the next.
	const endSessions = async () => {
		const { sessions } = await fog.expect(200, "GET", "/v1/sessions", { token: "dev" });
		for (const { session_id: id, status } of sessions)
			if (["starting", "running", "detached"].includes(status))
				await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token: "dev" });
	};

	test("42", async () => {
		page = await browser.open(fog.url);
		await page.waitState("connected");
		await page.type("echo $((6*7))");
		await page.waitRow(/^42$/);
	});

	test("a resize of the window is seen by stty size", async () => {
		const sizeOf = async () => {
			await page.type("clear; stty size | sed 's/^/size /'");
			return (await page.waitRow(/^size \d+ \d+$/)).split(" ").slice(1).map(Number);
		};
		const [rowsBefore, colsBefore] = await sizeOf();
		assert.equal(rowsBefore, (await page.rows()).length);
		await page.page.setViewportSize({ width: 700, height: 450 });
		await until("stty size has followed", async () => {
			const [rowsNow, colsNow] = await sizeOf();
			return rowsNow < rowsBefore && colsNow < colsBefore && rowsNow === (await page.rows()).length;
		});
	});

	test("wide characters and colour arrive as such", async () => {
		await page.type("clear; printf '\\033[31m%s\\033[0m|\\n' 'ä日本語'");
		await page.waitRow(/^ä日本語\|$/);
	});

	test("a lost connection is told, and the same shell comes back", async () => {
		await page.type("clear; kept=yes; echo pid=$$");
		const before = await page.waitRow(/^pid=\d+$/);
		const [holder] = fog.holders();
		await fog.kill("gatewayd");
		await page.waitState("reconnecting");
		assert.match(await page.text("#status"), /Connection lost/);
		await page.waitState("connected");
		await page.waitStatus(/resumed exactly, nothing lost/);
		assert.ok(isAlive(holder));
		await page.type("clear; echo kept=$kept pid=$$");
		await page.waitRow(new RegExp(`^kept=yes ${before}$`));
	});

	test("a reload comes back to the same shell", async () => {
		await page.page.reload();
		await page.waitState("connected");
		await page.type("clear; echo kept=$kept");
		await page.waitRow(/^kept=yes$/);
		const address = page.address();
		assert.doesNotMatch(address, /token|eyJ/);
		assert.equal(await page.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])), '[{},{},""]');
	});

	test("exit 3 shows code 3", async () => {
		await page.type("exit 3");
		await page.waitState("ended");
		assert.match(await page.text("#status"), /\b3\b/);
	});

	test("what policy refuses is said in words, with its rule", async () => {
		await endSessions();
		const made = [];
		for (let i = 0; i < 3; i++)
			made.push(await fog.create({ token: "dev" }));
		await page.close();
		page = await browser.open(fog.url);
		await page.waitState("error");
		assert.match(await page.text("#notice"), /too many sessions/i);
		assert.match(await page.text("#notice-rule"), /\S/);
		await endSessions();
	});

	test("nothing on the way broke the page's own policy or threw", () => {
		assert.deepEqual(browser.problems, []);
	});
});
