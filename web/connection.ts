/* SPDX-License-Identifier: MIT */
/* One attachment: a WebSocket that speaks fog.pty.v1. What outlives it, the two numbered streams, is in Streams. */
import { InputQueue } from './input.ts';
import {
	decode, encodeAck, encodeAnswer, encodeInput, encodeProbe, encodeRenewal, encodeResize, INPUT_FRAME_BYTES, probeValue, SUBPROTOCOL,
	TOKEN_SUBPROTOCOL_PREFIX, type Exit, type Hello, type ServerFrame, type Size, type Status,
} from './protocol.ts';

const HELLO_TIMEOUT_MS = 10_000;
/** What the screen has consumed is acknowledged at the latest after so much, or after so long (PROTOCOL 2). */
const ACK_BYTES = 8192;
const ACK_DELAY_MS = 50;
const PROBE_DELAY_MS = 200;
const PROBE_IDLE_MS = 15_000;
/** An idle connection that leaves a probe unanswered for so long is dead, whatever TCP believes. */
const PROBE_TIMEOUT_MS = 10_000;
/** Own close codes (RFC 6455 7.4.2): the service broke the protocol; it does not answer. */
const CLOSE_PROTOCOL = 4400;
const CLOSE_DEAD = 4408;
/** A program that does not read its input holds the answer back: that may be no dead connection. */
const STUCK_TIMEOUT_MS = 30_000;
/** After a change of the network: a connection that has not died answers sooner. Whoever is wrong in that resumes exactly. */
const NUDGE_TIMEOUT_MS = 3000;
/** Between the two sizes of a redraw: the gateway passes one resize in 10 ms on, and programs gather them too. */
const REDRAW_MS = 100;
/** A connection that lasted so long was good, also if nothing was said on it. */
const GOOD_MS = 5000;
/** A renewal that nobody answered for so long is lost. */
const RENEWAL_TIMEOUT_MS = 15_000;
export const CLOSE_TAKEN_OVER = 4001;
export const CLOSE_IDENTITY_EXPIRED = 4003;
export const CLOSE_IDENTITY_REVOKED = 4004;

/** The streams of one session, across its attachments. */
export class Streams {
	readonly input = new InputQueue();
	/** Offset of the next output byte to come; null before the first hello. */
	received: number | null = null;
	/** Output before this offset is on the screen. */
	consumed = 0;
	/** Output before this offset is a replay on a fresh screen: whatever asked questions there has had its answers. */
	replayUntil = 0;
	/** When anything of the service arrived last: wall clock, because the others stand still while a computer sleeps. */
	heardAt = Date.now();

	get isReplaying(): boolean {
		return this.consumed < this.replayUntil;
	}
}

export interface Screen {
	write(bytes: Uint8Array, done: () => void): void;
	/** So many bytes of output are missing here: forget a half-read escape sequence, and leave a mark. */
	skip(bytes: number, done: () => void): void;
	/** Holds the screen at a size that is not its own; null: as it fits again. At once. */
	pin(size: Size | null): void;
	size(): Size;
	/** In a tab that is not on top nothing fits, and no size is sent. */
	readonly isShown: boolean;
	/** A full-screen program draws: it can be asked to draw again. */
	readonly isFullScreen: boolean;
}

/** What a hello says about the one before, if there was one. */
export interface Continuation {
	/** Bytes of output that this screen will never show. */
	skipped: number;
	/** Bytes of input that nobody can place any more. */
	inputDropped: number;
	/** This screen has shown the output before. */
	isResumed: boolean;
}

export interface Listener {
	onHello(hello: Hello, how: Continuation): void;
	/** Output was skipped in the middle of a connection. */
	onSkipped(bytes: number): void;
	/** Output that is no replay. */
	onOutput(): void;
	onStatus(status: Status): void;
	onExit(exit: Exit): void;
	onLatency(ms: number): void;
}

export interface Closed {
	/** The WebSocket's close code. */
	code: number;
	reason: string;
	/** It carried something, or lasted: the next back-off starts afresh. */
	wasGood: boolean;
}

