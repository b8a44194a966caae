// SPDX-License-Identifier: MIT
// An instance whose sessions are sandboxes (RUNTIME=sandbox) in a base image of this machine, and what they leave on the
// host while they live and after.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { descriptorKinds, filesBelow } from "./footprint.mjs";
import { build, policyOf, suite } from "./harness.mjs";
import { until } from "./proc.mjs";
import { JsonTerminal } from "./ws.mjs";

export const USER = 1000;
export const IDS_PER_SLOT = 65536; // common/session.h
export const SLOTS = 4095;
export const GONE_MS = 1000; // what is left of a session has to be gone by then

const fogctl = path.join(build, "bin/fogctl");
const probe = path.join(build, "regress/sandbox_probe");
const NO_SANDBOX = 125;

const linesOf = (file) => {
	try {
		return fs.readFileSync(file, "latin1").split("\n").filter(Boolean);
	} catch {
		return [];
	}
};

function firstChildOf(pid) {
	const [line] = linesOf(`/proc/${pid}/task/${pid}/children`);
	assert.ok(line, `process ${pid} has a child`);
	return Number(line.split(" ")[0]);
}
const pids = () => fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).map(Number);

// An instance has ids of its own, so that what is counted here is of no other on this machine.
const RANGES = [0x2, 0x3, 0x4, 0x5, 0x6, 0xb, 0xc, 0xd, 0xe]; // 7 to a: what uidBase() gives with the holders' ids above it, and of other tests
const taken = new Set();
function takeBase() {
	for (const pid of pids())
		for (const [, base] of linesOf(`/proc/${pid}/environ`).join().matchAll(/SESSION_UID_BASE=(\d+)/g))
			taken.add(Number(base) >>> 28);
	// Two that look before either has started its instance: each lane of the tests begins at a place of its own.
	const first = Number(process.env.TEST_LANE ?? process.pid) * 2;
	const free = RANGES.map((_, i) => RANGES[(first + i) % RANGES.length]).find((nibble) => !taken.has(nibble));
	assert.ok(free, "all ranges of ids are in use");
	taken.add(free);
	return free * 0x1000_0000;
}

export function createImage(store, name = "base") {
	const text = execFileSync(fogctl, ["image", "create", name, "--store", store, "--json"], { encoding: "utf8" });
	return JSON.parse(text).digest;
}

export const rootfs = (store, digest) => path.join(store, digest.replace(":", "-"), "rootfs");

