// An answer: its sentences tied to the passages behind them, its sources, its notes, and how it was made.

import { html } from "./dom.js";
import { counted, duration, money, percent } from "./words.js";

const MAKING = {
  rounds: (value) => counted(value, "round"),
  queries: (value) => counted(value.length, "search").replace("searchs", "searches"),
  passages: (value) => `${counted(value, "passage")} read`,
  considered: (value) => `${counted(value, "sentence")} looked at`,
  dropped: (value) => `${value} dropped without support`,
  unsupported: (value) => `${value} written without support and left out`,
};
const METHODS = {
  model: "written by a language model from the sources",
  extractive: "sentences chosen from the sources, without a language model",
  action: "one thing was done, nothing was asked",
};

/**
 * The text of an answer; `point(citation, sentence, isChosen, origin)` is told what somebody looks at.
 *
 * A line is a paragraph. The first line of a block of several, where nothing is cited in it, is their heading.
 */
export function answerText(answer, point) {
  const citations = new Map(answer.citations.map((citation) => [citation.number, citation]));
  let left = answer.sentences;
  return answer.text.split(/\n\s*\n/).flatMap((block) => {
    const lines = block.split("\n").filter((line) => line.trim());
    return lines.map((line, at) => {
      const pieces = pieced(line, left, citations);
      left = left.slice(pieces.filter((piece) => piece.sentence).length);
      const isHeading = at === 0 && lines.length > 1 && pieces.every((piece) => piece.numbers.length === 0);
      return html(isHeading ? "h3" : "p", {}, pieces.map((piece) => drawn(piece, citations, point)));
    });
  });
}

/** What a text is made of: sentences with the numbers after them, bare numbers, and what has neither. */
function pieced(line, sentences, citations) {
  const pieces = [];
  let at = 0;
  for (const sentence of sentences) {
    const found = line.indexOf(sentence.text, at);
    if (found < 0) break;
    pieces.push(...bare(line.slice(at, found), citations));
    const end = found + sentence.text.length;
    const [whole, quote, marks] = line.slice(end).match(/^([”"]?)((?:\s*\[\d+\])*)/);
    pieces.push({ text: sentence.text + quote, sentence, numbers: numbersIn(marks, citations, sentence.citation) });
    at = end + whole.length;
  }
  return [...pieces, ...bare(line.slice(at), citations)];
}

function numbersIn(marks, citations, otherwise) {
  const numbers = [...marks.matchAll(/\d+/g)].map(Number).filter((number) => citations.has(number));
  return numbers.length > 0 ? numbers : [otherwise];
}

function bare(text, citations) {
  return text.split(/(\[\d+\])/).filter(Boolean).map((piece) => {
    const number = Number(piece.match(/^\[(\d+)\]$/)?.[1]);
    return citations.has(number) ? { text: "", numbers: [number] } : { text: piece, numbers: [] };
  });
}

function drawn({ text, sentence = null, numbers }, citations, point) {
  if (numbers.length === 0) return document.createTextNode(text);
  const look = (number, isChosen) => point(citations.get(number), sentence, isChosen, node);
  const first = () => look(numbers[0], false);
  const links = numbers.map((number) => cite(citations.get(number), sentence, (isChosen) => look(number, isChosen)));
  const node = html("span", { class: sentence ? "sentence" : "cites", mouseenter: first, click: () => look(numbers[0], true) }, text, links);
  if (sentence && sentence.support < 1) node.classList.add("partly");
  return node;
}

function cite({ number, name, source }, sentence, look) {
  const support = sentence ? `, support ${percent(sentence.support)}` : "";
  const choose = (event) => {
    event.preventDefault();
    event.stopPropagation();
    look(true);
  };
  return html(
    "a",
    { class: "cite", href: "#passage", "aria-label": `Source ${number}: ${name || source}${support}`, focus: () => look(false), mouseenter: () => look(false), click: choose },
    String(number),
  );
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
      html("span", { class: "dim" }, [citation.reference || citation.source, facts].filter(Boolean).join(" · ")),
    );
    return node;
  });
  return html("section", { class: "sources" }, html("h3", {}, "Sources"), html("ol", {}, items));
}


/** What the reader should know about it; nothing where there is nothing to know. */
export function notesOf(answer) {
  const notes = answer.notes.map((note) => html("li", {}, note));
  if (answer.degraded) {
    const title = html("p", {}, html("strong", {}, "Something failed on the way, so this answer may lack something."));
    return html("div", { class: "degraded" }, title, notes.length ? html("ul", {}, notes) : null);
  }
  return notes.length ? html("ul", { class: "notes" }, notes) : null;
}

/** How an answer was made and what it cost, in one line. */
export function making(answer, request) {
  const { method, model, ...counts } = answer.making;
  const facts = [
    METHODS[method] ?? method,
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
