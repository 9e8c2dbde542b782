// @ts-check
/** The page that asks about a picture or in words: what it is, and which photos are most alike, or fit the words. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { Problem, finished, get, given, send } from "./api.js";
import { Crop } from "./crop.js";
import { keys } from "./keys.js";
import { label } from "./label.js";
import { abstention, card, complete, counted, empty, evidenceOf, percent, picture, said, whenAndWhere } from "./parts.js";
import { say } from "./undo.js";
import { drawn } from "./why.js";

/** @typedef {import("./parts.js").Photo} Photo */
/** @typedef {import("./parts.js").Prediction} Prediction */
/** @typedef {{photo: Photo, score: number, region: any, score_kind: string}} Match */

const MATCHES = 24;

const by = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const image = /** @type {HTMLImageElement} */ (by("picture"));
const answers = by("answers");
const checklist = /** @type {HTMLTextAreaElement} */ (by("checklist"));
const words = /** @type {HTMLInputElement} */ (by("words"));
const why = /** @type {HTMLDialogElement} */ (by("why"));
/** @type {{edits: boolean, folders: string[]}} */
const data = given();

/** @type {File | null} */
let file = null; // what is asked about: a file, or a photo of the index
/** @type {Photo | null} */
let photo = null;
let findsBird = false;
/** @type {Match[]} */
let matches = [];
/** @type {Prediction[]} */
let predictions = [];
/** @type {Map<number, Photo>} */
let evidence = new Map();
/** @type {string[]} */
let problems = [];
let least = 0;
let isAsking = false;
let latest = new AbortController();

const crop = new Crop(by("crop"), by("box"), () => {
  findsBird = false;
  ask();
});

/** Ask about a file. @param {File | null | undefined} given_ @param {string} origin */
function askFile(given_, origin) {
  if (!given_) return;
  if (!given_.type.startsWith("image/")) return say(`${given_.name} is not a picture.`, true);
  [file, photo] = [given_, null];
  if (location.search) history.replaceState(null, "", "/ask");
  URL.revokeObjectURL(image.src);
  begin(URL.createObjectURL(given_), origin);
}

/** Ask about a photo of the index. @param {number} id */
async function askPhoto(id) {
  photo = await get(`/photos/${id}`);
  if (photo) begin(picture(photo, "preview"), `Photo ${id} of the index.`);
}

/** @param {string} address @param {string} origin */
function begin(address, origin) {
  image.src = address;
  image.onerror = () => (by("origin").textContent = `${origin} This browser cannot show it; birdsearch may know it all the same.`);
  by("origin").textContent = origin;
  for (const id of ["crop", "how"]) by(id).hidden = false;
  by("ask").classList.remove("fresh");
  [findsBird, least, matches, predictions] = [false, 0, [], []];
  crop.set(null);
  ask();
}

/** Put a question about the picture. @param {string} path @param {object} [more] @param {AbortSignal} [signal] */
function put(path, more = {}, signal) {
  const question = { box: findsBird ? null : crop.box, region: findsBird ? "bird" : "frame", ...more };
  if (photo) return send("POST", path, { photo: photo.id, ...question }, signal);
  if (!file) return send("POST", path, question, signal);
  const body = new FormData();
  body.set("image", file, file.name || "pasted.png");
  body.set("question", JSON.stringify(question));
  return send("POST", path, body, signal);
}

/** Ask for matches and predictions, instead of what was asked before. */
async function ask() {
  const text = words.value.trim();
  if (!file && !photo && !text) return;
  latest.abort();
  latest = new AbortController();
  const { signal } = latest;
  const lines = checklist.value.split("\n").map((line) => line.trim()).filter(Boolean);
  [isAsking, problems] = [true, []];
  draw();
  const [found, guessed] = await Promise.allSettled([
    put("/search", { k: MATCHES, ...(text ? { text } : {}) }, signal),
    file || photo ? put("/classify", { k: 5, ...(lines.length ? { checklist: lines } : {}) }, signal) : { predictions: [] },
  ]);
  if (signal.aborted) return;
  matches = found.status === "fulfilled" ? found.value.matches : [];
  predictions = guessed.status === "fulfilled" ? guessed.value.predictions : [];
  const speaking = await evidenceOf(predictions, signal).catch(() => new Map());
  if (signal.aborted) return;
  evidence = speaking;
  const refused = [found, guessed].flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
  for (const reason of refused) if (!(reason instanceof Problem)) throw reason;
  isAsking = false;
  problems = [...new Set(refused.map((reason) => reason.message))];
  draw();
}

/** Whether words asked, and their scores are of another kind. */
const byWords = () => matches.some((one) => one.score_kind === "text");

/** The answer in a few words, for those who listen. */
function told() {
  const none = abstention(predictions);
  const first = predictions.find((one) => one !== none);
  const words = [
    ...problems, none ? "Nothing here is like it, probably." : "", first ? `${first.species ?? first.class_name}, ${percent(first.probability)}.` : "",
    matches.length ? `${counted(matches.length, "photo")}, ${byWords() ? "those that fit best" : "most alike"} first.` : "",
  ];
  return words.filter(Boolean).join(" ");
}

