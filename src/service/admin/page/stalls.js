// Stalls: what is open, by carrier and facility.

import { get } from "./api.js";
import { el, refill, roving } from "./dom.js";
import { count, exactly, figure, local, ms, words } from "./format.js";
import { meet } from "./shared.js";
import { added, sparkline } from "./spark.js";
import { poll } from "./poll.js";
import { Status, blank, head } from "./status.js";

const SEVERITIES = ["critical", "warning", "notice"];
const NOWHERE = "no facility yet";

export function create(root) {
  const status = new Status();
  const tiles = el("div", { class: "tiles" });
  const table = el("div", { class: "scroll", tabindex: "-1" }, blank("Asking what is open …"));
  root.append(head("stalls", "Stalls", status), tiles, table);
  const settle = roving(table, "a[data-key]", { grid: true });
  let shown = "";
  let ranks = newRanks();

  const show = (carriers, cells) => {
    for (const row of carriers.rows) meet(row.carrier);
    const now = JSON.stringify([carriers.rows, carriers.rest, carriers.opened, cells.rows, cells.rest]);
    if (now === shown) return;
    shown = now;
    refill(tiles, overview(carriers));
    refill(table, cells.rows.length === 0 ? quiet() : heat(carriers, cells, ranks));
    settle();
  };

  return {
    title: "Stalls",
    enter: () => {
      ranks = newRanks();
      shown = "";
      return poll(5, async (signal) => {
        const [carriers, cells] = await Promise.all([
          get("summary", { query: { by: "carrier" }, signal }),
          get("summary", { query: { by: "carrier,facility" }, signal }),
        ]);
        show(carriers, cells);
      }, status);
    },
  };
}

const quiet = () => blank("Nothing is open. Every package that is watched was seen in time.");

const sum = (rows, name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);

function filtered(filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value)).toString();
  return query ? `#/exceptions/open?${query}` : "#/exceptions/open";
}

function overview({ rows, rest, opened }) {
  const all = rest ? [...rows, rest] : rows;
  const tile = (label, number, filters, style) =>
    el("a", { class: `tile ${style}`, href: filtered(filters), "data-key": `tile-${label}` },
      el("span", { class: "label" }, label), figure(number, { class: "number" }));
  const label = openedLabel(opened);
  return [
    tile("open", sum(all, "open"), {}, "open"),
    ...SEVERITIES.map((severity) => tile(severity, sum(all, severity), { severity }, severity)),
    tile("missing first scan", sum(all, "missing_first_scan"), { kind: "missing_first_scan" }, "kind"),
    tile("no movement", sum(all, "no_movement"), { kind: "no_movement" }, "kind"),
    el("div", { class: "tile trend", role: "img", "aria-label": spoken(opened, label), title: openedTitle(opened) },
      el("span", { class: "label" }, label),
      el("span", { class: "number" }, count(all24(opened))),
      sparkline(opened.by_hour, { width: 168, height: 30 })),
  ];
}

const all24 = ({ by_hour: hours }) => hours.reduce((a, b) => a + b, 0);

/** An instance knows what opened in its partitions since they came to it, and no more. */
function openedLabel({ counted_since: since, whole }) {
  if (whole || !since) return "opened, last 24 h";
  const [first, last] = since.map((text) => local(ms(text)));
  return first === last ? `opened since ${first}` : `opened since ${first}, at least`;
}

function openedTitle({ counted_since: since, whole }) {
  if (whole || !since) return null;
  return `Counted since partitions came to this instance, the last of them at ${local(ms(since[1]))}; what opened in them before is not in it.`;
}

const spoken = (opened, label) =>
  `${exactly(all24(opened))} ${label}, ${exactly(opened.by_hour.at(-1))} in the current hour`;

/** In what order rows and columns were first seen: they stay where they are while somebody looks. */
const newRanks = () => ({ carriers: new Map(), facilities: new Map() });

function inOrder(ranks, items, name) {
  for (const item of items) if (!ranks.has(name(item))) ranks.set(name(item), ranks.size);
  return items.sort((a, b) => ranks.get(name(a)) - ranks.get(name(b)));
}

