// Package: what is known of one, what is awaited, and its life line.

import { get } from "./api.js";
import { el, refill } from "./dom.js";
import { moment, span, words } from "./format.js";
import { lifeLine } from "./lifeline.js";
import { poll } from "./poll.js";
import { meet, packageHash, pill } from "./shared.js";
import { Status, blank, head } from "./status.js";

export function create(root) {
  const status = new Status();
  const place = el("div");
  root.append(head("package", "Package", status), place);
  const hint = () => el("div", { class: "hint" },
    blank("Write the carrier and the tracking number above; / leads there."),
    el("p", { class: "muted" }, "Spaces, dashes and letters in lower case do not matter. The address of a package can be handed on."));

  return {
    title: "Package",
    enter({ parts }) {
      const [, carrier, number] = parts;
      if (!carrier || !number) {
        refill(place, hint());
        return () => {};
      }
      document.getElementById("look-up-carrier").value = carrier;
      document.getElementById("look-up-number").value = number;
      refill(place, blank(`Asking about ${carrier} ${number} …`));
      let shown = "";
      return poll(10, async (signal) => {
        const where = `packages/${encodeURIComponent(carrier)}/${encodeURIComponent(number)}`;
        const answer = await get(where, { signal });
        const now = JSON.stringify([answer.packages, answer.instances, answer.complete]);
        if (now === shown) return;
        shown = now;
        meet(answer.carrier);
        document.title = `${answer.carrier} ${answer.tracking_number} · stallwatch`;
        refill(place, ...contents(answer));
      }, status);
    },
  };
}

function contents(answer) {
  const silent = (answer.instances ?? []).filter((instance) => instance.error);
  return [
    silent.length === 0 ? null : el("ul", { class: "warning-box" }, ...silent.map((instance) =>
      el("li", null, el("b", null, instance.address), ` did not answer: ${instance.error}`))),
    answer.packages.length > 1 ? el("p", { class: "warning-box" },
      `It is known in ${answer.packages.length} partitions: its scans were not keyed by the package. Each is watched for itself.`) : null,
    ...(answer.packages.length === 0 ? [unknown(answer)] : answer.packages.map((one) => card(answer, one))),
  ];
}

function unknown(answer) {
  const why = answer.complete
    ? "None of its scans was read, or it was settled or silent for so long that it was forgotten."
    : "The partitions that were asked do not know it; others did not answer.";
  return el("article", { class: "card" },
    title(answer), el("p", { class: "why" }, "This package is not known."), el("p", { class: "muted" }, why));
}

const title = (answer, ...more) => el("header", null,
  el("h2", null, el("span", { class: "muted" }, answer.carrier), " ",
    el("a", { href: packageHash(answer.carrier, answer.tracking_number), class: "number", "data-key": "self" }, answer.tracking_number)), ...more);

function card(answer, one) {
  return el("article", { class: "card" },
    title(answer,
      el("span", { class: `phase ${one.phase}` }, words(one.phase)),
      ...one.open.map((open) => el("span", { class: `pill ${open.severity}` }, `${words(open.kind)}: ${words(open.step_name)}`))),
    el("p", { class: "why" }, ...told(one.why)),
    lifeLine(one),
    el("div", { class: "halves" }, facts(one), el("div", null, deadlines(one), open(one))));
}

/** A sentence of the service; times in it are shown in the local zone. */
const told = (sentence) =>
  sentence.split(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)/).map((part, at) => (at % 2 === 1 ? moment(part) : part));

function facts(one) {
  const pairs = [
    ["last seen", [words(one.last_milestone), one.last_facility, one.last_country].filter(Boolean).join(" · ")],
    ["silent for", span(one.silent_for_s)],
    [one.phase === "settled" ? "settled" : "silent since", moment(one.anchor_time)],
    ["known since the scan logged at", moment(one.anchor_set_at)],
    ["service", one.service],
    ["direction", one.direction],
    ["destination", one.destination_country],
    ["shipper", one.shipper],
    ["value tier", one.value_tier],
    ["policy", one.policy_id ?? (one.phase === "settled" ? null : "none matches")],
    ["policy set", one.policy_set ? el("code", { title: one.policy_set }, one.policy_set.slice(0, 12)) : null],
    ["forgotten", moment(one.forgotten_at)],
    ["partition", String(one.partition)],
    ["log read up to", moment(one.log_clock)],
    ["nothing missing up to", moment(one.frontier)],
  ];
  return el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value)
    .map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
}

function deadlines(one) {
  if (one.deadlines.length === 0) return el("p", { class: "muted" }, "No deadline hangs over it.");
  return el("table", { class: "list deadlines" },
    el("caption", null, "Deadlines"),
    el("thead", null, el("tr", null, ...["", "step", "severity", "after", "deadline", "looked at"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", null, ...one.deadlines.map((deadline) => el("tr", { class: `d-${deadline.state}` },
      el("td", null, el("span", { class: `state ${deadline.state}` }, deadline.state)),
      el("td", null, words(deadline.step_name), el("span", { class: "muted" }, ` · ${words(deadline.kind)}`)),
      el("td", null, pill(deadline.severity)),
      el("td", { class: "c-after" }, span(deadline.after_s)),
      el("td", null, moment(deadline.deadline)),
      el("td", { title: "The deadline and the grace in which a late scan may still come" }, moment(deadline.due))))));
}

function open(one) {
  if (one.open.length === 0) return null;
  return el("table", { class: "list" },
    el("caption", null, "Open"),
    el("thead", null, el("tr", null, ...["what", "severity", "since", "exception"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", null, ...one.open.map((exception) => el("tr", null,
      el("td", null, words(exception.kind), el("span", { class: "muted" }, ` · ${words(exception.step_name)}`)),
      el("td", null, pill(exception.severity)),
      el("td", null, moment(exception.opened_deadline)),
      el("td", null, el("code", { class: "id", title: exception.exception_id }, `${exception.exception_id.slice(0, 8)}…:${exception.sequence}`))))));
}
