// @ts-check
/** The page of duplicates: groups one at a time, what is to become of their photos, the plan, runs, pairs kept apart. */
import { html, nothing, render } from "./vendor/lit-html.js";
import { decide, decided, get, given, isActive } from "./api.js";
import { follow, start } from "./follow.js";
import { keys } from "./keys.js";
import { alt, bytes, counted, date, empty, fileName, picture } from "./parts.js";
import { Review } from "./review.js";
import { did, recall, say } from "./undo.js";

const place = /** @type {HTMLElement} */ (document.getElementById("part"));
const progress = /** @type {HTMLElement} */ (document.getElementById("progress"));
const { report, edit, part } = given();

// Looking for duplicates

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("find"));
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const [prefer, protect] = ["prefer", "protect"].map((name) => String(fields.get(name) ?? "").split("\n").map((line) => line.trim()).filter(Boolean));
  if (await start(progress, { do: "duplicates", burst_gap: Number(fields.get("burst_gap")), prefer, protect })) location.assign("/duplicates");
});

// The plan

/** @param {any} overview */
async function showPlan(overview) {
  /** @type {Set<string>} */
  const also = new Set();
  let action = "trash";
  const open = (/** @type {string} */ name) => overview.numbers[name].filter((/** @type {number} */ n) => !overview.decided.includes(n) && !overview.begun.includes(n)).length;
  const draw = async () => {
    const planned = await get(`/duplicates/${report}/plan`, { relations: [...also] });
    const relations = overview.relations.filter((/** @type {any} */ { name }) => overview.numbers[name]);
    const choose = (/** @type {string} */ name, /** @type {boolean} */ on) => ((on ? also.add(name) : also.delete(name)), draw());
    render(html`
      <section class="plan" aria-labelledby="plan-title">
        <h2 id="plan-title">Plan</h2>
        <p class="sum" role="status">${planned.remove.photos ? html`<b>${counted(planned.remove.photos, "photo")}</b> would go, <b>${bytes(planned.remove.bytes)}</b>; ${counted(planned.keep.photos, "photo")} of these groups would stay. Nothing has been moved.` : "Nothing would go yet: decide in the review, or take what is proposed."}</p>
        ${planned.remove.photos ? html`<div class="wide"><table><thead><tr><th scope="col">How they are related</th><th scope="col">Photos</th><th scope="col">Size</th></tr></thead><tbody>
          ${Object.entries(planned.by_relation).map(([name, sum]) => html`<tr><th scope="row"><span class="relation ${name}">${name}</span></th><td>${sum.photos.toLocaleString("en")}</td><td>${bytes(sum.bytes)}</td></tr>`)}
        </tbody></table></div>` : nothing}
        ${edit && relations.length ? html`<fieldset><legend>Groups that nobody has decided</legend>${relations.map((/** @type {any} */ { name, meaning }) => html`
          <label class="row check"><input type="checkbox" ?checked=${also.has(name)} ?disabled=${!open(name)} @change=${(/** @type {any} */ event) => choose(name, event.target.checked)}>
            <span>As proposed: <span class="relation ${name}">${name}</span> (${meaning}), ${counted(open(name), "group")}</span></label>`)}</fieldset>` : nothing}
        ${Object.keys(planned.stays).length ? html`<details><summary>${counted(Object.values(planned.stays).reduce((sum, n) => sum + Number(n), 0), "photo")} would be left as they are</summary>
          <ul>${Object.entries(planned.stays).map(([why, n]) => html`<li>${counted(Number(n), "photo")}: ${why || "not decided"}</li>`)}</ul></details>` : nothing}
        ${planned.paths.length ? html`<details><summary>The files that would go</summary><ol class="paths">${planned.paths.map((/** @type {string} */ path) => html`<li>${path}</li>`)}</ol>
          ${planned.remove.photos > planned.paths.length ? html`<p>and ${(planned.remove.photos - planned.paths.length).toLocaleString("en")} more</p>` : nothing}</details>` : nothing}
        ${edit ? html`<p class="row"><label for="action">How</label> <select id="action" @change=${(/** @type {any} */ event) => (action = event.target.value)}>
            <option value="trash">into a trash beside the photos</option><option value="hardlink">identical files become links to one file</option></select>
          <button type="button" class="primary" id="apply" ?disabled=${!planned.remove.photos} @click=${() => apply(overview, [...also], action)}>Apply</button></p>` : nothing}
      </section>`, place);
  };
  await draw();
}

