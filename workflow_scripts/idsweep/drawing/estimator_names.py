"""How estimators are called in print, in figures and in the explorer."""

from __future__ import annotations

ESTIMATOR_NAMES = {
    "twonn": "TwoNN",
    "mle": "MLE",
    "lpca": "local PCA",
    "gride": "GRIDE",
    "corrint": "correlation dimension",
}


def estimator_name(estimator: str) -> str:
    """How an estimator is called in print; its own name with spaces where none is known."""
    return ESTIMATOR_NAMES.get(estimator, estimator.replace("_", " "))
