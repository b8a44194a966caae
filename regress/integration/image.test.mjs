// SPDX-License-Identifier: MIT
// fogctl image, as root on a store of its own: what is made, what a change of it shows, and what is refused.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { build, repo } from "../lib/harness.mjs";

const fogctl = path.join(build, "bin/fogctl");
const isRoot = process.getuid() === 0;
const has = (program) => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;
const skipImport = !(has("skopeo") && has("umoci")) && "needs skopeo and umoci";
const skipBase = !has("dpkg-query") && "makes an image of a Debian system's packages";

function run(args, options = {}) {
	const { status, stdout, stderr } = spawnSync(fogctl, ["image", ...args], { encoding: "utf8", cwd: "/", ...options });
	return { status, stdout, stderr };
}

describe("fogctl image", { skip: !isRoot && "the store is root's alone" }, () => {
	let dir, store, base;
	const ctl = (...args) => run([...args, "--store", store]);
	const json = (...args) => JSON.parse(ctl(...args, "--json").stdout);
	const done = (result) => (assert.equal(result.status, 0, result.stderr), result.stdout);
	const refused = (result, why) => (assert.equal(result.status, 1, result.stdout), assert.match(result.stderr, why));
	const rootfs = (digest) => path.join(store, digest.replace(":", "-"), "rootfs");
	const left = () => fs.readdirSync(store).filter((name) => name.startsWith(".staging-"));

	before(() => {
		dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-image-"));
		store = path.join(dir, "store");
	});
	after(() => fs.rmSync(dir, { recursive: true, force: true }));

	// --- create ---

	test("create: killed half way nothing is shown, and the next one cleans up", { skip: skipBase }, async () => {
		const child = spawn(fogctl, ["image", "create", "base", "--store", store], { stdio: "ignore" });
		const ended = new Promise((resolve) => child.once("close", resolve));
		const deadline = Date.now() + 10_000;
		while (!(fs.existsSync(store) && left().some((name) => fs.existsSync(path.join(store, name, "rootfs/usr/bin")))))
			assert.ok(Date.now() < deadline && await new Promise((resolve) => setTimeout(resolve, 5, true)));
		child.kill("SIGKILL");
		await ended;
		assert.deepEqual(json("list"), { images: [] });
		assert.equal(left().length, 1);
		done(ctl("create", "base"));
		assert.deepEqual(left(), []);
		base = json("list").images[0];
	});

	test("create: the same host gives the same digest, and the image is in the store once", { skip: skipBase }, () => {
		assert.equal(base.name, "base");
		assert.match(base.digest, /^sha256:[0-9a-f]{64}$/);
		const again = json("create", "again");
		assert.deepEqual([again.digest, again.entries, again.bytes], [base.digest, base.entries, base.bytes]);
		assert.equal(fs.readdirSync(store).filter((name) => name.startsWith("sha256-")).length, 1);
		assert.match(done(ctl("rm", "again")), /its image has others/);
		assert.equal(json("list").images.length, 1);
	});

	test("create: own inodes of 0:0, no setuid, no device, nothing of the host's /etc", { skip: skipBase }, () => {
		const root = rootfs(base.digest);
		let files = 0;
		for (const name of fs.readdirSync(root, { recursive: true })) {
			const stat = fs.lstatSync(path.join(root, name));
			assert.ok(stat.isFile() || stat.isDirectory() || stat.isSymbolicLink(), name);
			assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o6000], [0, 0, 0], name);
			assert.ok(!stat.isFile() || stat.nlink === 1, name);
			files += stat.isFile();
		}
		assert.ok(files > 500, `${files}`);
		const shell = fs.statSync(path.join(root, "usr/bin/bash")), host = fs.statSync("/usr/bin/bash");
		assert.ok(shell.ino !== host.ino && shell.size === host.size);
		for (const name of ["shadow", "gshadow", "ssh", "sudoers", "machine-id", "cloudshell-fog", "ssl/private"])
			assert.ok(!fs.existsSync(path.join(root, "etc", name)), name);
		assert.doesNotMatch(fs.readFileSync(path.join(root, "etc/passwd"), "utf8"), /daemon|www-data/);
		assert.equal(fs.readlinkSync(path.join(root, "etc/resolv.conf")), "/run/resolv.conf");
		for (const name of ["dev", "proc", "sys", "tmp", "run", "home"])
			assert.deepEqual(fs.readdirSync(path.join(root, name)), [], name);
		assert.equal(fs.statSync(store).mode & 0o777, 0o700);
		assert.equal(fs.statSync(path.dirname(root)).mode & 0o777, 0o700);
	});

	test("create: its programs find their libraries and work", { skip: skipBase }, () => {
		const script = "set -e; ls / | grep -qx usr; find /etc -name passwd | sed s,/etc/,, | sort; id -un; awk 'BEGIN { print 6 * 7 }'; grep -V | head -1";
		const { status, stdout, stderr } = spawnSync("/usr/sbin/chroot", [rootfs(base.digest), "/bin/sh", "-c", script],
			{ encoding: "utf8", env: { PATH: "/usr/bin:/bin" } });
		assert.equal(status, 0, stderr);
		assert.match(stdout, /^passwd\nroot\n42\n/);
	});

	// --- verify and rm ---

	test("verify: every kind of change is found, and the way back too", { skip: skipBase }, () => {
		const root = rootfs(base.digest), at = (name) => path.join(root, name);
		const text = fs.readFileSync(at("etc/hosts"));
		const changes = [
			["a byte", () => fs.writeFileSync(at("etc/hosts"), Buffer.from(text).fill("x", 3, 4)), () => fs.writeFileSync(at("etc/hosts"), text)],
			["a mode", () => fs.chmodSync(at("etc/hosts"), 0o666), () => fs.chmodSync(at("etc/hosts"), 0o644)],
			["an owner", () => fs.chownSync(at("etc/hosts"), 1, 0), () => fs.chownSync(at("etc/hosts"), 0, 0)],
			["one more", () => fs.writeFileSync(at("usr/bin/new"), ""), () => fs.unlinkSync(at("usr/bin/new"))],
			["one gone", () => fs.rmdirSync(at("srv")), () => fs.mkdirSync(at("srv"), { mode: 0o755 })],
			["a target", () => { fs.unlinkSync(at("sbin")); fs.symlinkSync("usr/bin", at("sbin")); },
				() => { fs.unlinkSync(at("sbin")); fs.symlinkSync("usr/sbin", at("sbin")); }],
		];

		assert.match(done(ctl("verify", "base")), /is unchanged/);
		assert.equal(json("verify", base.digest).verified, true);
		for (const [what, change, back] of changes) {
			change();
			const { status, stderr } = ctl("verify", "base");
			back();
			assert.equal(status, 1, what);
			assert.match(stderr, /changed: its files now are sha256:/, what);
		}
		fs.chmodSync(at("usr/bin/bash"), 0o4755);
		refused(ctl("verify", "base"), /\/usr\/bin\/bash: is setuid or setgid/);
		fs.chmodSync(at("usr/bin/bash"), 0o755);
		done(ctl("verify", "base"));
	});

	test("a damaged manifest or index is said, not believed", { skip: skipBase }, () => {
		const manifest = path.join(store, base.digest.replace(":", "-"), "manifest"), index = path.join(store, "index");
		for (const [file, shown] of [[manifest, /manifest/], [index, /index/]]) {
			const whole = fs.readFileSync(file);
			for (const bytes of [whole.subarray(0, -5), Buffer.concat([whole, Buffer.from("x\n")]), Buffer.from("")]) {
				fs.writeFileSync(file, bytes);
				refused(ctl("list"), shown);
				refused(ctl("verify", "base"), shown);
			}
			fs.writeFileSync(file, whole);
		}
		fs.renameSync(index, `${index}.away`);
		fs.symlinkSync(`${index}.away`, index);
		refused(ctl("list"), /index/);
		fs.unlinkSync(index);
		fs.renameSync(`${index}.away`, index);
		done(ctl("verify", "base"));
	});

	test("rm: not while it is in use; then nothing is left", { skip: skipBase }, async () => {
		const image = path.join(store, base.digest.replace(":", "-"));
		const user = spawn("flock", ["--shared", image, "sh", "-c", "echo held; read line"], { stdio: ["pipe", "pipe", "ignore"] });
		await new Promise((resolve) => user.stdout.once("data", resolve));
		refused(ctl("rm", "base"), /is in use/);
		assert.equal(json("list").images[0].name, "base");
		user.stdin.end("\n");
		await new Promise((resolve) => user.once("close", resolve));
		assert.match(done(ctl("rm", base.digest)), /is removed/);
		assert.deepEqual(fs.readdirSync(store).sort(), ["index", "lock"]);
		refused(ctl("rm", "base"), /no image has this name/);
		refused(ctl("rm", base.digest), /not in the store/);
		refused(ctl("verify", base.digest), /not in the store/);
	});

	// --- import ---

	const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

	/* An OCI layout of one layer, which tar makes of a directory. */
	function layout(name, fill, tarOptions = []) {
		const tree = path.join(dir, `${name}.tree`), oci = path.join(dir, name), blobs = path.join(oci, "blobs/sha256");
		const put = (bytes, mediaType) => {
			fs.writeFileSync(path.join(blobs, sha256(bytes)), bytes);
			return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
		};

		for (const made of [blobs, path.join(tree, "bin"), path.join(tree, "etc")])
			fs.mkdirSync(made, { recursive: true });
		fs.writeFileSync(path.join(tree, "bin/sh"), "a program", { mode: 0o755 });
		fill(tree);
		const tar = spawnSync("tar", ["-C", tree, "-c", "-P", ...tarOptions, "."], { maxBuffer: 1 << 26 });
		assert.equal(tar.status, 0, `${tar.stderr}`);
		const config = put(Buffer.from(JSON.stringify({ architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux",
			rootfs: { type: "layers", diff_ids: [`sha256:${sha256(tar.stdout)}`] } })), "application/vnd.oci.image.config.v1+json");
		const layer = put(tar.stdout, "application/vnd.oci.image.layer.v1.tar");
		const manifest = put(Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [layer] })),
			"application/vnd.oci.image.manifest.v1+json");
		fs.writeFileSync(path.join(oci, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [
			{ ...manifest, annotations: { "org.opencontainers.image.ref.name": "latest" } }] }));
		fs.writeFileSync(path.join(oci, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
		return oci;
	}

	test("import: a layout, its tag and an archive give one image", { skip: skipImport }, () => {
		const oci = layout("plain", (tree) => fs.linkSync(path.join(tree, "bin/sh"), path.join(tree, "bin/second")));
		const archive = path.join(dir, "plain.tar");
		assert.equal(spawnSync("tar", ["-C", oci, "-cf", archive, "."]).status, 0);
		const first = json("import", oci);
		assert.equal(first.name, "plain");
		assert.equal(json("import", `${oci}:latest`, "tagged").digest, first.digest);
		assert.equal(json("import", archive, "archived").digest, first.digest);
		done(ctl("verify", "archived"));
		assert.equal(fs.readFileSync(path.join(rootfs(first.digest), "bin/second"), "utf8"), "a program");
		assert.ok(fs.statSync(path.join(rootfs(first.digest), "proc")).isDirectory());
		assert.equal(fs.readlinkSync(path.join(rootfs(first.digest), "etc/resolv.conf")), "/run/resolv.conf");
		assert.deepEqual(json("list").images.map(({ name }) => name), ["archived", "plain", "tagged"]);
		done(ctl("rm", first.digest));
	});

	test("import: whatever /etc/resolv.conf is, it becomes the link, and nothing it points to is touched", { skip: skipImport }, () => {
		const outside = path.join(dir, "outside");
		fs.writeFileSync(outside, "untouched\n");
		const rows = [
			["file", (tree) => fs.writeFileSync(path.join(tree, "etc/resolv.conf"), "nameserver 192.0.2.53\n")],
			["link", (tree) => fs.symlinkSync(outside, path.join(tree, "etc/resolv.conf"))],
			["noetc", (tree) => fs.rmSync(path.join(tree, "etc"), { recursive: true })],
		];
		for (const [name, fill] of rows) {
			const { digest } = json("import", layout(`resolver-${name}`, fill));
			assert.equal(fs.readlinkSync(path.join(rootfs(digest), "etc/resolv.conf")), "/run/resolv.conf", name);
			done(ctl("rm", digest));
		}
		assert.equal(fs.readFileSync(outside, "utf8"), "untouched\n");
		refused(ctl("import", layout("resolver-dir", (tree) => fs.mkdirSync(path.join(tree, "etc/resolv.conf")))), /\/etc\/resolv\.conf: Is a directory/);
		assert.deepEqual([left(), json("list").images], [[], []]);
	});

	test("import: hostile images are refused by the entry's name, and nothing is left", { skip: skipImport }, () => {
		const link = (target, at) => (tree) => { fs.rmSync(path.join(tree, at), { recursive: true, force: true }); fs.symlinkSync(target, path.join(tree, at)); };
		const special = (...args) => (tree) => assert.equal(spawnSync("mknod", [path.join(tree, "bin/special"), ...args]).status, 0);
		const rows = [
			["dev", link("/dev", "dev"), /\/dev: has to be a directory/],
			["proc", link("../../proc", "proc"), /\/proc: has to be a directory/],
			["etc", link("bin", "etc"), /\/etc: has to be a directory/],
			["setuid", (tree) => fs.chmodSync(path.join(tree, "bin/sh"), 0o4755), /\/bin\/sh: is setuid or setgid/],
			["device", special("c", "1", "3"), /bin\/special: is a device node/],
			["fifo", special("p"), /bin\/special: is a fifo/],
			["dots", () => {}, /\.\.\/\.\.\/bin\/sh: a name that leads out/, ["--transform=s,^./bin/sh,../../bin/sh,"]],
			["absolute", () => {}, /\/bin\/sh: a name that leads out/, ["--transform=s,^./bin/sh,/bin/sh,"]],
			["hardlink", (tree) => fs.linkSync(path.join(tree, "bin/sh"), path.join(tree, "bin/zz")),
				/a hard link that leads out/, ["--sort=name", "--transform=flags=h;s,.*,../../etc/passwd,"]],
			["owner", (tree) => fs.chownSync(path.join(tree, "bin/sh"), 100_000, 0), /\/bin\/sh: the owner or group is above 65535/],
			["large", (tree) => fs.truncateSync(path.join(tree, "bin/sh"), 2 ** 40), /the image has more than 17179869184 bytes/, ["--sparse"]],
		];

		for (const [name, fill, why, options] of rows) {
			refused(ctl("import", layout(name, fill, options)), why);
			assert.deepEqual([left(), json("list").images], [[], []], name);
		}
		const oci = path.join(dir, "setuid");
		assert.match(done(ctl("import", oci, "--strip")), /were taken from 1 of them/);
		assert.equal(fs.statSync(path.join(rootfs(json("list").images[0].digest), "bin/sh")).mode & 0o7777, 0o755);
		done(ctl("rm", "setuid"));
	});

	test("import: changed blobs and what is no image", { skip: skipImport }, () => {
		const oci = layout("changed", () => {}), blobs = path.join(oci, "blobs/sha256");
		for (const name of fs.readdirSync(blobs))
			fs.appendFileSync(path.join(blobs, name), " ");
		refused(ctl("import", oci), /skopeo takes it for no whole OCI layout/);
		refused(ctl("import", "/etc/passwd", "x"), /skopeo takes it for no whole OCI layout/);
		assert.deepEqual(left(), []);
	});

	test("import: without skopeo it says which packages to install", () => {
		const bin = path.join(dir, "bin");
		fs.mkdirSync(bin);
		refused(run(["import", "/etc/passwd", "x", "--store", store], { env: { PATH: bin } }),
			/skopeo is not installed: apt-get install skopeo umoci/);
		refused(ctl("import", "/nowhere/image"), /\/nowhere\/image: No such file or directory/);
	});

	// --- the rest ---

	test("a store that others can write, another's lock, and nobody", () => {
		const open = path.join(dir, "open");
		fs.mkdirSync(open);
		fs.chmodSync(open, 0o777);
		refused(run(["list", "--store", open]), /closed to others/);
		fs.symlinkSync(store, path.join(dir, "link"));
		refused(run(["list", "--store", path.join(dir, "link")]), /link: /);
		refused(run(["list", "--store", path.join(dir, "none")]), /none: No such file/);
		const locked = spawnSync("flock", [path.join(store, "lock"), fogctl, "image", "rm", "base", "--store", store], { encoding: "utf8" });
		refused(locked, /another command is changing the store/);
		const program = path.join(dir, "fogctl");
		fs.copyFileSync(fogctl, program);
		fs.chmodSync(program, 0o755);
		fs.chmodSync(dir, 0o755);
		refused(spawnSync(program, ["image", "list"], { uid: 65534, gid: 65534, cwd: "/", encoding: "utf8" }), /run this as root/);
	});

	test("wrong command lines and names", () => {
		for (const args of [[], ["make"], ["create"], ["create", "a", "b"], ["list", "x"], ["rm"], ["--colour", "list"],
			["list", "--store"], ["list", "--strip"]])
			assert.equal(run(args).status, 2, args.join(" "));
		for (const name of ["A", "../x", ".x", "a/b", "a..b", "x".repeat(65), "a\nb"])
			refused(ctl("create", name), /a name has at most 64/);
		assert.deepEqual(left(), []);
	});
});

test("fogctl image --help names what the manual describes, with an example of each", () => {
	const { status, stdout } = run(["--help"]);
	const page = fs.readFileSync(path.join(repo, "man/fogctl.8"), "utf8");
	const commands = [...stdout.matchAll(/^ {2}(image [a-z]+)/gm)].map(([, name]) => name);
	const options = [...stdout.matchAll(/^ {2}--([a-z]+)/gm)].map(([, name]) => name);

	assert.equal(status, 0);
	assert.deepEqual(commands, ["create", "import", "list", "verify", "rm"].map((name) => `image ${name}`));
	assert.deepEqual(options, ["store", "strip", "json", "help"]);
	for (const name of commands) {
		assert.ok(page.includes(`.It Ic ${name}`), name);
		assert.ok(page.includes(`.Dl fogctl ${name}`), name);
	}
	for (const name of options)
		assert.ok(page.includes(`.It Fl -${name}`), name);
});
