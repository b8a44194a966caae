// SPDX-License-Identifier: MIT
// Holds answers against docs/openapi.json: status, headers, media type and body of each.
import assert from "node:assert/strict";
import fs from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const file = new URL("../../docs/openapi.json", import.meta.url);
export const document = JSON.parse(fs.readFileSync(file, "utf8"));

const ajv = new Ajv2020.default({ strict: true, strictRequired: false, allErrors: true, validateSchema: true });
addFormats.default(ajv);

// ajv wants every $ref to name a schema, and the document is none: each component becomes a schema of its own.
const SCHEMAS = "#/components/schemas/";
const detach = (schema) => JSON.parse(JSON.stringify(schema).replaceAll(`"$ref":"${SCHEMAS}`, '"$ref":"schema:'));
for (const [name, schema] of Object.entries(document.components.schemas))
	ajv.addSchema(detach(schema), `schema:${name}`);

const escapePointer = (part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"));
const at = (pointer) => pointer.split("/").slice(1)
	.reduce((node, part) => node?.[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")], document);

const validators = new Map();

function validator(pointer) {
	if (!validators.has(pointer))
		validators.set(pointer, ajv.compile(detach(at(pointer))));
	return validators.get(pointer);
}

// Follows one $ref, as responses and headers are written.
function resolve(pointer) {
	const node = at(pointer);
	return node?.$ref ? resolve(node.$ref.slice(1)) : pointer;
}

export function checkSchema(pointer, value, what) {
	const check = validator(pointer);
	assert.ok(check(value), `${what}: ${ajv.errorsText(check.errors)}\n${JSON.stringify(value)}`);
}

const templates = Object.keys(document.paths).map((path) => ({
	path,
	pattern: new RegExp(`^${path.replaceAll(/\{[a-z]+\}/g, "[^/]+")}$`),
}));

export const templateOf = (target) => templates.find(({ pattern }) => pattern.test(target.split("?")[0]))?.path;

// body: the text. An answer that the document does not describe is an error of one of them.
export function checkAnswer(method, target, { status, headers, body }) {
	const what = `${method} ${target.split("?")[0]} -> ${status}`;
	const path = templateOf(target);
	const lower = (method === "HEAD" ? "GET" : method).toLowerCase();
	if (path === undefined || !document.paths[path][lower])
		return checkUnrouted(path, { status, headers, body }, what);
	const response = resolve(`/paths/${escapePointer(path)}/${lower}/responses/${status}`);
	assert.ok(at(response), `${what}: status is not in openapi.json\n${body}`);
	checkHeaders(response, headers, what);
	if (method !== "HEAD")
		checkBody(response, { status, headers, body }, what);
}

function checkUnrouted(path, answer, what) {
	assert.equal(answer.status, path === undefined ? 404 : 405, `${what}: wrong status for a call that does not exist`);
	const name = path === undefined ? "NotFound" : "MethodNotAllowed";
	checkHeaders(`/components/responses/${name}`, answer.headers, what);
	checkProblem(answer, what);
}

function checkHeaders(response, headers, what) {
	for (const name of Object.keys(at(response).headers ?? {})) {
		const header = resolve(`${response}/headers/${escapePointer(name)}`);
		const value = headers[name.toLowerCase()];
		if (value === undefined)
			assert.ok(!at(header).required, `${what}: header ${name} is missing`);
		else
			checkSchema(`${header}/schema`, value, `${what}: header ${name}`);
	}
}

function checkBody(response, { status, headers, body }, what) {
	const types = Object.keys(at(response).content ?? {});
	if (types.length === 0) {
		assert.equal(body, "", `${what}: has a body`);
		return;
	}
	const type = (headers["content-type"] ?? "").split(";")[0].trim();
	assert.ok(types.includes(type), `${what}: content type "${type}", expected ${types.join(" or ")}\n${body}`);
	if (type === "application/problem+json")
		return checkProblem({ status, headers, body }, what);
	const value = type === "application/json" ? parse(body, what) : body;
	checkSchema(`${response}/content/${escapePointer(type)}/schema`, value, what);
}

export function checkProblem({ status, headers, body }, what) {
	assert.equal((headers["content-type"] ?? "").split(";")[0], "application/problem+json", `${what}: content type\n${body}`);
	const problem = parse(body, what);
	checkSchema("/components/schemas/Problem", problem, what);
	assert.equal(problem.status, status, `${what}: status in the body`);
	return problem;
}

function parse(body, what) {
	try {
		return JSON.parse(body);
	} catch (error) {
		throw new Error(`${what}: body is not JSON: ${body}`, { cause: error });
	}
}

// Compiles every schema, so that a mistake in the document is found even where no test goes.
export function compileAll() {
	let count = 0;
	const walk = (node, pointer) => {
		if (node === null || typeof node !== "object")
			return;
		for (const [key, value] of Object.entries(node)) {
			const here = `${pointer}/${escapePointer(key)}`;
			if (key === "$ref")
				assert.ok(at(value.slice(1)) !== undefined, `${pointer}: ${value} points nowhere`);
			if (key === "schema" || /^\/components\/schemas\/[^/]+$/.test(here)) {
				validator(here);
				count++;
			}
			walk(value, here);
		}
	};
	walk(document, "");
	return count;
}
