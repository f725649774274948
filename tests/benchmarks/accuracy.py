"""How near the estimates are to known dimensions and to other code, and textbook errors to the spread they stand for.

python -m benchmarks.accuracy [--size tiny] [--write PAGE]; `make accuracy` writes docs/estimators.md, between its markers.

What was measured is kept in accuracy_results/, one line of JSON each, so that a run that was broken off goes on. A
result is used again as long as the recipe of its cloud, the code and the packages that made it are the same. The first
run takes 40 minutes on one core, most of them in scikit-dimension's PH and ESS.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import json
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from builders.markers import write_between
from idsweep.estimators.registry import estimate_global, estimate_local, module_of
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.search import nearest_neighbors
from idsweep.workflow import signature

TOLERANCE = 1e-6
KEPT = Path(__file__).with_name("accuracy_results")
OTHERS = ("scikit-dimension", "scikit-learn", "scipy", "numpy")
NEIGHBORS = 100
SAMPLE = 200  # points at which local values are compared: scikit-dimension's fit_pw is slow


@dataclass(frozen=True)
class Size:
    """number: points of a cloud; numbers: those of the noisy ones; seeds: clouds of each kind; manifolds: how many, None
    for all; spread: clouds, and points of each, that a standard error is held against; adapted: points and seeds."""

    number: int
    numbers: tuple[int, ...]
    seeds: int
    manifolds: int | None
    spread: tuple[int, int]
    adapted: tuple[int, int]


SIZES = {
    "full": Size(2_500, (500, 2_500, 10_000), 5, None, (500, 600), (1_000, 3)),
    "tiny": Size(250, (250, 300), 2, 3, (20, 150), (120, 1)),
}


# What is measured


@dataclass(frozen=True)
class Measure:
    """An estimate by idsweep, and the same by other code.

    theirs: a class of skdim.id, the arguments of its constructor and those of fit; "numpy" and a function of
    `CLOSED_FORMS`; or None. largest: number of points above which it is left out. slow: whether the other code is asked
    on the first cloud of each kind only. exact: what is asked where the values differ, since theirs measures rounded
    distances; with DM it is given exact ones.
    """

    label: str
    estimator: str
    options: Mapping[str, Any]
    theirs: tuple[str, Mapping[str, Any], Mapping[str, Any]] | None
    local: bool = False
    largest: int = 10_000
    slow: bool = False
    exact: tuple[str, Mapping[str, Any], Mapping[str, Any]] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return {"estimator": self.estimator, "options": dict(self.options), "local": self.local}


FEW_TREES = {"nsteps": 20, "subsamples": 5, "random_state": 0}
K20 = {"n_neighbors": 20}
NEAR = (
    Measure("twonn linear", "twonn", {}, ("TwoNN", {}, {})),
    Measure("twonn mle", "twonn", {"method": "mle"}, ("TwoNN", {"method": "mle"}, {})),
    Measure("mle", "mle", K20, ("MLE", {}, {**K20, "comb": "mle"})),
    Measure("gride n1=1", "gride", {"n1": 1}, ("GRIDE", {"n1": 1}, {})),
    Measure("gride n1=8", "gride", {"n1": 8}, ("GRIDE", {"n1": 8}, {})),
    Measure("corrint", "corrint", {}, ("CorrInt", {}, {}), exact=("CorrInt", {"DM": True}, {})),
    Measure("persistent homology", "persistent_homology", FEW_TREES, ("PH", FEW_TREES, {}), largest=2_500, slow=True),
)
LINEAR = (
    Measure("lpca", "lpca", {}, ("lPCA", {}, {})),
    Measure("participation ratio", "participation_ratio", {}, ("lPCA", {"ver": "participation_ratio"}, {})),
    Measure("effective rank", "effective_rank", {}, ("numpy", {}, {})),
    Measure("stable rank", "stable_rank", {}, ("numpy", {}, {})),
)
LOCAL = (
    Measure("local twonn", "twonn", {}, ("TwoNN", {}, {}), local=True, slow=True),
    Measure("local mle", "mle", {}, ("MLE", {}, {}), local=True, slow=True),
    Measure("local lpca", "lpca", {}, ("lPCA", {}, {}), local=True, slow=True),
)
MEASURES = (*NEAR, *LINEAR, *LOCAL)


def effective_rank(X: np.ndarray) -> float:
    shares = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    shares = shares[shares > 1e-6 * shares[0]] / shares.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def stable_rank(X: np.ndarray) -> float:
    centred = X - X.mean(axis=0)
    return float(np.linalg.norm(centred) ** 2 / np.linalg.norm(centred, ord=2) ** 2)


CLOSED_FORMS = {"effective_rank": effective_rank, "stable_rank": stable_rank}


class Cloud(NamedTuple):
    """A cloud by its recipe: kind names a function of `KINDS`."""

    kind: str
    number: int
    seed: int
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def recipe(self) -> dict[str, Any]:
        helpers = {"helpers": [_source(stretched), _source(two_cubes)]} if self.kind == "effect" else {}
        return {**self._asdict(), "options": dict(self.options), "source": _source(KINDS[self.kind]), **helpers}


def manifold(number: int, seed: int, *, name: str) -> np.ndarray:
    from skdim.datasets import BenchmarkManifolds

    made = BenchmarkManifolds(random_state=seed)
    d, dimension = (int(made.truth.loc[name, key]) for key in ("Intrinsic Dimension", "Number of variables"))
    return made.generate(name=name, n=number, dim=dimension, d=d, noise=0.0)


def noisy(number: int, seed: int, *, noise: float) -> np.ndarray:
    """Gaussian in 10 of 100 dimensions, of variance 1 in each of the 10, and noise in all; the same points at each noise."""
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((100, 10)))[0]
    points = np.random.default_rng([seed, 0]).standard_normal((number, 10)) @ directions.T
    return points + noise * np.random.default_rng([seed, 1]).standard_normal((number, 100))


def effect(number: int, seed: int, *, name: str) -> np.ndarray:
    """Clouds that differ in one thing from uniform points in a cube of 5 dimensions."""
    rng = np.random.default_rng(seed)
    cube = rng.random((number, 5))
    in_50 = cube @ np.linalg.qr(np.random.default_rng(0).standard_normal((50, 5)))[0].T
    copies, originals = rng.permutation(number)[: number // 10], rng.integers(0, number, number // 10)
    if name == "sphere":
        X = rng.standard_normal((number, 6))
        return X / np.linalg.norm(X, axis=1, keepdims=True)
    if name == "gaussian":
        return rng.standard_normal((number, 5))
    if name == "student":
        return rng.standard_normal((number, 5)) / np.sqrt(rng.chisquare(3, (number, 1)) / 3)
    if name == "clusters":
        X = rng.standard_normal((20, 50))[rng.integers(0, 20, number)]
        X[:, :5] += 0.1 * rng.standard_normal((number, 5))
        return X
    if name == "stretched":
        return stretched(rng, number)
    if name == "outlier":
        return in_50 * np.where(np.arange(50) == 0, 100, 1)
    if name == "bfloat16":
        bits = in_50.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)
    if name == "duplicates":
        cube[copies] = cube[originals]
    if name == "near duplicates":
        cube[copies] = cube[originals] + 1e-6 * rng.standard_normal((len(copies), 5))
    if name == "two":
        return two_cubes(rng, np.arange(number) < number // 2)
    if name.startswith("cube "):
        return rng.random((number, int(name.split()[1])))
    return cube


EFFECTS = {
    "cube 5": ("uniform in a 5-cube", "5"),
    "sphere": ("uniform on a 5-sphere in 6 coordinates: curved, no boundary", "5"),
    "gaussian": ("5-d Gaussian: uneven density", "5"),
    "student": ("5-d Student t, 3 degrees of freedom: very uneven density", "5"),
    "stretched": ("5-d Gaussian of standard deviations 1, 1/2, 1/4, 1/8, 1/16", "5"),
    "outlier": ("5-cube turned in 50 coordinates, then one coordinate × 100", "5"),
    "bfloat16": ("5-cube turned in 50 coordinates, rounded to bfloat16", "5"),
    "duplicates": ("5-cube, 10 % of the points equal to others", "5"),
    "near duplicates": ("5-cube, 10 % of the points 1e-6 from others", "5"),
    "clusters": ("20 clusters (5-d Gaussian, 0.1 wide) around Gaussian centres in 50 coordinates", "5"),
    "two": ("half in a 2-cube, half in a 10-cube far from it", "2, 10"),
    "cube 20": ("uniform in a 20-cube", "20"),
    "cube 50": ("uniform in a 50-cube", "50"),
}
KINDS: dict[str, Callable[..., np.ndarray]] = {"manifold": manifold, "noisy": noisy, "effect": effect}


@lru_cache(1)
def points(cloud: Cloud) -> np.ndarray:
    X = KINDS[cloud.kind](cloud.number, cloud.seed, **dict(cloud.options))
    return np.ascontiguousarray(X, dtype=np.float64)


@lru_cache(1)
def graph_of(cloud: Cloud) -> NeighborGraph:
    return nearest_neighbors(points(cloud), NEIGHBORS)


# Results that are kept


class Results:
    """What was measured before, by the digest of what it depends on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        self._file = folder / "results.jsonl"
        self._known: dict[str, Any] = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else []:
            try:
                key, result = json.loads(line)
            except ValueError:  # the line at which a run was broken off
                continue
            self._known[key] = result

    def of(self, depends_on: Mapping[str, Any], measure: Callable[[], Any]) -> Any:
        """What `measure` returned, now or at an earlier time for the same `depends_on`."""
        key = signature.digest(depends_on)
        if key not in self._known:
            self._known[key] = measure()
            with self._file.open("a") as file:
                file.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]


