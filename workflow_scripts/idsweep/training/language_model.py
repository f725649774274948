"""Language models trained from scratch on packed text, causal or masked, saved at chosen steps."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from idsweep.data.corpora import load_sequences, split_sequences
from idsweep.data.tokens import special_ids
from idsweep.machine.progress import Progress
from idsweep.models.causality import sees_later_tokens
from idsweep.models.quiet import quiet_transformers
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.architecture import model_config
from idsweep.training.checkpoint import save_checkpoint
from idsweep.training.metrics import METRICS
from idsweep.training.task import Task
from idsweep.training.unfinished import Unfinished

TRAINING = {
    "about": "pretraining from scratch on texts.",
    "kinds": {"causal": {"masking": False}, "masked": {"masking": True}, "encoder": {}},
    "metrics": ("train_loss", "validation_loss"),
    "share": {"held_out_fraction": "validation_fraction"},
    "tokenizer": "train_tokenizer",
    "cost": "blocks",
    "gpu": True,
    "threads": 2,
    "mem_mb": 8000,
    "runtime": 240,
    "required": ("dataset", "steps"),
    "keys": {
        "dataset": {"description": "Name in the catalog of datasets.", "type": "string"},
        "validation_fraction": {
            "description": "Fraction of the texts that is held out for the validation loss.",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "default": 0.1,
        },
        "masking": {
            "description": "Share of tokens to be predicted from all others (masked language modelling, needed for kind "
            "masked); without it each token is predicted from those before it.",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
        },
        "steps": {"description": "Training steps.", "type": "integer", "minimum": 1},
        "batch_size": {
            "description": "Blocks in one step.",
            "type": "integer",
            "minimum": 1,
            "maximum": 1000000,
            "default": 16,
        },
        "sequence_length": {"description": "Tokens in one block.", "type": "integer", "minimum": 2, "default": 128},
        "learning_rate": {
            "description": "Highest learning rate, of AdamW.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 0.001,
        },
        "warmup_steps": {
            "description": "Steps of linear warm-up; cosine decay to zero follows.",
            "type": "integer",
            "minimum": 0,
            "default": 0,
        },
        "weight_decay": {
            "description": "Decoupled weight decay, of AdamW.",
            "type": "number",
            "minimum": 0,
            "default": 0.01,
        },
        "seed": {
            "description": "Seed of the split, the initial weights and the order of the blocks.",
            "type": "integer",
            "minimum": 0,
            "maximum": 2147483647,
            "default": 0,
        },
    },
}

logger = logging.getLogger(__name__)

REGULAR_EVALUATIONS = 8
TOKENS_IN_AN_EVALUATION = 8192
LARGEST_GRADIENT_NORM = 1.0
NOT_PREDICTED = -100

# Blocks of token ids int64 (number, length) -> what the model reads, and what it is to predict at each position, or
# `NOT_PREDICTED`, both of the same shape.
Objective = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `train_language_model` on a part of the dataset's texts."""
    given = dict(task.settings["training"])
    texts = load_sequences(task.settings["texts"]["dataset"]["entry"], task.files["dataset"])
    return train_language_model(
        *split_sequences(texts, given.pop("validation_fraction"), given["seed"]),
        task.tokenizer,
        task.checkpoints,
        identity=task.identity,
        architecture=task.settings["architecture"],
        checkpoints=task.settings["checkpoints"],
        device=task.device,
        **given,
    )


