/* SPDX-License-Identifier: MIT */
/* Who this browser tab was to its sessions, kept from one page to the next: a reload comes back as what it was, without a question.
 * It is written when a page goes and taken when the next one comes, so that the copy which a duplicated tab gets is empty. */
import type { Role } from './protocol.ts';

const KEY = 'fog.roles';

export function leaveRoles(storage: Storage, roles: Map<string, Role>): void {
	if (roles.size > 0)
		storage.setItem(KEY, JSON.stringify([...roles]));
}

export function takeRoles(storage: Storage): Map<string, Role> {
	const text = storage.getItem(KEY);

	storage.removeItem(KEY);
	try {
		const pairs: unknown = JSON.parse(text ?? '[]');
		return new Map(Array.isArray(pairs) ? pairs.filter(isRole) : []);
	} catch {
		return new Map();
	}
}

function isRole(pair: unknown): pair is [string, Role] {
	return Array.isArray(pair) && typeof pair[0] === 'string' && (pair[1] === 'driver' || pair[1] === 'viewer');
}
