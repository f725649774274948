"""The state that follows from what a tracker says of each slot, carried from turn to turn, and how often it is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from idsweep.tracking.slots import COPY, DONTCARE, FALSE, INFORM, REFER, SLOTS, TRUE
from idsweep.tracking.variants import is_variant, word_key

SPECIAL = (DONTCARE, TRUE, FALSE, "none")


class Said(NamedTuple):
    """Of one turn: slot -> class; slot -> text of the span, the referred slot, and the value that the system told."""

    classes: Mapping[str, str]
    spans: Mapping[str, str]
    referred: Mapping[str, str]
    informed: Mapping[str, str]


def update(before: Mapping[str, str], said: Said) -> dict[str, str]:
    """The state after a turn.

    none and request keep the value. dontcare is taken for slots of any values, true and false for those of two. copy_value takes
    the span, inform what the system told, refer the other slot's value when all others are done. What has nothing to take
    keeps the value.
    """
    state = dict(before)
    for slot, name in said.classes.items():
        values = SLOTS[slot].values
        if name == DONTCARE and values is None:
            state[slot] = DONTCARE
        elif name in (TRUE, FALSE) and values is not None:
            state[slot] = values[name == FALSE]
        elif name == COPY and values is None and said.spans.get(slot):
            state[slot] = said.spans[slot]
        elif name == INFORM and slot in said.informed:
            state[slot] = said.informed[slot]
    done = dict(state)
    for slot, name in said.classes.items():
        if name == REFER and (value := done.get(said.referred.get(slot, ""))) is not None:
            state[slot] = value
    return state


def is_right(slot: str, gold: str | None, predicted: str | None) -> bool:
    """Whether a predicted value counts as the gold one; None is no value.

    Beside the same value, a leading "the" on either side does not count, and a way to say the gold value
    (`variants`) does, other than for special values.
    """
    if gold is None or predicted is None:
        return gold is None and predicted is None
    if word_key(gold) == word_key(predicted):
        return True
    if gold in SPECIAL or SLOTS[slot].values is not None:
        return False
    return _bare(gold) == _bare(predicted) or is_variant(slot, gold, predicted)


def _bare(value: str) -> tuple[str, ...]:
    key = word_key(value)
    return key[1:] if key[:1] == ("the",) else key


class Accuracy(NamedTuple):
    """Shares of right turns: all slots at once (joint goal accuracy), and each slot by itself."""

    joint: float
    by_slot: Mapping[str, float]


def accuracy(gold: Sequence[Mapping[str, str]], predicted: Sequence[Mapping[str, str]]) -> Accuracy:
    """How often predicted states are right. Both hold a state for each turn, of all dialogues.

    Raises ValueError if they hold none, or not equally many.
    """
    if not gold or len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} states of gold and {len(predicted)} predicted ones cannot be compared.")
    right = np.array(
        [
            [is_right(slot, one.get(slot), other.get(slot)) for slot in SLOTS]
            for one, other in zip(gold, predicted, strict=True)
        ]
    )
    return Accuracy(float(right.all(axis=1).mean()), dict(zip(SLOTS, right.mean(axis=0).tolist(), strict=True)))


def carried(first: Iterable[bool], said: Iterable[Said]) -> list[dict[str, str]]:
    """The states of turns in order. first: whether a turn is the first of its dialogue, which begins with an empty state."""
    states: list[dict[str, str]] = []
    for is_first, of_turn in zip(first, said, strict=True):
        states.append(update({} if is_first else states[-1], of_turn))
    return states
