// SPDX-License-Identifier: MIT
// A node's private key in the hands of a test: asks and statuses as a node would make them, or as no node would.
import crypto from "node:crypto";

const b64 = (value) => Buffer.from(typeof value === "string" || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString("base64url");
const nowS = () => Math.floor(Date.now() / 1000);

export class NodeKey {
	#key;

	constructor(pem) {
		this.#key = pem ? crypto.createPrivateKey(pem) : crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
	}

	// As `fogctl node keygen` prints it.
	get public() {
		return crypto.createPublicKey(this.#key).export({ type: "spki", format: "der" }).toString("base64");
	}

	get pem() {
		return this.#key.export({ type: "pkcs8", format: "pem" });
	}

	#sign(typ, claims) {
		const text = `${b64({ alg: "ES256", typ })}.${b64(claims)}`;
		return `${text}.${b64(crypto.sign("sha256", Buffer.from(text), { key: this.#key, dsaEncoding: "ieee-p1363" }))}`;
	}

	// iat and exp: seconds from now.
	#claims({ iat = 0, exp = 30, jti = crypto.randomBytes(16).toString("hex"), ...claims }) {
		return { iss: "nobody", aud: "nobody", ...claims, iat: nowS() + iat, exp: nowS() + exp, jti };
	}

	ask(claims) {
		return this.#sign("fog-node-ask+jwt", this.#claims(claims));
	}

	// status: an object, or a text that need be no JSON.
	status(claims, status) {
		const all = this.#claims(claims);
		const text = typeof status === "string" ? status : JSON.stringify(status);
		return this.#sign("fog-node-status+jwt", `${JSON.stringify(all).slice(0, -1)},"status":${text}}`);
	}
}
