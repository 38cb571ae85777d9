// The rows of the two lists of exceptions.

import { el } from "./dom.js";
import { moment, ms, span, words } from "./format.js";
import { now, packageHash, pill, place } from "./shared.js";

/** When it happened by the log: the closing scan, the end of watching, or the deadline. */
export function happened(event) {
  if (event.closed_by) return event.closed_by.log_time;
  if (event.change !== "expired") return event.deadline;
  return new Date(ms(event.anchor_time) + event.silent_for_s * 1000).toISOString().replace(".000Z", "Z");
}

const number = (one) => el("a", {
  href: packageHash(one.carrier, one.tracking_number), class: "number", "data-key": `${one.exception_id}:${one.sequence}`,
}, one.tracking_number);

const step = (one) => el("span", null, words(one.kind), one.step_name !== one.severity
  ? el("span", { class: "muted" }, ` · ${words(one.step_name)}`) : null);

const cell = (name, ...children) => el("td", { class: `c-${name}` }, ...children);

export const EVENT_COLUMNS = ["when", "change", "severity", "carrier", "tracking number", "what", "silent for", "last seen"];

/** A published event. */
export function eventRow(event) {
  const detected = event.detected_time ? `detected ${event.detected_time}` : null;
  return el("tr", { class: `is-${event.change}` },
    el("td", { class: "c-when", title: detected }, moment(happened(event))),
    cell("change", el("span", { class: `change ${event.change}` }, event.change), event.backfilled ? el("small", { title: "was open already at the first start" }, "backfilled") : null),
    cell("severity", pill(event.severity)),
    cell("carrier", event.carrier),
    cell("number", number(event)),
    cell("what", step(event)),
    cell("silent", span(event.silent_for_s)),
    cell("seen", event.closed_by ? `${words(event.last_milestone)} → ${words(event.closed_by.milestone)}` : place(event)));
}

export const OPEN_COLUMNS = ["open since", "severity", "carrier", "tracking number", "what", "silent for", "last seen", "policy"];

/** What is open. */
export function openRow(one) {
  const silent = Math.floor((now() - ms(one.anchor_time)) / 1000);
  return el("tr", null,
    cell("when", moment(one.opened_deadline)),
    cell("severity", pill(one.severity)),
    cell("carrier", one.carrier),
    cell("number", number(one)),
    cell("what", step(one)),
    cell("silent", span(Math.max(0, silent))),
    cell("seen", place(one)),
    el("td", { class: "c-policy muted" }, one.policy_id ?? ""));
}

/** An empty table of these columns, and its body. */
export function emptyTable(caption, columns, kind) {
  const body = el("tbody");
  const table = el("table", { class: `list ${kind}` },
    el("caption", { class: "hidden" }, caption),
    el("thead", null, el("tr", null, ...columns.map((name) => el("th", { scope: "col" }, name)))), body);
  return { table, body };
}
