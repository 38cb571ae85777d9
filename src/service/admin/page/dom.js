// Elements from script: texts only ever become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `on…` attributes are listeners; null and false leave an attribute out. */
export function el(name, attributes, ...children) {
  return build(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function svg(name, attributes, ...children) {
  return build(document.createElementNS(SVG, name), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Sets a text only where it differs, so that live regions speak only of changes. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Puts new contents in place; what had the focus keeps it, found again by its data-key. */
export function refill(container, ...contents) {
  const focused = container.contains(document.activeElement)
    ? document.activeElement.dataset.key
    : undefined;
  container.replaceChildren(...contents.flat().filter((one) => one !== null && one !== undefined));
  if (focused === undefined) return;
  const again = container.querySelector(`[data-key="${CSS.escape(focused)}"]`);
  again?.focus({ preventScroll: true });
}

/**
 * Arrow keys among the elements that `selector` finds in `container`: one of them can be reached with
 * Tab, the arrows, Home and End go on from there. Rows are told apart by their data-row, so that up
 * and down keep the column.
 */
export function roving(container, selector, { grid = false } = {}) {
  const stops = () => [...container.querySelectorAll(selector)];
  const settle = (chosen) => {
    const all = stops();
    const one = all.includes(chosen) ? chosen : (all.find((stop) => stop.tabIndex === 0) ?? all[0]);
    for (const stop of all) stop.tabIndex = stop === one ? 0 : -1;
  };
  container.addEventListener("focusin", (event) => {
    if (event.target.matches(selector)) settle(event.target);
  });
  container.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(selector)) return;
    const next = grid ? inGrid(stops(), event) : inList(stops(), event);
    if (next === undefined) return;
    event.preventDefault();
    next?.focus();
  });
  return settle;
}

function inList(all, { key, target }) {
  const at = all.indexOf(target);
  switch (key) {
    case "ArrowDown":
    case "ArrowRight":
      return all[at + 1] ?? null;
    case "ArrowUp":
    case "ArrowLeft":
      return all[at - 1] ?? null;
    case "Home":
      return all[0];
    case "End":
      return all.at(-1);
    default:
      return undefined;
  }
}

function inGrid(all, { key, target }) {
  const { row, column } = target.dataset;
  const inRow = all.filter((stop) => stop.dataset.row === row);
  const inColumn = all.filter((stop) => stop.dataset.column === column);
  switch (key) {
    case "ArrowRight":
      return inRow[inRow.indexOf(target) + 1] ?? null;
    case "ArrowLeft":
      return inRow[inRow.indexOf(target) - 1] ?? null;
    case "ArrowDown":
      return inColumn[inColumn.indexOf(target) + 1] ?? null;
    case "ArrowUp":
      return inColumn[inColumn.indexOf(target) - 1] ?? null;
    case "Home":
      return inRow[0];
    case "End":
      return inRow.at(-1);
    default:
      return undefined;
  }
}
