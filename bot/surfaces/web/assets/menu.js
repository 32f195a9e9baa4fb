// A button that opens a menu, by the pattern of the ARIA Authoring Practices.

import { el, icon } from "/assets/dom.js";

/** `items()` gives `[{words, choose}]` each time the menu opens. */
export function menuButton(name, words, items) {
  const list = el("div", { role: "menu", class: "menu", "aria-label": words, hidden: true });
  const opener = el(
    "button",
    { type: "button", class: "tool", "aria-haspopup": "menu", "aria-expanded": "false" },
    icon(name),
    el("span", { text: words }),
    icon("more"),
  );
  const whole = el("div", { class: "menu-button" }, opener, list);

  function open(last = false) {
    list.replaceChildren(
      ...items().map(({ words: label, choose }) =>
        el("button", { type: "button", role: "menuitem", tabindex: "-1", text: label, on: { click: () => { close(true); choose(); } } }),
      ),
    );
    list.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    const { top } = opener.getBoundingClientRect();
    list.classList.toggle("above", top > innerHeight / 2);
    (last ? list.lastElementChild : list.firstElementChild).focus();
    document.addEventListener("pointerdown", outside);
  }

  function close(refocus) {
    if (list.hidden) return;
    if (refocus) opener.focus();
    list.hidden = true;
    list.replaceChildren();
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
  }

  const outside = (event) => whole.contains(event.target) || close(false);

  opener.addEventListener("click", () => (list.hidden ? open() : close(true)));
  whole.addEventListener("focusout", (event) => whole.contains(event.relatedTarget) || close(false));
  whole.addEventListener("keydown", (event) => {
    if (list.hidden) {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      open(event.key === "ArrowUp");
    } else {
      const entries = [...list.children];
      const at = entries.indexOf(document.activeElement);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
      if (to !== undefined) entries.at(to % entries.length).focus();
      else if (event.key === "Escape") close(true);
      else return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  return whole;
}
