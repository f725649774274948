"""How many 95 % intervals hold what they should, on clouds of many kinds.

python -m benchmarks.intervals [--size tiny] [--write PAGE]; `make coverage` writes docs/estimators.md, between its markers.

Of each kind many clouds are drawn, independently and from one distribution: the vocabulary of the clouds of tokens is
the same in all of them. An interval is the value ± 1.96 standard errors, and it should hold the mean of the values over
all draws: what the estimator gives on average for so many points, its bias included.

Results are kept in coverage_results/, one line of JSON for each estimate and batch of draws; they are used again as
long as the code that made them is the same. A first run takes ten minutes on one core.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from builders.markers import write_between
from idsweep.estimators.registry import Estimate, estimate_global, estimate_mean
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.search import nearest_neighbors

from benchmarks.accuracy import Results, made_by, table

KEPT = Path(__file__).with_name("coverage_results")
NUMBER = 600
NEIGHBORS = 80
BATCH = 20
DRAWS = {"full": 200, "tiny": 20}
NORMAL_95 = 1.96
LEAST = 0.9
FEW = 0.1  # of the draws; what fewer intervals hold says nothing

Drawn = tuple[np.ndarray, np.ndarray | None]
"""Points, float64 (N, D), and the sequence of each, int (N,), or None."""


# Clouds


def gaussian(rng: np.random.Generator, d: int) -> Drawn:
    return rng.standard_normal((NUMBER, d)), None


def ball(rng: np.random.Generator, d: int) -> Drawn:
    X = rng.standard_normal((NUMBER, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * rng.random((NUMBER, 1)) ** (1 / d), None


def stretched(rng: np.random.Generator, d: int, power: float) -> Drawn:
    """Gaussian, the i-th standard deviation being i to the power -`power`."""
    return rng.standard_normal((NUMBER, d)) / np.arange(1, d + 1) ** power, None


def roll(rng: np.random.Generator) -> Drawn:
    """A Swiss roll."""
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(NUMBER)), 21 * rng.random(NUMBER)
    return np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1), None


def torus(rng: np.random.Generator) -> Drawn:
    """A torus in space, even in its two angles."""
    around, across = 2 * np.pi * rng.random((2, NUMBER))
    out = 2 + np.cos(across)
    return np.stack([out * np.cos(around), out * np.sin(around), np.sin(across)], axis=1), None


def student(rng: np.random.Generator, d: int, freedom: float) -> Drawn:
    """Multivariate Student t."""
    X = rng.standard_normal((NUMBER, d))
    return X / np.sqrt(rng.chisquare(freedom, (NUMBER, 1)) / freedom), None


def plane(rng: np.random.Generator, noise: float) -> Drawn:
    """A square in 10 coordinates, with Gaussian noise in all of them."""
    X = noise * rng.standard_normal((NUMBER, 10))
    X[:, :2] += rng.random((NUMBER, 2))
    return X, None


def two_dimensions(rng: np.random.Generator) -> Drawn:
    """Each point in a 2-cube or in a 10-cube far from it, at even odds."""
    first = rng.random(NUMBER) < 0.5
    X = 10 + rng.random((NUMBER, 10))
    X[first] = 0
    X[first, :2] = rng.random((np.count_nonzero(first), 2))
    return X, None


@cache
def vocabulary(types: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the types, float64 (types, 16), and widths in each coordinate: 2 to 10 directions of each type are wide."""
    rng = np.random.default_rng(types)
    widths = 0.02 + 0.3 * rng.random((types, 1)) * (np.arange(16) < rng.integers(2, 11, (types, 1)))
    return rng.standard_normal((types, 16)), rng.permuted(widths, axis=1)


def tokens(rng: np.random.Generator, types: int, zipf: bool, length: int = 1, shift: float = 0.0) -> Drawn:
    """Tokens of a vocabulary: points around the centre of their type.

    zipf: the i-th type is 1 / i as frequent as the first; otherwise all are equally frequent. length: tokens of a
    sequence; 1 for independent tokens. A sequence has its own topic (its types are a quarter of the vocabulary) and moves
    all its tokens by `shift` times a normal vector.
    """
    centres, widths = vocabulary(types)
    frequencies = 1 / np.arange(1.0, types + 1) if zipf else np.ones(types)
    groups = np.arange(NUMBER) // length
    if length == 1:
        drawn = rng.choice(types, NUMBER, p=frequencies / frequencies.sum())
    else:
        drawn = np.empty(NUMBER, dtype=int)
        for members in np.split(np.arange(NUMBER), np.arange(length, NUMBER, length)):
            known = rng.random(types) < 0.25
            known[rng.integers(types)] = True
            drawn[members] = rng.choice(types, len(members), p=known * frequencies / (known @ frequencies))
    X = centres[drawn] + widths[drawn] * rng.standard_normal((NUMBER, 16))
    X += shift * rng.standard_normal((groups[-1] + 1, 16))[groups]
    return X, groups if length > 1 else None


