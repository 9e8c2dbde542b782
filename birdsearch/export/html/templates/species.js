"use strict";
// What the three pages about species do: thumbnails from one table, the map, the matrix, corrections.
const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// "Show only" leaves the cards of one species, and opens the folds that hold them.
const find = document.getElementById("find");
const cards = [...document.querySelectorAll("article[data-names]")];
const folds = new Map([...document.querySelectorAll("details.fold")].map((fold) => [fold, fold.open]));
const wanted = () => find.value.trim().toLowerCase();
function showOnly() {
  const name = wanted();
  for (const card of cards) card.hidden = !card.dataset.names.toLowerCase().includes(name);
  for (const [fold, wasOpen] of folds) {
    fold.hidden = !fold.querySelector("article:not([hidden])");
    fold.open = name ? true : wasOpen;
  }
  const count = cards.filter((card) => !card.hidden).length;
  document.getElementById("found").textContent = name ? `${count} of ${cards.length} cards` : "";
}
find.addEventListener("input", showOnly);

// A link may lead to what is folded or left out.
function reveal(id) {
  const target = document.getElementById(id);
  if (!target) return;
  if (target.closest("[hidden]")) {
    find.value = "";
    find.dispatchEvent(new Event("input"));
  }
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link) reveal(link.hash.slice(1));
});
if (location.hash) reveal(location.hash.slice(1));

// Every picture is in the page once, in `data.photos`; the galleries and the map take it from there.
for (const image of document.querySelectorAll("img[data-photo]")) {
  const photo = data.photos[image.dataset.photo];
  if (photo && photo.uri) image.src = photo.uri;
  else image.replaceWith(Object.assign(document.createElement("span"), { className: "none", textContent: "no picture" }));
}

function inspect(id) {
  const photo = data.photos[id];
  const box = document.getElementById("inspector");
  if (!photo || box.dataset.id === String(id)) return;
  box.dataset.id = id;
  const link = document.createElement("a");
  Object.assign(link, { href: photo.link, target: "_blank", rel: "noopener", title: photo.path, className: "thumb large" });
  if (photo.uri) link.append(Object.assign(document.createElement("img"), { src: photo.uri, alt: photo.name }));
  else link.append(Object.assign(document.createElement("span"), { className: "none", textContent: "no picture" }));
  const lines = photo.lines.map((line) => Object.assign(document.createElement("p"), { textContent: line }));
  const name = Object.assign(document.createElement("p"), { className: "file", textContent: `${photo.name} · id ${id}` });
  box.replaceChildren(link, ...lines, name);
}

function startMap(plot, frame) {
  const points = plot.select_one("points").data_source;
  const cursor = plot.select_one("cursor").data_source;
  const { x, y } = points.data;
  let here = -1;
  const show = (place) => {
    here = place;
    cursor.data = { x: [x[place]], y: [y[place]] };
    inspect(data.map.ids[place]);
  };
  const open = (place) => window.open(data.photos[data.map.ids[place]].link, "_blank", "noopener");
  points.inspect.connect(() => {
    const [place] = points.inspected.indices;
    frame.style.cursor = place === undefined ? "" : "pointer";
    if (place !== undefined && place !== here) show(place);
  });
  points.selected.properties.indices.change.connect(() => {
    const [place] = points.selected.indices;
    if (place === undefined) return;
    points.selected.indices = [];
    show(place);
    open(place);
  });
  // Arrow keys go to the nearest photo in that direction: what lies sideways counts double.
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const across = plot.x_range.end - plot.x_range.start, along = plot.y_range.end - plot.y_range.start;
  const step = ([right, up]) => {
    let best = -1, least = Infinity;
    for (let place = 0; place < x.length; place++) {
      const dx = (x[place] - x[here]) / across, dy = (y[place] - y[here]) / along;
      const ahead = dx * right + dy * up, aside = Math.abs(dx * up) + Math.abs(dy * right);
      if (ahead <= 0 || points.data.alpha[place] < 0.5) continue;
      if (ahead + 2 * aside < least) [best, least] = [place, ahead + 2 * aside];
    }
    return best;
  };
  frame.addEventListener("keydown", (event) => {
    const direction = directions[event.key];
    if (direction && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      const next = here < 0 ? Math.max(points.data.alpha.findIndex((alpha) => alpha > 0.5), 0) : step(direction);
      if (next >= 0) show(next);
    } else if (event.key === "Enter" && here >= 0) open(here);
  });
  frame.addEventListener("focus", () => { if (here < 0 && x.length) show(0); });
  const by = document.getElementById("colour-by");
  const paint = () => {
    const only = wanted();
    const names = data.map.names;
    points.data = {
      ...points.data,
      colour: data.map.colours[by ? by.value : "label"],
      alpha: names.map((name) => (name.toLowerCase().includes(only) ? 0.85 : 0.07)),
    };
  };
  find.addEventListener("input", paint);
  if (by) by.addEventListener("change", paint);
  paint();
  // From a picture in a gallery to its place on the map.
  const place = new Map(data.map.ids.map((id, number) => [String(id), number]));
  for (const kind of ["focusin", "mouseover"]) {
    document.querySelector("main").addEventListener(kind, (event) => {
      const image = event.target.closest("a.thumb")?.querySelector("img[data-photo]");
      if (image && place.has(image.dataset.photo)) show(place.get(image.dataset.photo));
    });
  }
}