function heat(carriers, cells, ranks) {
  const isThere = (row) => row.open > 0 || cells.rows.some((cell) => cell.carrier === row.carrier);
  const columns = inOrder(ranks.carriers, carriers.rows.filter(isThere), (row) => row.carrier);
  const places = inOrder(ranks.facilities, byPlace(cells.rows), (place) => place.facility);
  const most = Math.max(1, ...cells.rows.map((row) => row.open));
  const caption = "Open exceptions by facility and carrier. A cell leads to its exceptions.";
  return el("table", { class: "heat" },
    el("caption", { class: "hidden" }, caption),
    el("thead", null, el("tr", null,
      el("th", { scope: "col" }, "facility"),
      el("th", { scope: "col", class: "total" }, "all"),
      ...columns.map((row) => el("th", { scope: "col" }, row.carrier)))),
    el("tbody", null,
      el("tr", { class: "sums" },
        el("th", { scope: "row" }, "all facilities"),
        el("td", { class: "total" }, amount(sum(columns, "open"), added(columns.map((row) => row.opened_by_hour)))),
        ...columns.map((row, column) => el("td", null, cell(row, { row: 0, column, most: null, facility: undefined })))),
      ...places.map(({ facility, rows }, at) => el("tr", null,
        el("th", { scope: "row" }, facility === null ? el("i", null, NOWHERE) : facility),
        el("td", { class: "total" }, amount(sum(rows, "open"), added(rows.map((row) => row.opened_by_hour)))),
        ...columns.map(({ carrier }, column) => {
          const row = rows.find((one) => one.carrier === carrier);
          return el("td", null, row ? cell(row, { row: at + 1, column, most, facility }) : null);
        })))),
    cells.rest?.open ? el("tfoot", null, el("tr", null,
      el("th", { scope: "row" }, "elsewhere"),
      el("td", { class: "total" }, el("span", { class: "amount" }, figure(cells.rest.open))),
      el("td", { colspan: columns.length, class: "muted" }, "in smaller cells, which are not drawn"))) : null);
}

function byPlace(rows) {
  const places = new Map();
  for (const row of rows) {
    const facility = row.facility ?? null;
    if (!places.has(facility)) places.set(facility, []);
    places.get(facility).push(row);
  }
  return [...places].map(([facility, rows]) => ({ facility, rows }))
    .sort((a, b) => sum(b.rows, "open") - sum(a.rows, "open"));
}

const amount = (open, hours) => el("span", { class: "amount" }, figure(open), sparkline(hours));

/** A cell's shade: the share of what is critical gives the colour, how many the strength. */
function cell(row, { row: at, column, most, facility }) {
  const hot = row.open === 0 ? 0 : Math.sqrt(row.critical / row.open);
  const cool = row.critical + row.warning === 0;
  const strength = most === null ? 0 : 14 + 46 * (Math.log1p(row.open) / Math.log1p(most));
  const where = facility === undefined ? "everywhere" : facility === null ? NOWHERE : facility;
  const said = `${row.carrier}, ${where}: ${exactly(row.open)} open`;
  const detail = SEVERITIES.map((severity) => `${exactly(row[severity] ?? 0)} ${severity}`)
    .concat(["missing_first_scan", "no_movement"].map((kind) => `${exactly(row[kind] ?? 0)} ${words(kind)}`)).join(", ");
  return el("a", {
    class: most === null ? "amount" : cool ? "amount shade cool" : "amount shade",
    href: filtered({ carrier: row.carrier, facility: facility === null ? "-" : facility }),
    "aria-label": `${said}: ${detail}`,
    title: `${said}\n${detail}`,
    "data-row": at, "data-column": column, "data-key": `${row.carrier}\n${facility}`,
    "--hot": `${Math.round(hot * 100)}%`,
    "--strength": `${Math.round(strength)}%`,
  },
  el("span", null, count(row.open)), sparkline(row.opened_by_hour), shares(row));
}

function shares(row) {
  return el("span", { class: "shares", "aria-hidden": "true" },
    ...SEVERITIES.filter((severity) => row[severity] > 0)
      .map((severity) => el("span", { class: severity, "--share": row[severity] })));
}
