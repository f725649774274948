"""Which trainings there are, and what each makes, starts from, reads, measures and asks of a machine.

All of it stands in the training's own module as a literal, `TRAINING`, and is read from its source, so that a
configuration is checked without importing torch. A new training is a new module of this package with a `TRAINING`
and a function `train`; nothing else lists it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Training:
    """What a training's module says of it in `TRAINING`.

    about: the end of the sentence "`training:` of a model with `train: NAME`: …" in config/README.md.
    kinds: each kind of model that it makes -> keys of `training:` that this kind needs (True) or does not take (False).
    keys: the keys of its `training:` block, each with its JSON schema. An `enum` may be the name of a tuple of the same
        module. A default with `"added": True` beside it is no setting: a key that came later leaves what was trained before
        as it is. required: those that must be given. keys_of: a module whose `KEYS` are keys of this training too, but for
        those of keys_left_out.
    architecture: the keys of `architecture:` with their JSON schemas, for trainings of a model of their own; empty where any family of
        transformers is trained.
    check: a module of this package that imports no torch, with a function `complaints(training)` that yields key (empty
        for the whole block) and complaint for keys that do not fit each other.
    rule: of the workflow that makes it; train_NAME if left out.
    metrics: what its table of metrics holds. metrics_with: key of `training:` -> the metrics that it adds.
    texts: keys of `training:` that name datasets; `dataset` is what is trained on. reads_labels: whether it needs their
        labels. loader: the only loader whose texts it reads; if left out, it reads all texts that no other training has
        for itself.
    composes: whether it reads turns as datasets with `compose: turns` give them, cut to its key max_length.
    share: {"held_out_fraction" or "trained_fraction": key of `training:`}, for trainings that split `dataset` themselves.
    from_base: whether it starts from the weights of another entry, `base`, and has its tokenizer.
    tokenizer: the rule that makes its tokenizer, train_tokenizer or write_tokenizer; None for those that start from a
        base, and for static vectors, which are their own.
    cost: name of its cost in planning/jobs.py (`COSTS_OF_TRAININGS`); None if unknown.
    gpu: whether it runs faster on a GPU, and asks for one. threads: of torch, however many cores there are, since a sum
        depends on it. mem_mb, runtime (minutes): of its rule; mem_mb 0 is as much as the weights of its base ask for.
    """

    name: str
    about: str
    kinds: Mapping[str, Mapping[str, bool]]
    keys: Mapping[str, Any]
    required: tuple[str, ...] = ()
    architecture: Mapping[str, Any] = field(default_factory=dict)
    check: str | None = None
    rule: str = ""
    metrics: tuple[str, ...] = ()
    metrics_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    texts: tuple[str, ...] = ("dataset",)
    reads_labels: bool = False
    loader: str | None = None
    composes: bool = False
    share: Mapping[str, str] = field(default_factory=dict)
    from_base: bool = False
    tokenizer: str | None = None
    cost: str | None = None
    gpu: bool = False
    threads: int = 1
    mem_mb: int = 4000
    runtime: int = 720

    @property
    def module(self) -> str:
        """The full name of the module that trains."""
        return f"idsweep.training.{self.name}"

    @property
    def makes_vectors(self) -> bool:
        """Whether it makes static vectors, which have no architecture, checkpoints or tokenizer."""
        return "static" in self.kinds

    def schemas(self) -> dict[str, dict[str, Any]]:
        """The JSON schemas of the blocks of an entry that it decides: `training:`, and `architecture:` where that is its own."""
        blocks = {"training": (self.keys, self.required)}
        if self.architecture:
            blocks["architecture"] = (self.architecture, ())
        return {
            block: {
                "type": "object",
                "additionalProperties": False,
                "required": list(required),
                "properties": dict(keys),
            }
            for block, (keys, required) in blocks.items()
        }

    def kinds_of(self, training: Mapping[str, Any]) -> list[str]:
        """The kinds of model that it makes with these keys."""
        return [
            kind
            for kind, conditions in self.kinds.items()
            if all((key in training) == given for key, given in conditions.items())
        ]

    def metrics_of(self, training: Mapping[str, Any]) -> tuple[str, ...]:
        """The metrics that it writes with these keys."""
        more = (metric for key, added in self.metrics_with.items() if key in training for metric in added)
        return (*self.metrics, *more)

    def shaping(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """The keys that shape its numbers, without those that name texts, and without later ones at their defaults."""
        later = {key: part["default"] for key, part in self.keys.items() if part.get("added")}
        return {
            key: value
            for key, value in training.items()
            if key not in self.texts and (key not in later or value != later[key])
        }

    def complaints(self, training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Key (empty for the whole block) and complaint for keys that do not fit each other."""
        if self.check is not None:
            yield from importlib.import_module(f"idsweep.training.{self.check}").complaints(training)


