// The life line of a package: from its last movement over every deadline to the end of watching,
// drawn at the width that there is.

import { el, svg } from "./dom.js";
import { local, ms, span, words } from "./format.js";
import { now as serviceTime } from "./shared.js";

const EDGE = 10;
const LANE = 34;
const BREAK = 130;
const TICKS = [60, 300, 900, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400, 14 * 86400, 30 * 86400, 90 * 86400];

/** A figure that draws itself anew when its width changes. */
export function lifeLine(one) {
  const figure = el("figure", { class: "life" });
  let drawn = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === drawn || width < 40) return;
    drawn = width;
    figure.replaceChildren(draw(one, width));
  }).observe(figure);
  return figure;
}

function draw(one, width) {
  const times = moments(one);
  const x = scale(times, width);
  const above = lanes(times.deadlines.map((deadline) => label(deadlineTexts(deadline), x(deadline.at), deadline)), width);
  const below = lanes([
    label([one.phase === "settled" ? "settled" : "silent since", local(times.anchor)], x(times.anchor), { style: "anchor" }),
    label([one.frontier ? "now" : "read up to", local(times.now)], x(times.now), { style: "now" }),
    ...(times.forgotten ? [label(["forgotten", local(times.forgotten)], x(times.forgotten), { style: "end" })] : []),
  ], width);
  const track = 12 + above.count * LANE + 10;
  const height = track + 34 + below.count * LANE;
  return svg("svg", { role: "img", "aria-label": spoken(one), width, height, viewBox: `0 0 ${width} ${height}` },
    axis(times, x, track, width),
    line(times, x, track),
    above.labels.map((text) => drawLabel(text, track - 12 - (text.lane + 1) * LANE + 12, track - 9, width)),
    below.labels.map((text) => drawLabel(text, track + 36 + text.lane * LANE + 10, track + 9, width, true)),
    times.deadlines.map((deadline) => mark(deadline, x, track)),
    end(times, x, track),
    svg("circle", { class: "anchor", cx: x(times.anchor), cy: track, r: 5 }),
    nowMark(x(times.now), track));
}

function moments(one) {
  const now = ms(one.frontier) ?? ms(one.log_clock) ?? serviceTime();
  const opened = new Set(one.open.map((open) => `${open.kind}:${open.step}`));
  const deadlines = one.deadlines.map((deadline) => ({
    ...deadline,
    at: ms(deadline.deadline),
    due: ms(deadline.due),
    isOpen: deadline.state === "past" && [...opened].some((key) => {
      const [kind, step] = key.split(":");
      return kind === deadline.kind && Number(step) >= deadline.step;
    }),
  })).sort((a, b) => a.at - b.at);
  return { anchor: ms(one.anchor_time), now, deadlines, forgotten: ms(one.forgotten_at) };
}

/** Linear up to the last deadline or now; what lies far behind stands after a break. */
function scale(times, width) {
  const from = Math.min(times.anchor, times.now);
  const marks = [times.now, from + 3600e3, ...times.deadlines.flatMap(({ at, due }) => [at, due])];
  let until = Math.max(...marks);
  until += (until - from) * 0.05;
  const { forgotten } = times;
  const far = forgotten && times.deadlines.length > 0 && forgotten - from > (until - from) * 1.35;
  if (forgotten && !far) until = Math.max(until, forgotten);
  const room = width - 2 * EDGE - (far ? Math.min(BREAK, width * 0.22) : 0);
  const x = (at) => far && at >= forgotten ? width - EDGE : EDGE + ((at - from) / (until - from)) * room;
  x.from = from;
  x.until = until;
  x.broken = far ? EDGE + room : null;
  return x;
}

const deadlineTexts = (deadline) => [words(deadline.step_name), `${span(deadline.after_s)} · ${local(deadline.at)}`];

function label(texts, at, what) {
  const longest = Math.max(texts[0].length * 7.2, texts[1].length * 6.2);
  return { texts, at, width: longest, style: what.style ?? `${what.severity} ${what.state}` };
}

