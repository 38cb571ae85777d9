// What comes in and is not read: records that are no scans, texts that are none of their vocabulary.

import { el } from "./dom.js";
import { exactly, figure } from "./format.js";

const percent = (part, of) => {
  const share = (100 * part) / Math.max(part, of, 1);
  return `${share >= 10 || share === 0 ? Math.round(share) : share >= 0.1 ? share.toFixed(1) : "< 0.1"} %`;
};

/** How much was not read lately, in a few words; empty where all was. */
export function share(unread) {
  const { records, rejected, unknown_texts: texts } = unread?.last_15_min ?? { rejected: 0, unknown_texts: 0 };
  if (rejected > 0) return `${percent(rejected, records)} of the records are no scans`;
  return texts > 0 ? `${percent(texts, records)} of the records have unknown words` : "";
}

/** All of it, or nothing. */
export function unreadTable(unread) {
  if (!unread || unread.rejected.length + unread.unknown_texts.length === 0) return null;
  const columns = ["not read", "carrier", "last 15 min", "since the start", "last one", "what is wrong"];
  return el("table", { class: "list unread" },
    el("caption", null, "What comes in and is not read"),
    el("thead", null, el("tr", null, ...columns.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", null,
      ...unread.rejected.map((of) => row(of, unread, el("code", null, of.reason), null, of.says)),
      ...unread.unknown_texts.map((of) => row(of, unread, el("span", null, `${of.field} `, el("code", null, of.text)), of.carrier,
        of.field === "milestone" ? "unknown: counts as info" : "unknown: counts as predicted")),
      unread.unknown_texts_not_listed > 0 ? el("tr", null,
        el("td", { colspan: 3 }, "more unknown texts"), el("td", null, figure(unread.unknown_texts_not_listed)), el("td", { colspan: 2 })) : null));
}

function row(of, unread, what, carrier, says) {
  const { last } = of;
  return el("tr", null,
    el("td", null, what),
    el("td", null, carrier ?? "–"),
    el("td", null, figure(of.last_15_min), of.last_15_min > 0
      ? el("span", { class: "muted" }, ` ${percent(of.last_15_min, unread.last_15_min.records)} of the records`) : null),
    el("td", null, figure(of.count)),
    el("td", null, `partition ${last.partition}, offset ${exactly(last.offset)}`),
    el("td", { class: "says" }, says));
}
