"""Other ways to say a value, by rules; TripPy-R has a list of its own for them (`label_maps`)."""

from __future__ import annotations

import re
from functools import lru_cache

from idsweep.tracking.normalization import normalize_text, normalize_value, words

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PRICES = {
    "cheap": ("cheaply", "inexpensive", "low priced", "budget"),
    "moderate": ("moderately", "mid priced", "medium priced", "mid range"),
    "expensive": ("expensively", "upscale", "high priced", "high end"),
}
PLACES = ("hotel", "guest house", "restaurant", "lodge", "house", "museum", "train station")
COUNTED = ("book people", "book stay", "stars")


@lru_cache(maxsize=2**16)
def variants(slot: str, value: str) -> tuple[str, ...]:
    """The ways to say the value of a slot, as normalised texts; the value itself is the first.

    Example: `variants("hotel-area", "centre")` holds "centre", "center" and "city centre".
    """
    value = normalize_text(normalize_value(value))
    found = [value]
    within = slot.partition("-")[2]
    if within in COUNTED and value.isdigit() and int(value) < len(NUMBERS):
        found.append(NUMBERS[int(value)])
        if value == "1" and within == "book people":
            found += ["just me", "myself", "alone"]
    if within == "stars":
        found += [f"{number} star" for number in list(found)]
    if within == "price range":
        found += PRICES.get(value, ())
    if within == "area" and value == "centre":
        found += ["city centre", "downtown"]
    if within in ("type", "food") and value.endswith("s"):
        found.append(value.removesuffix("s"))
    elif within == "type":
        found.append(f"{value}s")
    if within in ("name", "departure", "destination"):
        for place in PLACES:
            shorter = value.removesuffix(f" {place}")
            if len(words(shorter)) > 1 or (shorter != value and not shorter.isdigit() and len(shorter) > 3):
                found.append(shorter)
    found += [without for text in list(found) if (without := text.removeprefix("the ")) != text]
    found += [re.sub(r"\bcentre\b", "center", text) for text in found if re.search(r"\bcentre\b", text)]
    found += [re.sub(r"\btheatre\b", "theater", text) for text in found if re.search(r"\btheatre\b", text)]
    return tuple(dict.fromkeys(found))


def is_variant(slot: str, value: str, said: str) -> bool:
    """Whether `said` is a way to say the value, word by word. Only the value's own variants count."""
    return word_key(said) in _keys(slot, value)


@lru_cache(maxsize=2**16)
def word_key(value: str) -> tuple[str, ...]:
    """The words of a value, by which two are compared: "17 : 00" is "17:00"."""
    return tuple(words(normalize_text(normalize_value(value))))


@lru_cache(maxsize=2**16)
def _keys(slot: str, value: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words(variant)) for variant in variants(slot, value))


def last_place(slot: str, value: str, said: list[str]) -> tuple[int, int] | None:
    """Where the value stands last in the words `said`: (first, end), or None. Of variants at one end, the longest counts."""
    best = None
    for variant in variants(slot, value):
        sought = words(variant)
        for first in range(len(said) - len(sought), -1, -1):
            if sought and said[first : first + len(sought)] == sought:
                place = first, first + len(sought)
                if best is None or (place[1], -place[0]) > (best[1], -best[0]):
                    best = place
                break
    return best
