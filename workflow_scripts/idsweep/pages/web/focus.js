// Whoever uses the keyboard stays where they are while a page draws something anew.

/**
 * What an element is found by again once it was made anew.
 * @param {Element} element
 * @returns {string}
 */
function nameOf(element) {
  return `${element.tagName} ${element.getAttribute("aria-label") ?? element.getAttribute("data-key") ?? element.textContent}`;
}

/**
 * Draw, and give the focus back to the element of the same name if it was lost.
 * @param {() => void | Promise<void>} draw
 */
export async function keepFocus(draw) {
  const before = document.activeElement;
  const name = before && before !== document.body ? nameOf(before) : "";
  await draw();
  if (!name || document.activeElement !== document.body) return;
  const found = [...document.querySelectorAll(/** @type {Element} */ (before).tagName)].find((one) => nameOf(one) === name);
  if (found instanceof HTMLElement) found.focus({ preventScroll: true });
}
