// The server's events, shared by several feeds. It runs in a worker that all tabs share, because a
// browser opens only six connections to one host: with one each, a seventh tab would stand still.

const KEPT = 120;
const PAUSES = [500, 1000, 2000, 5000];

/** What one tab has not been told yet, the latest of each job. It is handed on in one piece when the
 * tab asks for the next, so a slow or sleeping tab never piles up previews. */
class Feed {
  #changed = new Map();
  #gone = new Set();
  #hello = false;
  #ready = true;
  #state;
  #told = null;

  constructor(stream, post) {
    this.stream = stream;
    this.post = post;
    this.#state = stream.state;
    this.#hello = stream.greeted;
    this.#flush();
  }

  hello() {
    this.#hello = true;
    this.#changed.clear();
    this.#gone.clear();
    this.#flush();
  }

  job(job) {
    if (!this.#hello) this.#changed.set(job.id, job);
    this.#flush();
  }

  gone(id) {
    this.#changed.delete(id);
    this.#gone.add(id);
    this.#flush();
  }

  state(state) {
    this.#state = state;
    this.#flush();
  }

  /** The tab is done with what it got. */
  next() {
    this.#ready = true;
    this.#flush();
  }

  #flush() {
    const news = this.#hello || this.#changed.size || this.#gone.size || this.#state !== this.#told;
    if (!this.#ready || !news) return;
    const batch = {
      state: this.#state,
      reason: this.stream.reason,
      hello: this.#hello ? [...this.stream.jobs.values()] : null,
      jobs: [...this.#changed.values()],
      gone: [...this.#gone],
    };
    this.#ready = false;
    this.#hello = false;
    this.#told = this.#state;
    this.#changed.clear();
    this.#gone.clear();
    this.post(batch);
  }
}

/** `state` is "connecting", "open", "lost", "locked" (a token is needed) or "refused", with the
 * server's `reason`. */
export class Stream {
  jobs = new Map();
  greeted = false;
  reason = "";
  state = "connecting";
  #feeds = new Set();
  #source = null;
  #timer = null;
  #tries = 0;

  constructor() {
    this.open();
  }

  add(post) {
    const feed = new Feed(this, post);
    this.#feeds.add(feed);
    return feed;
  }

  remove(feed) {
    this.#feeds.delete(feed);
  }

  /** Connect afresh. */
  open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource("/api/events");
    this.#source = source;
    source.addEventListener("hello", (event) => this.#greet(JSON.parse(event.data).jobs));
    source.addEventListener("job", (event) => this.#change(JSON.parse(event.data)));
    source.addEventListener("gone", (event) => this.forget(JSON.parse(event.data).id));
    source.addEventListener("refused", (event) => {
      this.reason = JSON.parse(event.data).error;
      this.#become("refused");
    });
    source.addEventListener("error", () => this.#lose(source));
  }

  /** A job was deleted. */
  forget(id) {
    this.jobs.delete(id);
    for (const feed of this.#feeds) feed.gone(id);
  }

  #greet(jobs) {
    this.#tries = 0;
    this.jobs = new Map(jobs.map((job) => [job.id, job]));
    this.greeted = true;
    this.#become("open");
    for (const feed of this.#feeds) feed.hello();
  }

  #change(job) {
    this.jobs.set(job.id, job);
    if (this.jobs.size > KEPT * 2) this.#shorten();
    for (const feed of this.#feeds) feed.job(job);
  }

  // Only the oldest go, so that the newest stay without gaps.
  #shorten() {
    const newest = [...this.jobs.values()].sort((a, b) => b.number - a.number);
    const finished = new Set(["done", "failed", "cancelled"]);
    for (const job of newest.slice(KEPT)) if (finished.has(job.state)) this.jobs.delete(job.id);
  }

  async #lose(source) {
    if (this.state !== "locked" && this.state !== "refused") this.#become("lost");
    if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
    const pause = PAUSES[Math.min(this.#tries++, PAUSES.length - 1)];
    const answer = await fetch("/api/status").catch(() => null);
    if (source !== this.#source) return;
    if (answer?.status === 401) this.#become("locked");
    this.#timer = setTimeout(() => this.open(), pause);
  }


  #become(state) {
    this.state = state;
    for (const feed of this.#feeds) feed.state(state);
  }
}

/** A tab's place at the stream: what it may say, as a function of a verb and its argument. */
export function seat(stream, post) {
  let feed = null;
  const heard = {
    join: () => (feed ??= stream.add(post)),
    next: () => feed?.next(),
    wake: () => stream.open(),
    gone: (id) => stream.forget(id),
    leave: () => {
      if (feed) stream.remove(feed);
      feed = null;
    },
  };
  return (verb, argument) => heard[verb]?.(argument);
}