@cache
def names() -> tuple[str, ...]:
    """The names of all trainings, sorted: the modules of this package that have a `TRAINING`."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.py") if "\nTRAINING = {" in path.read_text("utf-8")))


@cache
def get(name: str) -> Training:
    """What training `name` says of itself. Raises ValueError if there is none, or its module says what is not known."""
    if name not in names():
        raise ValueError(f"There is no training {name!r}; the trainings are {', '.join(names())}.")
    said = _read(name, "TRAINING")
    shared, left_out = said.pop("keys_of", None), said.pop("keys_left_out", ())
    keys = {} if shared is None else {key: part for key, part in _read(shared, "KEYS").items() if key not in left_out}
    said["keys"] = keys | said.get("keys", {})
    known = {one.name: one for one in fields(Training) if one.name != "name"}
    if unknown := sorted(said.keys() - known.keys()):
        raise ValueError(
            f"training/{name}.py: TRAINING has no key {unknown[0]!r}; it may have keys_of, keys_left_out, {', '.join(known)}."
        )
    if missing := [key for key in ("about", "kinds") if key not in said]:
        raise ValueError(f"training/{name}.py: TRAINING lacks the key {missing[0]!r}; see training/kinds.py.")
    return Training(name, **{"rule": f"train_{name}"} | said)


@cache
def by_rule() -> Mapping[str, Training]:
    """Rule of the workflow -> the training that it does."""
    return {kind.rule: kind for kind in map(get, names())}


def with_gpu() -> list[str]:
    """The rules that ask for a GPU."""
    return [rule for rule, kind in by_rule().items() if kind.gpu]


def makers_of(kind: str) -> list[str]:
    """The trainings that make models of a kind."""
    return [name for name in names() if kind in get(name).kinds]


def trained_on(loader: str) -> str | None:
    """The training that has the texts of a loader for itself, if one has."""
    return next((name for name in names() if get(name).loader == loader), None)


def _read(module: str, name: str) -> dict[str, Any]:
    """A literal of a module, names of tuples as `enum` replaced by the tuples. Raises ValueError if it is no literal."""
    assigned = _assigned(module)
    if name not in assigned:
        raise ValueError(f"training/{module}.py has no {name} at its top level, which another module names.")
    try:
        return _with_values(ast.literal_eval(assigned[name]), lambda variable: ast.literal_eval(assigned[variable]))
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"training/{module}.py: {name} must be a literal, whose enums are lists or names of tuples there: {error}"
        ) from error


@cache
def _assigned(module: str) -> Mapping[str, ast.expr]:
    file = FOLDER / f"{module}.py"
    assigned = (node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.Assign))
    return {target.id: node.value for node in assigned for target in node.targets if isinstance(target, ast.Name)}


def _with_values(part: Any, values: Callable[[str], tuple[Any, ...]]) -> Any:
    if isinstance(part, dict):
        return {
            key: list(values(inner)) if key == "enum" and isinstance(inner, str) else _with_values(inner, values)
            for key, inner in part.items()
        }
    return part
