// What a view shows, as files: its data as CSV, its picture as PNG.

import { element, visible } from "../../pages/web/safe_text.js";
import { themed } from "./colours.js";
import { overview } from "./measured.js";

// Texts that spreadsheets would take for formulas.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

/**
 * @param {string | number | null} value
 * @returns {string}
 */
function field(value) {
  if (value === null || (typeof value === "number" && Number.isNaN(value))) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * @param {string[]} columns
 * @param {(string | number | null)[][]} rows
 * @returns {string}
 */
export function asCsv(columns, rows) {
  return [columns, ...rows].map((row) => `${row.map(field).join(",")}\n`).join("");
}

/**
 * @param {string} file
 * @param {Blob} contents
 */
function save(file, contents) {
  const link = element("a", { href: URL.createObjectURL(contents), download: file });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * A file name of letters, digits, - and _ only.
 * @param {string} view
 * @param {string} ending
 * @returns {string}
 */
function fileName(view, ending) {
  const name = `${overview.title} ${view}`.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "_").replace(/^_|_$/g, "");
  return `${name.slice(0, 80)}.${ending}`;
}

/**
 * Buttons that save what a view shows.
 * @param {string} view
 * @param {() => {columns: string[], rows: (string | number | null)[][]}} data
 * @param {(() => {canvases: HTMLCanvasElement[], caption: string}) | null} picture
 * @returns {HTMLElement}
 */
export function downloadButtons(view, data, picture) {
  const csv = element("button", { type: "button", class: "quiet", "data-saves": "csv", "aria-label": `Save the data of: ${view}` }, "CSV");
  csv.addEventListener("click", () => {
    const { columns, rows } = data();
    save(fileName(view, "csv"), new Blob([asCsv(columns, rows)], { type: "text/csv" }));
  });
  const buttons = element("span", { class: "downloads" }, csv);
  if (picture) {
    const png = element("button", { type: "button", class: "quiet", "data-saves": "png", "aria-label": `Save the picture of: ${view}` }, "PNG");
    png.addEventListener("click", () => {
      const { canvases, caption } = picture();
      compose(canvases, caption).toBlob((blob) => blob && save(fileName(view, "png"), blob), "image/png");
    });
    buttons.append(png);
  }
  return buttons;
}

/**
 * Canvases one below the other, with a caption above, on the page's background.
 * @param {HTMLCanvasElement[]} canvases
 * @param {string} caption
 * @returns {HTMLCanvasElement}
 */
function compose(canvases, caption) {
  const scale = devicePixelRatio || 1;
  const [margin, line] = [12 * scale, 18 * scale];
  const whole = element("canvas");
  const brush = /** @type {CanvasRenderingContext2D} */ (whole.getContext("2d"));
  const font = `${13 * scale}px system-ui, sans-serif`;
  const width = Math.max(...canvases.map((one) => one.width)) + 2 * margin;
  brush.font = font;
  const lines = wrap(brush, visible(caption), width - 2 * margin);
  whole.width = width;
  whole.height = lines.length * line + canvases.reduce((sum, one) => sum + one.height, 0) + 3 * margin;
  brush.fillStyle = themed("--background");
  brush.fillRect(0, 0, whole.width, whole.height);
  brush.fillStyle = themed("--ink");
  brush.font = font;
  for (const [number, text] of lines.entries()) brush.fillText(text, margin, margin + (number + 0.8) * line);
  let top = 2 * margin + lines.length * line;
  for (const one of canvases) {
    brush.drawImage(one, margin, top);
    top += one.height;
  }
  return whole;
}

/**
 * @param {CanvasRenderingContext2D} brush
 * @param {string} text
 * @param {number} width
 * @returns {string[]}
 */
function wrap(brush, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (brush.measureText(longer).width <= width || !lines[lines.length - 1]) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
