// What each delivery took, as a table whose bars are a picture of its numbers.

import { html, say } from "./dom.js";
import { LOOKS, stateOf } from "./progress.js";
import { duration, eventName, readable } from "./words.js";

const TITLES = ["Agent", "Consumed", "Start", "", "Took", "Tries"];

/** A table of deliveries that is kept up to date; `node` is what goes into the page. */
export class Waterfall {
  #rows = new Map();
  #body = html("tbody");

  constructor() {
    const heads = TITLES.map((title) => html("th", { scope: "col", class: title ? title.toLowerCase() : "bar-cell" }, title || html("span", { class: "hidden" }, "Picture")));
    this.node = html(
      "div",
      { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Waterfall" },
      html("table", { class: "waterfall" }, html("caption", { class: "hidden" }, "What each agent did, in the order of its events"), html("thead", {}, html("tr", {}, heads)), this.#body),
    );
  }

  /** Show these deliveries of a request that was accepted at `accepted` and reaches to `until` by now, in ms. */
  update(deliveries, accepted, until) {
    const total = Math.max(until - accepted, 1);
    for (const delivery of deliveries) {
      if (!this.#rows.has(delivery.key)) this.#rows.set(delivery.key, this.#add());
      show(this.#rows.get(delivery.key), delivery, { accepted, until, total });
    }
  }

  #add() {
    const bar = html("span", { class: "bar" });
    const cells = {
      agent: html("th", { scope: "row" }), event: html("td", { class: "consumed" }), start: html("td", { class: "number" }),
      took: html("td", { class: "number" }), tries: html("td", { class: "number" }),
    };
    const row = html("tr", {}, cells.agent, cells.event, cells.start, html("td", { class: "bar-cell", "aria-hidden": "true" }, html("span", { class: "lane" }, bar)), cells.took, cells.tries);
    const why = html("td", { colspan: TITLES.length });
    const error = html("tr", { class: "error-row", hidden: true }, why);
    this.#body.append(row, error);
    return { row, error, why, bar, ...cells };
  }
}

function show(cells, delivery, { accepted, until, total }) {
  const state = stateOf(delivery);
  const start = (delivery.started ? Date.parse(delivery.started) : until) - accepted;
  const end = (delivery.finished ? Date.parse(delivery.finished) : until) - accepted;
  cells.row.dataset.state = state;
  say(cells.agent, `${LOOKS[state].icon} ${readable(delivery.agent)}`);
  cells.agent.title = LOOKS[state].word;
  say(cells.event, eventName(delivery.event));
  say(cells.start, duration(start));
  say(cells.took, duration(end - start));
  say(cells.tries, String(delivery.attempts));
  cells.bar.style.left = `${(100 * start) / total}%`;
  cells.bar.style.width = `${Math.max((100 * (end - start)) / total, 0.5)}%`;
  cells.error.hidden = delivery.error === "";
  say(cells.why, `${state === "failed" || state === "superseded" ? LOOKS[state].word : "an attempt failed"}: ${delivery.error}`);
}