def train_language_model(
    texts: Sequence[str],
    validation_texts: Sequence[str],
    tokenizer_folder: str | Path,
    output_folder: str | Path,
    *,
    architecture: Mapping[str, Any],
    steps: int,
    batch_size: int,
    sequence_length: int,
    learning_rate: float,
    warmup_steps: int,
    weight_decay: float,
    seed: int,
    checkpoints: Collection[int],
    identity: str,
    masking: float | None = None,
    device: str = "cpu",
) -> pa.Table:
    """Train a language model and save each step of `checkpoints` as a model folder `step{n}`.

    Texts are joined, each ended by the end-of-text token, and cut into blocks of `sequence_length`. AdamW with
    gradients clipped to a norm of 1, linear warm-up, then cosine decay to zero. `architecture` holds `model_type` and
    what its config is to have, e.g. {"model_type": "gpt_neox", "hidden_size": 128, "num_hidden_layers": 4, ...}; the
    vocabulary and the special tokens come from the tokenizer. Step 0 is the model before any training.

    masking: None trains a causal model, which predicts each next token. A share trains a masked one: in every batch
        this share of the tokens is chosen anew, end-of-text tokens excepted, and predicted; 80 % of the chosen are
        replaced by the mask token, 10 % by a random token, 10 % left as they are (Devlin et al. 2019, section 3.1).
    identity: what shapes the training. A training that was killed goes on from its last state, which is kept beside
        `output_folder` at every checkpoint and every minute, if it was started with the same `identity`.

    Returns a table step int64 | metric string | value float64. `validation_loss` is the mean loss per predicted token
    (nats) over all validation blocks, `train_loss` the same over as many training blocks, drawn once; both
    at every checkpoint and at eight further steps, with dropout off. The evaluated blocks are masked once.

    On a CPU deterministic for a given seed and number of threads, also when it was killed meanwhile.

    Raises ValueError if the architecture is unknown, misspelt, or has no model of this kind, a checkpoint lies outside
    0…steps, blocks are longer than the model takes, the texts do not fill a block, nothing would be predicted, the
    tokenizer lacks a token that is needed, or the loss is no longer finite.
    """
    steps_to_save = sorted(set(checkpoints))
    if not steps_to_save or steps_to_save[0] < 0 or steps_to_save[-1] > steps:
        raise ValueError(f"checkpoints: {steps_to_save} must be steps from 0 to {steps}, at least one.")
    tokenizer = load_tokenizer(tokenizer_folder)
    objective: Objective = next_tokens if masking is None else MaskedTokens(tokenizer, masking)
    end = _end_of_text(tokenizer)
    with quiet_transformers():
        config = model_config(
            architecture,
            vocab_size=len(tokenizer),
            sequence_length=sequence_length,
            bos_token_id=end,
            eos_token_id=end,
            # Blocks are not padded. Some families never train the embedding of the padding token.
            pad_token_id=None if tokenizer.pad_token_id == end else tokenizer.pad_token_id,
        )
    train = _blocks(texts, tokenizer, end, sequence_length, "training")
    validation = _blocks(validation_texts, tokenizer, end, sequence_length, "validation")
    if len(train) < batch_size:
        raise ValueError(f"batch_size: {batch_size}, but the training texts fill only {len(train)} blocks.")
    torch.manual_seed(seed)
    with quiet_transformers():
        model = _new_model(config, train[0], masked=masking is not None)
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(train))[: len(validation)]
    evaluated = {"train_loss": train[np.sort(drawn)], "validation_loss": validation}
    _seed_step(seed, 0)
    evaluated = {metric: _predicting_some(metric, objective(blocks)) for metric, blocks in evaluated.items()}
    logger.info(
        "%s of %d parameters; %d blocks of %d tokens to train on, %d to validate.",
        config.model_type,
        model.num_parameters(),
        len(train),
        sequence_length,
        len(validation),
    )

    model.to(device)
    optimizer = _optimizer(model, weight_decay)
    metrics: list[dict[str, Any]] = []
    done = -1
    with Unfinished(output_folder, identity) as unfinished:
        if (state := unfinished.state()) is not None:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            metrics, done = state["metrics"], state["step"]
            logger.info("Going on from step %d.", done)
        progress = Progress("training", steps, "steps")
        coming = batches(train, batch_size, seed, max(0, done))
        for step in range(done + 1, steps + 1):
            if step > 0:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * schedule(step - 1, warmup_steps, steps)
                _seed_step(seed, step)
                _update(model, optimizer, *objective(next(coming)))
            save = step in steps_to_save
            if save:
                save_checkpoint(model, tokenizer, unfinished.checkpoints / f"step{step}")
            if save or step % max(1, steps // REGULAR_EVALUATIONS) == 0:
                for metric, blocks in evaluated.items():
                    value = _mean_loss(model, *blocks)
                    if not math.isfinite(value):
                        raise ValueError(
                            f"learning_rate: {learning_rate} is too high: at step {step} the {metric} is {value}. "
                            "Lower it, or raise warmup_steps."
                        )
                    metrics.append({"step": step, "metric": metric, "value": value})
            if save or unfinished.due:
                unfinished.save(
                    {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "metrics": metrics}
                )
            if step > 0:
                progress.report(step, f"validation loss {metrics[-1]['value']:.3f}")
        unfinished.finish()
    return pa.Table.from_pylist(metrics, schema=METRICS)


def next_tokens(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The objective of causal models: at each position of a block the next token, at the last one none."""
    return blocks, torch.nn.functional.pad(blocks[:, 1:], (0, 1), value=NOT_PREDICTED)


class MaskedTokens:
    """The objective of masked models: a share of the tokens, special ones excepted, by torch's generator.

    Raises ValueError if the share does not lie between 0 and 1, or the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(
                f"masking: {share} must lie between 0 and 1; BERT has 0.15. Leave it out for a causal model."
            )
        if tokenizer.mask_token_id is None:
            raise ValueError(
                f"masking: the tokenizer {tokenizer.name_or_path} has no mask token. Take that of a masked model, or "
                "train one with a mask token; leave masking out for a causal model."
            )
        self._collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=share)
        self._special = torch.tensor(sorted(special_ids(tokenizer).union(tokenizer.all_special_ids)))

    def __call__(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        special = torch.isin(blocks, self._special)
        return self._collator.torch_mask_tokens(blocks.clone(), special_tokens_mask=special)


def schedule(step: int, warmup_steps: int, steps: int) -> float:
    """The learning rate of update `step` (0…steps-1) as a share of the highest.

    It begins above zero, so that step 1 differs from step 0.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def batches(blocks: torch.Tensor, batch_size: int, seed: int, first: int) -> Iterator[torch.Tensor]:
    """Batches (batch_size, length) without end, from number `first` on.

    Each epoch draws an order of its own and leaves out what does not fill a batch.
    """
    in_an_epoch = len(blocks) // batch_size
    epoch, passed = divmod(first, in_an_epoch)
    while True:
        order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(seed + epoch))
        for rows in order.split(batch_size)[passed:in_an_epoch]:
            yield blocks[rows]
        epoch, passed = epoch + 1, 0


def _end_of_text(tokenizer: PreTrainedTokenizerBase) -> int:
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if end is None:
        raise ValueError(
            f"The tokenizer {tokenizer.name_or_path} has neither an end-of-text token nor a separator to put between "
            "texts; take another."
        )
    return end


def _blocks(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, end: int, sequence_length: int, what: str
) -> torch.Tensor:
    """Token ids int64 (blocks, sequence_length) of all texts in one stream, without the incomplete rest."""
    rows = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    stream = np.array([token for row in rows for token in (*row, end)], dtype=np.int64)
    number = len(stream) // sequence_length
    if number == 0:
        raise ValueError(
            f"The {what} texts have {len(stream)} tokens, too few for one block of {sequence_length} (sequence_length)."
        )
    return torch.from_numpy(stream[: number * sequence_length].reshape(number, sequence_length))


def _new_model(config: PreTrainedConfig, block: torch.Tensor, *, masked: bool) -> PreTrainedModel:
    """A model with random weights that takes `block`, int64 (length,), and, if causal, does not look ahead."""
    kind, auto_class = ("masked", AutoModelForMaskedLM) if masked else ("causal", AutoModelForCausalLM)
    try:
        model = auto_class.from_config(config)
    except (AssertionError, ValueError) as error:
        raise ValueError(
            f"architecture: there is no {kind} model of model_type {config.model_type!r} with these settings. "
            f"Trained with `masking` it is masked, without causal. {_first_line(error)}"
        ) from error
    # A training has no use for the keys and values of earlier tokens.
    model.config.use_cache = False
    model.eval()
    try:
        with torch.no_grad():
            model(input_ids=block[None])
        ahead = sees_later_tokens(model)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"architecture: {config.model_type} with these settings cannot run a block of {len(block)} tokens "
            f"(sequence_length): {_first_line(error)}. See that heads, key-value heads and widths fit each other. "
            "RoBERTa's relatives count positions from behind the padding token's id: they need a max_position_embeddings "
            f"of at least {len(block) + 1 + (config.pad_token_id or 0)}, and a tokenizer whose padding token ends no text."
        ) from error
    if not masked and ahead:
        raise ValueError(
            f"architecture: {config.model_type} sees later tokens, so it cannot learn to predict the next. "
            "Give masking, e.g. 0.15, or architecture.is_decoder: true where the family has it."
        )
    return model


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _predicting_some(
    metric: str, inputs_and_labels: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    if (inputs_and_labels[1] == NOT_PREDICTED).all():
        raise ValueError(
            f"{metric}: nothing is to be predicted; give more text, a longer sequence_length or more masking."
        )
    return inputs_and_labels


def _optimizer(model: PreTrainedModel, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW that decays matrices, and neither biases nor the weights of normalisations."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}], fused=True
    )


def _seed_step(seed: int, step: int) -> None:
    """Let masks and dropout of a step depend on nothing before it, so that a training can go on anywhere."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]))


def _update(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, labels: torch.Tensor
) -> None:
    """One step of the optimizer down the mean loss."""
    model.train()
    (_total_loss(model, inputs, labels) / max(1, _predicted(labels))).backward()
    clip_grad_norm_(model.parameters(), LARGEST_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad()


def _mean_loss(model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean loss in nats per predicted token of blocks (number, length), dropout off."""
    model.eval()
    at_once = max(1, TOKENS_IN_AN_EVALUATION // inputs.shape[1])
    with torch.no_grad():
        batches = zip(inputs.split(at_once), labels.split(at_once), strict=True)
        return sum(_total_loss(model, *batch).item() for batch in batches) / _predicted(labels)


def _predicted(labels: torch.Tensor) -> int:
    return int((labels != NOT_PREDICTED).sum())


def _total_loss(model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats, summed over the predicted tokens of blocks (number, length)."""
    scores = model(input_ids=inputs.to(model.device)).logits.float()
    return cross_entropy(
        scores.flatten(0, 1), labels.to(model.device).flatten(), ignore_index=NOT_PREDICTED, reduction="sum"
    )
