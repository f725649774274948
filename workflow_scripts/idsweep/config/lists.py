"""Lists of values in `points:` and in estimates that stand for several point clouds and several estimates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

ONLY_CLOUD = "points"
SEED = 778  # where no seed is used: the schema's default


def clouds(given: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name -> settings of each point cloud that `points:` describes.

    given: settings of one cloud each, or of several: keys whose value is a list take each of its values, all combinations.
    What comes twice is one cloud. They are named after the keys in which they differ, as `number500-noise0.1`; a single
    one is named `points`.
    """
    clouds_by_settings: list[dict[str, Any]] = []
    for settings in given:
        for _, one in _combinations(settings):
            if "noise_seed" in one and not one["noise"]:
                one = one | {"noise_seed": 0}  # nothing is drawn with it
            if one.get("choose") == "first" and one["sequences"] is None:
                one = one | {"seed": SEED}  # nor with this one
            clouds_by_settings += [one] if one not in clouds_by_settings else []
    varied = [
        key
        for key in clouds_by_settings[0]
        if any(one[key] != clouds_by_settings[0][key] for one in clouds_by_settings)
    ]
    return {"-".join(f"{key}{_word(one[key])}" for key in varied) or ONLY_CLOUD: one for one in clouds_by_settings}


def estimates(items: Sequence[Mapping[str, Any]], label: str) -> list[dict[str, Any]]:
    """The items of a set of estimators, those with lists once for each value, named after it: `twonn-n_neighbors16`.

    label: the key that an item without `name` is named after.
    """
    expanded = []
    for item in items:
        for name, settings in _combinations(item):
            expanded.append(settings | ({"name": f"{item.get('name', item[label])}-{name}"} if name else {}))
    return expanded


def _combinations(settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is varied, in words, and the settings with one value each."""
    lists = {key: values for key, values in settings.items() if isinstance(values, list)}
    for values in product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        name = "-".join(f"{key}{_word(value)}" for key, value in chosen.items())
        yield name, {**settings, **chosen}


def canonical(value: Any) -> Any:
    """A value as it stands in names: 1 for 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _word(value: Any) -> str:
    """A value as a part of a path."""
    value = canonical(value)
    text = "all" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    signs = {">=": "_from_", "<": "_below_", "=": "_is_"}
    return re.sub(">=|<|=", lambda sign: signs[sign[0]], text)
