/* SPDX-License-Identifier: MIT */
/* The nodes of the fleet as GET /v1/nodes names them, which of their addresses are believed, and the one that a person keeps to. Pure. */

export interface FogNode {
	name: string;
	region: string;
	tier: string;
	url: string;
	/** The one that this page came from. */
	self: boolean;
	/** up, suspect, unreachable, draining or unknown. */
	state: string;
}

const NAME_MAX_CHARS = 64;
const PIN_KEY = 'fog.node';

/** Rows that are none are left out. */
export function nodesFrom(list: unknown): FogNode[] {
	const rows = Array.isArray(list) ? list as Record<string, unknown>[] : [];

	return rows.filter((row) => isName(row?.name)).map(({ name, region, tier, url, self, state }) => ({
		name: name as string, region: text(region), tier: text(tier), url: text(url), self: self === true, state: text(state) || 'unknown',
	}));
}

function text(value: unknown): string {
	return typeof value === 'string' ? value : '';
}

export function isName(value: unknown): value is string {
	return typeof value === 'string' && value.length > 0 && value.length <= NAME_MAX_CHARS;
}

/** Where a node is asked, seen from the page at `here`; null: it has no address that is safe to use. */
export function originOf(node: FogNode, here: string): string | null {
	if (node.self)
		return here;
	if (!URL.canParse(node.url))
		return null;
	const { protocol, origin, username, password } = new URL(node.url);

	return protocol === 'https:' && !username && !password ? origin : null;
}

/**
 * Where a request to `asked` is to be repeated, as an answer says it. A node's own https origin, and nothing but the origin is another: whoever
 * could name any address would be sent what the request holds. Null: not to be believed.
 */
export function repeatAt(location: unknown, asked: URL, nodes: FogNode[]): URL | null {
	if (typeof location !== 'string' || !URL.canParse(location))
		return null;
	const url = new URL(location);
	const isNode = nodes.some((node) => !node.self && originOf(node, asked.origin) === url.origin);
	const isSame = url.pathname === asked.pathname && url.search === asked.search && !url.hash && !url.username && !url.password;

	return isNode && isSame && url.protocol === 'https:' && url.origin !== asked.origin ? url : null;
}

/* --- the node that a person keeps to: a name, and no secret --- */

type Kept = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** '': the service chooses. */
export function readPin(storage: Kept): string {
	try {
		const name = storage.getItem(PIN_KEY);

		return isName(name) ? name : '';
	} catch {
		return ''; /* a browser that keeps nothing */
	}
}

export function keepPin(storage: Kept, name: string): void {
	try {
		if (name)
			storage.setItem(PIN_KEY, name);
		else
			storage.removeItem(PIN_KEY);
	} catch {
		/* holds until the page is left */
	}
}
