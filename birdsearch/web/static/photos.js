// @ts-check
/** The page of photos: the filter in the address, the grid, what is done with a selection, the photo over the grid. */
import { html, render } from "./vendor/lit-html.js";
import { decided, get, octets } from "./api.js";
import { Grid, TALLEST } from "./grid.js";
import { keys } from "./keys.js";
import { askLabel } from "./label.js";
import { complete, counted } from "./parts.js";
import { say } from "./undo.js";
import { Viewer, idOf } from "./viewer.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("filter"));
const count = /** @type {HTMLElement} */ (document.getElementById("count"));
const chosen = /** @type {HTMLElement} */ (document.getElementById("chosen"));
const sections = /** @type {HTMLElement} */ (document.getElementById("sections"));
const section = /** @type {HTMLSelectElement} */ (document.getElementById("section"));
let asked = ""; // the query that the grid shows, without the place
let ids = new Uint32Array(); // all that fit
let loading = new AbortController();

const grid = new Grid(/** @type {HTMLUListElement} */ (document.getElementById("grid")), {
  label: "Photos", remembers: true, open: (id) => viewer.open(id), changed: showChosen,
  stale: () => (say("Photos have left the index: these are the others."), load()),
});
const viewer = new Viewer(/** @type {HTMLDialogElement} */ (document.getElementById("viewer")), {
  ids: () => grid.ids, query: () => (asked ? `?${asked}` : ""), moved: (id) => grid.go(id), closed: () => grid.focus(),
  labelled: (labelled, species) => (species === null ? grid.renew(labelled) : assume(labelled, species)),
});

/** The query of the address, without the place in the grid. */
function query() {
  const fields = new URLSearchParams(location.search);
  fields.delete("at");
  return fields;
}

/** Show the photos that the address asks for. */
async function load() {
  const fields = query();
  asked = fields.toString();
  const params = Object.fromEntries([...new Set(fields.keys())].map((name) => [name, fields.getAll(name)]));
  const at = Number(new URLSearchParams(location.search).get("at")) || null;
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  await decided(); // also what was said on the page before, which a reload may have overtaken
  ids = new Uint32Array(await octets("/photos/ids", params, signal));
  const parts = ids.length > TALLEST ? await divide(ids, String(params.order ?? "newest"), signal) : [];
  sections.hidden = !parts.length;
  render(parts.map(({ words, first, last }) => html`<option value="${first},${last}">${words} (${(last - first).toLocaleString("en")})</option>`), section);
  const [first, last] = parts.length ? partOf(parts, Math.max(0, ids.indexOf(at ?? 0))) : [0, ids.length];
  section.value = `${first},${last}`;
  grid.show(ids.subarray(first, last), at ?? ids[first]);
  document.body.dataset.loaded = "yes";
}

/** @param {{first: number, last: number}[]} parts @param {number} position */
const partOf = (parts, position) => {
  const part = parts.find(({ last }) => position < last) ?? parts[0];
  return [part.first, part.last];
};

/** Where each month begins in photos that are in order of time; parts of 100,000 in any other order.
 *  @param {Uint32Array} ids @param {string} order @param {AbortSignal} signal @returns {Promise<{words: string, first: number, last: number}[]>} */
async function divide(ids, order, signal) {
  const parts = order === "newest" || order === "oldest" ? await months(ids, signal) : [];
  if (parts.length && parts.every(({ first, last }) => last - first <= TALLEST)) return parts;
  return Array.from({ length: Math.ceil(ids.length / 100_000) }, (_, number) => {
    const [first, last] = [number * 100_000, Math.min(ids.length, (number + 1) * 100_000)];
    return { words: `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")}`, first, last };
  });
}

/** Asks for the times of evenly spread photos, then between two neighbours of different months, until all borders are known.
 *  @param {Uint32Array} ids @param {AbortSignal} signal */
