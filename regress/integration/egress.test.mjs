// SPDX-License-Identifier: MIT
// What a session may reach (S30), by regress/egress_probe.c in network namespaces made here: one stands for the host, one for
// the world beyond it, and each session has its own. Needs root, nft and ip.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import path from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { build } from "../lib/harness.mjs";

const probe = path.join(build, "regress/egress_probe");
const HOST = `fog-host-${process.pid}`;
const WORLD = `fog-world-${process.pid}`;
const HOST_ADDRESS = "192.0.2.1";
const METADATA = "169.254.169.254";
const WORLD_ADDRESSES = ["198.51.100.1", "10.1.2.3", METADATA, "2001:db8:1::1"];
const PORTS = [80, 443];
const CLIENT_MS = 1500;
const LATE_MS = 1000;
const sessions = new Set();
const servers = [];

function whyNot() {
	if (process.getuid() !== 0)
		return "not root";
	for (const command of ["nft", "ip", "nsenter"]) {
		if (spawnSync("sh", ["-c", `command -v ${command}`]).status !== 0)
			return `no ${command}`;
	}
	const tried = spawnSync("unshare", ["-n", "sh", "-c", "nft add table inet x && ip link add a1 type veth peer name b1"]);
	return tried.status === 0 ? false : "no nf_tables or veth in this kernel";
}

const ip = (...args) => execFileSync("ip", args, { encoding: "utf8" });
const inHost = (...args) => spawnSync("ip", ["netns", "exec", HOST, ...args], { encoding: "utf8" });
const must = (result) => {
	assert.equal(result.status, 0, result.stderr);
	return result.stdout;
};
const setting = (name, value) => ["sh", "-c", `echo ${value} >/proc/sys/${name.replaceAll(".", "/")}`];
const sysctl = (name, value) => must(inHost(...setting(name, value)));
const run = (...args) => inHost(probe, ...args);
const errorOf = (result) => [result.status, result.stderr.trim()];
const denied = (slot) => Number(must(run("denied", slot)));
const rulesOfHost = () => must(inHost("nft", "-s", "list", "ruleset"));
const linksOfHost = () => ip("-n", HOST, "-o", "link").replaceAll(/qdisc \S+ state \S+/g, "");

// --- servers: they answer with the address that they see, on TCP and UDP ---

const SERVER = `
	const net = require("net"), dgram = require("dgram");
	const [addresses, ports] = process.argv.slice(1).map((a) => a.split(","));
	let left = addresses.length * ports.length * 2;
	const up = () => { if (--left === 0) console.log("up"); };
	for (const address of addresses) for (const port of ports) {
		net.createServer((c) => {
			c.on("error", () => {}).on("data", (d) => c.write(d)).write(c.remoteAddress + "\\n");
		}).listen(+port, address, up);
		const u = dgram.createSocket(address.includes(":") ? "udp6" : "udp4");
		u.on("message", (m, from) => {
			setTimeout(() => u.send(from.address + "\\n", from.port, from.address), String(m) === "late" ? ${LATE_MS} : 0);
		}).bind(+port, address, up);
	}`;
// "ADDRESS SEEN", or the error's code; "timeout".
const CLIENT = `
	const [kind, address, port, source] = process.argv.slice(1);
	const done = (text) => { console.log(text); process.exit(); };
	setTimeout(() => done("timeout"), ${CLIENT_MS});
	if (kind === "udp") {
		const u = require("dgram").createSocket("udp4");
		u.on("error", (e) => done(e.code)).on("message", (m) => done(String(m).trim()));
		u.bind(0, source || "0.0.0.0", () => u.connect(+port, address, () => u.send("x")));
	} else
		require("net").connect({ host: address, port: +port, localAddress: source })
			.on("error", (e) => done(e.code)).on("data", (d) => done(String(d).trim()));`;

async function listen(enter, addresses, ports) {
	const child = spawn(enter[0], [...enter.slice(1), process.execPath, "-e", SERVER, addresses.join(","), ports.join(",")], {
		stdio: ["ignore", "pipe", "inherit"] });
	servers.push(child);
	const [said] = await once(child.stdout);
	assert.match(said, /^up/);
	return child;
}

