"""The compiled inner loops of `neighbors` and `neighborhoods`.

They share one file because numba's cache notices a change of the file that holds a function, but
not a change of a function that is called from another file.
"""

from __future__ import annotations

import math

import numpy as np

from idsweep.machine.compiled import compiled

# As in `graph`; written again, since the cache would not notice a change there.
LEAST_SQUARE = 2.0**-960
# Comparisons looked at together when hits are rare: eight bytes, read as one word.
WORD = 8
# Values of a row that tell where its smallest ones begin.
SAMPLE = 64
# Rows of matrices that are made tridiagonal begin at multiples of this, so that vector registers are filled.
LANES = 32


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
def distance(x, y):
    """Euclidean distance of two rows in float64, from the differences of their values.

    Where squares overflow or vanish, differences are measured in units of a power of two near the largest of them.
    """
    total = squared_distance(x, y)
    if LEAST_SQUARE <= total < np.inf:
        return np.sqrt(total)
    largest = 0.0
    for c in range(x.shape[0]):
        largest = max(largest, abs(np.float64(x[c]) - np.float64(y[c])))
    if largest == 0:
        return 0.0
    exponent = math.frexp(largest)[1]
    differences = np.empty(x.shape[0], dtype=np.float64)
    for c in range(x.shape[0]):
        differences[c] = math.ldexp(np.float64(x[c]) - np.float64(y[c]), -exponent)
    # added up in the same order as without a unit
    return math.ldexp(np.sqrt(squared_distance(differences, np.zeros_like(differences))), exponent)


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
    small = np.empty(size, dtype=np.float32)
    order = np.empty(size, dtype=np.int32)
    sample = np.empty(SAMPLE, dtype=np.float32)
    unused = np.empty(SAMPLE, dtype=np.int32)
    n = min(kept, size - 1)
    # of a sample of the row, the place below which about half as many again as are kept are to be expected
    place = min(SAMPLE, int(SAMPLE * 1.5 * n / size) + 2)
    for i in range(start, stop):
        row = row0 + i
        product = products[i]
        for j in range(size):
            block[j] = (others[i] + others[j]) - product[j]
        block[i] = np.inf
        limit = np.float32(np.inf)
        if size > 4 * SAMPLE:
            for a in range(SAMPLE):
                sample[a] = block[a * size // SAMPLE]
            smallest_first(sample, unused, SAMPLE, place)
            limit = sample[place - 1]
        found = 0
        for j in range(size):
            order[found] = row0 + j
            small[found] = block[j]
            found += block[j] <= limit
        if found < n:
            found = size
            for j in range(size):
                order[j] = row0 + j
            small[:] = block
        if n:
            smallest_first(small, order, found, n)
        values[row, :n] = small[:n]
        ids[row, :n] = order[:n]
        counts[row] = n
        if n < size - 1:
            thresholds[row] = small[n - 1]


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
                exact[near] = distance(X[point], X[ids[r, c]])
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
def two_listed(indices, distances, n_neighbors, first, second, start, stop):
    """Distances from each member of each neighbourhood to its two nearest fellow members, where its own list names them.

    indices, distances: the graph (N, k >= n_neighbors). Fills first, second (N, n_neighbors) for points start…stop; entry
    (i, a) belongs to the member indices[i, a]. Both are infinite where the list names fewer than two.
    """
    number, k = indices.shape
    home = np.full(number, -1, dtype=np.int64)
    for i in range(start, stop):
        for a in range(n_neighbors):
            home[indices[i, a]] = i
        for a in range(n_neighbors):
            member = indices[i, a]
            first[i, a] = second[i, a] = np.inf
            met = 0
            nearest = np.inf
            for c in range(k):
                if home[indices[member, c]] == i:
                    met += 1
                    if met == 1:
                        nearest = distances[member, c]
                    else:
                        first[i, a] = nearest
                        second[i, a] = distances[member, c]
                        break


@compiled()
def _distance_below(x, y, limit):
    """The distance of two rows, or infinity where a prefix of the coordinates is enough to see that it exceeds `limit`."""
    head = min(64, x.shape[0])
    if distance(x[:head], y[:head]) > limit * (1 + 1e-12):
        return np.inf
    return distance(x, y)


@compiled()
def two_measured(X, indices, n_neighbors, first, second, start, stop):
    """Measure what `two_listed` left infinite. X: float (N, D)."""
    for i in range(start, stop):
        for a in range(n_neighbors):
            if second[i, a] < np.inf:
                continue
            member = indices[i, a]
            nearest = second_nearest = np.inf
            for b in range(n_neighbors):
                if b == a:
                    continue
                apart = _distance_below(X[member], X[indices[i, b]], second_nearest)
                if apart < nearest:
                    second_nearest = nearest
                    nearest = apart
                elif apart < second_nearest:
                    second_nearest = apart
            first[i, a] = nearest
            second[i, a] = second_nearest


@compiled()
def two_stored(offsets, members, fellows, apart, n_neighbors, first, second, start, stop):
    """Look up what `two_listed` left infinite in what `unlisted` has kept."""
    for i in range(start, stop):
        e = offsets[i]
        while e < offsets[i + 1] and members[e] < n_neighbors:
            a = members[e]
            nearest = second_nearest = np.inf
            while e < offsets[i + 1] and members[e] == a:
                if fellows[e] < n_neighbors:
                    if apart[e] < nearest:
                        second_nearest = nearest
                        nearest = apart[e]
                    elif apart[e] < second_nearest:
                        second_nearest = apart[e]
                e += 1
            if second[i, a] == np.inf:
                first[i, a] = nearest
                second[i, a] = second_nearest


@compiled()
def unlisted(X, indices, start, stop, counts):
    """The distances that `two_listed` lacks, for neighbourhoods of every size from 3 to k.

    X: float (N, D). indices: the graph (N, k). Fills counts, int64 (N,), for points start…stop, and returns their entries
    one after the other: members and fellows, int32, places in the point's list, members in increasing order, and the
    distance between both, float64. Of each member they hold its two nearest fellows in the smallest neighbourhood in which
    they are lacking, and each fellow that is one of its two nearest in a larger one, up to where its own list names two.
    """
    number, k = indices.shape
    place = np.full(number, k, dtype=np.int64)
    members = np.empty(1024, dtype=np.int32)
    fellows = np.empty(1024, dtype=np.int32)
    apart = np.empty(1024, dtype=np.float64)
    n = 0
    for i in range(start, stop):
        begin = n
        for a in range(k):
            place[indices[i, a]] = a
        for a in range(k):
            member = indices[i, a]
            least = max(3, a + 1)
            # the two fellows of its list that are nearest to the point
            one = two = k
            for c in range(k):
                p = place[indices[member, c]]
                if p < two:
                    two = max(one, p)
                    one = min(one, p)
                    if two < least:
                        break
            if two < least:
                continue
            if n + k + 2 > members.shape[0]:
                members = np.concatenate((members, np.empty(members.shape[0] + k, dtype=np.int32)))
                fellows = np.concatenate((fellows, np.empty(members.shape[0] - fellows.shape[0], dtype=np.int32)))
                apart = np.concatenate((apart, np.empty(members.shape[0] - apart.shape[0], dtype=np.float64)))
            nearest = second_nearest = np.inf
            nearest_place = second_place = -1
            # a neighbourhood of `two` members is the largest without both of them
            for b in range(two):
                if b != a:
                    found = _distance_below(X[member], X[indices[i, b]], second_nearest)
                    if found < second_nearest:
                        if found < nearest:
                            second_nearest, second_place = nearest, nearest_place
                            nearest, nearest_place = found, b
                        else:
                            second_nearest, second_place = found, b
                        if b >= least:
                            members[n], fellows[n], apart[n] = a, b, found
                            n += 1
                if b == least - 1:
                    members[n], fellows[n], apart[n] = a, nearest_place, nearest
                    members[n + 1], fellows[n + 1], apart[n + 1] = a, second_place, second_nearest
                    n += 2
        counts[i] = n - begin
        for a in range(k):
            place[indices[i, a]] = k
    return members[:n].copy(), fellows[:n].copy(), apart[:n].copy()


@compiled(fastmath={"reassoc", "contract"})
def gather(X, indices, center, start, stop, members, units):
    """Copy the rows X[indices[i]] of groups start…stop into members[i - start], (groups, rows, D).

    center: relative to the group's mean. They are multiplied by a power of two, units[i - start], that brings the mean
    size of the group's coordinates near 1, so that squares can neither overflow nor vanish, in float32 either. Rows of
    `members` beyond the group's size become 0.
    """
    size = indices.shape[1]
    dimension = X.shape[1]
    # relative to the first member: equal members become exact zeros
    origin = np.zeros(dimension, dtype=np.float64)
    mean = np.empty(dimension, dtype=np.float64)
    for i in range(start, stop):
        group = members[i - start]
        mean[:] = 0
        if center:
            origin[:] = X[indices[i, 0]]
            for a in range(size):
                row = X[indices[i, a]]
                for c in range(dimension):
                    mean[c] += np.float64(row[c]) - origin[c]
            for c in range(dimension):
                mean[c] /= size
        total = 0.0
        for a in range(size):
            row = X[indices[i, a]]
            for c in range(dimension):
                total += abs(np.float64(row[c]) - origin[c] - mean[c])
        factor = 1.0
        if total > 0:
            factor = math.ldexp(1.0, min(1000, -math.frexp(total / (size * dimension))[1]))
        units[i - start] = factor
        for a in range(size):
            row = X[indices[i, a]]
            target = group[a]
            for c in range(dimension):
                target[c] = (np.float64(row[c]) - origin[c] - mean[c]) * factor
        group[size:] = 0


@compiled(fastmath={"reassoc", "contract", "nsz"})
def make_tridiagonal(A, diagonal, squares):
    """Reduce a symmetric matrix to tridiagonal form by Householder reflections; A is overwritten.

    A: (n, n), n a multiple of LANES. diagonal: float64 (n,). squares: float64 (n - 1,), of the entries beside the
    diagonal. Golub & Van Loan, Matrix computations, section 8.3.1; the update by one reflection and the product that
    the next one needs share a pass over A.
    """
    n = A.shape[0]
    v = np.zeros(n, A.dtype)
    w = np.zeros(n, A.dtype)
    x = np.zeros(n, A.dtype)
    products = np.zeros(n, A.dtype)
    zero = v[0]
    for k in range(n - 1):
        begin = k // LANES * LANES
        row = A[k, begin:]
        vs = v[begin:]
        ws = w[begin:]
        xs = x[begin:]
        vk = v[k]
        wk = w[k]
        for j in range(n - begin):
            row[j] -= vk * ws[j] + wk * vs[j]
        diagonal[k] = A[k, k]
        xs[:] = row
        x[begin : k + 1] = 0
        square = 0.0
        for j in range(n - begin):
            square += np.float64(xs[j]) * np.float64(xs[j])
        first = np.float64(x[k + 1])
        alpha = -np.sqrt(square) if first > 0 else np.sqrt(square)
        squares[k] = square
        x[k + 1] = first - alpha
        beta = 1 / (alpha * (alpha - first)) if square > 0 else 0.0
        begin = (k + 1) // LANES * LANES
        vs = v[begin:]
        ws = w[begin:]
        xs = x[begin:]
        # four rows together: each value of v, w and x that is loaded serves four
        for i in range((k + 1) // 4 * 4, n, 4):
            r0, r1, r2, r3 = A[i, begin:], A[i + 1, begin:], A[i + 2, begin:], A[i + 3, begin:]
            v0, v1, v2, v3 = v[i], v[i + 1], v[i + 2], v[i + 3]
            w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
            s0 = s1 = s2 = s3 = zero
            for j in range(n - begin):
                vj, wj, xj = vs[j], ws[j], xs[j]
                c = r0[j] - (v0 * wj + w0 * vj)
                r0[j] = c
                s0 += c * xj
                c = r1[j] - (v1 * wj + w1 * vj)
                r1[j] = c
                s1 += c * xj
                c = r2[j] - (v2 * wj + w2 * vj)
                r2[j] = c
                s2 += c * xj
                c = r3[j] - (v3 * wj + w3 * vj)
                r3[j] = c
                s3 += c * xj
            products[i], products[i + 1], products[i + 2], products[i + 3] = s0, s1, s2, s3
        ps = products[begin:]
        along = 0.0
        for j in range(n - begin):
            along += np.float64(ps[j]) * np.float64(xs[j])
        along *= 0.5 * beta * beta
        for j in range(n - begin):
            ws[j] = beta * ps[j] - along * xs[j]
            vs[j] = xs[j]
        w[begin : k + 1] = 0
    diagonal[n - 1] = A[n - 1, n - 1] - 2 * v[n - 1] * w[n - 1]


@compiled()
def _number_above(diagonal, squares, x, tiny):
    """How many eigenvalues of a tridiagonal matrix exceed x: the positive pivots of T - x (Sylvester)."""
    pivot = diagonal[0] - x
    number = 1 if pivot > 0 else 0
    for i in range(1, diagonal.shape[0]):
        if pivot == 0:
            pivot = tiny
        pivot = diagonal[i] - x - squares[i - 1] / pivot
        if pivot > 0:
            number += 1
    return number


@compiled()
def count_leading(grams, share, error, start, counts):
    """How many eigenvalues of each matrix exceed `share` of its largest one; -1 where rounding could decide.

    grams: (groups, n, n), n a multiple of LANES, positive semidefinite; overwritten. error: bound of the error of
    an eigenvalue, as a share of the trace. Fills counts from `start` on; a matrix of zeros counts 0.
    """
    n = grams.shape[1]
    diagonal = np.empty(n, dtype=np.float64)
    squares = np.empty(n - 1, dtype=np.float64)
    for g in range(grams.shape[0]):
        trace = 0.0
        for i in range(n):
            trace += np.float64(grams[g, i, i])
        if trace == 0:
            counts[start + g] = 0
            continue
        make_tridiagonal(grams[g], diagonal, squares)
        margin = error * trace
        low = 0.0
        high = trace * 1.000001
        tiny = 1e-18 * trace
        for i in range(n):
            low = max(low, diagonal[i])
        while high - low > 0.01 * margin:
            middle = 0.5 * (low + high)
            if not low < middle < high:
                break
            if _number_above(diagonal, squares, middle, tiny) > 0:
                low = middle
            else:
                high = middle
        margin *= 1 + share
        most = _number_above(diagonal, squares, share * high - margin, tiny)
        least = _number_above(diagonal, squares, share * high + margin, tiny)
        counts[start + g] = most if most == least else -1


@compiled()
def count_near(X, points, column0, products, own, others, scale, slack, radii, start, stop, near):
    """Count, for each of points[start:stop], the other points of a block of columns that are nearer than each radius.

    products: float64 (stop - start, columns), inner products of the scaled cloud, row r - start for points[r] and
    columns from point column0; own, others: the squared lengths of the rows and of the columns. slack bounds the
    error of their squared distance in units of own + others: pairs that it leaves open are measured exactly. Adds
    to near, int64 (points, radii).
    """
    limits = (radii * scale) ** 2
    for r in range(start, stop):
        point = points[r]
        for c in range(products.shape[1]):
            value = own[r - start] + others[c] - 2 * products[r - start, c]
            error = slack * (own[r - start] + others[c]) + 1e-300
            if value > limits[-1] + error or column0 + c == point:
                continue
            for s in range(radii.shape[0]):
                if abs(value - limits[s]) > error:
                    nearer = value < limits[s]
                else:
                    nearer = distance(X[point], X[column0 + c]) < radii[s]
                near[r, s] += nearer


# Rows of the cloud that are measured together against each other point: they stay in the processor's cache.
TILE = 32


@compiled()
def measure_all(X, start, stop, distances):
    """Fill the distances of rows start…stop to the half of the other points that follow them, cyclically, both ways.

    X: float (N, D). distances: float64 (N, N), with zeros on its diagonal. All rows together fill it.
    """
    number = X.shape[0]
    half = number // 2
    for low in range(start, stop, TILE):
        high = min(low + TILE, stop)
        for step in range(high - low + half):
            j = (low + step) % number
            for i in range(low, high):
                if 1 <= (j - i) % number <= half:
                    distances[i, j] = distances[j, i] = distance(X[i], X[j])


@compiled()
def log_tree_length(distances, members, power, unit):
    """Logarithm of the sum of the edges, each to the power `power`, of the minimum spanning tree of some points (Prim 1957).

    distances: float64 (N, N). members: int (n,), the points, n >= 1. unit: a power of two that distances are multiplied
    by, to bring them near 1, where logarithms have most digits. -inf if all edges are 0.
    """
    number = members.shape[0] - 1
    left = number
    current = members[left]
    waiting = members[:left].copy()
    nearest = np.full(left, np.inf)
    edges = np.empty(left)
    longest = 0.0
    while left > 0:
        row = distances[current]
        least, place = np.inf, 0
        for a in range(left):
            nearest[a] = min(nearest[a], row[waiting[a]])
            if nearest[a] < least:
                least, place = nearest[a], a
        left -= 1
        edges[left] = least
        longest = max(longest, least)
        current = waiting[place]
        waiting[place] = waiting[left]
        nearest[place] = nearest[left]
    if longest == 0:
        return -np.inf
    # in units of the longest edge, so that no power overflows, and none vanishes that counts
    total = 0.0
    for a in range(number):
        total += (edges[a] / longest) ** power
    return power * np.log(longest * unit) + np.log(total)
