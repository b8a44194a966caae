// SPDX-License-Identifier: MIT
// An identity has an end: renewal in band, detaching when it is not renewed, signing out at the provider and revocation by an
// admin, all of it also across the death of everything (S10, S19, S21, R7); and the guide's device flow as it stands.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after } from "node:test";
import { build, DEFAULT_POLICY, exchange, policyOf, repo, suite } from "../lib/harness.mjs";
import { CLI, CLIENT, OidcProvider, USERS } from "../lib/oidc.mjs";
import { sleep, until } from "../lib/proc.mjs";
import { BinaryTerminal, JsonTerminal } from "../lib/ws.mjs";

const GRACE_S = 2;
const LIFE_S = 4;
const LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout";
const LATE_MS = 2000; // in which a sign-out has to have its effect

const provider = await OidcProvider.start({ audience: "fog", life: 300 });
after(() => provider.stop());

const env = {
	RUNTIME: "stub", OIDC_ISSUER_URL: provider.issuer, OIDC_CLIENT_ID: CLIENT, OIDC_AUDIENCE: "fog", OIDC_CA_FILE: provider.ca.file,
	IDENTITY_GRACE_SECONDS: String(GRACE_S), OIDC_SKEW_SECONDS: "0", FAILED_TOKENS_PER_MINUTE: "0", METRICS_ADDR: "127.0.0.1:0",
	SESSION_TOKEN_SIGNING_KEY: crypto.randomBytes(32).toString("hex"), CRASH_PENALTY_SECONDS: "0", LOG_LEVEL: "debug",
};
const POLICY = DEFAULT_POLICY + policyOf([["kept", { more: { on_logout: "detach" } }]]).replace("profiles:\n", "");

const nowS = () => Math.floor(Date.now() / 1000);
const shortLived = (user = "alice") => provider.forge({ user, claims: { exp: nowS() + LIFE_S } });
const logoutToken = (claims = {}, { header = {}, ...more } = {}) => provider.forge({
	claims: {
		aud: CLIENT, sub: "alice", events: { [LOGOUT_EVENT]: {} }, exp: nowS() + 120, groups: undefined, realm_access: undefined,
		scope: undefined, client_id: undefined, ...claims,
	},
	header: { typ: "logout+jwt", ...header }, ...more,
});

