"""An equation decoder trained on a part of all equations `a o b = c` until it knows the others.

Power et al. 2022, "Grokking: Generalization beyond overfitting on small algorithmic datasets" (arXiv:2201.02177). Model, optimiser and
batches are by default those of arXiv:2506.01034.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from idsweep.data.equations import Equations, of_entry, split, token_ids, vocabulary
from idsweep.machine.progress import Progress
from idsweep.models.equation_decoder import EquationDecoderForAnswers
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.architecture import model_config
from idsweep.training.checkpoint import save_checkpoint
from idsweep.training.metrics import METRICS
from idsweep.training.task import Task
from idsweep.training.unfinished import Unfinished

TRAINING = {
    "about": "all equations of a task, a part of which is trained on.",
    "kinds": {"encoder": {}},
    "metrics": ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"),
    "loader": "equations",
    "share": {"trained_fraction": "fraction"},
    "tokenizer": "write_tokenizer",
    "cost": "equations",
    "gpu": True,
    "check": "grokking_checks",
    "architecture": {
        "model_type": {"description": "The decoder of the published experiments, the only one.", "enum": "MODEL_TYPES"},
        "hidden_size": {"description": "Width.", "type": "integer", "minimum": 1, "default": 128},
        "num_hidden_layers": {"description": "Number of blocks.", "type": "integer", "minimum": 1, "default": 2},
        "num_attention_heads": {
            "description": "Heads of the attention; the width is a multiple.",
            "type": "integer",
            "minimum": 1,
            "default": 4,
        },
        "intermediate_size": {
            "description": "Width inside the blocks' perceptrons.",
            "type": "integer",
            "minimum": 1,
            "default": 512,
        },
        "max_position_embeddings": {
            "description": "Positions, 4 at least.",
            "type": "integer",
            "minimum": 2,
            "default": 5,
        },
        "dropout": {
            "description": "Share dropped: of embeddings, the attention's matrix, and inside and behind each part of a block.",
            "type": "number",
            "minimum": 0,
            "exclusiveMaximum": 1,
            "default": 0.1,
        },
    },
    "required": ("dataset", "fraction", "steps"),
    "keys": {
        "dataset": {"description": "Name in the catalog of datasets, one of loader equations.", "type": "string"},
        "fraction": {
            "description": "Fraction of the equations that is trained on; the others are for validation.",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
        },
        "steps": {"description": "Training steps.", "type": "integer", "minimum": 1},
        "batch_size": {
            "description": "Equations in one step.",
            "type": "integer",
            "minimum": 1,
            "maximum": 1000000,
            "default": 512,
        },
        "learning_rate": {
            "description": "Highest learning rate, of AdamW.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 0.001,
        },
        "betas": {
            "description": "Decay rates of AdamW's moments.",
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "default": [0.9, 0.98],
        },
        "epsilon": {
            "description": "AdamW's term against division by zero.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 0.000001,
        },
        "weight_decay": {
            "description": "Decoupled weight decay, of AdamW.",
            "type": "number",
            "minimum": 0,
            "default": 0.01,
        },
        "gradient_clipping": {
            "description": "Largest norm of the gradient.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 1.0,
        },
        "warmup_steps": {
            "description": "Steps in which the learning rate rises from a third to its height; linear decay to zero follows.",
            "type": "integer",
            "minimum": 0,
            "default": 10,
        },
        "decay_steps": {
            "description": "Step at which the learning rate would be zero, at least `steps`.",
            "type": "integer",
            "minimum": 1,
            "default": 400000,
        },
        "metrics_every": {
            "description": "Steps between two measurements of losses and accuracies.",
            "type": "integer",
            "minimum": 1,
            "default": 10,
        },
        "evaluated": {
            "description": "Validation equations that are drawn anew for each measurement, with replacement (null: all, each once).",
            "type": ["integer", "null"],
            "minimum": 1,
            "default": 4096,
        },
        "seed": {
            "description": "Seed of the split into training and validation equations; that of each run, with `seeds`.",
            "type": "integer",
            "minimum": 0,
            "maximum": 2147483647,
            "default": 0,
        },
        "model_seed": {
            "description": "Seed of the initial weights, the batches and dropout, one for all splits (null: that of the split).",
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 2147483647,
            "default": 1234,
        },
    },
}

logger = logging.getLogger(__name__)

MODEL_TYPES = ("equation_decoder",)
EVALUATED_AT_ONCE = 512
WARMUP_FROM = 1 / 3  # of the highest learning rate
TRAINED_ON, EVALUATED_ON = 0, 1  # streams of random numbers


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `train_grokking` on a part of the dataset's equations."""
    given = dict(task.settings["training"])
    equations = of_entry(task.settings["texts"]["dataset"]["entry"])
    split_seed, model_seed = given.pop("seed"), given.pop("model_seed")
    return train_grokking(
        equations,
        *split(len(equations.left), given.pop("fraction"), split_seed),
        task.tokenizer,
        task.checkpoints,
        identity=task.identity,
        architecture=task.settings["architecture"],
        checkpoints=task.settings["checkpoints"],
        device=task.device,
        model_seed=split_seed if model_seed is None else model_seed,
        **given,
    )


