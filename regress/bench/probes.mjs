// SPDX-License-Identifier: MIT
// What the fleet costs a node: one whole instance whose nodes.yaml names NODES nodes. This process plays the others by their keys:
// it answers as they would, and asks the instance as often as it is asked, on connections that are kept or new in the same way.
// Counted is the run time of all processes of the instance, in the calm after the first round. Needs root.
// By hand, as idle.mjs: it takes the first round of the fleet, two minutes among 1,000 nodes, before it measures.
//   NODES=1000
//   SECONDS=60    of the measurement
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { build, Instance } from "../lib/harness.mjs";
import { NodeKey } from "../lib/nodekey.mjs";
import { descendants, programName, sleep } from "../lib/proc.mjs";
import { listen, TestCa } from "../lib/testca.mjs";

const NODES = Number(process.env.NODES ?? 1000);
const SECONDS = Number(process.env.SECONDS ?? 60);
const BOUND_MS = 10; // of a core's second: 1 %
const ROUND_PER_SECOND = 8; // FLEET_PROBES_PER_SECOND: the first round
const SELF = "fog-0";
const WELL = { v: 1, version: "0.1.0", ready: true, draining: false, sessions: 3, cpu_milli: 1500, memory_bytes: 4096, suspects: [] };
// As fleet.h has it: so many nodes that ask each so often on a connection that they keep; and the others in turn, on new ones.
const KEPT = NODES > 64 ? [[3, 1000], [17, 30_000]] : [[NODES - 1, Math.max(1000, (NODES - 1) * 125)]];
const IN_TURN_MS = NODES > 64 ? 2000 : 0;

const dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-probes-"));
const at = (name, text, mode = 0o600) => {
	const file = path.join(dir, name);
	fs.writeFileSync(file, text, { mode });
	return file;
};
const say = (...text) => console.log(text.join(" "));
const nameOf = (i) => `fog-${i}`;
const hostOf = (name) => `${name}.fleet.test`;

const ca = new TestCa();
const certificate = ca.issue({ names: ["*.fleet.test", "127.0.0.1"] });
const keys = new Map(Array.from({ length: NODES - 1 }, (_, i) => [nameOf(i + 1), new NodeKey()]));
const counts = { asked: 0, opened: 0, answered: 0, refused: 0, resumed: 0 };

// --- the others, being asked ---

const server = https.createServer(certificate, (request, response) => {
	const token = request.headers.authorization.slice("Bearer ".length);
	const ask = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
	counts.asked++;
	response.writeHead(200, { "Content-Type": "application/jwt" });
	response.end(keys.get(ask.aud).status({ iss: ask.aud, aud: ask.iss, jti: ask.jti }, WELL));
});
server.keepAliveTimeout = 60_000;
server.on("secureConnection", (socket) => {
	counts.opened++;
	counts.resumed += socket.isSessionReused();
});
const port = await listen(server, 0, "127.0.0.1");

// --- the instance ---

const keyFile = path.join(dir, "node.key");
const publicKey = /public_key: "([^"]+)"/.exec(
	execFileSync(path.join(build, "bin/fogctl"), ["node", "keygen", "--out", keyFile], { encoding: "utf8" }))[1];
const rows = [[SELF, publicKey], ...[...keys].map(([name, key]) => [name, key.public])].map(([name, key]) => `  - name: ${name}
    url: https://${hostOf(name)}:${port}
    region: here
    tier: fog
    trust: trusted
    data_labels: []
    capacity: {sessions: 32}
    public_key: "${key}"
`);
// In a mount namespace of its own, where the names of all nodes are this machine.
const hosts = at("hosts", `127.0.0.1 localhost\n${[SELF, ...keys.keys()].map((name) => `127.0.0.1 ${hostOf(name)}\n`).join("")}`, 0o644);
const enter = at("enter", '#!/bin/sh\nmount --bind "$1" /etc/hosts && shift && exec "$@"\n', 0o755);
const fog = new Instance({
	host: "127.0.0.1", ca: ca.pem, wrap: ["unshare", "--mount", enter, hosts],
	env: {
		TLS_CERT_FILE: at("fog.crt", certificate.cert), TLS_KEY_FILE: at("fog.key", certificate.key),
		NODE_NAME: SELF, NODES_CONFIG: at("nodes.yaml", `nodes:\n${rows.join("")}`), NODE_KEY_FILE: keyFile,
		FLEET_CA_FILE: ca.file, FLEET_ORIGINS: `https://*.fleet.test:${port}`, GATEWAY_URL: `https://${hostOf(SELF)}:${port}`,
		HTTP_MAX_REQUESTS: "1000000",
	},
});