/** Labels that would overlap go to the next lane. */
function lanes(labels, width) {
  const ends = [];
  for (const text of [...labels].sort((a, b) => a.at - b.at)) {
    text.x = Math.min(Math.max(text.at, text.width / 2 + 2), width - text.width / 2 - 2);
    const left = text.x - text.width / 2;
    text.lane = ends.findIndex((end) => end + 10 <= left);
    if (text.lane === -1) text.lane = ends.push(0) - 1;
    ends[text.lane] = text.x + text.width / 2;
  }
  return { labels, count: Math.max(1, ends.length) };
}

function drawLabel({ texts, at, x, style }, y, toward, width, below = false) {
  const from = below ? y - 11 : y + 17;
  return svg("g", { class: `label ${style}` },
    svg("path", { class: "leader", d: `M${at} ${toward}V${from}` }),
    svg("text", { x, y, class: "first" }, texts[0]),
    svg("text", { x, y: y + 13, class: "second" }, texts[1]));
}

function axis(times, x, track, width) {
  const reach = (x.until - x.from) / 1000;
  const room = (x.broken ?? width - EDGE) - EDGE;
  const step = TICKS.find((seconds) => (seconds / reach) * room >= 64) ?? TICKS.at(-1);
  const ticks = [];
  for (let at = times.anchor + step * 1000; x(at) < (x.broken ?? width) - 24; at += step * 1000) {
    ticks.push(svg("path", { class: "tick", d: `M${x(at)} ${track + 8}v5` }),
      svg("text", { class: "tick", x: x(at), y: track + 24 }, span((at - times.anchor) / 1000)));
  }
  return svg("g", { "aria-hidden": "true" }, ticks);
}

/** The silence so far in the colour of what it has come to, then what is ahead. */
function line(times, x, track) {
  const reached = times.deadlines.filter(({ at, isOpen }) => isOpen && at <= times.now);
  const bounds = [{ at: times.anchor, style: "calm" }, ...reached.map(({ at, severity }) => ({ at, style: severity }))];
  const last = x.broken ?? x(x.until);
  const grace = times.deadlines.filter(({ at, due }) => due > at);
  return svg("g", null,
    svg("path", { class: "ahead", d: `M${x(times.now)} ${track}H${last}` }),
    x.broken ? svg("path", { class: "broken", d: `M${last} ${track}H${x(times.forgotten)}` }) : null,
    bounds.map(({ at, style }, index) => svg("path", {
      class: `past ${style}`, d: `M${x(at)} ${track}H${Math.max(x(at), x(bounds[index + 1]?.at ?? times.now))}`,
    })),
    grace.map(({ at, due }) => svg("path", { class: "grace", d: `M${x(at)} ${track + 6}H${x(due)}` })));
}

function mark({ at, severity, state, isOpen, step_name: name, due, deadline }, x, track) {
  return svg("path", { class: `deadline ${severity} ${state}${isOpen ? " open" : ""}`, d: `M${x(at)} ${track - 7}l7 7l-7 7l-7 -7z` },
    svg("title", null, `${words(name)}: deadline ${deadline}, looked at ${new Date(due).toISOString().slice(0, 19)}Z`));
}

const end = ({ forgotten }, x, track) => forgotten
  ? svg("path", { class: "forgotten", d: `M${x(forgotten)} ${track - 8}v16` })
  : null;

const nowMark = (at, track) => svg("path", { class: "now", d: `M${at} ${track - 11}v22` });

function spoken(one) {
  const parts = [`Silent for ${span(one.silent_for_s)}.`];
  for (const deadline of one.deadlines) {
    parts.push(`${words(deadline.step_name)} after ${span(deadline.after_s)}: ${deadline.state}.`);
  }
  if (one.forgotten_at) parts.push(`Forgotten at ${local(ms(one.forgotten_at))}.`);
  return `Life line. ${parts.join(" ")}`;
}
