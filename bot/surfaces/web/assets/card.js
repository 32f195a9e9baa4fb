// A job as a card: what was said, and the answer that grows under it.

import { button, el } from "/assets/dom.js";
import { menuButton } from "/assets/menu.js";
import { Draft, Print } from "/assets/picture.js";
import * as words from "/assets/words.js";

const LONG = 420;
const ENDED = new Set(["done", "failed", "cancelled"]);

export const ended = (job) => ENDED.has(job.state);

/** `actions`: `again(job, how)`, `cancel(job)`, `remove(card)`, `edit(job)`, `enlarge(card, print)`,
 * `copy(job)` (resolves when copied) and `refresh(job)`. */
export class Card {
  prints = [];
  #shape = null;
  #standing = null;
  #draft = null;
  #bar = null;
  #cancel = null;

  constructor(job, actions) {
    this.job = job;
    this.actions = actions;
    const title = `said-${job.id}`;
    this.answer = el("div", { class: "answer" });
    this.article = el("article", { class: "card", "aria-labelledby": title, tabindex: "-1" }, this.#said(title), this.answer);
    this.element = el("li", { "data-job": job.id }, this.article);
    this.update(job);
  }

  update(job) {
    this.job = job;
    // What a card is made of. Progress and links change inside it, so that focus, menus and
    // pictures that were revealed stay as they are.
    const shape = this.#shapeOf(job);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.element.dataset.state = ended(job) ? job.state : shape;
      this.#rebuild();
    }
    if (!ended(job)) this.#progress();
    else job.pictures.forEach((picture, index) => this.prints[index]?.update(picture));
  }

