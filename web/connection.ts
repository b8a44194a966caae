/* SPDX-License-Identifier: MIT */
/* One attachment: a WebSocket that speaks fog.pty.v1. What outlives it, the two numbered streams, is in Streams. */
import { InputQueue } from './input.ts';
import {
	decode, encodeAck, encodeAnswer, encodeInput, encodeProbe, encodeResize, INPUT_FRAME_BYTES, probeValue, SUBPROTOCOL,
	TOKEN_SUBPROTOCOL_PREFIX, type Exit, type Hello, type ServerFrame, type Status,
} from './protocol.ts';

const HELLO_TIMEOUT_MS = 10_000;
const ACK_BYTES = 64 * 1024;
const ACK_DELAY_MS = 50;
const PROBE_DELAY_MS = 200;
const PROBE_IDLE_MS = 15_000;
/** An idle connection that leaves a probe unanswered for so long is dead, whatever TCP believes. */
const PROBE_TIMEOUT_MS = 10_000;
/** Own close codes (RFC 6455 7.4.2): the service broke the protocol; it does not answer. */
const CLOSE_PROTOCOL = 4400;
const CLOSE_DEAD = 4408;
/** A replay whose end the hello does not name is over when output has been quiet for so long, or in any case after the second. */
const REPLAY_QUIET_MS = 150;
const REPLAY_LONGEST_MS = 2000;

/** The streams of one session, across its attachments. */
export class Streams {
	readonly input = new InputQueue();
	/** Offset of the next output byte to come; null before the first hello. */
	received: number | null = null;
	/** Output before this offset is on the screen. */
	consumed = 0;
	/** Output before this offset is a replay on a fresh screen: whatever asked questions there has had its answers. */
	replayUntil = 0;

	/** `isReopened`: other screens have shown some of the output before this one. */
	constructor(readonly isReopened: boolean) {}

	get isReplaying(): boolean {
		return this.consumed < this.replayUntil;
	}
}

export interface Screen {
	write(bytes: Uint8Array, done: () => void): void;
	/** Output is missing: forget a half-read escape sequence. */
	skip(): void;
	size(): { cols: number; rows: number };
}

export interface Listener {
	onHello(hello: Hello, inputDropped: number): void;
	onStatus(status: Status): void;
	onExit(exit: Exit): void;
	onLatency(ms: number): void;
}

export interface Closed {
	reason: string;
	/** Milliseconds from the hello to the end; 0 without a hello. */
	lastedMs: number;
}

export class Attachment {
	readonly closed: Promise<Closed>;
	readonly #socket: WebSocket;
	readonly #streams: Streams;
	readonly #screen: Screen;
	readonly #on: Listener;
	#helloAt = 0;
	#isDriver = false;
	#acked = 0;
	#ackTimer = 0;
	#probeTimer = 0;
	#probeDueAt = Infinity;
	#probeSentAt: number | null = null;
	#deadTimer = 0;
	#replayTimer = 0;
	#isOver = false;
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
		this.#socket.addEventListener('close', (event) => this.#finish(closeWords(event)));
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

	sendSize(): void {
		const { cols, rows } = this.#screen.size();

		if (this.#helloAt && this.#isDriver)
			this.#send(encodeResize(cols, rows));
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
		this.#finish(why);
	}

	#finish(reason: string): void {
		this.#isOver = true;
		clearTimeout(this.#ackTimer);
		clearTimeout(this.#probeTimer);
		clearTimeout(this.#deadTimer);
		this.#endReplay();
		this.#resolve({ reason, lastedMs: this.#helloAt ? performance.now() - this.#helloAt : 0 });
	}

	#receive(data: unknown): void {
		if (this.#isOver)
			return;
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
			return this.#onHello(frame.hello);
		case 'output':
			return this.#onOutput(frame.bytes);
		case 'exit':
			return this.#on.onExit(frame.exit);
		case 'status':
			return this.#on.onStatus(frame.status);
		case 'probe':
			return this.#send(encodeAnswer(frame.payload));
		case 'answer':
			return this.#onAnswer(frame.payload);
		}
	}

	#onHello(hello: Hello): void {
		const streams = this.#streams;

		if (this.#helloAt)
			throw new Error('a second hello');
		this.#helloAt = performance.now();
		this.#isDriver = hello.role === 'driver';
		clearTimeout(this.#deadTimer);
		if (streams.received === null)
			this.#beginReplay(hello);
		else if (hello.outFrom !== streams.received)
			this.#screen.skip();
		if (streams.received !== hello.outFrom)
			streams.received = streams.consumed = this.#acked = hello.outFrom;
		const dropped = streams.input.resume(hello.inNext);
		this.#on.onHello(hello, dropped);
		this.sendSize();
		this.sendInput();
		this.#probeIn(PROBE_DELAY_MS);
	}

	#beginReplay(hello: Hello): void {
		this.#streams.replayUntil = hello.outNext ?? (this.#streams.isReopened ? Infinity : hello.outFrom);
		this.#waitReplay();
	}

	/* Called with each output: with no end named, a pause in the output is the end. */
	#waitReplay(): void {
		if (this.#streams.replayUntil !== Infinity)
			return;
		clearTimeout(this.#replayTimer);
		if (performance.now() - this.#helloAt > REPLAY_LONGEST_MS)
			this.#endReplay();
		else
			this.#replayTimer = setTimeout(() => this.#endReplay(), REPLAY_QUIET_MS);
	}

	#endReplay(): void {
		clearTimeout(this.#replayTimer);
		if (this.#streams.replayUntil === Infinity)
			this.#streams.replayUntil = this.#streams.received ?? 0;
	}

	#onOutput(bytes: Uint8Array): void {
		this.#waitReplay();
		const old = Math.max(0, this.#streams.replayUntil - (this.#streams.received ?? 0));

		/* Old and new output are written apart, so that isReplaying is exact. */
		for (const part of [bytes.subarray(0, old), bytes.subarray(old)])
			if (part.length)
				this.#write(part);
	}

	#write(bytes: Uint8Array): void {
		const streams = this.#streams;
		const end = (streams.received ?? 0) + bytes.length;

		streams.received = end;
		this.#screen.write(bytes, () => {
			streams.consumed = Math.max(streams.consumed, end);
			this.#ackSoon();
		});
	}

	#ackSoon(): void {
		if (this.#isOver)
			return;
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
		const { input } = this.#streams;

		this.#probeDueAt = Infinity;
		this.#probeSentAt = performance.now();
		this.#send(encodeProbe(input.sentOffset));
		/* A program that does not read its input holds the answer back: that is no dead connection. */
		if (input.unconfirmedBytes === 0)
			this.#deadTimer = setTimeout(() => this.#giveUp(CLOSE_DEAD, 'The service stopped answering.'), PROBE_TIMEOUT_MS);
	}

	#onAnswer(payload: Uint8Array): void {
		const offset = probeValue(payload);

		if (this.#probeSentAt === null || offset === null)
			return;
		clearTimeout(this.#deadTimer);
		this.#on.onLatency(performance.now() - this.#probeSentAt);
		this.#probeSentAt = null;
		this.#streams.input.confirm(offset);
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
};

/** What a close frame says, for a person. The reason is at most 123 bytes (RFC 6455 5.5). */
function closeWords({ code, reason }: CloseEvent): string {
	return CLOSE_WORDS[code] ?? reason;
}
