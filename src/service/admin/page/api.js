// What the service is asked: answers as JSON, events as a stream, errors with what to do about them.

import { askForToken, authorization } from "./token.js";

/** Why there is no answer. `retryAfter` is in seconds where the service says it. */
export class Trouble extends Error {
  constructor(message, { status = 0, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const path = (where, query) => {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return text ? `v1/${where}?${text}` : `v1/${where}`;
};

/** Asks once, and again with a token if one is wanted. */
async function request(where, { query, signal, accept }) {
  for (;;) {
    let response;
    const sent = authorization();
    try {
      response = await fetch(path(where, query), {
        headers: { accept, ...sent },
        signal,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Trouble("The service cannot be reached.");
    }
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response);
    await askForToken(sent, (await refusal(response)).message, signal);
  }
}

async function refusal(response) {
  let message = `The service answered ${response.status} ${response.statusText}`.trim();
  try {
    const body = await response.json();
    if (typeof body.error === "string") message = body.error;
  } catch {
    // What is no JSON says no more than its status.
  }
  const after = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  if (response.status === 429) message = `Too much is asked at once. ${message}`;
  return new Trouble(message, { status: response.status, retryAfter: Number.isNaN(after) ? null : after });
}

const seen = new Set();

/** Tells `listener` about every answer of data, and to what: it says what time it is there. */
export const onAnswer = (listener) => seen.add(listener);

/** An answer of `/v1/where`. */
export async function get(where, { query, signal } = {}) {
  const response = await request(where, { query, signal, accept: "application/json" });
  let body;
  try {
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Trouble("The answer of the service was cut off.");
  }
  for (const listener of seen) listener(body, where);
  return body;
}

/**
 * Follows `/v1/tap` until `signal` ends it: `on.open()` once it is connected, `on.event(event)`,
 * `on.lagged(missed)`, `on.lost(trouble, seconds)` when it is lost and when it will be tried again.
 */
export async function follow({ query, signal, on }) {
  let pause = 1;
  while (!signal.aborted) {
    let trouble = new Trouble("The stream of events ended.");
    try {
      const response = await request("tap", { query, signal, accept: "text/event-stream" });
      on.open();
      pause = 1;
      await read(response.body, on);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Trouble) trouble = error;
    }
    if (signal.aborted) return;
    const seconds = trouble.retryAfter ?? pause;
    on.lost(trouble, seconds);
    await wait(seconds * 1000, signal);
    pause = Math.min(pause * 2, 30);
  }
}

async function read(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) tell(block, on);
  }
}

function tell(block, on) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length === 0) return;
  const value = JSON.parse(data.join("\n"));
  if (name === "lagged") on.lagged(value.missed);
  else on.event(value);
}

/** Waits, or until `signal` has enough. */
export function wait(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
