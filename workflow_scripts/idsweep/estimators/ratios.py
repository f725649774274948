"""Logarithms of ratios of distances, which is all that estimators from distances look at."""

from __future__ import annotations

import numpy as np

# Distances that differ by less, as a share of the smaller one, are equal but for rounding. So are those between the points
# of a lattice that was turned: the logarithm of their ratio would be noise, and a dimension of 1e16 its inverse.
TIED = 1e-12


def log_ratios(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """log(far / near), float64, exact to a few units in the last place however near to 1 or large the ratio is.

    near, far: float64, of one shape, near <= far. NaN where near is 0, 0 where they are equal but for rounding.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gaps = (far - near) / near
        logs = np.log1p(gaps)
        beyond = np.isinf(gaps) & (near > 0)
        if beyond.any():
            logs[beyond] = np.log(far[beyond]) - np.log(near[beyond])
    logs[gaps <= TIED] = 0.0
    logs[near == 0] = np.nan
    return logs
