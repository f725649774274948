"""What the user of a task-oriented dialogue wants so far, and what each turn does, as releases of MultiWOZ write it down.

Both are given by the releases' own names of domains and slots; `idsweep.tracking.slots.slot_name` knows them. A state is
{domain: {slot: value}} without empty values, in lower case; "a|b" means that both are right. Acts are [domain, intent, slot, value].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

State = dict[str, dict[str, str]]
Act = tuple[str, str, str, str]

EMPTY = frozenset({"", "not mentioned", "none"})
DONTCARE = frozenset({"dontcare", "dont care", "don't care", "do not care", "does not care", "doesn't care"})


def of_metadata(metadata: Mapping[str, Any]) -> State:
    """The state of a system's turn of the original release: {domain: {semi: {slot: value}, book: {booked: […], slot: value}}}.

    Of a slot that is booked and named, the booked value counts (as in TripPy-R). Raises ValueError for another form.
    """
    state: State = {}
    for domain, parts in metadata.items():
        if not isinstance(parts, Mapping) or not all(
            isinstance(parts.get(part, {}), Mapping) for part in ("semi", "book")
        ):
            raise ValueError(f"the state of domain {domain!r} has no `semi` and `book`.")
        values = dict(parts.get("semi", {}))
        book = parts.get("book", {})
        values |= {f"book {slot}": value for slot, value in book.items() if slot != "booked"}
        for booked in book.get("booked", ()):
            values |= {f"book {slot}": value for slot, value in booked.items() if f"book {slot}" in values}
        _add(state, domain, values)
    return state


def of_unified(given: Mapping[str, Any]) -> State:
    """The state of a user's turn in ConvLab's unified format, {domain: {slot: value}}. Raises ValueError for another form."""
    state: State = {}
    for domain, values in given.items():
        if not isinstance(values, Mapping):
            raise ValueError(f"the state of domain {domain!r} is no mapping of slots.")
        _add(state, domain, values)
    return state


def _add(state: State, domain: str, values: Mapping[str, Any]) -> None:
    for slot, value in values.items():
        value = value[0] if isinstance(value, list) and value else value
        if not isinstance(value, str | int):
            continue
        plain = str(value).strip().lower()
        if plain not in EMPTY:
            state.setdefault(domain, {})[slot] = "dontcare" if plain in DONTCARE else plain


def acts_of_original(given: Any, domain: str | None) -> list[Act]:
    """The acts of a turn of the original release, {"Domain-Intent": [[slot, value], …]}; a text ("No Annotation") holds none.

    domain: what is talked about, to which acts of "Booking" belong (None: they are left out).
    """
    acts = []
    for name, pairs in given.items() if isinstance(given, Mapping) else ():
        of_domain, _, intent = name.partition("-")
        if of_domain == "Booking":
            if domain is None:
                continue
            of_domain = domain
        for slot, value in pairs:
            acts.append((of_domain.lower(), intent.lower(), slot, value))
    return acts


def acts_of_unified(given: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Act]:
    """The acts of a turn in ConvLab's unified format, {categorical, non-categorical, binary: [{intent, domain, slot, value}]}."""
    return [
        (act.get("domain", "").lower(), act["intent"].lower(), act["slot"], act.get("value", ""))
        for acts in given.values()
        for act in acts
    ]


def domain_of(state: State, before: State, named: Sequence[str]) -> str | None:
    """What a turn is about: a domain that an act names, or else the one whose state changed, or None."""
    named = [domain.lower() for domain in named if domain.lower() not in ("general", "booking")]
    changed = [domain for domain, values in state.items() if values != before.get(domain)]
    return next(iter([*named, *changed]), None)
