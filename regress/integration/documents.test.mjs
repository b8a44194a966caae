// SPDX-License-Identifier: MIT
// The documents against the tables of the code: options, errors, rules, routes, packages, filters, capabilities, log events;
// files that are named exist, man pages and unit are well-formed, and the README's example works as it stands.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { repo, suite } from "../lib/harness.mjs";

const read = (name) => fs.readFileSync(path.join(repo, name), "utf8");
const list = (dir, ending) => fs.readdirSync(path.join(repo, dir))
	.filter((name) => name.endsWith(ending)).map((name) => path.join(dir, name));
const onlyIn = (a, b) => [...a].filter((item) => !b.includes(item));

function assertSame(found, wanted, what) {
	assert.ok(wanted.length > 0, `${what}: the table could not be read`);
	assert.deepEqual(onlyIn(found, wanted), [], `${what}: only in the document`);
	assert.deepEqual(onlyIn(wanted, found), [], `${what}: missing in the document`);
	assert.equal(found.length, wanted.length, `${what}: something is there twice`);
}

// --- the tables ---

const flat = (text) => text.replaceAll(/\s*\\\n\s*/g, " ");
const configDef = flat(read("common/config.def"));
const OPTIONS = [...configDef.matchAll(/\bC\((\w+), \w+, ([A-Z0-9_]+), "([^"]*)", (\d+), (\d+),/g)]
	.map(([, kind, name, fallback, min, max]) => ({ kind, name, fallback, min, max }));
const NOT_BUILT = [...configDef.matchAll(/\bZ\(([A-Z0-9_]+), "/g)].map(([, name]) => name);
const ERRORS = [...read("common/err.def").matchAll(/^E\((\w+), (\d+), "([^"]+)", "([^"]+)"\)/gm)]
	.map(([, name, status, code, title]) => ({ name, status, code, title }));
const RULES = [...flat(read("placerd/policy.h")).matchAll(/\bR\([A-Z]+, FOG_(?:E_)?(\w+), "([^"]+)"\)/g)]
	.map(([, error, id]) => ({ id, status: ERRORS.find(({ name }) => name === error)?.status ?? "" }));
const ROUTES = list("gatewayd", ".c").flatMap((file) =>
	[...read(file).matchAll(/^\s*\{\s*"([A-Z]+)",\s*"(\/[^"]*)",[^}]*\}/gm)].map(([, method, pattern]) => `${method} ${pattern}`));
const C_SOURCES = ["common", "gatewayd", "authd", "placerd", "ptyd", "fetcher"].flatMap((dir) => list(dir, ".c"));

// A section of a Markdown file, by its heading, without those below it.
function section(text, heading) {
	const from = text.indexOf(`\n## ${heading}\n`);
	assert.ok(from >= 0, `no section "${heading}"`);
	const to = text.indexOf("\n## ", from + 1);
	return text.slice(from, to < 0 ? undefined : to);
}

const readme = read("README.md");
const configuration = section(readme, "Configuration");
const gatewayEnvPage = read("man/fog-gateway.env.5");
const gatewayEnv = read("etc/gateway.env");
const fogdPage = read("man/fogd.8");
const policyPage = read("man/fog-policy.yaml.5");
const privsep = read("README.privsep");

// --- options ---

describe("options of common/config.def", () => {
	it("the table could be read whole", () => {
		assert.equal(OPTIONS.length, configDef.match(/\bC\((str|u32|flag),/g).length);
		assert.ok(NOT_BUILT.length > 0);
	});

	it("README.md: each variable with its default", () => {
		const rows = [...configuration.matchAll(/^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|unset) \| (\S.*) \|$/gm)];
		assertSame(rows.map(([, name, fallback = ""]) => `${name}=${fallback}`),
			OPTIONS.map(({ name, fallback }) => `${name}=${fallback}`), "README.md");
	});

	it("fog-gateway.env(5): each variable with its default and bounds", () => {
		const [built, later] = gatewayEnvPage.split(".Ss Not available in this version");
		const entries = built.slice(built.indexOf(".Sh VARIABLES")).split(/^\.It Ev /m).slice(1).map((entry) => ({
			name: /^\w+/.exec(entry)[0],
			fallback: /^Default:\n\.Li (\S.*) \.$/m.exec(entry)?.[1] ?? (/^Default: unset\.$/m.test(entry) ? "" : "(none told)"),
			bounds: /^From (\d+) to (\d+)\.$/m.exec(entry)?.slice(1) ?? [],
		}));
		assertSame(entries.map(({ name, fallback, bounds }) => [`${name}=${fallback}`, ...bounds].join(" ")),
			OPTIONS.map(({ kind, name, fallback, min, max }) => [`${name}=${fallback}`, ...(kind === "u32" ? [min, max] : [])].join(" ")),
			"man/fog-gateway.env.5");
		assertSame([...later.split(/^\.Sh /m)[0].matchAll(/^\.It Ev (\w+)$/gm)].map(([, name]) => name), NOT_BUILT, "not available");
	});

	it("etc/gateway.env: each variable with its default, none of them set", () => {
		const found = [...gatewayEnv.matchAll(/^#([A-Z0-9_]+=.*)$/gm)].map(([, line]) => line);
		assertSame(found, OPTIONS.map(({ name, fallback }) => `${name}=${fallback}`), "etc/gateway.env");
		assert.doesNotMatch(gatewayEnv, /^[^#\n]/m, "a line that is no comment");
		assert.match(gatewayEnv, /USE_STUB_CONNECTOR=1\b/, "what this version wants is said");
	});

	it("what is not available is named in all three", () => {
		for (const [name, text] of [["README.md", configuration], ["etc/gateway.env", gatewayEnv]]) {
			const told = /(?:Not available|Reserved)[^.]*\./.exec(text.replaceAll(/\n#?\s*/g, " "))?.[0] ?? "";
			assertSame(told.match(/\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\bUSE_K8S\b/g) ?? [], NOT_BUILT, name);
		}
	});

	it("no document names a variable that does not exist", () => {
		const known = [...OPTIONS.map(({ name }) => name), ...NOT_BUILT];
		const others = /^(XDG_\w+|CREDENTIALS_DIRECTORY|JOURNAL_STREAM|NOTIFY_SOCKET|WATCHDOG_USEC)$/;
		const ofMake = /^(TEST_JOBS|FUZZ_SECONDS|CONFIGURE_ARGS|BENCH_ARGS|SIM_ARGS|FOG_NEXT_BUILD)$/;
		const constants = /^(SYS|NET|DAC|CAP|RLIMIT|O|SPAWN)_/;
		for (const name of ["README.md", "README.privsep", "SECURITY.md", "CHANGELOG.md", "docs/sandbox.md", "docs/identity.md",
			"man/fogd.8", "man/fog-policy.yaml.5"])
			for (const [, variable] of read(name).matchAll(/(?:`|\.Ev |^|\s)([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b/gm))
				assert.ok(known.includes(variable) || [others, ofMake, constants].some((words) => words.test(variable)), `${name}: ${variable}`);
	});
});

// --- errors, rules, routes ---

describe("the API", () => {
	it("fogd(8) lists every error of common/err.def with status and title", () => {
		const rows = [...fogdPage.matchAll(/^\.It Li (\w+) Ta (\d{3}) Ta (.+)$/gm)].map(([, ...row]) => row.join(" "));
		assertSame(rows, ERRORS.map(({ code, status, title }) => `${code} ${status} ${title}`), "man/fogd.8");
	});

	it("fog-policy.yaml(5) lists the rules in the order in which placerd tries them", () => {
		const rows = [...policyPage.matchAll(/^\.It Li ([a-z_]+\.[a-z_]+) Ta (\d*) ?Ta /gm)].map(([, id, status]) => `${id} ${status}`);
		assert.deepEqual(rows, RULES.map(({ id, status }) => `${id} ${status}`));
	});

	it("openapi.json describes the routes of gatewayd, and no others", () => {
		const { paths } = JSON.parse(read("docs/openapi.json"));
		const described = Object.entries(paths).flatMap(([pattern, item]) => Object.keys(item)
			.filter((key) => /^(get|put|post|delete|patch)$/.test(key)).map((method) => `${method.toUpperCase()} ${pattern}`));
		const files = ["GET /", "GET /openapi.json", "GET /signed-in"]; // of the page, served by name
		const table = ROUTES.filter((route) => route !== "GET /metrics"); // on a listener of its own
		assertSame(described.filter((route) => !files.includes(route)), table, "docs/openapi.json");
		assert.deepEqual(onlyIn(files, described), []);

		const told = [...section(readme, "First steps").matchAll(/^\| `([A-Z]+ \/\S*)` \| \S/gm)].map(([, route]) => route);
		assertSame(told, [...described, "GET /metrics"], "README.md");
	});

	it("every status of an error is one that openapi.json knows", () => {
		const { paths } = JSON.parse(read("docs/openapi.json"));
		const calls = Object.values(paths).flatMap((item) => Object.values(item));
		const known = new Set(calls.flatMap(({ responses }) => Object.keys(responses ?? {})));
		const anywhere = ["405"]; // described once for all paths
		for (const { code, status } of ERRORS)
			assert.ok(known.has(status) || anywhere.includes(status), `${code}: ${status}`);
	});
});

// --- packages ---

describe("dependencies", () => {
	const tables = section(readme, "Dependencies").split("npm packages");
	const names = (table) => [...table.matchAll(/^\| (`.*?) \| \S/gm)]
		.flatMap(([, cell]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));

	it("the Debian packages of build-aux/deps.sh, each with a reason", () => {
		const groups = [...read("build-aux/deps.sh").matchAll(/^\t\[\w+\]="([^"]+)"/gm)];
		const wanted = groups.flatMap(([, words]) => words.trim().split(/\s+/)).map((word) => word.split("=").at(-1));
		assertSame(names(tables[0]), [...new Set(wanted)], "README.md");
	});

	it("the npm packages of the page and of the tests, each with a reason", () => {
		const wanted = ["web", "regress"].flatMap((dir) => {
			const { dependencies, devDependencies } = JSON.parse(read(`${dir}/package.json`));
			return Object.keys({ ...dependencies, ...devDependencies });
		});
		assertSame(names(tables[1]), [...new Set(wanted)], "README.md");
	});

	it("lock files carry no registry addresses", () => {
		for (const dir of ["web", "regress"])
			assert.doesNotMatch(read(`${dir}/package-lock.json`), /"resolved"/);
	});
});

// --- privileges ---

describe("README.privsep", () => {
	const block = (name) => {
		const found = new RegExp(`^${name}\\b.*\\n((?: {4}.*\\n)+)`, "m").exec(privsep);
		assert.ok(found, name);
		return found[1].replaceAll(/\n {5,}/g, " ");
	};
	const row = (name, key) => new RegExp(`^ {4}${key} +(.*)$`, "m").exec(block(name))?.[1] ?? "";
	const words = (text) => text.split(/\s+/).filter((word) => word && word !== "none");

	// Calls that filter.c allows by their arguments stand in functions, not in the tables. The prober has the fetcher's.
	const OWN_CALLS = [["gatewayd", ["clone", "ioctl"]], ["authd", []], ["placerd", []], ["ptyd", ["socket", "connect"]],
		["holder", ["ioctl", "socketpair"]], ["fetcher", ["socket"]], ["prober", ["socket"], "fetcher"]];

	it("own calls are those of common/filter.c", () => {
		const filter = flat(read("common/filter.c"));
		for (const [role, extra, tableOf = role] of OWN_CALLS) {
			const table = new RegExp(`${tableOf}_calls\\[\\] = \\{([^}]*)\\}`).exec(filter);
			assert.ok(table, `${role}_calls`);
			const calls = [...table[1].matchAll(/SC\((\w+)\)/g)].map(([, name]) => name);
			assert.deepEqual(words(row(role, "own calls")).sort(), [...calls, ...extra].sort(), role);
		}
	});

	it("capabilities are those of common/privdrop.c, and the unit's", () => {
		const code = read("common/privdrop.c");
		const listOf = (name) => new RegExp(`privdrop_${name}_caps =([^;]*);`).exec(code)[1];
		const capsOf = (name) => [...listOf(name).matchAll(/CAP_BIT\(CAP_(\w+)\)/g)].map(([, cap]) => cap);
		for (const role of ["fogd", "spawner"])
			assert.deepEqual(words(row(role, "capabilities")).sort(), capsOf(role).sort(), role);
		for (const role of ["gatewayd", "authd", "placerd", "ptyd", "fetcher", "prober"])
			assert.equal(row(role, "capabilities"), "none", role);
		const unit = [...read("etc/systemd/cloudshell-fog.service").matchAll(/^CapabilityBoundingSet=(.*)$/gm)]
			.flatMap(([, caps]) => words(caps));
		assert.deepEqual(unit.sort(), [...capsOf("fogd"), "NET_BIND_SERVICE"].map((cap) => `CAP_${cap}`).sort());
	});

	it("users are those of the sysusers.d file", () => {
		const users = [...read("etc/sysusers.d/cloudshell-fog.conf").matchAll(/^u (\S+)/gm)].map(([, name]) => name);
		for (const role of ["gatewayd", "authd", "placerd", "ptyd", "fetcher", "prober"])
			assert.ok(users.includes(row(role, "uid")), `${role}: ${row(role, "uid")}`);
	});

	it("how much runs with privilege: at most what is said, and not much less", () => {
		const told = /made of\s+at most (\d+) lines[^]*?with (\d+)\s+more[^]*?made of (\d+)\./.exec(privsep)?.slice(1).map(Number);
		const makefile = flat(read("Makefile"));
		const sources = (name) => /ptyd\/,([^)]*)\)/.exec(makefile.match(new RegExp(`^${name}_SRC\\s*=.*$`, "m"))[0])[1]
			.trim().split(/\s+/).map((file) => `ptyd/${file}`);
		const count = (files) => files.map((file) => read(file).replaceAll(/\/\*[^]*?\*\//g, "").match(/\S.*$/gm).length)
			.reduce((a, b) => a + b);
		const found = [sources("SPAWNER"), list("common", ".c").filter((file) => /\/egress/.test(file)), sources("FOGD")].map(count);
		for (const [i, lines] of found.entries())
			assert.ok(lines <= told[i] && lines > told[i] * 0.9, `${lines} lines, ${told[i]} told`);
	});

	it("each promise names a test that exists", () => {
		const promises = privsep.slice(privsep.indexOf("\n8. ")).match(/^ {2}- [^]*?(?=^ {2}- |^$(?![^]))/gm) ?? [];
		assert.ok(promises.length >= 10, `${promises.length} promises`);
		for (const promise of promises)
			assert.match(promise, /\b[\w-]+\.(test\.mjs|c)\b/, promise);
		for (const [name] of privsep.slice(privsep.indexOf("\n8. ")).matchAll(/\b[\w./-]+\.(test\.mjs|c)\b/g))
			assert.ok(fs.existsSync(path.join(repo, name.includes("/") ? name : `regress/integration/${name}`)), name);
	});
});

// --- the rest ---

describe("all documents", () => {
	const DOCUMENTS = ["README.md", "README.privsep", "PROTOCOL", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md",
		...[1, 5, 8].flatMap((n) => list("man", `.${n}`)), ...list("etc", ""), ...list("etc/systemd", ".service"), "docs/sandbox.md"]
		.filter((name) => fs.statSync(path.join(repo, name)).isFile());

	it("files that are named exist", () => {
		const top = fs.readdirSync(repo, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name)
			.filter((name) => !name.startsWith(".") && !name.startsWith("build"));
		const named = new RegExp(`(?<![\\w./-])((?:${top.join("|")}|build-aux|\\.ci)/[\\w./*-]*[\\w*])`, "g");
		for (const name of DOCUMENTS.filter((document) => /^(README|PROTOCOL|SECURITY|CONTRIBUTING)/.test(document)))
			for (const [found] of read(name).matchAll(named))
				assert.ok(fs.existsSync(path.join(repo, found)), `${name}: ${found}`);
		for (const name of ["README.md", "docs/identity.md", "docs/sandbox.md"]) {
			const text = read(name);
			for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
				assert.ok(fs.existsSync(path.join(repo, path.dirname(name), target)), `${name}: ${target}`);
			for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g))
				assert.match(text.toLowerCase(), new RegExp(`\n###? ${anchor.replaceAll("-", " ")}\n`), name);
		}
	});

	it("the targets of make that are named exist", () => {
		const targets = new Set([...read("Makefile").matchAll(/^([a-z][\w -]*):(?!=)/gm)].flatMap(([, line]) => line.trim().split(/\s+/)));
		for (const name of ["README.md", "CONTRIBUTING.md"])
			for (const [, target] of read(name).matchAll(/(?:`|^)make ((?!B=)[a-z][\w-]*)/gm))
				assert.ok(targets.has(target), `${name}: make ${target}`);
	});

	it("fogd(8): its options are those that fogd takes, its events those that are logged", () => {
		const sources = C_SOURCES.map((file) => read(file)).join("\n");
		const taken = /getopt\(argc, argv, "(\w+)"\)/.exec(read("ptyd/supervisor.c"))[1];
		assert.deepEqual([...fogdPage.matchAll(/^\.It Fl (\w)$/gm)].map(([, flag]) => flag).sort(), [...taken].sort());
		const told = [...fogdPage.matchAll(/^\.It Li event=.*$/gm)]
			.flatMap(([line]) => [...line.matchAll(/event=(\w+)/g)].map(([, event]) => event));
		for (const event of told)
			assert.match(sources, new RegExp(`event=${event}\\b`), event);
		const warnings = [...sources.matchAll(/\blog_(?:warnx?|error)\(\s*"event=(\w+)/g)].map(([, event]) => event);
		assert.ok(warnings.length > 40);
		assert.deepEqual(onlyIn(new Set(warnings), told), [], "warnings and errors that fogd(8) does not explain");
		assert.equal(new Set(told).size, told.length, "an event is there twice");
	});

	it("docs/sandbox.md: what a session can fail with, in the words of ptyd/broker.c", () => {
		const table = /\bcauses\[\] = \{([^]*?)\n\};/.exec(read("ptyd/broker.c"))[1].replaceAll(/"\s+"/g, "");
		const rows = [...table.matchAll(/STAGE_(\w+), E\w+,\s*"([^"]+)"/g)].map(([, stage, text]) => `${stage.toLowerCase()}: ${text}`);
		const causes = section(read("docs/sandbox.md"), "When a session does not start").replaceAll(/\s+/g, " ");
		assert.equal(rows.length, table.match(/STAGE_/g).length);
		assertSame([...causes.matchAll(/- `(\w+: [^`]+)`<br>/g)].map(([, detail]) => detail), rows, "docs/sandbox.md");
	});

	it("PROTOCOL names the close codes that gatewayd sends", () => {
		const told = [...read("PROTOCOL").matchAll(/\b([14]\d{3}) {2}/g)].map(([, code]) => code);
		const sent = [...list("gatewayd", ".h"), ...list("gatewayd", ".c")]
			.flatMap((file) => [...read(file).matchAll(/^#define (?:TERM_CLOSE|WS)_(?!\w*MAX\b)\w+ ([14]\d{3})\b/gm)].map(([, code]) => code));
		assert.ok(sent.length >= 3);
		assert.deepEqual(onlyIn(sent, told), []);
	});

	it("the text files have lines of at most 140 columns, and no trailing blanks", () => {
		for (const name of DOCUMENTS.filter((document) => /^(README|SECURITY|CONTRIBUTING|CHANGELOG|etc\/|docs\/)/.test(document)))
			read(name).split("\n").forEach((line, i) => {
				assert.ok([...line].length <= 140, `${name}:${i + 1} has ${[...line].length} columns`);
				assert.doesNotMatch(line, /[ \t]$/, `${name}:${i + 1}`);
			});
	});

	it("mandoc has no warnings", (t) => {
		const pages = [1, 5, 8].flatMap((n) => list("man", `.${n}`));
		const { error, status, stdout } = spawnSync("mandoc", ["-Tlint", "-W", "warning", ...pages], { cwd: repo, encoding: "utf8" });
		if (error?.code === "ENOENT")
			return t.skip("mandoc is not installed");
		assert.equal(status, 0, stdout);
	});

	it("systemd takes the unit", (t) => {
		const { error, stderr, stdout } = spawnSync("systemd-analyze", ["verify", "etc/systemd/cloudshell-fog.service"],
			{ cwd: repo, encoding: "utf8" });
		if (error?.code === "ENOENT")
			return t.skip("systemd is not installed");
		// The programs and the man pages may not be installed here.
		const complaints = `${stdout}${stderr}`.split("\n")
			.filter((line) => line.includes("cloudshell-fog.service") && !/is not executable|Command 'man /.test(line));
		assert.deepEqual(complaints, []);
	});
});

suite("README.md: first steps", {}, ({ fog, test }) => {
	const example = (name) => {
		const found = new RegExp(`<!-- example: ${name} -->\n\`\`\`sh\n([^]*?)\n\`\`\``).exec(readme);
		assert.ok(found, `example ${name}`);
		return found[1];
	};

	test("curl makes a session, the WebSocket client sees 42 and the exit code 3", async (t) => {
		if (spawnSync("curl", ["--version"]).error)
			return t.skip("curl is not installed");
		const script = `${example("create")}\n${example("attach")}`.replaceAll("http://127.0.0.1:8080", fog.url);
		const { code, text } = await new Promise((resolve, reject) => {
			const child = spawn("bash", ["-euc", script], { cwd: repo, stdio: ["ignore", "pipe", "pipe"] });
			const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
			let output = "";
			for (const stream of [child.stdout, child.stderr])
				stream.setEncoding("utf8").on("data", (chunk) => { output += chunk; });
			child.once("error", reject);
			child.once("close", (status) => {
				clearTimeout(timer);
				resolve({ code: status, text: output });
			});
		});
		assert.equal(code, 0, text);
		assert.match(text, /"session_id"/);
		assert.match(text, /^42\r$/m);
		assert.match(text, /exit code 3/);
	});
});
