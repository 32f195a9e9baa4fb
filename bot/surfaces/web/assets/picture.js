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

// Previews out of sight are not drawn, so that many jobs at once do not cost each other's frames.
const drafts = new WeakMap();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) drafts.get(target)?.seen(isIntersecting);
});
const COARSE = 7;

/** The place of a picture that is still being drawn; empty until a preview comes. */
export class Draft {
  #canvas = el("canvas", { "aria-hidden": "true" });
  #cover = null;
  #image = el("img", { alt: "Live preview", draggable: "false", decoding: "async" });
  #latest = null;
  #lifted = false;
  #visible = false;

  constructor() {
    this.element = el("div", { class: "print empty" });
    drafts.set(this.element, this);
    sight.observe(this.element);
    this.#image.addEventListener("load", () => this.#canvas.isConnected && this.#blur());
  }

  seen(visible) {
    this.#visible = visible;
    if (visible && this.#latest) this.show(...this.#latest);
  }

  show(preview, treatment) {
    if (!preview) return;
    this.#latest = [preview, treatment];
    if (!this.#visible) return;
    this.element.classList.remove("empty");
    this.#image.src = preview;
    if (treatment !== "spoiler" || this.#lifted) {
      if (!this.#image.isConnected) this.element.prepend(this.#image);
    } else this.#cover ??= this.#veil();
  }

  #veil() {
    const cover = veil(this.element, "Live preview, not checked yet", () => {
      this.#lifted = true;
      this.#canvas.replaceWith(this.#image);
    });
    this.element.append(this.#canvas, cover);
    return cover;
  }

  // A few pixels spread out: a filter's blur over each new preview is too slow without a GPU.
  #blur() {
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    this.#canvas.width = COARSE;
    this.#canvas.height = Math.max(1, Math.round((COARSE * height) / width));
    const context = this.#canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#image, 0, 0, this.#canvas.width, this.#canvas.height);
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
