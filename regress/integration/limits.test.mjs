// SPDX-License-Identifier: MIT
// Limits and penalties by source: what one address does too often, what it crashes, and whose address it is when a
// proxy speaks for it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { describe, it } from "node:test";
import tls from "node:tls";
import { makeDir, runFogd, suite } from "../lib/harness.mjs";
import { checkAnswer } from "../lib/openapi.mjs";
import { isAlive, signal, sleep, until, waitGone } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const A = "127.0.0.1", B = "127.0.0.2", C = "127.0.0.3", PROXY = "127.0.0.9";
const BAD_TOKEN = "+nobody";
const FAILED = 12;

// One request from one of this machine's addresses. agent: to keep the connection.
function ask(fog, from, method, target, { token, body, headers = {}, agent = false } = {}) {
	const payload = body === undefined ? undefined : JSON.stringify(body);
	return new Promise((resolve, reject) => {
		const request = http.request({
			host: "127.0.0.1", port: fog.port, localAddress: from, method, path: target, agent, timeout: 10_000,
			headers: {
				...token && { Authorization: `Bearer ${token}` },
				...payload && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(payload) },
				...headers,
			},
		}, (response) => {
			let text = "";
			response.setEncoding("utf8").on("data", (piece) => { text += piece; });
			response.on("error", reject);
			response.on("end", () => {
				const answer = { status: response.statusCode, headers: response.headers, body: text };
				try {
					checkAnswer(method, target, answer);
					resolve({ ...answer, json: text && JSON.parse(text) });
				} catch (error) {
					reject(error);
				}
			});
		});
		request.on("error", reject);
		request.on("timeout", () => request.destroy(new Error(`no answer to ${method} ${target}`)));
		request.end(payload);
	});
}

