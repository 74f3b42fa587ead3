// Where a message is written and sent. What was typed stays until the server has taken it.

import { Problem, Unreachable } from "./api.js";
import { html, say } from "./dom.js";
import { draftOf, freshName, keepDraft } from "./history.js";
import { problemBox, summary } from "./problems.js";
import { backoff, passes, pause } from "./stream.js";

/** The form; `send(text, idempotencyKey, signal)` hands a message to the server and returns once it is taken. */
export class Composer {
  #area;
  #button;
  #state;
  #send;
  #draft = "";
  #sending = null;

  constructor(form, send) {
    this.#area = form.querySelector("textarea");
    this.#button = form.querySelector("button[type=submit]");
    this.#state = form.querySelector(".send-state");
    this.#send = send;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.#area.addEventListener("input", () => keepDraft(this.#draft, this.#area.value));
    this.#area.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Write for this conversation: what was typed in it before is there again. */
  open(draft) {
    this.#sending?.abort();
    this.#draft = draft;
    this.#area.value = draftOf(draft);
    this.#state.replaceChildren();
  }

  /** From now on, what is typed belongs to this conversation. */
  belongTo(draft) {
    this.#draft = draft;
  }

  /** Put the cursor there. */
  focus() {
    this.#area.focus();
  }

  /** Write this, after what is there already. */
  write(text) {
    this.#area.value = [this.#area.value, text].filter(Boolean).join("\n");
    keepDraft(this.#draft, this.#area.value);
    this.focus();
  }

  /** Send what is written, again and again where only time is wanted. */
  async submit() {
    const text = this.#area.value;
    if (this.#sending || text.trim() === "") return this.focus();
    const sending = (this.#sending = new AbortController());
    const draft = this.#draft;
    this.#hold(true);
    try {
      await this.#untilTaken(text, sending.signal);
      keepDraft(draft, "");
      if (!sending.signal.aborted) this.#area.value = "";
    } catch (error) {
      if (!sending.signal.aborted) this.#state.replaceChildren(problemBox(error));
    } finally {
      this.#sending = null;
      this.#hold(false);
    }
  }

  async #untilTaken(text, signal) {
    const key = freshName() + freshName(); // the same for every attempt, so that none counts twice
    for (let failures = 1; ; failures += 1) {
      try {
        await this.#send(text, key, signal);
        this.#state.replaceChildren();
        return;
      } catch (error) {
        if (signal.aborted || !passes(error)) throw error;
        await this.#wait(error, error.retryAfter ? error.retryAfter * 1000 : Math.max(backoff(failures), 1000), signal);
        signal.throwIfAborted();
      }
    }
  }

  async #wait(error, milliseconds, signal) {
    const now = new AbortController();
    const until = Date.now() + milliseconds;
    const isOffline = error instanceof Unreachable && !navigator.onLine;
    const plan = () => (isOffline ? "It is sent once you are online." : `It is sent again in ${Math.max(1, Math.ceil((until - Date.now()) / 1000))} s.`);
    const spoken = html("span", { class: "hidden" }, plan()); // said once, not every second
    const shown = html("span", { "aria-hidden": "true" });
    const count = () => say(shown, plan());
    const box = html(
      "div",
      { class: "problem mild", role: "alert" },
      html("p", {}, `${reason(error)} `, spoken, shown),
      html("p", { class: "tools" }, html("button", { type: "button", click: () => now.abort() }, "Send now"), html("button", { type: "button", class: "quiet", click: () => this.#sending.abort() }, "Do not send")),
    );
    count();
    this.#state.replaceChildren(box);
    const ticking = setInterval(count, 1000);
    await pause(isOffline ? 2 ** 31 - 1 : milliseconds, AbortSignal.any([now.signal, signal]));
    clearInterval(ticking);
    this.#state.replaceChildren();
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // composing: the key picks a word
    event.preventDefault();
    this.submit();
  }

  #hold(isHeld) {
    this.#area.readOnly = isHeld;
    this.#button.disabled = isHeld;
  }
}

function reason(error) {
  const isBusy = error instanceof Problem && error.status === 429;
  return `${isBusy ? "Too much is waiting: " : ""}${summary(error).replace(/[.:]?$/, ".")}`;
}
