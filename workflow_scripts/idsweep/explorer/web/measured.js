// What the sweep measured, found by what the page shows.

import { packOf } from "../../pages/web/unpack.js";
import { state } from "./state.js";
import { pairedDifference } from "./statistics.js";

/** @typedef {{name: string, step: number | null}} Checkpoint */
/** @typedef {{name: string, layer: number | null}} Representation */
/** @typedef {{name: string, group: string, seed: number | null, checkpoints: Checkpoint[], representations: Representation[]}} Model */
/**
 * @typedef {object} Series
 * @property {string} model
 * @property {string} dataset
 * @property {string | null} split
 * @property {string} set
 * @property {string} estimator
 * @property {string} scope
 * @property {string} variant
 * @property {string} cloud
 * @property {number | null} n_neighbors
 * @property {Record<string, Float32Array> & {stable: Uint8Array}} matrices
 */
/** @typedef {{model: string, metric: string, dataset: string | null, steps: Float64Array, values: Float32Array, lower: Float32Array, upper: Float32Array}} Metric */
/** @typedef {{group: string, set: string | null, estimator: string | null, dataset: string | null, representation: string | null, cloud: string | null, curve: string, event: string, step: number | null, lower: number | null, upper: number | null, n_seeds: number}} TrainingEvent */
/** @typedef {{model: string, dataset: string, layer: number | null, quantity: string, step: number | null, value: number | null, lower: number | null, upper: number | null, source: string}} Published */
/** @typedef {{models: string[], dataset: string, pack: string, n_sequences: number, sampled: boolean, n_kept: number}} TokensPack */
/**
 * @typedef {object} Overview
 * @property {string} title
 * @property {{model: Record<string, string>, dataset: Record<string, string>}} labels
 * @property {Record<string, string>} estimators
 * @property {Model[]} models
 * @property {Series[]} series
 * @property {Metric[]} metrics
 * @property {TrainingEvent[]} events
 * @property {Published[]} published
 * @property {TokensPack[]} tokens
 * @property {{model: string, dataset: string, pack: string}[]} values
 * @property {{model: string, dataset: string, pack: string}[]} maps none where the sweep has no map
 * @property {Float64Array} quantiles
 */
/** @typedef {{row: number, column: number}} Cell a representation and a checkpoint, by place */
/** @typedef {{codes: Uint16Array, low: Float64Array, high: Float64Array, is_log: Uint8Array}} Coded */
/**
 * @typedef {object} Tokens
 * @property {Int32Array} point
 * @property {Int32Array} sequence
 * @property {Int32Array} position
 * @property {Int32Array} token
 * @property {string[]} words
 * @property {Uint8Array} part
 * @property {string[]} parts
 * @property {Int32Array} token_class
 * @property {string[]} classes
 * @property {Int32Array} count
 * @property {string[] | null} texts
 * @property {Int32Array} begin
 * @property {Int32Array} end
 */

const [ABSENT, UNDEFINED, HIGHEST] = [65535, 65534, 65533];

/** What the page holds of the whole sweep, once `use` was called. */
export const overview = /** @type {Overview} */ ({});

/** @param {Overview} unpacked */
export function use(unpacked) {
  Object.assign(overview, unpacked);
}

/**
 * What a model, or a group of models, is called.
 * @param {string} name
 * @returns {string}
 */
export function modelLabel(name) {
  return overview.labels.model[name] ?? name;
}

/**
 * What a dataset is called.
 * @param {string} name
 * @returns {string}
 */
export function datasetLabel(name) {
  return overview.labels.dataset[name] ?? name;
}

/**
 * @param {string} group
 * @returns {Model[]}
 */
export function modelsOf(group) {
  return overview.models.filter((model) => model.group === group);
}

/**
 * @param {string} [name]
 * @returns {Model}
 */
export function modelNamed(name = state.seed) {
  const found = overview.models.find((model) => model.name === name);
  if (!found) throw new Error(`No model is called ${name}.`);
  return found;
}

/**
 * @param {Series} series
 * @returns {string}
 */
export function estimateOf(series) {
  return `${series.set}|${series.estimator}|${series.scope}`;
}

/**
 * The series that a state chooses.
 * @param {import("./state.js").State} chosen
 * @returns {Series | undefined}
 */
export function seriesOf(chosen) {
  return overview.series.find((one) =>
    one.model === chosen.seed && one.dataset === chosen.dataset && estimateOf(one) === chosen.estimate && one.variant === chosen.variant && one.cloud === chosen.cloud);
}

