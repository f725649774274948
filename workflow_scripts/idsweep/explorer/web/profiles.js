// The dimension over the layers, at the picked checkpoints and at the first and the last.

import { element, visible } from "../../pages/web/safe_text.js";
import { themed } from "./colours.js";
import { line, scale, sized, tell, tickLabel, ticks, viewHead, write } from "./drawing.js";
import { downloadButtons } from "./downloads.js";
import { shown } from "../../pages/web/numbers.js";
import { extent } from "./statistics.js";
import { show, state } from "./state.js";
import { cellOf, checkpointLabel, intervalAt, layerLabel, modelNamed, nameOf, seriesShown, subject } from "./measured.js";

const [LEFT, TOP, BOTTOM, RIGHT] = [52, 10, 44, 12];
const SIGN_HEIGHT = 13;

/** @param {HTMLElement} place */
export function drawProfiles(place) {
  const model = modelNamed();
  const series = seriesShown();
  if (!series || model.representations.length < 2) {
    place.replaceChildren(viewHead("Over layers", [series ? "One layer was measured, so there is no profile." : "Nothing was measured for this choice."]));
    return;
  }
  const [picked, other] = [cellOf(state.a), cellOf(state.b)];
  /** @type {Map<number, {sign: string, colour: string, dash: number[]}>} */
  const lines = new Map();
  const last = model.checkpoints.length - 1;
  lines.set(0, { sign: "first", colour: themed("--muted"), dash: [2, 3] });
  lines.set(last, { sign: last === 0 ? "" : "last", colour: themed("--ink"), dash: [6, 4] });
  if (other) lines.set(other.column, { sign: "B", colour: themed("--b"), dash: [] });
  if (picked) lines.set(picked.column, { sign: "A", colour: themed("--a"), dash: [] });
  const canvas = element("canvas", { role: "img" });
  const drawn = [...lines].sort(([one], [two]) => one - two);
  const said = `${subject()}: mean of each layer, with its 95 % interval where it is known. `
    + drawn.map(([column, { sign }]) => `${sign ? `${sign}: ` : ""}${checkpointLabel(model.checkpoints[column])}`).join(", ") + ".";
  canvas.setAttribute("aria-label", visible(said));
  place.replaceChildren(viewHead("Over layers", [said], downloadButtons("profiles", rowsOf, () => ({ canvases: [canvas], caption: said }))), canvas);
  const width = Math.max(280, place.clientWidth);
  const height = Math.max(200, Math.min(300, width * 0.45));
  const brush = sized(canvas, width, height);
  const points = drawn.map(([column, how]) => ({ column, how, values: model.representations.map((_, row) => intervalAt(series, { row, column })) }));
  const all = points.flatMap(({ values }) => values.flatMap((one) => [one.mean, one.lower, one.upper])).filter(Number.isFinite);
  const [low, high] = extent(all);
  if (Number.isNaN(low)) return;
  const margin = (high - low || 1) * 0.06;
  const isLog = low > 0 && high / low > 8;
  const y = scale(isLog ? [low / 1.1, high * 1.1] : [low - margin, high + margin], [height - BOTTOM, TOP], isLog);
  const x = scale([0, model.representations.length - 1], [LEFT + 8, width - RIGHT - 8]);
  for (const tick of ticks(low, high, 5, isLog)) {
    line(brush, LEFT, y(tick), width - RIGHT, y(tick));
    write(brush, tickLabel(tick), LEFT - 6, y(tick), { align: "right" });
  }
  write(brush, `intrinsic dimension${isLog ? " (logarithmic)" : ""}`, 12, (height - BOTTOM + TOP) / 2, { align: "center", turned: true });
  let free = -Infinity;
  model.representations.forEach((representation, row) => {
    const text = representation.layer === null ? representation.name.slice(0, 9) : String(representation.layer);
    const half = brush.measureText(text).width / 2;
    if (x(row) - half < free) return;
    write(brush, text, x(row), height - BOTTOM + 14, { align: "center" });
    free = x(row) + half + 8;
  });
  write(brush, "layer", (LEFT + width - RIGHT) / 2, height - 8, { align: "center" });
  /** @type {number[]} */
  const signs = [];
  for (const { how, values } of points) {
    brush.setLineDash([]);
    values.forEach((one, row) => {
      if (Number.isFinite(one.lower)) line(brush, x(row), y(one.lower), x(row), y(one.upper), how.colour, 1.5);
    });
    brush.strokeStyle = how.colour;
    brush.lineWidth = how.dash.length ? 1.25 : 2;
    brush.setLineDash(how.dash);
    brush.beginPath();
    let isDown = false;
    values.forEach((one, row) => {
      if (!Number.isFinite(one.mean)) {
        isDown = false;
        return;
      }
      if (isDown) brush.lineTo(x(row), y(one.mean));
      else brush.moveTo(x(row), y(one.mean));
      isDown = true;
    });
    brush.stroke();
    brush.setLineDash([]);
    const end = values.findLastIndex((one) => Number.isFinite(one.mean));
    if (how.sign && end >= 0) {
      // Signs of lines that end side by side stand one above the other.
      let top = y(values[end].mean) - 9;
      while (signs.some((other) => Math.abs(other - top) < SIGN_HEIGHT)) top -= SIGN_HEIGHT;
      signs.push(top);
      write(brush, how.sign, x(end) - 4, top, { align: "right", colour: how.colour, bold: true });
    }
  }
  for (const [cell, colour] of /** @type {[import("./measured.js").Cell | null, string][]} */ ([[other, "--b"], [picked, "--a"]])) {
    if (!cell) continue;
    const { mean } = intervalAt(series, cell);
    if (!Number.isFinite(mean)) continue;
    brush.fillStyle = themed(colour);
    brush.fillRect(x(cell.row) - 4, y(mean) - 4, 8, 8);
  }
  const rowUnder = (/** @type {{offsetX: number}} */ event) =>
    Math.min(model.representations.length - 1, Math.max(0, Math.round(((event.offsetX - LEFT - 8) / (width - LEFT - RIGHT - 16)) * (model.representations.length - 1))));
  canvas.addEventListener("pointermove", (event) => {
    const row = rowUnder(event);
    tell([layerLabel(model.representations[row]), ...points.map(({ column, values }) => {
      const { mean, lower, upper } = values[row];
      return `${checkpointLabel(model.checkpoints[column])}: ${shown(mean)}${Number.isNaN(lower) ? "" : ` (${shown(lower)} to ${shown(upper)})`}`;
    })], event);
  });
  canvas.addEventListener("pointerleave", () => tell([], null));
  canvas.addEventListener("click", (event) => {
    const key = event.shiftKey ? "b" : "a";
    const column = (event.shiftKey ? other ?? picked : picked)?.column ?? last;
    show({ [key]: nameOf({ row: rowUnder(event), column }) });
  });

  /** @returns {{columns: string[], rows: (string | number | null)[][]}} */
  function rowsOf() {
    const rows = drawn.flatMap(([column]) => model.representations.map((representation, row) => {
      if (!series) return [];
      const { mean, lower, upper } = intervalAt(series, { row, column });
      return [state.seed, state.dataset, model.checkpoints[column].name, model.checkpoints[column].step, representation.name, mean, lower, upper];
    }));
    return { columns: ["model", "dataset", "checkpoint", "step", "representation", "mean", "lower", "upper"], rows };
  }
}
