// SPDX-License-Identifier: MIT
// The sandbox by itself (S25 to S28): regress/sandbox_probe.c makes one on directories of ours and runs a command in it.
// What a person sees there, and what somebody tries who wants to get out. Needs root, user namespaces and a file system
// for the image that takes idmapped mounts.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { build } from "../lib/harness.mjs";

const program = path.join(build, "regress/sandbox_probe");
const FIRST_ID = 1879048192;
const HOME_FIRST_ID = 1950000000;
const USER = 1000;
const HOST_PORT = 47147; // as in sandbox_probe.c
const NO_SANDBOX = 125;
const PROGRAMS = "sh cat chmod head id ls ln mkdir mv readlink rm sleep stat touch tty uname hostname".split(" ");
const top = fs.mkdtempSync(path.join(os.tmpdir(), "fog-sandbox-"));
const image = path.join(top, "image");

// --- the image: copies of a few programs of this machine, with their libraries ---

function copyInto(root, file) {
	const to = path.join(root, file);
	fs.mkdirSync(path.dirname(to), { recursive: true });
	if (!fs.existsSync(to))
		fs.copyFileSync(fs.realpathSync(file), to);
	return to;
}

function makeImage(root) {
	for (const dir of ["usr/bin", "etc", "var/tmp"])
		fs.mkdirSync(path.join(root, dir), { recursive: true });
	for (const name of PROGRAMS) {
		const file = execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
		const to = path.join(root, "usr/bin", name);
		fs.copyFileSync(fs.realpathSync(file), to);
		fs.chmodSync(to, 0o755);
		for (const [library] of execFileSync("ldd", [file], { encoding: "utf8" }).matchAll(/\/\S+/g))
			fs.chmodSync(copyInto(root, library), 0o755);
	}
	fs.symlinkSync("usr/bin", path.join(root, "bin"));
	fs.copyFileSync(path.join(root, "usr/bin/id"), path.join(root, "usr/bin/setuid-id"));
	fs.chmodSync(path.join(root, "usr/bin/setuid-id"), 0o6755);
	fs.chmodSync(path.join(root, "var/tmp"), 0o1777);
	fs.writeFileSync(path.join(root, "var/tmp/shared"), "of the image\n");
	fs.chownSync(path.join(root, "var/tmp/shared"), USER, USER);
	fs.writeFileSync(path.join(root, "etc/passwd"), `root:x:0:0::/:/bin/sh\nuser:x:${USER}:${USER}::/home/user:/bin/sh\n`);
	execFileSync("mknod", ["-m", "666", path.join(root, "dev-node"), "c", "1", "1"]);
}

// Names, modes, owners, times and contents of a tree in one hash.
function fingerprint(root) {
	const hash = crypto.createHash("sha256");
	const visit = (file) => {
		const st = fs.lstatSync(file);
		hash.update(`${file} ${st.mode} ${st.uid} ${st.gid} ${st.size} ${st.mtimeMs} ${st.ctimeMs}\n`);
		if (st.isDirectory())
			for (const name of fs.readdirSync(file).sort())
				visit(path.join(file, name));
		else if (st.isFile())
			hash.update(fs.readFileSync(file));
	};
	visit(root);
	return hash.digest("hex");
}

let writables = 0;
function makeWritable() {
	const dir = path.join(top, `writable${writables++}`);
	for (const name of ["upper", "work"]) {
		fs.mkdirSync(path.join(dir, name), { recursive: true });
		fs.chownSync(path.join(dir, name), FIRST_ID, FIRST_ID);
	}
	fs.chmodSync(path.join(dir, "upper"), 0o755);
	fs.chmodSync(dir, 0o700);
	return dir;
}

// --- running something in it ---

function probe(options, command, { root = image, writable = makeWritable() } = {}) {
	return new Promise((resolve) => {
		execFile(program, [...options, root, writable, ...command], { timeout: 30_000 }, (error, stdout, stderr) => {
			resolve({ code: error ? error.code ?? error.signal : 0, stdout, stderr, writable });
		});
	});
}

const shell = (script, options = [], where) => probe(options, ["/bin/sh", "-c", script], where);

// What a script says that has to succeed.
async function says(script, options, where) {
	const r = await shell(script, options, where);
	assert.equal(r.code, 0, `${script}: ${r.stderr}`);
	return r.stdout.replaceAll("\r", "").trim();
}