// An image on the file system of the temporary folder gets the ids of a session.
function takesIdmaps() {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-idmap-"));
	try {
		for (const name of ["image", "upper", "work"])
			fs.mkdirSync(path.join(dir, name));
		const { status: code, stderr } = spawnSync(probe, [path.join(dir, "image"), dir, "/bin/true"], { encoding: "utf8" });
		return !(code === NO_SANDBOX && /^sandbox_probe: image: Invalid argument/.test(stderr));
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
}

function reasonToSkip() {
	if (process.getuid() !== 0)
		return "needs root";
	if (spawnSync("unshare", ["-Urmpf", "true"]).status !== 0)
		return "no user namespaces here";
	if (!fs.existsSync("/dev/loop-control"))
		return "no loop devices here";
	if (!fs.existsSync("/usr/sbin/mke2fs"))
		return "needs e2fsprogs";
	if (spawnSync("sh", ["-c", "ulimit -H -c"], { encoding: "utf8" }).stdout.trim() === "0")
		return "the core limit is 0, which a session must not have";
	return takesIdmaps() ? false : "no idmapped mounts on the file system of the temporary folder";
}

export const skip = reasonToSkip();

// Whether sessions can have egress here: the rules and links can be made, and this network forwards.
export const hasEgress = process.getuid() === 0 && linesOf("/proc/sys/net/ipv4/ip_forward")[0] === "1" &&
	spawnSync("unshare", ["-n", "sh", "-c", "nft add table inet x && ip link add a1 type veth peer name b1"]).status === 0;

// profiles: [name, options of policyOf]; images and limits are added where they do not say. edit: changes the image.
export function sandboxSuite(name, { profiles = [["default"]], env = {}, edit } = {}, body) {
	const base = takeBase();
	const image = {};
	const options = {
		env: { RUNTIME: "sandbox", SESSION_UID_BASE: String(base), MAX_SESSIONS: "256", ...env },
		prepare(dir) {
			image.store = path.join(dir, "state/images");
			image.digest = createImage(image.store);
			image.ref = `base@${image.digest}`;
			edit?.(rootfs(image.store, image.digest));
			const rows = profiles.map(([profile, { more, ...rest } = {}]) =>
				[profile, { ...rest, more: { limits: "best-effort", images: `["${image.ref}"]`, ...more } }]);
			fs.writeFileSync(path.join(dir, "policy.yaml"), policyOf(rows));
		},
	};
	if (!skip)
		suite(name, options, (parts) => body({ ...parts, image, base, host: new SandboxHost(parts.fog, base) }));
}

const links = () => linesOf("/proc/self/net/dev").map((line) => /^ *(fog[0-9]+):/.exec(line)?.[1]).filter(Boolean);

// Groups of sessions below the unit that is delegated to them, where there is one (ptyd/cgroup.h).
const GROUPS = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map((top) => path.join(top, "system.slice/cloudshell-fog-sessions.service"));
export const hasGroups = GROUPS.some((dir) => fs.existsSync(dir));
const groups = () => GROUPS.filter((dir) => fs.existsSync(dir))
	.flatMap((dir) => fs.readdirSync(dir).filter((name) => /^s[0-9]+$/.test(name)).map((name) => path.join(dir, name)));

// What sessions have on this machine outside of themselves.
export class SandboxHost {
	#fog;
	#base;
	#linksBefore = links();
	#groupsBefore = groups();

	constructor(fog, base) {
		this.#fog = fog;
		this.#base = base;
	}

	// Of sessions and of their holders. A zombie is none: whoever waits for it has not come to it.
	processes() {
		const found = [];
		for (const pid of pids()) {
			const text = linesOf(`/proc/${pid}/status`).join("\n");
			const uid = Number(/^Uid:\s+(\d+)/m.exec(text)?.[1] ?? 0);
			if (uid >= this.#base && uid < this.#base + (SLOTS + 1) * IDS_PER_SLOT && !/^State:\s+[ZX]/m.test(text))
				found.push(`${pid} ${/^Name:\s+(.*)/m.exec(text)?.[1]} uid ${uid - this.#base}`);
		}
		return found;
	}

	loops() {
		return fs.readdirSync("/sys/block").filter((name) => /^loop[0-9]+$/.test(name))
			.map((name) => [`/dev/${name}`, linesOf(`/sys/block/${name}/loop/backing_file`)[0] ?? ""])
			.filter(([, file]) => file.startsWith(`${this.#fog.stateDir}/`));
	}

	// In any mount namespace.
	mounts() {
		const devices = new Set(this.loops().map(([device]) => device));
		const found = new Set();
		const seen = new Set();
		for (const pid of pids()) {
			let namespace;
			try {
				namespace = fs.readlinkSync(`/proc/${pid}/ns/mnt`);
			} catch {
				continue;
			}
			if (seen.has(namespace))
				continue;
			seen.add(namespace);
			for (const line of linesOf(`/proc/${pid}/mountinfo`)) {
				const source = line.split(" - ")[1]?.split(" ")[1];
				if (line.includes(this.#fog.stateDir) || devices.has(source))
					found.add(`${namespace} ${line}`);
			}
		}
		return [...found];
	}

	// Other sessions' links may come and go, so this tells of those that a test with egress has.
	links() {
		return links().filter((name) => !this.#linksBefore.includes(name));
	}

	// The chains and counters of sessions in nftables.
	rules() {
		if (!hasEgress)
			return [];
		const { stdout } = spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" });
		return [...stdout.matchAll(/^\s+(?:chain|counter) ([a-z]+[0-9]+(?:_deny)?) \{/gm)].map(([, name]) => name);
	}

	groups() {
		return groups().filter((dir) => !this.#groupsBefore.includes(dir));
	}

	// Of living sessions: what is kept of ended ones are their records.
	files() {
		const kept = /^(fogd\.lock|control\.sock|sessions\/[0-9a-f-]+\.rec|storage\/slots|(storage\/scratch|homes\/)[^/]*\.ext4)$/;
		const state = ["storage", "homes"].flatMap((dir) => [...filesBelow(path.join(this.#fog.stateDir, dir)).keys()]
			.map((name) => `${dir}/${name}`));
		return [...filesBelow(this.#fog.runDir).keys(), ...state].filter((name) => !kept.test(name));
	}

	left() {
		return {
			processes: this.processes(), loops: this.loops(), mounts: this.mounts(), links: this.links(), rules: this.rules(),
			groups: this.groups(), files: this.files(),
		};
	}

	// Gives the milliseconds it took. files: false to leave out the files.
	async waitClean(timeout = GONE_MS, { files = true } = {}) {
		const start = performance.now();
		const isEmpty = () => Object.entries(this.left()).every(([what, list]) => list.length === 0 || (what === "files" && !files));
		await until("nothing is left of the sessions", isEmpty, { timeout, interval: 10 }).catch(() => {
			const left = this.left();
			assert.deepEqual(left, { processes: [], loops: [], mounts: [], links: [], rules: [], groups: [], files: files ? [] : left.files });
		});
		return performance.now() - start;
	}

	async descriptors() {
		const found = {};
		for (const role of ["fogd", "spawner", "ptyd"])
			found[role] = descriptorKinds(role === "fogd" ? this.#fog.pid : (await this.#fog.roleProcess(role)).pid);
		return found;
	}

	// Whom the log names for a living session, and its shell: the child of session-init, which is the holder's.
	async pidsOf({ id }) {
		const { holder_pid: holder, slot } = await this.#fog.waitLog({ event: "session_started", sid: id });
		return { holder: Number(holder), shell: firstChildOf(firstChildOf(Number(holder))), slot: Number(slot) };
	}

	firstId(slot) {
		return this.#base + slot * IDS_PER_SLOT;
	}

	holderId(slot) {
		return this.#base + SLOTS * IDS_PER_SLOT + slot;
	}

	async open(session) {
		return JsonTerminal.open(this.#fog, session.attach);
	}
}

// A session with its terminal. says(script): what a script prints, without the typed line.
export async function enter(fog, host, options) {
	const session = await fog.create(options);
	const terminal = await host.open(session);
	terminal.resize(200, 50);
	return { ...session, terminal, says: (script, timeout) => says(terminal, script, timeout) };
}

let marks = 0;
export async function says(terminal, script, timeout) {
	const mark = `m${marks++}m`;
	const [, text] = await terminal.run(`echo ${mark}'<'; ${script}; echo '>'${mark}`,
		new RegExp(`${mark}<\\r\\n([^]*?)>${mark}\\r\\n`), timeout);
	return text.replaceAll("\r", "").trimEnd();
}
