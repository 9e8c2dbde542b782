// @ts-check
/** What a job is, and how far it is, in words. */
import { counted } from "./parts.js";

/** @typedef {{id: number, do: string, title: string, state: string, stage: string, done: number, total: number | null,
 *   rate: number | null, left: number | null, seconds: number, created: string, ended: string | null, can_cancel: boolean,
 *   error?: {title: string, detail?: string, type?: string} | null}} Job */

const STAGES = /** @type {Record<string, string>} */ ({
  scan: "looking for photos", prepare: "getting ready", index: "looking at photos", reembed: "looking at photos anew", regions: "looking for birds",
  read: "reading files", bytes: "comparing bytes", compare: "comparing pictures", cluster: "finding clusters", map: "drawing the map",
  species: "comparing species", audit: "judging labels", classify: "classifying", calibrate: "measuring", tune: "trying engines", fit: "fitting",
  find: "looking", verify: "checking", apply: "moving files", undo: "bringing files back", copy: "copying", export: "writing", import: "reading",
  download: "downloading", propose: "proposing",
});
const STATES = /** @type {Record<string, string>} */ ({ queued: "waits", running: "runs", done: "done", failed: "failed", cancelled: "cancelled" });

/** A time span as people say it. @param {number} seconds */
export function span(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return counted(Math.round(seconds), "second");
  if (seconds < 5400) return counted(Math.round(seconds / 60), "minute");
  return `${(seconds / 3600).toFixed(1)} hours`;
}

/** The state of a job. @param {Job} job */
export const state = ({ state }) => STATES[state] ?? state;

/** How far a job is. @param {Job} job */
export function words(job) {
  if (job.state === "queued") return "It waits for its turn.";
  if (job.state === "failed") return job.error?.detail ?? job.error?.title ?? "It failed.";
  if (job.state === "cancelled") return "It was cancelled; what it had written until then stays.";
  if (job.state === "done") return `It took ${span(job.seconds)}.`;
  const counts = job.total ? `${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : job.done ? job.done.toLocaleString("en") : "";
  const rate = job.rate ? `${job.rate < 10 ? job.rate.toFixed(1) : Math.round(job.rate)} a second` : "";
  const left = job.left ? `about ${span(job.left)} left` : "";
  return [STAGES[job.stage] ?? job.stage, counts, rate, left].filter(Boolean).join(" · ") || "It begins.";
}

/** Show how far a job is. @param {HTMLProgressElement} bar @param {HTMLElement} stage @param {Job} job */
export function showProgress(bar, stage, job) {
  if (job.total) [bar.max, bar.value] = [job.total, job.done];
  else bar.removeAttribute("value");
  stage.textContent = words(job);
}
