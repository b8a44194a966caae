// SPDX-License-Identifier: MIT
// An identity provider that does everything wrong, one thing at a time: each row of MISDEEDS is an issuer of its own with
// a single fault. But for the fault all is in order, so whoever refuses a row refuses it for that.
import crypto from "node:crypto";
import https from "node:https";
import http from "node:http";
import net from "node:net";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { kindOf, makeKey, signJws } from "./jws.mjs";
import { sleep } from "./proc.mjs";
import { listen, TestCa } from "./testca.mjs";

export const HUGE = 100_000_000;
const CHUNK = Buffer.alloc(65_536, " ");
const ALL_NAMES = ["127.0.0.1", "127.0.0.2", "::1", "localhost"];
const JSON_TYPE = { "Content-Type": "application/json" };

// --- how an answer is sent: (response, text, where) ---

const send = (status, headers = JSON_TYPE, change = (text) => text) => (response, text) =>
	response.writeHead(status, headers).end(change(text));

const body = (change) => send(200, JSON_TYPE, change);

const redirect = (status, to) => (response, text, where) => response.writeHead(status, { Location: to(where) }).end();

const padded = (headers) => async (response, text) => {
	response.writeHead(200, { ...JSON_TYPE, ...headers });
	response.write(text);
	for (let sent = text.length; sent < HUGE && !response.destroyed; sent += CHUNK.length)
		if (!response.write(CHUNK.subarray(0, HUGE - sent)))
			await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
	response.end();
};

// Past the HTTP layer where even the head of the answer is slow.
const drip = (head) => async (response, text) => {
	const { socket } = response;
	socket.write(head(text));
	for (let i = 0; i < text.length && !socket.destroyed; i++) {
		await sleep(1000);
		socket.write(text[i]);
	}
};

// Compressed off the event loop: there may be clients with deadlines in this process.
const bomb = (encoding, compress, options) => async (response, text) => {
	const data = await compress(Buffer.alloc(HUGE, " ").fill(text, 0, Buffer.byteLength(text)), options);
	response.writeHead(200, { ...JSON_TYPE, "Content-Encoding": encoding, "Content-Length": data.length }).end(data);
};