function startMatrix(plot) {
  const tint = () => {
    for (const axis of [...plot.above, ...plot.left]) axis.major_label_text_color = tone("--ink");
  };
  tint();
  dark.addEventListener("change", tint);
  const [cells] = plot.renderers.map((renderer) => renderer.data_source);
  cells.selected.properties.indices.change.connect(() => {
    const [cell] = cells.selected.indices;
    if (cell === undefined) return;
    cells.selected.indices = [];
    reveal(cells.data.leads_to[cell]);
  });
}

async function plot(item, start) {
  const views = await Bokeh.embed.embed_item(item);
  const [view] = views.roots ?? views;
  start(view.model, document.getElementById(item.target_id));
}

// Corrections of an audit leave the page as the CSV that `birdsearch label --from` reads.
const corrections = () => [...document.querySelectorAll("input[data-correct]")].filter((field) => field.value.trim());
// A cell that a spreadsheet would run gets an apostrophe, which birdsearch takes off again (`sheets.guarded`).
const formula = /^(['"\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n])/;
const number = /^[+-][\d.,:]+(e[+-]?\d+)?$/;
const guarded = (value) => (formula.test(value) && !number.test(value) ? `'${value}` : value);
const quoted = (value) => `"${guarded(value).replaceAll('"', '""')}"`;
const save = document.getElementById("save");
if (save) {
  const fields = [...document.querySelectorAll("input[data-correct]")];
  // What is entered stays over a reload, each field for itself, so that two windows of one page lose nothing.
  const kept = (field) => `birdsearch ${save.dataset.page} ${field.dataset.correct}`;
  const storage = (use) => {
    try {
      use(localStorage);
    } catch {
      document.getElementById("refused").hidden = false;
    }
  };
  const mark = (field) => {
    field.closest("article").classList.toggle("given", Boolean(field.value.trim()));
    for (const button of field.closest(".fix").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.take === field.value));
    }
  };
  const count = () => {
    const number = corrections().length;
    document.getElementById("corrected").textContent = number ? `${number} to save` : "none yet";
    save.disabled = !number;
  };
  const entered = (field) => {
    storage((store) => (field.value.trim() ? store.setItem(kept(field), field.value) : store.removeItem(kept(field))));
    mark(field);
    count();
  };
  document.addEventListener("input", (event) => {
    if (fields.includes(event.target)) entered(event.target);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-take]");
    if (!button) return;
    const field = button.parentElement.querySelector("input");
    field.value = field.value === button.dataset.take ? "" : button.dataset.take;
    entered(field);
  });
  save.addEventListener("click", () => {
    const given = corrections().map((field) => ({ ...JSON.parse(field.dataset.row), species: field.value.trim(), confirmed: "yes" }));
    const rows = given.map((row) => Object.values(row).map((value) => quoted(String(value ?? ""))).join(","));
    const file = new Blob([[Object.keys(given[0]).join(","), ...rows, ""].join("\n")], { type: "text/csv" });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: "corrections.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  storage((store) => fields.forEach((field) => { field.value = store.getItem(kept(field)) ?? field.value; }));
  fields.forEach(mark);
  count();
}

// A plot is drawn when its fold is opened first: it needs room, and takes time.
const plots = { map: () => plot(data.map.item, startMap), matrix: () => plot(data.matrix, startMatrix) };
for (const fold of document.querySelectorAll("details[data-plot]")) {
  fold.addEventListener("toggle", () => plots[fold.dataset.plot](), { once: true });
}
