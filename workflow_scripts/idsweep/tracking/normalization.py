"""Texts and values in one writing, so that what a user says can be found and compared.

The rules are those of TripPy-R (Heck et al. 2022) but for amounts of money, which stay as they are: "5.30 pounds" is no time.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SAME = (
    (re.compile(r"[\t\r\n\v\f]"), " "),
    (re.compile(r"n['’]t\b"), " not"),
    (re.compile(r"\b(one|two|three|four|five)[ -]stars?\b"), lambda found: f"{_DIGITS[found[1]]} star"),
    (re.compile(r"\b([1-5])[ -]stars?\b"), r"\1 star"),
    (re.compile(r"\bguesthouse"), "guest house"),
    (re.compile(r"\bb ?& ?b\b|\bbed & breakfast\b"), "bed and breakfast"),
    (re.compile(r"\barchaelogy\b"), "archaeology"),
)
_DIGITS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
_HALF_OF_DAY = re.compile(r"(?<![\d.:])(\d{1,2})(?:[:.;]?(\d{2}))? ?(a\.?m|p\.?m)\b\.?")
_SEPARATOR = re.compile(r"(?<![\d.:£])(\d{1,2})[.;](\d{2})(?![\d.:])(?! ?(?:pounds?|gbp|£|euros?|dollars?))")
_CLOCK = re.compile(r"(?<![\d.:])(\d{1,2}):(\d{2})(?![\d:])")
_NAMED_TIMES = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}
_WORDS = re.compile(r"(\W+)")


@lru_cache(maxsize=2**16)
def normalize_text(text: str) -> str:
    """A text in lower case with times as HH:MM and one spelling of some words.

    Example: `normalize_text("I didn't say 5.30 pm")` is "i did not say 17:30".
    """
    text = text.lower()
    for pattern, replacement in _SAME:
        text = pattern.sub(replacement, text)
    return _clock(text)


def words(text: str) -> list[str]:
    """The words of a normalised text, and what stands between them but white space.

    Example: `words("leave at 17:00, please")` is ["leave", "at", "17", ":", "00", ",", "please"].
    """
    return [word for part in _WORDS.split(text) if (word := part.strip())]


@lru_cache(maxsize=2**16)
def normalize_value(value: str) -> str:
    """A value as it is compared. Example: `normalize_value("5 PM")` is "17:00"."""
    value = " ".join(re.sub(r" ?['’] ?s\b", "'s", value.lower()).split())
    if re.fullmatch(r"\d{1,2} \d{2}", value):
        value = value.replace(" ", ":")
    return _clock(_NAMED_TIMES.get(value, value))


def _clock(text: str) -> str:
    text = _HALF_OF_DAY.sub(_of_half_day, text)
    text = _SEPARATOR.sub(_valid_time, text)
    return _CLOCK.sub(_valid_time, text)


def _of_half_day(found: re.Match) -> str:
    hour, minute = int(found[1]), found[2] or "00"
    if not 1 <= hour <= 12:
        return _valid_time(found) if found[2] else found[0]  # "17:30 pm"
    hour = hour % 12 + 12 * found[3].startswith("p")
    return f"{hour:02}:{minute}" if int(minute) < 60 else found[0]


def _valid_time(found: re.Match) -> str:
    hour, minute = int(found[1]), int(found[2])
    return f"{hour % 24:02}:{minute:02}" if hour <= 24 and minute < 60 else found[0]
