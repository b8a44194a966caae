// SPDX-License-Identifier: MIT
// The unit and the Debian package against the tree: how exposed the unit is by systemd's own count, what it must and must not
// set, and versions, packages, users, conffiles and notices that debian/ repeats. build-aux/check-package.sh builds and installs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { repo } from "../lib/harness.mjs";

const read = (name) => fs.readFileSync(path.join(repo, name), "utf8");
const UNIT = "etc/systemd/cloudshell-fog.service";
const SESSIONS = "etc/systemd/cloudshell-fog-sessions.service";
// What systemd 252 counts, in tenths. A setting that is taken away raises it, and fails here.
const MOST_EXPOSURE = { [UNIT]: 50, [SESSIONS]: 9 };

// [key, value] of each line that is set, in order.
const settingsOf = (unit) => [...read(unit).matchAll(/^(\w+)=(.*)$/gm)].map(([, key, value]) => [key, value]);
const settings = settingsOf(UNIT);
const valueOf = (key, all = settings) => all.filter(([name]) => name === key).map(([, value]) => value).join(" ");

describe("the units", () => {
	it("are all known here", () => {
		const units = fs.readdirSync(path.join(repo, "etc/systemd")).map((name) => `etc/systemd/${name}`);
		assert.deepEqual(units.sort(), Object.keys(MOST_EXPOSURE).sort());
	});

	for (const [unit, most] of Object.entries(MOST_EXPOSURE)) {
		it(`${path.basename(unit)} is exposed by ${most / 10} at most`, (t) => {
			const args = ["security", "--offline=true", "--no-pager", unit];
			const { error, stdout, stderr } = spawnSync("systemd-analyze", args, { cwd: repo, encoding: "utf8" });
			if (error?.code === "ENOENT")
				return t.skip("systemd-analyze is not installed");
			if (/unrecognized option|Unknown command/i.test(stderr))
				return t.skip(`this systemd-analyze looks at no file: ${stderr.trim()}`);
			const found = /Overall exposure level for \S+\.service: (\d+)\.(\d)/.exec(stdout);
			assert.ok(found, `${stdout}${stderr}`);
			const exposure = Number(found[1]) * 10 + Number(found[2]);
			assert.ok(exposure <= most, `${exposure / 10}:\n${stdout.split("\n").filter((line) => line.startsWith("✗")).join("\n")}`);
		});
	}
});

describe("the unit of the sessions' control groups", () => {
	const all = settingsOf(SESSIONS);

	it("has a group that it may divide, ends all sessions at its stop and none at another's end", () => {
		const wanted = { Delegate: "cpu memory pids io", Type: "forking", GuessMainPID: "no", KillMode: "control-group", SendSIGHUP: "yes",
			OOMPolicy: "continue", TasksMax: "infinity", Restart: "no" };
		for (const [key, value] of Object.entries(wanted))
			assert.equal(valueOf(key, all), value, key);
	});

	it("is wanted by the service, not required, and is in the same slice", () => {
		assert.match(valueOf("Wants"), /\bcloudshell-fog-sessions\.service\b/);
		assert.match(valueOf("After"), /\bcloudshell-fog-sessions\.service\b/);
		for (const key of ["Requires", "BindsTo", "PartOf", "Requisite"])
			assert.equal(valueOf(key), "", key);
		assert.equal(valueOf("Slice", all), valueOf("Slice"));
	});

	it("an upgrade neither stops nor restarts it", () => {
		const rule = /^\tdh_installsystemd (.*) cloudshell-fog-sessions\.service$/m.exec(read("debian/rules"))[1].split(" ");
		assert.deepEqual(rule.sort(), ["--no-restart-after-upgrade", "--no-stop-on-upgrade"]);
	});
});

