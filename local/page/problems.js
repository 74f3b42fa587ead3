// What went wrong, in words.

import { Problem, Unreachable } from "./api.js";
import { html } from "./dom.js";
import { readable } from "./words.js";

/** A request that ended in an error instead of an answer. */
export class NoAnswer extends Error {
  constructor({ agent, reason }) {
    super(`No answer: ${readable(agent)} failed. ${reason}`);
  }
}

/** Everything that is wrong, for a person. */
export function problemBox(error, ...tools) {
  const errors = error instanceof Problem ? error.errors : [];
  return html(
    "div",
    { class: "problem", role: "alert" },
    html("p", {}, summary(error)),
    errors.length ? html("ul", {}, errors.map((each) => html("li", {}, place(each.pointer), each.detail ?? ""))) : null,
    tools.length ? html("p", { class: "tools" }, tools) : null,
  );
}

/** The same in one sentence. */
export function summary(error) {
  if (error instanceof Unreachable && !navigator.onLine) return "You are offline.";
  if ([Problem, Unreachable, NoAnswer].some((kind) => error instanceof kind)) return error.message;
  return `This page has a fault: ${error.message}. Reloading may help.`;
}

function place(pointer) {
  const name = (pointer ?? "").replace(/^\//, "").replaceAll("/", ", ");
  return name === "" ? "" : html("strong", {}, `${name}: `);
}
