// What is running, what to try and how to go on: on the first visit, and later behind “Connect”.

import { byId, closable, el } from "/assets/dom.js";

/** Fill in the server's status; `choose(example)` is told which example was clicked. */
export function introduce(status, choose) {
  byId("running").textContent = status.sentence;
  for (const id of ["lede", "about-lede"]) byId(id).textContent = status.sentence;
  for (const id of ["steps", "about-steps"]) {
    byId(id).replaceChildren(
      ...status.next_steps.map(({ title, text }) => el("div", {}, el("dt", { text: title }), el("dd", {}, ...settings(text)))),
    );
  }
  byId("about-version").textContent = `Version ${status.version}`;
  byId("examples").replaceChildren(
    ...status.examples.map((example) =>
      el("li", {}, el("button", { type: "button", class: "example", on: { click: () => choose(example) } }, ...words(example))),
    ),
  );
}

/** The button for what the welcome says. */
export function help() {
  const dialog = byId("about");
  closable(dialog);
  byId("help").addEventListener("click", () => dialog.showModal());
}

// A browser would break a line after the dashes of a flag.
function words(example) {
  return example.split(/(--\S+)/).map((part, index) => (index % 2 ? el("span", { class: "whole", text: part }) : part));
}

// Names of settings, such as DISCORD_TOKEN=…, stand out as what is typed.
function settings(text) {
  return text.split(/(\b[A-Z][A-Z0-9]*_[A-Z0-9_]+(?:=[^\s;,]+)?)/).map((part, index) => (index % 2 ? el("code", { text: part }) : part));
}
