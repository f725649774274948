"""A causal model trained on a part of all equations `a o b = c` until it knows the others.

Power et al. 2022, "Grokking: Generalization beyond overfitting on small algorithmic datasets" (arXiv:2201.02177).
"""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from idsweep.data.equations import Equations, of_entry, split, token_ids, vocabulary
from idsweep.machine.progress import Progress
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.architecture import model_config
from idsweep.training.checkpoint import save_checkpoint
from idsweep.training.metrics import METRICS
from idsweep.training.task import Task
from idsweep.training.unfinished import Unfinished

TRAINING = {
    "about": "all equations of a task, a part of which is trained on.",
    "kinds": {"causal": {}, "encoder": {}},
    "metrics": ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"),
    "loader": "equations",
    "share": {"trained_fraction": "fraction"},
    "tokenizer": "write_tokenizer",
    "cost": "equations",
    "gpu": True,
    "without_effect": {"embedding_std": {"initialization": "transformers"}},
    "check": "grokking_checks",
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
            "description": "Steps of linear warm-up; linear decay to zero follows.",
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
        "initialization": {
            "description": "Initial weights as PyTorch's layers have them, or as transformers' config says.",
            "enum": "INITIALIZATIONS",
            "default": "torch",
        },
        "embedding_std": {
            "description": "Standard deviation of the embeddings' initial weights, for initialization torch.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 1.0,
        },
        "metrics_every": {
            "description": "Steps between two measurements of losses and accuracies.",
            "type": "integer",
            "minimum": 1,
            "default": 10,
        },
        "evaluated": {
            "description": "Training and validation equations, each, that these are measured on (null: all).",
            "type": ["integer", "null"],
            "minimum": 1,
            "default": 1024,
        },
        "seed": {
            "description": "Seed of the split, the initial weights and the order of the equations.",
            "type": "integer",
            "minimum": 0,
            "maximum": 2147483647,
            "default": 0,
        },
    },
}

logger = logging.getLogger(__name__)

