// @ts-check
/** A job that a page starts: its progress, its end, and the way to cancel it. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { Problem, ended, send } from "./api.js";
import { words } from "./job.js";

/** Start a job and show how far it is; gives the job when it is done, null where it was cancelled. Raises what went wrong.
 *  @param {HTMLElement} place where its progress is shown @param {Record<string, any>} asked as POST /jobs takes it
 *  @returns {Promise<any>} */
export const start = async (place, asked) => follow(place, await send("POST", "/jobs", asked));

/** The same for one that runs already. @param {HTMLElement} place @param {any} job @returns {Promise<any>} */
export async function follow(place, job) {
  draw(place, job);
  const end = await ended(job, (news) => draw(place, news));
  render(nothing, place);
  if (end.state === "failed") throw new Problem(end.error ?? { title: "The job failed", status: 500, detail: "The job failed: the page of jobs says why." });
  return end.state === "done" ? end : null;
}

/** @param {HTMLElement} place @param {import("./job.js").Job} job */
function draw(place, job) {
  const { id, total, done } = job;
  render(
    html`<div class="job row" role="status">
      <progress max=${total || 1} value=${total ? done : nothing} aria-label=${job.title}></progress><span>${words(job)}</span>
      <button type="button" @click=${() => send("DELETE", `/jobs/${id}`)}>Cancel</button></div>`,
    place,
  );
}
