// SPDX-License-Identifier: MIT
// Other builds of the service, and upgrades to them. The service is started through a link that an upgrade turns, as an
// operator's would be: so this module is imported before harness.mjs, which looks at FOG_BUILD.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const repo = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const SOURCES = ["Makefile", "build-aux", "configure", "configure.ac", "config.mk.in", "common", "authd", "fetcher", "fogctl", "gatewayd", "placerd",
	"ptyd"];

export const ownBuild = fs.realpathSync(process.env.FOG_BUILD ?? path.join(repo, "build"));
const place = fs.mkdtempSync(path.join(os.tmpdir(), "fog-builds-"));
const current = path.join(place, "current");
process.on("exit", () => fs.rmSync(place, { recursive: true, force: true }));
fs.chmodSync(place, 0o755);
turnTo(ownBuild);
process.env.FOG_BUILD = current;

export function turnTo(build) {
	fs.rmSync(current, { force: true });
	fs.symlinkSync(build, current);
}

// The programs are other files with other contents, and do the same.
export function relabelledBuild() {
	const copy = path.join(place, "relabelled");
	for (const part of ["sbin", "libexec", "share"])
		fs.cpSync(path.join(ownBuild, part), path.join(copy, part), { recursive: true });
	for (const folder of ["sbin", "libexec/cloudshell-fog"])
		for (const name of fs.readdirSync(path.join(copy, folder)))
			fs.appendFileSync(path.join(copy, folder, name), "another build\n"); // behind what ELF describes
	return copy;
}

// The sources, changed, and their programs: `edits` is a list of [file, text that is there once, text in its place].
// Configured as the build under test is, but not optimized, which halves the time.
export function changedBuild(name, edits) {
	const top = path.join(place, name);
	const build = path.join(top, "build");
	const copy = (from, to) => fs.cpSync(from, path.join(top, to), { recursive: true, preserveTimestamps: true });
	for (const part of SOURCES)
		copy(path.join(repo, part), part);
	copy([path.join(ownBuild, "config.mk"), path.join(repo, "config.mk")].find((file) => fs.existsSync(file)), "config.mk");
	copy(path.join(ownBuild, "share"), "build/share");
	for (const [file, before, after] of edits) {
		const parts = fs.readFileSync(path.join(top, file), "utf8").split(before);
		if (parts.length !== 2)
			throw new Error(`${file} has ${parts.length - 1} times: ${before}`);
		fs.writeFileSync(path.join(top, file), parts.join(after));
	}
	const { MAKEFLAGS: _flags, MFLAGS: _mflags, MAKELEVEL: _level, ...env } = process.env; // not a part of the make above
	const made = spawnSync("make", ["-C", top, "B=build", "-j2", "CFLAGS=-O0", "HARDEN_CPPFLAGS=", "programs"],
		{ env, encoding: "utf8" });
	if (made.status !== 0)
		throw new Error(`make in ${name}: ${made.stdout}${made.stderr}`);
	return build;
}
