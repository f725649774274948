// What tokens are coloured by, in their texts, in their list and on the map.

import { element, visible } from "../../pages/web/safe_text.js";
import { colourOf, colourOfDifference, css } from "./colours.js";
import { sized, tickLabel, ticks, write } from "./drawing.js";
import { shown } from "../../pages/web/numbers.js";
import { quantilesOf } from "./statistics.js";
import { state } from "./state.js";
import { cellLabel, cellOf, measureAt, measureNames, pointsAt } from "./measured.js";

/** @typedef {import("./measured.js").Tokens} Tokens */
/** @typedef {{colour: (value: number) => [number, number, number], low: number, high: number}} Colouring */

/** @returns {Promise<Float64Array | null>} of each token, what it is coloured by */
export async function valuesShown() {
  const [picked, other] = [cellOf(state.a), cellOf(state.b)];
  if (!picked) return null;
  if (state.colour === "difference" && other) {
    const [one, two] = [await pointsAt(picked), await pointsAt(other)];
    return one && two ? one.map((value, at) => value - two[at]) : null;
  }
  return (await measureNames()).includes(state.colour) ? measureAt(state.colour, picked.column) : pointsAt(picked);
}

/** @returns {Promise<string>} what tokens are coloured by, in words */
export async function valueName() {
  if (state.colour === "difference" && cellOf(state.b)) return "difference A − B";
  return (await measureNames()).includes(state.colour) ? state.colour.replaceAll("_", " ") : "local dimension";
}

/**
 * From a value to its colour: most values share the colours, so that a few far out do not take them all.
 * @param {Float64Array} values
 * @returns {Colouring}
 */
export function colouring(values) {
  const [low, high] = quantilesOf(Array.from(values), [0.02, 0.98]);
  if (state.colour === "difference") {
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { colour: (value) => colourOfDifference(0.5 + value / most / 2), low: -most, high: most };
  }
  return { colour: (value) => colourOf(high > low ? (value - low) / (high - low) : 0.5), low, high };
}

/**
 * The colours from the lowest to the highest value.
 * @param {Colouring} how
 * @returns {HTMLCanvasElement}
 */
export function legend(how) {
  const canvas = element("canvas", { role: "img", "aria-label": `colours from ${shown(how.low)} to ${shown(how.high)}` });
  const brush = sized(canvas, 260, 32);
  for (let at = 0; at < 240; at++) {
    brush.fillStyle = css(how.colour(how.low + (at / 240) * (how.high - how.low)));
    brush.fillRect(10 + at, 2, 1.5, 10);
  }
  for (const tick of ticks(how.low, how.high, 5)) {
    write(brush, tickLabel(tick), 10 + (240 * (tick - how.low)) / (how.high - how.low || 1), 22, { align: "center" });
  }
  return canvas;
}

/**
 * A token as it stands in its text.
 * @param {Tokens} held
 * @param {number} at
 * @returns {string}
 */
export function textOf(held, at) {
  return held.texts ? held.texts[held.sequence[at]].slice(held.begin[at], held.end[at]) : held.words[held.token[at]];
}

/**
 * A token and its value, in words.
 * @param {Tokens} held
 * @param {Float64Array} values
 * @param {number} at
 * @returns {string}
 */
export function aboutToken(held, values, at) {
  const picked = cellOf(state.a);
  const count = held.count[at] < 0 ? "" : `, ${held.count[at]} times in the texts`;
  return `${visible(held.words[held.token[at]])}: ${shown(values[at], 2)}${picked ? ` (${cellLabel(picked)})` : ""}${count}`;
}
