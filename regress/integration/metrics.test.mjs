// SPDX-License-Identifier: MIT
// GET /metrics of the node (S38): how many sessions there are and were, what they use, and nobody's name. And without
// the processes that know: a scrape is answered all the same, soon, with what gatewayd itself counts.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { exchange, suite } from "../lib/harness.mjs";
import { isAlive, signal, sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const ANSWER_MS = 1000; // gatewayd waits no longer for the others
const SLACK_MS = 1500;

// { "name{labels}": number }, checked line by line against the text format: a name has its type before its values, once.
function parse(text) {
	const values = {}, types = new Map();
	let current;
	assert.ok(text.endsWith("\n"));
	for (const line of text.trimEnd().split("\n")) {
		const type = /^# TYPE (\w+) (counter|gauge)$/.exec(line);
		const value = /^(\w+)((?:\{\w+="[^"\\]*"(?:,\w+="[^"\\]*")*\})?) (\d+(?:\.\d+)?)$/.exec(line);
		if (type) {
			assert.ok(!types.has(type[1]), line);
			types.set(current = type[1], type[2]);
		} else if (value) {
			assert.equal(value[1], current, line);
			assert.equal(types.get(current) === "counter", current.endsWith("_total"), line);
			assert.ok(!(value[1] + value[2] in values), line);
			values[value[1] + value[2]] = Number(value[3]);
		} else {
			assert.match(line, /^# HELP \w+ \S/);
		}
	}
	return values;
}

const NODE = "fog_node_sessions";

suite("metrics of the node", { env: { METRICS_ADDR: "127.0.0.1:0" } }, ({ fog, test }) => {
	const address = () => fog.events({ event: "metrics_listening" }).at(-1).addr;
	async function scrape() {
		const started = Date.now();
		const { status, body } = await exchange(`http://${address()}`, "GET", "/metrics");
		assert.equal(status, 200);
		assert.ok(Date.now() - started < ANSWER_MS + SLACK_MS);
		fog.secrets.assertNotIn("the metrics", body);
		return { body, values: parse(body) };
	}
	const living = (values) => ["starting", "running", "detached"].map((status) => values[`${NODE}{status="${status}"}`]);
	const ended = (values) => ["exited", "expired", "terminated", "lost"].map((status) => values[`${NODE}_ended_total{status="${status}"}`]);
	const untilLiving = (...want) => until(`sessions ${want}`, async () => {
		const { values } = await scrape();
		return String(living(values)) === String(want) && values;
	});
	const end = ({ id, token }) => fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });

	test("sessions that live, by status, and those that were made and ended", async () => {
		let values = await untilLiving(0, 0, 0);
		assert.equal(values[`${NODE}_made_total`], 0);
		const first = await fog.create(), second = await fog.create();
		assert.equal((await untilLiving(0, 0, 2))[`${NODE}_made_total`], 2);
		const terminal = await BinaryTerminal.open(fog, first.attach);
		await untilLiving(0, 1, 1);
		await end(second);
		values = await untilLiving(0, 1, 0);
		assert.deepEqual(ended(values), [0, 0, 1, 0]);
		terminal.type("exit 3\n");
		await terminal.waitExit();
		values = await untilLiving(0, 0, 0);
		assert.deepEqual(ended(values), [1, 0, 1, 0]);
		assert.equal(values[`${NODE}_made_total`], 2);
		assert.equal(values[`${NODE}_failed_total`], 0);
		const { body } = await scrape();
		for (const name of [first.id, first.id.slice(-12), second.id, first.token, "default"])
			assert.ok(!body.includes(name), name);
	});

	test("one whose holder is killed is lost", async () => {
		await fog.create();
		const before = ended(await untilLiving(0, 0, 1));
		for (const holder of fog.holders())
			signal(holder, "SIGKILL");
		const after = ended(await untilLiving(0, 0, 0));
		assert.deepEqual(after.map((n, i) => n - before[i]), [0, 0, 0, 1]);
	});

	test("the stub's use of the node is not known, and not said to be 0", async () => {
		const { body } = await scrape();
		for (const name of ["cpu_seconds_total", "memory_bytes", "processes", "oom_kills_total", "pressure_ratio"])
			assert.ok(!body.includes(`${NODE}_${name}`), name);
	});

	test("kill -9 of placerd: the sessions that live are found again, the counters begin anew", async () => {
		const session = await fog.create();
		await untilLiving(0, 0, 1);
		await fog.kill("placerd");
		// In between it is answered, too, if need be without any of this.
		const values = await until("the sessions again", async () => {
			const scraped = await scrape();
			return `${NODE}{status="detached"}` in scraped.values && scraped.values;
		});
		assert.deepEqual(living(values), [0, 0, 1]);
		assert.equal(values[`${NODE}_made_total`], 0);
		assert.deepEqual(ended(values), [0, 0, 0, 0]);
		await end(session);
		assert.deepEqual(ended(await untilLiving(0, 0, 0)), [0, 0, 1, 0]);
	});

	for (const role of ["placerd", "authd"])
		test(`while ${role} does not answer, gatewayd's own counters come, and within their time`, async () => {
			const stopped = await fog.roleProcess(role);
			assert.ok(signal(stopped, "SIGSTOP"));
			try {
				const scrapes = await Promise.all([scrape(), scrape(), scrape()]);
				for (const { values, body } of scrapes) {
					assert.ok(values.fog_gateway_connections >= 1);
					assert.ok(!body.includes(NODE));
				}
			} finally {
				signal(stopped, "SIGCONT");
			}
			await sleep(100); // its late answers are no harm
			await untilLiving(0, 0, 0);
			assert.ok(isAlive(stopped), "it was not taken for a liar");
		});

	test("somebody who does not wait for the answer is no harm, and HEAD has no body", async () => {
		const authd = await fog.roleProcess("authd");
		const [host, port] = address().split(":");
		assert.ok(signal(authd, "SIGSTOP"));
		for (let i = 0; i < 20; i++) {
			const socket = net.connect(port, host, () => socket.write(`GET /metrics HTTP/1.1\r\nHost: ${address()}\r\n\r\n`,
				() => setTimeout(() => socket.resetAndDestroy(), 20)));
			await once(socket, "close");
		}
		signal(authd, "SIGCONT");
		const { status, body } = await exchange(`http://${address()}`, "HEAD", "/metrics");
		assert.deepEqual([status, body], [200, ""]);
		await untilLiving(0, 0, 0);
		assert.ok(isAlive(authd));
	});

	test("readiness asks for none of it", async () => {
		const { status, body } = await fog.api("GET", "/readyz");
		assert.equal(status, 200);
		assert.ok(!body.includes("sessions_made") && !body.includes("cpu"));
	});
});
