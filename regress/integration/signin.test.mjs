// SPDX-License-Identifier: MIT
// Signing in with a real identity provider, at the API: who sees what, which tokens are refused and why, and what happens
// while the provider is down, rotates its keys, or is asked for keys that nobody has (S16 to S18, S20, R11).
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { after, describe, it } from "node:test";
import { startInstance, suite } from "../lib/harness.mjs";
import { HostileProvider } from "../lib/hostile-oidc.mjs";
import { DpopKey, makeKey, signJws } from "../lib/jws.mjs";
import { CLIENT, OidcProvider, TestCa } from "../lib/oidc.mjs";
import { sleep, until, withDeadline } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const ca = new TestCa();
const now = () => Math.floor(Date.now() / 1000);

const provided = (idp, more = {}) => () => ({
	OIDC_ISSUER_URL: typeof idp === "string" ? idp : idp.issuer, OIDC_CLIENT_ID: CLIENT, OIDC_AUDIENCE: "fog", OIDC_CA_FILE: ca.file,
	FAILED_TOKENS_PER_MINUTE: "0", ATTACHES_PER_MINUTE: "0", CREATES_PER_MINUTE: "0", ...more,
});

// How long the provider is away, and how long its keys serve: by FULL=1 ten minutes and eight.
const FULL = process.env.FULL === "1";
const OUTAGE = FULL ? { refreshS: 30, maxAgeS: 480, outageS: 600 } : { refreshS: 5, maxAgeS: 10, outageS: 0 };

const names = ({ profiles }) => profiles.map(({ name }) => name).sort();

// Refused, and the log says why; the answer says no more than RFC 6750 asks for.
async function assertRefused(fog, token, reason) {
	const mark = fog.logMark();
	fog.secrets.add("a bad token", token);
	const answer = await fog.api("GET", "/v1/sessions", { token });
	assert.equal(answer.status, 401, `${reason}: ${answer.body}`);
	assert.match(answer.headers["www-authenticate"], /error="invalid_token"/, reason);
	assert.equal(answer.json.detail, "The bearer token is not valid");
	await fog.waitLog({ event: "bearer_refused", reason }, { mark });
}

async function assertUnavailable(fog, token) {
	const { status, headers, json } = await fog.api("GET", "/v1/sessions", { token });
	assert.deepEqual([status, json.code], [503, "sign_in_unavailable"]);
	assert.ok(Number(headers["retry-after"]) >= 1, headers["retry-after"]);
}

const signIn = async (fog) => (await fog.api("GET", "/readyz")).json.sign_in;
const waitSignIn = (fog, state, options) => until(`sign_in is ${state}`, async () => await signIn(fog) === state, options);

// --- one instance, one provider ---

const idp = await OidcProvider.start({ ca });
after(() => idp.stop());

