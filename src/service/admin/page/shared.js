// What all views know: the time at the service, the carriers seen, and small pieces they all draw.

import { onAnswer } from "./api.js";
import { byId, el, say } from "./dom.js";
import { local, ms, ranges, words } from "./format.js";

let ahead = 0;

/** The time at the service; it may be a simulated one. */
export const now = () => Date.now() + ahead;

/** Seconds that have passed there since a time. */
export const since = (text) => (text ? Math.max(0, Math.floor((now() - ms(text)) / 1000)) : null);

const carriers = new Set();

/** Offers a carrier wherever one can be chosen. */
export function meet(carrier) {
  if (!carrier || carriers.has(carrier)) return;
  carriers.add(carrier);
  byId("carriers").replaceChildren(...[...carriers].sort().map((name) => el("option", { value: name })));
}

/** Keeps the strip under the header up to date. */
export function watchAnswers() {
  onAnswer((answer) => {
    if (answer.at) {
      ahead = ms(answer.at) - Date.now();
      tick();
    }
    if (Array.isArray(answer.partitions)) cover(answer);
    if (answer.instance_id) {
      say(byId("instance"), `${answer.group_id} · ${answer.instance_id} · ${answer.version}`);
    }
  });
  const clock = byId("clock");
  const tick = () => {
    say(clock, local(now(), { seconds: true }));
    clock.title = `Time at the service, in your zone; ${new Date(now()).toISOString().slice(0, 19)} UTC`;
  };
  tick();
  setInterval(tick, 1000);
}

function cover({ partitions, input_partitions: all, complete }) {
  const line = byId("coverage");
  line.classList.toggle("partial", complete === false);
  if (complete !== false) return say(line, `All ${all} partitions`);
  const held = partitions.length === 0 ? "no partition" : `partition${partitions.length === 1 ? "" : "s"} ${ranges(partitions)}`;
  say(line, `Not complete: this instance answers for ${held} of ${all}. Other instances hold the rest.`);
}

/** A severity as a pill. */
export const pill = (severity) => el("span", { class: `pill ${severity}` }, severity);

/** The link to a package. */
export const packageHash = (carrier, number) => `#/package/${encodeURIComponent(carrier)}/${encodeURIComponent(number)}`;

/** Where a package was last: `arrived · Köln · DE`. */
export const place = ({ last_milestone: milestone, last_facility: facility, last_country: country }) =>
  [words(milestone), facility, country].filter(Boolean).join(" · ");
