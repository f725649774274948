"""What a model chooses by the length of what it is given: its attention, the frequencies of its positions."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from transformers import PreTrainedModel


def choose_anew(model: torch.nn.Module) -> None:
    """Let models choose at each call, as one does that was just loaded, where the choice would depend on what was run before.

    BigBird and its relatives, configured for sparse attention, go over to full attention at the first short sequence, and stay
    there. Rotary frequencies of type `dynamic` are those of the longest sequence so far.
    """
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and hasattr(module, "set_attention_type"):
            module.register_forward_pre_hook(_setting(module.attention_type))
            # It warns of each short sequence.
            logging.getLogger(type(module).__module__).setLevel(logging.ERROR)
        if hasattr(module, "original_max_seq_len") and "dynamic" in str(getattr(module, "rope_type", "")):
            module.register_forward_pre_hook(_forget_longer_sequences)


def _setting(attention_type: str) -> Callable[[PreTrainedModel, tuple], None]:
    return lambda module, _: module.set_attention_type(attention_type)


def _forget_longer_sequences(rotary: torch.nn.Module, _: tuple) -> None:
    for name, frequencies in list(rotary.named_buffers(recurse=False)):
        if name.endswith("inv_freq") and not name.endswith("original_inv_freq"):
            start = name.removesuffix("inv_freq")  # of a kind of layers, where each kind has its own
            original = getattr(rotary, f"{start}original_inv_freq")
            setattr(rotary, name, original.to(frequencies.device, frequencies.dtype))
            setattr(rotary, f"{start}max_seq_len_cached", rotary.original_max_seq_len)
