// The page as a whole: what is chosen, the answer on top, and which view is drawn when.

import { packOf } from "../../pages/web/unpack.js";
import { keepFocus } from "../../pages/web/focus.js";
import { element, visible } from "../../pages/web/safe_text.js";
import { choice } from "../../pages/web/controls.js";
import { counted, shown } from "../../pages/web/numbers.js";
import { asHash, fromHash, show, state, whenChanged } from "./state.js";
import { drawHeatmap } from "./heatmap.js";
import { drawCurves } from "./curves.js";
import { drawProfiles } from "./profiles.js";
import { drawDistribution } from "./distribution.js";
import { drawMap } from "./map.js";
import { readSelection } from "./selection.js";
import { drawTokens } from "./tokens.js";
import { cellLabel, cellOf, datasetLabel, difference, estimateLabel, estimateOf, highestCell, intervalAt, lowestCell, modelLabel, modelNamed, modelsOf, nameOf, overview, seriesShown, tokensShown, use } from "./measured.js";

const OF_SERIES = ["model", "seed", "dataset", "estimate", "variant", "cloud"];

/** @param {string} id */
function at(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * What is chosen, where the sweep has it; what it has, where not.
 * @param {import("./state.js").State} said
 * @returns {Partial<import("./state.js").State>}
 */
function possible(said) {
  const groups = [...new Set(overview.models.map((one) => one.group))];
  const model = groups.includes(said.model) ? said.model : bestGroup(groups);
  const seeds = modelsOf(model);
  const seed = (seeds.find((one) => one.name === said.seed) ?? seeds[0]).name;
  const of_seed = overview.series.filter((one) => one.model === seed);
  const first = (/** @type {string[]} */ values, /** @type {string} */ wanted) => (values.includes(wanted) ? wanted : values[0] ?? "");
  const dataset = first(of_seed.map((one) => one.dataset), said.dataset);
  const of_dataset = of_seed.filter((one) => one.dataset === dataset);
  const estimate = first(of_dataset.map(estimateOf), said.estimate);
  const of_estimate = of_dataset.filter((one) => estimateOf(one) === estimate);
  const cloud = first(of_estimate.map((one) => one.cloud), said.cloud);
  const variants = of_estimate.filter((one) => one.cloud === cloud).map((one) => one.variant);
  const variant = variants.includes(said.variant) ? said.variant : variants.includes("data") ? "data" : variants[0];
  return { model, seed, dataset, estimate, cloud, variant };
}

/**
 * The group with most checkpoints: what changes over training is what people come for.
 * @param {string[]} groups
 */
function bestGroup(groups) {
  return groups.reduce((best, one) => (modelsOf(one)[0].checkpoints.length > modelsOf(best)[0].checkpoints.length ? one : best));
}

function drawChoices() {
  const groups = [...new Set(overview.models.map((one) => one.group))];
  const of_seed = overview.series.filter((one) => one.model === state.seed);
  const of_dataset = of_seed.filter((one) => one.dataset === state.dataset);
  const of_estimate = of_dataset.filter((one) => estimateOf(one) === state.estimate);
  const clouds = unique(of_estimate.map((one) => one.cloud));
  const variants = unique(of_estimate.filter((one) => one.cloud === state.cloud).map((one) => one.variant));
  const seeds = modelsOf(state.model);
  // A selection is of one model's tokens; another estimate of these leaves it.
  const again = (/** @type {Partial<import("./state.js").State>} */ changes) =>
    show(withCells({ ...state, ...(["model", "seed", "dataset"].some((key) => Object.hasOwn(changes, key)) ? { selected: "" } : {}), ...changes }));
  at("choices").replaceChildren(...[
    choice("model", groups.map((one) => [one, visible(modelLabel(one))]), state.model, (value) => again({ model: value, seed: "" })),
    seeds.length > 1 ? choice("seed", seeds.map((one) => [one.name, String(one.seed ?? one.name)]), state.seed, (value) => again({ seed: value })) : null,
    choice("dataset", unique(of_seed.map((one) => one.dataset)).map((one) => [one, visible(datasetLabel(one))]), state.dataset, (value) => again({ dataset: value })),
    choice("estimate", unique(of_dataset.map(estimateOf)).map((one) => [one, visible(estimateLabel(one))]), state.estimate, (value) => again({ estimate: value })),
    variants.length > 1 ? choice("of", variants.map((one) => [one, visible(one === "data" ? "the data" : one)]), state.variant, (value) => again({ variant: value })) : null,
    clouds.length > 1 ? choice("cloud", clouds.map((one) => [one, visible(one)]), state.cloud, (value) => again({ cloud: value })) : null,
  ].filter((one) => one !== null));
}

/**
 * @param {string[]} values
 * @returns {string[]}
 */
function unique(values) {
  return [...new Set(values)];
}

/**
 * A state that the sweep has, and picked cells that its model has: the highest one where none is picked.
 * @param {import("./state.js").State} said
 * @returns {import("./state.js").State}
 */
function withCells(said) {
  const found = { ...said, ...possible(said) };
  const model = modelNamed(found.seed);
  const highest = highestCell(null, found);
  if (!cellOf(found.a, model)) found.a = highest ? nameOf(highest, model) : "";
  if (!cellOf(found.b, model)) found.b = "";
  if (!overview.maps.length || !readSelection(found.selected, model)) found.selected = "";
  return found;
}

/** @param {string[]} sentences */
function say(sentences) {
  at("answer").textContent = visible(sentences.join(" "));
}

/** Say where the dimension is highest and lowest, and whether that is significant. */
async function answer() {
  const series = seriesShown();
  const [highest, lowest] = [highestCell(), lowestCell()];
  if (!series || !highest || !lowest) {
    at("answer").textContent = "Nothing was measured for this choice.";
    return;
  }
  const said = (/** @type {import("./measured.js").Cell} */ cell) => {
    const { mean, lower, upper } = intervalAt(series, cell);
    return `${shown(mean)}${Number.isNaN(lower) ? "" : ` (95 % interval ${shown(lower)} to ${shown(upper)})`}`;
  };
  const parts = [`${state.variant === "data" ? "" : `Of the variant ${state.variant}, not the data: `}Highest at ${cellLabel(highest)}: ${said(highest)}. Lowest at ${cellLabel(lowest)}: ${said(lowest)}.`];
  say(parts);
  const second = highestCell(highest);
  const found = second && (await difference(highest, second));
  if (second && found?.pairs) {
    const between = Number.isFinite(found.lower) ? `95 % interval ${shown(found.lower)} to ${shown(found.upper)}` : "interval not known";
    const verdict = Number.isNaN(found.lower) ? "whether significantly is not known" : found.lower > 0 ? "a significant difference" : "no significant difference";
    parts.push(`The next highest is ${cellLabel(second)}. At the ${counted(found.pairs)} tokens of both${tokensShown()?.sampled ? " that this page holds" : ""} they are ${shown(found.mean)} and ${shown(found.otherMean)}, ${shown(found.difference)} apart (${between}): ${verdict}.`);
    if (seriesShown() === series) say(parts);
  }
}

/** @param {Set<string>} changed */
async function draw(changed) {
  const isOther = OF_SERIES.some((key) => changed.has(key));
  const isPicked = changed.has("a") || changed.has("b");
  if (isOther) {
    drawChoices();
    void answer();
  }
  if (isOther || isPicked || changed.has("quantity")) drawHeatmap(at("heatmap-view"));
  if (isOther || isPicked || ["steps", "band", "layers"].some((key) => changed.has(key))) drawCurves(at("curves-view"));
  if (isOther || isPicked) drawProfiles(at("profiles-view"));
  await Promise.all([
    isOther || isPicked || changed.has("shape") ? drawDistribution(at("distribution-view"), at("difference-view")) : null,
    isOther || isPicked || changed.has("colour") || changed.has("selected") ? drawMap(at("map-view")) : null,
    drawTokens(at("tokens-view"), changed),
  ]);
}

async function begin() {
  use(await packOf("overview"));
  document.title = visible(overview.title);
  at("title").textContent = visible(overview.title);
  const cells = overview.models.reduce((sum, one) => sum + one.checkpoints.length * one.representations.length, 0);
  at("about").replaceChildren(element("p", {}, `${counted(overview.models.length)} models, ${counted(cells)} layers of checkpoints. The address holds this view: a link to it shows the same. Nothing is loaded from the network. `,
    element("a", { href: "report.html" }, "Report"), " · made by idsweep"));
  Object.assign(state, withCells(fromHash(location.hash)));
  history.replaceState(null, "", `#${asHash(state)}`);
  const everything = new Set(Object.keys(state));
  whenChanged((changed) => keepFocus(() => draw(changed)));
  void draw(everything);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    void draw(everything);
  });
  addEventListener("hashchange", () => {
    if (location.hash.slice(1) === asHash(state)) return;
    Object.assign(state, withCells(fromHash(location.hash)));
    history.replaceState(null, "", `#${asHash(state)}`);
    void draw(everything);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => void draw(everything));
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  at("answer").textContent = `This page could not be read: ${error instanceof Error ? error.message : String(error)}. It needs a browser of 2023 or later.`;
  throw error;
});
