// The values of single points at the picked cells, and the paired difference between both.

import { element, visible } from "../../pages/web/safe_text.js";
import { themed } from "./colours.js";
import { choice } from "../../pages/web/controls.js";
import { line, scale, sized, tell, tickLabel, ticks, viewHead, write } from "./drawing.js";
import { downloadButtons } from "./downloads.js";
import { counted, shown } from "../../pages/web/numbers.js";
import { extent, histogram, quantilesOf } from "./statistics.js";
import { show, state } from "./state.js";
import { cellLabel, cellOf, difference, intervalAt, modelNamed, pointsAt, seriesShown, tokens, tokensShown, valueAt, subject } from "./measured.js";

/** @typedef {import("./measured.js").Cell} Cell */

const BINS = 40;
const [LEFT, TOP, BOTTOM, RIGHT] = [52, 26, 44, 12];
const NULLS = ["gaussian", "permuted"];

let drawing = 0;

/**
 * @param {HTMLElement} place
 * @param {HTMLElement} beside
 */
export async function drawDistribution(place, beside) {
  const mine = ++drawing;
  const series = seriesShown();
  const [picked, other] = [cellOf(state.a), cellOf(state.b)];
  if (!series || !picked) {
    place.replaceChildren(viewHead("Distribution", ["Pick a cell of the heat map."]));
    beside.replaceChildren();
    return;
  }
  const cells = /** @type {[string, Cell, string][]} */ ([["A", picked, "--a"], ...(other ? [["B", other, "--b"]] : [])]);
  const found = await Promise.all(cells.map(async ([sign, cell, colour]) => ({ sign, cell, colour, points: await pointsAt(cell) })));
  const held = await tokens();
  const between = other ? await difference(picked, other) : null;
  if (mine !== drawing) return; // something else was picked meanwhile
  drawDifference(beside, picked, other, between);
  const sets = found.map((one) => Array.from(one.points ?? []).filter((value) => !Number.isNaN(value)));
  if (!sets.some((values) => values.length)) {
    place.replaceChildren(viewHead("Distribution", [series.scope === "global" ? "A global estimate is one number of a whole cloud; choose a local one to see its points." : "The page holds single points of the data alone (variant: data)."]), facts());
    return;
  }
  const kind = state.shape === "violin" ? "violin" : "histogram";
  const canvas = element("canvas", { role: "img" });
  const said = `${subject()}: local values of single tokens. Squares are means with 95 % intervals.`;
  canvas.setAttribute("aria-label", visible(said));
  place.replaceChildren(
    viewHead("Distribution", [said], choice("drawn as", [["histogram", "histogram"], ["violin", "violin"]], kind, (value) => show({ shape: value })), downloadButtons("distribution", rowsOf, () => ({ canvases: [canvas], caption: said }))),
    canvas, facts(),
  );
  const width = Math.max(280, place.clientWidth);
  const height = 250;
  const brush = sized(canvas, width, height);
  const [low, high] = extent(sets.flat());
  const isLog = low > 0 && high / low > 12;
  const { edges, shares } = histogram(sets, BINS, isLog);
  const highest = Math.max(...shares.flat(), 1e-9);
  const x = scale(isLog || high > low ? [low, high] : [low - 0.5, high + 0.5], [LEFT, width - RIGHT], isLog);
  for (const tick of ticks(low, high, 8, isLog)) {
    line(brush, x(tick), TOP, x(tick), height - BOTTOM);
    write(brush, tickLabel(tick), x(tick), height - BOTTOM + 13, { align: "center" });
  }
  write(brush, `local dimension${isLog ? " (logarithmic)" : ""}`, (LEFT + width - RIGHT) / 2, height - 8, { align: "center" });
  found.forEach((one, set) => {
    const colour = themed(one.colour);
    const band = (height - BOTTOM - TOP) / found.length;
    const base = kind === "violin" ? TOP + band * (set + 0.5) : height - BOTTOM;
    brush.fillStyle = colour;
    brush.strokeStyle = colour;
    brush.lineWidth = 1.5;
    brush.beginPath();
    shares[set].forEach((share, bin) => {
      const [from, to] = [x(edges[bin]), x(edges[bin + 1])];
      const size = (share / highest) * (kind === "violin" ? band * 0.45 : height - BOTTOM - TOP);
      brush.rect(from, base - size, to - from, kind === "violin" ? 2 * size : size);
    });
    brush.globalAlpha = 0.35;
    brush.fill();
    brush.globalAlpha = 1;
    if (kind === "histogram") outline(brush, edges.map(x), shares[set].map((share) => base - (share / highest) * (height - BOTTOM - TOP)), base);
    const { mean, lower, upper } = intervalAt(series, one.cell);
    const y = kind === "violin" ? base : 8 + 11 * set;
    if (Number.isFinite(lower)) line(brush, x(Math.max(low, lower)), y, x(Math.min(high, upper)), y, colour, 2);
    brush.fillStyle = colour;
    brush.fillRect(x(mean) - 4, y - 4, 8, 8);
    write(brush, one.sign, x(mean) + 8, y, { colour, bold: true });
  });
  if (kind === "histogram") write(brush, "share of tokens", 12, (TOP + height - BOTTOM) / 2, { align: "center", turned: true });
  canvas.addEventListener("pointermove", (event) => {
    const bin = edges.findIndex((edge, place_) => place_ < BINS && event.offsetX >= x(edge) && event.offsetX < x(edges[place_ + 1]));
    tell(bin < 0 ? [] : [`${shown(edges[bin])} to ${shown(edges[bin + 1])}`, ...found.map((one, set) => `${one.sign}: ${(shares[set][bin] * 100).toFixed(1)} % of ${counted(sets[set].length)} tokens`)], bin < 0 ? null : event);
  });
  canvas.addEventListener("pointerleave", () => tell([], null));

  function facts() {
    const rows = found.map((one, set) => {
      const { mean, lower, upper } = intervalAt(/** @type {any} */ (series), one.cell);
      const stable = series ? series.matrices.stable[one.cell.row * modelNamed().checkpoints.length + one.cell.column] : 2;
      const nulls = NULLS.flatMap((variant) => {
        const of_null = seriesShown(state.seed, { variant });
        const value = of_null && state.variant === "data" ? valueAt(of_null, "mean", one.cell) : NaN;
        return Number.isFinite(value) ? [`${variant} ${shown(value)}`] : [];
      });
      const median = sets[set].length ? shown(quantilesOf(sets[set], [0.5])[0]) : shown(valueAt(/** @type {any} */ (series), "median", one.cell));
      return element("tr", {}, element("th", { scope: "row" }, `${one.sign}: ${cellLabel(one.cell)}`), element("td", {}, shown(mean)), element("td", {}, Number.isNaN(lower) ? "not known" : `${shown(lower)} to ${shown(upper)}`),
        element("td", {}, median), element("td", {}, counted(valueAt(/** @type {any} */ (series), "n_points", one.cell) || 0)), element("td", {}, shown(valueAt(/** @type {any} */ (series), "n_undefined", one.cell), 0)),
        element("td", {}, ["no", "yes", "not measured"][stable]), element("td", {}, nulls.join(", ") || "–"));
    });
    return element("div", { class: "scrolls" }, element("table", { id: "facts" }, element("thead", {}, element("tr", {}, ...["cell", "mean", "95 % interval", "median", "N", "undefined", "scale-stable", "nulls"].map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, ...rows)));
  }

  /** @returns {{columns: string[], rows: (string | number | null)[][]}} */
  function rowsOf() {
    if (!held) return { columns: [], rows: [] };
    const rows = found.flatMap((one) => Array.from(one.points ?? [], (value, place_) => [one.sign, cellLabel(one.cell), held.point[place_], held.words[held.token[place_]], value]).filter((row) => !Number.isNaN(row[4])));
    return { columns: ["cell", "at", "point", "token", "value"], rows };
  }
}

/**
 * @param {CanvasRenderingContext2D} brush
 * @param {number[]} edges
 * @param {number[]} tops
 * @param {number} base
 */
function outline(brush, edges, tops, base) {
  brush.beginPath();
  brush.moveTo(edges[0], base);
  tops.forEach((top, bin) => {
    brush.lineTo(edges[bin], top);
    brush.lineTo(edges[bin + 1], top);
  });
  brush.lineTo(edges[edges.length - 1], base);
  brush.stroke();
}

/**
 * @param {HTMLElement} place
 * @param {Cell} picked
 * @param {Cell | null} other
 * @param {import("./statistics.js").Difference | null} found
 */
function drawDifference(place, picked, other, found) {
  const heading = element("h2", {}, "Paired difference");
  if (!other) {
    place.replaceChildren(heading, element("p", { class: "note" }, "Pick a cell to compare with: shift and a click in the heat map, or shift and the arrow keys. Without a keyboard:"), compareButtons());
    return;
  }
  if (!found?.pairs) {
    place.replaceChildren(heading, element("p", { class: "note" }, found ? "No token has a value in both cells." : "Single points have values in local estimates of the data alone."), compareButtons());
    return;
  }
  const isClear = found.lower > 0 || found.upper < 0;
  const way = found.difference > 0 ? "higher" : "lower";
  const sentence = Number.isNaN(found.lower)
    ? `A is ${shown(Math.abs(found.difference))} ${way} than B. Whether significantly is not known.`
    : isClear ? `A is significantly ${way} than B, by ${shown(Math.abs(found.difference))}.` : "A and B do not differ significantly.";
  const kept = tokensShown();
  const sampled = kept?.sampled ? ` The page holds ${counted(kept.n_kept)} of the tokens; the table contrasts counts all.` : "";
  const values = element("dl", { id: "difference" },
    element("dt", {}, "A"), element("dd", {}, `${cellLabel(picked)}: ${shown(found.mean, 3)}`),
    element("dt", {}, "B"), element("dd", {}, `${cellLabel(other)}: ${shown(found.otherMean, 3)}`),
    element("dt", {}, "A − B"), element("dd", { "data-difference": found.difference, "data-lower": found.lower, "data-upper": found.upper, "data-pairs": found.pairs }, `${shown(found.difference, 3)} ${Number.isNaN(found.lower) ? "(interval not known)" : `(95 % interval ${shown(found.lower, 3)} to ${shown(found.upper, 3)})`}`));
  place.replaceChildren(heading, element("p", { class: isClear ? "verdict" : "verdict unclear" }, sentence), values,
    element("p", { class: "note" }, `Over ${counted(found.pairs)} tokens of ${counted(found.sequences)} sequences that have a value in both cells. The interval counts each sequence as one cluster, and knows of neighbourhoods that share points.${sampled}`), compareButtons());
}

function compareButtons() {
  const swap = element("button", { type: "button", class: "quiet" }, "swap A and B");
  swap.disabled = !cellOf(state.b);
  swap.addEventListener("click", () => show({ a: state.b, b: state.a }));
  const take = element("button", { type: "button", class: "quiet" }, "take A as B");
  take.addEventListener("click", () => show({ b: state.a }));
  const clear = element("button", { type: "button", class: "quiet" }, "no B");
  clear.addEventListener("click", () => show({ b: "" }));
  return element("p", { class: "buttons" }, take, swap, clear);
}
