"""Rows as the library `datasets` shuffles and splits them, for experiments whose code did that.

Its two rules are stated here rather than called, so that the tokens of no other dataset depend on the library's version; a
test compares them with the library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

DIGITS = 10  # 1 - 0.8 is 0.2 again


def shuffled(total: int, seed: int) -> np.ndarray:
    """The numbers of rows, int64 (total,), in the order of `Dataset.shuffle(seed=seed)`."""
    return np.random.default_rng(seed).permutation(total)


def split(total: int, proportions: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Split -> the numbers of its rows, int64, in their order there, as two calls of `Dataset.train_test_split(seed=seed)`.

    The first call parts the train split from the rest, the second the rest, whose first part is the validation split.

    proportions: of train and of validation, test or both. Raises ValueError if a part would be empty.
    """
    rest_names = [name for name in ("validation", "test") if name in proportions]
    rest_share = sum(proportions[name] for name in rest_names)
    train, rest = _split(total, rest_share, seed)
    parts = {"train": train, rest_names[-1]: rest}
    if len(rest_names) == 2:
        validation, test = _split(len(rest), proportions["test"] / rest_share, seed)
        parts |= {"validation": rest[validation], "test": rest[test]}
    if empty := [name for name, rows in parts.items() if not len(rows)]:
        raise ValueError(f"own_splits: {total} texts are too few; nothing is left for {', '.join(empty)}.")
    return parts


def _split(total: int, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    test_number = math.ceil(round(test_share, DIGITS) * total)
    places = shuffled(total, seed)
    return places[test_number:], places[:test_number]
