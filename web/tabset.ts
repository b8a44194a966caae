/* SPDX-License-Identifier: MIT */
/* Which sessions are open in tabs, as the address keeps it, and which tab a key or a closing leads to. Pure. */

/** Each tab has a connection and a screen of its own. */
export const TABS_MAX = 16;

export interface OpenSet {
	ids: string[];
	/** Index in ids; 0 when there are none. */
	active: number;
}

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HASH = /^#s=([0-9a-f,-]+)(?:&a=([0-9]{1,2}))?$/;

/** Reads '#s=ID,ID&a=1'. Anything else is an empty set; an id is taken once, and TABS_MAX of them at most. */
export function parseHash(hash: string): OpenSet {
	const [, list = '', active = '0'] = HASH.exec(hash) ?? [];
	const ids = [...new Set(list.split(','))].slice(0, TABS_MAX);

	if (!ids.every((id) => ID.test(id)))
		return { ids: [], active: 0 };
	return { ids, active: Math.min(Number(active), ids.length - 1) };
}

/** The hash for a set; '' for an empty one. */
export function formatHash({ ids, active }: OpenSet): string {
	if (ids.length === 0)
		return '';
	return `#s=${ids.join(',')}${active > 0 ? `&a=${active}` : ''}`;
}

/** The index that is active after the tab at `closed` has gone from `count` tabs; -1 when none is left. */
export function activeAfterClose(count: number, closed: number, active: number): number {
	return Math.min(active > closed ? active - 1 : active, count - 2);
}

/** Where a key leads in the tab bar (WAI-ARIA tabs pattern); null for other keys. */
export function indexAfterKey(key: string, index: number, count: number): number | null {
	switch (key) {
	case 'ArrowLeft':
		return (index + count - 1) % count;
	case 'ArrowRight':
		return (index + 1) % count;
	case 'Home':
		return 0;
	case 'End':
		return count - 1;
	default:
		return null;
	}
}
