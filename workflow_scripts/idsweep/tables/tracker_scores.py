"""Scores that TripPy-R (Heck et al. 2022) leaves beside its checkpoints, as the files that `metrics:` of a sweep reads.

eval_res.{train,dev,test}.json        a list, one entry for each checkpoint: loss, cl_loss, tk_loss … and checkpoint_name
eval_pred_{train,dev,test}.1.0.log    lines with "Joint goal acc: X," and the name of the file of predictions, which names the checkpoint
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from idsweep.files.atomic import whole_or_nothing

SPLITS = {"train": "train", "dev": "validation", "test": "test"}
# As TripPy-R calls them; losses are summed over slots, and means over turns.
LOSSES = {"loss": "loss", "cl_loss": "class_loss", "tk_loss": "token_loss", "tp_loss": "type_loss"}
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
JOINT_GOAL = re.compile(r"Joint goal acc: *([0-9.eE+-]+)")
FOLDER = "metrics"

Curve = dict[int, float]


def write_scores(folder: str | Path) -> list[Path]:
    """Read the scores of a folder of checkpoints, or of each `results.{seed}` in it, and write `metrics/{metric}.csv` there.

    The metrics are {train, validation, test}_{loss, class_loss, token_loss, type_loss, joint_goal_accuracy}, those that there are. A file
    has the columns step and value.

    Returns the files. Raises ValueError, naming file and line or entry, if there are no scores, or one has no checkpoint or no finite value.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    written = []
    for of_run in (folder, *sorted(path for path in folder.glob("results.*") if path.is_dir())):
        for metric, curve in sorted(read_scores(of_run).items()):
            file = of_run / FOLDER / f"{metric}.csv"
            with whole_or_nothing(file) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as opened:
                rows = csv.writer(opened, lineterminator="\n")
                rows.writerow(["step", "value"])
                rows.writerows(sorted(curve.items()))
            written.append(file)
    if not written:
        raise ValueError(
            f"{folder} holds no scores: expected eval_res.SPLIT.json or eval_pred_SPLIT.*.log, there or in results.SEED, with SPLIT "
            f"one of {', '.join(SPLITS)}."
        )
    return written


def entry_of(files: list[Path]) -> str:
    """What to say of these files in the catalog's entry of the model, as YAML; `{seed}` stands for the seeds."""
    lines: dict[str, str] = {}
    for file in files:
        path = re.sub(r"results\.\d+/", "results.{seed}/", file.as_posix())
        lines[file.stem] = f"  {file.stem}: {path}\n"
    return "metrics:\n" + "".join(lines.values())


def read_scores(folder: Path) -> dict[str, Curve]:
    """Metric -> step -> value, of the files of one run. Raises ValueError as `write_scores` does."""
    curves: dict[str, Curve] = {}
    for name, split in SPLITS.items():
        file = folder / f"eval_res.{name}.json"
        if file.is_file():
            for metric, step, value in _of_results(file):
                curves.setdefault(f"{split}_{metric}", {})[step] = value
        for file in sorted(folder.glob(f"eval_pred_{name}.*log")):
            for step, value in _of_log(file):
                curves.setdefault(f"{split}_joint_goal_accuracy", {})[step] = value
    return curves


def _of_results(file: Path) -> Iterator[tuple[str, int, float]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}. Was it written to its end?") from error
    entries = [entries] if isinstance(entries, Mapping) else entries
    if not isinstance(entries, list):
        raise ValueError(f"{file} holds no list of checkpoints.")
    for place, entry in enumerate(entries):
        at = f"{file}, entry {place}"
        if not isinstance(entry, Mapping) or not (found := CHECKPOINT.search(str(entry.get("checkpoint_name", "")))):
            raise ValueError(f"{at}: it has no checkpoint_name like checkpoint-1775.")
        for key, metric in LOSSES.items():
            if key in entry:
                yield metric, int(found[1]), _number(entry[key], f"{at}, {key}")


def _of_log(file: Path) -> Iterator[tuple[int, float]]:
    step = None
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if named := CHECKPOINT.search(line):
            step = int(named[1])
        if found := JOINT_GOAL.search(line):
            at = f"{file}, line {number}"
            if step is None:
                raise ValueError(f"{at}: no checkpoint is named there or before.")
            value = _number(found[1], at)
            if not 0 <= value <= 1:
                raise ValueError(f"{at}: a joint goal accuracy of {value} is no share from 0 to 1.")
            yield step, value


def _number(value: Any, at: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{at}: {value!r} is no finite number.")
    return number
