"""A causal language model trained from scratch on packed text, saved at chosen steps."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

from idsweep.progress import Progress
from idsweep.quiet import quiet_transformers
from idsweep.tokenizers import load_tokenizer

logger = logging.getLogger(__name__)

REGULAR_EVALUATIONS = 8
TOKENS_IN_AN_EVALUATION = 8192
FROM_TOKENIZER = frozenset({"model_type", "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"})

METRICS = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
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
    device: str = "cpu",
) -> pa.Table:
    """Train a causal language model and save each step of `checkpoints` as a model folder `step{n}`.

    Texts are joined, each ended by the end-of-text token, and cut into blocks of `sequence_length`. AdamW,
    linear warm-up, then cosine decay to zero. `architecture` holds `model_type` and what its config is to
    have, e.g. {"model_type": "gpt_neox", "hidden_size": 128, "num_hidden_layers": 4, ...}; the vocabulary
    and the special tokens come from the tokenizer. Step 0 is the model before any training.

    Returns a table step int64 | metric string | value float64. `validation_loss` is the mean loss per token
    (nats) over all validation blocks, `train_loss` the same over as many training blocks, drawn once; both
    at every checkpoint and at eight further steps, with dropout off.

    Deterministic for a given seed and number of threads.

    Raises ValueError if the architecture is unknown or misspelt, a checkpoint lies outside 0…steps, blocks
    are longer than the model takes, or the texts do not fill a block.
    """
    steps_to_save = sorted(set(checkpoints))
    if not steps_to_save or steps_to_save[0] < 0 or steps_to_save[-1] > steps:
        raise ValueError(f"checkpoints: {steps_to_save} must be steps from 0 to {steps}, at least one.")
    tokenizer = load_tokenizer(tokenizer_folder)
    config = _config(architecture, tokenizer, sequence_length)
    train = _blocks(texts, tokenizer, sequence_length, "training")
    validation = _blocks(validation_texts, tokenizer, sequence_length, "validation")
    if len(train) < batch_size:
        raise ValueError(f"batch_size: {batch_size}, but the training texts fill only {len(train)} blocks.")

    set_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    logger.info(
        "%s of %d parameters; %d blocks of %d tokens to train on, %d to validate.",
        config.model_type,
        model.num_parameters(),
        len(train),
        sequence_length,
        len(validation),
    )
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(train))[: len(validation)]
    keeper = _Keeper(
        Path(output_folder),
        tokenizer,
        steps_to_save,
        evaluated={"train_loss": train[np.sort(drawn)], "validation_loss": validation},
    )
    trainer = _WarmTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(output_folder),
            max_steps=steps,
            per_device_train_batch_size=batch_size,
            dataloader_drop_last=True,
            learning_rate=learning_rate,
            warmup_steps=warmup_steps,
            weight_decay=weight_decay,
            seed=seed,
            data_seed=seed,
            use_cpu=device == "cpu",
            save_strategy="no",
            eval_strategy="no",
            logging_steps=10,
            disable_tqdm=True,
            report_to="none",
        ),
        train_dataset=[{"input_ids": block, "labels": block} for block in torch.from_numpy(train)],
        data_collator=default_data_collator,
        callbacks=[keeper],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return pa.Table.from_pylist(keeper.metrics, schema=METRICS)


class _WarmTrainer(Trainer):
    """A Trainer whose warm-up begins above zero, so that step 1 differs from step 0."""

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        warmup = self.args.warmup_steps

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_training_steps - warmup)))

        self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, factor)
        return self.lr_scheduler


class _Keeper(TrainerCallback):
    """Saves and evaluates the model at the chosen steps, and says how the training goes."""

    def __init__(
        self,
        folder: Path,
        tokenizer: PreTrainedTokenizerBase,
        steps_to_save: Sequence[int],
        evaluated: Mapping[str, np.ndarray],
    ) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._steps_to_save, self._evaluated = frozenset(steps_to_save), evaluated
        self.metrics: list[dict[str, Any]] = []

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self._progress = Progress("training", state.max_steps, "steps")
        self._at(0, state.max_steps, kwargs["model"])

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self._at(state.global_step, state.max_steps, kwargs["model"])
        self._progress.report(state.global_step, f"validation loss {self.metrics[-1]['value']:.3f}")

    def _at(self, step: int, last: int, model: PreTrainedModel) -> None:
        save = step in self._steps_to_save
        if save:
            _save(model, self._tokenizer, self._folder / f"step{step}")
        if save or step % max(1, last // REGULAR_EVALUATIONS) == 0:
            for metric, blocks in self._evaluated.items():
                value = _mean_loss(model, blocks)
                self.metrics.append({"step": step, "metric": metric, "value": value})


def _config(architecture: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, sequence_length: int) -> Any:
    settings = dict(architecture)
    model_type = settings.pop("model_type", None)
    try:
        known = set(AutoConfig.for_model(model_type).to_dict()) - FROM_TOKENIZER
    except ValueError as error:
        raise ValueError(f"architecture.model_type: {model_type!r} is not known to transformers.") from error
    # A config takes any keyword, so a misspelt one would silently leave the default in place.
    if unknown := sorted(set(settings) - known):
        raise ValueError(
            f"architecture: {model_type} takes no setting {unknown[0]!r}; it takes {', '.join(sorted(known))}."
        )
    config = AutoConfig.for_model(
        model_type,
        **settings,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    limit = getattr(config, "max_position_embeddings", sequence_length)
    if sequence_length > limit:
        raise ValueError(
            f"sequence_length: {sequence_length} is more than the model takes "
            f"(architecture.max_position_embeddings is {limit})."
        )
    return config


def _blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, sequence_length: int, what: str) -> np.ndarray:
    """Token ids int64 (blocks, sequence_length) of all texts in one stream, without the incomplete rest."""
    end = tokenizer.eos_token_id
    rows = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    stream = np.array([token for row in rows for token in (*row, end)], dtype=np.int64)
    number = len(stream) // sequence_length
    if number == 0:
        raise ValueError(
            f"The {what} texts have {len(stream)} tokens, too few for one block of {sequence_length} (sequence_length)."
        )
    return stream[: number * sequence_length].reshape(number, sequence_length)


def _mean_loss(model: PreTrainedModel, blocks: np.ndarray) -> float:
    """Mean next-token loss in nats over blocks (number, length), dropout off."""
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.no_grad():
        for batch in torch.from_numpy(blocks).split(max(1, TOKENS_IN_AN_EVALUATION // blocks.shape[1])):
            batch = batch.to(model.device)
            total += model(input_ids=batch, labels=batch).loss.item() * len(batch)
    model.train(was_training)
    return total / len(blocks)


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a whole model folder under a temporary name and rename it: half a folder never looks whole."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with quiet_transformers():
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)
