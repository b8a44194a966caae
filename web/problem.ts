/* SPDX-License-Identifier: MIT */
/* What went wrong, as the page tells it. */

/** An answer that is not a success (RFC 9457), or none at all (status 0). */
export class Problem extends Error {
	override name = 'Problem';
	/** It will be the same the next time. */
	readonly isLasting: boolean;

	constructor(
		readonly status: number,
		readonly title: string,
		readonly detail = '',
		readonly ruleId = '',
		readonly retryAfterMs = 0,
		/** The service's own word for it, such as 'session_other_version'. */
		readonly code = '',
	) {
		super(title);
		this.isLasting = code === 'session_other_version';
	}

	/** Worth trying again without asking anybody: no answer, too many requests, or a part that restarts. */
	get isTransient(): boolean {
		return [0, 429, 502, 503, 504].includes(this.status);
	}

	/** Only signing in helps. */
	get isSignedOut(): boolean {
		return this.status === 401;
	}
}
