// The filters of exceptions. What is chosen stands in the address, so that it can be handed on.

import { el } from "./dom.js";
import { words } from "./format.js";

const CHOICES = {
  kind: ["missing_first_scan", "no_movement"],
  severity: ["notice", "warning", "critical"],
  change: ["opened", "escalated", "resolved", "retracted", "expired"],
};

/** `#/exceptions?…` or `#/exceptions/open?…`. */
export function address(open, filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value)).toString();
  return `#/exceptions${open ? "/open" : ""}${query ? `?${query}` : ""}`;
}

/** Whether an event passes; what is not filtered by passes. */
export function passes(filters, event) {
  const same = (name) => !filters[name] || event[name] === filters[name];
  return same("carrier") && same("kind") && same("severity") && same("change") && isThere(filters, event);
}

/** Whether it was last at the facility that is filtered by; `-` stands for none. */
function isThere({ facility }, { last_facility: last }) {
  return !facility || (facility === "-" ? !last : last === facility);
}

/** The bar; `go(filters)` is called when something else is chosen. */
export function filterBar(go) {
  const carrier = el("input", {
    id: "filter-carrier", name: "carrier", list: "carriers", placeholder: "all", autocapitalize: "none",
    spellcheck: "false", autocomplete: "off",
  });
  const selects = Object.entries(CHOICES).map(([name, values]) => el("select", { id: `filter-${name}`, name },
    el("option", { value: "" }, "all"), ...values.map((value) => el("option", { value }, words(value)))));
  const facility = el("button", { type: "button", class: "chip", hidden: true, onclick: () => {
    facility.value = "";
    changed();
    carrier.focus();
  } });
  const clear = el("button", { type: "button", class: "quiet", onclick: () => go({}) }, "Clear");
  const fields = [carrier, ...selects];
  const changed = () => {
    const filters = Object.fromEntries(fields.map((field) => [field.name, field.value.trim()]));
    filters.carrier = filters.carrier.toLowerCase();
    go({ ...filters, facility: facility.value });
  };
  const bar = el("form", { class: "filters", role: "search", "aria-label": "Filter the exceptions", onchange: changed,
    onsubmit: (event) => {
      event.preventDefault();
      changed();
    } },
  ...fields.map((field) => el("label", { for: field.id, "data-for": field.name }, el("span", null, field.name), field)),
  facility, clear);

  return {
    bar,
    show(filters, open) {
      for (const field of fields) field.value = filters[field.name] ?? "";
      facility.value = filters.facility ?? "";
      facility.hidden = !filters.facility;
      facility.textContent = filters.facility === "-" ? "no facility yet ✕" : `at ${filters.facility} ✕`;
      facility.setAttribute("aria-label", `No longer only ${facility.textContent.replace(" ✕", "")}`);
      // What is open now has not changed to anything.
      bar.querySelector("[data-for=change]").classList.toggle("away", open);
      clear.disabled = !Object.values(filters).some(Boolean);
    },
  };
}
