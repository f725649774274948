"""The keys of a configuration as a page for people, made from the schema that checks them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

HEAD = """# Configuration

A sweep is one YAML file; `config.yaml` is the default, others are given with `--configfile`. This page is made
from [schema.yaml](schema.yaml), which every configuration is checked against before a job runs, by
`idsweep keys > config/README.md`.

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
        "Training: language_model",
        ("$defs", "language_model"),
        "`training:` of a model with `train: language_model`: pretraining from scratch on texts.",
    ),
    (
        "Training: grokking",
        ("$defs", "grokking"),
        "`training:` of a model with `train: grokking`: all equations of a task, a part of which is trained on.",
    ),
    (
        "Training: word_vectors",
        ("$defs", "word_vectors"),
        "`training:` of a model of kind `static` with `train: word_vectors`: a vector for each frequent word of a corpus.",
    ),
    (
        "Training: fine_tuned_language_model",
        ("$defs", "fine_tuned_language_model"),
        "`training:` of a model with `train: fine_tuned_language_model`: its `base` trained further on texts.",
    ),
    (
        "Training: fine_tuned_classifier",
        ("$defs", "fine_tuned_classifier"),
        "`training:` of a model with `train: fine_tuned_classifier`: its `base` with a new head, trained to tell labels.",
    ),
    (
        "Training: lora_embedding",
        ("$defs", "lora_embedding"),
        "`training:` of a model with `train: lora_embedding`: its `base` frozen but for a low-rank update of the token "
        "embeddings (arXiv:2503.02142).",
    ),
    (
        "Datasets",
        ("$defs", "datasets", "additionalProperties"),
        "Entries of `catalog/datasets.yaml`, or of `catalog: datasets:` in a sweep.",
    ),
)


def page(schema_file: Path) -> str:
    """Markdown tables of all keys: name, what it means, type or allowed values, default."""
    schema = yaml.safe_load(schema_file.read_text(encoding="utf-8"))
    parts = []
    for title, path, about in SECTIONS:
        part = schema
        for key in path:
            part = part[key]
        rows = "".join(
            f"| `{name}` | {text} | {kind} | {default} |\n" for name, text, kind, default in _rows(part, schema)
        )
        parts.append(f"## {title}\n\n{about}\n\n| key | meaning | value | default |\n|---|---|---|---|\n{rows}")
    return HEAD + "\n".join(parts)


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


def _resolved(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in value:
        return value
    return schema["$defs"][value["$ref"].rsplit("/", 1)[1]] | value


def _kind(value: Mapping[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    if "namesFrom" in value:
        return f"a name in the registry of {value['namesFrom']}"
    if "oneOf" in value:
        return " or ".join(filter(None, map(_kind, value["oneOf"])))
    if "const" in value:
        return f"`{value['const']}`"
    kinds = value.get("type", "")
    return " or ".join(kinds) if isinstance(kinds, list) else kinds
