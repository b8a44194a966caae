// SPDX-License-Identifier: MIT
// The page in a real browser in front of a sandbox: what a person looks at there, and what is told when it cannot be made.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { sandboxSuite, skip } from "../lib/sandboxhost.mjs";

if (skip)
	it("the page in front of a sandbox", { skip }, () => undefined);

sandboxSuite("the page in front of a sandbox", { profiles: [["default", { storage: "64Mi", memory: "128Mi" }]] }, ({ fog, test, host }) => {
	const browser = new Browser();
	let page;

	before(() => browser.start());
	after(() => browser.stop());

	// What a command prints, on a screen of its own.
	const look = async (command, wanted) => {
		await page.type(`clear; ${command}`);
		return page.waitRow(wanted);
	};

	test("id, ps, df, ip and /proc/self/status show an ordinary user alone on a machine of its own", async () => {
		page = await browser.open(fog.url);
		await page.waitState("connected");
		assert.equal(await look("id", /^uid=/), "uid=1000(user) gid=1000(user) groups=1000(user)");
		// The shell and ps itself; the header is the third row.
		await look("ps -e --no-headers | wc -l | sed 's/^/processes: /'", /^processes: [3-5]$/);
		await look("df -h / | tail -n 1", /^overlay +\d+M .* \/$/);
		await look("df --output=target | grep -v ^/proc | sort | tr '\\n' ' '", /^\/ \/dev\/?.* \/run \/tmp /);
		await look("ip -br addr", /^lo +UNKNOWN +127\.0\.0\.1\/8/);
		await look("ip -br link | wc -l | sed 's/^/links: /'", /^links: 1$/);
		await look("grep CapEff /proc/self/status", /^CapEff:\s+0{16}$/);
		await look("grep NoNewPrivs /proc/self/status", /^NoNewPrivs:\s+1$/);
		await look("grep Seccomp: /proc/self/status", /^Seccomp:\s+2$/);
		await look("echo $HOME $SHELL $USER", /^\/home\/user \/bin\/bash user$/);
		assert.deepEqual(browser.problems, []);
	});

	test("a reload comes back to the same shell", async () => {
		await look("echo pid=$$", /^pid=\d+$/);
		await page.type("kept=yes; clear");
		await page.page.reload();
		await page.waitState("connected");
		await look("echo kept=$kept", /^kept=yes$/);
	});

	test("when the shell ends the page says so, and nothing is left on the host", async () => {
		await page.type("exit 7");
		await page.waitStatus(/7/);
		await host.waitClean();
	});
});
