// SPDX-License-Identifier: MIT
// What a session can do to those around it, and what it leaves behind: processes, the terminal, /proc, descriptors,
// limits. What happens to a session where the machine runs out of something, and in a storm of kill -9.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ROLES, exchange, startInstance, suite } from "../lib/harness.mjs";
import { descendants, identify, isAlive, isRoot, isZombie, programName, signal, sleep, status, until } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const needsRoot = isRoot ? false : "needs root";
const inside = process.env.FOG_SESSION_TEST; // set where this file runs itself in a mount namespace

async function openShell(fog) {
	const known = new Set(fog.holders().map(({ pid }) => pid));
	const session = await fog.create();
	const terminal = await BinaryTerminal.open(fog, session.attach);
	await terminal.run("stty -echo -onlcr; PS1= PS2=; echo rea''dy", /ready\n/);
	return { session, terminal, holder: fog.holders().find(({ pid }) => !known.has(pid)) };
}

const hasProcesses = (uid) => fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).some((pid) => {
	try {
		return status(pid).uid.includes(uid);
	} catch {
		return false;
	}
});

let marks = 0;

// What a command prints, its errors included.
async function ask(terminal, command) {
	const mark = `mark${++marks}`;
	terminal.type(`{ ${command}\n} 2>&1; echo ${mark}''end\n`);
	return (await terminal.waitFor(new RegExp(`([\\s\\S]*?)${mark}end\\n`)))[1];
}

async function end(fog, { session, terminal, holder }) {
	await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
	await terminal.waitExit();
	// The kernel closes its terminal only when the thousands of processes that have it are dead.
	await until("the holder has gone", () => !isAlive(holder), { timeout: 40_000 });
}

const create = (fog) => fog.api("POST", "/v1/sessions", { token: fog.user(), body: { profile: "default", ttl_seconds: 600 } });

async function refused(fog, code) {
	const answer = await create(fog);
	assert.equal(answer.status, 503, answer.body);
	assert.match(answer.json.code, code, answer.body);
	assert.ok(answer.headers["retry-after"]);
	return answer.json;
}

// The process can open so many descriptors more, until the function has returned.
async function withFewDescriptors(pid, free, body) {
	const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, "latin1"));
	const open = new Set(fs.readdirSync(`/proc/${pid}/fd`).map(Number));
	const { uid: [uid], gid: [gid] } = status(pid);
	const set = (limit) => execFileSync("prlimit", [`--pid=${pid}`, `--nofile=${limit}:${hard}`], { uid, gid, cwd: "/" });
	let limit = 0;
	for (let left = free; left > 0 || open.has(limit); limit++)
		left -= open.has(limit) ? 0 : 1;
	set(limit);
	try {
		return await body();
	} finally {
		if (fs.existsSync(`/proc/${pid}`))
			set(soft);
	}
}

