// SPDX-License-Identifier: MIT
// gatewayd's HTTP/1.1 parser against Node's llhttp: every request below goes, as raw bytes on a fresh connection, to a
// Node server on loopback and to http1_probe. Nothing that llhttp refuses may be accepted by ours, and what both accept
// has to be the same request: method, target, field lines and content.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const repo = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const probe = path.join(process.env.FOG_BUILD ?? path.join(repo, 'build'), 'regress/http1_probe');
const CONNECTIONS = 16;
const DEADLINE_MS = 10_000;

const H = 'Host: a.example\r\n';
const get = (fields) => `GET / HTTP/1.1\r\n${fields}\r\n`;
const post = (fields, content) => `POST /p HTTP/1.1\r\n${H}${fields}\r\n${content}`;
const chunked = (content) => post('Transfer-Encoding: chunked\r\n', content);
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${H}\r\n`;

// Requests that both have to accept: they keep "refuse everything" from passing this test.
const good = [
	get(H),
	`GET /a/b?c=d&e=%20 HTTP/1.1\r\n${H}\r\n`,
	`GET /? HTTP/1.1\r\n${H}\r\n`,
	`GET //x/../y/%2F%00?a?b HTTP/1.1\r\n${H}\r\n`,
	`HEAD / HTTP/1.1\r\n${H}\r\n`,
	`PUT / HTTP/1.1\r\n${H}Content-Length: 3\r\n\r\nabc`,
	`PATCH / HTTP/1.1\r\n${H}Content-Length: 3\r\n\r\n\0\r\n`,
	`DELETE /v1/sessions/1 HTTP/1.1\r\n${H}\r\n`,
	`OPTIONS /x HTTP/1.1\r\n${H}\r\n`,
	`TRACE /x HTTP/1.1\r\n${H}\r\n`,
	get('Host: [::1]:8080\r\n'),
	get('host:127.0.0.1:1\r\n'),
	get(`${H}X:\r\nY: \t \r\nZ:  a \t b\t\r\n`),
	get(`${H}X: \x80\xff\r\n`),
	get(`${H}X: 1\r\nx: 2\r\nX: 1\r\n`),
	get(`${H}!#$%&'*+-.^_\`|~09azAZ: v\r\n`),
	get(`${H}Connection: keep-alive\r\n`),
	get(`${H}Connection: close\r\n`),
	get(`${H}Connection: x, keep-alive , y\r\n`),
	get(`${H}Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`),
	get(`${H}Cookie: a=b\r\nCookie: c=d\r\nAuthorization: Bearer x\r\nAuthorization: Bearer y\r\n`),
	`${get(`${H}Content-Length: 2\r\n`)}ab`,
	post('Content-Length: 0\r\n', ''),
	post('', ''),
	post('Content-Length: 5\r\n', 'hello'),
	post('Content-Length:\t 5  \r\n', 'hello'),
	post('Content-Length: 5\r\nExpect: 100-continue\r\n', 'hello'),
	post(`Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
	post('Content-Length: 3000\r\n', 'z'.repeat(3000)),
	chunked('0\r\n\r\n'),
	chunked('5\r\nhello\r\n0\r\n\r\n'),
	chunked('5\r\nhello\r\n0A\r\n0123456789\r\nb\r\n0123456789a\r\n000\r\n\r\n'),
	post('transfer-encoding: CHUNKED\r\n', '1\r\nx\r\n0\r\n\r\n'),
	get(H) + get(`${H}X: 2\r\n`) + get(`${H}X: 3\r\n`),
	post('Content-Length: 3\r\n', 'abc') + get(H),
	chunked('3\r\nabc\r\n0\r\n\r\n') + get(H),
];

// Known tricks: request smuggling, splitting, and plain wrong syntax.
const attacks = [
	// lengths that disagree
	post('Content-Length: 5\r\nContent-Length: 6\r\n', 'helloG'),
	post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
	post('Content-Length: 5\t\r\n', 'hello'),
	post('Transfer-Encoding: chunked\t\r\n', '0\r\n\r\n'),
	post('Content-Length: 5, 5\r\n', 'hello'),
	post('Content-Length: 5,6\r\n', 'hello'),
	post('Content-Length: 0\r\ncontent-length: 5\r\n', 'hello'),
	post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nG'),
	post('Transfer-Encoding: chunked\r\nContent-Length: 6\r\n', '0\r\n\r\nG'),
	post(`Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`, `5c\r\n${SMUGGLED}`),
	post('Transfer-Encoding: chunked\r\nContent-Length: 0\r\n', `0\r\n\r\n${SMUGGLED}`),
	// lengths that are no numbers
	...['', '+5', '-5', '-0', '0x5', '5.0', '5e0', '05', '0005', '5 5', '5;', '"5"', 'five', ' ', '5\x0b', '\x0c5', '\u0665',
		'18446744073709551616', '18446744073709551621', '9223372036854775808', '4294967301', '99999999999999999999999'].map(
		(value) => post(`Content-Length: ${value}\r\n`, 'hello')),
	'POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nContent Length: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\n\0Content-Length: 5\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\0\r\n\r\nhello',
	'POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello',
	// codings
	...['', 'identity', 'gzip', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'chunked, identity', 'identity, chunked',
		'xchunked', 'chunkedx', ',chunked', 'chunked,', '"chunked"', '\'chunked\'', 'chunked;a=b', 'chunked x', 'x chunked',
		'chun ked', '\x0bchunked', 'chunked\x0b', 'chunked\0', 'cow', 'deflate', 'chunK\u0117d', '[chunked]'].map(
		(value) => post(`Transfer-Encoding: ${value}\r\n`, '5\r\nhello\r\n0\r\n\r\n')),
	post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
	post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n'),
	post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
	post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'),
	post(' Transfer-Encoding: chunked\r\n', '0\r\n\r\n'),
	post('X: y\r\n Transfer-Encoding: chunked\r\n', '0\r\n\r\n'),
	post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'),
	post('Transfer_Encoding: chunked\r\n', ''),
	post('X: y\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
	post('X: y\rTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
	post('Transfer-Encoding\0: chunked\r\n', '0\r\n\r\n'),
	// chunks
	...['5;a=b\r\nhello\r\n0\r\n\r\n', '5;\r\nhello\r\n0\r\n\r\n', '5;a="b\r\n"\r\nhello\r\n0\r\n\r\n', '5;a\nhello\r\n0\r\n\r\n',
		'5 \r\nhello\r\n0\r\n\r\n', ' 5\r\nhello\r\n0\r\n\r\n', '5\t\r\nhello\r\n0\r\n\r\n', '0x5\r\nhello\r\n0\r\n\r\n',
		'+5\r\nhello\r\n0\r\n\r\n', '-5\r\nhello\r\n0\r\n\r\n', '5_\r\nhello\r\n0\r\n\r\n', 'g\r\nhello\r\n0\r\n\r\n',
		'5\nhello\r\n0\r\n\r\n', '5\rhello\r\n0\r\n\r\n', '5\r\rhello\r\n0\r\n\r\n', '5\r\nhello\n0\r\n\r\n',
		'5\r\nhello\r0\r\n\r\n', '5\r\nhello0\r\n\r\n', '5\r\nhello!\r\n0\r\n\r\n', '4\r\nhello\r\n0\r\n\r\n',
		'6\r\nhello\r\n0\r\n\r\n', '5\r\nhello\r\n0\n\r\n', '5\r\nhello\r\n0\r\n\n', '5\r\nhello\r\n0\r\r\n',
		'5\r\nhello\r\n\r\n', '\r\n5\r\nhello\r\n0\r\n\r\n', '5\r\nhello\r\n0\r\nX: y\r\n\r\n', '5\r\nhello\r\n0\r\nX : y\r\n\r\n',
		'5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n', '5\r\nhello\r\n0\r\n X: y\r\n\r\n', '5\r\nhello\r\n0\r\nX\r\n\r\n',
		'ffffffffffffffff\r\nhello\r\n0\r\n\r\n', '10000000000000005\r\nhello\r\n0\r\n\r\n', '8000000000000000\r\nhello',
		'00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n', '\x005\r\nhello\r\n0\r\n\r\n', '5\0\r\nhello\r\n0\r\n\r\n',
		'5\r\nhello\r\n0', '5\r\nhello\r\n0\r\n', '5\r\nhell', '', '\r\n', '\r\n\r\n'].map(chunked),
	chunked(`0\r\n\r\n\r\n${SMUGGLED}`),
	chunked(`0\n\n${SMUGGLED}`),
	// Host
	get(''),
	get(`${H}Host: b.example\r\n`),
	get(`${H}${H}`),
	...['', 'a b', 'a,b', 'u@a', 'a/b', 'http://a', 'a:', 'a:0', 'a:65536', 'a:x', 'a:-1', ':80', '[::1', '[::1]x', '[g]', 'a%2e',
		'a..b', '\u00e4', 'a\x01', 'a;b', '*', 'a?b', 'a#b', 'a\\b'].map((value) => get(`Host: ${value}\r\n`)),
	get('Host : a\r\n'),
	get(' Host: a\r\n'),
	get('X: y\r\n Host: a\r\n'),
	get('X: y\nHost: a\r\n'),
	get('Host:\r\n a\r\n'),
	// request lines
	...['GET  / HTTP/1.1', 'GET /  HTTP/1.1', ' GET / HTTP/1.1', 'GET\t/ HTTP/1.1', 'GET /\tHTTP/1.1', 'GET / HTTP/1.1 ',
		'GET / HTTP/1.1 x', 'GET / x HTTP/1.1', 'GET / HTTP/1.10', 'GET / HTTP/01.1', 'GET / HTTP/1,1', 'GET / HTTP/1.', 'GET / HTTP/',
		'GET / HTTP', 'GET /', 'GET', '', 'GET / http/1.1', 'GET / HTTP/1.0', 'GET / HTTP/0.9', 'GET / HTTP/1.2', 'GET / HTTP/2.0',
		'GET / HTTP/3.0', 'GET / HTTP/9.9', 'GET / HTTPS/1.1', 'GET / ICE/1.0', 'GET / RTSP/1.0', 'PRI * HTTP/2.0', 'get / HTTP/1.1',
		'Get / HTTP/1.1', 'FOO / HTTP/1.1', 'GETX / HTTP/1.1', 'GE / HTTP/1.1', 'G@T / HTTP/1.1', 'GET: / HTTP/1.1', 'CONNECT a:80 HTTP/1.1',
		'CONNECT / HTTP/1.1', 'SOURCE / HTTP/1.1', 'DESCRIBE / HTTP/1.1', 'M-SEARCH * HTTP/1.1', 'PURGE / HTTP/1.1', 'LINK / HTTP/1.1',
		'OPTIONS * HTTP/1.1', 'GET * HTTP/1.1', 'GET http://a.example/ HTTP/1.1', 'GET http://b.example/ HTTP/1.1',
		'GET https://a.example HTTP/1.1', 'GET //b.example/ HTTP/1.1', 'GET a.example:80 HTTP/1.1', 'GET x HTTP/1.1', 'GET ?x HTTP/1.1',
		'GET /#f HTTP/1.1', 'GET /?#f HTTP/1.1', 'GET /%zz HTTP/1.1', 'GET /%4 HTTP/1.1', 'GET /% HTTP/1.1', 'GET /%00 HTTP/1.1',
		'GET /a\\b HTTP/1.1', 'GET /a"b HTTP/1.1', 'GET /<x> HTTP/1.1', 'GET /\u00e4 HTTP/1.1', 'GET /a\0b HTTP/1.1',
		'GET /\x7f HTTP/1.1', 'GET /a\rb HTTP/1.1', 'GET /a\nb HTTP/1.1'].map((line) => `${line}\r\n${H}\r\n`),
	`GET / HTTP/1.1\n${H}\r\n`,
	`GET / HTTP/1.1\r${H}\r\n`,
	`GET / HTTP/1.1\r\r\n${H}\r\n`,
	`GET / HTTP/1.1\r\nHost: a\n\n`,
	`GET / HTTP/1.1\r\nHost: a\r\n\n`,
	`GET / HTTP/1.1\r\nHost: a\n\r\n`,
	`GET / HTTP/1.1\r\nHost: a\r\r\n`,
	`GET / HTTP/1.1\r\nHost: a\r\n\r`,
	`GET / HTTP/1.1\r\nHost: a\r\n\rGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`,
	`\r\n${get(H)}`,
	`\r\n\r\n${get(H)}`,
	`\n${get(H)}`,
	`\r${get(H)}`,
	`\0${get(H)}`,
	`\ufeff${get(H)}`,
	'GET /\r\n',
	'GET / HTTP/1.0\r\n\r\n',
	'\x16\x03\x01\x00\xa5\x01\x00\x00',
	// fields
	...['X: a\r\n b', 'X: a\r\n\tb', 'X : a', 'X\t: a', 'X', 'X y: a', ': a', ':', ' : a', 'X(: a', 'X\0: a', 'X: a\0b', 'X: a\x01b', 'X: a\x7fb',
		'X: a\x0bb', 'X: a\rb', 'X: a\nb', '\x80: a', 'X\u00e4: a', 'X;: a', '"X": a', 'X@: a', 'X[]: a', 'X{}: a', 'X\\: a', 'X/: a', 'X?: a',
		'X=: a', 'X,Y: a', '\r: a', 'X: a\r\r\nY: b'].map((field) => get(`${H}${field}\r\n`)),
	get(`${H}Connection: close, keep-alive\r\n`) + SMUGGLED,
	get(`${H}Connection: close\r\n`) + SMUGGLED,
	get(`${H}Connection: keep-alive;x\r\n`),
	get(`${H}Connection: "close"\r\n`) + SMUGGLED,
	get(`${H}Connection: ,,close\r\n`) + SMUGGLED,
	get(`${H}Connection: Content-Length\r\nContent-Length: 0\r\n`),
	get(`${H}Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n`),
	`${get(`${H}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n`)}abc${SMUGGLED}`,
	post('Expect: 200-ok\r\nContent-Length: 1\r\n', 'x'),
	post('Expect: 100-continue, x\r\nContent-Length: 1\r\n', 'x'),
	post('Expect:\r\nContent-Length: 1\r\n', 'x'),
	// more than there is room for
	`GET /${'a'.repeat(5000)} HTTP/1.1\r\n${H}\r\n`,
	`GET /${'a'.repeat(20000)} HTTP/1.1\r\n${H}\r\n`,
	get(`${H}X: ${'a'.repeat(13000)}\r\n`),
	get(`${H}X: ${'a'.repeat(20000)}\r\n`),
	get(H + 'X: y\r\n'.repeat(70)),
	get(`${H}${'X'.repeat(20000)}: y\r\n`),
	`${'G'.repeat(40)} / HTTP/1.1\r\n${H}\r\n`,
	post('Content-Length: 70000\r\n', 'z'.repeat(70000)),
	// two messages
	get(H) + '\r\n' + get(H),
	get(H) + '\0' + get(H),
	get(H) + 'GARBAGE',
	post('Content-Length: 5\r\n', 'hell'),
	post('Content-Length: 5\r\n', 'hello!'),
	post('Content-Length: 4\r\n', `hello${SMUGGLED}`),
	post('', `hello`),
	post('', SMUGGLED),
];

const bytes = (text) => Buffer.from(text, [...text].some((c) => c > '\xff') ? 'utf8' : 'latin1');
const splice = (base, at, remove, insert) => Buffer.concat([base.subarray(0, at), insert, base.subarray(at + remove)]);

// Each special byte inserted at, and put in place of, each byte; each byte left out; each byte doubled; each prefix.
function* structural(base) {
	const special = [...'\0\t\n\v\r :;,%/?#"(\x7f\xff', '\r\n', '\r\n ', '0'].map(bytes);
	for (let at = 0; at < base.length; at++) {
		yield splice(base, at, 1, Buffer.alloc(0));
		yield splice(base, at, 0, base.subarray(at, at + 1));
		yield base.subarray(0, at + 1);
		for (const s of special) {
			yield splice(base, at, 0, s);
			yield splice(base, at, 1, s);
		}
	}
}

// Every value of one byte in the middle of each part of a request.
function* everyByte() {
	const places = [
		`G@ET / HTTP/1.1\r\n${H}\r\n`, `GET /a@b HTTP/1.1\r\n${H}\r\n`, `GET / HTTP/1@1\r\n${H}\r\n`, `GET / HTTP/1.1@\n${H}\r\n`,
		get(`Host: a@b\r\n`), get(`${H}X@Y: a\r\n`), get(`${H}X@: a\r\n`), get(`${H}@X: a\r\n`), get(`${H}X:@a\r\n`), get(`${H}X: a@b\r\n`),
		get(`${H}X: a\r@`), post('Content-Length: 1@\r\n', '0123456789'), post('Transfer-Encoding: chunked@\r\n', '0\r\n\r\n'),
		chunked('@\r\n0123456789abcde\r\n0\r\n\r\n'), chunked('1@\r\n0123456789abcdef\r\n0\r\n\r\n'), chunked('1\r\n@\r\n0\r\n\r\n'),
		chunked('1\r\nx@\n0\r\n\r\n'), chunked('1\r\nx\r\n0\r\n@\n'), `${get(H)}@${SMUGGLED}`,
	].map(bytes);
	for (const place of places)
		for (let value = 0; value < 256; value++)
			yield splice(place, place.indexOf('@'), 1, Buffer.from([value]));
}

function corpus() {
	const distinct = new Map();
	const add = (request) => distinct.set(request.toString('latin1'), request);
	for (const text of [...good, ...attacks])
		add(bytes(text));
	const written = distinct.size;
	const bases = [
		`GET /a?b HTTP/1.1\r\nHost: a:1\r\nX: y z\r\n\r\n`,
		`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`,
		`PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
	].map(bytes);
	for (const base of bases)
		for (const request of structural(base))
			add(request);
	for (const request of everyByte())
		add(request);
	return { requests: [...distinct.values()], written };
}

