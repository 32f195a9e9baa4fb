// The cards in order, newest last, and the scrolling that belongs to them.

import { announce } from "/assets/announcer.js";
import { ask } from "/assets/api.js";
import { Card, ended } from "/assets/card.js";
import { byId, el } from "/assets/dom.js";

const PAGE = 30;
const NEAR = 120;
const REGRET = 10_000;
const REPEAT = 3000;

/** `actions` are a card's; `remove` and `refresh` are the timeline's own. */
export class Timeline {
  cards = new Map();
  #actions;
  #changed = new Map();
  #doomed = new Map();
  #floor = 0;
  #forget;
  #frame = false;
  #list = byId("jobs");
  #earlier = byId("earlier");
  #jump = byId("newest");
  #loading = false;
  #mine = new Set();
  #stuck = true;
  #unseen = 0;

  constructor(actions, forget, emptied) {
    this.#actions = { ...actions, remove: (card) => this.#remove(card), refresh: (card) => this.#refresh(card) };
    this.#forget = forget;
    this.emptied = emptied;
    this.#earlier.addEventListener("click", () => this.#load());
    this.#jump.addEventListener("click", () => this.stick());
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const keep = new ResizeObserver(() => this.#stuck && this.cards.size && this.#toEnd());
    keep.observe(this.#list);
    keep.observe(byId("dock"));
    new IntersectionObserver(([entry]) => entry.isIntersecting && scrollY > 0 && this.#load(), { rootMargin: "200px" }).observe(this.#earlier);
    addEventListener("pagehide", () => this.#sweep());
  }

  /** The jobs that were asked for in this tab are announced. */
  own(id) {
    this.#mine.add(id);
  }

  /** Go to the newest card and stay there. */
  stick() {
    this.#stuck = true;
    this.#toEnd();
    this.#scrolled();
  }

  /** Changed jobs, drawn together at the next frame, the latest of each. */
  change(jobs) {
    for (const job of jobs) this.#changed.set(job.id, job);
    if (this.#frame || !this.#changed.size) return;
    this.#frame = true;
    const draw = () => {
      this.#frame = false;
      const batch = [...this.#changed.values()];
      this.#changed.clear();
      for (const job of batch.sort((a, b) => a.number - b.number)) this.#put(job);
      this.#count();
    };
    // A hidden tab has no frames, and is to be right when it is looked at.
    if (document.hidden) setTimeout(draw, 200);
    else requestAnimationFrame(draw);
  }

  gone(id) {
    this.#changed.delete(id);
    const doomed = this.#doomed.get(id);
    if (doomed) doomed.away();
    else this.cards.get(id)?.element.remove();
    this.cards.delete(id);
    this.#count();
  }

  /** The newest jobs without gaps, at least a page if there are as many, and all unfinished ones:
   * whatever differs from that here was missed. */
  hello(jobs) {
    const newest = jobs.toSorted((a, b) => b.number - a.number);
    const floor = newest.length < PAGE ? 0 : newest[PAGE - 1].number;
    const told = new Set(jobs.map((job) => job.id));
    const highest = Math.max(0, ...[...this.cards.values()].map((card) => card.job.number));
    const gap = highest < floor;
    for (const [id, card] of this.cards) {
      if (told.has(id)) continue;
      if (card.job.number >= floor || gap) this.gone(id);
      else if (!ended(card.job)) this.#refresh(card);
    }
    this.#floor = gap || !this.#floor ? floor : Math.min(this.#floor, floor);
    this.#earlier.hidden = this.#floor <= 1;
    this.change(jobs);
    this.#count();
  }

  /** All pictures that may be looked at, in order. */
  prints() {
    return [...this.#list.children].flatMap((item) => {
      const id = item.dataset.job;
      const card = this.#doomed.has(id) ? null : this.cards.get(id);
      return (card?.prints ?? []).filter((print) => print.picture.url !== null).map((print) => ({ card, print }));
    });
  }

  #put(job) {
    const card = this.cards.get(job.id);
    if (card) {
      const before = card.job;
      // An answer may be older than an event that overtook it.
      if (ended(before) && !ended(job)) return;
      card.update(job);
      if (!ended(before) && ended(job)) this.#tell(job);
      return;
    }
    if (job.number < this.#floor && ended(job)) return;
    this.#insert(job);
    if (!this.#stuck) this.#unseen += 1;
    this.#label();
    if (this.#mine.has(job.id)) {
      if (ended(job)) this.#tell(job);
      else announce("Drawing has been asked for.");
    }
  }

  #insert(job) {
    const card = new Card(job, this.#actions);
    this.cards.set(job.id, card);
    let after = null;
    for (let item = this.#list.lastElementChild; item; item = item.previousElementSibling) {
      if ((this.cards.get(item.dataset.job)?.job.number ?? Infinity) < job.number) break;
      after = item;
    }
    this.#list.insertBefore(card.element, after);
  }

  #tell(job) {
    if (!this.#mine.has(job.id)) return;
    const what = job.prompt.length > 60 ? `${job.prompt.slice(0, 60)}…` : job.prompt;
    if (job.state === "done") {
      const hidden = job.pictures.filter((picture) => picture.treatment !== "show").length;
      const count = job.pictures.length === 1 ? "The picture is" : `${job.pictures.length} pictures are`;
      announce(`${count} ready: ${what}.${hidden ? ` ${hidden} hidden.` : ""}`);
    } else if (job.state === "failed") announce(`Failed: ${what}. ${job.error ?? ""}`);
    else announce(`Cancelled: ${what}.`);
  }

  // --- Deleting, with a while to undo it ---

  #remove(card) {
    const undo = el("button", { type: "button", class: "tool", text: "Undo" });
    const row = el("div", { class: "deleted" }, el("p", { text: "Deleted" }), undo);
    const { id } = card.job;
    const timer = setTimeout(() => this.#delete(id), REGRET);
    const doomed = {
      // From here on there is no way back.
      seal: () => {
        clearTimeout(timer);
        if (row.contains(document.activeElement)) this.#beside(card).focus({ preventScroll: true });
        undo.remove();
      },
      away: () => {
        doomed.seal();
        card.element.remove();
        this.#doomed.delete(id);
      },
    };
    undo.addEventListener("click", () => {
      clearTimeout(timer);
      this.#doomed.delete(id);
      row.replaceWith(card.article);
      card.article.focus({ preventScroll: true });
      announce("Kept.");
    });
    this.#doomed.set(id, doomed);
    card.article.replaceWith(row);
    undo.focus({ preventScroll: true });
    announce("Deleted. Undo is possible for a few seconds.");
  }

  /** What to focus when a card goes. */
  #beside(card) {
    const item = card.element.nextElementSibling ?? card.element.previousElementSibling;
    return this.cards.get(item?.dataset.job)?.article ?? byId("words");
  }

  async #delete(id) {
    this.#doomed.get(id)?.seal();
    try {
      await ask("DELETE", `/api/jobs/${id}`);
    } catch (error) {
      if (error.status !== 404) {
        setTimeout(() => this.#doomed.has(id) && this.#delete(id), REPEAT);
        return;
      }
    }
    this.#forget(id);
    this.gone(id);
  }

  // What waits to be deleted is deleted when the page is left.
  #sweep() {
    for (const id of this.#doomed.keys()) {
      ask("DELETE", `/api/jobs/${id}`, { keepalive: true }).catch(() => {});
      this.#forget(id);
    }
  }

  // --- Fetching ---

  async #refresh(card) {
    try {
      const job = await ask("GET", `/api/jobs/${card.job.id}`);
      card.update(job);
      for (const print of card.prints) print.renew();
    } catch (error) {
      if (error.status === 404) this.gone(card.job.id);
    }
  }

  async #load() {
    if (this.#loading || this.#earlier.hidden) return;
    this.#loading = true;
    this.#earlier.setAttribute("aria-busy", "true");
    try {
      const { jobs, more } = await ask("GET", `/api/jobs?before=${this.#floor}&limit=${PAGE}`);
      const mark = this.#list.firstElementChild;
      const top = mark?.getBoundingClientRect().top ?? 0;
      for (const job of jobs) if (!this.cards.has(job.id)) this.#insert(job);
      if (mark) scrollBy(0, mark.getBoundingClientRect().top - top);
      this.#floor = jobs.length ? Math.min(...jobs.map((job) => job.number)) : 0;
      const focused = document.activeElement === this.#earlier;
      this.#earlier.hidden = !more;
      if (focused && !more) this.cards.get(this.#list.firstElementChild?.dataset.job)?.article.focus({ preventScroll: true });
      this.#count();
    } catch {
      // The button stays, for another try.
    }
    this.#earlier.removeAttribute("aria-busy");
    this.#loading = false;
  }

  // --- Scrolling ---

  #toEnd() {
    scrollTo(0, document.documentElement.scrollHeight);
  }

  #scrolled() {
    this.#stuck = document.documentElement.scrollHeight - innerHeight - scrollY < NEAR;
    if (this.#stuck) this.#unseen = 0;
    this.#jump.hidden = this.#stuck;
    this.#label();
  }

  #label() {
    this.#jump.querySelector("span").textContent = this.#unseen ? `${this.#unseen} new` : "Newest";
  }

  #count() {
    this.emptied(this.cards.size === 0 && this.#earlier.hidden && this.#changed.size === 0);
  }
}
