// Calls of the HTTP API: the key, the problems, and the two ways in which a call can fail.

const KEY = "troupe.key";

/** The server said no, in the words of RFC 9457. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.retryAfter = retryAfter;
  }
}

/** The server was not reached, or the connection broke. */
export class Unreachable extends Error {}

let askKey = async () => null;

/** Who is asked where the server wants a key: gives one, or null to give up. */
export function onKeyWanted(ask) {
  askKey = ask;
}

/** The response to a call that the server accepted; a key is asked for where one is wanted. */
export async function reach(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const response = await send(path, options, key);
    if (response.ok) return response;
    if (response.status !== 401) throw await problem(response);
    if (sessionStorage.getItem(KEY) !== key) continue; // somebody gave it meanwhile
    const given = await askKey(key !== null);
    if (given === null) throw await problem(response);
    sessionStorage.setItem(KEY, given);
  }
}

/** What a call answers, as data. */
export async function get(path, signal) {
  return (await reach(path, { signal })).json();
}

/** Send data; a repeat under the same key does nothing twice. */
export async function post(path, data, idempotencyKey, signal) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  return (await reach(path, { method: "POST", headers, body: JSON.stringify(data), signal })).json();
}

async function send(path, options, key) {
  const headers = { ...options.headers, ...(key === null ? {} : { Authorization: `Bearer ${key}` }) };
  try {
    return await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    throw options.signal?.aborted ? error : new Unreachable("The server cannot be reached.");
  }
}

async function problem(response) {
  const body = await response.json().catch(() => ({}));
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return new Problem(response.status, body, Number.isFinite(seconds) ? seconds : null);
}
