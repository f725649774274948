"""A checkpoint of a training: a model folder that is whole or not there."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from idsweep.files.atomic import whole_or_nothing
from idsweep.models.quiet import quiet_transformers


def save_checkpoint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a model folder: half a folder never looks whole."""
    with quiet_transformers(), whole_or_nothing(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