def bunches(rng: np.random.Generator) -> Drawn:
    """Sequences of 10 points, 0.3 wide around Gaussian centres."""
    groups = np.arange(NUMBER) // 10
    return rng.standard_normal((NUMBER // 10, 5))[groups] + 0.3 * rng.standard_normal((NUMBER, 5)), groups


@dataclass(frozen=True)
class Kind:
    """A kind of cloud: its title in the table, a function of this module and its options."""

    title: str
    draw: Callable[..., Drawn]
    options: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "gaussian 2": Kind("Gaussian, d = 2", gaussian, {"d": 2}),
    "gaussian 5": Kind("Gaussian, d = 5", gaussian, {"d": 5}),
    "gaussian 20": Kind("Gaussian, d = 20", gaussian, {"d": 20}),
    "disc": Kind("uniform in a disc", ball, {"d": 2}),
    "ball 5": Kind("uniform in a ball, d = 5", ball, {"d": 5}),
    "stretched": Kind("Gaussian, standard deviations 1, 1/2 … 1/100", stretched, {"d": 100, "power": 1.0}),
    "roll": Kind("Swiss roll", roll),
    "torus": Kind("torus", torus),
    "plane": Kind("square with noise 0.05 in 10 coordinates", plane, {"noise": 0.05}),
    "noisy plane": Kind("square with noise 0.15 in 10 coordinates", plane, {"noise": 0.15}),
    "two": Kind("a 2-cube or a 10-cube", two_dimensions),
    "student 5": Kind("Student t, d = 5, 5 degrees of freedom", student, {"d": 5, "freedom": 5.0}),
    "student 3": Kind("Student t, d = 5, 3 degrees", student, {"d": 5, "freedom": 3.0}),
    "student 1.5": Kind("Student t, d = 5, 1.5 degrees", student, {"d": 5, "freedom": 1.5}),
    "even": Kind("30 types of tokens, equally frequent", tokens, {"types": 30, "zipf": False}),
    "even 8": Kind("8 types of tokens, equally frequent", tokens, {"types": 8, "zipf": False}),
    "zipf": Kind("100 types of tokens, by Zipf's law", tokens, {"types": 100, "zipf": True}),
    "even sequences": Kind(
        "the 30 types in sequences of 12", tokens, {"types": 30, "zipf": False, "length": 12, "shift": 0.1}
    ),
    "zipf sequences": Kind(
        "the 100 types in sequences of 12", tokens, {"types": 100, "zipf": True, "length": 12, "shift": 0.1}
    ),
    "documents": Kind(
        "the same in 20 documents of 30", tokens, {"types": 100, "zipf": True, "length": 30, "shift": 0.1}
    ),
    "bunches": Kind("sequences of 10 points near each other, d = 5", bunches),
}
# what all draws of tokens depend on
MADE_WITH = (vocabulary,)


# Estimates


@dataclass(frozen=True)
class Measure:
    """An estimate with a standard error: a global one, or the mean of local ones."""

    estimator: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scope: str = "global"

    @property
    def label(self) -> str:
        words = ["mean of local"] if self.scope == "mean" else []
        words += [self.estimator.replace("_", " "), *(f"{key}={value}" for key, value in self.options.items())]
        return " ".join(words)

    def of(self, X: np.ndarray, graph: NeighborGraph, groups: np.ndarray | None) -> Estimate:
        estimate = estimate_global if self.scope == "global" else estimate_mean
        return estimate(X, self.estimator, graph=graph, groups=groups, **self.options)


MEASURES = (
    Measure("twonn"),
    Measure("twonn", {"method": "mle"}),
    Measure("twonn", {"method": "mle", "discard_fraction": 0.0}),
    Measure("twonn", {"n_neighbors": 20}, "mean"),
    Measure("twonn", {"n_neighbors": 64}, "mean"),
    Measure("twonn", {"n_neighbors": 64, "method": "mle"}, "mean"),
    Measure("gride"),
    Measure("mle", {"n_neighbors": 16}),
    Measure("mle", {"n_neighbors": 20}),
    Measure("mle", {"n_neighbors": 60}),
    Measure("mle", {"n_neighbors": 20, "from_neighbors": 16}),
    Measure("participation_ratio"),
    Measure("effective_rank"),
)


@lru_cache(2 * BATCH)
def drawn(kind: str, draw: int) -> tuple[np.ndarray, NeighborGraph, np.ndarray | None]:
    X, groups = KINDS[kind].draw(np.random.default_rng([draw, *kind.encode()]), **KINDS[kind].options)
    return X, nearest_neighbors(X, NEIGHBORS), groups


def simulated(results: Results, kind: str, measure: Measure, draws: int) -> np.ndarray:
    """Values and standard errors of all draws, float64 (draws, 2)."""

    def estimates(first: int) -> list[list[float]]:
        found = []
        for draw in range(first, min(first + BATCH, draws)):
            estimate = measure.of(*drawn(kind, draw))
            found.append([estimate.value, estimate.standard_error])
        return found

    recipe = KINDS[kind]
    depends_on = {
        "cloud": [kind, dict(recipe.options), NUMBER, NEIGHBORS],
        "drawn": [inspect.getsource(recipe.draw), *map(inspect.getsource, MADE_WITH)],
        "measure": [measure.estimator, dict(measure.options), measure.scope],
        "by": made_by(measure.estimator),
    }
    batches = range(0, draws, BATCH)
    return np.concatenate(
        [
            results.of(
                {**depends_on, "draws": [first, min(first + BATCH, draws)]}, lambda first=first: estimates(first)
            )
            for first in batches
        ]
    )


# The table


@dataclass(frozen=True)
class Coverage:
    """Of the intervals of one measure on one kind of cloud.

    held: share of the intervals that hold the mean of all values; NaN if there are none. ratio: root mean square of the
    standard errors over the standard deviation of the values. given: share of the draws with a standard error.
    """

    held: float
    ratio: float
    given: float


def coverage(values: np.ndarray, errors: np.ndarray) -> Coverage:
    known = ~np.isnan(errors)
    if not known.any():
        return Coverage(np.nan, np.nan, 0.0)
    apart = np.abs(values[known] - np.nanmean(values))
    ratio = np.sqrt(np.mean(errors[known] ** 2)) / np.nanstd(values, ddof=1) if np.nanstd(values) > 0 else np.nan
    return Coverage(float(np.mean(apart <= NORMAL_95 * errors[known])), float(ratio), float(known.mean()))


def cell(found: Coverage) -> str:
    """As "95 (1.02)", "93 (0.98), null 12 %" or "null"."""
    if found.given == 0:
        return "null"
    missing = 100 * (1 - found.given)
    return f"{100 * found.held:.0f} ({found.ratio:.2f})" + (f", null {missing:.0f} %" if missing else "")


def report(found: Mapping[str, Mapping[str, Coverage]], draws: int) -> list[str]:
    """Lines of Markdown: a row for each kind of cloud, a column for each estimate."""
    lines = [
        f"Of {draws} clouds of {NUMBER} points: the percentage of intervals, value ± 1.96 standard errors, that hold the "
        "mean of the values; in brackets the root mean square of the standard errors over the standard deviation of the "
        "values, 1 where they are right. *null*: there is no standard error, in all clouds or in the share that is given. "
        f"Sampling leaves ± {100 * np.sqrt(0.95 * 0.05 / draws):.1f} in the percentages. The graphs hold {NEIGHBORS} neighbours.",
        "",
    ]
    header = ["clouds", *(measure.label for measure in MEASURES)]
    body = [[KINDS[kind].title, *(cell(of_kind[m.label]) for m in MEASURES)] for kind, of_kind in found.items()]
    return [*lines, *table(header, body, left=1)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns 1, and writes nothing, if intervals hold less than 90 % anywhere, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals", description="How much intervals hold.")
    parser.add_argument("--size", choices=DRAWS, default="full", help="how many clouds (default: full)")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the table between the markers of this page")
    given = parser.parse_args(arguments)
    draws, results = DRAWS[given.size], Results(KEPT)
    found: dict[str, dict[str, Coverage]] = {}
    for kind in KINDS:
        print(f"{KINDS[kind].title}: {draws} clouds", file=sys.stderr, flush=True)
        found[kind] = {m.label: coverage(*simulated(results, kind, m, draws).T) for m in MEASURES}
    lines = report(found, draws)
    print("\n".join(lines))
    failed = [
        f"{measure.label} on {kind}: {cell(of_kind[measure.label])}"
        for kind, of_kind in found.items()
        for measure in MEASURES
        if of_kind[measure.label].given >= FEW and of_kind[measure.label].held < LEAST
    ]
    if given.size == "full" and failed:
        print("\n".join(f"FAILED {text}, less than {100 * LEAST:g} %" for text in failed), file=sys.stderr)
        return 1
    if given.write:
        write_between(given.write, "coverage", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
