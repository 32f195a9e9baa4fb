// The message field: text that is never lost, suggestions, recall, and what the server says to it.

import { ask, insist, Refused, uuid } from "/assets/api.js";
import { button, byId, el } from "/assets/dom.js";
import { suggest } from "/assets/suggestions.js";

const REMEMBERED = 50;
const KNOWN_SEARCHES = 200;

/** `accepted(job)` is told of each new job. */
export class Composer {
  vocabulary = { flags: [], loras: [] };
  #accepted;
  #searches = new Map();
  #at = null;
  #closed = false;
  #field = byId("words");
  #found = null;
  #list = byId("suggestions");
  #notice = byId("notice");
  #pending = new Set();
  #problem = byId("problem");
  #recalled = null;
  #sent = stored(localStorage, "atelier.sent", []);

  constructor(accepted) {
    this.#accepted = accepted;
    const draft = stored(sessionStorage, "atelier.draft", null);
    if (draft) this.#field.value = draft.text;
    this.#grow();
    const field = this.#field;
    field.addEventListener("input", () => this.#typed());
    field.addEventListener("keydown", (event) => event.isComposing || this.#key(event));
    field.addEventListener("click", () => this.#suggest());
    field.addEventListener("blur", (event) => event.relatedTarget === this.#list || this.#close());
    byId("dock").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("options").addEventListener("click", () => this.#offer());
    // It scrolls, so it can be focused; but its keys are the field's.
    this.#list.addEventListener("focus", () => field.focus());
    // A click on a suggestion would take the focus, and with it the list, away.
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#accept(Number(option.dataset.index));
    });
    this.#ready();
  }

  get text() {
    return this.#field.value.trim();
  }

  focus() {
    this.#field.focus();
  }

  /** Put a command here. What stood here can be recalled. */
  fill(command, notice = "") {
    if (this.text && this.text !== command) this.#remember(this.text);
    this.#write(command);
    this.clear();
    if (notice) this.#notice.textContent = notice;
    this.#field.focus();
    this.#field.setSelectionRange(command.length, command.length);
  }

  /** Say something about the field, such as that a picture is being read. */
  note(sentence) {
    this.clear();
    this.#notice.textContent = sentence;
  }

  /** Show what went wrong, with the command that would work as a button. */
  complain(sentence, corrected = null) {
    this.clear();
    this.#problem.append(el("p", { text: sentence }));
    if (corrected) {
      const use = button("send", corrected, () => {
        this.fill(corrected);
        this.send();
      });
      use.setAttribute("aria-label", `Draw this instead: ${corrected}`);
      this.#problem.append(use);
    }
  }

  clear() {
    this.#problem.replaceChildren();
    this.#notice.replaceChildren();
    this.#field.removeAttribute("aria-invalid");
  }

  /** Send what stands here. It stays until the server has it. */
  async send() {
    const { text } = this;
    this.#close();
    if (!text) return this.#field.focus();
    if (this.#pending.has(text)) return undefined;
    this.clear();
    this.#pending.add(text);
    this.#ready();
    const draft = stored(sessionStorage, "atelier.draft", null);
    const id = draft?.text === text && draft.id ? draft.id : uuid();
    keep(sessionStorage, "atelier.draft", { text, id });
    try {
      const job = await insist("/api/imagine", { text, id }, () => this.#wait(text));
      this.#notice.replaceChildren();
      this.#remember(text);
      if (this.text === text) this.#write("");
      this.#accepted(job);
    } catch (error) {
      if (error instanceof Refused && error.status !== 401) this.#refused(text, error);
    } finally {
      this.#pending.delete(text);
      this.#ready();
    }
    return undefined;
  }

  /** The same for a job made from another one. */
  async derive(job, how) {
    this.clear();
    try {
      const path = `/api/jobs/${job.id}/again`;
      this.#accepted(await insist(path, { how, id: uuid() }, () => this.#lost("It goes out when Atelier is back.")));
      this.#notice.replaceChildren();
    } catch (error) {
      if (error instanceof Refused && error.status !== 401) this.complain(error.message, error.corrected);
    }
  }

  #refused(text, error) {
    this.#remember(text);
    if (!this.text) this.#write(text);
    this.complain(error.message, error.corrected);
    if (this.text === text) this.#field.setAttribute("aria-invalid", "true");
    this.#field.focus();
  }

  // Waits as long as the text stands here: to take it back, change it.
  #wait(text) {
    if (this.text !== text) {
      this.#notice.replaceChildren();
      return false;
    }
    return this.#lost("What you wrote is kept and goes out when Atelier is back; change it to stop that.");
  }

  #lost(sentence) {
    const said = `No connection. ${sentence}`;
    if (this.#notice.textContent !== said) this.#notice.textContent = said;
    return true;
  }

  #ready() {
    const send = byId("send");
    const busy = this.#pending.has(this.text);
    send.classList.toggle("busy", busy);
    send.setAttribute("aria-disabled", busy || !this.text);
  }

  // --- Text ---

  #write(text) {
    this.#field.value = text;
    this.#recalled = null;
    this.#changed();
  }

  #typed() {
    this.#closed = false;
    this.#recalled = null;
    this.#changed();
    this.#suggest();
  }

