"""What a tracker should say of each slot in a turn (TripPy-R, Heck et al. 2022, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from idsweep.tracking.normalization import normalize_text, normalize_value, words
from idsweep.tracking.slots import COPY, DONTCARE, FALSE, INFORM, NONE, REFER, REQUEST, SLOTS, TRUE, may_refer
from idsweep.tracking.turns import Turn
from idsweep.tracking.variants import is_variant, last_place, variants, word_key

Place = tuple[int, int]


class Labels(NamedTuple):
    """Of one turn.

    classes: slot -> class, for all slots.
    places: slot of class copy_value -> (first, end), its value's words in the user's turn.
    referred: slot of class refer -> the slot that has its value.
    unpointable: slots whose change no class can express; their class is none or request.
    """

    classes: Mapping[str, str]
    places: Mapping[str, Place]
    referred: Mapping[str, str]
    unpointable: frozenset[str]


def label(turn: Turn) -> Labels:
    """The labels of a turn.

    A slot whose value is unchanged is none. A new value is, by what holds first: dontcare; true or false, for slots of two values;
    copy_value, if the user says it in this turn (the last occurrence counts); inform, if the system's turn before told it; refer,
    if another slot has it. Otherwise it can not be pointed at. A slot of class none that the user asks for is request.
    """
    classes, places, referred, unpointable = {}, {}, {}, set()
    changed = {
        slot: turn.state.get(slot, "")
        for slot in SLOTS
        if not _same(slot, turn.before.get(slot, ""), turn.state.get(slot, ""))
    }
    for slot, value in changed.items():
        values = SLOTS[slot].values
        if value == DONTCARE and values is None:
            classes[slot] = DONTCARE
        elif values is not None and normalize_value(value) in values:
            classes[slot] = (TRUE, FALSE)[values.index(normalize_value(value))]
        elif values is None and value and (place := last_place(slot, value, list(turn.parts[0]))) is not None:
            classes[slot], places[slot] = COPY, place
        elif values is None and value and slot in turn.informed and _told(slot, value, turn.informed[slot]):
            classes[slot] = INFORM
    # Those that refer come last: the other slot's value must be known without them.
    known = {slot: value for slot, value in turn.before.items() if slot not in changed}
    known |= {slot: changed[slot] for slot in classes}
    for slot, value in changed.items():
        if slot in classes:
            continue
        others = (other for other, has in known.items() if may_refer(slot, other) and _same(slot, value, has))
        if value and SLOTS[slot].values is None and (other := next(others, None)) is not None:
            referred[slot] = other
        else:
            unpointable.add(slot)
    classes |= dict.fromkeys(referred, REFER)
    for slot in SLOTS:
        if slot not in classes:
            classes[slot] = REQUEST if slot in turn.requested else NONE
    return Labels({slot: classes[slot] for slot in SLOTS}, places, referred, frozenset(unpointable))


def _same(slot: str, one: str, other: str) -> bool:
    if not one or not other:
        return one == other
    return word_key(one) == word_key(other) or is_variant(slot, one, other)


def _told(slot: str, value: str, offer: str) -> bool:
    """Whether the system's value is the wanted one, or holds it word by word."""
    said = words(normalize_text(offer))
    return is_variant(slot, value, offer) or any(_holds(said, words(variant)) for variant in variants(slot, value))


def _holds(said: list[str], sought: list[str]) -> bool:
    return any(said[first : first + len(sought)] == sought for first in range(len(said) - len(sought) + 1))