// --- the others, asking ---

const agents = new Map();
const agentOf = (name) => agents.get(name) ?? agents.set(name, new https.Agent({ keepAlive: true, maxSockets: 1 })).get(name);

function ask(name, agent) {
	const request = https.get({
		host: "127.0.0.1", port: fog.port, path: "/v1/node/status", ca: ca.pem, agent,
		headers: { Authorization: `Bearer ${keys.get(name).ask({ iss: name, aud: SELF })}` },
	}, (response) => {
		counts[response.statusCode === 200 ? "answered" : "refused"]++;
		response.resume();
	});
	request.on("error", () => counts.refused++);
}

const timers = [];
const every = (ms, fn) => timers.push(setInterval(fn, ms));

function beginAsking() {
	const names = [...keys.keys()];
	let turn = 0;
	for (const [count, ms] of KEPT)
		for (const name of names.splice(0, count))
			setTimeout(() => every(ms, () => ask(name, agentOf(name))), Math.random() * Math.min(ms, 10_000));
	if (IN_TURN_MS)
		every(IN_TURN_MS, () => ask(names[turn++ % names.length], false));
}

// --- the cost ---

// Nanoseconds on a processor: proc(5), schedstat.
const runTime = (pid) => fs.readdirSync(`/proc/${pid}/task`).reduce((sum, tid) =>
	sum + Number(fs.readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "latin1").split(" ")[0]), 0);

function costs() {
	const found = new Map();
	for (const pid of [fog.pid, ...descendants(fog.pid)])
		found.set(pid, { name: programName(pid), ns: runTime(pid) });
	return found;
}

async function measure(what, seconds) {
	const before = costs(), counted = { ...counts }, start = performance.now();
	await sleep(seconds * 1000);
	const elapsed = (performance.now() - start) / 1000;
	const by = {};
	let all = 0;
	for (const [pid, { name, ns }] of costs()) {
		const ms = (ns - (before.get(pid)?.ns ?? 0)) / 1e6 / elapsed;
		by[name] = (by[name] ?? 0) + ms;
		all += ms;
	}
	const rate = (key) => ((counts[key] - counted[key]) / elapsed).toFixed(2);
	say(`${what}: ${all.toFixed(2)} ms of a core's second, in ${elapsed.toFixed(0)} s;`,
		`it asked ${rate("asked")}/s, ${rate("opened")}/s of them on new connections (${rate("resumed")}/s resumed);`,
		`was asked ${rate("answered")}/s, refused ${rate("refused")}/s`);
	say("   ", Object.entries(by).map(([name, ms]) => `${name} ${ms.toFixed(2)}`).join(", "));
	return all;
}

let cost;
try {
	await fog.start();
	beginAsking();
	await sleep((NODES / ROUND_PER_SECOND + 15) * 1000);
	cost = await measure(`the calm among ${NODES} nodes`, SECONDS);
	assert.ok(counts.answered > 0 && counts.refused === 0, "every ask is answered");
} finally {
	timers.forEach(clearInterval);
	for (const agent of agents.values())
		agent.destroy();
	await fog.stop();
	server.closeAllConnections();
	server.close();
	ca.remove();
	fs.rmSync(dir, { recursive: true, force: true });
}
say(cost <= BOUND_MS ? "met     " : "NOT MET ", `probing costs a node at most ${BOUND_MS} ms of a core's second: ${cost.toFixed(2)}`);
process.exitCode = cost <= BOUND_MS ? 0 : 1;
