// Requests to the server. What it refuses is a `Refused` with a sentence for people.

export class Refused extends Error {
  constructor(status, sentence, corrected = null) {
    super(sentence);
    this.status = status;
    this.corrected = corrected;
  }
}

const PATIENCE = 20_000;
const PAUSES = [500, 1000, 2000, 4000];

/** A random uuid4. `crypto.randomUUID` is missing where the page comes over plain http from afar. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Ask once. A lost connection is a TypeError or DOMException, as from `fetch`. */
export async function ask(method, path, { body, type, keepalive = false } = {}) {
  const headers = {};
  if (method !== "GET") headers["X-Atelier"] = "1";
  if (type) headers["Content-Type"] = type;
  const signal = keepalive ? null : AbortSignal.timeout(PATIENCE);
  const response = await fetch(path, { method, headers, body, keepalive, signal, credentials: "same-origin" });
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  if (response.status === 401) dispatchEvent(new Event("atelier:locked"));
  throw new Refused(response.status, answer?.error ?? "Atelier could not answer; try again.", answer?.corrected ?? null);
}

/** Post and go on until there is an answer. The body's id makes every repetition the same job.
 * `waiting` is called before each further try; when it returns false, the error is thrown. */
export async function insist(path, body, waiting) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask("POST", path, { body: JSON.stringify(body), type: "application/json" });
    } catch (error) {
      const lost = !(error instanceof Refused) || [502, 503, 504].includes(error.status);
      if (!lost || waiting(error) === false) throw error;
    }
    await new Promise((resume) => setTimeout(resume, PAUSES[Math.min(tries, PAUSES.length - 1)]));
  }
}
