// @ts-check
/** A grid of any number of photos: cells of one size over all ids, of which only those in sight are in the page. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { Problem, get } from "./api.js";
import { keys } from "./keys.js";
import { alt, date, name, picture } from "./parts.js";

/** @typedef {import("./parts.js").Photo} Photo */
/** @typedef {object} Options
 *  @property {string} [label] what the list is called for those who do not see it
 *  @property {(photo: Photo) => unknown} [about] what stands below a picture, at most two lines
 *  @property {(id: number) => void} [open] what Enter and a click do; else the page of the photo opens
 *  @property {(grid: Grid) => void} [changed] called when the selection or the current photo has changed
 *  @property {() => void} [stale] called when a photo is no longer in the index
 *  @property {boolean} [remembers] whether place and selection are kept in the address and the history of the page */

const MOST = 200; // cells in the page
const REST = 80; // milliseconds without scrolling after which facts and pictures are asked for
const FACTS = 4000; // photos whose facts are kept
export const TALLEST = 500_000; // photos of one grid: a browser has no higher page than 2^25 pixels

const about = (/** @type {Photo} */ photo) => html`${name(photo)}${photo.taken_at ? html`<p class="facts">${date(photo.taken_at)}</p>` : nothing}`;

const gone = (/** @type {Event} */ event) => /** @type {Element} */ (event.target).classList.add("gone");

