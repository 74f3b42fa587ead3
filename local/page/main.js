// The page put together: which conversation is shown, what is asked in it, and who is told of what.

import { get, onKeyWanted, post } from "./api.js";
import { Composer } from "./composer.js";
import { html, say } from "./dom.js";
import { Graph } from "./graph.js";
import { chooseWorkflow, chosenWorkflow, conversations, freshName, remember, requestsOf, turnsOf } from "./history.js";
import { PassagePanel } from "./passage.js";
import { problemBox } from "./problems.js";
import { backoff, passes, pause } from "./stream.js";
import { Turn } from "./turn.js";

const NEW = "new"; // the draft of a conversation that has not begun

const byId = (id) => document.getElementById(id);
const thread = byId("thread");
const panel = new PassagePanel(byId("passage"));
const composer = new Composer(byId("composer"), ask);
const world = { topologyOf, point: (...what) => panel.show(...what), announce, again: (text) => { composer.write(text); composer.submit(); } };
const topologies = new Map();

let shown = null; // { name, turns, closing, restored, watching }: the conversation on the page

onKeyWanted(askKey);
window.addEventListener("hashchange", open);
window.addEventListener("online", tellConnection);
window.addEventListener("offline", tellConnection);
document.addEventListener("keydown", escape);
byId("new-button").addEventListener("click", () => { location.hash = `c=${freshName()}`; composer.focus(); });
byId("list-button").addEventListener("click", () => listOpen(byId("list-button").getAttribute("aria-expanded") !== "true"));
byId("workflow").addEventListener("change", (event) => { chooseWorkflow(event.target.value); if (isEmpty()) welcome(); });
tellConnection();
open();
composer.focus();

// ------------------------------------------------------------------------------------------- conversations

/** Show the conversation that the address names; without a name, a new one. */
function open() {
  const name = new URLSearchParams(location.hash.slice(1)).get("c");
  if (!name) return location.replace(`#c=${freshName()}`);
  if (shown?.name === name) return;
  shown?.closing.abort();
  const here = (shown = { name, turns: [], closing: new AbortController() });
  panel.clear();
  listOpen(false);
  composer.open(requestsOf(name).length ? name : NEW);
  showConversations();
  thread.replaceChildren();
  here.restored = untilReached(() => restore(here), here.closing.signal);
}

/** Try until the server was reached; what no new attempt would mend is shown. */
async function untilReached(work, signal) {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return;
      const again = html("button", { type: "button", click: () => location.reload() }, "Try again");
      thread.replaceChildren(problemBox(error, ...(passes(error) ? [] : [again])));
      if (!passes(error)) return;
      await pause(error.retryAfter ? error.retryAfter * 1000 : backoff(failures), signal);
    }
  }
}

async function restore(here) {
  const { signal } = here.closing;
  await offerWorkflows(signal);
  const { messages } = await get(`/conversations/${encodeURIComponent(here.name)}/messages`, signal);
  const turns = turnsOf(messages, requestsOf(here.name));
  thread.replaceChildren();
  if (turns.length === 0) return welcome();
  for (const { text, at, said, request } of turns) {
    const turn = add(here, text, at);
    turn.showSaid(said);
    if (request) lazily(turn, request, here);
  }
  const last = here.turns.at(-1);
  last.unfold(true);
  last.node.scrollIntoView({ block: "start" });
}

/** Fetch what is behind a turn when it comes into sight. */
function lazily(turn, request, here) {
  const observer = new IntersectionObserver(async ([entry]) => {
    if (!entry.isIntersecting) return;
    observer.disconnect();
    try {
      await turn.load(request, here.closing.signal);
      if (turn.isSettled) { if (turn === here.turns.at(-1)) lookAt(turn); } else enqueue(turn, request, here);
    } catch (error) {
      if (!here.closing.signal.aborted && error.status !== 404) turn.fail(error); // what was said is still there
    }
  });
  observer.observe(turn.node);
}

function add(here, text, at) {
  const turn = new Turn(text, at, world);
  for (const each of here.turns) each.unfold(false);
  if (here.turns.length === 0) thread.replaceChildren();
  here.turns.push(turn);
  thread.append(turn.node);
  return turn;
}

function isEmpty() {
  return shown !== null && shown.turns.length === 0;
}