const list = (fog, from, token, headers) => ask(fog, from, "GET", "/v1/sessions", { token, headers });
const create = (fog, from, token) =>
	ask(fog, from, "POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 60 } });

function expectLimited({ status, headers, json }, most) {
	assert.equal(status, 429);
	assert.equal(json.code, "too_many_requests");
	assert.match(headers["retry-after"], /^[1-9][0-9]*$/);
	assert.ok(Number(headers["retry-after"]) <= most, `Retry-After: ${headers["retry-after"]}`);
}

suite("limits of one source", {
	env: { FAILED_TOKENS_PER_MINUTE: String(FAILED), ATTACHES_PER_MINUTE: "4", CREATES_PER_MINUTE: "2" },
}, ({ fog, test }) => {
	test("failed tokens: 429 before the next one is looked at, and for that address alone", async () => {
		for (let i = 0; i < FAILED; i++)
			assert.equal((await list(fog, A, BAD_TOKEN)).status, 401);
		expectLimited(await list(fog, A, BAD_TOKEN), 60 / FAILED);
		expectLimited(await list(fog, A, "alice"), 60 / FAILED); // a guesser cannot tell a good one
		assert.equal((await ask(fog, A, "GET", "/healthz")).status, 200);
		assert.equal((await list(fog, A)).status, 401); // no token, nothing guessed
		assert.equal((await list(fog, B, "alice")).status, 200);
		assert.ok(fog.events({ event: "request", status: "429" }).length >= 2);
	});

	test("what it says in Retry-After is true", async () => {
		for (let i = 0; i < FAILED; i++)
			assert.equal((await list(fog, C, BAD_TOKEN)).status, 401);
		const { headers } = await list(fog, C, "alice");
		await sleep(Number(headers["retry-after"]) * 1000);
		assert.equal((await list(fog, C, "alice")).status, 200);
	}, { timeout: 60_000 });

	test("good tokens are never too many", async () => {
		for (let i = 0; i < 50; i++)
			assert.equal((await list(fog, B, "alice")).status, 200);
	});

	test("creates, whoever they are for", async () => {
		assert.equal((await create(fog, B, "ann")).status, 201);
		assert.equal((await create(fog, B, "bob")).status, 201);
		expectLimited(await create(fog, B, "cid"), 30);
		assert.equal((await create(fog, PROXY, "cid")).status, 201);
	});

	test("attachments and tokens for them", async () => {
		const sessions = {};
		const mint = (from, token) =>
			ask(fog, from, "POST", `/v1/sessions/${sessions[token]}/attach`, { token, body: {} });

		for (const token of ["dan", "eve"]) // since a subject has the same limit
			sessions[token] = (await create(fog, "127.0.0.4", token)).json.session_id;
		for (const token of ["dan", "eve", "dan", "eve"])
			assert.equal((await mint(B, token)).status, 201);
		expectLimited(await mint(B, "dan"), 15);
		assert.equal((await mint("127.0.0.4", "dan")).status, 201);
	});

	test("X-Forwarded-For of somebody who is no trusted proxy changes nothing", async () => {
		const from = "127.0.0.5";

		for (let i = 0; i < FAILED; i++)
			assert.equal((await list(fog, from, BAD_TOKEN, { "X-Forwarded-For": `203.0.113.${i}` })).status, 401);
		expectLimited(await list(fog, from, "alice", { "X-Forwarded-For": "203.0.113.77" }), 60 / FAILED);
		expectLimited(await list(fog, from, "alice", { Forwarded: "for=203.0.113.78" }), 60 / FAILED);
	});
});

suite("clients behind a proxy", {
	env: {
		TRUSTED_PROXIES: `${PROXY} 10.0.0.0/8`, FAILED_TOKENS_PER_MINUTE: "2", ATTACHES_PER_MINUTE: "0",
		CREATES_PER_MINUTE: "0", MAX_CONNECTIONS_PER_SOURCE: "2",
	},
}, ({ fog, test }) => {
	const by = (client, token) => list(fog, PROXY, token, { "X-Forwarded-For": client });

	async function exhaust(client, headers = { "X-Forwarded-For": client }) {
		for (let i = 0; i < 2; i++)
			assert.equal((await list(fog, PROXY, BAD_TOKEN, headers)).status, 401);
		expectLimited(await list(fog, PROXY, "alice", headers), 30);
	}

	test("are limited each for himself", async () => {
		await exhaust("203.0.113.5");
		assert.equal((await by("203.0.113.6", "alice")).status, 200);
	});

	test("one /64 is one client", async () => {
		await exhaust("2001:db8:0:1::5");
		expectLimited(await by("2001:db8:0:1:ffff::6", "alice"), 30);
		assert.equal((await by("2001:db8:0:2::5", "alice")).status, 200);
	});

	test("are found by the rightmost address that is no proxy's, in either field", async () => {
		await exhaust("203.0.113.10");
		expectLimited(await by("198.51.100.1, 203.0.113.10", "alice"), 30);
		expectLimited(await by("garbage, 203.0.113.10, 10.1.2.3", "alice"), 30);
		expectLimited(await list(fog, PROXY, "alice", { Forwarded: "for=198.51.100.1, for=203.0.113.10;proto=https" }), 30);
		assert.equal((await by("203.0.113.10, 198.51.100.1", "alice")).status, 200);
	});

	test("cannot choose who they are by the field that the proxy does not set", async () => {
		const spoofed = (n) => ({ "X-Forwarded-For": "203.0.113.20", Forwarded: `for=198.51.100.${n}` });

		await exhaust("-", spoofed(1));
		expectLimited(await list(fog, PROXY, "alice", spoofed(2)), 30); // counted as the proxy, all together
		expectLimited(await by("garbage", "alice"), 30);
		assert.equal((await by("203.0.113.21", "alice")).status, 200);
	});

	test("somebody else's fields are not believed", async () => {
		await exhaust("203.0.113.30");
		assert.equal((await list(fog, A, "alice", { "X-Forwarded-For": "203.0.113.30" })).status, 200);
	});

	test("X-Forwarded-Host and -Proto are not believed of anybody", async () => {
		const headers = { Host: "evil.example", "X-Forwarded-Host": `127.0.0.1:${fog.port}`, "X-Forwarded-Proto": "https" };

		assert.equal((await list(fog, PROXY, "alice", headers)).status, 421);
		const { json } = await ask(fog, PROXY, "POST", "/v1/sessions", {
			token: "alice", body: { profile: "default", ttl_seconds: 60 },
			headers: { "X-Forwarded-For": "203.0.113.31", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https" },
		});
		assert.match(json.attach.ws_url, /^ws:\/\/127\.0\.0\.1:/);
	});

	test("who spoils the fields gets no connections beyond the limit", async () => {
		const agents = [];
		const open = (headers) => {
			const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

			agents.push(agent);
			return ask(fog, PROXY, "GET", "/healthz", { agent, headers });
		};
		const spoiled = { "X-Forwarded-For": "203.0.113.40", Forwarded: "for=unknown" };
		try {
			for (let i = 0; i < 2; i++)
				assert.equal((await open(spoiled)).status, 200);
			expectLimited(await open(spoiled), 5);
			expectLimited(await open({ "X-Forwarded-For": "garbage" }), 5);
			assert.equal((await open({ "X-Forwarded-For": "203.0.113.40" })).status, 200);
			for (let i = 0; i < 4; i++)
				assert.equal((await open({})).status, 200); // the proxy says nothing of anybody
		} finally {
			for (const agent of agents)
				agent.destroy();
		}
	});

	test("nor can be taken for somebody else by the Host that the proxy tells of", async () => {
		const agents = [];
		try {
			for (let i = 0; i < 4; i++) {
				const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

				agents.push(agent);
				await ask(fog, PROXY, "GET", "/healthz", {
					agent, headers: { Forwarded: `for=203.0.113.${50 + i};host="a,for=203.0.113.60;x="` },
				});
			}
			assert.equal((await by("203.0.113.60", "alice")).status, 200);
		} finally {
			for (const agent of agents)
				agent.destroy();
		}
	});

	test("connections count for the client, and not for the proxy", async () => {
		const agents = [];
		const open = (client) => {
			const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

			agents.push(agent);
			return ask(fog, PROXY, "GET", "/v1/sessions", { token: "alice", agent, headers: { "X-Forwarded-For": client } });
		};
		try {
			for (let i = 0; i < 6; i++)
				assert.equal((await open(`203.0.113.${100 + i}`)).status, 200);
			assert.equal((await open("203.0.113.100")).status, 200);
			expectLimited(await open("203.0.113.100"), 5);
			agents[0].destroy();
			await until("a place is free", async () => (await open("203.0.113.100")).status === 200);
			// A connection that the proxy uses for another client counts for that one from then on.
			const answer = await ask(fog, PROXY, "GET", "/v1/sessions", {
				token: "alice", agent: agents[1], headers: { "X-Forwarded-For": "203.0.113.100" },
			});
			expectLimited(answer, 5);
		} finally {
			for (const agent of agents)
				agent.destroy();
		}
	});
});

describe("TRUSTED_PROXIES", () => {
	for (const [value, item] of [["10.0.0.0/8 nginx", "nginx"], ["10.0.0.1/8", "10.0.0.1/8"], ["0.0.0.0/0", "0.0.0.0/0"]])
		it(`refuses to start with ${value}, and names the item`, async () => {
			const dir = makeDir();
			try {
				const { code, text } = await runFogd(["-d"], { dir, env: { TRUSTED_PROXIES: value } });
				assert.notEqual(code, 0);
				assert.ok(text.includes("TRUSTED_PROXIES") && text.includes(item), text);
			} finally {
				fs.rmSync(dir, { recursive: true, force: true });
			}
		});
});

// The memory that fogd hands from one gatewayd to the next (gatewayd/penalty.c): two words, then one record of 20 bytes
// for each thread: the source, and whether the thread works for it.
const skip = process.getuid() !== 0 && "fogd's memory is open to root alone";
const WORK_AT = 8, WORK_BYTES = 20, THREADS = 65;
const mapped = (address) => Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...address.split(".").map(Number)]);

