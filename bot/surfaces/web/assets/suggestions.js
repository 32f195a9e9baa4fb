// What may stand where the caret is. Pure: text, caret and vocabulary in, suggestions out.

const DASHES = "(?:--|[–—])";
const NAME = new RegExp(`(?:^|\\s)(${DASHES}([a-z][a-z-]*|))$`, "i");
const VALUE = new RegExp(`(?:^|\\s)${DASHES}([a-z][a-z-]*)(?:\\s+|\\s*[=:]\\s*)(\\S*)$`, "i");
const TAG = /<lora:([^<>:]*)$/i;

const COMMON = {
  ar: ["1:1", "4:3", "3:2", "16:9", "3:4", "2:3", "9:16"],
  images: ["1", "2", "3", "4"],
  steps: ["12", "20", "28", "40"],
  guidance: ["2.5", "3.5", "5"],
};
const SCALES = ["0.4", "0.6", "0.8", "1", "1.2"];

/** Returns `{from, to, items: [{words, insert, help}]}`, or null when nothing fits. `from` and `to`
 * bound the text that an item's `insert` replaces. `presets` answers with those that a text finds. */
export function suggest(text, caret, { flags, loras, presets }) {
  const before = text.slice(0, caret);
  const found =
    command(before) ?? tag(before, loras) ?? (quoted(before) ? null : (value(before, flags, loras, presets) ?? name(before, text, flags)));
  return found?.items.length ? { ...found, to: caret } : null;
}

function command(before) {
  if (!/^\/[a-z]*$/i.test(before) || !"/imagine".startsWith(before.toLowerCase())) return null;
  return { from: 0, items: [{ words: "/imagine", insert: "/imagine ", help: "draws; plain words do too" }] };
}

function tag(before, loras) {
  const match = TAG.exec(before);
  if (!match) return null;
  const items = like(loras.map((lora) => lora.name), match[1]).map((name) => ({ words: name, insert: `${name}:0.8>`, help: about(loras, name) }));
  return { from: before.length - match[1].length, items };
}

const quoted = (before) => (before.match(/"/g)?.length ?? 0) % 2 === 1;

function value(before, flags, loras, presets) {
  const match = VALUE.exec(before);
  const flag = match && flags.find((one) => one.name === match[1].toLowerCase() || one.aliases.includes(match[1].toLowerCase()));
  if (!flag || flag.kind === "switch") return null;
  const from = before.length - match[2].length;
  if (flag.kind === "loras") return lora(match[2], from, loras);
  if (flag.name === "preset") return preset(match[2], from, presets);
  const values = flag.choices.length ? flag.choices : (COMMON[flag.name] ?? []);
  return { from, items: like(values, match[2]).map((one) => ({ words: one, insert: `${one} `, help: "" })) };
}

// A composition such as `dreamy+ink:0.6`: its last preset is being typed.
function preset(typed, from, presets) {
  const start = typed.lastIndexOf("+") + 1;
  const part = typed.slice(start);
  if (/:[\d.]*$/.test(part)) return null;
  const items = presets(part).map((one) => ({ words: one.name, insert: `${one.name} `, help: one.about }));
  return items.some((item) => item.words === part) && items.length === 1 ? null : { from: from + start, items };
}

// A list such as `glow:0.8,ink`: its last entry is being typed.
function lora(typed, from, loras) {
  const start = typed.lastIndexOf(",") + 1;
  const entry = typed.slice(start);
  const colon = entry.indexOf(":");
  const names = loras.map((one) => one.name);
  if (colon < 0) {
    return { from: from + start, items: like(names, entry).map((one) => ({ words: one, insert: `${one}:`, help: about(loras, one) })) };
  }
  if (!names.includes(entry.slice(0, colon))) return null;
  const items = like(SCALES, entry.slice(colon + 1)).map((one) => ({ words: one, insert: `${one} `, help: one === "1" ? "full weight" : "" }));
  return { from: from + start + colon + 1, items };
}

function name(before, text, flags) {
  const match = NAME.exec(before);
  if (!match) return null;
  const given = new Set([...text.matchAll(new RegExp(`${DASHES}([a-z]+)`, "gi"))].map((one) => one[1].toLowerCase()));
  const typed = match[2].toLowerCase();
  given.delete(typed);
  const free = flags.filter((flag) => flag.kind === "loras" || !given.has(flag.name));
  const items = free
    .filter((flag) => [flag.name, ...flag.aliases].some((one) => one.startsWith(typed)))
    .map((flag) => ({ words: `--${flag.name}`, insert: `--${flag.name} `, help: flag.help }));
  return { from: before.length - match[1].length, items };
}

const about = (loras, name) => loras.find((lora) => lora.name === name)?.about ?? "";

/** Those that begin with what was typed, then those that contain it; none when it is complete. */
function like(values, typed) {
  const wanted = typed.toLowerCase();
  const first = values.filter((one) => one.toLowerCase().startsWith(wanted));
  if (first.length === 1 && first[0].toLowerCase() === wanted) return [];
  return [...first, ...values.filter((one) => !first.includes(one) && one.toLowerCase().includes(wanted))];
}
