"""The sequences that a tracker reads, to be measured: one composer for what it is trained on and for what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.inputs import Composer


def compose(
    entry: Mapping[str, Any], file: str | Path, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[str]:
    """The input of each user turn of an entry's split, with all of its history that fits, as token ids in decimal numbers.

    file: what was prepared of the release. Raises ValueError as `read_dialogues` and `Composer` do.
    """
    composer = Composer(tokenizer, max_length)
    turns = chain.from_iterable(read_dialogues(entry, file))
    return [" ".join(map(str, composer.compose(turn.parts).token_ids.tolist())) for turn in turns]
