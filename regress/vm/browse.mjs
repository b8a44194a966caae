#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// browse.mjs OUT URL: Chromium against the service that is installed in the machine of run.sh, beside which it runs. It waits for
// the word of check-5-page.sh in OUT/output, and prints a line for each check as that does.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Browser } from "../lib/browser.mjs";
import { sleep } from "../lib/proc.mjs";

const [out, url] = process.argv.slice(2);
// Of an emulated machine.
const patient = { timeout: 40_000 };
const browser = new Browser();
let page;

async function untilOpen() {
	while (!fs.readFileSync(path.join(out, "output"), "utf8").includes("\n# page: open\n"))
		await sleep(500);
}

async function check(name, act) {
	try {
		await act();
		console.log(`ok page: ${name}`);
	} catch (error) {
		process.exitCode = 1;
		console.log(`not ok page: ${name}\n${String(error.message).replaceAll(/^/gm, "#   ")}`);
	}
}

// What a command prints, on a screen of its own.
async function look(command, wanted) {
	await page.type(`clear; ${command}`);
	const row = await page.waitRow(wanted, patient);
	console.log(`# page: ${command}: ${row}`);
	return row;
}

async function opens() {
	page = await browser.open(url);
	await page.waitState("connected", patient);
}

const looks = [
	["id is an ordinary user", "id", /^uid=1000\(user\) gid=1000\(user\) groups=1000\(user\)$/],
	["ps shows the session's own processes alone", "ps -e --no-headers | wc -l | sed 's/^/processes: /'", /^processes: [3-5]$/],
	["df -h shows the session's own storage", "df -h / | tail -n 1", /^overlay +\d+M .* \/$/],
	["ip addr shows loopback", "ip -br addr", /^lo +UNKNOWN +127\.0\.0\.1\/8/],
	["ip link shows nothing else", "ip -br link | wc -l | sed 's/^/links: /'", /^links: 1$/],
	["/proc/self/status: no capability", "cat /proc/self/status | grep CapEff", /^CapEff:\s+0{16}$/],
	["/proc/self/status: no new privileges", "cat /proc/self/status | grep NoNewPrivs", /^NoNewPrivs:\s+1$/],
	["/proc/self/status: a filter", "cat /proc/self/status | grep Seccomp:", /^Seccomp:\s+2$/],
];

async function comesBack() {
	await look("kept=yes; echo pid=$$", /^pid=\d+$/);
	await page.page.reload();
	await page.waitState("connected", patient);
	await look("echo kept=$kept", /^kept=yes$/);
}

async function ends() {
	await page.type("exit 7");
	await page.waitStatus(/7/, patient);
}

await untilOpen();
await browser.start();
await check("opens, and has a session", opens);
if (process.exitCode !== 1) {
	for (const [name, command, wanted] of looks)
		await check(name, () => look(command, wanted));
	await check("a reload comes back to the same shell", comesBack);
	await check("says that the shell has ended, and how", ends);
}
await check("nothing broke its policy or threw", () => assert.deepEqual(browser.problems, []));
await browser.stop();
