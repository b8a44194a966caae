/* SPDX-License-Identifier: MIT */
/* The screen and the keys: xterm.js with its addons, the clipboard, links, title, and light or dark. */
import { FitAddon } from '@xterm/addon-fit';
import { UnicodeGraphemesAddon } from '@xterm/addon-unicode-graphemes';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { WebglAddon } from '@xterm/addon-webgl';
import { Terminal, type ITheme } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import type { Screen } from './connection.ts';
import type { Size } from './protocol.ts';
import { answersQuery, byteWords, cleanPaste, cleanTitle, isMac, safeLink } from './text.ts';

const RESIZE_DELAY_MS = 80;
const SCROLLBACK_LINES = 10_000;
/* Code points as wide as the shell's own wcwidth() has them: a prompt with a newer emoji edits well. Clustering ('15-graphemes') would draw
 * sequences narrower than the shell counts them. */
const UNICODE_VERSION = '15';
const FONT =
	'ui-monospace, "SF Mono", Menlo, "Cascadia Mono", Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace';
const SOFTWARE_RENDERER = /swiftshader|llvmpipe|softpipe|basic render|software/i;
/** Aborts a half-read escape sequence (ECMA-48 CAN). */
const CAN = '\x18';

const DARK: ITheme = {
	background: '#10161d', foreground: '#d5dde5', cursor: '#7fd1c7', cursorAccent: '#10161d',
	selectionBackground: '#2f4f6b', selectionInactiveBackground: '#27394a',
	black: '#1c2530', red: '#ef7f7f', green: '#8fcf8a', yellow: '#e3c27a', blue: '#7fb2ec', magenta: '#cf9be6',
	cyan: '#74cbd0', white: '#c9d3dc', brightBlack: '#6b7a89', brightRed: '#ff9c97', brightGreen: '#aee5a5',
	brightYellow: '#f3d998', brightBlue: '#a3ccf9', brightMagenta: '#e2b9f4', brightCyan: '#9be3e4', brightWhite: '#f3f7fa',
	scrollbarSliderBackground: '#8a9bac40', scrollbarSliderHoverBackground: '#8a9bac70',
	scrollbarSliderActiveBackground: '#8a9bac90',
};

const LIGHT: ITheme = {
	background: '#fcfdfd', foreground: '#22303c', cursor: '#0d7a74', cursorAccent: '#fcfdfd',
	selectionBackground: '#c3dcf1', selectionInactiveBackground: '#dde7ef',
	black: '#22303c', red: '#b3261e', green: '#2d7a32', yellow: '#86610a', blue: '#1d5fb4', magenta: '#8a3aa8',
	cyan: '#0b7285', white: '#5c6b78', brightBlack: '#61707d', brightRed: '#c9372e', brightGreen: '#37853c',
	brightYellow: '#8f6a12', brightBlue: '#2b6cc4', brightMagenta: '#9a4ab8', brightCyan: '#137f92', brightWhite: '#3c4a57',
	scrollbarSliderBackground: '#5c6b7840', scrollbarSliderHoverBackground: '#5c6b7870',
	scrollbarSliderActiveBackground: '#5c6b7890',
};

export interface TermListener {
	/** What was typed or pasted, or (`isAnswer`) what the terminal answers to a program's query. */
	onInput(bytes: Uint8Array, isAnswer: boolean): void;
	onResize(): void;
	onTitle(title: string): void;
	/** The address under the pointer; '' when there is none. */
	onLink(address: string): void;
	/** The person wants to leave the terminal by keyboard. */
	onLeave(): void;
	/** True while old output runs over a fresh screen: queries in it are not answered again. */
	isReplaying(): boolean;
}

export class TermScreen implements Screen {
	readonly #term: Terminal;
	readonly #fit = new FitAddon();
	readonly #on: TermListener;
	readonly #encoder = new TextEncoder();
	readonly #gone = new AbortController();
	readonly #observer = new ResizeObserver(() => this.#fitSoon());
	#webgl: WebglAddon | null = null;
	#isPinned = false;
	#isShown = false;
	#fitTimer = 0;

