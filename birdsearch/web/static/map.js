// @ts-check
/** The map of photos: pan, zoom, lasso, look at one, by mouse, finger and keys; and the list of the same photos. */
import KDBush from "./vendor/kdbush.js";
import { html, nothing, render } from "./vendor/lit-html.js";
import { address, decided, ended, octets } from "./api.js";
import { Grid } from "./grid.js";
import { showProgress } from "./job.js";
import { keys } from "./keys.js";
import { askLabel } from "./label.js";
import { counted } from "./parts.js";
import { FAINT, PLAIN, Points, STRONG, colour, palette } from "./points.js";

/** @template {Element} T @param {string} id @returns {T} */
const byId = (id) => /** @type {any} */ (document.getElementById(id));
const canvas = /** @type {HTMLCanvasElement} */ (byId("map"));
const [by, find, peek, line] = [/** @type {HTMLSelectElement} */ (byId("by")), /** @type {HTMLInputElement} */ (byId("find")), /** @type {HTMLElement} */ (byId("peek")), byId("line")];
const ring = /** @type {SVGCircleElement} */ (byId("ring"));
const dark = matchMedia("(prefers-color-scheme: dark)");
const PICK = 14; // pixels around the pointer in which a photo is looked for
const STEP = 18; // pixels that an arrow key goes at least
const LEGEND = 24; // names

/** @typedef {"species" | "cluster" | "camera"} Kind */
let total = 0;
let ids = new Uint32Array();
let places = new Float32Array();
/** @type {Record<Kind, Uint16Array>} */
const codes = { species: new Uint16Array(), cluster: new Uint16Array(), camera: new Uint16Array() };
/** @type {Record<Kind, string[]>} */
let names = { species: [], cluster: [], camera: [] };
/** @type {number[]} */
let medoids = [];
let tree = new KDBush(1);
let view = { x: 0, y: 0, scale: 1 };
let whole = view; // all photos in sight
let current = -1; // the photo that is looked at, as its position
/** @type {Uint8Array | null} */
let chosen = null; // of each photo whether it is
/** @type {Set<number>} */
const named = new Set(); // names that stand out, as their codes
let lassoing = false;
/** @type {[number, number][]} */
let drawn = []; // the line of the lasso, in units of the map

const points = new Points(canvas, () => draw());
const grid = new Grid(/** @type {HTMLUListElement} */ (byId("grid")), {
  label: "Photos of the map", remembers: true, changed: (/** @type {Grid} */ { current: id }) => grid.host.contains(document.activeElement) && look(ids.indexOf(id)),
});
const kind = () => /** @type {Kind} */ (by.value);

// What is there

/** @param {boolean} [fresh] */
async function load(fresh = false) {
  const params = new URLSearchParams(location.search);
  for (const own of ["by", "find", "view", "at"]) params.delete(own);
  if (fresh) params.set("fresh", "true");
  await decided(); // it has the colours of today's labels
  const answer = await octets(`/map?${params}`);
  if (new Uint8Array(answer)[0] === 0x7b) return wait(JSON.parse(new TextDecoder().decode(answer))); // "{": a job, as no length ends so
  take(answer);
}

/** @param {import("./job.js").Job} job */
async function wait(job) {
  const bar = /** @type {HTMLProgressElement} */ (byId("waiting").querySelector("progress"));
  byId("waiting").hidden = false;
  bar.hidden = false;
  byId("again").hidden = true;
  const { state } = await ended(job, (news) => showProgress(bar, byId("stage"), news));
  if (state === "done") return load();
  bar.hidden = true;
  byId("again").hidden = false;
}

