"""The keys of a configuration as a page for people, made from the schema that checks them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from idsweep.config.schema import with_registries
from idsweep.config.yaml_file import read_yaml
from idsweep.training import kinds as trainings

HEAD = """# Configuration

A sweep is one YAML file. `config.yaml` is the default; give others with `--configfile`. Every
configuration is checked against these keys before a job runs. `idsweep keys > config/README.md`
makes this page from [schema.yaml](schema.yaml) and from the modules of trainings and loaders.

`--config 'tokens={number: 50}'` changes a key for one run. What stands in braces or brackets is read as YAML.
`idsweep run` also takes `--config tokens.number=50`.

"""
SECTIONS = (
    ("Sweep", (), "Keys of a sweep's own file."),
    (
        "Models",
        ("$defs", "models", "additionalProperties"),
        "Entries of `catalog/models.yaml`, or of `catalog: models:` in a sweep. "
        "Exactly one of `package`, `path`, `hub` and `train` says where the weights are.",
    ),
    (
        "Datasets",
        ("$defs", "datasets", "additionalProperties"),
        "Entries of `catalog/datasets.yaml`, or of `catalog: datasets:` in a sweep.",
    ),
)
MOST_NAMES = 10  # of a registry that are listed


def page(schema_file: Path) -> str:
    """Markdown tables of all keys: name, what it means, type or allowed values, default."""
    schema = with_registries(read_yaml(schema_file))
    parts = []
    for title, path, about in SECTIONS:
        part = schema
        for key in path:
            part = part[key]
        parts.append(_section(title, about, part, schema))
    for training in map(trainings.get, trainings.names()):
        for block, part in training.schemas().items():
            title = f"Training: {training.name}" + f", {block}" * (block != "training")
            about = f"`{block}:` of a model with `train: {training.name}`: {training.about}"
            parts.append(_section(title, about, part, schema))
    return HEAD + "\n".join(parts)


def _section(title: str, about: str, part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"| `{name}` | {_written(text)} | {kind} | {default} |\n" for name, text, kind, default in _rows(part, schema)
    )
    return f"## {title}\n\n{about}\n\n| key | meaning | value | default |\n|---|---|---|---|\n{rows}"


def _rows(part: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    required = part.get("required", ())
    for key, value in part.get("properties", {}).items():
        value = _resolved(value, schema)
        default = "required" if key in required else f"`{json.dumps(value['default'])}`" if "default" in value else ""
        if value.get("default") == {}:
            default = ""
        yield prefix + key, value.get("description", ""), _kind(value), default
        if "$defs" not in str(value.get("$ref", "")):
            yield from _rows(value, schema, f"{prefix}{key}.")
            if isinstance(inner := value.get("additionalProperties"), Mapping):
                inner = _resolved(inner, schema)
                yield from _rows(inner, schema, f"{prefix}{key}.<name>.")
                yield from _rows(inner.get("items", {}), schema, f"{prefix}{key}.<name>[].")


def _written(text: str) -> str:
    """A description as Markdown, which would take `<` outside of code for the begin of a tag of HTML."""
    parts = text.split("`")
    return "`".join(part if i % 2 else re.sub(r"<(?=[a-zA-Z])", "&lt;", part) for i, part in enumerate(parts))


def _resolved(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in value:
        return value
    return schema["$defs"][value["$ref"].rsplit("/", 1)[1]] | value


def _kind(value: Mapping[str, Any]) -> str:
    if "namesFrom" in value and len(value["enum"]) > MOST_NAMES:
        return f"a name in the registry of {value['namesFrom']}"
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    if "oneOf" in value:
        return " or ".join(filter(None, map(_kind, value["oneOf"])))
    if "const" in value:
        return f"`{value['const']}`"
    kinds = value.get("type", "")
    return " or ".join(kinds) if isinstance(kinds, list) else kinds