def train_grokking(
    equations: Equations,
    train: np.ndarray,
    validation: np.ndarray,
    tokenizer_folder: str | Path,
    output_folder: str | Path,
    *,
    architecture: Mapping[str, Any],
    steps: int,
    batch_size: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
    gradient_clipping: float,
    warmup_steps: int,
    decay_steps: int,
    model_seed: int,
    checkpoints: Collection[int],
    identity: str,
    device: str = "cpu",
    metrics_every: int = 10,
    evaluated: int | None = 4096,
) -> pa.Table:
    """Train a decoder to name c at the "=" of "a o b =", and save `checkpoints`, steps, as model folders `step{n}`.

    Cross entropy over the answers at "=" alone; AdamW with decoupled weight decay on all parameters, its gradients clipped to the
    norm `gradient_clipping`. The learning rate rises linearly from a third of its height within `warmup_steps`, then falls
    linearly and would reach zero at `decay_steps`. Each batch is drawn from the training equations with replacement. Step 0 is
    the model before any training.

    Parameters
    ----------
    train, validation
        int64, places in `equations`.
    tokenizer_folder
        A tokenizer whose ids are the places in `idsweep.data.equations.vocabulary(equations)`.
    architecture
        `model_type: equation_decoder` and what its config is to have (see `idsweep.models.equation_decoder`), but for the
        vocabulary.
    model_seed
        Of the initial weights, the batches and dropout. The split is the caller's.
    identity
        What shapes weights and metrics (the training's signature). A training of the same identity and output folder
        that was killed goes on from its last saved state, and ends with the weights that it would have had; one of
        another identity starts anew.
    metrics_every
        Steps between two measurements; there are others at the last step and at checkpoints. They do not shape the weights.
    evaluated
        So many validation equations are drawn anew for each measurement, with replacement; all are taken once if None.

    Returns a table step int64 | metric string | value float64 with `train_loss`, `validation_loss` (mean cross entropy
    in nats), `train_accuracy` and `validation_accuracy` (share of right answers). The training metrics at step n are those of
    its own batch, with dropout, before the update; so there are none at step 0. Validation is without dropout, after it.

    Deterministic for a given `model_seed`, device and number of threads. Torch's random numbers outside are left as they were.

    Raises ValueError before any work if a setting is out of bounds or the architecture unknown, misspelt or too short,
    if the tokenizer is not the equations', or if `train` and `validation` overlap or lie outside the equations; and
    during training if the loss is not finite.
    """
    steps_to_save = frozenset(checkpoints)
    if not steps_to_save or min(steps_to_save) < 0 or max(steps_to_save) > steps:
        raise ValueError(f"checkpoints: {sorted(steps_to_save)} must be steps from 0 to {steps}, at least one.")
    _check_numbers(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        epsilon=epsilon,
        gradient_clipping=gradient_clipping,
        decay_steps=decay_steps,
        metrics_every=metrics_every,
        evaluated=math.inf if evaluated is None else evaluated,
    )
    if weight_decay < 0:
        raise ValueError(f"weight_decay: {weight_decay} is negative.")
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas: {list(betas)} must be two numbers from 0 to below 1, as [0.9, 0.98].")
    if not 0 <= warmup_steps < decay_steps or decay_steps < steps:
        raise ValueError(
            f"warmup_steps, decay_steps: {warmup_steps} and {decay_steps} do not fit {steps} steps. The learning rate "
            "rises until warmup_steps, 0 or more, and falls to zero at decay_steps, which is more and at least `steps`."
        )
    _check_parts(equations, train, validation)
    words = vocabulary(equations)
    tokenizer = load_tokenizer(tokenizer_folder)
    if tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) != words:
        raise ValueError(
            f"{tokenizer_folder}: the tokenizer's {len(tokenizer)} tokens are not the {len(words)} words of these "
            "equations in their order; make it by word_tokenizer(vocabulary(equations), folder)."
        )
    sequences = token_ids(equations)
    config = model_config(architecture, vocab_size=len(words), sequence_length=sequences.shape[1])
    if config.model_type not in MODEL_TYPES:
        raise ValueError(
            f"architecture.model_type: {config.model_type!r} is not trained on equations; write {MODEL_TYPES[0]}."
        )

    with _own_randomness(model_seed, device):
        model = EquationDecoderForAnswers(config).to(device).train()
        training = _Training(
            model,
            torch.from_numpy(sequences).to(device),
            torch.from_numpy(equations.answer).to(device),
            torch.optim.AdamW(
                model.parameters(),
                lr=learning_rate,
                betas=tuple(betas),
                eps=epsilon,
                weight_decay=weight_decay,
                fused=True,
            ),
            gradient_clipping,
        )
        logger.info(
            "%s of %d parameters; %d equations to train on, %d to validate.",
            *(config.model_type, model.num_parameters(), len(train), len(validation)),
        )
        with Unfinished(output_folder, identity) as unfinished:
            state = unfinished.state()
            if state is not None:
                training.restore(state)
                logger.info("Going on from step %d.", state["step"])
            first, metrics = (0, []) if state is None else (state["step"], state["metrics"])
            progress = Progress("training", steps, "steps")
            if state is None and 0 in steps_to_save:
                save_checkpoint(model, tokenizer, unfinished.checkpoints / "step0")
            detail = ""
            for step in range(first + 1, steps + 1):
                batch = _drawn(train, batch_size, model_seed, step, TRAINED_ON)
                outcome = training.step(
                    batch.to(device), learning_rate * _rate_factor(step - 1, warmup_steps, decay_steps)
                )
                save = step in steps_to_save
                if save or step % metrics_every == 0 or step == steps:
                    places = (
                        validation
                        if evaluated is None
                        else _drawn(validation, evaluated, model_seed, step, EVALUATED_ON)
                    )
                    values = outcome.metrics("train") | training.evaluate(
                        torch.as_tensor(places, device=device)
                    ).metrics("validation")
                    _check_finite(values, step, learning_rate)
                    metrics.extend([step, metric, value] for metric, value in values.items())
                    detail = "training accuracy {train_accuracy:.2f}, validation accuracy {validation_accuracy:.2f}"
                    detail = detail.format(**values)
                if save:
                    save_checkpoint(model, tokenizer, unfinished.checkpoints / f"step{step}")
                if save or unfinished.due:
                    unfinished.save({"step": step, "metrics": metrics} | training.state())
                progress.report(step, detail)
            unfinished.finish()
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(zip(*metrics, strict=True), METRICS, strict=True)],
        schema=METRICS,
    )