INITIALIZATIONS = ("torch", "transformers")
EVALUATED_AT_ONCE = 512


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `train_grokking` on a part of the dataset's equations."""
    given = dict(task.settings["training"])
    equations = of_entry(task.settings["texts"]["dataset"]["entry"])
    return train_grokking(
        equations,
        *split(len(equations.left), given.pop("fraction"), given["seed"]),
        task.tokenizer,
        task.checkpoints,
        identity=task.identity,
        architecture=task.settings["architecture"],
        checkpoints=task.settings["checkpoints"],
        device=task.device,
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
    seed: int,
    checkpoints: Collection[int],
    identity: str,
    initialization: str = "torch",
    embedding_std: float = 1.0,
    device: str = "cpu",
    metrics_every: int = 10,
    evaluated: int | None = 1024,
) -> pa.Table:
    """Train a model to predict c at the "=" of "a o b =", and save `checkpoints`, steps, as model folders `step{n}`.

    Cross entropy at "=" alone; AdamW with decoupled weight decay on all parameters, its gradients clipped to the norm
    `gradient_clipping`; linear warm-up, then linear decay that would reach zero at `decay_steps`. Every epoch takes the
    training equations in another order, and batches run on from one epoch into the next. Step 0 is the model before
    any training.

    Parameters
    ----------
    train, validation
        int64, places in `equations`.
    tokenizer_folder
        A tokenizer whose ids are the places in `idsweep.data.equations.vocabulary(equations)`.
    architecture
        `model_type` and what its config is to have (see `idsweep.training.architecture`), but for the vocabulary.
    initialization
        "torch": PyTorch's defaults, which are uniform within ±1/√(inputs) for weights and biases of linear layers, and
        normal for embeddings, with deviation `embedding_std` (PyTorch's is 1). "transformers": what the architecture's
        config says.
    identity
        What shapes weights and metrics (the training's signature). A training of the same identity and output folder
        that was killed goes on from its last saved state, and ends with the weights that it would have had; one of
        another identity starts anew.
    metrics_every, evaluated
        At every so many steps, at step 0, at the last one and at checkpoints, so many equations of each part, drawn
        once (all if None), are evaluated. Neither shapes the weights.

    Returns a table step int64 | metric string | value float64 with `train_loss`, `validation_loss` (mean cross entropy
    in nats), `train_accuracy` and `validation_accuracy` (share of right answers), with dropout off.

    Deterministic for a given seed, device and number of threads. Torch's random numbers outside are left as they were.

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
        embedding_std=embedding_std,
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
    if initialization not in INITIALIZATIONS:
        raise ValueError(
            f"initialization: {initialization!r} is not known; choose one of {', '.join(INITIALIZATIONS)}."
        )
    _check_parts(equations, train, validation, batch_size)
    words = vocabulary(equations)
    tokenizer = load_tokenizer(tokenizer_folder)
    if tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) != words:
        raise ValueError(
            f"{tokenizer_folder}: the tokenizer's {len(tokenizer)} tokens are not the {len(words)} words of these "
            "equations in their order; make it by word_tokenizer(vocabulary(equations), folder)."
        )
    sequences = token_ids(equations)
    config = model_config(architecture, vocab_size=len(words), sequence_length=sequences.shape[1])

    with _own_randomness(seed, device):
        try:
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        except ValueError as error:
            raise ValueError(f"architecture: it does not make a causal model: {error}") from error
        if initialization == "torch":
            initialize_as_torch(model, embedding_std)
        model.to(device).train()
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
            config.model_type,
            model.num_parameters(),
            len(train),
            len(validation),
        )
        parts = {
            "train": _drawn(train, evaluated, seed, device),
            "validation": _drawn(validation, evaluated, seed, device),
        }
        with Unfinished(output_folder, identity) as unfinished:
            state = unfinished.state()
            if state is not None:
                training.restore(state)
                logger.info("Going on from step %d.", state["step"])
            first, metrics = (0, []) if state is None else (state["step"], state["metrics"])
            progress = Progress("training", steps, "steps")
            detail = ""

            def keep(step: int) -> None:
                """What is to be evaluated and saved at a step."""
                nonlocal detail
                save = step in steps_to_save
                if save or step % metrics_every == 0 or step == steps:
                    values = training.evaluate(parts)
                    _check_finite(values, step, learning_rate)
                    metrics.extend([step, metric, value] for metric, value in values.items())
                    detail = "training accuracy {train_accuracy:.2f}, validation accuracy {validation_accuracy:.2f}"
                    detail = detail.format(**values)
                if save:
                    save_checkpoint(model, tokenizer, unfinished.checkpoints / f"step{step}")
                if save or unfinished.due:
                    unfinished.save({"step": step, "metrics": metrics} | training.state())
                progress.report(step, detail)

            if state is None:
                keep(0)
            batches = _batches(train, batch_size, seed, first, device)
            for step, batch in zip(range(first + 1, steps + 1), batches, strict=False):
                training.step(batch, learning_rate * _rate_factor(step - 1, warmup_steps, decay_steps))
                keep(step)
            unfinished.finish()
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(zip(*metrics, strict=True), METRICS, strict=True)],
        schema=METRICS,
    )


def initialize_as_torch(model: nn.Module, embedding_std: float = 1.0) -> None:
    """Draw the weights of embeddings and linear layers anew, as PyTorch does by default, from torch's generator.

    Embeddings are normal with deviation `embedding_std`; weights and biases of linear layers are uniform within ±1/√(inputs), which
    is what `torch.nn.Linear` does; GPT-2's Conv1D is a linear layer. Where the output matrix is tied to the embeddings,
    both are as embeddings. Other parameters, of norms for instance, keep their values.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
        elif isinstance(module, Conv1D):
            bound = 1 / math.sqrt(module.nx)
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.uniform_(module.bias, -bound, bound)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=embedding_std)


