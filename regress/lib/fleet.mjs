// SPDX-License-Identifier: MIT
// Whole instances, each in a network namespace of its own on one bridge, with TLS, keys and one nodes.yaml; a real identity
// provider beside them; partitions by nftables in the namespaces. Needs root. Everything is taken down by stop().
// A node with a key (NodeKey) is played by the test, at an address of its own on the bridge. One with frontMs is reached through
// a relay alone, by the others as by people, which holds up each of its bytes, there and back, for that long.
//	const fleet = await Fleet.start({ nodes: [{ name: "north", tier: "fog" }, { name: "sky", tier: "cloud", region: "us-east-1" }] });
//	await fleet.at("north").create({ token: await fleet.token("alice"), latency: { north: 5 } });
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { build, Instance, policyOf, uidBase } from "./harness.mjs";
import { CLIENT, OidcProvider, TestCa } from "./oidc.mjs";
import { sleep, until } from "./proc.mjs";
import { listen } from "./testca.mjs";

const PORT = 8443;
const SELF = 254; // the last part of this process's own address
const FRONT = 100; // from the last part of a node's address to that of its relay

const run = (command, ...args) => execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

export const fogctlPath = path.join(build, "bin/fogctl");
export const fogctl = (...args) => run(fogctlPath, ...args);

// Why there can be no fleet here; undefined: there can.
export function whyNoFleet() {
	if (process.getuid() !== 0)
		return "network namespaces need root";
	try {
		run("ip", "link", "add", `fogp${process.pid}`, "type", "bridge");
		run("ip", "link", "del", `fogp${process.pid}`);
		return undefined;
	} catch (error) {
		return `no network of one's own: ${String(error.stderr).trim()}`;
	}
}

// A timer counts from when the loop has last looked at the clock, which is earlier than now.
const EARLY_MS = 5;

// TCP, each piece of it late by so much.
class Relay {
	#sockets = new Set();
	#server;

	constructor(to, delayMs) {
		this.delayMs = delayMs;
		this.#server = net.createServer({ allowHalfOpen: true }, (from) => this.#join(from, net.connect({ ...to, allowHalfOpen: true })));
	}

	start(port, host) {
		return listen(this.#server, port, host);
	}

	#join(...pair) {
		for (const [from, to] of [pair, [pair[1], pair[0]]]) {
			this.#sockets.add(from);
			from.setNoDelay(true);
			from.on("data", (bytes) => setTimeout(() => to.write(bytes), this.delayMs + EARLY_MS));
			from.on("end", () => setTimeout(() => to.end(), this.delayMs + EARLY_MS));
			from.on("error", () => to.destroy());
			from.on("close", () => {
				this.#sockets.delete(from);
				setTimeout(() => to.destroySoon(), this.delayMs + EARLY_MS + 1);
			});
		}
	}

	stop() {
		const closed = new Promise((resolve) => this.#server.close(resolve));
		for (const socket of this.#sockets)
			socket.destroy();
		return closed;
	}
}

export class Fleet {
	#dir = fs.mkdtempSync(path.join(os.tmpdir(), "fog-fleet-"));
	#bridge = `fogb${process.pid}`;
	#net = `10.${80 + process.pid % 100}.${Math.floor(process.pid / 100) % 250}`;
	#options;
	#nodes = [];
	#undo = [];
	ca = new TestCa();

	constructor(options) {
		this.#options = options;
	}

	static async start(options) {
		const fleet = new Fleet(options);
		try {
			await fleet.#start();
		} catch (error) {
			fleet.printLogs();
			await fleet.stop().catch(() => undefined);
			throw error;
		}
		return fleet;
	}

	#address(number) {
		return `${this.#net}.${number}`;
	}

	#ip(...args) {
		return run("ip", ...args);
	}

