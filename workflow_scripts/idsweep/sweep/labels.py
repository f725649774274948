"""What figures call models and datasets whose entry in the catalog has a `label`."""

from __future__ import annotations

from collections.abc import Iterator

from idsweep.files.representations import VECTORS, VOCABULARY
from idsweep.sweep.models import Model
from idsweep.sweep.sweep import Dataset, Sweep

Labels = dict[str, dict[str, str]]


def labels(sweep: Sweep) -> Labels:
    """Name in tables -> what figures show in its place: `model`, of runs and of the groups of their seeds, and `dataset`.

    Nothing of entries without a label, but for the rows of matrices that are no vocabulary. What tells the runs of an entry apart is written after it: `Addition, fraction 0.3,
    seed 46`; so is what tells draws and splits of a dataset apart: `News, test`.
    """
    shown: Labels = {"model": {}, "dataset": {}}
    for model in sweep.known.values():
        if label := _label(sweep, "models", model.catalogued):
            shown["model"] |= _of_model(model, label)
    measured = {matrix for model in sweep.models.values() for matrix in model.matrices}
    if measured == {VECTORS}:
        shown["dataset"][VOCABULARY] = "rows"  # of a file, which are no words
    for dataset in sweep.datasets.values():
        if label := _label(sweep, "datasets", dataset.source):
            shown["dataset"] |= _of_dataset(dataset, label)
    return {kind: each for kind, each in shown.items() if each}


def wrong_labels(sweep: Sweep) -> Iterator[str]:
    """Complaints about labels by which figures could not tell two names apart."""
    found = labels(sweep)
    models = {name for model in sweep.models.values() for name in (model.name, model.group)}
    datasets = {dataset.name for dataset in sweep.datasets.values()}
    for kind, names in (("model", models), ("dataset", datasets)):
        first: dict[str, str] = {}
        for name in sorted(names):
            shown = found.get(kind, {}).get(name, name)
            other = first.setdefault(shown, name)
            if other != name:
                yield (
                    f"catalog.{kind}s: figures would show {shown!r} for both {other} and {name}; give one of them "
                    "another `label`"
                )


def _label(sweep: Sweep, kind: str, name: str) -> str | None:
    return sweep.config["catalog"][kind].get(name, {}).get("label")


def _of_model(model: Model, label: str) -> dict[str, str]:
    varied = [f"{key.rsplit('.', 1)[-1].replace('_', ' ')} {value}" for key, value in model.varied.items()]
    group = ", ".join([label, *varied])
    return {model.group: group} | ({model.name: f"{group}, seed {model.seed}"} if model.name != model.group else {})


def _of_dataset(dataset: Dataset, label: str) -> dict[str, str]:
    without_seeds = dataset.drawn_from or dataset.name
    split = without_seeds[len(dataset.source) + 1 :]
    undrawn = ", ".join([label, *([split] if split else [])])
    suffix = dataset.name[len(without_seeds) :]
    seeds = [f"{key.replace('_', ' ')} {seed}" for key, seed in dataset.seeds.items() if f"-{key}{seed}" in suffix]
    drawn = ", ".join([undrawn, *seeds])
    return {without_seeds: undrawn, dataset.name: drawn}
