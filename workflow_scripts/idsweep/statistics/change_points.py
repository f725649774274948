"""Events of one curve: where it turns, falls and settles, or crosses a level; docs/events.md.

A curve is a value at increasing training steps. It is taken as a signal plus noise, and a change counts only where it
exceeds what noise alone would give between any two of its points. The noise is Gaussian with the same level everywhere
and an autocorrelation between neighbouring points of at least `MILD`. Smoothing and lengths of time count points, not
steps: checkpoints are taken to stand where something happens.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

LEAST_POINTS = 6  # a shorter curve has no events
FALSE_ALARMS = 0.05  # of curves that are noise alone
MOST_FOR_CORNERS = 64  # points; with more, corners are seen without them, and noise with heavy tails passes for corners
MILD = 0.3  # autocorrelation of the noise that is always allowed for
AUTOCORRELATIONS = (MILD, 0.5, 0.7, 0.9)
LEAST_FOR_AUTOCORRELATION = 64  # points; with fewer it cannot be told from the signal
SETTLED = 0.1  # share of a swing within which a curve counts as before, or after, it
EXHAUSTED = 0.01  # share of its whole improvement that a metric may lack when it is exhausted
LEAST_LEVEL = 4  # points of a level stretch
LEAST_CHANGE = 0.01  # share of a curve's range; smaller changes are no events, however little noise there is
MOST_DRIFT = 0.2  # share of a swing that the straight line through a level stretch may move
INTERVAL = (0.025, 0.975)

LOWER_IS_BETTER = ("loss", "perplexity")  # endings of metrics' names


class Curve(NamedTuple):
    """A value over training: a mean local dimension or a metric of one run."""

    steps: np.ndarray  # float64 (n,), increasing
    values: np.ndarray  # float64 (n,), finite
    error: float  # standard error of a value, 0 if unknown


class Event(NamedTuple):
    """An event of one curve; `replicates`, float64 (samples,), are its steps in bootstrapped curves."""

    step: float
    before: float  # steps of the points around it: no event is placed better than between two points
    after: float
    value: float
    replicates: np.ndarray


# ---- noise, and what it gives by chance


def _smooth(Y: np.ndarray, width: int) -> np.ndarray:
    """Running means over `width` (odd) points, cut off at the ends, of values without outliers; (B, n) -> (B, n).

    Where the width is 0 the values stay as they are, outliers included.
    """
    if width == 0:
        return Y
    Y = _without_outliers(Y)
    if width == 1:
        return Y
    sums = np.concatenate([np.zeros((len(Y), 1)), np.cumsum(Y, axis=1)], axis=1)
    place = np.arange(Y.shape[1])
    start, stop = np.maximum(place - width // 2, 0), np.minimum(place + width // 2 + 1, Y.shape[1])
    return (sums[:, stop] - sums[:, start]) / (stop - start)


def _without_outliers(Y: np.ndarray) -> np.ndarray:
    """Values moved to the median of themselves and both neighbours, but for a millionth, which tells equal ones apart.

    That makes single outliers harmless, but also cuts the corners of a curve with few points. There a value is moved
    only up to the median of itself and where straight lines through the two points before it and the two after it
    lead (predictive median hybrid filter: Heinonen & Neuvo 1988). At the ends points repeat.
    """
    before, after = np.roll(Y, 1, axis=1), np.roll(Y, -1, axis=1)
    before[:, 0], after[:, -1] = Y[:, 0], Y[:, -1]
    moved = _median(Y, before, after)
    if Y.shape[1] <= MOST_FOR_CORNERS:
        rising, falling = 2 * before - np.roll(before, 1, axis=1), 2 * after - np.roll(after, -1, axis=1)
        rising[:, :2], falling[:, -2:] = before[:, :2], after[:, -2:]
        moved = _median(Y, moved, _median(Y, rising, falling))
    return moved + 1e-6 * (Y - moved)


def _median(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _widths(n: int) -> list[int]:
    """0, then 1, 3, 9 … up to a quarter of the points."""
    return [0, 1, *(3**power for power in range(1, 20) if 4 * 3**power <= n)]


def _residuals(Y: np.ndarray, lag: int = 1) -> np.ndarray:
    """Differences to the mean of both neighbours at a lag, scaled to the variance of white noise, (B, n - 2 lag).

    The pseudo-residuals of Gasser, Sroka & Jennen-Steinmetz (1986): a smooth signal leaves little in them.
    """
    return ((Y[:, : -2 * lag] + Y[:, 2 * lag :]) / 2 - Y[:, lag:-lag]) / np.sqrt(1.5)


def _residual_level(residuals: np.ndarray) -> np.ndarray:
    """Deviation of noise with these residuals, (B, n) -> (B,), by their median absolute value, which a signal moves least.

    But at least a tenth of their root mean square, and 0.3 of it where most points are exactly equal.
    """
    median = np.median(np.abs(residuals), axis=1) / 0.6745
    return np.maximum(median, np.where(median > 0, 0.1, 0.3) * np.sqrt((residuals**2).mean(axis=1)))


def _residual_variance(phi: float) -> float:
    """Variance of the pseudo-residuals of an autoregressive process of variance 1, correlation phi at the lag."""
    return (1 - phi) * (3 - phi) / 3


def _autocorrelation(y: np.ndarray) -> float:
    """Correlation of neighbouring points' noise, the next larger of `AUTOCORRELATIONS`.

    The ratio of the pseudo-residuals' variances at lags 2 and 1 grows with it, whatever the noise's level. Residuals
    count as at most 3 deviations: that is robust, and scatters less than medians do.
    """
    if len(y) < LEAST_FOR_AUTOCORRELATION:
        return MILD
    near, far = (
        float(np.minimum(residuals**2, 9 * _residual_level(residuals) ** 2).mean())
        for residuals in (_residuals(y[None], lag) for lag in (1, 2))
    )
    for phi in AUTOCORRELATIONS[:-1]:
        if far * _residual_variance(phi) <= near * _residual_variance(phi**2):
            return phi
    return AUTOCORRELATIONS[-1]


def _noise(generator: np.random.Generator, shape: tuple[int, int], phi: float) -> np.ndarray:
    """Stationary autoregressive Gaussian noise of variance 1, each row a curve."""
    innovations = generator.standard_normal(shape)
    innovations[:, 1:] *= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], innovations, axis=1)


@lru_cache(maxsize=1024)
def _thresholds(n: int, phi: float) -> np.ndarray:
    """How far smoothed noise of n points moves, in units of its estimated deviation: float64 (widths,).

    The range at any of the widths but 0 exceeds its threshold in `FALSE_ALARMS` of curves of noise, and so does the
    range at width 0 for itself. By simulation.
    """
    replicates = 4000 if n <= 300 else 1000
    Y = _noise(np.random.Generator(np.random.PCG64(n)), (replicates, n), phi)
    level = _residual_level(_residuals(Y)) / np.sqrt(_residual_variance(phi))
    ranges = np.array([np.ptp(_smooth(Y, width), axis=1) / level for width in _widths(n)])
    # one level for all widths such that exceeding anywhere is as rare as asked
    exceeded = 1 - (ranges[1:].argsort(axis=1).argsort(axis=1) + 0.5) / replicates
    alone = np.quantile(exceeded.min(axis=0), FALSE_ALARMS)
    return np.array([np.quantile(ranges[0], 1 - FALSE_ALARMS), *np.quantile(ranges[1:], 1 - alone, axis=1)])


class _Analysis:
    """A curve, smoothed at several widths, with what noise would give and bootstrapped copies.

    A `scale` is a place in `widths`, float64 `thresholds` (of noise), `least` (of changes that count) and `smooth`,
    (widths, n); 0 is the curve as it is.
    """

    def __init__(self, curve: Curve, sign: int = 1) -> None:
        self.steps, self.y = curve.steps, sign * curve.values
        n = len(self.y)
        self.widths = _widths(n)
        self.phi = _autocorrelation(self.y)
        estimated = _residual_level(_residuals(self.y[None]))[0] / np.sqrt(_residual_variance(self.phi))
        self.deviation = max(float(estimated), curve.error)
        # of many points the threshold grows slowly with their number: few different ones are simulated
        part = 1 if n <= 32 else 2 ** (n.bit_length() - 4)
        thresholds = _thresholds(-(-n // part) * part, self.phi)[: len(self.widths)]
        self.thresholds = thresholds * self.deviation
        self.smooth = np.concatenate([_smooth(self.y[None], width) for width in self.widths])
        rounding = 1e-9 * np.abs(self.y).max()
        self.least = np.maximum(self.thresholds, max(LEAST_CHANGE * np.ptp(self.smooth[0]), rounding))
        self.scales = range(1, len(self.widths))  # at which changes are looked for

    def copies(self, scale: int, samples: int, generator: np.random.Generator) -> np.ndarray:
        """The curve itself, and below it `samples` copies of the curve at a scale with new noise, (1 + samples, n)."""
        noise = _noise(generator, (samples, len(self.y)), self.phi)
        base = self.smooth[scale] if self.widths[scale] > 1 else self.y
        return np.concatenate([self.y[None], base + self.deviation * noise])


# ---- events


def dimension_events(curve: Curve, samples: int, generator: np.random.Generator) -> dict[str, Event]:
    """Those of `peak`, `upturn`, `onset_of_fall` and `plateau` that a local dimension has.

    samples: bootstrap replicates of each event. A curve of fewer than `LEAST_POINTS` has no events.
    """
    if len(curve.values) < LEAST_POINTS:
        return {}
    analysis = _Analysis(curve)
    turns_at = {scale: _turns(analysis.smooth[scale], analysis.least[scale]) for scale in analysis.scales}
    scale = max(analysis.scales, key=lambda scale: len(turns_at[scale]))  # of equal numbers the finest
    if not turns_at[scale]:
        return {}
    course = _Course(analysis, scale, turns_at[scale], analysis.copies(scale, samples, generator))
    events = {
        "peak": course.extreme(course.summit),
        "upturn": course.extreme(course.bottom),
        "onset_of_fall": _onset_of_fall(course),
        "plateau": _plateau(course),
    }
    return {name: event for name, event in events.items() if event is not None}


def metric_events(curve: Curve, samples: int, generator: np.random.Generator, metric: str) -> dict[str, Event]:
    """Those of `exhaustion`, `memorization`, `generalization` and `overfitting` that a metric of this name has.

    samples: bootstrap replicates of each event. A curve of fewer than `LEAST_POINTS` has no events.
    """
    if len(curve.values) < LEAST_POINTS:
        return {}
    sign = -1 if metric.endswith(LOWER_IS_BETTER) else 1
    analysis = _Analysis(curve, sign)
    train = metric.startswith("train")
    events = {"exhaustion": _exhaustion(analysis, samples, generator)}
    if metric.endswith("accuracy"):
        events["memorization" if train else "generalization"] = _half_way(analysis, samples, generator)
    elif sign < 0 and not train:
        events["overfitting"] = _overfitting(analysis, samples, generator)
    return {name: event._replace(value=sign * event.value) for name, event in events.items() if event is not None}


# ---- events of a local dimension


class _Course:
    """The turns of a curve at a scale, and its bootstrapped copies; swing k goes from turn k to turn k + 1."""

    def __init__(self, analysis: _Analysis, scale: int, turns: list[int], copies: np.ndarray) -> None:
        self.analysis, self.scale, self.turns, self.copies = analysis, scale, turns, copies
        self.smooth = _smooth(copies, analysis.widths[scale])
        heights = self.smooth[0, turns]
        self.rises = np.diff(heights) > 0
        self.last = len(self.rises) - 1
        inner = range(1, self.last + 1)
        # the turn at the highest maximum, and at the lowest minimum, between two swings
        self.summit = max((k for k in inner if not self.rises[k]), key=lambda k: heights[k], default=None)
        self.bottom = min((k for k in inner if self.rises[k]), key=lambda k: heights[k], default=None)

    def extreme(self, turn: int | None) -> Event | None:
        """The maximum or minimum that an inner turn is, in the curve and in its copies."""
        if turn is None:
            return None
        sign = -1 if self.rises[turn] else 1
        return _highest(self.analysis, sign * self.smooth, self.scale, self.turns[turn - 1], self.turns[turn + 1])

    def swing(self, k: int, *, pointed: bool) -> _Swing:
        """Swing k, from its lowest point, or the curve's first one if it is the first, to its highest one.

        Its ends are looked for from the turn before the one to the turn after the other. What comes before the first
        turn is part of the first swing, what comes after the last one of the last.
        """
        bounds = [0, *self.turns[1:-1], len(self.analysis.y) - 1]
        begin, end = (slice(bounds[max(j - 1, 0)], bounds[min(j + 1, self.last + 1)] + 1) for j in (k, k + 1))
        sign = 1 if self.rises[k] else -1
        copies, smooth = sign * self.copies, sign * self.smooth
        low, high, margin = _levels(self.analysis, self.scale, sign, copies, (begin, end), SETTLED, pointed=pointed)
        start = begin.start + smooth[:, begin].argmin(axis=1) if k > 0 else np.zeros(len(copies), dtype=int)
        stop = np.maximum(start, end.start + smooth[:, end].argmax(axis=1))
        return _Swing(sign, copies, low, high, margin, start, stop)


def _onset_of_fall(course: _Course) -> Event | None:
    """The onset of the fall after the peak, or of a fall from a level stretch that is the curve's only change."""
    steps = course.analysis.steps
    if course.summit is not None:
        falling = course.swing(course.summit, pointed=True)
        onset = _crossing(steps, falling, falling.low + falling.margin)
        top = falling.start[0]
        # the true peak lies anywhere between the points around the highest one, and the onset may follow at once
        at_once = np.quantile(onset.replicates, INTERVAL[0]) <= steps[top + 1]
        return onset._replace(before=steps[top - 1]) if at_once else onset
    if course.last > 0 or course.rises[0]:
        return None
    falling = course.swing(0, pointed=False)
    before = -falling.copies[0, : falling.stop[0] + 1][::-1]  # in reverse, a fall from a level ends level
    if not _settles(before, -falling.high[0], -falling.low[0], falling.margin[0], course.analysis.deviation):
        return None
    return _crossing(steps, falling, falling.low + falling.margin)