@lru_cache
def _source(function: Callable) -> str:
    return inspect.getsource(function)


def made_by(estimator: str) -> dict[str, Any]:
    modules = (module_of(estimator), "idsweep.neighbors.search")
    return signature.code_of(signature.LIBRARY / "__init__.py", modules) | {"numpy": np.__version__}


def _others() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in OTHERS}


def ours(results: Results, cloud: Cloud, measure: Measure) -> dict[str, Any]:
    """value (of a local estimate the mean), sample (local values at the first points), CPU seconds, the graph given."""

    def estimate() -> dict[str, Any]:
        X, graph = points(cloud), graph_of(cloud)
        start = time.process_time()
        if measure.local:
            values = estimate_local(X, measure.estimator, NEIGHBORS, graph, **measure.options)
            value, sample = float(np.nanmean(values)), values[:SAMPLE].tolist()
        else:
            value, sample = estimate_global(X, measure.estimator, graph, **measure.options).value, []
        return {"value": value, "sample": sample, "seconds": time.process_time() - start}

    by = made_by(measure.estimator)
    return results.of({"ours": measure.settings, "cloud": cloud.recipe, "by": by}, estimate)


def theirs(results: Results, cloud: Cloud, measure: Measure) -> dict[str, Any]:
    """value, of a local estimate the mean at the first points, and sample as in `ours`."""
    name, settings, fit = measure.theirs

    def estimate() -> dict[str, Any]:
        X = points(cloud)
        if name == "numpy":
            return {"value": CLOSED_FORMS[measure.estimator](X), "sample": []}
        from skdim import id as classes

        if settings.get("DM"):
            from scipy.spatial.distance import pdist, squareform

            X = squareform(pdist(X))
        fitted = getattr(classes, name)(**settings)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if not measure.local:
                return {"value": float(fitted.fit(X, **fit).dimension_), "sample": []}
            indices, distances = (part[:SAMPLE] for part in graph_of(cloud))
            if name == "MLE":
                fitted.fit(X, precomputed_knn_arrays=(distances, indices), n_neighbors=NEIGHBORS, **fit)
            else:
                fitted.fit_pw(X, precomputed_knn=indices, n_neighbors=NEIGHBORS)
        return {"value": float(np.mean(fitted.dimension_pw_)), "sample": np.asarray(fitted.dimension_pw_).tolist()}

    by = _source(CLOSED_FORMS[measure.estimator]) if name == "numpy" else [name, settings, fit]
    depends_on = {"theirs": by, "local": measure.local, "cloud": cloud.recipe, "versions": _others()}
    return results.of(depends_on, estimate)


