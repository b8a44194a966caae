// SPDX-License-Identifier: MIT
// What it costs to know who somebody is: GET /v1/sessions with a verified access token against GET /healthz, which gatewayd
// answers alone; the delay at half that load; and authd's memory after many verifications. Part of make bench.
//   ROUNDS=5             of each, one after the other
//   SECONDS=2            of each measurement
//   VERIFICATIONS=1000000
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { memoryKiB } from "../lib/footprint.mjs";
import { build, fogdPath, instanceEnv, makeDir } from "../lib/harness.mjs";
import { OidcProvider } from "../lib/oidc.mjs";
import { descendants, programName, until } from "../lib/proc.mjs";

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 2);
const VERIFICATIONS = Number(process.env.VERIFICATIONS ?? 1_000_000);
const CONNECTIONS = 16;
const HOUR_S = 3600;

const say = (...text) => console.log(text.join(" "));
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const spread = (values, digits = 2) =>
	`${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}..${Math.max(...values).toFixed(digits)})`;

// The service, with its log in a file: each request writes a line, which this process need not read.
async function startService(provider) {
	const dir = makeDir();
	const log = path.join(dir, "log");
	const env = instanceEnv(dir, {
		OIDC_ISSUER_URL: provider.issuer, OIDC_CLIENT_ID: "fog", OIDC_CA_FILE: provider.ca.file, HTTP_MAX_REQUESTS: "1000000",
	});
	const child = spawn(fogdPath, ["-d"], { cwd: "/", env, stdio: ["ignore", "ignore", fs.openSync(log, "a")] });
	const exited = new Promise((resolve) => child.once("exit", resolve));
	const stop = async () => {
		child.kill("SIGTERM");
		await exited;
		fs.rmSync(dir, { recursive: true, force: true });
	};
	const authd = () => descendants(child.pid).find((pid) => programName(pid) === "authd");
	const port = await until("it listens", () => /event=listening addr=127\.0\.0\.1:(\d+)/.exec(fs.readFileSync(log, "utf8"))?.[1])
		.catch(async (error) => {
			await stop();
			throw error;
		});
	const url = `http://127.0.0.1:${port}`;
	await until("it is ready", async () => (await fetch(`${url}/readyz`)).ok);
	return { port, stop, authdPss: () => memoryKiB(authd()).pss };
}

// One run of the load generator: not in this process, which is also the provider.
function load(fog, target, headers, { seconds = SECONDS, rate = 0, connections = CONNECTIONS } = {}) {
	const child = spawn(path.join(build, "regress/http_load"), [fog.port, target, connections, seconds, rate].map(String),
		{ stdio: ["pipe", "pipe", "inherit"] });
	let text = "";
	child.stdout.setEncoding("utf8").on("data", (part) => (text += part));
	child.stdin.end(headers);
	return new Promise((resolve, reject) => {
		child.once("error", reject);
		child.once("close", (code) => code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`http_load: exit ${code}`)));
	});
}

const provider = await OidcProvider.start({ audience: "fog", life: HOUR_S });
const fog = await startService(provider);
let failed = 0;
function bound(ok, text) {
	failed += !ok;
	say(ok ? "met     " : "NOT MET ", text);
}

try {
	const bearer = {};
	for (const alg of ["RS256", "ES256"])
		bearer[alg] = `Authorization: Bearer ${await provider.token({ user: "alice", alg, life: HOUR_S })}\n`;
	const sessions = (alg, options) => load(fog, "/v1/sessions", bearer[alg], options);
	await sessions("RS256", { seconds: 0.5 });

	const ratios = { RS256: [], ES256: [] };
	const tails = { RS256: [], ES256: [] };
	let requests = 0;
	for (let round = 0; round < ROUNDS; round++) {
		for (const alg of Object.keys(ratios)) {
			const alone = await load(fog, "/healthz", "");
			const known = await sessions(alg);
			const half = await sessions(alg, { rate: known.per_second / 2 });
			requests += known.requests + half.requests;
			ratios[alg].push(known.per_second / alone.per_second);
			tails[alg].push(half.p99_us / half.p50_us);
			say(`${alg} healthz ${alone.per_second.toFixed(0)}/s, sessions ${known.per_second.toFixed(0)}/s,`,
				`at half of it p50 ${half.p50_us} us, p99 ${half.p99_us} us`);
		}
	}
	const early = fog.authdPss();
	while (requests < VERIFICATIONS)
		requests += (await sessions("RS256", { seconds: 5 })).requests;
	const late = fog.authdPss();

	say(`\nrequired     median (min..max)`);
	for (const alg of Object.keys(ratios)) {
		bound(median(ratios[alg]) >= 0.3, `${spread(ratios[alg])}  >= 0.30 x healthz  GET /v1/sessions, ${alg}`);
		bound(median(tails[alg]) <= 5, `${spread(tails[alg])}  <= 5 x p50  p99 at half that load, ${alg}`);
	}
	bound(late <= 8192, `${late.toFixed(0)} KiB (${early.toFixed(0)} before)  <= 8192 KiB  authd: PSS after ${requests} verifications`);
} finally {
	await fog.stop();
	await provider.stop();
}
process.exitCode = failed > 0 ? 1 : 0;