def _plateau(course: _Course) -> Event | None:
    closing = course.swing(course.last, pointed=False)
    closing = closing._replace(stop=np.full(len(closing.copies), len(course.analysis.y) - 1))
    after = closing.copies[0, closing.start[0] :]
    if not _settles(after, closing.low[0], closing.high[0], closing.margin[0], course.analysis.deviation):
        return None
    return _crossing(course.analysis.steps, closing, closing.high - closing.margin)


# ---- events of a metric, turned so that higher is better


def _improvement(analysis: _Analysis, scale: int, samples: int, generator: np.random.Generator) -> _Swing:
    """The rise from the first point to the best one."""
    copies = analysis.copies(scale, samples, generator)
    low, high, margin = _levels(analysis, scale, 1, copies, (slice(0, 1), slice(None)), EXHAUSTED, pointed=False)
    stop = _smooth(copies, analysis.widths[scale]).argmax(axis=1)
    return _Swing(1, copies, low, high, margin, np.zeros_like(stop), stop)


def _improved(analysis: _Analysis, scale: int) -> bool:
    return bool(analysis.smooth[scale].max() - analysis.smooth[scale, 0] > analysis.least[scale])


def _exhaustion(analysis: _Analysis, samples: int, generator: np.random.Generator) -> Event | None:
    scale = next((scale for scale in analysis.scales if _improved(analysis, scale)), None)
    if scale is None:
        return None
    rising = _improvement(analysis, scale, samples, generator)
    if not _settles(analysis.y, rising.low[0], rising.high[0], rising.margin[0], analysis.deviation):
        return None
    return _crossing(analysis.steps, rising, rising.high - rising.margin)


