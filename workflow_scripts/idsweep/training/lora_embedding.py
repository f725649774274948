"""Language models whose input embedding alone is trained, by an update of low rank: how many dimensions does it need?

Kataiwa, Hakaze & Ohki 2025, "Measuring intrinsic dimension of token embeddings" (arXiv:2503.02142).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedTokenizerBase

from idsweep.models.checkpoints import load_model
from idsweep.models.tied import untie
from idsweep.models.tokenizers import load_tokenizer
from idsweep.training.checkpoint import save_checkpoint
from idsweep.training.fine_tuned_language_model import (
    PaddedTexts,
    check_kind,
    check_rows_fit,
    evaluation_of_losses,
    token_rows,
)
from idsweep.training.fine_tuning import fine_tune
from idsweep.training.from_base import arguments, plain_texts
from idsweep.training.task import Task

TRAINING = {
    "about": "its `base` frozen but for a low-rank update of the token embeddings (arXiv:2503.02142).",
    "kinds": {"causal": {"masking": False}, "masked": {}},
    "metrics": ("train_loss", "validation_loss", "validation_perplexity", "base_validation_loss"),
    "from_base": True,
    "texts": ("dataset", "validation"),
    "cost": "sequences",
    "gpu": True,
    "threads": 2,
    "mem_mb": 0,
    "check": "fine_tuning_checks",
    "required": ("dataset", "validation", "max_length", "rank"),
    "keys_of": "fine_tuning",
    "keys_left_out": ("freeze", "lora"),
    "keys": {
        "masking": {
            "description": "Share of tokens to be predicted, of models of kind masked (0.15 if left out).",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
        },
        "rank": {
            "description": "Rank of the update of the embedding matrix, at most its smaller side.",
            "type": "integer",
            "minimum": 1,
        },
        "alpha": {
            "description": "Scale of the update, which is divided by the square root of the rank.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 1,
        },
        "initial": {
            "description": "The frozen matrix below the update: the base's own, a new random one, or zero.",
            "enum": "INITIAL",
            "default": "base",
        },
    },
}
INITIAL = ("base", "random", "zero")


def train(task: Task) -> pa.Table:
    """What an entry of the catalog asks for: `train_lora_embedding` on the datasets' texts."""
    return train_lora_embedding(*plain_texts(task), **arguments(task), kind=task.settings["kind"])