function openPenalties(fog) {
	const fds = `/proc/${fog.pid}/fd`;
	const name = fs.readdirSync(fds).find((fd) => fs.readlinkSync(path.join(fds, fd)).startsWith("/memfd:penalties"));

	assert.ok(name, "fogd holds the memory of penalties");
	return fs.openSync(path.join(fds, name), "r+");
}

function isWorkingFor(memory, thread, address) {
	const record = Buffer.alloc(WORK_BYTES);

	fs.readSync(memory, record, 0, WORK_BYTES, WORK_AT + thread * WORK_BYTES);
	return record.readUInt32LE(16) === 1 && record.subarray(0, 16).equals(mapped(address));
}

// As if the last of the possible threads worked for that address and never ended with it.
function pretendWork(memory, address) {
	const record = Buffer.concat([mapped(address), Buffer.from([1, 0, 0, 0])]);

	fs.writeSync(memory, record, 0, WORK_BYTES, WORK_AT + (THREADS - 1) * WORK_BYTES);
}

// Stops it in the middle of work for that address, so that a signal finds it there.
const stopAtWork = (memory, victim, threads, address) => until(`gatewayd is stopped at work for ${address}`, async () => {
	signal(victim, "SIGSTOP");
	await sleep(2);
	if (threads.some((thread) => isWorkingFor(memory, thread, address)))
		return true;
	signal(victim, "SIGCONT");
	return false;
}, { timeout: 20_000 });

