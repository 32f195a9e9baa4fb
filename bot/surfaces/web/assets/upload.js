// A picture that is dropped, pasted or picked: its recipe fills the message field.

import { ask, Refused } from "/assets/api.js";
import { byId } from "/assets/dom.js";

const LARGEST = 20 * 2 ** 20;
const SOURCES = { atelier: "Atelier", a1111: "A1111", comfyui: "ComfyUI" };

/** Listen on the whole page. */
export function upload(composer) {
  const target = byId("drop");
  const file = byId("file");
  let depth = 0;
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const over = (by) => (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + by);
    target.hidden = depth === 0;
  };
  addEventListener("dragenter", over(1));
  addEventListener("dragleave", over(-1));
  addEventListener("dragover", over(0));
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    target.hidden = true;
    read(composer, event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const picture = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!picture) return;
    event.preventDefault();
    read(composer, picture);
  });
  byId("pick").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    read(composer, file.files[0]);
    file.value = "";
  });
}

async function read(composer, picture) {
  if (!picture) return;
  if (!picture.type.startsWith("image/")) {
    composer.complain("That is not a picture; drop a PNG, JPEG or WebP file.");
    return;
  }
  if (picture.size > LARGEST) {
    composer.complain("That picture is larger than 20 MB; drop a smaller file.");
    return;
  }
  composer.note("Reading the recipe…");
  try {
    const { command, source } = await ask("POST", "/api/recipe", { body: picture, type: picture.type });
    composer.fill(command, `The recipe that ${SOURCES[source] ?? source} wrote into the picture. Enter draws it.`);
  } catch (error) {
    const lost = "The picture did not reach Atelier; try again when the connection is back.";
    composer.complain(error instanceof Refused ? error.message : lost, error.corrected);
  }
}