async function months(ids, signal) {
  /** @type {Map<number, string>} position -> month */
  const known = new Map();
  const look = async (/** @type {number[]} */ positions) => {
    const { photos } = await get("/photos", { ids: positions.map((position) => ids[position]) }, signal);
    photos.forEach((/** @type {any} */ photo, /** @type {number} */ number) => known.set(positions[number], (photo.taken_at ?? "").slice(0, 7)));
  };
  const spread = (/** @type {number} */ first, /** @type {number} */ last, /** @type {number} */ most) =>
    Array.from({ length: Math.min(most, last - first + 1) }, (_, number, of = Math.min(most, last - first + 1)) => first + Math.round((number * (last - first)) / Math.max(1, of - 1)));
  await look(spread(0, ids.length - 1, 200));
  for (;;) {
    const positions = [...known.keys()].sort((a, b) => a - b);
    const open = positions.slice(1).flatMap((last, number) => {
      const first = positions[number];
      return known.get(first) !== known.get(last) && last - first > 1 ? [[first + 1, last - 1]] : [];
    });
    if (!open.length) {
      const starts = positions.filter((position, number) => known.get(position) !== known.get(positions[number - 1]));
      return starts.map((first, number) => ({ words: known.get(first) || "without a date", first, last: starts[number + 1] ?? ids.length }));
    }
    const each = Math.max(1, Math.floor(200 / open.length));
    const wanted = open.flatMap(([first, last]) => spread(first, last, each));
    for (let start = 0; start < wanted.length; start += 200) await look(wanted.slice(start, start + 200));
  }
}

function showChosen() {
  const selected = grid.selected.size;
  count.textContent = selected ? `${selected.toLocaleString("en")} of ${counted(ids.length, "photo")} selected` : ids.length ? counted(ids.length, "photo") : "No photo fits.";
  chosen.hidden = !selected;
}

/** @param {number[]} labelled @param {string} species */
const assume = (labelled, species) => grid.assume(labelled, { species, label: species, species_source: "label" });

/** The photos that are selected, or the current one. */
const targets = () => (grid.selected.size ? [...grid.selected] : grid.current ? [grid.current] : []);

function labelChosen() {
  const labelled = targets();
  if (!labelled.length || !document.getElementById("do-label")) return;
  askLabel({
    ids: labelled,
    soon: (species) => species !== null && assume(labelled, species),
    done: () => (grid.renew(labelled), grid.cell(labelled[0])?.querySelector("a") ?? undefined),
  });
}

const findSimilar = () => grid.current && (grid.remember(), location.assign(`/ask?photo=${[...grid.selected].at(-1) ?? grid.current}`));

keys(document.body, { l: ["label what is selected", labelChosen], s: ["find similar", findSimilar] }, "Photos");
document.getElementById("do-label")?.addEventListener("click", labelChosen);
document.getElementById("do-similar")?.addEventListener("click", findSimilar);
document.getElementById("do-none")?.addEventListener("click", () => (grid.select([...grid.selected], false), grid.focus()));
section.addEventListener("change", () => {
  const [first, last] = section.value.split(",").map(Number);
  grid.show(ids.subarray(first, last), ids[first]);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value.trim() && !(name === "order" && value === "newest")) fields.append(name, value.trim());
  }
  grid.remember();
  history.pushState(null, "", fields.size ? `/photos?${fields}` : "/photos");
  load();
});
document.getElementById("f-order")?.addEventListener("change", () => form.requestSubmit());
for (const field of form.querySelectorAll("[data-names]")) complete(/** @type {HTMLInputElement} */ (field), { own: true });

addEventListener("popstate", () => {
  const id = idOf(location.pathname);
  if (id) return viewer.open(id, true);
  if (viewer.dialog.open) viewer.dialog.close();
  if (query().toString() === asked) return grid.remember();
  for (const field of /** @type {Iterable<HTMLInputElement | HTMLSelectElement>} */ (form.querySelectorAll("input, select"))) {
    field.value = query().get(field.name) ?? (field.name === "order" ? "newest" : "");
  }
  load();
});

load();
