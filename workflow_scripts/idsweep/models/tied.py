"""Parameters that several modules of a model share, as input and output embeddings often do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel


class Untied(NamedTuple):
    """A module that has a copy of its own, under a name, of a parameter that it shared."""

    module: nn.Module
    name: str
    shared: nn.Parameter


def untie(model: PreTrainedModel) -> list[Untied]:
    """Give each module that shares parameters with another one copies of its own, and say so in the model's config.

    What the model computes stays the same. What is changed in one module then no longer changes the other: the update of
    an adapter of the output embeddings alone, say, once it is merged.
    """
    owners: dict[int, nn.Parameter] = {}
    untied = []
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter.data_ptr() in owners:
                copied = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
                setattr(module, name, copied)
                untied.append(Untied(module, name, owners[parameter.data_ptr()]))
            elif parameter.numel():
                owners[parameter.data_ptr()] = parameter
    _say(model, False)
    return untied


def tie_equal(model: PreTrainedModel, untied: Iterable[Untied]) -> None:
    """Let modules share again what they shared before `untie`, where both still hold the same numbers."""
    different = False
    for module, name, shared in untied:
        if torch.equal(getattr(module, name), shared):
            setattr(module, name, shared)
        else:
            different = True
    _say(model, bool(untied) and not different)


def _say(model: PreTrainedModel, tied: bool) -> None:
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = tied
