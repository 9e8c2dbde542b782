// @ts-check
/** A job that a page starts: its progress, its end, and the way to cancel it. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { Problem, events, send } from "./api.js";
import { words } from "./job.js";

const OVER = ["done", "failed", "cancelled"];

/** Start a job and show how far it is; gives the job when it is done, null where it was cancelled. Raises what went wrong.
 *  @param {HTMLElement} place where its progress is shown @param {Record<string, any>} asked as POST /jobs takes it
 *  @returns {Promise<any>} */
export const start = async (place, asked) => follow(place, await send("POST", "/jobs", asked));

/** The same for one that runs already. @param {HTMLElement} place @param {any} job @returns {Promise<any>} */
export function follow(place, job) {
  return new Promise((resolve, reject) => {
    const stop = events((news) => news.id === job.id && next(news));
    /** @param {any} news */
    function next(news) {
      draw(place, news);
      if (!OVER.includes(news.state)) return;
      stop();
      render(nothing, place);
      if (news.state === "failed") reject(new Problem(news.error ?? { title: "The job failed", status: 500, detail: "The job failed: the page of jobs says why." }));
      else resolve(news.state === "done" ? news : null);
    }
    next(job);
  });
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