/** @param {ArrayBuffer} answer as GET /map describes it */
function take(answer) {
  const length = new Uint32Array(answer, 0, 1)[0];
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(answer, 4, length)));
  ({ total, names, labels: medoids } = facts);
  let at = 4 + length;
  const column = (/** @type {any} */ type, /** @type {number} */ each) => {
    const values = new type(answer, at, total * each);
    at += values.byteLength;
    return values;
  };
  [ids, places] = [column(Uint32Array, 1), column(Float32Array, 2)];
  for (const name of /** @type {Kind[]} */ (["species", "cluster", "camera"])) codes[name] = column(Uint16Array, 1);
  tree = new KDBush(Math.max(total, 1), 64, Float32Array);
  for (let one = 0; one < total; one++) tree.add(places[2 * one], places[2 * one + 1]);
  if (!total) tree.add(0, 0);
  tree.finish();
  byId("waiting").hidden = true;
  byId("none").hidden = total > 0;
  byId("new").hidden = !facts.new;
  byId("new-count").textContent = `${counted(facts.new, "photo")} came after it was drawn.`;
  points.renew({ places });
  recolour();
  whole = around(Array.from({ length: total }, (_, one) => one));
  const [x, y, scale] = (new URLSearchParams(location.search).get("view") ?? "").split(",").map(Number);
  view = scale > 0 ? { x, y, scale } : whole;
  chosen = inside(history.state?.lasso ?? []);
  mark();
  listed(Number(new URLSearchParams(location.search).get("at")) || null);
  document.body.dataset.loaded = "yes";
}

function recolour() {
  points.renew({ codes: codes[kind()], palette: palette(names[kind()].length, dark.matches) });
  named.clear();
  drawLegend();
  mark();
}

/** Mark what stands out: what is chosen, else what has one of the names, else all. */
function mark() {
  const marks = new Uint8Array(total);
  const own = codes[kind()];
  const text = find.value.trim().toLowerCase();
  const fits = new Set(names.species.flatMap((name, code) => (text && name.toLowerCase().includes(text) ? [code] : [])));
  for (let one = 0; one < total; one++) {
    const out = (!named.size || named.has(own[one])) && (!text || fits.has(codes.species[one]));
    marks[one] = chosen ? (chosen[one] ? STRONG : FAINT) : out ? (named.size || text ? STRONG : PLAIN) : FAINT;
  }
  points.renew({ marks });
  draw();
}

// Where it is

/** @param {ArrayLike<number>} some positions @returns {typeof view} in which they are in sight */
function around(some) {
  const [least, most] = [[Infinity, Infinity], [-Infinity, -Infinity]];
  for (const one of /** @type {number[]} */ (some)) {
    for (const axis of [0, 1]) {
      least[axis] = Math.min(least[axis], places[2 * one + axis]);
      most[axis] = Math.max(most[axis], places[2 * one + axis]);
    }
  }
  if (!some.length) return { x: 0, y: 0, scale: 1 };
  const scales = [canvas.clientWidth, canvas.clientHeight].map((length, axis) => (length - 60) / Math.max(most[axis] - least[axis], 1e-6));
  return { x: (least[0] + most[0]) / 2, y: (least[1] + most[1]) / 2, scale: Math.min(...scales) };
}

/** @param {number} x @param {number} y units of the map @returns {[number, number]} pixels of the canvas */
const toPixels = (x, y) => [canvas.clientWidth / 2 + (x - view.x) * view.scale, canvas.clientHeight / 2 - (y - view.y) * view.scale];
/** @param {number} left @param {number} top @returns {[number, number]} */
const toUnits = (left, top) => [view.x + (left - canvas.clientWidth / 2) / view.scale, view.y - (top - canvas.clientHeight / 2) / view.scale];

/** The photos in sight, those nearest to the middle first. */
function inSight() {
  const [left, top] = toUnits(0, 0);
  const [right, bottom] = toUnits(canvas.clientWidth, canvas.clientHeight);
  const away = (/** @type {number} */ one) => (places[2 * one] - view.x) ** 2 + (places[2 * one + 1] - view.y) ** 2;
  return total ? tree.range(left, bottom, right, top).sort((a, b) => away(a) - away(b)) : [];
}

/** The photo at a place of the canvas; -1 for none. @param {number} left @param {number} top */
function at(left, top) {
  const [x, y] = toUnits(left, top);
  const away = (/** @type {number} */ one) => (places[2 * one] - x) ** 2 + (places[2 * one + 1] - y) ** 2;
  const near = total ? tree.within(x, y, PICK / view.scale) : [];
  return near.reduce((best, one) => (best < 0 || away(one) < away(best) ? one : best), -1);
}

/** The photos within a line. @param {[number, number][]} polygon @returns {Uint8Array | null} */
function inside(polygon) {
  if (polygon.length < 3) return null;
  const found = new Uint8Array(total);
  const [xs, ys] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
  for (const one of tree.range(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys))) {
    const [x, y] = [places[2 * one], places[2 * one + 1]];
    let within = false; // an odd number of borders to the right
    for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
      if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) within = !within;
    }
    if (within) found[one] = 1;
  }
  return found.includes(1) ? found : null;
}

