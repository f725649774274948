"""The architecture of a model that is trained here, as a config of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

FROM_TOKENIZER = frozenset({"model_type", "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"})


def model_config(
    architecture: Mapping[str, Any],
    *,
    vocab_size: int,
    sequence_length: int,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
    pad_token_id: int | None = None,
) -> PreTrainedConfig:
    """The config of a model that takes sequences of `sequence_length` tokens out of `vocab_size`.

    architecture: `model_type` and what its config is to have, under the family's own names or under those that most
        families share: GPT-2's `n_layer` may be called `num_hidden_layers`, `n_positions` `max_position_embeddings`.

    Raises ValueError if the family is unknown to transformers, a setting is misspelt, named twice or of a
    wrong value, or sequences are longer than the model takes.
    """
    settings = dict(architecture)
    model_type = settings.pop("model_type", None)
    try:
        default = AutoConfig.for_model(model_type)
    except ValueError as error:
        raise ValueError(f"architecture.model_type: {model_type!r} is not known to transformers.") from error
    shared_names = default.attribute_map
    known = (set(default.to_dict()) | set(shared_names)) - FROM_TOKENIZER
    # A config takes any keyword, so a misspelt one would silently leave the default in place.
    if unknown := sorted(set(settings) - known):
        raise ValueError(
            f"architecture: {model_type} takes no setting {unknown[0]!r}; it takes {', '.join(sorted(known))}."
        )
    own_names = {shared_names.get(name, name): value for name, value in settings.items()}
    if len(own_names) < len(settings):
        twice = next(name for name in settings if shared_names.get(name) in settings)
        raise ValueError(
            f"architecture: {twice!r} and {shared_names[twice]!r} are one setting of {model_type}; give one of them."
        )
    try:
        config = AutoConfig.for_model(
            model_type,
            **own_names,
            vocab_size=vocab_size,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            pad_token_id=pad_token_id,
        )
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise ValueError(f"architecture: {model_type} does not take these settings: {error}") from error
    # Ids that a family names by default are of its own published vocabulary, and would name no token here.
    for name, id in config.to_dict().items():
        if name.endswith("_token_id") and name not in own_names and isinstance(id, int) and id >= vocab_size:
            setattr(config, name, None)
    limit = getattr(config, "max_position_embeddings", sequence_length)
    if limit is not None and 0 < limit < sequence_length:  # XLNet's -1 is no limit
        raise ValueError(
            f"Sequences of {sequence_length} tokens are longer than the model takes "
            f"(architecture.max_position_embeddings is {limit})."
        )
    return config
