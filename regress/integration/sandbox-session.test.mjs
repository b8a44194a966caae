// SPDX-License-Identifier: MIT
// Sessions in sandboxes, as the service makes them (RUNTIME=sandbox): what a person sees, what the API says, what each
// has to itself, what bounds it, what is kept of it and what is gone when it has ended, or when its makers are killed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { it } from "node:test";
import { build, ROLES } from "../lib/harness.mjs";
import { descriptors, identify, isAlive, signal, status, until, waitGone } from "../lib/proc.mjs";
import { enter, GONE_MS, IDS_PER_SLOT, sandboxSuite, says, skip, USER } from "../lib/sandboxhost.mjs";
import { JsonTerminal } from "../lib/ws.mjs";

if (skip)
	it("sandbox sessions", { skip }, () => undefined);

const MIB = 1 << 20;
const BYTES_PER_INODE = 8192; // STORAGE_BYTES_PER_INODE, ptyd/storage.h
const STORAGE = 64 * MIB;
const HOME = 96 * MIB; // three quarters of 128Mi
const REST = 32 * MIB;
const MEMORY = 128 * MIB;

const profiles = [
	["default", { memory: "128Mi", storage: "64Mi", sessions: 4, more: { pids: 64 } }],
	["kept", { storage: "128Mi", more: { home: "persistent" } }],
	["strict", { more: { limits: "required" } }],
	["imageless", { more: { images: `["sha256:${"ab".repeat(32)}"]` } }],
	["unnamed", { more: { images: undefined } }],
];

// What the kernel would let a program do, if it could be started as its owner.
function addSetuid(root) {
	const file = path.join(root, "usr/bin/setuid-id");
	fs.copyFileSync(path.join(root, "usr/bin/id"), file);
	fs.chmodSync(file, 0o6755);
}

