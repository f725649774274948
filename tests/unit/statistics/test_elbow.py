"""The elbow is where a broken line was broken, with intervals that hold it, and none where there is no bend."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.statistics.elbow import elbow
from scipy.optimize import least_squares
from scipy.stats import f

RANKS = 2.0 ** np.arange(9)


def broken(x: np.ndarray, bend: float, before: float = -0.1, after: float = -0.5) -> np.ndarray:
    """Losses whose slope in log2 x changes at the bend."""
    places = np.log2(x) - np.log2(bend)
    return 3 + before * np.minimum(places, 0) + after * np.maximum(places, 0)


def noisy(bend: float, seeds: int, deviation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.tile(RANKS, seeds)
    return x, broken(x, bend) + deviation * np.random.default_rng(seed).standard_normal(len(x))


@pytest.mark.parametrize("bend", [3.0, 16.0, 23.7, 100.0])
@pytest.mark.parametrize(("before", "after"), [(-0.05, -0.5), (-0.5, -0.05), (0.0, -0.4), (-0.4, 0.0)])
def test_an_exact_bend_is_found_whether_the_fall_steepens_or_levels(bend: float, before: float, after: float) -> None:
    found = elbow(RANKS, broken(RANKS, bend, before, after))
    assert found is not None
    assert found.x == pytest.approx(bend, rel=2e-3)
    assert found.lower <= found.x <= found.upper
    assert (found.lower, found.upper) == pytest.approx((bend, bend), rel=5e-3)


def test_the_order_of_points_and_the_units_of_y_do_not_matter() -> None:
    x, y = noisy(16, 3, 0.03, 0)
    order = np.random.default_rng(1).permutation(len(x))
    found = elbow(x, y)
    assert elbow(x[order], y[order]) == pytest.approx(found)
    assert elbow(x, 7 * y - 100) == pytest.approx(found)
    assert elbow(3 * x, y) == pytest.approx(np.multiply(found, 3), rel=1e-9)


def test_the_fit_and_its_interval_are_those_of_nonlinear_least_squares() -> None:
    """Against scipy's optimiser: the best bend, and bends at the ends of the interval at the F-test's threshold."""
    x, y = noisy(20, 2, 0.06, 3)
    places = np.log2(x)

    def residuals(p: np.ndarray, bend: float) -> np.ndarray:
        return p[0] + p[1] * places + p[2] * np.maximum(places - bend, 0) - y

    def sum_of_squares(bend: float) -> float:
        return 2 * least_squares(residuals, np.zeros(3), args=(bend,)).cost

    best = min(
        least_squares(lambda p: residuals(p[:3], p[3]), [3, -0.1, -0.4, start], diff_step=1e-6).cost * 2
        for start in (3.0, 4.0, 5.0)
    )
    found = elbow(x, y)
    assert sum_of_squares(np.log2(found.x)) == pytest.approx(best, rel=1e-4)
    threshold = best * (1 + f.ppf(0.95, 1, len(x) - 4) / (len(x) - 4))
    for end in (found.lower, found.upper):
        assert sum_of_squares(np.log2(end)) == pytest.approx(threshold, rel=0.01)


def test_intervals_hold_the_bend_in_about_95_of_100_curves() -> None:
    found = [elbow(*noisy(19, seeds, 0.05, seed)) for seed in range(100) for seeds in (1, 3)]
    assert None not in found
    covered = np.mean([one.lower <= 19 <= one.upper for one in found])
    assert 0.9 <= covered <= 0.99


def test_a_straight_line_has_no_elbow() -> None:
    assert elbow(RANKS, 3 - 0.2 * np.log2(RANKS)) is None
    generator = np.random.default_rng(0)
    for seeds, most in ((1, 0.03), (3, 0.2)):
        x = np.tile(RANKS, seeds)
        straight = [3 - 0.2 * np.log2(x) + 0.05 * generator.standard_normal(len(x)) for _ in range(200)]
        assert np.mean([elbow(x, y) is not None for y in straight]) <= most


def test_a_bend_below_the_noise_is_none() -> None:
    x = np.tile(RANKS, 2)
    y = broken(x, 16, -0.2, -0.21) + 0.1 * np.random.default_rng(0).standard_normal(len(x))
    assert elbow(x, y) is None


def test_what_does_not_fall_has_no_elbow() -> None:
    assert elbow(RANKS, -broken(RANKS, 16)) is None
    assert elbow(RANKS, np.full(len(RANKS), 3.0)) is None


def test_too_few_points_have_no_elbow() -> None:
    four = np.tile(RANKS[::2][:4], 5)
    assert elbow(four, broken(four, 8)) is None
    assert elbow(RANKS[:6], broken(RANKS[:6], 6)) is None
    assert elbow(RANKS[:7], broken(RANKS[:7], 8)) is not None
    assert elbow([], []) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_values_that_have_no_logarithm_are_told(bad: float) -> None:
    with pytest.raises(ValueError, match="x must be positive and finite and y finite: leave out"):
        elbow([bad, *RANKS[1:]], broken(RANKS, 16))


def test_undefined_y_and_unequal_lengths_are_told() -> None:
    with pytest.raises(ValueError, match="leave out points without a value"):
        elbow(RANKS, [np.nan, *broken(RANKS, 16)[1:]])
    with pytest.raises(ValueError, match=r"one length, not of shapes \(9,\) and \(3,\)"):
        elbow(RANKS, [1, 2, 3])
