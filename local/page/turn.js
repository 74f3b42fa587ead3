// One question of a conversation: the agents at work on it, its answer, and what it took.

import { get } from "./api.js";
import { answerText, making, notesOf, sourceList } from "./answer.js";
import { html, say } from "./dom.js";
import { Graph } from "./graph.js";
import { NoAnswer, problemBox } from "./problems.js";
import { Drafts, standingOf } from "./progress.js";
import { follow } from "./stream.js";
import { Waterfall } from "./waterfall.js";
import { counted, duration, readable } from "./words.js";

const TICK_MS = 250;
const SHARE_OF_DRAWING = 0.68; // of the window's height
const STANDING = {
  sent: "Taken",
  waiting: "Waits for the message before it",
  running: "At work",
  settled: "Answered",
  failed: "No answer",
};

/**
 * A turn in the page; `node` is what goes into it.
 *
 * `world` = { topologyOf(workflow), point(citation, sentence, isChosen, origin), announce(text), again(text) }.
 */
export class Turn {
  #world;
  #view = null;
  #deliveries = new Map();
  #drafts = new Drafts();
  #graph = null;
  #waterfall = new Waterfall();
  #clockAhead = Infinity; // of this browser before the server, at most
  #ticking = null;
  #isLost = false;
  #isChosen = false; // whether the reader opened or closed the drawing
  #topology = null;

