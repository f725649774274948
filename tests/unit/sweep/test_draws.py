"""Lists of seeds in `tokens` make each dataset several; shares of neighbours are numbers by the size of a cloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.sweeps import NEWS, complaints_of
from idsweep.files.columns import IDENTITY
from idsweep.workflow.job_graph import JobGraph

SEEDS = {"sequences": 20, "number": 500, "sequence_seed": [1, 2], "seed": 7}


def given(**changes: Any) -> dict[str, Any]:
    small = {"points": {"number": 300}, "neighbors": {"number": 32}, "estimator_sets": {"s": [TWONN]}}
    return NEWS | {"layers": [-1], "tokens": SEEDS} | small | changes


TWONN = {"estimator": "twonn", "scope": "local", "n_neighbors": 32}
PASS = {"model": "minilm", "checkpoint": "final"}
ESTIMATE = PASS | {"part": "s", "cloud": "points", "layers": "layers_0-6"}


@pytest.fixture
def graph(tmp_path: Path) -> Callable[..., JobGraph]:
    return lambda given: sweeps.graph_of(sweeps.sweep_of(given), tmp_path)


def test_each_seed_is_a_dataset_of_its_own(graph) -> None:
    sweep = sweeps.sweep_of(given(tokens=SEEDS | {"seed": [7, 8]}))
    names = [f"lee_news-sequence_seed{one}-seed{other}" for one in (1, 2) for other in (7, 8)]
    assert list(sweep.datasets) == names
    assert sweep.draws_of("lee_news") == names
    jobs = graph(given(tokens=SEEDS | {"seed": [7, 8]}))
    tokens = [jobs.settings("sample_tokens", tokenizer="minilm", dataset=name)["tokens"] for name in names]
    assert [(one["sequence_seed"], one["seed"]) for one in tokens] == [(1, 7), (1, 8), (2, 7), (2, 8)]
    assert len({jobs.signature("sample_tokens", tokenizer="minilm", dataset=name) for name in names}) == 4


def test_tables_tell_the_draws_apart_and_their_dataset(graph) -> None:
    jobs = graph(given())
    identity = jobs.settings("estimate_dimensions", dataset="lee_news-sequence_seed2", **ESTIMATE)["identity"]
    assert identity["dataset"] == "lee_news-sequence_seed2"
    found = {name: identity.get(name) for name in ("drawn_from", "draw_sequence_seed", "draw_seed")}
    assert found == {"drawn_from": "lee_news", "draw_sequence_seed": 2, "draw_seed": None}
    assert set(identity) <= set(IDENTITY.names)


def test_one_seed_in_a_list_is_that_seed(graph) -> None:
    names = {"tokenizer": "minilm", "dataset": "lee_news"}
    listed, plain = (
        graph(given(tokens=SEEDS | {"sequence_seed": seed})).signature("sample_tokens", **names) for seed in ([1], 1)
    )
    assert listed == plain
    identity = graph(given(tokens=SEEDS | {"sequence_seed": 1})).settings(
        "estimate_dimensions", dataset="lee_news", **ESTIMATE
    )["identity"]
    assert "drawn_from" not in identity


def test_options_of_figures_name_all_draws_or_one(graph) -> None:
    figures = {"profiles": {"datasets": ["lee_news"]}, "violins": {"datasets": ["lee_news-sequence_seed2"]}}
    jobs = graph(given(figures=figures))
    draws = ["lee_news-sequence_seed1", "lee_news-sequence_seed2"]
    assert jobs.settings("draw_figure", figure="profiles")["options"]["datasets"] == draws
    assert jobs.settings("draw_figure", figure="violins")["options"]["datasets"] == draws[1:]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tokens": SEEDS | {"choose": "first"}}, "tokens.sequence_seed: with `choose: first` no sequences are drawn"),
        ({"tokens": SEEDS | {"sequence_seed": []}}, "tokens.sequence_seed:"),
        ({"tokens": SEEDS | {"sequence_seed": [1, 1]}}, "tokens.sequence_seed:"),
        ({"tokens": SEEDS | {"sequence_seed": [-1]}}, "tokens.sequence_seed"),
    ],
)
def test_what_is_no_list_of_draws_is_told(changes: dict[str, Any], complaint: str) -> None:
    assert any(said.startswith(complaint) for said in complaints_of(given(**changes))), complaints_of(given(**changes))


def test_several_draws_are_for_datasets_of_the_catalog() -> None:
    grokking = {
        "sweep": "s",
        "models": {"addition": None},
        "datasets": ["trained_on"],
        "tokens": {"select": "all", "sequences": 10, "sequence_seed": [1, 2]},
        "catalog": {"models": {"addition": sweeps.GROKKING}, "datasets": {"sums": sweeps.SUMS}},
    }
    (complaint,) = complaints_of(grokking)
    assert complaint.startswith(
        "tokens.sequence_seed: several seeds are for datasets of the catalog, and trained_on is"
    )


SHARE = {"estimator": "twonn", "scope": "local", "neighbor_share": 0.8}


def test_a_share_of_neighbours_is_a_number_by_the_size_of_the_cloud(graph) -> None:
    changes = {"points": {"number": [100, 300]}, "neighbors": {"number": 240}, "estimator_sets": {"s": [SHARE]}}
    jobs = graph(given(tokens={"number": 500}, **changes))
    for number in (100, 300):
        names = ESTIMATE | {"cloud": f"number{number}", "dataset": "lee_news"}
        (estimate,) = jobs.settings("estimate_dimensions", **names)["estimates"]
        assert estimate["parameters"]["n_neighbors"] == 0.8 * number and "neighbor_share" not in estimate["parameters"]
        stored = jobs.settings("find_neighbors", **PASS, cloud=f"number{number}", dataset="lee_news")["neighbors"]
        assert stored["number"] == 0.8 * number


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        (
            SHARE | {"n_neighbors": 16},
            "estimator_sets.s[0].neighbor_share: n_neighbors stands beside it; give one of both",
        ),
        (
            SHARE,
            "estimator_sets.s[0].neighbor_share: 0.8 of 300 points (cloud points) are 240 neighbours, but neighbors.number",
        ),
        (
            SHARE | {"scope": "global"},
            "estimator_sets.s[0].neighbor_share: twonn (global) has no n_neighbors; remove this key",
        ),
        (SHARE | {"neighbor_share": 1.5}, "estimator_sets.s[0].neighbor_share"),
    ],
)
def test_a_share_that_cannot_be_is_told(item: dict[str, Any], complaint: str) -> None:
    found = complaints_of(given(estimator_sets={"s": [item]}))
    assert any(said.startswith(complaint) for said in found), found
