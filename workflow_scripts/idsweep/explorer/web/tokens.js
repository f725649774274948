// The sampled tokens in their texts, coloured by a value at the picked cell; and as a list that is searched, filtered and sorted.

import { element, name as setApart, visible } from "../../pages/web/safe_text.js";
import { aboutToken, colouring, legend, textOf, valuesShown } from "./coloured.js";
import { css, inkOn } from "./colours.js";
import { choice, pager } from "../../pages/web/controls.js";
import { downloadButtons } from "./downloads.js";
import { counted, shown } from "../../pages/web/numbers.js";
import { describeSelection, selectedPlaces } from "./selection.js";
import { show, state } from "./state.js";
import {
  cellOf, checkpointLabel, datasetLabel, modelLabel, measureNames, modelNamed, nameOf, tokens, tokensShown,
} from "./measured.js";

/** @typedef {import("./measured.js").Tokens} Tokens */

const TEXTS_AT_ONCE = 6;
const ROWS_AT_ONCE = 50;
const MILLISECONDS = 400; // between two checkpoints
const CONTEXT = 48; // characters on either side
const SORTS = /** @type {[string, string][]} */ ([["highest", "highest first"], ["lowest", "lowest first"], ["order", "as in the texts"]]);
const REBUILD = ["model", "seed", "dataset", "estimate", "variant", "cloud", "colour", "list", "part", "class", "sort", "selected"];

let drawing = 0;
let timer = 0;
/** @type {HTMLInputElement | null} */
let slider = null;
/** @type {HTMLElement | null} */
let stepLabel = null;
/** @type {(() => {columns: string[], rows: (string | number | null)[][]}) | null} */
let listed = null;

/**
 * @param {HTMLElement} place
 * @param {Set<string>} changed
 */
export async function drawTokens(place, changed) {
  const mine = ++drawing;
  const held = await tokens();
  const picked = cellOf(state.a);
  if (!held || !picked) {
    place.replaceChildren(element("h2", {}, "Tokens"), element("p", { class: "note" }, held ? "Pick a cell of the heat map." : "No tokens were measured for this choice."));
    return;
  }
  const values = await valuesShown();
  const names = await measureNames();
  const selected = await selectedPlaces();
  if (mine !== drawing) return;
  if (!place.querySelector("#token-controls") || REBUILD.some((key) => changed.has(key))) {
    place.replaceChildren(...controls(held, names, selected), element("div", { id: "token-list" }));
  }
  const model = modelNamed();
  if (slider) slider.value = String(picked.column);
  if (stepLabel) stepLabel.textContent = visible(checkpointLabel(model.checkpoints[picked.column]));
  const list = /** @type {HTMLElement} */ (place.querySelector("#token-list"));
  if (!values) {
    list.replaceChildren(element("p", { class: "note" }, "The page holds values of single tokens for local estimates of the data; choose one above."));
    listed = null;
    return;
  }
  const kept = keptTokens(held, values, selected);
  listed = () => ({
    columns: ["point", "token", "sequence", "position", "count", "part", "class", "value"],
    rows: sorted(kept, values).map((at) => [held.point[at], held.words[held.token[at]], held.sequence[at], held.position[at], held.count[at] < 0 ? null : held.count[at], held.parts[held.part[at]], held.classes[held.token_class[at]] ?? null, values[at]]),
  });
  if (state.list === "tokens" || !held.texts) drawRows(list, held, values, sorted(kept, values));
  else drawTexts(list, held, values, new Set(kept));
}

/**
 * @param {Tokens} held
 * @param {string[]} measures
 * @param {Set<number> | null} selected
 * @returns {HTMLElement[]}
 */
