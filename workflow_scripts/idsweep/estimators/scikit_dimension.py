"""The other estimators of scikit-dimension, by name, fed with the shared neighbour graph.

Bac, Mirkes, Gorban, Tyukin & Zinovyev (2021), Scikit-dimension, doi:10.3390/e23101368; each class's docstring
there names its source. The table below spares the import of skdim until an estimator runs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from idsweep.estimators.ranges import SEED, Choice, Flag, Number, Optional, Range, Rising, Whole
from idsweep.estimators.ratios import TIED, log_ratios
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph, center_and_scale, lengths, unit_of
from idsweep.neighbors.search import nearest_neighbors

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
RANGES: dict[str, dict[str, Range]] = {
    # DANCo adds up binomials of k with alternating signs: beyond 30 of them rounding is all that is left
    "danco": {
        "k": Whole(2, 30),
        "D": Optional(Whole(1)),
        "ver": Choice(("DANCo", "DANCoFit", "MIND_MLi", "MIND_MLk")),
        "fractal": Flag(),
        "random_state": SEED,
    },
    "fishers": {
        "conditional_number": Number(above=1),
        "project_on_sphere": Choice((0, 1, False, True)),
        "alphas": Optional(Rising(Number(above=0, below=1))),
        "limit_maxdim": Flag(),
    },
    "knn": {
        "k": Optional(Whole(1)),
        "ps": Optional(Rising(Whole(2))),
        "M": Whole(1),
        "gamma": Number(above=0),
        "random_state": SEED,
    },
    "mind_ml": {"k": Whole(1), "D": Whole(1), "ver": Choice(("MLk", "MLi"))},
    "ess": {"ver": Choice(("a", "b")), "d": Whole(1, 17), "random_state": SEED},
    "mada": {},
    "mom": {},
    "tle": {"epsilon": Number(above=0, below=1)},
}
NEIGHBORHOOD = 100
# tle subtracts squares of distances from that of the farthest one: those that are nearer to it than this, as a share, are
# taken as equal to it, where the difference would be rounding.
FARTHEST = 1e-8
# Its search in DANCo squares distances out of inner products: it tells apart what is not smaller than this beside the cloud.
RESOLVED = 1e-5


def _check_danco(parameters: Mapping[str, Any]) -> None:
    _check_neighborhood(parameters)
    if parameters["fractal"] and parameters["ver"].startswith("DANCo") and (parameters["D"] or 4) < 4:
        raise ValueError(
            f"D = {parameters['D']} dimensions are too few for a curve through them; give 4 or fractal: false."
        )


def _check_neighborhood(parameters: Mapping[str, Any]) -> None:
    k, n_neighbors = parameters["k"], parameters.get("n_neighbors")
    if n_neighbors is not None and n_neighbors < k + 2:
        raise ValueError(
            f"n_neighbors = {n_neighbors} must be at least k + 2 = {k + 2}: each member needs its k + 1 nearest fellows."
        )


def _check_ess(parameters: Mapping[str, Any]) -> None:
    if parameters["ver"] == "b" and parameters["d"] != 1:
        raise ValueError(f"d = {parameters['d']} is not supported with ver 'b'; it must be 1.")
    if parameters["n_neighbors"] < parameters["d"] + 2:
        raise ValueError(f"n_neighbors = {parameters['n_neighbors']} must be at least d + 2 = {parameters['d'] + 2}.")


def _check_knn(parameters: Mapping[str, Any]) -> None:
    k, sizes = parameters["k"] or 2, parameters["ps"]
    if sizes is not None and min(sizes) <= k:
        raise ValueError(f"ps = {list(sizes)} must be sizes of samples above k = {k}.")


def _memory(number: int, dimension: int) -> float:
    """Copies of the cloud in float64, and a matrix of all pairs, as some classes make one."""
    return 32.0 * number * dimension + 16.0 * number**2


CHECKS = {"danco": _check_danco, "ess": _check_ess, "knn": _check_knn, "mind_ml": _check_neighborhood}


def _class(name: str) -> Callable[..., Any]:
    from skdim import id as classes

    return getattr(classes, name)


def _in_units(X: np.ndarray) -> np.ndarray:
    """The points relative to their mean, float64, times a power of two that brings them near 1.

    No estimator here changes by that, but squares overflow no more and offsets take no digits.
    """
    X = X.astype(np.float64) - X[0]
    X -= X.mean(axis=0)
    return X * unit_of(np.abs(X).max())


def _of_cloud(
    class_name: str,
    defaults: Mapping[str, Any],
    X: np.ndarray,
    graph: NeighborGraph | None,
    groups: np.ndarray | None,
    **parameters: Any,
) -> Estimate:
    """fit() on the whole cloud; NaN if it gives no finite number."""
    value, n_undefined = _value(class_name, {**defaults, **parameters}, X)
    return Estimate(value, np.nan, len(X), n_undefined)


def _of_neighborhoods(
    class_name: str, defaults: Mapping[str, Any], X: np.ndarray, graph: NeighborGraph, **parameters: Any
) -> np.ndarray:
    """fit() on each point's n_neighbors nearest other points: fit_pw() on the shared graph.

    NaN where the class gives no finite number or refuses a neighbourhood, which is logged; if it
    refuses all, its ValueError is raised.
    """
    n_neighbors = parameters.pop("n_neighbors", NEIGHBORHOOD)
    values = np.full(len(X), np.nan)
    refusals = []
    for i, members in enumerate(graph.indices[:, :n_neighbors]):
        try:
            values[i] = _value(class_name, {**defaults, **parameters}, X[members])[0]
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            refusals.append(error)
    if len(refusals) == len(X):
        raise ValueError(f"{class_name} refuses every neighbourhood of {n_neighbors} points: {refusals[0]}")
    if refusals:
        log.warning("%s refused %d of %d neighbourhoods, first: %s", class_name, len(refusals), len(X), refusals[0])
    return values


def _value(class_name: str, parameters: Mapping[str, Any], X: np.ndarray) -> tuple[float, int]:
    """The class's value of a cloud, NaN if it has none, and how many of the points are left out of it."""
    if (X[0] == X).all():
        return np.nan, len(X)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = {"DANCo": _danco, "MiND_ML": _mind_ml, "FisherS": _fishers, "KNN": _knn}[class_name]
        value, n_undefined = fit(_class(class_name)(**parameters), X)
    value = float(value)
    return value if np.isfinite(value) else np.nan, n_undefined


