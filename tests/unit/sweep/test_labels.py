"""Labels of the catalog are what figures show, tell names apart, and make nothing but figures stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.sweeps import GROKKING, SUMS, complaints_of, graph_of, sweep_of
from idsweep.sweep.labels import labels


def sums(model: str | None = None, dataset: str | None = None, **keys: Any) -> dict[str, Any]:
    """A sweep over two models of two seeds that learn sums, whose entries have these labels."""
    runs = {"seeds": [46, 47], "vary": {"training.fraction": [0.3, 0.5]}}
    entry = GROKKING | runs | ({} if model is None else {"label": model})
    texts = SUMS | ({} if dataset is None else {"label": dataset})
    catalog = {"models": {"adds": entry}, "datasets": {"sums": texts}}
    return {
        "sweep": "s",
        "models": {"adds": None},
        "datasets": ["sums"],
        "figures": {"dynamics": {}, "heatmap": {}},
        "catalog": catalog,
    } | keys


def test_names_without_a_label_are_no_setting(tmp_path: Path) -> None:
    assert labels(sweep_of(sums())) == {}
    assert "labels" not in graph_of(sweep_of(sums()), tmp_path).settings("draw_figure", figure="heatmap")


def test_runs_groups_and_draws_are_told_apart_behind_their_label() -> None:
    found = labels(sweep_of(sums("Decoder", "Sums mod 7", tokens={"seed": [1, 2]})))
    assert found["model"]["adds-fraction0.3"] == "Decoder, fraction 0.3"
    assert found["model"]["adds-fraction0.5-seed47"] == "Decoder, fraction 0.5, seed 47"
    assert found["dataset"] == {
        "sums": "Sums mod 7",
        "sums-seed1": "Sums mod 7, seed 1",
        "sums-seed2": "Sums mod 7, seed 2",
    }


def test_a_label_makes_figures_stale_and_no_number(tmp_path: Path) -> None:
    plain, labelled = (graph_of(sweep_of(given), tmp_path) for given in (sums(), sums("Decoder", "Sums mod 7")))
    stale = {
        rule
        for rule, names in plain.jobs()
        if plain.signature(rule, **dict(names)) != labelled.signature(rule, **dict(names))
    }
    assert stale == {"draw_figure", "write_report", "write_explorer"}
    settings = labelled.settings("draw_figure", figure="heatmap")
    assert settings["labels"]["dataset"] == {"sums": "Sums mod 7"}


def test_two_names_with_one_label_are_told() -> None:
    given = sums("Decoder")
    given["catalog"]["models"]["other"] = given["catalog"]["models"]["adds"]
    given["models"] = {"adds": None, "other": None}
    (first, *_) = complaints_of(given)
    assert first == (
        "catalog.models: figures would show 'Decoder, fraction 0.3' for both adds-fraction0.3 and other-fraction0.3; give "
        "one of them another `label`"
    )
    assert complaints_of(sums(dataset=" ")) != []
