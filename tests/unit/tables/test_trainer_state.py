"""Curves of transformers' Trainer, as it writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.live_trainings import trainer
from idsweep.tables.brought import read_metric
from idsweep.tables.trainer_state import read_curves


def write(folder: Path, history: object) -> Path:
    file = folder / "trainer_state.json"
    file.write_text(json.dumps({"log_history": history, "global_step": 4}))
    return file


@pytest.mark.slow
def test_what_a_real_training_logged(tmp_path: Path) -> None:
    training = trainer(tmp_path, [])
    training.train()
    curves = read_curves(tmp_path / "checkpoint-8/trainer_state.json")
    logged = training.state.log_history
    assert curves["train_loss"] == {entry["step"]: entry["loss"] for entry in logged if "loss" in entry}
    assert curves["eval_loss"] == {entry["step"]: entry["eval_loss"] for entry in logged if "eval_loss" in entry}
    assert [*curves["train_loss"]] == [2, 4, 6, 8]
    assert {*curves} == {"train_loss", "eval_loss"}
    table = read_metric(tmp_path / "checkpoint-8/trainer_state.json", "eval_loss")
    assert table.to_pydict() == {"step": [*curves["eval_loss"]], "value": [*curves["eval_loss"].values()]}


def test_scores_are_kept_and_speeds_are_not(tmp_path: Path) -> None:
    history = [
        {"step": 5, "loss": 2, "learning_rate": 1e-3, "grad_norm": 3.0, "epoch": 0.5},
        {"step": 5, "eval_accuracy": 0.25, "eval_runtime": 9.0, "eval_samples_per_second": 1.0},
        {"step": 9, "train_runtime": 3.0, "train_loss": 1.7, "total_flos": 1.0},
    ]
    assert read_curves(write(tmp_path, history)) == {"train_loss": {5: 2.0}, "eval_accuracy": {5: 0.25}}


def test_a_step_that_was_logged_twice_counts_as_it_was_last(tmp_path: Path) -> None:
    history = [{"step": 4, "loss": 3.0}, {"step": 2, "loss": 9.0}, {"step": 4, "loss": 2.5}]
    assert read_curves(write(tmp_path, history))["train_loss"] == {2: 9.0, 4: 2.5}


def test_a_loss_that_is_not_finite_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": float("inf")}]
    assert read_curves(write(tmp_path, history))["train_loss"] == {1: 3.0}
    assert "2 values are NaN or infinite" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"log_history": 3}', '{"log_history": [3]}', '{"log_history": [{"step": "a"}]}']
)
def test_files_that_are_not_trainer_s(content: str, tmp_path: Path) -> None:
    file = tmp_path / "trainer_state.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"trainer_state\.json"):
        read_curves(file)


def test_a_metric_that_was_not_logged(tmp_path: Path) -> None:
    file = write(tmp_path, [{"step": 1, "loss": 3.0}])
    with pytest.raises(ValueError, match="has no metric 'eval_loss'; it has train_loss"):
        read_metric(file, "eval_loss")
