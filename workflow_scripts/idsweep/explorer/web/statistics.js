// Numbers about values, as the library computes them.

/**
 * @typedef {object} Difference
 * @property {number} pairs how many points have a value in both
 * @property {number} sequences how many sequences these are of
 * @property {number} mean
 * @property {number} otherMean
 * @property {number} difference mean − otherMean, over the pairs
 * @property {number} lower
 * @property {number} upper 95 % interval, which counts the points of a sequence as one cluster
 */

/**
 * The paired difference of two cells.
 *
 * With G sequences, d the differences less their mean, and s their sums over sequences, the interval is difference ± t · √(G / (G − 1) · Σ s²) / n,
 * with Student's t of G − 1 degrees of freedom. NaN where there are fewer than two sequences.
 * @param {ArrayLike<number>} values NaN where there is none
 * @param {ArrayLike<number>} others
 * @param {ArrayLike<number>} sequence of each point
 * @param {ArrayLike<number>} quantiles of Student's t by degrees of freedom
 * @returns {Difference}
 */
export function pairedDifference(values, others, sequence, quantiles) {
  let pairs = 0;
  let sum = 0;
  let sumOfOthers = 0;
  for (let point = 0; point < values.length; point++) {
    if (Number.isNaN(values[point]) || Number.isNaN(others[point])) continue;
    pairs += 1;
    sum += values[point];
    sumOfOthers += others[point];
  }
  const mean = sum / pairs;
  const otherMean = sumOfOthers / pairs;
  const difference = mean - otherMean;
  /** @type {Map<number, number>} */
  const sums = new Map();
  for (let point = 0; point < values.length; point++) {
    if (Number.isNaN(values[point]) || Number.isNaN(others[point])) continue;
    const own = values[point] - others[point] - difference;
    sums.set(sequence[point], (sums.get(sequence[point]) ?? 0) + own);
  }
  const sequences = sums.size;
  let squares = 0;
  for (const one of sums.values()) squares += one * one;
  const error = Math.sqrt((sequences / (sequences - 1)) * squares) / pairs;
  const half = sequences > 1 ? quantiles[sequences - 1] * error : NaN;
  return { pairs, sequences, mean, otherMean, difference, lower: difference - half, upper: difference + half };
}

/**
 * Values in bins of equal width between the smallest and the largest of `sets`, or of equal ratio.
 * @param {number[][]} sets
 * @param {number} bins
 * @param {boolean} isLog
 * @returns {{edges: number[], shares: number[][]}} shares of each set's values
 */
export function histogram(sets, bins, isLog) {
  let low = Infinity;
  let high = -Infinity;
  for (const values of sets) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (!(low <= high)) return { edges: [], shares: sets.map(() => []) };
  const scale = isLog && low > 0 ? Math.log : (/** @type {number} */ x) => x;
  const back = isLog && low > 0 ? Math.exp : (/** @type {number} */ x) => x;
  if (low === high) high = low + 1;
  const [first, last] = [scale(low), scale(high)];
  const edges = Array.from({ length: bins + 1 }, (_, edge) => back(first + ((last - first) * edge) / bins));
  const shares = sets.map((values) => {
    const counts = new Array(bins).fill(0);
    for (const value of values) {
      counts[Math.min(bins - 1, Math.floor(((scale(value) - first) / (last - first)) * bins))] += 1;
    }
    return counts.map((count) => count / Math.max(1, values.length));
  });
  return { edges, shares };
}

/**
 * The smallest and the largest of some values; NaN if there are none.
 * @param {Iterable<number>} values NaN counts for nothing
 * @returns {[number, number]}
 */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [NaN, NaN];
}

/**
 * Quantiles by linear interpolation, as numpy's.
 * @param {number[]} values
 * @param {number[]} shares
 * @returns {number[]}
 */
export function quantilesOf(values, shares) {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((one, other) => one - other);
  return shares.map((share) => {
    const at = share * (sorted.length - 1);
    const below = Math.floor(at);
    if (sorted.length === 0) return NaN;
    return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
  });
}
