"""What is to be measured: what a user says of it, and what is found of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from idsweep.config.yaml_file import read_yaml
from idsweep.files.hub_names import wrong_id
from idsweep.files.project import PROJECT

CATALOG = PROJECT / "config/catalog/models.yaml"


@dataclass(frozen=True)
class Choice:
    """What a user says beside the name of the source, as the command line has it; None where nothing."""

    checkpoints: str | None = None
    kind: str | None = None
    base: str | None = None
    tokenizer: str | None = None
    array: str | None = None

    def refuse(self, options: Sequence[str], reason: str) -> None:
        """Raise ValueError if one of these options is given. reason: why it has no meaning."""
        for option in options:
            if getattr(self, option) is not None:
                raise ValueError(f"--{option}: {reason} Leave it out.")


@dataclass(frozen=True)
class Source:
    """A model, its checkpoints, or a file of vectors, as the configuration of a sweep says it.

    name: of the model. place: what tells it from others of that name. kind: of the catalog. findings: what was found, a line each.
    entries: what the sweep's own catalog gets, by name. chosen: names of the checkpoints to measure; None for all. steps: of these,
    increasing, where they are known. depth: number of blocks; None for vectors. positions: the longest sequence, if it is known.
    number: of vectors. metrics: files of curves over training, by metric. base: what adapters build on, which is measured beside
    them.
    """

    name: str
    place: str
    kind: str
    findings: Sequence[str]
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    chosen: Sequence[str] | None = None
    steps: Sequence[int] = ()
    depth: int | None = None
    positions: int | None = None
    number: int | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None


@cache
def read_catalog() -> dict[str, dict[str, Any]]:
    """The catalog of models."""
    return read_yaml(CATALOG)


def catalogued(name: str) -> str | None:
    """The entry of the catalog that has this name, or this id on the hub."""
    return next((key for key, entry in read_catalog().items() if name in (key, entry.get("hub"))), None)


def is_hub_id(name: str) -> bool:
    """Whether a name can be an id on the hub, ACCOUNT/NAME, and is no path."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and wrong_id(name) is None


def place_of(path: Path) -> str:
    """What tells a folder or file from others: its path from the working folder, or from the root if it lies elsewhere."""
    place = path.resolve()
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def path_of(given: str) -> str:
    """The path that the sweep names: the given one, or what a link leads to now, since it may lead to something else later."""
    path = Path(given).expanduser()
    return place_of(path) if path.is_symlink() else given


def name_of(path: Path) -> str:
    """A name for a model and its sweep: that of a folder or file, of letters, digits, dots, dashes and underscores.

    >>> name_of(Path("runs/my run"))
    'my_run'
    """
    return safe_name(path.resolve().name, "model")


def safe_name(name: str, otherwise: str) -> str:
    """A name of ASCII letters, digits, dots, dashes and underscores; otherwise: if none are left.

    >>> safe_name("layer 6.5", "vectors"), safe_name("模型", "vectors")
    ('layer_6.5', 'vectors')
    """
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")[:60].rstrip("._-") or otherwise
