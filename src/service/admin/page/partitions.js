// Partitions: how far each is read, what stands still, what is not read.

import { get } from "./api.js";
import { el, refill } from "./dom.js";
import { exactly, figure, moment, span, words } from "./format.js";
import { poll } from "./poll.js";
import { since } from "./shared.js";
import { Status, blank, head } from "./status.js";
import { unreadTable } from "./unread.js";

const PHASES = ["awaiting_first_scan", "moving", "settled"];

export function create(root) {
  const status = new Status();
  const about = el("p", { class: "about" });
  const place = el("div", { class: "scroll" }, blank("Asking how far the partitions are …"));
  const unread = el("div", { class: "scroll", hidden: true });
  root.append(head("partitions", "Partitions", status), about, place, unread);

  const show = (answer) => {
    about.replaceChildren(
      el("span", { class: `stage ${answer.ready ? "live" : "halted"}` }, answer.ready ? "ready" : `not ready: ${answer.not_ready ?? "no reason is given"}`),
      el("span", null, "reads ", el("b", null, answer.input)),
      el("span", null, "group ", el("b", null, answer.group_id)),
      el("span", null, "instance ", el("b", null, answer.instance_id)),
      el("span", null, "version ", el("b", null, answer.version)));
    const nothing = blank("This instance holds no partition at the moment. There may be more instances than partitions, or the group is being balanced.");
    refill(place, answer.rows.length === 0 ? nothing : table(answer.rows));
    const notRead = unreadTable(answer.unread);
    unread.hidden = notRead === null;
    refill(unread, notRead);
  };

  return {
    title: "Partitions",
    enter: () => poll(2, async (signal) => show(await get("partitions", { signal })), status),
  };
}

function table(rows) {
  const most = Math.max(1, ...rows.map((row) => row.lag ?? 0));
  const columns = ["partition", "stage", "lag", "frontier", "position", "committed", "log clock", "packages", "open"];
  const known = rows.map((row) => row.lag).filter((lag) => lag !== null && lag !== undefined);
  const total = (of) => rows.reduce((all, row) => all + (of(row) ?? 0), 0);
  return el("table", { class: "list partitions" },
    el("caption", { class: "hidden" }, "Partitions of this instance"),
    el("thead", null, el("tr", null, ...columns.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", null, ...rows.map((row) => lines(row, most))),
    el("tfoot", null, el("tr", null,
      el("th", { scope: "row" }, "all"),
      el("td", null),
      el("td", { class: "c-lag" }, figure(known.length ? known.reduce((a, b) => a + b, 0) : null)),
      el("td", { colspan: 4 }),
      el("td", { class: "c-packages" }, figure(total((row) => packages(row)))),
      el("td", { class: "c-open" }, figure(total((row) => row.open))))));
}

const packages = (row) => Object.values(row.packages ?? {}).reduce((a, b) => a + b, 0);

function lines(row, most) {
  const first = el("tr", null,
    el("th", { scope: "row" }, row.partition),
    el("td", null, el("span", { class: `stage ${row.stage}` }, row.stage)),
    el("td", { class: "c-lag" }, el("span", { class: "lag" },
      figure(row.lag), el("span", { class: "bar", "aria-hidden": "true", "--of": `${(100 * (row.lag ?? 0)) / most}%` }))),
    el("td", { class: "c-frontier" }, row.frontier ? el("span", null, span(since(row.frontier)), " behind ", el("span", { class: "muted" }, moment(row.frontier))) : "none yet",
      row.hold ? el("span", { class: "hold", title: row.waits_for ?? "why the frontier does not move without a record" }, `held: ${words(row.hold)}`) : null),
    el("td", { class: "c-position" }, exactly(row.position), row.end === null || row.end === undefined ? null : el("span", { class: "muted" }, ` of ${exactly(row.end)}`)),
    el("td", { class: "c-committed" }, row.committed === null || row.committed === undefined ? "–" : exactly(row.committed)),
    el("td", null, moment(row.log_clock)),
    el("td", { class: "c-packages" }, figure(packages(row), {
      title: PHASES.filter((phase) => row.packages?.[phase] !== undefined).map((phase) => `${exactly(row.packages[phase])} ${words(phase)}`).join(", "),
    })),
    el("td", { class: "c-open" }, figure(row.open)));
  if (!row.halted) return first;
  const message = el("tr", { class: "message" }, el("td"), el("td", { colspan: 8 }, el("p", null, row.halted)));
  return [first, message];
}
