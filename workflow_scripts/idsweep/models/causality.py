"""Whether a model with a head predicts tokens from where its kind says: a causal one from earlier tokens alone.

A masked checkpoint can be loaded with a causal head in most families. It then sees the token that it is to predict, and
its losses mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from idsweep.models.differences import has_experts, repeated
from idsweep.models.inputs import has_blank_matrix, known_tokens, longest_input, only_length, without_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBED_TOKENS = 16


def check_sight(model: PreTrainedModel, kind: str, folder: str | Path) -> None:
    """Raise ValueError if a model of kind causal sees later tokens, one of kind masked does not, or neither can be tried."""
    if kind not in ("causal", "masked"):
        return
    try:
        logits, of_changed = _logits_before_a_change(model)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}: {type(model).__name__} cannot be run on token ids alone, as a model of kind {kind} must be: {error}."
            f"{only_length(model.config)}"
        ) from error
    named = ", ".join(model.config.architectures or ["no architecture"])
    if kind == "causal" and _has_moved(model, logits, of_changed):
        raise ValueError(
            f"{folder}: {type(model).__name__} sees later tokens, so it does not predict the next one: it is no model of kind "
            f"causal. Its config.json names {named}. Use kind masked or encoder; a model that was trained to predict the next "
            "token needs `is_decoder: true` in its config.json, where its family has that key."
        )
    if kind == "masked" and torch.equal(of_changed, logits) and not has_blank_matrix(model):
        raise ValueError(
            f"{folder}: {type(model).__name__} sees no later tokens, so it does not predict a masked one from all others: it is no "
            f"model of kind masked. Its config.json names {named}. Use kind causal or encoder; a masked model needs "
            "`is_decoder: false` in its config.json."
        )


def sees_later_tokens(model: PreTrainedModel) -> bool:
    """Whether the logits of a few tokens change when those behind them do. The model has a head and is in evaluation mode."""
    return _has_moved(model, *_logits_before_a_change(model))


def _has_moved(model: PreTrainedModel, logits: torch.Tensor, of_changed: torch.Tensor) -> bool:
    return not repeated(of_changed, logits, experts=has_experts(model.config))


@torch.no_grad()
def _logits_before_a_change(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (tokens, vocabulary) of a few tokens, with some tokens behind them and with others."""
    ids, changed = _tried_ids(model)
    kept = ids.shape[1] // 2
    return tuple(
        model(input_ids=tokens.to(model.device), **without_cache(model)).logits[0, :kept] for tokens in (ids, changed)
    )


def _tried_ids(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids int64 (1, length), and the same with others in the second half; none of them has a role in the config."""
    known = np.arange(known_tokens(model) or model.config.get_text_config().vocab_size)
    plain = np.setdiff1d(known, list(_ids_with_a_role(model.config.to_dict())))
    length = min(PROBED_TOKENS, longest_input(model.base_model) or PROBED_TOKENS)
    drawn = np.resize(np.random.default_rng(0).permutation(plain if len(plain) > 1 else known), length + 1)
    changed = np.where(np.arange(length) < length // 2, drawn[:-1], drawn[1:])
    return torch.from_numpy(drawn[None, :-1]), torch.from_numpy(changed[None])


def _ids_with_a_role(config: Mapping[str, Any]) -> set[int]:
    """What a config and those inside it name: the ids of padding, of the ends of texts, of images and the like."""
    found = set()
    for key, value in config.items():
        if isinstance(value, dict):
            found |= _ids_with_a_role(value)
        elif str(key).endswith(("token_id", "token_ids", "token_index")):
            found |= {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)}
    return found
