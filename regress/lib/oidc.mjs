// SPDX-License-Identifier: MIT
// A real identity provider for tests: npm oidc-provider over TLS on loopback, and people who sign in to it.
// Keys can be rotated and the provider stopped and started again while sessions, codes and refresh tokens live on.
//	const idp = await OidcProvider.start();
//	const fog = await startInstance({ env: { OIDC_ISSUER_URL: idp.issuer, OIDC_AUDIENCE: "fog", OIDC_CA_FILE: idp.ca.file } });
//	const token = await idp.token({ user: "alice", life: 5 });
import assert from "node:assert/strict";
import crypto from "node:crypto";
import https from "node:https";
import Provider from "oidc-provider";
import { exchange } from "./harness.mjs";
import { DpopKey, kindOf, makeKey, signJws } from "./jws.mjs";
import { Person } from "./person.mjs";
import { until } from "./proc.mjs";
import { listen, TestCa } from "./testca.mjs";

export { DpopKey, TestCa };

const RESOURCE = "urn:fog:api";
// Where the sign-ins of signIn() end. Nothing listens there, nothing has to.
const CALLBACK = "https://127.0.0.1:1/callback";
const SIGNED_OUT = "https://127.0.0.1:1/signed-out";
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"];
const KEY_KINDS = [...new Set(ALGORITHMS.map(kindOf))];
const HOUR_S = 3600;

export const CLIENT = "fog-web";
export const CLI = "fog-cli";
export const MACHINE = "fog-machine";

export const USERS = {
	alice: { password: "wonderland", groups: ["developers"] },
	bob: { password: "builder", groups: ["power-users"] },
};

const now = () => Math.floor(Date.now() / 1000);
const random = () => crypto.randomBytes(32).toString("base64url");

// The provider's records, by model and id; they outlive the provider.
class Store {
	#records;
	#model;

	constructor(records, model) {
		this.#records = records;
		this.#model = model;
	}

	#findBy(key, value) {
		return [...this.#records].find(([id, record]) => id.startsWith(`${this.#model} `) && record[key] === value)?.[1];
	}

	async upsert(id, record) {
		this.#records.set(`${this.#model} ${id}`, record);
	}

	async find(id) {
		return this.#records.get(`${this.#model} ${id}`);
	}

	async findByUid(uid) {
		return this.#findBy("uid", uid);
	}

	async findByUserCode(code) {
		return this.#findBy("userCode", code);
	}

	async consume(id) {
		(await this.find(id)).consumed = now();
	}

	async destroy(id) {
		this.#records.delete(`${this.#model} ${id}`);
	}

