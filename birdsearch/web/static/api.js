// @ts-check
/** Calls of the HTTP API, the queue of decisions, and news of jobs. */

const API = "/api/v1";

/** What a server says of what went wrong (RFC 9457). One that nobody catches is shown at the foot of the page. */
export class Problem extends Error {
  /** @param {{title: string, status: number, detail?: string, type?: string, errors?: {pointer: string, detail: string}[]}} fields
   *  @param {number} [after] seconds after which to ask again, where the server says so */
  constructor(fields, after) {
    super(fields.detail || fields.title);
    this.name = "Problem";
    this.title = fields.title;
    this.status = fields.status; // 0: the server does not answer
    this.type = fields.type ?? "";
    this.errors = fields.errors ?? [];
    this.after = after;
  }
}

/** What the page's template gave its script. @returns {any} */
export const given = () => JSON.parse(document.getElementById("data")?.textContent ?? "null");

/** An address of the API. Of a list each value is given; null, undefined and "" are left out.
 *  @param {string} path @param {Record<string, any>} [params] */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, String(one));
    }
  }
  return `${API}${path}${query.size ? `?${query}` : ""}`;
}

/** @param {string} url @param {RequestInit} [options] @returns {Promise<Response>} */
async function answered(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Problem({ title: "The server does not answer", status: 0, detail: "birdsearch does not answer. Is it still running?" });
  }
  if (answer.ok) return answer;
  const known = (answer.headers.get("content-type") ?? "").includes("json");
  const fields = known ? await answer.json() : { title: answer.statusText || `status ${answer.status}`, status: answer.status };
  const after = answer.headers.get("retry-after");
  throw new Problem(fields, after === null ? undefined : Number(after));
}

/** Ask. Raises Problem. @param {string} path @param {Record<string, any>} [params] @param {AbortSignal} [signal]
 *  @returns {Promise<any>} */
export async function get(path, params, signal) {
  return (await answered(address(path, params), { signal })).json();
}

/** Ask for octets. Raises Problem. @param {string} path @param {Record<string, any>} [params] @param {AbortSignal} [signal] */
export async function octets(path, params, signal) {
  const headers = { accept: "application/octet-stream" };
  return (await answered(address(path, params), { signal, headers })).arrayBuffer();
}

/** Tell, or ask with a body: a FormData, or a value that becomes JSON. Raises Problem.
 *  @param {string} method @param {string} path @param {any} [body] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function send(method, path, body, signal) {
  const plain = body === undefined || body instanceof FormData;
  const answer = await answered(address(path), {
    method, signal, body: plain ? body : JSON.stringify(body), headers: plain ? {} : { "content-type": "application/json" },
  });
  return answer.status === 204 ? null : answer.json();
}

// Decisions: each is kept in the browser until the server has it, so that neither a reload nor a lost line loses one.

/** @typedef {{id: string, method: string, path: string, body: any}} Decision */
const KEPT = `birdsearch-decisions-${document.documentElement.dataset.index ?? ""}`; // of this index: another may come to this port
/** @type {Map<string, {resolve: (answer: any) => void, reject: (error: any) => void}>} */
const asked = new Map(); // of this page
/** @type {ReturnType<typeof setTimeout> | undefined} */
let again;
let sending = false;
let waits = false; // whether the server could not take the first one

/** @returns {Decision[]} */
const queue = () => JSON.parse(localStorage.getItem(KEPT) ?? "[]");

/** @param {Decision[]} decisions @param {Problem} [problem] why they wait */
function keep(decisions, problem) {
  localStorage.setItem(KEPT, JSON.stringify(decisions));
  waits = Boolean(problem);
  window.dispatchEvent(new CustomEvent("waiting", { detail: { count: decisions.length, problem } }));
}

/** Send what a person decided, after what was decided before. It is kept until the server has it, and sent again while
 *  that does not answer; the answer may so come late. Raises Problem where the server refuses it.
 *  @param {string} method @param {string} path @param {any} [body] @returns {Promise<any>} */
