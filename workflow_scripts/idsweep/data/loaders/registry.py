"""Which loaders of datasets there are, what entries of each may say, and how they read.

A new loader is a new module of this package that ends in `LOADER = Loader(...)`; nothing else lists it. The first line of
its docstring says what it reads. Keys that entries of this loader have and others not stand in its `KEYS`, each with its
JSON schema. It is imported wherever a configuration is checked, so what is slow to import belongs into its functions.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.machine.uncounted import uncounted

Span = tuple[int, int, str]


class Part(NamedTuple):
    """The texts that a training takes, or those that it holds out.

    name: "train" or "validation". trained_fraction: the share of equations that is trained on. held_out_fraction: the
    share of texts that is held out.
    """

    name: str
    seed: int
    trained_fraction: float | None = None
    held_out_fraction: float | None = None


class Rows(NamedTuple):
    """Rows of a source.

    batches: rows as column -> values; every column that the source has is a key, empty if it is not needed. class_names:
        the names of the classes whose ids a column holds, where the source knows them. commit: of a dataset on the hub.
    """

    batches: Iterator[Mapping[str, list]]
    class_names: Mapping[str, Sequence[str]] = {}
    commit: str | None = None


@dataclass(frozen=True)
class TextGenerator:
    """Texts that are made, not read.

    texts: (entry, part or None) -> place among all texts, text, and the (begin, end, class) of each of its words.
    number: entry -> how many texts there are. words: entry -> all words of the texts, each at the place of its token id.
    tokens: of each text. classes: of the words of a text, in their order.
    """

    texts: Callable[[Mapping[str, Any], Part | None], Iterator[tuple[int, str, list[Span]]]]
    number: Callable[[Mapping[str, Any]], int]
    words: Callable[[Mapping[str, Any]], list[str]]
    tokens: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Loader:
    """How the texts of a dataset come about, and what its entry in the catalog may say.

    rows: (entry, path, name of the source for messages) -> a context in which its rows can be read; path is None for
        what comes from the hub. made: instead, for loaders whose texts are made; their entries have no keys but those below.
    check: raises ValueError for an entry whose own keys do not fit.
    places: where rows may come from: "local" (`path`, or `package` with `file`), "hub_files" (`hub` with `file`), "hub"
        (`hub` alone).
    pattern: of the files that make a local folder, for loaders that read folders; rows may have a column `file` with the
        place of each.
    encoding: whether an entry may say how a local file is encoded.
    holds_ids: whether its texts are token ids, as decimal numbers, which are measured and not trained on. Such a dataset may be a folder.
    """

    rows: Callable[[Mapping[str, Any], Path | None, str], AbstractContextManager[Rows]] | None = None
    generator: TextGenerator | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None
    places: frozenset[str] = frozenset()
    pattern: str | None = None
    encoding: bool = False
    holds_ids: bool = False


def names() -> list[str]:
    """The names of all loaders, sorted: the modules beside this one."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name for name in found if name != "registry"))


def get(name: str) -> Loader:
    """The loader called `name`; imports its module. Raises ValueError, listing the names, if there is none."""
    return uncounted(module_of(name)).LOADER


def keys(name: str) -> Mapping[str, Any]:
    """The keys that a loader has for itself, with their JSON schemas. Raises ValueError if there is no such loader."""
    return getattr(uncounted(module_of(name)), "KEYS", {})


def about(name: str) -> str:
    """What a loader reads, in a line. Raises ValueError if there is none of that name."""
    return (uncounted(module_of(name)).__doc__ or "").strip().split("\n")[0].rstrip(".")


def module_of(name: str) -> str:
    """The full name of the module that holds loader `name`. Raises ValueError if there is none."""
    if name not in names():
        raise ValueError(f"loader: {name!r} is not known; choose one of {', '.join(names())}.")
    return f"{__package__}.{name}"


def with_place(place: str) -> list[str]:
    """The loaders whose rows may come from there."""
    return [name for name in names() if place in get(name).places]


def owners_of(key: str) -> list[str]:
    """The loaders that have a key of their own of that name."""
    return [name for name in names() if key in keys(name)]
