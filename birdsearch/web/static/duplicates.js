// @ts-check
/** The page of duplicates: groups one at a time, what is to become of their photos, the plan, runs, pairs kept apart. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { decide, decided, get, given } from "./api.js";
import { Compare, MODES, prepare } from "./compare.js";
import { follow, start } from "./follow.js";
import { keys, shown } from "./keys.js";
import { alt, bytes, counted, date, empty, fileName, picture } from "./parts.js";
import { did, recall, say } from "./undo.js";

/** @typedef {{photo: import("./parts.js").Photo, relation: string | null, reason: string, protected: boolean, apart: boolean, shows: string[],
 *   figures: string[], matrix: any}} Shown */
/** @typedef {{keep: number[], remove: number[]}} Pick */
/** @typedef {{number: number, relation: string, keep: number, reason: string, photos: Shown[], gone: number, decision: Pick}} Group */

const place = /** @type {HTMLElement} */ (document.getElementById("part"));
const progress = /** @type {HTMLElement} */ (document.getElementById("progress"));
const { report, edit, part } = given();
const ADVANCES = "birdsearch-advances";

// Looking for duplicates

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("find"));
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const protect = String(fields.get("protect") ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
  if (await start(progress, { do: "duplicates", burst_gap: Number(fields.get("burst_gap")), protect })) location.assign("/duplicates");
});

// Review

class Review {
  /** @param {any} overview */
  constructor(overview) {
    this.overview = overview;
    const asked = new URLSearchParams(location.search);
    this.relation = asked.get("relation") ?? "";
    this.open = asked.has("open"); // undecided groups only
    this.advances = localStorage.getItem(ADVANCES) !== "no";
    /** @type {Map<number, Promise<Group>>} */
    this.groups = new Map();
    /** @type {Group | null} */
    this.group = null;
    this.pinned = 0; // positions in the group
    this.looked = 1;
    this.states = new Map([...overview.decided.map((/** @type {number} */ n) => [n, "decided"]), ...overview.begun.map((/** @type {number} */ n) => [n, "begun"])]);
    this.stage = document.createElement("div");
    this.stage.className = "stage";
    this.compare = new Compare(this.stage, { originals: edit });
    // After a click Enter goes on to the next group, as it does before one.
    place.addEventListener("click", ({ detail, target }) => detail && target instanceof Element && target.closest("button")?.blur());
    this.numbers = this.#numbers();
    this.ready = this.go(Number(asked.get("group")) || this.numbers.find((n) => this.states.get(n) !== "decided") || this.numbers[0]);
  }

