// What went wrong, in words.

import { Problem, Unreachable } from "./api.js";
import { html } from "./dom.js";

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
  if (error instanceof Problem || error instanceof Unreachable) return error.message;
  return `This page has a fault: ${error.message}. Reloading may help.`;
}

function place(pointer) {
  const name = (pointer ?? "").replace(/^\//, "").replaceAll("/", ", ");
  return name === "" ? "" : html("strong", {}, `${name}: `);
}
