// SPDX-License-Identifier: MIT
// The identity providers of the tests: that the real one does what other tests build on, and that the hostile one is
// wrong in exactly what each row names.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import https from "node:https";
import tls from "node:tls";
import { after, before, beforeEach, describe, it } from "node:test";
import zlib from "node:zlib";
import { calculateJwkThumbprint, createLocalJWKSet, jwtVerify } from "jose";
import { chromium } from "playwright-core";
import { exchange } from "../lib/harness.mjs";
import { HostileProvider, HUGE, MISDEEDS } from "../lib/hostile-oidc.mjs";
import { peekJws } from "../lib/jws.mjs";
import { CLIENT, CLI, DpopKey, MACHINE, OidcProvider, TestCa } from "../lib/oidc.mjs";
import { Person } from "../lib/person.mjs";
import { sleep, withDeadline } from "../lib/proc.mjs";
import { listen } from "../lib/testca.mjs";

const ca = new TestCa();
const now = () => Math.floor(Date.now() / 1000);

describe("oidc-provider", () => {
	// A receiver of back-channel logout tokens, as the gateway will be.
	const logoutTokens = [];
	const { spki, ...certificate } = ca.issue();
	const receiver = https.createServer(certificate, async (request, response) => {
		const chunks = await request.toArray();
		logoutTokens.push(new URLSearchParams(Buffer.concat(chunks).toString()).get("logout_token"));
		response.end();
	});
	const idp = new OidcProvider({ ca });

	before(async () => {
		await listen(receiver, 0, "127.0.0.1");
		await idp.start();
	});

	beforeEach(() => idp.configure({
		backchannelLogoutUri: `https://127.0.0.1:${receiver.address().port}/logout`, redirectUris: [], postLogoutRedirectUris: [],
		requireNonce: false, dpopBound: false,
	}));

	after(async () => {
		receiver.close();
		await idp.stop();
	});

	const verify = async (token, options) => jwtVerify(token, createLocalJWKSet(await idp.jwks()), { issuer: idp.issuer, ...options });
	const verifyAccess = (token) => verify(token, { audience: "fog", typ: "at+jwt" });

	const test = (title, fn) => it(title, async () => {
		await withDeadline(fn(), title, 30_000);
		assert.deepEqual(idp.problems, []);
	});

	test("discovery names its issuer and what it can do", async () => {
		const found = await idp.metadata();
		assert.equal(found.issuer, idp.issuer);
		assert.equal(found.jwks_uri, `${idp.issuer}/jwks`);
		assert.deepEqual(found.code_challenge_methods_supported, ["S256"]);
		assert.ok(found.authorization_response_iss_parameter_supported);
		assert.ok(found.backchannel_logout_session_supported);
		assert.ok(found.dpop_signing_alg_values_supported.includes("ES256"));
	});

	test("only the test's own authority vouches for it", async () => {
		await assert.rejects(exchange(idp.issuer, "GET", "/jwks"), { code: /CERT|SIGNATURE/ });
	});

	test("a wrong password gives no code", async () => {
		const person = new Person("stranger", ca.pem);
		const query = new URLSearchParams({
			client_id: CLIENT, response_type: "code", scope: "openid", redirect_uri: "https://127.0.0.1:1/callback",
			code_challenge: "a".repeat(43), code_challenge_method: "S256",
		});
		const { page } = await person.walk(`${idp.issuer}/auth?${query}`, { fill: { username: "bob", password: "wrong" } });
		assert.equal(page.status, 401);
	});

	test("code flow with PKCE: an access token for our audience with groups, and an ID token", async () => {
		const made = await idp.signIn("alice", { life: 5 });
		const { payload, protectedHeader } = await verifyAccess(made.access_token);
		assert.equal(protectedHeader.alg, "RS256");
		assert.equal(payload.sub, "alice");
		assert.equal(payload.client_id, CLIENT);
		assert.deepEqual(payload.groups, ["developers"]);
		assert.deepEqual(payload.realm_access, { roles: ["developers"] });
		assert.equal(payload.exp - payload.iat, 5);
		assert.equal(made.expires_in, 5);
		assert.ok(payload.sid);

		const id = await verify(made.id_token, { audience: CLIENT });
		assert.deepEqual([id.payload.nonce, id.payload.sid], [made.nonce, payload.sid]);
		assert.ok(id.payload.at_hash);

		// The code is used up, and using it again costs the tokens.
		const again = await idp.post("/token", {
			grant_type: "authorization_code", client_id: CLIENT, code: made.code, redirect_uri: "https://127.0.0.1:1/callback",
			code_verifier: "a".repeat(43),
		});
		assert.deepEqual([again.status, again.json.error], [400, "invalid_grant"]);
	});

	test("without PKCE there is no sign-in", async () => {
		const query = new URLSearchParams({
			client_id: CLIENT, response_type: "code", scope: "openid", redirect_uri: "https://127.0.0.1:1/callback",
		});
		const { url } = await idp.person("bob").walk(`${idp.issuer}/auth?${query}`, { until: "https://127.0.0.1:1/callback" });
		assert.equal(url.searchParams.get("error"), "invalid_request");
	});

	for (const alg of ["RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"])
		test(`${alg} when asked for`, async () => {
			const { protectedHeader } = await verifyAccess(await idp.token({ user: "alice", alg }));
			assert.equal(protectedHeader.alg, alg);
		});

	test("claims and header as a test wants them, from a token request and by hand", async () => {
		const wanted = { claims: { aud: ["other", "fog"], extra: { deep: 1 } }, header: { typ: "JWT" } };
		for (const token of [await idp.token({ user: "bob", ...wanted }), idp.forge({ user: "bob", ...wanted })]) {
			const { payload, protectedHeader } = await verify(token, { audience: "fog" });
			assert.equal(protectedHeader.typ, "JWT");
			assert.deepEqual([payload.sub, payload.aud, payload.extra], ["bob", ["other", "fog"], { deep: 1 }]);
			assert.deepEqual(payload.groups, ["power-users"]);
		}
		assert.ok(!("exp" in peekJws(idp.forge({ claims: { exp: undefined } }))[1]));
	});

	test("a machine's token (client credentials)", async () => {
		const { payload } = await verifyAccess(await idp.token());
		assert.deepEqual([payload.sub, payload.groups], [MACHINE, undefined]);
	});

	test("refresh tokens rotate; one used twice ends the whole grant", async () => {
		const first = await idp.signIn("alice");
		const second = await idp.refresh(first, { life: 7 });
		assert.notEqual(second.refresh_token, first.refresh_token);
		const { payload } = await verifyAccess(second.access_token);
		assert.deepEqual([payload.sub, payload.exp - payload.iat], ["alice", 7]);
		assert.equal(payload.sid, peekJws(first.access_token)[1].sid);
		await assert.rejects(idp.refresh(first), /invalid_grant/);
		await assert.rejects(idp.refresh(second), /invalid_grant/);
	});

	test("DPoP: the token is bound to the key, also when the provider wants its nonce", async () => {
		const dpop = new DpopKey();
		assert.equal(await calculateJwkThumbprint(dpop.jwk), dpop.jkt);
		for (const requireNonce of [false, true]) {
			idp.configure({ requireNonce });
			const made = await idp.signIn("bob", { dpop });
			assert.equal(made.token_type, "DPoP");
			assert.deepEqual((await verifyAccess(made.access_token)).payload.cnf, { jkt: dpop.jkt });
			await assert.rejects(idp.refresh(made, { dpop: new DpopKey() }), /invalid_grant|invalid_dpop/);
			assert.equal((await idp.refresh(made, { dpop })).token_type, "DPoP");
		}
	});

	test("DPoP can be a must", async () => {
		idp.configure({ dpopBound: true });
		await assert.rejects(idp.signIn("bob"), /invalid_grant/);
		assert.equal((await idp.signIn("bob", { dpop: new DpopKey() })).token_type, "DPoP");
	});

	test("a DPoP proof is what RFC 9449 wants", async () => {
		const dpop = new DpopKey();
		const key = crypto.createPublicKey({ key: dpop.jwk, format: "jwk" });
		const { payload } = await jwtVerify(dpop.proof("GET", "https://fog.example/v1/sessions", { token: "x", nonce: "n" }), key,
			{ typ: "dpop+jwt" });
		assert.equal(payload.ath, crypto.createHash("sha256").update("x").digest("base64url"));
		assert.deepEqual([payload.htm, payload.htu, payload.nonce], ["GET", "https://fog.example/v1/sessions", "n"]);
		assert.ok(Math.abs(payload.iat - now()) <= 2 && payload.jti);
	});

	test("device flow", async () => {
		const device = await idp.device();
		assert.equal((await device.poll()).json.error, "authorization_pending");
		await device.approve("bob");
		const { payload } = await verifyAccess((await device.poll({ life: 9 })).json.access_token);
		assert.deepEqual([payload.sub, payload.client_id, payload.exp - payload.iat], ["bob", CLI, 9]);
	});

	test("keys rotate: the old ones are served on, or dropped", async () => {
		const old = await idp.token({ user: "alice" });
		const kid = (token) => peekJws(token)[0].kid;
		idp.rotateKeys();
		const next = await idp.token({ user: "alice" });
		assert.notEqual(kid(next), kid(old));
		await verifyAccess(old);
		await verifyAccess(next);

		idp.rotateKeys({ keepOld: false });
		await verifyAccess(await idp.token({ user: "alice" }));
		await assert.rejects(verifyAccess(next), { code: "ERR_JWKS_NO_MATCHING_KEY" });
		for (const key of (await idp.jwks()).keys)
			assert.equal(key.d, undefined);
	});

	test("stopped and started again: same address, same keys, same sessions", async () => {
		const made = await idp.signIn("alice");
		const { issuer } = idp;
		await idp.stop();
		await assert.rejects(idp.jwks(), { code: "ECONNREFUSED" });
		await idp.start();
		assert.equal(idp.issuer, issuer);
		await verifyAccess(made.access_token);
		await verifyAccess((await idp.refresh(made)).access_token);
	});

	test("signing out at the provider sends a logout token, once, and ends the session there", async () => {
		const made = await idp.signIn("alice");
		const { sid } = peekJws(made.access_token)[1];
		logoutTokens.length = 0;
		const told = await idp.logout("alice", { idToken: made.id_token });
		assert.deepEqual(told, [{ clientId: CLIENT, sub: "alice", sid, error: undefined }]);

		assert.equal(logoutTokens.length, 1);
		const { payload } = await verify(logoutTokens[0], { audience: CLIENT, typ: "logout+jwt" });
		assert.deepEqual([payload.sub, payload.sid, payload.nonce], ["alice", sid, undefined]);
		assert.deepEqual(payload.events, { "http://schemas.openid.net/event/backchannel-logout": {} });
		assert.ok(payload.jti && Math.abs(payload.iat - now()) <= 2);

		await assert.rejects(idp.refresh(made), /invalid_grant/);
		assert.notEqual(peekJws(await idp.token({ user: "alice" }))[1].sid, sid);
	});

	test("a receiver that is down is told of, and the sign-out goes on", async () => {
		idp.configure({ backchannelLogoutUri: "https://127.0.0.1:1/logout" });
		await idp.signIn("bob");
		const [{ error }] = await idp.logout("bob");
		assert.match(String(error), /ECONNREFUSED/);
	});

	test("a browser signs in and out with its forms", async () => {
		const callback = `https://127.0.0.1:${receiver.address().port}/`;
		idp.configure({ redirectUris: [callback], postLogoutRedirectUris: [callback] });
		const browser = await chromium.launch({
			executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
			args: ["--headless", "--no-sandbox", "--disable-gpu", `--ignore-certificate-errors-spki-list=${idp.certificate.spki},${spki}`],
		});
		try {
			const page = await browser.newPage();
			const query = new URLSearchParams({
				client_id: CLIENT, response_type: "code", scope: "openid fog", redirect_uri: callback, code_challenge: "a".repeat(43),
				code_challenge_method: "S256",
			});
			await page.goto(`${idp.issuer}/auth?${query}`);
			await page.getByLabel("User").fill("alice");
			await page.getByLabel("Password").fill("wonderland");
			await page.getByRole("button", { name: "Sign in" }).click();
			await page.waitForURL(`${callback}?code=*`);
			assert.ok(new URL(page.url()).searchParams.get("code"));
			// Discovery is open to scripts of the page.
			assert.equal(await page.evaluate(async (url) => (await (await fetch(url)).json()).issuer,
				`${idp.issuer}/.well-known/openid-configuration`), idp.issuer);

			await page.goto(`${idp.issuer}/session/end?client_id=${CLIENT}&post_logout_redirect_uri=${callback}`);
			await page.getByRole("button", { name: "Sign out" }).click();
			await page.waitForURL(callback);
		} finally {
			await browser.close();
		}
	});

	test("the page may ask from its own origin alone", async () => {
		idp.configure({ redirectUris: ["https://127.0.0.1:2/"] });
		const allowed = async (origin) => {
			const { headers } = await exchange(idp.issuer, "POST", "/token", {
				ca: ca.pem, headers: { Origin: origin, "Content-Type": "application/x-www-form-urlencoded" },
				body: `client_id=${CLIENT}&grant_type=refresh_token&refresh_token=none`,
			});
			return headers["access-control-allow-origin"];
		};
		assert.equal(await allowed("https://127.0.0.1:2"), "https://127.0.0.1:2");
		assert.equal(await allowed("https://127.0.0.1:3"), undefined);
	});
});