suite("an identity with an end", { env, policy: POLICY }, ({ fog, test }) => {
	const attach = async ({ id }, token, { role = "driver", ...options } = {}) => BinaryTerminal.open(fog,
		await fog.expect(201, "POST", `/v1/sessions/${id}/attach`, { token, body: { role } }), options);
	const logOut = (token) => fog.api("POST", "/v1/oidc/backchannel-logout", {
		headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: new URLSearchParams({ logout_token: token }).toString(),
	});
	const end = ({ id }, user = "alice") => fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token: provider.forge({ user }) });
	const states = (terminal) => terminal.statuses.map(({ state }) => state);

	// The number of the last line, all of them there and in order.
	function lastLine(text) {
		const numbers = [...text.matchAll(/^line(\d+)\r?$/gm)].map(([, n]) => Number(n));
		numbers.forEach((n, i) => assert.equal(n, numbers[0] + i, "a line is missing or there twice"));
		return numbers.at(-1);
	}

	test("renewed in band, a terminal goes on past its token without losing a byte", async () => {
		const session = await fog.create({ token: shortLived() });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		assert.ok(terminal.hello.identity_until, "hello says how long the identity lasts");
		terminal.type("i=0; while sleep 0.02; do echo line$i; i=$((i+1)); done\n");
		const until_ms = Date.now() + 2.5 * (LIFE_S + GRACE_S) * 1000;
		let renewals = 0;
		while (Date.now() < until_ms) {
			await sleep(LIFE_S * 500);
			const token = shortLived();
			const answer = await terminal.renew(await fog.mint({ id: session.id, token }));
			assert.equal(answer.state, "renewed", JSON.stringify(answer));
			assert.ok(Date.parse(answer.expires_at) > Date.now() + 1000 * GRACE_S);
			renewals++;
		}
		assert.ok(renewals >= 5);
		assert.equal(terminal.closed, undefined);
		assert.ok(lastLine(terminal.screen.text.slice(terminal.screen.text.indexOf("line0\r"))) > 100);
		assert.ok(!states(terminal).includes("identity_expiring"));
		await end(session);
	}, { timeout: 60_000 });

	test("not renewed, it is told, then detached, and the session runs on", async () => {
		const session = await fog.create({ token: shortLived() });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const json = await JsonTerminal.open(fog, await fog.expect(201, "POST", `/v1/sessions/${session.id}/attach`,
			{ token: provider.forge(), body: { role: "viewer" } }));
		terminal.type("sleep 100 & echo job$!\n");
		const [, job] = await terminal.waitFor(/job(\d+)/);
		const { code } = await terminal.waitClosed((LIFE_S + GRACE_S + 3) * 1000);
		assert.equal(code, 4003);
		const told = states(terminal);
		assert.ok(told.indexOf("identity_expiring") >= 0 && told.indexOf("identity_expiring") < told.indexOf("identity_expired"), `${told}`);
		assert.equal(json.closed, undefined, "another attachment has its own end");
		await fog.waitStatus({ id: session.id, token: provider.forge() }, "detached");
		const again = await attach(session, provider.forge(), { out: terminal.outOffset });
		await again.run(`kill -0 ${job} && echo still''here`, /stillhere/);
		await end(session);
	}, { timeout: 40_000 });

	test("a renewal that is not right is refused, and harms nothing", async () => {
		const session = await fog.create({ token: provider.forge() });
		const other = await fog.create({ token: provider.forge() });
		const foreign = await fog.create({ token: provider.forge({ user: "bob" }) });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const once = await fog.mint({ id: session.id, token: provider.forge() });
		assert.equal((await terminal.renew(once)).state, "renewed");
		const wrong = {
			"one that was used": once,
			"of another session": await fog.mint({ id: other.id, token: provider.forge() }),
			"of another person": await fog.mint({ id: foreign.id, token: provider.forge({ user: "bob" }) }),
			"of another role": await fog.expect(201, "POST", `/v1/sessions/${session.id}/attach`,
				{ token: provider.forge(), body: { role: "viewer" } }),
			"an access token": { token: provider.forge() },
			"no token at all": { token: "x" },
		};
		for (const [what, token] of Object.entries(wrong)) {
			const answer = await terminal.renew(token);
			assert.equal(answer.state, "renewal_refused", what);
			await sleep(1100); // renewals are capped
		}
		await terminal.run("echo still''here", /stillhere/);
		await Promise.all([end(session), end(other), end(foreign, "bob")]);
	}, { timeout: 40_000 });

	test("attach tokens and access tokens are not each other's", async () => {
		const session = await fog.create({ token: provider.forge() });
		await fog.expect(401, "GET", "/v1/sessions", { token: session.attach.token });
		await assert.rejects(BinaryTerminal.open(fog, { ...session.attach, token: provider.forge() }), /refused with 401/);
		await end(session);
	});

	test("signing out at the provider ends the sessions of that sign-in within two seconds", async () => {
		provider.configure({ backchannelLogoutUri: `${fog.url}/v1/oidc/backchannel-logout` });
		const signedIn = await provider.signIn("alice");
		const token = signedIn.access_token;
		fog.secrets.add("a code", signedIn.code);
		fog.secrets.add("an ID token", signedIn.id_token);
		const session = await fog.create({ token });
		const kept = await fog.create({ token, profile: "kept" });
		const bobs = await fog.create({ token: provider.forge({ user: "bob" }) });
		const terminal = await BinaryTerminal.open(fog, session.attach);
		const detached = await BinaryTerminal.open(fog, kept.attach);
		const spare = await fog.mint({ id: kept.id, token });
		await sleep(1100); // the times in tokens are whole seconds
		const from = performance.now();
		const [told] = await provider.logout("alice", { idToken: signedIn.id_token });
		assert.equal(told?.error, undefined, "the provider was answered 200");
		await terminal.waitClosed(LATE_MS);
		const { code } = await detached.waitClosed(LATE_MS);
		assert.ok(performance.now() - from < LATE_MS + 500, "sign-out took its time");
		assert.equal(code, 4004);
		assert.ok(states(detached).includes("revoked"));
		const refused = await fog.expect(401, "GET", "/v1/sessions", { token });
		assert.equal(refused.code, "identity_revoked");
		await assert.rejects(BinaryTerminal.open(fog, spare), /refused with 401/);
		await sleep(1100);
		const later = provider.forge();
		assert.equal((await fog.show({ id: session.id, token: later })).end_reason, "revoked");
		assert.equal((await fog.show({ id: kept.id, token: later })).status, "detached");
		await fog.show({ id: bobs.id, token: provider.forge({ user: "bob" }) });
		await end(kept);
		await end(bobs, "bob");
	}, { timeout: 40_000 });

	test("a logout token that is not right ends nothing", async () => {
		const session = await fog.create({ token: provider.forge() });
		const wrong = {
			"an access token": provider.forge(),
			"another audience": logoutToken({ aud: "somebody" }),
			"another issuer": logoutToken({ iss: "https://other.example" }),
			"a nonce": logoutToken({ nonce: "n" }),
			"no event": logoutToken({ events: {} }),
			"nobody": logoutToken({ sub: undefined }),
			"no jti": logoutToken({ jti: undefined }),
			"long past": logoutToken({ iat: nowS() - 1000, exp: nowS() - 900 }),
			"type of another": logoutToken({}, { header: { typ: "at+jwt" } }),
			"HMAC": logoutToken({}, { alg: "HS256", header: { kid: undefined }, key: crypto.createPublicKey(provider.key("RS256").privateKey).export({ type: "spki", format: "pem" }) }),
			"no token": "x",
		};
		for (const [what, token] of Object.entries(wrong)) {
			const { status, json } = await logOut(token);
			assert.equal(status, 400, what);
			assert.equal(json.code, "logout_token_invalid", what);
		}
		assert.match((await fog.show({ id: session.id, token: provider.forge() })).status, /detached|starting/);
		await end(session);
	});

	test("what was revoked stays so when everything dies, and a replay is known", async () => {
		const old = provider.forge();
		const token = logoutToken();
		assert.equal((await logOut(token)).status, 200);
		assert.equal((await logOut(token)).status, 400, "a replay");
		await sleep(1100); // the times in tokens are whole seconds
		const session = await fog.create({ token: provider.forge() });
		for (const role of ["gatewayd", "authd", "placerd", "ptyd", "fogd"])
			await fog.kill(role);
		await fog.restartFogd();
		await fog.waitReady();
		const refused = await until("the service answers", async () => {
			const answer = await fog.api("GET", "/v1/sessions", { token: old });
			return answer.status !== 503 && answer;
		});
		assert.equal(refused.status, 401);
		assert.equal(refused.json.code, "identity_revoked");
		assert.equal((await logOut(token)).status, 400, "a replay after the restart");
		await fog.show({ id: session.id, token: provider.forge() });
		await end(session);
	}, { timeout: 40_000 });

	// stop() of every instance looks for what api() has sent and got; here also what came by other ways.
	test("no token, code or key in a log, a metric, a file, a command line or an environment, also after crashes (S5, S19, S38)", async () => {
		const signedIn = await provider.signIn("bob");
		fog.secrets.add("a code", signedIn.code);
		fog.secrets.add("an ID token", signedIn.id_token);
		const session = await fog.create({ token: signedIn.access_token });
		const byQuery = await JsonTerminal.open(fog, session.attach, { via: "query" });
		const again = await fog.mint({ id: session.id, token: signedIn.access_token });
		await exchange(fog.url, "GET", `/v1/sessions/${session.id}/pty?token=${again.token}`);
		const driver = await attach(session, signedIn.access_token);
		assert.equal((await driver.renew(await fog.mint({ id: session.id, token: signedIn.access_token }))).state, "renewed");
		const logout = logoutToken({ sub: "nobody" });
		fog.secrets.add("a logout token", logout);
		assert.equal((await logOut(logout)).status, 200);
		await fog.api("GET", "/v1/sessions", { token: `${signedIn.access_token.slice(0, -8)}AAAAAAAA` });
		for (const role of ["authd", "gatewayd", "placerd", "fetcher", "prober"])
			await fog.kill(role, "SIGABRT");
		await fog.waitReady();
		const metrics = await until("metrics", () =>
			exchange(`http://${fog.events({ event: "metrics_listening" }).at(-1).addr}`, "GET", "/metrics"));
		assert.equal(metrics.status, 200);
		assert.match(metrics.body, /^fog_/m);
		assert.ok(fog.secrets.size > 20, "secrets were noted");
		fog.secrets.assertNotIn("the metrics", metrics.body);
		fog.secrets.assertNotIn("the log", fog.logs());
		for (const { pid } of [fog.fogd, ...fog.holders()])
			fog.secrets.assertNotInProcess(pid, `process ${pid}`);
		byQuery.destroy();
		await end(session, "bob");
	}, { timeout: 40_000 });

	test("docs/identity.md: the device flow as it stands", async () => {
		const guide = fs.readFileSync(path.join(repo, "docs/identity.md"), "utf8");
		const [, script] = /<!-- example: device -->\n```sh\n([^]*?)\n```/.exec(guide);
		const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
			env: {
				PATH: process.env.PATH, OIDC_ISSUER_URL: provider.issuer, OIDC_CLIENT_ID: CLI, GATEWAY_URL: fog.url,
				CURL_CA_BUNDLE: provider.ca.file,
			},
			stdio: ["ignore", "pipe", "pipe"],
		});
		let said = "", answer = "";
		child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
		child.stdout.setEncoding("utf8").on("data", (text) => (answer += text));
		const ended = new Promise((resolve) => child.once("close", resolve));
		const from = await until("it says where to go", () => /Open (\S+), code/.exec(said)?.[1]);
		const { page } = await provider.person("bob").walk(from, { fill: { username: "bob", password: USERS.bob.password, abort: undefined } });
		assert.match(page.body, /Go back to your device/);
		assert.equal(await ended, 0, said);
		assert.ok(Array.isArray(JSON.parse(answer).sessions), answer);
	}, { timeout: 40_000 });
});

suite("a provider whose clock is ahead", { env: { ...env, OIDC_SKEW_SECONDS: "30" } }, ({ fog, test }) => {
	test("an admin's revocation refuses every token that is out, also one dated ahead", async () => {
		const tokens = [-10, 0, 25].map((ahead) => provider.forge({ claims: { iat: nowS() + ahead, exp: nowS() + 300 } }));
		for (const token of tokens)
			await fog.expect(200, "GET", "/v1/sessions", { token });
		execFileSync(path.join(build, "bin/fogctl"),
			["--socket", path.join(fog.runDir, "control.sock"), "subjects", "revoke", provider.issuer, "alice"]);
		for (const token of tokens)
			assert.equal((await fog.expect(401, "GET", "/v1/sessions", { token })).code, "identity_revoked");
		await fog.expect(200, "GET", "/v1/sessions", { token: provider.forge({ user: "bob" }) });
	});
});
