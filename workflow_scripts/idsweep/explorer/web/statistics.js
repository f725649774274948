// Numbers about values, as the library computes them.

/**
 * @typedef {object} Difference
 * @property {number} pairs how many points have a value in both
 * @property {number} sequences how many sequences these are of
 * @property {number} mean
 * @property {number} otherMean
 * @property {number} difference mean − otherMean, over the pairs
 * @property {number} lower
 * @property {number} upper 95 % interval, which knows of sequences and of neighbourhoods that share points
 */

/**
 * The mean of some values, its standard error that counts the points of a sequence as one cluster, and how many sequences there are.
 *
 * With G sequences, d the values less their mean, and s their sums over sequences, the error is √(G / (G − 1) · Σ s²) / n; NaN where there
 * are fewer than two sequences.
 * @param {ArrayLike<number>} values NaN counts for nothing
 * @param {ArrayLike<number>} sequence of each point
 * @returns {{number: number, sequences: number, mean: number, error: number}}
 */
function clusteredMean(values, sequence) {
  let number = 0;
  let sum = 0;
  for (let point = 0; point < values.length; point++) {
    if (Number.isNaN(values[point])) continue;
    number += 1;
    sum += values[point];
  }
  const mean = sum / number;
  /** @type {Map<number, number>} */
  const sums = new Map();
  for (let point = 0; point < values.length; point++) {
    if (!Number.isNaN(values[point])) sums.set(sequence[point], (sums.get(sequence[point]) ?? 0) + values[point] - mean);
  }
  let squares = 0;
  for (const one of sums.values()) squares += one * one;
  const sequences = sums.size;
  return { number, sequences, mean, error: sequences > 1 ? Math.sqrt((sequences / (sequences - 1)) * squares) / number : NaN };
}

/**
 * The paired difference of two cells.
 *
 * Its error is that of its clusters, times √((φ² v + ψ² w) / (v + w)), and no less: v and w are the squares of both means' errors by clusters over
 * the pairs, φ and ψ how many times larger the known errors of the cells' means are than those by clusters. So it knows of neighbourhoods
 * that share points, as these do. The interval is difference ± t times it, with Student's t of one degree of freedom fewer than there
 * are sequences. NaN where an error is not known.
 * @param {ArrayLike<number>} values NaN where there is none
 * @param {ArrayLike<number>} others
 * @param {ArrayLike<number>} sequence of each point
 * @param {ArrayLike<number>} quantiles of Student's t by degrees of freedom
 * @param {{error: number, number: number}[]} means of each cell: the standard error of its mean, and of how many values this is
 * @returns {Difference}
 */
export function pairedDifference(values, others, sequence, quantiles, means) {
  const both = Array.from(values, (value, point) => !Number.isNaN(value) && !Number.isNaN(others[point]));
  const [one, other] = [values, others].map((all) => clusteredMean(Array.from(all, (value, point) => (both[point] ? value : NaN)), sequence));
  const found = clusteredMean(Array.from(values, (value, point) => value - others[point]), sequence);
  const [phi, psi] = [values, others].map((all, which) => {
    const own = clusteredMean(all, sequence);
    const known = means[which].error * Math.sqrt(means[which].number / own.number); // of as many values as there are here
    return own.error > 0 ? known / own.error : known * 0 + 1;
  });
  const [v, w] = [one.error ** 2, other.error ** 2];
  const share = v + w > 0 ? (phi ** 2 * v + psi ** 2 * w) / (v + w) : phi * psi;
  const half = found.sequences > 1 ? quantiles[found.sequences - 1] * found.error * Math.sqrt(Math.max(share, 1)) : NaN;
  const difference = one.mean - other.mean;
  return { pairs: found.number, sequences: found.sequences, mean: one.mean, otherMean: other.mean, difference, lower: difference - half, upper: difference + half };
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
