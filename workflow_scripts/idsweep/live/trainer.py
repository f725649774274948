"""The local dimension in transformers' Trainer: `LocalDimensionCallback`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from idsweep.live.dimension import LiveDimension, Measurement
from idsweep.live.schedule import EVAL, Schedule

PREFIX = "eval_"  # trackers show what begins with it as eval/…


class LocalDimensionCallback(TrainerCallback):
    """Measures the local dimension while a Trainer trains, and logs it to whatever the Trainer reports to.

    Logged are `eval_local_dimension/layer_06/mean`, `…/median`, `…/standard_error`, `…/n_undefined` of each layer and
    `eval_local_dimension_runtime` in seconds. With `every="eval"` they are metrics of the evaluation as well, so that
    `metric_for_best_model="eval_local_dimension/layer_06/mean"` and EarlyStoppingCallback work; add the latter behind this one.

    Parameters
    ----------
    texts
        Of which tokens are drawn once; or give `tokens`, a file that a sweep has drawn.
    every
        "eval", at each evaluation, or a number of steps. Step 0 is measured when the training begins.
    tokenizer
        If it is not the Trainer's `processing_class`.
    name
        What stands in place of `local_dimension` in metrics and as a folder: a name for each, where several callbacks measure several
        sets of texts.
    folder
        Where the table is kept; `name` in the Trainer's `output_dir` if left out. A training that goes on from a checkpoint
        finds its curve there.
    stop_on
        Events at which the training ends, as {"upturn"} or {"plateau"} (docs/live.md).
    options
        Those of `LiveDimension`: layers, n_neighbors, points, budget, background …

    Raises
    ------
    ValueError
        When the training begins, as `LiveDimension`, and where the best checkpoint is chosen by a value that the budget or the
        background may leave out. Later a measurement that fails is logged, and the training goes on.

    Examples
    --------
    >>> from idsweep.live import LocalDimensionCallback
    >>> callback = LocalDimensionCallback(["A text."] * 100, layers=[-1], n_neighbors=64, points=3000, every=200)
    >>> callback.live is None  # until the training begins
    True
    """

    def __init__(
        self,
        texts: Sequence[str] | None = None,
        *,
        every: int | str = EVAL,
        tokenizer: Any = None,
        name: str = "local_dimension",
        folder: str | Path | None = None,
        stop_on: Collection[str] | str = (),
        **options: Any,
    ) -> None:
        self.live: LiveDimension | None = None
        self._texts, self._tokenizer, self._folder = texts, tokenizer, folder
        self._schedule = Schedule(every, stop_on)
        self._options, self._trainer = options, None
        self._epochs: dict[int, float | None] = {}
        self._name, self._is_training = name, False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        self._trainer = _trainer_of(self)
        self._check(args)
        folder = self._folder or Path(args.output_dir) / self._name
        tokenizer = self._tokenizer or given.get("processing_class")
        self.live = LiveDimension(given["model"], tokenizer, self._texts, folder=folder, **self._options)
        self.live.go_on_from(state.global_step or -1)
        self._is_training = True
        self._schedule.begin()
        if not state.global_step:
            self._measure(state, control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        self._log(self.live.finished(), state, control)
        if self._schedule.has(state.global_step):
            self._measure(state, control)
        self._end(control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict, **given: Any
    ) -> None:
        if not self._is_training or not self._schedule.is_at_evaluations:
            return
        metrics.update(self._measure(state, control))
        best = _whole(args.metric_for_best_model)
        if best.startswith(f"{PREFIX}{self._name}/"):
            metrics.setdefault(best, float("nan"))  # a failed measurement is no better than any
        self._end(control)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        self._is_training = False
        self._log(self.live.close(), state, control)

    def _measure(self, state: TrainerState, control: TrainerControl) -> dict[str, float]:
        self._epochs[state.global_step] = state.epoch
        measured = self.live.measurement(state.global_step)
        if measured is None:
            last = self.live.last
            return self._named(last.metrics()) if last is not None and last.step == state.global_step else {}
        self._log([measured], state, control)
        return self._named(measured.metrics())

    def _log(self, measured: Sequence[Measurement], state: TrainerState, control: TrainerControl) -> None:
        """Log at the step that each measurement is of; what was estimated in the background is of an earlier one."""
        for one in measured:
            now, is_due = (state.global_step, state.epoch), control.should_log
            state.global_step, state.epoch = one.step, self._epochs.get(one.step, state.epoch)
            try:
                self._trainer.log(self._named(one.metrics()))
            finally:
                state.global_step, state.epoch = now
                control.should_log = is_due  # logging takes it for done, and the losses of this step would be lost
            self._schedule.note(one)

    def _end(self, control: TrainerControl) -> None:
        if self._schedule.ends(self.live):
            control.should_training_stop = True

    def _named(self, metrics: dict[str, float]) -> dict[str, float]:
        begin = f"{PREFIX}{self._name}"
        return {f"{begin}_runtime" if key == "runtime" else f"{begin}/{key}": value for key, value in metrics.items()}

    def _check(self, args: TrainingArguments) -> None:
        """Raises ValueError for what would leave evaluations without the metric that they need, or be without any."""
        if self._schedule.is_at_evaluations and args.eval_strategy == "no":
            raise ValueError(
                "every: 'eval' measures at evaluations, and eval_strategy is 'no'. Give every= a number of steps, or set eval_strategy."
            )
        metric = _whole(args.metric_for_best_model)
        if metric.startswith(f"{PREFIX}{self._name}/"):
            self._schedule.check_always_there(f"metric_for_best_model is {metric}", self._options)


def _whole(metric: str | None) -> str:
    """The metric's name as evaluations have it: transformers allows leaving `eval_` out."""
    return "" if metric is None else metric if metric.startswith(PREFIX) else f"{PREFIX}{metric}"


def _trainer_of(callback: LocalDimensionCallback) -> Trainer:
    """The Trainer that has called a callback: it hands over everything but itself, and logging is its own."""
    frame = sys._getframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, Trainer) and any(one is callback for one in caller.callback_handler.callbacks):
            return caller
        frame = frame.f_back
    raise RuntimeError(
        "LocalDimensionCallback works in a transformers.Trainer; for other loops there is LiveDimension."
    )