// After the first member comes a second of that name; the good one last, where most parsers look.
const doubled = (text) => text.replace(/^\{"(\w+)":/, '{"$1":"https://other.example","$1":');

const FAULTS = {
	huge: padded({ "Content-Length": HUGE }),
	huge_chunked: padded({}),
	huge_head: send(200, { ...JSON_TYPE, "X-Pad": "x".repeat(1_000_000) }),
	gzip_bomb: bomb("gzip", promisify(zlib.gzip)),
	brotli_bomb: bomb("br", promisify(zlib.brotliCompress), { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }),
	never: () => undefined,
	slow: drip((text) => `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`),
	slow_head: drip(() => "HTTP/1.1 200 OK\r\nX-Pad: "),
	cut_short: (response, text) => {
		response.writeHead(200, { ...JSON_TYPE, "Content-Length": text.length + 1 });
		response.write(text, () => response.socket.destroy());
	},
	redirect_http: redirect(302, ({ trapPort }) => `http://127.0.0.1:${trapPort}/`),
	redirect_loopback: redirect(302, ({ trapPort }) => `https://127.0.0.2:${trapPort}/`),
	redirect_file: redirect(302, () => "file:///etc/passwd"),
	// Even to a document that is in order.
	redirect_same_host: redirect(307, ({ origin, path }) => `${origin}/honest${path}`),
	redirect_forever: redirect(308, ({ origin, name, path }) => `${origin}/${name}${path}`),
	status_204: send(204, {}, () => ""),
	status_206: send(206, { ...JSON_TYPE, "Content-Range": "bytes 0-1/2" }),
	status_401: send(401, { ...JSON_TYPE, "WWW-Authenticate": "Basic" }),
	status_404: send(404),
	status_500: send(500),
	wrong_type: send(200, { "Content-Type": "text/html" }),
	no_type: send(200, {}),
	not_json: body(() => "<!DOCTYPE html><title>Sign in</title>"),
	empty: body(() => ""),
	array: body((text) => `[${text}]`),
	trailing: body((text) => `${text}{}`),
	byte_order_mark: body((text) => `\ufeff${text}`),
	not_utf8: body((text) => Buffer.from(text.replace(/^\{/, '{"pad":"\xff",'), "latin1")),
	nul: body((text) => text.replace(/^\{/, '{"pad\\u0000":1,')),
	deep: body((text) => text.replace(/^\{/, `{"pad":${"[".repeat(50_000)}${"]".repeat(50_000)},`)),
	duplicate_member: body(doubled),
};

// --- what the discovery document says ---

const says = (change) => ({ refused: "discovery", metadata: (good, where) => ({ ...good, ...change(good, where) }) });
const issuer = (value) => says((good, where) => ({ issuer: typeof value === "function" ? value(good.issuer, where) : value }));
const keysAt = (url) => says((good, where) => ({ jwks_uri: typeof url === "function" ? url(where, good) : url }));
const keysAtTrap = (host, scheme = "https") => keysAt(({ trapPort }) => `${scheme}://${host}:${trapPort}/keys`);

const DOCUMENTS = {
	issuer_other: issuer("https://other.example"),
	issuer_trailing_slash: issuer((good) => `${good}/`),
	issuer_scheme_case: issuer((good) => good.replace("https", "HTTPS")),
	issuer_http: issuer((good) => good.replace("https", "http")),
	issuer_other_row: issuer((good, { origin }) => `${origin}/honest`),
	issuer_dot_segment: issuer((good) => `${good}/.`),
	issuer_query: issuer((good) => `${good}?`),
	issuer_fragment: issuer((good) => `${good}#`),
	issuer_nul: issuer((good) => `${good}\0`),
	issuer_missing: issuer(undefined),
	issuer_number: issuer(1),
	issuer_array: issuer((good) => [good]),
	jwks_uri_missing: keysAt(undefined),
	jwks_uri_number: keysAt(1),
	jwks_uri_array: keysAt((where, { jwks_uri }) => [jwks_uri]),
	jwks_uri_long: keysAt((where, { jwks_uri }) => `${jwks_uri}?${"x".repeat(20_000)}`),
	jwks_uri_line_break: keysAt((where, { jwks_uri }) => `${jwks_uri}\r\nX-Injected: 1`),
	jwks_uri_relative: keysAt("/keys"),
	jwks_uri_file: keysAt("file:///etc/passwd"),
	jwks_uri_gopher: keysAtTrap("127.0.0.1", "gopher"),
	jwks_uri_http: keysAtTrap("127.0.0.1", "http"),
	jwks_uri_credentials: keysAt(({ trapPort, origin }) => `${origin.replace("//", "//user:password@")}@127.0.0.2:${trapPort}/keys`),
	// Other hosts than the issuer's: loopback under each of its names.
	jwks_uri_loopback: keysAtTrap("127.0.0.2"),
	jwks_uri_localhost: keysAtTrap("localhost"),
	jwks_uri_ipv6: keysAtTrap("[::1]"),
	jwks_uri_mapped: keysAtTrap("[::ffff:127.0.0.2]"),
	jwks_uri_any: keysAtTrap("0.0.0.0"),
	jwks_uri_decimal: keysAtTrap("2130706434"),
	jwks_uri_short: keysAtTrap("127.2"),
};

// --- what the keys are: a token signed with such a key is refused ---

const PLAIN = { refused: "token", alg: "RS256", keys: ({ jwk }) => [jwk] };
const key = (change, row = {}) => ({ ...PLAIN, keys: (made) => [{ ...made.jwk, ...change(made) }], ...row });
const octet = (length) => (made) => ({ kty: "oct", k: made.secret.subarray(0, length).toString("base64url"), n: undefined, e: undefined });
const pem = ({ privateKey }) => crypto.createPublicKey(privateKey).export({ type: "spki", format: "pem" });
const flipped = (text) => Buffer.from(text, "base64url").map((byte, i) => i === 0 ? byte ^ 1 : byte).toString("base64url");


// What an RSA signature is raised from, RFC 8017 9.2: for the exponent 1 it is the signature.
function unsealed(data) {
	const sha256 = Buffer.from("3031300d060960864801650304020105000420", "hex");
	const digest = Buffer.concat([sha256, crypto.createHash("sha256").update(data).digest()]);
	return Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(256 - 3 - digest.length, 0xff), Buffer.from([0]), digest]);
}

const KEYS = {
	rsa_1024: { ...PLAIN, keyOptions: { modulusLength: 1024 } },
	rsa_2040: { ...PLAIN, keyOptions: { modulusLength: 2040 } },
	rsa_exponent_1: key(() => ({ e: "AQ" }), { sign: unsealed }),
	rsa_exponent_even: key(() => ({ e: "AQAC" })),
	rsa_16384: key(() => ({ n: crypto.randomBytes(2048).fill(0xff, 0, 1).fill(1, 2047).toString("base64url") })),
	rsa_padded: key(({ jwk }) => ({ n: `${jwk.n}==` })),
	rsa_says_es256: key(() => ({ alg: "ES256" })),
	rsa_says_ps256: key(() => ({ alg: "PS256" })),
	rsa_says_none: key(() => ({ alg: "none" })),
	rsa_says_unknown: key(() => ({ alg: "RS257" })),
	// The header's HS256 with the public key for a secret.
	rsa_says_hs256: key(() => ({ alg: "HS256" }), { signAlg: "HS256", signKey: pem }),
	rsa_as_hmac: key(() => ({}), { signAlg: "HS256", signKey: pem }),
	ec_says_rs256: key(() => ({ alg: "RS256" }), { alg: "ES256" }),
	ec_says_es384: key(() => ({ alg: "ES384" }), { alg: "ES256" }),
	ec_off_curve: key(({ jwk }) => ({ y: flipped(jwk.y) }), { alg: "ES256" }),
	ec_short: key(({ jwk }) => ({ x: jwk.x.slice(0, -4) }), { alg: "ES256" }),
	ec_other_curve: key(() => ({ crv: "secp256k1" }), { alg: "ES256" }),
	ec_p521: { ...PLAIN, alg: "ES512" },
	ed25519_short: key(({ jwk }) => ({ x: jwk.x.slice(0, -4) }), { alg: "EdDSA" }),
	ed25519_says_es256: key(() => ({ alg: "ES256" }), { alg: "EdDSA" }),
	oct: key(octet(32), { signAlg: "HS256", signKey: ({ secret }) => secret }),
	oct_with_alg: key((made) => ({ ...octet(32)(made), alg: "HS256" }), { signAlg: "HS256", signKey: ({ secret }) => secret }),
	oct_empty: key(octet(0), { signAlg: "HS256", signKey: () => "" }),
	no_signature: key(() => ({}), { signAlg: "none" }),
	use_enc: key(() => ({ use: "enc" })),
	key_ops_encrypt: key(() => ({ use: undefined, key_ops: ["encrypt"] })),
	kty_missing: key(() => ({ kty: undefined })),
	kty_lower_case: key(() => ({ kty: "rsa" })),
	kid_number: key(() => ({ kid: 1 })),
	kid_other: key(() => ({ kid: "other" })),
	private_parts: key(({ privateKey }) => privateKey.export({ format: "jwk" })),
	key_elsewhere: key(() => ({ n: undefined, e: undefined }), { withUrl: "x5u" }),
	none_at_all: { ...PLAIN, keys: () => [] },
	not_objects: { ...PLAIN, keys: ({ jwk }) => [null, 1, jwk.kid, [jwk]] },
	no_list: { ...PLAIN, keys: ({ jwk }) => jwk },
	// The right one comes last: by then a reader with a bound has given up.
	too_many: { ...PLAIN, keys: ({ jwk }) => [...Array.from({ length: 5000 }, (_, i) => ({ ...jwk, kid: `${i}` })), jwk] },
};

// --- what answers at all ---

const LISTENERS = {
	tls_other_name: { names: ["other.example"] },
	tls_expired: { days: -1 },
	tls_other_ca: { stranger: true },
	tls_none: { plain: true },
	tls_silent: { silent: true },
};

const renamed = (prefix, table, change) => Object.entries(table).map(([name, row]) => ({ name: prefix + name, ...change(row) }));

// name; refused: where a careful client stops at the latest: "tls", "discovery", "keys" (fetching them) or "token" (one that
// such a key signed). Nothing may ever come to the trap.
export const MISDEEDS = [
	{ name: "honest" },
	...renamed("", LISTENERS, (listener) => ({ refused: "tls", listener })),
	...renamed("discovery_", FAULTS, (discovery) => ({ refused: "discovery", discovery })),
	...renamed("keys_", FAULTS, (answer) => ({ refused: "keys", answer })),
	...renamed("", DOCUMENTS, (row) => row),
	...renamed("key_", KEYS, (row) => row),
].map((row) => ({ alg: "RS256", keys: PLAIN.keys, ...row }));

const now = () => Math.floor(Date.now() / 1000);

export class HostileProvider {
	#rows = new Map(MISDEEDS.map((row) => [row.name, row]));
	#made = new Map();
	#origins = new Map();
	#servers = [];
	#sockets = new Set();

	// What was asked: { name, path, headers }; connections that came to the trap: the addresses they came to.
	requests = [];
	trapped = [];

	constructor({ ca = new TestCa() } = {}) {
		this.ca = ca;
	}

	static async start(options) {
		const hostile = new HostileProvider(options);
		hostile.trapPort = await hostile.#listenTrap();
		hostile.origin = await hostile.#listen({});
		for (const { name, listener } of MISDEEDS.filter((row) => row.listener))
			hostile.#origins.set(name, await hostile.#listen(listener));
		return hostile;
	}

	async stop() {
		const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
		for (const socket of this.#sockets)
			socket.destroy();
		await Promise.all(closed);
	}

	#track(server) {
		this.#servers.push(server);
		server.on("connection", (socket) => {
			this.#sockets.add(socket);
			socket.on("error", () => undefined).once("close", () => this.#sockets.delete(socket));
		});
		return server;
	}

	#server({ names = ALL_NAMES, days, stranger, plain, silent }) {
		const onRequest = (request, response) => this.#onRequest(request, response);
		if (silent)
			return net.createServer();
		return plain ? http.createServer(onRequest) : https.createServer((stranger ? new TestCa() : this.ca).issue({ names, days }), onRequest);
	}

	async #listen(listener) {
		const server = this.#track(this.#server(listener));
		return `https://127.0.0.1:${await listen(server, 0, "127.0.0.1")}`;
	}

	// One port on each loopback address that fetchers can be sent to.
	async #listenTrap() {
		let port = 0;
		for (const host of ["127.0.0.1", "127.0.0.2", "::1"]) {
			const trap = this.#track(net.createServer((socket) => {
				this.trapped.push(socket.localAddress);
				socket.destroy();
			}));
			port = await listen(trap, port, host).catch((error) => {
				// A machine without IPv6 has one way in less.
				if (host !== "::1" || !/^(EADDRNOTAVAIL|EAFNOSUPPORT)$/.test(error.code))
					throw error;
				this.#servers.pop();
				return port;
			});
		}
		return port;
	}

	#where(name, path) {
		return { name, path, trapPort: this.trapPort, origin: this.#origins.get(name) ?? this.origin };
	}

	#row(name) {
		const row = this.#rows.get(name);
		if (!row)
			throw new Error(`no such misdeed: ${name}`);
		return row;
	}

	#key(name) {
		// Rows share keys: making one takes time.
		const { alg, keyOptions } = this.#row(name);
		const kind = alg + JSON.stringify(keyOptions);
		if (!this.#made.has(kind))
			this.#made.set(kind, { ...makeKey(kindOf(alg), keyOptions), secret: crypto.randomBytes(32) });
		return this.#made.get(kind);
	}

	issuer(name) {
		this.#row(name);
		return `${this.#where(name).origin}/${name}`;
	}

	#metadata(name) {
		const own = this.issuer(name);
		return {
			issuer: own, authorization_endpoint: `${own}/auth`, token_endpoint: `${own}/token`, jwks_uri: `${own}/keys`,
			response_types_supported: ["code"], subject_types_supported: ["public"], id_token_signing_alg_values_supported: ["RS256"],
		};
	}

	#document(name, path) {
		const row = this.#row(name);
		const good = this.#metadata(name);
		return row.metadata?.(good, this.#where(name, path)) ?? good;
	}

	#onRequest(request, response) {
		const [, name, path] = /^\/(\w+)(\/[^?]*)/.exec(request.url) ?? [];
		const row = this.#rows.get(name);
		this.requests.push({ name, path, headers: request.headers });
		if (row && path === "/.well-known/openid-configuration")
			return (row.discovery ?? send(200))(response, JSON.stringify(this.#document(name, path)), this.#where(name, path));
		if (row && path === "/keys")
			return (row.answer ?? send(200))(response, JSON.stringify({ keys: row.keys(this.#key(name)) }), this.#where(name, path));
		return response.writeHead(404).end();
	}

	// A token that is in order but for what the row says. claims: changes; undefined removes one.
	token(name, { audience = "fog", claims = {} } = {}) {
		const { alg, signAlg = alg, signKey = (made) => made.privateKey, sign = signAlg, withUrl } = this.#row(name);
		const made = this.#key(name);
		const header = { alg: signAlg, typ: "at+jwt", kid: made.kid, ...(withUrl && { [withUrl]: `https://127.0.0.2:${this.trapPort}/` }) };
		const payload = {
			iss: this.issuer(name), aud: audience, sub: "mallory", client_id: "fog-web", scope: "fog", groups: ["power-users"],
			jti: crypto.randomUUID(), iat: now(), exp: now() + 300, ...claims,
		};
		return signJws(header, payload, signKey(made), sign);
	}
}
