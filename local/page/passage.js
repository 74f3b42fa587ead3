// The passage behind a sentence, with the sentence marked in it. Beside the text where there is room, else a sheet.

import { Problem, get } from "./api.js";
import { html } from "./dom.js";
import { percent } from "./words.js";

const COLLECTIONS = ["documents", "memories"];
const HINT = "Point at a sentence of an answer, or at its number, to see the passage that it comes from.";

/** The panel of the page; there is one. */
export class PassagePanel {
  #node;
  #body;
  #cache = new Map();
  #marked = null;
  #opener = null;
  #turn = 0;

  constructor(node) {
    this.#node = node;
    this.#body = node.querySelector(".passage-body");
    node.querySelector(".close").addEventListener("click", () => this.close());
    this.clear();
  }

  /** Whether it lies over the text, so that it opens only where somebody chose it. */
  get isSheet() {
    return getComputedStyle(this.#node).position === "fixed";
  }

  /** Show what is behind a sentence; `isChosen` where it was clicked, not only pointed at. */
  async show(citation, sentence, isChosen, origin) {
    if (this.isSheet && !isChosen) return;
    this.#mark(origin);
    if (isChosen) this.#opener = origin.querySelector("a") ?? origin;
    this.#node.classList.add("open");
    const turn = (this.#turn += 1);
    if (!this.#cache.has(citation.passage)) this.#body.replaceChildren(heading(citation), html("p", { class: "dim" }, "Fetching the passage…"));
    const content = await this.#content(citation, sentence);
    if (turn === this.#turn) this.#body.replaceChildren(heading(citation), ...content);
  }

  /** Nothing chosen any more; the focus goes back to where it came from. */
  close() {
    const isOpen = this.#node.classList.contains("open");
    if (this.#node.contains(document.activeElement) || this.isSheet) this.#opener?.focus();
    this.clear();
    return isOpen;
  }

  /** As it was in the beginning. */
  clear() {
    this.#turn += 1;
    this.#mark(null);
    this.#opener = null;
    this.#node.classList.remove("open");
    this.#body.replaceChildren(html("p", { class: "dim" }, HINT));
  }

  #mark(origin) {
    this.#marked?.classList.remove("shown");
    this.#marked = origin;
    origin?.classList.add("shown");
  }

  async #content(citation, sentence) {
    try {
      const passage = await this.#fetched(citation);
      return [supportOf(sentence), html("p", { class: "passage-text" }, marked(passage.text, sentence?.text ?? ""))].filter(Boolean);
    } catch (error) {
      const gone = error instanceof Problem && error.status === 404;
      return [html("p", { class: "problem" }, gone ? "This passage is not there any more: its document was changed or removed." : error.message)];
    }
  }

  async #fetched({ passage, collection }) {
    if (!this.#cache.has(passage)) {
      this.#cache.set(passage, await found(passage, collection ? [collection] : COLLECTIONS));
    }
    return this.#cache.get(passage);
  }
}

/** A citation does not say in which collection its passage is. */
async function found(passage, [collection, ...others]) {
  try {
    return await get(`/collections/${encodeURIComponent(collection)}/passages/${encodeURIComponent(passage)}`);
  } catch (error) {
    if (others.length === 0 || !(error instanceof Problem) || error.status !== 404) throw error;
    return found(passage, others);
  }
}

function heading({ number, name, source }) {
  return html("div", { class: "passage-head" }, html("span", { class: "number-badge" }, String(number)), html("div", {}, html("h3", {}, name || source), html("p", { class: "dim" }, source)));
}

function supportOf(sentence) {
  if (!sentence) return null;
  const meter = html("meter", { min: 0, max: 1, value: sentence.support, "aria-label": "Support" });
  return html("p", { class: "support" }, meter, `${percent(sentence.support)} of the sentence's words stand in this passage.`);
}

/** The text with the sentence marked, however its lines are broken. */
function marked(text, sentence) {
  const words = sentence.trim().split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const place = words.length ? text.match(new RegExp(words.join("\\s+"))) : null;
  if (!place) return [text];
  return [text.slice(0, place.index), html("mark", {}, place[0]), text.slice(place.index + place[0].length)];
}
