// Numbers, spans and times as a person reads them; the exact value stands in the title.

import { el } from "./dom.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** `987`, `12.3 k`, `4.5 M`. */
export function count(number) {
  if (number === null || number === undefined) return "–";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(number) >= size) {
      const scaled = number / (unit === "k" ? 1e3 : size);
      return `${scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${unit}`;
    }
  }
  return whole.format(number);
}

/** `1,234,567`. */
export const exactly = (number) => whole.format(number);

/** `2 d 4 h`, `20 min`, `12 s`: a span in its largest unit and the next. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0) return `−${span(-seconds)}`;
  const units = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [1, "s"]];
  const at = Math.max(0, units.findIndex(([size]) => seconds >= size));
  const [size, unit] = seconds < 1 ? units[3] : units[at];
  const first = `${Math.floor(seconds / size)} ${unit}`;
  const next = seconds < 1 ? undefined : units[at + 1];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return rest > 0 ? `${first} ${rest} ${next[1]}` : first;
}

const thisYear = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const otherYear = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const withSeconds = new Intl.DateTimeFormat(undefined, {
  weekday: "short", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  second: "2-digit", hourCycle: "h23",
});

/** Milliseconds since 1970 of an RFC 3339 time; null of nothing. */
export const ms = (text) => (text ? Date.parse(text) : null);

/** A moment in the local zone. */
export function local(at, { seconds = false } = {}) {
  const date = new Date(at);
  if (seconds) return withSeconds.format(date);
  return (date.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(date);
}

const utc = (at) => `${new Date(at).toISOString().replace(/\.\d+Z$/, "Z")} UTC`.replace("Z UTC", " UTC").replace("T", " ");

/** A `<time>` in the local zone, UTC in its title. */
export function moment(text, options) {
  if (!text) return el("span", { class: "muted" }, "–");
  const at = ms(text);
  return el("time", { datetime: text, title: utc(at) }, local(at, options));
}

/** `<data>` with the short form, the exact number in the title. */
export function figure(number, attributes) {
  if (number === null || number === undefined) return el("span", { class: "muted" }, "–");
  return el("data", { value: number, title: exactly(number), ...attributes }, count(number));
}

/** `no_movement` → `no movement`. */
export const words = (name) => (name ?? "").replaceAll("_", " ");

/** `0–3, 5` of `[0, 1, 2, 3, 5]`. */
export function ranges(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const runs = [];
  for (const number of sorted) {
    const last = runs.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}