# Against known dimensions and other code


@dataclass
class Row:
    """Clouds of one kind that differ by their seeds. values, others, seconds: of each measure, by its label; differences:
    the largest relative one of each; rounded: those that exact distances removed."""

    names: tuple[str, ...]
    values: dict[str, list[float]]
    others: dict[str, list[float]]
    differences: dict[str, float]
    seconds: dict[str, list[float]]
    rounded: dict[str, list[float]]


def measured(
    results: Results, kinds: Sequence[tuple[tuple[str, ...], list[Cloud]]], *, compared: bool
) -> Iterator[Row]:
    for number, (names, clouds) in enumerate(kinds, 1):
        row = Row(names, {}, {}, {}, {}, {})
        for cloud in clouds:
            _say(f"[{number}/{len(kinds)}] {' '.join(names)}, N = {cloud.number}, seed {cloud.seed}")
            for measure in MEASURES:
                if cloud.number > measure.largest:
                    continue
                found = ours(results, cloud, measure)
                row.values.setdefault(measure.label, []).append(found["value"])
                row.seconds.setdefault(measure.label, []).append(found["seconds"])
                if not compared or measure.theirs is None or (measure.slow and cloud.seed > 0):
                    continue
                other = theirs(results, cloud, measure)
                row.others.setdefault(measure.label, []).append(other["value"])
                compared_by = "sample" if measure.local else "value"
                difference = largest_difference(found[compared_by], other[compared_by])
                if difference > TOLERANCE and measure.exact is not None:
                    row.rounded.setdefault(measure.label, []).append(difference)
                    other = theirs(results, cloud, replace(measure, theirs=measure.exact))
                    difference = largest_difference(found[compared_by], other[compared_by])
                row.differences[measure.label] = max(difference, row.differences.get(measure.label, 0.0))
        yield row


