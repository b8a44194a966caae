/* SPDX-License-Identifier: MIT */
/* Builds the page: node build.mjs OUTDIR. Six flat files: index.html, app-HASH.js, app-HASH.css, signed-in.html, signed-in-HASH.js,
 * favicon.svg. The names carry content hashes and the same sources give the same bytes, wherever they lie. */
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const OURS = /^((index|signed-in)\.html|favicon\.svg|(app|signed-in)-[0-9A-Z]{8}\.(js|css))$/;
/* Each page with its references to sources, in the place of which come built files. */
const PAGES = {
	'index.html': [['style.css', /^app-.*\.css$/], ['main.ts', /^app-.*\.js$/]],
	'signed-in.html': [['signed-in.ts', /^signed-in-.*\.js$/]],
};

/* What in xterm.mjs a policy without 'unsafe-inline' would block, and how often it is there in the pinned version. An upgrade
 * that changes the count stops the build until somebody has looked. */
const XTERM_REWRITES = [
	{ from: /[\w$.]+\.createElement\("style"\)/g, to: 'fogCreateStyleElement()', count: 3 },
	{ from: /([\w$]+)\.setAttribute\("style",/g, to: 'fogSetStyleAttribute($1,', count: 1 },
];
const XTERM_IMPORT =
	'import{createStyleElement as fogCreateStyleElement,setStyleAttribute as fogSetStyleAttribute}from"./csp.ts";\n';

function rewriteXterm(source) {
	for (const { from, to, count } of XTERM_REWRITES) {
		const found = source.match(from)?.length ?? 0;
		if (found !== count)
			throw new Error(`xterm.mjs: ${from} is there ${found} times, not ${count}: see csp.ts`);
		source = source.replace(from, to);
	}
	return XTERM_IMPORT + source;
}

const cspPlugin = {
	name: 'csp',
	setup(build) {
		build.onLoad({ filter: /[\\/]@xterm[\\/]xterm[\\/]lib[\\/]xterm\.mjs$/ }, async ({ path }) => ({
			contents: rewriteXterm(await readFile(path, 'utf8')),
			loader: 'js',
			resolveDir: HERE,
		}));
	},
};

async function bundle() {
	const { outputFiles } = await esbuild.build({
		absWorkingDir: HERE,
		entryPoints: { app: 'main.ts', 'signed-in': 'signed-in.ts' },
		entryNames: '[name]-[hash]',
		outdir: 'out',
		write: false,
		bundle: true,
		minify: true,
		sourcemap: false,
		format: 'esm',
		target: ['es2022', 'chrome120', 'firefox124', 'safari17.4'],
		charset: 'utf8',
		legalComments: 'eof',
		plugins: [cspPlugin],
		logLevel: 'warning',
	});
	return outputFiles.map(({ path, contents }) => [basename(path), contents]);
}

async function pageWith(names, page) {
	let html = await readFile(join(HERE, page), 'utf8');

	for (const [from, built] of PAGES[page]) {
		const to = names.find((name) => built.test(name));
		if (html.split(`"${from}"`).length !== 2 || !to)
			throw new Error(`${page}: exactly one reference to ${from} is expected`);
		html = html.replace(`"${from}"`, `"${to}"`);
	}
	return html;
}

function typecheck() {
	const { status } = spawnSync('npm', ['run', '--silent', 'check'], { cwd: HERE, stdio: 'inherit' });

	if (status !== 0)
		throw new Error('type check failed');
}

async function main(outdir) {
	typecheck();
	const files = new Map(await bundle());
	const names = [...files.keys()];
	for (const page of Object.keys(PAGES))
		files.set(page, await pageWith(names, page));
	files.set('favicon.svg', await readFile(join(HERE, 'favicon.svg')));

	await mkdir(outdir, { recursive: true });
	for (const name of await readdir(outdir))
		if (OURS.test(name) && !files.has(name))
			await rm(join(outdir, name));
	for (const [name, contents] of files)
		await writeFile(join(outdir, name), contents);
}

if (process.argv.length !== 3) {
	console.error('usage: build.mjs OUTDIR');
	process.exit(2);
}
main(process.argv[2]).catch((error) => {
	console.error(`build.mjs: ${error.message}`);
	process.exit(1);
});
