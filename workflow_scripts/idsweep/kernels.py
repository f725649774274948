"""The compiled inner loops of `neighbors` and `neighborhoods`.

They share one file because numba's cache notices a change of the file that holds a function, but
not a change of a function that is called from another file.
"""

from __future__ import annotations

import numpy as np

from idsweep.compiled import compiled

# Comparisons looked at together when hits are rare: eight bytes, read as one word.
WORD = 8


# Partial sums may be reordered into vector registers: the order is fixed for a machine, not across machines.
@compiled(fastmath={"reassoc"})
def squared_distance(x, y):
    """Squared Euclidean distance of two rows in float64, from the differences of their values."""
    total = 0.0
    for c in range(x.shape[0]):
        difference = np.float64(x[c]) - np.float64(y[c])
        total += difference * difference
    return total


@compiled()
def smallest_first(values, ids, count, number):
    """Reorder the first `count` entries so that the `number` smallest values come first (quickselect).

    values[number - 1] is then the largest of them.
    """
    low, high = 0, count - 1
    target = number - 1
    while low < high:
        middle = (low + high) // 2
        a, b, c = values[low], values[middle], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                ids[i], ids[j] = ids[j], ids[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break


@compiled()
def _offer(value, point, row, values, ids, counts, thresholds, kept):
    """Add a candidate to a row's buffer; when it is full, keep the `kept` smallest and lower the threshold."""
    n = counts[row]
    values[row, n] = value
    ids[row, n] = point
    n += 1
    if n == values.shape[1]:
        smallest_first(values[row], ids[row], n, kept)
        thresholds[row] = values[row, kept - 1]
        n = kept
    counts[row] = n


@compiled()
def begin_rows(products, half_norms, row0, start, stop, values, ids, counts, thresholds, kept):
    """Fill the buffers of rows start…stop of a diagonal block from the block itself.

    products: float32 (rows, rows), inner products of points row0+i and row0+j. A pair's value is half
    its squared distance. A row's threshold is the largest value it keeps, or infinite if it keeps all.
    """
    size = products.shape[1]
    others = half_norms[row0 : row0 + size]
    block = np.empty(size, dtype=np.float32)
    order = np.empty(size, dtype=np.int32)
    for i in range(start, stop):
        row = row0 + i
        product = products[i]
        for j in range(size):
            block[j] = (others[i] + others[j]) - product[j]
            order[j] = row0 + j
        block[i] = np.inf
        n = min(kept, size - 1)
        if n:
            smallest_first(block, order, size, n)
        values[row, :n] = block[:n]
        ids[row, :n] = order[:n]
        counts[row] = n
        if n < size - 1:
            thresholds[row] = block[n - 1]


@compiled()
def offer_to_rows(products, half_norms, row0, column0, start, stop, values, ids, counts, thresholds, kept):
    """Offer the columns of a block off the diagonal as neighbours to its rows start…stop.

    products: float32 (rows, columns), inner products of points row0+i and column0+j. Only values
    below a row's threshold enter its buffer.
    """
    columns = products.shape[1]
    others = half_norms[column0 : column0 + columns]
    below = np.zeros((columns + WORD - 1) // WORD * WORD, dtype=np.uint8)
    words = below.view(np.uint64)
    for i in range(start, stop):
        row = row0 + i
        own = half_norms[row]
        limit = thresholds[row]
        product = products[i]
        for j in range(columns):
            below[j] = (own + others[j]) - product[j] < limit
        for w in range(words.shape[0]):
            if words[w]:
                for j in range(WORD * w, min(WORD * w + WORD, columns)):
                    value = (own + others[j]) - product[j]
                    if value < thresholds[row]:
                        _offer(value, column0 + j, row, values, ids, counts, thresholds, kept)


@compiled()
def offer_to_columns(products, half_norms, row0, column0, start, stop, values, ids, counts, thresholds, kept):
    """Offer a block's rows as neighbours to its columns start…stop; see `offer_to_rows`."""
    columns = stop - start
    first = column0 + start
    others = half_norms[first : first + columns]
    limits = thresholds[first : first + columns]
    below = np.zeros((columns + WORD - 1) // WORD * WORD, dtype=np.uint8)
    words = below.view(np.uint64)
    for i in range(products.shape[0]):
        own = half_norms[row0 + i]
        product = products[i, start:stop]
        for j in range(columns):
            below[j] = (own + others[j]) - product[j] < limits[j]
        for w in range(words.shape[0]):
            if words[w]:
                for j in range(WORD * w, min(WORD * w + WORD, columns)):
                    if below[j]:
                        value = (own + others[j]) - product[j]
                        _offer(value, row0 + i, first + j, values, ids, counts, thresholds, kept)


@compiled()
def largest_value(distance, norm, unit, slope):
    """Upper bound of the computed half squared distance of a pair at true distance `distance`.

    All lengths are in units of the scaled cloud; `norm` is that of one of the two points, `unit` the
    unit roundoff and `slope` bounds the relative error of an inner product. See `neighbors._slope`.
    """
    moved = (distance * (1 + 1e-12) + 2.1 * unit * norm) * (1 + 1.1 * unit) + 1e-36
    error = slope * (norm * (norm + moved)) + 4 * unit * (norm * norm + (norm + moved) * (norm + moved))
    return (0.5 * moved * moved + error) * (1 + 1e-12) + 1e-36


@compiled()
def rank(X, points, scale, norms, unit, slope, k, values, ids, counts, thresholds, start, stop, found, distances):
    """The exact k nearest among each point's candidates; returns how many points lack a certificate.

    For points[start:stop] (row r of values, ids, counts, thresholds belongs to points[r]). The k
    candidates of least approximate value bound the k-th distance from above; every candidate whose value
    a pair at that distance could reach is measured exactly. If that bound stays below the threshold,
    no point outside the candidates can be as near, and `found`, `distances` (by point) are exact.
    Otherwise counts[r] is set to -1.
    """
    failed = 0
    for r in range(start, stop):
        point = points[r]
        n = counts[r]
        smallest_first(values[r], ids[r], n, k)
        exact = np.empty(n, dtype=np.float64)
        near = 0
        farthest = 0.0
        reach = np.inf
        for c in range(n):
            if c == k:
                reach = largest_value(farthest * scale, norms[point], unit, slope)
            if values[r, c] <= reach:
                ids[r, near] = ids[r, c]
                exact[near] = np.sqrt(squared_distance(X[point], X[ids[r, c]]))
                farthest = max(farthest, exact[near])
                near += 1
        if thresholds[r] < np.inf and not reach < thresholds[r]:
            counts[r] = -1
            failed += 1
            continue
        order = np.argsort(exact[:near], kind="mergesort")
        # ties by index: insertion sort within each run of equal distances
        for a in range(1, near):
            moving = order[a]
            b = a
            while b > 0 and exact[order[b - 1]] == exact[moving] and ids[r, order[b - 1]] > ids[r, moving]:
                order[b] = order[b - 1]
                b -= 1
            order[b] = moving
        for c in range(k):
            found[point, c] = ids[r, order[c]]
            distances[point, c] = exact[order[c]]
    return failed


@compiled()
def nearest_two_within(X, indices, distances, n_neighbors, first, second, start, stop):
    """Distances from each member of each neighbourhood to its two nearest fellow members.

    X: float (N, D). indices, distances: the graph (N, k >= n_neighbors). Fills first, second (N,
    n_neighbors) for points start…stop; entry (i, a) belongs to the member indices[i, a]. Both are
    read off the member's own list where it holds two fellows; the rest is measured exactly.
    """
    number, k = indices.shape
    dimension = X.shape[1]
    home = np.full(number, -1, dtype=np.int64)
    for i in range(start, stop):
        for a in range(n_neighbors):
            home[indices[i, a]] = i
        for a in range(n_neighbors):
            member = indices[i, a]
            met = 0
            nearest = second_nearest = np.inf
            for c in range(k):
                if home[indices[member, c]] == i:
                    met += 1
                    if met == 1:
                        nearest = distances[member, c]
                    else:
                        second_nearest = distances[member, c]
                        break
            if met < 2:
                nearest = second_nearest = np.inf
                for b in range(n_neighbors):
                    if b == a:
                        continue
                    fellow = indices[i, b]
                    # a prefix of the coordinates is enough to see that a fellow is too far away
                    head = min(64, dimension)
                    if np.sqrt(squared_distance(X[member, :head], X[fellow, :head])) > second_nearest * (1 + 1e-12):
                        continue
                    distance = np.sqrt(squared_distance(X[member], X[fellow]))
                    if distance < nearest:
                        second_nearest = nearest
                        nearest = distance
                    elif distance < second_nearest:
                        second_nearest = distance
            first[i, a] = nearest
            second[i, a] = second_nearest
