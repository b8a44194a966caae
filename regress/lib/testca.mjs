// SPDX-License-Identifier: MIT
// Servers of a test on loopback: a certificate authority that lives as long as the test file, and listening.
import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export const listen = (server, port, host) => new Promise((resolve, reject) => {
	server.once("error", reject).listen(port, host, () => {
		server.off("error", reject);
		resolve(server.address().port);
	});
});

const altName = (name) => `${net.isIP(name) ? "IP" : "DNS"}:${name}`;

export class TestCa {
	#dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-ca-"));
	#issued = 0;

	constructor() {
		this.file = this.#at("ca.crt");
		this.#openssl("req", "-x509", ...NEW_KEY, "-keyout", this.#at("ca.key"), "-out", this.file, "-days", "2",
			"-subj", "/CN=fog test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign");
		this.pem = fs.readFileSync(this.file, "utf8");
		process.once("exit", () => this.remove());
	}

	#at(name) {
		return path.join(this.#dir, name);
	}

	#openssl(...args) {
		execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
	}

	// A certificate and its key, as PEM. Negative days: it ended before now. spki: what Chromium's
	// --ignore-certificate-errors-spki-list takes.
	issue({ names = ["127.0.0.1", "localhost"], days = 2 } = {}) {
		const base = this.#at(`${++this.#issued}`);
		this.#openssl("req", ...NEW_KEY, "-keyout", `${base}.key`, "-out", `${base}.csr`, "-subj", "/CN=fog test server",
			"-addext", `subjectAltName=${names.map(altName)}`);
		this.#openssl("x509", "-req", "-in", `${base}.csr`, "-CA", this.file, "-CAkey", this.#at("ca.key"), "-copy_extensions", "copy",
			"-days", `${days}`, "-out", `${base}.crt`);
		const [key, cert] = ["key", "crt"].map((ending) => fs.readFileSync(`${base}.${ending}`, "utf8"));
		const spki = new crypto.X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
		return { key, cert, spki: crypto.createHash("sha256").update(spki).digest("base64") };
	}

	remove() {
		fs.rmSync(this.#dir, { recursive: true, force: true });
	}
}
