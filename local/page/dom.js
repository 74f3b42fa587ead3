// Making elements. Every text goes in as a text node: what documents and models write is never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with its attributes (functions become listeners, `null` and `false` are left out) and children. */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== ""));
  return node;
}

/** Text that may have changed; the document is touched only where it did. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