// --- the hostile one ---

// For rows that keep one waiting, and for the others, which merely may take their time.
const SHORT_MS = 1800;
const LONG_MS = 20_000;
const READ_LIMIT = 4_000_000;

// An answer as it comes, up to a limit and for so long; complete: it ended by itself.
function get(url, patienceMs = LONG_MS) {
	return new Promise((resolve, reject) => {
		const chunks = [];
		let response;
		let length = 0;
		const done = (complete) => {
			clearTimeout(timer);
			resolve({ status: response?.statusCode, headers: response?.headers ?? {}, body: Buffer.concat(chunks), complete });
			request.destroy();
		};
		const timer = setTimeout(() => done(false), patienceMs);
		const request = https.get(url, { ca: ca.pem, agent: false, maxHeaderSize: 2_000_000 }, (found) => {
			response = found;
			response.on("data", (chunk) => {
				chunks.push(chunk);
				length += chunk.length;
				if (length > READ_LIMIT)
					done(false);
			});
			response.on("end", () => done(true)).on("error", () => done(false));
		});
		request.on("error", (error) => {
			clearTimeout(timer);
			reject(error);
		});
	});
}

const parsed = ({ body }) => JSON.parse(body.toString());
const isGood = (answer) => {
	assert.deepEqual([answer.status, answer.complete, answer.headers["content-type"]], [200, true, "application/json"]);
	return parsed(answer);
};
const isStatus = (status) => (answer) => assert.equal(answer.status, status);
const leads = (status, to) => (answer, where) => {
	assert.equal(answer.status, status);
	assert.match(answer.headers.location, typeof to === "function" ? to(where) : to);
};
const isText = (pattern) => (answer) => assert.match(answer.body.toString(), pattern);
const bursts = (encoding, expand) => ({ status, headers, body }) => {
	assert.deepEqual([status, headers["content-encoding"]], [200, encoding]);
	assert.ok(body.length < HUGE / 100, `${body.length} bytes`);
	assert.ok(expand(body).length >= HUGE);
};
const isPadded = (answer) => {
	assert.equal(answer.complete, false);
	assert.ok(answer.body.length > READ_LIMIT);
	parsed({ body: answer.body.subarray(0, 100_000) });
};