	async #start() {
		this.#ip("link", "add", this.#bridge, "type", "bridge");
		this.#undo.push(() => this.#ip("link", "del", this.#bridge));
		this.#ip("addr", "add", `${this.#address(SELF)}/24`, "dev", this.#bridge);
		this.#ip("link", "set", this.#bridge, "up");
		this.#nodes = this.#options.nodes.map((node, i) => this.#makeNode(node, i + 1));
		await this.#startProvider();
		this.writeNodes();
		await Promise.all(this.#nodes.filter(({ frontMs }) => frontMs !== undefined).map((node) => this.#startRelay(node)));
		await Promise.all(this.#nodes.filter(({ late, key }) => !late && !key).map((node) => this.#launch(node)));
		if (this.#options.settle !== false)
			await this.settled();
	}

	// The provider listens on the bridge, where every node reaches it.
	async #startProvider() {
		const host = this.#address(SELF);
		this.idp = new OidcProvider({ ca: this.ca, host, ...this.#options.provider });
		this.idp.certificate = this.ca.issue({ names: [host] });
		await this.idp.start();
		this.#undo.push(() => this.idp.stop());
	}

	async #startRelay(node) {
		const host = this.#address(FRONT + node.number);
		this.#ip("addr", "add", `${host}/24`, "dev", this.#bridge);
		node.relay = new Relay({ host: node.host, port: PORT }, node.frontMs);
		await node.relay.start(PORT, host);
		this.#undo.push(() => node.relay.stop());
	}

	#makeNode(options, number) {
		const node = { tier: "fog", region: "here", trust: "trusted", labels: [], sessions: 32, ...options, number };
		node.host = this.#address(number);
		node.url = `https://${node.frontMs === undefined ? node.host : this.#address(FRONT + number)}:${PORT}`;
		return node.key ? this.#playNode(node) : this.#makeReal(node);
	}

	#playNode(node) {
		this.#ip("addr", "add", `${node.host}/24`, "dev", this.#bridge);
		node.port = PORT;
		node.publicKey = node.key.public;
		return node;
	}

	#makeReal(node) {
		const { number } = node;
		node.space = `fogn${process.pid}-${number}`;
		const [outside, inside] = [`fo${process.pid}-${number}`, "eth0"];
		this.#ip("netns", "add", node.space);
		this.#undo.push(() => this.#ip("netns", "del", node.space));
		this.#ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", node.space);
		this.#ip("link", "set", outside, "master", this.#bridge, "up");
		for (const args of [["addr", "add", `${node.host}/24`, "dev", inside], ["link", "set", inside, "up"], ["link", "set", "lo", "up"]])
			this.#ip("-n", node.space, ...args);
		// The stub runtime listens on loopback alone (S24): what comes in is turned to there.
		run("ip", "netns", "exec", node.space, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
		run("ip", "netns", "exec", node.space, "nft", `add table ip turn; add chain ip turn in { type nat hook prerouting priority -100; };
			add rule ip turn in tcp dport ${PORT} dnat to 127.0.0.1:${PORT}`);
		node.keyFile = path.join(this.#dir, `${node.name}.key`);
		node.publicKey = /public_key: "([^"]+)"/.exec(fogctl("node", "keygen", "--out", node.keyFile))[1];
		const { key, cert, spki } = this.ca.issue({ names: [node.host, new URL(node.url).hostname] });
		node.spki = spki;
		[node.certFile, node.tlsKeyFile] = [cert, key].map((text, i) => {
			const file = path.join(this.#dir, `${node.name}.${i ? "tls.key" : "crt"}`);
			fs.writeFileSync(file, text, { mode: 0o600 });
			return file;
		});
		return node;
	}

	// change: from a node's row to the one that is written; for one node's own copy say its name.
	nodesYaml(change = (row) => row) {
		const rows = this.#nodes.map((node) => change({ ...node })).filter(Boolean);
		return `nodes:\n${rows.map(({ name, url, region, tier, trust, labels, sessions, publicKey }) => `  - name: ${name}
    url: ${url}
    region: ${region}
    tier: ${tier}
    trust: ${trust}
    data_labels: [${labels.join(", ")}]
    capacity: {sessions: ${sessions}}
    public_key: "${publicKey}"
`).join("")}`;
	}