  constructor(text, at, world) {
    this.#world = world;
    this.text = text;
    this.standing = html("span", { class: "standing" });
    this.facts = html("span", { class: "dim" });
    this.agents = html("details", { class: "agents", toggle: () => this.#draw() }, html("summary", { click: () => { this.#isChosen = true; } }, "Agents ", this.facts));
    this.answer = html("div", { class: "answer" });
    this.times = html("details", { class: "times" }, html("summary", {}, "Waterfall"), this.#waterfall.node);
    this.agents.hidden = this.times.hidden = true;
    const when = new Date(at);
    this.node = html(
      "article",
      { class: "turn", "aria-label": `Question: ${text.slice(0, 80)}` },
      html("h2", { class: "question" }, text),
      html("p", { class: "turn-meta" }, html("time", { datetime: when.toISOString(), title: when.toLocaleString() }, clockTime(when)), this.standing),
      this.agents, this.answer, this.times,
    );
  }

  /** Whether nothing more will happen to it. */
  get isSettled() {
    return this.#view?.status === "settled";
  }

  /** What the conversation keeps of it: all that there is where its request is gone. */
  showSaid(said) {
    this.answer.replaceChildren(...said.flatMap((text) => text.split(/\n+/)).map((line) => html("p", {}, line)));
  }

  /** Show or fold the agents and the times: they are open at the latest question only. */
  unfold(isOpen) {
    this.agents.open = this.times.open = isOpen;
  }

  /** Fetch how its request stands. */
  async load(request, signal) {
    this.#apply(await get(`/requests/${encodeURIComponent(request)}`, signal));
  }

  /** Follow its request until it is settled. */
  async follow(request, signal) {
    this.#say("sent");
    this.#ticking ??= setInterval(() => this.#tick(), TICK_MS);
    try {
      await follow(`/requests/${encodeURIComponent(request)}/events`, {
        signal,
        onEvent: (type, data) => this.#hear(type, data),
        onConnection: (state) => this.#connection(state),
      });
      if (!this.isSettled && !signal.aborted) await this.load(request, signal);
    } finally {
      clearInterval(this.#ticking);
      this.#ticking = null;
    }
  }

  /** It waits for the turns before it, and nobody watches it yet. */
  queue() {
    this.#say("waiting");
  }

  /** Its request could not be had. */
  fail(error) {
    this.#say("failed");
    this.answer.append(problemBox(error));
  }

  #hear(type, data) {
    if (type === "request" || type === "settled") this.#apply(data, type === "settled");
    if (type === "delivery") {
      this.#deliveries.set(data.key, data);
      if (this.#view.status === "waiting") this.#view = { ...this.#view, status: "running" };
      this.#show();
    }
    if (type === "tokens" && this.#drafts.add(data)) this.#showDrafts();
  }

  #apply(view, isNews = false) {
    this.#view = view;
    for (const delivery of view.deliveries) this.#deliveries.set(delivery.key, delivery);
    this.agents.hidden = this.times.hidden = false;
    this.#show();
    this.#draw();
    if (view.status === "settled") this.#settle(isNews);
  }

  #settle(isNews) {
    const { answer, error } = this.#view;
    const point = this.#world.point;
    this.#isLost = false;
    this.#say(answer ? "settled" : "failed");
    if (answer) {
      this.answer.replaceChildren(
        ...answerText(answer, point),
        ...[notesOf(answer), sourceList(answer, point)].filter(Boolean),
        html("p", { class: "making" }, making(answer, this.#view)),
      );
    } else {
      const again = html("button", { type: "button", click: () => this.#world.again(this.text) }, "Ask again");
      this.answer.replaceChildren(problemBox(new NoAnswer(error), again));
    }
    this.#bringIntoSight();
    if (isNews) this.#world.announce(answer ? `Answer ready: ${counted(answer.sentences.length, "sentence")} from ${counted(answer.citations.length, "source")}.` : `No answer: ${error.reason}`);
  }

  /** Where the drawing leaves no room for what was waited for, it is folded. */
  #bringIntoSight() {
    if (!this.isSettled || this.#isChosen || this.agents.contains(document.activeElement)) return;
    const top = this.answer.getBoundingClientRect().top - this.node.getBoundingClientRect().top;
    if (top > SHARE_OF_DRAWING * window.innerHeight) this.agents.open = false;
  }

  /** The first sentence that has a passage behind it, for the panel. */
  pointAtFirst() {
    this.answer.querySelector(".sentence")?.dispatchEvent(new MouseEvent("mouseenter"));
  }

  #showDrafts() {
    const drafts = this.#drafts.all().map(({ agent, attempt, text }) =>
      html("div", { class: "draft" }, html("p", { class: "dim" }, `${readable(agent)} writes${attempt > 1 ? `, attempt ${attempt}` : ""}:`), html("p", { class: "draft-text" }, text)),
    );
    this.answer.replaceChildren(...drafts);
  }

  #connection(state) {
    const wasLost = this.#isLost;
    this.#isLost = state === "lost";
    if (this.#isLost && !wasLost) this.#world.announce("The connection is lost. Trying again.");
    this.#say(this.#view?.status ?? "sent");
  }

  #say(standing) {
    this.node.dataset.standing = standing;
    say(this.standing, this.#isLost ? "Connection lost, trying again" : STANDING[standing]);
    this.standing.classList.toggle("lost", this.#isLost);
  }

  #show() {
    const deliveries = [...this.#deliveries.values()];
    const { accepted, settled, status, answer } = this.#view;
    for (const { emitted, started, finished } of deliveries) {
      const newest = Math.max(...[emitted, started, finished].filter(Boolean).map(Date.parse));
      this.#clockAhead = Math.min(this.#clockAhead, Date.now() - newest);
    }
    this.#say(status === "settled" && answer === null ? "failed" : status);
    this.#tick();
    this.#updateGraph(deliveries, status);
    if (settled) say(this.facts, `${this.#view.workflow}, ${duration(Date.parse(settled) - Date.parse(accepted))}`);
  }

  #tick() {
    if (this.#view === null) return;
    const { accepted, settled } = this.#view;
    const known = Number.isFinite(this.#clockAhead) ? this.#clockAhead : Date.now() - Date.parse(accepted);
    const until = settled ? Date.parse(settled) : Date.now() - known;
    this.#waterfall.update([...this.#deliveries.values()], Date.parse(accepted), until);
    if (!settled) say(this.facts, `${this.#view.workflow}, ${duration(until - Date.parse(accepted))} so far`);
  }

  async #draw() {
    if (!this.agents.open || this.#view === null || this.#graph !== null) return;
    this.#graph = "fetching";
    const topology = await this.#world.topologyOf(this.#view.workflow).catch(() => null); // the answer needs no drawing
    this.#graph = topology && new Graph(topology, () => this.#bringIntoSight());
    if (this.#graph === null) return;
    this.agents.append(this.#graph.node);
    this.#topology = topology;
    this.#updateGraph([...this.#deliveries.values()], this.#view.status);
  }

  #updateGraph(deliveries, status) {
    if (this.#topology === null) return;
    const isFailed = status === "settled" && this.#view.answer === null;
    const names = this.#topology.agents.map((agent) => agent.name);
    this.#graph.update(new Map(names.map((name) => [name, standingOf(name, deliveries, isFailed ? "failed" : status)])));
  }
}

function clockTime(when) {
  const isToday = when.toDateString() === new Date().toDateString();
  return isToday ? when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
