// What is open now, page by page.

import { get } from "./api.js";
import { el, refill, roving, say } from "./dom.js";
import { count, exactly } from "./format.js";
import { isThere } from "./filters.js";
import { OPEN_COLUMNS, emptyTable, openRow } from "./rows.js";
import { meet } from "./shared.js";
import { blank } from "./status.js";

const PAGE = 100;
/** Pages asked for at once as long as they have nothing, or too little of a facility. */
const MOST_PAGES = 8;

export function opened(status) {
  const { table, body } = emptyTable("What is open now, in no particular order", OPEN_COLUMNS, "opened");
  const note = blank("");
  const more = el("button", { type: "button", hidden: true }, "More");
  const told = el("p", { class: "muted", role: "status" });
  const element = el("div", { class: "opened" },
    el("div", { class: "scroll" }, table), note, el("div", { class: "more" }, more, told));
  const settle = roving(body, "a.number");
  let filters = {};
  let cursor = null;
  let looked = 0;
  let ask = null;

  const page = async (signal) => {
    const query = { carrier: filters.carrier, kind: filters.kind, severity: filters.severity, cursor, limit: filters.facility ? 500 : PAGE };
    const answer = await get("exceptions", { query, signal });
    looked += answer.exceptions.length;
    cursor = answer.cursor;
    const rows = answer.exceptions.filter((one) => isThere(filters, one));
    for (const one of rows) meet(one.carrier);
    body.append(...rows.map(openRow));
    settle();
    return rows.length;
  };

  const fill = async (signal) => {
    const enough = filters.facility ? PAGE : 1;
    let found = 0;
    let pages = 0;
    do {
      found += await page(signal);
      pages += 1;
    } while (cursor && found < enough && pages < MOST_PAGES);
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
    say(note, cursor ? "Nothing among these." : "Nothing of that kind is open.");
    more.hidden = !cursor;
    const all = filters.facility ? `${exactly(shown)} of ${exactly(looked)} looked through` : `${exactly(shown)} shown`;
    say(told, cursor ? `${all}; there is more` : shown > 0 ? `${all}, that is all` : "");
    more.textContent = filters.facility ? "Look on" : `${count(PAGE)} more`;
  };

  more.addEventListener("click", load);

  return {
    element,
    enter(chosen) {
      filters = chosen;
      cursor = null;
      looked = 0;
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
