"""Rows of the tables that figures are drawn of, and what stands in what was drawn."""

from __future__ import annotations

from typing import Any

import pandas as pd
from idsweep.tables.brought import REFERENCE
from matplotlib.figure import Figure

PYTHIA = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 144_000, 1000)]  # steps of its checkpoints


def identity(
    group: str, dataset: str = "news", layer: int = 12, step: int | None = None, seed: int | None = None, **more: Any
) -> dict[str, Any]:
    """What tells one estimate of twonn from others; more: columns with other values, or further ones."""
    return {
        "set": "standard",
        "estimator": "twonn",
        "model": group if seed is None else f"{group}-seed{seed}",
        "group": group,
        "seed": seed,
        "checkpoint": "final" if step is None else f"step{step}",
        "step": step,
        "dataset": dataset,
        "split": "train",
        "representation": f"layer_{layer}",
        "layer": layer,
        "cloud": "points",
    } | more


def summary(*identified: Any, **more: Any) -> dict[str, Any]:
    """A row of the local table but for its numbers: all of `identity`, and what was counted."""
    counted = {"variant": "data", "n_points": 2000, "n_undefined": 0, "n_neighbors": 64}
    return identity(*identified, **(counted | more))


def note(drawn: Figure) -> str:
    """The words below a figure."""
    return " ".join(drawn.get_supxlabel().split())


def no_reference() -> pd.DataFrame:
    """The reference table of a sweep without published values."""
    return REFERENCE.empty_table().to_pandas()
