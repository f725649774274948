"""Losses and scores over training, from the `trainer_state.json` that transformers' Trainer leaves in each checkpoint."""

from __future__ import annotations

import json
import logging
from math import isfinite
from pathlib import Path
from typing import Any

NAME = "trainer_state.json"
TRAINING_LOSS = "train_loss"  # its logs call it `loss`; their own `train_loss` is one mean over the whole training
NOT_CURVES = ("_runtime", "_per_second", "_model_preparation_time")

logger = logging.getLogger(__name__)


def read_curves(file: str | Path) -> dict[str, dict[int, float]]:
    """Metric -> its value at each step, in the order of the steps.

    `train_loss` is what Trainer logs as `loss`; scores of an evaluation keep their names (`eval_loss`, `eval_accuracy`). Where a step
    was logged twice, as after a training went on from a checkpoint, the last value counts. Values that are not finite are left
    out, with a warning.

    Raises
    ------
    ValueError
        If the file cannot be read, or is not Trainer's.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), NAME)
    >>> _ = file.write_text('{"log_history": [{"step": 10, "loss": 2.5, "epoch": 0.1}, {"step": 20, "loss": 2.0}]}')
    >>> read_curves(file)
    {'train_loss': {10: 2.5, 20: 2.0}}
    """
    curves: dict[str, dict[int, float]] = {}
    broken = 0
    for entry in _log_history(Path(file)):
        step = entry.get("step")
        if not isinstance(step, int) or isinstance(step, bool) or step < 0:
            raise ValueError(f"{file}: an entry of its log_history has the step {step!r}; expected a whole number.")
        for key, value in entry.items():
            if (metric := _metric(key)) is None or not isinstance(value, int | float) or isinstance(value, bool):
                continue
            if not isfinite(value):
                broken += 1
                continue
            curves.setdefault(metric, {})[step] = float(value)
    if broken:
        logger.warning("%s: %d values are NaN or infinite; they are left out of the curves.", file, broken)
    return {metric: dict(sorted(curve.items())) for metric, curve in curves.items()}


def read_step(file: str | Path) -> int | None:
    """The step at which Trainer wrote a state; None if it does not say. Raises ValueError if the file cannot be read."""
    step = _state(Path(file)).get("global_step")
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def _metric(key: str) -> str | None:
    """What a value of a log is called; None for what is no curve of a loss or a score."""
    if key == "loss":
        return TRAINING_LOSS
    return key if key.startswith("eval_") and not key.endswith(NOT_CURVES) else None


def _log_history(file: Path) -> list[dict[str, Any]]:
    return _state(file)["log_history"]


def _state(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        history = state["log_history"]
        if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
            raise TypeError("its log_history is not a list of entries")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{file} cannot be read as the state of transformers' Trainer, a mapping with log_history: {error!r}."
        ) from error
    return state
