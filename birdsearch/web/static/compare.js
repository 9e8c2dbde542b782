// @ts-check
/** Two photos compared in five ways, on canvases that are zoomed and moved together. */
import { picture } from "./parts.js";

/** The ways to compare, and their keys. @type {Record<string, [string, string]>} */
export const MODES = {
  side: ["Side by side", "s"], blink: ["Blink", "b"], split: ["Split", "l"], difference: ["Difference", "d"],
};
const LARGEST_ZOOM = 16;
/** @typedef {import("./parts.js").Photo} Photo */
/** @typedef {[number, number, number, number, number, number]} Matrix two rows: a b x, c d y */

/** Pictures that were asked for, the latest last. @type {Map<string, Promise<HTMLImageElement>>} */
const loaded = new Map();

/** @param {string} address @returns {Promise<HTMLImageElement>} */
function image(address) {
  const known = loaded.get(address);
  if (known) return known;
  const made = new Image();
  made.src = address;
  const decoded = made.decode().then(() => made);
  decoded.catch(() => loaded.delete(address));
  loaded.set(address, decoded);
  if (loaded.size > 24) loaded.delete(/** @type {string} */ (loaded.keys().next().value));
  return decoded;
}

/** Have the pictures of photos there before they are looked at. @param {Photo[]} photos */
export const prepare = (photos) => photos.forEach((photo) => image(picture(photo, "preview")).catch(() => {}));

