"""Checkpoints in a folder, told from its subfolders, and a choice of many."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import log1p
from pathlib import Path
from typing import NamedTuple

from idsweep.config import steps
from idsweep.machine.names import nearest_name
from idsweep.models.folders import ADAPTER_CONFIG, CONFIG, checkpoint_folders

LAST_NUMBER = re.compile(r"\d+(?=\D*\Z)")


class Found(NamedTuple):
    """Checkpoints of one folder.

    pattern: the catalog's key `checkpoints`. steps: name -> step. others: models in it that are no checkpoints by their names.
    """

    pattern: str
    steps: Mapping[str, int]
    others: Sequence[str]


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model or an adapter."""
    return (folder / CONFIG).is_file() or (folder / ADAPTER_CONFIG).is_file()


def is_part(folder: Path) -> bool:
    """Whether the config.json of a folder is that of a part of a model, as 1_Pooling of sentence-transformers.

    One that cannot be read yet is taken for a model's: it may be written at this moment.
    """
    if (folder / ADAPTER_CONFIG).is_file():
        return False
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and not config.keys() & {"model_type", "architectures"}


def find_checkpoints(folder: Path, pattern: str | None = None) -> Found | None:
    """The checkpoints below a folder: subfolders with a model whose names differ in their last number; None if there are none.

    pattern: which of them, as "checkpoint-*"; needed where there are several series.

    Raises
    ------
    ValueError
        If there are several series and none is chosen, or none of a series is complete.
    """
    models = sorted(path.name for path in folder.iterdir() if path.is_dir() and is_model(path) and not is_part(path))
    series: dict[str, list[str]] = {}
    for name in models:
        if LAST_NUMBER.search(name):
            series.setdefault(LAST_NUMBER.sub("*", name), []).append(name)
    if pattern is None:
        if len(series) > 1:
            choices = ", ".join(f"{one!r} ({len(names)})" for one, names in series.items())
            raise ValueError(
                f"{folder} holds several series of checkpoints: {choices}. Choose one, as --checkpoints {next(iter(series))!r}."
            )
        pattern = next(iter(series), None)
    if pattern is None:
        return None
    found = dict(checkpoint_folders(folder, pattern))
    return Found(pattern, found, [name for name in models if name not in found])


def names(given: str) -> list[str]:
    """Names with commas between, or those of a pattern as "step{0,512,1000}". Raises ValueError for a wrong pattern."""
    return list(steps.expand(given)) if "{" in given else [name.strip() for name in given.split(",") if name.strip()]


def step_in(name: str) -> int | None:
    """The last number in a name, which is most often the step."""
    number = LAST_NUMBER.search(name)
    return int(number[0]) if number else None


def choose(offered: Mapping[str, int | None], given: str, owner: str) -> list[str]:
    """The checkpoints that a user names: `all`, or as in `names`; a step stands for the checkpoint at it.

    offered: name -> step. Raises ValueError for a name that there is not.
    """
    if given == "all":
        return list(offered)
    by_step = {str(step): name for name, step in offered.items() if step is not None}
    chosen = {name if name in offered else by_step.get(name, name) for name in names(given)}
    if unknown := sorted(chosen - offered.keys()):
        near = nearest_name(unknown[0], list(offered))
        raise ValueError(
            f"--checkpoints: {unknown[0]!r} is no checkpoint of {owner}; "
            + (f"did you mean {near!r}?" if near else f"it has {_shortened(list(offered))}.")
        )
    return [name for name in offered if name in chosen]


def spread(offered: Mapping[str, int | None], most: int) -> list[str]:
    """At most `most` names, the first and the last among them, about as far apart on a logarithmic scale of the steps.

    >>> spread({f"step{step}": step for step in (0, 1, 2, 4, 8, 1000, 2000, 3000, 4000)}, 4)
    ['step0', 'step8', 'step1000', 'step4000']
    """
    names = list(offered)
    if len(names) <= most:
        return names
    steps = list(offered.values())
    places = list(map(log1p, range(len(names)) if None in steps else steps))
    targets = (places[0] + (places[-1] - places[0]) * i / (most - 1) for i in range(most))
    chosen = {min(range(len(names)), key=lambda i: abs(places[i] - target)) for target in targets}
    return [names[i] for i in sorted(chosen)]


def described(offered: Mapping[str, int | None], chosen: Sequence[str]) -> str:
    """Which checkpoints are measured, in words.

    >>> described({"step0": 0, "step1": 1, "step2": 2}, ["step0", "step2"])
    '2 of 3 checkpoints: step0, step2 (--checkpoints all takes all)'
    """
    if len(chosen) == len(offered):
        return f"{len(chosen)} checkpoint{'s' if len(chosen) > 1 else ''}: {_shortened(chosen)}"
    return f"{len(chosen)} of {len(offered)} checkpoints: {_shortened(chosen)} (--checkpoints all takes all)"


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:3])} … {', '.join(names[-2:])}"