/** @param {any} overview @param {string[]} relations @param {string} action */
async function apply(overview, relations, action) {
  const job = await start(progress, { do: "apply", report, relations, action });
  if (!job) return say("Cancelled. What had been moved is listed among the runs.");
  const done = await get(`/jobs/${job.id}/result`);
  await showRuns(done);
  heading()?.focus();
  if (done.run) did(`Moved ${counted(done.done, "photo")}, ${bytes(done.bytes)}`, () => takeBack(done.run));
  else say("Nothing was moved.");
}

// Runs

/** @param {string} run @returns {Promise<Element | void>} */
async function takeBack(run) {
  const job = await start(progress, { do: "undo", run });
  const done = job ? await get(`/jobs/${job.id}/result`) : null;
  await showRuns(done);
  if (done) say(`Brought ${counted(done.done, "photo")} back.`);
  heading()?.focus();
  return heading();
}

/** The heading of what is shown now. */
const heading = () => /** @type {HTMLElement | undefined} */ (place.querySelector("h2") ?? undefined);

/** @param {any} [done] what a run has just done */
async function showRuns(done) {
  const runs = (await get("/runs")).reverse();
  const can = (/** @type {any} */ { state }) => edit && ["done", "stopped", "partly undone", "partly emptied"].includes(state);
  render(html`
    <section aria-labelledby="runs-title">
      <h2 id="runs-title" tabindex="-1">Runs</h2>
      ${done?.skipped?.length ? html`<details open><summary>${counted(done.skipped.length, "file")} stayed</summary><ul>${done.skipped.map((/** @type {string[]} */ [path, why]) => html`<li>${path}: ${why}</li>`)}</ul></details>` : nothing}
      ${runs.length ? html`<div class="wide"><table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Photos</th><th scope="col">Size</th><th scope="col">State</th><th scope="col"><span class="hushed">Take back</span></th></tr></thead>
        <tbody>${runs.map((/** @type {any} */ run) => html`<tr><td>${date(run.at)}</td><td>${run.action}</td><td>${run.photos.toLocaleString("en")}</td><td>${bytes(run.bytes)}</td><td>${run.state}</td>
          <td>${can(run) ? html`<button type="button" aria-label="Undo the run of ${date(run.at)}" @click=${() => takeBack(run.run)}>Undo</button>` : nothing}</td></tr>`)}</tbody></table></div>` : empty("Nothing was moved yet.")}
    </section>`, place);
}

// Pairs kept apart

async function showApart() {
  const pairs = await get("/not-duplicates");
  const shot = (/** @type {any} */ photo) => html`<a class="shot" href="/photos/${photo.id}"><img src=${picture(photo, "thumbnail", 320)} alt=${alt(photo)} loading="lazy" decoding="async"></a>`;
  render(html`
    <section aria-labelledby="apart-title">
      <h2 id="apart-title" tabindex="-1">Kept apart</h2>
      <p class="lead">Pairs of which somebody said that they are not the same. They are not duplicates of each other in any report.</p>
      ${pairs.length ? html`<ul class="pairs">${pairs.map((/** @type {any} */ { a, b }) => html`<li class="card"><div class="pair">${shot(a)}${shot(b)}</div>
        <div class="about"><p class="name">${fileName(a.path)} and ${fileName(b.path)}</p>
        ${edit ? html`<p><button type="button" aria-label="Take back: ${fileName(a.path)} and ${fileName(b.path)} are not the same" @click=${() => again(a, b)}>Take back</button></p>` : nothing}</div></li>`)}</ul>` : empty("No pair.")}
    </section>`, place);
}

/** @param {any} a @param {any} b */
async function again(a, b) {
  const pair = { a: a.id, b: b.id };
  await decide("DELETE", "/not-duplicates", pair);
  await showApart();
  did(`${fileName(a.path)} and ${fileName(b.path)} may be duplicates again`, async () => {
    await decide("POST", "/not-duplicates", pair);
    await showApart();
    return heading();
  });
  heading()?.focus();
}

// Which part

await decided();
const running = (await get("/jobs")).jobs.find((/** @type {any} */ job) => ["duplicates", "apply", "undo"].includes(job.do) && isActive(job));
if (running) follow(progress, running).then((job) => job && location.reload());
if (part === "runs") await showRuns();
else if (part === "apart") await showApart();
else if (report) {
  const overview = await get(`/duplicates/${report}`);
  if (part === "plan") await showPlan(overview);
  else {
    const review = new Review(place, overview, edit);
    recall((fact) => (fact.report === report ? () => review.takeBack(fact) : null));
    keys(document.body, review.keys, "Groups");
    await review.ready;
  }
}
document.body.dataset.loaded = "yes";
