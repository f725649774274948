"""Which values a parameter of an estimator may have, said once for configurations and for the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, Protocol


class Range(Protocol):
    """Values that make sense for a parameter; as text it completes "it must be …"."""

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of them."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `least` to `most`, of Python or numpy."""

    least: int
    most: int | None = None

    def holds(self, value: Any) -> bool:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole and self.least <= value and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"a whole number of at least {self.least}" + ("" if self.most is None else f" and at most {self.most}")


@dataclass(frozen=True)
class Number:
    """Finite numbers; `above` and `below` are not among them, `least` and `most` are."""

    above: float = -inf
    below: float = inf
    least: float = -inf
    most: float = inf

    def holds(self, value: Any) -> bool:
        number = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
        return number and self.above < value < self.below and self.least <= value <= self.most

    def __str__(self) -> str:
        bounds = {"above": self.above, "at least": self.least, "below": self.below, "at most": self.most}
        given = [f"{name} {bound:g}" for name, bound in bounds.items() if isfinite(bound)]
        return " ".join(["a number", *[" and ".join(given)] * bool(given)])


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        return any(type(value) is type(one) and value == one for one in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(str, self.values))


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def holds(self, value: Any) -> bool:
        return type(value).__name__ in ("bool", "bool_")

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Rising:
    """Lists of rising values, at least two of them."""

    each: Range

    def holds(self, value: Any) -> bool:
        if not isinstance(value, Sequence) or isinstance(value, str):
            value = value.tolist() if hasattr(value, "tolist") else None
        if not isinstance(value, Sequence) or len(value) < 2 or not all(self.each.holds(one) for one in value):
            return False
        return all(first < second for first, second in pairwise(value))

    def __str__(self) -> str:
        return f"a list of rising values, each {self.each}"


@dataclass(frozen=True)
class Optional:
    """None, or what another range holds."""

    other: Range

    def holds(self, value: Any) -> bool:
        return value is None or self.other.holds(value)

    def __str__(self) -> str:
        return f"null or {self.other}"


SEED = Whole(0, 2**32 - 1)