/**
 * The series that is shown, of a model.
 * @param {string} [model]
 * @param {Partial<{variant: string}>} [other]
 * @returns {Series | undefined}
 */
export function seriesShown(model = state.seed, other = {}) {
  return seriesOf({ ...state, seed: model, ...other });
}

/**
 * @param {string} said checkpoint @ representation
 * @param {Model} [model]
 * @returns {Cell | null} null where the model has no such cell
 */
export function cellOf(said, model = modelNamed()) {
  const at = said.lastIndexOf("@");
  const column = model.checkpoints.findIndex((one) => one.name === said.slice(0, at));
  const row = model.representations.findIndex((one) => one.name === said.slice(at + 1));
  return at < 0 || column < 0 || row < 0 ? null : { row, column };
}

/**
 * @param {Cell} cell
 * @param {Model} [model]
 * @returns {string}
 */
export function nameOf(cell, model = modelNamed()) {
  return `${model.checkpoints[cell.column].name}@${model.representations[cell.row].name}`;
}

/**
 * @param {Representation} representation
 * @returns {string}
 */
export function layerLabel(representation) {
  return representation.layer === null ? representation.name.replaceAll("_", " ") : `layer ${representation.layer}`;
}

/**
 * @param {Checkpoint} checkpoint
 * @returns {string}
 */
export function checkpointLabel(checkpoint) {
  return checkpoint.step === null ? checkpoint.name : `step ${checkpoint.step}`;
}

/**
 * @param {Cell} cell
 * @param {Model} [model]
 * @returns {string}
 */
export function cellLabel(cell, model = modelNamed()) {
  return `${layerLabel(model.representations[cell.row])} at ${checkpointLabel(model.checkpoints[cell.column])}`;
}

/**
 * @param {Series} series
 * @param {string} quantity
 * @param {Cell} cell
 * @param {Model} [model]
 * @returns {number} NaN where nothing was measured
 */
export function valueAt(series, quantity, cell, model = modelNamed()) {
  const matrix = series.matrices[quantity];
  return matrix ? matrix[cell.row * model.checkpoints.length + cell.column] : NaN;
}

/**
 * The mean and its 95 % interval, 1.96 standard errors to each side; NaN where no error is known.
 * @param {Series} series
 * @param {Cell} cell
 * @param {Model} [model]
 * @returns {{mean: number, lower: number, upper: number}}
 */
export function intervalAt(series, cell, model = modelNamed()) {
  const mean = valueAt(series, "mean", cell, model);
  const half = 1.96 * valueAt(series, "standard_error", cell, model);
  return { mean, lower: mean - half, upper: mean + half };
}

/**
 * @param {Coded} coded
 * @param {number} cell
 * @param {number} number of points
 * @returns {Float64Array} NaN where there is no value
 */
function decode(coded, cell, number) {
  const values = new Float64Array(number);
  const low = coded.low[cell];
  const step = (coded.high[cell] - low) / HIGHEST;
  for (let point = 0; point < number; point++) {
    const code = coded.codes[cell * number + point];
    const scaled = low + step * code;
    values[point] = code === ABSENT || code === UNDEFINED ? NaN : coded.is_log[cell] ? Math.exp(scaled) : scaled;
  }
  return values;
}

/**
 * What is kept of single points of a model on the dataset that is shown.
 * @param {string} [model]
 * @returns {Promise<{series: (Coded & {series: number})[], measures: Record<string, Coded>} | null>}
 */
function valuesPack(model = state.seed) {
  const found = overview.values.find((one) => one.model === model && one.dataset === state.dataset);
  return found ? packOf(found.pack) : Promise.resolve(null);
}

/** @returns {TokensPack | undefined} */
export function tokensShown() {
  return overview.tokens.find((one) => one.dataset === state.dataset && one.models.includes(state.seed));
}

/** @returns {Promise<Tokens | null>} */
export function tokens() {
  const found = tokensShown();
  return found ? packOf(found.pack) : Promise.resolve(null);
}

/**
 * The values of the points of a cell, in the order of `tokens`; null where single points have none.
 * @param {Cell} cell
 * @returns {Promise<Float64Array | null>}
 */
export async function pointsAt(cell) {
  const series = seriesShown();
  const [pack, kept] = [await valuesPack(), tokensShown()];
  const coded = series && pack?.series.find((one) => overview.series[one.series] === series);
  if (!coded || !kept) return null;
  return decode(coded, cell.row * modelNamed().checkpoints.length + cell.column, kept.n_kept);
}

