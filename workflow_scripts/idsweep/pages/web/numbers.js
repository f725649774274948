// Numbers as people read them.

/**
 * A number as people read it: some digits that count, no more.
 * @param {number} value
 * @param {number} [digits]
 * @returns {string}
 */
export function shown(value, digits = 2) {
  if (value === null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 10 ** -digits / 2)) return value.toExponential(2).replace("-", "−");
  return value.toFixed(size >= 1000 ? 0 : digits).replace("-", "−");
}

/**
 * A whole number with thin spaces between thousands.
 * @param {number} value
 * @returns {string}
 */
export function counted(value) {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