function controls(held, measures, selected) {
  const model = modelNamed();
  const colours = /** @type {[string, string][]} */ ([["dimension", "local dimension"], ["difference", "difference A − B"], ...measures.map((one) => [one, one.replaceAll("_", " ")])]);
  const parts = /** @type {[string, string][]} */ ([["", "all"], ...held.parts.map((one) => [one, one.replaceAll("_", " ")])]);
  const classes = /** @type {[string, string][]} */ ([["", "all"], ...held.classes.map((one) => [one, visible(one)])]);
  const kept = tokensShown();
  slider = element("input", { type: "range", min: 0, max: model.checkpoints.length - 1, step: 1, "aria-label": "checkpoint" });
  slider.addEventListener("input", () => pickColumn(Number(slider?.value)));
  stepLabel = element("output", {});
  const play = element("button", { type: "button", id: "play", class: "quiet", "aria-pressed": "false" }, "▶ play");
  play.addEventListener("click", () => toggle(play, model.checkpoints.length));
  const search = input("search", "search", "token or text");
  const note = `${modelLabel(state.seed)} on ${datasetLabel(state.dataset)}. ${counted(kept?.n_kept ?? 0)} sampled tokens${held.texts ? ` in ${counted(held.texts.length)} texts` : ""}${kept?.sampled ? `, a part of those of ${counted(kept.n_sequences)} sequences, so that the page stays small` : ""}. What is not coloured was not sampled.`;
  return [
    element("div", { class: "head" }, element("h2", {}, "Tokens"), downloadButtons("tokens", () => listed?.() ?? { columns: [], rows: [] }, null)),
    element("p", { class: "note" }, note),
    element("div", { id: "token-controls", class: "controls" },
      element("span", { class: "player" }, play, slider, stepLabel),
      choice("colour", colours, state.colour, (value) => show({ colour: value })),
      held.texts ? choice("listed as", [["text", "texts"], ["tokens", "list"]], state.list, (value) => show({ list: value, page: "1" })) : element("span", {}),
      choice("sort", SORTS, state.sort, (value) => show({ sort: value, page: "1" })),
      search,
      choice("part of word", parts, state.part, (value) => show({ part: value, page: "1" })),
      held.classes.length ? choice("class", classes, state.class, (value) => show({ class: value, page: "1" })) : element("span", {}),
      input("least", "count from", "any"), input("most", "to", "any"), ...(selected ? [chip(selected)] : [])),
  ];
}

/**
 * What is selected on the map, and a way to let go of it.
 * @param {Set<number>} selected
 */
function chip(selected) {
  const button = element("button", { type: "button", class: "chip", "aria-label": `${describeSelection(selected)}. Show all tokens.` }, `${describeSelection(selected)} ✕`);
  button.addEventListener("click", () => show({ selected: "", page: "1" }));
  return button;
}

/**
 * @param {"search" | "least" | "most"} key
 * @param {string} called
 * @param {string} hint
 */
function input(key, called, hint) {
  const field = element("input", { type: key === "search" ? "search" : "number", min: key === "search" ? null : 0, placeholder: hint, value: state[key], "data-key": key });
  field.addEventListener("input", () => show({ [key]: field.value, page: "1" }));
  return element("label", {}, element("span", {}, called), field);
}

/** @param {number} column */
function pickColumn(column) {
  const picked = cellOf(state.a);
  if (picked) show({ a: nameOf({ row: picked.row, column }) });
}

/**
 * @param {HTMLElement} button
 * @param {number} columns
 */
function toggle(button, columns) {
  const isPlaying = button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!isPlaying));
  button.textContent = isPlaying ? "▶ play" : "❚❚ pause";
  clearInterval(timer);
  if (isPlaying) return;
  timer = setInterval(() => {
    const picked = cellOf(state.a);
    if (!picked || !button.isConnected) clearInterval(timer);
    else pickColumn((picked.column + 1) % columns);
  }, MILLISECONDS);
}

/**
 * Places of the tokens that have a value and pass the filters.
 * @param {Tokens} held
 * @param {Float64Array} values
 * @param {Set<number> | null} selected on the map; null for all
 * @returns {number[]}
 */
function keptTokens(held, values, selected) {
  const wanted = state.search.toLocaleLowerCase();
  const part = held.parts.indexOf(state.part);
  const kind = held.classes.indexOf(state.class);
  const [least, most] = [Number(state.least || -Infinity), Number(state.most || Infinity)];
  const words = held.words.map((word) => word.toLocaleLowerCase().includes(wanted));
  const found = [];
  for (let at = 0; at < values.length; at++) {
    if (selected && !selected.has(at)) continue;
    if (Number.isNaN(values[at]) || (part >= 0 && held.part[at] !== part) || (kind >= 0 && held.token_class[at] !== kind)) continue;
    if ((state.least || state.most) && (held.count[at] < 0 || held.count[at] < least || held.count[at] > most)) continue;
    if (wanted && !words[held.token[at]] && !textOf(held, at).toLocaleLowerCase().includes(wanted)) continue;
    found.push(at);
  }
  return found;
}

/**
 * @param {number[]} kept
 * @param {Float64Array} values
 * @returns {number[]}
 */
function sorted(kept, values) {
  if (state.sort === "order") return kept;
  const way = state.sort === "lowest" ? 1 : -1;
  return [...kept].sort((one, other) => way * (values[one] - values[other]) || one - other);
}

/**
 * @param {HTMLElement} place
 * @param {Tokens} held
 * @param {Float64Array} values
 * @param {Set<number>} kept
 */
