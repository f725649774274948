"""TripPy-R's scores become the files that `metrics:` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from idsweep.cli import main
from idsweep.tables.brought import read_metric
from idsweep.tables.tracker_scores import write_scores


def scores(folder: Path, offset: float = 0.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {
            "loss": 3.5 + offset,
            "cl_loss": 2.0,
            "tk_loss": 0.5,
            "eval_accuracy_goal": 0.9,
            "checkpoint_name": "checkpoint-1775",
        },
        {
            "loss": 2.5 + offset,
            "cl_loss": 1.0,
            "tk_loss": 0.25,
            "eval_accuracy_goal": 0.95,
            "checkpoint_name": "checkpoint-3550",
        },
    ]
    (folder / "eval_res.dev.json").write_text(json.dumps(entries))
    lines = [
        "Joint goal acc: 0.41, 0.97, pred_res.dev.checkpoint-1775.json",
        "something else",
        "Joint goal acc: 0.52, 0.98, pred_res.dev.checkpoint-3550.json",
    ]
    (folder / "eval_pred_dev.1.0.log").write_text("\n".join(lines))
    return folder


def test_scores_of_one_run(tmp_path: Path) -> None:
    files = write_scores(scores(tmp_path))
    assert [file.name for file in files] == [
        *(
            "validation_class_loss.csv",
            "validation_joint_goal_accuracy.csv",
            "validation_loss.csv",
            "validation_token_loss.csv",
        ),
    ]
    assert files[1].read_text() == "step,value\n1775,0.41\n3550,0.52\n"
    assert read_metric(files[2]).to_pydict()["value"] == [3.5, 2.5]


def test_the_command_takes_all_seeds_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (40, 41):
        scores(tmp_path / f"results.{seed}", offset=seed)
    assert main(["import-scores", str(tmp_path)]) == 0
    assert (tmp_path / "results.41/metrics/validation_loss.csv").read_text() == "step,value\n1775,44.5\n3550,43.5\n"
    said = capsys.readouterr().out
    assert "results.{seed}/metrics/validation_joint_goal_accuracy.csv" in said and "metrics:" in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("eval_res.dev.json", '[{"loss": 1', "eval_res.dev.json is no JSON.*written to its end"),
        ("eval_res.dev.json", '[{"loss": 1}]', "entry 0: it has no checkpoint_name like checkpoint-1775"),
        (
            "eval_res.dev.json",
            '[{"loss": NaN, "checkpoint_name": "checkpoint-2"}]',
            "entry 0, loss: nan is no finite number",
        ),
        ("eval_res.dev.json", "3", "holds no list of checkpoints"),
        ("eval_pred_test.1.0.log", "Joint goal acc: 0.4,", "line 1: no checkpoint is named"),
        (
            "eval_pred_test.1.0.log",
            "checkpoint-3 Joint goal acc: 56.0,",
            "line 1: a joint goal accuracy of 56.0 is no share",
        ),
        ("other.txt", "", "holds no scores: expected eval_res"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        write_scores(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-scores", str(tmp_path / "nowhere")]) == 1
    assert "is no folder" in capsys.readouterr().err
