// @ts-check
/** Jobs: what runs, waits and has ended; starting and cancelling them. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { Problem, events, get, isActive, send } from "./api.js";
import { state, words } from "./job.js";
import { say } from "./undo.js";

/** @typedef {import("./job.js").Job} Job */
/** @type {Map<number, Job>} */
const jobs = new Map();
/** @type {Map<number, string>} what became of a job, in words */
const results = new Map();
const list = document.getElementById("jobs");
const form = /** @type {HTMLFormElement | null} */ (document.getElementById("add"));

/** @param {Job} job */
async function changed(job) {
  const before = jobs.get(job.id);
  jobs.set(job.id, job);
  draw();
  if (job.state !== "done" || results.has(job.id) || job.do === "export" || list?.dataset.sees === undefined) return;
  results.set(job.id, "");
  try {
    results.set(job.id, outcome(job, await get(`/jobs/${job.id}/result`)));
  } catch {
    return; // it is no longer kept, or not for this key
  }
  draw();
  if (before?.state === "running") say(`${job.title}: ${results.get(job.id) || "done"}`);
}

/** What a job has found, in words. @param {Job} job @param {any} result */
function outcome(job, result) {
  const said = /** @type {[number | undefined, string][]} */ ({
    add: () => [[result.added, "added"], [result.changed, "changed"], [result.unchanged, "as they were"], [result.moved, "moved"], [result.paired, "go with photos"], [result.missing, "missing"], [result.failed?.length, "failed"]],
    duplicates: () => [[result.groups, "groups"]],
    audit: () => [[result.suspects?.length, "doubtful labels"]],
    apply: () => [[result.done, "files moved"], [result.failed, "failed"]],
    undo: () => [[result.done, "files brought back"], [result.failed, "failed"]],
    verify: () => [[result.problems?.length, "problems"]],
  }[job.do]?.() ?? []);
  const some = said.filter(([count]) => count).map(([count, what]) => `${Number(count).toLocaleString("en")} ${what}`);
  return some.join(", ") || (said.length ? "nothing new" : "");
}

const RESULTS = /** @type {Record<string, [string, string]>} */ ({
  add: ["/photos", "See the photos"], duplicates: ["/duplicates", "See the duplicates"], audit: ["/audit", "See the labels"], map: ["/map", "See the map"],
  species: ["/species", "See the species"], clusters: ["/clusters", "See the clusters"], apply: ["/duplicates", "See the runs"],
});

let drawn = false;

function draw() {
  if (!list) return;
  if (!drawn) list.replaceChildren(); // what the template showed: lit-html draws beside it
  drawn = true;
  const order = [...jobs.values()].sort((a, b) => b.id - a.id);
  document.getElementById("none")?.toggleAttribute("hidden", order.length > 0);
  render(order.map(row), list);
}

/** @param {Job} job */
function row(job) {
  const [address, see] = job.do === "export" ? [`/api/v1/jobs/${job.id}/result`, "Download"] : (RESULTS[job.do] ?? []);
  return html`<li class="job" data-job=${job.id}>
    <h2>${job.title}</h2><span class="state ${job.state}">${state(job)}</span>
    ${job.state === "running" ? html`<progress aria-label=${job.title} max=${job.total || 1} value=${job.total ? job.done : nothing}></progress>` : nothing}
    <p class=${job.state === "failed" ? "problem" : "hint"}>${words(job)} ${results.get(job.id) ? html`<b>${results.get(job.id)}.</b>` : nothing}</p>
    ${isActive(job) && list?.dataset.edits !== undefined ? html`<p class="row"><button type="button" ?disabled=${!job.can_cancel} @click=${() => cancel(job)}>${job.can_cancel ? "Cancel" : "Is being cancelled"}</button></p>` : nothing}
    ${(job.state === "done" || job.state === "cancelled") && address ? html`<p><a href=${address}>${see}</a></p>` : nothing}
  </li>`;
}

/** @param {Job} job */
async function cancel(job) {
  await changed(await send("DELETE", `/jobs/${job.id}`));
  /** @type {HTMLElement | null} */ (list?.querySelector(`[data-job="${job.id}"] button, [data-job="${job.id}"] a`))?.focus();
}

/** @param {any} asked */
async function start(asked) {
  const job = await send("POST", "/jobs", asked);
  if (!list) return location.assign("/jobs");
  await changed(job);
  list.querySelector(`[data-job="${job.id}"]`)?.scrollIntoView({ block: "nearest" });
  /** @type {HTMLElement | null} */ (list.querySelector(`[data-job="${job.id}"] button`))?.focus();
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = new FormData(form);
  const wrong = /** @type {HTMLElement} */ (document.getElementById("wrong"));
  wrong.hidden = true;
  const asked = { do: "add", folders: [String(given.get("folder")).trim()], labels: given.get("labels") || null, regions: given.get("regions") };
  try {
    await start(asked);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    [wrong.textContent, wrong.hidden] = [error.message, false];
    /** @type {HTMLElement} */ (form.elements.namedItem("folder")).focus();
  }
});
for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-do]"))) {
  button.addEventListener("click", () => start(JSON.parse(button.dataset.do ?? "{}")));
}
if (list) events(changed);