export class Grid {
  /** @type {Uint32Array} */
  ids = new Uint32Array();
  /** Ids of the photos that are selected. @type {Set<number>} */
  selected = new Set();
  /** @type {Map<number, Photo>} */
  #facts = new Map();
  /** What photos will be once the server has a decision. @type {Map<number, Partial<Photo>>} */
  #assumed = new Map();
  /** @type {Map<number, HTMLLIElement>} position -> its cell */
  #cells = new Map();
  #at = 0; // position of the current photo, whose cell takes the focus
  #anchor = 0; // where a selection with Shift began
  #rests = true;
  #sight = [0, 0]; // the first position in sight, and the first one below
  #shape = { columns: 1, width: 0, height: 0, gap: 0, spare: 1 };
  #asking = new AbortController();
  #asked = new Set(); // ids that the request is about
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLUListElement} host an empty list of the page @param {Options} [options] */
  constructor(host, options = {}) {
    this.host = host;
    this.options = options;
    host.classList.add("grid");
    host.setAttribute("role", "list");
    if (options.label) host.setAttribute("aria-label", options.label);
    host.addEventListener("click", (event) => this.#clicked(event));
    document.addEventListener("scroll", () => this.#scrolled(), { capture: true, passive: true });
    new ResizeObserver(() => this.#resized()).observe(host);
    const move = (/** @type {() => number} */ by) => (/** @type {KeyboardEvent} */ event) => this.#move(this.#at + by(), event.shiftKey);
    const moves = {
      ArrowLeft: ["the photo before", () => -1], ArrowRight: ["the next photo", () => 1],
      ArrowUp: ["a row up", () => -this.#shape.columns], ArrowDown: ["a row down", () => this.#shape.columns],
      PageUp: ["a screen up", () => -this.#screen()], PageDown: ["a screen down", () => this.#screen()],
      Home: ["the first photo", () => -this.#at], End: ["the last photo", () => this.ids.length],
    };
    for (const [key, [words, by]] of /** @type {[string, [string, () => number]][]} */ (Object.entries(moves))) {
      keys(host, { [key]: [words, move(by)], [`Shift+${key}`]: [`select up to ${words}`, move(by)] }, "Grid");
    }
    keys(host, {
      Space: ["select, or no longer", () => this.select([this.current])],
      "Shift+Space": ["select up to here", () => this.#extend(this.#at)],
      "Ctrl+a": ["select all", () => this.select(this.ids, true)],
      Escape: ["select none", () => this.select([...this.selected], false)],
    }, "Grid");
    if (options.remembers) {
      history.scrollRestoration = "manual";
      addEventListener("pagehide", () => this.remember());
    }
  }

  /** The id of the current photo. */
  get current() {
    return this.ids[this.#at];
  }

  /** Show these photos. @param {Uint32Array} ids @param {number | null} [at] id of the current photo */
  show(ids, at = null) {
    if (ids.length > TALLEST) throw new RangeError(`a grid shows at most ${TALLEST} photos: show a part of these`);
    this.ids = ids;
    const before = this.options.remembers ? history.state?.grid : null;
    const held = new Set(before ? ids : []);
    this.selected = new Set((before?.selected ?? []).filter((/** @type {number} */ id) => held.has(id)));
    this.#at = this.#anchor = Math.max(0, ids.indexOf(at ?? 0));
    this.#measure();
    this.#renewCells();
    if (at !== null && ids[this.#at] === at) {
      if (before?.columns === this.#shape.columns) scrollTo({ top: before.top, behavior: "instant" });
      else this.#cells.get(this.#at)?.scrollIntoView({ block: "center", behavior: "instant" });
    }
    this.#settle();
    this.options.changed?.(this);
  }

  /** Make a photo the current one, in sight and with the focus. @param {number} id */
  go(id) {
    const position = this.ids.indexOf(id);
    if (position >= 0) this.#move(position, false);
  }

  /** Give the current photo the focus, and come back to it. */
  focus() {
    this.#layout();
    const cell = this.#cells.get(this.#at);
    cell?.querySelector("a")?.focus({ preventScroll: true });
    cell?.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  /** Select photos or not; without `on` each is what it was not. @param {Iterable<number>} ids @param {boolean} [on] */
  select(ids, on) {
    for (const id of ids) (on ?? !this.selected.has(id)) ? this.selected.add(id) : this.selected.delete(id);
    this.#anchor = this.#at;
    this.#draw();
    this.options.changed?.(this);
  }

  /** Ask for the facts of photos again. @param {Iterable<number>} ids */
  renew(ids) {
    for (const id of ids) this.#facts.delete(id), this.#assumed.delete(id);
    this.#asking.abort(); // its answer may be older
    this.#asked.clear();
    this.#settle();
  }

  /** Show photos as they will be once the server has a decision, until they are renewed. @param {Iterable<number>} ids @param {Partial<Photo>} facts */
  assume(ids, facts) {
    for (const id of ids) this.#assumed.set(id, facts);
    this.#draw();
  }

  /** The cell of a photo, where it is in the page. @param {number} id @returns {HTMLElement | undefined} */
  cell(id) {
    return this.#cells.get(this.ids.indexOf(id));
  }

  /** Keep the place and the selection in the address and the history, so that Back returns to them. */
  remember() {
    if (!this.ids.length || history.state?.viewer) return; // nothing is shown yet, or a photo lies over the grid
    const url = new URL(location.href);
    url.searchParams.set("at", String(this.ids[this.#seen()]));
    const grid = { selected: [...this.selected], top: scrollY, columns: this.#shape.columns };
    history.replaceState({ ...history.state, grid }, "", url);
  }

  #measure() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const whole = this.host.clientWidth;
    const phone = whole < 40 * rem;
    const gap = phone ? 6 : 14;
    const text = (phone ? 2.9 : 3.7) * rem; // two lines
    for (let least = phone ? 1 : 11 * rem; ; least *= 1.15) {
      const columns = phone ? 3 : Math.max(1, Math.floor((whole + gap) / (least + gap)));
      const width = (whole - gap * (columns - 1)) / columns;
      const height = width * 0.75 + text;
      const seen = columns * (Math.ceil(innerHeight / (height + gap)) + 1);
      const spare = Math.min(3, Math.floor((MOST - seen - columns) / (2 * columns))); // rows above and below
      if (spare >= 1 || columns === 1 || phone) {
        this.#shape = { columns, width, height, gap, spare: Math.max(spare, 1) };
        break;
      }
    }
    this.host.style.setProperty("--cell-width", `${this.#shape.width}px`);
    this.host.style.setProperty("--cell-height", `${this.#shape.height}px`);
    const rows = Math.ceil(this.ids.length / this.#shape.columns);
    this.host.style.height = `${rows * (this.#shape.height + gap)}px`;
  }

  /** The position of the current photo, or where that is out of sight of the first one in sight. */
  #seen() {
    const { columns, height, gap } = this.#shape;
    const above = -this.host.getBoundingClientRect().top / (height + gap);
    const row = Math.floor(this.#at / columns);
    if (row + 1 > above && row < above + innerHeight / (height + gap)) return this.#at;
    return Math.min(Math.max(0, Math.ceil(above)) * columns, this.ids.length - 1);
  }

  #screen() {
    const { columns, height, gap } = this.#shape;
    return columns * Math.max(1, Math.floor(innerHeight / (height + gap)) - 1);
  }

  /** The positions in sight and near it, and the current one, in order. */
  #wanted() {
    const { columns, height, gap, spare } = this.#shape;
    const above = -this.host.getBoundingClientRect().top / (height + gap);
    const below = Math.ceil(above + innerHeight / (height + gap));
    this.#sight = [Math.floor(above) * columns, below * columns];
    const first = Math.max(0, Math.floor(above) - spare) * columns;
    const last = Math.min(this.ids.length, (below + spare) * columns, first + MOST - 1);
    const seen = Array.from({ length: Math.max(0, last - first) }, (_, number) => first + number);
    if (!this.ids.length || (this.#at >= first && this.#at < last)) return seen;
    return this.#at < first ? [this.#at, ...seen] : [...seen, this.#at];
  }

  /** Make all cells anew; the focus stays in the grid. */
  #renewCells() {
    const focused = this.host.contains(document.activeElement);
    for (const cell of this.#cells.values()) cell.remove();
    this.#cells.clear();
    this.#layout();
    if (focused) this.#cells.get(this.#at)?.querySelector("a")?.focus({ preventScroll: true });
  }

  #layout() {
    const wanted = this.#wanted();
    const kept = new Set(wanted);
    for (const [position, cell] of this.#cells) {
      if (kept.has(position)) continue;
      const image = cell.querySelector("img");
      if (image && !image.complete) image.removeAttribute("src"); // else the browser goes on loading it
      cell.remove();
      this.#cells.delete(position);
    }
    if (this.#asked.size && !wanted.some((position) => this.#asked.has(this.ids[position]))) this.#asking.abort(); // scrolled past
    const { columns, width, height, gap } = this.#shape;
    let next = this.host.firstElementChild;
    for (const position of wanted) {
      let cell = this.#cells.get(position);
      if (!cell) {
        cell = document.createElement("li");
        cell.dataset.position = String(position);
        cell.ariaPosInSet = String(position + 1);
        cell.ariaSetSize = String(this.ids.length);
        cell.style.translate = `${(position % columns) * (width + gap)}px ${Math.floor(position / columns) * (height + gap)}px`;
        this.#cells.set(position, cell);
        this.host.insertBefore(cell, next);
        this.#drawCell(position, cell);
      } else next = cell.nextElementSibling;
    }
  }

  #draw() {
    for (const [position, cell] of this.#cells) this.#drawCell(position, cell);
  }

  /** @param {number} position @param {HTMLLIElement} cell */
  #drawCell(position, cell) {
    const id = this.ids[position];
    const known = this.#facts.get(id);
    const photo = known && { ...known, ...this.#assumed.get(id) };
    const isSelected = this.selected.has(id);
    const words = photo ? alt(photo) : `Photo ${id}`;
    const image = cell.querySelector("img");
    const loads = photo && (this.#rests || image?.hasAttribute("src")); // what is there already stays
    cell.classList.toggle("selected", isSelected);
    render(
      html`
        <a class="shot" href="/photos/${id}" tabindex=${position === this.#at ? 0 : -1}>
          <img alt=${words} fetchpriority=${position >= this.#sight[0] && position < this.#sight[1] ? "high" : "low"} src=${loads ? picture(photo, "thumbnail", 320) : nothing} decoding="async" draggable="false" @error=${gone}>
          ${isSelected ? html`<span class="hushed">, selected</span>` : nothing}</a>
        <label class="pick"><input type="checkbox" tabindex="-1" .checked=${isSelected} aria-label="Select ${words}"></label>
        <div class="about">${photo ? (this.options.about ?? about)(photo) : nothing}</div>`,
      cell,
    );
  }

  #scrolled() {
    this.#rests = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), REST);
    requestAnimationFrame(() => this.#layout());
  }

  #resized() {
    if (!this.ids.length) return;
    const { columns, height } = this.#shape;
    const first = Math.max(0, Math.floor(-this.host.getBoundingClientRect().top / (height + this.#shape.gap))) * columns;
    this.#measure();
    if (columns === this.#shape.columns && height === this.#shape.height) return;
    if (first) scrollBy({ top: this.host.getBoundingClientRect().top + Math.floor(first / this.#shape.columns) * (this.#shape.height + this.#shape.gap), behavior: "instant" });
    this.#renewCells();
    this.#settle();
  }

  /** Nothing scrolls: ask for what is in sight. */
  async #settle() {
    this.#rests = true;
    this.#layout();
    const wanted = this.#wanted().map((position) => this.ids[position]);
    const missing = wanted.filter((id) => !this.#facts.has(id));
    if (this.options.remembers) this.remember();
    this.#draw();
    if (!missing.length || missing.every((id) => this.#asked.has(id))) return;
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#asked = new Set(missing);
    const { signal } = this.#asking;
    try {
      const { photos } = await get("/photos", { ids: missing }, signal);
      for (const photo of photos) this.#facts.set(photo.id, photo);
      for (const id of this.#facts.keys()) {
        if (this.#facts.size <= FACTS) break;
        this.#facts.delete(id); // the first that came
      }
      this.#draw();
    } catch (error) {
      if (!(error instanceof Problem && error.status === 404 && this.options.stale)) throw error;
      this.options.stale();
    } finally {
      if (signal === this.#asking.signal) this.#asked.clear();
    }
  }

  /** @param {number} position @param {boolean} extends_ */
  #move(position, extends_) {
    if (!this.ids.length) return;
    const before = this.#at;
    const to = Math.min(Math.max(position, 0), this.ids.length - 1);
    this.#at = to;
    for (const one of [before, to]) {
      const cell = this.#cells.get(one);
      if (cell) this.#drawCell(one, cell);
    }
    this.focus();
    if (extends_) this.#extend(to);
    else this.#anchor = to;
    this.options.changed?.(this);
  }

  /** Select from where the last selection began up to a position. @param {number} position */
  #extend(position) {
    const [first, last] = [this.#anchor, position].sort((a, b) => a - b);
    for (const id of this.ids.subarray(first, last + 1)) this.selected.add(id);
    this.#draw();
    this.options.changed?.(this);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const target = /** @type {Element} */ (event.target);
    const cell = target.closest("li");
    if (!cell || cell.parentElement !== this.host) return;
    const position = Number(cell.dataset.position);
    const [anchor, picks] = [this.#anchor, target.closest(".pick") !== null];
    if (picks && !(target instanceof HTMLInputElement)) return; // the click of its box follows
    if (picks || event.shiftKey || event.ctrlKey || event.metaKey) {
      if (!picks) event.preventDefault();
      this.#move(position, false);
      this.#anchor = anchor;
      if (event.shiftKey) this.#extend(position);
      else this.select([this.ids[position]]);
      if (picks) /** @type {HTMLInputElement} */ (target).checked = this.selected.has(this.ids[position]);
    } else if (target.closest("a.shot") && event.button === 0) {
      this.#move(position, false);
      if (this.options.open) {
        event.preventDefault();
        this.options.open(this.ids[position]);
      } else if (this.options.remembers) this.remember();
    }
  }
}
