// What is open now, page by page.

import { get } from "./api.js";
import { el, refill, roving, say } from "./dom.js";
import { exactly } from "./format.js";
import { OPEN_COLUMNS, emptyTable, openRow } from "./rows.js";
import { meet } from "./shared.js";
import { blank } from "./status.js";

const PAGE = 100;
/** Pages asked for at once as long as they have nothing: few of very many may match. */
const MOST_PAGES = 8;

export function opened(status) {
  const { table, body } = emptyTable("What is open now, in no particular order", OPEN_COLUMNS, "opened");
  const note = blank("");
  const more = el("button", { type: "button", hidden: true }, `${PAGE} more`);
  const told = el("p", { class: "muted", role: "status" });
  const element = el("div", { class: "opened" },
    el("div", { class: "scroll" }, table), note, el("div", { class: "more" }, more, told));
  const settle = roving(body, "a.number");
  let filters = {};
  let cursor = null;
  let ask = null;

  const page = async (signal) => {
    const query = { ...filters, change: undefined, cursor, limit: PAGE };
    const { exceptions, cursor: next } = await get("exceptions", { query, signal });
    cursor = next;
    for (const one of exceptions) meet(one.carrier);
    body.append(...exceptions.map(openRow));
    settle();
    return exceptions.length;
  };

  const fill = async (signal) => {
    let found = 0;
    let pages = 0;
    do {
      found += await page(signal);
      pages += 1;
    } while (cursor && found === 0 && pages < MOST_PAGES);
  };

  const load = async () => {
    ask?.abort();
    ask = new AbortController();
    const { signal } = ask;
    const had = body.childElementCount;
    more.disabled = true;
    try {
      await fill(signal);
      status.good();
      show();
      // The focus goes on with what has come.
      if (had > 0 && body.children[had]) body.children[had].querySelector("a").focus({ preventScroll: true });
    } catch (error) {
      if (signal.aborted) return;
      say(note, body.childElementCount === 0 ? "There is nothing to show until the service answers." : "");
      retry(error, signal);
    } finally {
      more.disabled = false;
    }
  };

  const retry = (error, signal) => {
    const pause = error.retryAfter ?? 5;
    status.bad(error.message, pause);
    status.onRetry = load;
    const timer = setTimeout(load, pause * 1000);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  };

  const show = () => {
    const shown = body.childElementCount;
    note.hidden = shown > 0;
    say(note, cursor ? "Nothing among those that were looked at so far." : "Nothing of that kind is open.");
    more.hidden = !cursor;
    const all = `${exactly(shown)} shown`;
    say(told, cursor ? `${all}; there may be more` : shown > 0 ? `${all}, that is all` : "");
  };

  more.addEventListener("click", load);

  return {
    element,
    enter(chosen) {
      filters = chosen;
      cursor = null;
      refill(body);
      note.hidden = false;
      more.hidden = true;
      say(told, "");
      say(note, "Asking what is open …");
      load();
      return () => {
        ask?.abort();
        status.idle();
      };
    },
  };
}
