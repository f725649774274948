// The dimension of each layer over training, with losses, metrics, events and published values.

import { element, name as setApart, visible } from "../../pages/web/safe_text.js";
import { lineColour, themed } from "./colours.js";
import { choice } from "../../pages/web/controls.js";
import { FONT, tell, tickLabel, viewHead } from "./drawing.js";
import { downloadButtons } from "./downloads.js";
import { shown } from "../../pages/web/numbers.js";
import { show, state } from "./state.js";
import { cellOf, intervalAt, datasetLabel, modelLabel, layerLabel, modelNamed, modelsOf, nameOf, overview, seriesShown, valueAt, subject } from "./measured.js";

/** @typedef {import("./measured.js").Cell} Cell */
/** @typedef {import("./measured.js").Metric} Metric */
/** @typedef {(number | null)[]} Column */

const BANDS = new Map([
  ["interval", "95 % interval of the mean"], ["quartiles", "quartiles of points"], ["ninety", "5 % to 95 % of points"], ["seeds", "lowest to highest seed"],
  ["none", "no band"],
]);
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const SYNCED = "steps";
const MOST_METRICS = 6;

/** @type {any[]} */
let charts = [];

/** @param {HTMLElement} place */
export function drawCurves(place) {
  for (const chart of charts) chart.destroy();
  charts = [];
  const model = modelNamed();
  const series = seriesShown();
  const columns = model.checkpoints.map((one, column) => ({ step: one.step, column })).filter((one) => one.step !== null);
  if (!series || columns.length < 2) {
    place.replaceChildren(viewHead("Over training", [series ? `${modelLabel(state.seed)} has one checkpoint of known step, so there is no curve.` : "Nothing was measured for this choice."]));
    return;
  }
  const picked = cellOf(state.a) ?? { row: 0, column: 0 };
  const isGlobal = series.scope === "global";
  const seeds = modelsOf(state.model);
  const bands = [...BANDS].filter(([kind]) => (kind === "seeds" ? seeds.length > 1 : kind === "interval" || kind === "none" || !isGlobal));
  const band = bands.some(([kind]) => kind === state.band) ? state.band : "interval";
  const steps = columns.map((one) => /** @type {number} */ (one.step));
  const events = eventsShown(model.representations[picked.row].name);
  const said = [`${subject()}: mean of each layer. Bold: ${layerLabel(model.representations[picked.row])}, with ${BANDS.get(band)}.`];
  if (seeds.length > 1) said.push(` Thin grey: the same layer of the other ${seeds.length - 1} seeds.`);
  if (events.length) said.push(` Events of this layer: ${events.map(eventLabel).join("; ")}.`);
  const controls = element("span", { class: "controls" },
    choice("steps", [["log", "log"], ["linear", "linear"]], state.steps, (value) => show({ steps: value })),
    choice("band", bands, band, (value) => show({ band: value })),
    choice("layers", [["all", "all"], ["picked", "picked"]], state.layers, (value) => show({ layers: value })));
  const canvases = () => charts.map((chart) => /** @type {HTMLCanvasElement} */ (chart.ctx.canvas));
  place.replaceChildren(viewHead("Over training", said, controls, downloadButtons("curves", rowsOf, () => ({ canvases: canvases(), caption: said.join("") }))));
  const width = Math.max(280, place.clientWidth);
  charts.push(dimensions());
  const metrics = metricsShown();
  if (metrics.length) charts.push(below(metrics));

  function dimensions() {
    if (!series) throw new Error("There is no series.");
    const rows = model.representations.map((_, row) => row).filter((row) => state.layers === "all" || row === picked.row);
    /** @type {[ArrayLike<number>, ...Column[]]} */
    const data = [steps];
    /** @type {any[]} */
    const drawn = [{}];
    /** @type {any[]} */
    const filled = [];
    const colour = (/** @type {number} */ row) => lineColour(row, model.representations.length);
    const [low, high] = bandOf(band, picked.row);
    if (low.some((one) => one !== null)) {
      data.push(high, low);
      drawn.push({ stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } });
      filled.push({ series: [1, 2], fill: faded(colour(picked.row)) });
    }
    for (const other of seeds.filter((one) => one.name !== state.seed)) {
      const of_other = seriesShown(other.name);
      if (!of_other) continue;
      data.push(steps.map((step) => {
        const column = other.checkpoints.findIndex((one) => one.step === step);
        return column < 0 ? null : defined(valueAt(of_other, "mean", { row: picked.row, column }, other));
      }));
      drawn.push({ stroke: themed("--muted"), width: 1, spanGaps: true, points: { show: false } });
    }
    for (const row of rows) {
      data.push(columns.map(({ column }) => defined(valueAt(series, "mean", { row, column }))));
      const isPicked = row === picked.row;
      drawn.push({ label: layerLabel(model.representations[row]), row, stroke: colour(row), width: isPicked ? 3 : 1.25, spanGaps: true, points: { show: isPicked, size: 5 } });
    }
    const height = Math.max(190, Math.min(320, width * 0.5));
    return plot({ width, height, data, series: drawn, bands: filled, y: "intrinsic dimension", steps: metricsShown().length ? "" : "training step", draw: (chart) => { drawEvents(chart); drawPublished(chart); drawPick(chart); }, tip: (index) => {
      const shownRows = rows.length > 10 ? [picked.row] : rows;
      return [`step ${steps[index]}`, ...[...shownRows].reverse().map((row) => `${layerLabel(model.representations[row])}: ${intervalText({ row, column: columns[index].column })}`)];
    }, pick: (index) => show({ a: nameOf({ row: picked.row, column: columns[index].column }) }) });
  }

  /** @param {Metric[]} metrics */
  function below(metrics) {
    const all = [...new Set(metrics.flatMap((one) => Array.from(one.steps)))].sort((one, other) => one - other);
    const first = Math.max(0, Math.min(...steps));
    const last = Math.max(...steps);
    const inside = all.filter((step) => step >= first && step <= last);
    /** @type {[ArrayLike<number>, ...Column[]]} */
    const data = [inside];
    /** @type {any[]} */
    const drawn = [{}];
    metrics.forEach((one, place_) => {
      const at = new Map(Array.from(one.steps, (step, index) => [step, one.values[index]]));
      data.push(inside.map((step) => defined(at.get(step) ?? NaN)));
      drawn.push({ label: metricLabel(one), stroke: lineColour(place_, metrics.length), dash: DASHES[place_ % DASHES.length], width: 1.5, spanGaps: true, points: { show: false } });
    });
    const names = metrics.map((one, place_) => keyEntry(metricLabel(one), lineColour(place_, metrics.length), DASHES[place_ % DASHES.length]));
    const key = element("p", { class: "key" }, ...names);
    const isLoss = metrics.every((one) => one.metric.endsWith("loss"));
    const chart = plot({ width, height: Math.max(130, Math.min(180, width * 0.28)), data, series: drawn, bands: [], y: isLoss ? "loss (nats)" : "metric", steps: "training step", draw: () => {}, tip: (index) =>
      [`step ${inside[index]}`, ...metrics.map((one) => {
        const at = one.steps.indexOf(inside[index]);
        return at < 0 ? "" : `${metricLabel(one)}: ${shown(one.values[at], 3)}`;
      }).filter(Boolean)], pick: () => {} });
    place.append(key);
    return chart;
  }

  /**
   * @param {string} kind
   * @param {number} row
   * @returns {[Column, Column]}
   */
  function bandOf(kind, row) {
    if (!series) return [[], []];
    const nothing = columns.map(() => null);
    if (kind === "interval") {
      const found = columns.map(({ column }) => intervalAt(series, { row, column }));
      return [found.map((one) => defined(one.lower)), found.map((one) => defined(one.upper))];
    }
    if (kind === "seeds") {
      const found = columns.map(({ step }) => seeds.flatMap((one) => {
        const of_seed = seriesShown(one.name);
        const column = one.checkpoints.findIndex((checkpoint) => checkpoint.step === step);
        const value = of_seed && column >= 0 ? valueAt(of_seed, "mean", { row, column }, one) : NaN;
        return Number.isFinite(value) ? [value] : [];
      }));
      return [found.map((one) => (one.length ? Math.min(...one) : null)), found.map((one) => (one.length ? Math.max(...one) : null))];
    }
    const ends = { quartiles: ["q25", "q75"], ninety: ["q05", "q95"] }[kind];
    if (!ends || !series.matrices[ends[0]]) return [nothing, nothing];
    const [low, high] = ends.map((quantity) => columns.map(({ column }) => defined(valueAt(series, quantity, { row, column }))));
    return [low, high];
  }

  /** @param {Cell} cell */
  function intervalText(cell) {
    if (!series) return "";
    const { mean, lower, upper } = intervalAt(series, cell);
    return Number.isNaN(lower) ? shown(mean) : `${shown(mean)} (${shown(lower)} to ${shown(upper)})`;
  }

  /** @param {any} chart */
  function drawEvents(chart) {
    const { ctx, bbox } = chart;
    ctx.save();
    const ratio = devicePixelRatio || 1;
    events.forEach((event, place_) => {
      if (event.step === null) return;
      const x = chart.valToPos(event.step, "x", true);
      ctx.strokeStyle = themed("--ink");
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.lineWidth = ratio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const y = bbox.top + (8 + 14 * place_) * ratio;
      if (event.lower !== null && event.upper !== null) {
        ctx.setLineDash([]);
        ctx.lineWidth = 2 * ratio;
        ctx.beginPath();
        ctx.moveTo(clamped(chart.valToPos(event.lower, "x", true), bbox), y);
        ctx.lineTo(clamped(chart.valToPos(event.upper, "x", true), bbox), y);
        ctx.stroke();
      }
      ctx.font = `${12 * ratio}px system-ui, sans-serif`;
      ctx.fillStyle = themed("--ink");
      const isRight = x > bbox.left + bbox.width * 0.75;
      ctx.textAlign = isRight ? "right" : "left";
      ctx.textBaseline = "middle";
      ctx.fillText(event.event.replaceAll("_", " "), x + (isRight ? -5 : 5) * ratio, y + 7 * ratio);
    });
    ctx.restore();
  }

  /** @param {any} chart */
  function drawPublished(chart) {
    const { ctx } = chart;
    const ratio = devicePixelRatio || 1;
    const layer = model.representations[picked.row].layer;
    for (const one of overview.published) {
      const fits = one.model === state.model && one.dataset === state.dataset && one.quantity === "local_dimension" && (one.layer === null || one.layer === layer);
      if (!fits || one.step === null || one.value === null) continue;
      ctx.strokeStyle = themed("--ink");
      ctx.lineWidth = 1.5 * ratio;
      ctx.beginPath();
      ctx.arc(chart.valToPos(one.step, "x", true), chart.valToPos(one.value, "y", true), 5 * ratio, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }

  /** @param {any} chart */
  function drawPick(chart) {
    const { ctx } = chart;
    const ratio = devicePixelRatio || 1;
    for (const [key, colour] of /** @type {["a" | "b", string][]} */ ([["b", "--b"], ["a", "--a"]])) {
      const cell = cellOf(state[key]);
      const step = cell && model.checkpoints[cell.column].step;
      if (!cell || step === null || step === undefined || !series) continue;
      const [x, y] = [chart.valToPos(step, "x", true), chart.valToPos(valueAt(series, "mean", cell), "y", true)];
      if (Number.isNaN(y)) continue;
      ctx.save();
      ctx.fillStyle = themed(colour);
      ctx.fillRect(x - 6 * ratio, y - 6 * ratio, 12 * ratio, 12 * ratio);
      ctx.fillStyle = "#fff";
      ctx.font = `600 ${10 * ratio}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText(key.toUpperCase(), x, y + ratio);
      ctx.restore();
    }
  }

  /** @returns {{columns: string[], rows: (string | number | null)[][]}} */
  function rowsOf() {
    if (!series) return { columns: [], rows: [] };
    /** @type {(string | number | null)[][]} */
    const table = [];
    for (const one of seeds) {
      const of_seed = seriesShown(one.name);
      if (!of_seed) continue;
      for (const [row, representation] of one.representations.entries()) {
        for (const [column, checkpoint] of one.checkpoints.entries()) {
          if (checkpoint.step === null || (state.layers !== "all" && row !== picked.row)) continue;
          const { mean, lower, upper } = intervalAt(of_seed, { row, column }, one);
          table.push(["dimension", one.name, state.dataset, representation.name, checkpoint.step, mean, lower, upper]);
        }
      }
    }
    for (const one of metricsShown()) {
      for (const [at, step] of one.steps.entries()) table.push([one.metric, one.model, one.dataset, null, step, one.values[at], one.lower[at], one.upper[at]]);
    }
    return { columns: ["curve", "model", "dataset", "representation", "step", "value", "lower", "upper"], rows: table };
  }
}

/**
 * @param {number} value
 * @returns {number | null}
 */
function defined(value) {
  return Number.isFinite(value) ? value : null;
}

/**
 * @param {string} colour rgb(…)
 * @returns {string}
 */
function faded(colour) {
  return colour.replace(")", " / 25%)");
}

/**
 * @param {number} x
 * @param {{left: number, width: number}} box
 */
function clamped(x, box) {
  return Math.min(box.left + box.width, Math.max(box.left, x));
}

/** @returns {Metric[]} losses on the dataset that is shown, and what the training kept */
function metricsShown() {
  const of_model = overview.metrics.filter((one) => one.model === state.seed);
  const losses = of_model.filter((one) => one.metric.endsWith("loss") && (one.dataset === null || one.dataset === state.dataset));
  const others = of_model.filter((one) => !one.metric.endsWith("loss") && !one.metric.includes("/"));
  return (losses.length ? losses : others).slice(0, MOST_METRICS);
}

/** @param {Metric} metric */
function metricLabel(metric) {
  return metric.dataset === null ? metric.metric.replaceAll("_", " ") : `loss on ${datasetLabel(metric.dataset)}`;
}

/**
 * @param {string} representation
 * @returns {import("./measured.js").TrainingEvent[]}
 */
function eventsShown(representation) {
  const [set, estimator, scope] = state.estimate.split("|");
  if (scope !== "local" || state.variant !== "data") return [];
  return overview.events.filter((one) =>
    one.group === state.model && one.curve === "local_dimension" && one.dataset === state.dataset && one.set === set && one.estimator === estimator &&
    one.representation === representation && one.cloud === state.cloud && one.step !== null);
}

/** @param {import("./measured.js").TrainingEvent} event */
function eventLabel(event) {
  const between = event.lower !== null && event.upper !== null ? ` (${tickLabel(Math.round(event.lower))} to ${tickLabel(Math.round(event.upper))})` : "";
  return `${event.event.replaceAll("_", " ")} at step ${tickLabel(Math.round(event.step ?? 0))}${between}`;
}

/**
 * @param {string} text
 * @param {string} colour
 * @param {number[]} dash
 * @returns {HTMLElement}
 */
function keyEntry(text, colour, dash) {
  const sample = element("canvas", { width: 28, height: 8, "aria-hidden": "true" });
  const brush = /** @type {CanvasRenderingContext2D} */ (sample.getContext("2d"));
  brush.strokeStyle = colour;
  brush.lineWidth = 2;
  brush.setLineDash(dash);
  brush.beginPath();
  brush.moveTo(0, 4);
  brush.lineTo(28, 4);
  brush.stroke();
  return element("span", {}, sample, " ", setApart(text));
}

/**
 * One chart of uPlot over the steps.
 * @param {{width: number, height: number, data: any[], series: any[], bands: any[], y: string, steps: string, draw: (chart: any) => void, tip: (index: number) => string[], pick: (index: number) => void}} what
 */
function plot(what) {
  const place = /** @type {HTMLElement} */ (document.getElementById("curves-view"));
  const holder = element("div", { class: "chart", role: "img", "aria-label": `${what.y} over the training step` });
  place.append(holder);
  const axis = { stroke: themed("--ink"), grid: { stroke: themed("--faint"), width: 1 }, ticks: { stroke: themed("--muted"), width: 1 }, font: FONT, labelFont: FONT };
  const isLog = state.steps === "log";
  const xs = what.data[0];
  const options = {
    width: what.width, height: what.height, legend: { show: false }, series: what.series, bands: what.bands,
    cursor: { sync: { key: SYNCED, setSeries: false }, drag: { x: true, y: false }, points: { show: false } },
    scales: { x: { time: false, distr: isLog ? 4 : 1, asinh: 1, range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [low, high] } },
    axes: [
      { ...axis, label: what.steps || null, labelSize: what.steps ? 22 : 0, size: 34, filter: (/** @type {any} */ _, /** @type {number[]} */ at) => at, splits: isLog ? () => symlogSplits(xs[0], xs[xs.length - 1], what.width) : undefined, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((one) => (one === null ? "" : tickLabel(one))) },
      { ...axis, label: what.y, labelSize: 20, size: 52, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((one) => (one === null ? "" : tickLabel(one))) },
    ],
    hooks: {
      draw: [what.draw],
      setCursor: [(/** @type {any} */ chart) => {
        const { idx, event } = chart.cursor;
        if (event && idx !== null && idx !== undefined) tell(what.tip(idx).map(visible), event);
      }],
    },
  };
  // @ts-expect-error uPlot stands before this script in the page
  const chart = new uPlot(options, what.data, holder);
  chart.over.addEventListener("pointerleave", () => tell([], null));
  chart.over.addEventListener("click", () => {
    if (typeof chart.cursor.idx === "number") what.pick(chart.cursor.idx);
  });
  return chart;
}

/**
 * 0 and powers of ten, with their halves in between where there is room.
 * @param {number} low
 * @param {number} high
 * @param {number} width
 * @returns {number[]}
 */
function symlogSplits(low, high, width) {
  const splits = low <= 0 ? [0] : [];
  const powers = Math.log10(Math.max(10, high));
  const labels = 3 * (8 * tickLabel(high).length + 6); // pixels of three, side by side
  const between_ = width / powers > labels ? [1, 2, 5] : [1];
  for (let power = 0; power <= Math.ceil(powers); power++) {
    for (const one of between_) if (one * 10 ** power >= low && one * 10 ** power <= high) splits.push(one * 10 ** power);
  }
  return splits.length ? splits : [low, high];
}