const hex = (buffer) => (buffer.length > 0 ? buffer.toString('hex') : '-');
const hexOf = (text) => hex(Buffer.from(text, 'latin1'));

// Node's side: per connection the complete requests and the error code. Connections are told apart by client port.
const connections = new Map();
let server;

function onRequest(request, response) {
	const fields = [];
	for (let i = 0; i < request.rawHeaders.length; i += 2)
		fields.push(`${hexOf(request.rawHeaders[i])} ${hexOf(request.rawHeaders[i + 1])}`);
	const seen = { line: `${hexOf(request.method)} ${hexOf(request.url)}`, fields, content: [], message: request };
	connections.get(request.socket.remotePort).seen.push(seen);
	request.on('data', (chunk) => seen.content.push(chunk));
	request.on('error', () => {}); // a request that was cut off
	request.on('end', () => response.end());
}

function onClientError(error, socket) {
	const connection = connections.get(socket.remotePort);
	if (connection !== undefined)
		connection.error ??= error.code;
	setImmediate(() => socket.destroy()); // after the data of earlier requests was handed out
}

before(async () => {
	server = http.createServer({ insecureHTTPParser: false, maxHeaderSize: 16384 }, onRequest);
	server.on('clientError', onClientError);
	server.maxHeadersCount = 0;
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
});

