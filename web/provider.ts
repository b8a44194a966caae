/* SPDX-License-Identifier: MIT */
/* The identity provider: Authorization Code with PKCE (RFC 7636), refresh, RP-initiated logout and DPoP (RFC 9449), by
 * oauth4webapi. Holds no token: those come in as arguments and go out as results. */
import * as oauth from 'oauth4webapi';
import { SIGNED_OUT_STATE } from './callback.ts';
import { Problem } from './problem.ts';

const TIMEOUT_MS = 15_000;
const DPOP_ALG = 'ES256';
/** A token endpoint that wants a nonce in the proof says so once (RFC 9449 8). */
const NONCE_TRIES = 2;

/** The part of GET /v1/config that speaks of the provider. */
export interface ProviderConfig {
	issuer: string;
	client_id: string;
	scopes: string;
	/** RFC 8707; absent: none. */
	resource?: string;
	/** The service takes ID tokens in the place of access tokens. */
	accept_id_tokens?: boolean;
}

/** What a round to the provider has to be remembered by. Worth nothing once it is over. */
export interface Pending {
	state: string;
	nonce: string;
	verifier: string;
}

export type TokenResponse = oauth.TokenEndpointResponse;

/** A round to the provider that came to nothing. */
export class SignInError extends Error {
	override name = 'SignInError';

	/** needsPerson: no renewal without somebody at the keys, now or later. */
	constructor(message: string, readonly needsPerson: boolean) {
		super(message);
	}
}

export function newPending(): Pending {
	return {
		state: oauth.generateRandomState(),
		nonce: oauth.generateRandomNonce(),
		verifier: oauth.generateRandomCodeVerifier(),
	};
}

export class Provider {
	readonly #config: ProviderConfig;
	readonly #redirectUri: string;
	readonly #as: oauth.AuthorizationServer;
	readonly #client: oauth.Client;
	/** With a key that cannot be exported and dies with the page; absent: the provider knows no DPoP. */
	readonly dpop: oauth.DPoPHandle | undefined;

	private constructor(config: ProviderConfig, redirectUri: string, as: oauth.AuthorizationServer, client: oauth.Client,
		dpop: oauth.DPoPHandle | undefined) {
		this.#config = config;
		this.#redirectUri = redirectUri;
		this.#as = as;
		this.#client = client;
		this.dpop = dpop;
	}

