// SPDX-License-Identifier: MIT
// Secrets that a test has used, and where none of them may ever be: logs, audit, files of the service, command lines and
// environments of its processes, metrics.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

const LEAST = 16; // shorter ones are names of the development sign-in

// Of a signed token the last part is as good as all of it to know it again, also where it was cut.
const keyOf = (secret) => (/^[\w-]+\.[\w-]+\.[\w-]{16,}$/.test(secret) ? secret.split(".")[2].slice(0, 32) : secret);

export class Secrets {
	#known = new Map(); // what to look for: what it is
	#begins = new Map(); // its first LEAST characters: all that begin so

	add(what, ...secrets) {
		for (const secret of secrets)
			if (typeof secret === "string" && secret.length >= LEAST)
				this.#learn(keyOf(secret), what);
	}

	#learn(key, what) {
		const start = key.slice(0, LEAST);
		if (!this.#known.has(key))
			this.#begins.set(start, [...(this.#begins.get(start) ?? []), key]);
		this.#known.set(key, what);
	}

	get size() {
		return this.#known.size;
	}

	// The finding names the kind of secret and the place, not the secret. In one pass, however many there are.
	assertNotIn(place, text) {
		for (let at = 0; at + LEAST <= text.length; at++)
			for (const key of this.#begins.get(text.slice(at, at + LEAST)) ?? [])
				assert.ok(!text.startsWith(key, at), `${this.#known.get(key)} found in ${place}`);
	}

	assertNotInFiles(dir) {
		const files = fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
		for (const { parentPath, path: folder, name } of files)
			this.assertNotIn(name, fs.readFileSync(path.join(parentPath ?? folder, name), "latin1"));
	}

	// Of a process that may have ended meanwhile.
	assertNotInProcess(pid, name) {
		for (const file of ["cmdline", "environ"]) {
			let text = "";
			try {
				text = fs.readFileSync(`/proc/${pid}/${file}`, "latin1");
			} catch (error) {
				if (!["ENOENT", "ESRCH", "EACCES"].includes(error.code))
					throw error;
			}
			this.assertNotIn(`${file} of ${name}`, text);
		}
	}
}