suite("people and their tokens", { env: provided(idp) }, ({ fog, test }) => {
	test("readyz and config name the provider", async () => {
		assert.equal(await signIn(fog), "ready");
		const config = await fog.expect(200, "GET", "/v1/config");
		assert.deepEqual([config.sign_in, config.issuer, config.client_id], ["oidc", idp.issuer, CLIENT]);
	});

	test("two people in different groups see different profiles", async () => {
		const [alice, bob] = [await idp.token({ user: "alice" }), await idp.token({ user: "bob" })];
		assert.deepEqual(names(await fog.expect(200, "GET", "/v1/profiles", { token: alice })), ["default"]);
		assert.deepEqual(names(await fog.expect(200, "GET", "/v1/profiles", { token: bob })), ["default", "large"]);
		await fog.expect(403, "POST", "/v1/sessions", { token: alice, body: { profile: "large", ttl_seconds: 60 } });
	});

	test("neither sees, attaches to or ends the other's session", async () => {
		const [alice, bob] = [await idp.token({ user: "alice" }), await idp.token({ user: "bob" })];
		const session = await fog.create({ token: alice });
		assert.deepEqual((await fog.expect(200, "GET", "/v1/sessions", { token: bob })).sessions, []);
		const target = `/v1/sessions/${session.id}`;
		await fog.expect(404, "GET", target, { token: bob });
		await fog.expect(404, "POST", `${target}/attach`, { token: bob, body: {} });
		await fog.expect(404, "PATCH", target, { token: bob, body: { ttl_seconds: 900 } });
		await fog.expect(404, "DELETE", target, { token: bob });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("echo still''here", /stillhere/);
		await terminal.close();
		const other = await fog.create({ token: bob });
		// An attach token is for its own session alone.
		const { token } = await fog.mint({ id: other.id, token: bob });
		await assert.rejects(BinaryTerminal.open(fog, { ws_url: session.attach.ws_url, token }), /401/);
		await fog.expect(200, "DELETE", target, { token: alice });
		await fog.expect(200, "DELETE", `/v1/sessions/${other.id}`, { token: bob });
	});

	test("the same person with another token is the same person", async () => {
		const session = await fog.create({ token: await idp.token({ user: "alice" }) });
		const again = await idp.token({ user: "alice", alg: "ES256" });
		await fog.expect(200, "GET", `/v1/sessions/${session.id}`, { token: again });
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: again });
	});

	for (const alg of ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"])
		test(`a token signed with ${alg}`, async () => {
			await fog.expect(200, "GET", "/v1/sessions", { token: await idp.token({ user: "alice", alg }) });
		});

	test("no token at all", async () => {
		const { status, headers } = await fog.api("GET", "/v1/sessions");
		assert.equal(status, 401);
		// RFC 6750 3.1: without a token no error is named.
		assert.match(headers["www-authenticate"], /^Bearer\b/);
		assert.doesNotMatch(headers["www-authenticate"], /error=/);
	});

	const publicPem = () => crypto.createPublicKey(idp.key().privateKey).export({ type: "spki", format: "pem" });
	const stranger = makeKey("RSA");
	const BAD = [
		["the dev shim's token", "not_three_parts", () => "alice"],
		["alg none", "alg_none", () => idp.forge({ header: { alg: "none" } }).replace(/[^.]*$/, "AAAA")],
		["HS256 with the public key for a secret", "alg_symmetric", () => signJws({ alg: "HS256", typ: "at+jwt", kid: idp.key().kid },
			{ iss: idp.issuer, sub: "alice", aud: "fog", iat: now(), exp: now() + 60 }, publicPem())],
		["another key under the right kid", "signature_wrong", () => idp.forge({ key: stranger.privateKey })],
		["a key that it brings", "header_jwk", () => idp.forge({ header: { jwk: stranger.jwk }, key: stranger.privateKey })],
		["a key that it points to", "header_jku", () => idp.forge({ header: { jku: `${idp.issuer}/jwks` } })],
		["unknown crit", "header_crit", () => idp.forge({ header: { crit: ["b64"], b64: true } })],
		["another issuer", "iss_other", () => idp.forge({ claims: { iss: "https://127.0.0.1:1" } })],
		["an issuer with one slash more", "iss_other", () => idp.forge({ claims: { iss: `${idp.issuer}/` } })],
		["another audience", "aud_other", () => idp.forge({ claims: { aud: "other" } })],
		["no subject", "sub_missing", () => idp.forge({ claims: { sub: undefined } })],
		["an empty subject", "sub_not_clean_text", () => idp.forge({ claims: { sub: "" } })],
		["past its end", "exp_past", () => idp.forge({ claims: { iat: now() - 200, exp: now() - 61 } })],
		["not yet", "iat_future", () => idp.forge({ claims: { iat: now() + 90, exp: now() + 200 } })],
		["exp as a text", "exp_not_a_date", () => idp.forge({ claims: { exp: String(now() + 60) } })],
		["a life of a day", "life_out_of_range", () => idp.forge({ claims: { exp: now() + 86_400 } })],
		["a refresh token's type", "typ_unknown", () => idp.forge({ header: { typ: "rt+jwt" } })],
		["a logout token", "logout_token", () => idp.forge({ header: { typ: "logout+jwt" } })],
		["four parts", "not_three_parts", () => `${idp.forge()}.AAAA`],
		["padding", "base64url_not_canonical", () => `${idp.forge()}=`],
	];
	for (const [title, reason, make] of BAD)
		test(`refused: ${title}`, () => assertRefused(fog, make(), reason));

	test("refused: an ID token", async () => assertRefused(fog, (await idp.signIn("alice")).id_token, /id_token|aud_other/));

	test("60 s of skew are taken on both sides", async () => {
		for (const claims of [{ iat: now() - 200, exp: now() - 50 }, { iat: now() + 50, exp: now() + 200 }])
			await fog.expect(200, "GET", "/v1/sessions", { token: idp.forge({ claims }) });
	});

	test("refused: an attach token for an access token, and the other way round", async () => {
		const token = await idp.token({ user: "alice" });
		const session = await fog.create({ token });
		await assertRefused(fog, session.attach.token, /^(alg_symmetric|header_\w+|typ_\w+)$/);
		await assert.rejects(BinaryTerminal.open(fog, { ...session.attach, token }), /401/);
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token });
	});

	test("a token bound to a key needs a proof by it, for this request and once", async () => {
		await sleep(1100); // in the second of its start authd asks for a nonce: an earlier life may have taken the proof
		const dpop = new DpopKey();
		const { access_token: token } = await idp.signIn("alice", { dpop });
		const url = `${fog.url}/v1/sessions`;
		const list = (proof) => fog.api("GET", "/v1/sessions", { headers: { Authorization: `DPoP ${token}`, ...(proof && { DPoP: proof }) } });
		fog.secrets.add("a bound token", token);
		const proof = dpop.proof("GET", url, { token });
		assert.equal((await list(proof)).status, 200);
		for (const bad of [proof, undefined, new DpopKey().proof("GET", url, { token }), dpop.proof("POST", url, { token }),
			dpop.proof("GET", `${fog.url}/v1/nodes`, { token }), dpop.proof("GET", url, { token: "other" })]) {
			const { status, json, headers } = await list(bad);
			assert.deepEqual([status, json.code], [401, "dpop_proof_invalid"]);
			assert.match(headers["www-authenticate"], /DPoP/);
		}
		// Stolen: the thief leaves the proof out.
		assert.equal((await fog.api("GET", "/v1/sessions", { token })).status, 401);
		assert.equal((await list(dpop.proof("GET", url, { token }))).status, 200);
	});

	test("back-channel logout ends the sessions, and the old token with them", async () => {
		const made = await idp.signIn("bob");
		const { sid } = JSON.parse(Buffer.from(made.id_token.split(".")[1], "base64url"));
		const token = made.access_token;
		const session = await fog.create({ token });
		const { kid, privateKey } = idp.key();
		const logoutToken = signJws({ alg: "RS256", typ: "logout+jwt", kid }, {
			iss: idp.issuer, aud: CLIENT, sub: "bob", sid, jti: crypto.randomUUID(), iat: now(), exp: now() + 60,
			events: { "http://schemas.openid.net/event/backchannel-logout": {} },
		}, privateKey);
		fog.secrets.add("a logout token", logoutToken);
		const send = (body) => fog.api("POST", "/v1/oidc/backchannel-logout", {
			headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: new URLSearchParams(body).toString(),
		});
		const terminal = await BinaryTerminal.open(fog, session.attach);
		assert.equal((await send({ logout_token: logoutToken })).status, 200);
		await terminal.waitClosed(2000);
		const refused = await fog.api("GET", "/v1/sessions", { token });
		assert.deepEqual([refused.status, refused.json.code], [401, "identity_revoked"]);
		assert.equal((await send({ logout_token: logoutToken })).status, 400, "replayed");
		assert.equal((await send({ logout_token: idp.forge() })).status, 400, "an access token");
		// Issued later than the logout, by the provider's clock.
		await sleep(1100);
		const later = await idp.token({ user: "bob" });
		const { sessions } = await fog.expect(200, "GET", "/v1/sessions", { token: later });
		assert.ok(sessions.every(({ status }) => !["starting", "running", "detached"].includes(status)), JSON.stringify(sessions));
	});
});

