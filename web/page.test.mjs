/* SPDX-License-Identifier: MIT */
/* The page's pure parts: frames, input queue, back-off, states, what passes between terminal and browser, and signing in against a provider
 * that is played. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const MODULES = [
	'api', 'backoff', 'baton', 'callback', 'connection', 'identity', 'input', 'latency', 'nodes', 'problem', 'protocol', 'provider', 'renewal',
	'state', 'tabset', 'text', 'tokens',
];

/* Node 18 */
globalThis.crypto ??= crypto.webcrypto;
globalThis.CryptoKey ??= crypto.webcrypto.CryptoKey;

const HERE = dirname(fileURLToPath(import.meta.url));

async function load() {
	const { outputFiles } = await esbuild.build({
		stdin: {
			contents: MODULES.map((name) => `export * from './${name}.ts';`).join('\n'),
			resolveDir: HERE,
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
		['renewal', page.encodeRenewal('a.b'), '74612e62'],
		['resize, clamped', page.encodeResize(0, 4000), '72000103e8'],
	];
	for (const [name, bytes, expected] of rows)
		assert.equal(hex(bytes), expected, name);
});

test('server frames', () => {
	const hello = {
		cols: 90, rows: 30, out_from: 5, out_lost: 2, out_next: 9, in_next: 7, role: 'driver', expires_at: '2026-01-01T00:00:00Z',
	};
	assert.deepEqual(page.decode(frame(`h${JSON.stringify(hello)}`)).hello, {
		role: 'driver', size: { cols: 90, rows: 30 }, outFrom: 5, outLost: 2, outNext: 9, inNext: 7, expiresAt: '2026-01-01T00:00:00Z',
		identityUntil: null,
	});
	const until = '2026-01-01T00:15:00Z';
	assert.equal(page.decode(frame(`h${JSON.stringify({ ...hello, identity_until: until })}`)).hello.identityUntil, until);
	assert.deepEqual([...page.decode(frame('oab')).bytes], [97, 98]);
	assert.deepEqual(page.decode(frame('x{"code":3}')).exit, { code: 3, signal: null, reason: '' });
	assert.deepEqual(page.decode(frame('x{"signal":9}')).exit, { code: 137, signal: 9, reason: '' });
	assert.deepEqual(page.decode(frame('x{"code":129,"signal":1,"reason":"ttl"}')).exit, { code: 129, signal: 1, reason: 'ttl' });
	assert.deepEqual(page.decode(frame('s{"state":"taken over","detail":"x"}')).status,
		{ state: 'taken_over', reason: '', detail: 'x', expiresAt: null });
	assert.equal(page.decode(frame('s{"state":"idle","expires_at":"2026-01-01T00:00:00Z"}')).status.expiresAt, '2026-01-01T00:00:00Z');
	assert.equal(page.probeValue(page.decode(frame('q\0\0\0\0\0\0\0\x09')).payload), 9);
	assert.equal(page.probeValue(page.decode(new Uint8Array([113, ...Array(8).fill(255)]).buffer).payload), null);
});

test('what is no frame is refused', () => {
	const hellos = ['"out_from":-1,"in_next":0', '"out_from":1.5,"in_next":0', '"out_from":0,"in_next":9007199254740992', '"out_from":0'];
	const bad = ['', 'z', 'h', 'h[]', 'hnull', ...hellos.map((members) => `h{"cols":9,"rows":9,${members}}`),
		'h{"out_from":0,"in_next":0}', 'x{}', 'x{"code":"3"}', 's{', 'p1234567', 'q123456789',
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
	assert.equal(queue.unsentBytes, 2);
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

const HELLO = { type: 'hello', role: 'driver', skipped: 0, inputDropped: 0, isResumed: false };
const AGAIN = { ...HELLO, isResumed: true };
const WATCH = { ...HELLO, role: 'viewer' };
const WAIT = { type: 'wait', retryAt: 3000, reason: '', terminal: true, queued: 0 };
const EXIT = { type: 'exit', exit: { code: 3, signal: null, reason: '' } };
const REFUSED = { type: 'problem', problem: { title: 'Too many sessions', detail: 'd', ruleId: 'r' } };
const BEGIN = { type: 'begin', doing: 'session' };
const UNSENT = { type: 'unsent', bytes: 7 };
const status = (state, { detail = '', at = null } = {}) =>
	({ type: 'status', status: { state, reason: '', detail, expiresAt: at === null ? null : new Date(at).toISOString() } });
const TAKEN = status('taken_over');
const IDLE = status('idle', { at: 60_000 });
const EXPIRING = status('expiring', { at: 60_000 });
const IDENTITY = status('identity_expiring', { at: 60_000 });
const SIGNED_OUT = { type: 'signed-out', reason: 'Your sign-in has ended.', terminal: true, queued: 0 };
const REVOKED = { type: 'exit', exit: { code: 129, signal: 1, reason: 'revoked' } };
const said = (events, now = 0) => {
	const { status: line, countdown } = page.describe(events.reduce(page.next, page.INITIAL), now);
	return countdown ? `${line} ${countdown}` : line;
};

test('states follow events', () => {
	const rows = [
		['opens', [BEGIN, HELLO], 'connected', 'Connected'],
		['loses the connection', [HELLO, WAIT], 'reconnecting', 'Connection lost, trying again in 3 s'],
		['comes back', [HELLO, WAIT, AGAIN], 'connected', 'Connected: resumed exactly, nothing lost'],
		['comes back with a gap', [HELLO, WAIT, { ...AGAIN, skipped: 1234 }], 'connected', 'Connected: 1,234 bytes of output skipped'],
		['comes back without its input', [HELLO, WAIT, { ...AGAIN, inputDropped: 1 }], 'connected', 'Connected: 1 byte of input not sent'],
		['gets a gap in mid-stream', [WATCH, { type: 'skipped', bytes: 5 }], 'watching', 'Watching only: 5 bytes of output skipped'],
		['ends', [HELLO, EXIT], 'ended', 'Ended: exit code 3'],
		['stays ended', [HELLO, EXIT, WAIT, HELLO, TAKEN], 'ended', 'Ended: exit code 3'],
		['a signal', [{ type: 'exit', exit: { code: 137, signal: 9, reason: '' } }], 'ended', 'Ended: signal 9 (exit code 137)'],
		['the time limit', [{ type: 'exit', exit: { code: 129, signal: 1, reason: 'ttl' } }], 'ended', 'Ended: time limit reached'],
		['idle', [{ type: 'exit', exit: { code: 129, signal: 1, reason: 'idle' } }], 'ended', 'Ended: idle for too long'],
		['was idle', [{ type: 'gone', status: 'expired', reason: 'idle', exit: null }], 'ended', 'Ended: idle for too long'],
		['asks before it takes over', [BEGIN, { type: 'ask' }, WAIT], 'asking', 'Open elsewhere'],
		['is taken over, and does not come back by itself', [HELLO, TAKEN, WAIT], 'taken-over', 'Taken over'],
		['is taken over before it was told hello', [BEGIN, TAKEN], 'taken-over', 'Taken over'],
		['is taken back', [HELLO, TAKEN, BEGIN, AGAIN, status('took_over')], 'connected',
			'Connected: resumed exactly, nothing lost, taken over from another connection'],
		['watches', [HELLO, TAKEN, BEGIN, WATCH], 'watching', 'Watching only'],
		['types while watching', [WATCH, status('read_only')], 'watching', 'Watching only: read-only, keys typed here are not sent'],
		['is refused', [BEGIN, REFUSED, WAIT], 'error', 'Error: Too many sessions'],
		['is gone', [{ type: 'gone', status: 'expired', reason: '', exit: null }], 'ended', 'Ended: time limit reached'],
		['exited meanwhile', [{ type: 'gone', status: 'exited', reason: 'exit', exit: EXIT.exit }], 'ended', 'Ended: exit code 3'],
		['a degraded service stays connected', [HELLO, status('degraded')], 'connected', 'Connected'],
		['a status note', [HELLO, status('shutting_down')], 'connected', 'Connected: the service is restarting'],
		['the note goes', [{ ...AGAIN, skipped: 1 }, { type: 'note', note: '' }], 'connected', 'Connected'],
		['an idle session', [HELLO, IDLE], 'connected', 'Connected: unless you type, this session ends in 1 min'],
		['a key helps', [HELLO, IDLE, { type: 'typed' }], 'connected', 'Connected'],
		['and not against the time limit', [HELLO, EXPIRING, { type: 'typed' }], 'connected', 'Connected: this session ends in 1 min'],
		['is extended', [HELLO, EXPIRING, status('extended')], 'connected', 'Connected: extended'],
		['a sign-in that ends', [HELLO, IDENTITY], 'connected', 'Connected: your sign-in ends in 1 min'],
		['is renewed', [HELLO, IDENTITY, status('renewed', { at: 960_000 })], 'connected', 'Connected'],
		['a renewal says nothing about the time limit', [HELLO, EXPIRING, status('renewed')], 'connected', 'Connected: this session ends in 1 min'],
		['a refused renewal is tried again', [HELLO, status('renewal_refused')], 'connected', 'Connected'],
		['is signed out by time', [HELLO, status('identity_expired'), SIGNED_OUT], 'signed-out', 'Signed out'],
		['signs in again', [HELLO, SIGNED_OUT, WAIT, AGAIN], 'connected', 'Connected: resumed exactly, nothing lost'],
		['was signed out elsewhere', [HELLO, REVOKED], 'ended', 'Ended: signed out'],
		['was ended by an administrator', [{ type: 'gone', status: 'terminated', reason: 'admin', exit: null }], 'ended',
			'Ended: ended by an administrator'],
	];
	for (const [name, events, state, line] of rows)
		assert.deepEqual([events.reduce(page.next, page.INITIAL).name, said(events)], [state, line], name);
});

test('a countdown counts, and a warning that came to nothing goes', () => {
	assert.deepEqual([0, 1, 1001, 2001, 9000].map((now) => said([HELLO, WAIT], now).slice(-3)), ['3 s', '3 s', '2 s', '1 s', '1 s']);
	assert.match(said([HELLO, IDLE], 58_500), /in 1 s$/);
	assert.match(said([HELLO, IDLE], 61_000), /in 0 s$/);
	assert.equal(said([HELLO, IDLE], 66_000), 'Connected');
	assert.match(said([HELLO, status('idle')], 66_000), /ends soon$/);
});

const OTHER_VERSION = { type: 'problem', problem: new page.Problem(409, 'Another version', 'd', '', 0, 'session_other_version') };

test('each state offers what helps', () => {
	const notice = (...events) => page.describe(events.reduce(page.next, page.INITIAL), 0).notice;
	const actions = (...events) => notice(...events)?.actions ?? [];
	assert.deepEqual(actions(HELLO), []);
	assert.deepEqual(actions(HELLO, WAIT), ['reconnect']);
	assert.deepEqual(actions(HELLO, EXIT), ['new', 'close']);
	assert.deepEqual(actions(BEGIN, { type: 'ask' }), ['take-over', 'watch', 'close']);
	assert.deepEqual(actions(HELLO, TAKEN), ['take-back', 'watch', 'close']);
	assert.deepEqual(actions(WATCH), ['take-over']);
	assert.deepEqual(actions(HELLO, IDLE), ['stay']);
	assert.deepEqual(actions(WATCH, EXPIRING), ['extend', 'take-over']);
	assert.deepEqual(actions(REFUSED), ['retry', 'sessions', 'close']);
	assert.deepEqual(actions(HELLO, IDENTITY), ['sign-in']);
	assert.deepEqual(actions(HELLO, SIGNED_OUT), ['sign-in', 'close']);
	assert.deepEqual(actions(BEGIN, OTHER_VERSION), ['sessions', 'close'], 'the same again would not help');
	assert.deepEqual(actions(BEGIN, OTHER_VERSION, UNSENT), ['sessions', 'close']);
	assert.equal(notice(REFUSED).ruleId, 'r');
	assert.equal(notice(HELLO, EXPIRING, { type: 'not-extended', why: 'Policy.' }).detail, 'Policy.');
});

test('what was typed and not sent is told, whatever came in between', () => {
	const detail = (...events) => page.describe(events.reduce(page.next, page.INITIAL), 0).notice.detail;
	assert.match(detail(HELLO, { ...WAIT, queued: 3 }), /\b3 bytes typed wait to be sent\./);
	assert.match(detail(HELLO, WAIT, { type: 'queued', bytes: 12 }), /\b12 bytes typed wait/);
	assert.match(detail(HELLO, { ...SIGNED_OUT, queued: 3 }), /^Your sign-in has ended\. This tab is kept\. 3 bytes typed wait/);
	assert.match(detail(HELLO, SIGNED_OUT, { type: 'queued', bytes: 9 }), /9 bytes typed wait/);
	assert.match(detail(HELLO, EXIT, UNSENT), /^7 bytes typed could not be sent\.$/);
	for (const last of [TAKEN, { type: 'ask' }, REFUSED])
		assert.match(detail(HELLO, last, UNSENT), /7 bytes typed could not be sent\.$/);
});

test('how many watch', () => {
	const viewers = (...events) => events.reduce(page.next, page.INITIAL).viewers;
	assert.equal(viewers(HELLO, status('viewer_joined', { detail: '2 viewers' })), '2 viewers');
	assert.equal(viewers(HELLO, status('viewer_joined', { detail: '1 viewer' }), status('viewer_left', { detail: '0 viewers' })), '');
	assert.equal(viewers(HELLO, status('viewer_joined', { detail: '1 viewer' }), WAIT, AGAIN), '');
});

/* --- tabs --- */

const ID = (n) => `01234567-89ab-8def-8123-${String(n).padStart(12, '0')}`;

test('the address keeps which sessions are open, and which is on top', () => {
	for (const set of [{ ids: [], active: 0 }, { ids: [ID(1)], active: 0 }, { ids: [ID(1), ID(2), ID(3)], active: 2 }])
		assert.deepEqual(page.parseHash(page.formatHash(set)), set);
	assert.equal(page.formatHash({ ids: [ID(1)], active: 0 }), `#s=${ID(1)}`);
	assert.deepEqual(page.parseHash(`#s=${ID(1)},${ID(1)}&a=7`), { ids: [ID(1)], active: 0 });
	const many = Array.from({ length: 99 }, (_, n) => ID(n)).join(',');
	assert.equal(page.parseHash(`#s=${many}`).ids.length, page.TABS_MAX);
	const bad = ['', '#', '#s=../../v1', `#x&s=${ID(1)}`, ...['x', ',', '&a=-1', '&a=1&b=2'].map((tail) => `#s=${ID(1)}${tail}`)];
	for (const hash of bad)
		assert.deepEqual(page.parseHash(hash), { ids: [], active: 0 }, hash);
});

test('keys and closings lead to a tab', () => {
	const after = (key, index) => page.indexAfterKey(key, index, 3);
	assert.deepEqual([after('ArrowRight', 2), after('ArrowLeft', 0), after('Home', 2), after('End', 0), after('a', 1)], [0, 2, 0, 2, null]);
	const rows = [[3, 0, 0, 0], [3, 0, 2, 1], [3, 2, 2, 1], [3, 2, 0, 0], [2, 1, 1, 0], [1, 0, 0, -1]];
	for (const [count, closed, active, expected] of rows)
		assert.equal(page.activeAfterClose(count, closed, active), expected, `${closed} of ${count} closed, ${active} on top`);
});

test('what a tab was to its sessions outlives a reload, once', () => {
	const kept = new Map();
	const storage = {
		getItem: (key) => kept.get(key) ?? null,
		setItem: (key, value) => kept.set(key, value),
		removeItem: (key) => kept.delete(key),
	};
	const roles = new Map([[ID(1), 'driver'], [ID(2), 'viewer']]);
	page.leaveRoles(storage, roles);
	assert.deepEqual(page.takeRoles(storage), roles);
	assert.equal(kept.size, 0);
	assert.deepEqual(page.takeRoles(storage), new Map());
	for (const text of ['{', '7', 'null', '[["a"]]', '[["a","king"]]', '[7]']) {
		kept.set('fog.roles', text);
		assert.deepEqual(page.takeRoles(storage), new Map(), text);
	}
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

test('placement and reason in words', () => {
	assert.equal(page.placementWords({ node: 'edge-1', region: 'local', tier: 'fog' }), 'fog · edge-1 · local');
	assert.equal(page.placementWords('edge-1'), 'edge-1');
	assert.equal(page.placementWords(7), '');
	assert.equal(page.reasonWords('fog-first,nearest'), 'fog nodes come first; the nearest to you');
	assert.equal(page.reasonWords('hint-not-fit,brand-new,toString'), 'the node that was asked for cannot take it; brand-new; toString');
	assert.deepEqual([page.reasonWords(7), page.reasonWords(''), page.reasonWords(',')], ['', '', '']);
	assert.equal(page.reasonWords('x'.repeat(999)).length, 300);
});

test('each reason that the service gives for a choice has words', () => {
	const codes = [...readFileSync(join(HERE, '../placerd/place.h'), 'utf8').matchAll(/^\tR\((\w+), "([a-z-]+)"\)/gm)];
	const chosen = codes.slice(0, codes.findIndex(([, name]) => name === 'REGION')).map(([, , code]) => code);
	assert.ok(chosen.includes('fog-first') && chosen.length >= 9, chosen.join());
	for (const code of chosen)
		assert.notEqual(page.reasonWords(code), code);
});

test('what is worse than it should be, and a wish that is not met, are told', () => {
	const cloud = 'Degraded: in the cloud because no fog node could take it';
	assert.equal(page.degradedWords('cloud-fallback,next-best'), cloud);
	assert.equal(page.degradedWords('cloud-fallback', 'the service says more'), cloud);
	assert.deepEqual(['', 'next-best', 'slow-disk'].map((code) => page.degradedWords(code)),
		['Degraded', 'Degraded: a better node was tried and failed', 'Degraded: slow-disk']);
	assert.equal(page.degradedWords('slow-disk', 'the disk is slow'), 'Degraded: the disk is slow');
	assert.equal(page.missedHintWords('a', 'fog-first,hint-not-fit', 'b'), 'a cannot take this session: it runs on b.');
	assert.equal(page.missedHintWords('a', 'local-only,hint-unknown-node', ''), 'a is not known here: it runs on another node.');
	assert.deepEqual([page.missedHintWords('a', 'hint-honoured', 'a'), page.missedHintWords('', 'hint-not-fit', 'b')], ['', '']);
});

test('lengths of time, counts and a session of the list in words', () => {
	assert.deepEqual([-5, 999, 1000, 59_999, 60_000, 7_300_000, 86_400_000, 200_000_000].map(page.durationWords),
		['0 s', '0 s', '1 s', '59 s', '1 min', '2 h', '1 day', '2 days']);
	assert.deepEqual([1, 0, 12345].map(page.byteWords), ['1 byte', '0 bytes', '12,345 bytes']);
	const session = {
		session_id: ID(1), profile: 'default', status: 'running', created_at: '2026-01-01T00:00:00Z', expires_at: '2026-01-01T01:00:00Z',
		placement: { tier: 'fog', node: 'edge-1', region: 'local' },
	};
	const words = (change, role = null) => page.sessionWords({ ...session, ...change }, role, Date.parse('2026-01-01T00:05:00Z'));
	assert.equal(words({}).name, 'default, running elsewhere');
	assert.equal(words({}, 'driver').name, 'default, open in this page');
	assert.equal(words({ status: 'detached' }).name, 'default, detached');
	assert.equal(words({}).detail, 'started 5 min ago · ends in 55 min · fog · edge-1 · local');
	assert.equal(words({ expires_at: 'x', placement: null }).detail, 'started 5 min ago');
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

/* --- nodes and how far they are --- */

const HERE_ORIGIN = 'https://shell.example';
const node = (name, more = {}) => ({ name, region: 'r', tier: 'fog', url: `https://${name}.example`, self: false, state: 'up', ...more });

test('nodes are read from the list, and which addresses are believed', () => {
	assert.deepEqual(page.nodesFrom([{ name: 'a', url: 'https://a.example', region: 7 }, { name: '' }, { name: 'x'.repeat(65) }, null, 3]),
		[{ name: 'a', region: '', tier: '', url: 'https://a.example', self: false, state: 'unknown' }]);
	assert.deepEqual(page.nodesFrom({}), []);
	const at = (url, more) => page.originOf(node('a', { url, ...more }), HERE_ORIGIN);
	assert.equal(at('https://a.example:8443/x'), 'https://a.example:8443');
	assert.equal(at('http://elsewhere.example', { self: true }), HERE_ORIGIN);
	for (const url of ['', 'a.example', 'http://a.example', 'https://u:p@a.example', 'javascript:0', '//a.example'])
		assert.equal(at(url), null, url);
});

test('a request is repeated at a node of the list alone, and there as it was', () => {
	const nodes = [node('here', { self: true, url: HERE_ORIGIN }), node('a'), node('plain', { url: 'http://plain.example' })];
	const asked = new URL('/v1/sessions/7?x=1', HERE_ORIGIN);
	const at = (location) => page.repeatAt(location, asked, nodes)?.href ?? null;
	assert.equal(at('https://a.example/v1/sessions/7?x=1'), 'https://a.example/v1/sessions/7?x=1');
	const bad = [
		undefined, 7, '', '/v1/sessions/7?x=1', 'https://evil.example/v1/sessions/7?x=1', 'https://a.example:444/v1/sessions/7?x=1',
		'http://a.example/v1/sessions/7?x=1', 'http://plain.example/v1/sessions/7?x=1', `${HERE_ORIGIN}/v1/sessions/7?x=1`,
		'https://a.example/v1/sessions/8?x=1', 'https://a.example/v1/sessions/7', 'https://a.example/v1/sessions/7?x=1#f',
		'https://u@a.example/v1/sessions/7?x=1', 'https://a.example.evil.example/v1/sessions/7?x=1',
	];
	for (const location of bad)
		assert.equal(at(location), null, String(location));
});

test('the node that a person keeps to is a name, and a browser that keeps nothing is none', () => {
	const storage = memory();
	page.keepPin(storage, 'edge-1');
	assert.deepEqual([...storage.kept], [['fog.node', 'edge-1']]);
	assert.equal(page.readPin(storage), 'edge-1');
	page.keepPin(storage, '');
	assert.deepEqual([storage.kept.size, page.readPin(storage)], [0, '']);
	storage.setItem('fog.node', 'x'.repeat(65));
	assert.equal(page.readPin(storage), '');
	const throwing = () => {
		throw new Error('denied');
	};
	const denied = { getItem: throwing, setItem: throwing, removeItem: throwing };
	page.keepPin(denied, 'a');
	assert.equal(page.readPin(denied), '');
});

/** Nodes at given distances on a clock of their own, which goes on only when everything waits for it. */
class PlayedNetwork {
	time = 1_000_000;
	asked = [];
	waiting = [];

	/** latency: ms of the n-th request to a node, a function or a number; Infinity: never answers; null: fails. */
	constructor(latency) {
		this.latency = latency;
	}

	now = () => this.time;

	probe = async (origin, signal) => {
		const name = new URL(origin).hostname.replace('.example', '');
		const n = this.asked.push(name);
		const given = this.latency[name];
		const ms = typeof given === 'function' ? given(this.asked.filter((other) => other === name).length, n) : given === undefined ? 1 : given;
		if (ms === null)
			throw new Error('refused');
		await this.wait(ms, signal);
		if (signal.aborted)
			throw new Error('aborted');
		return ms;
	};

	wait = (ms, signal) => new Promise((resolve) => {
		const end = () => {
			signal.removeEventListener('abort', end);
			this.waiting = this.waiting.filter((other) => other !== entry);
			resolve();
		};
		const entry = { at: this.time + ms, end };
		this.waiting.push(entry);
		signal.addEventListener('abort', end);
	});

	async run(promise) {
		let isOver = false;
		promise.finally(() => (isOver = true));
		for (;;) {
			for (let turn = 0; turn < 20; turn++)
				await null;
			if (isOver)
				return promise;
			const next = this.waiting.sort((a, b) => a.at - b.at)[0];
			assert.ok(next && next.at < Infinity, 'something waits for nothing');
			this.time = Math.max(this.time, next.at);
			next.end();
		}
	}

	count(name) {
		return this.asked.filter((other) => other === name).length;
	}
}

const targets = (...names) => names.map((name) => ({ name, origin: `https://${name}.example` }));
const measureWith = async (latency, names) => {
	const network = new PlayedNetwork(latency);
	const begun = network.time;
	const figures = await network.run(page.measure(targets(...names), network));
	return { network, figures: Object.fromEntries(figures), took: network.time - begun };
};

test('a measure is the least of five probes after one that does not count', async () => {
	const { network, figures, took } = await measureWith({ a: (n) => [90, 20, 14, 30, 12, 19][n - 1], b: 15 }, ['a', 'b']);
	assert.deepEqual(figures, { a: 12, b: 15 });
	assert.deepEqual([network.count('a'), network.count('b')], [6, 6]);
	assert.equal(took, 90 + 20 + 14 + 30 + 12 + 19, 'all nodes at the same time');
});

test('a far node is asked no more after two timed probes, and its figure is kept', async () => {
	const { network, figures } = await measureWith({ near: 10, far: (n) => [50, 31, 33, 1][n - 1], fair: (n) => (n === 2 ? 90 : 30) },
		['near', 'far', 'fair']);
	assert.deepEqual(figures, { near: 10, far: 31, fair: 30 });
	assert.deepEqual([network.count('near'), network.count('far'), network.count('fair')], [6, 3, 6]);
});

test('nodes that fail are left out, one that hangs costs 1.5 s and no more, and what is late counts for nothing', async () => {
	const { figures, took, network } = await measureWith({
		good: 10, refused: null, breaks: (n) => (n === 3 ? null : 5), hangs: Infinity, slow: (n) => (n < 3 ? 20 : Infinity),
	}, ['good', 'refused', 'breaks', 'hangs', 'slow']);
	assert.deepEqual(figures, { good: 10, slow: 20 });
	assert.equal(took, 1500);
	const after = network.asked.length;
	for (let turn = 0; turn < 50; turn++)
		await null;
	assert.equal(network.asked.length, after);
	assert.deepEqual((await measureWith({ a: null }, ['a'])).figures, {});
	assert.deepEqual((await measureWith({}, [])).figures, {});
});

test('this node is measured first, then those that are up, fog before cloud, twelve at most', () => {
	const many = Array.from({ length: 20 }, (_, n) => node(`c${n}`, { tier: 'cloud' }));
	const list = [
		...many, node('down', { state: 'unreachable' }), node('away', { state: 'draining' }), node('maybe', { state: 'suspect' }),
		node('bad', { url: 'http://bad.example' }), node('f1'), node('f2'), node('me', { self: true, tier: 'cloud', state: 'draining' }),
	];
	const names = page.targetsOf(list, HERE_ORIGIN).map(({ name }) => name);
	assert.deepEqual(names.slice(0, 4), ['me', 'f1', 'f2', 'c0']);
	assert.equal(names.length, page.TARGETS_MAX);
	assert.equal(page.targetsOf(list, HERE_ORIGIN)[0].origin, HERE_ORIGIN);
});

test('figures go to the service as whole milliseconds within its bounds', () => {
	assert.deepEqual(page.latencyMembers(new Map([['a', 12.4], ['b', 0.2], ['c', 1e9], ['d', -3], ['__proto__', 7]])),
		Object.fromEntries([['a', 12], ['b', 0], ['c', 60_000], ['d', 0], ['__proto__', 7]]));
});

/** A page that measures: shell is its own node. */
function measuring(latency, { nodes = [node('shell', { self: true }), node('a'), node('b')], list = 5 } = {}) {
	const network = new PlayedNetwork(latency);
	const seen = { lists: 0, measured: [], network };
	const never = new AbortController().signal;
	const latencies = new page.Latencies(network, HERE_ORIGIN, async () => {
		seen.lists++;
		await network.wait(list, never);
		if (seen.fails)
			throw new Error('no list');
		return nodes;
	}, (measured) => seen.measured.push(measured));
	return { latencies, seen, network, create: () => network.run(latencies.forCreate()) };
}

test('a create takes the figures that there are, at once, and new ones come every five minutes at most', async () => {
	const { latencies, seen, network, create } = measuring({ shell: 5, a: 10, b: 20 });
	await network.run(latencies.refresh());
	const begun = network.time;
	assert.deepEqual(await create(), { shell: 5, a: 10, b: 20 });
	network.time += page.MEASURE_EVERY_MS - 1000;
	await network.run(latencies.refresh());
	assert.equal(network.time, begun + page.MEASURE_EVERY_MS - 1000, 'nothing was waited for');
	assert.ok(latencies.dueInMs <= 1000 && latencies.dueInMs > 0);
	assert.equal(seen.lists, 1);
	network.latency.a = 8;
	network.time += 1000;
	assert.deepEqual(await create(), { shell: 5, a: 10, b: 20 }, 'not delayed by the measure that has begun');
	await network.run(latencies.refresh());
	assert.deepEqual([seen.lists, await create()], [2, { shell: 5, a: 8, b: 20 }]);
	assert.deepEqual(seen.measured.map(({ figures }) => figures.get('a')), [10, 8]);
});

test('a create waits 300 ms at most, then takes what is known of two nodes or more, or nothing', async () => {
	const waits = async (latency, options) => {
		const { network, create } = measuring(latency, options);
		const begun = network.time;
		return { members: await create(), took: network.time - begun };
	};
	assert.deepEqual(await waits({ shell: 5, a: 10, b: 20 }), { members: { shell: 5, a: 10, b: 20 }, took: 5 + 6 * 20 - 3 * 20 });
	assert.deepEqual(await waits({ shell: 5, a: 10, b: Infinity }), { members: { shell: 5, a: 10 }, took: 300 });
	assert.deepEqual(await waits({ shell: 5, a: Infinity, b: null }), { members: {}, took: 300 });
	assert.deepEqual(await waits({ shell: 5 }, { list: 9000 }), { members: {}, took: 300 });
});

test('old figures are not used, nor is a clock that was set back believed, and a list that fails is asked for again', async () => {
	const { latencies, seen, network, create } = measuring({ shell: 5, a: 10, b: 20 });
	seen.fails = true;
	assert.deepEqual(await create(), {});
	assert.equal(latencies.dueInMs, 0);
	seen.fails = false;
	await network.run(latencies.refresh());
	assert.equal(seen.lists, 2);
	for (const step of [3_600_000, -7_200_000]) {
		network.time += step;
		network.latency = { shell: Infinity, a: Infinity, b: Infinity };
		assert.deepEqual(await create(), {}, String(step));
		await network.run(latencies.refresh());
	}
	assert.equal(seen.lists, 4);
});

test('a service of one node is not measured', async () => {
	const { seen, network, create } = measuring({}, { nodes: [node('shell', { self: true }), node('a', { state: 'unreachable' })] });
	assert.deepEqual(await create(), {});
	assert.deepEqual([network.asked, seen.measured.length], [[], 1]);
});

test('what is worth a move is what placerd/place.c says', () => {
	const constants = (file) => Object.fromEntries([...readFileSync(join(HERE, file), 'utf8').matchAll(/\b(MOVE_[A-Z_]+) (?:= )?(\d+)/g)]
		.map(([, name, value]) => [name, Number(value)]));
	const ours = constants('latency.ts');
	assert.equal(Object.keys(ours).length, 3);
	assert.deepEqual(ours, constants('../placerd/place.c'));
	const rows = [[48, 12, true], [12, 48, false], [17, 10, true], [16, 10, false], [5, 1, true], [4, 1, false], [4, 0, true], [3, 0, false], [9, 9, false]];
	for (const [now, other, expected] of rows)
		assert.equal(page.isWorthMoving(now, other), expected, `${now} to ${other}`);
});

const measured = (figures, nodes) => ({ nodes, figures: new Map(Object.entries(figures)) });
const PLACE = { node: 'here', tier: 'fog', isFallback: false };

test('a nearer node is offered after three measures one after another, once', () => {
	const nodes = [node('here'), node('near')];
	const say = (watch, ...rows) => rows.map(([here, near]) => watch.next(PLACE, measured({ here, near }, nodes))?.text ?? '');
	const text = 'near is nearer (12 ms instead of 48 ms): open a new session there. This one goes on.';
	assert.deepEqual(say(new page.OfferWatch(), [48, 12], [48, 12], [48, 12], [48, 12], [48, 1]), ['', '', text, '', '']);
	assert.deepEqual(say(new page.OfferWatch(), [48, 12], [48, 12], [48, 40], [48, 12], [48, 12], [48, 12]), ['', '', '', '', '', text]);
	assert.deepEqual(say(new page.OfferWatch(), ...Array(9).fill([13, 12])), Array(9).fill(''));
});

test('what is not fit, farther from fog, or not measured is not offered', () => {
	const offers = (place, other, figures = { here: 48, near: 12 }) => {
		const watch = new page.OfferWatch();
		const rounds = [1, 2, 3].map(() => watch.next({ ...PLACE, ...place }, measured(figures, [node('here'), node('near', other)])));
		return rounds[2]?.node ?? null;
	};
	assert.equal(offers({}, {}), 'near');
	assert.equal(offers({}, { tier: 'cloud' }), null);
	assert.equal(offers({ tier: 'cloud' }, { tier: 'cloud' }), 'near');
	assert.equal(offers({ tier: 'cloud' }, { tier: 'fog' }), 'near');
	for (const state of ['suspect', 'unreachable', 'draining', 'unknown'])
		assert.equal(offers({}, { state }), null, state);
	assert.equal(offers({}, {}, { here: 48 }), null);
	assert.equal(offers({}, {}, { near: 12 }), null);
	assert.equal(offers({ node: 'near' }, {}), null);
});

test('after a fall-back to the cloud a fog node that is back is offered, however far it is; the nearest of several', () => {
	const watch = new page.OfferWatch();
	const nodes = [node('here', { tier: 'cloud' }), node('other-cloud', { tier: 'cloud' }), node('edge'), node('edge-2')];
	const place = { node: 'here', tier: 'cloud', isFallback: true };
	const say = (figures) => watch.next(place, measured({ here: 20, 'other-cloud': 1, ...figures }, nodes));
	assert.deepEqual([say({ edge: 60, 'edge-2': 40 }), say({ edge: 60, 'edge-2': 40 })], [null, null]);
	assert.deepEqual(say({ edge: 60, 'edge-2': 40 }), { node: 'edge-2', text: 'The fog node edge-2 is back: open a new session there. This one goes on.' });
	assert.equal(say({ edge: 60 }), null);
});

test('at 30 % of jitter nodes of one distance lead to no offer in 200 page loads, and one that is much nearer always does', () => {
	const random = seeded(7);
	const least = (ms) => Math.min(...Array.from({ length: 5 }, () => ms * (0.7 + 0.6 * random())));
	const offersIn = (loads, distances) => {
		const nodes = [node('here'), ...Object.keys(distances).map((name) => node(name))];
		let offers = 0;
		for (let load = 0; load < loads; load++) {
			const watch = new page.OfferWatch();
			for (let round = 0; round < 6; round++) {
				const figures = Object.fromEntries(Object.entries({ here: 20, ...distances }).map(([name, ms]) => [name, least(ms)]));
				offers += watch.next(PLACE, measured(figures, nodes)) ? 1 : 0;
			}
		}
		return offers;
	};
	assert.ok(offersIn(200, { a: 20, b: 20, c: 20, d: 22 }) <= 1);
	assert.ok(offersIn(200, { a: 8 }) >= 195);
});

/* --- an attachment, against a service that is played --- */

const sent = [];
class FakeSocket extends EventTarget {
	static OPEN = 1;
	readyState = 1;
	closedWith = null;

	constructor() {
		super();
		FakeSocket.last = this;
	}

	send(bytes) {
		sent.push(hex(bytes));
	}

	close(code) {
		this.closedWith = code;
	}

	say(bytes) {
		this.dispatchEvent(Object.assign(new Event('message'), { data: Uint8Array.from(bytes).buffer }));
	}

	hello(members) {
		this.say(utf8(`h${JSON.stringify({ role: 'driver', cols: 80, rows: 24, out_from: 0, out_next: 0, out_lost: 0, in_next: 0, ...members })}`));
	}

	output(count) {
		this.say(new Uint8Array(count + 1).fill(0x6f));
	}
}

/** A screen that consumes when it is told to. */
class FakeScreen {
	isShown = true;
	isFullScreen = false;
	own = { cols: 100, rows: 40 };
	pinned = null;
	log = [];
	waiting = [];

	write(bytes, done) {
		this.log.push(bytes.length);
		this.waiting.push(done);
	}

	skip(bytes, done) {
		this.log.push(`skip ${bytes}`);
		this.waiting.push(done);
	}

	pin(size) {
		this.pinned = size;
	}

	size() {
		return this.pinned ?? this.own;
	}

	consume(count = this.waiting.length) {
		for (const done of this.waiting.splice(0, count))
			done();
	}
}

function attachment(t, streams = new page.Streams(), screen = new FakeScreen()) {
	globalThis.WebSocket = FakeSocket;
	sent.length = 0;
	const told = [];
	const made = new page.Attachment('ws://127.0.0.1/', 'token', streams, screen, {
		onHello: (_hello, how) => told.push(how),
		onSkipped: (bytes) => told.push(bytes),
		onOutput: () => told.push('output'),
		onStatus: () => {},
		onExit: () => {},
		onLatency: () => {},
	});
	t.after(() => made.close());
	return { made, streams, screen, told, socket: FakeSocket.last };
}

const of = (letter) => sent.filter((frame) => frame.startsWith(hex(utf8(letter))));
const offsets = () => of('a').map((frame) => Number(`0x${frame.slice(2)}`));

test('output is acknowledged when the screen has it, every 8 KiB and at the latest after 50 ms', async (t) => {
	const { screen, socket } = attachment(t);
	socket.hello({});
	socket.output(20_000);
	assert.deepEqual([screen.log, offsets()], [[8192, 8192, 3616], []]);
	screen.consume(2);
	assert.deepEqual(offsets(), [8192, 16384]);
	screen.consume();
	assert.deepEqual(offsets(), [8192, 16384]);
	await new Promise((resolve) => setTimeout(resolve, 70));
	assert.deepEqual(offsets(), [8192, 16384, 20_000]);
});

test('a repeated hello skips: counted from there on, told, marked in order, and acknowledged', async (t) => {
	const { screen, socket, streams, told } = attachment(t);
	socket.hello({ role: 'viewer' });
	socket.output(10);
	socket.hello({ role: 'viewer', out_from: 1000, out_lost: 990, out_next: 1000, cols: 70, rows: 20 });
	socket.output(5);
	assert.deepEqual(screen.log, [10, 'skip 990', 5]);
	assert.deepEqual(told, [{ skipped: 0, inputDropped: 0, isResumed: false }, 'output', 990, 'output']);
	assert.equal(streams.received, 1005);
	assert.deepEqual(screen.pinned, { cols: 80, rows: 24 });
	screen.consume();
	assert.deepEqual(screen.pinned, { cols: 70, rows: 20 });
	assert.equal(streams.consumed, 1005);
	await new Promise((resolve) => setTimeout(resolve, 70));
	assert.deepEqual(offsets(), [1005]);
	socket.hello({ out_from: 3 }); /* output cannot go back */
	assert.equal(socket.closedWith, 4400);
});

test('a replay is drawn at the size of the session, then the window decides', (t) => {
	const { screen, socket, told } = attachment(t);
	socket.hello({ out_next: 100 });
	assert.deepEqual([screen.pinned, of('r')], [{ cols: 80, rows: 24 }, []]);
	socket.output(150);
	assert.deepEqual(screen.log, [100, 50]);
	screen.consume(1);
	assert.deepEqual([screen.pinned, of('r')], [null, ['7200640028']]);
	assert.deepEqual(told.slice(1), ['output']);
});

test('a full-screen program draws once more after a replay at the same size; a plain shell is left alone', async (t) => {
	for (const [isFullScreen, expected] of [[true, ['7200500017', '7200500018']], [false, []]]) {
		const { made, screen, socket } = attachment(t);
		Object.assign(screen, { isFullScreen, own: { cols: 80, rows: 24 } });
		socket.hello({ out_next: 10 });
		socket.output(10);
		screen.consume();
		await new Promise((resolve) => setTimeout(resolve, 130));
		assert.deepEqual(of('r'), expected);
		made.sendSize();
		assert.deepEqual(of('r'), expected, 'only once');
	}
});

test('a tab that is not on top sends no size; on top it does, and a viewer never', (t) => {
	const { made, screen, socket } = attachment(t);
	screen.isShown = false;
	socket.hello({});
	assert.deepEqual(of('r'), []);
	screen.isShown = true;
	made.sendSize();
	assert.deepEqual(of('r'), ['7200640028']);
	screen.isShown = false;
	socket.hello({ out_from: 10, out_next: 10 });
	screen.consume();
	screen.isShown = true;
	made.sendSize();
	assert.deepEqual([screen.pinned, of('r')], [null, ['7200640028', '7200640028']], 'after a gap behind, its own size');

	const viewer = attachment(t);
	viewer.socket.hello({ role: 'viewer' });
	viewer.made.sendSize();
	viewer.streams.input.push(utf8('x'));
	viewer.made.sendInput();
	assert.deepEqual([of('r'), of('i')], [[], []]);
});

test('a renewal travels beside the data, and its end is told', async (t) => {
	const { made, socket, streams } = attachment(t);
	socket.hello({});
	streams.input.push(utf8('ab'));
	made.sendInput();
	const say = (state, reason) => socket.say(utf8(`s${JSON.stringify({ state, reason })}`));
	const answers = [];
	for (const how of [() => say('renewed'), () => say('renewal_refused', 'attach_token_used'), () => made.close()]) {
		const renewal = made.renew('t.o.k');
		how();
		answers.push(await renewal);
	}
	assert.deepEqual(answers, ['', 'attach_token_used', 'the connection was closed']);
	assert.deepEqual(of('t').map((frame) => Buffer.from(frame, 'hex').toString()), Array(3).fill('tt.o.k'));
	assert.deepEqual(of('i'), ['6900000000000000006162']);
	assert.equal(made.isAttached, false);
});

test('an exact resume is told from a gap; the back-off starts afresh when something came through', async (t) => {
	const first = attachment(t);
	first.socket.hello({});
	first.socket.output(10);
	first.made.close();
	assert.equal((await first.made.closed).wasGood, true);

	const second = attachment(t, first.streams, first.screen);
	second.socket.hello({ out_from: 10, out_next: 10 });
	assert.deepEqual(second.told, [{ skipped: 0, inputDropped: 0, isResumed: true }]);
	second.made.close();
	assert.equal((await second.made.closed).wasGood, false);

	const third = attachment(t, first.streams, first.screen);
	third.socket.hello({ out_from: 60, out_lost: 50, out_next: 60 });
	assert.deepEqual(third.told, [{ skipped: 50, inputDropped: 0, isResumed: true }]);
	assert.deepEqual(first.screen.log, [10, 'skip 50']);
});

/* --- signing in --- */

function memory() {
	const kept = new Map();
	return {
		kept,
		getItem: (key) => kept.get(key) ?? null,
		setItem: (key, value) => kept.set(key, value),
		removeItem: (key) => kept.delete(key),
	};
}

test('a token is renewed a quarter of its life before its end, a minute at most, and not by everybody at once', () => {
	const delay = (life, random) => page.renewalDelayMs(1000 + life, 1000, () => random);
	assert.deepEqual([delay(300_000, 0), delay(300_000, 1), delay(3_600_000, 0), delay(3_600_000, 1)], [240_000, 210_000, 3_540_000, 3_510_000]);
	assert.deepEqual([delay(4000, 0), delay(4000, 1), delay(0, 1), delay(-5, 1)], [3000, 2600, 1000, 1000]);
	assert.equal(page.renewalDelayMs(null, 0), null);
});

const PENDING = { state: 'S', nonce: 'N', verifier: 'V' };
const BACK = `#s=${ID(1)}`;

test('a redirect is remembered once, and by nothing else than state, nonce and verifier', () => {
	const storage = memory();
	page.keepPending(storage, { ...PENDING, access_token: 'secret' }, BACK);
	assert.deepEqual([...storage.kept], [['fog.sign-in', JSON.stringify(PENDING)], ['fog.back', BACK]]);
	assert.deepEqual(page.takePending(storage), { pending: PENDING, back: BACK });
	assert.equal(storage.kept.size, 0);
	assert.deepEqual(page.takePending(storage), { pending: null, back: '' });
	for (const text of ['{', 'null', '7', '{"state":"S","nonce":"N"}', '{"state":1,"nonce":"N","verifier":"V"}']) {
		storage.setItem('fog.sign-in', text);
		assert.equal(page.takePending(storage).pending, null, text);
	}
});

test('how a page was come to', () => {
	const arrive = (hash, kept = true, search = '') => {
		const storage = memory();
		if (kept)
			page.keepPending(storage, PENDING, BACK);
		const { arrival, back } = page.readArrival({ search, hash }, storage);
		assert.equal(storage.kept.size, 0, 'used up');
		return [arrival.kind, arrival.answer?.get('code') ?? null, arrival.pending ?? null, back];
	};
	assert.deepEqual(arrive('#signed-in?code=C&state=S'), ['answer', 'C', PENDING, BACK]);
	assert.deepEqual(arrive('#signed-in?code=C&state=S', false), ['answer', 'C', null, '']);
	assert.deepEqual(arrive('#signed-out'), ['signed-out', null, null, '']);
	assert.deepEqual(arrive('', false, '?state=signed-out'), ['signed-out', null, null, '']);
	assert.deepEqual(arrive(BACK), ['fresh', null, null, BACK]);
	assert.deepEqual(arrive(`#signed-in?code=${'x'.repeat(9000)}`)[0], 'fresh');
});

test('the callback hands an answer to whoever waits for it', () => {
	const relay = (query, { framed = false, pending = null } = {}) => {
		const storage = memory();
		if (pending)
			page.keepPending(storage, pending, '');
		return page.relayOf(query, framed, storage);
	};
	assert.deepEqual(relay('?code=C&state=S', { framed: true }), { to: 'parent', query: '?code=C&state=S' });
	assert.deepEqual(relay('?code=C&state=S', { pending: PENDING }), { to: 'page', address: '/#signed-in?code=C&state=S' });
	assert.deepEqual(relay('?error=access_denied&state=S', { pending: PENDING }), { to: 'page', address: '/#signed-in?error=access_denied&state=S' });
	assert.deepEqual(relay('', { pending: PENDING }), { to: 'page', address: '/#signed-out' });
	assert.deepEqual(relay('?state=x'), { to: 'page', address: '/#signed-out' });
	for (const pending of [null, { ...PENDING, state: 'other' }])
		assert.deepEqual(relay('?code=C&state=S', { pending }), { to: 'channel', message: { type: 'answer', query: '?code=C&state=S' } });
	assert.deepEqual(relay(`?code=${'x'.repeat(9000)}`), { to: 'page', address: '/#signed-out' });
	/* Nothing that an answer can hold leads elsewhere. */
	assert.equal(relay('?code=//evil.example/&state=S', { pending: PENDING }).address, '/#signed-in?code=%2F%2Fevil.example%2F&state=S');
});

test('who is signed in, as text', () => {
	assert.equal(page.nameIn({ preferred_username: 'alice', name: 'A', sub: '1' }), 'alice');
	assert.equal(page.nameIn({ preferred_username: ' ', name: 'A B', sub: '1' }), 'A B');
	assert.equal(page.nameIn({ preferred_username: 7, sub: 'a\u202eb\u0007\n<b>' }), 'ab<b>');
	assert.equal([...page.nameIn({ sub: 'x'.repeat(500) })].length, 100);
	assert.equal(page.nameIn({}), '');
});

const ISSUER = 'https://idp.example/realm';
const ORIGIN = 'https://shell.example';
const REDIRECT = `${ORIGIN}/signed-in`;
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const json = (status, body, headers = {}) => new Response(JSON.stringify(body), {
	status, headers: { 'Content-Type': 'application/json', ...headers },
});
const partsOf = (jws) => jws.split('.').slice(0, 2).map((text) => JSON.parse(Buffer.from(text, 'base64url')));

/** A provider and a service behind fetch(): what they were asked, and answers that a test may change. */
class Played {
	metadata = {
		issuer: ISSUER, authorization_endpoint: `${ISSUER}/auth`, token_endpoint: `${ISSUER}/token`, end_session_endpoint: `${ISSUER}/end`,
		jwks_uri: `${ISSUER}/jwks`, authorization_response_iss_parameter_supported: true, response_types_supported: ['code'],
	};
	grants = [];
	requests = [];
	count = 0;
	life = 300;
	sub = 'alice';
	nonce = 'none';
	refreshes = true;

	tokens(more) {
		const n = ++this.count;
		const now = Math.floor(Date.now() / 1000);
		const claims = { iss: ISSUER, aud: 'fog-web', sub: this.sub, iat: now, exp: now + 3600, nonce: this.nonce, preferred_username: this.sub };
		return {
			access_token: `at-${n}`, token_type: 'Bearer', expires_in: this.life, ...(this.refreshes && { refresh_token: `rt-${n}` }),
			id_token: `${part({ alg: 'RS256' })}.${part(claims)}.AAAA`, ...more,
		};
	}

	onToken = () => json(200, this.tokens());
	onApi = () => json(200, {});

	fetch = async (url, { method, headers, body } = {}) => {
		const sent = { method, url: String(url), headers: Object.fromEntries(new Headers(headers)) };
		if (sent.url === `${ISSUER}/.well-known/openid-configuration`)
			return json(200, this.metadata);
		if (sent.url === `${ISSUER}/token`) {
			sent.form = Object.fromEntries(body);
			this.grants.push(sent);
			return this.onToken(sent);
		}
		this.requests.push(sent);
		return this.onApi(sent);
	};
}

const CONFIG = { sign_in: 'oidc', issuer: ISSUER, client_id: 'fog-web', scopes: 'openid offline_access', accept_id_tokens: false };

/** A page that is signing in, with everything of the browser played. */
function signingIn(t, { config = CONFIG, kind = 'answer', answer = {}, metadata = {} } = {}) {
	const played = new Played();
	const told = [];
	const host = {
		redirectUri: REDIRECT,
		arrival: {
			kind, pending: { ...PENDING, nonce: 'none' }, answer: new URLSearchParams({ code: 'C', state: 'S', iss: ISSUER, ...answer }),
		},
		config: async () => ({ config, skewS: 0 }),
		leaveFor: async (url, pending) => told.push(['leave', new URL(url), pending]),
		forget: (url) => told.push(['forget', url]),
		silently: async (url) => {
			told.push(['silently', new URL(url)]);
			return host.onSilent(new URL(url).searchParams);
		},
		onSilent: () => '?error=login_required&state=none',
		popup: () => host.popups && { go: (url) => told.push(['popup', new URL(url)]), close: () => told.push(['closed']) },
		popups: true,
		tellOthers: (message) => told.push(['others', message]),
	};
	Object.assign(played.metadata, metadata);
	const before = globalThis.fetch;
	globalThis.fetch = played.fetch;
	let renewals = 0;
	const identity = new page.Identity(host, { onChange: () => {}, onRenewed: () => renewals++ });
	t.after(() => {
		globalThis.fetch = before;
		identity.drop('end of the test'); /* and of its timer */
	});
	const send = (path = '/v1/sessions', method = 'GET') => identity.send({
		method, url: new URL(path, ORIGIN), headers: { Accept: 'application/json' }, body: null, signal: AbortSignal.timeout(5000),
	});
	return { played, host, told, identity, send, renewals: () => renewals };
}

test('a fresh page goes to the provider with PKCE, state and nonce, and nothing of that comes from somewhere else', async (t) => {
	const { told, identity } = signingIn(t, { kind: 'fresh', config: { ...CONFIG, resource: 'urn:fog:api' } });
	await identity.begin();
	const [[what, url, pending]] = told;
	assert.deepEqual([what, url.origin + url.pathname], ['leave', `${ISSUER}/auth`]);
	const challenge = crypto.createHash('sha256').update(pending.verifier).digest('base64url');
	assert.deepEqual(Object.fromEntries(url.searchParams), {
		client_id: 'fog-web', response_type: 'code', redirect_uri: REDIRECT, scope: 'openid offline_access', resource: 'urn:fog:api',
		state: pending.state, nonce: pending.nonce, code_challenge: challenge, code_challenge_method: 'S256',
	});
	assert.equal(identity.isSignedIn, false);
	assert.ok([pending.state, pending.nonce, pending.verifier].every((text) => text.length >= 43));
});

test('an answer gives tokens, which nothing shows', async (t) => {
	const { played, identity, send, renewals } = signingIn(t);
	await identity.begin();
	assert.deepEqual([identity.isSignedIn, identity.user, identity.epoch, renewals()], [true, 'alice', 1, 1]);
	assert.deepEqual(played.grants.map(({ form }) => form), [{
		grant_type: 'authorization_code', code: 'C', redirect_uri: REDIRECT, code_verifier: 'V', client_id: 'fog-web',
	}]);
	await send();
	assert.equal(played.requests[0].headers.authorization, 'Bearer at-1');
	const store = new page.TokenStore();
	store.takeDev('secret');
	for (const object of [identity, store])
		assert.doesNotMatch(`${JSON.stringify(object)}${Object.values(object).map(String)}`, /at-1|rt-1|secret/);
});

test('answers that are not to be believed give nothing', async (t) => {
	const rows = [
		['another state', { answer: { state: 'T' } }],
		['no state', { answer: { state: '' } }],
		['another issuer (RFC 9207)', { answer: { iss: 'https://evil.example' } }],
		['no issuer, and the provider says it sends one', { answer: { iss: '' } }],
		['a refusal', { answer: { error: 'access_denied' } }],
		['another nonce', {}, (played) => (played.nonce = 'other')],
		['another audience', {}, (played) => (played.onToken = () => json(200, played.tokens({
			id_token: `${part({ alg: 'RS256' })}.${part({ iss: ISSUER, aud: 'x', sub: 'a', iat: 1, exp: 9e9, nonce: 'none' })}.AAAA`,
		})))],
		['no ID token', {}, (played) => (played.onToken = () => json(200, played.tokens({ id_token: undefined })))],
		['a code that is used up', {}, (played) => (played.onToken = () => json(400, { error: 'invalid_grant' }))],
	];
	for (const [name, options, change = () => {}] of rows) {
		const { played, identity, send } = signingIn(t, options);
		change(played);
		await identity.begin();
		assert.deepEqual([identity.isSignedIn, identity.isSignedOut, identity.user], [false, true, ''], name);
		assert.ok(identity.why, name);
		await assert.rejects(send(), name);
	}
	const stranger = signingIn(t);
	stranger.host.arrival.pending = null;
	await stranger.identity.begin();
	assert.deepEqual([stranger.identity.isSignedIn, stranger.played.grants.length], [false, 0], 'not begun here');
});

test('a provider that calls itself otherwise, or cannot be reached, is not signed in at', async (t) => {
	for (const metadata of [{ issuer: `${ISSUER}/` }, { authorization_endpoint: undefined }, { authorization_endpoint: 'http://idp.example/auth' }])
		await assert.rejects(signingIn(t, { kind: 'fresh', metadata }).identity.begin(), (error) => !error.isTransient, JSON.stringify(metadata));
	const away = signingIn(t);
	const { fetch } = away.played;
	globalThis.fetch = () => Promise.reject(new TypeError('failed'));
	await assert.rejects(away.identity.begin(), (error) => error.isTransient);
	globalThis.fetch = async () => new Response('', { status: 503 });
	await assert.rejects(away.identity.begin(), (error) => error.isTransient);
	assert.equal(away.identity.isSignedOut, false);
	globalThis.fetch = fetch;
	await away.identity.begin();
	assert.equal(away.identity.isSignedIn, true, 'the answer was kept');
});

test('development mode asks nobody', async (t) => {
	const { played, identity, send } = signingIn(t, { config: { sign_in: 'dev' } });
	await identity.begin();
	await send();
	assert.deepEqual([identity.user, played.requests[0].headers.authorization], ['', 'Bearer dev']);
	identity.drop('x');
	assert.equal(identity.isSignedIn, true);
});

test('refresh tokens rotate, and renewals at one time are one', async (t) => {
	const { played, identity, send, renewals, told } = signingIn(t);
	await identity.begin();
	await Promise.all([identity.renew(), identity.renew(), identity.renew()]);
	await identity.renew();
	assert.deepEqual(played.grants.slice(1).map(({ form }) => [form.grant_type, form.refresh_token]),
		[['refresh_token', 'rt-1'], ['refresh_token', 'rt-2']]);
	await send();
	assert.equal(played.requests[0].headers.authorization, 'Bearer at-3');
	assert.deepEqual([identity.epoch, renewals(), told], [3, 3, []]);
});

test('without a refresh token a silent round, and without that a person', async (t) => {
	const { played, host, identity, told } = signingIn(t);
	played.refreshes = false;
	await identity.begin();
	host.onSilent = (asked) => {
		played.nonce = asked.get('nonce');
		return `?${new URLSearchParams({ code: 'D', state: asked.get('state'), iss: ISSUER })}`;
	};
	await identity.renew();
	assert.deepEqual([told[0][0], told[0][1].searchParams.get('prompt'), identity.epoch], ['silently', 'none', 2]);
	assert.deepEqual(played.grants.map(({ form }) => form.code), ['C', 'D']);
	host.onSilent = (asked) => `?${new URLSearchParams({ error: 'login_required', state: asked.get('state'), iss: ISSUER })}`;
	await identity.renew();
	assert.deepEqual([identity.isSignedIn, identity.isSignedOut, identity.why], [false, true, 'Your sign-in has ended.']);
});

test('a refresh token that is refused is not tried again; a provider that is away is', async (t) => {
	const { played, identity, host } = signingIn(t);
	await identity.begin();
	played.onToken = () => json(503, {});
	await assert.rejects(identity.renew(), (error) => error.isTransient);
	assert.equal(identity.isSignedIn, true);
	played.onToken = () => json(400, { error: 'invalid_grant' });
	host.onSilent = (asked) => `?${new URLSearchParams({ error: 'login_required', state: asked.get('state'), iss: ISSUER })}`;
	await identity.renew();
	assert.equal(identity.isSignedOut, true);
	assert.deepEqual(played.grants.map(({ form }) => form.refresh_token), [undefined, 'rt-1', 'rt-1']);
});

test('a refused token is renewed once, and the request made once more', async (t) => {
	const { played, identity, send } = signingIn(t);
	await identity.begin();
	const challenge = { 'WWW-Authenticate': 'Bearer error="invalid_token"' };
	played.onApi = ({ headers }) => json(headers.authorization === 'Bearer at-1' ? 401 : 200, {}, challenge);
	assert.deepEqual((await Promise.all([send(), send(), send()])).map(({ status }) => status), [200, 200, 200]);
	assert.deepEqual([played.grants.length, played.requests.length], [2, 6]);
	played.onApi = () => json(401, {});
	assert.equal((await send()).status, 401);
	assert.deepEqual([played.grants.length, played.requests.length, identity.isSignedOut], [3, 8, true]);
});

test('ID tokens serve where the service takes them', async (t) => {
	const { played, identity, send } = signingIn(t, {
		config: { ...CONFIG, accept_id_tokens: true }, metadata: { dpop_signing_alg_values_supported: ['ES256'] },
	});
	await identity.begin();
	await send();
	const { authorization, dpop } = played.requests[0].headers;
	assert.match(authorization, /^Bearer \S+\.AAAA$/);
	assert.deepEqual([dpop, played.grants[0].headers.dpop], [undefined, undefined]);
});

test('an ID token that serves as access token is in no address, also not at signing out', async (t) => {
	const { identity, told } = signingIn(t, { config: { ...CONFIG, accept_id_tokens: true } });
	await identity.begin();
	identity.signOut();
	const [, [, address]] = told;
	assert.equal(new URL(address).searchParams.get('client_id'), 'fog-web');
	assert.doesNotMatch(address, /id_token_hint|AAAA/);
});

/** Checks a proof (RFC 9449 4.3) and gives its payload. */
function checkProof(proof, method, url, token) {
	const [header, payload] = partsOf(proof);
	const [signed, signature] = [proof.slice(0, proof.lastIndexOf('.')), proof.slice(proof.lastIndexOf('.') + 1)];
	assert.deepEqual(Object.keys(header).sort(), ['alg', 'jwk', 'typ']);
	assert.deepEqual([header.typ, header.alg, header.jwk.kty, header.jwk.crv, header.jwk.d], ['dpop+jwt', 'ES256', 'EC', 'P-256', undefined]);
	assert.ok(crypto.verify('sha256', Buffer.from(signed),
		{ key: crypto.createPublicKey({ key: header.jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
	assert.deepEqual([payload.htm, payload.htu], [method, url]);
	assert.equal(payload.ath, token && crypto.createHash('sha256').update(token).digest('base64url'));
	assert.ok(Math.abs(payload.iat - Date.now() / 1000) < 5);
	assert.ok(payload.jti.length >= 16);
	return payload;
}

test('with DPoP every request has a proof of its own, and a nonce when one is wanted', async (t) => {
	const { played, identity, send } = signingIn(t, { metadata: { dpop_signing_alg_values_supported: ['EdDSA', 'ES256'] } });
	played.onToken = ({ headers }) => partsOf(headers.dpop)[1].nonce === 'idp-1'
		? json(200, played.tokens({ token_type: 'DPoP' })) : json(400, { error: 'use_dpop_nonce' }, { 'DPoP-Nonce': 'idp-1' });
	await identity.begin();
	const proofs = played.grants.map(({ headers }) => checkProof(headers.dpop, 'POST', `${ISSUER}/token`));
	assert.deepEqual(proofs.map(({ nonce }) => nonce), [undefined, 'idp-1']);
	played.onApi = ({ headers }) => partsOf(headers.dpop)[1].nonce === 'fog-1'
		? json(200, {}) : json(401, {}, { 'WWW-Authenticate': 'DPoP error="use_dpop_nonce"', 'DPoP-Nonce': 'fog-1' });
	assert.equal((await send('/v1/sessions?x=1', 'POST')).status, 200);
	assert.equal((await send('/v1/profiles')).status, 200);
	assert.deepEqual(played.requests.map(({ headers }) => headers.authorization), Array(3).fill('DPoP at-1'));
	const payloads = played.requests.map(({ method, url, headers }) => checkProof(headers.dpop, method, url.split('?')[0], 'at-1'));
	assert.deepEqual(payloads.map(({ nonce }) => nonce), [undefined, 'fog-1', 'fog-1']);
	assert.equal(new Set([...proofs, ...payloads].map(({ jti }) => jti)).size, 5);
	assert.equal(new Set([...played.grants, ...played.requests].map(({ headers }) => partsOf(headers.dpop)[0].jwk.x)).size, 1);
	assert.equal(played.grants.length, 2, 'a wanted nonce is no reason to renew');
});

/** An API of somebody signed in with DPoP, and a service that says where else to ask. */
async function boundApi(t, { tokenType = 'DPoP', location: where = () => null, elsewhere = () => json(200, {}) } = {}) {
	const { played, identity, told } = signingIn(t, { metadata: { dpop_signing_alg_values_supported: ['ES256'] } });
	played.onToken = () => json(200, played.tokens({ token_type: tokenType }));
	await identity.begin();
	globalThis.location = { origin: ORIGIN };
	t.after(() => delete globalThis.location);
	played.onApi = (request) => {
		const url = new URL(request.url);
		if (url.pathname === '/v1/nodes')
			return json(200, { nodes: [node('shell', { self: true, url: ORIGIN }), node('edge')] });
		return url.origin === ORIGIN ? json(409, { code: 'on_other_node', title: 'Elsewhere', location: where(url) }) : elsewhere(request);
	};
	return { api: new page.Api(identity), identity, played, told };
}

const AT_EDGE = ({ pathname, search }) => `https://edge.example${pathname}${search}`;
const GRANT = { ws_url: `wss://edge.example/v1/sessions/${ID(1)}/pty`, token: 'T', expires_at: 'E' };
const WISH = { profile: { name: 'default', max_ttl_seconds: 60, max_sessions: 1 }, hint: 'edge', latencyMs: { edge: 12 } };
const SIGNAL = new AbortController().signal;

test('with DPoP the page asks the node of a session itself, once, with a proof of its own', async (t) => {
	const made = { session_id: ID(1), attach: GRANT, placement: { node: 'edge' }, placement_reason: 'fog-first' };
	const { api, played } = await boundApi(t, { location: AT_EDGE, elsewhere: () => json(201, made) });
	assert.deepEqual(await api.createSession(WISH, 'K', SIGNAL), made);
	const [first, list, second] = played.requests;
	assert.deepEqual([first, list, second].map(({ url }) => url), [`${ORIGIN}/v1/sessions`, `${ORIGIN}/v1/nodes`, 'https://edge.example/v1/sessions']);
	const proofs = [first, second].map(({ method, url, headers }) => checkProof(headers.dpop, method, url, 'at-1'));
	assert.notEqual(proofs[0].jti, proofs[1].jti);
	assert.deepEqual([first, second].map(({ headers }) => headers['idempotency-key']), ['K', 'K']);
	assert.deepEqual(played.requests.map(({ headers }) => headers['fog-location']), Array(3).fill('body'));
	await api.createSession(WISH, 'K', SIGNAL);
	assert.equal(played.requests.length, 5, 'the list is known');
});

test('an address that is none of the nodes, a second one, or a terminal elsewhere is refused', async (t) => {
	const refused = (promise) => assert.rejects(promise, (error) => error.status === 502 && /not safe/.test(error.title));
	let where = (url) => AT_EDGE(url).replace('edge.example', 'evil.example');
	let elsewhere = () => json(200, { ...GRANT, ws_url: GRANT.ws_url.replace('edge', 'evil') });
	const { api, played } = await boundApi(t, { location: (url) => where(url), elsewhere: (request) => elsewhere(request) });
	await refused(api.attach(ID(1), 'driver', SIGNAL));
	assert.ok(played.requests.every(({ url }) => url.startsWith(ORIGIN)), 'nothing went there');
	where = AT_EDGE;
	await refused(api.attach(ID(1), 'driver', SIGNAL));
	elsewhere = () => json(200, { ...GRANT, ws_url: GRANT.ws_url.replace('wss:', 'ws:') });
	await refused(api.attach(ID(1), 'driver', SIGNAL));
	elsewhere = ({ url }) => json(409, { code: 'on_other_node', title: 'Elsewhere', location: url.replace('edge', 'edge') });
	const before = played.requests.length;
	await assert.rejects(api.session(ID(1), SIGNAL), (error) => error.status === 409 && error.code === 'on_other_node');
	assert.equal(played.requests.length, before + 2, 'once');
	elsewhere = () => json(200, GRANT);
	assert.deepEqual(await api.attach(ID(1), 'driver', SIGNAL), GRANT);
});

test('with DPoP the page gathers the list itself; each node speaks for itself, and who does not answer is named', async (t) => {
	const row = (n, name, more) => ({ session_id: ID(n), status: 'running', placement: { node: name, region: 'r', tier: 'fog' }, ...more });
	const { api, played } = await boundApi(t);
	const nodes = [node('shell', { self: true, url: ORIGIN }), node('edge'), node('dead'), node('odd'), node('plain', { url: 'http://plain.example' })];
	const said = {
		'shell.example': { sessions: [row(1, 'shell')], unreachable_nodes: ['edge', 'dead', 'odd', 'plain', 'gone', 'shell'] },
		'edge.example': {
			sessions: [row(2, 'edge'), row(1, 'edge', { status: 'failed' }), row(3, 'shell'), row('x', 'edge'), null, { session_id: ID(4) }],
			unreachable_nodes: ['shell'],
		},
		'odd.example': { sessions: 7 },
	};
	played.onApi = ({ url }) => {
		const { hostname, pathname } = new URL(url);
		if (pathname === '/v1/nodes')
			return json(200, { nodes });
		if (hostname === 'dead.example')
			throw new TypeError('failed to fetch');
		return json(200, said[hostname]);
	};
	const { sessions, unreachable } = await api.sessions(SIGNAL);
	assert.deepEqual(sessions.map(({ session_id: id, status }) => [id, status]), [[ID(1), 'running'], [ID(2), 'running']]);
	assert.deepEqual(unreachable.sort(), ['dead', 'gone', 'odd', 'plain', 'shell']);
	const { headers, method, url } = played.requests.find((request) => request.url.startsWith('https://edge.example'));
	checkProof(headers.dpop, method, url, 'at-1');
});

test('another node cannot sign anybody out, and a token that is not bound goes to no other node', async (t) => {
	const bound = await boundApi(t, { location: AT_EDGE, elsewhere: () => json(401, { title: 'No' }, { 'WWW-Authenticate': 'DPoP error="invalid_token"' }) });
	await assert.rejects(bound.api.session(ID(1), SIGNAL), (error) => error.status === 401);
	assert.deepEqual([bound.identity.isSignedIn, bound.played.grants.length], [true, 1]);
	const bearer = await boundApi(t, { tokenType: 'Bearer', location: AT_EDGE });
	await assert.rejects(bearer.api.session(ID(1), SIGNAL), (error) => error.status === 409);
	assert.deepEqual(bearer.played.requests.map(({ url, headers }) => [new URL(url).origin, headers['fog-location']]), [[ORIGIN, undefined]]);
	await assert.rejects(bearer.identity.sendElsewhere({}), page.Problem);
});

test('a session is asked for with the wish and the figures that there are; nodes that did not answer are named', async (t) => {
	const { played, identity } = signingIn(t);
	await identity.begin();
	globalThis.location = { origin: ORIGIN };
	t.after(() => delete globalThis.location);
	const bodies = [];
	const before = globalThis.fetch;
	globalThis.fetch = (url, init) => {
		bodies.push(init.body);
		return before(url, init);
	};
	const api = new page.Api(identity);
	await api.createSession(WISH, 'K', SIGNAL);
	await api.createSession({ ...WISH, hint: '', latencyMs: {} }, 'L', SIGNAL);
	assert.deepEqual(bodies.map((body) => JSON.parse(body)), [
		{ profile: 'default', ttl_seconds: 60, placement_hint: 'edge', latency_ms: { edge: 12 } }, { profile: 'default', ttl_seconds: 60 },
	]);
	played.onApi = () => json(200, { sessions: [], unreachable_nodes: ['a', 7, '', ...Array(99).fill('b')] });
	const { unreachable } = await api.sessions(SIGNAL);
	assert.deepEqual([unreachable.slice(0, 2), unreachable.length], [['a', 'b'], 16]);
	played.onApi = () => json(200, { sessions: [] });
	assert.deepEqual(await api.sessions(SIGNAL), { sessions: [], unreachable: [] });
});

test('a provider that does not bind the token gets it sent as a bearer', async (t) => {
	const { played, identity, send } = signingIn(t, { metadata: { dpop_signing_alg_values_supported: ['ES256'] } });
	await identity.begin();
	await send();
	assert.deepEqual([played.requests[0].headers.authorization, played.requests[0].headers.dpop], ['Bearer at-1', undefined]);
});

test('signing out forgets, tells the other windows, and goes to the provider', async (t) => {
	const { identity, told, send } = signingIn(t);
	await identity.begin();
	identity.signOut();
	assert.deepEqual([identity.isSignedIn, identity.user], [false, '']);
	assert.deepEqual(told[0], ['others', { type: 'signed-out' }]);
	const url = new URL(told[1][1]);
	const { id_token_hint: hint, ...asked } = Object.fromEntries(url.searchParams);
	assert.equal(url.origin + url.pathname, `${ISSUER}/end`);
	assert.deepEqual(asked, { post_logout_redirect_uri: `${ORIGIN}/`, client_id: 'fog-web', state: 'signed-out' });
	assert.equal(partsOf(hint)[1].sub, 'alice');
	await assert.rejects(send());

	const other = signingIn(t, { metadata: { end_session_endpoint: undefined } });
	await other.identity.begin();
	await other.identity.onMessage({ type: 'signed-out' });
	assert.deepEqual([other.identity.isSignedIn, other.told], [false, [['forget', null]]]);
});

test('a renewal that a sign-out overtakes gives nothing', async (t) => {
	const { played, identity } = signingIn(t);
	await identity.begin();
	const renewal = identity.renew();
	identity.drop('You have been signed out.');
	await renewal;
	assert.deepEqual([played.grants.length, identity.isSignedIn, identity.epoch, identity.why], [2, false, 1, 'You have been signed out.']);
});

test('signing in again keeps the page, in a window of its own; its answer is for one page', async (t) => {
	const { played, identity, told, host } = signingIn(t);
	await identity.begin();
	identity.drop('Your sign-in has ended.');
	const waits = identity.signedIn(AbortSignal.timeout(5000));
	await identity.signIn();
	const [[what, url]] = told;
	assert.equal(what, 'popup');
	const answer = (state) => ({ type: 'answer', query: `?${new URLSearchParams({ code: 'E', state, iss: ISSUER })}` });
	await identity.onMessage(answer('somebody else\'s'));
	assert.equal(identity.isSignedIn, false);
	played.nonce = url.searchParams.get('nonce');
	await identity.onMessage(answer(url.searchParams.get('state')));
	await waits;
	assert.deepEqual([identity.isSignedIn, identity.epoch, told.slice(1)], [true, 2, [['closed']]]);
	await identity.onMessage(answer(url.searchParams.get('state')));
	assert.equal(played.grants.length, 2, 'an answer serves once');

	identity.drop('again');
	host.popups = null; /* blocked */
	await identity.signIn();
	assert.equal(told.at(-1)[0], 'leave');
});

test('what one person left on the screens is not for the next', async (t) => {
	const { played, identity, told } = signingIn(t);
	await identity.begin();
	identity.drop('Your sign-in has ended.');
	await identity.signIn();
	played.sub = 'bob';
	played.nonce = told[0][1].searchParams.get('nonce');
	const state = told[0][1].searchParams.get('state');
	await identity.onMessage({ type: 'answer', query: `?${new URLSearchParams({ code: 'E', state, iss: ISSUER })}` });
	assert.deepEqual([told.at(-1), identity.isSignedIn], [['forget', null], false]);

	const silent = signingIn(t);
	await silent.identity.begin();
	silent.played.sub = 'bob';
	await silent.identity.renew();
	assert.deepEqual([silent.told, silent.identity.isSignedIn], [[['forget', null]], false]);
});
