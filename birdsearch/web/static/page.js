// @ts-check
/** What every page has: the keys that go to other pages, the legend, the undo bar. */
import { keys, showKeys } from "./keys.js";
import "./undo.js";

const PAGES = {
  p: ["Photos", "/photos"], a: ["Ask", "/ask"], d: ["Duplicates", "/duplicates"], u: ["Audit", "/audit"],
  n: ["Names", "/names"], s: ["Species", "/species"], m: ["Map", "/map"], j: ["Jobs", "/jobs"],
};

keys(document.body, {
  "?": ["keys", showKeys],
  "/": ["filter", () => /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"))?.focus()],
  ...Object.fromEntries(Object.entries(PAGES).map(([key, [word, address]]) => [`g ${key}`, [`go to ${word}`, () => location.assign(address)]])),
}, "Everywhere");
document.getElementById("show-keys")?.addEventListener("click", showKeys);