  #shapeOf(job) {
    if (ended(job)) {
      const pictures = job.pictures.map(({ width, height, treatment, verdict }) => [width, height, treatment, verdict]);
      return JSON.stringify([job.state, job.error, job.hint, job.notes, pictures]);
    }
    const drawing = job.state !== "queued" && this.#draft !== null;
    return drawing || ["preparing", "drawing"].includes(job.progress?.kind) ? "drawing" : "waiting";
  }

  #said(title) {
    const { prompt, created_at: created } = this.job;
    const text = el("h2", { class: "said", id: title, text: prompt });
    const date = new Date(created * 1000);
    const time = el("time", { class: "time", datetime: date.toISOString(), text: words.moment(created) });
    const whole = el("div", { class: "ask" }, text, time);
    if (prompt.length > LONG) {
      text.classList.add("short");
      const more = button("more", "Show all", () => {
        text.classList.remove("short");
        more.remove();
        this.article.focus({ preventScroll: true });
      });
      whole.append(more);
    }
    return whole;
  }

  #rebuild() {
    const inside = this.answer.contains(document.activeElement);
    this.#draft = this.#bar = this.#cancel = this.#standing = null;
    this.prints = [];
    this.answer.replaceChildren(...(ended(this.job) ? this.#outcome() : this.#work()));
    if (inside) (this.#cancel ?? this.article).focus({ preventScroll: true });
  }

  // --- While it is drawn ---

  #work() {
    const { settings, prompt } = this.job;
    this.#standing = el("p", { class: "line" });
    this.#cancel = button("close", "Cancel", () => this.actions.cancel(this));
    const status = el("div", { class: "status" }, this.#standing, this.#cancel);
    if (this.#shape === "waiting") return [status];
    const [width, height] = settings.size.split("x").map(Number);
    this.#draft = new Draft();
    const places = [this.#draft.element];
    while (places.length < settings.images) places.push(el("div", { class: "print empty" }));
    this.#bar = el("progress", { "aria-label": `Progress of ${prompt.slice(0, 80)}`, max: "1" });
    return [mat(places, width / height, this.#bar), status];
  }

  #progress() {
    const { progress } = this.job;
    this.#standing.replaceChildren(...phrases(words.standing(this.job)));
    if (this.#bar === null) return;
    const part = progress?.kind === "drawing" ? progress.step / progress.steps : this.job.state === "rendered" ? 1 : (progress?.fraction ?? null);
    if (part === null) this.#bar.removeAttribute("value");
    else this.#bar.value = part;
    if (progress?.kind === "drawing") this.#draft.show(progress.preview, progress.treatment);
  }

  /** Show that the cancelling is under way, or that it failed. */
  cancelling(yes) {
    if (this.#cancel === null) return;
    this.#cancel.disabled = yes;
    this.#cancel.querySelector("span").textContent = yes ? "Cancelling" : "Cancel";
  }

  // --- When it has ended ---

  #outcome() {
    switch (this.job.state) {
      case "done":
        return [...this.#pictures(), this.#caption(), ...this.#notes(), this.#tools()];
      case "failed":
        return [el("p", { class: "failure", text: this.job.error ?? "This picture could not be drawn." }), ...this.#notes(), this.#tools()];
      default:
        return [el("p", { class: "line", text: "Cancelled" }), ...this.#notes(), this.#tools()];
    }
  }

  #pictures() {
    const { pictures } = this.job;
    if (!pictures.length) return [];
    const actions = { enlarge: (print) => this.actions.enlarge(this, print), refresh: () => this.actions.refresh(this) };
    this.prints = pictures.map((picture, index) => new Print(picture, pictures.length > 1 ? `picture ${index + 1}` : "picture", actions));
    return [mat(this.prints.map((print) => print.element), pictures[0].width / pictures[0].height)];
  }

  #caption() {
    return el("p", { class: "line" }, ...phrases(words.settings(this.job)));
  }

  #notes() {
    const { hint, notes } = this.job;
    return [...(hint ? [hint] : []), ...notes].map((note) => el("p", { class: "note", text: note }));
  }

  #tools() {
    const { actions, job } = this;
    const again = (how) => () => actions.again(this.job, how);
    const tools = [
      job.state === "failed" ? button("again", "Try again", again({ kind: "retry" }), { class: "tool first" }) : button("again", "Again", again({ kind: "again" })),
      button("edit", "Edit", () => actions.edit(this.job)),
    ];
    if (job.state === "done") {
      tools.push(menuButton("vary", "Vary", () => this.#variations()));
      if (job.settings.steps > 1) tools.push(button("draft", "Draft", again({ kind: "draft" }), { title: "Half the steps, the same seed" }));
      const recipe = button("recipe", "Recipe", () => this.#copy(recipe), { title: "Copy the recipe" });
      tools.push(recipe);
    }
    tools.push(button("delete", "Delete", () => actions.remove(this), { class: "tool quiet" }));
    return el("div", { class: "tools", role: "group", "aria-label": "What to do with it" }, ...tools);
  }

  #variations() {
    const { settings } = this.job;
    const item = (name, from, by, how) => ({
      words: `${name} ${words.number(from)} → ${words.number(from + by)}`,
      choose: () => this.actions.again(this.job, how),
    });
    return [
      ...settings.loras.flatMap(({ name, scale }) => [0.1, -0.1].map((by) => item(name, scale, by, { kind: "lora", name, by }))),
      ...[0.5, -0.5].filter((by) => settings.guidance + by >= 0).map((by) => item("Guidance", settings.guidance, by, { kind: "guidance", by })),
    ];
  }

  async #copy(button) {
    const label = button.querySelector("span");
    const copied = await this.actions.copy(this.job);
    label.textContent = copied ? "Copied" : "Not copied";
    button.classList.toggle("good", copied);
    setTimeout(() => {
      label.textContent = "Recipe";
      button.classList.remove("good");
    }, 2000);
  }
}

const phrases = (list) => list.map((phrase) => el("span", { text: phrase }));

/** The mount around 1 to 4 pictures of one shape; what `extra` is stands under them. */
function mat(places, ratio, extra = null) {
  const prints = el("div", { class: "prints", "data-count": places.length }, ...places);
  const mount = el("div", { class: "mat", "data-count": places.length, "data-shape": ratio < 0.9 ? "tall" : "wide" }, prints, extra);
  mount.style.setProperty("--ratio", ratio);
  return mount;
}