def train_lora_embedding(
    texts: Sequence[str],
    validation_texts: Sequence[str],
    base_folder: str | Path,
    tokenizer_folder: str | Path,
    output_folder: str | Path,
    *,
    kind: str,
    rank: int,
    alpha: float = 1.0,
    initial: str = "base",
    loading: Mapping[str, Any] | None = None,
    tokenizer_options: Mapping[str, Any] | None = None,
    max_length: int,
    masking: float = 0.15,
    seed: int,
    **settings: Any,
) -> pa.Table:
    """Train an update of rank `rank` of the input embedding, with all else frozen, and save checkpoints as `fine_tune` does.

    The embedding (V, D) becomes W0 + (alpha / √rank) · (B A)ᵀ, with a frozen W0, B (D, rank) and A (rank, V) (LoRA, Hu et al.
    2021, rank-stabilised, Kalajdzievski 2023, by PEFT). B is drawn from a standard normal distribution and A is zero, so that at step 0 the embedding is W0. A
    checkpoint is a whole model folder with the sum as its input embedding: adapters could not carry another W0.

    Output embeddings that are tied to the input's are untied first. They keep the trained matrix, frozen, and checkpoints say
    `tie_word_embeddings: false`; the update changes what the model reads, not how it scores.

    Parameters
    ----------
    kind
        "causal" or "masked", with texts, `max_length`, `masking`, `loading` and `tokenizer_options` as in
        `fine_tune_language_model`.
    rank
        1 … min(V, D). With D the embedding can become anything.
    alpha
        Scale of the update. Divided by √rank, since a step of Adam moves a sum of `rank` directions by about as much more;
        perplexity against the rank would else show which rank is faster. Whether all ranks had time enough, only their
        losses over the steps tell.
    initial
        What W0 is. "base": the trained embedding. The model is whole before any training, so perplexity tells what the texts
        ask beyond the base, not what an embedding needs, and hardly depends on the rank. "zero": no embedding, so that all
        token vectors lie in a subspace of `rank` dimensions that training chooses. Perplexity against the rank then shows how
        many dimensions the frozen blocks need to tell tokens apart, and ends near the base's: take this one to look for the
        published fall of perplexity where the rank reaches the intrinsic dimension. (A curved manifold of that dimension spans
        more, so the fall may end above it.) "random": normal with the trained matrix's standard deviation, drawn from `seed`;
        as "zero", but no rank leaves two tokens the same. Tokens that no training text holds keep their row of W0.
    settings
        What else `fine_tune` takes: identity, checkpoints, steps or epochs, learning_rate …

    Returns a table step int64 | metric string | value float64 with `train_loss`, `validation_loss` (as in
    `fine_tune_language_model`), `validation_perplexity`, the exponential of the latter, and `base_validation_loss`, that of the
    base with its own embedding, at all steps the same.

    Raises ValueError if the kind or `initial` is not known, the rank or alpha is out of bounds, and as
    `fine_tune_language_model` does.
    """
    check_kind(kind)
    if initial not in INITIAL:
        raise ValueError(f"initial: {initial!r} is not known; choose one of {', '.join(INITIAL)}.")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: {alpha} must be positive; leave it out to take 1.")
    tokenizer = load_tokenizer(tokenizer_folder, **(tokenizer_options or {}))
    collator = PaddedTexts(tokenizer, masking if kind == "masked" else None)
    train = token_rows(texts, tokenizer, max_length, "training")
    validation = token_rows(validation_texts, tokenizer, max_length, "validation")
    model = load_model(base_folder, kind=kind, dtype="float32", **(loading or {}))
    check_rows_fit(model, [*train, *validation], collator, base_folder, tokenizer_folder)
    embedding = model.get_input_embeddings()
    if not 1 <= rank <= min(embedding.weight.shape):
        raise ValueError(
            f"rank: {rank} must be from 1 to {min(embedding.weight.shape)}: the input embedding of {base_folder} is "
            f"{' x '.join(map(str, embedding.weight.shape))}."
        )
    losses = evaluation_of_losses(train, validation, collator, seed)
    with torch.inference_mode():
        of_base = losses(model.to(settings["device"]).eval())["validation_loss"]
    untie(model)
    _set_initial(embedding, initial, seed)

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        found = losses(model)
        perplexity = torch.tensor(found["validation_loss"], dtype=torch.float64).exp().item()
        return found | {"validation_perplexity": perplexity, "base_validation_loss": of_base}

    lora = {
        "rank": rank,
        "alpha": alpha,
        "dropout": 0.0,
        "rank_stabilized": True,
        "target_modules": [next(name for name, module in model.named_modules() if module is embedding)],
    }
    return fine_tune(
        model,
        tokenizer,
        train,
        collator,
        evaluate,
        output_folder,
        lora=lora,
        seed=seed,
        save=_saving_merged(embedding, tokenizer),
        **settings,
    )


def _set_initial(embedding: nn.Module, initial: str, seed: int) -> None:
    weight = embedding.weight.detach()
    if initial == "zero":
        weight.zero_()
    elif initial == "random":
        weight.normal_(0.0, weight.std().item(), generator=torch.Generator().manual_seed(seed))


def _saving_merged(embedding: nn.Module, tokenizer: PreTrainedTokenizerBase) -> Callable[[PeftModel, Path], None]:
    def save(model: PeftModel, folder: Path) -> None:
        # The copy shares all tensors but the embedding, to which the update is added: the frozen one stays as it is.
        shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        del shared[id(embedding.weight)]
        save_checkpoint(copy.deepcopy(model, shared).merge_and_unload(), tokenizer, folder)

    return save