def _enough(X: np.ndarray, k: int) -> None:
    if k + 1 >= len(X):
        raise ValueError(f"k = {k} needs the {k + 1} nearest neighbours, which {len(X)} points do not have; lower k.")


def _danco(danco: Any, X: np.ndarray) -> tuple[float, int]:
    """NaN where points have duplicates, whose angles are undefined, or neighbours that are all equally far."""
    _enough(X, danco.k)
    distances = nearest_neighbors(X, danco.k + 1).distances
    undefined = ~(log_ratios(distances[:, 0], distances[:, -1]) > 0)
    if undefined.any():
        return np.nan, int(np.count_nonzero(undefined))
    if distances[:, 0].min() < RESOLVED * lengths(X - center_and_scale(X)[0]).max():
        raise ValueError(
            "DANCo of scikit-dimension cannot tell apart points that are 100,000 times nearer to each other than the cloud is "
            "wide; leave the far points or the near duplicates out, or take another estimator."
        )
    danco._warned = True  # it prints
    return danco.fit(_in_units(X)).dimension_, 0


def _mind_ml(mind: Any, X: np.ndarray) -> tuple[float, int]:
    """Its likelihood of the ratios of exact distances; points with a duplicate, or equally far neighbours, have none."""
    _enough(X, mind.k)
    distances = nearest_neighbors(X, mind.k + 1).distances
    logs = log_ratios(distances[:, 0], distances[:, -1])
    ratios = np.exp(-logs[logs > 0])
    n_undefined = len(X) - len(ratios)
    if not len(ratios):
        return np.nan, n_undefined
    whole = mind._MiND_MLi(ratios)
    return whole if mind.ver == "MLi" else mind._MiND_MLk(ratios, whole), n_undefined


def _fishers(fishers: Any, X: np.ndarray) -> tuple[float, int]:
    """Points at the centre have no direction: they are left out, and the rest is centred anew."""
    if fishers.alphas is not None:
        fishers.alphas = np.atleast_2d(fishers.alphas)
    number, left_out = len(X), True
    X = _in_units(X)
    while left_out:
        sizes = lengths(X)
        kept = (sizes > TIED * sizes.max()) | (not fishers.project_on_sphere)
        if kept.all():
            value = fishers.fit(X).dimension_
            # those that differ from the centre in directions alone that its PCA left out
            kept = ~np.isnan(fishers.Xp_).any(axis=1)
        left_out = not kept.all()
        if np.count_nonzero(kept) < 2:
            return np.nan, number
        X = _in_units(X[kept]) if left_out else X
    return value, number - len(X)


