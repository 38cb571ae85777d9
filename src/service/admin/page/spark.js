// A sparkline: 24 hours as bars, the last one being the current hour.

import { svg } from "./dom.js";

/** `least` keeps a single event from filling the height. */
export function sparkline(hours, { width = 48, height = 14, least = 4 } = {}) {
  const most = Math.max(least, ...hours);
  const step = width / hours.length;
  const bars = hours.map((number, hour) => {
    if (number === 0) return "";
    const high = Math.max(1, (number / most) * (height - 1));
    return `M${(hour * step).toFixed(2)} ${height}v${-high.toFixed(2)}h${(step * 0.72).toFixed(2)}V${height}z`;
  });
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" },
    svg("path", { class: "base", d: `M0 ${height - 0.5}h${width}` }),
    svg("path", { class: "bars", d: bars.join("") }),
  );
}

/** Hour by hour. */
export function added(series) {
  return series.reduce((sum, hours) => sum.map((number, hour) => number + (hours[hour] ?? 0)), Array(24).fill(0));
}
