// Asks again and again while somebody looks: pauses with the tab, backs off when it fails.

import { Trouble, wait } from "./api.js";

const LONGEST_PAUSE = 60;

/** Resolves when the tab is looked at. */
function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}

/**
 * Runs `task(signal)` every `seconds`, or as often as that function says, and tells `status` (see
 * ./status.js) how it goes. Gives a function that ends it.
 */
export function poll(every, task, status) {
  const end = new AbortController();
  const { signal } = end;
  (async () => {
    let failures = 0;
    while (!signal.aborted) {
      await visible(signal);
      if (signal.aborted) return;
      const seconds = typeof every === "function" ? every() : every;
      let pause = seconds;
      try {
        await task(signal);
        if (signal.aborted) return;
        failures = 0;
        status.good();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Trouble)) console.error(error);
        failures += 1;
        pause = error.retryAfter ?? Math.min(seconds * 2 ** failures, LONGEST_PAUSE);
        status.bad(error instanceof Trouble ? error.message : `The answer is not understood: ${error.message}`, pause);
      }
      const hurry = new AbortController();
      signal.addEventListener("abort", () => hurry.abort(), { once: true });
      status.onRetry = () => hurry.abort();
      await wait(pause * 1000, hurry.signal);
    }
  })();
  return () => {
    end.abort();
    status.idle();
  };
}
