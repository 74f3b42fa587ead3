// What this browser remembers: its conversations, which requests they hold, and what was typed but not sent.

const CONVERSATIONS = "troupe.conversations";
const DRAFT = "troupe.draft.";
const WORKFLOW = "troupe.workflow";
const MOST_CONVERSATIONS = 100;
const MOST_REQUESTS = 200; // of one conversation
const TITLE_CHARACTERS = 80;

/** `{name, title, at, requests: [{request, text, at}]}`, the one last used first. */
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
 * The turns of a conversation: each question, what was said to it, and its request where that is known.
 *
 * What nobody works on yet is not said yet: of that, this browser knows what it asked itself.
 */
export function turnsOf(messages, requests) {
  const turns = [];
  for (const { role, text, at, request } of messages) {
    const isQuestion = role === "user";
    if (isQuestion || turns.length === 0) turns.push({ text: isQuestion ? text : "", at, said: [], request });
    if (!isQuestion) turns.at(-1).said.push(text);
  }
  const begun = new Set(messages.map(({ request }) => request));
  const newest = requests.findLastIndex(({ request }) => begun.has(request));
  return [...turns, ...requests.slice(newest + 1).map((each) => ({ ...each, said: [] }))];
}

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise; // something else wrote it
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // there is no room: it is forgotten with this tab, and nothing else fails
  }
}
