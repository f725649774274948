// What several views draw with.

import { element, visible } from "../../pages/web/safe_text.js";
import { themed } from "./colours.js";

export const FONT = "12px system-ui, sans-serif";

/** @typedef {(position: number) => number} Scale */

/**
 * A canvas that is sharp on its screen, in place of what its parent held, and a brush in CSS pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @returns {CanvasRenderingContext2D}
 */
export function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, width, height);
  brush.font = FONT;
  return brush;
}

/**
 * Round numbers from the smallest to the largest, or powers of ten and their 2 and 5 where the scale is logarithmic.
 * @param {number} low
 * @param {number} high
 * @param {number} number about how many
 * @param {boolean} [isLog]
 * @returns {number[]}
 */
export function ticks(low, high, number, isLog = false) {
  if (!(high > low)) return Number.isNaN(low) ? [] : [low];
  if (isLog && low > 0 && high / low > 3) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const step of high / low > 1000 ? [1] : [1, 2, 5]) {
        const tick = step * 10 ** power;
        if (tick >= low * 0.999 && tick <= high * 1.001) found.push(tick);
      }
    }
    return found;
  }
  const rough = (high - low) / Math.max(1, number);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? rough;
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) found.push(Number(tick.toPrecision(12)));
  return found;
}

/**
 * @param {number} value
 * @returns {string}
 */
export function tickLabel(value) {
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(0).replace("e+", "e").replace("-", "−");
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

/**
 * Numbered from a to b in pixels.
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @param {boolean} [isLog]
 * @returns {Scale}
 */
export function scale([low, high], [begin, end], isLog = false) {
  const way = isLog ? Math.log : (/** @type {number} */ x) => x;
  const [first, last] = [way(low), way(high)];
  return (value) => (last === first ? (begin + end) / 2 : begin + ((way(value) - first) / (last - first)) * (end - begin));
}

/**
 * @param {CanvasRenderingContext2D} brush
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {{align?: CanvasTextAlign, baseline?: CanvasTextBaseline, colour?: string, turned?: boolean, bold?: boolean}} [how]
 */
export function write(brush, text, x, y, how = {}) {
  brush.save();
  brush.font = how.bold ? `600 ${FONT}` : FONT;
  brush.fillStyle = how.colour ?? themed("--ink");
  brush.textAlign = how.align ?? "left";
  brush.textBaseline = how.baseline ?? "middle";
  brush.translate(x, y);
  if (how.turned) brush.rotate(-Math.PI / 2);
  brush.fillText(visible(text), 0, 0);
  brush.restore();
}

/**
 * @param {CanvasRenderingContext2D} brush
 * @param {number} x
 * @param {number} y
 * @param {number} toX
 * @param {number} toY
 * @param {string} [colour]
 * @param {number} [width]
 */
export function line(brush, x, y, toX, toY, colour = themed("--faint"), width = 1) {
  brush.strokeStyle = colour;
  brush.lineWidth = width;
  brush.beginPath();
  brush.moveTo(x, y);
  brush.lineTo(toX, toY);
  brush.stroke();
}

const tip = element("div", { id: "tip", role: "tooltip", hidden: true });

/**
 * Say something beside the pointer; nothing takes it away.
 * @param {string[]} lines
 * @param {{clientX: number, clientY: number} | null} pointer
 */
export function tell(lines, pointer) {
  if (!tip.isConnected) document.body.append(tip);
  tip.hidden = !pointer || !lines.length;
  if (tip.hidden || !pointer) return;
  tip.replaceChildren(...lines.map((text) => element("div", {}, text)));
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(pointer.clientX + 14, innerWidth - width - 4))}px`;
  tip.style.top = `${pointer.clientY + 18 + height > innerHeight ? pointer.clientY - height - 10 : pointer.clientY + 18}px`;
}

/**
 * The head of a view: its title, its explanation and its buttons.
 * @param {string} title
 * @param {(string | Node)[]} said
 * @param {...Node} buttons
 * @returns {HTMLElement}
 */
export function viewHead(title, said, ...buttons) {
  const heading = element("h2", {}, title);
  const note = element("p", { class: "note" }, ...said);
  return element("figcaption", {}, element("div", { class: "head" }, heading, ...buttons), note);
}
