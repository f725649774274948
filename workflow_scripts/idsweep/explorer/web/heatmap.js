// Layers × checkpoints: one number of each cell as a colour. A click picks a cell, one with shift the cell to compare with.

import { element, visible } from "../../pages/web/safe_text.js";
import { colourOf, css, inkOn, themed } from "./colours.js";
import { choice } from "../../pages/web/controls.js";
import { line, scale, sized, tell, tickLabel, ticks, viewHead, write } from "./drawing.js";
import { downloadButtons } from "./downloads.js";
import { shown } from "../../pages/web/numbers.js";
import { extent, quantilesOf } from "./statistics.js";
import { show, state } from "./state.js";
import { cellLabel, cellOf, intervalAt, layerLabel, modelNamed, nameOf, seriesShown, valueAt, subject } from "./measured.js";

/** @typedef {import("./measured.js").Cell} Cell */

export const QUANTITIES = new Map([
  ["mean", "mean"], ["median", "median"], ["standard_deviation", "standard deviation"], ["q05", "5 % quantile"], ["q25", "25 % quantile"], ["q75", "75 % quantile"],
  ["q95", "95 % quantile"], ["standard_error", "standard error of the mean"], ["n_points", "number of points"], ["n_undefined", "undefined points"],
]);
const ROBUST = [0.02, 0.98]; // of cells: one layer that lies far out must not eat the scale
const [LEFT, TOP, BOTTOM, BAR] = [76, 8, 44, 58];

/** @typedef {{low: number, high: number, isLog: boolean}} Limits */

/**
 * @param {number[]} values
 * @returns {Limits}
 */
function limitsOf(values) {
  const defined = values.filter((value) => Number.isFinite(value));
  const [low, high] = extent(defined);
  const [inner, outer] = quantilesOf(defined, ROBUST);
  // Limits leave out cells only where these would take more than half of the colours.
  const isEaten = defined.length > 20 && outer - inner < (high - low) / 2;
  const [first, last] = isEaten ? [inner, outer] : [low, high];
  return { low: first, high: last, isLog: first > 0 && last / first > 8 };
}

/**
 * @param {HTMLElement} place
 */
