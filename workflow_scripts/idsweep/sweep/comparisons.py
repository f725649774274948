"""What is compared with what: fine-tuned models with their bases, and the sweep with metrics and values that users bring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from idsweep.config.load import choose
from idsweep.files.project import in_project
from idsweep.models.folders import WIDTH_KEYS, read_architecture
from idsweep.sweep.models import Checkpoint, Model, safe

if TYPE_CHECKING:
    from idsweep.sweep.sweep import Sweep


MOST_SHOWN = 8  # numbers in a complaint


class Pair(NamedTuple):
    """A model and the checkpoint of another that its estimates are compared with, token by token."""

    model: Model
    base: Model
    checkpoint: Checkpoint


def pairs(sweep: Sweep) -> list[Pair]:
    """What `comparisons:` names, and every other model that was made of one that is measured too, where they can be compared."""
    pairs_by_name = {}
    for given in sweep.config["comparisons"]:
        for model in sweep.called(given["model"]):
            for base in sweep.called(given["base"]):
                path = safe(given.get("base_checkpoint", base.last_checkpoint.name))
                if path in base.checkpoints and base is not model:
                    pairs_by_name[model.name, base.name, path] = Pair(model, base, base.checkpoints[path])
    compared = {model for model, _, _ in pairs_by_name}
    for model in sweep.models.values():
        if model.start is not None and model.name not in compared:
            base, checkpoint = model.start
            measured = sweep.models.get(base.path)
            if measured and checkpoint.path in measured.checkpoints:
                pair = Pair(model, measured, checkpoint)
                if not any(_of_pair(pair)):
                    pairs_by_name[model.name, base.name, checkpoint.path] = pair
    return list(pairs_by_name.values())


def complaints(sweep: Sweep) -> Iterator[str]:
    """What is wrong about `comparisons:` and the files of `metrics:` and `reference:`, told before anything runs."""
    for i, given in enumerate(sweep.config["comparisons"]):
        for complaint in _of_comparison(sweep, given):
            yield f"comparisons[{i}].{complaint}"
    for pair in pairs(sweep):
        yield from _of_pair(pair)
    for model, metric, file in sweep.brought_metrics():
        for complaint in _of_metric(model, metric, file):
            yield f"models.{model.catalogued}.metrics.{metric}: {complaint}"
    if "reference" in sweep.config:
        for complaint in _of_reference(sweep, Path(sweep.config["reference"])):
            yield f"reference: {complaint}"


def _of_comparison(sweep: Sweep, given: Mapping[str, str]) -> Iterator[str]:
    for key in ("model", "base"):
        if not sweep.called(given[key]):
            yield f"{key}: {given[key]!r} is not measured; {choose(given[key], [model.name for model in sweep.models.values()])}"
    bases = sweep.called(given["base"])
    if len(bases) > 1:
        yield f"base: {given['base']!r} stands for {len(bases)} models; name one: {', '.join(m.name for m in bases)}"
    for base in bases:
        if (name := given.get("base_checkpoint")) is not None and safe(name) not in base.checkpoints:
            yield f"base_checkpoint: {name!r} is not measured; {choose(name, [one.name for one in base.checkpoints.values()])}"
    if bases and bases == sweep.called(given["model"]):
        yield f"base: {given['base']!r} would be compared with itself; name another model"


def _of_pair(pair: Pair) -> Iterator[str]:
    model, base = pair.model, pair.base
    what = f"comparisons: {model.name} and {base.name}"
    if not model.reads_text or not base.reads_text:
        yield f"{what}: a comparison needs hidden states of both, but one of them has none in this sweep; measure its layers"
    elif model.tokenizer.path != base.tokenizer.path:
        yield (
            f"{what} have different tokenizers, {model.tokenizer.name} and {base.tokenizer.name}; give "
            f"{model.catalogued} `tokenizer: {{of: {base.tokenizer.name}}}` in the catalog if they are the same"
        )
    elif model.depth != base.depth:
        yield (
            f"{what} have {model.depth} and {base.depth} layers: one was not fine-tuned from the other; compare "
            f"{model.name} with the model that it was made from"
        )
    elif None not in (widths := (_width(model), _width(base))) and widths[0] != widths[1]:
        yield (
            f"{what} have hidden states of {widths[0]} and {widths[1]} dimensions: one was not fine-tuned from the other; "
            f"compare {model.name} with the model that it was made from"
        )
    elif not set(model.states) & set(base.states):
        yield (
            f"{what} have no measured layer in common: {_listed(model.layers)} and {_listed(base.layers)}; name the same "
            "`layers` for both"
        )


def _width(model: Model) -> int | None:
    """Of its hidden states, where that is known before anything runs."""
    root = model.start[0] if model.start else model
    if root.folder is not None:
        return read_architecture(root.weights(root.example.path)).width
    said = root.entry | root.entry.get("architecture", {})
    return next((said[key] for key in ("width", *WIDTH_KEYS) if key in said), None)


def _of_metric(model: Model, metric: str, file: Path) -> Iterator[str]:
    from idsweep.tables.brought import read_metric

    try:
        table = read_metric(file, metric)
    except ValueError as error:
        yield str(error)
        return
    if metric.endswith("accuracy") and (wrong := [v for v in table["value"].to_pylist() if not 0 <= v <= 1]):
        yield f"{file}: the accuracy {wrong[0]} is not between 0 and 1; divide percentages by 100, or rename the metric"
    steps = table["step"].to_pylist()
    measured = sorted(c.step for c in model.checkpoints.values() if c.step is not None)
    if measured and not set(measured) & set(steps):
        yield (
            f"{file}: the metric has the steps {_listed(steps)}, but {model.name} is measured at {_listed(measured)}; "
            "choose checkpoints at steps of the metric, or give the metric at steps of the checkpoints"
        )


def _listed(numbers: Sequence[int]) -> str:
    """Numbers in words, the middle of many left out."""
    shown = [*numbers[:MOST_SHOWN], "…", numbers[-1]] if len(numbers) > MOST_SHOWN + 1 else numbers
    return ", ".join(map(str, shown))


def _of_reference(sweep: Sweep, file: Path) -> Iterator[str]:
    from idsweep.tables.brought import QUANTITIES, read_reference

    try:
        file = in_project(file)
        there = file.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        yield f"{str(file)!r} cannot be read: {error}"
        return
    if not there:
        yield f"there is no file {str(file)!r}; relative paths start at the working directory"
        return
    try:
        rows = read_reference(file)
    except ValueError as error:
        yield str(error)
        return
    groups = [_group(model, sweep) for model in sweep.models.values()]
    for name in rows["model"].drop_null().unique().to_pylist():
        if not any(re.fullmatch(group, safe(name)) for group in groups):
            group_names = list(dict.fromkeys(model.group for model in sweep.models.values()))
            yield f"{file}: {name!r} is not a model of this sweep (a name without its seed); {choose(name, group_names)}"
    known = [
        *QUANTITIES,
        *dict.fromkeys(name for model in sweep.models.values() for name in model.metric_names),
    ]
    for name in rows["quantity"].unique().to_pylist():
        if name not in known:
            yield f"{file}: the quantity {name!r} is not known in this sweep; {choose(name, known)}"


def _group(model: Model, sweep: Sweep) -> str:
    """Regular expression of the paths of an entry's groups: varied keys may have values that are not in this sweep."""
    keys = sweep.config["catalog"]["models"][model.catalogued].get("vary", {})
    values = "".join(f"-{re.escape(key.rsplit('.', 1)[-1])}.+" for key in keys)
    return re.escape(safe(model.catalogued)) + values
