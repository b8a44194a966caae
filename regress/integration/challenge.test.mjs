// SPDX-License-Identifier: MIT
// What gatewayd alone answers when an identity provider is configured that nobody can reach: challenges (RFC 6750 3, RFC 9449
// 7.1), the sign-in configuration, the policy of the page, the form of a logout request. The rest is in signin.test.mjs.
import assert from "node:assert/strict";
import net from "node:net";
import { exchange, suite } from "../lib/harness.mjs";
import { until } from "../lib/proc.mjs";

// Takes connections and answers no TLS handshake.
const deaf = net.createServer((socket) => socket.on("error", () => undefined).unref()).unref();
await new Promise((resolve) => deaf.listen(0, "127.0.0.1", resolve));
const ORIGIN = `https://127.0.0.1:${deaf.address().port}`;
const ISSUER = `${ORIGIN}/realms/fog`;

const env = {
	METRICS_ADDR: "127.0.0.1:0", OIDC_ISSUER_URL: ISSUER, OIDC_CLIENT_ID: "shell", OIDC_ALGORITHMS: "ES256,EdDSA",
	OIDC_SCOPES: "openid shell", OIDC_RESOURCE: "https://shell.example.org", OIDC_FETCH_TIMEOUT_MS: "300",
};
const BEARER = 'Bearer realm="cloudshell-fog"';
const DPOP = 'DPoP realm="cloudshell-fog", algs="ES256 EdDSA"';
const TOKEN = `${"h".repeat(20)}.${"c".repeat(20)}.${"s".repeat(20)}`;