def _knn(knn: Any, X: np.ndarray) -> tuple[float, int]:
    """NaN where the samples drawn have no length, which all dimensions explain without a residual."""
    if knn.ps is not None:
        knn.ps = np.asarray(knn.ps)
    knn.fit(_in_units(X))
    return knn.dimension_ if knn.residual_ > 0 else np.nan, 0


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
    distances, indices = graph.distances[:, :n_neighbors], graph.indices[:, :n_neighbors]
    with np.errstate(all="ignore"):
        of_points = {"ESS": _ess, "MADA": _mada, "MOM": _mom, "TLE": _tle}[class_name]
        values = of_points(X, distances, indices, **{**defaults, **parameters})
    return np.where(np.isfinite(values), values, np.nan)


def _mom(X: np.ndarray, distances: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
    """m / (w - m), m the mean and w the largest of the distances; NaN where all are equal."""
    gaps = ((distances[:, -1:] - distances) / distances[:, -1:]).mean(axis=1)
    return np.where(gaps > TIED, (1 - gaps) / gaps, np.nan)


def _mada(X: np.ndarray, distances: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
    """log 2 / log(r_n / r_m), m half of n; NaN for a point with a duplicate, and where both are equal."""
    logs = log_ratios(distances[:, distances.shape[1] // 2 - 1], distances[:, -1])
    return np.where((distances[:, 0] > 0) & (logs > 0), np.log(2) / logs, np.nan)


def _tle(X: np.ndarray, distances: np.ndarray, indices: np.ndarray, **parameters: Any) -> np.ndarray:
    """Its answer for each neighbourhood in units of the largest distance; NaN where it says 0, as all are equal."""
    tle = _class("TLE")(**parameters)
    values = np.full(len(X), np.nan)
    for i in np.flatnonzero(distances[:, -1] > 0):
        unit = unit_of(distances[i, -1])
        to_members = distances[i] * unit
        to_members[to_members > to_members[-1] * (1 - FARTHEST)] = to_members[-1]
        members = (X[indices[i]].astype(np.float64) - X[i]) * unit
        values[i] = tle._idtle(members, to_members[None])
    return np.where(values > 0, values, np.nan)


def _ess(X: np.ndarray, distances: np.ndarray, indices: np.ndarray, **parameters: Any) -> np.ndarray:
    """Its answer for each neighbourhood; NaN where all members are equal."""
    ess = _class("ESS")(**parameters)
    if X.shape[1] <= ess.d:
        raise ValueError(f"d = {ess.d} needs more coordinates than the {X.shape[1]} there are; lower d.")
    ess._warned = True  # it prints
    ess.random_state_ = np.random.default_rng(ess.random_state)
    values = np.full(len(X), np.nan)
    for i, members in enumerate(X[group] for group in indices):
        if (members != members[0]).any():
            values[i], skewness = ess._essLocalDimEst(_in_units(members))
            # on a line, where rounding may lead beyond the value of one dimension
            if ess.ver == "b" and skewness > 1 - TIED:
                values[i] = 1.0
    return values


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
    values = _pointwise(class_name, defaults, k, X, graph, **parameters)
    defined = values[~np.isnan(values)]
    value = float(getattr(np, comb)(defined)) if len(defined) else np.nan
    return Estimate(value, np.nan, len(values), len(values) - len(defined))


def _estimators() -> Iterator[Estimator]:
    both = frozenset({"local", "global"})
    for name, (class_name, defaults) in CLOUD_CLASSES.items():
        yield Estimator(
            name=name,
            local=partial(_of_neighborhoods, class_name, defaults),
            global_=partial(_of_cloud, class_name, defaults),
            vectors=both,
            memory=_memory,
            defaults={"local": {"n_neighbors": NEIGHBORHOOD, **defaults}, "global": defaults},
            ranges={"n_neighbors": Whole(3), **RANGES[name]},
            check=CHECKS.get(name),
        )
    for name, (class_name, defaults, k) in POINT_CLASSES.items():
        local = {"n_neighbors": k, **defaults}
        yield Estimator(
            name=name,
            local=partial(_pointwise, class_name, defaults, k),
            global_=partial(_of_points, class_name, defaults, k),
            vectors=both,
            memory=_memory,
            defaults={"local": local, "global": {**local, "comb": "mean"}},
            ranges={"n_neighbors": Whole(2), "comb": Choice(("mean", "median")), **RANGES[name]},
            check=CHECKS.get(name),
        )


ESTIMATORS = {estimator.name: estimator for estimator in _estimators()}