/** @param {Partial<typeof view>} to */
function go(to) {
  view = { ...view, ...to };
  draw();
  settle();
}

/** The middle of the canvas, or the photo that is looked at. @returns {[number, number]} */
function middle() {
  const [left, top] = current >= 0 ? toPixels(places[2 * current], places[2 * current + 1]) : [-1, -1];
  const seen = left >= 0 && top >= 0 && left <= canvas.clientWidth && top <= canvas.clientHeight;
  return seen ? [left, top] : [canvas.clientWidth / 2, canvas.clientHeight / 2];
}

/** Zoom about a place of the canvas. @param {number} factor @param {[number, number]} [place] */
function zoom(factor, [left, top] = middle()) {
  const before = toUnits(left, top);
  view = { ...view, scale: Math.min(Math.max(view.scale * factor, whole.scale / 2), whole.scale * 400) };
  const after = toUnits(left, top);
  go({ x: view.x + before[0] - after[0], y: view.y + before[1] - after[1] });
}

// What is seen

let frame = 0;
function draw() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const room = Math.sqrt((canvas.clientWidth * canvas.clientHeight) / (total + 1)); // pixels from one photo to the next
    const size = Math.min(Math.max(0.33 * room * Math.sqrt(view.scale / whole.scale), 2.5), 14);
    points.draw(view, size);
    drawLabels();
    drawLook();
    line.setAttribute("points", drawn.map(([x, y]) => toPixels(x, y).join()).join(" "));
  });
}

const ruler = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
ruler.font = "600 12px system-ui, sans-serif";
/** @type {Map<string, number>} */
const widths = new Map();

/** The names of clusters at the photos that stand for them, the largest first, where there is room. */
function drawLabels() {
  /** @type {[number, number, number][]} */
  const taken = [];
  const shown = [];
  for (let cluster = 0; cluster < medoids.length && shown.length < 30 && byId("names").checked; cluster++) {
    if (medoids[cluster] < 0) continue;
    const [left, top] = toPixels(places[2 * medoids[cluster]], places[2 * medoids[cluster] + 1]);
    const text = names.cluster[cluster];
    if (!widths.has(text)) widths.set(text, ruler.measureText(text).width);
    const half = 8 + (widths.get(text) ?? 0) / 2;
    if (left < half || top < 26 || left > canvas.clientWidth - half || top > canvas.clientHeight) continue;
    if (taken.some(([x, y, w]) => Math.abs(x - left) < w + half && Math.abs(y - top) < 26)) continue;
    taken.push([left, top, half]);
    shown.push({ left, top, text });
  }
  byId("labels").replaceChildren(...shown.map(({ left, top, text }) => {
    const span = document.createElement("span");
    span.textContent = text;
    span.style.translate = `calc(${left}px - 50%) calc(${top}px - 120%)`;
    return span;
  }));
}

/** Look at a photo: it gets a ring, its picture and its name. @param {number} one @param {boolean} [says] */
function look(one, says = false) {
  current = one;
  if (one >= 0 && says) byId("said").textContent = `${title(one)}. Photo ${ids[one]}.`;
  drawLook();
}

/** @param {number} one */
const title = (one) => names.species[codes.species[one]] ?? "Species not known";

function drawLook() {
  const seen = current >= 0;
  peek.hidden = !seen;
  ring.setAttribute("visibility", seen ? "visible" : "hidden");
  if (!seen) return;
  const [left, top] = toPixels(places[2 * current], places[2 * current + 1]);
  ring.setAttribute("cx", String(left));
  ring.setAttribute("cy", String(top));
  const id = ids[current];
  render(
    html`<a href="/photos/${id}" tabindex="-1"><img src=${address(`/photos/${id}/thumbnail`, { size: 160 })} alt=""></a>
      <figcaption>${title(current)}${kind() === "camera" ? html`<small>${names.camera[codes.camera[current]] ?? "Camera not known"}</small>` : nothing}</figcaption>`,
    peek,
  );
  const [width, height] = [176, 170];
  const across = left + width + 20 > canvas.clientWidth ? left - width - 14 : left + 14;
  peek.style.translate = `${Math.max(4, across)}px ${Math.min(Math.max(4, top - height / 2), canvas.clientHeight - height - 4)}px`;
}