const FAULTS = {
	huge: (answer) => (isPadded(answer), assert.equal(answer.headers["content-length"], `${HUGE}`)),
	huge_chunked: (answer) => (isPadded(answer), assert.equal(answer.headers["transfer-encoding"], "chunked")),
	huge_head: (answer) => assert.equal(answer.headers["x-pad"].length, 1_000_000),
	gzip_bomb: bursts("gzip", zlib.gunzipSync),
	brotli_bomb: bursts("br", zlib.brotliDecompressSync),
	never: ({ status, complete }) => assert.deepEqual([status, complete], [undefined, false]),
	slow: ({ status, complete, body }) => {
		assert.deepEqual([status, complete], [200, false]);
		assert.ok(body.length >= 1 && body.length <= 3, `${body.length} bytes`);
	},
	slow_head: ({ status, complete }) => assert.deepEqual([status, complete], [undefined, false]),
	cut_short: ({ headers, body, complete }) =>
		assert.deepEqual([Number(headers["content-length"]), complete], [body.length + 1, false]),
	redirect_http: leads(302, /^http:\/\/127\.0\.0\.1:\d+\/$/),
	redirect_loopback: leads(302, /^https:\/\/127\.0\.0\.2:\d+\/$/),
	redirect_file: leads(302, /^file:/),
	redirect_same_host: leads(307, /\/honest\//),
	redirect_forever: leads(308, ({ url }) => new RegExp(`^${url}$`)),
	status_204: isStatus(204),
	status_206: isStatus(206),
	status_401: isStatus(401),
	status_404: isStatus(404),
	status_500: isStatus(500),
	wrong_type: (answer) => (parsed(answer), assert.equal(answer.headers["content-type"], "text/html")),
	no_type: (answer) => (parsed(answer), assert.equal(answer.headers["content-type"], undefined)),
	not_json: isText(/^<!DOCTYPE html>/),
	empty: isText(/^$/),
	array: isText(/^\[\{.*\}\]$/),
	trailing: isText(/\}\{\}$/),
	byte_order_mark: isText(/^\ufeff\{/),
	not_utf8: ({ body }) => assert.throws(() => new TextDecoder("utf-8", { fatal: true }).decode(body)),
	nul: isText(/^\{"pad\\u0000":1,/),
	deep: isText(/\[{50000}\]{50000}/),
	duplicate_member: isText(/^\{"(\w+)":"https:\/\/other\.example","\1":/),
};

// The member that differs from an honest document, and what it is.
const DOCUMENTS = {
	issuer_other: "https://other.example",
	issuer_trailing_slash: /\w\/$/,
	issuer_scheme_case: /^HTTPS:/,
	issuer_http: /^http:/,
	issuer_other_row: /\/honest$/,
	issuer_dot_segment: /\/\.$/,
	issuer_query: /\?$/,
	issuer_fragment: /#$/,
	issuer_nul: /\0$/,
	issuer_missing: undefined,
	issuer_number: 1,
	issuer_array: [/^https:/],
	jwks_uri_missing: undefined,
	jwks_uri_number: 1,
	jwks_uri_array: [/^https:/],
	jwks_uri_long: /^https:.{20000}/,
	jwks_uri_line_break: /\r\n/,
	jwks_uri_relative: "/keys",
	jwks_uri_file: /^file:/,
	jwks_uri_gopher: /^gopher:/,
	jwks_uri_http: /^http:/,
	jwks_uri_credentials: /^https:\/\/user:password@127\.0\.0\.1:\d+@127\.0\.0\.2:/,
	jwks_uri_loopback: /^https:\/\/127\.0\.0\.2:/,
	jwks_uri_localhost: /^https:\/\/localhost:/,
	jwks_uri_ipv6: /^https:\/\/\[::1\]:/,
	jwks_uri_mapped: /^https:\/\/\[::ffff:127\.0\.0\.2\]:/,
	jwks_uri_any: /^https:\/\/0\.0\.0\.0:/,
	jwks_uri_decimal: /^https:\/\/2130706434:/,
	jwks_uri_short: /^https:\/\/127\.2:/,
};

const bits = ({ n }) => BigInt(`0x${Buffer.from(n, "base64url").toString("hex")}`).toString(2).length;
const has = (members) => (jwk) => assert.deepEqual({ ...jwk, ...members }, jwk);
const lacks = (...members) => (jwk) => members.forEach((name) => assert.ok(!(name in jwk), name));
const hasBits = (wanted) => (jwk) => assert.equal(bits(jwk), wanted);
const isUnfit = (jwk) => assert.throws(() => crypto.createPublicKey({ key: jwk, format: "jwk" }));
const signedAs = (alg, members = {}) => (jwk, header) => (has(members)(jwk), assert.equal(header.alg, alg));

// What is wrong with the key, from the JWKS and the header of a token that it signed.
const KEYS = {
	rsa_1024: hasBits(1024),
	rsa_2040: hasBits(2040),
	rsa_exponent_1: has({ e: "AQ" }),
	rsa_exponent_even: ({ e }) => assert.equal(Buffer.from(e, "base64url").at(-1) % 2, 0),
	rsa_16384: hasBits(16_384),
	rsa_padded: ({ n }) => assert.match(n, /==$/),
	rsa_says_es256: has({ kty: "RSA", alg: "ES256" }),
	rsa_says_ps256: signedAs("RS256", { kty: "RSA", alg: "PS256" }),
	rsa_says_none: has({ alg: "none" }),
	rsa_says_unknown: has({ alg: "RS257" }),
	rsa_says_hs256: signedAs("HS256", { kty: "RSA", alg: "HS256" }),
	rsa_as_hmac: signedAs("HS256", { kty: "RSA" }),
	ec_says_rs256: signedAs("ES256", { kty: "EC", alg: "RS256" }),
	ec_says_es384: signedAs("ES256", { crv: "P-256", alg: "ES384" }),
	ec_off_curve: isUnfit,
	ec_short: isUnfit,
	ec_other_curve: isUnfit,
	ec_p521: has({ crv: "P-521" }),
	ed25519_short: isUnfit,
	ed25519_says_es256: has({ crv: "Ed25519", alg: "ES256" }),
	oct: signedAs("HS256", { kty: "oct" }),
	oct_with_alg: signedAs("HS256", { kty: "oct", alg: "HS256" }),
	oct_empty: has({ kty: "oct", k: "" }),
	no_signature: signedAs("none"),
	use_enc: has({ use: "enc" }),
	key_ops_encrypt: has({ key_ops: ["encrypt"] }),
	kty_missing: lacks("kty"),
	kty_lower_case: has({ kty: "rsa" }),
	kid_number: has({ kid: 1 }),
	kid_other: (jwk, { kid }) => assert.notEqual(jwk.kid, kid),
	private_parts: (jwk) => assert.ok(jwk.d && jwk.p),
	key_elsewhere: (jwk, { x5u }) => (lacks("n", "e")(jwk), assert.match(x5u, /^https:/)),
	none_at_all: (jwk, header, { keys }) => assert.deepEqual(keys, []),
	not_objects: (jwk, header, { keys }) => assert.ok(keys.every((key) => typeof key !== "object" || key === null || Array.isArray(key))),
	no_list: (jwk, header, { keys }) => assert.equal(keys.kty, "RSA"),
	too_many: (jwk, header, { keys }) => assert.ok(keys.length > 5000 && keys.at(-1).kid === header.kid),
};

// Rows where no verifier can find a signature; all others are refused for the key's sake alone.
const UNVERIFIABLE = ["rsa_exponent_even", "rsa_16384", "ec_off_curve", "ec_short", "ec_other_curve", "ed25519_short",
	"key_elsewhere", "none_at_all", "not_objects"];
const HASHES = { 256: "sha256", 384: "sha384", 512: "sha512" };

// Believes the header, and takes whatever there is for the key it wants.
function isTakenByCareless(token, { keys }) {
	const [{ alg }] = peekJws(token);
	const [signed, signature] = [token.slice(0, token.lastIndexOf(".")), Buffer.from(token.split(".")[2], "base64url")];
	const { kty, ...members } = [keys].flat().at(-1);
	const hash = HASHES[alg.slice(2)];
	if (alg === "none")
		return signature.length === 0;
	const jwk = { ...members, kty: members.n ? "RSA" : kty };
	const publicKey = () => crypto.createPublicKey({ key: jwk, format: "jwk" });
	if (alg === "HS256") {
		const secret = jwk.k === undefined ? publicKey().export({ type: "spki", format: "pem" }) : Buffer.from(jwk.k, "base64url");
		return crypto.createHmac(hash, secret).update(signed).digest().equals(signature);
	}
	return crypto.verify(hash, Buffer.from(signed), { key: publicKey(), dsaEncoding: "ieee-p1363" }, signature);
}

const tlsError = (code) => (url) => assert.rejects(get(url), { code });
const LISTENERS = {
	tls_other_name: tlsError("ERR_TLS_CERT_ALTNAME_INVALID"),
	tls_expired: tlsError("CERT_HAS_EXPIRED"),
	tls_other_ca: tlsError(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/),
	tls_none: tlsError(/ERR_SSL_WRONG_VERSION_NUMBER|EPROTO|ERR_SSL_PACKET_LENGTH_TOO_LONG/),
	tls_silent: async (url) => {
		const { hostname, port } = new URL(url);
		const socket = tls.connect({ host: hostname, port, ca: ca.pem });
		const said = await Promise.race([new Promise((resolve) => socket.on("secureConnect", resolve).on("error", resolve)), sleep(300, null)]);
		socket.destroy();
		assert.equal(said, undefined);
	},
};

describe("the hostile provider", () => {
	let hostile;
	before(async () => {
		hostile = await HostileProvider.start({ ca });
	});
	after(() => hostile.stop());

	const discoveryOf = (name) => `${hostile.issuer(name)}/.well-known/openid-configuration`;
	const keysOf = (name) => `${hostile.issuer(name)}/keys`;
	const rows = (found) => MISDEEDS.map(({ name }) => name).filter((name) => found.test(name));
	const isHonestDocument = (name, document) => {
		assert.equal(document.issuer, hostile.issuer(name));
		assert.equal(document.jwks_uri, keysOf(name));
	};

	async function assertSigned(name) {
		const { keys } = isGood(await get(keysOf(name)));
		await jwtVerify(hostile.token(name), createLocalJWKSet({ keys }), { issuer: hostile.issuer(name), audience: "fog", typ: "at+jwt" });
	}

	it("every row is held against what it names", () => {
		const checks = ["honest", ...Object.keys(LISTENERS), ...Object.keys(DOCUMENTS), ...Object.keys(KEYS).map((name) => `key_${name}`),
			...["discovery_", "keys_"].flatMap((prefix) => Object.keys(FAULTS).map((name) => prefix + name))];
		assert.deepEqual(checks.sort(), MISDEEDS.map(({ name }) => name).sort());
		assert.deepEqual(MISDEEDS.filter(({ refused }) => !refused).map(({ name }) => name), ["honest"]);
	});

	it("honest: nothing is wrong", async () => {
		isHonestDocument("honest", isGood(await get(discoveryOf("honest"))));
		await assertSigned("honest");
	});

	for (const [name, check] of Object.entries(LISTENERS))
		it(name, () => check(discoveryOf(name)));

	const isSlow = (name) => /_(never|slow|slow_head)$/.test(name);

	async function checkFault(name) {
		const fault = FAULTS[name.replace(/^[a-z]+_/, "")];
		const isDiscovery = name.startsWith("discovery_");
		const url = isDiscovery ? discoveryOf(name) : keysOf(name);
		fault(await get(url, isSlow(name) ? SHORT_MS : LONG_MS), { url });
		if (isDiscovery)
			await assertSigned(name);
		else
			isHonestDocument(name, isGood(await get(discoveryOf(name))));
	}

	for (const name of rows(/^(discovery|keys)_/).filter((row) => !isSlow(row)))
		it(name, () => checkFault(name));

	describe("waiting for answers that take their time", { concurrency: true }, () => {
		for (const name of rows(/^(discovery|keys)_/).filter(isSlow))
			it(name, () => checkFault(name));
	});

	const same = (found, wanted) => wanted instanceof RegExp ? assert.match(found, wanted) : assert.deepEqual(found, wanted);
	for (const [name, wanted] of Object.entries(DOCUMENTS))
		it(name, async () => {
			const document = isGood(await get(discoveryOf(name)));
			const [member, other] = name.startsWith("issuer") ? ["issuer", "jwks_uri"] : ["jwks_uri", "issuer"];
			if (Array.isArray(wanted))
				same(document[member][0], wanted[0]);
			else
				same(document[member], wanted);
			isHonestDocument(name, { ...document, [member]: { issuer: hostile.issuer(name), jwks_uri: keysOf(name) }[member] });
			assert.ok(document[other]);
			await assertSigned(name);
		});

	for (const [name, check] of Object.entries(KEYS))
		it(`key_${name}`, async () => {
			isHonestDocument(`key_${name}`, isGood(await get(discoveryOf(`key_${name}`))));
			const jwks = isGood(await get(keysOf(`key_${name}`)));
			const token = hostile.token(`key_${name}`);
			const [header, payload] = peekJws(token);
			assert.equal(payload.iss, hostile.issuer(`key_${name}`));
			check(jwks.keys[0], header, jwks);
			if (!UNVERIFIABLE.includes(name))
				assert.ok(isTakenByCareless(token, jwks), "the signature is not good");
		});
});

describe("the trap of the hostile provider", () => {
	it("tells of whoever comes, by each way in", async () => {
		const hostile = await HostileProvider.start({ ca });
		try {
			for (const host of ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0"])
				await assert.rejects(get(`https://${host}:${hostile.trapPort}/keys`));
			assert.equal(hostile.trapped.length, 4, `${hostile.trapped}`);
		} finally {
			await hostile.stop();
		}
	});
});
