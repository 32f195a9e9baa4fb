// What a screen reader is told: milestones of jobs asked for here, never the steps between.

import { byId } from "/assets/dom.js";

let sentences = [];
let timer = null;

/** Say a sentence soon, together with others of the same moment. */
export function announce(sentence) {
  sentences.push(sentence);
  timer ??= setTimeout(() => {
    byId("announcer").textContent = sentences.length > 3 ? `${sentences.length} pieces of news: ${sentences.at(-1)}` : sentences.join(" ");
    sentences = [];
    timer = null;
  }, 400);
}
