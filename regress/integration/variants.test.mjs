// SPDX-License-Identifier: MIT
// The same service in the other ways it can be started: with TLS, without root, through sudo, with metrics.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import tls from "node:tls";
import { build, exchange, suite } from "../lib/harness.mjs";
import { status } from "../lib/proc.mjs";
import { BinaryTerminal, JsonTerminal } from "../lib/ws.mjs";

const isRoot = process.getuid() === 0;
const ordinary = { uid: 65534, gid: 65534 };

function makeCertificate(dir, name) {
	execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
		"-keyout", path.join(dir, `${name}.key`), "-out", path.join(dir, `${name}.crt`)], { stdio: "ignore" });
}

const certificateOf = (port, options = {}) => new Promise((resolve, reject) => {
	const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options }, () => {
		resolve({ fingerprint: socket.getPeerCertificate().fingerprint256, protocol: socket.getProtocol() });
		socket.destroy();
	});
	socket.once("error", reject);
});

suite("TLS", {
	prepare: (dir) => ["first", "second"].forEach((name) => makeCertificate(dir, name)),
	env: (dir) => ({ TLS_CERT_FILE: path.join(dir, "first.crt"), TLS_KEY_FILE: path.join(dir, "first.key") }),
}, ({ fog, test }) => {
	const file = (name) => path.join(fog.dir, name);

	test("https, wss and both terminal protocols", async () => {
		const session = await fog.create();
		assert.match(session.attach.ws_url, /^wss:/);
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		const json = await JsonTerminal.open(fog, await fog.mint(session));
		json.type("exit 3\n");
		assert.equal((await json.waitExit()).code, 3);
	});

	test("TLS 1.2 and 1.3, nothing older, and HSTS", async () => {
		assert.equal((await certificateOf(fog.port, { maxVersion: "TLSv1.2" })).protocol, "TLSv1.2");
		assert.equal((await certificateOf(fog.port)).protocol, "TLSv1.3");
		await assert.rejects(certificateOf(fog.port, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }));
		assert.match((await fog.api("GET", "/healthz")).headers["strict-transport-security"], /^max-age=[0-9]+/);
	});

	test("a key that does not fit keeps the old pair; a pair that fits takes effect, and sessions stay", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const before = (await certificateOf(fog.port)).fingerprint;
		fs.copyFileSync(file("second.crt"), file("first.crt"));
		assert.equal((await fog.reload()).event, "reload_refused");
		assert.equal((await certificateOf(fog.port)).fingerprint, before);
		fs.copyFileSync(file("second.key"), file("first.key"));
		assert.equal((await fog.reload()).event, "reloaded");
		assert.notEqual((await certificateOf(fog.port)).fingerprint, before);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
	});
});

// Only root can start it as somebody else; started by an ordinary user every other file is this test.
if (isRoot && !build.startsWith("/root"))
	suite("an ordinary user", { asUser: ordinary }, ({ fog, test }) => {
		test("start-up says in one line what is missing; the rest is applied; a shell works as that user", async () => {
			assert.equal(fog.events({ event: "unprivileged" }).length, 1);
			for (const [role, pid] of Object.entries(fog.rolePids())) {
				const seen = status(pid);
				assert.deepEqual([seen.uid[0], seen.noNewPrivs], [ordinary.uid, 1], role);
				if (!process.env.FOG_SANITIZED)
					assert.equal(seen.seccomp, 2, role);
			}
			const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
			await terminal.run("id -u", /\b65534\r$/m);
			terminal.type("exit 3\n");
			assert.equal((await terminal.waitExit()).code, 3);
		});
	});

if (isRoot)
	suite("through sudo", { env: { SUDO_UID: "65534", SUDO_GID: "65534" } }, ({ fog, test }) => {
		test("the stub's shell is the user behind sudo, never root, and its holder is neither", async () => {
			const terminal = await BinaryTerminal.open(fog, (await fog.create()).attach);
			await terminal.run("id -u; id -g; id -G", /\b65534\r\n65534\r\n65534\r$/m);
			for (const { pid } of fog.holders())
				assert.ok(status(pid).uid.every((uid) => uid >= 1879048192), "the holder has an id of the pool");
		});
	});

suite("metrics", { env: { METRICS_ADDR: "127.0.0.1:0" } }, ({ fog, test }) => {
	const metrics = () => `http://${fog.events({ event: "metrics_listening" })[0].addr}`;

	test("on their own listener alone, in the text format, with no name of a person or session", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		const answer = await exchange(metrics(), "GET", "/metrics");
		assert.equal(answer.status, 200);
		assert.match(answer.headers["content-type"], /^text\/plain; version=0\.0\.4/);
		assert.match(answer.body, /^# TYPE \S+ counter$/m);
		assert.match(answer.body, /^\S*attach\S*(\{[^}]*\})? 1$/m);
		for (const name of [session.id, session.token, session.attach.token])
			assert.ok(!answer.body.includes(name));
		assert.equal((await exchange(metrics(), "GET", "/v1/config")).status, 404);
		assert.equal((await exchange(fog.url, "GET", "/metrics")).status, 404);
	});
});
