// SPDX-License-Identifier: MIT
// fogctl node: the key file it makes, the line for nodes.yaml, and what it refuses.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { build } from "../lib/harness.mjs";

let folder;
before(() => { folder = fs.mkdtempSync(path.join(os.tmpdir(), "fog-node-key-")); });
after(() => fs.rmSync(folder, { recursive: true }));

const node = (...args) => spawnSync(path.join(build, "bin/fogctl"), ["node", ...args], { cwd: folder, encoding: "utf8" });
const inFolder = (name) => path.join(folder, name);

test("a key is made once, for its owner alone, and its line is that of the public half", () => {
	const made = node("keygen", "--out", "a.key");
	assert.equal(made.status, 0, made.stderr);
	assert.equal(fs.statSync(inFolder("a.key")).mode & 0o7777, 0o600);
	const pem = fs.readFileSync(inFolder("a.key"), "utf8");
	assert.match(pem, /^-----BEGIN PRIVATE KEY-----\n/);
	const key = crypto.createPrivateKey(pem);
	assert.equal(key.asymmetricKeyDetails.namedCurve, "prime256v1");
	const spki = crypto.createPublicKey(key).export({ type: "spki", format: "der" });
	assert.equal(spki.length, 91);
	assert.equal(made.stdout, `public_key: "${spki.toString("base64")}"\n`);
	assert.equal(node("show-key", "a.key").stdout, made.stdout);

	const again = node("keygen", "--out", "a.key");
	assert.equal(again.status, 2);
	assert.match(again.stderr, /a\.key: it is there already/);
	assert.equal(fs.readFileSync(inFolder("a.key"), "utf8"), pem);
});

test("a key is not written through a symlink", () => {
	fs.symlinkSync("elsewhere", inFolder("link.key"));
	assert.equal(node("keygen", "--out", "link.key").status, 2);
	assert.equal(fs.existsSync(inFolder("elsewhere")), false);
});

test("two keys differ", () => {
	assert.notEqual(node("keygen", "--out", "b.key").stdout, node("keygen", "--out", "c.key").stdout);
});

const others = {
	"of another curve": [crypto.generateKeyPairSync("ec", { namedCurve: "secp384r1" }).privateKey, {}, /its curve is not P-256/],
	"of another kind": [crypto.generateKeyPairSync("ed25519").privateKey, {}, /no key of an elliptic curve/],
	"with a password": [crypto.generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey,
		{ cipher: "aes-256-cbc", passphrase: "secret" }, /encrypted with a password/],
};

for (const [name, [key, options, message]] of Object.entries(others)) {
	test(`a key ${name} is named for what it is`, () => {
		fs.writeFileSync(inFolder("other.key"), key.export({ type: "pkcs8", format: "pem", ...options }));
		const shown = node("show-key", "other.key");
		assert.equal(shown.status, 2);
		assert.match(shown.stderr, message);
		assert.equal(shown.stdout, "");
	});
}

test("a public key, garbage, a directory and nothing are refused", () => {
	const publicKey = crypto.generateKeyPairSync("ec", { namedCurve: "prime256v1" }).publicKey;
	fs.writeFileSync(inFolder("public.key"), publicKey.export({ type: "spki", format: "pem" }));
	fs.writeFileSync(inFolder("garbage.key"), crypto.randomBytes(3000));
	for (const name of ["public.key", "garbage.key", ".", "nothing.key"])
		assert.equal(node("show-key", name).status, 2, name);
});

test("without rights the exit code is 4", { skip: process.getuid() === 0 ? "root has all rights" : false }, () => {
	fs.writeFileSync(inFolder("closed.key"), "", { mode: 0 });
	assert.equal(node("show-key", "closed.key").status, 4);
});

test("wrong words are refused, and help is given", () => {
	for (const words of [[], ["mint"], ["keygen", "more"], ["show-key"], ["show-key", "a", "b"], ["show-key", "--out", "x", "a.key"], ["--nonsense"]])
		assert.equal(node(...words).status, 2, words.join(" "));
	const help = node("--help");
	assert.equal(help.status, 0);
	assert.match(help.stdout, /keygen[^]*show-key FILE/);
});
