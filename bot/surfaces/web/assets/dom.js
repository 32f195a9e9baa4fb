// Elements are made from data here, and only as text and attributes: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. `text` is its text, `on` its listeners; other properties are attributes, left
 * out when null or false. Children are nodes; null ones are skipped. */
export function el(tag, { text, on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An icon of the sprite in index.html; only an ornament, so unseen by screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon and words. */
export function button(name, words, onclick, attributes = {}) {
  const label = el("span", { text: words });
  return el("button", { type: "button", class: "tool", on: { click: onclick }, ...attributes }, icon(name), label);
}

/** The element with this id in index.html. */
export const byId = (id) => document.getElementById(id);

/** Dialogs close by their close button and by a click beside them; Escape is the browser's. */
export function closable(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}
