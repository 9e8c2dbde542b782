// @ts-check
/** One photo, large: what its page does with scripts, and the dialog that shows that page over a grid. */
import { render } from "./vendor/lit-html.js";
import { Problem, send } from "./api.js";
import { askLabel } from "./label.js";
import { keys } from "./keys.js";
import { empty, evidenceOf, said } from "./parts.js";
import { say, undoKeys } from "./undo.js";

/** @typedef {object} Handling
 *  @property {() => HTMLElement | null} article the photo as its page has it, once it has come
 *  @property {(step: 1 | -1) => void} go
 *  @property {() => void} renew show it anew
 *  @property {(ids: number[], species: string | null) => void} [labelled]
 *  @property {() => void} [close] */

let isWhole = false; // at 100 %; stays so from photo to photo
let place = { x: 0.5, y: 0.5 }; // of the photo, in the middle of the frame

const KEPT = "birdsearch-facts";

/** The id of a photo's page. @param {string} path */
export const idOf = (path) => Number(/^\/photos\/(\d+)$/.exec(path)?.[1] ?? 0);
/** The photo of a picture. @param {string} address */
const photoOf = (address) => Number(/\/photos\/(\d+)\//.exec(address)?.[1] ?? 0);

/** Have the keys, the buttons and the picture of a photo do what they say. @param {HTMLElement} scope @param {Handling} handling */
export function handle(scope, { article, go, renew, labelled, close }) {
  const seen = (/** @type {(photo: HTMLElement) => void} */ act) => () => {
    const photo = article();
    if (photo) act(photo);
  };
  const acts = {
    whole: seen((photo) => setWhole(photo, !isWhole)),
    similar: seen((photo) => location.assign(`/ask?photo=${photo.dataset.id}`)),
    label: seen((photo) => {
      if (!photo.querySelector('[data-act="label"]')) return;
      const ids = [Number(photo.dataset.id)]; // also when another photo is seen by the time it is done
      askLabel({
        ids, species: photo.querySelector("h1")?.dataset.species,
        soon: (species) => labelled?.(ids, species),
        done: () => (renew(), labelled?.(ids, null), article() ?? undefined),
      });
    }),
  };
  const pan = (/** @type {number} */ x, /** @type {number} */ y) => seen((photo) => figure(photo).scrollBy({ left: 160 * x, top: 160 * y }));
  keys(scope, {
    ArrowLeft: ["the photo before", () => go(-1)], ArrowRight: ["the next photo", () => go(1)],
    z: ["100 %, or all of it", acts.whole], i: ["facts", seen(showFacts)],
    s: ["find similar", acts.similar], l: ["label", acts.label],
    "Shift+ArrowLeft": ["look further left at 100 %", pan(-1, 0)], "Shift+ArrowRight": ["look further right at 100 %", pan(1, 0)],
    "Shift+ArrowUp": ["look further up at 100 %", pan(0, -1)], "Shift+ArrowDown": ["look further down at 100 %", pan(0, 1)],
  }, "Photo");
  if (close) keys(scope, undoKeys, "Photo");
  scope.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const act = /** @type {HTMLElement | null} */ (target.closest("[data-act]"))?.dataset.act;
    const link = target.closest("a");
    const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (act && act in acts && plain) {
      event.preventDefault();
      acts[/** @type {keyof typeof acts} */ (act)]();
    } else if (link?.rel === "prev" || link?.rel === "next") {
      if (plain) event.preventDefault(), go(link.rel === "next" ? 1 : -1);
    } else if (close && link?.classList.contains("back") && plain) {
      event.preventDefault();
      close();
    } else if (target.closest(".large img") && target instanceof HTMLImageElement) {
      const box = target.getBoundingClientRect();
      if (!isWhole) place = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
      acts.whole();
    }
  });
}

/** Prepare a photo that has just come into the page. @param {HTMLElement} article */
export function prepare(article) {
  const known = /** @type {HTMLDetailsElement} */ (article.querySelector(".known"));
  known.open = localStorage.getItem(KEPT) !== "closed";
  for (const button of article.querySelectorAll('[data-act="label"]')) button.removeAttribute("hidden");
  if (isWhole) setWhole(article, true);
  const image = picture(article);
  const fetchAhead = () => ahead(article).forEach((address) => (new Image().src = address));
  image.complete ? fetchAhead() : image.addEventListener("load", fetchAhead, { once: true });
}

/** The photo of a page. @param {string} address @param {AbortSignal} [signal] @returns {Promise<HTMLElement>} */
export function articleAt(address, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // not fetch: only this parses HTML without a policy for trusted types
    const refuse = (/** @type {string} */ title) => reject(new Problem({ title, status: request.status }));
    request.open("GET", address);
    request.responseType = "document";
    request.onload = () => {
      const article = request.response?.querySelector("article.photo");
      if (article) resolve(document.importNode(article, true));
      else refuse(request.response?.querySelector(".problem")?.textContent ?? "This photo cannot be shown.");
    };
    request.onerror = () => refuse("birdsearch does not answer. Is it still running?");
    signal?.addEventListener("abort", () => request.abort());
    request.send();
  });
}

/** Say what a photo shows, which may take a while: the page in a dialog comes without it.
 *  @param {HTMLElement} article @param {AbortSignal} signal */
async function classify(article, signal) {
  const place = /** @type {HTMLElement | null} */ (article.querySelector(".said"));
  if (!place) return;
  render(empty("Looking…"), place);
  const { predictions } = await send("POST", "/classify", { photo: Number(article.dataset.id) }, signal);
  const photos = await evidenceOf(predictions, signal);
  render(said(predictions, photos), place);
}

