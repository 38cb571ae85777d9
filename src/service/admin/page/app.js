// Routes, keys, and the look-up in the header.

import { get } from "./api.js";
import { byId, roving } from "./dom.js";
import { keepUp, meet, packageHash } from "./shared.js";
import * as exceptions from "./exceptions.js";
import * as packages from "./package.js";
import * as partitions from "./partitions.js";
import * as policies from "./policies.js";
import * as stalls from "./stalls.js";

const NAMES = ["stalls", "exceptions", "package", "partitions", "policies"];
const modules = { stalls, exceptions, package: packages, partitions, policies };
const views = Object.fromEntries(NAMES.map((name) => [name, modules[name].create(byId(name))]));
const links = [...byId("views").querySelectorAll("a")];
const settle = roving(byId("views"), "a");
let leave = () => {};
let current = null;

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decode);
  return { parts, query: new URLSearchParams(query) };
}

/** A `%` that a person has written stays what it is. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function go() {
  const to = route();
  const name = NAMES.includes(to.parts[0]) ? to.parts[0] : "stalls";
  leave();
  for (const other of NAMES) byId(other).hidden = other !== name;
  for (const link of links) {
    if (link.dataset.view === name) {
      link.setAttribute("aria-current", "page");
      settle(link);
    } else {
      link.removeAttribute("aria-current");
    }
  }
  document.title = `${views[name].title} · stallwatch`;
  if (current !== name) window.scrollTo(0, 0);
  current = name;
  leave = views[name].enter(to);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  if (target.matches("input, select, textarea")) {
    if (key === "Escape") target.blur();
    return;
  }
  const view = NAMES[Number(key) - 1];
  if (key === "/") {
    event.preventDefault();
    const field = byId(byId("look-up-carrier").value ? "look-up-number" : "look-up-carrier");
    field.focus();
    field.select();
  } else if (key === "?") {
    byId("help").showModal();
  } else if (view && key.length === 1) {
    location.hash = `#/${view}`;
  }
}

byId("look-up").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = (name) => byId(`look-up-${name}`).value.trim();
  const to = packageHash(field("carrier").toLowerCase(), field("number"));
  if (location.hash === to) go();
  else location.hash = to;
  byId("main").focus({ preventScroll: true });
});
byId("skip").addEventListener("click", (event) => {
  // The hash is the route; the focus alone moves.
  event.preventDefault();
  byId("main").focus();
});
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("help").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("help").close();
});
document.addEventListener("keydown", keys);
window.addEventListener("hashchange", go);
keepUp();
go();
// Carriers to choose from; a view that cannot be filled says why.
get("summary", { query: { by: "carrier" } }).then(({ rows }) => rows.forEach((row) => meet(row.carrier)), () => {});
