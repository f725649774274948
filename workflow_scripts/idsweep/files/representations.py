"""Names of what is measured at a checkpoint: single layers, combinations of layers, embedding matrices.

A representation is a name in files and paths: `layer_3` is hidden state 3, `input_embeddings` and
`output_embeddings` are the rows of the matrices that turn tokens into vectors and back, `vectors` the rows of a matrix that is no
model's, `before_final_norm` are the states
that go into the norm behind the last block, any other name stands for a combination of layers that the sweep's config defines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

VOCABULARY = "vocabulary"  # takes the place of a dataset for the rows of embedding matrices
EMBEDDING_MATRICES = ("input_embeddings", "output_embeddings")
BEFORE_FINAL_NORM = "before_final_norm"
VECTORS = "vectors"
MATRIX_FORMATS = ("npy", "safetensors", "parquet")  # of files that hold one
NAMED = (BEFORE_FINAL_NORM, *EMBEDDING_MATRICES)  # what may be named beside numbers as a layer


class Combination(NamedTuple):
    """Several layers as one vector for each token: their mean (D,), or one after the other (layers × D,)."""

    layers: tuple[int, ...]
    by: str


def of_layer(layer: int) -> str:
    return f"layer_{layer}"


def layer_of(name: str) -> int | None:
    """The number of a single layer; None for any other representation."""
    match = re.fullmatch(r"layer_(\d+)", name)
    return int(match[1]) if match else None


def in_order(names: Sequence[str]) -> list[str]:
    """Layers by number, then the others by name."""
    return sorted(names, key=lambda name: (layer_of(name) is None, layer_of(name) or 0, name))


def blocks(names: Sequence[str], size: int, depth: int) -> dict[str, list[str]]:
    """Name of a block -> the representations that one job estimates, in their order.

    A block holds the layers of `names` among `size` neighbouring numbers, 0 … size - 1, size … and so on up to `depth`, the
    number of the last layer, and is named after that range: `layers_0-7`. One more layer changes no other block. Ranges of
    one layer, and what is no single layer, are blocks by themselves, of the same name.
    """
    members: dict[str, list[str]] = {}
    for name in names:
        layer = layer_of(name)
        first = None if layer is None else layer // size * size
        last = None if first is None else min(first + size - 1, depth)
        members.setdefault(name if first == last else f"layers_{first}-{last}", []).append(name)
    return members


def combine(combination: Combination, read: Callable[[int], np.ndarray]) -> np.ndarray:
    """Vectors float32 (N, D) or (N, layers × D) of a combination; `read` gives one layer's, float32 (N, D).

    The mean is summed in float64, one layer in memory at a time.
    """
    if combination.by == "concatenation":
        return np.concatenate([read(layer) for layer in combination.layers], axis=1)
    total = sum(read(layer).astype(np.float64) for layer in combination.layers)
    return (total / len(combination.layers)).astype(np.float32)
