"""The local dimension in Lightning's Trainer: `LightningLocalDimensionCallback`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise ImportError("LightningLocalDimensionCallback needs Lightning: pip install lightning") from error

from idsweep.live.dimension import LiveDimension, Measurement
from idsweep.live.schedule import EVAL, Schedule


class LightningLocalDimensionCallback(Callback):
    """Measures the local dimension while Lightning trains, and logs it to the Trainer's loggers.

    Logged are `local_dimension/layer_06/mean`, `…/median`, `…/standard_error`, `…/n_undefined` and `local_dimension/runtime`. With
    `every="eval"` they are logged with the validation, so that ModelCheckpoint and EarlyStopping can monitor them.

    Parameters
    ----------
    texts, tokenizer
        Of a transformers model; or give `modules` and `inputs`, or `tokens` (see `LiveDimension`).
    part
        Name of the submodule that is measured, as "model"; the whole LightningModule if left out.
    every
        "eval", at the end of each validation, or a number of steps. Step 0 is measured when the training begins.
    name
        What stands in place of `local_dimension` in metrics and as a folder: a name for each, where there are several callbacks.
    folder
        Where the table is kept; `name` in the Trainer's `default_root_dir` if left out.
    stop_on
        Events at which the training ends, as {"upturn"} or {"plateau"} (docs/live.md).
    options
        Those of `LiveDimension`.

    Raises
    ------
    ValueError
        When the training begins, as `LiveDimension`. Later a measurement that fails is logged, and the training goes on.
    """

    def __init__(
        self,
        texts: Sequence[str] | None = None,
        tokenizer: Any = None,
        *,
        part: str = "",
        every: int | str = EVAL,
        name: str = "local_dimension",
        folder: str | Path | None = None,
        stop_on: Collection[str] | str = (),
        **options: Any,
    ) -> None:
        self.live: LiveDimension | None = None
        self._texts, self._tokenizer, self._part = texts, tokenizer, part
        self._folder, self._options, self._name = folder, options, name
        self._schedule = Schedule(every, stop_on)

    @property
    def state_key(self) -> str:
        return f"LocalDimension[{self._name}]"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer)
        self._schedule.begin()
        folder = self._folder or Path(trainer.default_root_dir) / self._name
        measured = pl_module.get_submodule(self._part)
        self.live = LiveDimension(measured, self._tokenizer, self._texts, folder=folder, **self._options)
        self.live.go_on_from(trainer.global_step or -1)
        if not trainer.global_step and (first := self.live.measurement(0)) is not None:
            self._tell(trainer, [first])

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any) -> None:
        self._tell(trainer, self.live.finished())
        step = trainer.global_step
        if self._schedule.has(step) and (one := self.live.measurement(step)) is not None:
            self._tell(trainer, [one])
        self._end(trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.live is None or trainer.sanity_checking or not self._schedule.is_at_evaluations:
            return
        if (one := self.live.measurement(trainer.global_step)) is not None:
            # So that callbacks can monitor it; Lightning hands it to the loggers, too.
            pl_module.log_dict(self._named(one), on_step=False, on_epoch=True, sync_dist=False)
            self._schedule.note(one)
        self._end(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell(trainer, self.live.close())

    def _tell(self, trainer: Trainer, measured: Sequence[Measurement]) -> None:
        """Log at the step that each measurement is of, which may be an earlier one."""
        for one in measured:
            for logger in trainer.loggers:
                logger.log_metrics(self._named(one), step=one.step)
            self._schedule.note(one)

    def _end(self, trainer: Trainer) -> None:
        if self._schedule.ends(self.live):
            trainer.should_stop = True

    def _named(self, measured: Measurement) -> dict[str, float]:
        return {f"{self._name}/{key}": float(value) for key, value in measured.metrics().items()}

    def _check(self, trainer: Trainer) -> None:
        """Raises ValueError where another callback monitors what validations may be without."""
        monitored = [getattr(one, "monitor", None) or "" for one in trainer.callbacks]
        if metric := next((one for one in monitored if one.startswith(f"{self._name}/")), None):
            self._schedule.check_always_there(f"{metric} is monitored", self._options)
