"""The user turns of dialogues, with what was said before and what the user wants so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from idsweep.tracking.normalization import normalize_text, words
from idsweep.tracking.slots import SLOTS, UNTRACKED, UNTRACKED_SLOTS, slot_name

Act = tuple[str, str, str | None]  # intent, slot of SLOTS, value


class Turn(NamedTuple):
    """A turn of the user.

    dialogue: id of the dialogue. number: of the turn among the user's turns of the dialogue, from 0.
    parts: words of what was said, the newest first: this turn of the user, the system's turn before it (empty in the first turn),
        then the user's and the system's before those, and so on.
    before, state: slot -> value, before and after this turn; slots without a value are left out.
    informed: slot -> value that the system's turn before told. requested: slots that the user asks for.
    """

    dialogue: str
    number: int
    parts: Sequence[Sequence[str]]
    before: Mapping[str, str]
    state: Mapping[str, str]
    informed: Mapping[str, str]
    requested: frozenset[str]


def turns_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """The user turns of one dialogue.

    rows: its utterances in order, each with `dialogue`, `turn`, `speaker` (user or system), `text`, and, as JSON texts, `state` (of
    the user's turns) and `acts`, as `idsweep.data.dialogue_states` says. The dialogue ends where a speaker speaks twice. Domains and
    slots that are not tracked are left out (`slots.UNTRACKED`, and slots that nobody looks for, such as telephone numbers).

    Raises ValueError for a user turn without a state, or one whose domain or slot is not known; the message names dialogue and turn.
    """
    parts: list[list[str]] = []
    before: dict[str, str] = {}
    informed: dict[str, str] = {}
    for place, row in enumerate(rows):
        if row["speaker"] != ("user", "system")[place % 2]:
            return
        at = f"dialogue {row['dialogue']}, turn {row['turn']}"
        acts = _acts(row, at)
        said = words(normalize_text(row["text"]))
        if row["speaker"] == "system":
            informed = {}
            for intent, slot, value in acts:
                if intent in ("inform", "recommend", "select", "book") and value and slot not in informed:
                    informed[slot] = value
            parts.insert(0, said)
            continue
        if row["state"] is None:
            raise ValueError(f"{at}: the user's turn has no state.")
        state = _tracked(json.loads(row["state"]), at)
        requested = frozenset(slot for intent, slot, _ in acts if intent == "request")
        yield Turn(
            row["dialogue"],
            place // 2,
            [said, *(parts or [[]])],
            dict(before),
            state,
            dict(informed),
            requested,
        )
        before = state
        parts.insert(0, said)


def _tracked(state: Mapping[str, Mapping[str, str]], at: str) -> dict[str, str]:
    tracked = {}
    for domain, values in state.items():
        for slot, value in values.items():
            if (name := slot_name(domain, slot)) is not None:
                tracked[name] = value.partition("|")[0]  # of several right values the first
            elif domain.lower() not in UNTRACKED and slot.lower() not in UNTRACKED_SLOTS:
                raise ValueError(
                    f"{at}: slot {slot!r} of domain {domain!r} is not known; the slots are {', '.join(SLOTS)}."
                )
    return tracked


def _acts(row: Mapping[str, Any], at: str) -> list[Act]:
    """Intent, slot and value of the acts about slots that are tracked."""
    try:
        acts = json.loads(row["acts"]) if row["acts"] else []
        return [
            (intent, name, value)
            for domain, intent, slot, value in acts
            if (name := slot_name(domain, slot)) is not None
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{at}: its acts are no list of domain, intent, slot and value: {row['acts']!r}.") from error
