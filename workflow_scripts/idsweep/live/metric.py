"""The local dimension as a metric of torchmetrics: `LocalDimension`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise ImportError("LocalDimension needs torchmetrics: pip install torchmetrics") from error

from idsweep.estimators.registry import estimate_mean


class LocalDimension(Metric):
    """Mean local intrinsic dimension of the features that were given, as an estimate of a sweep (docs/estimators.md).

    Parameters
    ----------
    n_neighbors
        Neighbourhood L of each point.
    max_samples
        Points that are kept: a random sample of all that were given, over all batches and processes.
    estimator, parameters
        A local estimator and its further parameters, as in `estimator_sets` of a sweep.
    seed
        Of that sample. The same seed and the same features give the same sample.

    Raises
    ------
    ValueError
        If `max_samples` is not more than `n_neighbors`; by `compute`, if there are too few different points for the neighbours.

    Examples
    --------
    >>> import torch
    >>> from idsweep.live import LocalDimension
    >>> metric = LocalDimension(n_neighbors=32)
    >>> plane = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) @ torch.eye(2, 10)
    >>> metric.update(plane)
    >>> round(metric.compute().item(), 1)
    2.0
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None

    def __init__(
        self,
        n_neighbors: int = 64,
        max_samples: int = 10_000,
        *,
        estimator: str = "twonn",
        parameters: dict[str, Any] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if max_samples <= n_neighbors:
            raise ValueError(f"max_samples: {max_samples} points are too few for {n_neighbors} neighbours.")
        self.n_neighbors, self.max_samples, self.estimator = n_neighbors, max_samples, estimator
        self.parameters_of_estimator, self.seed = dict(parameters or {}), seed
        self.add_state("n_given", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("features", default=[], dist_reduce_fx="cat")
        self.add_state("ranks", default=[], dist_reduce_fx="cat")

    def update(self, features: torch.Tensor) -> None:
        """Add features (n, D) or (B, T, D)."""
        if features.ndim not in (2, 3):
            raise ValueError(f"features: {tuple(features.shape)} is neither (n, D) nor (B, T, D).")
        rows = features.detach().reshape(-1, features.shape[-1])
        # Of all rows those of least rank are kept: a random sample, whatever the batches and processes were.
        process = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        generator = torch.Generator().manual_seed(hash((self.seed, process, int(self.n_given))) % 2**63)
        self.n_given += 1
        self.features.append(rows)
        self.ranks.append(torch.rand(len(rows), dtype=torch.float64, generator=generator).to(rows.device))
        kept = self._sampled()
        self.features, self.ranks = [kept[0]], [kept[1]]

    def compute(self) -> torch.Tensor:
        vectors = _distinct(self._sampled()[0]) if len(self.features) else []
        if len(vectors) <= self.n_neighbors:
            raise ValueError(
                f"{len(vectors)} different points are too few for {self.n_neighbors} neighbours: give more features, or a smaller "
                "n_neighbors."
            )
        return self._value(vectors)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add features, and return the value of these alone; NaN where they are too few for the neighbours."""
        self.update(features)
        vectors = _distinct(features.detach().reshape(-1, features.shape[-1]))
        return self._value(vectors) if len(vectors) > self.n_neighbors else torch.tensor(torch.nan, dtype=torch.float64)

    def _value(self, vectors: np.ndarray) -> torch.Tensor:
        estimate = estimate_mean(vectors, self.estimator, n_neighbors=self.n_neighbors, **self.parameters_of_estimator)
        return torch.tensor(estimate.value, dtype=torch.float64)

    def _sampled(self) -> tuple[torch.Tensor, torch.Tensor]:
        features, ranks = dim_zero_cat(self.features), dim_zero_cat(self.ranks)
        kept = ranks.argsort()[: self.max_samples].sort().values
        return features[kept], ranks[kept]


def _distinct(features: torch.Tensor) -> np.ndarray:
    return torch.unique(features.float(), dim=0).cpu().numpy()
