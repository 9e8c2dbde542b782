// @ts-check
/** The page of names: what each label means in AviList, and correcting that. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { decide, decided, get, given } from "./api.js";
import { complete, counted, empty } from "./parts.js";
import { did } from "./undo.js";

/** @typedef {{label: string, photos: number, rank: string | null, scientific: string | null, english: string | null, candidates: string[],
 *   method: string, confidence: number}} Name */

const AT_ONCE = 200; // rows
const METHODS = { exact: "in AviList", synonym: "an older name", spelling: "another spelling", guess: "a guess", override: "corrected", unresolved: "not in AviList" };
const table = /** @type {HTMLElement} */ (document.getElementById("names"));
const filter = /** @type {HTMLInputElement} */ (document.getElementById("filter"));
const unsure = /** @type {HTMLInputElement} */ (document.getElementById("unsure"));
const { edit } = given();

await decided();
/** @type {Name[]} */
let names = await get("/names");
let most = AT_ONCE;

/** @param {Name} name */
const isUnsure = ({ method }) => method === "guess" || method === "unresolved";

/** @param {Name} name */
function meaning({ english, scientific, rank, candidates, method }) {
  if (!rank) return html`<em>${method === "override" ? "no bird" : "not known"}</em>`;
  const several = rank !== "species" ? html` <small>${rank}${candidates.length > 1 ? `, ${candidates.length.toLocaleString("en")} species` : ""}</small>` : nothing;
  return html`${english ?? scientific ?? candidates[0]}${english && scientific ? html` <i>${scientific}</i>` : nothing}${several}`;
}

/** What to tell the server so that a name means again what it means now. @param {Name} name */
const asItIs = ({ method, scientific }) => (method === "override" ? scientific ?? "" : null);

/** @param {Name} name @param {string | null} species @param {string} words */
async function correct(name, species, words) {
  const before = asItIs(name);
  await put(name.label, species);
  did(words, async () => {
    await put(name.label, before);
    return rowOf(name.label);
  });
}

/** @param {string} label */
const rowOf = (label) => [...table.querySelectorAll("tr")].find((row) => row.dataset.label === label);

/** @param {string} label @param {string | null} species */
async function put(label, species) {
  const changed = await decide("PATCH", "/names", { [label]: species });
  for (const one of changed ?? []) names = names.map((name) => (name.label === one.label ? one : name));
  draw();
  // A button that has done its part is gone, and the focus with it.
  if (document.activeElement === document.body) rowOf(label)?.focus();
}

/** @param {Event} event @param {Name} name */
function typed(event, name) {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.target).querySelector("input"));
  const species = field.value.trim();
  if (!species) return;
  field.value = "";
  correct(name, species, `${name.label} means ${species}`);
}

/** @param {FocusEvent} event */
function offer({ target }) {
  if (target instanceof HTMLInputElement && !target.list) complete(target);
}

/** @param {Name} name @param {number} n */
const row = (name, n) => html`<tr data-label=${name.label} tabindex="-1">
  <th scope="row"><a href="/photos?label=${encodeURIComponent(name.label)}">${name.label}</a> <small>${counted(name.photos, "photo")}</small></th>
  <td>${meaning(name)}</td>
  <td><span class="tag ${name.method}">${/** @type {any} */ (METHODS)[name.method] ?? name.method}</span></td>
  ${edit ? html`<td class="fix"><form class="row" @submit=${(/** @type {Event} */ event) => typed(event, name)}>
      <input name="name-${n}" aria-label="${name.label} means" placeholder="means…" maxlength="200" @focus=${offer}><button>Set</button>
      ${isUnsure(name) && name.scientific ? html`<button type="button" aria-label="${name.label}: ${name.english ?? name.scientific} is right" @click=${() => correct(name, name.scientific, `${name.label} means ${name.english ?? name.scientific}`)}>Right</button>` : nothing}
      ${name.method === "override" ? html`<button type="button" aria-label="${name.label}: take the correction back" @click=${() => correct(name, null, `${name.label} means what AviList says`)}>Take back</button>`
        : name.rank ? html`<button type="button" aria-label="${name.label} is no bird" @click=${() => correct(name, "", `${name.label} is no bird`)}>No bird</button>` : nothing}
    </form></td>` : nothing}</tr>`;

function draw() {
  const wanted = filter.value.trim().toLowerCase();
  const fit = names.filter((name) => (!unsure.checked || isUnsure(name)) && [name.label, name.english, name.scientific].some((text) => text?.toLowerCase().includes(wanted)));
  render(
    fit.length
      ? html`<div class="wide" tabindex="0" role="region" aria-label="Names"><table class="names"><thead><tr><th scope="col">Label</th><th scope="col">Means</th><th scope="col">How sure</th>${edit ? html`<th scope="col">Correct it</th>` : nothing}</tr></thead>
          <tbody>${fit.slice(0, most).map(row)}</tbody></table></div>
          ${fit.length > most ? html`<p><button type="button" @click=${() => ((most += AT_ONCE), draw())}>More names</button></p>` : nothing}`
      : empty(names.length ? "No name fits." : "No photo has a label."),
    table,
  );
  const count = document.getElementById("count");
  if (count) count.textContent = `${counted(names.length, "name")}, ${names.filter(isUnsure).length.toLocaleString("en")} unsure. ${fit.length === names.length ? "" : `${fit.length.toLocaleString("en")} shown.`}`;
}

filter.addEventListener("input", () => ((most = AT_ONCE), draw()));
unsure.addEventListener("change", draw);
draw();
document.body.dataset.loaded = "yes";