def largest_difference(found: Any, expected: Any) -> float:
    """Largest relative difference; 0 between undefined values, infinite between one that is and one that is not.

    A tree that grows as in no dimension gives NaN here and a negative number or infinity in scikit-dimension.
    """
    found, expected = np.atleast_1d(np.asarray(found, float)), np.atleast_1d(np.asarray(expected, float))
    expected = np.where(np.isfinite(expected) & (expected >= 0), expected, np.nan)
    if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
        return math.inf
    defined = ~np.isnan(found)
    return float(np.max(np.abs(found[defined] / expected[defined] - 1), initial=0.0))


def manifolds(size: Size) -> list[tuple[tuple[str, ...], list[Cloud]]]:
    from skdim.datasets import BenchmarkManifolds

    truth = BenchmarkManifolds().truth.iloc[: size.manifolds]
    kinds = []
    for name, d, dimension in sorted(zip(truth.index, truth.iloc[:, 0], truth.iloc[:, 1], strict=True), key=_by_d):
        clouds = [Cloud("manifold", size.number, seed, (("name", name),)) for seed in range(size.seeds)]
        kinds.append(((name, str(d), str(dimension)), clouds))
    return kinds


def _by_d(named: tuple[str, int, int]) -> tuple[int, int]:
    return named[1], named[2]


def noises(size: Size) -> list[tuple[tuple[str, ...], list[Cloud]]]:
    return [
        (
            (f"{noise:g}", f"{number:,}"),
            [Cloud("noisy", number, seed, (("noise", noise),)) for seed in range(size.seeds)],
        )
        for noise in (0.0, 0.01, 0.1)
        for number in size.numbers
    ]


def effects(size: Size) -> list[tuple[tuple[str, ...], list[Cloud]]]:
    return [
        (names, [Cloud("effect", size.number, seed, (("name", key),)) for seed in range(size.seeds)])
        for key, names in EFFECTS.items()
    ]


def search_seconds(results: Results, size: Size) -> float:
    """CPU seconds of the neighbour search in the largest noisy cloud."""
    cloud = Cloud("noisy", size.numbers[-1], 0, (("noise", 0.01),))

    def search() -> float:
        X = points(cloud)
        start = time.process_time()
        nearest_neighbors(X, NEIGHBORS)
        return time.process_time() - start

    by = signature.code_of(signature.LIBRARY / "__init__.py", ("idsweep.neighbors.search",))
    return min(results.of({"search": run, "cloud": cloud.recipe, "by": by}, search) for run in range(3))


# Textbook errors against the spread of the values