def _half_way(analysis: _Analysis, samples: int, generator: np.random.Generator) -> Event | None:
    """Where an accuracy crosses half of the way from its first value to 1, if it rises clearly above that."""
    halves = (analysis.smooth[:, 0] + 1) / 2
    clear = analysis.smooth.max(axis=1) > halves + analysis.thresholds / 2
    scale = next((scale for scale in analysis.scales if _improved(analysis, scale) and clear[scale]), None)
    if scale is None:
        return None
    rising = _improvement(analysis, scale, samples, generator)
    return _crossing(analysis.steps, rising, np.full(len(rising.copies), halves[scale]))


def _overfitting(analysis: _Analysis, samples: int, generator: np.random.Generator) -> Event | None:
    worse = [smooth.max() - smooth[smooth.argmax() :].min() for smooth in analysis.smooth]
    scale = next((scale for scale in analysis.scales if worse[scale] > analysis.least[scale]), None)
    if scale is None:
        return None
    smooth = _smooth(analysis.copies(scale, samples, generator), analysis.widths[scale])
    return _highest(analysis, smooth, scale, 0, len(analysis.y) - 1)


# ---- turns, swings and levels


def _turns(smooth: np.ndarray, threshold: float) -> list[int]:
    """Places where the curve turns, such that it moves by more than the threshold from each to the next; else none."""
    places: list[int] = []
    low = high = direction = 0
    for place, value in enumerate(smooth.tolist()):
        if direction >= 0:
            if value > smooth[high]:
                high = place
            elif smooth[high] - value > threshold:
                places.append(high)
                direction, low = -1, place
                continue
        if direction <= 0:
            if value < smooth[low]:
                low = place
            elif value - smooth[low] > threshold:
                places.append(low)
                direction, high = 1, place
    return [*places, high if direction > 0 else low] if direction else []


