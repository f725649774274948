"""Which sweeps have the table of contrasts, and what its job reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import sweeps
from builders.sweeps import NEWS, graph_of
from idsweep.sweep.outputs import table_names
from idsweep.sweep.sweep import Sweep

LOCAL, GLOBAL = ({"estimator": "twonn", "scope": scope} for scope in ("local", "global"))
TRAINED = {"tiny_neox": {"checkpoints": ["step0", "step8", "step512"]}}


def sweep_of(estimates: dict[str, list[dict[str, str]]] | None = None, **changes: Any) -> Sweep:
    given = {"figures": {}, "estimator_sets": estimates or {"all": [LOCAL, GLOBAL]}, "tokens": {"max_length": 128}}
    return sweeps.sweep_of(NEWS | given | changes)


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, True),
        ({"layers": [-1]}, False),
        ({"layers": [-1], "models": TRAINED}, True),
        ({"layers": [-1], "figures": {"profiles": {}}}, True),  # says that there is nothing to draw
        ({"estimates": {"all": [GLOBAL]}}, False),
        ({"models": {"minilm": {"layers": ["input_embeddings"]}}, "datasets": []}, False),
    ],
)
def test_contrasts_are_a_table_where_there_is_something_to_compare(changes: dict[str, Any], there: bool) -> None:
    assert ("contrasts" in table_names(sweep_of(**changes))) is there


def test_contrasts_read_what_is_compared_with_first(tmp_path: Path) -> None:
    graph = graph_of(sweep_of(models=TRAINED | {"minilm": None}, layers=[0, 1]), tmp_path)
    read = graph.inputs("collect_contrasts")
    folder = "results/s/estimates/all"
    assert read["estimates"] == [
        *(f"{folder}/tiny_neox/{step}/lee_news/points/layers_0-4.parquet" for step in ("step512", "step0", "step8")),
        f"{folder}/minilm/final/lee_news/points/layers_0-6.parquet",
    ]
    names = ["tiny_neox"] * 3 + ["minilm"]
    assert read["tokens"] == [f"results/s/tokens/{name}/lee_news.parquet" for name in names]
    assert graph.settings("collect_contrasts") == {"ends": {"tiny_neox": ["step0", "step512"]}}


def test_what_is_not_compared_makes_no_contrast_stale(tmp_path: Path) -> None:
    sets = {"all": [LOCAL]}
    one, more, other = (
        graph_of(sweep_of(sets | added), tmp_path)
        for added in ({}, {"more": [GLOBAL]}, {"more": [LOCAL | {"estimator": "mle"}]})
    )
    signature = one.signature("collect_contrasts")
    assert more.signature("collect_contrasts") == signature != other.signature("collect_contrasts")
    profiles = graph_of(sweep_of(sets, figures={"profiles": {}}), tmp_path)
    assert profiles.inputs("draw_figure", figure="profiles")["contrasts"] == "results/s/tables/contrasts.parquet"
