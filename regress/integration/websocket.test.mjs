// SPDX-License-Identifier: MIT
// RFC 6455 to the letter (S13, S14): the handshake, frames that no decent client sends and the close code of each, and
// the two protocols' own rules. The session outlives every bad client.
import assert from "node:assert/strict";
import { exchange, suite } from "../lib/harness.mjs";
import { checkProblem } from "../lib/openapi.mjs";
import { until } from "../lib/proc.mjs";
import { BinaryTerminal, frame, JsonTerminal, RawWebSocket, RefusedUpgrade } from "../lib/ws.mjs";

const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];
const stdin = (text) => JSON.stringify({ type: "stdin", data_b64: Buffer.from(text).toString("base64") });
const closing = (code, reason = "") => {
	const payload = Buffer.alloc(2);
	payload.writeUInt16BE(code);
	return frame({ opcode: CLOSE, payload: Buffer.concat([payload, Buffer.from(reason, "latin1")]) });
};

suite("WebSocket", {}, ({ fog, test }) => {
	let session;
	const attachRaw = async (options) => {
		session ??= await fog.create();
		return RawWebSocket.open(fog, await fog.mint(session), options);
	};

	const violations = [
		["unmasked frame", 1002, [frame({ masked: false, payload: stdin("\n") })]],
		["reserved bit 1", 1002, [frame({ rsv: 4, payload: stdin("\n") })]],
		["reserved bit 2", 1002, [frame({ rsv: 2, payload: stdin("\n") })]],
		["reserved bit 3", 1002, [frame({ rsv: 1, payload: stdin("\n") })]],
		["reserved opcode 3", 1002, [frame({ opcode: 3 })]],
		["reserved opcode 7", 1002, [frame({ opcode: 7 })]],
		["reserved control opcode 11", 1002, [frame({ opcode: 11 })]],
		["reserved control opcode 15", 1002, [frame({ opcode: 15 })]],
		["fragmented ping", 1002, [frame({ opcode: PING, fin: false })]],
		["fragmented close", 1002, [frame({ opcode: CLOSE, fin: false })]],
		["ping of 126 bytes", 1002, [frame({ opcode: PING, payload: "p".repeat(126) })]],
		["continuation of nothing", 1002, [frame({ opcode: CONTINUATION, payload: "x" })]],
		["new message inside a fragmented one", 1002, [frame({ fin: false, payload: "{" }), frame({ payload: stdin("\n") })]],
		["length not in its shortest form, 16 bit", 1002, [frame({ payload: stdin("\n"), lengthForm: 16 })]],
		["length not in its shortest form, 64 bit", 1002, [frame({ payload: stdin("\n"), lengthForm: 64 })]],
		["length with its highest bit set", 1002, [frame({ length: 1n << 63n, lengthForm: 64 })]],
		["close with one byte", 1002, [frame({ opcode: CLOSE, payload: "x" })]],
		["close with code 999", 1002, [closing(999)]],
		["close with code 1005", 1002, [closing(1005)]],
		["close with code 1006", 1002, [closing(1006)]],
		["close with a reason not UTF-8", 1007, [closing(1000, "\xff\xfe")]],
		["text not UTF-8", 1007, [frame({ payload: Buffer.from('{"type":"\xc3\x28"}', "latin1") })]],
		["text with an encoded surrogate", 1007, [frame({ payload: Buffer.from('{"type":"\xed\xa0\x80"}', "latin1") })]],
		["text not UTF-8 across fragments", 1007, [
			frame({ fin: false, payload: Buffer.from('{"type":"\xc3', "latin1") }),
			frame({ opcode: CONTINUATION, payload: Buffer.from('\x28"}', "latin1") }),
		]],
		["message over the limit", 1009, [frame({ length: 64n << 20n, payload: "{" })]],
		["message of an absurd length", 1009, [frame({ length: 1n << 40n, payload: "{" })]],
		["binary frame in the JSON protocol", 1003, [frame({ opcode: BINARY, payload: stdin("\n") })]],
		["JSON cut", 1008, [frame({ payload: '{"type":"stdin"' })]],
		["JSON, but no object", 1008, [frame({ payload: "[]" })]],
		["empty text", 1008, [frame({})]],
		["unknown type", 1008, [frame({ payload: '{"type":"exec","data_b64":""}' })]],
		["no type", 1008, [frame({ payload: '{"data_b64":""}' })]],
		["unknown member", 1008, [frame({ payload: '{"type":"stdin","data_b64":"","x":1}' })]],
		["duplicate member", 1008, [frame({ payload: '{"type":"stdin","data_b64":"","data_b64":""}' })]],
		["base64 with a stray character", 1008, [frame({ payload: '{"type":"stdin","data_b64":"eA=!"}' })]],
		["base64 not a multiple of four", 1008, [frame({ payload: '{"type":"stdin","data_b64":"eHh4eA="}' })]],
		["cols a string", 1008, [frame({ payload: '{"type":"resize","cols":"80","rows":24}' })]],
		["rows missing", 1008, [frame({ payload: '{"type":"resize","cols":80}' })]],
		["cols negative", 1008, [frame({ payload: '{"type":"resize","cols":-1,"rows":24}' })]],
	];
	for (const [name, code, frames] of violations) {
		test(`${name}: close ${code}`, async () => {
			const raw = await attachRaw();
			raw.write(...frames);
			assert.equal(await raw.closeCode(), code);
			assert.ok(raw.frames.every(({ fin, rsv, masked }) => fin && rsv === 0 && !masked));
		});
	}

	const binaryViolations = [
		["text frame", 1003, frame({ opcode: TEXT, payload: stdin("\n") })],
		["unknown type byte", 1008, frame({ opcode: BINARY, payload: "Z" })],
		["empty message", 1008, frame({ opcode: BINARY })],
		["a server's type", 1008, frame({ opcode: BINARY, payload: "ox" })],
		["input without its offset", 1008, frame({ opcode: BINARY, payload: "i\0\0\0" })],
		["input beyond the next offset", 1008, frame({ opcode: BINARY, payload: Buffer.from("i\0\x7f\0\0\0\0\0\0x", "latin1") })],
		["resize too short", 1008, frame({ opcode: BINARY, payload: "r\0\x50" })],
		["resize too long", 1008, frame({ opcode: BINARY, payload: "r\0\x50\0\x18\0" })],
		["probe of 7 bytes", 1008, frame({ opcode: BINARY, payload: "p1234567" })],
		["renewal without a token", 1008, frame({ opcode: BINARY, payload: "t" })],
		["renewal with what no token has", 1008, frame({ opcode: BINARY, payload: "ta b" })],
		["renewal of 4097 bytes", 1008, frame({ opcode: BINARY, payload: "t".repeat(4098) })],
	];
	for (const [name, code, bytes] of binaryViolations) {
		test(`fog.pty.v1, ${name}: close ${code}`, async () => {
			const raw = await attachRaw({ protocol: "fog.pty.v1" });
			raw.write(bytes);
			assert.equal(await raw.closeCode(), code);
		});
	}

	test("what is allowed works: fragments, a ping inside them, frames cut anywhere", async () => {
		const raw = await attachRaw();
		const message = stdin("echo $((6*7))\n");
		const bytes = Buffer.concat([
			frame({ fin: false, payload: message.slice(0, 9) }),
			frame({ opcode: PING, payload: "between" }),
			frame({ fin: false, opcode: CONTINUATION, payload: "" }),
			frame({ opcode: CONTINUATION, payload: message.slice(9) }),
		]);
		for (const byte of bytes) {
			raw.write(Buffer.of(byte));
			await new Promise(setImmediate);
		}
		assert.equal((await raw.waitFrame(PONG)).payload.toString(), "between");
		await until("42", () => /\b42\r$/m.test(raw.text()));
		raw.write(frame({ opcode: PONG, payload: "unasked" }));
		raw.initiatedClose = true;
		raw.write(closing(1000, "bye"));
		assert.equal(await raw.closeCode(), 1000);
	});

	test("a renewal with a token that is none is refused, however often, and all goes on", async () => {
		const own = await fog.create();
		const terminal = await BinaryTerminal.open(fog, own.attach);
		assert.equal(terminal.hello.identity_until, undefined, "the dev shim's identity has no end");
		for (const token of ["x", "a.b.c", own.attach.token]) {
			const { state, reason, detail } = await terminal.renew({ token });
			assert.equal(state, "renewal_refused");
			assert.match(reason, /^attach_token_(invalid|used)$/);
			assert.ok(detail);
		}
		const refused = () => terminal.statuses.filter(({ state }) => state === "renewal_refused");
		for (let i = 0; i < 50; i++)
			terminal.sendFrame("t", Buffer.from("a.b.c"));
		await until("every one is answered", () => refused().length === 53);
		assert.ok(refused().filter(({ reason }) => reason === "too_many_requests").length >= 40);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		await terminal.close();
		await fog.expect(200, "DELETE", `/v1/sessions/${own.id}`, { token: own.token });
	});

	test("a renewal under way when its terminal closes troubles nobody", async () => {
		const own = await fog.create();
		for (let i = 0; i < 20; i++) {
			const terminal = await BinaryTerminal.open(fog, await fog.mint(own));
			terminal.sendFrame("t", Buffer.from("a.b.c"));
			terminal.destroy();
		}
		await (await BinaryTerminal.open(fog, await fog.mint(own))).run("echo $((6*7))", /\b42\r$/m);
		await fog.expect(200, "DELETE", `/v1/sessions/${own.id}`, { token: own.token });
	});

	test("no extension is agreed to", async () => {
		const raw = await attachRaw({ headers: ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"] });
		assert.doesNotMatch(raw.head, /sec-websocket-extensions/i);
		raw.destroy();
	});

	test("after all of this the session is the same", async () => {
		session ??= await fog.create();
		const terminal = await JsonTerminal.open(fog, await fog.mint(session));
		await terminal.run("echo still $((6*7))", /\bstill 42\r$/m);
		assert.equal((await fog.show(session)).status, "running");
		await terminal.close();
	});

	const handshake = (changes = {}) => Object.fromEntries(Object.entries({
		Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": Buffer.alloc(16, 7).toString("base64"), ...changes,
	}).filter(([, value]) => value !== undefined));

	const refusals = [
		["no Upgrade", 426, { Upgrade: undefined, Connection: undefined }],
		["Upgrade to something else", 426, { Upgrade: "h2c" }],
		["Connection without Upgrade", 426, { Connection: "keep-alive" }],
		["version 8", 426, { "Sec-WebSocket-Version": "8" }],
		["no version", 426, { "Sec-WebSocket-Version": undefined }],
		["no key", 400, { "Sec-WebSocket-Key": undefined }],
		["key of 15 bytes", 400, { "Sec-WebSocket-Key": Buffer.alloc(15).toString("base64") }],
		["key not base64", 400, { "Sec-WebSocket-Key": "not base64 at all!!!!!!!" }],
		["unknown subprotocol beside the token", 400, { "Sec-WebSocket-Protocol": "fog.pty.v99" }],
		["Origin of somebody else", 403, { Origin: "https://evil.example" }],
		["Origin null", 403, { Origin: "null" }],
		["Origin with another port", 403, { Origin: "http://127.0.0.1:1" }],
		["Origin with another scheme", 403, { Origin: "https://127.0.0.1" }],
	];
	test("a handshake that is none is refused, and does not burn the token", async () => {
		const fresh = await fog.create();
		const target = `/v1/sessions/${fresh.id}/pty`;
		for (const [name, status, changes] of refusals) {
			const answer = await fog.api("GET", `${target}?token=${fresh.attach.token}`, { headers: handshake(changes) });
			assert.equal(answer.status, status, `${name}: ${answer.body}`);
		}
		const terminal = await JsonTerminal.open(fog, fresh.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
	});

	test("a Host that is not ours: 421 before anything else", async () => {
		const answer = await exchange(fog.url, "GET", "/v1/sessions/x/pty", { headers: handshake({ Host: "evil.example" }) });
		assert.equal(answer.status, 421);
		checkProblem(answer, "Host");
	});

	test("our own Origin by each loopback name is allowed, and so is none", async () => {
		const fresh = await fog.create();
		for (const origin of [`http://127.0.0.1:${fog.port}`, `http://localhost:${fog.port}`, `http://[::1]:${fog.port}`, undefined]) {
			const terminal = await JsonTerminal.open(fog, await fog.mint(fresh), { origin });
			await terminal.close();
		}
	});

	test("a resume offset that is none is 400, one beyond the output is refused", async () => {
		const fresh = await fog.create();
		for (const query of ["?out=x", "?out=-1", "?out=", "?out=1.5", "?out=18446744073709551616", "?out=0&out=0"]) {
			const attach = await fog.mint(fresh);
			const error = await BinaryTerminal.open(fog, attach, { query }).then(() => assert.fail(query), (reason) => reason);
			assert.ok(error instanceof RefusedUpgrade, `${query}: ${error}`);
			assert.equal(error.status, 400, query);
		}
		const error = await BinaryTerminal.open(fog, await fog.mint(fresh), { out: 1e15 }).then(() => assert.fail(), (reason) => reason);
		assert.ok(error instanceof RefusedUpgrade && error.status === 400, String(error));
	});
});
