"""What is measured unless a user says otherwise: layers, tokens, points, estimators and figures that fit the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from idsweep.measuring.source import Source

MOST_LAYERS = 13  # hidden states that are measured unless a user chooses
TOKENS = 5_000  # points of each layer's cloud, if the texts hold as many
VECTORS = 20_000  # points of a cloud of vectors
SEQUENCES, LONGEST = 500, 256  # texts that are run, and tokens of one, at most
NEIGHBORS = 64
ESTIMATORS = [
    {"estimator": "twonn", "scope": "local", "n_neighbors": NEIGHBORS},
    {"estimator": "twonn", "scope": "global"},
    {"estimator": "mle", "scope": "local", "n_neighbors": NEIGHBORS},
    {"estimator": "gride", "scope": "global"},
    {"estimator": "lpca", "scope": "local", "n_neighbors": NEIGHBORS},
    {"estimator": "participation_ratio", "scope": "global"},
]
FEWEST = 200  # points; with fewer, neighbourhoods are nearly as large as the cloud
NOT_COUNTED = 0.8  # share of the tokens that an estimate of the texts' length is trusted for


def layers_of(depth: int) -> list[int] | str:
    """All hidden states of a model, or some that are spread evenly from 0 to the last.

    >>> layers_of(12), layers_of(30)
    ('all', [0, 2, 5, 8, 10, 12, 15, 18, 20, 22, 25, 28, 30])
    """
    if depth < MOST_LAYERS:
        return "all"
    return [round(depth * i / (MOST_LAYERS - 1)) for i in range(MOST_LAYERS)]


def points_of(tokens: float | None) -> int:
    """How many points a cloud gets, of texts of about so many tokens; None: not known. Raises ValueError for too few.

    >>> points_of(None), points_of(1e6), points_of(3140)
    (5000, 5000, 2500)
    """
    if tokens is None or NOT_COUNTED * tokens >= TOKENS:
        return TOKENS
    if NOT_COUNTED * tokens < FEWEST:
        raise ValueError(
            f"About {tokens:.0f} tokens of the texts would be run. A dimension needs {FEWEST} points at least, and thousands to be "
            "precise: give more texts. Of a long one only the beginning is run, so parts of it make better texts."
        )
    unit = 10 ** (len(str(int(NOT_COUNTED * tokens))) - 2)
    return int(NOT_COUNTED * tokens) // unit * unit


def figures_of(source: Source, layers: Sequence[int] | str) -> dict[str, dict[str, Any]]:
    """The figures that show something of a source."""
    if source.number is not None:
        return {"violins": {}, "scales": {}, "nulls": {}}
    dynamic = len(set(source.steps)) > 1
    return {
        "violins": {},
        **({"dynamics": {}} if dynamic else {}),
        **({"heatmap": {}} if dynamic and len(layers) > 1 else {}),
        **({"profiles": {}} if len(layers) > 1 else {}),
        **({"shifts": {}} if source.base else {}),
        "scales": {},
        "nulls": {},
    }
