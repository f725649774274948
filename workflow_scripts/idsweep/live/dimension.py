"""The local dimension of a model while it is trained, by hand: `LiveDimension`."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from torch import nn

from idsweep.data.tokens import SampledTokens
from idsweep.files.atomic import whole_or_nothing
from idsweep.files.parquet import write_table
from idsweep.live.budget import Budget
from idsweep.live.estimates import Estimator, Summary
from idsweep.live.ranks import agreed, is_first
from idsweep.live.sampled import draw_tokens, read_tokens
from idsweep.live.settings import Settings
from idsweep.live.states import ModuleStates, States, Take, TokenStates
from idsweep.live.sweep_config import written
from idsweep.live.table import Measurements
from idsweep.live.undisturbed import device_of, undisturbed, unwrapped
from idsweep.live.watched import LiveEvent, Watched

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


class Measurement(NamedTuple):
    """What was measured at one step.

    runtime: seconds, pass and estimation together. estimates: columns of `columns.ESTIMATES`, the values of the points. events: what
    was decided by it.
    """

    step: int
    runtime: float
    summaries: dict[str, Summary]
    estimates: dict[str, pa.Table]
    events: Sequence[LiveEvent] = ()

    def metrics(self) -> dict[str, float]:
        """`layer_12/mean`, `…/median`, `…/standard_error`, `…/n_undefined` of each representation, and `runtime`.

        Where an event was decided, `layer_12/peak` (or another) is the step at which it is.
        """
        named = {
            f"{name}/{key}": getattr(found, key)
            for name, found in self.summaries.items()
            for key in ("mean", "median", "standard_error", "n_undefined")
        }
        decided = [(event.representation, event.decision) for event in self.events]
        flags = {f"{name}/{one.name}": one.step for name, one in decided if not one.withdrawn}
        return named | flags | {"runtime": self.runtime}


class LiveDimension:
    """The local dimension of a model's layers at fixed tokens, measured as often as you ask while the model is trained.

    The numbers are those that a sweep measures on the checkpoint saved at the same step, digit for digit. The training is left as it
    is: modes, buffers and random numbers are afterwards what they were.

    Parameters
    ----------
    model
        Any `torch.nn.Module`; below DataParallel, DistributedDataParallel, `torch.compile` and PEFT the model itself is measured.
    tokenizer, texts
        Of a transformers model: its tokenizer, and the texts of which tokens are drawn once, as a sweep draws them.
    layers
        Numbers, 0 for the embedding output, -1 for the last layer.
    tokens
        In place of texts, the file of tokens that a sweep has drawn, below results/SWEEP/tokens/.
    modules, inputs, take
        Of any other model, in place of layers and texts: names of submodules, and batches to run; see `states.ModuleStates`.
    n_neighbors, estimator, parameters
        The local estimator, its neighbourhood and further parameters, as in `estimator_sets` of a sweep.
    points
        Number of points N.
    max_length, select, seed
        `max_length` in tokens, and `select` and `seed` of the draw, as in `tokens` of a sweep.
    points_seed, cloud
        `seed` and the other keys of `points` of a sweep, as {"draw": "distinct"}.
    folder
        Where the table, the points and the tokens are kept (see `table.Measurements`), and found again by a training that goes on.
    background
        Estimate in a thread on the CPU while the training goes on. But for the first, `measure` then returns {}, and `finished` what is
        ready; the next waits until the last is.
    budget
        The share of the training time that measurements may take, as 0.02; others are skipped. The first is always made.
    batch_tokens
        Tokens in a batch of the forward pass.

    Raises
    ------
    ValueError
        If there is no tokenizer or text, too few points for the neighbours, a layer or module that the model lacks, no hidden states, or
        a folder of measurements with other settings.

    Examples
    --------
    >>> import torch
    >>> from idsweep.live import LiveDimension
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    >>> images = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    >>> live = LiveDimension(model, modules=["1"], inputs=[images], n_neighbors=16)
    >>> sorted(live.measure(0))
    ['1/mean', '1/median', '1/n_undefined', '1/standard_error', 'runtime']
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        texts: Sequence[str] | None = None,
        *,
        layers: Sequence[int] = (-1,),
        tokens: str | Path | None = None,
        modules: Sequence[str] = (),
        inputs: Iterable[Any] | None = None,
        take: Take | None = None,
        n_neighbors: int = 64,
        points: int = 3000,
        estimator: str = "twonn",
        parameters: Mapping[str, Any] | None = None,
        max_length: int = 512,
        select: str = "text",
        seed: int = 42,
        points_seed: int = 778,
        cloud: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        background: bool = False,
        budget: float | None = None,
        batch_tokens: int = 8192,
    ) -> None:
        self.settings = Settings(
            (tuple(layers) if isinstance(layers, Sequence) else (layers,)) if not modules else (),
            (modules,) if isinstance(modules, str) else tuple(modules),
            index(n_neighbors),
            index(points),
            estimator,
            max_length,
            select,
            seed,
            points_seed,
            dict(cloud or {}),
            dict(parameters or {}),
        )
        self._model, modules = model, self.settings.modules
        self._budget = Budget(budget)
        whole_cloud = {"tokens": "all", "sequences": None, "number": points, "seed": points_seed} | self.settings.cloud
        self._estimate = Estimator(estimator, self.settings.n_neighbors, whole_cloud, self.settings.parameters)
        self.texts: list[str] | None = None
        self.tokens_file = None if tokens is None else Path(tokens)
        with undisturbed(model):
            if modules or inputs is not None:
                if not modules or inputs is None:
                    raise ValueError("modules and inputs: give both, or layers with a tokenizer and texts.")
                self._states: TokenStates | ModuleStates = ModuleStates(
                    model, modules, inputs, points, points_seed, take
                )
                for states in self._states.read(model).values():
                    self._estimate.check(len(states.ids))
            else:
                sampled = self._sampled(tokenizer, texts)
                self._estimate.check(len(sampled.points))
                self._states = TokenStates(model, sampled, self.settings.layers, batch_tokens)
        shaping = self.settings.shaping() | {"source": self._states.digest()}
        self.measurements = Measurements(folder if is_first() else None, shaping)
        if len(self.table):
            last = self.table["step"].to_pylist()[-1]
            logger.info("%s holds a curve up to step %d, which is gone on with.", folder, last)
        if self.texts is not None and self.measurements.folder is not None:
            _keep_tokens(self.measurements.folder, sampled, self.texts, shaping)
        self._watched = Watched(self.table)
        self._last: Measurement | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local_dimension") if background else None
        self._waiting: list[tuple[int, Future[Measurement]]] = []

    @property
    def names(self) -> list[str]:
        """What is measured: `layer_06` … or the modules' names."""
        return self._states.names

    @property
    def last(self) -> Measurement | None:
        """The last measurement of this process."""
        return self._last

    @property
    def table(self) -> pa.Table:
        """What was measured so far, columns of `table.TABLE`."""
        return self.measurements.table

    def events(self) -> list[LiveEvent]:
        """What the curves have shown so far: peaks, onsets of a fall, plateaus and upturns, in the order in which they were decided."""
        return list(self._watched.events)

    def measure(self, step: int) -> dict[str, float]:
        """Measure the model as it is now, and return `Measurement.metrics`.

        Empty if the step is skipped by the budget, is measured in the background, or could not be measured, which is logged: a
        training is not ended by what only watches it. But the first measurement raises what is wrong. A step before those that the
        table holds is not measured, which is logged; `go_on_from` forgets them.
        """
        measured = self.measurement(step)
        if measured is None and self._last is not None and self._last.step == step:
            measured = self._last
        return {} if measured is None else measured.metrics()

    def measurement(self, step: int) -> Measurement | None:
        """As `measure`, with the values of all points and the events."""
        if not self.is_allowed(step):
            return None
        begin = time.monotonic()
        try:
            with undisturbed(self._model):
                states = self._states.read(self._model)
            if self._thread is not None and len(self.table):
                wait([future for _, future in self._waiting])  # states of one step at most lie in memory
                self._waiting.append((step, self._thread.submit(self._estimated, step, begin, states)))
                return None
            return self._kept(self._estimated(step, begin, states))
        except Exception as error:
            if not len(self.table):
                raise
            logger.warning(
                "step %d: the local dimension could not be measured, and the training goes on: %s", step, error
            )
            return None
        finally:
            self._budget.spend(time.monotonic() - begin)

    def is_allowed(self, step: int) -> bool:
        """Whether a step is to be measured: a later one than all before, within the budget. All processes of a training agree."""
        last = max([*self.table["step"].to_pylist(), *(waiting for waiting, _ in self._waiting)], default=-math.inf)
        if step < last:
            logger.warning(
                "step %d is not measured: the table goes up to step %d. go_on_from(step) forgets what is later.",
                step,
                last,
            )
        return agreed(step > last and self._budget.allows(), device_of(self._model))

    def finished(self, *, all_of_them: bool = False) -> list[Measurement]:
        """What was estimated in the background since the last call, in the order of the steps. all_of_them: wait for what is not ready."""
        ready = []
        while self._waiting and (all_of_them or self._waiting[0][1].done()):
            step, future = self._waiting.pop(0)
            try:
                ready.append(self._kept(future.result()))
            except Exception as error:
                logger.warning("step %d: the local dimension could not be estimated: %s", step, error)
        return ready

    def go_on_from(self, step: int) -> None:
        """Forget what was measured after `step`, from which a training goes on."""
        self.measurements.forget_after(step)
        self._watched = Watched(self.table)

    def close(self) -> list[Measurement]:
        """End the background thread; returns what it still had to estimate."""
        left = self.finished(all_of_them=True)
        if self._thread is not None:
            self._thread.shutdown()
        return left

    def agreed(self, decision: bool) -> bool:
        """What rank 0 has decided of several processes, each of which has to ask."""
        return agreed(decision, device_of(self._model))

    def sweep_config(self, checkpoints: str | Path, kind: str, *, name: str = "live") -> str:
        """The YAML of a sweep that measures saved checkpoints as they were measured here; see `sweep_config.written`."""
        dtype = str(next(unwrapped(self._model).parameters()).dtype).removeprefix("torch.")
        return written(self.settings, self.measurements, self.tokens_file, dtype, checkpoints, kind, name)

    def _estimated(self, step: int, begin: float, states: Mapping[str, States]) -> Measurement:
        found = {name: self._estimate(name, of_one) for name, of_one in states.items()}
        summaries = {name: summary for name, (summary, _) in found.items()}
        return Measurement(
            step, time.monotonic() - begin, summaries, {name: table for name, (_, table) in found.items()}
        )

    def _kept(self, measured: Measurement) -> Measurement:
        self.measurements.add(measured.step, measured.runtime, measured.summaries, measured.estimates)
        events = self._watched.add(measured.step, measured.summaries)
        for event in events:
            logger.info("step %d: %s", measured.step, event)
        self._last = measured._replace(events=events)
        return self._last

    def _sampled(self, tokenizer: PreTrainedTokenizerBase | None, texts: Sequence[str] | None) -> SampledTokens:
        """The tokens that are measured; what was drawn is kept in the folder, and has to be the same in a training that goes on."""
        if self.tokens_file is not None:
            return read_tokens(self.tokens_file)
        if tokenizer is None or texts is None:
            missing = "tokenizer" if tokenizer is None else "texts"
            raise ValueError(
                f"{missing}: layers are measured at tokens of texts; give a tokenizer and texts, or tokens= a file that a sweep has "
                "drawn."
            )
        if isinstance(texts, str):
            raise ValueError("texts: a list of strings is needed, one for each sequence.")
        settings, texts = self.settings, list(texts)
        drawn = draw_tokens(
            texts,
            tokenizer,
            number=settings.points,
            max_length=settings.max_length,
            select=settings.select,
            seed=settings.seed,
        )
        self.texts = texts
        return drawn


def _keep_tokens(folder: Path, drawn: SampledTokens, texts: Sequence[str], settings: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(folder / "texts.jsonl") as unfinished:
        unfinished.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    write_table(folder / "sequences.parquet", drawn.sequences, {"settings": settings})
    write_table(folder / "tokens.parquet", drawn.points, {"settings": settings})