suite("ID tokens for access tokens", { env: provided(idp, { OIDC_ACCEPT_ID_TOKENS: "1", OIDC_AUDIENCE: "" }) }, ({ fog, test }) => {
	test("are taken where they have to be", async () => {
		const { id_token: token } = await idp.signIn("alice");
		const session = await fog.create({ token });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		await terminal.run("echo by''id", /byid/);
		await terminal.close();
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token });
	});
});

// --- provider down, keys rotated, keys that nobody has ---

// An instance of its own; stopped whatever happens, its log shown when the test fails.
async function withInstance(options, body, timeout = 60_000) {
	const fog = await startInstance({ ready: false, ...options });
	try {
		await withDeadline(body(fog), "the test", timeout);
	} catch (error) {
		fog.printLogs();
		throw error;
	} finally {
		await fog.stop();
	}
}

describe("the provider", () => {
	it("is down at start: the service starts, says so, and recovers by itself", async () => {
		const down = await OidcProvider.start({ ca });
		await down.stop();
		await withInstance({ env: provided(down) }, async (fog) => {
			const { status, json } = await fog.api("GET", "/readyz");
			assert.deepEqual([status, json.ready ?? false, json.sign_in], [503, false, "waiting"]);
			assert.equal((await fog.api("GET", "/healthz")).status, 200);
			await assertUnavailable(fog, down.forge());
			await sleep(3500);
			assert.equal(fog.events({ event: "sign_in", state: "waiting" }).length, 1, "once, not for each try");
			await down.start();
			await fog.waitReady();
			assert.equal(await signIn(fog), "ready");
			await fog.expect(200, "GET", "/v1/sessions", { token: await down.token({ user: "alice" }) });
		}).finally(() => down.stop());
	});

	it("stops during work: the keys at hand serve until their age; it comes back: so does sign-in", async () => {
		const op = await OidcProvider.start({ ca, life: 3600 });
		const { refreshS, maxAgeS, outageS } = OUTAGE;
		const env = provided(op, { OIDC_KEYS_REFRESH_SECONDS: String(refreshS), OIDC_KEYS_MAX_AGE_SECONDS: String(maxAgeS) });
		await withInstance({ env }, async (fog) => {
			await fog.waitReady();
			const token = op.forge();
			const session = await fog.create({ token });
			const terminal = await BinaryTerminal.open(fog, session.attach);
			await op.stop();
			const stopped = Date.now();
			await waitSignIn(fog, "stale", { timeout: (refreshS + 3) * 1000 });
			while (Date.now() - stopped < (maxAgeS - refreshS - 3) * 1000) {
				const { id } = await fog.create({ token }); // new sessions, attached and ended
				const other = await BinaryTerminal.open(fog, await fog.mint({ id, token }));
				await other.run("echo new''one", /newone/);
				await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
				await terminal.run("echo goes''on", /goeson/);
				await sleep(FULL ? 10_000 : 500);
			}
			await waitSignIn(fog, "waiting", { timeout: (refreshS + 12) * 1000 });
			await assertUnavailable(fog, token);
			await terminal.run("echo goes''on", /goeson/);
			await sleep(Math.max(0, outageS * 1000 - (Date.now() - stopped)));
			await terminal.run("echo still''here", /stillhere/);
			await op.start();
			await waitSignIn(fog, "ready", { timeout: 40_000 });
			await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token });
			await terminal.close();
			assert.deepEqual(fog.events({ event: "sign_in" }).map(({ state }) => state), ["ready", "stale", "waiting", "ready"]);
		}, (outageS + 90) * 1000).finally(() => op.stop());
	});

	it("outlives the death of authd and of the fetcher (R2)", async () => {
		const op = await OidcProvider.start({ ca });
		await withInstance({ env: provided(op) }, async (fog) => {
			await fog.waitReady();
			const token = op.forge();
			await fog.kill("fetcher");
			await fog.expect(200, "GET", "/v1/sessions", { token });
			await fog.roleProcess("fetcher");
			await fog.kill("authd");
			await until("sign-in works again", async () => {
				const { status } = await fog.api("GET", "/v1/sessions", { token });
				assert.ok([200, 503].includes(status), `${status}`);
				return status === 200;
			}, { timeout: 3000 });
		}).finally(() => op.stop());
	});

	it("rotates its keys under load: no request fails", async () => {
		const op = await OidcProvider.start({ ca });
		await withInstance({ env: provided(op) }, async (fog) => {
			await fog.waitReady();
			let [going, asked] = [true, 0];
			const load = Array.from({ length: 8 }, async () => {
				while (going) {
					// Always by the newest key; each time another token.
					await fog.expect(200, "GET", "/v1/sessions", { token: op.forge({ user: "alice", alg: "ES256" }) });
					asked++;
				}
			});
			await sleep(500);
			const before = asked;
			op.rotateKeys();
			await sleep(1000);
			going = false;
			await Promise.all(load);
			assert.ok(before > 10 && asked > before + 10, `${before} and ${asked}`);
		}).finally(() => op.stop());
	});

	it("is asked once a cool-down for keys that nobody has", async () => {
		const hostile = await HostileProvider.start({ ca });
		const env = provided(hostile.issuer("honest"), { OIDC_KEYS_COOLDOWN_SECONDS: "2" });
		await withInstance({ env }, async (fog) => {
			await fog.waitReady();
			await fog.expect(200, "GET", "/v1/sessions", { token: hostile.token("honest") });
			const { privateKey } = makeKey("P-256");
			const fetches = () => hostile.requests.filter(({ path }) => path === "/keys").length;
			const before = fetches();
			const end = Date.now() + 7000;
			let refused = 0;
			await Promise.all(Array.from({ length: 4 }, async () => {
				while (Date.now() < end) {
					const token = signJws({ alg: "ES256", typ: "at+jwt", kid: crypto.randomUUID() }, {}, privateKey);
					assert.equal((await fog.api("GET", "/v1/sessions", { token })).status, 401);
					refused++;
				}
			}));
			const made = fetches() - before;
			assert.ok(made >= 2 && made <= 4, `${made} fetches for ${refused} tokens`);
			await fog.expect(200, "GET", "/v1/sessions", { token: hostile.token("honest") });
		}).finally(() => hostile.stop());
	});
});

