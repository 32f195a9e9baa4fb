// The form that asks for the token, over everything else.

import { ask, Refused } from "/assets/api.js";
import { byId } from "/assets/dom.js";

let shut = false;

/** Ask for the token; the page starts anew with it. */
export function lock() {
  if (shut) return;
  shut = true;
  const dialog = byId("gate");
  const error = byId("gate-error");
  const token = byId("token");
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  document.body.classList.add("locked");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  // Chromium lets a second Escape through all the same.
  dialog.addEventListener("close", () => dialog.showModal());
  byId("gate-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    try {
      await ask("POST", "/api/session", { body: JSON.stringify({ token: token.value.trim() }), type: "application/json" });
      location.reload();
    } catch (refusal) {
      error.textContent = refusal instanceof Refused ? refusal.message : "Atelier cannot be reached; try again in a moment.";
      token.setAttribute("aria-invalid", "true");
      token.select();
    }
  });
  dialog.showModal();
  token.focus();
}

export const locked = () => shut;
