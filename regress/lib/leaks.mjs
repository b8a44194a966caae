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

	add(what, ...secrets) {
		for (const secret of secrets)
			if (typeof secret === "string" && secret.length >= LEAST)
				this.#known.set(keyOf(secret), what);
	}

	get size() {
		return this.#known.size;
	}

	// The finding names the kind of secret and the place, not the secret.
	assertNotIn(place, text) {
		for (const [key, what] of this.#known)
			assert.ok(!text.includes(key), `${what} found in ${place}`);
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