function draw() {
  by("told").textContent = isAsking ? "Looking…" : told();
  by("all").setAttribute("aria-pressed", String(!findsBird && !crop.box));
  by("bird").setAttribute("aria-pressed", String(findsBird));
  answers.setAttribute("aria-busy", String(isAsking));
  if (problems.length && !matches.length && !predictions.length) return render(problems.map((words) => html`<p class="problem">${words}</p>`), answers);
  if (!matches.length && !predictions.length) return render(isAsking ? empty("Looking…") : nothing, answers);
  const alike = matches.filter(({ score }) => !least || score >= least);
  render(
    html`
      ${problems.map((words) => html`<p class="problem">${words}</p>`)}
      ${!file && !photo ? nothing : html`<section aria-labelledby="guesses-title"><h2 id="guesses-title">What is it?</h2>
        ${said(predictions, evidence)}
        ${data.edits && file && data.folders.length ? adding() : nothing}
      </section>`}
      <section aria-labelledby="alike-title"><h2 id="alike-title">${byWords() ? "Your photos that fit the words" : "Your most alike photos"}</h2>
        <p class="row slider"><label for="least">Least score</label>
          <input id="least" type="range" min="0" max="1" step="0.01" .value=${String(least)} @input=${(/** @type {any} */ event) => ((least = Number(event.target.value)), draw())}>
          <output for="least">${least.toFixed(2)}</output><span class="facts">${alike.length} of ${matches.length}</span></p>
        ${alike.length ? html`<ul class="cards">${alike.map(match)}</ul>`
          : html`<p class="verdict"><b>Nothing here ${byWords() ? "fits" : "is like it"}</b>: the best score is ${(matches[0]?.score ?? 0).toFixed(2)}.</p>`}
      </section>`,
    answers,
  );
}

/** @param {Match} one */
const match = (one) => card(one.photo, {
  score: one.score,
  byWords: one.score_kind === "text",
  more: one.score_kind === "text" ? nothing : html`<p><button type="button" class="small" @click=${() => explain(one)} aria-label="Why ${one.photo.species ?? `photo ${one.photo.id}`} matches">Why</button></p>`,
});

/** @param {Match} one */
async function explain(one) {
  const show = (/** @type {unknown} */ content) =>
    render(html`<h2 id="why-title">Why it matches: ${one.photo.species ?? `photo ${one.photo.id}`}, score ${one.score.toFixed(3)}</h2>
      <p class="facts">${whenAndWhere(one.photo)}</p>
      ${content}<p class="row"><button type="button" class="primary" @click=${() => why.close()}>Close</button><a class="button" href="/photos/${one.photo.id}">The photo</a></p>`, why);
  show(empty("Looking…"));
  why.showModal();
  try {
    show(drawn(await put("/explain", { match: one.photo.id })));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    show(html`<p class="problem">${error.message}</p>`);
  }
}

const adding = () => html`
  <details class="adding"><summary>Label it and add it</summary>
    <form @submit=${add}>
      <p><label for="add-species">Species</label> <input id="add-species" name="species" maxlength="200" .value=${predictions.find((one) => one.species)?.species ?? ""}
        @focus=${(/** @type {any} */ event) => event.target.list ?? complete(event.target)}></p>
      <p><label for="add-folder">Into the folder</label> <select id="add-folder" name="folder">${data.folders.map((folder) => html`<option>${folder}</option>`)}</select></p>
      <p><button class="primary">Add it</button></p>
    </form></details>`;

/** @param {SubmitEvent} event */
async function add(event) {
  event.preventDefault();
  const body = new FormData(/** @type {HTMLFormElement} */ (event.target));
  body.set("image", /** @type {File} */ (file), file?.name || "pasted.png");
  photo = await finished(await send("POST", "/photos", body));
  file = null;
  history.replaceState(null, "", `/ask?photo=${photo?.id}`);
  by("origin").textContent = `Photo ${photo?.id} of the index.`;
  say(`Added as photo ${photo?.id}${photo?.species ? `: ${photo.species}` : ""}.`);
  draw();
}

/** Find the bird, show where it is, and ask about it. */
async function bird() {
  if (!file && !photo) return;
  say("Looking for the bird…");
  const { regions } = await put("/find", { box: undefined, region: undefined });
  say("");
  findsBird = regions.length > 0;
  crop.set(regions[0]?.box ?? null);
  if (!findsBird) say("No small bird was found: the whole picture asks.");
  ask();
}

const all = () => ((findsBird = false), crop.set(null), ask());
by("all").addEventListener("click", all);
by("bird").addEventListener("click", bird);
checklist.addEventListener("change", ask);
by("say").addEventListener("submit", (event) => {
  event.preventDefault();
  least = 0;
  if (!words.value.trim() && !file && !photo) return ([matches, predictions, problems] = [[], [], []]), draw();
  if (!file && !photo) by("ask").classList.remove("fresh");
  ask();
});
keys(document.body, { a: ["all of the picture", all], b: ["find the bird", bird] }, "Ask");
for (const id of ["file", "camera"]) {
  by(id).addEventListener("change", (event) => {
    const chosen = /** @type {HTMLInputElement} */ (event.target).files?.[0];
    askFile(chosen, chosen?.name ?? "");
  });
}
document.addEventListener("paste", (event) => askFile(event.clipboardData?.files[0], "Pasted: it has no metadata, so no time and no place."));
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    const dropped = /** @type {DragEvent} */ (event).dataTransfer?.files[0];
    if (kind === "drop") askFile(dropped, dropped?.name ?? "");
  });
}
/** @type {HTMLDetailsElement} */ (by("box")).open = matchMedia("(min-width: 56rem)").matches; // on a phone the answer comes first
const id = Number(new URLSearchParams(location.search).get("photo"));
if (id) askPhoto(id);
