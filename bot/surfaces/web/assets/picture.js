// One picture in its place: shown, veiled until clicked, or withheld.

import { button, el, icon } from "/assets/dom.js";
import { hidden } from "/assets/words.js";

/** Veil an element: a blur, and over it a button that says why. `lifted` is told when it goes. */
export function veil(element, reason, lifted) {
  element.classList.add("veiled");
  const cover = el(
    "button",
    { type: "button", class: "veil" },
    el("span", { class: "why", text: `${reason}.` }),
    el("span", { class: "show" }, icon("eye"), el("span", { text: "Show" })),
  );
  cover.addEventListener("click", () => {
    element.classList.remove("veiled");
    cover.remove();
    lifted();
  });
  return cover;
}

/** The place of a picture that is still being drawn; empty until a preview comes. */
export class Draft {
  #cover = null;
  #image = null;
  #lifted = false;

  constructor() {
    this.element = el("div", { class: "print empty" });
  }

  show(preview, treatment) {
    if (!preview) return;
    if (this.#image === null) {
      this.#image = el("img", { alt: "Live preview", draggable: "false", decoding: "async" });
      this.element.classList.remove("empty");
      this.element.append(this.#image);
    }
    this.#image.src = preview;
    if (treatment !== "spoiler" || this.#lifted || this.#cover) return;
    this.#image.setAttribute("aria-hidden", "true");
    this.#cover = veil(this.element, "Live preview, not checked yet", () => {
      this.#lifted = true;
      this.#image.removeAttribute("aria-hidden");
    });
    this.element.append(this.#cover);
  }
}

/** A finished picture. `actions` has `enlarge(print)` and `refresh()`, which asks for new links. */
export class Print {
  revealed = false;
  #image = null;
  #open = null;
  #download = null;
  #renewed = false;

  constructor(picture, label, actions) {
    this.picture = picture;
    this.label = label;
    this.actions = actions;
    this.element = el("figure", { class: "print" });
    if (picture.treatment === "withhold") this.#withhold();
    else this.#hang();
  }

  get veiled() {
    return this.picture.treatment === "spoiler" && !this.revealed;
  }

  /** Take over new links to the same picture. */
  update(picture) {
    this.picture = picture;
    if (this.#download && picture.download) this.#download.href = picture.download;
  }

  /** Use the new links also for the picture itself, whose old one has expired. */
  renew() {
    if (this.#image && this.#renewed) this.#image.src = this.picture.url;
  }

  focus() {
    (this.element.querySelector(".veil") ?? this.#open)?.focus();
  }

  reveal() {
    this.element.querySelector(".veil")?.click();
  }

  #withhold() {
    this.element.classList.add("withheld");
    this.element.append(el("p", { text: `Withheld: ${hidden(this.picture.verdict)}.` }));
  }

  #hang() {
    const { url, download, width, height, alt } = this.picture;
    this.#image = el("img", { src: url, width, height, alt, decoding: "async", loading: "lazy", draggable: "false" });
    this.#image.addEventListener("error", () => {
      if (this.#renewed) return;
      this.#renewed = true;
      this.actions.refresh();
    });
    this.#open = el(
      "button",
      { type: "button", class: "enlarge", "aria-label": `Enlarge ${this.label}: ${alt}`, on: { click: () => this.actions.enlarge(this) } },
      this.#image,
    );
    this.#download = el(
      "a",
      { class: "tool", href: download, download: true, title: "Download with recipe" },
      icon("download"),
      el("span", { class: "unseen", text: `Download ${this.label} with recipe` }),
    );
    this.corner = el("div", { class: "corner" }, this.#download);
    this.element.append(this.#open, this.corner);
    if (this.veiled) this.#veil();
  }

  #veil() {
    this.revealed = false;
    this.#open.inert = true;
    this.corner.inert = true;
    const cover = veil(this.element, `Hidden: ${hidden(this.picture.verdict)}`, () => {
      this.revealed = true;
      this.#open.inert = false;
      this.corner.inert = false;
      this.#open.focus({ preventScroll: true });
      const hide = button("hide", "Hide", () => {
        hide.remove();
        this.#veil();
        this.focus();
      });
      this.corner.prepend(hide);
    });
    this.element.append(cover);
  }
}
