"""Events of a curve while it grows, decided at the first point that allows it; docs/events.md.

The events are those of `change_points`, with its definitions, of the points that are there so far. What differs is when
a change counts: a curve is looked at after each new point, and its length is not known beforehand. So the threshold
grows with the number of points, such that over all looks together noise alone rarely exceeds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from idsweep.statistics import change_points
from idsweep.statistics.change_points import LEAST_CHANGE, LEAST_POINTS, MILD, Curve, Event

NAMES = ("peak", "onset_of_fall", "plateau", "upturn")
SPREAD, EARLY = 2.5, 8.0  # of the threshold, by simulation: noise of any length shows an event in at most 5 % of runs
UNSETTLED = 2  # values at the end of a curve, besides half of the smoothing, that the next points may still change
MOVED = (
    0.1  # share of the points so far, but more than one of them, by which an event that is announced again has moved
)


class Decision(NamedTuple):
    """An event of a growing curve, or its withdrawal."""

    name: str  # one of `NAMES`
    step: float  # where it is; of a withdrawal, where it was last
    value: float  # of the curve there
    decided: float  # the step of the point that decided it
    withdrawn: bool  # the curve has gone on in a way that leaves no such event


class CurveWatch:
    """Watches one curve of mean local dimension and says at each new point what is decided by it.

    The events are `peak`, `onset_of_fall`, `plateau` and `upturn`, as docs/events.md defines them. Nothing is decided before
    `LEAST_POINTS` finite values. A decision is given once. It is given again, under the same name, where later values
    move the event by more than a tenth of the checkpoints so far, and as withdrawn where they leave no such event: a
    plateau when the curve moves on, an onset of fall without a peak when a rise follows. On noise alone, independent or
    with an autocorrelation of 0.3 between neighbours, at most 5 % of runs have any decision (simulated up to 500 points).

    The state follows from the points alone: who feeds the same points again has the same state.

    Attributes
    ----------
    events : dict of str to Decision
        The events that stand, by name, where the points so far place them; `decided` is when they were last given.

    References
    ----------
    docs/events.md: definitions, and how often and how late events are decided.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.statistics.sequential import CurveWatch
    >>> watch = CurveWatch()
    >>> noise = np.random.default_rng(0).standard_normal(40)
    >>> for step in range(40):
    ...     for event in watch.add(100 * step, 20 - 9 * (step >= 20) + 0.2 * noise[step], 0.2):
    ...         print(event.name, round(event.step, -2), event.decided)
    onset_of_fall 1900.0 2200.0
    plateau 2000.0 2300.0
    """

    def __init__(self) -> None:
        self.events: dict[str, Decision] = {}
        self._given: dict[str, float] = {}  # where each event was when it was last given
        self._steps: list[float] = []
        self._values: list[float] = []
        self._errors: list[float] = []  # those that are known
        self._last = -np.inf
        self._turns = 0  # of the curve, when its events were last looked for

    def add(self, step: float, value: float, standard_error: float | None = None) -> list[Decision]:
        """Take the next point; returns what it decides, in the order of `NAMES`.

        Parameters
        ----------
        step : float
            Training step, larger than the one before.
        value : float
            Mean local dimension. A value that is not finite is left out.
        standard_error : float, optional
            Of the value. Noise is taken to be at least the median of the standard errors. None or NaN: not known.

        Raises
        ------
        ValueError
            If the step is not finite or not larger than the one before, or the standard error is negative.
        """
        step, value = float(step), float(value)
        error = np.nan if standard_error is None else float(standard_error)
        if not np.isfinite(step):
            raise ValueError(
                f"step {step:g} is no number of training steps; give the step at which the value was measured."
            )
        if step <= self._last:
            raise ValueError(
                f"step {step:g} is given after step {self._last:g}; a curve takes its points in the order of their steps, "
                "each step once."
            )
        if error < 0:
            raise ValueError(f"the standard error at step {step:g} is {error:g}; it is at least 0, or NaN if unknown.")
        self._last = step
        if not np.isfinite(value):
            return []
        self._steps.append(step)
        self._values.append(value)
        if np.isfinite(error):
            self._errors.append(error)
        if len(self._steps) < LEAST_POINTS:
            return []
        found = self._look()
        return [] if found is None else self._compare(found, step)

    def extend(self, points: Iterable[tuple[float, float, float | None]]) -> list[Decision]:
        """Take points (step, value, standard error) one after the other, as `add` does; returns all that they decide."""
        return [decision for point in points for decision in self.add(*point)]

    def _look(self) -> dict[str, Event] | None:
        """The events of the points so far; None if they show no change, or fewer changes than before."""
        error = float(np.median(self._errors)) if self._errors else 0.0
        curve = Curve(np.array(self._steps), np.array(self._values), error)
        if not has_moved(curve.values[None], error)[0]:
            return None
        turns = _turns_at(curve)
        finest = max(range(len(turns)), key=lambda place: len(turns[place]))  # of those that show most turns
        if len(turns[finest]) < max(self._turns, 1):
            return None
        self._turns = len(turns[finest])
        return _events(curve, finest + 1, turns[finest])  # scale 0 is the curve as it is

    def _compare(self, found: dict[str, Event], decided: float) -> list[Decision]:
        """What is new against the events that stand, which are changed accordingly."""
        far = max(1.0, MOVED * len(self._steps))
        decisions = []
        for name in NAMES:
            if name in found:
                event = found[name]
                decision = Decision(name, float(event.step), float(event.value), decided, withdrawn=False)
                if name in self.events:
                    before, after = np.searchsorted(self._steps, [self._given[name], event.step])
                    if abs(after - before) <= far:
                        self.events[name] = decision._replace(decided=self.events[name].decided)
                        continue
                self.events[name], self._given[name] = decision, decision.step
            elif name in self.events:
                decision = self.events.pop(name)._replace(decided=decided, withdrawn=True)
            else:
                continue
            decisions.append(decision)
        return decisions


def has_moved(curves: np.ndarray, error: float = 0.0) -> np.ndarray:
    """Whether curves of n points, (B, n), have moved by more than their noise may have; those that have not have no events.

    error: the least deviation of the noise. An autocorrelation of `MILD` is taken; a larger one allows for more.
    """
    settled = (smooth[:, :end] for smooth, end in _smoothings(curves))
    ranges = np.array([np.ptp(values, axis=1) for values in settled])
    return (ranges > _bounds(curves, MILD, error)).any(axis=0)


def _turns_at(curve: Curve) -> list[list[int]]:
    """The places at which the curve turns at each width of smoothing; none where its last values make them others.

    A turn counts where the smoothed values show it without those at the end, which the next points may still change.
    """
    y = curve.values[None]
    bounds = _bounds(y, change_points._autocorrelation(curve.values), curve.error)[:, 0]
    turns = []
    for (smooth, end), bound in zip(_smoothings(y), bounds, strict=True):
        before, now = (change_points._turns(values, bound) for values in (smooth[0, :end], smooth[0]))
        turns.append(now if before and now[:-1] == before[:-1] else [])
    return turns


def _smoothings(curves: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """At each width the smoothed curves, (B, n), and the number of their points that the next ones will not change."""
    n = curves.shape[1]
    without_outliers = change_points._smooth(curves, 1)
    sums = np.concatenate([np.zeros((len(curves), 1)), np.cumsum(without_outliers, axis=1)], axis=1)
    place = np.arange(n)
    smoothings = []
    for width in change_points._widths(n)[1:]:
        start, stop = np.maximum(place - width // 2, 0), np.minimum(place + width // 2 + 1, n)
        smoothings.append(((sums[:, stop] - sums[:, start]) / (stop - start), n - width // 2 - UNSETTLED))
    return smoothings


def _bounds(curves: np.ndarray, phi: float, error: float) -> np.ndarray:
    """By how much curves (B, n) have to move at each width of smoothing for a change, if the noise has this autocorrelation."""
    n = curves.shape[1]
    level = change_points._residual_level(change_points._residuals(curves))
    deviation = np.maximum(level / np.sqrt(change_points._residual_variance(phi)), error)
    widths = change_points._widths(n)[1:]
    bounds = threshold(n) * np.outer([_deviation_of_mean(width, phi) for width in widths], deviation)
    rounding = 1e-9 * np.abs(curves).max(axis=1)
    return np.maximum(bounds, np.maximum(LEAST_CHANGE * np.ptp(curves, axis=1), rounding))


@lru_cache(maxsize=1024)
def _deviation_of_mean(width: int, phi: float) -> float:
    """Deviation of the mean of neighbouring points of an autoregressive process of variance 1."""
    lags = np.arange(1, width)
    return float(np.sqrt((1 + 2 * ((1 - lags / width) * phi**lags).sum()) / width))


def _events(curve: Curve, scale: int, turns: list[int]) -> dict[str, Event]:
    """The events of a curve that turns at these places at a scale."""
    analysis = change_points._Analysis(curve)
    course = change_points._Course(analysis, scale, turns, np.array([curve.values] * 2))
    events = {
        "peak": course.extreme(course.summit),
        "onset_of_fall": change_points._onset_of_fall(course),
        "plateau": change_points._plateau(course),
        "upturn": course.extreme(course.bottom),
    }
    return {name: event for name, event in events.items() if event is not None}


def threshold(n: int) -> float:
    """How far noise of deviation 1 moves among n points, over all looks at a curve that has grown to n points.

    The range of n independent values is about 2 sqrt(2 log n) deviations, and rarely more than that and a quarter of it,
    at any smoothing. The deviation is estimated from the same points: few of them need a larger threshold.
    """
    return SPREAD * np.sqrt(2 * np.log(n)) * (1 + EARLY / n)