/**
 * Where the points of a cell lie in the plane of most variance, in the order of `tokens`, and the shares of the variance along both axes;
 * null where there is no map.
 * @param {Cell} cell
 * @returns {Promise<{x: Float64Array, y: Float64Array, shares: [number, number]} | null>}
 */
export async function mapAt(cell) {
  const found = overview.maps.find((one) => one.model === state.seed && one.dataset === state.dataset);
  const kept = tokensShown();
  if (!found || !kept) return null;
  const place = cell.row * modelNamed().checkpoints.length + cell.column;
  const pack = await packOf(found.pack);
  const [x, y] = [decode(pack.x, place, kept.n_kept), decode(pack.y, place, kept.n_kept)];
  return x.some((one) => !Number.isNaN(one)) ? { x, y, shares: [pack.x_share[place], pack.y_share[place]] } : null;
}

/** @returns {Promise<string[]>} names of what the model makes of tokens */
export async function measureNames() {
  return Object.keys((await valuesPack())?.measures ?? {});
}

/**
 * @param {string} measure
 * @param {number} column checkpoint
 * @returns {Promise<Float64Array | null>}
 */
export async function measureAt(measure, column) {
  const [pack, kept] = [await valuesPack(), tokensShown()];
  const coded = pack?.measures[measure];
  return coded && kept ? decode(coded, column, kept.n_kept) : null;
}

/**
 * The paired difference of two cells, over the points that the page holds; null where single points have no values.
 * @param {Cell} cell
 * @param {Cell} other
 * @returns {Promise<import("./statistics.js").Difference | null>}
 */
export async function difference(cell, other) {
  const [values, others, held] = [await pointsAt(cell), await pointsAt(other), await tokens()];
  const series = seriesShown();
  if (!values || !others || !held || !series) return null;
  const means = [cell, other].map((one) => ({
    error: valueAt(series, "standard_error", one),
    number: valueAt(series, "n_points", one) - valueAt(series, "n_undefined", one),
  }));
  return pairedDifference(values, others, held.sequence, overview.quantiles, means);
}

/**
 * @param {string} estimate set | estimator | scope
 * @returns {string}
 */
export function estimateLabel(estimate) {
  const [set, estimator, scope] = estimate.split("|");
  const sets = new Set(overview.series.map((one) => one.set));
  return `${overview.estimators[estimator]}, ${scope}${sets.size > 1 ? ` (${set})` : ""}`;
}

/**
 * What is shown: model, dataset and estimate, and what of them where that is not the data, or one of several clouds.
 * @returns {string}
 */
export function subject() {
  const clouds = new Set(overview.series.filter((one) => one.model === state.seed && one.dataset === state.dataset).map((one) => one.cloud));
  const further = [state.variant === "data" ? "" : `of the variant ${state.variant}, not the data`, clouds.size > 1 ? `cloud ${state.cloud}` : ""];
  return [`${modelLabel(state.seed)} on ${datasetLabel(state.dataset)}`, estimateLabel(state.estimate), ...further].filter(Boolean).join(", ");
}

/**
 * The cell of the largest mean, but for one; null where nothing is known.
 * @param {Cell | null} [except]
 * @param {import("./state.js").State} [chosen]
 * @returns {Cell | null}
 */
export function highestCell(except = null, chosen = state) {
  return furthestCell((one, other) => one > other, except, chosen);
}

/**
 * The cell of the smallest mean; null where nothing is known.
 * @returns {Cell | null}
 */
export function lowestCell() {
  return furthestCell((one, other) => one < other, null, state);
}

/**
 * @param {(one: number, other: number) => boolean} isFurther
 * @param {Cell | null} except
 * @param {import("./state.js").State} chosen
 * @returns {Cell | null}
 */
function furthestCell(isFurther, except, chosen) {
  const means = seriesOf(chosen)?.matrices.mean ?? new Float32Array();
  const columns = modelNamed(chosen.seed).checkpoints.length;
  const left = except ? except.row * columns + except.column : -1;
  let best = -1;
  means.forEach((value, at) => {
    if (at !== left && Number.isFinite(value) && (best < 0 || isFurther(value, means[best]))) best = at;
  });
  return best < 0 ? null : { row: Math.floor(best / columns), column: best % columns };
}
