// How agents stand, from the deliveries of a request. No document here: plain data in, plain data out.

export const LOOKS = {
  idle: { icon: "", word: "" },
  waiting: { icon: "○", word: "waiting" },
  running: { icon: "◐", word: "running" },
  retrying: { icon: "↻", word: "retrying" },
  done: { icon: "✓", word: "done" },
  retried: { icon: "✓↻", word: "done after a retry" },
  failed: { icon: "✕", word: "failed" },
  superseded: { icon: "–", word: "not needed any more" },
  unused: { icon: "–", word: "not needed" },
  unreached: { icon: "–", word: "not reached" },
};

/** How one delivery stands. */
export function stateOf(delivery) {
  if (delivery.finished === null) return delivery.error ? "retrying" : "running";
  if (delivery.failed) return "failed";
  if (delivery.error.startsWith("superseded")) return "superseded";
  return delivery.attempts > 1 ? "retried" : "done";
}

/** How an agent stands: its state, how many of its deliveries are done, and the milliseconds it worked. */
export function standingOf(agent, deliveries, requestStatus) {
  const mine = deliveries.filter((delivery) => delivery.agent === agent);
  const states = mine.map(stateOf);
  const open = states.filter((state) => state === "running" || state === "retrying").length;
  return {
    state: worst(states) ?? { settled: "unused", failed: "unreached", none: "idle" }[requestStatus] ?? "waiting",
    done: mine.length - open,
    all: mine.length,
    attempts: Math.max(0, ...mine.map((delivery) => delivery.attempts)),
    milliseconds: mine.reduce((sum, delivery) => sum + took(delivery), 0),
  };
}

function worst(states) {
  const order = ["retrying", "running", "failed", "retried", "done", "superseded"];
  return order.find((state) => states.includes(state));
}

function took(delivery) {
  return delivery.finished && delivery.started ? Date.parse(delivery.finished) - Date.parse(delivery.started) : 0;
}

/** What a model has written so far, by agent. Positions count characters, not the halves of a surrogate pair. */
export class Drafts {
  #drafts = new Map();

  /** Adds a piece; false where it belongs to an attempt that no longer counts. */
  add({ agent, attempt, position, text }) {
    const before = this.#drafts.get(agent) ?? { attempt, characters: [] };
    if (attempt < before.attempt) return false;
    const kept = attempt > before.attempt ? [] : before.characters.slice(0, position);
    this.#drafts.set(agent, { attempt, characters: [...kept, ...text] });
    return true;
  }

  /** Agent, attempt and text, in the order in which they began. */
  all() {
    return [...this.#drafts].map(([agent, { attempt, characters }]) => ({ agent, attempt, text: characters.join("") }));
  }
}
