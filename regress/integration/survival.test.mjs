// SPDX-License-Identifier: MIT
// A full-screen program is open while each process is killed, then all at once, then the whole service is stopped and
// another build of it started: the same shell, the same screen within 2 s (R1 to R4, R16), for who stays and for who comes anew.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after } from "node:test";
import serialize from "@xterm/addon-serialize";
import headless from "@xterm/headless";
import { relabelledBuild, turnTo } from "../lib/builds.mjs";
import { ROLES, suite } from "../lib/harness.mjs";
import { descendants, identify, isAlive, signal, sleep, until, waitGone } from "../lib/proc.mjs";
import { BinaryTerminal } from "../lib/ws.mjs";

const SAME_SCREEN_MS = 2000;
const COLS = 80;
const ROWS = 24;

// FOG_NEXT_BUILD names another build.
const anotherBuild = () => (process.env.FOG_NEXT_BUILD ? fs.realpathSync(process.env.FOG_NEXT_BUILD) : relabelledBuild());

// A screen of our own where there is no vim (on Debian build-aux/deps.sh installs it): it draws what was typed in
// colours, on the other screen buffer, and redraws all of it at each key.
const EDITOR = `stty raw -echo; text=; line=$(printf '\\r\\n_'); line=\${line%_}; printf '\\033[?1049h'
while :; do
printf '\\033[2J\\033[H\\033[1;44m editor \\033[0m\\r\\n\\033[32m%s\\033[0m\\033[24;1H%s' "$text" "\${#text} typed"
key=$(dd bs=1 count=1 2>/dev/null)
case $key in Q) break ;; ,) text=$text$line ;; *) text=$text$key ;; esac
done
printf '\\033[?1049l'; stty sane
`;

// FOG_EDITOR names another vim, or with no name that screen of our own.
const vim = process.env.FOG_EDITOR ??
	["/usr/bin/vim", "/usr/local/bin/vim", "/usr/bin/vim.tiny"].find((file) => fs.existsSync(file));
const editor = vim
	? { start: `${vim} -u NONE -i NONE -n -N --cmd 'set ruler showcmd ttimeoutlen=100'`, command: /^\S*\/vim\S* /,
		opened: /VIM - Vi IMproved|All/, write: (text) => `o${text}\x1b`, busy: /-- INSERT --/, quit: ":q!\n" }
	: { start: 'sh -c "$editor"', command: /^sh -c [^]* editor /, opened: /0 typed/, write: (text) => `${text},`, quit: "Q" };

// A person's terminal: what arrives goes to the screen, and the screen's answers to questions go back.
class Screen {
	#term = new headless.Terminal({ cols: COLS, rows: ROWS, scrollback: 100, allowProposedApi: true });
	#serializer = new serialize.SerializeAddon();
	#answersTo;

	constructor() {
		this.#term.loadAddon(this.#serializer);
		this.#term.onData((data) => this.#answersTo?.type(data));
	}

	// Shows what this terminal receives from now on. What it already has is a replay: whoever asked there has its answers.
	async show(terminal) {
		this.#answersTo = undefined;
		const push = terminal.screen.push.bind(terminal.screen);
		const replayed = terminal.screen.text;
		terminal.screen.push = (chunk) => {
			push(chunk);
			this.#term.write(chunk);
		};
		await this.#write(replayed);
		this.#answersTo = terminal;
	}

	#write(data) {
		return new Promise((resolve) => this.#term.write(data, resolve));
	}

	// The whole state: text, colours, modes, cursor, which of the two buffers.
	async snapshot() {
		await this.#write("");
		return this.#serializer.serialize();
	}

