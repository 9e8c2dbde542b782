// @ts-check
/** A box on a picture: drawn with a pointer, or given by number fields, which show the same. */

/** @typedef {{x: number, y: number, width: number, height: number}} Box in shares of the picture */

const LEAST = 0.02; // of a side: less is a click

export class Crop {
  /** @type {Box | null} */
  box = null;

  /** @param {HTMLElement} place of the picture and its drawing @param {HTMLElement} fields the four numbers, in percent
   *  @param {() => void} changed called when a person has chosen another box */
  constructor(place, fields, changed) {
    this.place = place;
    this.inputs = /** @type {HTMLInputElement[]} */ ([...fields.querySelectorAll("input")]);
    this.changed = changed;
    place.addEventListener("pointerdown", (event) => this.#drag(event));
    fields.addEventListener("change", () => this.#typed());
  }

  /** @param {Box | null} box */
  set(box) {
    this.box = box;
    const { x, y, width, height } = box ?? { x: 0, y: 0, width: 1, height: 1 };
    const [shade, outline] = this.place.querySelectorAll("path, rect");
    shade.setAttribute("d", box ? `M0 0H1V1H0ZM${x} ${y}V${y + height}H${x + width}V${y}Z` : "");
    for (const [name, value] of Object.entries({ x, y, width, height })) outline.setAttribute(name, String(value));
    outline.toggleAttribute("hidden", !box);
    for (const input of this.inputs) input.value = box ? String(Math.round(box[/** @type {keyof Box} */ (input.name)] * 1000) / 10) : "";
  }

  #typed() {
    const shares = Object.fromEntries(this.inputs.map((input) => [input.name, Number(input.value) / 100]));
    if (this.inputs.some((input) => input.value === "") || !(shares.width > 0) || !(shares.height > 0)) return;
    const [x, y] = [Math.min(shares.x, 1 - LEAST), Math.min(shares.y, 1 - LEAST)];
    this.set({ x, y, width: Math.min(shares.width, 1 - x), height: Math.min(shares.height, 1 - y) });
    this.changed();
  }

  /** @param {PointerEvent} start */
  #drag(start) {
    if (start.button !== 0) return;
    start.preventDefault();
    const before = this.box;
    const frame = this.place.getBoundingClientRect();
    const share = (/** @type {PointerEvent} */ event) => [
      Math.min(Math.max((event.clientX - frame.left) / frame.width, 0), 1), Math.min(Math.max((event.clientY - frame.top) / frame.height, 0), 1),
    ];
    const from = share(start);
    const move = (/** @type {PointerEvent} */ event) => {
      const to = share(event);
      const [x, y] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
      const [width, height] = [Math.abs(from[0] - to[0]), Math.abs(from[1] - to[1])];
      this.set(width < LEAST || height < LEAST ? before : { x, y, width, height });
    };
    const end = () => {
      this.place.removeEventListener("pointermove", move);
      if (this.box !== before) this.changed();
    };
    this.place.setPointerCapture(start.pointerId);
    this.place.addEventListener("pointermove", move);
    this.place.addEventListener("pointerup", end, { once: true });
    this.place.addEventListener("pointercancel", end, { once: true });
  }
}
