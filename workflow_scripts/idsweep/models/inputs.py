"""What a loaded model takes: which tokens, how many at once, and which options; and whether it has been initialised to do nothing."""

from __future__ import annotations

import inspect

import torch


def known_tokens(model: torch.nn.Module) -> int | None:
    """The number of token ids that a model embeds; None if it has no matrix of them, as those of characters."""
    try:
        return len(model.get_input_embeddings().weight)
    except (AttributeError, NotImplementedError):
        return None


def longest_input(base: torch.nn.Module) -> int | None:
    """The most tokens that a model without its head takes at once; None if its positions have no end."""
    limit = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    if limit is None or limit < 1:  # XLNet's is -1
        return None
    # RoBERTa counts positions from padding_idx + 1, which takes rows from its table.
    for name, module in base.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return len(module.weight) - module.padding_idx - 1
    return limit


def only_length(config: object) -> str:
    """What to say of a model that takes sequences of one length alone, beginning with a space; nothing of others."""
    length, landmarks = getattr(config, "segment_means_seq_len", None), getattr(config, "num_landmarks", None)
    if length is None or landmarks == length:
        return ""
    return (
        f" It takes sequences of exactly {length} tokens (segment_means_seq_len in its config.json), since it divides them into "
        f"{landmarks} parts; texts have many lengths, so it cannot be measured."
    )


def without_cache(model: torch.nn.Module) -> dict[str, bool]:
    """The option that keeps a model from storing keys and values for tokens to come; empty where it has none."""
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


def has_blank_matrix(model: torch.nn.Module) -> bool:
    """Whether a matrix is zero throughout: before some trainings the blocks hand on what they are given."""
    return any(parameter.ndim == 2 and not parameter.any() for parameter in model.parameters())
