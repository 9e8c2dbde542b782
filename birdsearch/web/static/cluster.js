// @ts-check
/** All photos of a cluster, in a grid. */
import { given } from "./api.js";
import { Grid } from "./grid.js";

const grid = new Grid(/** @type {HTMLUListElement} */ (document.getElementById("grid")), { label: "Photos of the cluster", remembers: true });
const at = Number(new URLSearchParams(location.search).get("at")) || null;
grid.show(Uint32Array.from(given().ids), at);