def ball(rng: np.random.Generator, number: int, d: int) -> np.ndarray:
    X = rng.standard_normal((number, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * rng.random((number, 1)) ** (1 / d)


def stretched(rng: np.random.Generator, number: int) -> np.ndarray:
    return rng.standard_normal((number, 5)) / 2.0 ** np.arange(5)


def two_cubes(rng: np.random.Generator, in_first: np.ndarray) -> np.ndarray:
    """Points in a 2-cube where `in_first`, the others in a 10-cube far from it."""
    X = 10 + rng.random((len(in_first), 10))
    X[in_first] = 0
    X[in_first, :2] = rng.random((np.count_nonzero(in_first), 2))
    return X


def sequences(rng: np.random.Generator, number: int) -> np.ndarray:
    """Ten points 0.3 wide around each of number / 10 Gaussian centres."""
    return np.repeat(rng.standard_normal((number // 10, 5)), 10, axis=0) + 0.3 * rng.standard_normal((number, 5))


SPREAD_SHAPES: dict[str, tuple[str, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "disc": ("uniform in a disc, d = 2", lambda rng, number: ball(rng, number, 2)),
    "gaussian 2": ("Gaussian, d = 2", lambda rng, number: rng.standard_normal((number, 2))),
    "ball": ("uniform in a ball, d = 5", lambda rng, number: ball(rng, number, 5)),
    "gaussian 5": ("Gaussian, d = 5", lambda rng, number: rng.standard_normal((number, 5))),
    "gaussian 20": ("Gaussian, d = 20", lambda rng, number: rng.standard_normal((number, 20))),
    "stretched": ("Gaussian, standard deviations 1 to 1/16, d = 5", lambda rng, number: stretched(rng, number)),
    "two": ("in a 2-cube or a 10-cube at even odds", lambda rng, number: two_cubes(rng, rng.random(number) < 0.5)),
    "sequences": ("sequences of 10 points, d = 5", sequences),
}
MADE_BY = (ball, stretched, two_cubes, sequences)
SPREAD_BATCH = 20


SPREAD: dict[str, tuple[str, Mapping[str, Any]]] = {
    "twonn mle, none discarded": ("twonn", {"method": "mle", "discard_fraction": 0.0}),
    "mle": ("mle", K20),
    "gride n1=8": ("gride", {"n1": 8}),
}
TEXTBOOK = {
    "twonn mle, none discarded": "d / √N",
    "mle": "d / √(N (k − 1))",
    "gride n1=8": "1 / √(observed information)",
}


def spread(results: Results, size: Size) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """shape -> measure -> values and textbook errors of all clouds."""
    n_clouds, number = size.spread
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for shape in SPREAD_SHAPES:
        parts = []
        for first in range(0, n_clouds, SPREAD_BATCH):
            seeds = range(first, min(first + SPREAD_BATCH, n_clouds))
            _say(f"textbook errors: {SPREAD_SHAPES[shape][0]}, clouds {seeds.start + 1} to {seeds.stop} of {n_clouds}")
            parts.append(
                {
                    label: results.of(
                        {
                            "spread": [shape, label, number, list(seeds)],
                            "made": [
                                _source(SPREAD_SHAPES[shape][1]),
                                *map(_source, (*MADE_BY, _spread_of, _spread_cloud)),
                            ],
                            "by": made_by(estimator),
                            "others": _others(),
                        },
                        partial(_spread_of, shape, label, number, seeds),
                    )
                    for label, (estimator, _) in SPREAD.items()
                }
            )
        found[shape] = {
            label: {key: np.concatenate([part[label][key] for part in parts]) for key in parts[0][label]}
            for label in SPREAD
        }
    return found


@lru_cache(2 * SPREAD_BATCH)
def _spread_cloud(shape: str, number: int, seed: int) -> tuple[np.ndarray, NeighborGraph]:
    X = SPREAD_SHAPES[shape][1](np.random.default_rng([seed, *shape.encode()]), number)
    return X, nearest_neighbors(X, K20["n_neighbors"])


def _spread_of(shape: str, label: str, number: int, seeds: Sequence[int]) -> dict[str, list[float]]:
    estimator, options = SPREAD[label]
    found: dict[str, list[float]] = {"values": [], "textbook": []}
    for seed in seeds:
        X, graph = _spread_cloud(shape, number, seed)
        found["values"].append(estimate_global(X, estimator, graph, **options).value)
        if label == "gride n1=8":
            from skdim.id import GRIDE

            found["textbook"].append(float(GRIDE(n1=8).fit(X).error_))
        else:
            independent = number if label != "mle" else number * (K20["n_neighbors"] - 1)
            found["textbook"].append(found["values"][-1] / math.sqrt(independent))
    return found


# Scale and null, as the workflow measures them

LAYER_ESTIMATES = (
    {"name": "twonn", "estimator": "twonn", "scope": "global", "parameters": {}},
    {"name": "mle", "estimator": "mle", "scope": "global", "parameters": K20},
    {"name": "gride", "estimator": "gride", "scope": "global", "parameters": {"n1": 1, "n2": None}},
    {"name": "local twonn", "estimator": "twonn", "scope": "local", "parameters": {"n_neighbors": 64}},
)
LAYER_VARIANTS = {
    "twonn": ("data", "data/2", "data/4", "gaussian"),
    "mle": ("data", "data/4", "gaussian"),
    "gride": ("data", "n1=2", "n1=4", "n1=8", "n1=32"),
    "local twonn": ("data", "data/4", "gaussian"),
}
SCALED_MANIFOLDS = ("M13b_Spiral", "M5b_Helix2d", "M7_Roll", "M8_Nonlinear", "Mp3_Paraboloid")


def scales(size: Size) -> list[tuple[tuple[str, ...], list[Cloud]]]:
    noisy_ones = [
        ((f"10-d Gaussian in 100, noise {noise:g}", "10"), "noisy", (("noise", noise),)) for noise in (0.0, 0.01, 0.1)
    ]
    from skdim.datasets import BenchmarkManifolds

    truth = BenchmarkManifolds().truth.iloc[:, 0]
    bent = [((name, str(truth[name])), "manifold", (("name", name),)) for name in SCALED_MANIFOLDS]
    of_effects = [(names, "effect", (("name", key),)) for key, names in EFFECTS.items()]
    return [
        (names, [Cloud(kind, size.number, seed, options) for seed in range(size.seeds)])
        for names, kind, options in (*noisy_ones, *bent, *of_effects)
    ]


def of_layers(results: Results, size: Size) -> list[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """For each kind of cloud and each seed: the value of each estimate and variant, and what is scale-stable."""
    by = {each["name"]: made_by(each["estimator"]) for each in LAYER_ESTIMATES}
    by["layer"] = signature.code_of(
        signature.LIBRARY / "__init__.py", ("idsweep.estimators.layer", "idsweep.neighbors.variants")
    )
    found = []
    for names, clouds in scales(size):
        _say(f"scales and nulls: {names[0]}")
        depends_on = {"layer": list(LAYER_ESTIMATES), "by": by}
        layers = [results.of({**depends_on, "cloud": cloud.recipe}, partial(_layer, cloud)) for cloud in clouds]
        found.append((names, layers))
    return found


def _layer(cloud: Cloud) -> dict[str, Any]:
    from idsweep.estimators import layer as estimation
    from idsweep.neighbors import variants

    made = [
        estimation.Cloud(
            variant.name,
            variant.rows.astype(np.int32),
            None,
            nearest_neighbors(variant.vectors, 64),
            variant.vectors,
        )
        for variant in variants.of_cloud(points(cloud), halvings=2, nulls=("gaussian",), neighbors=64)
    ]
    rows = [row for row in estimation.estimate_layer(made, LAYER_ESTIMATES).to_pylist() if row["scope"] != "local"]
    values: dict[str, dict[str, float]] = {each["name"]: {} for each in LAYER_ESTIMATES}
    for row in rows:
        values[row["estimator"]][row["variant"]] = row["value"]
    return {
        "values": values,
        "stable": {row["estimator"]: row["scale_stable"] for row in rows if row["variant"] == variants.DATA},
    }


# The estimators of scikit-dimension that idsweep passes on

ADAPTED = ("ess", "tle", "mom", "mada", "mind_ml", "danco", "fishers", "knn")
ADAPTED_CLOUDS = {
    "M7_Roll": ("M7_Roll, d = 2", ("manifold", (("name", "M7_Roll"),))),
    "cube 5": ("5-cube", ("effect", (("name", "cube 5"),))),
    "noisy": ("10-d Gaussian in 100, noise 0.01", ("noisy", (("noise", 0.01),))),
    "cube 20": ("20-cube", ("effect", (("name", "cube 20"),))),
}


def adapted(results: Results, size: Size) -> dict[str, dict[str, list[dict[str, float]]]]:
    """estimator -> cloud -> value and CPU seconds of each seed."""
    number, seeds = size.adapted
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in ADAPTED}
    for key, (title, (kind, options)) in ADAPTED_CLOUDS.items():
        for seed in range(seeds):
            cloud = Cloud(kind, number, seed, options)
            for name in ADAPTED:
                _say(f"estimators of scikit-dimension: {name}, {title}, seed {seed}")
                depends_on = {"adapted": name, "cloud": cloud.recipe, "by": made_by(name)}
                found[name].setdefault(key, []).append(results.of(depends_on, partial(_adapted_of, name, cloud)))
    return found


def _adapted_of(name: str, cloud: Cloud) -> dict[str, float]:
    X = points(cloud)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        start = time.process_time()
        return {"value": estimate_global(X, name).value, "seconds": time.process_time() - start}


# The page


def report(
    size: Size,
    known: Sequence[Row],
    with_noise: Sequence[Row],
    with_effect: Sequence[Row],
    of_spread: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    of_adapted: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
    of_scales: Sequence[tuple[tuple[str, ...], Sequence[Mapping[str, Any]]]],
    searched: float,
) -> list[str]:
    """Lines of Markdown."""
    names = ("manifold", "d", "D")
    lines = [*about(size)]
    lines += ["", "### Table 1: known manifolds, from distances", ""]
    lines += ["scikit-dimension's value of persistent homology is of the first cloud only.", ""]
    lines += compared_table(names, known, NEAR)
    lines += ["", "### Table 2: known manifolds, from eigenvalues", ""]
    lines += ["c of the effective and the stable rank is numpy's, by their formulas.", ""]
    lines += compared_table(names, known, LINEAR)
    lines += ["", "### Table 3: known manifolds, mean of local values", ""]
    lines += [
        f"c is scikit-dimension's mean value at the first {SAMPLE} points of the first cloud, where all {SAMPLE} values are "
    ]
    lines[-1] += "compared one by one; its `fit_pw` is too slow for more."
    lines += ["", *compared_table(names, known, LOCAL)]
    lines += ["", "### Table 4: agreement", "", *agreement_table([*known, *with_noise])]
    lines += ["", "### Table 5: Gaussian of 10 dimensions in 100, few points and noise", ""]
    lines += ["Standard deviation 1 in each of 10 directions, and that of the noise in all 100 coordinates.", ""]
    lines += value_table(("noise", "N"), with_noise, MEASURES)
    lines += ["", "### Table 6: one thing at a time", "", *value_table(("cloud", "d"), with_effect, MEASURES)]
    lines += ["", "### Table 7: scale and null", "", *scale_table(of_scales)]
    lines += ["", "### Table 8: textbook errors", "", *textbook_table(size, of_spread)]
    lines += ["", "### Table 9: the estimators of scikit-dimension", "", *adapted_table(size, of_adapted)]
    lines += ["", "### Table 10: cost", "", *cost_table(with_noise, searched)]
    return lines


def about(size: Size) -> list[str]:
    versions = {"idsweep": _idsweep_version(), **_others(), "numba": importlib.metadata.version("numba")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        f"Written by `make accuracy` on {datetime.now(UTC):%Y-%m-%d}; edits here are lost.",
        "",
        f"CPU {_cpu()}, {cores} cores; Python {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        f"Input is float64. *a ± b (c)*: a mean and b standard deviation of idsweep's values over {size.seeds} clouds "
        "that differ in their seed, c the mean value of scikit-dimension on the same clouds. The manifolds are "
        f"`skdim.datasets.BenchmarkManifolds`, noise 0, N = {size.number:,}. twonn linear and mle leave out a tenth of "
        f"the ratios, mle looks at 20 neighbours, local values at {NEIGHBORS}, persistent homology at "
        f"{FEW_TREES['nsteps']} × {FEW_TREES['subsamples']} trees; the rest are defaults.",
    ]


def compared_table(names: Sequence[str], rows: Sequence[Row], measures: Sequence[Measure]) -> list[str]:
    """One line for each row, with the largest difference in it."""
    body = []
    for row in rows:
        cells = [
            f"{_mean_and_spread(row.values[m.label])} ({_number(_mean_of(row.others[m.label]))})" for m in measures
        ]
        body.append([*row.names, *cells, f"{max(row.differences[m.label] for m in measures):.0e}"])
    return table([*names, *(m.label for m in measures), "largest relative difference"], body, left=1)


def agreement_table(rows: Sequence[Row]) -> list[str]:
    lines = [
        f"Largest relative difference between idsweep and the other code over the clouds of tables 1 to 3 and 5. `make "
        f"accuracy` fails above {TOLERANCE:g}.",
        "",
    ]
    body = []
    for measure in MEASURES:
        present = [row for row in rows if measure.label in row.differences]
        worst = max(present, key=lambda row: row.differences[measure.label])
        number = sum(len(row.others[measure.label]) for row in present)
        against = "numpy" if measure.theirs[0] == "numpy" else f"scikit-dimension {measure.theirs[0]}"
        number = f"{number} clouds, {SAMPLE} points each" if measure.local else f"{number} clouds"
        body.append([measure.label, against, number, f"{worst.differences[measure.label]:.1e}"])
    lines += table(["estimate", "against", "compared", "largest difference"], body, left=3)
    for measure in MEASURES:
        rounded = [difference for row in rows for difference in row.rounded.get(measure.label, [])]
        if rounded:
            lines += [
                "",
                f"{measure.label}: {measure.theirs[0]} computes distances by inner products. In {len(rounded)} clouds a pair lies "
                f"exactly at one of the radii, and rounding decides whether it counts; its values there differ by up to "
                f"{max(rounded):.1e}. Given exact distances (`DM=True`) it agrees, and that is what the table holds.",
            ]
    return lines


def value_table(names: Sequence[str], rows: Sequence[Row], measures: Sequence[Measure]) -> list[str]:
    """idsweep's values only."""
    lines = ["Values of idsweep, mean ± standard deviation over the clouds.", ""]
    body = [
        [*row.names, *(_mean_and_spread(row.values[m.label]) if m.label in row.values else "–" for m in measures)]
        for row in rows
    ]
    return [*lines, *table([*names, *(m.label for m in measures)], body, left=1)]


def scale_table(found: Sequence[tuple[tuple[str, ...], Sequence[Mapping[str, Any]]]]) -> list[str]:
    lines = [
        f"Mean values on the variants of each cloud, as the workflow measures them, and in how many of the clouds "
        f"`scale_stable` is true (tolerance 0.1). mle: k = {K20['n_neighbors']}; local twonn: mean of local values at L = "
        f"{64}.",
        "",
    ]
    body = []
    for names, layers in found:
        cells = []
        for name, shown in LAYER_VARIANTS.items():
            known = [[layer["values"][name].get(variant, math.nan) for layer in layers] for variant in shown]
            stable = sum(layer["stable"][name] is True for layer in layers)
            cells += [*(_number(_mean_of(values)) for values in known), f"{stable} of {len(layers)}"]
        body.append([*names, *cells])
    header = [
        title
        for name, shown in LAYER_VARIANTS.items()
        for title in (*(f"{name} {'n1=1' if (name, v) == ('gride', 'data') else v}" for v in shown), "stable")
    ]
    return [*lines, *table(["cloud", "d", *header], body, left=1)]


def textbook_table(size: Size, found: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]) -> list[str]:
    clouds, number = size.spread
    lines = [
        f"Variance of the values over {clouds} clouds of {number} points, divided by the mean square of the error that "
        "holds for independent points; in brackets the root of that, by which the textbook error is too small. GRIDE's "
        f"is scikit-dimension's `error_`. Sampling leaves ± {100 * math.sqrt(2 / (clouds - 1)):.0f} % in the ratios of variances.",
        "",
    ]
    header = ["clouds", *(f"{label}: {formula}" for label, formula in TEXTBOOK.items())]
    body = []
    for shape, of_shape in found.items():
        ratios = [np.var(of_shape[m]["values"], ddof=1) / np.mean(of_shape[m]["textbook"] ** 2) for m in TEXTBOOK]
        body.append([SPREAD_SHAPES[shape][0], *(f"{ratio:.2f} ({math.sqrt(ratio):.2f})" for ratio in ratios)])
    return [*lines, *table(header, body, left=1)]


def adapted_table(size: Size, found: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> list[str]:
    number, seeds = size.adapted
    lines = [
        f"Values with default parameters, mean ± standard deviation over {seeds} clouds of {number:,} points, and the largest CPU seconds "
        "of one call. They are scikit-dimension's own; `tests/unit/estimators/test_estimators.py` compares them with it.",
        "",
    ]
    body = []
    for name, clouds in found.items():
        values = [_mean_and_spread([each["value"] for each in clouds[key]]) for key in ADAPTED_CLOUDS]
        slowest = max(each["seconds"] for of_cloud in clouds.values() for each in of_cloud)
        body.append([name, *values, _seconds(slowest)])
    header = ["estimator", *(title for title, _ in ADAPTED_CLOUDS.values()), "CPU time"]
    return [*lines, *table(header, body, left=1)]


def cost_table(rows: Sequence[Row], searched: float) -> list[str]:
    """CPU seconds at noise 0.01."""
    chosen = [row for row in rows if row.names[0] == "0.01"]
    lines = [
        "Smallest CPU time of one call on the clouds of table 5 with noise 0.01 (D = 100), all threads together, with the "
        f"neighbour graph given. The search for {NEIGHBORS} neighbours that makes it takes {_seconds(searched)} at N = "
        f"{chosen[-1].names[1]}. docs/benchmarks.md compares with other tools.",
        "",
    ]
    body = [
        [
            measure.label,
            *(_seconds(min(row.seconds[measure.label])) if measure.label in row.seconds else "–" for row in chosen),
        ]
        for measure in MEASURES
    ]
    return [*lines, *table(["estimate", *(f"N = {row.names[1]}" for row in chosen)], body, left=1)]


def table(header: Sequence[str], body: Sequence[Sequence[str]], left: int) -> list[str]:
    rule = ["---" if i < left else "---:" for i in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]


def _mean_of(values: Sequence[float]) -> float:
    defined = [value for value in values if math.isfinite(value)]
    return float(np.mean(defined)) if defined else math.nan


def _mean_and_spread(values: Sequence[float]) -> str:
    undefined = sum(math.isnan(value) for value in values)
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return "undefined"
    mean = _mean_of(defined)
    deviation = float(np.std(defined, ddof=1)) if len(defined) > 1 else math.nan
    digits = _digits(mean)
    text = f"{mean:.{digits}f} ± {deviation:.{digits}f}" if deviation > 0 else _number(mean)
    return text + (f", {undefined} undefined" if undefined else "")


def _number(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:.0f}" if value == round(value) else f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    return 2 if abs(value) < 100 else 0


def _seconds(value: float) -> str:
    value, unit = (value, "s") if value >= 1 else (1000 * value, "ms")
    return f"{float(f'{value:.2g}'):g} {unit}"


def _idsweep_version() -> str:
    from idsweep.version import __version__

    return __version__


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 1, and writes nothing, if values differ from those of other code, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description="Measure how accurate idsweep is."
    )
    parser.add_argument("--size", choices=SIZES, default="full", help="how many and how large clouds (default: full)")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the tables between the markers of this page")
    given = parser.parse_args(arguments)
    size, results = SIZES[given.size], Results(KEPT)
    known = list(measured(results, manifolds(size), compared=True))
    with_noise = list(measured(results, noises(size), compared=True))
    differing = [
        f"{' '.join(row.names)}: {label} differs by {difference:.1e}"
        for row in (*known, *with_noise)
        for label, difference in row.differences.items()
        if not difference <= TOLERANCE
    ]
    for text in differing:
        _say(f"FAILED {text}, more than {TOLERANCE:g}")
    if differing:
        return 1
    with_effect = list(measured(results, effects(size), compared=False))
    searched = search_seconds(results, size)
    others = (spread(results, size), adapted(results, size), of_layers(results, size))
    lines = report(size, known, with_noise, with_effect, *others, searched)
    print("\n".join(lines))
    if given.write:
        write_between(given.write, "accuracy", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
