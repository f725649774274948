"""What schema.yaml repeats of the code is what the code says: allowed values and defaults."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.project import CONFIG, SCRIPTS
from idsweep.config.schema import REGISTRIES, with_registries
from idsweep.drawing.bands import BANDS
from idsweep.estimators.registry import Estimator
from idsweep.models.checkpoints import AUTO_CLASSES

LIBRARY = SCRIPTS / "idsweep"
SCHEMA = yaml.safe_load((CONFIG / "schema.yaml").read_text(encoding="utf-8"))
# Where values are allowed -> the values of the code, or where they stand there.
ENUMS: dict[str, Any] = {
    "tokens.choose": "idsweep.data.corpora:CHOOSE",
    "tokens.select": "idsweep.data.tokens:SELECT",
    "vocabulary.select": "idsweep.data.tokens:SELECT_VOCABULARY",
    "extraction.dtype": "idsweep.models.checkpoints:DTYPES",
    "extraction.storage": "idsweep.planning.jobs:STORAGE",
    "tokens.without[]": "idsweep.data.tokens:ROLES",
    "points.draw": "idsweep.neighbors.points:DRAW",
    "points.choose": "idsweep.neighbors.points:CHOOSE",
    "points.zero_vectors": "idsweep.neighbors.points:ZERO_VECTORS",
    "points.normalize": "idsweep.neighbors.points:NORMALIZE",
    "nulls[]": "idsweep.neighbors.variants:NULLS",
    "estimator_sets.<name>[].scope": Estimator("all", local=len, global_=len).scopes,
    "$defs.layers[]": "idsweep.files.representations:NAMED",
    "$defs.figure.against": "idsweep.figures.redundancy:AGAINST",
    "$defs.figure.band": (True, False, *BANDS),
    "$defs.figure.colours": "idsweep.figures.heatmap:COLOURS",
    "$defs.figure.density_norm": "idsweep.figures.shifts:DENSITY_NORMS",
    "$defs.figure.scale": "idsweep.drawing.style:SCALES",
    "$defs.figure.steps": "idsweep.drawing.over_training:STEPS",
    "$defs.models.<name>.kind": (*AUTO_CLASSES, "static"),
    "$defs.models.<name>.format": "idsweep.models.static_vectors:FORMATS",
    "$defs.models.<name>.dtype": "idsweep.models.checkpoints:DTYPES",
    "$defs.models.<name>.attention": "idsweep.models.checkpoints:ATTENTIONS",
    "$defs.models.<name>.tokenizer.truncation_side": "idsweep.models.tokenizers:TRUNCATION_SIDES",
    "$defs.models.<name>.tokenizer.padding_side": "idsweep.models.tokenizers:TRUNCATION_SIDES",
    "$defs.models.<name>.tokenizer.special_tokens": "idsweep.training.tokenizer:SPECIAL_TOKENS",
    "$defs.datasets.<name>.own_splits.by": ("rows", "datasets"),
    "$defs.datasets.<name>.release": "idsweep.data.entries:RELEASES",
}
# Values that the schema alone lists; code asks for single ones.
ALONE = {
    "representations.<name>.by",
    "extraction.layers",
    "compute.device",
    "compute.log_level",
    "identical_checkpoints",
    "$defs.datasets.<name>.compose",
}
# Section -> the functions that are called with its keys; a default of the same name is the same.
CALLED = {
    "tokens": ("idsweep.data.tokens:sample_tokens",),
    "vocabulary": ("idsweep.data.tokens:sample_vocabulary",),
    "extraction": ("idsweep.extraction.forward:extract_hidden_states", "idsweep.models.checkpoints:load_model"),
    "points": ("idsweep.neighbors.points:prepare_points",),
    "scales": ("idsweep.neighbors.variants:of_cloud", "idsweep.estimators.layer:estimate_layer"),
    "compute": ("idsweep.extraction.forward:extract_hidden_states",),
}
# What functions leave out unless they are asked, and sweeps do.
DIFFERENT = {"extraction.losses", "extraction.layers", "scales.halvings", "compute.device"}
# Defaults under another name: where the schema has them -> the code's value, or where it stands.
RENAMED: dict[str, Any] = {
    "tokens.sequences": "idsweep.data.corpora:read_corpus:number",
    "tokens.choose": "idsweep.data.corpora:read_corpus:choose",
    "tokens.sequence_seed": "idsweep.data.corpora:read_corpus:seed",
    "nulls": "idsweep.neighbors.variants:of_cloud:nulls",
    "$defs.datasets.<name>.split": "idsweep.data.entries:SPLIT",
    "$defs.datasets.<name>.own_splits.of": "idsweep.data.entries:SPLIT",
    "$defs.datasets.<name>.own_splits.seed": "idsweep.data.corpora:SPLIT_SEED",
    "$defs.models.<name>.trust_remote_code": "idsweep.models.checkpoints:load_model:trust_remote_code",
}


def parts(schema: Any, at: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every part of a schema by the path of what it describes."""
    if isinstance(schema, list):
        for one in schema:
            yield from parts(one, at)
    elif isinstance(schema, dict):
        yield at, schema
        for key, below in (("properties", ""), ("$defs", "$defs.")):
            for name, part in schema.get(key, {}).items():
                yield from parts(part, f"{at}.{below}{name}".lstrip("."))
        yield from parts(schema.get("additionalProperties", []), f"{at}.<name>")
        yield from parts(schema.get("items", []), f"{at}[]")
        yield from parts(schema.get("oneOf", []), at)


