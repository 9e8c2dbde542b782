// @ts-check
/** The page of one photo. */
import { handle, prepare } from "./viewer.js";
import { say } from "./undo.js";

const article = () => /** @type {HTMLElement} */ (document.getElementById("photo"));
const link = (/** @type {string} */ selector) => /** @type {HTMLAnchorElement | null} */ (article().querySelector(selector));

handle(document.body, {
  article,
  go: (step) => {
    const to = link(step > 0 ? "a[rel=next]" : "a[rel=prev]");
    if (to) location.replace(to.href); // Back leads to where the photo was opened
    else say(step > 0 ? "This is the last photo." : "This is the first photo.");
  },
  renew: () => location.reload(),
});
prepare(article());
