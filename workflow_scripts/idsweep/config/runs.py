"""One entry of the catalog as several models: a run for each combination of varied values and seeds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from idsweep.config.lists import canonical

PLACES = ("path", "hub", "folder")


class Run(NamedTuple):
    """One model of a catalog entry.

    group: its name but for the seed, shared by the runs that differ in nothing else. varied: dotted key -> value.
    entry: the entry with the varied values and the seed in their places.
    """

    name: str
    group: str
    varied: Mapping[str, Any]
    seed: int | None
    entry: dict[str, Any]


def runs(name: str, entry: Mapping[str, Any]) -> list[Run]:
    """The runs of an entry in the order of `vary`, then `seeds`; one of the entry's own name if it has neither.

    `vary: {training.fraction: [0.1, 0.2]}` gives NAME-fraction0.1 and NAME-fraction0.2, `seeds: [1]` adds -seed1. A seed
    becomes `training.seed`, or stands for `{seed}` in the place of the weights.
    """
    own = {key: value for key, value in entry.items() if key not in ("vary", "seeds")}
    vary = entry.get("vary", {})
    every_run = []
    for values in product(*vary.values()):
        varied = dict(zip(vary, map(canonical, values), strict=True))
        group = "-".join([name, *(f"{key.rsplit('.', 1)[-1]}{value}" for key, value in varied.items())])
        with_values = _with(own, varied)
        for seed in entry.get("seeds", [None]):
            if seed is None:
                every_run.append(Run(group, group, varied, None, with_values))
            else:
                every_run.append(Run(f"{group}-seed{seed}", group, varied, seed, _of_seed(with_values, seed)))
    return every_run


def wrong_seeds(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong about the seeds that an entry gives, each as the end of a complaint; defaults are not filled in yet."""
    vary, training = entry.get("vary"), entry.get("training")
    if isinstance(vary, Mapping) and "training.seed" in vary:
        yield ".vary.training.seed: runs of several seeds are one group; write `seeds:` instead, beside `vary`"
    if "seeds" in entry and isinstance(training, Mapping) and "seed" in training:
        yield ".training.seed: `seeds` gives each run its own; remove one of the two"


def _with(entry: Mapping[str, Any], varied: Mapping[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(dict(entry))
    for path, value in varied.items():
        *parents, last = path.split(".")
        place = changed
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return changed


def _of_seed(entry: Mapping[str, Any], seed: int) -> dict[str, Any]:
    own = {key: value.replace("{seed}", str(seed)) if key in PLACES else value for key, value in entry.items()}
    if "training" in own:
        return own | {"training": {**own["training"], "seed": seed}}
    return own | {"seed": seed}
