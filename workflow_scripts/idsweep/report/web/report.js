// The sweep's tables: one at a time, sorted by a click on a column, filtered by what its texts hold, the data apart from nulls and halves.

import { packOf } from "../../pages/web/unpack.js";
import { keepFocus } from "../../pages/web/focus.js";
import { element } from "../../pages/web/safe_text.js";
import { choice, pager } from "../../pages/web/controls.js";
import { counted, shown } from "../../pages/web/numbers.js";

/** @typedef {{name: string, codes: Int32Array, words: string[]} | {name: string, values: Float64Array, whole: boolean}} Column */
/** @typedef {{name: string, caption: string, n_rows: number, pack: string}} Described */

const ROWS_AT_ONCE = 50;
const LONG = 36; // characters; shorter texts are not broken into lines
const VARIANT = "variant";
const DATA = "data";
const view = { table: "", variant: "", filter: "", sort: "", way: 1, page: 1 };
const place = /** @type {HTMLElement} */ (document.getElementById("table-view"));

/**
 * @param {Column} column
 * @param {number} row
 * @returns {string}
 */
function textAt(column, row) {
  if ("codes" in column) return column.codes[row] < 0 ? "" : column.words[column.codes[row]];
  const value = column.values[row];
  if (Number.isNaN(value)) return "";
  return column.whole || value === 0 ? String(value).replace("-", "−") : shown(value, Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : 4);
}

/**
 * @param {Column} column
 * @returns {(one: number, other: number) => number} what is empty comes last either way
 */
function order(column) {
  if ("codes" in column) {
    const ranks = column.words.map((_, code) => code).sort((one, other) => (column.words[one] < column.words[other] ? -1 : 1));
    const rank = new Int32Array(ranks.length);
    ranks.forEach((code, at) => {
      rank[code] = at;
    });
    return (one, other) => {
      const [a, b] = [column.codes[one], column.codes[other]];
      return a < 0 || b < 0 ? Number(a < 0) - Number(b < 0) : view.way * (rank[a] - rank[b]);
    };
  }
  return (one, other) => {
    const [a, b] = [column.values[one], column.values[other]];
    return Number.isNaN(a) || Number.isNaN(b) ? Number(Number.isNaN(a)) - Number(Number.isNaN(b)) : view.way * (a - b);
  };
}

/**
 * Rows of the chosen variant whose texts hold every word of the filter.
 * @param {Column[]} columns
 * @param {number} number
 */
function keptRows(columns, number) {
  const variants = columns.find((one) => one.name === VARIANT);
  const wanted = view.filter.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const texts = columns.flatMap((one) => ("codes" in one ? [{ codes: one.codes, words: one.words.map((word) => word.toLocaleLowerCase()) }] : []));
  const kept = [];
  for (let row = 0; row < number; row++) {
    if (variants && view.variant && textAt(variants, row) !== view.variant) continue;
    if (wanted.every((part) => texts.some(({ codes, words }) => codes[row] >= 0 && words[codes[row]].includes(part)))) kept.push(row);
  }
  return kept;
}

/**
 * @param {Column} column
 * @param {number[]} rows
 */
function isConstant(column, rows) {
  return rows.length > 1 && rows.every((row) => textAt(column, row) === textAt(column, rows[0]));
}

/** @param {Described[]} described */
async function draw(described) {
  const table = described.find((one) => one.name === view.table) ?? described[0];
  /** @type {Column[]} */
  const columns = await packOf(table.pack);
  const first = columns[0];
  const number = first ? ("codes" in first ? first.codes : first.values).length : 0;
  const variants = columns.find((one) => one.name === VARIANT);
  const words = variants && "words" in variants ? variants.words : [];
  if (!words.includes(view.variant)) view.variant = words.includes(DATA) ? DATA : "";
  const rows = keptRows(columns, number);
  const sorted = columns.find((one) => one.name === view.sort);
  if (sorted) rows.sort(order(sorted));
  const same = columns.filter((one) => isConstant(one, rows));
  const left = columns.filter((one) => !same.includes(one));
  const pages = Math.max(1, Math.ceil(rows.length / ROWS_AT_ONCE));
  view.page = Math.min(pages, Math.max(1, view.page));
  const begin = (view.page - 1) * ROWS_AT_ONCE;
  const some = rows.slice(begin, begin + ROWS_AT_ONCE);
  const heads = left.map((one) => {
    const button = element("button", { type: "button" }, one.name.replaceAll("_", " "));
    button.addEventListener("click", () => again({ sort: one.name, way: view.sort === one.name ? -view.way : 1, page: 1 }));
    return element("th", { scope: "col", "aria-sort": view.sort === one.name ? (view.way > 0 ? "ascending" : "descending") : null }, button);
  });
  const body = some.map((row) => element("tr", {}, ...left.map((one) => {
    const isNumber = "values" in one;
    return element("td", { class: isNumber ? "number" : textAt(one, row).length > LONG ? "long" : null, title: isNumber && !Number.isNaN(one.values[row]) ? one.values[row] : null }, textAt(one, row));
  })));
  const constants = same.filter((one) => textAt(one, rows[0])).map((one) => `${one.name.replaceAll("_", " ")} = ${textAt(one, rows[0])}`);
  const cut = table.n_rows > number ? ` This page holds the first ${counted(number)} of ${counted(table.n_rows)} rows.` : "";
  list.replaceChildren(
    element("p", { class: "note" }, table.caption + cut, " All of it: ", element("a", { href: `tables/${table.name}.csv` }, `tables/${table.name}.csv`), " and .parquet."),
    pager(rows.length, ROWS_AT_ONCE, view.page, "rows", (page) => again({ page })),
    element("div", { class: "scrolls", tabindex: 0 }, element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body))),
    constants.length ? element("p", { class: "note" }, `In all of these rows: ${constants.join("; ")}.`) : "",
  );
  filter.hidden = !columns.some((one) => "codes" in one);
  of.hidden = words.length < 2;
  of.replaceChildren(choice("of", [["", "everything"], ...words.map((one) => /** @type {[string, string]} */ ([one, one === DATA ? "the data" : one.replaceAll("_", " ")]))], view.variant, (variant) => again({ variant, page: 1 })));

  /** @param {Partial<typeof view>} changes */
  function again(changes) {
    Object.assign(view, changes);
    void keepFocus(() => draw(described));
  }
}

const list = element("div", { id: "table-list" });
const of = element("span", {});
const field = element("input", { type: "search", placeholder: "model, dataset, layer …", "aria-label": "rows with" });
const filter = element("label", {}, "rows with ", field);

async function begin() {
  /** @type {Described[]} */
  const described = await packOf("tables");
  if (!described.length) {
    place.replaceChildren(element("p", { class: "note" }, "This sweep has no tables."));
    return;
  }
  view.table = described[0].name;
  field.addEventListener("input", () => {
    Object.assign(view, { filter: field.value, page: 1 });
    void draw(described);
  });
  const tables = choice("table", described.map((one) => [one.name, `${one.name.replaceAll("_", " ")} (${counted(one.n_rows)})`]), view.table, (table) => {
    Object.assign(view, { table, variant: DATA, sort: "", way: 1, page: 1 });
    void draw(described);
  });
  place.replaceChildren(element("div", { class: "controls" }, tables, of, filter), list);
  await draw(described);
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  place.replaceChildren(element("p", { class: "note" }, `Tables could not be shown: ${error instanceof Error ? error.message : String(error)}.`));
  throw error;
});
