// Policies: what is waited for how long, as a list to read.

import { get } from "./api.js";
import { el, refill } from "./dom.js";
import { moment, span, words } from "./format.js";
import { poll } from "./poll.js";
import { pill } from "./shared.js";
import { Status, blank, head } from "./status.js";

export function create(root) {
  const status = new Status();
  const about = el("p", { class: "about" });
  const place = el("div", { class: "policies" }, blank("Asking for the policies …"));
  root.append(head("policies", "Policies", status), about, place);
  let shown = "";

  const show = (answer) => {
    const now = JSON.stringify(answer);
    if (now === shown) return;
    shown = now;
    about.replaceChildren(
      el("span", null, "file ", el("b", null, answer.file)),
      el("span", null, "read ", moment(answer.loaded_at)),
      el("span", { title: answer.hash }, "set ", el("code", null, (answer.hash ?? "").slice(0, 12))),
      ...Object.entries(answer.defaults ?? {}).map(([name, seconds]) =>
        el("span", null, `${words(name.replace(/_s$/, ""))} `, el("b", null, span(seconds)))));
    refill(place, el("p", { class: "muted" }, "The first policy that matches counts. Each step opens or escalates an exception once the package has been silent for that long."),
      el("ol", { class: "ladders" }, ...answer.policies.map(policy)));
  };

  return {
    title: "Policies",
    enter: () => poll(30, async (signal) => show(await get("policies", { signal })), status),
  };
}

function policy(one) {
  return el("li", { class: "policy", id: null },
    el("h2", null, one.id),
    matches(one.match ?? {}),
    ladder("Until the first scan", one.first_scan),
    ladder("Between scans", one.no_movement));
}

function matches(match) {
  const conditions = Object.entries(match);
  if (conditions.length === 0) return el("p", { class: "match" }, "matches every package");
  return el("p", { class: "match" }, "matches ", ...conditions.flatMap(([name, values], at) => [
    at > 0 ? " and " : null,
    el("span", { class: "name" }, `${words(name)} `),
    ...[values].flat().flatMap((value, nth) => [nth > 0 ? " or " : null, el("code", null, String(value))]),
  ]));
}

function ladder(title, steps) {
  if (!steps || steps.length === 0) return null;
  return el("div", { class: "ladder" },
    el("h3", null, title),
    el("ol", null, ...steps.map((step) => el("li", { class: step.severity },
      el("span", { class: "after" }, `after ${span(step.after_s)}`),
      pill(step.severity),
      step.name && step.name !== step.severity ? el("span", { class: "step" }, words(step.name)) : null))));
}
