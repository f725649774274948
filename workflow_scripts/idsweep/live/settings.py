"""What is measured inside a training, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What is measured, and how; the keys of `LiveDimension` by the same names."""

    layers: tuple[int, ...]
    modules: tuple[str, ...]
    n_neighbors: int
    points: int
    estimator: str
    max_length: int
    select: str
    seed: int
    points_seed: int
    cloud: Mapping[str, Any]
    parameters: Mapping[str, Any]

    def shaping(self) -> dict[str, Any]:
        """As what JSON holds, for comparison with what a folder was measured with."""
        return {
            key: list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
            for key, value in vars(self).items()
        }