	constructor(parent: HTMLElement, on: TermListener) {
		const dark = matchMedia('(prefers-color-scheme: dark)');
		const theme = () => (dark.matches ? DARK : LIGHT);

		this.#on = on;
		this.#term = new Terminal({
			allowProposedApi: true, /* unicode */
			cursorBlink: true,
			fontFamily: FONT,
			fontSize: 14,
			lineHeight: 1.15,
			linkHandler: this.#osc8Links(),
			minimumContrastRatio: 4.5,
			scrollback: SCROLLBACK_LINES,
			theme: theme(),
			windowOptions: {}, /* no reports of title, position or size */
		});
		dark.addEventListener('change', () => (this.#term.options.theme = theme()), { signal: this.#gone.signal });
		this.#load();
		this.#term.open(parent);
		this.#listen(parent);
		this.#observer.observe(parent);
	}

	dispose(): void {
		this.#gone.abort();
		this.#observer.disconnect();
		clearTimeout(this.#fitTimer);
		this.#term.dispose();
	}

	/** Its tab comes on top or goes: only what can be seen fits its room and holds one of the browser's few WebGL contexts. */
	set shown(shown: boolean) {
		this.#isShown = shown;
		if (shown) {
			this.#useWebgl();
			this.#fitNow();
		} else {
			this.#webgl?.dispose();
			this.#webgl = null;
		}
	}

	get isShown(): boolean {
		return this.#isShown;
	}

	get isFullScreen(): boolean {
		return this.#term.buffer.active.type === 'alternate';
	}

	write(bytes: Uint8Array, done: () => void): void {
		this.#term.write(bytes, done);
	}

	skip(bytes: number, done: () => void): void {
		this.#term.write(CAN, () => {
			if (bytes > 0)
				this.#markGap(`${byteWords(bytes)} skipped`);
			done();
		});
	}

	pin(size: Size | null): void {
		this.#isPinned = size !== null;
		if (size)
			this.#term.resize(size.cols, size.rows);
		else
			this.#fitNow();
	}

	size(): { cols: number; rows: number } {
		return { cols: this.#term.cols, rows: this.#term.rows };
	}

	focus(): void {
		this.#term.focus();
	}

	/** A blank screen with no history, for another session. */
	reset(): void {
		this.#term.write('', () => this.#term.reset());
	}

	set enabled(enabled: boolean) {
		this.#term.options.disableStdin = !enabled;
		this.#term.options.cursorBlink = enabled;
	}

	set screenReader(on: boolean) {
		this.#term.options.screenReaderMode = on;
	}

	#load(): void {
		this.#term.loadAddon(this.#fit);
		this.#term.loadAddon(new UnicodeGraphemesAddon());
		this.#term.unicode.activeVersion = UNICODE_VERSION;
		this.#term.loadAddon(new WebLinksAddon((_event, address) => openLink(address), {
			hover: (_event, address) => this.#on.onLink(address),
			leave: () => this.#on.onLink(''),
		}));
	}

	/* OSC 8: the text may say one thing and the address another, so the address is shown. */
	#osc8Links() {
		return {
			activate: (_event: MouseEvent, address: string) => openLink(address),
			hover: (_event: MouseEvent, address: string) => this.#on.onLink(safeLink(address) ?? ''),
			leave: () => this.#on.onLink(''),
			allowNonHttpProtocols: false,
		};
	}

	/* Without a real WebGL, or after a lost context, xterm's DOM renderer draws. */
	#useWebgl(): void {
		if (this.#webgl || !hasHardwareWebgl())
			return;
		try {
			const webgl = new WebglAddon();
			webgl.onContextLoss(() => webgl.dispose());
			this.#term.loadAddon(webgl);
			this.#webgl = webgl;
		} catch {
			return;
		}
	}

	/* A line with words across the row at which output is missing; it scrolls with the rows around it. */
	#markGap(words: string): void {
		const marker = this.#term.registerMarker(0);
		const mark = marker && this.#term.registerDecoration({ marker, width: this.#term.cols, layer: 'top' });

		mark?.onRender((element) => {
			element.classList.add('gap');
			element.dataset.words = words;
		});
	}

	#listen(parent: HTMLElement): void {
		this.#term.onData((data) => {
			const isAnswer = answersQuery(data);
			if (!this.#on.isReplaying() || !isAnswer)
				this.#on.onInput(this.#encoder.encode(data), isAnswer);
		});
		this.#term.onBinary((data) => this.#on.onInput(Uint8Array.from(data, (c) => c.charCodeAt(0)), false));
		this.#term.onResize(() => this.#on.onResize());
		this.#term.onTitleChange((title) => this.#on.onTitle(cleanTitle(title)));
		this.#term.attachCustomKeyEventHandler((event) => this.#onKey(event));
		parent.addEventListener('paste', (event) => this.#onPaste(event), { capture: true });
	}

	/* False leaves the key to the browser, whose copy and paste events xterm answers: that needs no clipboard permission. */
	#onKey(event: KeyboardEvent): boolean {
		const ctrl = event.ctrlKey && !event.altKey && !event.metaKey;

		if (event.type !== 'keydown' || !ctrl)
			return true;
		if (event.shiftKey && event.code === 'F6') {
			event.preventDefault();
			this.#on.onLeave();
			return false;
		}
		if (event.shiftKey && event.code === 'KeyC') {
			event.preventDefault(); /* else the browser's developer tools open */
			document.execCommand('copy');
			return false;
		}
		if (event.shiftKey && event.code === 'KeyV')
			return false;
		if (!event.shiftKey && event.key === 'c' && !isMac(navigator.platform) && this.#term.hasSelection()) {
			setTimeout(() => this.#term.clearSelection());
			return false;
		}
		return true;
	}

	/* A page may have put control characters into what is pasted, also the end of bracketed paste. */
	#onPaste(event: ClipboardEvent): void {
		event.preventDefault();
		event.stopPropagation();
		this.#term.paste(cleanPaste(event.clipboardData?.getData('text/plain') ?? ''));
	}

	#fitSoon(): void {
		clearTimeout(this.#fitTimer);
		this.#fitTimer = setTimeout(() => this.#fitNow(), RESIZE_DELAY_MS);
	}

	#fitNow(): void {
		if (this.#isShown && !this.#isPinned)
			this.#fit.fit();
	}
}

let hardwareWebgl: boolean | undefined;

/* Each look takes a context of its own: one is enough. */
function hasHardwareWebgl(): boolean {
	hardwareWebgl ??= findHardwareWebgl();
	return hardwareWebgl;
}

/* WebGL in software is slower than the DOM, and runs a page's shaders in a compiler that browsers warn of. Not every browser says so by
 * failIfMajorPerformanceCaveat, hence the names. */
function findHardwareWebgl(): boolean {
	const gl = document.createElement('canvas').getContext('webgl2', { failIfMajorPerformanceCaveat: true });

	if (!gl)
		return false;
	const info = gl.getExtension('WEBGL_debug_renderer_info');
	const renderer = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
	gl.getExtension('WEBGL_lose_context')?.loseContext();
	return !SOFTWARE_RENDERER.test(renderer);
}

function openLink(address: string): void {
	const link = safeLink(address);

	if (link)
		window.open(link, '_blank', 'noopener,noreferrer');
}