  #changed() {
    this.#grow();
    this.#ready();
    const draft = stored(sessionStorage, "atelier.draft", null);
    const { text } = this;
    keep(sessionStorage, "atelier.draft", draft?.text === text ? draft : text ? { text } : null);
  }

  #grow() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }

  #remember(text) {
    this.#sent = [...this.#sent.filter((one) => one !== text), text].slice(-REMEMBERED);
    keep(localStorage, "atelier.sent", this.#sent);
  }

  #recall(by) {
    const at = (this.#recalled ?? this.#sent.length) + by;
    if (at < 0 || at > this.#sent.length) return;
    this.#write(this.#sent[at] ?? "");
    this.#recalled = at < this.#sent.length ? at : null;
    this.#closed = true;
    const end = this.#field.value.length;
    this.#field.setSelectionRange(end, end);
  }

  #key(event) {
    const { key, shiftKey: shift } = event;
    const open = this.#found !== null;
    const count = this.#found?.items.length;
    const bare = !(shift || event.ctrlKey || event.metaKey || event.altKey);
    if (open && bare && (key === "ArrowDown" || key === "ArrowUp")) {
      const from = this.#at ?? (key === "ArrowDown" ? -1 : count);
      this.#mark((from + (key === "ArrowDown" ? 1 : -1) + count) % count);
    } else if (open && bare && key === "Tab") this.#accept(this.#at ?? 0);
    else if (open && bare && key === "Enter" && this.#at !== null) this.#accept(this.#at);
    else if (open && key === "Escape") {
      this.#closed = true;
      this.#close();
    } else if (key === "Escape") return this.clear();
    else if (key === "Enter" && !shift) this.send();
    else if (bare && key === "ArrowUp" && (!this.#field.value || this.#recalled !== null)) this.#recall(-1);
    else if (bare && key === "ArrowDown" && this.#recalled !== null) this.#recall(1);
    else return undefined;
    return event.preventDefault();
  }

  // --- Suggestions ---

  // The button for options: what typing two dashes would do.
  #offer() {
    const before = this.#field.value.replace(/\s*(--)?$/, "");
    this.#field.focus();
    this.#write(`${before} --`.trimStart());
    this.#field.setSelectionRange(this.#field.value.length, this.#field.value.length);
    this.#closed = false;
    this.#suggest();
  }

  /** The presets that a text finds, as far as they are known; the others are asked for. */
  #presets(text) {
    if (!this.#searches.has(text)) {
      if (this.#searches.size >= KNOWN_SEARCHES) this.#searches.clear();
      this.#searches.set(text, this.#guess(text));
      ask("GET", `/api/presets?q=${encodeURIComponent(text)}`).then(
        (found) => {
          this.#searches.set(text, found);
          if (document.activeElement === this.#field) this.#suggest();
        },
        () => this.#searches.delete(text),
      );
    }
    return this.#searches.get(text);
  }

  /** What earlier searches let expect of one that is under way, so that the list does not flicker. */
  #guess(text) {
    for (let length = text.length - 1; length >= 0; length -= 1) {
      const known = this.#searches.get(text.slice(0, length));
      if (known) return known.filter((one) => one.name.includes(text.toLowerCase()));
    }
    return [];
  }

  #suggest() {
    const { selectionStart: start, selectionEnd: end, value } = this.#field;
    const vocabulary = { ...this.vocabulary, presets: (text) => this.#presets(text) };
    this.#found = start === end && !this.#closed ? suggest(value, start, vocabulary) : null;
    this.#at = null;
    this.#field.removeAttribute("aria-activedescendant");
    if (!this.#found) return this.#close();
    this.#list.replaceChildren(
      ...this.#found.items.map(({ words, help }, index) =>
        el(
          "li",
          { role: "option", id: `suggestion-${index}`, "data-index": index, "aria-selected": "false" },
          el("span", { class: "flag", text: words }),
          help ? el("span", { class: "help", text: help }) : null,
        ),
      ),
    );
    this.#list.hidden = false;
    this.#list.scrollTop = 0;
    return undefined;
  }

  #mark(index) {
    this.#list.children[this.#at]?.setAttribute("aria-selected", "false");
    this.#at = index;
    const option = this.#list.children[index];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    this.#field.setAttribute("aria-activedescendant", option.id);
  }

  #accept(index) {
    const { from, to, items } = this.#found;
    const { value } = this.#field;
    let { insert } = items[index];
    if (insert.endsWith(" ") && value[to] === " ") insert = insert.slice(0, -1);
    this.#field.setRangeText(insert, from, to, "end");
    this.#recalled = null;
    this.#closed = false;
    this.#changed();
    this.#suggest();
  }

  #close() {
    this.#found = null;
    this.#at = null;
    this.#list.hidden = true;
    this.#field.removeAttribute("aria-activedescendant");
  }
}

// Storage may be blocked or hold something else; then nothing is remembered.
function stored(storage, key, otherwise) {
  try {
    return JSON.parse(storage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
  } catch {
    // See above.
  }
}
