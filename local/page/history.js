// What this browser remembers: its conversations, which requests they hold, and what was typed but not sent.

const CONVERSATIONS = "troupe.conversations";
const DRAFT = "troupe.draft.";
const WORKFLOW = "troupe.workflow";
const MOST_CONVERSATIONS = 100;
const MOST_REQUESTS = 200; // of one conversation
const TITLE_CHARACTERS = 80;

/** `{name, title, at, requests: [{request, text, workflow, at}]}`, the one last used first. */
export function conversations() {
  return read(CONVERSATIONS, []).sort((one, other) => other.at - one.at);
}

/** The requests that this browser made in a conversation, oldest first. */
export function requestsOf(name) {
  return conversations().find((each) => each.name === name)?.requests ?? [];
}

/** Remember a request; the first one names its conversation. */
export function remember(name, request) {
  const known = conversations();
  const before = known.find((each) => each.name === name) ?? { name, title: request.text.trim().slice(0, TITLE_CHARACTERS), requests: [] };
  const requests = [...before.requests.filter((each) => each.request !== request.request), request].slice(-MOST_REQUESTS);
  const others = known.filter((each) => each.name !== name);
  write(CONVERSATIONS, [{ ...before, at: request.at, requests }, ...others].slice(0, MOST_CONVERSATIONS));
}

/** What was typed in a conversation and not yet taken by the server. */
export function draftOf(name) {
  return read(DRAFT + name, "");
}

/** Keep what is typed. */
export function keepDraft(name, text) {
  if (text === "") localStorage.removeItem(DRAFT + name);
  else write(DRAFT + name, text);
}

/** The workflow that was last chosen. */
export function chosenWorkflow() {
  return read(WORKFLOW, "");
}

/** Keep the choice of a workflow. */
export function chooseWorkflow(name) {
  write(WORKFLOW, name);
}

/** A name that nobody else has: 12 random characters. */
export function freshName() {
  return [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The turns of a conversation: each question with what was said to it, and with its request where this browser made it.
 *
 * What was said comes from the server, which does not say to which request it belongs: the same words, latest first.
 */
export function turnsOf(messages, requests) {
  const turns = [];
  for (const { role, text, at } of messages) {
    if (role === "user") turns.push({ text, at, said: [], request: null });
    else if (turns.length) turns.at(-1).said.push(text);
    else turns.push({ text: "", at, said: [text], request: null });
  }
  const left = [...requests];
  for (const turn of [...turns].reverse()) {
    const at = left.findLastIndex((each) => each.text.trim() === turn.text.trim());
    if (at >= 0) turn.request = left.splice(at, 1)[0];
  }
  const newest = turns.findLast((turn) => turn.request)?.request.at ?? 0;
  const waiting = left.filter((each) => each.at > newest).map((each) => ({ text: each.text, at: each.at, said: [], request: each }));
  return [...turns, ...waiting];
}

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise; // something else wrote it
  }
}

function write(key, value) {
  localStorage.setItem(key, JSON.stringify(value));
}
