// Puts the page together.

import { announce } from "/assets/announcer.js";
import { ask, Refused } from "/assets/api.js";
import { Composer } from "/assets/composer.js";
import { byId } from "/assets/dom.js";
import { lock, locked } from "/assets/gate.js";
import { Lightbox } from "/assets/lightbox.js";
import { live } from "/assets/live.js";
import { Timeline } from "/assets/timeline.js";
import { upload } from "/assets/upload.js";
import { help, introduce } from "/assets/welcome.js";

const PATIENCE = 1500;

let silence = null;

const lightbox = new Lightbox();
const composer = new Composer((job) => {
  timeline.own(job.id);
  timeline.change([job]);
  timeline.stick();
});
const timeline = new Timeline(
  {
    again: (job, how) => composer.derive(job, how),
    edit: (job) => composer.fill(job.command),
    enlarge: (card, print) => lightbox.open(timeline.prints(), print),
    cancel,
    copy,
  },
  (id) => forget(id),
  (empty) => (byId("welcome").hidden = !empty),
);
const forget = live(receive);

addEventListener("atelier:locked", lock);
upload(composer);
help();
start();

function receive({ state, reason, hello, jobs, gone }) {
  if (state === "locked") lock();
  else if (locked() && state === "open") location.reload();
  connection(state, reason);
  for (const id of gone) timeline.gone(id);
  if (hello) timeline.hello(hello);
  timeline.change(jobs);
}

// A short break is nobody's concern.
function connection(state, reason) {
  clearTimeout(silence);
  const say = (sentence) => (byId("connection").textContent = sentence);
  if (state === "lost") silence = setTimeout(say, PATIENCE, "The connection is lost. Reconnecting…");
  else say(state === "refused" ? reason : "");
}

async function start() {
  try {
    const status = await ask("GET", "/api/status");
    composer.vocabulary = { flags: status.flags, loras: status.loras };
    introduce(status, (example) => {
      composer.fill(example);
      composer.send();
    });
    if (matchMedia("(pointer: fine)").matches && !locked()) composer.focus();
  } catch (error) {
    if (!(error instanceof Refused)) setTimeout(start, 2000);
  }
}

async function cancel(card) {
  card.cancelling(true);
  try {
    timeline.change([await ask("POST", `/api/jobs/${card.job.id}/cancel`)]);
  } catch (error) {
    card.cancelling(false);
    composer.complain(error instanceof Refused ? error.message : "No connection; the picture goes on being drawn.");
  }
}

async function copy(job) {
  const text = job.recipe ? JSON.stringify(job.recipe, null, 2) : job.command;
  const copied = await write(text);
  announce(copied ? "Copied." : "The browser did not allow copying.");
  return copied;
}

// Over plain http from afar there is no clipboard to write to, only the old way.
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const field = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return copied;
  }
}

// “/” leads to the message field from anywhere that is not itself a field.
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, dialog")) return;
  event.preventDefault();
  composer.focus();
});

// What is focused must not lie under the bars at the top and bottom.
new ResizeObserver(() => {
  document.documentElement.style.setProperty("--dock", `${byId("dock").offsetHeight}px`);
}).observe(byId("dock"));