function drawLegend() {
  const own = names[kind()];
  const counts = new Uint32Array(own.length);
  for (const code of codes[kind()]) if (code < own.length) counts[code]++;
  const toggle = (/** @type {number} */ code) => {
    if (!named.delete(code)) named.add(code);
    chosen = null;
    drawLegend();
    mark();
    listed();
  };
  render(
    html`${own.slice(0, LEGEND).map((name, code) => html`
        <li><button type="button" class="chip" aria-pressed=${named.has(code)} @click=${() => toggle(code)}>
          <svg viewBox="0 0 10 10" aria-hidden="true"><circle cx="5" cy="5" r="5" fill="rgb(${colour(code, dark.matches).slice(0, 3).join()})"></circle></svg>
          ${name} <small>${counts[code].toLocaleString("en")}</small></button></li>`)}
      ${own.length > LEGEND ? html`<li class="hint">and ${(own.length - LEGEND).toLocaleString("en")} more: type a name above</li>` : nothing}`,
    byId("legend"),
  );
}

// The list

/** Whether a photo is in the list when it is in sight. */
function listable() {
  const { marks } = points.data;
  return (/** @type {number} */ one) => marks[one] !== FAINT;
}

/** List what is chosen, else what is in sight and stands out. @param {number | null} [place] id of the photo to be at */
function listed(place = null) {
  const some = chosen ? Array.from(chosen.keys()).filter((one) => chosen?.[one]) : inSight().filter(listable());
  byId("count").textContent = `${counted(some.length, "photo")} ${chosen ? "chosen" : some.length === total ? "on the map" : "in view"}`;
  byId("clear").hidden = !chosen;
  grid.show(Uint32Array.from(some, (one) => ids[one]), place);
}

/** @param {Uint8Array | null} some */
function choose(some) {
  chosen = some;
  if (!some) drawn = [];
  history.replaceState({ ...history.state, lasso: some ? drawn : [] }, "");
  mark();
  listed();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let settling;
/** Nothing moves: list what is in view, and keep the place in the address. */
function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => {
    const url = new URL(location.href);
    url.searchParams.set("view", [view.x.toFixed(3), view.y.toFixed(3), view.scale.toFixed(2)].join());
    history.replaceState(history.state, "", url);
    if (!chosen) listed();
  }, 250);
}

// Mouse and fingers

/** @type {Map<number, PointerEvent>} */
const held = new Map();
let moved = false;

