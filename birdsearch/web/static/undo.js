// @ts-check
/** The bar at the foot of the page: what was just done, the way back, problems, and decisions that wait. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { Problem } from "./api.js";
import { keys, shown } from "./keys.js";

/** @typedef {() => Element | void | Promise<Element | void>} TakeBack */
/** @type {{words: string, takeBack: TakeBack, fact?: any}[]} */
const done = []; // the newest last
const KEPT = `birdsearch-undo-${document.documentElement.dataset.index ?? ""}-${location.pathname}`; // of this tab
const MOST = 500; // that are kept for a reload
let message = "";
let isProblem = false;
let isLast = false; // whether the message is of the last thing done
let waiting = { count: 0, problem: /** @type {Problem | undefined} */ (undefined) };

const bar = () => /** @type {HTMLElement} */ (document.getElementById("undo"));

/** Say what was done and how to take it back; `takeBack` may return the element to look at then. A `fact`, plain data,
 *  lets the page take it back after a reload too: see `recall`.
 *  @param {string} words @param {TakeBack} takeBack @param {any} [fact] or the promise of one */
export function did(words, takeBack, fact) {
  const one = { words, takeBack, fact: /** @type {any} */ (undefined) };
  done.push(one);
  if (fact !== undefined) Promise.resolve(fact).then((known) => ((one.fact = known), keep()), () => {});
  say(words);
  isLast = true;
  draw();
}

/** Have what was done on this page before it was loaded taken back too, the last thing first.
 *  @param {(fact: any) => TakeBack | null} how null for what can no longer be taken back */
export function recall(how) {
  for (const { words, fact } of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]")) {
    const takeBack = how(fact);
    if (takeBack) done.push({ words, takeBack, fact });
  }
}

function keep() {
  const known = done.filter(({ fact }) => fact !== undefined).slice(-MOST);
  sessionStorage.setItem(KEPT, JSON.stringify(known.map(({ words, fact }) => ({ words, fact }))));
}

/** Say something. @param {string} words @param {boolean} [problem] */
export function say(words, problem = false) {
  [message, isProblem, isLast] = [words, problem, false];
  draw();
}

/** Take the last thing back that was done on this page. */
export async function undo() {
  const last = done.pop();
  if (!last) return say("There is nothing to take back on this page.");
  try {
    const place = await last.takeBack();
    if (last.fact !== undefined) keep();
    say(`Taken back: ${last.words}`);
    place?.scrollIntoView({ block: "nearest" });
    if (place instanceof HTMLElement) place.focus({ preventScroll: true });
  } catch (error) {
    // What the server refuses it refuses again, and what was done before can still be taken back.
    if (!(error instanceof Problem && error.status >= 400 && error.status < 500)) done.push(last);
    throw error;
  }
}

/** The keys of taking back, for a dialog that wants them too. @type {import("./keys.js").Bindings} */
export const undoKeys = { u: ["take back", undo], "Ctrl+z": ["take back, too", undo] };

function draw() {
  const dialog = [...document.querySelectorAll("dialog:modal")].at(-1); // all outside one cannot be clicked
  if (bar().parentElement !== (dialog ?? document.body)) (dialog ?? document.body).append(bar());
  const unsent = `${waiting.count} ${waiting.count === 1 ? "decision waits" : "decisions wait"} to be sent. ${waiting.problem?.message ?? ""}`;
  const empty = !message && !waiting.problem;
  bar().hidden = empty;
  bar().classList.toggle("alarm", isProblem || Boolean(waiting.problem));
  render(
    empty ? nothing : html`
      <div>${message ? html`<p>${message}</p>` : nothing}${waiting.problem ? html`<p>${unsent}</p>` : nothing}</div>
      ${isLast ? html`<button type="button" @click=${undo}>Undo ${shown("u")}</button>` : nothing}
      <button type="button" aria-label="Close" @click=${() => say("")}>✕</button>`,
    bar(),
  );
}

window.addEventListener("waiting", (event) => {
  waiting = /** @type {CustomEvent} */ (event).detail;
  draw();
});
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof DOMException && event.reason.name === "AbortError") event.preventDefault();
  if (!(event.reason instanceof Problem)) return;
  event.preventDefault();
  say(event.reason.message, true);
});
document.addEventListener("close", draw, { capture: true }); // it may lie in that dialog
keys(document.body, undoKeys, "Everywhere");