/** @param {HTMLElement} article */
const figure = (article) => /** @type {HTMLElement} */ (article.querySelector(".large"));
/** The addresses of the pictures of the photos that come next. @param {HTMLElement} article */
const ahead = (article) => (article.dataset.ahead ?? "").split(" ").filter(Boolean);
/** @param {HTMLElement} article */
const picture = (article) => /** @type {HTMLImageElement} */ (article.querySelector(".large img"));

/** @param {HTMLElement} article */
function showFacts(article) {
  const known = /** @type {HTMLDetailsElement} */ (article.querySelector(".known"));
  known.open = !known.open;
  localStorage.setItem(KEPT, known.open ? "open" : "closed");
}

/** Show a photo at 100 %, around the place that was seen before, or all of it. @param {HTMLElement} article @param {boolean} whole */
function setWhole(article, whole) {
  const frame = figure(article);
  const image = picture(article);
  if (isWhole && !whole) {
    place = {
      x: (frame.scrollLeft + frame.clientWidth / 2) / frame.scrollWidth, y: (frame.scrollTop + frame.clientHeight / 2) / frame.scrollHeight,
    };
  }
  isWhole = whole;
  frame.classList.toggle("whole", whole);
  article.querySelector('[data-act="whole"]')?.setAttribute("aria-pressed", String(whole));
  if (!whole) return;
  frame.scrollTo({ left: place.x * frame.scrollWidth - frame.clientWidth / 2, top: place.y * frame.scrollHeight - frame.clientHeight / 2, behavior: "instant" });
  const original = image.dataset.whole;
  if (!original || image.getAttribute("src") === original) return;
  const sharp = new Image(); // the preview is seen, enlarged, until it has come
  sharp.onload = () => (image.src = original);
  sharp.onerror = () => say("This browser cannot show the original: its preview is shown, enlarged.");
  sharp.src = original;
}

/** A photo over the grid: its own page in a dialog, so that the grid stays as it is. */
export class Viewer {
  #id = 0;
  #asking = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Map<number, string>} photo -> address of its preview */
  #seen = new Map();

  /** @param {HTMLDialogElement} dialog
   *  @param {{ids: () => Uint32Array, query: () => string, moved: (id: number) => void, closed: () => void,
   *    labelled: (ids: number[], species: string | null) => void}} grid */
  constructor(dialog, grid) {
    this.dialog = dialog;
    this.grid = grid;
    handle(dialog, {
      article: () => this.#article(), go: (step) => this.#go(step), renew: () => this.#load(0), labelled: grid.labelled,
      close: () => dialog.close(),
    });
    dialog.addEventListener("click", (event) => {
      const link = /** @type {Element} */ (event.target).closest("a");
      const id = link && !event.defaultPrevented && !event.ctrlKey && !event.metaKey ? idOf(link.pathname) : 0;
      if (id) event.preventDefault(), this.open(id);
    });
    dialog.addEventListener("close", () => {
      this.#asking.abort();
      clearTimeout(this.#timer);
      this.#article()?.remove(); // the next one that is opened is another one
      const deep = history.state?.viewer ?? 0;
      if (deep) history.go(-deep); // to the entry of the grid
      grid.closed();
    });
  }

  /** Show a photo; an entry of the history leads back. @param {number} id @param {boolean} [isBack] the history leads here */
  open(id, isBack = false) {
    if (!isBack) history.pushState({ viewer: (history.state?.viewer ?? 0) + 1 }, "", `/photos/${id}${this.grid.query()}`);
    if (!this.dialog.open) this.dialog.showModal();
    this.#show(id);
  }

  /** @param {1 | -1} step */
  #go(step) {
    const ids = this.grid.ids();
    const position = ids.indexOf(this.#id) + step;
    if (!ids.includes(this.#id) || position < 0 || position >= ids.length) return say(step > 0 ? "This is the last photo." : "This is the first photo.");
    history.replaceState(history.state, "", `/photos/${ids[position]}${this.grid.query()}`);
    this.#show(ids[position]);
  }

  /** @param {number} id */
  #show(id) {
    const known = this.#seen.get(id);
    const article = this.#article();
    if (known && article && id !== this.#id) {
      picture(article).src = known; // at once; its facts follow
      picture(article).removeAttribute("data-whole");
      article.dataset.id = String(id); // what is done is done with what is seen
      article.querySelector("h1")?.removeAttribute("data-species");
      this.#load(120, id);
    } else this.#load(0, id);
    this.grid.moved(id);
  }

  #article() {
    return /** @type {HTMLElement | null} */ (this.dialog.querySelector("article"));
  }

  /** @param {number} pause milliseconds in which another photo may be wanted @param {number} [id] */
  #load(pause, id = this.#id) {
    this.#id = id;
    this.#asking.abort();
    this.#asking = new AbortController();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fill(id, this.#asking.signal), pause);
  }

  /** @param {number} id @param {AbortSignal} signal */
  async #fill(id, signal) {
    const fields = new URLSearchParams(this.grid.query());
    fields.set("brief", "1");
    const article = await articleAt(`/photos/${id}?${fields}`, signal);
    this.#article()?.remove();
    this.dialog.prepend(article); // the undo bar may lie below it
    for (const address of [picture(article).getAttribute("src") ?? "", ...ahead(article)]) this.#seen.set(photoOf(address), address);
    prepare(article);
    article.querySelector("h1")?.focus({ preventScroll: true });
    await classify(article, signal);
  }
}