function once(stream) {
	return new Promise((resolve, reject) => {
		stream.once("data", (d) => resolve([String(d)])).once("end", () => reject(new Error("ended without a word")));
	});
}

// --- sessions ---

async function startSession(slot, ...rules) {
	const child = spawn("ip", ["netns", "exec", HOST, probe, "session", slot, ...rules], { stdio: ["pipe", "pipe", "pipe"] });
	let errors = "";
	child.stderr.on("data", (d) => errors += d);
	const session = { slot, child };
	sessions.add(session);
	const [line] = await once(child.stdout).catch(() => assert.fail(`no session: ${errors}`));
	const [pid, link, enter] = line.split(" ").map(Number);
	const enterCommand = ["nsenter", "-n", "-t", String(pid)];
	const inside = (...args) => spawnSync(enterCommand[0], [...enterCommand.slice(1), ...args], { encoding: "utf8" });
	const ask = (kind, address, port, source = "") => must(inside(process.execPath, "-e", CLIENT, kind, address, String(port), source)).trim();
	return Object.assign(session, { pid, us: link + enter, enterCommand, inside, ask,
		ping: (address) => { const r = inside(probe, "ping", address); return (r.stdout + r.stderr).trim(); } });
}

async function endSession(session) {
	if (!sessions.delete(session))
		return;
	const over = new Promise((resolve) => session.child.once("exit", resolve));
	session.child.stdin.end();
	if (session.child.exitCode === null)
		await over;
	must(run("unlink", session.slot));
}

async function denies(session, attempt, expected = /^(EHOSTUNREACH|EACCES|ENETUNREACH|timeout)$/) {
	const had = denied(session.slot);
	assert.match(attempt(), expected);
	assert.ok(denied(session.slot) > had, "the deny is counted");
}

