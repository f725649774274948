// The tokens of the picked cell in the plane of most variance. What is drawn around there is listed below.

import { element, visible } from "../../pages/web/safe_text.js";
import { aboutToken, colouring, legend, valueName, valuesShown } from "./coloured.js";
import { css, themed } from "./colours.js";
import { line, scale, sized, tell, tickLabel, ticks, viewHead, write } from "./drawing.js";
import { downloadButtons } from "./downloads.js";
import { counted, shown } from "../../pages/web/numbers.js";
import { AT_ONCE, describeSelection, frameOf, selectedPlaces, selectionOf, thinned, within } from "./selection.js";
import { show, state } from "./state.js";
import { cellLabel, cellOf, datasetLabel, mapAt, modelLabel, overview, tokens } from "./measured.js";

const [LEFT, TOP, BOTTOM, RIGHT] = [58, 12, 44, 12];
const WIDEST = 860;
const [SMALLEST, LARGEST] = [2.2, 4.6]; // radius of the lowest and the highest value, in pixels
const FLATTEST = 4; // times as wide as high, or as high as wide, with equal units
const MANY = 500; // selected points, whose outlines would hide their colours
const NEAR = 14; // pixels from the pointer to the point that it means
const LEAST = 6; // pixels between two corners of what is drawn around

let drawing = 0;
let cursor = -1; // the point that the keyboard stands at

