// SPDX-License-Identifier: MIT
// What an instance occupies: descriptors, threads and memory of each process, its sessions' processes and terminals, its
// files. All is counted below fogd, so that other instances on the machine do not show; but for terminalsInUse.
import fs from "node:fs";
import path from "node:path";
import { ROLES } from "./harness.mjs";
import { descendants, descriptors, isRoot, programName } from "./proc.mjs";

// Of the whole machine.
export const terminalsInUse = () => Number(fs.readFileSync("/proc/sys/kernel/pty/nr", "latin1"));

// Memory in KiB. anon is what the process has allocated and no file backs, all of it also while a child that has just been
// forked has the same pages; pss its share of all.
// Undefined: it is gone, or another user's.
export function memoryKiB(pid) {
	try {
		const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
		const field = (name) => Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(rollup)[1]);
		return { pss: field("Pss"), anon: field("Anonymous") };
	} catch {
		return undefined;
	}
}

// Share of all memory but the anonymous mappings of at least so many KiB: a holder's ring.
export function pssWithoutKiB(pid, size) {
	let sum = 0;
	let isLeftOut = false;
	for (const line of fs.readFileSync(`/proc/${pid}/smaps`, "latin1").split("\n")) {
		const [, name, value] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
		if (/^[0-9a-f]+-[0-9a-f]+ /.test(line))
			isLeftOut = !/\S+ +\S+ +\S+ +\S+ +\d+ +\S/.test(line); // a name: not anonymous
		else if (name === "Size")
			isLeftOut &&= Number(value) >= size;
		else if (name === "Pss" && !isLeftOut)
			sum += Number(value);
	}
	return sum;
}

// How many descriptors of each kind.
export function descriptorKinds(pid) {
	return countBy(descriptors(pid).map(({ kind }) => kind));
}

// Paths below dir, with sizes.
export function filesBelow(dir) {
	const found = new Map();
	for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
		const at = path.join(dir, entry.name);
		if (entry.isDirectory())
			for (const [name, size] of filesBelow(at))
				found.set(path.join(entry.name, name), size);
		else
			found.set(entry.name, fs.lstatSync(at).size);
	}
	return found;
}

// proc_pid_stat(5): the state stands behind the name in parentheses.
function nameOrZombie(pid) {
	try {
		const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
		return text[text.lastIndexOf(")") + 2] === "Z" ? "zombie" : programName(pid);
	} catch {
		return undefined;
	}
}

// The processes below fogd by name, and how many of each.
export function processNames(fog) {
	return countBy(descendants(fog.pid).map(nameOrZombie).filter(Boolean));
}

export const threadsOf = (pid) => fs.readdirSync(`/proc/${pid}/task`).length;

// By the processes that are there, as the log may have dropped a line.
export function daemons(fog) {
	const pids = { fogd: fog.pid };
	for (const pid of descendants(fog.pid)) {
		const name = nameOrZombie(pid);
		if (ROLES.includes(name))
			pids[name] = pid;
	}
	return pids;
}

// What can be compared exactly: it has to be the same again when all sessions have ended. Descriptors only root sees.
export function countsOf(fog) {
	const pids = daemons(fog);
	return {
		processes: processNames(fog),
		descriptors: isRoot && mapValues(pids, descriptorKinds),
		threads: mapValues(pids, threadsOf),
	};
}

export const memoryOf = (fog) => mapValues(daemons(fog), memoryKiB);

export function countBy(names) {
	const counts = {};
	for (const name of [...names].sort())
		counts[name] = (counts[name] ?? 0) + 1;
	return counts;
}

export function mapValues(object, fn) {
	return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, fn(value, key)]));
}