// Ids of its own: limits of processes count by id, and a fork bomb is one of these sessions.
if (!inside) suite("session", { env: { SESSION_UID_BASE: String(0xa000_0000) } }, ({ fog, test }) => {
	test("exit leaves no process behind, whatever it does to stay", async () => {
		const shell = await openShell(fog);
		shell.terminal.type(`setsid sleep 1000 & nohup sleep 1000 >/dev/null 2>&1 &
			(setsid sh -c 'trap "" HUP TERM INT; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &)
			(sh -c 'sleep 1000 & kill -STOP $!; wait' &) ; sleep 0.2; echo rea''dy\n`);
		await shell.terminal.waitFor(/ready\n/);
		const family = descendants(shell.holder.pid).map(identify).filter(Boolean);
		assert.ok(family.length >= 6, `${family.length} processes`);
		shell.terminal.type("exit 4\n");
		assert.equal((await shell.terminal.waitExit()).code, 4);
		await until("all have gone", () => !family.some(isAlive));
	});

	test("a shell that is stopped, and one that signals all it can reach, can be ended", async () => {
		const stopped = await openShell(fog);
		stopped.terminal.type("kill -STOP $$\n");
		await sleep(100);
		await end(fog, stopped);
		if (!isRoot)
			return; // without a pid namespace it reaches what its user has
		const raging = await openShell(fog);
		const before = fog.holders();
		assert.equal(await ask(raging.terminal, "sleep 100 & kill -9 -1; echo alive").then((text) => text.trim().split("\n").at(-1)), "alive");
		assert.ok(before.every(isAlive));
		await end(fog, raging);
	});

	test("all that was written before the end arrives, also when nobody was there to read", async () => {
		const shell = await openShell(fog);
		shell.terminal.type("stty -opost; head -c 3000000 /dev/zero | tr '\\0' a; printf LAST; exit 3\n");
		assert.equal((await shell.terminal.waitExit()).code, 3);
		assert.ok(shell.terminal.screen.text.endsWith("aaaLAST"), shell.terminal.screen.text.slice(-80));
		assert.ok(shell.terminal.outOffset > 3_000_000);
	});

	test("a shell may close its terminal and open it again", async () => {
		const shell = await openShell(fog);
		await shell.terminal.run("T=$(tty); exec </dev/null >/dev/null 2>&1; sleep 0.3; exec <$T >$T 2>&1; echo ba''ck", /back\n/);
		shell.terminal.type("exec </dev/null >/dev/null 2>&1; sleep 0.2; exit 7\n");
		assert.equal((await shell.terminal.waitExit()).code, 7);
	});

	test("descriptors, environment, signals, umask and limits of the shell", async () => {
		const { terminal } = await openShell(fog);
		assert.equal(await ask(terminal, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
		assert.equal(await ask(terminal, "readlink /proc/self/fd/0 /proc/self/fd/2 | sort -u | wc -l"), "1\n");
		const names = (await ask(terminal, "env | cut -d= -f1")).trim().split("\n");
		for (const name of names)
			assert.doesNotMatch(name, /KEY|TOKEN|POLICY|LISTEN|RUN_DIR|STATE_DIR|STUB/);
		assert.ok(names.includes("FOG_SESSION_ID"));
		assert.equal(await ask(terminal, "umask"), "0022\n");
		const limits = await ask(terminal, "cat /proc/self/limits");
		assert.match(limits, /^Max core file size +1 +1 /m);
		assert.match(limits, /^Max open files +1024 /m);
		assert.ok(Number(/^Max processes +(\d+)/m.exec(limits)[1]) <= 4096);
		// Signals 32 and 33 are libc's own: it gives no program their disposition, which may be inherited as it is.
		const masks = await ask(terminal, "grep -E '^Sig(Blk|Ign)' /proc/self/status");
		const [blocked, ignored] = [...masks.matchAll(/\t([0-9a-f]{16})$/gm)].map(([, mask]) => BigInt(`0x${mask}`));
		assert.deepEqual([blocked, ignored & ~(3n << 31n)], [0n, 0n], masks);
	});

	test("nobody's signals, memory, descriptors or sockets are in reach, and no terminal can be typed into", async () => {
		const { terminal, holder } = await openShell(fog);
		const other = await openShell(fog);
		const [init, shell] = descendants(other.holder.pid);
		const others = { fogd: fog.pid, ...fog.rolePids(), holder: holder.pid, holder2: other.holder.pid, init, shell };
		for (const [name, pid] of Object.entries(others)) {
			const tried = await ask(terminal, `kill -9 ${pid} && echo HIT; ls /proc/${pid}/fd/0 && echo HIT; head -c1 /proc/${pid}/mem && echo HIT; ls /proc/${pid}/map_files/ && echo HIT`);
			assert.doesNotMatch(tried, /HIT/, `${name}: ${tried}`);
		}
		const files = [fog.runDir, path.join(fog.runDir, "sessions"), fog.stateDir, path.join(fog.stateDir, "audit")];
		fs.chmodSync(fog.dir, 0o755);
		for (const file of files.filter((_, i) => i % 2))
			assert.doesNotMatch(await ask(terminal, `ls ${file}/ && echo HIT`), /HIT/, file);
		assert.ok(fog.holders().some(({ pid }) => pid === other.holder.pid));
		const theirs = await ask(other.terminal, "tty");
		assert.doesNotMatch(await ask(terminal, `echo x >${theirs.trim()} && echo HIT`), /HIT/);
		await end(fog, other);
	}, { skip: needsRoot });

	test("a fork bomb stays in its session", async () => {
		const bomb = await openShell(fog);
		const other = await openShell(fog);
		const bombUid = Number(await ask(bomb.terminal, "id -u"));
		bomb.terminal.type("b() { b | b & }; b\n");
		await sleep(700);
		assert.ok(descendants(bomb.holder.pid).length <= 4096 + 2);
		await other.terminal.run("echo $((6*7))", /^42$/m);
		await end(fog, bomb);
		await end(fog, other);
		// Thousands take their time to die, and until then count against whoever has the same place next.
		await until("all of it is gone", () => !hasProcesses(bombUid), { timeout: 60_000, interval: 200 });
	}, { timeout: 160_000, skip: needsRoot });

	// With none the plan cannot be written, with one the holder is made and cannot be connected to.
	for (const [role, free] of [["ptyd", 0], ["ptyd", 1], ["spawner", 1]]) {
		test(`${role} with ${free} free descriptors: 503, no holder that nobody knows, and new sessions afterwards`, async () => {
			const shell = await openShell(fog);
			const before = fog.holders().length;
			const { pid } = await fog.roleProcess(role);
			await withFewDescriptors(pid, free, async () => {
				for (let i = 0; i < 3; i++)
					await refused(fog, role === "ptyd" ? /^spawn_failed$/ : /^(no_pty|spawn_failed)$/);
				await shell.terminal.run("echo $((6*7))", /^42$/m);
			});
			await until("nothing is left of them", () => fog.holders().length === before);
			assert.equal((await fog.roleProcess(role)).pid, pid);
			await end(fog, shell);
			await end(fog, await openShell(fog));
		}, { skip: needsRoot });
	}

	test("fogd without a free descriptor: a dead role comes back when there are some again", async () => {
		const mark = fog.logMark();
		await withFewDescriptors(fog.pid, 0, async () => {
			execFileSync("prlimit", [`--pid=${fog.pid}`, "--nofile=3:"]);
			await fog.kill("authd");
			await fog.waitLog({ event: "role_not_started", role: "authd" }, { mark });
			await sleep(300);
		});
		await fog.waitReady();
		assert.ok(isAlive(fog.fogd));
		await end(fog, await openShell(fog));
	}, { skip: needsRoot });

	test("a stuck spawner is replaced, and makes nothing later", async () => {
		const before = fog.holders().length;
		const stuck = await fog.roleProcess("spawner");
		assert.ok(signal(stuck, "SIGSTOP"));
		const answer = await create(fog);
		assert.equal(answer.status, 503);
		await fog.roleProcess("spawner", { not: stuck });
		assert.ok(!isAlive(stuck));
		await fog.waitReady();
		await until("a new session", async () => (await create(fog)).status === 201);
		assert.equal(fog.holders().length, before + 1);
	}, { timeout: 40_000 });

	test("a reload that a role does not answer ends, and does not keep the next one out", async () => {
		const stuck = await fog.roleProcess("placerd");
		assert.ok(signal(stuck, "SIGSTOP"));
		const mark = fog.logMark();
		assert.ok(signal(fog.fogd, "SIGHUP"));
		await fog.waitLog({ event: "reload_refused" }, { mark, timeout: 15_000 });
		await fog.roleProcess("placerd", { not: stuck });
		await fog.waitReady();
		assert.equal((await fog.reload()).event, "reloaded");
	}, { timeout: 40_000 });

	// The record of an ended session names the slot that a living one has now.
	test("sessions have ids of their own, also those made after ptyd has died", async () => {
		await end(fog, await openShell(fog));
		const shells = [await openShell(fog)];
		const victim = await fog.kill("ptyd");
		await fog.roleProcess("ptyd", { not: victim });
		await fog.waitReady();
		shells.push(await openShell(fog), await openShell(fog));
		const ids = await Promise.all(shells.map(({ terminal }) => ask(terminal, "id -u")));
		assert.equal(new Set(ids).size, shells.length, ids.join(""));
		const holders = shells.map(({ holder }) => status(holder.pid).uid[0]);
		assert.equal(new Set(holders).size, shells.length, holders.join(" "));
		for (const shell of shells)
			await end(fog, shell);
	}, { skip: needsRoot });

	test("a second fogd does not start on the same RUN_DIR", async () => {
		await assert.rejects(startInstance({ env: { RUN_DIR: fog.runDir } }), /fogd ended while starting/);
		await fog.waitReady();
	});

	// Any of the processes, again and again, while people type: nothing is lost and nothing stays.
	test("a storm of kill -9", async () => {
		const shells = [await openShell(fog), await openShell(fog), await openShell(fog)];
		const shellsOf = () => shells.flatMap(({ holder }) => [holder, ...descendants(holder.pid).map(identify)]);
		const before = shellsOf();
		const made = [];
		const stop = performance.now() + 8000;
		for (const shell of shells) {
			shell.lines = 0;
			await shell.terminal.run("n=0; echo go''on", /goon\n/);
		}
		await Promise.all([
			(async () => {
				while (performance.now() < stop) {
					const pid = fog.rolePids()[ROLES[Math.floor(Math.random() * ROLES.length)]];
					const victim = identify(pid);
					if (victim && ROLES.includes(programName(pid)))
						signal(victim, "SIGKILL");
					await sleep(100 + Math.random() * 200);
				}
			})(),
			(async () => {
				while (performance.now() < stop) {
					const token = fog.user();
					const answer = await exchange(fog.url, "POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 600 } })
						.catch(() => undefined);
					assert.ok([undefined, 201, 503].includes(answer?.status), answer?.body);
					if (answer?.status === 201)
						made.push({ id: JSON.parse(answer.body).session_id, token });
					await sleep(100);
				}
			})(),
			...shells.map(async (shell) => {
				while (performance.now() < stop) {
					if (shell.terminal.closed === undefined) {
						shell.terminal.type("n=$((n+1))\n");
						shell.lines++;
					}
					await sleep(20);
				}
			}),
		]);
		await until("all parts work", async () => (await exchange(fog.url, "GET", "/readyz")).status === 200);
		assert.ok(before.every(isAlive), "a shell or a holder died");
		for (const shell of shells) {
			shell.terminal = await until("attached again", async () => {
				const attach = await fog.mint(shell.session);
				return BinaryTerminal.open(fog, attach, { from: shell.terminal });
			});
			await shell.terminal.run("echo typed=$n", new RegExp(`typed=${shell.lines}\n`));
			await end(fog, shell);
		}
		for (const { id, token } of made)
			await fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
		await until("no holder of these is left", () => fog.holders().every(({ pid }) => !before.some((old) => old.pid === pid)));
		const zombies = descendants(fog.pid).filter(isZombie);
		assert.deepEqual(zombies, []);
		assert.deepEqual(fs.readdirSync(path.join(fog.runDir, "sessions")).filter((name) => name.endsWith(".tmp")), []);
	}, { timeout: 60_000, skip: needsRoot });
});

// --- in a mount namespace of its own: few terminals, no shell, a full disk ---

const run = promisify(execFile);

async function inNamespace(what, ...mounts) {
	const env = { ...process.env, FOG_SESSION_TEST: what };
	delete env.NODE_TEST_CONTEXT;
	await run("unshare", ["-m", "sh", "-ec", `${mounts.join(" && ")}; exec "$0" --test "$1"`, process.execPath, fileURLToPath(import.meta.url)],
		{ env, timeout: 50_000 }).catch((error) => assert.fail(`${error.stdout}${error.stderr}`));
}

if (!inside) suite("a machine that is short of something", {}, ({ test }) => {
	const settings = { timeout: 60_000, skip: needsRoot };
	test("no terminal left: 503 no_pty", () => inNamespace("pty",
		"mount -t devpts -o newinstance,ptmxmode=0666,max=2 devpts /dev/pts", "mount --bind /dev/pts/ptmx /dev/ptmx"), settings);
	test("no shell: 503 no_shell", () => inNamespace("shell", "true"), settings);
	test("a full RUN_DIR: 503", () => inNamespace("disk", "true"), settings);
});

if (inside === "pty") suite("inside: terminals", {}, ({ fog, test }) => {
	test("the third session is refused until there is room", async () => {
		const first = await openShell(fog);
		await openShell(fog);
		const { title } = await refused(fog, /^no_pty$/);
		assert.match(title, /pseudo-terminal/);
		await first.terminal.run("echo $((6*7))", /^42$/m);
		await end(fog, first);
		await openShell(fog);
	});
});

if (inside === "shell") suite("inside: the shell", {}, ({ fog, test }) => {
	test("no session without a shell, and again when there is one", async () => {
		const there = await openShell(fog);
		const shell = fs.realpathSync("/bin/sh");
		execFileSync("mount", ["--bind", "/dev/null", shell]);
		const { title } = await refused(fog, /^no_shell$/);
		assert.match(title, /shell/);
		assert.equal(fog.holders().length, 1);
		execFileSync("umount", [shell]);
		await there.terminal.run("echo $((6*7))", /^42$/m);
		await end(fog, await openShell(fog));
	});
});

if (inside === "disk") suite("inside: the disk", {
	prepare: (dir) => execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", path.join(dir, "run")]),
}, ({ fog, test }) => {
	test("existing sessions go on, new ones are refused, and later taken", async () => {
		try {
			const there = await openShell(fog);
			const filler = path.join(fog.runDir, "filler");
			assert.throws(() => fs.writeFileSync(filler, Buffer.alloc(1 << 20)), { code: "ENOSPC" });
			const { detail } = await refused(fog, /^spawn_failed$/);
			assert.match(detail, /record cannot be written/);
			await there.terminal.run("echo $((6*7))", /^42$/m);
			const victim = await fog.kill("ptyd");
			await fog.roleProcess("ptyd", { not: victim });
			await fog.waitReady();
			await fog.waitStatus(there.session, "running");
			fs.rmSync(filler);
			await end(fog, await openShell(fog));
			await there.terminal.run("echo $((6*7))", /^42$/m);
			await end(fog, there);
		} finally {
			execFileSync("umount", ["-l", fog.runDir]); // else its folder cannot be removed
		}
	});
});
