/* SPDX-License-Identifier: MIT */
/* The page's pure parts: frames, input queue, back-off, states, and what passes between terminal and browser. */
import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const MODULES = ['api', 'backoff', 'input', 'protocol', 'state', 'text'];

async function load() {
	const { outputFiles } = await esbuild.build({
		stdin: {
			contents: MODULES.map((name) => `export * from './${name}.ts';`).join('\n'),
			resolveDir: dirname(fileURLToPath(import.meta.url)),
		},
		bundle: true,
		format: 'esm',
		write: false,
	});
	return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

const page = await load();
const utf8 = (text) => new TextEncoder().encode(text);
const frame = (text) => utf8(text).buffer;
const hex = (bytes) => Buffer.from(bytes).toString('hex');

/* --- protocol --- */

test('client frames, byte by byte', () => {
	const rows = [
		['input', page.encodeInput(0x0102030405, utf8('ab')), '6900000001020304056162'],
		['ack', page.encodeAck(65536), '610000000000010000'],
		['probe', page.encodeProbe(7), '700000000000000007'],
		['answer', page.encodeAnswer(utf8('ABCDEFGH')), '714142434445464748'],
		['resize', page.encodeResize(220, 50), '7200dc0032'],
		['resize, clamped', page.encodeResize(0, 4000), '72000103e8'],
	];
	for (const [name, bytes, expected] of rows)
		assert.equal(hex(bytes), expected, name);
});

test('server frames', () => {
	const hello = { out_from: 5, out_lost: 2, in_next: 7, role: 'driver', expires_at: '2026-01-01T00:00:00Z' };
	assert.deepEqual(page.decode(frame(`h${JSON.stringify(hello)}`)).hello, {
		role: 'driver', outFrom: 5, outLost: 2, outNext: null, inNext: 7, expiresAt: '2026-01-01T00:00:00Z',
	});
	assert.equal(page.decode(frame('h{"out_from":0,"in_next":0,"out_next":9}')).hello.outNext, 9);
	assert.deepEqual([...page.decode(frame('oab')).bytes], [97, 98]);
	assert.deepEqual(page.decode(frame('x{"code":3}')).exit, { code: 3, signal: null, reason: '' });
	assert.deepEqual(page.decode(frame('x{"signal":9}')).exit, { code: 137, signal: 9, reason: '' });
	assert.deepEqual(page.decode(frame('x{"code":129,"signal":1,"reason":"ttl"}')).exit, { code: 129, signal: 1, reason: 'ttl' });
	assert.deepEqual(page.decode(frame('s{"state":"taken over","detail":"x"}')).status,
		{ state: 'taken_over', reason: '', detail: 'x' });
	assert.equal(page.probeValue(page.decode(frame('q\0\0\0\0\0\0\0\x09')).payload), 9);
	assert.equal(page.probeValue(page.decode(new Uint8Array([113, ...Array(8).fill(255)]).buffer).payload), null);
});

test('what is no frame is refused', () => {
	const bad = ['', 'z', 'h', 'h[]', 'hnull', 'h{"out_from":-1,"in_next":0}', 'h{"out_from":1.5,"in_next":0}',
		'h{"out_from":0,"in_next":9007199254740992}', 'h{"out_from":0}', 'x{}', 'x{"code":"3"}', 's{', 'p1234567', 'q123456789',
		`s{"detail":"${'x'.repeat(20000)}"}`];
	for (const text of bad)
		assert.throws(() => page.decode(frame(text)), page.ProtocolError, text.slice(0, 40));
	assert.throws(() => page.decode(new Uint8Array([0x73, 0x7b, 0xff, 0x7d]).buffer), page.ProtocolError);
});

/* --- input --- */

const sendAll = (queue, max = 4) => {
	const sent = [];
	for (let chunk; (chunk = queue.take(max)); )
		sent.push(chunk);
	return sent;
};

test('input waits for the hello and begins at its offset', () => {
	const queue = new page.InputQueue();
	assert.equal(queue.push(utf8('abcdef')), true);
	assert.equal(queue.take(100), null);
	assert.equal(queue.resume(40), 0);
	assert.deepEqual(sendAll(queue).map(({ offset, bytes }) => [offset, Buffer.from(bytes).toString()]), [[40, 'abcd'], [44, 'ef']]);
});

test('the window holds input back until it is confirmed, and the limit refuses whole', () => {
	const queue = new page.InputQueue(4, 8);
	queue.resume(0);
	assert.equal(queue.push(utf8('abcdef')), true);
	assert.equal(queue.push(utf8('ghi')), false);
	assert.equal(queue.heldBytes, 6);
	assert.equal(sendAll(queue).length, 1);
	queue.confirm(5); /* not sent yet: no answer can say so */
	assert.equal(queue.unconfirmedBytes, 4);
	queue.confirm(3);
	assert.deepEqual(sendAll(queue).map(({ offset }) => offset), [4]);
	queue.confirm(6);
	queue.confirm(2); /* late */
	assert.equal(queue.heldBytes, 0);
});

test('an offset outside what is held drops it, and says how much', () => {
	for (const inNext of [99, 9]) {
		const queue = new page.InputQueue();
		queue.resume(10);
		queue.push(utf8('abc'));
		assert.equal(queue.resume(inNext), 3);
		queue.push(utf8('z'));
		assert.equal(queue.take(9).offset, inNext);
	}
});

/** A small generator (mulberry32), so that a failing run can be repeated. */
function seeded(seed) {
	return () => {
		seed = (seed + 0x6d2b79f5) | 0;
		let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}

test('through 500 broken connections nothing is typed twice or lost', () => {
	for (let seed = 1; seed <= 500; seed++) {
		const random = seeded(seed);
		const queue = new page.InputQueue(16, 1024);
		let typed = '';
		let arrived = '';
		let isCut = true;
		const holderTakes = ({ offset, bytes }) => {
			assert.ok(offset <= arrived.length, `a gap (seed ${seed})`);
			arrived += Buffer.from(bytes).toString().slice(arrived.length - offset);
		};
		for (let step = 0; step < 60; step++) {
			const text = String.fromCharCode(97 + step % 26).repeat(1 + Math.floor(random() * 5));
			assert.ok(queue.push(utf8(text)));
			typed += text;
			if (isCut)
				assert.equal(queue.resume(arrived.length), 0);
			isCut = random() < 0.3;
			const sent = sendAll(queue);
			/* Frames before the cut arrive, the others are lost. */
			sent.slice(0, isCut ? Math.floor(sent.length * random()) : sent.length).forEach(holderTakes);
			if (!isCut && random() < 0.5)
				queue.confirm(Math.floor(arrived.length * random()));
		}
		for (let left = 100; left-- && queue.heldBytes; ) {
			queue.resume(arrived.length);
			sendAll(queue).forEach(holderTakes);
		}
		assert.equal(arrived, typed, `seed ${seed}`);
	}
});

/* --- back-off --- */

test('back-off doubles up to 15 s, less a quarter at most, and honours Retry-After', () => {
	assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 1000].map((n) => page.backoffMs(n, () => 0)),
		[500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
	assert.deepEqual([0, 5].map((n) => page.backoffMs(n, () => 1)), [375, 11250]);
	assert.equal(page.backoffMs(0, () => 0, 3000), 3000);
	assert.equal(page.backoffMs(0, () => 0, 3_600_000), 15000);
});

/* --- states --- */

const HELLO = { type: 'hello', outLost: 0, inputDropped: 0, viewer: false };
const WAIT = { type: 'wait', waitMs: 3000, reason: '', terminal: true };
const EXIT = { type: 'exit', exit: { code: 3, signal: null, reason: '' } };
const TAKEN = { type: 'status', status: { state: 'taken_over', reason: '', detail: '' } };
const REFUSED = { type: 'problem', problem: { title: 'Too many sessions', detail: 'd', ruleId: 'r' } };
const BEGIN = { type: 'begin', doing: 'session' };

test('states follow events', () => {
	const rows = [
		['opens', [BEGIN, HELLO], 'connected', 'Connected'],
		['loses the connection', [HELLO, WAIT], 'reconnecting', 'Connection lost, trying again in 3 s'],
		['comes back with a gap', [HELLO, WAIT, { ...HELLO, outLost: 1234 }], 'connected', 'Connected: 1,234 bytes of output skipped'],
		['ends', [HELLO, EXIT], 'ended', 'Ended: exit code 3'],
		['stays ended', [HELLO, EXIT, WAIT, HELLO, TAKEN], 'ended', 'Ended: exit code 3'],
		['a signal', [{ type: 'exit', exit: { code: 137, signal: 9, reason: '' } }], 'ended', 'Ended: signal 9 (exit code 137)'],
		['the time limit', [{ type: 'exit', exit: { code: 129, signal: 1, reason: 'ttl' } }], 'ended', 'Ended: time limit reached'],
		['is taken over, and does not come back by itself', [HELLO, TAKEN, WAIT], 'taken-over', 'Open in another window'],
		['is taken back', [HELLO, TAKEN, BEGIN, HELLO], 'connected', 'Connected'],
		['is refused', [BEGIN, REFUSED, WAIT], 'error', 'Error: Too many sessions'],
		['is gone', [{ type: 'gone', status: 'expired', exit: null }], 'ended', 'Ended: time limit reached'],
		['exited meanwhile', [{ type: 'gone', status: 'exited', exit: { code: 2, signal: null, reason: 'exit' } }], 'ended', 'Ended: exit code 2'],
		['a status note', [HELLO, { type: 'status', status: { state: 'shutting_down', reason: '', detail: '' } }], 'connected',
			'Connected: the service is restarting'],
		['the note goes', [{ ...HELLO, outLost: 1 }, { type: 'note', note: '' }], 'connected', 'Connected'],
	];
	for (const [name, events, state, status] of rows) {
		const end = events.reduce(page.next, page.INITIAL);
		assert.deepEqual([end.name, page.describe(end).status], [state, status], name);
	}
});

test('each state offers what helps', () => {
	const actions = (...events) => page.describe(events.reduce(page.next, page.INITIAL)).notice?.actions ?? [];
	assert.deepEqual(actions(HELLO), []);
	assert.deepEqual(actions(HELLO, WAIT), ['reconnect']);
	assert.deepEqual(actions(HELLO, EXIT), ['new']);
	assert.deepEqual(actions(HELLO, TAKEN), ['take-back', 'new']);
	assert.deepEqual(actions(REFUSED), ['retry']);
	assert.equal(page.describe(page.next(page.INITIAL, REFUSED)).notice.ruleId, 'r');
});

/* --- text --- */

test('titles, links and pastes lose what could do harm', () => {
	assert.equal(page.cleanTitle('a\x1b]0;b\x07\u202ec\u0085'), 'a]0;bc');
	assert.equal([...page.cleanTitle('😀'.repeat(200))].length, 100);
	assert.equal(page.cleanPaste('ls\r\n\tx\x1b[201~\x03\u009b'), 'ls\r\n\tx[201~');
	assert.equal(page.safeLink('https://example.org/a b'), 'https://example.org/a%20b');
	for (const address of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', '//example.org', 'x', `https://e.org/${'x'.repeat(3000)}`])
		assert.equal(page.safeLink(address), null, address.slice(0, 40));
});

test('answers of the terminal are told from keys', () => {
	for (const answer of ['\x1b[?1;2c', '\x1b[>0;276;0c', '\x1b[0n', '\x1b[12;40R', '\x1b[?2004;2$y', '\x1b[I', '\x1b]11;rgb:0/0/0\x1b\\', '\x1bP1$r0m\x1b\\'])
		assert.equal(page.answersQuery(answer), true, JSON.stringify(answer));
	for (const key of ['a', '\r', '\x1b', '\x1b[A', '\x1b[1;5C', '\x1b[3~', '\x1bOP', '\x1b[200~x\x1b[201~', '\x1bb'])
		assert.equal(page.answersQuery(key), false, JSON.stringify(key));
});

test('session id, placement and reason in words', () => {
	const id = '01234567-89ab-8def-8123-456789abcdef';
	assert.equal(page.sessionIdFrom(`#s=${id}`), id);
	for (const hash of ['', '#', `#s=${id}x`, `#x&s=${id}`, '#s=../../v1'])
		assert.equal(page.sessionIdFrom(hash), null, hash);
	assert.equal(page.placementWords({ node: 'edge-1', region: 'local', tier: 'fog' }), 'fog · edge-1 · local');
	assert.equal(page.placementWords('edge-1'), 'edge-1');
	assert.equal(page.placementWords(7), '');
	assert.equal(page.reasonWords('only_node'), 'only node');
});

test('the attach address', () => {
	const at = (ws, out, protocol, host) => page.attachUrl(ws, out, { protocol, host });
	assert.equal(at('ws://127.0.0.1:8080/v1/x/pty', null, 'http:', 'localhost:8080'), 'ws://localhost:8080/v1/x/pty');
	assert.equal(at('ws://127.0.0.1:8080/p', 12, 'http:', '127.0.0.1:8080'), 'ws://127.0.0.1:8080/p?out=12');
	assert.equal(at('ws://127.0.0.1:8081/p', 0, 'http:', 'localhost:8080'), 'ws://127.0.0.1:8081/p?out=0');
	assert.equal(at('wss://edge.example/p', null, 'https:', 'shell.example'), 'wss://edge.example/p');
	for (const [ws, protocol] of [['ws://shell.example/p', 'https:'], ['https://shell.example/p', 'https:']])
		assert.throws(() => at(ws, null, protocol, 'shell.example'), page.Problem);
});

test('which failures are worth another try by themselves', () => {
	const transient = [0, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504].filter((status) => new page.Problem(status, 't').isTransient);
	assert.deepEqual(transient, [0, 429, 502, 503, 504]);
});
