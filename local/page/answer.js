// An answer: its sentences tied to the passages behind them, its sources, its notes, and how it was made.

import { html } from "./dom.js";
import { counted, duration, money, percent } from "./words.js";

const MAKING = {
  rounds: (value) => counted(value, "round"),
  queries: (value) => counted(value.length, "search").replace("searchs", "searches"),
  passages: (value) => `${counted(value, "passage")} read`,
  considered: (value) => `${counted(value, "sentence")} looked at`,
  dropped: (value) => `${value} dropped without support`,
};
const METHODS = {
  extractive: "sentences chosen from the sources, without a language model",
  action: "one thing was done, nothing was asked",
};

/** The text of an answer as paragraphs; `point(citation, sentence, isChosen)` is told what somebody looks at. */
export function answerText(answer, point) {
  const citations = new Map(answer.citations.map((citation) => [citation.number, citation]));
  let left = answer.sentences;
  return answer.text.split(/\n+/).filter((line) => line.trim()).map((line) => {
    const pieces = pieced(line, left, citations);
    left = left.slice(pieces.filter((piece) => piece.sentence).length);
    return html("p", {}, pieces.map((piece) => drawn(piece, citations, point)));
  });
}

/** What a text is made of: sentences with a citation, bare citations, and what has neither. */
function pieced(line, sentences, citations) {
  const pieces = [];
  let at = 0;
  for (const sentence of sentences) {
    const found = line.indexOf(sentence.text, at);
    if (found < 0) continue;
    pieces.push(...bare(line.slice(at, found), citations));
    const marker = line.slice(found + sentence.text.length).match(/^\s*\[(\d+)\]/);
    pieces.push({ text: sentence.text, sentence });
    at = found + sentence.text.length + (marker && Number(marker[1]) === sentence.citation ? marker[0].length : 0);
  }
  return [...pieces, ...bare(line.slice(at), citations)];
}

function bare(text, citations) {
  return text.split(/(\[\d+\])/).filter(Boolean).map((piece) => {
    const number = Number(piece.match(/^\[(\d+)\]$/)?.[1]);
    return citations.has(number) ? { text: "", number } : { text: piece };
  });
}

function drawn({ text, sentence = null, number = sentence?.citation }, citations, point) {
  const citation = citations.get(number);
  if (!citation) return document.createTextNode(text);
  const mark = (isChosen) => point(citation, sentence, isChosen, node);
  const support = sentence ? `, support ${percent(sentence.support)}` : "";
  const link = html(
    "a",
    {
      class: "cite", href: "#passage", "aria-label": `Source ${number}: ${citation.name}${support}`,
      focus: () => mark(false), click: (event) => { event.preventDefault(); event.stopPropagation(); mark(true); },
    },
    String(number),
  );
  const node = html("span", { class: sentence ? "sentence" : "cites", mouseenter: () => mark(false), click: () => mark(true) }, text, link);
  if (sentence && sentence.support < 1) node.classList.add("partly");
  return node;
}

/** The sources of an answer; nothing where it has none. */
export function sourceList(answer, point) {
  if (answer.citations.length === 0) return null;
  const items = answer.citations.map((citation) => {
    const said = answer.sentences.filter((sentence) => sentence.citation === citation.number);
    const least = Math.min(...said.map((sentence) => sentence.support));
    const facts = said.length ? `${counted(said.length, "sentence")}, support ${percent(least)}` : "";
    const node = html(
      "li",
      { value: citation.number },
      html("a", { href: "#passage", click: (event) => { event.preventDefault(); point(citation, said[0] ?? null, true, node); } }, citation.name || citation.source),
      " ",
      html("span", { class: "dim" }, [about(citation), facts].filter(Boolean).join(" · ")),
    );
    return node;
  });
  return html("section", { class: "sources" }, html("h3", {}, "Sources"), html("ol", {}, items));
}

/** What a workflow knows of a source beside its name. */
function about(citation) {
  const own = new Set(["number", "passage", "name", "collection"]);
  const facts = Object.entries(citation).filter(([key, value]) => !own.has(key) && value !== null && value !== "" && value.length !== 0);
  return facts.map(([, value]) => (Array.isArray(value) ? value.join(", ") : String(value))).join(" · ");
}

/** What the reader should know about it; nothing where there is nothing to know. */
export function notesOf(answer) {
  const notes = answer.notes.map((note) => html("li", {}, note));
  if (answer.degraded) {
    const title = html("p", {}, html("strong", {}, "Degraded: "), "something failed on the way, so this answer may lack something.");
    return html("div", { class: "degraded" }, title, html("ul", {}, notes));
  }
  return notes.length ? html("ul", { class: "notes" }, notes) : null;
}

/** How an answer was made and what it cost, in one line. */
export function making(answer, request) {
  const { method, model, ...counts } = answer.making;
  const facts = [
    METHODS[method] ?? `${method ?? "unknown method"}`,
    model ? `model ${model}` : "",
    ...Object.entries(counts).filter(([, value]) => told(value)).map(([name, value]) => MAKING[name]?.(value) ?? `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ") : value}`),
    request.tokens ? `${counted(request.tokens, "token")}, ${money(request.micros)}` : "",
    duration(Date.parse(request.settled) - Date.parse(request.accepted)),
  ];
  return `How it was made: ${facts.filter(Boolean).join("; ")}.`;
}

function told(value) {
  return typeof value !== "object" ? Boolean(value) : Array.isArray(value) && value.length > 0;
}
