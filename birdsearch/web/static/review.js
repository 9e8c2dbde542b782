// @ts-check
/** Going through the groups of a report of duplicates, one at a time: comparing, deciding, taking back. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { decide, get } from "./api.js";
import { Compare, MODES, prepare } from "./compare.js";
import { shown } from "./keys.js";
import { alt, bytes, counted, empty, fileName, picture } from "./parts.js";
import { did, say } from "./undo.js";

const ADVANCES = "birdsearch-advances";

/** @typedef {{photo: import("./parts.js").Photo, relation: string | null, reason: string, protected: boolean, apart: boolean, shows: string[],
 *   figures: string[], matrix: any}} Shown */
/** @typedef {{keep: number[], remove: number[]}} Pick */
/** @typedef {{number: number, relation: string, keep: number, reason: string, photos: Shown[], gone: number, decision: Pick}} Group */
/** A report without its photos. @typedef {{id: string, relations: {name: string, meaning: string}[], numbers: Record<string, number[]>,
 *   decided: number[], begun: number[]}} Overview */

/** The review of a report: one group, of it the pinned photo and the one that is looked at. */
export class Review {
  /** @param {HTMLElement} place @param {Overview} overview @param {boolean} edit whether this key may decide */
  constructor(place, overview, edit) {
    this.place = place;
    this.overview = overview;
    this.edit = edit;
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
    /** Number -> "decided" or "begun". @type {Map<number, string>} */
    this.states = new Map([...overview.decided.map(entry("decided")), ...overview.begun.map(entry("begun"))]);
    this.stage = document.createElement("div");
    this.stage.className = "stage";
    this.compare = new Compare(this.stage, { originals: edit });
    // After a click Enter goes on to the next group, as it does before one.
    place.addEventListener("click", ({ detail, target }) => detail && target instanceof Element && target.closest("button")?.blur());
    this.numbers = this.#numbers();
    const at = Number(asked.get("group"));
    this.ready = this.go(this.numbers.includes(at) ? at : this.numbers.find((n) => this.states.get(n) !== "decided") ?? this.numbers[0]);
  }

  /** The numbers of the groups that are asked for. */
  #numbers() {
    const { numbers } = this.overview;
    const all = this.relation ? numbers[this.relation] ?? [] : Object.values(numbers).flat().sort((a, b) => a - b);
    return this.open ? all.filter((n) => this.states.get(n) !== "decided") : all;
  }

  /** @param {number} number @returns {Promise<Group>} */
  #fetch(number) {
    const known = this.groups.get(number) ?? get(`/duplicates/${this.overview.id}/groups/${number}`);
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
    if (!group || !this.edit) return;
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
    if (!group || !this.edit) return;
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
    const fact = { report: this.overview.id, number: group.number, before, photoId };
    did(words, () => this.takeBack(fact), fact);
    this.look(this.looked);
  }

  /** Decide of a group as before, or have a pair again that was kept apart. @param {any} fact */
  async takeBack({ number, before, pair, photoId }) {
    const group = await this.#fetch(number);
    if (before) this.#send(group, before);
    if (pair) this.#keepApart(group, pair, false);
    if (!this.numbers.includes(number)) {
      [this.relation, this.open] = ["", false];
      this.numbers = this.#numbers();
    }
    await this.go(number, photoId);
    return this.stage;
  }

  /** @param {Group} group @param {Pick} next */
  #send(group, next) {
    const before = group.decision;
    this.#take(group, next);
    decide("PUT", `/duplicates/${this.overview.id}/groups/${group.number}`, next).catch((error) => {
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
    if (!group || !this.edit || this.looked === this.pinned) return;
    const [one, pinned] = [group.photos[this.looked], group.photos[this.pinned]];
    const pair = { a: pinned.photo.id, b: one.photo.id };
    this.#keepApart(group, pair, true);
    const removed = this.#stateOf(one) === "remove";
    const fact = { report: this.overview.id, number: group.number, pair, before: removed ? group.decision : undefined, photoId: one.photo.id };
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
    render(html`${this.#chips()}${group ? this.#body(group) : empty(this.open ? "Every group is decided. The plan shows what would be done." : this.relation ? "No group of this kind is left." : "Nothing of this report is left: look again for what has come since.")}`, this.place);
    this.compare.draw();
  }

  #chips() {
    const { relations, numbers } = this.overview;
    const chip = (/** @type {string} */ name, /** @type {string} */ words, /** @type {number} */ count, /** @type {string} */ meaning) => html`
      <button type="button" class="chip ${name}" aria-pressed=${String(this.relation === name)} title=${meaning} @click=${() => this.filter(name, this.open)}>${words} <span>${count.toLocaleString("en")}</span></button>`;
    const all = Object.values(numbers).reduce((sum, found) => sum + found.length, 0);
    return html`<div class="row chips" role="group" aria-label="Which groups">
      ${chip("", "All", all, "Every group")}
      ${relations.filter((one) => numbers[one.name]).map((one) => chip(one.name, one.name, numbers[one.name].length, one.meaning))}
      <label class="row check"><input type="checkbox" .checked=${this.open} @change=${(/** @type {any} */ event) => this.filter(this.relation, event.target.checked)}> Undecided only</label>
      ${this.edit ? html`<label class="row check"><input type="checkbox" .checked=${this.advances} @change=${(/** @type {any} */ event) => this.setAdvances(event.target.checked)}> Go on after each decision</label>` : nothing}
    </div>`;
  }

  /** @param {Group} group */
  #body(group) {
    const at = this.numbers.indexOf(group.number) + 1;
    const meaning = this.overview.relations.find((one) => one.name === group.relation)?.meaning ?? "";
    const done = this.numbers.filter((n) => this.states.get(n) === "decided").length;
    return html`
      <section class="group" aria-labelledby="group-title">
        <p class="hushed" role="status">Group ${at} of ${this.numbers.length}, photo ${this.looked + 1} of ${group.photos.length}</p>
        <div class="head">
          <h2 id="group-title">Group ${at.toLocaleString("en")} of ${this.numbers.length.toLocaleString("en")} <span class="relation ${group.relation}">${group.relation}</span> <small>${meaning}</small></h2>
          <p class="why"><b>Proposed: ${fileName(group.photos.find(({ photo }) => photo.id === group.keep)?.photo.path ?? "")}</b> ${group.reason}${group.gone ? html` <em>${counted(group.gone, "photo")} of it left the index since.</em>` : nothing}</p>
          ${group.decision.remove.length && !group.decision.keep.length ? html`<p class="problem" role="alert">Nothing of this group would be kept, so all of it stays: keep one.</p>` : nothing}
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
      ${this.edit ? this.#deck() : nothing}`;
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
    const decides = this.edit ? {
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

/** @param {string} state @returns {(number: number) => [number, string]} */
const entry = (state) => (number) => [number, state];
