"""One sweep that is written in two ways makes nothing stale; what means something else does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from builders.sweeps import GROKKING, LABELLED, NEWS, SUMS, graph_of, sweep_of

TWONN = {"estimator": "twonn", "scope": "local", "n_neighbors": 16}
SWEEP: dict[str, Any] = NEWS | {
    "layers": [0, -1],
    "points": {"number": 500, "noise": 0},
    "nulls": ["gaussian", "permuted"],
    "estimator_sets": {"quick": [TWONN, {"estimator": "twonn", "scope": "global"}]},
    "figures": {"violins": {}},
}
SAME: dict[str, dict[str, Any]] = {
    "noise: 0.0": {"points": {"number": 500, "noise": 0.0}},
    "a seed of no noise": {"points": {"number": 500, "noise": 0, "noise_seed": 7}},
    "defaults of clouds": {"points": {"number": 500, "deduplicate": True, "sequences": None, "seed": 778}},
    "a list of one cloud": {"points": [{"number": 500}]},
    "a list of one value": {"points": {"number": [500], "noise": [0.0]}},
    "one cloud twice": {"points": [{"number": 500}, {"number": 500, "noise_seed": 3}]},
    "layers in another order": {"layers": [-1, 0]},
    "layers counted from the other end": {"layers": [0, 6]},
    "layers of the model": {"layers": "all", "models": {"minilm": {"layers": [-1, 0]}}},
    "nulls in another order": {"nulls": ["permuted", "gaussian"]},
    "defaults of sections": {
        "scales": {"halvings": 2, "seed": 0},
        "extraction": {"dtype": "auto"},
        "vocabulary": {"counted_in": None},
        "keep_embeddings": False,
    },
    "a tolerance of 0.10": {"scales": {"tolerance": 0.10}},
    "seeds with which nothing is drawn": {
        "tokens": NEWS.get("tokens", {}) | {"sequence_seed": 5},
        "vocabulary": {"seed": 5},
    },
    "defaults of an estimator": {
        "estimator_sets": {
            "quick": [TWONN, {"estimator": "twonn", "scope": "global", "discard_fraction": 0.1, "name": "twonn"}]
        }
    },
    "a default of a figure": {"figures": {"violins": {"datasets": None}}},
    "models with nothing chosen": {"models": {"minilm": {}}},
}
LPCA = {"estimator": "lpca", "scope": "local"}
EMBEDDINGS = {"models": {"minilm": {"layers": ["input_embeddings", 1]}}, "estimator_sets": {"q": [TWONN, LPCA]}}
# What has no effect beside other keys: the keys, and what is changed of them.
IDLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a seed of no halves and no nulls": (
        {"scales": {"halvings": 0}, "nulls": []},
        {"scales": {"halvings": 0, "seed": 3}, "nulls": []},
    ),
    "a seed of the first points": (
        {"points": {"number": 500, "choose": "first"}},
        {"points": {"number": 500, "choose": "first", "seed": 3}},
    ),
    "a seed of the first sequences": (
        {"tokens": {"sequences": 50, "choose": "first"}},
        {"tokens": {"sequences": 50, "choose": "first", "sequence_seed": 3}},
    ),
    "a seed of the whole vocabulary": (EMBEDDINGS, EMBEDDINGS | {"vocabulary": {"seed": 3}}),
    "parameters of other versions": (
        EMBEDDINGS,
        EMBEDDINGS | {"estimator_sets": {"q": [TWONN, LPCA | {"alpha_fan": 5, "alpha_ratio": 0.2}]}},
    ),
    "special tokens in another order": (
        {"tokens": {"select": "all", "without": ["sep", "cls"]}},
        {"tokens": {"select": "all", "without": ["cls", "sep"]}},
    ),
}
OTHER: dict[str, dict[str, Any]] = {
    "a seed of halves": {"scales": {"seed": 3}},
    "a seed of some sequences": {"tokens": {"sequences": 50, "sequence_seed": 3}},
    "a seed of the first points of some sequences": {
        "points": {"number": 500, "choose": "first", "sequences": 5, "seed": 3}
    },
    "noise": {"points": {"number": 500, "noise": 1}},
    "a seed of noise": {"points": {"number": 500, "noise": 1, "noise_seed": 1}},
    "one null": {"nulls": ["gaussian"]},
    "a layer more": {"layers": [0, 1, -1]},
}


def signatures(given: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Of all jobs but the pages that show the configuration as it is written."""
    graph = graph_of(sweep_of(given), folder)
    return {
        f"{rule} {names}": graph.signature(rule, **dict(names))
        for rule, names in graph.jobs()
        if rule not in ("describe_sweep", "write_report")
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digests")


@pytest.fixture(scope="module")
def before(folder: Path) -> dict[str, str]:
    return signatures(SWEEP, folder)


@pytest.mark.parametrize("change", SAME)
def test_what_means_the_same_makes_nothing_stale(before: dict[str, str], folder: Path, change: str) -> None:
    assert signatures(SWEEP | SAME[change], folder) == before


@pytest.mark.parametrize("keys", IDLE)
def test_what_has_no_effect_makes_nothing_stale(folder: Path, keys: str) -> None:
    one, other = (signatures(SWEEP | given, folder) for given in IDLE[keys])
    assert one == other


def test_what_has_an_effect_on_embedding_matrices_does(folder: Path) -> None:
    given = [
        EMBEDDINGS,
        EMBEDDINGS | {"vocabulary": {"number": 50}},
        EMBEDDINGS | {"vocabulary": {"number": 50, "seed": 3}},
        EMBEDDINGS | {"estimator_sets": {"q": [TWONN, LPCA | {"alpha_fo": 0.2}]}},
    ]
    assert len({str(signatures(SWEEP | one, folder)) for one in given}) == len(given)


@pytest.mark.parametrize("change", OTHER)
def test_what_means_something_else_does(before: dict[str, str], folder: Path, change: str) -> None:
    assert signatures(SWEEP | OTHER[change], folder) != before


def of_rows(folder: Path, **keys: Any) -> dict[str, str]:
    labelled = LABELLED | keys
    return signatures(SWEEP | {"datasets": ["labelled"], "catalog": {"datasets": {"labelled": labelled}}}, folder)


def test_values_of_where_and_shares_are_the_same_however_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,year\none two three,1\nfour five six,2\n")
    csv = {"loader": "csv", "path": str(tmp_path / "rows.csv"), "column": "text"}

    def of_csv(where: Mapping[str, Any]) -> dict[str, str]:
        entry = csv | {"where": where}
        return signatures(SWEEP | {"datasets": ["rows"], "catalog": {"datasets": {"rows": entry}}}, folder)

    one = of_csv({"year": 1})
    assert of_csv({"year": 1.0}) == of_csv({"year": [1]}) == of_csv({"year": [1.0, 1]}) == one
    assert of_csv({"year": [1, 2]}) == of_csv({"year": [2.0, 1]}) != one
    assert len({str(of_csv({"year": value})) for value in (1, True, "1", 1.5)}) == 4
    assert of_rows(folder, own_splits={"train": 1}, split="train") == of_rows(
        folder, own_splits={"train": 1.0}, split="train"
    )


def test_numbers_of_trainings_are_the_same_however_written(folder: Path) -> None:
    def of_training(**keys: Any) -> dict[str, str]:
        entry = GROKKING | {"training": GROKKING["training"] | keys}
        catalog = {"models": {"mine": entry}, "datasets": {"sums": SUMS}}
        given = {"models": {"mine": None}, "datasets": ["trained_on"], "catalog": catalog, "figures": {}}
        return signatures(SWEEP | given, folder)

    assert of_training(weight_decay=1) == of_training(weight_decay=1.0) != of_training(weight_decay=2)
