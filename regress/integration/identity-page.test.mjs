// SPDX-License-Identifier: MIT
// Signing in on the page: a real provider, a real browser, and access tokens so short that nothing works without renewal.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { exchange, suite } from "../lib/harness.mjs";
import { peekJws } from "../lib/jws.mjs";
import { CLIENT, DpopKey, OidcProvider, TestCa, USERS } from "../lib/oidc.mjs";
import { sleep, until } from "../lib/proc.mjs";

const LIFE_S = 6;
const ca = new TestCa();
const certificate = ca.issue();
const idp = new OidcProvider({ ca, life: LIFE_S });
await idp.start();
after(() => idp.stop());

// Without the default slack a lapsed token is refused at once, and a terminal that is not renewed is gone soon after.
const env = (dir) => ({
	TLS_CERT_FILE: path.join(dir, "tls.crt"),
	TLS_KEY_FILE: path.join(dir, "tls.key"),
	OIDC_ISSUER_URL: idp.issuer,
	OIDC_CLIENT_ID: CLIENT,
	OIDC_AUDIENCE: "fog",
	OIDC_CA_FILE: ca.file,
	OIDC_SKEW_SECONDS: "1",
	IDENTITY_GRACE_SECONDS: "2",
});

const prepare = (dir) => {
	fs.writeFileSync(path.join(dir, "tls.crt"), certificate.cert + ca.pem, { mode: 0o644 });
	fs.writeFileSync(path.join(dir, "tls.key"), certificate.key, { mode: 0o600 });
};

// What goes over the wire of one window: API calls with their credentials, token answers, terminal connections.
class Wire {
	calls = [];
	sockets = [];

	// secrets: takes every token that is seen.
	constructor(page, origin, secrets) {
		this.secrets = secrets;
		page.on("response", (response) => this.#onResponse(response, origin).catch(() => undefined));
		page.on("websocket", (socket) => this.#onSocket(socket));
	}

	async #onResponse(response, origin) {
		const request = response.request();
		const url = new URL(request.url());
		if (url.origin === origin && url.pathname.startsWith("/v1/")) {
			const { authorization = "", dpop } = await request.allHeaders();
			const [scheme, token] = authorization.split(" ");
			const call = { method: request.method(), path: url.pathname, url: url.href, status: response.status(), scheme, token, proof: dpop };
			this.calls.push(call);
			if (token)
				this.secrets.add(token);
			if (response.status() >= 400)
				call.problem = await response.json().catch(() => undefined);
		} else if (url.origin === idp.issuer && url.pathname === "/token" && response.ok()) {
			const { access_token: access, refresh_token: refresh, id_token: id } = await response.json();
			for (const secret of [access, refresh, id].filter(Boolean))
				this.secrets.add(secret);
		}
	}

	#onSocket(socket) {
		const seen = { sent: [], statuses: [], output: [], isOpen: true, closedAt: 0 };
		this.sockets.push(seen);
		socket.on("framesent", ({ payload }) => seen.sent.push(Buffer.from(payload)));
		socket.on("framereceived", ({ payload }) => {
			const frame = Buffer.from(payload);
			if (frame[0] === 0x6f)
				seen.output.push(frame.subarray(1));
			if (frame[0] === 0x73)
				seen.statuses.push(JSON.parse(frame.subarray(1)));
		});
		socket.on("close", () => Object.assign(seen, { isOpen: false, closedAt: Date.now() }));
	}

	get last() {
		return this.calls.filter(({ token }) => token).at(-1);
	}
}

