// The agents of a workflow as a drawing that lives: from left to right where there is room, else from top to bottom.

import { html, say, svg } from "./dom.js";
import { edgesOf, layOut } from "./layout.js";
import { LOOKS } from "./progress.js";
import { counted, duration, readable } from "./words.js";

const NODE = { width: 90, height: 50 };
const GAP = { least: 12, most: 76, down: 30 }; // between layers
const LANE = 26;
const STUB = 12; // the arrows into the entry and out of the answer
const BEND = 15; // between two ways back
const LINE_CHARACTERS = 12;

/** Draws a workflow and keeps it up to date; `node` is what goes into the page. */
export class Graph {
  #topology;
  #drawing = html("div", { class: "graph-drawing" });
  #line = html("p", { class: "graph-line" });
  #standings = new Map();
  #nodes = new Map();
  #focused;
  #width = 0;
  #onDrawn;

  /** `onDrawn` is called whenever its size changed. */
  constructor(topology, onDrawn = () => {}) {
    this.#topology = topology;
    this.#onDrawn = onDrawn;
    this.#focused = topology.agents[0].name;
    this.node = html("div", { class: "graph" }, this.#drawing, this.#line);
    this.#describe(null);
    new ResizeObserver(([entry]) => this.#fit(Math.floor(entry.contentRect.width))).observe(this.#drawing);
  }

  /** How each agent stands, by name; see `standingOf`. */
  update(standings) {
    this.#standings = standings;
    for (const [name, parts] of this.#nodes) this.#show(name, parts);
  }

  #fit(width) {
    if (width === 0 || width === this.#width) return;
    this.#width = width;
    const hadFocus = this.#drawing.contains(document.activeElement);
    this.#draw(width);
    if (hadFocus) this.#nodes.get(this.#focused).group.focus();
    this.#onDrawn();
  }

  #draw(width) {
    const layers = layOut(this.#topology, { node: 1, gap: 1, across: 1, lane: 1 }).layers;
    const gap = layers === 1 ? 0 : (width - 2 * STUB - layers * NODE.width) / (layers - 1);
    const isWide = gap >= GAP.least;
    const sizes = isWide
      ? { node: NODE.width, gap: Math.min(gap, GAP.most), across: NODE.height + 14, lane: LANE }
      : { node: NODE.height, gap: GAP.down, across: NODE.width + 16, lane: LANE };
    const plan = layOut(this.#topology, sizes);
    const backs = plan.edges.filter((edge) => edge.back).length;
    const length = plan.layers * (sizes.node + sizes.gap) - sizes.gap + 2 * STUB;
    const breadth = plan.cross + (backs ? backs * BEND + 12 : 0);
    const at = isWide ? ({ main, cross }) => [main + STUB, cross] : ({ main, cross }) => [cross, main + STUB];
    const [w, h] = isWide ? [length, breadth] : [breadth, length];
    this.#nodes = new Map();
    const root = svg(
      "svg",
      {
        width: w, height: h, viewBox: `0 0 ${w} ${h}`, role: "group",
        "aria-label": `Agents of the workflow ${this.#topology.workflow}; the arrow keys move between them`,
        keydown: (event) => this.#move(event),
      },
      this.#stubs(plan, at, isWide),
      drawnEdges(plan, at, isWide, sizes, (text) => say(this.#line, text)),
      this.#topology.agents.map((agent) => this.#agent(agent, at(plan.nodes.get(agent.name)), isWide)),
    );
    this.#drawing.replaceChildren(root);
    this.update(this.#standings);
  }

  #stubs(plan, at, isWide) {
    const { agents, entry, answer } = this.#topology;
    const reach = (isWide ? NODE.width : NODE.height) / 2;
    const arrow = (agent, from, to, event) => {
      const { main, cross } = plan.nodes.get(agent.name);
      const ends = [at({ main: main + from, cross }), at({ main: main + to, cross })];
      return edge(ends, isWide, { kind: "edge", says: event, tell: (text) => say(this.#line, text) });
    };
    return [
      ...agents.filter((agent) => agent.consumes.includes(entry)).map((agent) => arrow(agent, -reach - STUB, -reach, `${entry} comes in.`)),
      ...agents.filter((agent) => agent.emits.includes(answer)).map((agent) => arrow(agent, reach, reach + STUB, `${answer} goes out.`)),
    ];
  }

  #agent(agent, [x, y], isWide) {
    const [left, top] = [-NODE.width / 2, -NODE.height / 2];
    const box = (shift) => svg("rect", { x: left + shift, y: top + shift, width: NODE.width, height: NODE.height, rx: 7 });
    const entrance = isWide ? `M${left + 1} ${top + 8}V${-top - 8}` : `M${left + 8} ${top + 1}H${-left - 8}`;
    const lines = wrapped(readable(agent.name));
    const parts = {
      title: svg("title"),
      status: svg("text", { class: "agent-status", y: lines.length > 1 ? 16 : 11 }),
    };
    parts.group = svg(
      "g",
      {
        class: "agent", role: "img", tabindex: agent.name === this.#focused ? 0 : -1, "data-agent": agent.name,
        transform: `translate(${x} ${y})`,
        focus: () => this.#choose(agent), blur: () => this.#describe(null),
        mouseenter: () => this.#describe(agent), mouseleave: () => this.#describe(null),
      },
      parts.title,
      agent.scopes.some((scope) => scope.startsWith("each ")) ? box(4) : null, // one of many: it works on parts
      box(0),
      agent.joins ? svg("path", { class: "joins", d: entrance }) : null,
      lines.map((line, at) => svg("text", { class: "agent-name", y: (lines.length > 1 ? -14 : -7) + at * 14 }, line)),
      parts.status,
    );
    this.#nodes.set(agent.name, parts);
    return parts.group;
  }

  #show(name, { group, title, status }) {
    const standing = this.#standings.get(name) ?? { state: "idle", all: 0, done: 0, attempts: 0, milliseconds: 0 };
    const look = LOOKS[standing.state];
    group.setAttribute("data-state", standing.state);
    say(status, [look.icon, short(standing)].filter(Boolean).join(" "));
    const spoken = [readable(name), look.word, told(standing), ...facts(this.#topology, name)].filter(Boolean).join("; ");
    group.setAttribute("aria-label", spoken);
    say(title, spoken);
  }

  #choose(agent) {
    this.#nodes.get(this.#focused).group.setAttribute("tabindex", -1);
    this.#focused = agent.name;
    this.#nodes.get(agent.name).group.setAttribute("tabindex", 0);
    this.#describe(agent);
  }

  #describe(agent) {
    for (const path of this.#drawing.querySelectorAll(".edge")) {
      path.classList.toggle("active", agent !== null && [path.dataset.from, path.dataset.to].includes(agent.name));
    }
    const { entry, answer, agents } = this.#topology;
    if (agent === null) say(this.#line, `${counted(agents.length, "agent")}: ${entry} comes in, ${answer} goes out.`);
    else say(this.#line, `${[readable(agent.name), ...facts(this.#topology, agent.name)].join("; ")}.`);
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const names = [...this.#nodes.keys()];
    const next = names[(names.indexOf(this.#focused) + step + names.length) % names.length];
    this.#nodes.get(next).group.focus();
  }
}

/** What an agent has to do with the others, in words. */
function facts(topology, name) {
  const agent = topology.agents.find((each) => each.name === name);
  const bounds = agent.emits.filter((event) => event in topology.bounds);
  return [
    agent.purpose.replace(/\.$/, ""),
    `${agent.joins ? "waits for every" : "consumes"} ${agent.consumes.join(" or ")}`,
    agent.emits.length ? `emits ${agent.emits.join(" or ")}` : "",
    agent.fans_out.length ? `fans out into parts, each a ${agent.fans_out.join(" or ")}` : "",
    agent.scopes.length ? `works on ${agent.scopes.join(", ")}` : "",
    agent.side ? "beside the answer" : "",
    ...bounds.map((event) => `${event} at most ${topology.bounds[event]} times`),
    ...edgesOf(topology).filter((edge) => edge.from === name).map((edge) => `to ${readable(edge.to)}`),
  ].filter(Boolean);
}

function short({ state, done, all, milliseconds }) {
  if (all > 1) return `${done}/${all}`;
  if (["done", "retried", "failed"].includes(state)) return duration(milliseconds);
  return LOOKS[state].word;
}

function told({ done, all, attempts }) {
  return [all > 1 ? `${done} of ${all} done` : "", attempts > 1 ? `attempt ${attempts}` : ""].filter(Boolean).join(", ");
}

function drawnEdges(plan, at, isWide, sizes, tell) {
  let backs = 0;
  return plan.edges.map((each) => {
    const [from, to] = [plan.nodes.get(each.from), plan.nodes.get(each.to)];
    const words = `${readable(each.from)} to ${readable(each.to)}: ${each.events.join(" or ")}`;
    const says = `${words}${each.fansOut ? ", a part each" : ""}${each.bound ? `, at most ${each.bound} times` : ""}.`;
    const looks = { kind: `edge${each.fansOut ? " fans-out" : ""}${each.back ? " back" : ""}`, says, tell, ends: each };
    if (each.back) {
      backs += 1;
      return returning(from, to, { far: plan.cross + backs * BEND - 2, at, isWide }, looks);
    }
    const points = [
      { main: from.main + sizes.node / 2, cross: from.cross },
      ...each.points.flatMap(({ main, cross }) => [{ main: main - sizes.node / 2, cross }, { main: main + sizes.node / 2, cross }]),
      { main: to.main - sizes.node / 2, cross: to.cross },
    ];
    return edge(points.map(at), isWide, looks);
  });
}

/** A way from point to point in smooth bends, with its head. */
function edge(points, isWide, looks) {
  const [start, ...rest] = points;
  let last = start;
  let way = `M${start.join(" ")}`;
  for (const point of rest) {
    const middle = isWide ? (last[0] + point[0]) / 2 : (last[1] + point[1]) / 2;
    const [one, other] = isWide ? [[middle, last[1]], [middle, point[1]]] : [[last[0], middle], [point[0], middle]];
    way += `C${one.join(" ")} ${other.join(" ")} ${point.join(" ")}`;
    last = point;
  }
  return drawn(way, last, isWide ? [1, 0] : [0, 1], looks);
}

/** A way back: out of one side of the agent, along all layers, and in again. */
function returning(from, to, { far, at, isWide }, looks) {
  const side = (isWide ? NODE.height : NODE.width) / 2;
  const shift = 12; // apart from the ways that lead on
  const corners = [
    { main: from.main - shift, cross: from.cross + side },
    { main: from.main - shift, cross: far },
    { main: to.main + shift, cross: far },
    { main: to.main + shift, cross: to.cross + side },
  ].map(at);
  const way = `M${corners.map((corner) => corner.join(" ")).join("L")}`;
  return drawn(way, corners.at(-1), isWide ? [0, -1] : [-1, 0], looks);
}

function drawn(way, [x, y], [dx, dy], { kind, says, tell, ends = { from: "", to: "" } }) {
  const wing = (side) => `${x - 6 * dx - 4 * side * dy} ${y - 6 * dy - 4 * side * dx}`;
  return svg(
    "g",
    { class: kind, "data-from": ends.from, "data-to": ends.to, mouseenter: () => tell(says) },
    svg("title", {}, says),
    svg("path", { class: "reach", d: way }),
    svg("path", { class: "way", d: way }),
    svg("path", { class: "head", d: `M${x} ${y}L${wing(1)}L${wing(-1)}Z` }),
  );
}

/** A name in at most two lines. */
function wrapped(name) {
  if (name.length <= LINE_CHARACTERS) return [name];
  const space = name.lastIndexOf(" ", LINE_CHARACTERS);
  const lines = space < 0 ? [name.slice(0, LINE_CHARACTERS), name.slice(LINE_CHARACTERS)] : [name.slice(0, space), name.slice(space + 1)];
  return lines.map((line) => (line.length > LINE_CHARACTERS ? `${line.slice(0, LINE_CHARACTERS - 1)}…` : line));
}