describe("the unit of the service", () => {
	it("leaves holders alone at a stop, and their directories to the service, and is watched", () => {
		const wanted = { KillMode: "process", RuntimeDirectoryPreserve: "yes", OOMPolicy: "continue",
			Type: "notify", NotifyAccess: "main", WatchdogSec: "30", Restart: "on-failure", NoNewPrivileges: "yes", SystemCallErrorNumber: "EPERM" };
		for (const [key, value] of Object.entries(wanted))
			assert.equal(valueOf(key), value, key);
	});

	it("sets nothing under which a session could not be made, and says why", () => {
		const notSet = ["PrivateDevices", "PrivateTmp", "RestrictNamespaces", "RestrictSUIDSGID", "ProtectControlGroups",
			"ProtectHostname", "ProcSubset", "MemoryDenyWriteExecute", "PrivateNetwork", "PrivateUsers", "User"];
		const reasons = read(UNIT).split("# Not set, and why:")[1];
		for (const key of notSet) {
			assert.ok(!settings.some(([name]) => name === key), key);
			assert.match(reasons, new RegExp(`\\b${key}\\b`), key);
		}
	});

	it("lets it have loop devices and terminals, and no other device", () => {
		assert.equal(valueOf("DevicePolicy"), "closed");
		const devices = settings.filter(([key]) => key === "DeviceAllow").map(([, value]) => value);
		assert.deepEqual(devices.sort(), ["/dev/loop-control rw", "/dev/ptmx rw", "/dev/tty rw", "block-loop rw", "char-pts rw"]);
	});

	it("its filter denies nothing that the spawner or a shell needs", (t) => {
		const needed = ["mount", "umount2", "pivot_root", "fsopen", "fsmount", "move_mount", "mount_setattr", "open_tree", "openat2",
			"clone3", "unshare", "setns", "chroot", "setresuid", "setgroups", "capset", "seccomp", "execveat", "ptrace", "setpriority",
			"sethostname", "pidfd_open", "quotactl_fd", "prlimit64"];
		const lists = settings.filter(([key]) => key === "SystemCallFilter").map(([, value]) => value);
		for (const list of lists)
			assert.ok(list.startsWith("~"), `${list}: only what is denied is listed`);
		const named = lists.flatMap((list) => list.slice(1).split(" "));
		const groups = named.filter((name) => name.startsWith("@"));
		assert.ok(groups.length > 0);
		const { error, status, stdout, stderr } = spawnSync("systemd-analyze", ["syscall-filter", ...groups], { encoding: "utf8" });
		if (error?.code === "ENOENT")
			return t.skip("systemd-analyze is not installed");
		assert.equal(status, 0, stderr);
		const denied = [...stdout.matchAll(/^ {4}(\w+)$/gm)].map(([, name]) => name).concat(named);
		assert.ok(denied.includes("reboot"), stdout);
		assert.deepEqual(needed.filter((name) => denied.includes(name)), []);
	});

	it("names single calls only where fogd's own list denies them too", () => {
		const named = settings.filter(([key]) => key === "SystemCallFilter").flatMap(([, value]) => value.slice(1).split(" "))
			.filter((name) => !name.startsWith("@"));
		const table = /denied_calls\[\] = \{([^}]*)\}/.exec(read("common/filter.c"))[1];
		const own = [...table.matchAll(/SC\((\w+)\)/g)].map(([, name]) => name);
		assert.ok(named.length > 0);
		assert.deepEqual(named.filter((name) => !own.includes(name)), []);
	});
});