def said(where: Any) -> Any:
    """The value of the code that a table above names: module:NAME, or module:function:parameter."""
    if not isinstance(where, str):
        return where
    module, name, *parameter = where.split(":")
    found = getattr(import_module(module), name)
    return inspect.signature(found).parameters[parameter[0]].default if parameter else found


def allowed(schema: Any) -> dict[str, list[Any]]:
    return {at: part["enum"] for at, part in parts(schema) if "enum" in part and "namesFrom" not in part}


def test_every_list_of_allowed_values_is_known_here() -> None:
    assert set(allowed(SCHEMA)) == ENUMS.keys() | ALONE
    assert {part["namesFrom"] for _, part in parts(SCHEMA) if "namesFrom" in part} <= REGISTRIES.keys()


@pytest.mark.parametrize("at", ENUMS)
def test_allowed_values_are_those_of_the_code(at: str) -> None:
    assert sorted(allowed(SCHEMA)[at], key=str) == sorted(said(ENUMS[at]), key=str)


def listed(file: Path) -> Iterator[frozenset[Any]]:
    """The values of every literal tuple, list, set, or keys of a dictionary, of a module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        if len(items) > 1 and all(isinstance(item, ast.Constant) for item in items):
            yield frozenset(item.value for item in items)


def test_what_the_schema_alone_lists_is_repeated_nowhere() -> None:
    """Else it belongs into the table above."""
    alone = {frozenset(values): at for at, values in allowed(SCHEMA).items() if at in ALONE}
    repeated = [
        (alone[values], file.name) for file in LIBRARY.rglob("*.py") for values in listed(file) if values in alone
    ]
    assert not repeated


def test_what_registries_tell_of_their_keys_repeats_no_tuple() -> None:
    """They name it instead (`"enum": "NAME"`), or are made of it."""
    for file in [*LIBRARY.glob("training/*.py"), *LIBRARY.glob("data/loaders/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                values = [
                    value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if getattr(key, "value", "") == "enum"
                ]
                assert not any(isinstance(value, ast.List | ast.Tuple) for value in values), file
    assert len(allowed(with_registries(SCHEMA))) > len(allowed(SCHEMA))


def defaults() -> dict[str, Any]:
    return {at: part["default"] for at, part in parts(SCHEMA) if "default" in part}


@pytest.mark.parametrize(("section", "function"), [(key, where) for key, of in CALLED.items() for where in of])
def test_defaults_are_those_of_the_functions_that_are_called(section: str, function: str) -> None:
    if function.startswith("idsweep.extraction"):
        pytest.importorskip("torch")
    known, compared = defaults(), 0
    for name, parameter in inspect.signature(said(function)).parameters.items():
        at = f"{section}.{name}"
        if at in known and parameter.default is not inspect.Parameter.empty and at not in DIFFERENT:
            assert parameter.default == known[at], at
            compared += 1
    assert compared


@pytest.mark.parametrize("at", RENAMED)
def test_defaults_under_another_name_are_those_of_the_code_too(at: str) -> None:
    found = defaults()[at]
    assert found == (list(said(RENAMED[at])) if isinstance(found, list) else said(RENAMED[at]))
