// Which points of the map are selected: drawn around, the highest or lowest ones, or those near one. The address says it.

import { cellLabel, cellOf, mapAt, modelNamed, nameOf, pointsAt, tokens } from "./measured.js";
import { counted } from "../../pages/web/numbers.js";
import { state } from "./state.js";
import { extent, quantilesOf } from "./statistics.js";

/** @typedef {import("./measured.js").Cell} Cell */
/** @typedef {{kind: string, cell: Cell, numbers: number[]}} Selection */

// `kind|numbers|cell`: numbers are corners x y x y … of what was drawn (in units of the vectors), or the point that others are near to.
const KINDS = ["lasso", "highest", "lowest", "near"];
export const AT_ONCE = 50; // points of a selection that nothing was drawn around
const MOST_CORNERS = 80;
const MOST_POINTS = [0.01, 0.99];
const MOST_ROOM = 4; // times the room of most points

/**
 * @param {string} kind
 * @param {Cell} cell
 * @param {number[]} [numbers]
 * @returns {string}
 */
export function selectionOf(kind, cell, numbers = []) {
  return `${kind}|${numbers.map((one) => Number(one.toPrecision(5))).join(" ")}|${nameOf(cell)}`;
}

/**
 * @param {string} said
 * @param {import("./measured.js").Model} [model]
 * @returns {Selection | null} null where nothing is selected, or nothing that the page has
 */
export function readSelection(said, model = modelNamed()) {
  const [kind, numbers, ...cell] = said.split("|");
  const found = KINDS.includes(kind) ? cellOf(cell.join("|"), model) : null;
  const read = (numbers ?? "").split(" ").filter((one) => one).map(Number);
  const isWhole = kind === "lasso" ? read.length >= 6 && read.length % 2 === 0 && read.length <= 2 * MOST_CORNERS : kind !== "near" || read.length === 1;
  return found && isWhole && read.every(Number.isFinite) ? { kind, cell: found, numbers: read } : null;
}

/**
 * Places of the selected points among the tokens; null where nothing is selected.
 * @returns {Promise<Set<number> | null>}
 */
export async function selectedPlaces() {
  const selection = readSelection(state.selected);
  const [found, values, held] = selection ? [await mapAt(selection.cell), await pointsAt(selection.cell), await tokens()] : [null, null, null];
  if (!selection || !found || !values || !held) return null;
  const all = Array.from(values.keys()).filter((at) => !Number.isNaN(values[at]) && !Number.isNaN(found.x[at]));
  if (selection.kind === "lasso") {
    const frame = frameOf(found);
    return new Set(all.filter((at) => isInside(within(found.x[at], frame.x), within(found.y[at], frame.y), selection.numbers)));
  }
  const way = selection.kind === "highest" ? -1 : 1;
  const middle = held.point.indexOf(selection.numbers[0]);
  if (selection.kind === "near" && middle < 0) return null;
  const distance = (/** @type {number} */ at) => (found.x[at] - found.x[middle]) ** 2 + (found.y[at] - found.y[middle]) ** 2;
  const rank = selection.kind === "near" ? distance : (/** @type {number} */ at) => way * values[at];
  return new Set(all.sort((one, other) => rank(one) - rank(other) || one - other).slice(0, AT_ONCE));
}

/**
 * What of the plane is shown: everything, unless a few points far out would leave the others no room.
 * @param {{x: Float64Array, y: Float64Array}} found
 * @returns {{x: [number, number], y: [number, number]}}
 */
export function frameOf(found) {
  const [x, y] = [found.x, found.y].map((values) => {
    const [low, high] = extent(values);
    const [inner, outer] = quantilesOf(Array.from(values), MOST_POINTS);
    const room = (outer - inner) / 2;
    return /** @type {[number, number]} */ (high - low > MOST_ROOM * (outer - inner) ? [Math.max(low, inner - room), Math.min(high, outer + room)] : [low, high]);
  });
  return { x, y };
}

/**
 * A coordinate, or the edge that lies between it and what is shown.
 * @param {number} value
 * @param {[number, number]} edges
 * @returns {number}
 */
export function within(value, [low, high]) {
  return Math.min(high, Math.max(low, value));
}

/**
 * @param {Set<number>} selected
 * @returns {string}
 */
export function describeSelection(selected) {
  const selection = readSelection(state.selected);
  if (!selection) return "";
  const kinds = new Map([["lasso", "selected"], ["highest", "highest"], ["lowest", "lowest"], ["near", "near one point"]]);
  return `${counted(selected.size)} ${kinds.get(selection.kind)} on the map of ${cellLabel(selection.cell)}`;
}

/**
 * Fewer corners of what was drawn, evenly, where there are more than an address should hold.
 * @param {[number, number][]} path
 * @returns {[number, number][]}
 */
export function thinned(path) {
  const every = Math.ceil(path.length / MOST_CORNERS);
  return path.filter((_, corner) => corner % every === 0);
}

/**
 * Whether a point lies inside a closed line, by how often a ray from it crosses the line.
 * @param {number} x
 * @param {number} y
 * @param {number[]} corners x y x y …
 * @returns {boolean}
 */
export function isInside(x, y, corners) {
  let isIn = false;
  for (let at = 0, before = corners.length - 2; at < corners.length; before = at, at += 2) {
    const [one, other] = [corners[at + 1], corners[before + 1]];
    if (one > y !== other > y && x < ((corners[before] - corners[at]) * (y - one)) / (other - one) + corners[at]) isIn = !isIn;
  }
  return isIn;
}