describe("what a session may reach", { skip: whyNot() }, () => {
	before(async () => {
		ip("netns", "add", HOST);
		ip("netns", "add", WORLD);
		ip("-n", HOST, "link", "add", "up0", "type", "veth", "peer", "name", "down0", "netns", WORLD);
		for (const [ns, device, v4, v6] of [[HOST, "up0", `${HOST_ADDRESS}/24`, "2001:db8::1/64"], [WORLD, "down0", "192.0.2.2/24", "2001:db8::2/64"]]) {
			ip("-n", ns, "addr", "add", v4, "dev", device);
			ip("-n", ns, "addr", "add", v6, "dev", device, "nodad");
			ip("-n", ns, "link", "set", "lo", "up");
			ip("-n", ns, "link", "set", device, "up");
		}
		for (const address of WORLD_ADDRESSES)
			ip("-n", WORLD, "addr", "add", address.includes(":") ? `${address}/128` : `${address}/32`, "dev", "lo");
		ip("-n", HOST, "route", "add", "default", "via", "192.0.2.2");
		ip("-n", HOST, "-6", "route", "add", "default", "via", "2001:db8::2");
		ip("-n", WORLD, "route", "add", "100.127.224.0/19", "via", HOST_ADDRESS);
		sysctl("net.ipv4.ip_forward", 1);
		sysctl("net.ipv6.conf.all.forwarding", 1);
		must(run("prepare"));
		await listen(["ip", "netns", "exec", WORLD], WORLD_ADDRESSES, PORTS);
		await listen(["ip", "netns", "exec", HOST], [HOST_ADDRESS, "127.0.0.1"], PORTS);
	});
	afterEach(async () => {
		for (const session of [...sessions])
			await endSession(session);
	});
	after(() => {
		for (const child of servers)
			child.kill("SIGKILL");
		for (const name of [HOST, WORLD])
			spawnSync("ip", ["netns", "del", name]);
	});

	it("an allowed network and port, from the host's own address; nothing else", async () => {
		const s = await startSession(3, "198.51.100.0/24 tcp 443", "10.0.0.0/8 udp 80-100");
		assert.equal(s.ask("tcp", "198.51.100.1", 443), HOST_ADDRESS);
		assert.equal(s.ask("udp", "10.1.2.3", 80), HOST_ADDRESS);
		assert.equal(denied(3), 0);
		await denies(s, () => s.ask("tcp", "198.51.100.1", 80));
		await denies(s, () => s.ask("udp", "198.51.100.1", 443));
		await denies(s, () => s.ask("tcp", "10.1.2.3", 80));
		await denies(s, () => s.ask("udp", "10.1.2.3", 443));
		await denies(s, () => s.ping("198.51.100.1"));
		assert.match(rulesOfHost(), /tcp dport 443-443 .* comment "1: 198\.51\.100\.0\/24 tcp 443"/);
		assert.match(must(inHost("nft", "list", "chain", "inet", "cloudshell_fog", "s3")), /counter packets [1-9]\d* .*comment "1: /);
		assert.match(rulesOfHost(), /limit rate 5\/second .*log prefix "fog-deny s3 egress\.no_rule "/);
	});

	it("a denied connection is refused at once, not left waiting", async () => {
		const s = await startSession(3, "198.51.100.0/24 tcp 443");
		assert.equal(s.ask("tcp", "198.51.100.1", 80), "EHOSTUNREACH");
	});

	it("ICMP is a rule of its own", async () => {
		const s = await startSession(4, "10.1.0.0/16 icmp");
		assert.equal(s.ping("10.1.2.3"), "ok");
		await denies(s, () => s.ping("198.51.100.1"));
		await denies(s, () => s.ask("tcp", "10.1.2.3", 80));
	});

	it("IPv6 likewise, and only where a rule is for it", async () => {
		const s = await startSession(5, "2001:db8:1::/48 tcp 443");
		assert.equal(s.ask("tcp", "2001:db8:1::1", 443), "2001:db8::1");
		await denies(s, () => s.ask("tcp", "2001:db8:1::1", 80));
		const four = await startSession(6, "0.0.0.0/0");
		assert.match(four.ask("tcp", "2001:db8:1::1", 443), /^(ENETUNREACH|EADDRNOTAVAIL)$/);
		assert.doesNotMatch(must(four.inside("ip", "-6", "-o", "addr", "show", "dev", "eth0")), /./);
	});

	it("a rule for everything leaves out the host, its loopback, metadata and other sessions", async () => {
		const s = await startSession(7, "0.0.0.0/0", "::/0");
		const other = await startSession(8, "0.0.0.0/0");
		await listen(other.enterCommand, ["100.127.224.17"], PORTS);
		assert.equal(s.ask("tcp", "198.51.100.1", 80), HOST_ADDRESS);
		await denies(s, () => s.ask("tcp", HOST_ADDRESS, 80));
		await denies(s, () => s.ask("tcp", "100.127.224.14", 80)); // the host's end of its own pair
		await denies(s, () => s.ask("tcp", METADATA, 80));
		await denies(s, () => s.ask("udp", METADATA, 80));
		await denies(s, () => s.ask("tcp", "100.127.224.17", 80));
		await denies(s, () => s.ping(HOST_ADDRESS));
		await denies(s, () => s.ask("tcp", "2001:db8::1", 80));
		// Loopback over the wire: the kernel's own check off, as some systems have it.
		sysctl("net.ipv4.conf.all.route_localnet", 1);
		must(s.inside(...setting("net.ipv4.conf.all.route_localnet", 1)));
		must(s.inside("ip", "route", "add", "127.0.0.1/32", "via", "100.127.224.14", "src", "100.127.224.15"));
		await denies(s, () => s.ask("tcp", "127.0.0.1", 80, "100.127.224.15"));
		sysctl("net.ipv4.conf.all.route_localnet", 0);
	});

	it("what is named is reached, but for loopback and other sessions", async () => {
		const s = await startSession(9, `${METADATA}/32 tcp 80`, `${HOST_ADDRESS} tcp 80`, "100.127.224.21 tcp 80");
		const other = await startSession(10, "0.0.0.0/0");
		await listen(other.enterCommand, ["100.127.224.21"], PORTS);
		assert.equal(s.ask("tcp", METADATA, 80), HOST_ADDRESS);
		assert.equal(s.ask("tcp", HOST_ADDRESS, 80), "100.127.224.19");
		await denies(s, () => s.ask("tcp", METADATA, 443));
		await denies(s, () => s.ask("tcp", HOST_ADDRESS, 443));
		await denies(s, () => s.ask("tcp", "100.127.224.21", 80));
		const refused = run("session", 11, "127.0.0.1 tcp 80");
		assert.match(refused.stderr, /loopback/);
	});

	it("another's address as the source is dropped", async () => {
		const s = await startSession(12, "0.0.0.0/0");
		const spoofed = () => Number(/packets (\d+)/.exec(must(inHost("nft", "list", "counter", "inet", "cloudshell_fog", "spoofed")))[1]);
		const had = spoofed();
		must(s.inside("ip", "addr", "add", "100.127.224.27/32", "dev", "lo"));
		assert.equal(s.ask("tcp", "198.51.100.1", 80, "100.127.224.27"), "timeout");
		assert.ok(spoofed() > had);
	});

	it("nothing comes in", async () => {
		const s = await startSession(13, "0.0.0.0/0");
		await listen(s.enterCommand, ["100.127.224.27"], PORTS);
		for (const from of [HOST, WORLD]) {
			for (const kind of ["tcp", "udp"]) {
				const r = spawnSync("ip", ["netns", "exec", from, process.execPath, "-e", CLIENT, kind, "100.127.224.27", "80", ""], { encoding: "utf8" });
				assert.match(r.stdout.trim(), /^(timeout|EPERM)$/);
			}
		}
	});

	it("a connection lives on when the rules of the host are made anew, as those of the session", async () => {
		const s = await startSession(14, "198.51.100.0/24 tcp 443");
		const client = spawn(s.enterCommand[0], [...s.enterCommand.slice(1), process.execPath, "-e", `
			const c = require("net").connect(443, "198.51.100.1");
			c.on("data", (d) => process.stdout.write(d)).on("error", (e) => { console.log(e.code); process.exit(); });
			process.stdin.on("data", (d) => c.write(d)).on("end", () => process.exit());`], { stdio: ["pipe", "pipe", "inherit"] });
		assert.equal((await once(client.stdout))[0].trim(), HOST_ADDRESS);
		const rules = rulesOfHost();
		for (let i = 0; i < 3; i++) {
			must(run("prepare"));
			client.stdin.write(`again ${i}`);
			assert.equal((await once(client.stdout))[0], `again ${i}`);
		}
		assert.equal(rulesOfHost(), rules);
		await denies(s, () => s.ask("tcp", "198.51.100.1", 80));
		client.stdin.end();
	});

	it("a slot's next session gets no answer to what the last one asked", async () => {
		const askLate = (s, waitMs, says) => must(s.inside(process.execPath, "-e", `
			const u = require("dgram").createSocket("udp4").on("message", () => { console.log("answered"); process.exit(); });
			u.bind(5555, () => { if ("${says}") u.send("${says}", 80, "198.51.100.1"); setTimeout(() => process.exit(), ${waitMs}); });`)).trim();
		const first = await startSession(15, "198.51.100.0/24 udp");
		assert.equal(askLate(first, 3 * LATE_MS, "late"), "answered");
		assert.equal(askLate(first, LATE_MS / 20, "late"), "");
		await endSession(first);
		const next = await startSession(15, "198.51.100.0/24 udp");
		assert.equal(askLate(next, 2 * LATE_MS, ""), "");
	});

	it("unlinking leaves nothing, twice too, and a sweep takes the rest", async () => {
		const rules = rulesOfHost(), links = linksOfHost();
		const s = await startSession(16, "0.0.0.0/0", "::/0");
		assert.notEqual(rulesOfHost(), rules);
		assert.notEqual(linksOfHost(), links);
		must(run("unlink", 16)); // while it lives, too
		assert.equal(rulesOfHost(), rules);
		assert.equal(linksOfHost(), links);
		assert.deepEqual(errorOf(run("denied", 16)), [1, "ENOENT"]);
		await endSession(s);
		const kept = await startSession(17, "198.51.100.1"), lost = await startSession(18, "198.51.100.1");
		must(run("sweep", 17));
		assert.doesNotMatch(rulesOfHost() + linksOfHost(), /fog18|s18|r18/);
		assert.equal(kept.ask("tcp", "198.51.100.1", 80), HOST_ADDRESS);
		await endSession(kept);
		await endSession(lost);
		assert.equal(rulesOfHost(), rules);
	});

	it("what a crash left in a slot is replaced; an interface that is not ours is left alone", async () => {
		const rules = rulesOfHost();
		const s = await startSession(19, "198.51.100.1");
		sessions.delete(s);
		s.child.stdin.end();
		const again = await startSession(19, "10.1.2.3");
		await denies(again, () => again.ask("tcp", "198.51.100.1", 80));
		assert.equal(again.ask("tcp", "10.1.2.3", 80), HOST_ADDRESS);
		ip("-n", HOST, "link", "add", "fog20", "type", "veth", "peer", "name", "other20");
		assert.deepEqual(errorOf(run("session", 20, "10.1.2.3")), [1, "EEXIST"]);
		assert.match(linksOfHost(), /fog20/);
		ip("-n", HOST, "link", "del", "fog20");
		await endSession(again);
		assert.equal(rulesOfHost(), rules);
	});

	it("a ruleset that somebody flushed is made anew", async () => {
		must(inHost("nft", "flush", "ruleset"));
		must(run("unlink", 21));
		must(run("sweep"));
		const s = await startSession(21, "198.51.100.1 tcp 80");
		assert.equal(s.ask("tcp", "198.51.100.1", 80), HOST_ADDRESS);
		await denies(s, () => s.ask("tcp", METADATA, 80));
	});

	it("a host that forwards nothing: ENONET, and nothing half-made", () => {
		const rules = rulesOfHost(), links = linksOfHost();
		sysctl("net.ipv6.conf.all.forwarding", 0);
		assert.deepEqual(errorOf(run("session", 22, "::/0")), [1, "ENONET"]);
		sysctl("net.ipv4.ip_forward", 0);
		assert.deepEqual(errorOf(run("session", 22, "0.0.0.0/0")), [1, "ENONET"]);
		sysctl("net.ipv4.ip_forward", 1);
		sysctl("net.ipv6.conf.all.forwarding", 1);
		assert.equal(rulesOfHost(), rules);
		assert.equal(linksOfHost(), links);
	});

	it("more connections than a session may have are denied, and hold up nobody else", async () => {
		const s = await startSession(23, "198.51.100.0/24"), other = await startSession(24, "198.51.100.0/24");
		const open = (from, count) => must(s.inside(process.execPath, "-e", `
			const u = require("dgram").createSocket("udp4").on("error", () => {});
			u.bind(0, async () => {
				for (let i = 0; i < ${count}; i++)
					await new Promise((sent) => u.send("x", ${from} + i, "198.51.100.1", sent));
				process.exit();
			});`));
		open(2000, 1000);
		assert.equal(s.ask("tcp", "198.51.100.1", 443), HOST_ADDRESS);
		assert.equal(denied(23), 0);
		open(3000, 30);
		await denies(s, () => s.ask("tcp", "198.51.100.1", 443));
		assert.equal(other.ask("tcp", "198.51.100.1", 443), HOST_ADDRESS);
		assert.equal(denied(24), 0);
	});

	it("32 rules of the longest kind fit", async () => {
		const rules = Array.from({ length: 32 }, (_, i) => `2001:db8:1234:5678:9abc:def0:1234:56${10 + i}/128 tcp 10000-${20000 + i}`);
		await startSession(4095, ...rules);
		assert.match(rulesOfHost(), /comment "32: 2001:db8:1234:5678:9abc:def0:1234:5641\/128 tcp 10000-20031"/);
	});

	it("eight at a time", async () => {
		const rules = rulesOfHost();
		const all = await Promise.all(Array.from({ length: 8 }, (_, i) => startSession(30 + i, "198.51.100.0/24 tcp 80", "10.0.0.0/8")));
		for (const s of all)
			assert.equal(s.ask("tcp", "198.51.100.1", 80), HOST_ADDRESS);
		await Promise.all(all.map(endSession));
		assert.equal(rulesOfHost(), rules);
	});
});