class _Outcome(NamedTuple):
    """Logits (m, answers) and right answers (m,) of some equations, and their mean cross entropy, on the device."""

    logits: torch.Tensor
    answers: torch.Tensor
    loss: torch.Tensor

    def metrics(self, part: str) -> dict[str, float]:
        """Reads the values, for which it waits for the device."""
        right = self.logits.argmax(-1) == self.answers
        return {f"{part}_loss": self.loss.item(), f"{part}_accuracy": right.double().mean().item()}


class _Training:
    """A model, its optimiser, and all sequences int64 (n, 4) and answers int64 (n,) on its device."""

    def __init__(
        self,
        model: EquationDecoderForAnswers,
        sequences: torch.Tensor,
        answers: torch.Tensor,
        optimizer: torch.optim.Optimizer,
        gradient_clipping: float,
    ) -> None:
        self._model, self._sequences, self._answers = model, sequences, answers
        self._optimizer, self._gradient_clipping = optimizer, gradient_clipping
        self._parameters = list(model.parameters())

    def step(self, batch: torch.Tensor, learning_rate: float) -> _Outcome:
        """One update on the equations int64 (batch,), and what the model said before it. It does not wait for the device."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        outcome = self._outcome(self._model(self._sequences[batch]), batch)
        self._optimizer.zero_grad()
        outcome.loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self._gradient_clipping)
        self._optimizer.step()
        return outcome

    @torch.no_grad()
    def evaluate(self, places: torch.Tensor) -> _Outcome:
        """What the model says of equations, int64 places, without dropout."""
        self._model.eval()
        logits = torch.cat([self._model(self._sequences[some]) for some in places.split(EVALUATED_AT_ONCE)])
        self._model.train()
        return self._outcome(logits, places)

    def _outcome(self, logits: torch.Tensor, places: torch.Tensor) -> _Outcome:
        answers = self._answers[places]
        return _Outcome(logits, answers, cross_entropy(logits, answers))

    def state(self) -> dict[str, Any]:
        """All that later steps depend on."""
        state = {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        if self._sequences.is_cuda:
            state["random_cuda"] = torch.cuda.get_rng_state(self._sequences.device)
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if self._sequences.is_cuda and "random_cuda" in state:  # not where a CPU trained before
            torch.cuda.set_rng_state(state["random_cuda"], self._sequences.device)


def _rate_factor(updates: int, warmup_steps: int, decay_steps: int) -> float:
    """What the learning rate is multiplied by after so many updates: above zero from the first to the last."""
    if updates < warmup_steps:
        return WARMUP_FROM + (1 - WARMUP_FROM) * updates / warmup_steps
    return (decay_steps - updates) / (decay_steps - warmup_steps)


def _drawn(places: np.ndarray, number: int, seed: int, step: int, stream: int) -> torch.Tensor:
    """int64 (number,): some of the places, drawn with replacement by PCG64 from the seed, the step and the stream.

    So any draw is known from its step, wherever a training goes on.
    """
    generator = np.random.Generator(np.random.PCG64([seed, step, stream]))
    return torch.from_numpy(places[generator.integers(len(places), size=number)])


@contextmanager
def _own_randomness(seed: int, device: str) -> Iterator[None]:
    """Torch's generators start from `seed` and its algorithms are deterministic; both are as before afterwards."""
    on_cuda = torch.device(device).type == "cuda"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[torch.device(device)] if on_cuda else []):
        torch.manual_seed(seed)
        if on_cuda:
            # Without it cuBLAS has no deterministic algorithms, and torch refuses to run.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _check_numbers(**values: float) -> None:
    for key, value in values.items():
        if not value > 0:
            raise ValueError(f"{key}: {value} is not more than zero.")


def _check_parts(equations: Equations, train: np.ndarray, validation: np.ndarray) -> None:
    number = len(equations.answer)
    for name, places in (("train", train), ("validation", validation)):
        if len(places) == 0 or places.min() < 0 or places.max() >= number:
            raise ValueError(f"{name}: it must hold places of equations from 0 to {number - 1}, at least one.")
    if len(both := np.intersect1d(train, validation)):
        raise ValueError(f"train, validation: both hold equation {both[0]}; they must have none in common.")


def _check_finite(values: Mapping[str, float], step: int, learning_rate: float) -> None:
    for metric, value in values.items():
        if not math.isfinite(value):
            raise ValueError(
                f"{metric} is {value} at step {step}: the training diverged under learning_rate {learning_rate}. "
                "Lower it, or raise warmup_steps."
            )