  /** The numbers of the groups that are asked for. */
  #numbers() {
    const { numbers } = this.overview;
    const all = this.relation ? numbers[this.relation] ?? [] : Object.values(numbers).flat().sort((a, b) => a - b);
    return this.open ? all.filter((/** @type {number} */ n) => this.states.get(n) !== "decided") : all;
  }

  /** @param {number} number @returns {Promise<Group>} */
  #fetch(number) {
    const known = this.groups.get(number) ?? get(`/duplicates/${report}/groups/${number}`);
    this.groups.set(number, known);
    known.catch(() => this.groups.delete(number));
    return known;
  }

  /** Show a group. @param {number | undefined} number @param {number} [photoId] to look at */
  async go(number, photoId) {
    if (number === undefined) {
      this.group = null;
      return this.draw();
    }
    const group = await this.#fetch(number);
    this.group = group;
    const kept = group.photos.findIndex(({ photo }) => photo.id === group.keep);
    this.pinned = Math.max(0, kept);
    const wanted = group.photos.findIndex(({ photo }) => photo.id === photoId);
    const open = group.photos.findIndex((one, n) => n !== this.pinned && !this.#stateOf(one));
    this.look(wanted >= 0 ? wanted : open >= 0 ? open : Math.min(1, group.photos.length - 1));
    this.#address();
    const at = this.numbers.indexOf(number);
    for (const next of this.numbers.slice(at + 1, at + 3)) this.#fetch(next).then(({ photos }) => prepare(photos.slice(0, 4).map(({ photo }) => photo)), () => {});
  }

  #address() {
    const asked = new URLSearchParams();
    if (this.group) asked.set("group", String(this.group.number));
    if (this.relation) asked.set("relation", this.relation);
    if (this.open) asked.set("open", "yes");
    history.replaceState(null, "", `?${asked}`);
  }

  /** @param {string} relation @param {boolean} open */
  filter(relation, open) {
    [this.relation, this.open] = [relation, open];
    this.numbers = this.#numbers();
    const here = this.group?.number ?? 0;
    this.go(this.numbers.includes(here) ? here : this.numbers.find((n) => n > here) ?? this.numbers[0]);
  }

  /** @param {number} by */
  step(by) {
    if (!this.group) return;
    const here = this.group.number;
    const next = by > 0 ? this.numbers.find((n) => n > here) : this.numbers.findLast((n) => n < here);
    if (next !== undefined) return this.go(next);
    say(by > 0 ? "That was the last group. The plan shows what would be done." : "This is the first group.");
  }

  /** Look at a photo of the group. @param {number} position */
  look(position) {
    const { group } = this;
    if (!group || position < 0 || position >= group.photos.length) return;
    this.looked = position;
    const numbers = position === this.pinned ? [position] : [this.pinned, position];
    const told = numbers.map((n) => {
      const [one, state] = [group.photos[n], this.#stateOf(group.photos[n])];
      return { photo: one.photo, state, words: `${n + 1}, ${fileName(one.photo.path)}${state ? `: ${state}` : ""}` };
    });
    // The way from the proposed photo to each other one is known; from one of these to another it is not.
    const [from, to] = [group.photos[this.pinned], group.photos[position]];
    this.compare.show(told, from.photo.id === group.keep ? to.matrix : null);
    this.draw();
  }

  swap() {
    const { pinned, looked } = this;
    this.pinned = looked;
    this.look(pinned);
  }

  /** @param {Shown} one */
  #stateOf({ photo }) {
    const { keep, remove } = /** @type {Group} */ (this.group).decision;
    return keep.includes(photo.id) ? "keep" : remove.includes(photo.id) ? "remove" : "";
  }

  /** Decide of the photo that is looked at: "keep", "remove" or "" for undecided. @param {string} state */
  async mark(state) {
    const { group } = this;
    if (!group || !edit) return;
    const one = group.photos[this.looked];
    if (state === "remove" && one.protected) return say(`${fileName(one.photo.path)} is protected: it stays.`);
    const next = { keep: group.decision.keep.filter((id) => id !== one.photo.id), remove: group.decision.remove.filter((id) => id !== one.photo.id) };
    if (state) next[state === "keep" ? "keep" : "remove"].push(one.photo.id);
    const pinned = group.photos[this.pinned];
    // What another photo was found worse than is kept.
    if (state === "remove" && pinned !== one && !this.#stateOf(pinned)) next.keep.push(pinned.photo.id);
    const words = { keep: "Keep", remove: "Remove", "": "Undecided:" }[state];
    this.#put(next, `${words} ${fileName(one.photo.path)}`, one.photo.id);
    if (state && this.advances) this.#advance();
  }

  /** Keep the photo that is proposed and remove the others. */
  propose() {
    const { group } = this;
    if (!group || !edit) return;
    const others = group.photos.filter(({ photo, protected: safe, apart }) => photo.id !== group.keep && !safe && !apart);
    const rest = group.photos.filter(({ photo, protected: safe, apart }) => photo.id === group.keep || safe || apart);
    this.#put({ keep: rest.map(({ photo }) => photo.id), remove: others.map(({ photo }) => photo.id) }, "Marked as proposed", group.keep);
    if (this.advances) this.step(1);
  }

  /** @param {Pick} next @param {string} words @param {number} photoId */
  #put(next, words, photoId) {
    const group = /** @type {Group} */ (this.group);
    const before = group.decision;
    this.#send(group, next);
    const fact = { report, number: group.number, before, photoId };
    did(words, () => this.takeBack(fact), fact);
    this.look(this.looked);
  }

  /** Decide of a group as before, or have a pair again that was kept apart. @param {any} fact */
  async takeBack({ number, before, pair, photoId }) {
    const group = await this.#fetch(number);
    if (before) this.#send(group, before);
    if (pair) this.#keepApart(group, pair, false);
    await this.go(number, photoId);
    return this.stage;
  }

  /** @param {Group} group @param {Pick} next */
  #send(group, next) {
    const before = group.decision;
    this.#take(group, next);
    decide("PUT", `/duplicates/${report}/groups/${group.number}`, next).catch((error) => {
      if (group.decision === next) this.#take(group, before);
      this.draw();
      throw error; // which shows it
    });
  }

  /** @param {Group} group @param {Pick} decision */
  #take(group, decision) {
    group.decision = decision;
    const count = group.photos.filter(({ photo }) => decision.keep.includes(photo.id) || decision.remove.includes(photo.id)).length;
    this.states.set(group.number, count === group.photos.length ? "decided" : count ? "begun" : "");
  }

  /** @param {Group} group @param {{a: number, b: number}} pair the pinned photo and another one @param {boolean} apart */
  #keepApart(group, pair, apart) {
    const one = group.photos.find(({ photo }) => photo.id === pair.b);
    if (one) one.apart = apart;
    decide(apart ? "POST" : "DELETE", "/not-duplicates", pair);
  }

  #advance() {
    const { photos } = /** @type {Group} */ (this.group);
    const order = [...photos.keys()].map((n) => (this.looked + 1 + n) % photos.length);
    const next = order.find((n) => n !== this.pinned && !this.#stateOf(photos[n])) ?? order.find((n) => !this.#stateOf(photos[n]));
    if (next === undefined) this.step(1);
    else this.look(next);
  }

  /** Say that the photo that is looked at is no duplicate of the pinned one. */
  apart() {
    const { group } = this;
    if (!group || !edit || this.looked === this.pinned) return;
    const [one, pinned] = [group.photos[this.looked], group.photos[this.pinned]];
    const pair = { a: pinned.photo.id, b: one.photo.id };
    this.#keepApart(group, pair, true);
    const removed = this.#stateOf(one) === "remove";
    const fact = { report, number: group.number, pair, before: removed ? group.decision : undefined, photoId: one.photo.id };
    did(`${fileName(one.photo.path)} is not the same as ${fileName(pinned.photo.path)}`, () => this.takeBack(fact), fact);
    if (removed) this.#send(group, { keep: group.decision.keep, remove: group.decision.remove.filter((id) => id !== one.photo.id) });
    this.look(this.looked);
    if (this.advances) this.#advance();
  }

  /** @param {boolean} advances */
  setAdvances(advances) {
    this.advances = advances;
    localStorage.setItem(ADVANCES, advances ? "yes" : "no");
    this.draw();
  }

  draw() {
    const { group } = this;
    render(html`${this.#chips()}${group ? this.#body(group) : empty(this.open ? "Every group is decided. The plan shows what would be done." : this.relation ? "No group of this kind is left." : "Nothing of this report is left: look again for what has come since.")}`, place);
    this.compare.draw();
  }

  #chips() {
    const { relations, numbers } = this.overview;
    const chip = (/** @type {string} */ name, /** @type {string} */ words, /** @type {number} */ count, /** @type {string} */ meaning) => html`
      <button type="button" class="chip ${name}" aria-pressed=${String(this.relation === name)} title=${meaning} @click=${() => this.filter(name, this.open)}>${words} <span>${count.toLocaleString("en")}</span></button>`;
    const all = Object.values(numbers).reduce((sum, found) => sum + found.length, 0);
    return html`<div class="row chips" role="group" aria-label="Which groups">
      ${chip("", "All", all, "Every group")}
      ${relations.filter((/** @type {any} */ one) => numbers[one.name]).map((/** @type {any} */ one) => chip(one.name, one.name, numbers[one.name].length, one.meaning))}
      <label class="row check"><input type="checkbox" .checked=${this.open} @change=${(/** @type {any} */ event) => this.filter(this.relation, event.target.checked)}> Undecided only</label>
      ${edit ? html`<label class="row check"><input type="checkbox" .checked=${this.advances} @change=${(/** @type {any} */ event) => this.setAdvances(event.target.checked)}> Go on after each decision</label>` : nothing}
    </div>`;
  }

  /** @param {Group} group */
  #body(group) {
    const at = this.numbers.indexOf(group.number) + 1;
    const meaning = this.overview.relations.find((/** @type {any} */ one) => one.name === group.relation)?.meaning ?? "";
    const done = this.numbers.filter((n) => this.states.get(n) === "decided").length;
    return html`
      <section class="group" aria-labelledby="group-title">
        <p class="hushed" role="status">Group ${at} of ${this.numbers.length}, photo ${this.looked + 1} of ${group.photos.length}</p>
        <div class="head">
          <h2 id="group-title">Group ${at.toLocaleString("en")} of ${this.numbers.length.toLocaleString("en")} <span class="relation ${group.relation}">${group.relation}</span> <small>${meaning}</small></h2>
          <p class="why"><b>Proposed: ${fileName(group.photos.find(({ photo }) => photo.id === group.keep)?.photo.path ?? "")}</b> ${group.reason}${group.gone ? html` <em>${counted(group.gone, "photo")} of it left the index since.</em>` : nothing}</p>
          <p class="decided facts">${done.toLocaleString("en")} of ${this.numbers.length.toLocaleString("en")} decided <progress max=${this.numbers.length} value=${done} aria-label="Groups decided"></progress></p>
        </div>
        <div class="row modes" role="group" aria-label="How to compare">
          ${Object.entries(MODES).map(([mode, [words, key]]) => html`<button type="button" aria-pressed=${String(this.compare.mode === mode)} @click=${() => this.setMode(mode)}>${words} ${shown(key)}</button>`)}
          <button type="button" aria-pressed=${String(this.compare.zoom > 1)} @click=${() => this.zoom()}>Zoom ${shown("z")}</button>
          ${this.compare.zoom > 1 ? html`<span class="row" role="group" aria-label="Move the part that is seen">${[["ArrowLeft", "Left", -0.25, 0], ["ArrowUp", "Up", 0, -0.25], ["ArrowDown", "Down", 0, 0.25], ["ArrowRight", "Right", 0.25, 0]].map(([key, words, x, y]) => html`
            <button type="button" aria-label=${words} @click=${() => this.compare.move(Number(x), Number(y))}>${{ ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", ArrowRight: "→" }[String(key)]}</button>`)}</span>` : nothing}
          <label class="row split" ?hidden=${this.compare.mode !== "split"}>Where it is split <input type="range" min="0" max="1" step="0.01" .value=${String(this.compare.split)} @input=${(/** @type {any} */ event) => ((this.compare.split = Number(event.target.value)), this.compare.draw())}></label>
        </div>
        ${this.stage}
        <ol class="strip" tabindex="0" aria-label="The photos of this group">${group.photos.map((one, n) => this.#photo(group, one, n))}</ol>
      </section>
      ${edit ? this.#deck() : nothing}`;
  }

  /** @param {Group} group @param {Shown} one @param {number} n */
  #photo(group, one, n) {
    const { photo } = one;
    const state = this.#stateOf(one);
    const kept = group.photos[this.pinned].photo;
    const differs = (/** @type {unknown} */ mine, /** @type {unknown} */ its) => (n !== this.pinned && mine !== its ? "differs" : "");
    const words = { keep: "keep", remove: "remove", "": one.protected ? "protected" : one.apart ? "not the same" : photo.id === group.keep ? "proposed" : "undecided" }[state];
    return html`<li class="${state} ${n === this.looked ? "looked" : ""}">
      <button type="button" class="look" aria-current=${n === this.looked ? "true" : nothing} aria-label="Look at ${n + 1}, ${fileName(photo.path)}: ${words}" @click=${() => this.look(n)}>
        <img src=${picture(photo, "thumbnail", 320)} alt=${alt(photo)} decoding="async"><span class="number">${n + 1}</span><span class="badge">${words}</span>
      </button>
      <div class="about">
        <p class="name"><a href="/photos/${photo.id}">${fileName(photo.path)}</a></p>
        ${photo.id === group.keep ? nothing : html`<p class="reason"><span class="relation ${one.relation}">${one.relation}</span> ${one.reason}</p>`}
        <p class="facts"><span class=${differs(`${photo.width}x${photo.height}`, `${kept.width}x${kept.height}`)}>${photo.width} × ${photo.height}</span>
          <span class=${differs(photo.size, kept.size)}>${photo.format} ${bytes(photo.size)}</span>
          ${photo.taken_at ? html`<span class=${differs(photo.taken_at, kept.taken_at)}>${(photo.taken_at ?? "").replace("T", " ")}</span>` : nothing}</p>
        ${one.shows.length ? html`<p class="facts">${one.shows.join("; ")}</p>` : nothing}
      </div></li>`;
  }

  #deck() {
    const button = (/** @type {string} */ words, /** @type {string} */ key, /** @type {() => unknown} */ act, kind = "") => html`
      <button type="button" class=${kind} @click=${act}>${words} ${shown(key)}</button>`;
    return html`<div class="deck" role="group" aria-label="Decide">
      <div class="row">
        ${button("Keep", "p", () => this.mark("keep"), "keeps")}${button("Remove", "x", () => this.mark("remove"), "removes")}${button("Undecided", "8", () => this.mark(""))}
        ${button("Not the same", "n", () => this.apart())}${button("As proposed", "a", () => this.propose())}
      </div>
      <div class="row">
        ${button("Back", "Backspace", () => this.step(-1))}${button("Next", "Enter", () => this.step(1), "primary")}
      </div></div>`;
  }

  /** @param {string} mode */
  setMode(mode) {
    this.compare.set(mode);
    this.draw();
  }

  zoom() {
    this.compare.toggleZoom();
    this.draw();
  }

  /** The keys of a review. @returns {import("./keys.js").Bindings} */
  get keys() {
    const looks = [1, 2, 3, 4, 5, 6].map((n) => [String(n), [`look at photo ${n}`, () => this.look(n - 1)]]);
    const decides = edit ? {
      p: ["keep this photo", () => this.mark("keep")], 7: ["keep, too", () => this.mark("keep")],
      x: ["remove this photo", () => this.mark("remove")], 9: ["remove, too", () => this.mark("remove")],
      8: ["undecided", () => this.mark("")], n: ["not the same", () => this.apart()], a: ["all as proposed", () => this.propose()],
    } : {};
    return /** @type {any} */ ({
      ...Object.fromEntries(looks),
      ArrowRight: ["next photo", () => this.look(this.looked + 1)], ArrowLeft: ["previous photo", () => this.look(this.looked - 1)],
      ...decides,
      Enter: ["next group", () => this.step(1)], Backspace: ["previous group", () => this.step(-1)],
      ...Object.fromEntries(Object.entries(MODES).map(([mode, [words, key]]) => [key, [words.toLowerCase(), () => this.setMode(mode)]])),
      z: ["zoom", () => this.zoom()], t: ["pin the other photo", () => this.swap()],
      "+": ["zoom in", () => this.compare.setZoom(this.compare.zoom * 1.5)], "-": ["zoom out", () => this.compare.setZoom(this.compare.zoom / 1.5)],
      "Shift+ArrowLeft": ["move left", () => this.compare.move(-0.25, 0)], "Shift+ArrowRight": ["move right", () => this.compare.move(0.25, 0)],
      "Shift+ArrowUp": ["move up", () => this.compare.move(0, -0.25)], "Shift+ArrowDown": ["move down", () => this.compare.move(0, 0.25)],
    });
  }
}

