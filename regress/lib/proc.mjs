// SPDX-License-Identifier: MIT
// What the tests need of /proc: who a process is, its privileges, its descriptors; and bounded waits.
import fs from "node:fs";
import path from "node:path";

export const isRoot = process.getuid() === 0;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Polls until probe gives something truthy, and returns that. A throw of probe is "not yet", but for a failed assertion.
export async function until(what, probe, { timeout = 10_000, interval = 20 } = {}) {
	const deadline = performance.now() + timeout;
	let last;
	for (;;) {
		try {
			const value = await probe();
			if (value)
				return value;
			last = undefined;
		} catch (error) {
			if (error.code === "ERR_ASSERTION")
				throw error;
			last = error;
		}
		if (performance.now() > deadline)
			throw new Error(`timeout after ${timeout} ms: ${what}`, { cause: last });
		await sleep(interval);
	}
}

export function withDeadline(promise, what, timeout = 10_000) {
	let timer;
	const expired = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`timeout after ${timeout} ms: ${what}`)), timeout);
	});
	return Promise.race([promise, expired]).finally(() => clearTimeout(timer));
}

function read(file) {
	try {
		return fs.readFileSync(file, "latin1");
	} catch {
		return undefined;
	}
}

function stat(pid) {
	const text = read(`/proc/${pid}/stat`);
	if (!text)
		return undefined;
	const [state, ppid, ...rest] = text.slice(text.lastIndexOf(")") + 2).split(" ");
	return { state, ppid: Number(ppid), startTime: rest[17] };
}

// A process and its start time: the number alone may name another process later.
export function identify(pid) {
	const found = stat(pid);
	return found && { pid, startTime: found.startTime };
}

export function isAlive({ pid, startTime }) {
	const found = stat(pid);
	return found !== undefined && found.state !== "Z" && found.startTime === startTime;
}

export const isZombie = (pid) => stat(pid)?.state === "Z";

export function signal(identity, name) {
	if (!isAlive(identity))
		return false;
	try {
		process.kill(identity.pid, name);
		return true;
	} catch (error) {
		if (error.code === "ESRCH")
			return false;
		throw error;
	}
}

export const waitGone = (identity, options) => until(`process ${identity.pid} is gone`, () => !isAlive(identity), options);

// The program's name. exe of a process that is not dumpable is hidden from an ordinary user; comm and argv are not.
export function programName(pid) {
	try {
		return path.basename(fs.readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ""));
	} catch {
		const argv0 = path.basename((read(`/proc/${pid}/cmdline`) ?? "").split("\0")[0]);
		return argv0.replace(/:$/, "") || (read(`/proc/${pid}/comm`) ?? "").trim();
	}
}

function allPids() {
	return fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).map(Number);
}

export function descendants(root) {
	const children = new Map();
	for (const pid of allPids()) {
		const ppid = stat(pid)?.ppid;
		if (ppid !== undefined)
			children.set(ppid, [...(children.get(ppid) ?? []), pid]);
	}
	const found = [];
	for (const queue = [root]; queue.length > 0;) {
		for (const pid of children.get(queue.shift()) ?? []) {
			found.push(pid);
			queue.push(pid);
		}
	}
	return found;
}

// /proc/PID/status with the lines that matter here decoded.
export function status(pid) {
	const text = read(`/proc/${pid}/status`);
	if (!text)
		throw new Error(`process ${pid} is gone`);
	const field = (name) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(text)?.[1] ?? "";
	const ids = (name) => field(name).split(/\s+/).filter(Boolean).map(Number);
	const mask = (name) => BigInt(`0x${field(name)}`);
	return {
		uid: ids("Uid"),
		gid: ids("Gid"),
		groups: ids("Groups"),
		seccomp: Number(field("Seccomp")),
		noNewPrivs: Number(field("NoNewPrivs")),
		caps: { inh: mask("CapInh"), prm: mask("CapPrm"), eff: mask("CapEff"), bnd: mask("CapBnd"), amb: mask("CapAmb") },
		rssKiB: Number(field("VmRSS").split(" ")[0]),
	};
}

const CAPABILITY_BITS = {
	CHOWN: 0, DAC_OVERRIDE: 1, FOWNER: 3, KILL: 5, SETGID: 6, SETUID: 7, SETPCAP: 8, NET_ADMIN: 12, SYS_CHROOT: 18,
	SYS_ADMIN: 21,
};

export function capMask(names) {
	return names.reduce((mask, name) => {
		if (!(name in CAPABILITY_BITS))
			throw new Error(`unknown capability ${name}`);
		return mask | (1n << BigInt(CAPABILITY_BITS[name]));
	}, 0n);
}

export const capHex = (mask) => mask.toString(16).padStart(16, "0");

// Each descriptor: number, target of the link, kind, open flags (octal in fdinfo).
export function descriptors(pid) {
	const found = [];
	for (const fd of fs.readdirSync(`/proc/${pid}/fd`).map(Number)) {
		try {
			const target = fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
			const info = read(`/proc/${pid}/fdinfo/${fd}`) ?? "";
			const flags = parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
			found.push({ fd, target, flags, kind: descriptorKind(target, pid, fd) });
		} catch (error) {
			if (error.code !== "ENOENT")
				throw error;
		}
	}
	return found;
}

function descriptorKind(target, pid, fd) {
	const special = /^(socket|pipe):\[/.exec(target) ?? /^anon_inode:\[?([a-z]+)\]?/.exec(target) ?? /^\/(memfd):/.exec(target);
	if (special)
		return special[1];
	if (/^pidfd:/.test(target))
		return "pidfd";
	if (target === "/dev/null")
		return "null";
	if (/^\/dev\/(pts\/)?ptmx$/.test(target))
		return "ptmx";
	if (/^\/dev\/u?random$/.test(target))
		return "random";
	const found = fs.statSync(`/proc/${pid}/fd/${fd}`);
	if (found.isDirectory())
		return "directory";
	return found.isFile() ? "file" : "other";
}

// Inodes of all IPv4 and IPv6 sockets in the network namespace of pid.
export function inetSocketInodes(pid) {
	const inodes = new Set();
	for (const table of ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"]) {
		for (const line of (read(`/proc/${pid}/net/${table}`) ?? "").split("\n").slice(1)) {
			const inode = line.trim().split(/\s+/)[9];
			if (inode)
				inodes.add(inode);
		}
	}
	return inodes;
}