function reasonToSkip() {
	if (process.getuid() !== 0)
		return "needs root";
	if (spawnSync("unshare", ["-Urmpf", "true"]).status !== 0)
		return "no user namespaces here";
	makeImage(image);
	const r = spawnSync(program, [image, makeWritable(), "/bin/sh", "-c", ":"], { encoding: "utf8" });
	if (r.status === NO_SANDBOX && /^sandbox_probe: image: Invalid argument/.test(r.stderr))
		return "no idmapped mounts on the file system of the temporary folder";
	return false;
}

const skip = reasonToSkip();
after(() => fs.rmSync(top, { recursive: true, force: true }));

describe("what a person sees in the sandbox", { skip }, () => {
	it("an ordinary user, on a host of its own name, on a terminal of its own", async () => {
		assert.match(await says("id"), new RegExp(`^uid=${USER}(\\(user\\))? gid=${USER}`));
		assert.doesNotMatch(await says("id"), /groups=.*\b0\b/);
		assert.equal(await says("hostname"), "fog-probe");
		assert.equal(await says("tty; stat -c %u:%a /dev/pts/0", ["-t"]), `/dev/pts/0\n${USER}:620`);
	});

	it("no capability, no_new_privs, a filter, and a range of ids of its own", async () => {
		const status = await says("cat /proc/self/status");
		for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"])
			assert.match(status, new RegExp(`^Cap${set}:\\s+0{16}$`, "m"));
		assert.match(status, /^NoNewPrivs:\s+1$/m);
		assert.match(status, /^Seccomp:\s+2$/m);
		assert.deepEqual((await says("cat /proc/self/uid_map /proc/self/gid_map")).trim().split(/\s+/),
			["0", `${FIRST_ID}`, "65536", "0", `${FIRST_ID}`, "65536"]);
	});

	it("every namespace is another than the host's", async () => {
		for (const name of ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"])
			assert.notEqual(await says(`readlink /proc/self/ns/${name}`), fs.readlinkSync(`/proc/self/ns/${name}`), name);
	});

	it("/proc has its own processes alone", async () => {
		const pids = (await says("ls /proc")).split("\n").filter((name) => /^\d+$/.test(name)).map(Number);
		assert.ok(pids.length > 0 && pids.length <= 4 && Math.max(...pids) < 20, `${pids}`);
	});

	it("/dev is minimal", async () => {
		assert.equal(await says("ls /dev"),
			"fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero");
		assert.equal(await says("echo x >/dev/null; head -c 4 /dev/zero | cat | head -c 4 >/dev/shm/z; stat -c %s /dev/shm/z"), "4");
		assert.equal(await says("ls /dev/pts"), "ptmx");
	});

	it("no descriptor but its own three, and no directory of the host", async () => {
		assert.match(await says("ls /proc/self/fd | cat"), /^0\n1\n2(\n3)?$/);
		assert.equal(await says("readlink /proc/self/cwd; readlink /proc/self/root"), "/\n/");
		const table = await says("cat /proc/self/mountinfo");
		assert.ok(!table.includes(top), table);
		assert.doesNotMatch(table, / (shared|master):/);
		for (const line of table.split("\n")) {
			const flags = line.split(" ")[5].split(",");
			const where = line.split(" ")[4];
			assert.ok(flags.includes("nosuid"), line);
			assert.ok(flags.includes("nodev") || where === "/dev" || where.startsWith("/dev/"), line);
			if (/ devtmpfs /.test(line))
				assert.ok(flags.includes("ro") && flags.includes("noexec"), line);
		}
	});

	it("a root that can be written, while the image stays as it is", async () => {
		const old = fingerprint(image);
		const writable = makeWritable();
		await says("echo changed >/var/tmp/shared; echo new >/var/tmp/new; mkdir /var/tmp/d; mv /var/tmp/new /var/tmp/d/",
			[], { writable });
		assert.equal(await says("cat /var/tmp/shared /var/tmp/d/new", [], { writable }), "changed\nnew");
		await says("rm /var/tmp/shared", [], { writable });
		assert.equal((await shell("cat /var/tmp/shared", [], { writable })).code, 1);
		assert.equal(await says("cat /var/tmp/shared"), "of the image");
		assert.equal(fingerprint(image), old);
		assert.equal(fs.statSync(path.join(writable, "upper/var/tmp/d/new")).uid, FIRST_ID + USER);
	});

	it("what belongs to root in the image cannot be changed", async () => {
		assert.notEqual((await shell("echo x >/etc/passwd")).code, 0);
		assert.notEqual((await shell("touch /x")).code, 0);
		assert.notEqual((await shell("rm -f /usr/bin/ls")).code, 0);
	});

	it("a home from its descriptor, with other ids on disk", async () => {
		const home = path.join(top, "home");
		fs.mkdirSync(home);
		fs.chownSync(home, HOME_FIRST_ID + USER, HOME_FIRST_ID + USER);
		await says("echo kept >/home/user/file", ["-h", home, "-H", `${HOME_FIRST_ID}`]);
		assert.equal(fs.statSync(path.join(home, "file")).uid, HOME_FIRST_ID + USER);
		assert.equal(await says("cat /home/user/file; stat -c %u /home/user/file",
			["-h", home, "-H", `${HOME_FIRST_ID}`, "-b", `${FIRST_ID + 65536 * 2}`],
			{ writable: ownedBy(FIRST_ID + 65536 * 2) }), `kept\n${USER}`);
		await says("echo x >/home/user/y"); // and without one, in the overlay
	});

	it("/tmp is bounded in bytes and files, processes in number", async () => {
		assert.notEqual((await shell("head -c 20000000 /dev/zero >/tmp/f")).code, 0);
		assert.notEqual((await shell("i=0; while [ $i -lt 1100 ]; do : >/tmp/$i || exit 1; i=$((i+1)); done")).code, 0);
		assert.notEqual((await shell("i=0; while [ $i -lt 80 ]; do sleep 5 & i=$((i+1)); done")).code, 0);
	});
});

function ownedBy(first) {
	const dir = makeWritable();
	for (const name of ["upper", "work"])
		fs.chownSync(path.join(dir, name), first, first);
	return dir;
}

// What an attempt has to be answered with. In the order of regress/sandbox_probe.c.
const ATTEMPTS = [
	["EPERM", `unshare_user unshare_user_high_bits unshare_mount unshare_net unshare_pid unshare_time clone_user clone_cgroup
		setns mount_tmpfs mount_proc mount_bind remount_dev umount_mask umount_root pivot_root chroot fsopen open_tree
		move_mount mount_setattr io_uring bpf perf_event_open add_key keyctl request_key userfaultfd open_by_handle_at
		init_module kexec_load reboot tiocsti tiocsti_high_bits tioclinux_high_bits tiocsetd socket_packet socket_raw
		socket_vsock socketpair_vsock socket_alg socket_alg_high_bits socket_netfilter socket_audit socket_audit_high_bits
		setuid_root setgid_root setgroups sethostname settimeofday ptrace_init read_memory_of_init real_time core_limit_zero core_limit_unlimited more_files`],
	["ENOSYS", "clone3 unknown_call unknown_last"],
	["EPERM EACCES", "mknod_memory write_uid_map"],
	["ENOSPC", "more_ptys"],
	["ENOENT", "host_shared_memory"],
	["ECONNREFUSED", "host_abstract_socket host_loopback"],
	["ENETUNREACH", "metadata_address"],
	["ENOENT EROFS EACCES", "write_sysrq write_core_pattern write_hostname"],
	["ENOENT EACCES EPERM", "read_root_of_init memory_of_init"],
	["EBADF nothing", "kernel_memory"],
	["EROFS", "device_in_dev change_device_node"],
	["EACCES", "device_of_image"],
];

describe("getting out of the sandbox", { skip }, () => {
	const servers = [];
	let outside;

	before(async () => {
		outside = path.join(top, "secret");
		fs.writeFileSync(outside, "of the host\n", { mode: 0o666 });
		for (const where of [{ port: HOST_PORT, host: "127.0.0.1" }]) {
			const server = net.createServer((socket) => socket.destroy());
			await new Promise((resolve, reject) => server.once("error", reject).listen(where, resolve));
			servers.push(server);
		}
	});
	after(() => {
		for (const server of servers)
			server.close();
	});

	const listed = new Set();
	for (const [answers, names] of ATTEMPTS) {
		for (const name of names.split(/\s+/)) {
			listed.add(name);
			it(name.replaceAll("_", " "), async () => {
				const r = await probe(["-t"], ["try", name]);
				assert.equal(r.code, 0, r.stderr);
				assert.ok(answers.split(" ").includes(r.stdout.trim()), `${name}: ${r.stdout}${r.stderr}`);
			});
		}
	}

	it("every attempt of the probe is among them", () => {
		const known = execFileSync(program, ["--list"], { encoding: "utf8" }).trim().split("\n");
		assert.deepEqual(known.filter((name) => !listed.has(name)), []);
	});

	it("a setuid program changes nobody", async () => {
		assert.doesNotMatch(await says("setuid-id"), /euid|egid/);
		assert.match(await says("setuid-id"), new RegExp(`^uid=${USER}`));
	});
	it("a setuid file of one's own neither", async () => {
		assert.doesNotMatch(await says("cat /usr/bin/id >/tmp/id; chmod 6755 /tmp/id; /tmp/id"), /euid=0/);
	});
	it("a process of the host cannot be signalled or seen", async () => {
		assert.notEqual((await shell(`kill -0 ${process.pid}`)).code, 0);
		assert.notEqual((await shell(`ls /proc/${process.pid}`)).code, 0);
	});
	it("init cannot be killed from inside", async () => {
		assert.equal(await says("kill -9 1; kill -15 1; echo alive"), "alive");
	});
	it("a file of the host cannot be reached, by .. or by a link", async () => {
		assert.notEqual((await shell(`cat ${outside}`)).code, 0);
		assert.notEqual((await shell(`cat /../../../..${outside}`)).code, 0);
		assert.notEqual((await shell(`ln -s ${outside} /tmp/l; cat /tmp/l`)).code, 0);
		assert.notEqual((await shell(`cat /proc/self/root${outside}`)).code, 0);
	});
	it("what was the staging tree and the old root is gone", async () => {
		assert.equal((await says("cat /proc/self/mountinfo")).split("\n").filter((l) => / \/ \/ /.test(l)).length, 1);
		assert.notEqual((await shell("ls /writable /root/etc /image")).code, 0);
	});
	it("/proc/sys cannot be written, nor what is covered be read", async () => {
		for (const file of ["kernel/core_pattern", "kernel/modprobe", "vm/drop_caches", "net/ipv4/ip_forward"])
			assert.notEqual((await shell(`echo 1 >/proc/sys/${file}`)).code, 0, file);
		for (const file of ["keys", "kallsyms", "timer_list", "interrupts", "cmdline"])
			assert.equal((await shell(`cat /proc/${file}`)).stdout, "", file);
	});
});

describe("an image or a plan that is not sound", { skip }, () => {
	const broken = (name, change) => {
		const root = path.join(top, `broken-${name}`);
		fs.cpSync(image, root, { recursive: true, verbatimSymlinks: true, filter: (f) => !f.endsWith("dev-node") });
		change(root);
		return root;
	};
	const LINKS = [["dev", "devices"], ["proc", "proc"], ["tmp", "root"], ["run", "root"], ["home", "home"]];

	for (const [name, stage] of LINKS) {
		it(`/${name} as a link out is refused, and nothing is made behind it`, async () => {
			const target = path.join(top, `target-${name}`);
			fs.mkdirSync(target);
			const root = broken(name, (dir) => {
				fs.rmSync(path.join(dir, name), { recursive: true, force: true });
				fs.symlinkSync(target, path.join(dir, name));
			});
			const r = await shell(":", [], { root });
			assert.equal(r.code, NO_SANDBOX);
			assert.match(r.stderr, new RegExp(`^sandbox_probe: ${stage}: (Too many levels|Not a directory)`));
			assert.deepEqual(fs.readdirSync(target), []);
		});
	}

	it("an upper directory that is a link is refused", async () => {
		const writable = makeWritable();
		fs.rmdirSync(path.join(writable, "upper"));
		fs.symlinkSync(path.join(top, "image"), path.join(writable, "upper"));
		const r = await shell(":", [], { writable });
		assert.equal(r.code, NO_SANDBOX);
		assert.match(r.stderr, /^sandbox_probe: storage: /);
	});

	it("an upper directory of another range is not written", async () => {
		const r = await shell("echo x >/home/user/x", [], { writable: ownedBy(FIRST_ID + 65536 * 9) });
		assert.equal(r.code, NO_SANDBOX);
		assert.match(r.stderr, /^sandbox_probe: storage: Operation not permitted/);
	});

	it("ids of the host are refused", async () => {
		for (const first of [0, 1000, 65534, 4294967295]) {
			const r = await shell(":", ["-b", `${first}`]);
			assert.equal(r.code, NO_SANDBOX);
			assert.match(r.stderr, /^sandbox_probe: plan: /);
		}
	});

	it("and of all the above no mount is left", () => {
		assert.ok(!fs.readFileSync("/proc/self/mountinfo", "utf8").includes(top));
	});
});
