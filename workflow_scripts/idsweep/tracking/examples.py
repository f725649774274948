"""Turns as a tracker is trained on them and evaluated: its input, where values stand in it, and what it is to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from idsweep.tracking.decoding import Said
from idsweep.tracking.inputs import Composer, Input
from idsweep.tracking.labels import Labels
from idsweep.tracking.model import ABSENT, Predicted, Targets
from idsweep.tracking.normalization import normalize_text, words
from idsweep.tracking.slots import CLASSES, SLOTS
from idsweep.tracking.turns import Turn

NAMES = tuple(SLOTS)


class Example(NamedTuple):
    """One turn: its input, and targets int64 (slots,) as in `Targets`. A place that was cut off is `ABSENT`."""

    read: Input
    classes: np.ndarray
    first: np.ndarray
    last: np.ndarray
    referred: np.ndarray


def example(turn: Turn, labels: Labels, composer: Composer, history: int | None = None) -> Example:
    """A turn with `history` turns of its history (None: all that fit)."""
    read = composer.compose(turn.parts, history)
    first, last, referred = (np.full(len(NAMES), ABSENT, dtype=np.int64) for _ in range(3))
    for slot, (begin, end) in labels.places.items():
        pieces = np.flatnonzero((read.part == 0) & (read.word >= begin) & (read.word < end))
        if len(pieces):
            first[NAMES.index(slot)], last[NAMES.index(slot)] = pieces[0], pieces[-1]
    for slot, other in labels.referred.items():
        referred[NAMES.index(slot)] = NAMES.index(other)
    classes = np.array([CLASSES.index(labels.classes[slot]) for slot in NAMES], dtype=np.int64)
    return Example(read, classes, first, last, referred)


def collate(examples: Sequence[Example], pad_token_id: int) -> tuple[dict[str, torch.Tensor], Targets]:
    """What `Tracker` reads of these turns, padded on the right to the longest, and the targets."""
    longest = max(len(each.read.token_ids) for each in examples)
    input_ids = torch.full((len(examples), longest), pad_token_id)
    attention_mask = torch.zeros(len(examples), longest, dtype=torch.long)
    user = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, each in enumerate(examples):
        length = len(each.read.token_ids)
        input_ids[row, :length] = torch.from_numpy(each.read.token_ids.astype(np.int64))
        attention_mask[row, :length] = 1
        user[row, :length] = torch.from_numpy(each.read.user)
    targets = Targets(
        *(torch.from_numpy(np.stack(parts)) for parts in zip(*(each[1:] for each in examples), strict=True))
    )
    return {"input_ids": input_ids, "attention_mask": attention_mask, "user": user}, targets


def descriptions(tokenizer: PreTrainedTokenizerBase, pad_token_id: int) -> dict[str, torch.Tensor]:
    """The slots' names and descriptions as sequences, `slot_ids` and `slot_mask` of `Tracker`: int64 (slots, t)."""
    composer = Composer(tokenizer, 64)
    rows = [composer.single(words(normalize_text(f"{slot} . {about.description} ."))) for slot, about in SLOTS.items()]
    ids = torch.full((len(rows), max(map(len, rows))), pad_token_id)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = torch.tensor(row), 1
    return {"slot_ids": ids, "slot_mask": mask}


def read_off(predicted: Predicted, examples: Sequence[Example], turns: Sequence[Turn]) -> list[Said]:
    """What a tracker says of these turns; the values of copy_value are words of one turn of the user."""
    classes = predicted.classes.argmax(-1).tolist()
    referred = predicted.referred.argmax(-1).tolist()
    places = predicted.places.cpu().numpy()
    said = []
    for row, (each, turn) in enumerate(zip(examples, turns, strict=True)):
        named = {slot: CLASSES[classes[row][place]] for place, slot in enumerate(NAMES)}
        spans = {
            slot: _span(places[row, place], each.read, turn)
            for place, slot in enumerate(NAMES)
            if named[slot] == "copy_value"
        }
        others = {
            slot: NAMES[referred[row][place]]
            for place, slot in enumerate(NAMES)
            if named[slot] == "refer" and referred[row][place] < len(NAMES)
        }
        said.append(Said(named, spans, others, turn.informed))
    return said


def _span(places: np.ndarray, read: Input, turn: Turn) -> str:
    """The words that weights (T,) or logits of the ends (2, T) point at; empty if they point at none."""
    length = len(read.token_ids)
    user = np.flatnonzero(read.user)
    if not len(user):
        return ""
    if places.ndim == 2:
        first = user[places[0, user].argmax()]
        after = user[(user >= first) & (read.part[user] == read.part[first])]
        last = after[places[1, after].argmax()]
        return " ".join(turn.parts[read.part[first]][read.word[first] : read.word[last] + 1])
    weights = places[:length].copy()
    weights[~read.user] = 0.0
    # TripPy-R: what is above the mean counts; each turn of the user has its words, and the surest turn is taken.
    above = np.clip(weights - weights[user].mean(), 0.0, None)
    best, surest = "", 0.0
    for part in np.unique(read.part[user]):
        in_part = read.part == part
        kept = np.unique(read.word[in_part & (above > 0)])
        for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
            if len(run) and (sure := above[in_part & np.isin(read.word, run)].sum()) > surest:
                best, surest = " ".join(turn.parts[part][run[0] : run[-1] + 1]), sure
    return best


def history_kept(number: int, share: float, generator: np.random.Generator) -> int | None:
    """How many of `number` turns of a history are kept in training: with probability `share` it is cut at random."""
    return int(generator.integers(number)) if number and generator.random() < share else None
