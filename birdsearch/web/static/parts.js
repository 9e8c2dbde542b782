// @ts-check
/** What several pages show: a photo, its name, a score, a prediction, an empty answer; and names that complete. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { address, get } from "./api.js";

/** @typedef {{id: number, path: string, sha256?: string | null, width?: number | null, height?: number | null, taken_at?: string | null,
 *   label?: string | null, species?: string | null, species_source?: string | null, camera?: string | null, [field: string]: any}} Photo */
/** @typedef {{species: string | null, probability: number, position: number, rank: string, class_name: string, source: string,
 *   evidence: number[], note: string, raw: number | null}} Prediction */

/** The address of a picture of a photo: "thumbnail", "preview" or "file".
 *  @param {Photo} photo @param {string} what @param {number} [size] pixels of a thumbnail: 160, 320 or 640 */
export const picture = ({ id, sha256 }, what, size) => address(`/photos/${id}/${what}`, { size, v: sha256?.slice(0, 16) });

/** A time as people read it, to the minute. @param {string | null | undefined} moment */
export const date = (moment) => (moment ?? "").slice(0, 16).replace("T", " ");

/** When and where a photo was taken, as far as it is known. @param {Photo} photo */
export const whenAndWhere = ({ taken_at, latitude, longitude }) =>
  [date(taken_at), latitude == null || longitude == null ? "" : `${degrees(latitude, "N", "S")}, ${degrees(longitude, "E", "W")}`].filter(Boolean).join(" · ");
const degrees = (/** @type {number} */ value, /** @type {string} */ above, /** @type {string} */ below) => `${Math.abs(value).toFixed(3)}° ${value < 0 ? below : above}`;

/** A share of 1 in words. @param {number} share */
export const percent = (share) => `${(share * 100).toFixed(share < 0.0995 || share > 0.995 ? 1 : 0)} %`;

/** So many things. @param {number} count @param {string} thing */
export const counted = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;

/** The name of a file without its folders. @param {string} path */
export const fileName = (path) => path.slice(path.lastIndexOf("/") + 1);

/** A size, as the reports have it. @param {number} count of bytes */
export const bytes = (count) =>
  count >= 1e6 ? `${(count / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB` : `${Math.round(count / 1e3).toLocaleString("en")} kB`;

/** What a picture of a photo says to those who do not see it. @param {Photo} photo */
export const alt = (photo) => [photo.species ?? "Species not known", (photo.taken_at ?? "").slice(0, 10)].filter(Boolean).join(", ");

/** The name below a photo. @param {Photo} photo */
export const name = (photo) => html`
  <p class="name ${photo.species ? "" : "none"}">${photo.species ?? "Species not known"}${photo.species_source === "prediction"
    ? html` <span class="tag">predicted</span>` : nothing}</p>`;

/** A bar as long as a share of 1. @param {number} share */
export const bar = (share) => html`
  <svg class="bar" aria-hidden="true"><rect width="100%" height="100%"></rect><rect width="${100 * Math.min(Math.max(share, 0), 1)}%" height="100%"></rect></svg>`;

/** A score. @param {number} value cosine similarity @param {boolean} byWords of words and a photo, not of two photos */
export const score = (value, byWords = false) => html`
  <p class="score" title=${byWords ? "Cosine of the words and the photo: 0.3 is a lot" : "Cosine similarity: 1 is the same picture"}><span class=${byWords ? "" : "hushed"}>${byWords ? "Text score " : "Score "}</span>${value.toFixed(3)}${bar(value)}</p>`;

/** A photo as a card of a list. @param {Photo} photo @param {{score?: number, byWords?: boolean, more?: unknown}} [with_] */
export const card = (photo, { score: value, byWords = false, more = nothing } = {}) => html`
  <li class="card">
    <a class="shot" href="/photos/${photo.id}"><img src=${picture(photo, "thumbnail", 320)} alt=${alt(photo)} loading="lazy" decoding="async"></a>
    <div class="about">${value === undefined ? nothing : score(value, byWords)}${name(photo)}
      ${photo.taken_at ? html`<p class="facts">${date(photo.taken_at)}</p>` : nothing}${more}</div>
  </li>`;

/** One answer of a classifier. @param {Prediction} one @param {Map<number, Photo>} [photos] those that may speak for it */
export const prediction = (one, photos) => {
  const evidence = one.evidence.flatMap((id) => photos?.get(id) ?? []).slice(0, 6);
  return html`
    <li><b>${one.species ?? `${one.rank}: ${one.class_name}`}</b><span class="share">${percent(one.probability)}</span>${bar(one.probability)}
      ${note(one) ? html`<small>${note(one)}</small>` : nothing}
      ${one.raw === null ? nothing : html`<small>${percent(one.raw)} before calibration and checklist</small>`}
      ${evidence.length ? html`<ul class="evidence" aria-label="Photos that speak for it">${evidence.map((photo) => html`
        <li><a href="/photos/${photo.id}"><img src=${picture(photo, "thumbnail", 160)} alt=${alt(photo)} decoding="async"></a></li>`)}</ul>` : nothing}</li>`;
};

const note = (/** @type {Prediction} */ one) => one.note.replace(/(; )?if it is one of your species$/, ""); // as the verdict says

/** That a picture is none of what the index knows, where a classifier says so. @param {Prediction[]} predictions */
export const abstention = (predictions) => predictions.find((one) => one.rank === "abstain");

/** What a classifier says of a picture. @param {Prediction[]} predictions @param {Map<number, Photo>} [photos] those that may speak */
export function said(predictions, photos) {
  const none = abstention(predictions);
  const others = predictions.filter((one) => one !== none);
  return html`
    ${none ? html`<p class="verdict"><b>Nothing here is like it</b>, probably (${percent(none.probability)}).${others.length ? " If it is one of your species:" : ""}</p>` : nothing}
    ${others.length ? html`<ol class="guesses">${others.map((one) => prediction(one, photos))}</ol>` : nothing}
    ${predictions.length ? nothing : empty("No answer: label some photos, so that they can speak.")}`;
}

/** The photos that speak for predictions. @param {Prediction[]} predictions @param {AbortSignal} [signal] @returns {Promise<Map<number, Photo>>} */
export async function evidenceOf(predictions, signal) {
  const ids = [...new Set(predictions.flatMap(({ evidence }) => evidence.slice(0, 6)))];
  const { photos } = ids.length ? await get("/photos", { ids }, signal) : { photos: [] };
  return new Map(photos.map((/** @type {Photo} */ photo) => [photo.id, photo]));
}

/** An answer that is empty, and says why. @param {unknown} words */
export const empty = (words) => html`<p class="empty">${words}</p>`;

/** Have a field of species offer names while one types: those of this index first, then those of AviList.
 *  @param {HTMLInputElement} field @param {{own?: boolean}} [options] own: only names of this index */
export function complete(field, { own = false } = {}) {
  const list = document.createElement("datalist");
  list.id = `names-${field.name || field.id}`;
  field.after(list);
  field.setAttribute("list", list.id);
  field.autocomplete = "off";
  let latest = new AbortController();
  field.addEventListener("input", async () => {
    latest.abort();
    latest = new AbortController();
    const text = (field.value.split(",").at(-1) ?? "").trim();
    if (!text) return;
    try {
      const found = await get("/names/like", { text, limit: 12 }, latest.signal);
      const fit = found.filter((/** @type {any} */ one) => !own || one.photos > 0);
      render(fit.map((/** @type {any} */ one) => html`<option value=${one.name}>${one.scientific ?? ""}</option>`), list);
    } catch {
      // A name can be typed without being offered.
    }
  });
}