	/**
	 * Reads the provider's metadata (OIDC Discovery 4). skewS: seconds that this computer's clock is behind the service's, by which
	 * proofs are dated and ID tokens judged.
	 */
	static async discover(config: ProviderConfig, redirectUri: string, skewS: number): Promise<Provider> {
		if (!globalThis.crypto?.subtle)
			throw new Problem(501, 'Cannot sign in here', 'Open this page over https: signing in needs it.');
		const issuer = new URL(config.issuer);
		const as = await reach(async () => oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options())));
		/* The library compares URLs, and a token's iss is compared as text. */
		if (as.issuer !== config.issuer)
			throw new Problem(501, 'Cannot sign in', 'The identity provider calls itself by another name than configured.');
		if (!as.authorization_endpoint || !as.token_endpoint)
			throw new Problem(501, 'Cannot sign in', 'The identity provider does not say where people sign in.');
		const client = { client_id: config.client_id, [oauth.clockSkew]: skewS };
		const knowsDpop = as.dpop_signing_alg_values_supported?.includes(DPOP_ALG) && !config.accept_id_tokens;

		return new Provider(config, redirectUri, as, client,
			knowsDpop ? oauth.DPoP(client, await oauth.generateKeyPair(DPOP_ALG, { extractable: false })) : undefined);
	}

	/** Where to send a browser; prompt 'none' for a round without a person (OIDC Core 3.1.2.1). */
	async authorizationUrl({ state, nonce, verifier }: Pending, prompt?: 'none'): Promise<string> {
		const url = new URL(this.#as.authorization_endpoint!); /* looked at in discover() */
		const parameters = {
			client_id: this.#config.client_id,
			response_type: 'code',
			redirect_uri: this.#redirectUri,
			scope: this.#config.scopes,
			state,
			nonce,
			code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
			code_challenge_method: 'S256',
			...(this.#config.resource && { resource: this.#config.resource }),
			...(prompt && { prompt }),
		};
		if (url.protocol !== 'https:')
			throw new Problem(501, 'Cannot sign in', 'The identity provider names an address that is not safe to use.');
		for (const [name, value] of Object.entries(parameters))
			url.searchParams.set(name, value);
		return url.href;
	}

	/** The tokens for the query of the callback: state, iss (RFC 9207), the code, and the ID token with its nonce are checked. */
	exchange(answer: URLSearchParams, pending: Pending): Promise<TokenResponse> {
		return reach(async () => {
			const checked = oauth.validateAuthResponse(this.#as, this.#client, answer, pending.state);

			return this.#withNonce(async () => oauth.processAuthorizationCodeResponse(this.#as, this.#client,
				await oauth.authorizationCodeGrantRequest(this.#as, this.#client, oauth.None(), checked, this.#redirectUri,
					pending.verifier, this.#grantOptions()),
				{ expectedNonce: pending.nonce, requireIdToken: true }));
		});
	}

	/** The next tokens; a provider that rotates refresh tokens has used this one up. */
	refresh(refreshToken: string): Promise<TokenResponse> {
		return reach(() => this.#withNonce(async () => oauth.processRefreshTokenResponse(this.#as, this.#client,
			await oauth.refreshTokenGrantRequest(this.#as, this.#client, oauth.None(), refreshToken, this.#grantOptions()))));
	}

	/** Where to sign out (OIDC RP-Initiated Logout 2); null: this provider has no such place. */
	logoutUrl(idToken: string): string | null {
		const endpoint = this.#as.end_session_endpoint;

		if (!endpoint || new URL(endpoint).protocol !== 'https:')
			return null;
		const url = new URL(endpoint);
		if (idToken)
			url.searchParams.set('id_token_hint', idToken);
		url.searchParams.set('client_id', this.#config.client_id);
		url.searchParams.set('post_logout_redirect_uri', new URL('/', this.#redirectUri).href);
		url.searchParams.set('state', SIGNED_OUT_STATE);
		return url.href;
	}

	#grantOptions(): oauth.TokenEndpointRequestOptions {
		return {
			...options(),
			...(this.dpop && { DPoP: this.dpop }),
			...(this.#config.resource && { additionalParameters: { resource: this.#config.resource } }),
		};
	}

	/* The library keeps the nonce that came with the refusal. */
	async #withNonce<T>(request: () => Promise<T>): Promise<T> {
		for (let tries = 1; ; tries++) {
			try {
				return await request();
			} catch (error) {
				if (tries === NONCE_TRIES || !oauth.isDPoPNonceError(error))
					throw error;
			}
		}
	}
}

function options(): { signal: AbortSignal; [oauth.customFetch]: (url: string, init: object) => Promise<Response> } {
	return {
		signal: AbortSignal.timeout(TIMEOUT_MS),
		[oauth.customFetch]: (url, init) => fetch(url, { ...init, credentials: 'omit', cache: 'no-store', redirect: 'error' }),
	};
}

async function reach<T>(round: () => Promise<T>): Promise<T> {
	try {
		return await round();
	} catch (error) {
		throw explain(error);
	}
}

const NEEDS_PERSON = new Set([
	'login_required', 'interaction_required', 'consent_required', 'account_selection_required', /* OIDC Core 3.1.2.6 */
	'invalid_grant', /* RFC 6749 5.2 */
]);
const LATER = new Set(['server_error', 'temporarily_unavailable', 'slow_down']);

/** A failed round as what to do about it: a Problem that is worth another try, or a SignInError. */
export function explain(error: unknown): Problem | SignInError {
	if (error instanceof Problem || error instanceof SignInError)
		return error;
	const isAnswer = error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError;
	const code = isAnswer ? error.error : '';
	const status = error instanceof oauth.ResponseBodyError ? error.status : statusOf(error);

	if (NEEDS_PERSON.has(code))
		return new SignInError('Your sign-in has ended.', true);
	/* fetch() throws a TypeError, and a timeout is a DOMException: there was no answer. */
	if (LATER.has(code) || status === 429 || status >= 500 || error instanceof TypeError || error instanceof DOMException)
		return new Problem(0, 'Cannot reach the identity provider');
	if (code === 'access_denied')
		return new SignInError('The identity provider has refused the sign-in.', true);
	return new SignInError(`The identity provider gave an answer that cannot be used${code && ` (${code.slice(0, 60)})`}.`, true);
}

function statusOf(error: unknown): number {
	const { cause } = error instanceof oauth.OperationProcessingError ? error : { cause: null };

	return cause instanceof Response ? cause.status : 0;
}
