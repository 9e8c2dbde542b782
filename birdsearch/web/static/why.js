// @ts-check
/** Why two photos match: the drawing of an explanation. */
import { html, nothing, svg } from "./vendor/lit-html.js";

/** @typedef {{number: number, colour: string, x: number, y: number, radius: number, tag_x: number, tag_y: number, tag_radius: number}} Mark */
/** @typedef {{name: string, species: string | null, width: number, height: number, photo: string, heat: string, marks: Mark[], brightest: string}} Side */
/** @typedef {{score: number, exact: boolean, note: string, half: [string, string], query: Side, match: Side}} Why */

/** The address of a picture that came as a data URI, which the policy of the pages does not let an image have. @param {string} uri */
function blob(uri) {
  const octets = Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([octets], { type: "image/jpeg" }));
}

/** @param {Mark} mark */
const ring = (mark) => svg`
  <circle class="halo" cx=${mark.x} cy=${mark.y} r=${mark.radius} />
  <circle class="ring" cx=${mark.x} cy=${mark.y} r=${mark.radius} stroke=${mark.colour} />
  <circle class="tag-disc" cx=${mark.tag_x} cy=${mark.tag_y} r=${mark.tag_radius} fill=${mark.colour} />
  <text class="tag-text" x=${mark.tag_x} y=${mark.tag_y} font-size=${mark.tag_radius * 1.3}>${mark.number}</text>`;

/** @param {Side} side @param {string} words @param {string} uri @param {Mark[]} marks */
const drawing = (side, words, uri, marks) => html`
  <figure><svg viewBox="0 0 ${side.width} ${side.height}" role="img" aria-label=${words}>
    <image href=${blob(uri)} width=${side.width} height=${side.height} />${marks.map(ring)}</svg>
    <figcaption>${side.species ? `${side.species} · ` : nothing}${side.name}</figcaption></figure>`;

/** @param {Why} why */
export const drawn = ({ score, exact, note, half, query, match }) => html`
  ${note ? html`<p class="guess">${note}</p>` : nothing}
  <h3>Places that look alike</h3>
  ${query.marks.length
    ? html`<p>The same number marks two places that the network finds most alike, 1 the most: each is the other's best in the whole photo.${exact ? " Places that bring little of the score, such as the sky, are left out." : ""}</p>
      <div class="pair">${drawing(query, `${query.name}: ${query.marks.length} numbered places that look like those of ${match.name}`, query.photo, query.marks)}
        ${drawing(match, `${match.name}: the same ${match.marks.length} numbered places`, match.photo, match.marks)}</div>`
    : html`<p>No two places are each other's best.</p>`}
  <h3>${exact ? "Where the score comes from" : "Where the other photo is seen (a guess)"}</h3>
  <p>${exact
    ? `The score of ${score.toFixed(3)} is a sum over the places of each photo: the brighter, the larger the part. Half of it comes from ${half[0]} places of the first photo and ${half[1]} of the second. It shows what was compared, not whether the species is the same.`
    : "The brighter a place, the more it looks like the other photo."}</p>
  <div class="pair">${drawing(query, `Where ${query.name} has its part of the score: ${query.brightest}`, query.heat, [])}
    ${drawing(match, `Where ${match.name} has its part of the score: ${match.brightest}`, match.heat, [])}</div>`;