// The plan

/** @param {any} overview */
async function showPlan(overview) {
  /** @type {Set<string>} */
  const also = new Set();
  let action = "trash";
  const open = (/** @type {string} */ name) => overview.numbers[name].filter((/** @type {number} */ n) => !overview.decided.includes(n) && !overview.begun.includes(n)).length;
  const draw = async () => {
    const planned = await get(`/duplicates/${report}/plan`, { relations: [...also] });
    const relations = overview.relations.filter((/** @type {any} */ { name }) => overview.numbers[name]);
    const choose = (/** @type {string} */ name, /** @type {boolean} */ on) => ((on ? also.add(name) : also.delete(name)), draw());
    render(html`
      <section class="plan" aria-labelledby="plan-title">
        <h2 id="plan-title">Plan</h2>
        <p class="sum" role="status">${planned.remove.photos ? html`<b>${counted(planned.remove.photos, "photo")}</b> would go, <b>${bytes(planned.remove.bytes)}</b>; ${counted(planned.keep.photos, "photo")} of these groups would stay. Nothing has been moved.` : "Nothing would go yet: decide in the review, or take what is proposed."}</p>
        ${planned.remove.photos ? html`<div class="wide"><table><thead><tr><th scope="col">How they are related</th><th scope="col">Photos</th><th scope="col">Size</th></tr></thead><tbody>
          ${Object.entries(planned.by_relation).map(([name, sum]) => html`<tr><th scope="row"><span class="relation ${name}">${name}</span></th><td>${sum.photos.toLocaleString("en")}</td><td>${bytes(sum.bytes)}</td></tr>`)}
        </tbody></table></div>` : nothing}
        ${edit && relations.length ? html`<fieldset><legend>Groups that nobody has decided</legend>${relations.map((/** @type {any} */ { name, meaning }) => html`
          <label class="row check"><input type="checkbox" ?checked=${also.has(name)} ?disabled=${!open(name)} @change=${(/** @type {any} */ event) => choose(name, event.target.checked)}>
            <span>As proposed: <span class="relation ${name}">${name}</span> (${meaning}), ${counted(open(name), "group")}</span></label>`)}</fieldset>` : nothing}
        ${Object.keys(planned.stays).length ? html`<details><summary>${counted(Object.values(planned.stays).reduce((sum, n) => sum + Number(n), 0), "photo")} would be left as they are</summary>
          <ul>${Object.entries(planned.stays).map(([why, n]) => html`<li>${counted(Number(n), "photo")}: ${why || "not decided"}</li>`)}</ul></details>` : nothing}
        ${planned.paths.length ? html`<details><summary>The files that would go</summary><ol class="paths">${planned.paths.map((/** @type {string} */ path) => html`<li>${path}</li>`)}</ol>
          ${planned.remove.photos > planned.paths.length ? html`<p>and ${(planned.remove.photos - planned.paths.length).toLocaleString("en")} more</p>` : nothing}</details>` : nothing}
        ${edit ? html`<p class="row"><label for="action">How</label> <select id="action" @change=${(/** @type {any} */ event) => (action = event.target.value)}>
            <option value="trash">into a trash beside the photos</option><option value="hardlink">identical files become links to one file</option></select>
          <button type="button" class="primary" id="apply" ?disabled=${!planned.remove.photos} @click=${() => apply(overview, [...also], action)}>Apply</button></p>` : nothing}
      </section>`, place);
  };
  await draw();
}