function drawTexts(place, held, values, kept) {
  const texts = held.texts ?? [];
  /** @type {number[][]} */
  const of_text = texts.map(() => []);
  for (const at of kept) of_text[held.sequence[at]].push(at);
  const isFiltered = state.selected || state.search || state.part || state.class || state.least || state.most;
  let order = texts.map((_, place_) => place_).filter((one) => of_text[one].length || !isFiltered);
  if (state.sort !== "order") {
    const means = of_text.map((all) => all.reduce((sum, at) => sum + values[at], 0) / all.length);
    const way = state.sort === "lowest" ? 1 : -1;
    order = order.sort((one, other) => (Number.isNaN(means[one]) ? 1 : Number.isNaN(means[other]) ? -1 : way * (means[one] - means[other]) || one - other));
  }
  const how = colouring(values);
  const page = pageOf(order.length, TEXTS_AT_ONCE);
  const paragraphs = order.slice((page - 1) * TEXTS_AT_ONCE, page * TEXTS_AT_ONCE).map((number) => {
    const paragraph = element("p", { class: "text", dir: "auto" });
    const text = texts[number];
    let reached = 0;
    for (const at of of_text[number].sort((one, other) => held.begin[one] - held.begin[other])) {
      const begin = Math.max(held.begin[at], reached);
      const end = Math.max(held.end[at], begin);
      if (begin > reached) paragraph.append(visible(text.slice(reached, begin)));
      const colour = how.colour(values[at]);
      const inside = text.slice(begin, end);
      const lead = inside.length - inside.trimStart().length;
      if (lead && lead < inside.length) paragraph.append(inside.slice(0, lead));
      const shownText = lead < inside.length ? visible(inside.slice(lead)) : inside ? visible(inside) : "▯";
      const mark = element("mark", { title: aboutToken(held, values, at), "data-point": held.point[at] }, shownText);
      mark.style.background = css(colour);
      mark.style.color = inkOn(colour);
      paragraph.append(mark);
      reached = end;
    }
    paragraph.append(visible(text.slice(reached)));
    return element("li", { value: number + 1 }, paragraph);
  });
  place.replaceChildren(legend(how), pager(order.length, TEXTS_AT_ONCE, page, "texts", turnTo), element("ol", { class: "texts" }, ...paragraphs));
}

/**
 * @param {HTMLElement} place
 * @param {Tokens} held
 * @param {Float64Array} values
 * @param {number[]} order
 */
function drawRows(place, held, values, order) {
  const page = pageOf(order.length, ROWS_AT_ONCE);
  const how = colouring(values);
  const rows = order.slice((page - 1) * ROWS_AT_ONCE, page * ROWS_AT_ONCE).map((at) => {
    const colour = how.colour(values[at]);
    const value = element("td", { class: "number" }, shown(values[at], 3));
    value.style.background = css(colour);
    value.style.color = inkOn(colour);
    const text = held.texts?.[held.sequence[at]];
    const [begin, end] = [held.begin[at], held.end[at]];
    const context = element("td", { dir: "auto", class: "context" });
    if (text !== undefined) {
      context.append(visible(text.slice(Math.max(0, begin - CONTEXT), begin)), element("b", {}, visible(text.slice(begin, end)) || "▯"), visible(text.slice(end, end + CONTEXT)));
    }
    const cells = [value, element("td", {}, setApart(held.words[held.token[at]], "token")), context, element("td", { class: "number" }, held.count[at] < 0 ? "–" : counted(held.count[at])), element("td", {}, held.parts[held.part[at]].replaceAll("_", " "))];
    if (held.classes.length) cells.push(element("td", {}, setApart(held.classes[held.token_class[at]] ?? "–")));
    return element("tr", { "data-point": held.point[at] }, ...cells);
  });
  const heads = [state.colour === "dimension" ? "local dimension" : state.colour.replaceAll("_", " "), "token", "where it stands", "count", "part", ...(held.classes.length ? ["class"] : [])];
  place.replaceChildren(legend(how), pager(order.length, ROWS_AT_ONCE, page, "tokens", turnTo),
    element("div", { class: "scrolls" }, element("table", { class: "tokens" }, element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, ...rows))));
}

/** @param {number} page */
function turnTo(page) {
  show({ page: String(page) });
}

/**
 * @param {number} number
 * @param {number} atOnce
 */
function pageOf(number, atOnce) {
  const asked = Math.trunc(Number(state.page)) || 1;
  return Math.min(Math.max(1, asked), Math.max(1, Math.ceil(number / atOnce)));
}