describe("the Debian package", () => {
	// The fields of one paragraph of debian/control, lists as arrays of package names.
	const paragraphs = read("debian/control").split("\n\n").map((text) => Object.fromEntries(
		[...text.matchAll(/^([\w-]+):[ \t]*((?:.*\n?)(?:[ \t].*\n?)*)/gm)].map(([, key, value]) => [key, value.trim()])));
	const namesIn = (list) => list.split(",").map((item) => item.trim().split(/[ (<]/)[0]).filter((name) => name && !name.startsWith("$"));

	it("has the version of configure.ac", () => {
		const [, version] = /^AC_INIT\(\[cloudshell-fog\], \[([^\]]+)\]\)/m.exec(read("configure.ac"));
		assert.equal(/^cloudshell-fog \(([^)]+)\)/.exec(read("debian/changelog"))[1], version);
	});

	it("needs for its build the libraries of build-aux/deps.sh", () => {
		const run = /\[run\]="([^"]+)"/.exec(read("build-aux/deps.sh"))[1].trim().split(/\s+/).map((word) => word.split("=").at(-1));
		const essential = ["gcc", "libc6-dev", "make", "ca-certificates"]; // build-essential, and what only npm's registry needs
		const [source] = paragraphs;
		const wanted = ["Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep"].flatMap((key) => namesIn(source[key]));
		assert.deepEqual(run.filter((name) => !essential.includes(name) && !wanted.includes(name)), []);
	});

	it("needs what a session's storage is made with, and recommends what an import takes", () => {
		const own = paragraphs.find((fields) => fields.Package === "cloudshell-fog");
		assert.ok(namesIn(own.Depends).includes("e2fsprogs"));
		for (const name of ["skopeo", "umoci"])
			assert.ok(namesIn(own.Recommends).includes(name), name);
	});

	it("installs alone: the page is recommended, no more", () => {
		const own = paragraphs.find((fields) => fields.Package === "cloudshell-fog");
		assert.ok(!namesIn(own.Depends).includes("cloudshell-fog-web"));
		assert.ok(namesIn(own.Recommends).includes("cloudshell-fog-web"));
		assert.equal(paragraphs.find((fields) => fields.Package === "cloudshell-fog-web").Architecture, "all");
	});

	it("a purge removes the users of sysusers.d and the directories of the unit", () => {
		const script = read("debian/cloudshell-fog.postrm").replaceAll(/\\\n\s*/g, "");
		const users = [...read("etc/sysusers.d/cloudshell-fog.conf").matchAll(/^u (\S+)/gm)].map(([, name]) => name);
		assert.ok(users.length > 0);
		assert.deepEqual(/for user in ([^;]+);/.exec(script)[1].trim().split(/\s+/).sort(), users.sort());
		for (const dir of ["/run", "/var/lib", "/etc"])
			assert.match(script, new RegExp(`^\\trm -rf --one-file-system .*${dir}/cloudshell-fog\\b`, "m"), dir);
	});

	it("names the notices of the npm packages whose code is in the page, as they are in their licences", (t) => {
		const copyright = read("debian/copyright");
		const { dependencies } = JSON.parse(read("web/package.json"));
		for (const name of Object.keys(dependencies))
			assert.ok(copyright.includes(`\nFiles: web/node_modules/${name}/*\n`), name);
		const flat = copyright.replaceAll(/\s+/g, " ");
		const installed = Object.keys(dependencies).map((name) => path.join(repo, "web/node_modules", name));
		if (!installed.every((dir) => fs.existsSync(dir)))
			return t.skip("web/node_modules is not there");
		for (const dir of installed) {
			const file = fs.readdirSync(dir).find((name) => /^LICENSE/.test(name));
			for (const [, year, holder] of fs.readFileSync(path.join(dir, file), "utf8").matchAll(/^Copyright \(c\) ([\d-]+),? (.+)$/gm))
				assert.ok(flat.includes(`${year}, ${holder.trim()}`), `${dir}: ${year}, ${holder}`);
		}
	});

	it("its maintainer scripts are shell as dpkg wants it", () => {
		for (const name of fs.readdirSync(path.join(repo, "debian")).filter((file) => /\.(pre|post)(inst|rm)$/.test(file))) {
			const text = read(`debian/${name}`);
			assert.match(text, /^#!\/bin\/sh\nset -e\n/, name);
			assert.match(text, /^#DEBHELPER#$/m, name);
			const { status, stderr } = spawnSync("sh", ["-n", `debian/${name}`], { cwd: repo, encoding: "utf8" });
			assert.equal(status, 0, `${name}: ${stderr}`);
		}
	});
});
