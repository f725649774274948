"""Values in 16 bits: what a page shows needs no more, and a sweep has millions of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ABSENT, UNDEFINED, HIGHEST = 65535, 65534, 65533


class Quantized(NamedTuple):
    """codes: uint16 (N,). A value is low + (high − low) · code / `HIGHEST`, or its exponential where `is_log`."""

    codes: np.ndarray
    low: float
    high: float
    is_log: bool


def quantize(values: np.ndarray, present: np.ndarray | None = None) -> Quantized:
    """`values`, float64 (N,), in steps of equal size; of equal ratio where all are positive, so that one large value costs nothing.

    Values that are not finite are `UNDEFINED`. present: bool (N,), where a value is; the others are `ABSENT`.
    Of positive values the relative error is at most half of log(largest / smallest) / `HIGHEST`: 5e-5 for a ratio of 1,000.
    """
    codes = np.full(len(values), UNDEFINED, dtype=np.uint16)
    finite = np.isfinite(values)
    low = high = 0.0
    is_log = bool(finite.any() and values[finite].min() > 0)
    if finite.any():
        scaled = np.log(values[finite]) if is_log else values[finite]
        low, high = float(scaled.min()), float(scaled.max())
        step = (high - low) / HIGHEST or 1.0
        codes[finite] = np.rint((scaled - low) / step).astype(np.uint16)
    if present is not None:
        codes[~present] = ABSENT
    return Quantized(codes, low, high, is_log)
