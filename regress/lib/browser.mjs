// SPDX-License-Identifier: MIT
// The page in a real Chromium: a window of its own for each person, and what of it a test looks at.
import assert from "node:assert/strict";
import fs from "node:fs";
import { chromium } from "playwright-core";
import { until } from "./proc.mjs";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

export class Browser {
	// What broke the page's own policy or threw, in any window.
	problems = [];
	#browser;

	// spki: of servers whose certificates no authority of the browser's vouches for (TestCa.issue).
	async start({ spki = [] } = {}) {
		assert.ok(fs.existsSync(executablePath), `no browser at ${executablePath}`);
		this.#browser = await chromium.launch({
			executablePath,
			headless: true,
			args: [
				"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
				...(spki.length > 0 ? [`--ignore-certificate-errors-spki-list=${spki}`] : []),
			],
		});
	}

	stop() {
		return this.#browser?.close();
	}

	// A window that shares nothing with the others, at an address; another size with {width, height}. watch: is given the
	// window's page before it goes anywhere.
	async open(address, { width = 1000, height = 700, init, watch } = {}) {
		const context = await this.#browser.newContext({ viewport: { width, height } });
		if (init)
			await context.addInitScript(init);
		return this.another(context, address, { watch });
	}

	// One more window of the same profile.
	async another(context, address, { watch } = {}) {
		const page = await context.newPage();
		watch?.(page);
		page.setDefaultTimeout(15_000);
		page.on("pageerror", (error) => this.problems.push(`page error: ${error.message}`));
		page.on("console", (message) => {
			if (message.type() === "error" && /Content.Security.Policy|Refused to/.test(message.text()))
				this.problems.push(message.text());
		});
		await page.goto(address);
		return new Window(page);
	}
}

export class Window {
	constructor(page) {
		this.page = page;
	}

	close() {
		return this.page.context().close();
	}

	address() {
		return this.page.url();
	}

	// The screen on top as text. The DOM renderer has one element per row, and pads with no-break spaces.
	async rows() {
		const texts = await this.page.locator(".panel:not([hidden]) .xterm-rows > div").allInnerTexts();
		return texts.map((row) => row.replaceAll("\u00a0", " ").trimEnd());
	}

	async text(selector) {
		return (await this.page.textContent(selector)) ?? "";
	}

	async explain(what, probe, { timeout = 10_000 } = {}) {
		return until(what, probe, { timeout, interval: 50 }).catch(async (error) => {
			const state = await this.page.getAttribute("body", "data-state");
			throw new Error([error.message, `state ${state}: ${await this.text("#status")}`, ...await this.rows()].join("\n").trimEnd());
		});
	}

	waitRow(pattern, options) {
		return this.explain(`a row matches ${pattern}`, async () => (await this.rows()).find((row) => pattern.test(row)), options);
	}

	waitState(state, options) {
		return this.explain(`state ${state}`, async () => await this.page.getAttribute("body", "data-state") === state, options);
	}

	waitStatus(pattern, options) {
		return this.explain(`the status says ${pattern}`, async () => pattern.test(await this.text("#status")), options);
	}

	// Types a line into the screen on top.
	async type(text, end = "\n") {
		await this.page.locator(".panel:not([hidden]) .xterm-helper-textarea").focus();
		await this.page.keyboard.type(`${text}${end}`);
	}

	// A button by its words, in the notice or a dialog.
	click(name, within = "body") {
		return this.page.locator(within).getByRole("button", { name, exact: true }).click();
	}

	// Names of the tabs, the one on top with a star.
	async tabs() {
		const tabs = await this.page.getByRole("tab").all();
		return Promise.all(tabs.map(async (tab) =>
			`${await tab.getAttribute("aria-selected") === "true" ? "*" : ""}${await tab.locator(".name").textContent()}`));
	}
}