/** @param {any} overview @param {string[]} relations @param {string} action */
async function apply(overview, relations, action) {
  const job = await start(progress, { do: "apply", report, relations, action });
  if (!job) return say("Cancelled. What had been moved is listed among the runs.");
  const done = await get(`/jobs/${job.id}/result`);
  await showRuns(done);
  heading()?.focus();
  if (done.run) did(`Moved ${counted(done.done, "photo")}, ${bytes(done.bytes)}`, () => takeBack(done.run));
  else say("Nothing was moved.");
}

// Runs

/** @param {string} run @returns {Promise<Element | void>} */
async function takeBack(run) {
  const job = await start(progress, { do: "undo", run });
  const done = job ? await get(`/jobs/${job.id}/result`) : null;
  await showRuns(done);
  if (done) say(`Brought ${counted(done.done, "photo")} back.`);
  heading()?.focus();
  return heading();
}

/** The heading of what is shown now. */
const heading = () => /** @type {HTMLElement | undefined} */ (place.querySelector("h2") ?? undefined);

/** @param {any} [done] what a run has just done */
async function showRuns(done) {
  const runs = (await get("/runs")).reverse();
  const can = (/** @type {any} */ { state }) => edit && ["done", "stopped", "partly undone", "partly emptied"].includes(state);
  render(html`
    <section aria-labelledby="runs-title">
      <h2 id="runs-title" tabindex="-1">Runs</h2>
      ${done?.skipped?.length ? html`<details open><summary>${counted(done.skipped.length, "file")} stayed</summary><ul>${done.skipped.map((/** @type {string[]} */ [path, why]) => html`<li>${path}: ${why}</li>`)}</ul></details>` : nothing}
      ${runs.length ? html`<div class="wide"><table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Photos</th><th scope="col">Size</th><th scope="col">State</th><th scope="col"><span class="hushed">Take back</span></th></tr></thead>
        <tbody>${runs.map((/** @type {any} */ run) => html`<tr><td>${date(run.at)}</td><td>${run.action}</td><td>${run.photos.toLocaleString("en")}</td><td>${bytes(run.bytes)}</td><td>${run.state}</td>
          <td>${can(run) ? html`<button type="button" aria-label="Undo the run of ${date(run.at)}" @click=${() => takeBack(run.run)}>Undo</button>` : nothing}</td></tr>`)}</tbody></table></div>` : empty("Nothing was moved yet.")}
    </section>`, place);
}

