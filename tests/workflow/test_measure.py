"""`idsweep measure`, as a user calls it: a run of transformers' Trainer and a file of vectors become tables, and only what is new runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skdim
import warm
from builders.live_trainings import texts, trainer
from builders.once import once
from idsweep.files.parquet import read_table
from idsweep.files.vectors import read_neighbors

from workflow.checkout import Project, check_out

FEW = ("--points", "300", "--layers", "0,-1")


def start(project: Project, *words: str, python: str | None = None) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(project.folder / "workflow_scripts")}
    command = [python or warm.python(), "-m", "idsweep.cli", "measure", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project.folder, env=environment, **pipes)


def call(project: Project, *words: str) -> subprocess.CompletedProcess:
    process = start(project, *words)
    output, errors = process.communicate(timeout=600)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def measure(project: Project, *words: str) -> subprocess.CompletedProcess:
    done = call(project, *words)
    log = sorted(project.folder.glob("results/*/measure.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log[-1].read_text() if log else ''}"
    return done


def measured(folder: Path) -> None:
    """A training of 8 steps with two checkpoints, and its texts, measured once."""
    project = check_out(folder)
    trainer(folder / "my_run", []).train()
    rows = [{"id": i, "body": text} for i, text in enumerate(texts())]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = measure(project, "my_run", "--text", "texts.jsonl", *FEW)
    (folder / "said.txt").write_text(done.stdout)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Never changed by a test: see `again`."""
    return Project(once(tmp_path_factory, "measured", measured), "my_run")


@pytest.fixture
def again(first: Project, tmp_path: Path) -> Project:
    return first.copied(tmp_path / "idsweep")


def ran(project: Project) -> set[str]:
    """The rules of the jobs that ran."""
    log = (project.results / "measure.log").read_text()
    stats = re.search(r"Job stats:\n(.+?)\n\n", log, re.DOTALL)
    return set(re.findall(r"^(\w+) +\d+$", stats[1], re.MULTILINE)) - {"total"} if stats else set()


def test_the_table_says_what_the_tables_hold(first: Project) -> None:
    said = (first.folder / "said.txt").read_text()
    assert "kind causal, by its config; 2 blocks" in said
    assert "2 checkpoints: checkpoint-4, checkpoint-8" in said
    assert "curves of trainer_state.json: train_loss, eval_loss" in said
    local = pd.read_parquet(first.results / "tables/local.parquet").query("estimator == 'twonn'")
    data = local[local["variant"] == "data"]
    assert len(data) == 4
    _, whole = (
        said.split("the whole sweep: results/my_run/sweep.yaml")[1].split("TwoNN: mean local")[0].split("\n\n")[-2:]
    )
    for row in data.itertuples():
        interval = 1.96 * row.standard_error
        line = rf"{row.checkpoint}\s+{row.layer}\s+{row.n_points}\s+{row.mean:.2f}\s+± {interval:.2f}\s"
        assert len(re.findall(line, said)) == 2, f"{line} in:\n{said}"  # while it ran, and at the end
    assert "GRIDE" in whole
    for part in ("report.html", "explorer.html", "figures/dynamics.{pdf,png,svg}", "tables/local.{parquet,csv}"):
        assert f"results/my_run/{part}" in said


def test_curves_of_the_training_are_a_table(first: Project) -> None:
    training = read_table(first.results / "tables/training.parquet").to_pandas()
    history = json.loads((first.folder / "my_run/checkpoint-8/trainer_state.json").read_text())["log_history"]
    losses = training[training["metric"] == "train_loss"].set_index("step")["value"].to_dict()
    assert losses == {entry["step"]: entry["loss"] for entry in history if "loss" in entry}
    assert set(training["metric"]) == {"train_loss", "eval_loss"}


def test_a_second_call_runs_nothing_and_a_new_checkpoint_alone(again: Project) -> None:
    words = ("my_run", "--text", "texts.jsonl", *FEW)
    done = measure(again, *words)
    assert "Nothing was stale" in done.stdout
    assert "results/my_run/report.html" in done.stdout
    before = {path: path.stat().st_mtime_ns for path in again.results.rglob("estimates/**/*.parquet")}

    new = again.folder / "my_run/checkpoint-12"
    shutil.copytree(again.folder / "my_run/checkpoint-8", new)
    config = (new / "config.json").read_text()
    (new / "config.json").write_text(json.dumps(json.loads(config) | {"hidden_size": 48}))
    done = call(again, *words)
    assert done.returncode == 1
    assert "1 job(s) failed; what is done is kept" in done.stdout
    assert "results/my_run/logs/extract_embeddings/my_run/checkpoint-12" in done.stdout
    assert "All that was printed: results/my_run/measure.log" in done.stdout

    (new / "config.json").write_text(config)
    done = measure(again, *words)
    assert "3 checkpoints: checkpoint-4, checkpoint-8, checkpoint-12" in done.stdout
    assert "extract_embeddings" in ran(again)
    assert "sample_tokens" not in ran(again)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    lines = done.stdout.split("the whole sweep:")[1].split("stable")[0]
    assert re.findall(r"^checkpoint-\d+", lines, re.MULTILINE) == ["checkpoint-12", "checkpoint-12"]
    assert len(pd.read_parquet(again.results / "tables/local.parquet").query("variant == 'data'")["step"].unique()) == 3


def test_vectors_alone(tmp_path: Path) -> None:
    """No model and no text: the numbers are scikit-dimension's on the same vectors, also after a run that was stopped."""
    project = check_out(tmp_path / "idsweep")
    vectors = np.random.default_rng(0).normal(size=(260, 3)) @ np.random.default_rng(1).normal(size=(3, 16))
    np.save(project.folder / "vectors.npy", vectors)
    results = project.folder / "results/vectors"
    process = start(project, "vectors.npy", python=sys.executable)
    while not (results / "measure.log").is_file() or "\nJob 1" not in (results / "measure.log").read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.terminate()  # as a cluster does; Ctrl-C is the same
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "The run was interrupted; what is done is kept; run the same command again to go on." in output

    done = measure(project, "vectors.npy")
    assert "260 vectors of width 16, format npy" in done.stdout
    local = pd.read_parquet(results / "tables/local.parquet").query("variant == 'data' and estimator == 'lpca'")
    (row,) = local.itertuples()
    assert (row.representation, row.n_points) == ("vectors", 260)
    graph = results / "neighbors/vectors/final/vocabulary/points.parquet"
    _, indices, distances = read_neighbors(graph, "vectors")
    single = vectors.astype(np.float32)
    brute = np.sort(np.linalg.norm(single[:, None] - single[None], axis=2), axis=1)[:, 1 : 1 + distances.shape[1]]
    np.testing.assert_allclose(distances, brute, rtol=1e-4)
    expected = skdim.id.lPCA().fit_transform_pw(single, precomputed_knn=indices)
    assert row.mean == pytest.approx(expected.mean(), rel=1e-6)
    for figure in ("violins", "scales", "nulls"):
        assert (results / f"figures/{figure}.png").is_file()
    assert (results / "report.html").is_file() and (results / "explorer.html").is_file()