class _Swing(NamedTuple):
    """A rise, or a fall turned upside down, of a curve and its copies; arrays are (1 + samples,)."""

    sign: int  # -1 for a fall
    copies: np.ndarray  # (1 + samples, n), upside down for a fall
    low: np.ndarray
    high: np.ndarray
    margin: np.ndarray  # by which a curve has left the lower level, or may miss the higher one
    start: np.ndarray  # first and last point of the stretch in which levels are crossed
    stop: np.ndarray


def _levels(
    analysis: _Analysis,
    scale: int,
    sign: int,
    copies: np.ndarray,
    ends: tuple[slice, slice],
    share: float,
    *,
    pointed: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low, high and margin of a rise found at a scale: the lowest point in the first and highest in the second of `ends`.

    A level is an extreme of the smoothed curve. A wider smoothing has less noise but takes off height, and the curve's
    own extremes hold noise: the scale is taken whose threshold and half of what it takes off are least together.

    Noise lifts the extreme of a level stretch by about half of the threshold: the margin is that and a share of the
    height. It lifts a pointed one less: there the margin is the larger of both, and every other copy is measured without
    smoothing and by the share alone, so that intervals hold what this choice does.
    """
    candidates = range(scale if scale > 1 else 0, len(analysis.widths))
    heights = np.array(
        [(sign * analysis.smooth[i])[ends[1]].max() - (sign * analysis.smooth[i])[ends[0]].min() for i in candidates]
    )
    doubt = analysis.thresholds[candidates] + np.maximum(heights[0] - heights, 0) / 2
    best = candidates[int(doubt.argmin())]
    smooth = _smooth(copies, analysis.widths[best])
    low, high = smooth[:, ends[0]].min(axis=1), smooth[:, ends[1]].max(axis=1)
    lift = analysis.thresholds[best] / 2
    margin = np.maximum(share * (high - low), lift) if pointed else share * (high - low) + lift
    margin = np.minimum(margin, (high - low) / 2)
    if pointed:
        others = slice(1, None, 2)
        low[others], high[others] = copies[others, ends[0]].min(axis=1), copies[others, ends[1]].max(axis=1)
        margin[others] = share * (high - low)[others]
    return low, high, margin


def _highest(analysis: _Analysis, smooth: np.ndarray, scale: int, first: int, last: int) -> Event:
    """The highest point from first to last of the curve and its copies, smoothed at a scale, float64 (1 + samples, n)."""
    places = smooth[:, first : last + 1].argmax(axis=1) + first
    place, steps = int(places[0]), analysis.steps
    value = analysis.smooth[scale if scale > 1 else 0, place]
    before, after = steps[max(place - 1, 0)], steps[min(place + 1, len(steps) - 1)]
    return Event(steps[place], before, after, float(value), steps[places[1:]])


def _cross(Y: np.ndarray, level: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The last point below a level in each row of Y, between start and stop, where Y rises through it; int (B,).

    It is where the isotonic regression of that stretch crosses the level, found without computing it: the point up to
    which the sum of level - y is largest (Groeneboom's switch relation). So y is below the level there and above it at
    the next point, and single values beyond it elsewhere do not matter.
    """
    place = np.arange(Y.shape[1])
    inside = (place >= start[:, None]) & (place < np.maximum(stop, start + 1)[:, None])
    sums = np.cumsum(np.where(inside, level[:, None] - Y, 0.0), axis=1)
    return np.minimum(np.where(inside, sums, -np.inf).argmax(axis=1), Y.shape[1] - 2)


def _crossing(steps: np.ndarray, swing: _Swing, level: np.ndarray) -> Event:
    """Where the curve and its copies rise through their levels, float64 (1 + samples,), interpolated between points."""
    place = _cross(swing.copies, level, swing.start, swing.stop)
    rows = np.arange(len(place))
    below, above = swing.copies[rows, place], swing.copies[rows, place + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num(np.clip((level - below) / (above - below), 0, 1))
    at = steps[place] + share * (steps[place + 1] - steps[place])
    return Event(at[0], steps[place[0]], steps[place[0] + 1], swing.sign * float(level[0]), at[1:])


def _settles(y: np.ndarray, low: float, high: float, margin: float, deviation: float) -> bool:
    """Whether a curve that rises from low to high ends level there, within the margin, and is not still rising.

    It has to stay as long, in points, as it took to get there from a quarter of the rise, and at least `LEAST_LEVEL`
    points, and the straight line through them, with 2 standard errors, rises by at most `MOST_DRIFT` of the swing.
    """
    start, stop = np.array([0]), np.array([len(y) - 1])
    quarter, reached = (
        _cross(y[None], np.array([level]), start, stop)[0] + 1 for level in (low + (high - low) / 4, high - margin)
    )
    tail = y[reached:]
    n = len(tail)
    if n < LEAST_LEVEL or n < reached - quarter:
        return False
    time = np.arange(n) - (n - 1) / 2
    drift = (n - 1) * (time @ tail) / (time @ time)
    error = (n - 1) * deviation / np.sqrt(time @ time)
    return bool(drift + 2 * error <= MOST_DRIFT * (high - low))