	async revokeByGrantId(grantId) {
		for (const [id, record] of this.#records)
			if (record.grantId === grantId)
				this.#records.delete(id);
	}
}

// --- pages: plain forms, for Person as for a browser ---

const htmlPage = (title, body) => `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}</html>`;

const loginForm = (action, said = "") => htmlPage("Sign in", `<p>${said}</p><form method="post" action="${action}">
<label>User <input name="username" autocomplete="off" autofocus></label> <label>Password <input name="password" type="password"></label>
<button type="submit">Sign in</button></form>`);

const show = (ctx, title, body) => {
	ctx.type = "html";
	ctx.body = htmlPage(title, body);
};

const pages = {
	logout: (ctx, form) => show(ctx, "Sign out?",
		`${form}<button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>`),
	signedOut: (ctx) => show(ctx, "Signed out", ""),
	codeInput: (ctx, form, out, error) => show(ctx, "Enter the code", `<p>${error ? "Not this one." : ""}</p>${form}
<button type="submit" form="op.deviceInputForm">Go on</button>`),
	codeConfirm: (ctx, form, client, device, code) => show(ctx, "Is this your device?", `<code>${code}</code>${form}
<button type="submit" form="op.deviceConfirmForm" autofocus>Yes</button>`),
	codeDone: (ctx) => show(ctx, "Go back to your device", ""),
	error: (ctx, { error }) => show(ctx, "Not possible", `<p>${error}</p>`),
};

async function formBody(request) {
	const chunks = [];
	for await (const chunk of request)
		chunks.push(chunk);
	return new URLSearchParams(Buffer.concat(chunks).toString());
}

// What a token request may ask of this provider beside the standards: { life, alg, claims, header } of the access token.
const WISHES = "x-test-token";
const wishesOf = (ctx) => JSON.parse(Buffer.from(ctx?.get(WISHES) || "e30", "base64url"));

const FIXED = {
	clientDefaults: { grant_types: ["authorization_code"], response_types: ["code"] },
	scopes: ["openid", "offline_access"],
	claims: { openid: ["sub", "sid"], groups: ["groups"], profile: ["name"] },
	responseTypes: ["code"],
	pkce: { methods: ["S256"], required: () => true },
	enabledJWA: { idTokenSigningAlgValues: ALGORITHMS, dPoPSigningAlgValues: ["ES256", "EdDSA"] },
	rotateRefreshToken: true,
	issueRefreshToken: (ctx, client) => client.grantTypeAllowed("refresh_token"),
	interactions: { url: (ctx, { uid }) => `/interaction/${uid}` },
	renderError: pages.error,
};

export class OidcProvider {
	#options;
	#provider;
	#callback;
	#server;
	#keys = [];
	#records = new Map();
	#people = new Map();
	#cookieKeys = [random()];
	#nonceSecret = crypto.randomBytes(32);
	#secret = random();

	// Errors inside the provider, and the back-channel logouts it sent: { clientId, sub, sid, error }.
	problems = [];
	logouts = [];

	// audience, alg, life (seconds): of access tokens unless asked otherwise. redirectUris, postLogoutRedirectUris,
	// backchannelLogoutUri: of the page's client. dpopBound: it must use DPoP. requireNonce: proofs need the provider's nonce.
	// host: in the issuer, 127.0.0.1 or localhost. trust: CAs (PEM) of back-channel receivers, beside our own.
	constructor({ ca = new TestCa(), ...options } = {}) {
		this.#options = {
			audience: "fog", alg: "RS256", life: 300, host: "127.0.0.1", users: USERS, redirectUris: [], postLogoutRedirectUris: [],
			backchannelLogoutUri: undefined, dpopBound: false, requireNonce: false, trust: [], ...options,
		};
		this.ca = ca;
		this.#keys = KEY_KINDS.map((kind) => makeKey(kind));
	}

	static async start(options) {
		const provider = new OidcProvider(options);
		await provider.start();
		return provider;
	}

