// One picture large. Arrow keys go through all pictures that are loaded, in order.

import { byId, closable, el } from "/assets/dom.js";
import { veil } from "/assets/picture.js";
import { hidden, settings } from "/assets/words.js";

export class Lightbox {
  #at = 0;
  #dialog = byId("lightbox");
  #prints = [];

  constructor() {
    closable(this.#dialog);
    byId("lightbox-back").addEventListener("click", () => this.#turn(-1));
    byId("lightbox-next").addEventListener("click", () => this.#turn(1));
    this.#dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      const end = { Home: 0, End: this.#prints.length - 1 }[event.key];
      if (step === undefined && end === undefined) return;
      event.preventDefault();
      this.#turn(end === undefined ? step : end - this.#at);
    });
    this.#swipe();
    this.#dialog.addEventListener("close", () => {
      byId("lightbox-stage").replaceChildren();
      this.#prints[this.#at]?.print.focus();
      this.#prints = [];
    });
  }

  /** `prints` are `{card, print}`; the one to begin with is `print`. */
  open(prints, print) {
    this.#prints = prints;
    this.#at = prints.findIndex((one) => one.print === print);
    this.#show();
    this.#dialog.showModal();
    byId("lightbox-stage").focus();
  }

  #turn(by) {
    const to = this.#at + by;
    if (to < 0 || to >= this.#prints.length) return;
    this.#at = to;
    this.#show();
  }

  #show() {
    const { card, print } = this.#prints[this.#at];
    const { picture } = print;
    const image = el("img", { src: picture.url, alt: print.veiled ? "" : picture.alt, draggable: "false" });
    image.width = picture.width;
    image.height = picture.height;
    const frame = el("div", { class: "large" }, image);
    frame.style.setProperty("--ratio", picture.width / picture.height);
    if (print.veiled) {
      frame.append(veil(frame, `Hidden: ${hidden(picture.verdict)}`, () => {
        print.reveal();
        this.#show();
        byId("lightbox-stage").focus();
      }));
    }
    byId("lightbox-stage").replaceChildren(frame);
    const download = byId("lightbox-download");
    download.href = picture.download;
    download.hidden = print.veiled;
    byId("lightbox-place").textContent = `${this.#at + 1} of ${this.#prints.length}`;
    const exact = { ...card.job, pictures: [picture], settings: { ...card.job.settings, seed: picture.seed } };
    byId("lightbox-caption").replaceChildren(
      el("span", { class: "prompt", text: card.job.prompt }),
      el("span", { class: "line" }, ...settings(exact).map((phrase) => el("span", { text: phrase }))),
    );
    // Disabled, a button loses the focus; so they stay enabled and say that they lead nowhere.
    byId("lightbox-back").setAttribute("aria-disabled", this.#at === 0);
    byId("lightbox-next").setAttribute("aria-disabled", this.#at === this.#prints.length - 1);
  }

  #swipe() {
    const stage = byId("lightbox-stage");
    let from = null;
    stage.addEventListener("pointerdown", (event) => (from = event.pointerType === "touch" ? event.clientX : null));
    stage.addEventListener("pointerup", (event) => {
      if (from !== null && Math.abs(event.clientX - from) > 40) this.#turn(event.clientX < from ? 1 : -1);
      from = null;
    });
  }
}
