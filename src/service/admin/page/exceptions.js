// Exceptions: the newest events, and what is open now.

import { el, roving } from "./dom.js";
import { address, filterBar } from "./filters.js";
import { newest } from "./newest.js";
import { opened } from "./opened.js";
import { Status, head } from "./status.js";

export function create(root) {
  const status = new Status();
  const lists = { newest: newest(status), open: opened(status) };
  let filters = {};
  let isOpen = false;
  const { bar, show } = filterBar((chosen) => {
    const to = address(isOpen, chosen);
    if (location.hash !== to) location.replace(to);
  });
  const choice = (open, text) => el("a", { class: "choice", "data-key": text }, text);
  const choices = [choice(false, "Newest"), choice(true, "Open now")];
  const both = el("div", { class: "choices", role: "group", "aria-label": "Which exceptions" }, ...choices);
  const settle = roving(both, "a");
  const place = el("div");
  root.append(head("exceptions", "Exceptions", status, both), bar, place);

  return {
    title: "Exceptions",
    enter({ parts, query }) {
      isOpen = parts[1] === "open";
      filters = Object.fromEntries(["carrier", "kind", "severity", "change", "facility"].map((name) => [name, query.get(name) ?? ""]));
      show(filters, isOpen);
      choices.forEach((link, at) => {
        link.setAttribute("href", address(at === 1, filters));
        if ((at === 1) === isOpen) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
      settle(choices[isOpen ? 1 : 0]);
      const list = isOpen ? lists.open : lists.newest;
      place.replaceChildren(list.element);
      return list.enter(filters);
    },
  };
}
