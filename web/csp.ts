/* SPDX-License-Identifier: MIT */
/* xterm.js writes three <style> elements and style attributes, which a Content-Security-Policy without 'unsafe-inline'
 * blocks. Constructed style sheets and the CSSOM are the ways that the policy leaves open; build.mjs puts these two functions
 * in the place of xterm's calls. */

/** Stands for document.createElement('style'): an inert element whose text becomes a constructed style sheet. */
export function createStyleElement(): HTMLElement {
	const element = document.createElement('template');
	const sheet = new CSSStyleSheet();

	document.adoptedStyleSheets.push(sheet);
	Object.defineProperty(element, 'textContent', { set: (css: string) => sheet.replaceSync(css) });
	Object.defineProperty(element, 'remove', {
		value: () => {
			document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
			HTMLElement.prototype.remove.call(element);
		},
	});
	return element;
}

/** Stands for element.setAttribute('style', css). */
export function setStyleAttribute(element: HTMLElement, css: string): void {
	element.style.cssText = css;
}