	async text() {
		await this.#write("");
		const { active } = this.#term.buffer;
		return Array.from({ length: ROWS }, (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? "").join("\n");
	}

	dispose() {
		this.#term.dispose();
	}
}

suite("survival", { env: { LISTEN_ADDR: "127.0.0.1:0" } }, ({ fog, test }) => {
	let session, terminal, shell, program, shellPid;
	const screen = new Screen();
	let written = 0;
	after(() => screen.dispose());

	// And the program waits for no more keys, as vim does for a while after an escape: what it draws then comes late.
	const screenShows = (pattern) => until(`the screen shows ${pattern}`, async () => {
		const text = await screen.text();
		return pattern.test(text) && !editor.busy?.test(text);
	}).catch(async (error) => {
		throw new Error(`${error.message}\n${await screen.text()}`);
	});

	const attachNow = (options) => until("attached again", async () => {
		const { status, json } = await fog.api("POST", `/v1/sessions/${session.id}/attach`, { token: session.token, body: {} });
		return status === 201 && BinaryTerminal.open(fog, json, options);
	}, { timeout: SAME_SCREEN_MS, interval: 10 });

	// The person's own connection, resumed when it was lost.
	async function keepAttached() {
		if (terminal.closed === undefined)
			return;
		terminal = await attachNow({ from: terminal });
		assert.equal(terminal.hello.out_lost, 0);
		await screen.show(terminal);
	}

	async function write(word) {
		terminal.type(editor.write(word));
		await screenShows(new RegExp(word));
		written++;
		await settled();
	}

	// Nothing more is on its way: the program has answered, and the screen does not change.
	async function settled() {
		let last;
		await until("the screen has settled", async () => {
			const now = await screen.snapshot();
			const isSame = now === last;
			last = now;
			await sleep(isSame ? 0 : 60);
			return isSame;
		});
		return last;
	}

	// strike() does the damage and comes back when the service is whole again as far as it has to do something for that.
	async function survives(what, strike, t) {
		const before = await settled();
		assert.match(before, /\S/);
		const start = performance.now();
		await strike();
		const back = performance.now();
		await until("the same screen", async () => {
			await keepAttached();
			return terminal.closed === undefined && await screen.snapshot() === before;
		}, { timeout: SAME_SCREEN_MS, interval: 10 });
		const since = (then) => `${Math.round(performance.now() - then)} ms`;
		t.diagnostic(`${what}: same screen ${since(start)} after it began, ${since(back)} after it was back`);
		assert.ok(isAlive(shell) && isAlive(program), "another shell or another program");
		await keepAttached();
		await write(`after-${what}`);

		// Somebody who comes anew, with an empty screen, sees the same. It takes over, and is the person from now on.
		const fresh = new Screen();
		const own = await settled();
		const mine = terminal;
		terminal = await attachNow({});
		assert.equal(terminal.hello.out_from, 0);
		await fresh.show(terminal);
		await until("the fresh screen is the same", async () => await fresh.snapshot() === own, { timeout: SAME_SCREEN_MS })
			.catch(async (error) => assert.equal(await fresh.snapshot(), own, error.message));
		fresh.dispose();
		await mine.waitClosed();
		// The first screen goes on from where it was.
		terminal.destroy();
		await terminal.waitClosed();
		await keepAttached();
		assert.equal(await settled(), own);
	}

	test("a full-screen program is open", async (t) => {
		t.diagnostic(vim || "no vim: a screen of our own");
		session = await fog.create();
		terminal = await BinaryTerminal.open(fog, session.attach);
		await screen.show(terminal);
		terminal.resize(COLS, ROWS);
		[, shellPid] = await terminal.run("echo pid=$$ do''ne", /pid=(\d+) done/);
		if (!vim)
			await terminal.run(`editor=$(cat <<'END'\n${EDITOR}END\n)\necho rea''dy`, /ready/);
		const [holder] = fog.holders();
		terminal.type(`${editor.start}\n`);
		const read = (pid, file) => fs.readFileSync(`/proc/${pid}/${file}`, "latin1");
		program = await until("the program runs", () => descendants(holder.pid)
			.filter((pid) => editor.command.test(read(pid, "cmdline").replaceAll("\0", " "))).map(identify)[0]);
		shell = identify(Number(/^PPid:\s*(\d+)/m.exec(read(program.pid, "status"))[1]));
		await screenShows(editor.opened);
		await write("first");
	});

	for (const role of ["gatewayd", "authd", "placerd", "ptyd", "spawner", "fogd"]) {
		test(`kill -9 of ${role}`, (t) => survives(role, async () => {
			const victim = await fog.kill(role);
			if (role === "fogd")
				await fog.restartFogd();
			else
				await fog.roleProcess(role, { not: victim });
		}, t));
	}

	test("kill -9 of all of them at once", (t) => survives("all", async () => {
		const victims = [...await Promise.all(ROLES.map((role) => fog.roleProcess(role))), fog.fogd];
		const holders = fog.holders();
		for (const victim of victims)
			signal(victim, "SIGKILL");
		for (const victim of victims)
			await waitGone(victim);
		assert.ok(holders.every(isAlive));
		await fog.restartFogd();
	}, t));

	test("an upgrade: the service is stopped, and another build of it started", (t) => survives("upgrade", async () => {
		const next = anotherBuild();
		assert.equal((await fog.terminateFogd()).code, 0);
		turnTo(next);
		await fog.restartFogd();
		assert.equal(fs.realpathSync(`/proc/${fog.pid}/exe`), path.join(next, "sbin/fogd"));
		const made = await fog.create();
		await fog.expect(200, "DELETE", `/v1/sessions/${made.id}`, { token: made.token });
	}, t), { timeout: 40_000 });

	test("after all of that it is the shell it was, with the program in it", async () => {
		terminal.type(editor.quit);
		await waitGone(program);
		const [, pid] = await terminal.run("echo pid=$$ do''ne", /pid=(\d+) done/);
		assert.equal(pid, shellPid);
		assert.ok(isAlive(shell));
		assert.equal(written, 9);
		await fog.expect(200, "DELETE", `/v1/sessions/${session.id}`, { token: session.token });
	});
});
