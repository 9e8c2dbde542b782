// @ts-check
/** Keys: what each does where the focus is, the legend that shows them, and a person's own choice of them. */
import { html, render } from "./vendor/lit-html.js";

/** @typedef {Record<string, [string, (event: KeyboardEvent) => unknown]>} Bindings key -> what it does in words, and doing it */
/** @typedef {{title: string, key: string, words: string, act: (event: KeyboardEvent) => unknown}} Action */

const KEPT = "birdsearch-keys";
const EVERYWHERE = "Everywhere"; // title of the part of the legend about all pages
/** @type {{off: boolean, own: Record<string, string>}} own: action -> key */
const choice = { off: false, own: {}, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
/** @type {Map<Element, Action[]>} */
const scopes = new Map();
let before = ""; // the first key of two, as "g"
/** @type {ReturnType<typeof setTimeout> | undefined} */
let forget;

/** Have keys do something while the focus is within an element; `document.body` stands for the whole page.
 *  A key is named as in "s", "S", "?", "ArrowLeft", "Shift+ArrowLeft", "Ctrl+z", "Space", or two after each other: "g p".
 *  They do nothing in fields, and outside a dialog that is open.
 *  @param {Element} scope @param {Bindings} bindings @param {string} [title] of this part of the legend */
export function keys(scope, bindings, title = "This page") {
  const actions = Object.entries(bindings).map(([key, [words, act]]) => ({ title, key, words, act }));
  scopes.set(scope, [...(scopes.get(scope) ?? []), ...actions]);
}

/** @param {Action} action */
const named = ({ title, words }) => `${title}: ${words}`;
/** @param {Action} action */
const keyOf = (action) => choice.own[named(action)] ?? action.key;
/** Whether a key is a character, which speech input may type by mistake (WCAG 2.1.4). @param {string} key */
const isCharacter = (key) => key.split(" ").every((one) => one.length === 1);

/** @param {KeyboardEvent} event */
function nameOf({ key, shiftKey, ctrlKey, metaKey, altKey }) {
  const letter = key.length === 1 && key.toLowerCase() !== key.toUpperCase();
  const name = key === " " ? "Space" : letter ? (shiftKey ? key.toUpperCase() : key.toLowerCase()) : key;
  return `${ctrlKey || metaKey ? "Ctrl+" : ""}${altKey ? "Alt+" : ""}${shiftKey && name.length > 1 ? "Shift+" : ""}${name}`;
}

/** The actions of the focus, the innermost first. @param {Element} target @returns {Action[]} */
function within(target) {
  const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
  const found = [];
  for (let one = /** @type {Element | null} */ (dialog && !dialog.contains(target) ? dialog : target); one; one = one.parentElement) {
    found.push(...(scopes.get(one) ?? []));
    if (one === dialog) break;
  }
  return found;
}

/** Whether an element needs a key itself. @param {Element} target @param {string} name */
function needs(target, name) {
  if (target.closest("input:not([type=checkbox], [type=button]), textarea, select, [contenteditable]")) return true;
  if (name === "Enter") return target.closest("a, button, summary") !== null;
  return name === "Space" && target.closest("button, summary, input") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || !(event.target instanceof Element)) return;
  if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
  const name = nameOf(event);
  if (needs(event.target, name)) return;
  const actions = within(event.target).filter((action) => !(choice.off && isCharacter(keyOf(action))));
  const both = before ? `${before} ${name}` : name;
  before = "";
  clearTimeout(forget);
  const action = actions.find((one) => keyOf(one) === both);
  if (action) {
    event.preventDefault();
    action.act(event);
  } else if (actions.some((one) => keyOf(one).startsWith(`${both} `))) {
    event.preventDefault();
    before = both;
    forget = setTimeout(() => (before = ""), 1500);
  }
});

// The legend

const WORDS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Enter: "↵", Backspace: "⌫" };
/** A key as it stands on keyboards. @param {string} key */
export const shown = (key) => key.split(" ").map((one) => html`<kbd>${one.split("+").map(partShown).join("+")}</kbd>`);

/** @param {string} part */
function partShown(part) {
  const isLarge = part.length === 1 && part !== part.toLowerCase();
  return isLarge ? `Shift+${part}` : /** @type {any} */ (WORDS)[part] ?? (part.length === 1 ? part.toUpperCase() : part);
}

function keep() {
  localStorage.setItem(KEPT, JSON.stringify(choice));
  if (legend().open) draw();
}

const legend = () => /** @type {HTMLDialogElement} */ (document.getElementById("keys"));
/** @type {Action | null} */
let changing = null;
let refusal = "";
/** @type {Action[]} */
let listed = [];

/** Show the keys of the place where the focus is. */
export function showKeys() {
  listed = within(document.activeElement ?? document.body);
  draw();
  legend().showModal();
}

function draw() {
  render(
    html`
      <h2>Keys</h2>
      <p><label class="row"><input type="checkbox" .checked=${!choice.off}
        @change=${(/** @type {any} */ event) => ((choice.off = !event.target.checked), keep())}> Single letters are keys</label></p>
      ${[...grouped(listed)].map(([title, actions]) => html`
        <h3>${title}</h3>
        <table class="keys"><tbody>${actions.map((action) => html`
          <tr><th scope="row">${action.words}</th>
          <td>${changing === action ? html`<em>press a key</em>` : shown(keyOf(action))}</td>
          <td><button type="button" class="small" aria-label="Other key: ${action.words}" @click=${() => ((changing = action), draw())}>Change</button></td></tr>`)}
        </tbody></table>`)}
      <p role="status">${refusal}</p>
      <p class="row">
        <button type="button" class="primary" @click=${() => legend().close()}>Close</button>
        <button type="button" @click=${() => ((choice.own = {}), keep())}>All as they were</button>
      </p>`,
    legend(),
  );
}

/** @param {Action[]} actions @returns {Map<string, Action[]>} */
function grouped(actions) {
  const parts = new Map();
  // What holds everywhere comes last.
  const ordered = [...actions.filter(({ title }) => title !== EVERYWHERE), ...actions.filter(({ title }) => title === EVERYWHERE)];
  for (const action of ordered) parts.set(action.title, [...(parts.get(action.title) ?? []), action]);
  return parts;
}

document.addEventListener("keydown", (event) => {
  if (!changing || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const action = changing;
  const name = nameOf(event);
  const other = listed.find((one) => one !== action && keyOf(one) === name);
  changing = null;
  refusal = other ? `${name} is taken: ${other.words}.` : "";
  if (!other && name !== "Escape") choice.own[named(action)] = name;
  keep();
}, { capture: true });