after(() => {
	server.closeAllConnections();
	server.close();
});

async function askNode(request) {
	const connection = { seen: [], error: null };
	const socket = new net.Socket();
	const closed = new Promise((resolve) => socket.once('close', resolve));
	socket.on('error', () => {}); // a reset after a refusal
	socket.setTimeout(DEADLINE_MS, () => socket.destroy());
	socket.once('connect', () => {
		connections.set(socket.localPort, connection);
		connection.port = socket.localPort;
		socket.end(request);
	});
	socket.resume();
	socket.connect(server.address().port, '127.0.0.1');
	await closed;
	connections.delete(connection.port);
	const requests = connection.seen.filter(({ message }) => message.complete);
	return {
		requests: requests.map(({ line, fields, content }) => ({ line, fields, content: hex(Buffer.concat(content)) })),
		refused: connection.error ?? (requests.length === 0 ? 'no request' : null),
	};
}

async function askAllNode(requests) {
	const answers = new Array(requests.length);
	let next = 0;
	const worker = async () => {
		for (let i = next++; i < requests.length; i = next++)
			answers[i] = await askNode(requests[i]);
	};
	await Promise.all(Array.from({ length: CONNECTIONS }, worker));
	return answers;
}

// Our side. A request counts once its "content" line has come: not before, it was not accepted.
function parseProbe(output) {
	const answers = [];
	let answer = { requests: [], refused: null };
	let open = null;
	for (const text of output.trimEnd().split('\n')) {
		const [word, ...rest] = text.split(' ');
		if (word === 'request') {
			open = { line: rest.join(' '), fields: [] };
		} else if (word === 'field') {
			open.fields.push(rest.join(' '));
		} else if (word === 'content') {
			answer.requests.push({ ...open, content: rest[0] });
		} else if (word === 'error' || word === 'incomplete') {
			answer.refused = text;
		} else if (word === 'end') {
			answers.push(answer);
			answer = { requests: [], refused: null };
		} else {
			assert.equal(word, 'rest', `unknown line of http1_probe: ${text}`);
		}
	}
	return answers;
}