class _Training:
    """A model, its optimiser, and all sequences int64 (n, 4) and answers int64 (n,) on its device."""

    def __init__(
        self,
        model: PreTrainedModel,
        sequences: torch.Tensor,
        answers: torch.Tensor,
        optimizer: torch.optim.Optimizer,
        gradient_clipping: float,
    ) -> None:
        self._model, self._sequences, self._answers = model, sequences, answers
        self._optimizer, self._gradient_clipping = optimizer, gradient_clipping
        self._parameters = list(model.parameters())
        # The cache stays on: without one, transformers looks for packed sequences, and waits for the device to do so.
        keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._options = {"logits_to_keep": 1} if keeps else {}

    def step(self, batch: torch.Tensor, learning_rate: float) -> None:
        """One update on the equations int64 (batch,). It does not wait for the device."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        loss = cross_entropy(self._logits(batch), self._answers[batch])
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self._gradient_clipping)
        self._optimizer.step()

    def evaluate(self, parts: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Loss and accuracy on each part, int64 places of equations."""
        values = {}
        self._model.eval()
        with torch.no_grad():
            for name, places in parts.items():
                logits = torch.cat([self._logits(some) for some in places.split(EVALUATED_AT_ONCE)])
                answers = self._answers[places]
                values[f"{name}_loss"] = cross_entropy(logits, answers).item()
                values[f"{name}_accuracy"] = (logits.argmax(-1) == answers).double().mean().item()
        self._model.train()
        return values

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

    def _logits(self, places: torch.Tensor) -> torch.Tensor:
        """float32 (m, vocabulary): the prediction at "="."""
        return self._model(input_ids=self._sequences[places], **self._options).logits[:, -1]


def _batches(train: np.ndarray, batch_size: int, seed: int, first: int, device: str) -> Iterator[torch.Tensor]:
    """Batches int64 (batch_size,) from number `first` on, of the epochs' permutations one after the other.

    Epoch e is a permutation by PCG64 from [seed, e], so that any batch is known from its number.
    """
    epoch, begin = divmod(first * batch_size, len(train))

    def shuffled(epoch: int) -> torch.Tensor:
        return torch.from_numpy(np.random.Generator(np.random.PCG64([seed, epoch])).permutation(train)).to(device)

    order = shuffled(epoch)
    while True:
        end = begin + batch_size
        if end <= len(train):
            yield order[begin:end]
            begin = end
        else:
            epoch, rest, begin = epoch + 1, order[begin:], end - len(train)
            order = shuffled(epoch)
            yield torch.cat([rest, order[:begin]])


def _rate_factor(updates: int, warmup_steps: int, decay_steps: int) -> float:
    """What the learning rate is multiplied by after so many updates: above zero from the first to the last."""
    if updates < warmup_steps:
        return (updates + 1) / warmup_steps
    return (decay_steps - updates) / (decay_steps - warmup_steps)


def _drawn(places: np.ndarray, number: int | None, seed: int, device: str) -> torch.Tensor:
    """`number` of the places, drawn by PCG64 from `seed`; all if it is None or there are no more."""
    if number is not None and number < len(places):
        places = np.sort(np.random.Generator(np.random.PCG64(seed)).choice(places, number, replace=False))
    return torch.from_numpy(places).to(device)


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


def _check_parts(equations: Equations, train: np.ndarray, validation: np.ndarray, batch_size: int) -> None:
    number = len(equations.answer)
    for name, places in (("train", train), ("validation", validation)):
        if len(places) == 0 or places.min() < 0 or places.max() >= number:
            raise ValueError(f"{name}: it must hold places of equations from 0 to {number - 1}, at least one.")
    if len(both := np.intersect1d(train, validation)):
        raise ValueError(f"train, validation: both hold equation {both[0]}; they must have none in common.")
    if batch_size > len(train):
        raise ValueError(f"batch_size: {batch_size}, but there are only {len(train)} equations to train on.")


def _check_finite(values: Mapping[str, float], step: int, learning_rate: float) -> None:
    for metric, value in values.items():
        if not math.isfinite(value):
            raise ValueError(
                f"{metric} is {value} at step {step}: the training diverged under learning_rate {learning_rate}. "
                "Lower it, or raise warmup_steps."
            )
