// @ts-check
/** Points of any number on a canvas, by WebGL 2. */

const VERTEX = `#version 300 es
in vec2 place; in uint code; in uint mark;
uniform vec2 centre, stretch; uniform float size; uniform bool faint; uniform sampler2D palette;
out vec4 colour; out float radius;
void main() {
  bool shown = faint == (mark == 0u);
  gl_Position = shown ? vec4((place - centre) * stretch, 0, 1) : vec4(2, 2, 2, 1);
  radius = mark == 2u ? size * 1.35 : size;
  gl_PointSize = radius + 1.0;
  vec4 own = texelFetch(palette, ivec2(code & 255u, code >> 8u), 0);
  colour = faint ? vec4(own.rgb, 0.16) : own;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour; in float radius;
out vec4 pixel;
void main() {
  float away = length(gl_PointCoord - 0.5) * (radius + 1.0) - radius / 2.0;
  float cover = colour.a * clamp(0.5 - away, 0.0, 1.0);
  pixel = vec4(colour.rgb * cover, cover);
}`;

export const FAINT = 0, PLAIN = 1, STRONG = 2; // how a point is marked

export class Points {
  /** @param {HTMLCanvasElement} canvas @param {() => void} restored called when the graphics card was lost and is back */
  constructor(canvas, restored) {
    this.canvas = canvas;
    /** @type {{places: Float32Array, codes: Uint16Array, palette: Uint8Array, marks: Uint8Array}} */
    this.data = { places: new Float32Array(), codes: new Uint16Array(), palette: new Uint8Array(), marks: new Uint8Array() };
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // else it never comes back
    canvas.addEventListener("webglcontextrestored", () => (this.#begin(), this.renew(this.data), restored()));
    this.#begin();
  }

  /** Whether this browser can draw it. */
  get works() {
    return Boolean(this.gl);
  }

  #begin() {
    const gl = (this.gl = this.canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true }));
    if (!gl || gl.isContextLost()) return;
    const program = (this.program = gl.createProgram());
    for (const [type, source] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(type));
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.buffers = Object.fromEntries(["places", "codes", "marks"].map((name) => [name, gl.createBuffer()]));
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  }

  /** Take what has changed. @param {Partial<Points["data"]>} data
   *  places: x and y by turns; codes: of each point the row of the palette; palette: 65536 times red, green, blue, opacity; marks */
  renew(data) {
    Object.assign(this.data, data);
    const gl = this.gl;
    if (!gl || !this.program || !this.buffers || gl.isContextLost()) return;
    const kinds = /** @type {const} */ ([["places", "place", 2, gl.FLOAT], ["codes", "code", 1, gl.UNSIGNED_SHORT], ["marks", "mark", 1, gl.UNSIGNED_BYTE]]);
    for (const [name, attribute, size, type] of kinds) {
      if (!(name in data)) continue;
      const place = gl.getAttribLocation(this.program, attribute);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, this.data[name], gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(place);
      if (type === gl.FLOAT) gl.vertexAttribPointer(place, size, type, false, 0, 0);
      else gl.vertexAttribIPointer(place, size, type, 0, 0);
    }
    if (data.palette?.length) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 256, 0, gl.RGBA, gl.UNSIGNED_BYTE, data.palette);
  }

  /** Draw the points around a place: `scale` is pixels of the page for one unit. @param {{x: number, y: number, scale: number}} view @param {number} size */
  draw({ x, y, scale }, size) {
    const { gl, program, canvas } = this;
    if (!gl || !program || gl.isContextLost()) return;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.max(1, Math.round(length * devicePixelRatio)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(gl.getUniformLocation(program, "centre"), x, y);
    gl.uniform2f(gl.getUniformLocation(program, "stretch"), (2 * scale) / canvas.clientWidth, (2 * scale) / canvas.clientHeight);
    gl.uniform1f(gl.getUniformLocation(program, "size"), size * devicePixelRatio);
    if (!this.data.marks.length) return;
    for (const faint of this.data.marks.includes(FAINT) ? [1, 0] : [0]) {
      gl.uniform1i(gl.getUniformLocation(program, "faint"), faint);
      gl.drawArrays(gl.POINTS, 0, this.data.marks.length);
    }
  }
}

/** Colours that differ as far as so many can: red, green, blue and opacity of 65536 codes, the last one for "not known".
 *  @param {number} count @param {boolean} dark */
export function palette(count, dark) {
  const colours = new Uint8Array(4 * 65536);
  for (let code = 0; code < 65536; code++) colours.set(code < count ? colour(code, dark) : dark ? [120, 124, 128, 200] : [150, 150, 145, 200], 4 * code);
  return colours;
}

/** @param {number} code @param {boolean} dark @returns {[number, number, number, number]} red, green, blue, opacity */
export function colour(code, dark) {
  const hue = (code * 137.508 + 150) % 360; // the golden angle: no two neighbours are alike
  const light = (dark ? [0.66, 0.76, 0.56] : [0.42, 0.32, 0.52])[Math.floor(code / 7) % 3];
  const strength = [0.68, 0.5, 0.85][Math.floor(code / 21) % 3] * Math.min(light, 1 - light);
  const part = (/** @type {number} */ shift) => {
    const at = (shift + hue / 30) % 12;
    return Math.round(255 * (light - strength * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return [part(0), part(8), part(4), 225];
}
