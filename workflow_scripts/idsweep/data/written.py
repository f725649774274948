"""What values of files are as texts and as labels, and which are none: those are refused, not printed as Python would."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

NUMBERS = (bool, int, float, Decimal, date, time, timedelta)  # and dates: of one plain printed form
LONGEST = 60
WIDEST = 10_000  # characters that a template fills in at one place


class NoTextError(ValueError):
    """A value that is no text, told with its place and what to set."""


def text_of(value: Any, column: str, row: str) -> str:
    """The text that a column holds in a row: itself, words joined by single spaces, or empty where there is none.

    Raises NoTextError for any other value; it names the row and what to set in the entry of the catalog. Use `filled` for
    parts of objects and for numbers.
    """
    if isinstance(value, str):
        return checked(value, row)
    if _missing(value):
        return ""
    if isinstance(value, list) and all(word is None or isinstance(word, str) for word in value):
        return checked(" ".join(word or "" for word in value), row)
    raise NoTextError(f"{row}: column {column!r} holds {shortened(value)}, which is no text. {_instead(value, column)}")


def is_too_wide(form: str) -> bool:
    """Whether a format, as ">10", asks for more characters than texts of a template may have at one place."""
    return any(len(digits) > 9 or int(digits) > WIDEST for digits in re.findall(r"\d+", form))


def filled(template: str, values: Mapping[str, Any], row: str) -> str:
    """A template with the values of a row, as text: numbers and dates as they print, and what `text_of` takes.

    Raises ValueError, naming the row, for a value that is no text, and for a part that it does not have.
    """
    try:
        return checked(_Filling(row).vformat(template, (), values), row)
    except NoTextError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{row}: template {template!r} cannot be filled in: {error!r}.") from None


def label_of(value: Any, column: str, row: str) -> str | None:
    """The label that a column holds in a row, without white space around it; None where there is none.

    A whole number has no decimals: 1, not 1.0.

    Raises ValueError for a value that is no word and no number.
    """
    if _missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (str, *NUMBERS)):
        return checked(str(value), row).strip() or None
    raise ValueError(
        f"{row}: label_column {column!r} holds {shortened(value)}. A text has one label, a word or a number; give another "
        "column."
    )


def matches(value: Any, allowed: Sequence[Any]) -> bool:
    """Whether a value of a row is one of those that `where` names.

    Text, which is all that CSV has, also matches the number, truth value or date that it is written for. Where nothing stands
    in a CSV file, the value is None.
    """
    return any(_same(value, each) for each in allowed)


def _same(value: Any, meant: Any) -> bool:
    if isinstance(value, str) and isinstance(meant, NUMBERS):
        number = isinstance(meant, int | float) and not isinstance(meant, bool) and _number(value) == meant
        return number or value.casefold() == str(meant).casefold()
    return value == meant and isinstance(value, bool) == isinstance(meant, bool)


def checked(text: str, row: str) -> str:
    """The text. Raises NoTextError if it holds half of a pair of surrogates, which no file and no tokenizer takes."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise NoTextError(
            f"{row}: the text has {text[error.start]!r} at character {error.start}, half of a pair of surrogates, which is no "
            "character. Mend the row."
        ) from None
    return text


def shortened(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    written = str(value) if isinstance(value, float) else repr(value)
    return written if len(written) <= LONGEST else f"{written[: LONGEST - 1]}…"


class _Filling(string.Formatter):
    def __init__(self, row: str) -> None:
        self._row = row

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        value, first = super().get_field(field_name, args, kwargs)
        if _missing(value):
            return "", first
        return (value if isinstance(value, NUMBERS) else text_of(value, field_name, self._row)), first

    def format_field(self, value: Any, format_spec: str) -> str:
        if is_too_wide(format_spec):  # also where a column says how wide
            raise ValueError(f"a width of more than {WIDEST:,} characters")
        return super().format_field(value, format_spec)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else -1


def _instead(value: Any, column: str) -> str:
    """What to set in place of a column that holds no text."""
    if isinstance(value, NUMBERS):
        return f'If it is meant as text, set template: "{{{column}}}".'
    path = column
    while isinstance(value, dict | list) and value:
        key = max(value, key=lambda name: _length(value[name])) if isinstance(value, dict) else 0
        value, path = value[key], f"{path}[{key}]"
        if isinstance(value, str):
            return f'Name the part that is the text, as in template: "{{{path}}}", or write the texts to a column of their own.'
    return "Write it as text to a column of its own, or name another column."