	writeNodes(change) {
		for (const node of this.#nodes) {
			node.nodesFile = path.join(this.#dir, `${node.name}.nodes.yaml`);
			fs.writeFileSync(node.nodesFile, this.nodesYaml(change));
		}
	}

	#env(node) {
		return {
			LISTEN_ADDR: `127.0.0.1:${PORT}`, TLS_CERT_FILE: node.certFile, TLS_KEY_FILE: node.tlsKeyFile, GATEWAY_URL: node.url,
			NODE_NAME: node.name, NODES_CONFIG: node.nodesFile, NODE_KEY_FILE: node.keyFile, FLEET_CA_FILE: this.ca.file,
			FLEET_ORIGINS: this.#nodes.map(({ url }) => url).join(" "),
			OIDC_ISSUER_URL: this.idp.issuer, OIDC_CLIENT_ID: CLIENT, OIDC_AUDIENCE: "fog", OIDC_CA_FILE: this.ca.file,
			SESSION_UID_BASE: String(uidBase(node.number)),
			...this.#options.env, ...node.env,
		};
	}

	async #launch(node) {
		node.fog = new Instance({
			host: new URL(node.url).hostname, ca: this.ca.pem, wrap: ["nsenter", `--net=/run/netns/${node.space}`],
			policy: node.policy ?? this.#options.policy ?? policyOf([["default", { sessions: 16 }]]),
			env: () => this.#env(node), ready: this.#options.ready,
		});
		await node.fog.start();
	}

	launch(name) {
		return this.#launch(this.node(name));
	}

	node(name) {
		return this.#nodes.find((node) => node.name === name) ?? assert.fail(`no node ${name}`);
	}

	at(name) {
		return this.node(name).fog;
	}

	get names() {
		return this.#nodes.filter(({ fog }) => fog).map(({ name }) => name);
	}

	// From now on the caller's: another is made when it is about to lapse.
	token(user = "alice", options) {
		return this.idp.token({ user, life: 3600, ...options });
	}

	// What `name` says of the fleet: { node: state }.
	async states(name, token) {
		const { nodes } = await this.at(name).expect(200, "GET", "/v1/nodes", { token: token ?? await this.token() });
		return Object.fromEntries(nodes.map((node) => [node.name, node.state]));
	}

	// Until everyone has heard of everyone.
	async settled(names = this.names) {
		const token = await this.token();
		await Promise.all(names.map((name) => until(`${name} knows all nodes`, async () => {
			const states = await this.states(name, token);
			return names.every((other) => states[other] === "up");
		}, { timeout: 20_000 })));
	}

	waitState(by, name, wanted, options) {
		return until(`${by} has ${name} as ${wanted}`, async () => (await this.states(by))[name] === wanted, options);
	}

	// Nothing passes between the two groups of nodes; people and the provider reach both.
	cut(some, others) {
		for (const [here, there] of [[some, others], [others, some]])
			for (const name of here) {
				const addresses = there.map((other) => this.node(other).host).join(", ");
				this.#nft(name, `add table inet cut; add chain inet cut in { type filter hook input priority 0; };
					add rule inet cut in ip saddr { ${addresses} } drop`);
			}
	}

	heal() {
		for (const { name, space } of this.#nodes)
			if (space)
				this.#nft(name, "add table inet cut; delete table inet cut");
	}

	#nft(name, rules) {
		run("ip", "netns", "exec", this.node(name).space, "nft", rules);
	}

	// All of its processes at once, the sessions too, and no answer to anybody: as if the machine had lost its power.
	async powerOff(name) {
		this.#nft(name, "add table inet dead; add chain inet dead in { type filter hook input priority 0; policy drop; }");
		this.at(name).killAll();
		await sleep(50);
	}

	async powerOn(name) {
		this.#nft(name, "delete table inet dead");
		await this.at(name).restartFogd();
	}

	printLogs() {
		for (const { fog } of this.#nodes)
			fog?.printLogs();
	}

	async stop() {
		const failures = [];
		for (const { fog } of this.#nodes)
			await fog?.stop().catch((error) => failures.push(error));
		for (const undo of this.#undo.reverse())
			await Promise.resolve().then(undo).catch((error) => failures.push(error));
		this.ca.remove();
		fs.rmSync(this.#dir, { recursive: true, force: true });
		if (failures.length > 0)
			throw new AggregateError(failures, failures.map(({ message }) => message).join("; "));
	}
}
