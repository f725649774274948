"""Parameters that several modules of a model share, as input and output embeddings often do."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel


def untie(model: PreTrainedModel) -> None:
    """Give each module that shares parameters with another one copies of its own, and say so in the model's config.

    What the model computes stays the same. What is changed in one module then no longer changes the other: the update of
    an adapter of the output embeddings alone, say, once it is merged.
    """
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter.data_ptr() in seen:
                copied = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
                setattr(module, name, copied)
            elif parameter.numel():
                seen.add(parameter.data_ptr())
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False
