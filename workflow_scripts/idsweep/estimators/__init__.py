"""Estimators of intrinsic dimension, by name: one value for each point or one for the cloud."""

from idsweep.machine.faces import offer

__getattr__, __dir__, __all__ = offer(
    __name__,
    dict.fromkeys(
        ("Estimate", "Estimator", "estimate_global", "estimate_local", "estimate_mean"), "idsweep.estimators.registry"
    ),
)
