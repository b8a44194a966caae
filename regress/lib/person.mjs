// SPDX-License-Identifier: MIT
// A person at a browser without scripts: keeps cookies, follows redirects, fills in forms and sends them.
import { exchange } from "./harness.mjs";

const HOPS = 12;

const unescape = (text) => text.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&amp;", "&");

function attributes(tag) {
	return Object.fromEntries([...tag.matchAll(/([\w-]+)(?:\s*=\s*"([^"]*)")?/g)].map(([, name, value = ""]) => [name, unescape(value)]));
}

// The first form of a page with all its fields, also those that name it from outside.
function formOf(html) {
	const found = /<form\b([^>]*)>/i.exec(html);
	if (!found)
		return undefined;
	const { action, method = "get" } = attributes(found[1]);
	const fields = [...html.matchAll(/<(?:input|button)\b([^>]*)>/gi)].map(([, tag]) => attributes(tag)).filter(({ name }) => name);
	return { action, method: method.toUpperCase(), fields: fields.map(({ name, value = "" }) => [name, value]) };
}

export class Person {
	#cookies = new Map();
	#ca;

	constructor(name, ca) {
		this.name = name;
		this.#ca = ca;
	}

	#cookieHeader({ host, pathname }) {
		return [...this.#cookies.values()].filter((cookie) => cookie.host === host && pathname.startsWith(cookie.path))
			.map(({ name, value }) => `${name}=${value}`).join("; ");
	}

	#keepCookies({ host }, lines = []) {
		for (const line of lines) {
			const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
			const path = /;\s*path=([^;]*)/i.exec(line)?.[1] ?? "/";
			const key = [host, path, name].join(" ");
			this.#cookies.delete(key);
			if (value)
				this.#cookies.set(key, { host, path, name, value });
		}
	}

	async #visit(url, method, fields) {
		const Cookie = this.#cookieHeader(url);
		const answer = await exchange(url.origin, method, url.pathname + url.search, {
			ca: this.#ca,
			headers: { ...(Cookie && { Cookie }), "Content-Type": "application/x-www-form-urlencoded" },
			body: fields && new URLSearchParams(fields).toString(),
		});
		this.#keepCookies(url, answer.headers["set-cookie"]);
		return answer;
	}

	// From page to page until one redirects to a URL that begins with `until`, or has no form: gives that URL, or the page.
	// fill: what to type by name of field; a field that it sets to undefined is not sent.
	async walk(from, { until, fill = {} } = {}) {
		let [url, method, fields] = [new URL(from), "GET", undefined];
		for (let hop = 0; hop < HOPS; hop++) {
			const answer = await this.#visit(url, method, fields);
			const form = answer.status === 200 && formOf(answer.body);
			if (answer.status >= 300 && answer.status < 400) {
				const next = new URL(answer.headers.location, url);
				if (until && next.href.startsWith(until))
					return { url: next };
				[url, method, fields] = [next, "GET", undefined];
			} else if (form) {
				[url, method] = [new URL(form.action, url), form.method];
				fields = form.fields.map(([name, value]) => [name, name in fill ? fill[name] : value])
					.filter(([, value]) => value !== undefined);
			} else {
				return { url, page: answer };
			}
		}
		throw new Error(`${this.name}: no end after ${HOPS} pages, last ${url.origin}${url.pathname}`);
	}
}