async function askProbe(requests, piece) {
	const child = spawn(probe, [String(piece)], { stdio: ['pipe', 'pipe', 'inherit'] });
	const exited = once(child, 'exit'); // rejects when the program is missing
	const records = requests.map((request) => {
		const length = Buffer.alloc(4);
		length.writeUInt32BE(request.length);
		return Buffer.concat([length, request]);
	});
	child.stdin.on('error', () => {}); // the exit code says more
	child.stdin.end(Buffer.concat(records));
	const collect = async () => {
		let output = '';
		for await (const chunk of child.stdout.setEncoding('latin1'))
			output += chunk;
		return output;
	};
	const [output, [code, signal]] = await Promise.all([collect(), exited]);
	assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'http1_probe ended well');
	return parseProbe(output);
}

// Null, or what is wrong: each request that ours accepted has to be complete and the same in Node.
function difference(ours, node) {
	for (const [i, request] of ours.requests.entries()) {
		if (node.requests[i] === undefined)
			return `request ${i} accepted by ours, refused by llhttp: ${node.refused}`;
		try {
			assert.deepEqual(request, node.requests[i]);
		} catch (error) {
			return `request ${i} differs: ${error.message}`;
		}
	}
	return null;
}

const { requests, written } = corpus();
let whole;

test('the probe reads the same from whole requests, single bytes and pieces of 7', async () => {
	whole = await askProbe(requests, 0);
	assert.equal(whole.length, requests.length);
	for (const piece of [1, 7])
		assert.deepEqual(await askProbe(requests, piece), whole);
});