export function decide(method, path, body) {
  const id = `${Date.now()}-${Math.random()}`;
  return new Promise((resolve, reject) => {
    asked.set(id, { resolve, reject });
    try {
      keep([...queue(), { id, method, path, body }]);
      sendAll();
    } catch {
      send(method, path, body).then(resolve, reject); // the browser keeps nothing
    }
  });
}

/** Comes true when the server has what was decided so far, also on the page before, or when that has to wait. @returns {Promise<void>} */
export function decided() {
  return new Promise((resolve) => {
    if (!queue().length || waits) return resolve();
    window.addEventListener("waiting", function on(event) {
      const { count, problem } = /** @type {CustomEvent} */ (event).detail;
      if (count && !problem) return;
      window.removeEventListener("waiting", on);
      resolve();
    });
  });
}

/** @param {Decision} one @param {any} answer @param {any} [error] */
function settle(one, answer, error) {
  keep(queue().filter(({ id }) => id !== one.id));
  const asker = asked.get(one.id);
  asked.delete(one.id);
  if (!error) asker?.resolve(answer);
  else if (asker) asker.reject(error);
  else Promise.reject(error); // of a page that is gone: whoever looks at this one should know
}

async function sendAll() {
  clearTimeout(again);
  if (sending) return;
  sending = true;
  // One page at a time, as decisions have an order. Only on this computer are there locks; the worst without: sent twice.
  const pause = await (navigator.locks?.request(KEPT, sendInOrder) ?? sendInOrder());
  sending = false;
  if (queue().length) again = setTimeout(sendAll, 1000 * pause);
}

/** @returns {Promise<number>} seconds after which to go on, where something waits */
async function sendInOrder() {
  for (let one; (one = queue()[0]); ) {
    try {
      settle(one, await send(one.method, one.path, one.body));
    } catch (error) {
      if (error instanceof Problem && (error.after || [0, 401, 429, 503, 507].includes(error.status))) {
        keep(queue(), error);
        return error.after ?? 3;
      }
      settle(one, null, error);
    }
  }
  return 0;
}

window.addEventListener("online", sendAll);
window.addEventListener("storage", ({ key }) => {
  if (key !== KEPT) return;
  const left = new Set(queue().map(({ id }) => id));
  for (const [id, { resolve }] of asked) if (!left.has(id)) asked.delete(id), resolve(null); // another page sent it
  keep(queue());
});
if (queue().length) sendAll();

/** A job once it has ended; `on` is called with all news of it. @param {{id: number}} job @param {(job: any) => void} [on] @returns {Promise<any>} */
export function ended({ id }, on) {
  return new Promise((resolve) => {
    const stop = events((job) => {
      if (job.id !== id) return;
      on?.(job);
      if (isActive(job)) return;
      stop();
      resolve(job);
    });
  });
}

/** Whether a job has not ended yet. @param {{state: string}} job */
export const isActive = ({ state }) => state === "queued" || state === "running";

/** What a job has found, once it has ended. Raises Problem where it failed or was cancelled.
 *  @param {{id: number}} job @returns {Promise<any>} */
export async function finished(job) {
  await ended(job);
  return get(`/jobs/${job.id}/result`);
}

/** News of jobs: calls `on` with each job that changed, until the function that is returned is called. Nothing is asked
 *  while the page is hidden, as a browser has six connections for all of them.
 *  @param {(job: any) => void} on @returns {() => void} */
export function events(on) {
  /** @type {EventSource | undefined} */
  let source;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  const poll = async () => (await get("/jobs")).jobs.forEach(on);
  const stop = () => (source?.close(), clearInterval(timer));
  const start = () => {
    stop();
    if (document.hidden) return;
    source = new EventSource(`${API}/jobs/events`);
    source.onmessage = ({ data }) => on(JSON.parse(data));
    source.onerror = () => {
      stop();
      timer = setInterval(poll, 2000);
    };
  };
  document.addEventListener("visibilitychange", start);
  start();
  return () => (document.removeEventListener("visibilitychange", start), stop());
}
