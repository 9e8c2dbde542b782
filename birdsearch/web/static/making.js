// @ts-check
/** Waits for the job that makes what this page shows. */
import { events } from "./api.js";
import { words } from "./job.js";

const box = /** @type {HTMLElement} */ (document.getElementById("making"));
const stage = /** @type {HTMLElement} */ (document.getElementById("stage"));

const stop = events((job) => {
  if (job.id !== Number(box.dataset.job)) return;
  const bar = /** @type {HTMLProgressElement} */ (box.querySelector("progress"));
  if (job.total) [bar.max, bar.value] = [job.total, job.done];
  else bar.removeAttribute("value");
  stage.textContent = words(job);
  if (["queued", "running"].includes(job.state)) return;
  stop();
  if (job.state === "done") location.replace(location.pathname + location.search.replace(/([?&])fresh=true&?/, "$1"));
  else bar.hidden = true;
});