const isAtWork = (memory) => Array.from({ length: THREADS }, (_, thread) => thread).some((thread) => {
	const flag = Buffer.alloc(4);
	fs.readSync(memory, flag, 0, 4, WORK_AT + thread * WORK_BYTES + 16);
	return flag.readUInt32LE() !== 0;
});

// Requests without end on one connection, so that gatewayd's main thread has work of that address most of the time.
function hammer(fog, from) {
	const socket = net.connect({ host: "127.0.0.1", port: fog.port, localAddress: from });
	const requests = Buffer.from(`GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${fog.port}\r\n\r\n`.repeat(500));
	const more = () => {
		while (!socket.destroyed && socket.write(requests))
			;
	};

	socket.on("error", () => undefined);
	socket.on("connect", more);
	socket.on("drain", more);
	socket.resume();
	return fog.track(socket);
}

suite("a crash of gatewayd", {
	env: { CRASH_PENALTY_SECONDS: "4", HTTP_MAX_REQUESTS: "1000000" },
}, ({ fog, test }) => {
	const healthy = async (from) => {
		try {
			return (await ask(fog, from, "GET", "/healthz")).status === 200;
		} catch (error) {
			return error.code; // closed without an answer
		}
	};

	// SIGABRT, since a sanitizer takes SIGSEGV for itself.
	async function crash(name = "SIGABRT") {
		const mark = fog.logMark();
		const victim = await fog.kill("gatewayd", name);

		await fog.roleProcess("gatewayd", { not: victim });
		await fog.waitLog({ event: "listening" }, { mark });
		await fog.waitReady();
		return mark;
	}

	test("while it works for somebody: that address is not served for a while, and the others are", async () => {
		const memory = openPenalties(fog);
		const client = hammer(fog, B);
		const victim = await fog.roleProcess("gatewayd");
		const mark = fog.logMark();
		try {
			await stopAtWork(memory, victim, [0], B);
			signal(victim, "SIGABRT");
			signal(victim, "SIGCONT");
			await waitGone(victim);
			client.destroy();
			const { source, seconds, crashes } = await fog.waitLog({ event: "source_punished" }, { mark });
			assert.deepEqual([source, seconds, crashes], [B, "4", "1"]);
			await until("gatewayd serves again", async () => await healthy(A) === true);
			assert.equal(await healthy(B), "ECONNRESET");
			assert.equal(await healthy(C), true);
			await until("the penalty is over", async () => await healthy(B) === true, { timeout: 10_000 });
			assert.equal(fog.events({ event: "source_punished" }, mark).length, 1);
		} finally {
			client.destroy();
			if (isAlive(victim))
				signal(victim, "SIGCONT");
			fs.closeSync(memory);
		}
	}, { skip, timeout: 60_000 });

	test("again within an hour: twice as long", async () => {
		const memory = openPenalties(fog);
		pretendWork(memory, B);
		const mark = await crash();
		const { seconds, crashes } = await fog.waitLog({ event: "source_punished", source: B }, { mark });
		assert.deepEqual([seconds, crashes], ["8", "2"]);
		assert.equal(await healthy(B), "ECONNRESET");
		fs.closeSync(memory);
	}, { skip, timeout: 60_000 });

	test("a penalty lives through the next crash, and nobody is punished when nobody was worked for", async () => {
		const mark = await crash();
		assert.equal(await healthy(B), "ECONNRESET");
		assert.equal(await healthy(A), true);
		assert.deepEqual(fog.events({ event: "source_punished" }, mark), []);
	}, { skip, timeout: 60_000 });

	test("killed is not crashed", async () => {
		const memory = openPenalties(fog);
		pretendWork(memory, C);
		const mark = await crash("SIGKILL");
		assert.equal(await healthy(C), true);
		assert.deepEqual(fog.events({ event: "source_punished" }, mark), []);
		fs.closeSync(memory);
	}, { skip, timeout: 60_000 });

	test("garbage in the memory hurts nobody", async () => {
		const memory = openPenalties(fog);
		const garbage = Buffer.alloc(65536 - 8, 0xa5);
		fs.writeSync(memory, garbage, 0, garbage.length, 8);
		await crash();
		assert.equal(await healthy(A), true);
		assert.equal(await healthy(C), true);
		fs.closeSync(memory);
	}, { skip, timeout: 60_000 });
});

