// SPDX-License-Identifier: MIT
// One driver and those who watch: the same bytes for all, no key and no size from a viewer, take-over told to everybody,
// and a viewer that does not read costs the driver nothing and memory a bounded amount.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { memoryKiB } from "../lib/footprint.mjs";
import { suite } from "../lib/harness.mjs";
import { until } from "../lib/proc.mjs";
import { BinaryTerminal, JsonTerminal, RefusedUpgrade } from "../lib/ws.mjs";

const VIEWERS_MAX = 32;
// A sanitizer build keeps freed memory in quarantine, and is slow.
const isSanitized = process.env.FOG_SANITIZED === "1";
const FLOOD_BYTES = 30_000_000;
const RACE_BYTES = isSanitized ? 10_000_000 : 100_000_000;
const LEAST_SHARE = 0.8;
const RACES_MAX = 3;
const FLOOD_ROUNDS = isSanitized ? 1 : 5;
const GROWTH_KIB = isSanitized ? 262_144 : 256;

suite("viewers", {}, ({ fog, test }) => {
	const mint = ({ id, token }, role) => fog.expect(201, "POST", `/v1/sessions/${id}/attach`, { token, body: { role } });
	const attach = async (session, role, options) => BinaryTerminal.open(fog, await mint(session, role), options);
	const view = (session, options) => attach(session, "viewer", options);

	// A session with its driver. quiet: its output is what commands print, byte for byte.
	async function drive({ quiet = false } = {}) {
		const known = new Set(fog.holders().map(({ pid }) => pid));
		const session = await fog.create();
		const driver = await BinaryTerminal.open(fog, session.attach);
		await driver.run(quiet ? "stty -echo -onlcr; PS1= PS2=; echo rea''dy" : "echo rea''dy", /ready\r?\n/);
		return { session, driver, holder: fog.holders().find(({ pid }) => !known.has(pid)) };
	}

	const told = (terminal, state) => terminal.statuses.filter((status) => status.state === state);
	const waitTold = (terminal, state, detail) => until(`status ${state} ${detail ?? ""}`, () =>
		told(terminal, state).find((status) => detail === undefined || status.detail === detail));

	// --- the same bytes ---

	test("a driver and viewers of both protocols see the same bytes, also one that comes in the middle", async () => {
		const { session, driver } = await drive();
		const early = [await view(session), await view(session, { out: 0 })];
		const json = await JsonTerminal.open(fog, await mint(session, "viewer"));
		assert.equal(early[0].hello.role, "viewer");
		assert.equal(early[0].hello.out_from, 0);
		driver.type("i=0; while [ $i -lt 150000 ]; do seq $((i+1)) $((i+=1000)); done; echo end''mark\n");
		await driver.waitFor(/\b50000\r\n/, 20_000);
		const late = await view(session, { out: 0 });
		await driver.waitFor(/^endmark\r\n/m, 20_000);
		await driver.waitFor(/\$ $/); // the prompt is the last
		for (const viewer of [...early, late]) {
			await until("the viewer has all", () => viewer.outOffset >= driver.outOffset);
			assert.equal(viewer.outOffset, driver.outOffset);
			assert.equal(viewer.skipped, 0);
			assert.equal(viewer.digest(), driver.digest());
		}
		await until("the JSON viewer has all", () => json.screen.bytes >= driver.screen.bytes);
		assert.equal(json.screen.bytes, driver.screen.bytes);
		assert.equal(json.screen.text.slice(-100_000), driver.screen.text.slice(-100_000));
	}, { timeout: 60_000 });

	test("what the ring still holds is replayed to a client of JSON as to one of fog.pty.v1", async () => {
		const { session, driver } = await drive({ quiet: true });
		await driver.run("seq 1 800000 | tail -c 5000000; echo end''mark", /^endmark\n/m, 30_000); // longer than the ring
		const counted = await view(session);
		const json = await JsonTerminal.open(fog, await mint(session, "viewer"));
		const kept = driver.outOffset - counted.hello.out_from;
		assert.ok(counted.hello.out_from > 0 && kept > 0, `${counted.hello.out_from} of ${driver.outOffset}`);
		await until("both have all", () => counted.outOffset >= driver.outOffset && json.screen.bytes >= kept);
		const replayed = json.frames.filter(({ type }) => type === "stdout").map(({ data_b64: data }) => Buffer.from(data, "base64"));
		assert.equal(createHash("sha256").update(Buffer.concat(replayed)).digest("hex"), counted.digest());
	}, { timeout: 60_000 });

	// --- hands off ---

	test("what a viewer types or resizes is ignored, and it is told so once", async () => {
		const { session, driver } = await drive();
		driver.resize(91, 33);
		await until("the size is set", () => driver.run("stty size", /\b33 91\r$/m, 500));
		const viewer = await view(session);
		const json = await JsonTerminal.open(fog, await mint(session, "viewer"));
		const inNext = viewer.hello.in_next;
		for (let i = 0; i < 20; i++) {
			viewer.sendInput(inNext + 5 * i, Buffer.from("#no!\n"));
			viewer.resize(10 + i, 10);
			json.type("#no!\n");
			json.resize(10 + i, 10);
		}
		viewer.sendInput(inNext + 1e12, Buffer.from("#no!\n")); // not even the offset is looked at
		await viewer.probe();
		assert.equal(told(viewer, "read_only").length, 1);
		assert.equal(told(viewer, "read_only")[0].reason, "role");
		await driver.run("stty size", /\b33 91\r$/m);
		await json.waitFor(/\b33 91\r$/m);
		await viewer.probe();
		assert.equal(told(viewer, "read_only").length, 1);
		assert.equal(viewer.closed ?? json.closed, undefined);
		for (const terminal of [driver, viewer, json])
			assert.doesNotMatch(terminal.screen.text, /#no!/);
		assert.deepEqual(told(driver, "read_only"), []);
		await driver.run("echo $((6*7))", /\b42\r$/m); // at the offset that the driver counts
	});

	test("a viewer acknowledges like a driver: beyond what was sent is the end of it alone", async () => {
		const { session, driver } = await drive();
		const viewer = await view(session);
		const beyond = Buffer.alloc(8);
		beyond.writeBigUInt64BE(1n << 40n);
		viewer.sendFrame("a", beyond);
		await viewer.waitClosed();
		await driver.run("echo $((6*7))", /\b42\r$/m);
	});

	// --- who is there ---

	test("all others are told who comes and goes, and how many watch", async () => {
		const { session, driver } = await drive();
		const first = await view(session);
		await waitTold(driver, "viewer_joined", "1 viewer");
		const second = await view(session);
		await waitTold(driver, "viewer_joined", "2 viewers");
		await waitTold(first, "viewer_joined", "2 viewers");
		await second.close();
		await waitTold(driver, "viewer_left", "1 viewer");
		await waitTold(first, "viewer_left", "1 viewer");
		assert.deepEqual(told(second, "viewer_joined"), [], "about itself");
		driver.destroy();
		await waitTold(first, "driver_left");
		await fog.waitStatus(session, "detached");
		const next = await attach(session, "driver");
		await waitTold(first, "driver_joined");
		assert.deepEqual(told(next, "took_over"), [], "there was nobody to take over from");
		await fog.waitStatus(session, "running");
	});

	test("a take-over is told to the old driver, the new one and the viewers; no viewer is ever promoted", async () => {
		const { session, driver } = await drive();
		const viewers = [await view(session), await view(session)];
		const next = await attach(session, "driver");
		assert.deepEqual(await driver.waitClosed(), { code: 4001, reason: "Another terminal has attached to this session." });
		assert.equal(told(driver, "taken_over").length, 1);
		await waitTold(next, "took_over");
		for (const viewer of viewers) {
			await waitTold(viewer, "driver_joined");
			assert.deepEqual(told(viewer, "taken_over"), []);
			assert.equal(viewer.closed, undefined);
		}
		await next.run("echo $((6*7))", /\b42\r$/m);
		await next.close();
		for (const viewer of viewers) {
			await waitTold(viewer, "driver_left");
			viewer.type("#no!\n");
			await waitTold(viewer, "read_only");
		}
		assert.equal((await fog.show(session)).status, "detached");
		await (await attach(session, "driver")).run("echo $((7*7))", /\b49\r$/m);
		assert.ok(viewers.every(({ screen }) => !/#no!/.test(screen.text)));
	});

	test(`${VIEWERS_MAX} viewers may watch, one more is refused with a reason, and each can leave`, async () => {
		const { session, driver } = await drive();
		const viewers = [];
		for (let i = 0; i < VIEWERS_MAX; i++)
			viewers.push(await view(session));
		await waitTold(driver, "viewer_joined", `${VIEWERS_MAX} viewers`);
		const error = await view(session).then(() => assert.fail("one more got in"), (reason) => reason);
		assert.ok(error instanceof RefusedUpgrade, String(error));
		assert.equal(error.status, 409, error.body);
		assert.equal(JSON.parse(error.body).code, "too_many_viewers");
		await driver.run("echo $((6*7))", /\b42\r$/m);
		await Promise.all(viewers.map((viewer) => viewer.waitFor(/\b42\r$/m)));
		viewers[7].destroy();
		await waitTold(driver, "viewer_left", `${VIEWERS_MAX - 1} viewers`);
		viewers.push(await view(session));
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
		for (const viewer of viewers.filter((_, index) => index !== 7)) {
			await viewer.waitExit();
			assert.equal((await viewer.waitClosed()).code, 4002);
		}
	}, { timeout: 60_000 });

	// --- what a viewer may not do ---

	test("somebody else's session is 404 to a viewer too", async () => {
		const { session } = await drive();
		await fog.expect(404, "POST", `/v1/sessions/${session.id}/attach`, { token: fog.user(), body: { role: "viewer" } });
		const other = await drive();
		const { token, ws_url: url } = await mint(other.session, "viewer");
		const moved = url.replace(other.session.id, session.id);
		const error = await BinaryTerminal.open(fog, { ws_url: moved, token }).then(() => assert.fail(), (reason) => reason);
		assert.ok(error instanceof RefusedUpgrade, String(error));
		assert.equal(error.status, 401, error.body);
	});

	test("the role in a token is what it was minted with", async () => {
		const { session, driver } = await drive();
		const made = await mint(session, "viewer");
		const [head, claims, signature] = made.token.split(".");
		const text = Buffer.from(claims, "base64url").toString();
		assert.match(text, /"viewer"/);
		const forged = Buffer.from(text.replace('"viewer"', '"driver"')).toString("base64url");
		for (const token of [`${head}.${forged}.${signature}`, `${head}.${forged}.`]) {
			const error = await BinaryTerminal.open(fog, { ...made, token }).then(() => assert.fail(), (reason) => reason);
			assert.equal(error.status, 401, error.body);
		}
		const asked = await BinaryTerminal.open(fog, made, { query: "?role=driver" }).catch((reason) => reason);
		if (asked instanceof BinaryTerminal)
			assert.equal(asked.hello.role, "viewer");
		else
			assert.equal(asked.status, 400, String(asked));
		await driver.run("echo $((6*7))", /\b42\r$/m);
	});

	// --- one that does not read ---

	// Until the driver has so much output. Each has a mark of its own: the screen may still have the last one.
	let floods = 100;
	async function flood(driver) {
		const mark = `mark${++floods}`;
		const before = driver.outOffset;
		driver.type(`yes 0123456789012345678901234567890123456789012345678901234567890 | head -c ${FLOOD_BYTES}; echo; echo ${mark}''\n`);
		await until("the flood is over", () => driver.outOffset - before >= FLOOD_BYTES && driver.screen.text.endsWith(`\n${mark}\n`),
			{ timeout: 60_000, interval: 1 });
		assert.equal(driver.outOffset - before, FLOOD_BYTES + `\n${mark}\n`.length);
	}

	// A flood with a viewer that stalls. The memory that was held meanwhile.
	async function floodStalled(session, driver, memory) {
		const viewer = await view(session, { out: driver.outOffset });
		const { out_from: from } = viewer.hello;
		viewer.socket.pause();
		await flood(driver);
		const held = memory();
		viewer.socket.resume();
		await until("the viewer is back", () => viewer.outOffset >= driver.outOffset, { timeout: 20_000 });
		assert.equal(viewer.outOffset, driver.outOffset);
		assert.ok(viewer.skipped > FLOOD_BYTES / 2, `skipped ${viewer.skipped}: it did not stall`);
		assert.equal(viewer.screen.bytes + viewer.skipped, viewer.outOffset - from);
		assert.equal(viewer.screen.text.slice(-20_000), driver.screen.text.slice(-20_000));
		assert.equal(viewer.closed, undefined);
		await viewer.close();
		return { held, skipped: viewer.skipped };
	}

	test("one that does not read costs no memory, and then gets a gap that adds up", async (t) => {
		const { session, driver, holder } = await drive({ quiet: true });
		const gatewayd = await fog.roleProcess("gatewayd");
		const memory = () => ({ gatewayd: memoryKiB(gatewayd.pid)?.anon ?? 0, holder: memoryKiB(holder.pid)?.anon ?? 0 });
		// Ring and buffers have been used once, those of each worker: beside another viewer this one is on the driver's.
		const other = await view(session);
		await floodStalled(session, driver, memory);
		await other.close();
		await floodStalled(session, driver, memory);
		const before = memory();
		const watched = [];
		for (let round = 0; round < FLOOD_ROUNDS; round++)
			watched.push(await floodStalled(session, driver, memory));
		const growth = Object.fromEntries(Object.keys(before).map((name) =>
			[name, Math.max(...watched.map(({ held }) => held[name])) - before[name]]));
		t.diagnostic(`grown by KiB: ${JSON.stringify(growth)}; skipped ${watched.map(({ skipped }) => skipped).join(", ")} of ${FLOOD_BYTES}`);
		for (const [name, kib] of Object.entries(growth))
			assert.ok(kib <= GROWTH_KIB, `${name} grew by ${kib} KiB`);
	}, { timeout: 180_000 });

	// What the first has got for each byte of the second, while both flood until one has all.
	async function race(first, second) {
		const terminals = [first, second];
		const starts = terminals.map(({ outOffset }) => outOffset);
		const got = () => terminals.map(({ outOffset }, i) => outOffset - starts[i]);
		for (const terminal of terminals)
			terminal.type("yes 0123456789012345678901234567890123456789012345678901234567890\n");
		await until("both flood", () => got().every((bytes) => bytes > RACE_BYTES / 30), { timeout: 20_000, interval: 1 });
		const from = got();
		await until("one has all", () => got().some((bytes, i) => bytes - from[i] >= RACE_BYTES), { timeout: 60_000, interval: 1 });
		const [a, b] = got().map((bytes, i) => bytes - from[i]);
		// The slower goes on until a viewer of it that does not read must have been skipped.
		await until("the other too", () => got().every((bytes, i) => bytes - from[i] >= RACE_BYTES), { timeout: 60_000, interval: 1 });
		for (const terminal of terminals) {
			const mark = `mark${++floods}`;
			terminal.type("\x03");
			await terminal.run(`echo ${mark}''`, new RegExp(`^${mark}$`, "m"), 20_000);
		}
		return a / b;
	}

	// A viewer of the session that does not read, while race() runs; what it skipped shows that it did not.
	async function stall(session, driver, run) {
		const viewer = await view(session, { out: driver.outOffset });
		viewer.socket.pause();
		const result = await run();
		viewer.socket.resume();
		await until("the viewer is back", () => viewer.outOffset >= driver.outOffset, { timeout: 20_000 });
		assert.ok(viewer.skipped > RACE_BYTES / 4, `skipped ${viewer.skipped}: it did not stall`);
		await viewer.close();
		return result;
	}

	// The control is another session at the same moment: what else the machine does slows both. Then they change roles:
	// what makes one of the two slower anyway is in both races.
	test("one that does not read leaves the driver its throughput, beside a session without one", async (t) => {
		const [one, other] = [await drive({ quiet: true }), await drive({ quiet: true })];
		const run = () => race(one.driver, other.driver);
		await run(); // rings and buffers have been used once
		const shares = [];
		while (shares.length < RACES_MAX && Math.max(0, ...shares) < LEAST_SHARE) {
			const first = await stall(one.session, one.driver, run);
			const second = await stall(other.session, other.driver, run);
			shares.push(Math.sqrt(first / second));
			t.diagnostic(`the driver's throughput while a viewer stalls: ${shares.at(-1).toFixed(2)} of that without one (${first.toFixed(2)}, ${second.toFixed(2)})`);
		}
		assert.ok(isSanitized || Math.max(...shares) >= LEAST_SHARE, `the driver has ${shares} of its throughput`);
	}, { timeout: 180_000 });

	test("one that does not read holds nothing back when nobody drives", async () => {
		const { session, driver } = await drive({ quiet: true });
		const viewer = await view(session);
		const { out_from: from } = viewer.hello;
		viewer.socket.pause();
		const at = driver.outOffset;
		driver.type(`head -c ${FLOOD_BYTES} /dev/zero | tr '\\0' x; echo; echo end''mark\n`);
		driver.destroy();
		await until("the program has ended", async () => {
			const again = await attach(session, "driver");
			const { out_next: next } = again.hello;
			again.destroy();
			return next === at + FLOOD_BYTES + "\nendmark\n".length;
		}, { timeout: 20_000, interval: 200 });
		viewer.socket.resume();
		await viewer.waitFor(/^endmark\n/m);
		assert.ok(viewer.skipped > 0);
		assert.equal(viewer.screen.bytes + viewer.skipped, viewer.outOffset - from);
	}, { timeout: 60_000 });

	// --- gatewayd dies ---

	test("after kill -9 of gatewayd all come back, at the byte where they were", async () => {
		const { session, driver } = await drive({ quiet: true });
		const all = [driver, await view(session, { out: driver.outOffset }), await view(session, { out: driver.outOffset })];
		const start = driver.outOffset;
		driver.type("i=0; while [ $i -lt 40 ]; do seq 1 500; sleep 0.05; i=$((i+1)); done; echo end''mark\n");
		await until("it prints", () => all.every(({ outOffset }) => outOffset > start));
		const texts = all.map(({ screen, outOffset }) => screen.text.slice(screen.text.length - (outOffset - start)));
		await fog.kill("gatewayd");
		await Promise.all(all.map((terminal) => terminal.waitClosed()));
		const seen = all.map(({ screen, outOffset }) => screen.text.slice(screen.text.length - (outOffset - start)));
		assert.ok(seen.every((text, i) => text.startsWith(texts[i])));
		await fog.waitReady();
		const again = [];
		for (const [i, from] of all.entries())
			again.push(await attach(session, i === 0 ? "driver" : "viewer", { from }));
		const expected = `${Array.from({ length: 500 }, (_, i) => `${i + 1}\n`).join("").repeat(40)}endmark\n`;
		for (const [i, terminal] of again.entries()) {
			assert.equal(terminal.hello.out_lost, 0);
			assert.equal(terminal.hello.out_from, all[i].outOffset);
			await terminal.waitFor(/^endmark\n/m);
			assert.equal(seen[i] + terminal.screen.text, expected);
			assert.equal(terminal.skipped, 0);
		}
		again[1].type("#no!\n");
		await waitTold(again[1], "read_only");
	}, { timeout: 60_000 });
});
