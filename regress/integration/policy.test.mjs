// SPDX-License-Identifier: MIT
// What a refusal by policy says: the rule, the version of the policy file, and the smallest change that would allow the
// request; and that this change does allow it. The keys of where a session may run, on a node alone. A thousand profiles.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { it } from "node:test";
import { makeDir, policyOf, runFogd, suite } from "../lib/harness.mjs";
import { enter, sandboxSuite, skip } from "../lib/sandboxhost.mjs";

const versionOf = (text) => createHash("sha256").update(text).digest("hex").slice(0, 16);

const policy = policyOf([
	["default", { ttl: 600, sessions: 2 }],
	["insiders", { groups: ["staff", "guests"] }],
	["here", { more: { regions: "[far, lab]" } }],
	["elsewhere", { more: { regions: "[far, farther]" } }],
	["labelled", { more: { data_labels: "[gdpr]" } }],
]);

// A request, what is said of it, and the request or the caller with the change made; null: it is not theirs to make.
const REFUSALS = [
	[{ ttl_seconds: 601 }, 422, "profile.max_ttl_seconds", "ttl_seconds <= 600", { ttl_seconds: 600 }],
	[{ profile: "none" }, 422, "profile.unknown", "profile: one of default, here, elsewhere, labelled", { profile: "default" }],
	[{ profile: "insiders" }, 403, "profile.allowed_groups", "group: one of staff, guests", { profile: "insiders", groups: "+staff" }],
	[{ image_ref: "debian:12" }, 403, "profile.images", "image_ref: absent", {}],
	[{ profile: "elsewhere" }, 403, "profile.regions", "node.region: one of far, farther", null],
	[{ profile: "labelled" }, 403, "profile.data_labels", "node.data_labels: all of gdpr", null],
];

suite("policy", { policy, env: { NODE_REGION: "lab" } }, ({ fog, test }) => {
	const ask = (token, { groups: _, ...body }) =>
		fog.api("POST", "/v1/sessions", { token, body: { profile: "default", ttl_seconds: 60, ...body } });

	for (const [request, status, rule, change, changed] of REFUSALS)
		test(`${rule}: the refusal names the policy and the change, which allows it`, async () => {
			const user = fog.user();
			const { status: got, json } = await ask(user, request);
			assert.deepEqual([got, json.rule_id, json.policy_version, json.change], [status, rule, versionOf(policy), change]);
			assert.ok(json.detail.length > 0);
			if (changed)
				assert.equal((await ask(`${user}${changed.groups ?? ""}`, changed)).status, 201);
			const [denied] = fog.auditRecords().filter(({ event, trace_id: trace }) => event === "policy.denied" && trace === json.trace_id);
			assert.deepEqual([denied.rule_id, denied.policy], [rule, versionOf(policy)]);
		});

	test("a profile of this node's region is allowed here", async () => {
		assert.equal((await ask(fog.user(), { profile: "here" })).status, 201);
	});

	test("one session too many: the change says how many may live, and one ended is enough", async () => {
		const user = fog.user();
		const [{ json: first }] = [await ask(user, {}), await ask(user, {})];
		const { status, json } = await ask(user, {});
		assert.deepEqual([status, json.rule_id, json.change], [409, "profile.max_sessions", "sessions <= 1"]);
		await fog.expect(200, "DELETE", `/v1/sessions/${first.session_id}`, { token: user });
		await fog.waitStatus({ id: first.session_id, token: user }, "terminated");
		assert.equal((await ask(user, {})).status, 201);
	});

	test("requests at once get as many sessions as the profile allows, and no more", async () => {
		const user = fog.user();
		const answers = await Promise.all(Array.from({ length: 12 }, () => ask(user, {})));
		assert.equal(answers.filter(({ status }) => status === 201).length, 2);
		assert.ok(answers.every(({ status, json }) => status === 201 || json.rule_id === "profile.max_sessions"));
	});

	test("an extension that is too long names the change too", async () => {
		const user = fog.user();
		const { json: { session_id: id } } = await ask(user, {});
		const extend = (ttl_seconds) => fog.api("PATCH", `/v1/sessions/${id}`, { token: user, body: { ttl_seconds } });
		const { status, json } = await extend(601);
		assert.deepEqual([status, json.rule_id, json.policy_version, json.change],
			[422, "profile.max_ttl_seconds", versionOf(policy), "ttl_seconds <= 600"]);
		assert.equal((await extend(600)).status, 200);
	});
});

it("fogd -T prints the new keys and the version; a bad one names its line and what would be right", async () => {
	const text = policyOf([["default", { more: { regions: "[eu-west]", data_labels: "[gdpr, acme]", min_trust: "trusted",
		recording: "off", shell: "/bin/sh" } }], ["plain"]]);
	const dir = makeDir(text);
	const env = { dir, env: {} };

	try {
		const printed = await runFogd(["-T"], env);
		assert.equal(printed.code, 0, printed.text);
		assert.match(printed.text, new RegExp(`^policy version ${versionOf(text)}$`, "m"));
		assert.match(printed.text,
			/^profile default: .* shell \/bin\/sh .*regions eu-west data_labels gdpr acme min_trust trusted recording off /m);
		assert.match(printed.text, /^profile plain: .* regions \(every\) data_labels \(none\) min_trust basic recording off /m);
		for (const [good, bad, wanted] of [["[eu-west]", "eu-west", /:\d+: profiles\[0\]\.regions: must be a list/],
			["trusted", "full", /:\d+: profiles\[0\]\.min_trust: must be basic, trusted or attested/],
			["off", "all", /:\d+: profiles\[0\]\.recording: not built yet in this version; write off/],
			["/bin/sh", "sh", /:\d+: profiles\[0\]\.shell: must be an absolute path/]]) {
			fs.writeFileSync(path.join(dir, "policy.yaml"), text.replace(good, bad));
			const { code, text: said } = await runFogd(["-n"], env);
			assert.ok(code > 0);
			assert.match(said, wanted);
		}
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

const many = policyOf(Array.from({ length: 1000 }, (_, i) => [`p${i}`, { groups: [`g${i}`] }]));

suite("a thousand profiles", { policy: many }, ({ fog, test }) => {
	test("each person sees and gets their own, and is told of no other", async () => {
		const user = `${fog.user()}+g999`;
		const { profiles } = await fog.expect(200, "GET", "/v1/profiles", { token: user });
		assert.deepEqual(profiles.map(({ name }) => name), ["p999"]);
		const { json } = await fog.api("POST", "/v1/sessions", { token: user, body: { profile: "default", ttl_seconds: 60 } });
		assert.deepEqual([json.rule_id, json.change], ["profile.unknown", "profile: one of p999"]);
		await fog.expect(201, "POST", "/v1/sessions", { token: user, body: { profile: "p999", ttl_seconds: 60 } });
	});
});

if (skip)
	it("the shell of a profile", { skip }, () => undefined);

const small = { storage: "64Mi", memory: "128Mi" };

sandboxSuite("the shell of a profile", { profiles: [["default", small], ["sh", { ...small, more: { shell: "/bin/sh" } }],
	["none", { ...small, more: { shell: "/no/such/shell" } }]] }, ({ fog, test, host }) => {
	for (const [profile, shell] of [["default", "/bin/bash"], ["sh", "/bin/sh"], ["none", "/bin/sh"]])
		test(`${profile}: ${shell}`, async () => {
			const { says } = await enter(fog, host, { profile });
			assert.equal(await says("echo $SHELL"), shell);
		});
});