// Pairs kept apart

async function showApart() {
  const pairs = await get("/not-duplicates");
  const shot = (/** @type {any} */ photo) => html`<a class="shot" href="/photos/${photo.id}"><img src=${picture(photo, "thumbnail", 320)} alt=${alt(photo)} loading="lazy" decoding="async"></a>`;
  render(html`
    <section aria-labelledby="apart-title">
      <h2 id="apart-title" tabindex="-1">Kept apart</h2>
      <p class="lead">Pairs of which somebody said that they are not the same. They are not duplicates of each other in any report.</p>
      ${pairs.length ? html`<ul class="pairs">${pairs.map((/** @type {any} */ { a, b }) => html`<li class="card"><div class="pair">${shot(a)}${shot(b)}</div>
        <div class="about"><p class="name">${fileName(a.path)} and ${fileName(b.path)}</p>
        ${edit ? html`<p><button type="button" aria-label="Take back: ${fileName(a.path)} and ${fileName(b.path)} are not the same" @click=${() => again(a, b)}>Take back</button></p>` : nothing}</div></li>`)}</ul>` : empty("No pair.")}
    </section>`, place);
}

/** @param {any} a @param {any} b */
async function again(a, b) {
  const pair = { a: a.id, b: b.id };
  await decide("DELETE", "/not-duplicates", pair);
  await showApart();
  did(`${fileName(a.path)} and ${fileName(b.path)} may be duplicates again`, async () => {
    await decide("POST", "/not-duplicates", pair);
    await showApart();
    return heading();
  });
  heading()?.focus();
}

// Which part

await decided();
const running = (await get("/jobs")).jobs.find((/** @type {any} */ job) => ["duplicates", "apply", "undo"].includes(job.do) && ["queued", "running"].includes(job.state));
if (running) follow(progress, running).then((job) => job && location.reload());
if (part === "runs") await showRuns();
else if (part === "apart") await showApart();
else if (report) {
  const overview = await get(`/duplicates/${report}`);
  if (part === "plan") await showPlan(overview);
  else {
    const review = new Review(overview);
    recall((fact) => (fact.report === report ? () => review.takeBack(fact) : null));
    keys(document.body, review.keys, "Groups");
    await review.ready;
  }
}
document.body.dataset.loaded = "yes";