suite("an identity provider that nobody reaches", { env, ready: false }, ({ fog, test }) => {
	test("readyz says why nobody can sign in, config where to", async () => {
		const ready = await fog.expect(503, "GET", "/readyz");
		assert.deepEqual([ready.status, ready.sign_in, ready.dev_mode], ["not_ready", "waiting", false]);
		assert.deepEqual(await fog.expect(200, "GET", "/v1/config"), {
			sign_in: "oidc", issuer: ISSUER, client_id: "shell", scopes: "openid shell", resource: "https://shell.example.org",
			accept_id_tokens: false,
		});
	});

	const challenges = [
		["nothing", {}, 401, `${BEARER}, ${DPOP}`, "token_missing"],
		["another scheme", { Authorization: "Basic YWxpY2U6eA==" }, 401, `${BEARER}, ${DPOP}`, "token_missing"],
		["a bearer that is none", { Authorization: "Bearer a b" }, 401, `${BEARER}, error="invalid_token", ${DPOP}`, "token_invalid"],
		["DPoP that is none", { Authorization: "dpop" }, 401, `${BEARER}, ${DPOP}, error="invalid_token"`, "token_invalid"],
		["a proof that is none", { Authorization: `DPoP ${TOKEN}`, DPoP: "a b" }, 401,
			`${BEARER}, ${DPOP}, error="invalid_dpop_proof"`, "dpop_proof_invalid"],
		["a proof of 4097 bytes", { Authorization: `DPoP ${TOKEN}`, DPoP: "p".repeat(4097) }, 401,
			`${BEARER}, ${DPOP}, error="invalid_dpop_proof"`, "dpop_proof_invalid"],
		["two proofs", { Authorization: `DPoP ${TOKEN}`, DPoP: [TOKEN, TOKEN] }, 400,
			`${BEARER}, ${DPOP}, error="invalid_request"`, "bad_request"],
		["two tokens", { Authorization: [`Bearer ${TOKEN}`, `DPoP ${TOKEN}`] }, 400,
			`${BEARER}, error="invalid_request", ${DPOP}`, "bad_request"],
	];
	for (const [what, headers, status, challenge, code] of challenges)
		test(`the challenge for ${what}`, async () => {
			const answer = await fog.api("GET", "/v1/sessions", { headers });
			assert.deepEqual([answer.status, answer.json.code], [status, code]);
			assert.equal(answer.headers["www-authenticate"], challenge);
			assert.equal(answer.headers["cache-control"], "no-store");
			assert.ok(!answer.body.includes(TOKEN));
		});

	test("a token that could be one waits for keys, then 503 with Retry-After, with either scheme", async () => {
		for (const headers of [{ Authorization: `Bearer ${TOKEN}` }, { Authorization: `DPoP ${TOKEN}`, DPoP: TOKEN }]) {
			const answer = await fog.api("GET", "/v1/sessions", { headers });
			assert.ok([401, 503].includes(answer.status), answer.body);
			if (answer.status === 503)
				assert.match(answer.headers["retry-after"], /^[1-9]\d*$/);
		}
	});

	test("the policy of the page: our files, the provider, and a frame for the silent round", async () => {
		const policyOf = async (target) => {
			const { status, headers } = await fog.api("GET", target);
			assert.equal(status, 200, target);
			assert.equal(headers["referrer-policy"], "no-referrer");
			return { headers, rules: new Map(headers["content-security-policy"].split("; ").map((rule) => rule.split(/ (.*)/))) };
		};
		const page = await policyOf("/");
		assert.equal(page.rules.get("default-src"), "'none'");
		assert.equal(page.rules.get("frame-src"), `'self' ${ORIGIN}`);
		assert.equal(page.rules.get("frame-ancestors"), "'none'");
		const allowed = page.rules.get("connect-src").split(" ");
		assert.deepEqual(allowed.filter((source) => source !== "'self'" && !source.startsWith("ws://")), [ORIGIN]);
		const callback = await policyOf("/signed-in");
		assert.equal(callback.rules.get("frame-ancestors"), "'self'");
		assert.equal(callback.headers["cache-control"], "no-store");
	});

	test("a code that comes back to the page is in no log", async () => {
		const code = "splxlOBeZQQYbYS6WxSbIA-code-0001";
		fog.secrets.add("a code", code);
		const { status } = await fog.api("GET", `/signed-in?code=${code}&state=${code}`);
		assert.equal(status, 200);
		await until("the request is logged", () => fog.logs().includes("route=/{file}"));
		assert.ok(!fog.logs().includes(code));
	});

	const form = { "Content-Type": "application/x-www-form-urlencoded" };
	const bad = [
		[415, "as JSON", { "Content-Type": "application/json" }, `{"logout_token":"${TOKEN}"}`],
		[415, "as multipart", { "Content-Type": "multipart/form-data; boundary=x" }, "--x--"],
		[400, "without a body", {}, undefined],
		[400, "with an empty body", form, ""],
		[400, "without the member", form, "logout=1"],
		[400, "with two", form, `logout_token=${TOKEN}&logout_token=${TOKEN}`],
		[400, "with two, one of them hidden", form, `logout_token=${TOKEN}&%6cogout_token=${TOKEN}`],
		[400, "with a broken escape", form, "logout_token=%4"],
		[400, "with a NUL", form, "logout_token=a%00b"],
		[400, "with an empty one", form, "logout_token="],
		[400, "with 8193 bytes", form, `logout_token=${"a".repeat(8193)}`],
	];
	for (const [status, what, headers, body] of bad)
		test(`a logout request ${what} is ${status}`, async () => {
			const problem = await fog.expect(status, "POST", "/v1/oidc/backchannel-logout", { headers, body });
			assert.equal(problem.error, status === 400 ? "invalid_request" : undefined);
		});

	test("a logout request asks for no Origin, and other members are ignored", async () => {
		const answer = await fog.api("POST", "/v1/oidc/backchannel-logout", { headers: form, body: `state=1&logout_token=${TOKEN}` });
		assert.ok([400, 503].includes(answer.status), answer.body);
		assert.equal(answer.headers["cache-control"], "no-store");
		assert.ok(!fog.logs().includes(TOKEN));
	});

	// A form needs no preflight: each would count as a guess of the person who looks at the page.
	for (const origin of ["https://elsewhere.example", "null", fog.url])
		test(`a logout request of a page, Origin ${origin ?? "our own"}, is refused and no guess`, async () => {
			await fog.expect(403, "POST", "/v1/oidc/backchannel-logout", {
				headers: { ...form, Origin: origin ?? fog.url }, body: `logout_token=${TOKEN}`,
			});
		});

	test("metrics count what was refused, by our own words alone", async () => {
		const line = await until("the metrics listener", () => /event=metrics_listening addr=(\S+)/.exec(fog.logs()));
		const { body } = await exchange(`http://${line[1]}`, "GET", "/metrics");
		const count = (name) => Number(new RegExp(`^fog_gateway_${name.replaceAll(/[{}"]/g, "\\$&")} (\\d+)$`, "m").exec(body)?.[1]);
		assert.equal(count('tokens_refused_total{reason="token_missing"}'), 2);
		assert.ok(count('tokens_refused_total{reason="token_invalid"}') >= 2);
		assert.equal(count('tokens_refused_total{reason="dpop_proof_invalid"}'), 2);
		assert.ok(count('tokens_refused_total{reason="logout_token_invalid"}') >= 3);
		assert.equal(count('renewals_total{result="renewed"}'), 0);
		assert.ok(!body.includes(TOKEN));
	});
});
