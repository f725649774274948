"""Language models of a model folder trained further on texts, causal or masked, each text a sequence of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedTokenizerBase

from idsweep.data.tokens import special_ids
from idsweep.models.checkpoints import load_model
from idsweep.models.quiet import quiet_transformers
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.fine_tuning import NOT_PREDICTED, Batch, count_labels, fine_tune, total_loss
from idsweep.training.from_base import arguments, plain_texts
from idsweep.training.language_model import MaskedTokens
from idsweep.training.task import Task

TRAINING = {
    "about": "its `base` trained further on texts.",
    "rule": "fine_tune_language_model",
    "kinds": {"causal": {"masking": False}, "masked": {}},
    "metrics": ("train_loss", "validation_loss"),
    "from_base": True,
    "texts": ("dataset", "validation"),
    "cost": "sequences",
    "gpu": True,
    "threads": 2,
    "mem_mb": 0,
    "check": "fine_tuning_checks",
    "required": ("dataset", "validation", "max_length"),
    "keys_of": "fine_tuning",
    "keys": {
        "masking": {
            "description": "Share of tokens to be predicted, of models of kind masked (0.15 if left out).",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
        }
    },
}
logger = logging.getLogger(__name__)

KINDS = ("causal", "masked")
TOKENS_IN_AN_EVALUATION = 2048  # padding included: logits of large vocabularies take 4 bytes × vocabulary for each

Rows = list[list[int]]
Evaluation = Callable[[torch.nn.Module], dict[str, float]]


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `fine_tune_language_model` on the datasets' texts."""
    return fine_tune_language_model(*plain_texts(task), **arguments(task), kind=task.settings["kind"])


def fine_tune_language_model(
    texts: Sequence[str],
    validation_texts: Sequence[str],
    base_folder: str | Path,
    tokenizer_folder: str | Path,
    output_folder: str | Path,
    *,
    kind: str,
    loading: Mapping[str, Any] | None = None,
    tokenizer_options: Mapping[str, Any] | None = None,
    max_length: int,
    masking: float = 0.15,
    identity: str,
    checkpoints: Collection[int],
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int,
    gradient_accumulation: int = 1,
    learning_rate: float,
    schedule: str = "linear",
    warmup_steps: int = 0,
    weight_decay: float = 0.01,
    precision: str = "float32",
    gradient_clipping: float = 1.0,
    lora: Mapping[str, Any] | None = None,
    freeze: Collection[str] = (),
    seed: int,
    device: str = "cpu",
    base_name: str,
    bias_correction: bool = True,
    order: str = "anew",
) -> pa.Table:
    """Train the model of `base_folder` further on texts, and save each of `checkpoints` (see `fine_tune`).

    Each text is a sequence, with the special tokens that the tokenizer adds, cut to `max_length` tokens and padded on the
    right to the longest of its batch. Texts in which nothing is to be predicted are left out.

    kind: "causal" predicts each next token; "masked" chooses in each batch anew a share `masking` of the tokens, special
        ones excepted, as `MaskedTokens` does.
    loading, tokenizer_options: how `load_model` (`BASE_OPTIONS` of it) and `load_tokenizer` load the base and its tokenizer.

    The metrics are `validation_loss`, the mean loss per predicted token (nats) over all validation texts, and `train_loss`,
    the same over as many training texts, drawn once. The evaluated texts are masked once.

    Raises ValueError as `fine_tune`, `load_model` and `load_tokenizer` do, and if the kind is not known, no text is left, the
    texts are longer than the model takes, or the tokenizer has tokens that the model lacks.
    """
    check_kind(kind)
    tokenizer = load_tokenizer(tokenizer_folder, **(tokenizer_options or {}))
    collator = PaddedTexts(tokenizer, masking if kind == "masked" else None)
    train = token_rows(texts, tokenizer, max_length, "training")
    validation = token_rows(validation_texts, tokenizer, max_length, "validation")
    model = load_model(base_folder, kind=kind, dtype="float32", **(loading or {}))
    check_rows_fit(model, [*train, *validation], collator, base_folder, tokenizer_folder)
    return fine_tune(
        model,
        tokenizer,
        train,
        collator,
        evaluation_of_losses(train, validation, collator, seed),
        output_folder,
        identity=identity,
        checkpoints=checkpoints,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        precision=precision,
        gradient_clipping=gradient_clipping,
        lora=lora,
        freeze=freeze,
        seed=seed,
        device=device,
        base_name=base_name,
        bias_correction=bias_correction,
        order=order,
    )


def check_kind(kind: str) -> None:
    """Raises ValueError if models of this kind cannot be trained on texts alone."""
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} cannot be fine-tuned on texts alone; choose one of {', '.join(KINDS)}.")


