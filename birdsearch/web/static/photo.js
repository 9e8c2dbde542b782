// @ts-check
/** The page of one photo. */
import { keys } from "./keys.js";
import { say } from "./undo.js";
import { articleAt, handle, prepare } from "./viewer.js";

const article = () => /** @type {HTMLElement} */ (document.getElementById("photo"));
const link = (/** @type {string} */ selector) => /** @type {HTMLAnchorElement | null} */ (article().querySelector(selector));

handle(document.body, {
  article,
  go: (step) => {
    const to = link(step > 0 ? "a[rel=next]" : "a[rel=prev]");
    if (to) location.replace(to.href); // Back leads to where the photo was opened
    else say(step > 0 ? "This is the last photo." : "This is the first photo.");
  },
  renew: async () => {
    article().replaceWith(await articleAt(location.href));
    prepare(article());
  },
});
keys(document.body, { Escape: ["all photos", () => location.assign(link("a.back")?.href ?? "/photos")] }, "Photo");
prepare(article());
