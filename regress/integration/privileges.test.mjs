// SPDX-License-Identifier: MIT
// Each process against its row of SECURITY-REQUIREMENTS section 3, read from /proc. Needs root for roots and descriptors;
// started by an ordinary user it checks what /proc shows to one.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { ROLES, suite } from "../lib/harness.mjs";
import { capHex, capMask, descendants, descriptors, inetSocketInodes, isRoot, programName, status } from "../lib/proc.mjs";
import { JsonTerminal } from "../lib/ws.mjs";

const hasFilter = process.env.FOG_SANITIZED !== "1"; // a sanitizer build has none
const needsRoot = isRoot ? false : "needs root";

// DESIGN 2.1.
const SPAWNER_CAPS = ["SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "CHOWN", "FOWNER", "DAC_OVERRIDE", "KILL", "NET_ADMIN", "SYS_CHROOT"];
const FOGD_CAPS = [...SPAWNER_CAPS, "SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "SYS_CHROOT"];
const UNPRIVILEGED = ["gatewayd", "authd", "placerd", "ptyd", "fetcher", "prober"];

// Kinds of descriptors a process may hold: log, control and event descriptors for all, and its own.
const EVENT_KINDS = ["socket", "pipe", "null", "eventpoll", "eventfd", "signalfd", "timerfd"];
const KINDS = {
	fogd: [...EVENT_KINDS, "pidfd", "memfd", "file", "directory"],
	gatewayd: EVENT_KINDS,
	authd: EVENT_KINDS,
	fetcher: EVENT_KINDS,
	prober: EVENT_KINDS,
	placerd: [...EVENT_KINDS, "file"],
	ptyd: [...EVENT_KINDS, "pidfd", "directory"],
	spawner: [...EVENT_KINDS, "pidfd", "memfd", "file", "directory"],
	holder: [...EVENT_KINDS, "ptmx", "pidfd"],
};

suite("privileges", {}, ({ fog, test }) => {
	let pids;
	let holder;
	let shell;

	const everyone = () => ({ ...pids, holder });

	test("all roles run, and a session with its holder and shell", async () => {
		const session = await fog.create();
		const terminal = await JsonTerminal.open(fog, session.attach);
		await terminal.run("echo $((6*7))", /\b42\r$/m);
		pids = { fogd: fog.pid };
		for (const role of ROLES)
			pids[role] = (await fog.roleProcess(role)).pid;
		assert.equal(fog.holders().length, 1);
		holder = fog.holders()[0].pid;
		const [, uid] = await terminal.run("id -u | sed 's/^/uid=/'", /\buid=(\d+)\r$/m);
		shell = { uid: Number(uid), terminal };
		for (const [role, pid] of Object.entries(pids))
			if (isRoot)
				assert.equal(programName(pid), role);
	});

	test("every process and thread: no new privileges, and a filter", () => {
		for (const [role, pid] of Object.entries(everyone())) {
			for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
				const found = status(`${pid}/task/${thread}`);
				assert.equal(found.noNewPrivs, 1, `${role}: NoNewPrivs`);
				assert.equal(found.caps.eff & ~status(pid).caps.eff, 0n, `${role}: CapEff of a thread`);
				if (hasFilter)
					assert.equal(found.seccomp, 2, `${role}: Seccomp`);
			}
		}
	});

	test("gatewayd has its workers beside the main thread, all others have one thread", () => {
		for (const [role, pid] of Object.entries(everyone()))
			assert.equal(fs.readdirSync(`/proc/${pid}/task`).length, role === "gatewayd" ? 1 + 2 : 1, role);
	}, { skip: process.env.FOG_SANITIZED === "1" ? "a sanitizer's runtime may have threads of its own" : false });

	test("no capabilities but those on the list of fogd and the spawner", () => {
		const mine = status(process.pid).caps.prm;
		const expected = { fogd: capMask(FOGD_CAPS) & mine, spawner: capMask(SPAWNER_CAPS) & mine };
		for (const [role, pid] of Object.entries(everyone())) {
			const { caps } = status(pid);
			const wanted = isRoot ? expected[role] ?? 0n : 0n;
			assert.equal(capHex(caps.eff), capHex(wanted), `${role}: CapEff`);
			assert.equal(capHex(caps.prm), capHex(wanted), `${role}: CapPrm`);
			assert.equal(capHex(caps.amb), capHex(0n), `${role}: CapAmb`);
			if (!isRoot)
				continue;
			assert.equal(capHex(caps.inh), capHex(0n), `${role}: CapInh`);
			// The bounding set alone gives nothing to a process with no_new_privs; it is cut before the change of ids.
			const bound = expected[role] ?? capMask(["SYS_CHROOT"]);
			assert.equal(capHex(caps.bnd & ~bound), capHex(0n), `${role}: CapBnd is ${capHex(caps.bnd)}`);
		}
	});

	test("every role has ids of its own, all four of each kind, and no groups", () => {
		const owners = new Map();
		for (const role of [...UNPRIVILEGED, "holder"]) {
			const { uid, gid, groups } = status(everyone()[role]);
			assert.equal(new Set(uid).size, 1, `${role}: Uid ${uid}`);
			assert.equal(new Set(gid).size, 1, `${role}: Gid ${gid}`);
			assert.notEqual(uid[0], 0, role);
			assert.notEqual(gid[0], 0, role);
			assert.deepEqual(groups.filter((id) => id !== gid[0]), [], `${role}: Groups`);
			assert.ok(!owners.has(uid[0]), `${role} has the uid of ${owners.get(uid[0])}`);
			owners.set(uid[0], role);
		}
		assert.deepEqual(status(pids.spawner).groups, []);
		assert.ok(!UNPRIVILEGED.includes(owners.get(shell.uid)), `the shell has the uid of ${owners.get(shell.uid)}`);
	}, { skip: needsRoot });

	test("the shell is not root", () => {
		if (isRoot)
			assert.notEqual(shell.uid, 0);
		else
			assert.equal(shell.uid, process.getuid());
	});

	test("each root directory is that of its row, and the process is in it", () => {
		const rootOf = (pid) => fs.statSync(`/proc/${pid}/root/.`);
		const same = (a, b) => a.dev === b.dev && a.ino === b.ino;
		for (const role of ["gatewayd", "authd", "fetcher", "prober"]) {
			assert.deepEqual(fs.readdirSync(`/proc/${pids[role]}/root/`), [], `${role}: root is empty`);
			const { uid, mode } = rootOf(pids[role]);
			assert.equal(uid, 0, `${role}: root belongs to root`);
			assert.equal(mode & 0o222 & ~0o200, 0, `${role}: root is not writable`);
		}
		assert.ok(same(rootOf(pids.ptyd), fs.statSync(path.join(fog.runDir, "sessions"))), "ptyd: root is RUN_DIR/sessions");
		const placerd = fs.readlinkSync(`/proc/${pids.placerd}/root`);
		assert.ok(placerd.startsWith(`${fs.realpathSync(fog.stateDir)}/`), `placerd: root ${placerd} is inside STATE_DIR`);
		for (const role of ["fogd", "spawner"])
			assert.ok(same(rootOf(pids[role]), fs.statSync("/")), `${role}: root of the host`);
		for (const role of UNPRIVILEGED) {
			const cwd = fs.statSync(`/proc/${pids[role]}/cwd/.`);
			assert.ok(same(cwd, rootOf(pids[role])), `${role}: working directory is the root`);
		}
	}, { skip: needsRoot });

	test("descriptors are of the kinds of each row", () => {
		for (const [role, pid] of Object.entries(everyone())) {
			const odd = descriptors(pid).filter(({ kind }) => !KINDS[role].includes(kind));
			assert.deepEqual(odd.map(({ fd, target }) => `${fd} ${target}`), [], `${role}: descriptors`);
		}
		assert.equal(descriptors(holder).filter(({ kind }) => kind === "ptmx").length, 1, "the holder has the PTY master");
	}, { skip: needsRoot });

	test("files: placerd appends to the audit log, has those of its own root and may read the policy, the spawner only executes", () => {
		const O_PATH = 0o10000000;
		const writable = ({ flags }) => (flags & (fs.constants.O_WRONLY | fs.constants.O_RDWR)) !== 0;
		for (const found of descriptors(pids.placerd).filter(({ kind }) => kind === "file")) {
			if (found.target.startsWith(`${fs.realpathSync(fog.stateDir)}/placerd/`)) {
				assert.equal(fs.statSync(found.target).uid, status(pids.placerd).uid[0], `${found.target} is placerd's own`);
			} else if (writable(found)) {
				assert.ok(found.target.startsWith(fs.realpathSync(fog.stateDir)), found.target);
				assert.ok(found.flags & fs.constants.O_APPEND, `${found.target} is not append-only`);
				assert.equal(fs.statSync(found.target).uid, 0, `${found.target} belongs to root`);
			} else {
				assert.equal(found.target, fs.realpathSync(fog.policyFile));
			}
		}
		for (const found of descriptors(pids.spawner).filter(({ kind }) => kind === "file"))
			assert.ok(found.flags & O_PATH, `spawner: ${found.target} is more than O_PATH`);
	}, { skip: needsRoot });

	test("the network reaches gatewayd alone", () => {
		const inet = inetSocketInodes(fog.pid);
		for (const [role, pid] of Object.entries(everyone())) {
			const own = descriptors(pid).filter(({ kind, target }) => kind === "socket" && inet.has(/\d+/.exec(target)[0]));
			if (role === "gatewayd")
				assert.ok(own.length >= 2, "gatewayd has the listener and a connection");
			else
				assert.equal(own.length, role === "fogd" ? 1 : 0, `${role}: ${own.length} network sockets`);
		}
	}, { skip: needsRoot });

	test("an ordinary user cannot look into a role: not dumpable", () => {
		for (const role of [...UNPRIVILEGED, "holder"]) {
			const pid = everyone()[role];
			if (isRoot)
				assert.equal(fs.statSync(`/proc/${pid}/environ`).uid, 0, `${role}: /proc files belong to root`);
			else
				assert.throws(() => fs.readFileSync(`/proc/${pid}/environ`), { code: "EACCES" }, role);
		}
	});

	test("the environment of every role is empty of configuration", () => {
		for (const role of [...ROLES, "holder"]) {
			const text = fs.readFileSync(`/proc/${everyone()[role]}/environ`, "latin1");
			assert.doesNotMatch(text, /SIGNING_KEY|POLICY_CONFIG|LISTEN_ADDR/, role);
		}
	}, { skip: needsRoot });

	test("the control socket is for root alone when no admin group is named", () => {
		const found = fs.statSync(path.join(fog.runDir, "control.sock"));
		assert.ok(found.isSocket());
		assert.equal(found.mode & 0o777, 0o600);
		assert.equal(found.uid, isRoot ? 0 : process.getuid());
	});

	test("the folder of the holders' sockets is closed to others", () => {
		const { mode } = fs.statSync(path.join(fog.runDir, "sessions"));
		assert.equal(mode & 0o777, 0o700);
	});

	test("the shell: no capabilities, no new privileges, no descriptor but the terminal", async () => {
		const lines = await shell.terminal.run("grep -E '^(CapEff|CapPrm|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status; echo en''d", /end\r\n/)
			.then(() => shell.terminal.screen.text);
		for (const name of ["CapEff", "CapPrm", "CapAmb"])
			assert.match(lines, new RegExp(`${name}:\\t0{16}\\r`));
		assert.match(lines, /NoNewPrivs:\t1\r/);
		if (hasFilter)
			assert.match(lines, /Seccomp:\t2\r/);
		const pid = descendants(holder).find((child) => /^(da|ba)?sh$/.test(programName(child)));
		assert.ok(pid, "the shell is no descendant of the holder");
		const odd = descriptors(pid).filter(({ target }) => !/^(\/dev)?(\/pts)?\/(\d+|tty)$/.test(target));
		assert.deepEqual(odd.map(({ fd, target }) => `${fd} ${target}`), []);
	});
});