async function welcome() {
  const intro = html(
    "section",
    { class: "welcome" },
    html("h2", {}, "Ask the documents"),
    html("p", {}, "Every sentence of an answer stands in a source, and you see it there. What nothing was found for is said, not invented."),
    html("p", {}, "To have something remembered, say so: “Remember that our deploy day is Thursday.”"),
  );
  thread.replaceChildren(intro);
  const topology = await topologyOf(byId("workflow").value);
  if (isEmpty()) intro.append(html("h3", {}, `The agents of the workflow “${topology.workflow}”`), new Graph(topology).node);
}

function showConversations() {
  const known = conversations();
  byId("no-conversations").hidden = known.length > 0;
  const items = known.map(({ name, title, at }) =>
    html("li", {}, html("a", { href: `#c=${encodeURIComponent(name)}`, "aria-current": name === shown.name ? "page" : null }, html("span", { class: "title" }, title), html("span", { class: "dim" }, new Date(at).toLocaleDateString([], { day: "numeric", month: "short" })))),
  );
  byId("conversation-list").replaceChildren(...items);
}

function listOpen(isOpen) {
  byId("list-button").setAttribute("aria-expanded", String(isOpen));
  byId("conversations").classList.toggle("open", isOpen);
}

// -------------------------------------------------------------------------------------------------- asking

async function ask(text, idempotencyKey, signal) {
  const here = shown;
  await here.restored; // or the turns from before would come after this one
  const workflow = byId("workflow").value;
  const path = `/conversations/${encodeURIComponent(here.name)}/messages`;
  const taken = await post(path, { text, ...(workflow ? { workflow } : {}) }, idempotencyKey, signal);
  remember(here.name, { request: taken.request, text, at: Date.now() });
  if (here !== shown) return;
  composer.belongTo(here.name);
  showConversations();
  const turn = add(here, text, Date.now());
  turn.unfold(true);
  turn.node.scrollIntoView({ block: "start" });
  announce("Taken. The agents are at work.");
  enqueue(turn, taken.request, here);
}

/** Messages of one conversation are worked on one after the other, and so they are watched: one connection does. */
function enqueue(turn, request, here) {
  if (here.watching) turn.queue();
  here.watching = Promise.resolve(here.watching).then(() => watch(turn, request, here));
}

async function watch(turn, request, here) {
  try {
    await turn.follow(request, here.closing.signal);
    if (turn === here.turns.at(-1)) lookAt(turn);
  } catch (error) {
    if (!here.closing.signal.aborted) turn.fail(error);
  }
}

/** Where the panel lies beside the text, it shows what the answer begins with. */
function lookAt(turn) {
  if (!panel.isSheet) turn.pointAtFirst();
}

async function offerWorkflows(signal) {
  const select = byId("workflow");
  if (select.options.length) return;
  const { workflows } = await get("/workflows", signal);
  for (const each of workflows) topologies.set(each.workflow, each);
  const asked = workflows.filter((each) => each.takes_messages);
  for (const { workflow } of asked) select.append(html("option", { value: workflow }, workflow));
  const names = [...select.options].map((option) => option.value);
  select.value = names.includes(chosenWorkflow()) ? chosenWorkflow() : (names.find((name) => name === "answer") ?? names[0] ?? "");
  byId("workflow-label").hidden = asked.length < 2;
}

async function topologyOf(workflow) {
  if (!topologies.has(workflow)) topologies.set(workflow, get(`/workflows/${encodeURIComponent(workflow)}`));
  try {
    return await topologies.get(workflow);
  } catch (error) {
    topologies.delete(workflow);
    throw error;
  }
}

// ------------------------------------------------------------------------------------- what the page itself says

function announce(text) {
  say(byId("announcements"), text);
}

function tellConnection() {
  byId("connection").hidden = navigator.onLine;
  say(byId("connection"), navigator.onLine ? "" : "Offline");
}

function escape(event) {
  if (event.key !== "Escape" || byId("key-dialog").open) return;
  if (byId("list-button").getAttribute("aria-expanded") === "true") {
    listOpen(false);
    byId("list-button").focus();
  } else panel.close();
}

let asking = null;

/** One dialog, however many calls want the key. */
function askKey(wasRefused) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    say(byId("key-why"), wasRefused ? "This key was refused: give another one." : "This server answers only with a key. It is kept until you close this tab.");
    byId("key").value = "";
    byId("key-cancel").onclick = () => dialog.close("");
    dialog.returnValue = "";
    dialog.addEventListener("close", () => { asking = null; resolve(dialog.returnValue === "given" ? byId("key").value : null); }, { once: true });
    dialog.showModal();
  });
  return asking;
}
