"""The other estimators of scikit-dimension, by name, fed with the shared neighbour graph.

Bac, Mirkes, Gorban, Tyukin & Zinovyev (2021), Scikit-dimension, doi:10.3390/e23101368; each class's docstring
there names its source. The table below spares the import of skdim until an estimator runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph

log = logging.getLogger(__name__)

# name -> class of skdim.id and its parameters with their defaults; what draws at random has a fixed seed here.
# Left out: switches for plots, prints, processes and input that is a distance matrix.
CLOUD_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "danco": ("DANCo", {"k": 10, "D": None, "ver": "DANCo", "fractal": True, "random_state": 0}),
    "fishers": (
        "FisherS",
        {"conditional_number": 10, "project_on_sphere": 1, "alphas": None, "limit_maxdim": False},
    ),
    "knn": ("KNN", {"k": None, "ps": None, "M": 1, "gamma": 2, "random_state": 0}),
    "mind_ml": ("MiND_ML", {"k": 20, "D": 10, "ver": "MLk"}),
}
# Classes that answer for each point: the third entry is their default number of neighbours.
POINT_CLASSES: dict[str, tuple[str, dict[str, Any], int]] = {
    "ess": ("ESS", {"ver": "a", "d": 1, "random_state": 0}, 100),
    "mada": ("MADA", {}, 20),
    "mom": ("MOM", {}, 100),
    "tle": ("TLE", {"epsilon": 1e-4}, 20),
}
NEIGHBORHOOD = 100


def _class(name: str) -> Callable[..., Any]:
    from skdim import id as classes

    return getattr(classes, name)


def _of_cloud(
    class_name: str,
    defaults: Mapping[str, Any],
    X: np.ndarray,
    graph: NeighborGraph | None,
    groups: np.ndarray | None,
    **parameters: Any,
) -> Estimate:
    """fit() on the whole cloud; NaN if it gives no finite number."""
    fitted = _class(class_name)(**{**defaults, **parameters}).fit(X)
    return Estimate(_finite(fitted.dimension_), np.nan, len(X), 0)


def _of_neighborhoods(
    class_name: str, defaults: Mapping[str, Any], X: np.ndarray, graph: NeighborGraph, **parameters: Any
) -> np.ndarray:
    """fit() on each point's n_neighbors nearest other points: fit_pw() on the shared graph.

    NaN where the class gives no finite number or refuses a neighbourhood, which is logged; if it
    refuses all, its ValueError is raised.
    """
    n_neighbors = parameters.pop("n_neighbors", NEIGHBORHOOD)
    estimator = _class(class_name)(**{**defaults, **parameters})
    values = np.full(len(X), np.nan)
    refusals = []
    for i, members in enumerate(graph.indices[:, :n_neighbors]):
        try:
            values[i] = _finite(estimator.fit(X[members]).dimension_)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            refusals.append(error)
    if len(refusals) == len(X):
        raise ValueError(f"{class_name} refuses every neighbourhood of {n_neighbors} points: {refusals[0]}")
    if refusals:
        log.warning("%s refused %d of %d neighbourhoods, first: %s", class_name, len(refusals), len(X), refusals[0])
    return values


def _pointwise(
    class_name: str,
    defaults: Mapping[str, Any],
    k: int,
    X: np.ndarray,
    graph: NeighborGraph,
    **parameters: Any,
) -> np.ndarray:
    """The pointwise values of fit() with the shared graph's neighbours; NaN where they are not finite."""
    n_neighbors = parameters.pop("n_neighbors", k)
    known = (graph.distances[:, :n_neighbors], graph.indices[:, :n_neighbors])
    with np.errstate(all="ignore"):
        fitted = _class(class_name)(**{**defaults, **parameters}).fit(
            X, precomputed_knn_arrays=known, n_neighbors=n_neighbors
        )
    values = np.asarray(fitted.dimension_pw_, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _of_points(
    class_name: str,
    defaults: Mapping[str, Any],
    k: int,
    X: np.ndarray,
    graph: NeighborGraph,
    groups: np.ndarray | None,
    *,
    comb: str = "mean",
    **parameters: Any,
) -> Estimate:
    """Mean or median (`comb`) of the pointwise values that are defined."""
    if comb not in ("mean", "median"):
        raise ValueError(f"comb = {comb!r} is not known; it must be mean or median.")
    values = _pointwise(class_name, defaults, k, X, graph, **parameters)
    defined = values[~np.isnan(values)]
    value = float(getattr(np, comb)(defined)) if len(defined) else np.nan
    return Estimate(value, np.nan, len(values), len(values) - len(defined))


def _finite(value: Any) -> float:
    value = float(value)
    return value if np.isfinite(value) else np.nan


def _estimators() -> Iterator[Estimator]:
    both = frozenset({"local", "global"})
    for name, (class_name, defaults) in CLOUD_CLASSES.items():
        yield Estimator(
            name=name,
            local=partial(_of_neighborhoods, class_name, defaults),
            global_=partial(_of_cloud, class_name, defaults),
            vectors=both,
            defaults={"local": {"n_neighbors": NEIGHBORHOOD, **defaults}, "global": defaults},
        )
    for name, (class_name, defaults, k) in POINT_CLASSES.items():
        local = {"n_neighbors": k, **defaults}
        yield Estimator(
            name=name,
            local=partial(_pointwise, class_name, defaults, k),
            global_=partial(_of_points, class_name, defaults, k),
            vectors=both,
            defaults={"local": local, "global": {**local, "comb": "mean"}},
        )


ESTIMATORS = {estimator.name: estimator for estimator in _estimators()}
