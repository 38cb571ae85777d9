// What all views know: the time at the service, the carriers seen, and small pieces they all draw.

import { get, onAnswer } from "./api.js";
import { byId, el, say } from "./dom.js";
import { local, ms, ranges, words } from "./format.js";
import { poll } from "./poll.js";
import { share } from "./unread.js";

/** How often the instance is asked how it stands, in seconds, whatever view is shown. */
const KEEP_UP = 10;
const KEEP_UP_SIMULATED = 1;

/** The time that the last answer named, when it came, and whether time goes on there meanwhile. */
let told = { at: Date.now(), came: Date.now() };
let simulated = false;

/** The time at the service. A simulated one stands still between two answers: its pace is not known. */
export const now = () => (simulated ? told.at : told.at + (Date.now() - told.came));

/** Seconds that have passed there since a time. */
export const since = (text) => (text ? Math.max(0, Math.floor((now() - ms(text)) / 1000)) : null);

const carriers = new Set();

/** Offers a carrier wherever one can be chosen. */
export function meet(carrier) {
  if (!carrier || carriers.has(carrier)) return;
  carriers.add(carrier);
  byId("carriers").replaceChildren(...[...carriers].sort().map((name) => el("option", { value: name })));
}

/** Keeps the strip under the header up to date, whatever view is shown. */
export function keepUp() {
  const clock = byId("clock");
  const tick = () => {
    say(clock, local(now(), { seconds: true }));
    clock.title = `Time at the service, in your zone; ${new Date(now()).toISOString().slice(0, 19)} UTC`;
  };
  let stood = 0;
  onAnswer((answer, where) => {
    if (where === "partitions") {
      stood = Date.now();
      stand(answer);
    }
    if (answer.at) {
      told = { at: ms(answer.at), came: Date.now() };
      tick();
    }
  });
  tick();
  setInterval(tick, 1000);
  const every = () => (simulated ? KEEP_UP_SIMULATED : KEEP_UP);
  const silent = { good() {}, bad() {}, idle() {} };
  poll(every, async (signal) => {
    if (Date.now() - stood >= every() * 1000) await get("partitions", { signal });
  }, silent);
}

/** How the instance stands: what it answers for is said by this answer alone, as others are about a part. */
function stand(answer) {
  simulated = answer.simulated_clock === true;
  cover(answer);
  say(byId("instance"), `${answer.group_id} · ${answer.instance_id} · ${answer.version}`);
  const line = byId("unread");
  const unread = share(answer.unread);
  line.hidden = unread === "";
  say(line, unread);
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