export function drawHeatmap(place) {
  const series = seriesShown();
  const model = modelNamed();
  if (!series) {
    place.replaceChildren(viewHead("Layers and checkpoints", ["Nothing was measured for this choice."]));
    return;
  }
  const quantity = series.matrices[state.quantity] ? state.quantity : "mean";
  const [rows, columns] = [model.representations.length, model.checkpoints.length];
  const values = Array.from(series.matrices[quantity]);
  const limits = limitsOf(values);
  const [smallest, largest] = extent(values);
  const canvas = element("canvas", { tabindex: 0, role: "application", "aria-roledescription": "heat map" });
  const status = element("p", { class: "note", "aria-live": "polite" });
  const quantities = [...QUANTITIES].filter(([name]) => series.matrices[name]).map(([name, called]) => /** @type {[string, string]} */ ([name, called]));
  const clipped = smallest < limits.low || largest > limits.high
    ? ` Colours end at ${shown(limits.low)} and ${shown(limits.high)}; values reach from ${shown(smallest)} to ${shown(largest)}.` : "";
  const bar = limits.isLog ? " Colours are logarithmic." : "";
  const said = `${subject()}. A is picked (click, arrow keys), B is compared with (shift).${bar}${clipped}`;
  place.replaceChildren(
    viewHead("Layers and checkpoints", [said], choice("shows", quantities, quantity, (value) => show({ quantity: value })), downloadButtons("heat map", rowsOf, () => ({ canvases: [canvas], caption: `${QUANTITIES.get(quantity)} of the dimension. ${said}` }))),
    canvas, status,
  );
  const width = Math.max(280, place.clientWidth);
  const height = Math.min(460, Math.max(150, rows * 26)) + TOP + BOTTOM;
  const brush = sized(canvas, width, height);
  const inner = { x: LEFT, y: TOP, width: width - LEFT - BAR - 12, height: height - TOP - BOTTOM };
  drawCells();
  drawAxes();
  drawBar();
  drawPicks();
  const picked = cellOf(state.a);
  if (picked) status.textContent = visible(describe(picked));
  canvas.setAttribute("aria-label", visible(`Heat map of ${rows} layers and ${columns} checkpoints. ${picked ? describe(picked) : ""} Arrow keys pick a cell, with shift the one to compare with.`));
  canvas.addEventListener("pointermove", (event) => {
    const cell = cellUnder(event);
    tell(cell ? [describe(cell)] : [], cell ? event : null);
  });
  canvas.addEventListener("pointerleave", () => tell([], null));
  canvas.addEventListener("click", (event) => {
    const cell = cellUnder(event);
    if (cell) show(event.shiftKey ? { b: nameOf(cell) } : { a: nameOf(cell) });
  });
  canvas.addEventListener("keydown", (event) => {
    const [across, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (!across && !up) return;
    event.preventDefault();
    const key = event.shiftKey ? "b" : "a";
    const at = cellOf(state[key]) ?? cellOf(state.a) ?? { row: 0, column: 0 };
    const cell = { row: Math.min(rows - 1, Math.max(0, at.row + up)), column: Math.min(columns - 1, Math.max(0, at.column + across)) };
    show({ [key]: nameOf(cell) });
    /** @type {HTMLElement | null} */ (place.querySelector("canvas"))?.focus();
  });

  /** Whether a cell's mean is known not to be scale-stable. @param {Cell} cell */
  function isMarked(cell) {
    return quantity === "mean" && series?.matrices.stable[cell.row * columns + cell.column] === 0;
  }

  /** @param {Cell} cell */
  function describe(cell) {
    if (!series) return "";
    const value = valueAt(series, quantity, cell);
    const { lower, upper } = intervalAt(series, cell);
    const between = quantity === "mean" && !Number.isNaN(lower) ? ` (95 % interval ${shown(lower)} to ${shown(upper)})` : "";
    const unstable = isMarked(cell) ? ", not scale-stable" : "";
    return `${cellLabel(cell)}: ${QUANTITIES.get(quantity)} ${Number.isNaN(value) ? "not measured" : shown(value)}${between}${unstable}, N = ${shown(valueAt(series, "n_points", cell), 0)}`;
  }

  /** @param {Cell} cell */
  function corner(cell) {
    return { x: inner.x + (cell.column / columns) * inner.width, y: inner.y + inner.height - ((cell.row + 1) / rows) * inner.height };
  }

  /** @param {{offsetX: number, offsetY: number}} event */
  function cellUnder(event) {
    const column = Math.floor(((event.offsetX - inner.x) / inner.width) * columns);
    const row = Math.floor(((inner.y + inner.height - event.offsetY) / inner.height) * rows);
    return column >= 0 && column < columns && row >= 0 && row < rows ? { row, column } : null;
  }

  function drawCells() {
    if (!series) return;
    const image = new ImageData(columns, rows);
    const share = scale([limits.low, limits.high], [0, 1], limits.isLog);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = values[row * columns + column];
        const at = 4 * ((rows - 1 - row) * columns + column);
        const colour = Number.isFinite(value) ? colourOf(share(value)) : [128, 128, 128];
        image.data.set([...colour, Number.isFinite(value) ? 255 : 40], at);
      }
    }
    const small = element("canvas", { width: columns, height: rows });
    /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
    brush.imageSmoothingEnabled = false;
    brush.drawImage(small, inner.x, inner.y, inner.width, inner.height);
    const [wide, high] = [inner.width / columns, inner.height / rows];
    if (wide < 9 || high < 9) return;
    if (quantity === "mean" && series.matrices.stable.includes(0)) place.querySelector(".note")?.append(" × is not scale-stable.");
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const isMissing = !Number.isFinite(values[row * columns + column]);
        const isUnstable = isMarked({ row, column });
        if (!isMissing && !isUnstable) continue;
        const { x, y } = corner({ row, column });
        const text = isMissing ? "–" : "×";
        const colour = isMissing ? themed("--muted") : inkOn(colourOf(share(values[row * columns + column])));
        write(brush, text, x + wide / 2, y + high / 2, { align: "center", colour });
      }
    }
  }

  function drawAxes() {
    const every = Math.max(1, Math.ceil((rows * 15) / inner.height));
    for (let row = 0; row < rows; row += every) {
      const y = inner.y + inner.height - ((row + 0.5) / rows) * inner.height;
      write(brush, fitted(layerLabel(model.representations[row])), inner.x - 6, y, { align: "right" });
    }
    let free = -Infinity;
    for (let column = 0; column < columns; column++) {
      const x = inner.x + ((column + 0.5) / columns) * inner.width;
      const { step, name } = model.checkpoints[column];
      const text = step === null ? name.slice(0, 12) : tickLabel(step);
      const half = brush.measureText(text).width / 2;
      if (x - half < free) continue;
      line(brush, x, inner.y + inner.height, x, inner.y + inner.height + 4, themed("--muted"));
      write(brush, text, x, inner.y + inner.height + 12, { align: "center" });
      free = x + half + 8;
    }
    const hasSteps = model.checkpoints.some((one) => one.step !== null);
    write(brush, hasSteps ? "training step" : "checkpoint", inner.x + inner.width / 2, height - 9, { align: "center", colour: themed("--muted") });
  }

  /** @param {string} text */
  function fitted(text) {
    return text.length > 12 ? `${text.slice(0, 11)}…` : text;
  }

  function drawBar() {
    const x = inner.x + inner.width + 12;
    for (let at = 0; at < inner.height; at++) {
      brush.fillStyle = css(colourOf(1 - at / inner.height));
      brush.fillRect(x, inner.y + at, 10, 1.5);
    }
    const yOf = scale([limits.low, limits.high], [inner.y + inner.height, inner.y], limits.isLog);
    for (const tick of ticks(limits.low, limits.high, 5, limits.isLog)) {
      const y = yOf(tick);
      line(brush, x + 10, y, x + 13, y, themed("--muted"));
      write(brush, tickLabel(tick), x + 16, y);
    }
  }

  function drawPicks() {
    for (const [key, colour] of /** @type {["a" | "b", string][]} */ ([["b", themed("--b")], ["a", themed("--a")]])) {
      const cell = cellOf(state[key]);
      if (!cell) continue;
      const { x, y } = corner(cell);
      const [wide, high] = [Math.max(6, inner.width / columns), Math.max(6, inner.height / rows)];
      brush.strokeStyle = "#fff";
      brush.lineWidth = 4;
      brush.strokeRect(x, y, wide, high);
      brush.strokeStyle = colour;
      brush.lineWidth = 2;
      brush.strokeRect(x, y, wide, high);
      const sign = key.toUpperCase();
      brush.fillStyle = colour;
      brush.fillRect(x - 1, y - 1, 13, 13);
      write(brush, sign, x + 5.5, y + 6, { align: "center", colour: "#fff", bold: true });
    }
  }

  /** @returns {{columns: string[], rows: (string | number | null)[][]}} */
  function rowsOf() {
    if (!series) return { columns: [], rows: [] };
    const names = [...QUANTITIES.keys()].filter((name) => series.matrices[name]);
    const table = [];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const cell = { row, column };
        table.push([state.seed, state.dataset, ...state.estimate.split("|"), state.variant, state.cloud, model.representations[row].name, model.checkpoints[column].name, model.checkpoints[column].step,
          ...names.map((name) => valueAt(series, name, cell))]);
      }
    }
    return { columns: ["model", "dataset", "set", "estimator", "scope", "variant", "cloud", "representation", "checkpoint", "step", ...names], rows: table };
  }
}