// Where the provider itself is wrong nobody can sign in, the log says why, and nothing is asked of anybody else.
describe("a hostile provider", () => {
	const ROWS = [
		["tls_other_ca", "certificate_or_tls"],
		["discovery_huge", "answer_too_large"],
		["discovery_redirect_loopback", "status_not_200"],
		["issuer_other", "issuer_other"],
		["issuer_trailing_slash", "issuer_other"],
		["jwks_uri_http", "endpoint_not_a_clean_https_url"],
		["jwks_uri_loopback", "address_not_allowed"],
		["keys_duplicate_member", "set_not_json"],
		["key_rsa_1024", "set_without_usable_key"],
		["key_oct", "set_without_usable_key"],
		["key_private_parts", "set_leaks_private_key"],
	];
	let hostile;

	after(() => hostile?.stop());
	for (const [name, reason] of ROWS)
		it(`${name}: ${reason}`, async () => {
			hostile ??= await HostileProvider.start({ ca });
			await withInstance({ env: provided(hostile.issuer(name)) }, async (fog) => {
				await fog.waitLog({ event: "sign_in", state: "waiting", reason });
				assert.equal(await signIn(fog), "waiting");
				await assertUnavailable(fog, hostile.token(name));
				assert.deepEqual(hostile.trapped, []);
			});
		});
});
