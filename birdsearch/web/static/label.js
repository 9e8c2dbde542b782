// @ts-check
/** Giving photos a label: a dialog that asks for the species, and what it sends; it can be taken back. */
import { html, render } from "./vendor/lit-html.js";
import { decide } from "./api.js";
import { complete, counted } from "./parts.js";
import { did } from "./undo.js";

/** @typedef {object} Labelling
 *  @property {number[]} ids
 *  @property {string} [species] what the field says at first
 *  @property {(species: string | null) => void} [soon] called at once, before the server knows
 *  @property {() => Element | void} [done] called when the server has it, and when it was taken back; the element to look at */

/** Ask for a species, and label photos with it. @param {Labelling} labelling */
export function askLabel(labelling) {
  const dialog = document.createElement("dialog");
  dialog.className = "ask-label";
  dialog.setAttribute("aria-labelledby", "label-title");
  const close = () => dialog.close();
  render(
    html`
      <form method="dialog" @submit=${() => label(labelling, field().value.trim())}>
        <h2 id="label-title">Label of ${counted(labelling.ids.length, "photo")}</h2>
        <p><label for="label-species">Species</label>
          <input id="label-species" name="species" required maxlength="200" .value=${labelling.species ?? ""}></p>
        <p class="row"><button class="primary">Label</button><button type="button" @click=${close}>Cancel</button>
          <button type="button" @click=${() => (close(), label(labelling, null))}>Take my correction back</button></p>
      </form>`,
    dialog,
  );
  const field = () => /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
  complete(field());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  field().select();
}

const TOGETHER = 5000; // photos of one decision

/** Label photos, or take back what a person said of them. @param {Labelling} labelling @param {string | null} species */
export async function label({ ids, soon, done }, species) {
  if (species === "") return;
  const answers = Promise.all(blocks(ids).map((block) => decide("POST", "/labels", { labels: Object.fromEntries(block.map((id) => [id, species])) })));
  soon?.(species);
  const photos = counted(ids.length, "photo");
  did(species === null ? `Took the correction of ${photos} back` : `Labelled ${photos}: ${species}`, async () => {
    for (const { before, kept } of await answers) await decide("POST", "/labels/restore", { labels: before, kept });
    return done?.();
  });
  await answers.finally(() => done?.()); // also where it was refused: what is shown is what the server has
}

/** @param {number[]} ids @returns {number[][]} */
const blocks = (ids) => Array.from({ length: Math.ceil(ids.length / TOGETHER) }, (_, number) => ids.slice(number * TOGETHER, (number + 1) * TOGETHER));
