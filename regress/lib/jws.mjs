// SPDX-License-Identifier: MIT
// Signing by hand (RFC 7515, RFC 7518, RFC 8037, RFC 9449): header and payload go out as they are given, however wrong.
import crypto from "node:crypto";

const { constants } = crypto;
const ecdsa = (hash) => (data, key) => crypto.sign(hash, data, { key, dsaEncoding: "ieee-p1363" });
const rsa = (hash) => (data, key) => crypto.sign(hash, data, key);
const pss = (hash) => (data, key) => crypto.sign(hash, data,
	{ key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
const hmac = (hash) => (data, key) => crypto.createHmac(hash, key).update(data).digest();

export const SIGNERS = {
	RS256: rsa("sha256"), RS384: rsa("sha384"), RS512: rsa("sha512"),
	PS256: pss("sha256"), PS384: pss("sha384"), PS512: pss("sha512"),
	ES256: ecdsa("sha256"), ES384: ecdsa("sha384"), ES512: ecdsa("sha512"),
	EdDSA: (data, key) => crypto.sign(null, data, key),
	HS256: hmac("sha256"), HS384: hmac("sha384"), HS512: hmac("sha512"),
	none: () => Buffer.alloc(0),
};

const encode = (part) => Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");

// header, payload: an object, or the JSON text itself. alg: how it is signed, whatever the header says; a name or a function.
export function signJws(header, payload, key, alg = header.alg) {
	const signed = `${encode(header)}.${encode(payload)}`;
	const sign = SIGNERS[alg] ?? alg;
	return `${signed}.${sign(Buffer.from(signed), key).toString("base64url")}`;
}

// Header and payload of a token, unverified.
export const peekJws = (token) => token.split(".").slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));

const KINDS = {
	RSA: ["rsa", { modulusLength: 2048 }],
	"P-256": ["ec", { namedCurve: "P-256" }],
	"P-384": ["ec", { namedCurve: "P-384" }],
	"P-521": ["ec", { namedCurve: "P-521" }],
	Ed25519: ["ed25519", {}],
};

export const kindOf = (alg) => ({ ES256: "P-256", ES384: "P-384", ES512: "P-521", EdDSA: "Ed25519" })[alg] ?? "RSA";

// A key of the kind an algorithm wants, with a name of its own: { kid, privateKey, jwk }, jwk being the public half.
export function makeKey(kind, options = {}) {
	const [type, wanted] = KINDS[kind];
	const { privateKey, publicKey } = crypto.generateKeyPairSync(type, { ...wanted, ...options });
	const kid = crypto.randomBytes(8).toString("hex");
	return { kid, kind, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, use: "sig" } };
}

// The holder of a DPoP key (RFC 9449).
export class DpopKey {
	#key = makeKey("P-256");

	constructor() {
		const { crv, kty, x, y } = this.#key.jwk;
		this.jwk = { crv, kty, x, y };
		// RFC 7638: members in this order, nothing else.
		this.jkt = crypto.createHash("sha256").update(JSON.stringify(this.jwk)).digest("base64url");
	}

	// token: the access token that goes with it. claims, header: what differs from a good proof.
	proof(method, url, { token, nonce, claims, header } = {}) {
		const ath = token && crypto.createHash("sha256").update(token).digest("base64url");
		const payload = { jti: crypto.randomUUID(), htm: method, htu: url, iat: Math.floor(Date.now() / 1000), ath, nonce, ...claims };
		return signJws({ typ: "dpop+jwt", alg: "ES256", jwk: this.jwk, ...header }, payload, this.#key.privateKey, "ES256");
	}
}
