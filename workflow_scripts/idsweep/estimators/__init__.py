"""Estimators of intrinsic dimension, by name: one value for each point or one for the cloud."""

from idsweep.estimators.registry import (
    Estimate,
    Estimator,
    estimate_global,
    estimate_local,
    estimate_mean,
    get,
    mean_of_local,
    module_of,
    names,
)

__all__ = [
    "Estimate",
    "Estimator",
    "estimate_global",
    "estimate_local",
    "estimate_mean",
    "get",
    "mean_of_local",
    "module_of",
    "names",
]
