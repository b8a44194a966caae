/* SPDX-License-Identifier: MIT */
/* The tokens, in memory and nowhere else (S35): private members that no other module can read. What needs one is done here. */
import * as oauth from 'oauth4webapi';
import type { Provider, TokenResponse } from './provider.ts';

const NAME_MAX_CHARS = 100;

export interface ApiRequest {
	method: string;
	url: URL;
	headers: Record<string, string>;
	body: string | null;
	signal: AbortSignal;
}

export class TokenStore {
	#access = '';
	#refresh = '';
	#id = '';
	#dpop: oauth.DPoPHandle | undefined;
	#subject = '';
	#user = '';
	#expiresAt: number | null = null;

	/** Text to show, as the ID token says it; '' when nobody is signed in or nothing is known. */
	get user(): string {
		return this.#user;
	}

	/** sub of the ID token; '' in development mode. */
	get subject(): string {
		return this.#subject;
	}

	/** When the token that the API sees ends, ms since 1970; null: nobody said. */
	get expiresAt(): number | null {
		return this.#expiresAt;
	}

	get isBound(): boolean {
		return this.#access !== '' && this.#dpop !== undefined;
	}

	get isEmpty(): boolean {
		return !this.#access;
	}

	/** Takes what the token endpoint gave. False: it holds nothing that the API would take. */
	take(response: TokenResponse, useIdToken: boolean, dpop: oauth.DPoPHandle | undefined, now: number): boolean {
		const claims = oauth.getValidatedIdTokenClaims(response);
		const isBearer = useIdToken || response.token_type !== 'dpop';

		if (useIdToken && !response.id_token)
			return false;
		this.#access = useIdToken ? response.id_token! : response.access_token;
		this.#refresh = response.refresh_token ?? this.#refresh;
		/* For the address of the sign-out, where no token may be that the API takes. */
		this.#id = useIdToken ? '' : response.id_token ?? this.#id;
		this.#dpop = isBearer ? undefined : dpop;
		if (claims) {
			this.#subject = claims.sub;
			this.#user = nameIn(claims);
		}
		if (useIdToken)
			this.#expiresAt = claims!.exp * 1000;
		else
			this.#expiresAt = response.expires_in === undefined ? null : now + response.expires_in * 1000;
		return true;
	}

	/** The development mode's: no secret, and without an end. */
	takeDev(token: string): void {
		this.clear();
		this.#access = token;
	}

	clear(): void {
		this.#access = this.#refresh = this.#id = this.#subject = this.#user = '';
		this.#dpop = undefined;
		this.#expiresAt = null;
	}

	/** The next tokens by the refresh token; null: there is none, or the provider takes it no more. */
	async refreshed(provider: Provider): Promise<TokenResponse | null> {
		const token = this.#refresh;

		if (!token)
			return null;
		try {
			return await provider.refresh(token);
		} catch (error) {
			if ((error as { needsPerson?: boolean }).needsPerson && this.#refresh === token)
				this.#refresh = '';
			throw error;
		}
	}

	get canRefresh(): boolean {
		return this.#refresh !== '';
	}

	logoutUrl(provider: Provider): string | null {
		return provider.logoutUrl(this.#id);
	}

	/** One request to the API with the token. A proof for which a new nonce was asked is made once more (RFC 9449 9). */
	async send(request: ApiRequest): Promise<Response> {
		const answer = await this.#sendOnce(request);

		return answer.wantsNonce ? (await this.#sendOnce(request)).response : answer.response;
	}

	async #sendOnce({ method, url, headers, body, signal }: ApiRequest): Promise<{ response: Response; wantsNonce: boolean }> {
		try {
			const response = await oauth.protectedResourceRequest(this.#access, method, url, new Headers(headers), body, {
				signal,
				[oauth.allowInsecureRequests]: url.protocol === 'http:', /* our own service, on loopback */
				[oauth.customFetch]: (to: string, init: object) =>
					fetch(to, { ...init, credentials: 'omit', cache: 'no-store', redirect: 'error' }),
				...(this.#dpop && { DPoP: this.#dpop }),
			});
			return { response, wantsNonce: false };
		} catch (error) {
			if (!(error instanceof oauth.WWWAuthenticateChallengeError))
				throw error;
			return { response: error.response, wantsNonce: this.#dpop !== undefined && oauth.isDPoPNonceError(error) };
		}
	}
}

/** Who that is, in words of the ID token (OIDC Core 5.1): one line of plain text. */
export function nameIn(claims: Record<string, unknown>): string {
	const name = [claims.preferred_username, claims.name, claims.sub].find((claim) => typeof claim === 'string' && claim.trim());

	return [...String(name ?? '').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')].slice(0, NAME_MAX_CHARS).join('').trim();
}