const hasControllers = () => {
	try {
		return /cpu.*memory.*pids/.test(fs.readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8"));
	} catch {
		return false;
	}
};

sandboxSuite("sandbox sessions", { profiles, edit: addSetuid }, ({ fog, test: run, image, host }) => {
	// One that fails leaves no session behind for the next.
	const test = (title, fn, settings) => run(title, async (t) => {
		try {
			await fn(t);
		} catch (error) {
			for (const holder of fog.holders())
				signal(holder, "SIGKILL");
			await host.waitClean(5000).catch(() => undefined);
			throw error;
		}
	}, settings);
	const end = ({ id, token }) => fog.expect(200, "DELETE", `/v1/sessions/${id}`, { token });
	const post = (body, token = fog.user()) => fog.api("POST", "/v1/sessions", { token, body: { ttl_seconds: 600, ...body } });

	async function isRefused(wanted, body, token) {
		const { status: code, json } = await post(body, token);
		assert.equal(code, wanted, JSON.stringify(json));
		await host.waitClean();
		return json;
	}

	test("a person sees an ordinary user, a terminal, a disk, and nobody else", async (t) => {
		const started = performance.now();
		const s = await enter(fog, host);
		assert.equal(await s.says("id"), "uid=1000(user) gid=1000(user) groups=1000(user)");
		t.diagnostic(`create to the first answer: ${Math.round(performance.now() - started)} ms`);
		assert.equal(await s.says("tty"), "/dev/pts/0");
		assert.equal(await s.says("hostname"), "cloudshell");
		assert.equal(await s.says("pwd; echo $HOME $USER $LOGNAME $SHELL $0"), "/home/user\n/home/user user user /bin/bash -bash");
		assert.match(await s.says("ps -e -o pid=,user=,comm="), /^ +2 user +bash\n +\d+ user +ps$/);
		const links = await s.says("cat /proc/net/dev | sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p'");
		assert.equal(links, "lo");
		if (await s.says("command -v ip"))
			assert.match(await s.says("ip -o addr"), /^1: lo +inet 127\.0\.0\.1\/8 [^\n]*\n1: lo +inet6 ::1\/128 [^\n]*$/);
		const kib = Number(await s.says("df -k --output=size / | tail -n 1"));
		assert.ok(kib * 1024 > STORAGE * 0.9 && kib * 1024 <= STORAGE, `df says ${kib} KiB`);
		await end(s);
		t.diagnostic(`clean after ${Math.round(await host.waitClean())} ms`);
	});

	test("no privilege, no environment and no descriptor of the service", async () => {
		const s = await enter(fog, host);
		const fields = Object.fromEntries((await s.says("cat /proc/self/status")).split("\n")
			.map((line) => /^(\w+):\s*(.*)$/.exec(line)?.slice(1)).filter(Boolean));
		assert.equal(fields.NoNewPrivs, "1");
		assert.equal(fields.Seccomp, "2");
		for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
			assert.equal(fields[set], "0".repeat(16), set);
		assert.equal(await s.says("setuid-id -u; setuid-id -g; stat -c %a /usr/bin/setuid-id"), `${USER}\n${USER}\n6755`);

		const names = (await s.says("tr '\\0' '\\n' < /proc/$$/environ | sed 's/=.*//' | sort")).split("\n");
		assert.deepEqual(names, ["FOG_SESSION_ID", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER"]);
		assert.equal(await s.says("echo $FOG_SESSION_ID"), s.id);

		// 255 is the shell's own for the terminal.
		assert.match(await s.says("for f in /proc/$$/fd/*; do echo ${f##*/}; done | tr '\\n' ' '"), /^0 1 2 (255 ?)?$/);
		const { shell } = await host.pidsOf(s);
		for (const { fd, target } of descriptors(shell))
			assert.match(target, /^\/dev\/pts\/0$|^\/0$/, `descriptor ${fd}`);
		assert.equal(await s.says("ls -l /proc/$$/cwd | sed 's/.*-> //'"), "/home/user");
		await end(s);
		await host.waitClean();
	});

	test("two sessions: each has ids of its own, and knows nothing of the other, its holder or the host", async () => {
		const all = [await enter(fog, host), await enter(fog, host)];
		const firsts = [];
		for (const s of all) {
			const { holder, shell, slot } = await host.pidsOf(s);
			const first = host.firstId(slot);
			firsts.push(first);
			assert.deepEqual(status(shell).uid, Array(4).fill(first + USER));
			assert.deepEqual(status(shell).gid, Array(4).fill(first + USER));
			assert.deepEqual(status(shell).groups, []);
			assert.deepEqual(status(holder).uid, Array(4).fill(host.holderId(slot)));
			assert.deepEqual(status(holder).gid, Array(4).fill(host.holderId(slot)));
			const map = fs.readFileSync(`/proc/${shell}/uid_map`, "utf8").trim().split(/\s+/).map(Number);
			assert.deepEqual(map, [0, first, IDS_PER_SLOT]);
			assert.equal(await s.says("ls -d /proc/[0-9]* | wc -l; test -d /proc/1/fd && ls /proc/1/fd 2>&1 | head -n 1")
				.then((text) => text.split("\n")[0] <= 6), true);
			for (const pid of [holder, shell, fog.pid])
				assert.match(await s.says(`kill -0 ${pid} 2>&1; cat /proc/${pid}/status 2>&1`), /No such (process|file)/);
		}
		assert.equal(Math.abs(firsts[0] - firsts[1]) % IDS_PER_SLOT, 0);
		assert.notEqual(firsts[0], firsts[1]);
		await all[0].says("echo mine > ~/mine; echo mine > /tmp/mine; mkdir /var/tmp/mine");
		assert.match(await all[1].says("ls ~/mine /tmp/mine /var/tmp/mine 2>&1"), /^(ls: [^\n]*No such file or directory\n?){3}$/);
		for (const s of all)
			await end(s);
		await host.waitClean();
	});

	test("the API tells image, limits and placement, and the audit log the image", async () => {
		const s = await fog.create();
		const shown = await fog.show(s);
		assert.equal(shown.image_ref, image.digest);
		assert.ok(shown.limits.enforced.includes("storage"), JSON.stringify(shown.limits));
		assert.equal(shown.limits.enforced.includes("memory"), hasControllers());
		assert.equal(shown.placement.tier, "fog");
		assert.ok(s.placement_reason);
		assert.ok(JSON.stringify(fog.auditRecords().filter((line) => line.sid === s.id || line.session_id === s.id))
			.includes(image.digest));
		await end(s);

		const token = fog.user();
		const named = await post({ profile: "default", image_ref: image.ref }, token);
		assert.equal(named.status, 201, named.body);
		await end({ id: named.json.session_id, token });
	});

	test("an image that is not there, not named by digest or not allowed is refused by name", async () => {
		const gone = await isRefused(503, { profile: "imageless" });
		assert.match(gone.detail, /^image: it is not in the store of this node; see fogctl image list/);
		const tag = await isRefused(422, { profile: "default", image_ref: "base:latest" });
		assert.equal(tag.rule_id, "profile.images");
		const other = await isRefused(403, { profile: "default", image_ref: `sha256:${"cd".repeat(32)}` });
		assert.equal(other.rule_id, "profile.images");
		const none = await isRefused(403, { profile: "unnamed" });
		assert.equal(none.rule_id, "profile.images");
		assert.ok(none.detail);
	});

	test("limits: required on a host that cannot", async () => {
		const { detail } = await isRefused(503, { profile: "strict" });
		assert.match(detail, /^limits: this node cannot enforce those of cpu, memory and pids .*limits: best-effort/);
	}, { skip: hasControllers() && "this host has controllers" });

	test("a full disk, a full /tmp and no more inodes: only in that session, and at the bound of the profile", async (t) => {
		const s = await enter(fog, host);
		const other = await enter(fog, host);
		const fill = async (file) => {
			assert.match(await s.says(`dd if=/dev/zero of=${file} bs=64k 2>&1; sync ${file}`, 25_000), /No space left on device/);
			return Number(await s.says(`stat -c '%b*%B' ${file} | { IFS= read -r x; echo $((x)); }`));
		};
		const isBound = (what, value, wanted) => {
			t.diagnostic(`${what}: ${value}, the profile says ${wanted}`);
			assert.ok(Math.abs(value - wanted) <= wanted / 10, `${what}: ${value}, not ${wanted}`);
		};
		isBound("disk bytes", await fill("~/big"), STORAGE);
		assert.match(await s.says("head -c 1M /dev/zero 2>&1 > /var/tmp/more"), /No space left/);
		assert.equal(await other.says("echo fits > ~/x && cat ~/x"), "fits");
		assert.equal(await s.says("rm ~/big && echo fits > ~/x && cat ~/x"), "fits");
		isBound("/tmp bytes", await fill("/tmp/big"), MEMORY / 4);
		await s.says("rm /tmp/big");
		const made = await s.says("mkdir ~/d; cd ~/d; i=0; while : 2>/dev/null > f$i; do i=$((i+1)); done 2>/dev/null; echo $i; cd", 25_000);
		isBound("inodes", Number(made), STORAGE / BYTES_PER_INODE);
		assert.equal(await other.says("echo fits > ~/y && cat ~/y"), "fits");
		assert.equal(await s.says("rm -r ~/d && echo fits > ~/z && cat ~/z", 25_000), "fits");
		await end(s);
		await end(other);
		await host.waitClean();
	}, { timeout: 90_000 });

	test("a home that is kept: one person's, one profile's, one session's at a time, and over a restart", async (t) => {
		const token = fog.user();
		let s = await enter(fog, host, { token, profile: "kept" });
		await s.says("echo kept > ~/file; echo lost > /var/tmp/file; mkdir -p ~/dir; sync");
		const kib = Number(await s.says("df -k --output=size ~ | tail -n 1"));
		const rest = Number(await s.says("df -k --output=size / | tail -n 1"));
		t.diagnostic(`home ${kib} KiB of ${HOME / 1024}, the rest ${rest} KiB of ${REST / 1024}`);
		assert.ok(kib * 1024 > HOME * 0.9 && kib * 1024 <= HOME && rest * 1024 > REST * 0.9 && rest * 1024 <= REST);

		const second = await post({ profile: "kept" }, token);
		assert.equal(second.status, 503, second.body);
		assert.match(second.json.detail, /^home: it is in use by another session of yours with this profile/);
		const stranger = await enter(fog, host, { profile: "kept" });
		assert.equal(await stranger.says("ls -A ~ | grep -c '^file$'"), "0");
		assert.equal(await s.says("cat ~/file"), "kept");
		await end(stranger);
		await end(s);
		await host.waitClean();

		const started = performance.now();
		s = await enter(fog, host, { token, profile: "kept" });
		assert.equal(await s.says("cat ~/file; stat -c '%u %g %a' ~ ~/file; ls /var/tmp"), "kept\n1000 1000 700\n1000 1000 644");
		t.diagnostic(`again: ${Math.round(performance.now() - started)} ms`);
		await end(s);
		await host.waitClean();

		await fog.terminateFogd();
		await fog.restartFogd();
		s = await enter(fog, host, { token, profile: "kept" });
		assert.equal(await s.says("cat ~/file; echo more >> ~/file"), "kept");
		await end(s);
		// At once, while the last one's file system may still be on its way to the disk.
		s = await enter(fog, host, { token, profile: "kept" });
		assert.equal(await s.says("cat ~/file"), "kept\nmore");
		await end(s);
		await host.waitClean();
	}, { timeout: 60_000 });

	test("a home that is thrown away", async () => {
		const token = fog.user();
		const s = await enter(fog, host, { token });
		await s.says("echo x > ~/file");
		await end(s);
		const next = await enter(fog, host, { token });
		assert.match(await next.says("cat ~/file 2>&1"), /No such file/);
		await end(next);
		await host.waitClean();
	});

	test("fogctl image rm refuses what a session uses, and removes it after", async () => {
		const s = await enter(fog, host);
		const fogctl = (...args) => spawnSync(path.join(build, "bin/fogctl"), ["image", ...args, "--store", image.store], { encoding: "utf8" });
		const copy = `${image.store}.copy`;
		fs.cpSync(image.store, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
		const busy = fogctl("rm", image.digest);
		assert.notEqual(busy.status, 0);
		assert.match(busy.stderr, /in use/);
		assert.equal(await s.says("/usr/bin/echo works"), "works");
		await end(s);
		await host.waitClean();
		const done = fogctl("rm", image.digest);
		assert.equal(done.status, 0, done.stderr);
		assert.match((await isRefused(503, { profile: "default" })).detail, /^image: it is not in the store/);
		spawnSync("cp", ["-a", `${copy}/.`, image.store]);
		fs.rmSync(copy, { recursive: true });
		await end(await fog.create());
	});

	// --- cleaning up ---

	const ENDS = {
		DELETE: end,
		exit: async ({ terminal }) => {
			terminal.type("exit\n");
			await terminal.waitExit();
		},
		"kill -9 of the holder": async (s) => {
			const { holder } = await host.pidsOf(s);
			assert.ok(signal(identify(holder), "SIGKILL"));
		},
		"kill -9 of init": async (s) => {
			const { shell } = await host.pidsOf(s);
			const init = Number(/^PPid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${shell}/status`, "utf8"))[1]);
			assert.ok(signal(identify(init), "SIGKILL"));
		},
		"its time": (s) => fog.waitStatus(s, "expired"),
	};

	for (const [how, strike] of Object.entries(ENDS)) {
		test(`nothing is left a second after the end by ${how}, with processes that cling to life`, async (t) => {
			await host.waitClean();
			const before = await host.descriptors();
			const s = await enter(fog, host, { ttl: how === "its time" ? 2 : 600 });
			await s.says("(trap '' TERM HUP INT; setsid sleep 1000 & ) ; for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; " +
				"nohup dd if=/dev/zero of=/var/tmp/f bs=1M count=8 > /dev/null 2>&1; exec 7>/var/tmp/open; cd /var/tmp");
			assert.ok(host.processes().length >= 11, host.processes().join("; "));
			assert.equal(host.loops().length, 1);
			await strike(s);
			t.diagnostic(`clean after ${Math.round(await host.waitClean(GONE_MS))} ms`);
			s.terminal.destroy();
			await until("descriptors are as before", async () =>
				JSON.stringify(await host.descriptors()) === JSON.stringify(before), { timeout: GONE_MS })
				.catch(async () => assert.deepEqual(await host.descriptors(), before));
		});
	}

	// --- survival ---

	async function killAll() {
		const victims = [fog.fogd, ...await Promise.all(ROLES.map((role) => fog.roleProcess(role)))];
		fog.holders();
		for (const victim of victims)
			signal(victim, "SIGKILL");
		for (const victim of victims)
			await waitGone(victim);
		await fog.restartFogd();
	}

	async function strikeAt(victim) {
		if (victim === "all")
			return killAll();
		const killed = await fog.kill(victim);
		if (victim === "fogd")
			await fog.restartFogd();
		else
			await fog.roleProcess(victim, { not: killed });
		return fog.waitReady();
	}

	for (const victim of [...ROLES, "fogd", "all"]) {
		test(`kill -9 of ${victim}: the same shell goes on, and can be ended`, async (t) => {
			const s = await enter(fog, host);
			const { holder, shell } = await host.pidsOf(s);
			const found = [identify(holder), identify(shell)];
			assert.equal(await s.says("word=here; echo $word"), "here");
			await strikeAt(victim);
			s.terminal.destroy();
			const { json } = await until("it can be attached", async () => {
				const answer = await fog.api("POST", `/v1/sessions/${s.id}/attach`, { token: s.token, body: { role: "driver" } });
				return answer.status === 201 && answer;
			});
			const terminal = await JsonTerminal.open(fog, json);
			assert.equal(await says(terminal, "echo $word $$; touch ~/after; ls ~"), "here 2\nafter");
			assert.ok(found.every(isAlive));
			await until("it can be ended", async () => (await fog.api("DELETE", `/v1/sessions/${s.id}`, { token: s.token })).status === 200);
			t.diagnostic(`clean after ${Math.round(await host.waitClean())} ms`);
			await end(await fog.create());
			await host.waitClean();
		});
	}
});
