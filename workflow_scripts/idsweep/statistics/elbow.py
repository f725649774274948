"""The elbow of a curve: where it bends, if it does, and how surely."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtri

LEAST_DISTINCT = 5  # different x; a broken line goes through any four points
PLACES = 2001  # of the bend that are tried, evenly spaced in log2 x, beside the x themselves
CONFIDENCE = 0.95
PARAMETERS = {"straight": 3, "broken": 5}  # the deviation of the noise among them
ROUNDING = 1e-20  # share of the sum of squares that counts as none


class Elbow(NamedTuple):
    """The bend of a curve, and its 95 % interval."""

    x: float
    lower: float
    upper: float


def elbow(x: ArrayLike, y: ArrayLike) -> Elbow | None:
    """Where a falling curve bends in log2 x, or None where one straight line describes it as well, or it does not fall.

    x, y: (n,), positive and finite, in any order; several y may stand at one x. For a bend in log-log coordinates give the
    logarithm as y: the loss where the curve is the perplexity.

    The curve is two straight segments in (log2 x, y) that meet at the bend, fitted by least squares with the bend anywhere
    between the second lowest and the second highest x (Hudson 1966, "Fitting segmented curves whose join points have to be
    estimated"). The interval holds all bends that an F-test of the residual sum of squares does not reject at 5 % (Toms &
    Lesperance 2003, "Piecewise regression", take the likelihood so); where it reaches the outermost bends that are tried, it
    says no more than that. One straight line is preferred if its AICc (Hurvich & Tsai 1989) is at most that of the two. A
    curve of fewer than 5 different x, or of fewer than 7 points, has no elbow. A straight line with noise
    passes for bent in about 1 of 10 curves of many points, and less often in those of few, which need a sharper bend. A
    smooth curve counts as bent once its curvature exceeds the noise.

    Raises ValueError if x and y are not of one length, or if a value is not finite or an x not positive.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x and y must be one-dimensional and of one length, not of shapes {x.shape} and {y.shape}.")
    if not (np.isfinite(y).all() and np.isfinite(x).all() and (x > 0).all()):
        raise ValueError("x must be positive and finite and y finite: leave out points without a value.")
    places, n = np.log2(x), len(x)
    distinct = np.unique(places)
    if len(distinct) < LEAST_DISTINCT or n < PARAMETERS["broken"] + 2:
        return None
    bends = np.union1d(distinct[1:-1], np.linspace(distinct[1], distinct[-2], PLACES))
    centred = places - places.mean()
    slope = centred @ y / (centred @ centred)
    if slope >= 0:
        return None
    residuals = y - y.mean() - slope * centred
    none = ROUNDING * (y @ y)
    straight = max(residuals @ residuals, none)
    broken = np.maximum(straight - _explained(centred, bends - places.mean(), residuals), none)
    best = broken.argmin()
    if _aicc(straight, n, "straight") <= _aicc(broken[best], n, "broken"):
        return None
    free = n - PARAMETERS["broken"] + 1
    inside = bends[broken <= broken[best] * (1 + fdtri(1, free, CONFIDENCE) / free)]
    return Elbow(*(float(2.0**place) for place in (bends[best], inside[0], inside[-1])))


def _explained(places: np.ndarray, bends: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """By how much a change of slope at each bend lowers the sum of squares of a straight line's residuals, float64 (bends,).

    places: (n,), centred. A hinge max(place - bend, 0), made orthogonal to the straight line, explains what it shares with
    the residuals.
    """
    hinges = np.maximum(places - bends[:, None], 0.0)
    hinges -= hinges.mean(axis=1, keepdims=True)
    hinges -= np.outer(hinges @ places / (places @ places), places)
    return (hinges @ residuals) ** 2 / (hinges**2).sum(axis=1)


def _aicc(sum_of_squares: float, n: int, model: str) -> float:
    k = PARAMETERS[model]
    return n * np.log(sum_of_squares / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