/** @param {HTMLElement} place */
export async function drawMap(place) {
  place.hidden = !overview.maps.length;
  const picked = cellOf(state.a);
  if (place.hidden || !picked) return;
  const mine = ++drawing;
  const [found, held, coloured, what, chosen] = [await mapAt(picked), await tokens(), await valuesShown(), await valueName(), await selectedPlaces()];
  if (mine !== drawing) return; // something else was picked meanwhile
  if (!found || !held) {
    place.replaceChildren(viewHead("Map", ["There is no map of this choice."]));
    return;
  }
  const { x, y } = found;
  const values = coloured ?? new Float64Array(x.length).fill(NaN);
  const there = Array.from(x.keys()).filter((at) => !Number.isNaN(x[at]));
  const how = colouring(values);
  const frame = frameOf(found);
  const out = there.filter((at) => within(x[at], frame.x) !== x[at] || within(y[at], frame.y) !== y[at]);
  const canvas = element("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map" });
  const status = element("p", { class: "note", "aria-live": "polite" });
  const isEqual = ratio() <= FLATTEST && ratio() >= 1 / FLATTEST;
  const said = [
    `${modelLabel(state.seed)} on ${datasetLabel(state.dataset)}, ${cellLabel(picked)}: hidden states in the plane of their two first principal components. Colour and size: ${what}.`,
    isEqual ? "" : "The axes have different units.",
    out.length ? `${counted(out.length)} points lie beyond the edge and are drawn as triangles there.` : "",
    there.some((at) => Number.isNaN(values[at])) ? "× has no value here." : "",
  ].filter((one) => one).join(" ");
  const hadFocus = place.contains(document.activeElement) && document.activeElement?.tagName === "CANVAS";
  place.replaceChildren(
    viewHead("Map", [said], downloadButtons("map", rowsOf, () => ({ canvases: [canvas, key], caption: said }))),
    controls(), canvas,
  );
  const key = coloured ? legend(how) : element("canvas", { hidden: true, width: 1, height: 1 });
  place.append(key, status);
  const width = Math.min(WIDEST, Math.max(280, place.clientWidth));
  const height = Math.round(Math.min(560, Math.max(260, isEqual ? (width - LEFT - RIGHT) / ratio() + TOP + BOTTOM : width * 0.6)));
  const [toX, toY] = scales();
  const at = there.map((point) => ({ point, left: toX(within(x[point], frame.x)), top: toY(within(y[point], frame.y)) }));
  const brush = sized(canvas, width, height);
  drawAxes();
  drawPoints();
  const drawn = element("canvas", { width: canvas.width, height: canvas.height });
  /** @type {CanvasRenderingContext2D} */ (drawn.getContext("2d")).drawImage(canvas, 0, 0);
  if (!there.includes(cursor)) cursor = -1;
  canvas.setAttribute("aria-label", visible(`Map of ${counted(there.length)} tokens. ${chosen ? `${describeSelection(chosen)}. ` : ""}Arrow keys go from token to token, Enter selects the ${AT_ONCE} tokens nearest to it, Escape shows all.`));
  summarize();
  listen();
  if (hadFocus) {
    canvas.focus();
    redraw([]);
  }

  function ratio() {
    return (frame.x[1] - frame.x[0]) / (frame.y[1] - frame.y[0]) || 1;
  }

  /** @returns {[import("./drawing.js").Scale, import("./drawing.js").Scale]} */
  function scales() {
    const margin = LARGEST + 3;
    const [wide, high] = [width - LEFT - RIGHT - 2 * margin, height - TOP - BOTTOM - 2 * margin];
    const [spanX, spanY] = [frame.x[1] - frame.x[0], frame.y[1] - frame.y[0]];
    const unit = isEqual ? Math.min(wide / (spanX || 1), high / (spanY || 1)) : 0;
    const [halfX, halfY] = isEqual ? [(unit * spanX) / 2, (unit * spanY) / 2] : [wide / 2, high / 2];
    const [middleX, middleY] = [LEFT + margin + wide / 2, TOP + margin + high / 2];
    return [scale(frame.x, [middleX - halfX, middleX + halfX]), scale(frame.y, [middleY + halfY, middleY - halfY])];
  }

  function drawAxes() {
    for (const tick of ticks(...frame.x, width / 90)) {
      line(brush, toX(tick), TOP, toX(tick), height - BOTTOM);
      write(brush, tickLabel(tick), toX(tick), height - BOTTOM + 13, { align: "center" });
    }
    for (const tick of ticks(...frame.y, height / 60)) {
      line(brush, LEFT, toY(tick), width - RIGHT, toY(tick));
      write(brush, tickLabel(tick), LEFT - 5, toY(tick), { align: "right" });
    }
    write(brush, `component 1: ${percent(found?.shares[0] ?? NaN)}`, (LEFT + width - RIGHT) / 2, height - 8, { align: "center" });
    write(brush, `component 2: ${percent(found?.shares[1] ?? NaN)}`, 9, (TOP + height - BOTTOM) / 2, { align: "center", turned: true });
  }

  /** @param {number} share */
  function percent(share) {
    return Number.isNaN(share) ? "no variance" : `${shown(100 * share, 1)} % of the variance`;
  }

  function drawPoints() {
    const beyond = new Set(out);
    const outline = themed("--muted");
    const ink = themed("--ink");
    // What is selected lies on top.
    const order = chosen ? [...at].sort((one, other) => Number(chosen.has(one.point)) - Number(chosen.has(other.point))) : at;
    for (const { point, left, top } of order) {
      const isChosen = chosen?.has(point) ?? false;
      const value = values[point];
      brush.globalAlpha = chosen && !isChosen ? 0.25 : 1;
      brush.beginPath();
      if (Number.isNaN(value)) cross(left, top);
      else if (beyond.has(point)) triangle(left, top, point);
      else brush.arc(left, top, radius(value), 0, 2 * Math.PI);
      if (!Number.isNaN(value)) {
        brush.fillStyle = css(how.colour(value));
        brush.fill();
      }
      brush.strokeStyle = isChosen ? ink : outline;
      brush.lineWidth = isChosen ? (chosen && chosen.size > MANY ? 0.9 : 1.6) : 0.7;
      brush.stroke();
    }
    brush.globalAlpha = 1;
  }

  /** @param {number} value */
  function radius(value) {
    const share = how.high > how.low ? (value - how.low) / (how.high - how.low) : 0.5;
    return SMALLEST + (LARGEST - SMALLEST) * within(share, [0, 1]);
  }

  /**
   * @param {number} left
   * @param {number} top
   */
  function cross(left, top) {
    for (const way of [-1, 1]) {
      brush.moveTo(left - SMALLEST, top - way * SMALLEST);
      brush.lineTo(left + SMALLEST, top + way * SMALLEST);
    }
  }

  /**
   * At an edge, turned to where a point lies beyond it.
   * @param {number} left
   * @param {number} top
   * @param {number} point
   */
  function triangle(left, top, point) {
    const turn = Math.atan2(toY(y[point]) - top, toX(x[point]) - left);
    for (const [corner, size] of [[0, 6], [2.5, 5], [-2.5, 5]]) brush.lineTo(left + size * Math.cos(turn + corner), top + size * Math.sin(turn + corner));
    brush.closePath();
  }

  function controls() {
    const cell = /** @type {import("./measured.js").Cell} */ (picked);
    const button = (/** @type {string} */ text, /** @type {string} */ selected, /** @type {boolean} */ isOff) => {
      const one = element("button", { type: "button", class: "quiet", disabled: isOff }, text);
      one.addEventListener("click", () => show({ selected, page: "1" }));
      return one;
    };
    return element("div", { class: "controls" }, element("span", { class: "note" }, "Draw around tokens to list them below, or"),
      button(`the ${AT_ONCE} highest`, selectionOf("highest", cell), !coloured), button(`the ${AT_ONCE} lowest`, selectionOf("lowest", cell), !coloured), button("show all", "", !state.selected));
  }

  function summarize() {
    if (!chosen) {
      status.textContent = coloured ? "" : "Choose a local estimate of the data to colour the points and to select among them.";
      return;
    }
    const mean = (/** @type {number[]} */ some) => some.reduce((sum, one) => sum + values[one], 0) / some.length;
    const valued = there.filter((one) => !Number.isNaN(values[one]));
    const inside = valued.filter((one) => chosen.has(one));
    status.textContent = visible(`${describeSelection(chosen)}.${inside.length ? ` Mean ${what} here ${shown(mean(inside))}; of all ${counted(valued.length)}, ${shown(mean(valued))}.` : ""}`);
  }

  /**
   * The picture once more, with what is drawn around and the point that the keyboard stands at.
   * @param {[number, number][]} path
   */
  function redraw(path) {
    brush.save();
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.clearRect(0, 0, canvas.width, canvas.height);
    brush.drawImage(drawn, 0, 0);
    brush.restore();
    const here = at.find((one) => one.point === cursor);
    for (const [colour, thickness] of /** @type {[string, number][]} */ ([["--background", 6], ["--accent", 2.5]])) {
      brush.strokeStyle = themed(colour);
      brush.lineWidth = thickness;
      brush.beginPath();
      if (here) brush.arc(here.left, here.top, LARGEST + 4, 0, 2 * Math.PI);
      brush.stroke();
    }
    brush.lineWidth = 2;
    brush.setLineDash([5, 3]);
    brush.beginPath();
    for (const [left, top] of path) brush.lineTo(left, top);
    if (path.length > 2) brush.closePath();
    brush.stroke();
    brush.setLineDash([]);
  }

  /**
   * @param {number} left
   * @param {number} top
   * @param {number} most pixels
   */
  function nearest(left, top, most) {
    let best = null;
    let closest = most ** 2;
    for (const one of at) {
      const distance = (one.left - left) ** 2 + (one.top - top) ** 2;
      if (distance <= closest) [best, closest] = [one, distance];
    }
    return best;
  }

  /** @param {number} point */
  function about(point) {
    return held ? aboutToken(held, values, point) : "";
  }

  function listen() {
    /** @type {[number, number][] | null} */
    let path = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      path = [[event.offsetX, event.offsetY]];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!path) {
        const near = nearest(event.offsetX, event.offsetY, NEAR);
        tell(near ? [about(near.point)] : [], near ? event : null);
        return;
      }
      const [left, top] = path[path.length - 1];
      if (Math.hypot(event.offsetX - left, event.offsetY - top) < LEAST) return;
      tell([], null);
      path.push([event.offsetX, event.offsetY]);
      redraw(path);
    });
    canvas.addEventListener("pointerup", (event) => {
      const ended = path;
      path = null;
      if (ended && ended.length > 2 && picked && coloured) {
        const corners = thinned(ended).flatMap(([left, top]) => [back(left, frame.x, toX), back(top, frame.y, toY)]);
        show({ selected: selectionOf("lasso", picked, corners), page: "1" });
        return;
      }
      const near = nearest(event.offsetX, event.offsetY, NEAR);
      if (near) stand(near.point);
      else redraw([]);
    });
    canvas.addEventListener("pointercancel", () => {
      path = null;
      redraw([]);
    });
    canvas.addEventListener("pointerleave", () => tell([], null));
    canvas.addEventListener("keydown", (event) => {
      const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
      if (across || down) stand(next(across, down));
      else if (event.key === "Enter" && cursor >= 0 && picked && held && coloured) show({ selected: selectionOf("near", picked, [held.point[cursor]]), page: "1" });
      else if (event.key === "Escape") show({ selected: "", page: "1" });
      else return;
      event.preventDefault();
    });
  }

  /** @param {number} point */
  function stand(point) {
    cursor = point;
    redraw([]);
    status.textContent = visible(about(point));
  }

  /**
   * The nearest point in a direction, within 45 degrees of it; the one at hand where there is none.
   * @param {number} across
   * @param {number} down
   */
  function next(across, down) {
    const here = at.find((one) => one.point === cursor);
    if (!here) return nearest((LEFT + width) / 2, height / 2, Infinity)?.point ?? -1;
    let [best, closest] = [cursor, Infinity];
    for (const one of at) {
      const [right, below] = [one.left - here.left, one.top - here.top];
      const along = right * across + below * down;
      const aside = Math.abs(right * down) + Math.abs(below * across);
      if (along <= 0 || aside > along || along + aside >= closest) continue;
      [best, closest] = [one.point, along + aside];
    }
    return best;
  }

  /**
   * From a pixel to the coordinate.
   * @param {number} pixel
   * @param {[number, number]} edges
   * @param {import("./drawing.js").Scale} to
   */
  function back(pixel, [low, high], to) {
    const [first, last] = [to(low), to(high)];
    return last === first ? low + pixel - first : low + ((pixel - first) / (last - first)) * (high - low);
  }

  /** @returns {{columns: string[], rows: (string | number | null)[][]}} */
  function rowsOf() {
    const rows = there.map((point) => [held?.point[point] ?? null, held?.words[held.token[point]] ?? null, held?.sequence[point] ?? null, held?.position[point] ?? null, x[point], y[point], values[point], chosen ? Number(chosen.has(point)) : null]);
    return { columns: ["point", "token", "sequence", "position", "x", "y", what, "selected"], rows };
  }
}
