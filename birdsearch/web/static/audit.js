// @ts-check
/** The page of doubtful labels: one at a time, the worst first, with photos that speak for and against. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { decide, decided, get, given, isActive } from "./api.js";
import { follow, start } from "./follow.js";
import { keys, shown } from "./keys.js";
import { alt, complete, counted, date, empty, fileName, percent, picture } from "./parts.js";
import { did, recall, say } from "./undo.js";

/** @typedef {{photo: import("./parts.js").Photo, label: string, proposed: string | null, doubt: number, reasons: string[], evidence: number[]}} Suspect */

const ASKED_AT_ONCE = 200; // photos
const EVIDENCE = 6; // photos of each species
const place = /** @type {HTMLElement} */ (document.getElementById("audit"));
const progress = /** @type {HTMLElement} */ (document.getElementById("progress"));
const find = document.getElementById("find");
const { edit, results } = given();

class Audit {
  /** @param {{suspects: Suspect[]}} report @param {Map<number, any>} labels by hand, of photos of the report */
  constructor(report, labels) {
    this.suspects = report.suspects;
    /** Photo -> the label that a person has given or confirmed. @type {Map<number, string>} */
    this.settled = new Map([...labels].map(([id, { species }]) => [id, species]));
    this.other = false; // whether another name is being typed
    /** Photo and species -> its photos. @type {Map<string, HTMLElement>} */
    this.strips = new Map();
    const asked = this.suspects.findIndex(({ photo }) => photo.id === Number(new URLSearchParams(location.search).get("photo")));
    this.at = asked >= 0 ? asked : Math.max(0, this.suspects.findIndex((one) => this.#open(one)));
    this.go(this.at);
  }

  get suspect() {
    return this.suspects[this.at];
  }

  /** @param {Suspect} suspect */
  #open({ photo }) {
    return !this.settled.has(photo.id);
  }

  /** @param {number} at @param {boolean} [focus] */
  go(at, focus = false) {
    this.at = Math.min(Math.max(at, 0), this.suspects.length - 1);
    this.other = false;
    if (this.suspect) history.replaceState(null, "", `?photo=${this.suspect.photo.id}`);
    this.draw();
    if (focus) document.getElementById("suspect-title")?.focus();
    for (const next of this.suspects.slice(this.at + 1, this.at + 3)) new Image().src = picture(next.photo, "preview");
  }

  /** The next one of which nobody has said anything. */
  next() {
    const after = this.suspects.findIndex((one, n) => n > this.at && this.#open(one));
    const any = after >= 0 ? after : this.suspects.findIndex((one, n) => n !== this.at && this.#open(one));
    if (any < 0) {
      this.draw();
      return;
    }
    this.go(any);
  }

  /** Go on without saying anything. */
  skip() {
    if (this.at + 1 < this.suspects.length) this.go(this.at + 1);
    else say("That was the last one.");
  }

  /** @param {string | null} species @param {string} words */
  say(species, words) {
    if (!edit || !species || !this.suspect) return;
    const { photo } = this.suspect;
    const before = this.settled.get(photo.id);
    this.settled.set(photo.id, species);
    const answer = decide("POST", "/labels", { labels: { [photo.id]: species } });
    answer.catch(() => this.#settle(photo.id, before)); // it was refused, and that is shown
    const fact = answer.then(({ before: labels, kept }) => ({ id: photo.id, labels, kept, before }));
    did(`${words} (${fileName(photo.path)})`, async () => this.takeBack(await fact), fact);
    this.next();
  }

  /** Put the label of a photo back as it was before somebody said something of it. @param {any} fact */
  async takeBack({ id, labels, kept, before }) {
    await decide("POST", "/labels/restore", { labels, kept });
    this.#settle(id, before);
    this.go(this.suspects.findIndex(({ photo }) => photo.id === id));
    return document.getElementById("suspect-title") ?? undefined;
  }

  /** @param {number} id @param {string | undefined} species that somebody has said, if any */
  #settle(id, species) {
    if (species === undefined) this.settled.delete(id);
    else this.settled.set(id, species);
    this.draw();
  }

  accept() {
    const { proposed } = this.suspect ?? {};
    if (!proposed) return say("There is no proposal: keep the label, or type another one.");
    this.say(proposed, `Labelled ${proposed}`);
  }

  keep() {
    if (this.suspect) this.say(this.suspect.label, `${this.suspect.label} is right`);
  }

  /** Type another name. */
  ask() {
    if (!edit || !this.suspect) return;
    this.other = true;
    this.draw();
    const field = /** @type {HTMLInputElement} */ (document.getElementById("other"));
    if (!field.list) complete(field);
    field.value = "";
    field.focus();
  }

  /** @param {Event} event */
  #typed(event) {
    event.preventDefault();
    const species = /** @type {HTMLInputElement} */ (document.getElementById("other")).value.trim();
    if (species) this.say(species, `Labelled ${species}`);
  }

  draw() {
    const left = this.suspects.filter((one) => this.#open(one)).length;
    const counts = `${counted(this.suspects.length, "doubtful label")}, ${left ? `${left.toLocaleString("en")} to look at` : "all looked at"}`;
    const lead = document.getElementById("lead");
    if (lead) lead.textContent = counts;
    render(this.suspect ? html`${this.#body(this.suspect)}${this.#list()}${edit ? this.#deck() : nothing}` : empty("No label looks doubtful."), place);
  }

  /** @param {Suspect} suspect */
  #body(suspect) {
    const { photo, label, proposed, doubt, reasons } = suspect;
    const settled = this.settled.get(photo.id);
    return html`<article class="suspect">
      <a class="large" href="/photos/${photo.id}"><img src=${picture(photo, "preview")} alt=${alt(photo)}></a>
      <div class="case">
        <p class="facts">${(this.at + 1).toLocaleString("en")} of ${this.suspects.length.toLocaleString("en")}, the worst first</p>
        <h2 id="suspect-title" tabindex="-1"><s>${label}</s>${proposed ? html` <span class="hushed">may be</span><span aria-hidden="true">→</span> ${proposed}` : nothing}</h2>
        ${settled ? html`<p class="settled">${settled === label ? html`<b>${label}</b> is right, as somebody said.` : html`Now <b>${settled}</b>.`}</p>` : nothing}
        <p class="doubt"><meter min="0" max="1" value=${doubt} aria-label="Doubt"></meter> doubt ${percent(doubt)}</p>
        <ul class="reasons">${reasons.map((reason) => html`<li>${reason}</li>`)}</ul>
        <p class="facts">${fileName(photo.path)}${photo.taken_at ? html` · ${date(photo.taken_at)}` : nothing}</p>
        ${proposed ? html`<h3>${proposed}: the most alike</h3>${this.#strip(suspect, proposed)}` : nothing}
        <h3>${label}: the most alike</h3>${this.#strip(suspect, label)}
      </div></article>`;
  }

  /** The photos of a species that look most like this one. @param {Suspect} suspect @param {string} species */
  #strip({ photo, proposed, evidence }, species) {
    const key = `${photo.id} ${species}`;
    const known = this.strips.get(key);
    if (known) return known;
    const list = document.createElement("ul");
    this.strips.set(key, list);
    list.className = "proof";
    list.setAttribute("aria-label", `Photos of ${species}`);
    similar(photo.id, species, species === proposed ? evidence : []).then((found) => render(found.length ? found.map(proof) : html`<li class="facts">No other photo is labelled so.</li>`, list));
    return list;
  }

  #list() {
    return html`<details class="queue"><summary>All of them</summary><ol>${this.suspects.map((one, n) => html`
      <li><button type="button" class="${this.#open(one) ? "" : "done"}" aria-current=${n === this.at ? "true" : nothing} @click=${() => this.go(n, true)}>
        <span>${one.label}${one.proposed ? ` → ${one.proposed}` : ""}</span> <small>${this.settled.get(one.photo.id) ?? percent(one.doubt)}</small></button></li>`)}</ol></details>`;
  }

  #deck() {
    const { proposed, label } = this.suspect;
    const button = (/** @type {unknown} */ words, /** @type {string} */ key, /** @type {() => unknown} */ act, kind = "", disabled = false) =>
      html`<button type="button" class=${kind} ?disabled=${disabled} @click=${act}><span>${words}</span> ${shown(key)}</button>`;
    return html`<div class="deck" role="group" aria-label="Decide">
      ${this.other ? html`<form class="row" @submit=${(/** @type {Event} */ event) => this.#typed(event)} @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && ((this.other = false), this.draw(), document.getElementById("suspect-title")?.focus())}>
          <label for="other">It is</label><input id="other" name="other" required maxlength="200"><button class="primary">Label</button></form>`
        : html`<div class="row">${button(html`Accept <b>${proposed ?? "no proposal"}</b>`, "a", () => this.accept(), "primary", !proposed)}${button(html`Keep <b>${label}</b>`, "k", () => this.keep(), "wide-one")}${button("Another", "l", () => this.ask())}</div>`}
      <div class="row">${button("Previous", "Backspace", () => this.go(this.at - 1))}${button("Next", "n", () => this.skip())}</div></div>`;
  }

  /** @returns {import("./keys.js").Bindings} */
  get keys() {
    /** @type {import("./keys.js").Bindings} */
    const decides = edit ? {
      a: ["accept the proposal", () => this.accept()], k: ["keep the label", () => this.keep()], l: ["another name", () => this.ask()],
    } : {};
    return { ...decides, n: ["next", () => this.skip()], Backspace: ["previous", () => this.go(this.at - 1)] };
  }
}

/** @param {{photo: any, score: number | null}} match */
const proof = ({ photo, score }) => html`<li><a class="shot" href="/photos/${photo.id}"><img src=${picture(photo, "thumbnail", 320)} alt=${alt(photo)} decoding="async"></a>
  ${score === null ? nothing : html`<p class="facts">${score.toFixed(2)}</p>`}</li>`;

/** Photos of a species: those that speak for it, then those that look most like a photo.
 *  @param {number} photoId @param {string} species @param {number[]} first @returns {Promise<{photo: any, score: number | null}[]>} */
async function similar(photoId, species, first) {
  const { matches } = await get(`/photos/${photoId}/similar`, { k: EVIDENCE + 1, species });
  const found = matches.filter((/** @type {any} */ { photo }) => photo.id !== photoId);
  const missing = first.filter((id) => !found.some((/** @type {any} */ { photo }) => photo.id === id)).slice(0, 2);
  const spoken = missing.length ? (await get("/photos", { ids: missing })).photos.filter((/** @type {any} */ photo) => photo.species === species) : [];
  return [...spoken.map((/** @type {any} */ photo) => ({ photo, score: null })), ...found].slice(0, EVIDENCE);
}

/** The labels that a person has given or confirmed, of these photos. @param {number[]} ids */
async function byHand(ids) {
  const labels = new Map();
  for (let first = 0; first < ids.length; first += ASKED_AT_ONCE) {
    const found = await get("/labels", { ids: ids.slice(first, first + ASKED_AT_ONCE) });
    for (const label of found) if (label.source === "correction" && label.created_at) labels.set(label.photo_id, label);
  }
  return labels;
}

/** @type {Audit | null} */
let audit = null;

/** @param {{id: number}} job */
async function show(job) {
  // What the job has found stays as it is while it is worked through; viewers get what is doubtful today.
  const report = await get(results ? `/jobs/${job.id}/result` : "/audit");
  const first = !audit;
  find?.classList.remove("primary"); // what comes next is to go through them
  audit = new Audit(report, await byHand(report.suspects.map((/** @type {Suspect} */ { photo }) => photo.id)));
  if (!first) return;
  recall((fact) => () => audit?.takeBack(fact));
  // The keys ask for the report that is shown.
  keys(document.body, Object.fromEntries(Object.entries(audit.keys).map(([key, [words]]) => [key, [words, (event) => audit?.keys[key][1](event)]])), "Doubtful labels");
}

find?.addEventListener("click", async () => {
  const job = await start(progress, { do: "audit" });
  history.replaceState(null, "", location.pathname);
  if (job) await show(job);
  document.getElementById("suspect-title")?.focus();
});

await decided();
const { jobs } = await get("/jobs");
const audits = jobs.filter((/** @type {any} */ job) => job.do === "audit");
const running = audits.find(isActive);
const last = audits.find((/** @type {any} */ job) => job.state === "done");
find?.classList.toggle("primary", !last);
if (last) await show(last);
else render(empty("Nobody has looked for doubtful labels yet."), place);
if (running) follow(progress, running).then((job) => job && show(job));
document.body.dataset.loaded = "yes";
