// The line beside a view's title: how fresh it is, or what is wrong and when it is tried again.

import { el, say } from "./dom.js";
import { span } from "./format.js";

/** The line of one view. */
export class Status {
  constructor() {
    this.text = el("span", { role: "status" });
    this.when = el("span", { "aria-hidden": "true" });
    this.again = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.onRetry() }, "Try again");
    this.element = el("p", { class: "freshness" }, this.text, this.when, this.again);
    this.onRetry = () => {};
    this.retryAt = null;
    this.goodAt = null;
    setInterval(() => this.tick(), 1000);
  }

  good() {
    this.goodAt = Date.now();
    this.retryAt = null;
    this.show("", false);
  }

  bad(message, seconds) {
    this.retryAt = Date.now() + seconds * 1000;
    this.show(message, true);
  }

  idle() {
    this.goodAt = null;
    this.retryAt = null;
    this.show("", false);
  }

  show(message, bad) {
    say(this.text, message);
    this.again.hidden = !bad;
    this.element.classList.toggle("bad", bad);
    this.tick();
  }

  tick() {
    if (this.retryAt !== null) {
      const left = Math.ceil((this.retryAt - Date.now()) / 1000);
      say(this.when, left > 0 ? `Again in ${span(left)}.` : "Asking again …");
    } else if (this.goodAt !== null) {
      const age = Math.floor((Date.now() - this.goodAt) / 1000);
      say(this.when, document.hidden || age < 15 ? "" : `as of ${span(age)} ago`);
    } else {
      say(this.when, "");
    }
  }
}

/** Title, what else stands there, and the line. */
export function head(id, title, status, ...more) {
  return el("header", { class: "head" }, el("h1", { id: `${id}-title` }, title), ...more, status.element);
}

/** What stands in place of contents while there are none. */
export const blank = (text) => el("p", { class: "blank" }, text);