	// The first start takes a free port; later ones take it again.
	async start() {
		assert.ok(!this.#server, "the provider runs already");
		this.certificate ??= this.ca.issue();
		const server = https.createServer(this.certificate, (request, response) => this.#onRequest(request, response));
		// While it was stopped, some connection on this machine may have got its port for a moment.
		this.port = await until("the provider listens", () => listen(server, this.port ?? 0, this.#options.host));
		this.#server = server;
		this.issuer = `https://${this.#options.host}:${this.port}`;
		this.#build();
	}

	// Refuses connections from now on. Everything else stays as it is, for start().
	async stop() {
		const server = this.#server;
		this.#server = undefined;
		if (!server)
			return;
		const closed = new Promise((resolve) => server.close(resolve));
		server.closeAllConnections();
		await closed;
	}

	// Changes options of the constructor, on the running provider.
	configure(options) {
		Object.assign(this.#options, options);
		this.#build();
	}

	// New keys sign from now on. The old ones are still in the JWKS, unless dropped.
	rotateKeys({ keepOld = true } = {}) {
		this.#keys = [...KEY_KINDS.map((kind) => makeKey(kind)), ...(keepOld ? this.#keys : [])];
		this.#build();
	}

	// The key that signs with alg.
	key(alg = this.#options.alg) {
		return this.#keys.find(({ kind }) => kind === kindOf(alg));
	}

	// --- the provider ---

	#build() {
		this.#provider = new Provider(this.issuer, this.#configuration());
		this.#provider.on("server_error", (ctx, error) => this.problems.push(error));
		const delivered = (client, sub, sid, error) => this.logouts.push({ clientId: client.clientId, sub, sid, error });
		this.#provider.on("backchannel.success", (ctx, client, sub, sid) => delivered(client, sub, sid));
		this.#provider.on("backchannel.error", (ctx, error, client, sub, sid) => delivered(client, sub, sid, error));
		this.#callback = this.#provider.callback();
	}

	#configuration() {
		const { users, life, trust } = this.#options;
		const lifeOf = (ctx) => wishesOf(ctx).life ?? life;
		return {
			...FIXED,
			adapter: (model) => new Store(this.#records, model),
			clients: this.#clients(),
			jwks: { keys: this.#keys.map(({ kid, privateKey }) => ({ ...privateKey.export({ format: "jwk" }), kid, use: "sig" })) },
			cookies: { keys: this.#cookieKeys },
			clientBasedCORS: (ctx, origin, client) => client.redirectUris.some((uri) => new URL(uri).origin === origin),
			findAccount: (ctx, sub) => Object.hasOwn(users, sub) && { accountId: sub, claims: () => this.#claimsOf(sub) },
			loadExistingGrant: (ctx) => this.#grantAll(ctx),
			formats: { customizers: { jwt: (ctx, token, jwt) => this.#customize(ctx, token, jwt) } },
			httpOptions: ({ protocol }) => (protocol === "https:" ? { agent: new https.Agent({ ca: [this.ca.pem, ...trust] }) } : {}),
			ttl: {
				AccessToken: lifeOf, ClientCredentials: lifeOf, IdToken: HOUR_S, AuthorizationCode: 60, DeviceCode: 600,
				RefreshToken: HOUR_S, Interaction: 600, Session: HOUR_S, Grant: HOUR_S,
			},
			features: this.#features(),
		};
	}

	#features() {
		const { requireNonce } = this.#options;
		return {
			devInteractions: { enabled: false },
			backchannelLogout: { enabled: true },
			clientCredentials: { enabled: true },
			dPoP: { enabled: true, nonceSecret: this.#nonceSecret, requireNonce: () => requireNonce },
			revocation: { enabled: true },
			rpInitiatedLogout: { enabled: true, logoutSource: pages.logout, postLogoutSuccessSource: pages.signedOut },
			deviceFlow: {
				enabled: true, userCodeInputSource: pages.codeInput, userCodeConfirmSource: pages.codeConfirm, successSource: pages.codeDone,
			},
			resourceIndicators: {
				enabled: true,
				defaultResource: () => RESOURCE,
				useGrantedResource: () => true,
				getResourceServerInfo: (ctx) => this.#resourceServer(wishesOf(ctx)),
			},
		};
	}

	#resourceServer({ alg = this.#options.alg }) {
		return { scope: "fog", audience: this.#options.audience, accessTokenFormat: "jwt", jwt: { sign: { alg, kid: this.key(alg).kid } } };
	}

	#clients() {
		const { redirectUris, postLogoutRedirectUris, backchannelLogoutUri, dpopBound } = this.#options;
		return [{
			client_id: CLIENT,
			token_endpoint_auth_method: "none",
			grant_types: ["authorization_code", "refresh_token"],
			redirect_uris: [CALLBACK, ...redirectUris],
			post_logout_redirect_uris: [SIGNED_OUT, ...postLogoutRedirectUris],
			...(backchannelLogoutUri && { backchannel_logout_uri: backchannelLogoutUri, backchannel_logout_session_required: true }),
			dpop_bound_access_tokens: dpopBound,
		}, {
			client_id: CLI,
			token_endpoint_auth_method: "none",
			grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
			response_types: [],
			redirect_uris: [],
		}, {
			client_id: MACHINE,
			client_secret: this.#secret,
			token_endpoint_auth_method: "client_secret_post",
			grant_types: ["client_credentials"],
			response_types: [],
			redirect_uris: [],
		}];
	}

	#claimsOf(sub) {
		const { groups = [] } = this.#options.users[sub] ?? {};
		return { sub, groups, realm_access: { roles: groups } };
	}

	#customize(ctx, token, jwt) {
		const { claims, header } = wishesOf(ctx);
		const { AuthorizationCode, RefreshToken } = ctx.oidc.entities;
		if (token.accountId)
			Object.assign(jwt.payload, this.#claimsOf(token.accountId), { sid: (AuthorizationCode ?? RefreshToken)?.sid });
		Object.assign(jwt.payload, claims);
		jwt.header = header;
	}

	// Nobody is asked for consent.
	async #grantAll(ctx) {
		const { client, session, provider } = ctx.oidc;
		const known = session.grantIdFor(client.clientId);
		const found = known && await provider.Grant.find(known);
		if (found)
			return found;
		const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
		grant.addOIDCScope("openid offline_access");
		grant.addResourceScope(RESOURCE, "fog");
		await grant.save();
		return grant;
	}

	#onRequest(request, response) {
		if (!request.url.startsWith("/interaction/"))
			return this.#callback(request, response);
		return this.#signInPage(request, response).catch((error) => {
			this.problems.push(error);
			response.writeHead(400).end();
		});
	}

	async #signInPage(request, response) {
		const { uid } = await this.#provider.interactionDetails(request, response);
		const form = request.method === "POST" && await formBody(request);
		const name = form && form.get("username");
		const user = Object.hasOwn(this.#options.users, name) && this.#options.users[name];
		if (user && user.password === form.get("password"))
			return this.#provider.interactionFinished(request, response, { login: { accountId: name } });
		response.writeHead(form ? 401 : 200, { "Content-Type": "text/html" });
		return response.end(loginForm(`/interaction/${uid}`, form ? "Wrong name or password." : ""));
	}

	// --- people and their tokens ---

	// The browser of a user, with the cookies of earlier sign-ins.
	person(user) {
		if (!this.#people.has(user))
			this.#people.set(user, new Person(user, this.ca.pem));
		return this.#people.get(user);
	}

	#credentials(user) {
		return { username: user, password: this.#options.users[user].password };
	}

	async metadata() {
		const { status, body } = await exchange(this.issuer, "GET", "/.well-known/openid-configuration", { ca: this.ca.pem });
		assert.equal(status, 200, body);
		return JSON.parse(body);
	}

	async jwks() {
		return JSON.parse((await exchange(this.issuer, "GET", "/jwks", { ca: this.ca.pem })).body);
	}

	// One request to an endpoint with a form. wishes: life, alg, claims, header of an access token; dpop: a DpopKey.
	async post(path, fields, { dpop, nonce, ...wishes } = {}) {
		const headers = { "Content-Type": "application/x-www-form-urlencoded" };
		if (Object.keys(wishes).length > 0)
			headers[WISHES] = Buffer.from(JSON.stringify(wishes)).toString("base64url");
		if (dpop)
			headers.DPoP = dpop.proof("POST", this.issuer + path, { nonce });
		const answer = await exchange(this.issuer, "POST", path, {
			ca: this.ca.pem, headers, body: new URLSearchParams(fields).toString(),
		});
		const json = answer.body && JSON.parse(answer.body);
		if (dpop && !nonce && json.error === "use_dpop_nonce")
			return this.post(path, fields, { dpop, nonce: answer.headers["dpop-nonce"], ...wishes });
		return { ...answer, json };
	}

	async #tokens(fields, wishes) {
		const { status, json } = await this.post("/token", fields, wishes);
		assert.equal(status, 200, `${fields.grant_type}: ${json.error} ${json.error_description}`);
		return json;
	}

	// Authorization Code with PKCE, as the page does it: the token response, and the nonce.
	async signIn(user, { scope = "openid fog", ...wishes } = {}) {
		const [verifier, state, nonce] = [random(), random(), random()];
		const query = new URLSearchParams({
			client_id: CLIENT, response_type: "code", redirect_uri: CALLBACK, scope, state, nonce, code_challenge_method: "S256",
			code_challenge: crypto.createHash("sha256").update(verifier).digest("base64url"),
		});
		const { url, page } = await this.person(user).walk(`${this.issuer}/auth?${query}`, { until: CALLBACK, fill: this.#credentials(user) });
		assert.ok(!page, `${user} ended on a page: ${page?.status} ${page?.body}`);
		const answer = Object.fromEntries(url.searchParams);
		assert.ok(answer.code, `${user}: ${answer.error} ${answer.error_description}`);
		assert.deepEqual([answer.state, answer.iss], [state, this.issuer]);
		const made = await this.#tokens({
			grant_type: "authorization_code", client_id: CLIENT, code: answer.code, redirect_uri: CALLBACK, code_verifier: verifier,
		}, wishes);
		return { ...made, nonce, code: answer.code };
	}

	// The next tokens; the refresh token is used up.
	refresh({ refresh_token }, { client = CLIENT, ...wishes } = {}) {
		return this.#tokens({ grant_type: "refresh_token", client_id: client, refresh_token }, wishes);
	}

	// An access token: of a user, or without one of a machine (client credentials).
	async token({ user, ...options } = {}) {
		if (user)
			return (await this.signIn(user, options)).access_token;
		const { scope = "fog", ...wishes } = options;
		const fields = { grant_type: "client_credentials", client_id: MACHINE, client_secret: this.#secret, scope };
		return (await this.#tokens(fields, wishes)).access_token;
	}

	// The device flow: the answer for the device, which may then call poll(). approve() is the person at another screen.
	async device({ scope = "openid fog" } = {}) {
		const { status, json } = await this.post("/device/auth", { client_id: CLI, scope });
		assert.equal(status, 200, json.error_description);
		const fields = { grant_type: "urn:ietf:params:oauth:grant-type:device_code", client_id: CLI, device_code: json.device_code };
		return {
			...json,
			poll: (wishes) => this.post("/token", fields, wishes),
			approve: (user) => this.#approve(user, json),
		};
	}

	async #approve(user, { verification_uri_complete: from }) {
		const { page } = await this.person(user).walk(from, { fill: { ...this.#credentials(user), abort: undefined } });
		assert.match(page.body, /Go back to your device/);
	}

	// The user signs out at the provider (RP-initiated), which then tells the clients. Gives what it told.
	async logout(user, { idToken, redirect = SIGNED_OUT } = {}) {
		const query = new URLSearchParams(idToken
			? { id_token_hint: idToken, post_logout_redirect_uri: redirect } : { client_id: CLIENT, post_logout_redirect_uri: redirect });
		const mark = this.logouts.length;
		const { page } = await this.person(user).walk(`${this.issuer}/session/end?${query}`, { until: redirect });
		assert.ok(!page, `${user} ended on a page: ${page?.status} ${page?.body}`);
		return this.logouts.slice(mark);
	}

	// A token with any payload and header, for tests of what is wrong in one; undefined removes a member. Signed by the
	// provider's key for alg, or by key: a KeyObject, or a secret for HS256.
	forge({ user = "alice", claims = {}, header = {}, alg = this.#options.alg, key } = {}) {
		const { kid, privateKey } = this.key(alg);
		const payload = {
			...this.#claimsOf(user), iss: this.issuer, aud: this.#options.audience, client_id: CLIENT, scope: "openid fog",
			jti: random(), iat: now(), exp: now() + this.#options.life, ...claims,
		};
		return signJws({ alg, typ: "at+jwt", kid, ...header }, payload, key ?? privateKey, alg);
	}
}