/** What compares. Zoom and place stay from pair to pair and from group to group. */
export class Compare {
  /** @param {HTMLElement} place @param {{originals: boolean}} options originals: whether 100 % shows the file itself */
  constructor(place, { originals }) {
    this.mode = "side";
    this.flipped = false; // blink: whether the other photo shows
    this.split = 0.5; // share of the width
    this.zoom = 1;
    this.centre = [0.5, 0.5]; // shares of the pinned photo
    this.originals = originals;
    /** @type {{photo: Photo, words: string, state: string, image?: HTMLImageElement, failed?: boolean}[]} */
    this.shown = [];
    this.frame = 0; // in which it is drawn next
    /** @type {Matrix | null} */
    this.matrix = null;
    this.place = place;
    this.figures = [0, 1].map(() => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      figure.append(canvas, document.createElement("figcaption"));
      place.append(figure);
      this.#listen(canvas);
      return figure;
    });
    new ResizeObserver(() => this.draw()).observe(place);
  }

  /** Show photos, the pinned one first; `matrix` is where its unit square lies in that of the other one.
   *  @param {{photo: Photo, words: string, state: string}[]} shown @param {Matrix | null} matrix */
  show(shown, matrix) {
    this.shown = shown.map((told) => ({ ...told, image: this.shown.find((one) => one.photo.id === told.photo.id)?.image }));
    this.matrix = matrix;
    this.#load();
    this.draw();
  }

  /** @param {string} mode */
  set(mode) {
    this.flipped = mode === "blink" && this.mode === "blink" && !this.flipped;
    this.mode = mode;
    this.draw();
  }

  /** Between the whole picture and its own pixels. */
  toggleZoom() {
    this.setZoom(this.zoom > 1 ? 1 : Math.max(2, this.#pixels()));
  }

  /** @param {number} zoom 1: the whole picture */
  setZoom(zoom) {
    this.zoom = Math.min(Math.max(zoom, 1), LARGEST_ZOOM);
    this.#load();
    this.move(0, 0);
  }

  /** Move the part that is seen. @param {number} x shares of what is seen @param {number} y */
  move(x, y) {
    const half = 0.5 / this.zoom;
    this.centre = [x, y].map((by, axis) => Math.min(Math.max(this.centre[axis] + by / this.zoom, half), 1 - half));
    this.draw();
  }

  /** How far to zoom until a pixel of the pinned photo is one of the screen. */
  #pixels() {
    const { photo, image: seen } = this.shown[0] ?? {};
    const [width, height] = [photo?.width || seen?.naturalWidth || 1, photo?.height || seen?.naturalHeight || 1];
    const { clientWidth, clientHeight } = this.#canvas(0);
    return Math.max(width / clientWidth, height / clientHeight) / devicePixelRatio;
  }

  /** @param {number} number */
  #canvas(number) {
    return /** @type {HTMLCanvasElement} */ (this.figures[number].firstElementChild);
  }

  #load() {
    for (const one of this.shown) {
      const seen = (/** @type {HTMLImageElement} */ made) => {
        if (!this.shown.includes(one) || (one.image && one.image.naturalWidth >= made.naturalWidth)) return;
        one.image = made;
        this.draw();
      };
      const failed = () => {
        one.failed = !one.image;
        this.draw();
      };
      image(picture(one.photo, "preview")).then(seen, failed);
      if (this.zoom > 1 && this.originals && (one.photo.width ?? 0) > 1600) image(picture(one.photo, "file")).then(seen, () => {});
    }
  }

  /** Draw what is to be seen, once in the next frame. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const side = this.mode === "side" && this.shown.length > 1;
    this.figures[1].hidden = !side;
    this.figures.forEach((figure, number) => (figure.dataset.state = side || this.shown.length === 1 ? this.shown[number]?.state ?? "" : ""));
    this.place.classList.toggle("zoomed", this.zoom > 1);
    if (!this.shown.length) return;
    if (side) this.shown.forEach((one, number) => this.#drawOne(number, one));
    else this.#drawOver();
  }

  /** A context whose unit square is a photo as it is seen. @param {number} number @param {HTMLImageElement} of */
  #context(number, of) {
    const canvas = this.#canvas(number);
    const { clientWidth, clientHeight } = canvas;
    const [width, height] = [clientWidth, clientHeight].map((size) => Math.max(1, Math.round(size * devicePixelRatio)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: true }));
    context.resetTransform();
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, width, height);
    const fit = Math.min(width / of.naturalWidth, height / of.naturalHeight) * this.zoom;
    const [across, down] = [of.naturalWidth * fit, of.naturalHeight * fit];
    // What is smaller than its canvas stays in the middle of it.
    const [x, y] = [[across, width, this.centre[0]], [down, height, this.centre[1]]].map(([size, room, at]) =>
      size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - at * size)));
    context.setTransform(across, 0, 0, down, x, y);
    context.imageSmoothingQuality = "high";
    context.imageSmoothingEnabled = fit < 2;
    return context;
  }

  /** @param {number} number @param {{photo: Photo, words: string, image?: HTMLImageElement, failed?: boolean}} one */
  #drawOne(number, one) {
    this.#say(number, one.failed ? `${one.words}: its picture cannot be shown` : one.words);
    const pinned = this.shown[0].image;
    if (!one.image) this.#empty(number);
    // Zoomed, both show the same part at the same size, also where one is a crop or smaller.
    else if (number && pinned && this.zoom > 1) this.#drawLaid(this.#context(number, pinned), pinned, one.image);
    else this.#context(number, one.image).drawImage(one.image, 0, 0, 1, 1);
  }

  /** @param {number} number */
  #empty(number) {
    const canvas = this.#canvas(number);
    canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
  }

  /** Both photos in one place, the other one laid on the pinned one. */
  #drawOver() {
    const [pinned, other] = this.shown;
    if (!other || !pinned.image || !other.image) return this.#drawOne(0, pinned);
    const context = this.#context(0, pinned.image);
    const first = this.mode !== "blink" || !this.flipped;
    if (first) context.drawImage(pinned.image, 0, 0, 1, 1);
    if (this.mode === "difference") context.globalCompositeOperation = "difference";
    context.save();
    if (this.mode === "split") this.#clip(context);
    if (!first || this.mode !== "blink") this.#drawLaid(context, pinned.image, other.image);
    context.restore();
    if (this.mode === "split") this.#drawLine(context);
    if (this.mode === "difference") brighten(context);
    const words = {
      side: pinned.words,
      blink: `Shows ${first ? pinned.words : other.words}`,
      split: `Left ${pinned.words}, right ${other.words}`,
      difference: `Difference of ${pinned.words} and ${other.words}: black where they are the same`,
    };
    this.#say(0, /** @type {any} */ (words)[this.mode]);
  }

  /** The other photo where it lies on the pinned one. @param {CanvasRenderingContext2D} context @param {HTMLImageElement} pinned @param {HTMLImageElement} other */
  #drawLaid(context, pinned, other) {
    if (this.matrix) {
      const [a, b, x, c, d, y] = this.matrix;
      const back = new DOMMatrix([a, c, b, d, x, y]).inverse();
      context.transform(back.a, back.b, back.c, back.d, back.e, back.f);
      context.drawImage(other, 0, 0, 1, 1);
      return;
    }
    // Another shape is fitted in, not stretched.
    const ratio = other.naturalWidth / other.naturalHeight / (pinned.naturalWidth / pinned.naturalHeight);
    const [width, height] = [Math.min(1, ratio), Math.min(1, 1 / ratio)];
    context.drawImage(other, (1 - width) / 2, (1 - height) / 2, width, height);
  }

  /** Leave the left part as it is. @param {CanvasRenderingContext2D} context */
  #clip(context) {
    const { width, height } = context.canvas;
    const seen = context.getTransform();
    context.resetTransform();
    context.beginPath();
    context.rect(this.split * width, 0, width, height);
    context.clip();
    context.clearRect(0, 0, width, height);
    context.setTransform(seen);
  }

  /** @param {CanvasRenderingContext2D} context */
  #drawLine(context) {
    const { width, height } = context.canvas;
    context.resetTransform();
    for (const [colour, breadth] of [["black", 4], ["white", 2]]) {
      context.fillStyle = String(colour);
      context.fillRect(this.split * width - Number(breadth) / 2, 0, Number(breadth), height);
    }
  }

  /** @param {number} number @param {string} words */
  #say(number, words) {
    this.#canvas(number).setAttribute("aria-label", words);
    const caption = /** @type {HTMLElement} */ (this.figures[number].lastElementChild);
    if (caption.textContent !== words) caption.textContent = words;
  }

  /** @param {HTMLCanvasElement} canvas */
  #listen(canvas) {
    /** @type {{x: number, y: number, moved: boolean} | null} */
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held = { x: event.clientX, y: event.clientY, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      const [x, y] = [event.clientX - held.x, event.clientY - held.y];
      if (!held.moved && Math.hypot(x, y) < 4) return;
      held = { x: event.clientX, y: event.clientY, moved: true };
      if (this.zoom > 1) this.move(-x / canvas.clientWidth, -y / canvas.clientHeight);
    });
    canvas.addEventListener("pointercancel", () => (held = null));
    canvas.addEventListener("pointerup", (event) => {
      const clicked = held && !held.moved;
      held = null;
      if (!clicked) return;
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const by = [(event.clientX - left) / width - 0.5, (event.clientY - top) / height - 0.5];
      if (this.zoom === 1) this.toggleZoom();
      this.move(by[0] * (this.zoom > 1 ? 1 : 0), by[1] * (this.zoom > 1 ? 1 : 0));
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && this.zoom === 1) return; // the page scrolls
      event.preventDefault();
      this.setZoom(this.zoom * Math.exp(-event.deltaY / 300));
    }, { passive: false });
  }
}

/** Small differences are hard to see: four times as bright. @param {CanvasRenderingContext2D} context */
function brighten(context) {
  context.resetTransform();
  context.globalCompositeOperation = "lighter";
  for (let twice = 0; twice < 2; twice++) context.drawImage(context.canvas, 0, 0);
  context.globalCompositeOperation = "source-over";
}