class PaddedTexts:
    """Rows of token ids -> a batch of a language model, padded on the right; masked by torch's generator.

    masking: None for causal models, whose labels are the next tokens; otherwise the share of tokens that are chosen anew
        at each call, special ones excepted.

    Raises ValueError if the share does not lie between 0 and 1, or the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, masking: float | None) -> None:
        # Where there is no token for padding, any will do: the attention mask hides it, and it is not to be predicted.
        padding = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self._padding = next(token for token in padding if token is not None)
        self._masked = None if masking is None else MaskedTokens(tokenizer, masking)

    def __call__(self, rows: Sequence[Sequence[int]]) -> Batch:
        """`input_ids`, `attention_mask` and `labels`, each int64 (rows, longest row)."""
        shape = (len(rows), max(map(len, rows)))
        ids, mask = torch.full(shape, self._padding), torch.zeros(shape, dtype=torch.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        if self._masked is None:
            labels = torch.full(shape, NOT_PREDICTED)
            labels[:, :-1] = ids[:, 1:].masked_fill(mask[:, 1:] == 0, NOT_PREDICTED)
        else:
            read, labels = self._masked(ids)
            ids = torch.where(mask == 1, read, ids)
            labels = labels.masked_fill(mask == 0, NOT_PREDICTED)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def token_rows(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, what: str) -> Rows:
    """Token ids of each text, cut to `max_length`, of those with two tokens at least one of which is not special.

    Raises ValueError if `max_length` leaves no room, or no text is left.
    """
    needed = tokenizer.num_special_tokens_to_add() + 1
    if max_length < max(2, needed):
        raise ValueError(f"max_length: {max_length} is too short; this tokenizer needs {max(2, needed)} at least.")
    with quiet_transformers():
        rows = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"] if texts else []
    special = special_ids(tokenizer).union(tokenizer.all_special_ids)
    kept = [row for row in rows if len(row) > 1 and not special.issuperset(row)]
    if not kept:
        raise ValueError(
            f"The {what} texts are {len(texts)}, and none has two tokens of which something can be predicted; give longer ones."
        )
    if len(kept) < len(rows):
        logger.info("%d of %d %s texts are left out: they are too short.", len(rows) - len(kept), len(rows), what)
    return kept


def check_rows_fit(
    model: torch.nn.Module,
    rows: Sequence[Sequence[int]],
    collator: PaddedTexts,
    base_folder: str | Path,
    tokenizer_folder: str | Path,
) -> None:
    """Raises ValueError if rows have tokens that the model does not have, or are longer than it takes."""
    known, largest = model.get_input_embeddings().num_embeddings, max(map(max, rows))
    if largest >= known:
        raise ValueError(
            f"The tokenizer {tokenizer_folder} gives token {largest}, but the model {base_folder} has {known}. "
            "Give the model's own tokenizer."
        )
    longest = max(rows, key=len)
    batch = collator([longest])
    batch.pop("labels")
    try:
        with torch.no_grad():
            model(**batch)
    except (IndexError, RuntimeError) as error:
        raise ValueError(
            f"max_length: the model {base_folder} does not take a text of {len(longest)} tokens. Set max_length to what it "
            f"was made for. {error}"
        ) from error


def evaluation_of_losses(train: Rows, validation: Rows, collator: PaddedTexts, seed: int) -> Evaluation:
    """A function of a model: `train_loss` and `validation_loss`, mean nats per predicted token.

    They are over all of `validation`, and as many rows of `train`, drawn once; masked rows are masked once.

    Raises ValueError if nothing of a part is to be predicted.
    """
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(train))[: len(validation)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = {
            "train_loss": _batches([train[place] for place in drawn], collator),
            "validation_loss": _batches(validation, collator),
        }
    for metric, batches in parts.items():
        if not sum(count_labels(batch["labels"]) for batch in batches):
            raise ValueError(f"{metric}: no token was chosen to be predicted; give more texts or more masking.")

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        return {metric: _mean_loss(model, batches) for metric, batches in parts.items()}

    return evaluate


def _batches(rows: Rows, collator: PaddedTexts) -> list[Batch]:
    """Rows of similar lengths together, `TOKENS_IN_AN_EVALUATION` at once."""
    batches, waiting = [], []
    for row in sorted(rows, key=len):
        if waiting and len(row) * (len(waiting) + 1) > TOKENS_IN_AN_EVALUATION:
            batches.append(collator(waiting))
            waiting = []
        waiting.append(row)
    return [*batches, collator(waiting)]


def _mean_loss(model: torch.nn.Module, batches: Sequence[Batch]) -> float:
    device = next(model.parameters()).device
    total, number = 0.0, 0
    for batch in batches:
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        total += total_loss(model(**inputs).logits, batch["labels"]).item()
        number += count_labels(batch["labels"])
    return total / number if math.isfinite(total) else total
