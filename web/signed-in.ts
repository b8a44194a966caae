/* SPDX-License-Identifier: MIT */
/* The page that the identity provider redirects to: hands the answer to the page that asked, and goes. The code in it is worth nothing
 * without the verifier, which that page alone has. */
import { CHANNEL, relayOf } from './callback.ts';

function relay(): void {
	const { search } = location;

	history.replaceState(null, '', location.pathname);
	const relayed = relayOf(search, parent !== window, sessionStorage);
	if (relayed.to === 'parent')
		return parent.postMessage({ type: 'answer', query: relayed.query }, location.origin);
	if (relayed.to === 'page')
		return location.replace(relayed.address);
	new BroadcastChannel(CHANNEL).postMessage(relayed.message);
	document.getElementById('words')!.textContent = 'You can close this window.';
	close();
}

relay();
