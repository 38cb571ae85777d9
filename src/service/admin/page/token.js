// The token of the API: asked for when the service wants one, kept for this tab.

import { byId } from "./dom.js";

const KEY = "stallwatch.token";
let asking = null;

/** The header that goes with every request. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/**
 * Resolves once there is another token than the one that was `sent`. All who need it wait for the
 * same dialog.
 */
export async function askForToken(sent, why, signal) {
  if (authorization().authorization !== sent.authorization) return;
  asking ??= ask(sent.authorization ? `The token was refused. ${why}` : why);
  await asking;
  if (signal?.aborted) throw new DOMException("no longer wanted", "AbortError");
}

function ask(why) {
  const dialog = byId("token");
  const text = byId("token-text");
  byId("token-why").textContent = why;
  text.value = "";
  return new Promise((resolve) => {
    const done = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, text.value.trim());
      dialog.removeEventListener("cancel", keep);
      dialog.close();
      asking = null;
      resolve();
    };
    // Without a token there is nothing behind the dialog.
    const keep = (event) => event.preventDefault();
    dialog.querySelector("form").addEventListener("submit", done, { once: true });
    dialog.addEventListener("cancel", keep);
    if (!dialog.open) dialog.showModal();
    text.focus();
  });
}
