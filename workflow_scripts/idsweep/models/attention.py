"""Attention that a model chooses by the length of what it is given."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from transformers import PreTrainedModel


def choose_anew(model: torch.nn.Module) -> None:
    """Let BigBird and its relatives choose their attention at each call, as a model does that was just loaded.

    Configured for sparse attention, they go over to full attention at the first short sequence, and stay there: the states of a
    long one would depend on what was run before.
    """
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and hasattr(module, "set_attention_type"):
            module.register_forward_pre_hook(_setting(module.attention_type))
            # It warns of each short sequence.
            logging.getLogger(type(module).__module__).setLevel(logging.ERROR)


def _setting(attention_type: str) -> Callable[[PreTrainedModel, tuple], None]:
    return lambda module, _: module.set_attention_type(attention_type)