const makeCertificate = (dir) => execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
	"-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
	"-keyout", path.join(dir, "tls.key"), "-out", path.join(dir, "tls.crt")], { stdio: "ignore" });

suite("whom gatewayd works for", {
	prepare: (dir) => makeCertificate(dir),
	env: (dir) => ({ TLS_CERT_FILE: path.join(dir, "tls.crt"), TLS_KEY_FILE: path.join(dir, "tls.key") }),
}, ({ fog, test }) => {
	async function seen(threads, address) {
		const memory = openPenalties(fog);
		const gatewayd = await fog.roleProcess("gatewayd");
		try {
			await stopAtWork(memory, gatewayd, threads, address);
			signal(gatewayd, "SIGCONT");
			return memory;
		} finally {
			signal(gatewayd, "SIGCONT");
		}
	}

	test("is noted while OpenSSL looks at a handshake, and not after", async () => {
		let isOver = false;
		const shake = () => {
			const socket = tls.connect({ host: "127.0.0.1", port: fog.port, localAddress: B, rejectUnauthorized: false });
			socket.on("error", () => undefined);
			socket.once("secureConnect", () => socket.destroy());
			socket.once("close", () => isOver || shake());
		};
		for (let i = 0; i < 4; i++)
			shake();
		const memory = await seen([0], B);
		isOver = true;
		// The beginning of one more handshake, and nothing else.
		const half = fog.track(net.connect({ host: "127.0.0.1", port: fog.port, localAddress: C }));
		half.on("error", () => undefined);
		half.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
		await sleep(300);
		assert.equal(isAtWork(memory), false);
		half.destroy();
		fs.closeSync(memory);
	}, { skip });

	test("is noted on the thread of an attached terminal, and not while that is quiet", async () => {
		const session = await fog.create();
		const terminal = await BinaryTerminal.open(fog, session.attach);
		terminal.type("yes | head -c 200000000\n");
		const memory = await seen([1, 2], A);
		await terminal.close();
		await until("nobody is worked for", () => !isAtWork(memory));
		fs.closeSync(memory);
	}, { skip });
});

suite("a crash of gatewayd for a client behind a proxy", {
	env: { CRASH_PENALTY_SECONDS: "30", TRUSTED_PROXIES: PROXY },
}, ({ fog, test }) => {
	test("that client gets 429, the proxy and its other clients do not", async () => {
		const memory = openPenalties(fog);
		const mark = fog.logMark();
		pretendWork(memory, "203.0.113.5");
		const victim = await fog.kill("gatewayd", "SIGABRT");
		await fog.roleProcess("gatewayd", { not: victim });
		await fog.waitLog({ event: "source_punished", source: "203.0.113.5" }, { mark });
		await fog.waitReady();
		expectLimited(await list(fog, PROXY, "alice", { "X-Forwarded-For": "203.0.113.5" }), 30);
		// Its body is not taken for the next request.
		const { headers } = await ask(fog, PROXY, "POST", "/v1/sessions", {
			token: "alice", body: { profile: "default", ttl_seconds: 60 }, headers: { "X-Forwarded-For": "203.0.113.5" },
		});
		assert.equal(headers.connection, "close");
		assert.equal((await list(fog, PROXY, "alice", { "X-Forwarded-For": "203.0.113.6" })).status, 200);
		assert.equal((await list(fog, PROXY, "alice")).status, 200);
		fs.closeSync(memory);
	}, { skip, timeout: 60_000 });
});