export class Attachment {
	readonly closed: Promise<Closed>;
	readonly #socket: WebSocket;
	readonly #streams: Streams;
	readonly #screen: Screen;
	readonly #on: Listener;
	#helloAt = 0;
	#helloIn = 0;
	#isDriver = false;
	#isSettled = false;
	#isGarbled = false;
	#hasAdvanced = false;
	/** The size that the session has, as far as this end knows. */
	#agreed: Size = { cols: 0, rows: 0 };
	#acked = 0;
	#ackTimer = 0;
	#probeTimer = 0;
	#probeDueAt = Infinity;
	#probeSentAt: number | null = null;
	#deadTimer = 0;
	#redrawTimer = 0;
	#isOver = false;
	#onRenewed: (refusal: string) => void = () => {};
	#resolve!: (closed: Closed) => void;

	constructor(url: string, token: string, streams: Streams, screen: Screen, on: Listener) {
		this.#streams = streams;
		this.#screen = screen;
		this.#on = on;
		this.#acked = streams.consumed;
		this.#socket = new WebSocket(url, [SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX + token]);
		this.#socket.binaryType = 'arraybuffer';
		this.#socket.addEventListener('message', ({ data }) => this.#receive(data));
		this.#deadTimer = setTimeout(() => this.#giveUp(CLOSE_DEAD, 'The service did not answer.'), HELLO_TIMEOUT_MS);
		this.closed = new Promise((resolve) => (this.#resolve = resolve));
		this.#socket.addEventListener('close', (event) => this.#finish(event.code, closeWords(event)));
	}

	/** Sends what the queue holds, as far as the window goes. */
	sendInput(): void {
		if (!this.#helloAt || !this.#isDriver)
			return;
		for (let chunk; (chunk = this.#streams.input.take(INPUT_FRAME_BYTES)); )
			this.#send(encodeInput(chunk.offset, chunk.bytes));
		if (this.#streams.input.unconfirmedBytes > 0)
			this.#probeIn(PROBE_DELAY_MS);
	}

	/** The screen fits another size, or came on top. */
	sendSize(): void {
		if (this.#helloAt && this.#isDriver && this.#isSettled && this.#screen.isShown)
			this.#agreeOnSize();
	}

	get isAttached(): boolean {
		return this.#helloAt > 0 && !this.#isOver;
	}

	/**
	 * Shows the service on this connection, beside whatever flows on it, that the person is still signed in: `token` is a new attach token of the same
	 * role. Gives '', or why it was refused. One at a time.
	 */
	renew(token: string): Promise<string> {
		return new Promise((resolve) => {
			const timer = setTimeout(() => this.#onRenewed('no answer'), RENEWAL_TIMEOUT_MS);

			this.#onRenewed = (refusal) => {
				clearTimeout(timer);
				this.#onRenewed = () => {};
				resolve(refusal);
			};
			this.#send(encodeRenewal(token));
		});
	}

	/** The network may have changed: finds out soon whether this connection has survived it, also while input is on its way. */
	nudge(): void {
		if (!this.#helloAt || this.#isOver)
			return;
		if (this.#probeSentAt === null)
			this.#sendProbe();
		this.#expectAnswer(NUDGE_TIMEOUT_MS);
	}

	close(): void {
		this.#giveUp(1000, '');
	}

	#send(frame: Uint8Array<ArrayBuffer>): void {
		if (this.#socket.readyState === WebSocket.OPEN)
			this.#socket.send(frame);
	}

	/* Does not wait for the close event, which a dead network holds back. */
	#giveUp(code: number, why: string): void {
		this.#socket.close(code);
		this.#finish(code, why);
	}

	#finish(code: number, reason: string): void {
		this.#isOver = true;
		clearTimeout(this.#ackTimer);
		clearTimeout(this.#probeTimer);
		clearTimeout(this.#deadTimer);
		clearTimeout(this.#redrawTimer);
		this.#onRenewed('the connection was closed');
		const lasted = this.#helloAt > 0 && performance.now() - this.#helloAt >= GOOD_MS;
		this.#resolve({ code, reason, wasGood: lasted || this.#hasAdvanced });
	}

	#receive(data: unknown): void {
		if (this.#isOver)
			return;
		this.#streams.heardAt = Date.now();
		try {
			if (!(data instanceof ArrayBuffer))
				throw new Error('not binary');
			this.#dispatch(decode(data));
		} catch {
			this.#giveUp(CLOSE_PROTOCOL, 'The service sent something that this page does not understand.');
		}
	}

	#dispatch(frame: ServerFrame): void {
		if (!this.#helloAt && frame.type !== 'hello' && frame.type !== 'status')
			throw new Error('not after hello');
		switch (frame.type) {
		case 'hello':
			return this.#helloAt ? this.#onGap(frame.hello) : this.#onHello(frame.hello);
		case 'output':
			return this.#onOutput(frame.bytes);
		case 'exit':
			return this.#on.onExit(frame.exit);
		case 'status':
			return this.#onStatus(frame.status);
		case 'probe':
			return this.#send(encodeAnswer(frame.payload));
		case 'answer':
			return this.#onAnswer(frame.payload);
		}
	}

	#onStatus(status: Status): void {
		if (status.state === 'renewed')
			this.#onRenewed('');
		if (status.state === 'renewal_refused')
			this.#onRenewed(status.reason || 'refused');
		this.#on.onStatus(status);
	}

	#onHello(hello: Hello): void {
		const streams = this.#streams;
		const isResumed = streams.received !== null;
		const skipped = isResumed ? hello.outFrom - streams.received! : hello.outLost;

		this.#helloAt = performance.now();
		this.#helloIn = hello.inNext;
		this.#isDriver = hello.role === 'driver';
		clearTimeout(this.#deadTimer);
		if (!isResumed) {
			streams.received = streams.consumed = hello.outFrom;
			streams.replayUntil = hello.outNext;
		} else {
			this.#skipTo(hello.outFrom, () => this.sendSize());
		}
		this.#acked = hello.outFrom;
		this.#isGarbled ||= streams.isReplaying;
		const inputDropped = streams.input.resume(hello.inNext);
		this.#takeSize(hello.size);
		this.#on.onHello(hello, { skipped: Math.max(0, skipped), inputDropped, isResumed });
		this.sendInput();
		this.#settleAfterReplay();
		this.#probeIn(PROBE_DELAY_MS);
	}

	/* A repeated hello: the ring has forgotten output that was not sent yet, or the driver has another size. */
	#onGap(hello: Hello): void {
		const skipped = hello.outFrom - this.#streams.received!;

		if (skipped < 0)
			throw new Error('output goes back');
		if (skipped === 0)
			return this.#takeSize(hello.size);
		this.#skipTo(hello.outFrom, () => {
			this.#agreed = hello.size;
			if (!this.#isDriver)
				this.#screen.pin(hello.size);
			this.sendSize();
		});
		this.#on.onSkipped(skipped);
	}

	/* `done` comes when the screen has got there. */
	#skipTo(offset: number, done: () => void): void {
		const streams = this.#streams;
		const skipped = offset - streams.received!;

		if (skipped === 0)
			return;
		streams.received = offset;
		this.#screen.skip(Math.max(0, skipped), () => {
			this.#isGarbled = true;
			this.#onConsumed(offset);
			done();
		});
	}

	/* A replay is drawn at the size for which it was written, and so is everything for those who only watch. */
	#takeSize(size: Size): void {
		this.#agreed = size;
		if (!this.#isDriver || this.#streams.isReplaying || !this.#screen.isShown)
			this.#screen.pin(size);
	}

	/* The screen is what the session shows now: the driver's window decides from here. */
	#settleAfterReplay(): void {
		if (this.#isSettled || this.#streams.isReplaying)
			return;
		this.#isSettled = true;
		if (!this.#isDriver)
			return;
		this.#screen.pin(null);
		this.sendSize();
	}

	/* A changed size makes a full-screen program draw; where it is the same and the screen may be wrong, one change and back does. */
	#agreeOnSize(): void {
		const { cols, rows } = this.#screen.size();
		const isOther = cols !== this.#agreed.cols || rows !== this.#agreed.rows;

		if (!isOther && this.#isGarbled && this.#screen.isFullScreen) {
			this.#sendResize({ cols, rows: rows > 1 ? rows - 1 : rows + 1 });
			this.#redrawTimer = setTimeout(() => this.#agreeOnSize(), REDRAW_MS);
		} else if (isOther) {
			clearTimeout(this.#redrawTimer);
			this.#sendResize({ cols, rows });
		}
		this.#isGarbled = false;
	}

	#sendResize(size: Size): void {
		this.#agreed = size;
		this.#send(encodeResize(size.cols, size.rows));
	}

	#onOutput(bytes: Uint8Array): void {
		const streams = this.#streams;
		const old = Math.max(0, streams.replayUntil - streams.received!);

		this.#hasAdvanced = true;
		/* Old and new output are written apart, so that isReplaying is exact. */
		this.#write(bytes.subarray(0, old));
		this.#write(bytes.subarray(old));
		if (bytes.length > old)
			this.#on.onOutput();
	}

	/* In pieces, so that each can be acknowledged when the screen has it. */
	#write(bytes: Uint8Array): void {
		for (let at = 0; at < bytes.length; at += ACK_BYTES) {
			const piece = bytes.subarray(at, at + ACK_BYTES);
			const end = this.#streams.received! + piece.length;

			this.#screen.write(piece, () => this.#onConsumed(end));
			this.#streams.received = end;
		}
	}

	#onConsumed(end: number): void {
		this.#streams.consumed = Math.max(this.#streams.consumed, end);
		if (this.#isOver)
			return;
		this.#settleAfterReplay();
		this.#ackSoon();
	}

	#ackSoon(): void {
		if (this.#streams.consumed - this.#acked >= ACK_BYTES)
			this.#ack();
		else if (!this.#ackTimer)
			this.#ackTimer = setTimeout(() => this.#ack(), ACK_DELAY_MS);
	}

	#ack(): void {
		clearTimeout(this.#ackTimer);
		this.#ackTimer = 0;
		if (this.#streams.consumed <= this.#acked)
			return;
		this.#acked = this.#streams.consumed;
		this.#send(encodeAck(this.#acked));
	}

	/* A probe travels behind the input, through to the holder: its answer says that the input before it has arrived. */
	#probeIn(delayMs: number): void {
		const dueAt = performance.now() + delayMs;

		if (this.#probeSentAt !== null || dueAt >= this.#probeDueAt)
			return;
		clearTimeout(this.#probeTimer);
		this.#probeDueAt = dueAt;
		this.#probeTimer = setTimeout(() => this.#probe(), delayMs);
	}

	#probe(): void {
		this.#sendProbe();
		this.#expectAnswer(this.#streams.input.unconfirmedBytes === 0 ? PROBE_TIMEOUT_MS : STUCK_TIMEOUT_MS);
	}

	/* One at a time: an answer does not say to which it belongs. */
	#sendProbe(): void {
		clearTimeout(this.#probeTimer);
		this.#probeDueAt = Infinity;
		this.#probeSentAt = performance.now();
		this.#send(encodeProbe(this.#streams.input.sentOffset));
	}

	#expectAnswer(timeoutMs: number): void {
		clearTimeout(this.#deadTimer);
		this.#deadTimer = setTimeout(() => this.#giveUp(CLOSE_DEAD, 'The service stopped answering.'), timeoutMs);
	}

	#onAnswer(payload: Uint8Array): void {
		const offset = probeValue(payload);

		if (this.#probeSentAt === null || offset === null)
			return;
		clearTimeout(this.#deadTimer);
		this.#on.onLatency(performance.now() - this.#probeSentAt);
		this.#probeSentAt = null;
		this.#streams.input.confirm(offset);
		this.#hasAdvanced ||= offset > this.#helloIn;
		this.sendInput();
		this.#probeIn(PROBE_IDLE_MS);
	}
}

const CLOSE_WORDS: Record<number, string> = {
	1000: '',
	1001: 'The service is restarting.',
	1002: 'The service and this page did not understand each other.',
	1007: 'The service and this page did not understand each other.',
	1008: 'The service and this page did not understand each other.',
	1009: 'A message was too long.',
	1011: 'Something went wrong in the service.',
	1012: 'The service is restarting.',
	1013: 'The service is busy.',
	4000: 'The way to the session was cut.',
	4001: 'The session was taken over.',
	4002: 'The session has ended.',
	4003: 'Signed out by time.',
	4004: 'You have been signed out.',
};

/** What a close frame says, for a person. The reason is at most 123 bytes (RFC 6455 5.5). */
function closeWords({ code, reason }: CloseEvent): string {
	return CLOSE_WORDS[code] ?? reason;
}
