"""Trackers of dialogue states that TripPy-R trained, from their folders to the figure: checkpoints, features and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.trippy_r import write_base, write_features, write_run, write_scores
from idsweep.files.parquet import read_table
from idsweep.files.vectors import read_embeddings
from idsweep.neighbors.variants import DATA
from idsweep.tables import tracker_scores
from transformers import RobertaModel

from workflow.checkout import MINI, Project, check_out

STEPS = (4, 8)
SEEDS = (40, 41)
SCORES = "validation_joint_goal_accuracy"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[int, dict[int, RobertaModel]]]:
    """A sweep over two runs and the model that they started from; and the encoders, by seed and step."""
    project = check_out(tmp_path_factory.mktemp("trackers") / "idsweep")
    base = write_base(project.folder / "runs/base")
    encoders = {}
    for seed in SEEDS:
        encoders[seed] = write_run(project.folder / "runs/trippy", base, STEPS, seed)
        encoders[seed][0] = RobertaModel.from_pretrained(base).eval()
        run = project.folder / f"runs/trippy/results.{seed}"
        write_scores(run, {4: 0.25, 8: seed / 100}, {4: 9.5, 8: 3.25})
    write_features(project.folder / "train_features.pt", n=30, length=40)
    tracker_scores.write_scores(project.folder / "runs/trippy")
    tracker = {
        "path": "runs/trippy/results.{seed}",
        "kind": "encoder",
        "prefix": "roberta",
        "initial": "untrained",
        "tokenizer": {"of": "untrained"},
        "checkpoints": "checkpoint-*",
        "seeds": [*SEEDS],
    }
    project.configure(
        models={"tracker": {"metrics": {SCORES: f"runs/trippy/results.{{seed}}/metrics/{SCORES}.csv"}}},
        layers=[-1],
        datasets=["features"],
        tokens={"number": 300, "max_length": 40, "select": "all", "without": ["eos", "pad"]},
        nulls=[],
        estimator_sets={"quick": MINI["estimator_sets"]["quick"][:1]},
        figures={"dynamics": {"second_axis": SCORES, "steps": "linear"}},
        catalog={
            "models": {"tracker": tracker, "untrained": {"path": "runs/base", "kind": "encoder"}},
            "datasets": {"features": {"loader": "token_ids", "path": "train_features.pt"}},
        },
    )
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project, encoders


def test_each_checkpoint_has_the_states_of_its_encoder_and_step_0_those_of_the_untrained_model(measured) -> None:
    project, encoders = measured
    tokens = read_table(project.results / "tokens/untrained/features.parquet").to_pandas()
    rows = read_table(project.results / "sequences/untrained/features.parquet").to_pylist()
    ids = {row["sequence"]: torch.tensor([row["input_ids"]]) for row in rows}
    assert "<s>" in set(tokens["token"]) and not {"</s>", "<pad>"} & set(tokens["token"])
    for seed in SEEDS:
        for step, encoder in encoders[seed].items():
            checkpoint = f"checkpoint-{step}" if step else "initial"
            found = read_embeddings(project.results / f"embeddings/tracker-seed{seed}/{checkpoint}/features.parquet", 2)
            with torch.no_grad():
                states = {number: encoder(row).last_hidden_state[0].numpy() for number, row in ids.items()}
            expected = np.stack([states[token.sequence][token.position] for token in tokens.itertuples()])
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_tables_and_the_figure_have_step_0_and_the_scores(measured) -> None:
    project, _ = measured
    local = pd.read_parquet(project.results / "tables/local.parquet")
    local = local[local["variant"] == DATA]
    assert local.groupby("model")["step"].agg(sorted).to_dict() == {f"tracker-seed{seed}": [0, 4, 8] for seed in SEEDS}
    initial = local[local["step"] == 0]
    assert set(initial["checkpoint"]) == {"initial"} and initial["mean"].nunique() == 1
    training = pd.read_parquet(project.results / "tables/training.parquet")
    last = training[training["step"] == 8].set_index("seed")
    assert set(last["metric"]) == {SCORES} and last["value"].to_dict() == {40: 0.4, 41: 0.41}
    assert (project.results / "figures/dynamics.pdf").is_file()
    assert not (project.results / "embeddings/untrained").exists()
    assert project.stale() == {}


def test_another_model_to_start_from_makes_step_0_stale_alone(measured, tmp_path: Path) -> None:
    project = measured[0].copied(tmp_path / "idsweep")
    write_base(project.folder / "runs/base", seed=1)
    stale = project.stale()
    assert stale["extract_embeddings"] == stale["find_neighbors"] == stale["estimate_dimensions"] == len(SEEDS)
    assert "sample_tokens" not in stale