suite("signing in on the page", { env, prepare }, ({ fog, test }) => {
	const browser = new Browser();
	const secrets = new Set();
	let alice, wire;

	before(async () => {
		idp.configure({
			redirectUris: [`${fog.url}/signed-in`],
			postLogoutRedirectUris: [`${fog.url}/`],
			backchannelLogoutUri: `${fog.url}/v1/oidc/backchannel-logout`,
			dpopBound: true,
			requireNonce: true,
		});
		await browser.start({ spki: [idp.certificate.spki, certificate.spki] });
	});
	after(() => browser.stop());

	// A window at the page, and what goes over its wire.
	const watched = async (open) => {
		let seen;
		const window = await open((page) => (seen = new Wire(page, fog.url, secrets)));
		return [window, seen];
	};
	const openFresh = (init) => watched((watch) => browser.open(fog.url, { watch, init }));
	const openBeside = (window) => watched((watch) => browser.another(window.page.context(), fog.url, { watch }));

	const fillIn = async (page, name) => {
		await page.fill("input[name=username]", name);
		await page.fill("input[name=password]", USERS[name].password);
		await page.click("button[type=submit]");
	};

	// At the provider, in a tab of the same profile; gives when.
	const signOutAtProvider = async (window) => {
		const tab = await window.page.context().newPage();
		await tab.goto(`${idp.issuer}/session/end?client_id=${CLIENT}`);
		await tab.click("button[name=logout]");
		const at = Date.now();
		await tab.waitForSelector("text=Signed out");
		await tab.close();
		return at;
	};

	// Nothing that is worth stealing may be where a script, a person's history or a disk could find it.
	const assertNothingKept = async (window) => {
		const found = await window.page.evaluate(() => ({
			storage: JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
			address: `${location.href} ${document.referrer}`,
			document: document.documentElement.outerHTML,
			window: Object.entries(window).filter(([, value]) => typeof value === "string").join(),
		}));
		assert.equal(found.storage, '[{},{},""]');
		for (const [where, text] of Object.entries(found)) {
			assert.doesNotMatch(text, /eyJ|[?&#]code=|[?&#]state=/, where);
			for (const secret of secrets)
				assert.ok(!text.includes(secret), `a token is in the ${where}`);
		}
		assert.ok(secrets.size >= 3, "tokens were seen on the wire");
	};

	test("a person signs in at the provider and gets a terminal", async () => {
		[alice, wire] = await openFresh();
		await alice.page.waitForURL(`${idp.issuer}/interaction/**`);
		await fillIn(alice.page, "alice");
		await alice.waitState("connected");
		await alice.type("echo $((6*7))");
		await alice.waitRow(/^42$/);
		assert.match(new URL(alice.address()).hash, /^#s=[0-9a-f-]{36}$/);
		assert.equal(await alice.text("#who"), "alice");
		await assertNothingKept(alice);
	});

	test("the API sees DPoP, and a stolen token is of no use elsewhere", async () => {
		const calls = wire.calls.filter(({ token }) => token);
		assert.ok(calls.length >= 2);
		for (const { method, url, scheme, proof, token } of calls) {
			const [header, payload] = peekJws(proof);
			assert.deepEqual([scheme, header.typ, header.jwk.d, payload.htm, payload.htu], ["DPoP", "dpop+jwt", undefined, method, url.split("?")[0]]);
			assert.equal(peekJws(token)[1].cnf.jkt.length, 43);
		}
		await alice.click("Sessions", "header");
		const { token, proof, path: target } = await until("a young token", () => wire.calls.findLast((call) =>
			call.method === "GET" && call.path === "/v1/sessions" && call.status === 200 && peekJws(call.token)[1].exp - Date.now() / 1000 > 2));
		await alice.click("Back");
		const ask = (headers) => exchange(fog.url, "GET", target, { ca: ca.pem, headers });
		const stranger = new DpopKey();
		const rows = [
			["as a bearer", { Authorization: `Bearer ${token}` }],
			["as a bearer with the proof", { Authorization: `Bearer ${token}`, DPoP: proof }],
			["without a proof", { Authorization: `DPoP ${token}` }],
			["with the proof that was seen", { Authorization: `DPoP ${token}`, DPoP: proof }],
			["with a proof of another key", { Authorization: `DPoP ${token}`, DPoP: stranger.proof("GET", fog.url + target, { token }) }],
		];
		for (const [name, headers] of rows)
			assert.equal((await ask(headers)).status, 401, name);
	});

	test("work goes on past two lives of the token, on one connection, byte for byte", async () => {
		const socket = wire.sockets.at(-1);
		const grants = new Set(wire.calls.map(({ token }) => token));
		await alice.type("clear; i=0; while [ $i -lt 900 ]; do i=$((i+1)); echo \"n=$i\"; sleep 0.02; done; echo all=$i");
		const began = Date.now();
		await alice.waitRow(/^all=900$/, { timeout: 60_000 });
		assert.ok(Date.now() - began > 2 * LIFE_S * 1000, "it took two lives");
		const output = Buffer.concat(socket.output).toString();
		const from = output.lastIndexOf("n=1\r\n");
		assert.equal(output.slice(from, output.indexOf("all=900", from)), Array.from({ length: 900 }, (_, i) => `n=${i + 1}\r\n`).join(""));
		assert.ok(socket.isOpen && wire.sockets.length === 1, "one connection for all of it");
		assert.ok(new Set(wire.calls.map(({ token }) => token)).size >= grants.size + 2, "tokens were renewed");
		assert.ok(socket.sent.filter((frame) => frame[0] === 0x74).length >= 2, "and shown in band");
		assert.ok(socket.statuses.filter(({ state }) => state === "renewed").length >= 2);
		assert.deepEqual(socket.statuses.filter(({ state }) => /expired|refused/.test(state)), []);
		assert.deepEqual(wire.calls.filter(({ status, problem }) => status === 401 && problem?.code !== "dpop_nonce_needed"), []);
		await assertNothingKept(alice);
	}, { timeout: 90_000 });

	test("a reload comes back to the same shell, signed in by the provider's own session", async () => {
		await alice.type("clear; kept=yes");
		const address = alice.address();
		await alice.page.reload();
		await alice.page.waitForURL(address);
		await alice.waitState("connected");
		await alice.type("clear; echo kept=$kept");
		await alice.waitRow(/^kept=yes$/);
		await assertNothingKept(alice);
	});

	test("when only a person can renew, the tab and what was typed wait for that person", async () => {
		await alice.type("clear; kept=again");
		// The provider forgets this browser, and is not asked to tell anybody.
		idp.configure({ backchannelLogoutUri: undefined });
		await signOutAtProvider(alice);
		idp.configure({ backchannelLogoutUri: `${fog.url}/v1/oidc/backchannel-logout` });
		await alice.waitStatus(/your sign-in ends/);
		await alice.waitState("signed-out", { timeout: 20_000 });
		await until("the terminal is let go", () => !wire.sockets.at(-1).isOpen, { timeout: 15_000 });
		await alice.page.locator(".panel:not([hidden]) .xterm-helper-textarea").focus();
		await alice.page.keyboard.type("echo kept=$kept\n");
		await alice.explain("what was typed is counted", async () => /16 bytes typed wait/.test(await alice.text("#notice-detail")));
		const opened = alice.page.context().waitForEvent("page");
		await alice.click("Sign in again");
		const popup = await opened;
		await fillIn(popup, "alice");
		await alice.waitState("connected");
		await alice.waitRow(/^kept=again$/);
		await until("the provider's window is gone", () => popup.isClosed());
		await assertNothingKept(alice);
	}, { timeout: 60_000 });

	test("signing out at the provider ends the terminal within 2 s, and the old token is refused", async () => {
		// A window whose token does not lapse meanwhile.
		idp.configure({ life: 120 });
		const [other, otherWire] = await openBeside(alice);
		await other.waitState("connected");
		idp.configure({ life: LIFE_S });
		await other.click("Close tab");
		// One terminal of an earlier sign-in, and one of this.
		await alice.click("New session", "header");
		await alice.waitState("connected");
		const open = wire.sockets.filter(({ isOpen }) => isOpen);
		assert.equal(open.length, 2);
		const at = await signOutAtProvider(alice);
		await until("the terminals are gone", () => open.every(({ isOpen }) => !isOpen), { interval: 10 });
		for (const { closedAt } of open)
			assert.ok(closedAt - at < 2000, `after ${closedAt - at} ms`);
		await alice.waitState("ended");
		assert.match(await alice.text("#status"), /signed out/);
		await alice.page.getByRole("tab").first().click();
		await alice.waitState("ended"); // made by an earlier sign-in, and driven under this one
		assert.equal(await alice.text("#who"), "");
		assert.deepEqual(idp.logouts.filter(({ error }) => error), []);
		const { token } = otherWire.last;
		assert.ok(peekJws(token)[1].exp > Date.now() / 1000 + 60);
		await other.click("New session", "header");
		await other.waitState("signed-out");
		await until("the old token is refused for what it is", () =>
			otherWire.calls.find((call) => call.token === token && call.status === 401 && call.problem?.code === "identity_revoked"));
		assert.equal(await other.text("#who"), "");
		await other.page.close();
		await assertNothingKept(alice);
	}, { timeout: 45_000 });

	test("signing out on the page signs out everywhere: at the provider, and in the other windows", async () => {
		await alice.click("Sign in", "header");
		const popup = await until("the provider's window", () => alice.page.context().pages().find((page) => page !== alice.page));
		await fillIn(popup, "alice");
		await alice.explain("alice is signed in", async () => await alice.text("#who") === "alice");
		await alice.click("New session", "header");
		await alice.waitState("connected");
		const [other] = await openBeside(alice);
		await other.waitState("connected");
		await alice.click("Sign out", "header");
		await alice.page.waitForURL(`${idp.issuer}/session/end**`);
		await alice.page.click("button[name=logout]");
		for (const window of [alice, other]) {
			await window.waitState("signed-out");
			assert.match(await window.text("#notice-detail"), /You have signed out/);
			assert.equal(await window.text("#who"), "");
			await assertNothingKept(window);
		}
		// What this sign-in had made or driven is gone.
		const { sessions } = await fog.expect(200, "GET", "/v1/sessions", await freshCredentials());
		const living = sessions.filter(({ status }) => ["starting", "running", "detached"].includes(status));
		assert.deepEqual(living, []);
		await alice.click("Sign in again");
		await fillIn(alice.page, "alice");
		await alice.waitState("connected");
		await assertNothingKept(alice);
	}, { timeout: 45_000 });

	// Of alice at another device, who has signed in since.
	const freshCredentials = async () => {
		const key = new DpopKey();
		await sleep(1100); // a token of the second of a revocation is refused
		const token = await idp.token({ user: "alice", dpop: key });
		return { headers: { Authorization: `DPoP ${token}`, DPoP: key.proof("GET", `${fog.url}/v1/sessions`, { token }) } };
	};

	// Runs in the page: a provider that gives no refresh token.
	const withoutRefreshTokens = () => {
		const real = window.fetch;
		window.fetch = async (target, options) => {
			const response = await real(target, options);
			if (!String(target).endsWith("/token") || !response.ok)
				return response;
			const { refresh_token: dropped, ...left } = await response.json();
			return new Response(JSON.stringify(left), { status: response.status, headers: response.headers });
		};
	};

	test("without refresh tokens a hidden round to the provider renews", async () => {
		const [window, seen] = await openFresh(withoutRefreshTokens);
		const framed = [];
		window.page.on("framenavigated", (frame) => frame.parentFrame() && framed.push(frame.url()));
		await fillIn(window.page, "bob");
		await window.waitState("connected");
		await until("two hidden rounds", () => framed.filter((url) => /[?&]code=/.test(url)).length >= 2, { timeout: 4 * LIFE_S * 1000 });
		const [socket] = seen.sockets;
		await until("shown in band", () => socket.statuses.filter(({ state }) => state === "renewed").length >= 2);
		assert.ok(socket.isOpen && seen.sockets.length === 1);
		assert.equal(await window.page.locator("iframe").count(), 0);
		await assertNothingKept(window);
		await window.close();
	}, { timeout: 60_000 });

	test("an answer that nobody asked for signs nobody in", async () => {
		const forged = `?code=stolen&state=guessed&iss=${encodeURIComponent(idp.issuer)}`;
		const [window, seen] = await openFresh();
		await window.page.waitForURL(`${idp.issuer}/interaction/**`);
		// The page waits for another answer than this.
		await window.page.goto(`${fog.url}/#signed-in${forged}`);
		await window.waitState("signed-out");
		assert.match(await window.text("#notice-detail"), /cannot be used/);
		// And now for none.
		await window.page.goto(`${fog.url}/signed-in${forged}`);
		await window.explain("the callback gives it to nobody", async () => /close this window/.test(await window.text("#words")));
		await window.page.goto(`${fog.url}/#signed-in${forged}`);
		await window.waitState("signed-out");
		assert.match(await window.text("#notice-detail"), /not begun here/);
		assert.equal(seen.calls.filter(({ token }) => token).length, 0);
		assert.equal(window.address(), `${fog.url}/`);
	});

	test("neither the page's policy nor the provider had anything to complain of, and no log has a token", () => {
		assert.deepEqual(browser.problems, []);
		assert.deepEqual(idp.problems, []);
		for (const secret of secrets)
			assert.ok(!fog.logs().includes(secret));
	});
});
