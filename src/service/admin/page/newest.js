// The newest events: what has been published, then live. Rows never move under a reader's hand: away
// from the top, with the focus in the list, or held, new ones wait behind a button.

import { follow, get } from "./api.js";
import { byId, el, refill, roving, say } from "./dom.js";
import { count } from "./format.js";
import { passes } from "./filters.js";
import { EVENT_COLUMNS, emptyTable, eventRow } from "./rows.js";
import { meet } from "./shared.js";
import { blank } from "./status.js";

const MOST = 300;
/** What the service keeps; of a facility there are few among them. */
const KEPT = 1000;
/** Events that are told from new ones; many more than the service gives again. */
const REMEMBERED = 20000;
const DRAW_MS = 250;
const SPEAK_MS = 5000;

const named = (event) => `${event.exception_id}:${event.sequence}`;

export function newest(status) {
  const { table, body } = emptyTable("The newest exceptions, newest first", EVENT_COLUMNS, "events");
  const note = blank("Asking for the newest …");
  const live = el("p", { class: "live", role: "status" });
  const hold = el("button", { type: "button", "aria-pressed": "false", class: "quiet" }, "Hold");
  const waiting = el("button", { type: "button", class: "waiting", hidden: true });
  const element = el("div", { class: "newest" },
    el("div", { class: "tools" }, live, waiting, hold), el("div", { class: "scroll" }, table), note);
  const settle = roving(body, "a.number");
  const known = new Set();
  let pending = [];
  let unspoken = 0;
  let filters = {};
  let timers = [];

  const isHeld = () => hold.getAttribute("aria-pressed") === "true" || window.scrollY > 160 || body.contains(document.activeElement);

  const empty = () => {
    const none = body.childElementCount === 0;
    note.hidden = !none;
    say(note, "Nothing of that kind has been published yet. It appears here when it is.");
  };

  /** Newest first. */
  const add = (events, fresh) => {
    const rows = events.map((event) => {
      meet(event.carrier);
      const row = eventRow(event);
      row.classList.toggle("fresh", fresh);
      return row;
    });
    body.prepend(...rows);
    while (body.childElementCount > MOST) body.lastElementChild.remove();
    settle();
    empty();
  };

  const draw = () => {
    const held = isHeld();
    waiting.hidden = pending.length === 0 || !held;
    if (pending.length === 0) return;
    if (held) return say(waiting, `Show ${count(pending.length)} new`);
    unspoken += pending.length;
    add(pending.splice(0, MOST), true);
    pending = [];
  };

  /** A set keeps the order of its members: what came first is forgotten first. */
  const remember = (event) => {
    known.add(named(event));
    if (known.size > REMEMBERED) known.delete(known.values().next().value);
  };

  const take = (event) => {
    if (known.has(named(event)) || !passes(filters, event)) return;
    remember(event);
    pending.unshift(event);
    if (pending.length > 1000) pending.length = 1000;
  };

  const speak = () => {
    if (unspoken === 0) return;
    say(byId("spoken"), unspoken === 1 ? "1 new exception" : `${unspoken} new exceptions`);
    unspoken = 0;
  };

  const load = async (signal) => {
    const query = { ...filters, facility: undefined, limit: filters.facility ? KEPT : MOST };
    const { events } = await get("events", { query, signal });
    const first = known.size === 0;
    const missed = events
      .filter((event) => passes(filters, event) && !known.has(named(event)))
      .slice(0, MOST);
    events.forEach(remember);
    if (first) {
      refill(body);
      add(missed, false);
    } else {
      pending.unshift(...missed);
    }
  };

  waiting.addEventListener("click", () => {
    window.scrollTo({ top: 0 });
    hold.setAttribute("aria-pressed", "false");
    hold.focus({ preventScroll: true });
    draw();
  });
  hold.addEventListener("click", () => {
    const held = hold.getAttribute("aria-pressed") === "true";
    hold.setAttribute("aria-pressed", String(!held));
    draw();
  });

  const tell = (text, style) => {
    say(live, text);
    live.className = `live ${style}`;
  };

  /** Connected first, then what was there before: nothing falls between the two. */
  const run = (signal) => follow({
    query: { ...filters, facility: undefined },
    signal,
    on: {
      open: () => {
        tell("live", "on");
        load(signal).then(() => status.good(), (error) => {
          if (!signal.aborted) status.bad(error.message, 5);
        });
      },
      event: take,
      lagged: (missed) => {
        tell(`live; ${count(missed)} came too fast to be shown`, "on");
        load(signal).catch(() => {});
      },
      lost: (trouble, seconds) => {
        tell("not live", "off");
        status.bad(trouble.message, seconds);
        if (known.size === 0) say(note, "There is nothing to show until the service answers.");
      },
    },
  });

  return {
    element,
    enter(chosen) {
      filters = chosen;
      known.clear();
      pending = [];
      refill(body);
      note.hidden = false;
      say(note, "Asking for the newest …");
      tell("connecting", "");
      let connection = new AbortController();
      const start = () => {
        connection.abort();
        connection = new AbortController();
        if (document.hidden) return tell("paused", "");
        run(connection.signal);
      };
      status.onRetry = start;
      document.addEventListener("visibilitychange", start);
      timers = [setInterval(draw, DRAW_MS), setInterval(speak, SPEAK_MS)];
      start();
      return () => {
        document.removeEventListener("visibilitychange", start);
        connection.abort();
        timers.forEach(clearInterval);
        status.idle();
      };
    },
  };
}
