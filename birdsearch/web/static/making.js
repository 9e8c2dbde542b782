// @ts-check
/** Waits for the job that makes what this page shows. */
import { ended } from "./api.js";
import { showProgress } from "./job.js";

const box = /** @type {HTMLElement} */ (document.getElementById("making"));
const bar = /** @type {HTMLProgressElement} */ (box.querySelector("progress"));
const stage = /** @type {HTMLElement} */ (document.getElementById("stage"));

const { state } = await ended({ id: Number(box.dataset.job) }, (job) => showProgress(bar, stage, job));
if (state === "done") location.replace(location.pathname + location.search.replace(/([?&])fresh=true&?/, "$1"));
else bar.hidden = true;