/** @param {PointerEvent | WheelEvent} event @returns {[number, number]} */
const where = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  held.set(event.pointerId, event);
  moved = false;
  if (lassoing || event.shiftKey) drawn = [toUnits(...where(event))];
  else if (!chosen) drawn = [];
});
canvas.addEventListener("pointermove", (event) => {
  const last = held.get(event.pointerId);
  if (!last) return lassoing || event.buttons ? undefined : look(at(...where(event)));
  held.set(event.pointerId, event);
  const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
  moved ||= Math.abs(dx) + Math.abs(dy) > 2;
  if (lassoing || event.shiftKey) drawn.push(toUnits(...where(event))), draw();
  else if (held.size === 1) go({ x: view.x - dx / view.scale, y: view.y + dy / view.scale });
  else pinch(event, last);
});
/** @param {PointerEvent} event @param {PointerEvent} last */
function pinch(event, last) {
  const other = [...held.values()].find(({ pointerId }) => pointerId !== event.pointerId);
  if (!other) return;
  const apart = (/** @type {PointerEvent} */ { clientX, clientY }) => Math.hypot(clientX - other.clientX, clientY - other.clientY);
  const [a, b] = [where(event), where(other)];
  zoom(apart(event) / Math.max(apart(last), 1), [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
}
for (const type of /** @type {const} */ (["pointerup", "pointercancel"])) {
  canvas.addEventListener(type, (event) => {
    if (!held.delete(event.pointerId)) return;
    if (drawn.length > 2 && moved && (lassoing || event.shiftKey)) choose(inside(drawn));
    else if (!moved) look(at(...where(event)), true);
    setLasso(false);
  });
}
canvas.addEventListener("dblclick", () => open());
canvas.addEventListener("wheel", (event) => (event.preventDefault(), zoom(Math.exp(-event.deltaY * 0.0015), where(event))), { passive: false });

/** @param {boolean} on */
function setLasso(on) {
  lassoing = on;
  byId("lasso").ariaPressed = String(on);
  canvas.classList.toggle("lassoing", on);
}

// Keys

/** Look at the nearest photo in a direction. @param {number} dx @param {number} dy */
function step(dx, dy) {
  if (current < 0) current = inSight()[0] ?? -1;
  else {
    const [x, y] = [places[2 * current], places[2 * current + 1]];
    let best = [Infinity, current];
    for (let one = 0; one < total; one++) {
      const [right, up] = [places[2 * one] - x, places[2 * one + 1] - y];
      const [along, aside] = [right * dx + up * dy, Math.abs(right * dy) + Math.abs(up * dx)];
      const far = along + 2 * aside;
      if (along * view.scale >= STEP && aside <= along && far < best[0]) best = [far, one];
    }
    current = best[1];
  }
  if (current < 0) return;
  const [left, top] = toPixels(places[2 * current], places[2 * current + 1]);
  if (left < 40 || top < 40 || left > canvas.clientWidth - 40 || top > canvas.clientHeight - 40) go({ x: places[2 * current], y: places[2 * current + 1] });
  look(current, true);
}

const open = () => current >= 0 && location.assign(`/photos/${ids[current]}`);

function chooseSame() {
  if (current < 0) return;
  const own = codes[kind()];
  choose(Uint8Array.from(own, (code) => Number(code === own[current])));
}

function chooseInSight() {
  const some = new Uint8Array(total);
  for (const one of inSight().filter(listable())) some[one] = 1;
  choose(some.includes(1) ? some : null);
}

const moves = /** @type {[string, number, number, string][]} */ ([["ArrowLeft", -1, 0, "to the left"], ["ArrowRight", 1, 0, "to the right"], ["ArrowUp", 0, 1, "above"], ["ArrowDown", 0, -1, "below"]]);
for (const [key, dx, dy, side] of moves) {
  keys(canvas, {
    [key]: [`the next photo ${side}`, () => step(dx, dy)],
    [`Shift+${key}`]: [`move the map: what is ${side}`, () => go({ x: view.x + (dx * 120) / view.scale, y: view.y + (dy * 120) / view.scale })],
  }, "Map");
}
keys(canvas, {
  "+": ["zoom in", () => zoom(1.5)], "=": ["zoom in, too", () => zoom(1.5)], "-": ["zoom out", () => zoom(1 / 1.5)], 0: ["all photos", () => go(whole)],
  Enter: ["open the photo", open], c: ["choose all of its colour", chooseSame], v: ["choose all in view", chooseInSight],
}, "Map");
keys(document.body, { Escape: ["choose none", () => (setLasso(false), look(-1), choose(null))], l: ["label what is chosen or selected", labelChosen] }, "Map");

function labelChosen() {
  const some = grid.selected.size ? [...grid.selected] : chosen ? Array.from(grid.ids) : current >= 0 ? [ids[current]] : [];
  if (some.length && byId("do-label")) askLabel({ ids: some, done: () => (grid.renew(some), load(), undefined) });
}

for (const [id, act] of /** @type {[string, () => unknown][]} */ ([
  ["lasso", () => setLasso(!lassoing)], ["in", () => zoom(1.5)], ["out", () => zoom(1 / 1.5)], ["fit", () => go(whole)], ["clear", () => choose(null)],
  ["do-label", labelChosen], ["anew", () => load(true)], ["again", () => load()],
])) byId(id)?.addEventListener("click", act);
byId("names").addEventListener("change", draw);

/** @param {string} name @param {string} value */
function remember(name, value) {
  const url = new URL(location.href);
  if (value) url.searchParams.set(name, value);
  else url.searchParams.delete(name);
  history.replaceState(history.state, "", url);
}
by.addEventListener("change", () => (remember("by", by.value), recolour(), listed()));
find.addEventListener("input", () => ((chosen = null), remember("find", find.value.trim()), mark(), listed()));
dark.addEventListener("change", recolour);
new ResizeObserver(() => draw()).observe(canvas);

if (!points.works) byId("no-gl").hidden = false;
load();
