// What is chosen and turned in several pages.

import { element } from "./safe_text.js";
import { counted } from "./numbers.js";

/**
 * A choice of one of some values.
 * @param {string} label
 * @param {[string, string][]} options value and what it is called
 * @param {string} chosen
 * @param {(value: string) => void} choose
 * @returns {HTMLLabelElement}
 */
export function choice(label, options, chosen, choose) {
  const select = element("select", { "aria-label": label }, ...options.map(([value, called]) =>
    element("option", { value, selected: value === chosen }, called)));
  select.addEventListener("change", () => choose(select.value));
  return element("label", {}, element("span", {}, label), select);
}

/**
 * Which of many things are shown, and buttons that turn the page.
 * @param {number} number
 * @param {number} atOnce
 * @param {number} page from 1
 * @param {string} what
 * @param {(page: number) => void} turnTo
 * @returns {HTMLElement}
 */
export function pager(number, atOnce, page, what, turnTo) {
  const pages = Math.max(1, Math.ceil(number / atOnce));
  const turn = (/** @type {string} */ text, /** @type {number} */ to, /** @type {string} */ called) => {
    const button = element("button", { type: "button", class: "quiet", "aria-label": called, disabled: to < 1 || to > pages }, text);
    button.addEventListener("click", () => turnTo(to));
    return button;
  };
  const first = number ? (page - 1) * atOnce + 1 : 0;
  return element("p", { class: "pager" }, turn("‹", page - 1, "page before"), ` ${counted(first)}–${counted(Math.min(number, page * atOnce))} of ${counted(number)} ${what} `, turn("›", page + 1, "next page"));
}
