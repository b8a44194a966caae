/* SPDX-License-Identifier: MIT */
/* What was typed and is not yet known to be with the holder. Input is numbered by byte offset, so that after a lost
 * connection exactly the missing part is sent again: nothing is typed twice and nothing is lost. Pure. */

/** Bytes under way without confirmation. */
export const INPUT_WINDOW_BYTES = 64 * 1024;
/** Bytes held in all; a paste that does not fit is refused whole. */
export const INPUT_LIMIT_BYTES = 1024 * 1024;

export interface InputChunk {
	offset: number;
	bytes: Uint8Array;
}

export class InputQueue {
	#held = new Uint8Array(0);
	/** Offset of held[0]: everything before it is with the holder. */
	#base = 0;
	/** Offset of the next byte to send on this connection. */
	#next = 0;
	#started = false;

	constructor(
		readonly windowBytes = INPUT_WINDOW_BYTES,
		readonly limitBytes = INPUT_LIMIT_BYTES,
	) {}

	/** Offset just past the last byte sent. */
	get sentOffset(): number {
		return this.#next;
	}

	/** Bytes sent and not yet confirmed. */
	get unconfirmedBytes(): number {
		return this.#next - this.#base;
	}

	get heldBytes(): number {
		return this.#held.length;
	}

	/** Bytes that no connection has carried yet. */
	get unsentBytes(): number {
		return this.#held.length - this.unconfirmedBytes;
	}

	/** Takes all of `bytes`, or none of them (false) when the limit would be passed. */
	push(bytes: Uint8Array): boolean {
		if (this.#held.length + bytes.length > this.limitBytes)
			return false;
		const held = new Uint8Array(this.#held.length + bytes.length);
		held.set(this.#held);
		held.set(bytes, this.#held.length);
		this.#held = held;
		return true;
	}

	/** The next piece to send, at most maxBytes; null when there is none or the window is full. */
	take(maxBytes: number): InputChunk | null {
		const from = this.#next - this.#base;
		const to = Math.min(this.#held.length, from + maxBytes, this.windowBytes);

		if (!this.#started || to <= from)
			return null;
		const chunk = { offset: this.#next, bytes: this.#held.slice(from, to) };
		this.#next += to - from;
		return chunk;
	}

	/** The holder has everything before `offset`. Late or impossible values change nothing. */
	confirm(offset: number): void {
		if (offset <= this.#base || offset > this.#next)
			return;
		this.#held = this.#held.slice(offset - this.#base);
		this.#base = offset;
	}

	/**
	 * A connection begins and the holder expects `inNext`. Returns how many held bytes had to be dropped: an offset outside
	 * what is held means that somebody else typed meanwhile, and then nobody can say where the old keys would land.
	 */
	resume(inNext: number): number {
		if (!this.#started) {
			this.#started = true;
			this.#base = this.#next = inNext;
			return 0;
		}
		if (inNext < this.#base || inNext > this.#base + this.#held.length) {
			const dropped = this.#held.length;
			this.clear();
			return this.resume(inNext) + dropped;
		}
		this.#held = this.#held.slice(inNext - this.#base);
		this.#base = this.#next = inNext;
		return 0;
	}

	/** Forgets what is held; the next resume() sets the offset afresh. */
	clear(): void {
		this.#held = new Uint8Array(0);
		this.#base = this.#next = 0;
		this.#started = false;
	}
}
