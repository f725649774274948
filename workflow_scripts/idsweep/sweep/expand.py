"""From a checked configuration to the sweep: which models, checkpoints, datasets and representations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from idsweep.config.load import ConfigError, key_path
from idsweep.data.entries import MADE_UP_KEYS, corpus_file, offers_splits
from idsweep.data.loaders import registry as loaders
from idsweep.files.representations import VOCABULARY
from idsweep.sweep.checks import check_groups, check_parts, check_whole
from idsweep.sweep.entries import make_models
from idsweep.sweep.models import Model, catalog_path, entry_of, safe
from idsweep.sweep.sweep import PARTS, Dataset, Sweep
from idsweep.training import kinds

RELEASE = ("release", "url", "path", *MADE_UP_KEYS)
DRAWN_BY = ("sequence_seed", "seed")  # keys of `tokens` that may be lists
SAME_PATH = "catalog: two names become {!r} as a path, {!r} and {!r}; rename one of them"


def expand(config: Mapping[str, Any]) -> Sweep:
    """The sweep that a configuration describes. Raises ConfigError with everything that is wrong."""
    complaints: list[str] = []
    datasets: dict[str, Dataset] = {}
    for i, name in enumerate(config["datasets"]):
        _collect(complaints, datasets, name, _draws, name, config, key_path(["datasets", i]))
    models: dict[str, Model] = {}
    for name, chosen in config["models"].items():
        _collect(complaints, models, name, make_models, name, chosen or {}, config)
    if complaints:
        raise ConfigError(complaints)
    complaints += check_parts(models.values(), datasets)
    complaints += check_groups(models.values())
    if complaints:
        raise ConfigError(complaints)
    known = dict(models)
    others = (other for model in models.values() for other in (model.start, model.initial))
    for base, _ in filter(None, others):
        first = known.setdefault(base.path, base)
        _check_same(complaints, base.path, (first.catalogued, base.catalogued), first.entry, base.entry)
        known[base.path] = replace(first, checkpoints={**first.checkpoints, **base.checkpoints})
    used = {name: dataset for name, dataset in datasets.items() if name not in PARTS}
    for at, name in _read_beside(config, known.values()):
        if name in PARTS:
            complaints.append(
                f"{at}: {name!r} is reserved for the texts that each model is trained on; name a dataset of the catalog"
            )
            continue
        try:
            (corpus,) = _datasets(name, config, at)
        except ConfigError as error:
            complaints += error.complaints
            continue
        if loaders.get(corpus.entry["loader"]).holds_ids:
            complaints.append(
                f"{at}: {name} holds token ids, which can be measured and not trained on; name a dataset of texts"
            )
        if corpus.entry.get("streaming"):
            complaints.append(f"{at}: {name} is streamed, but all of its texts are needed here; leave `streaming` out")
        first = used.setdefault(corpus.path, corpus)
        _check_same(complaints, corpus.path, (first.name, corpus.name), first.entry, corpus.entry)
    if complaints:
        raise ConfigError(complaints)
    sweep = Sweep(config["sweep"], config, models, known, datasets, used)
    complaints += check_whole(sweep)
    for model in known.values():
        first = sweep.tokenizers()[model.tokenizer.path]
        _check_same(complaints, first.path, (first.name, model.tokenizer.name), first.owner, model.tokenizer.owner)
    for corpus in filter(lambda corpus: corpus.prepared, used.values()):
        first = sweep.releases()[corpus.source_path]
        entries = ({k: e.get(k) for k in RELEASE} for e in (first.entry, corpus.entry))
        _check_same(complaints, first.source_path, (first.source, corpus.source), *entries)
    if complaints:
        raise ConfigError(complaints)
    return sweep


def _read_beside(config: Mapping[str, Any], models: Iterable[Model]) -> Iterator[tuple[str, str]]:
    """Key and name of the datasets that models and tokenizers are trained on, or entries are counted in."""
    for model in models:
        for entry in (model.entry, model.tokenizer.owner):
            for key in kinds.get(entry["train"]).texts if "train" in entry else ():
                if key in entry["training"]:
                    yield f"{catalog_path('models', model.catalogued)}.training.{key}", entry["training"][key]
    if config["vocabulary"]["counted_in"] is not None:
        yield "vocabulary.counted_in", config["vocabulary"]["counted_in"]


def _check_same(
    complaints: list[str], path: str, names: tuple[str, str], one: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    """Complain of two entries that would have one path."""
    if one != other or names[0] != names[1]:
        complaints.append(SAME_PATH.format(path, *names))


def _collect(
    complaints: list[str], into: dict[str, Any], name: str, make: Callable[..., list[Any]], *arguments: Any
) -> None:
    """Add what `make` gives to `into`, by path. name: what the configuration calls it."""
    try:
        items = make(*arguments)
    except ConfigError as error:
        complaints += error.complaints
        return
    for item in items:
        if item.path in into:
            other = getattr(into[item.path], "catalogued", None) or into[item.path].name
            complaints.append(SAME_PATH.format(item.path, other, name))
        into[item.path] = item


def _draws(name: str, config: Mapping[str, Any], at: str) -> list[Dataset]:
    """A dataset once for each combination of the seeds that `tokens` lists."""
    (dataset,) = _datasets(name, config, at)
    listed = {key: values for key in DRAWN_BY if isinstance(values := config["tokens"][key], list)}
    varied = [key for key, values in listed.items() if len(values) > 1]
    if varied and name in PARTS:
        raise ConfigError(
            [
                f"tokens.{varied[0]}: several seeds are for datasets of the catalog, and {name} is other texts for each model; give one "
                f"seed, or leave {name} out of `datasets`"
            ]
        )
    draws = []
    for values in product(*listed.values()):
        seeds = dict(zip(listed, values, strict=True))
        suffix = "".join(f"-{key}{seeds[key]}" for key in varied)
        drawn_from = dataset.name if varied else None
        draws.append(replace(dataset, name=dataset.name + suffix, drawn_from=drawn_from, seeds=seeds))
    return draws


def _datasets(name: str, config: Mapping[str, Any], at: str) -> list[Dataset]:
    """The one dataset that a sweep names: `NAME`, or `NAME:SPLIT` for another split than the entry's."""
    if name in PARTS:
        if name in config["catalog"]["datasets"]:
            raise ConfigError(
                [
                    f"{catalog_path('datasets', name)}: this name is reserved for the texts that models are trained on; rename it"
                ]
            )
        return [Dataset(name, name, {}, None)]
    whole = name in config["catalog"]["datasets"] or not re.fullmatch(r".+:[^:]+", name)
    catalogued, split = (name, "") if whole else name.rsplit(":", 1)
    entry = entry_of("datasets", catalogued, config, at)
    at = catalog_path("datasets", catalogued)
    if safe(name) == VOCABULARY:
        raise ConfigError([f"{at}: the name {VOCABULARY!r} is taken by the rows of embedding matrices; choose another"])
    try:
        if split and not offers_splits(entry):
            raise ValueError(
                f"it is one file or folder without splits, but {name!r} names a split; give it `own_splits`, or make an "
                "entry for each split"
            )
        entry = {**entry, "split": split} if split else entry
        return [Dataset(name, catalogued, entry, corpus_file(entry))]
    except (ValueError, OSError) as error:
        raise ConfigError([f"{at}: {error}"]) from error
