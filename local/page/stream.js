// Server-sent events through fetch: an EventSource sends no Authorization header.

import { Problem, Unreachable, reach } from "./api.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;

/** Takes a stream apart, however it is cut into pieces. */
export class EventParser {
  #rest = "";
  #data = [];
  #type = "";
  #id = null;

  /** The events that are complete with this piece. */
  feed(piece) {
    const held = this.#rest + piece;
    const lines = held.split(/\r\n|\n|\r(?=[^\n])/); // a CR at the end may be half of a CRLF
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#complete();
    const colon = line.indexOf(":");
    if (colon === 0) return null; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    if (field === "event") this.#type = value;
    if (field === "id") this.#id = value;
    return null;
  }

  #complete() {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#data = [];
    this.#type = "";
    return isEmpty ? null : event;
  }
}

/**
 * Follow a stream until `settled`, connecting again from where it broke off.
 *
 * `onEvent(type, data)` gets every event; `onConnection("open" | "lost", error)` how the connection stands. Ends
 * when the stream does, with 204, or when `signal` aborts; throws the `Problem` that no new attempt would mend.
 */
export async function follow(path, { onEvent, onConnection, signal }) {
  let last = null;
  let failures = 0;
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const response = await reach(path, { headers, signal });
      if (response.status === 204) return;
      onConnection("open");
      const before = last;
      for await (const event of events(response)) {
        last = event.id ?? last;
        onEvent(event.type, JSON.parse(event.data));
        if (event.type === "settled") return;
      }
      failures = last === before ? failures + 1 : 0; // a response may end after any event, and bring nothing new
      await pause(failures === 0 ? 0 : backoff(failures), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!passes(error)) throw error;
      failures += 1;
      onConnection("lost", error);
      await pause(error.retryAfter ? error.retryAfter * 1000 : backoff(failures), signal);
    }
  }
}

/** Whether another attempt may succeed. */
export function passes(error) {
  return error instanceof Unreachable || (error instanceof Problem && [408, 429, 502, 503, 504].includes(error.status));
}

/** How long to wait before attempt n + 1, with jitter so that a crowd does not come back at once. */
export function backoff(failures) {
  return Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS) * (0.75 + Math.random() / 2);
}

/** Waits so long, or until the browser is online again, or until it is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    window.addEventListener("online", done);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
    function done() {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    }
  });
}

async function* events(response) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.feed(value);
    }
  } catch (error) {
    throw new Unreachable(`The connection broke: ${error.message}`);
  } finally {
    reader.cancel().catch(() => {});
  }
}