test('nothing that llhttp refuses is accepted, and what both accept is equal', async (t) => {
	assert.ok(written >= 200, `${written} requests written by hand`);
	const node = await askAllNode(requests);
	const wrong = [];
	const stricter = new Map();
	let both = 0;
	let neither = 0;
	requests.forEach((request, i) => {
		const found = difference(whole[i], node[i]);
		if (found !== null)
			wrong.push(`${JSON.stringify(request.toString('latin1')).slice(0, 400)}: ${found}`);
		if (whole[i].refused === null && node[i].refused === null)
			both++;
		else if (whole[i].refused !== null && node[i].refused === null)
			stricter.set(whole[i].refused, (stricter.get(whole[i].refused) ?? 0) + 1);
		else
			neither++;
	});
	const more = [...stricter.values()].reduce((sum, n) => sum + n, 0);
	t.diagnostic(`llhttp ${process.versions.llhttp}: ${requests.length} distinct requests, ${written} of them written by hand`);
	t.diagnostic(`accepted by both ${both}, refused by llhttp too ${neither}, refused by ours alone ${more}`);
	for (const [reason, n] of [...stricter].sort((a, b) => b[1] - a[1]))
		t.diagnostic(`  ours alone: ${n} x ${reason}`);
	assert.deepEqual(wrong, []);
	assert.ok(both >= good.length);
});

test('what is plainly right is accepted by both', async () => {
	const wanted = good.map(bytes);
	const ours = await askProbe(wanted, 0);
	const node = await askAllNode(wanted);
	wanted.forEach((request, i) => {
		const text = JSON.stringify(request.toString('latin1'));
		assert.equal(ours[i].refused, null, text);
		assert.equal(node[i].refused, null, text);
		assert.ok(ours[i].requests.length >= 1, text);
		assert.deepEqual(ours[i].requests, node[i].requests, text);
	});
});
