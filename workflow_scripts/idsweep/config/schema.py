"""The schema of all keys: that of schema.yaml, with what registries know."""

from __future__ import annotations

from typing import Any

from idsweep.data.loaders import registry as loaders
from idsweep.estimators import registry as estimators
from idsweep.extraction import measures
from idsweep.figures import registry as figures
from idsweep.training import kinds as trainings

REGISTRIES = {
    "estimators": estimators.names,
    "figures": figures.names,
    "loaders": loaders.names,
    "measures": measures.names,
    "trainings": trainings.names,
}


def with_registries(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what registries know: names, keys of `training:` (and of `architecture:`) and keys that loaders of datasets have for themselves.

    `namesFrom: REGISTRY` gets the `enum` of the names there.
    """
    whole = _with_names(schema)
    of_dataset = whole["$defs"]["datasets"]["additionalProperties"]["properties"]
    of_dataset["loader"]["description"] += "".join(f" {name}: {loaders.about(name)}." for name in loaders.names())
    for name in loaders.names():
        of_dataset |= loaders.keys(name)
    whole["$defs"]["models"]["additionalProperties"]["allOf"] = [
        {
            "if": {"properties": {"train": {"const": name}}, "required": ["train"]},
            "then": {"properties": trainings.get(name).schemas()},
        }
        for name in trainings.names()
    ]
    return whole


def _with_names(part: Any) -> Any:
    if isinstance(part, dict):
        filled = {key: _with_names(item) for key, item in part.items()}
        return filled | {"enum": list(REGISTRIES[part["namesFrom"]]())} if "namesFrom" in part else filled
    return [_with_names(item) for item in part] if isinstance(part, list) else part
