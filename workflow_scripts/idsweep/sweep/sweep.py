"""From a checked configuration to the sweep: which models, checkpoints, datasets and representations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.config.load import LONGEST_NAME, ConfigError, choose, key_path, neighbors_needed
from idsweep.data import corpora, equations
from idsweep.figures import registry
from idsweep.files.representations import VOCABULARY, blocks, of_layer
from idsweep.sweep import comparisons, figure_checks
from idsweep.sweep.models import Checkpoint, Model, Tokenizer, catalog_path, entry_of, make_models, safe

RELEASE = ("release", "url", "path")
TRAINED_ON, HELD_OUT = "trained_on", "held_out"
PARTS_OF_TRAINING = ("dataset", "validation", "test")
PARTS = {TRAINED_ON: "train", HELD_OUT: "validation"}
NO_WORDS = ("special", "continuation")  # tokens that no entry of static vectors is
SAME_PATH = "catalog: two names become {!r} as a path; rename one of them"


@dataclass(frozen=True)
class Dataset:
    """One split of a dataset of the catalog.

    name: as the sweep names it. source: its entry in the catalog, the same for all splits. file: the local file or folder
    that its texts come from, where there is one. `trained_on` and `held_out`, which are other texts for each model, have
    no entry: see `Sweep.corpus`.
    """

    name: str
    source: str
    entry: Mapping[str, Any]
    file: Path | None

    @property
    def prepared(self) -> bool:
        """Whether a rule of the workflow turns a release into texts first."""
        return "release" in self.entry

    @property
    def remote(self) -> bool:
        """Whether its texts come from the hub when they are read."""
        return "hub" in self.entry

    @property
    def split(self) -> str:
        if self.name in PARTS:
            return PARTS[self.name]
        return "all" if self.entry["loader"] == "equations" else self.entry["split"]

    @property
    def has_classes(self) -> bool:
        return "class_column" in self.entry or self.entry.get("loader") == "equations"


class Cloud(NamedTuple):
    """One point cloud for each representation: of a model at a checkpoint on a dataset, or of its vocabulary.

    cloud: its name among the sweep's `points:`.
    """

    model: Model
    checkpoint: Checkpoint
    dataset: str
    cloud: str

    def names(self) -> dict[str, str]:
        """The wildcards of its jobs."""
        return {
            "model": self.model.name,
            "checkpoint": self.checkpoint.name,
            "dataset": self.dataset,
            "cloud": self.cloud,
        }


@dataclass(frozen=True)
class Sweep:
    """Everything that the workflow expands over.

    models: those that are measured. known: these, and those that adapters build on.
    corpora: the datasets, and those that models are trained on. missing: checkpoints that it leaves out because they are
    not measured, as `MODEL @ CHECKPOINT`, and undrawn: why figures are left out with them; see `partial`.
    """

    name: str
    config: Mapping[str, Any]
    models: Mapping[str, Model]
    known: Mapping[str, Model]
    datasets: Mapping[str, Dataset]
    corpora: Mapping[str, Dataset]
    missing: tuple[str, ...] = ()
    undrawn: tuple[str, ...] = ()

    def passes(self) -> Iterator[tuple[Model, Checkpoint, str]]:
        """Every model × checkpoint × dataset (or vocabulary): one embeddings file each."""
        for model in self.models.values():
            names = [*(self.datasets if model.reads_text else ()), *([VOCABULARY] if model.matrices else ())]
            for checkpoint in model.checkpoints.values():
                for name in names:
                    yield model, checkpoint, name

    def clouds(self) -> Iterator[Cloud]:
        """Every pass × point cloud of `points:`: one neighbours file each."""
        for model, checkpoint, dataset in self.passes():
            for cloud in self.config["clouds"]:
                yield Cloud(model, checkpoint, dataset, cloud)

    @cached_property
    def _needed(self) -> dict[str, list[int]]:
        """The neighbours that each estimate of each set looks at, found once: jobs of large sweeps ask thousands of times."""
        return {set: [*map(neighbors_needed, items)] for set, items in self.config["estimator_sets"].items()}

    def neighbors(self, cloud: str) -> int:
        """Neighbours that are stored for each point of a cloud: neighbors.number, but no more than half of the points, so that
        duplicates and halves leave enough, unless an estimate needs more."""
        number, points = self.config["neighbors"]["number"], self.config["clouds"][cloud]["number"]
        needed = [k for of_set in self._needed.values() for k in of_set]
        return max(min(number, (points - 1) // 2), *(k for k in [1, *needed] if k < points))

    def items(self, set: str, cloud: str) -> list[Mapping[str, Any]]:
        """The estimates of a set that a cloud has neighbours enough for."""
        held = self.neighbors(cloud)
        items = self.config["estimator_sets"][set]
        return [item for item, needed in zip(items, self._needed[set], strict=True) if needed <= held]

    def blocks(self, model: Model, dataset: str) -> dict[str, list[str]]:
        """The representations that one job estimates, by the name of its file: `layers_per_job` neighbouring layers."""
        return blocks(model.representations(dataset), self.config["compute"]["layers_per_job"], model.depth)

    def estimates(self, cloud: Cloud) -> Iterator[tuple[str, str]]:
        """Set and block of every estimates file of a cloud."""
        held = self.blocks(cloud.model, cloud.dataset)
        for set in self.config["estimator_sets"]:
            if self.items(set, cloud.cloud):
                for block in held:
                    yield set, block

    def corpus(self, dataset: str, owner: Mapping[str, Any]) -> Dataset:
        """The dataset of that name; for `trained_on` and `held_out` that which the model of an entry is trained on."""
        return self.training_corpus(owner) if dataset in PARTS else self.corpora[dataset]

    def training_corpus(self, entry: Mapping[str, Any]) -> Dataset:
        """What the model of an entry, and its tokenizer, are trained on."""
        return self.corpora[safe(entry["training"]["dataset"])]

    def training_corpora(self, entry: Mapping[str, Any]) -> dict[str, Dataset]:
        """What a fine-tuning reads, by the keys dataset, validation and test."""
        training = entry["training"]
        return {key: self.corpora[safe(training[key])] for key in PARTS_OF_TRAINING if key in training}

    def trained(self) -> list[Model]:
        """The measured models that the workflow trains."""
        return [model for model in self.models.values() if model.source == "train"]

    def brought_metrics(self) -> list[tuple[Model, str, Path]]:
        """Model, metric and file of every metric that comes from elsewhere."""
        return [(model, metric, file) for model in self.models.values() for metric, file in model.metrics.items()]

    def has_dynamics(self) -> bool:
        """Whether a model is measured at several known steps."""
        steps = ({c.step for c in model.checkpoints.values() if c.step is not None} for model in self.models.values())
        return any(len(known) > 1 for known in steps)

    def describes_tokens(self) -> bool:
        """Whether tables of single tokens are made: where a figure shows them."""
        return any(
            {"token_groups", "loss_correlations"} & set(registry.tables(name)) for name in self.config["figures"]
        )

    def tables(self) -> list[str]:
        """Names of the tables that are made, each as Parquet and CSV."""
        losses = any(name != VOCABULARY and self.has_losses(model) for model, _, name in self.passes())
        made = {
            ("local", "global"): True,
            ("training",): self.trained() or self.brought_metrics(),
            ("events", "leads", "correlations"): self.has_dynamics(),
            ("reference",): "reference" in self.config,
            ("losses",): losses,
            ("shifts",): comparisons.pairs(self),
            ("token_groups", "token_extremes", "loss_correlations"): self.describes_tokens(),
        }
        return [table for tables, wanted in made.items() if wanted for table in tables]

    def releases(self) -> dict[str, Dataset]:
        """Name in the catalog -> one of its splits, of what is prepared from a release."""
        return {corpus.source: corpus for corpus in self.corpora.values() if corpus.prepared}

    def tokenizers(self) -> dict[str, Tokenizer]:
        return {model.tokenizer.name: model.tokenizer for model in self.known.values()}

    def masks(self, model: Model) -> bool:
        """Whether each sampled token of a model is masked where it is measured."""
        return self.config["extraction"]["masked"] and model.kind == "masked"

    def has_losses(self, model: Model) -> bool:
        """Whether the pass over a model's texts also gives log-probabilities of the true tokens."""
        return self.config["extraction"]["losses"] and (model.kind == "causal" or self.masks(model))


def expand(config: Mapping[str, Any]) -> Sweep:
    """The sweep that a configuration describes. Raises ConfigError with everything that is wrong."""
    complaints: list[str] = []
    datasets: dict[str, Dataset] = {}
    for i, name in enumerate(config["datasets"]):
        _collect(complaints, datasets, _datasets, name, config, key_path(["datasets", i]))
    models: dict[str, Model] = {}
    for name, chosen in config["models"].items():
        _collect(complaints, models, make_models, name, chosen or {}, config)
    if complaints:
        raise ConfigError(complaints)
    complaints += _check_parts(models.values(), datasets)
    complaints += _check_groups(models.values())
    if complaints:
        raise ConfigError(complaints)
    known = dict(models)
    for base, _ in filter(None, (model.start for model in models.values())):
        held = known.setdefault(base.name, base)
        _check_same(complaints, base.name, held.entry, base.entry)
        known[base.name] = replace(held, checkpoints={**held.checkpoints, **base.checkpoints})
    used = {name: dataset for name, dataset in datasets.items() if name not in PARTS}
    for at, name in _read_beside(config, known.values()):
        if name in PARTS:
            complaints.append(f"{at}: {name!r} stands for what models are trained on; name a dataset of the catalog")
            continue
        try:
            (corpus,) = _datasets(name, config, at)
        except ConfigError as error:
            complaints += error.complaints
            continue
        if corpus.entry.get("streaming"):
            complaints.append(f"{at}: {name} is streamed, and this needs all of its texts; leave `streaming` out")
        held = used.setdefault(corpus.name, corpus)
        _check_same(complaints, corpus.name, held.entry, corpus.entry)
    if complaints:
        raise ConfigError(complaints)
    sweep = Sweep(config["sweep"], config, models, known, datasets, used)
    complaints += _check_whole(sweep)
    for model in known.values():
        held = sweep.tokenizers()[model.tokenizer.name]
        _check_same(complaints, held.name, held.owner, model.tokenizer.owner)
    for corpus in filter(lambda corpus: corpus.prepared, used.values()):
        held = sweep.releases()[corpus.source]
        _check_same(complaints, held.source, *({k: e.get(k) for k in RELEASE} for e in (held.entry, corpus.entry)))
    if complaints:
        raise ConfigError(complaints)
    return sweep


def _read_beside(config: Mapping[str, Any], models: Iterable[Model]) -> Iterator[tuple[str, str]]:
    """Key and name of the datasets that models and tokenizers are trained on, or entries are counted in."""
    for model in models:
        for entry in (model.entry, model.tokenizer.owner):
            for key in PARTS_OF_TRAINING:
                if key in entry.get("training", {}):
                    yield f"{catalog_path('models', model.catalogued)}.training.{key}", entry["training"][key]
    if config["vocabulary"]["counted_in"] is not None:
        yield "vocabulary.counted_in", config["vocabulary"]["counted_in"]


def _check_same(complaints: list[str], name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    if one != other:
        complaints.append(SAME_PATH.format(name))


def _check_parts(models: Iterable[Model], datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """Complaints about `trained_on` and `held_out`, which need a training and its own tokenizer."""
    asked = [name for name in datasets if name in PARTS]
    for model in models if asked else ():
        if not model.reads_text:
            continue
        if model.source != "train":
            yield f"datasets: {asked[0]}: {model.name} is not trained here; leave out one of them"
        elif model.tokenizer.owner != model.entry:
            texts = model.entry["training"]["dataset"]
            mend = f"name what it was trained on, {texts}" if model.start else "give it one of its own"
            yield (
                f"datasets: {asked[0]}: {model.name} has the tokenizer of another entry, {model.tokenizer.name}, and with "
                f"it other texts; {mend}"
            )


def _check_groups(models: Iterable[Model]) -> Iterator[str]:
    """Complaints about entries whose names are those of another entry's runs: they would be one curve."""
    of_group: dict[str, Model] = {}
    for model in models:
        other = of_group.setdefault(model.group, model)
        if other.catalogued != model.catalogued:
            yield (
                f"models: {other.catalogued} and {model.catalogued} both have runs named {model.group!r}, which would be "
                "taken for seeds of one model; rename one of them in the catalog"
            )


def _check_whole(sweep: Sweep) -> Iterator[str]:
    config, models, datasets = sweep.config, sweep.models, sweep.datasets
    reading = [model.name for model in models.values() if model.reads_text]
    if reading and not datasets:
        yield f"datasets: name at least one; {', '.join(reading)} would be measured on its texts"
    if not reading and datasets:
        yield "datasets: no model of this sweep reads text (embedding matrices need none); leave datasets out"
    if config["extraction"]["masked"] and not any(model.kind == "masked" for model in models.values()):
        yield "extraction.masked: no model of this sweep is of kind `masked`; set it to false, or add one"
    yield from _check_names(sweep)
    yield from comparisons.complaints(sweep)
    yield from _check_tokens(sweep)
    yield from _check_trainings(sweep)
    yield from _check_labels(sweep)
    yield from _check_kinds_of_tokens(sweep)
    yield from _check_equations(sweep)
    if not reading and (wrong := [name for name in config["figures"] if registry.shows_layers(name)]):
        others = ", ".join(name for name in registry.names() if not registry.shows_layers(name))
        yield f"figures: {', '.join(wrong)} show layers, and this sweep measures none; expected `figures: {{}}`, or of {others}"
    else:
        yield from figure_checks.complaints(sweep)


def _check_names(sweep: Sweep) -> Iterator[str]:
    """Complaints about names that are too long for a file, or that differ in case alone."""
    named: dict[str, Iterable[str]] = {
        "catalog.models": [*sweep.known, *sweep.tokenizers().keys() - sweep.known.keys()],
        "catalog.datasets": {**sweep.datasets, **sweep.corpora, VOCABULARY: None},
        "estimator_sets": sweep.config["estimator_sets"],
        "points": sweep.config["clouds"],
    }
    for model in sweep.known.values():
        named[f"{catalog_path('models', model.catalogued)}.checkpoints"] = model.checkpoints
        named["representations"] = [*map(of_layer, model.layers), *model.combinations]
    for at, names in named.items():
        held: dict[str, str] = {}
        for name in names:
            if len(name) > LONGEST_NAME:
                yield f"{at}: {name[:40]}… is too long for a file, {len(name)} characters; expected at most {LONGEST_NAME}"
            if (other := held.setdefault(name.lower(), name)) != name:
                yield (
                    f"{at}: {other!r} and {name!r} differ in case alone, which not all file systems tell apart; rename one"
                )


def _check_labels(sweep: Sweep) -> Iterator[str]:
    """Complaints about classifiers whose texts have no labels."""
    for model in sweep.known.values():
        if model.reads_labels:
            for key, corpus in sweep.training_corpora(model.entry).items():
                if not corpus.entry.keys() & set(corpora.LABEL_KEYS):
                    yield (
                        f"{catalog_path('models', model.catalogued)}.training.{key}: {corpus.source} has no labels; give its "
                        "entry in the catalog a label_column or a label_pattern"
                    )


def _check_kinds_of_tokens(sweep: Sweep) -> Iterator[str]:
    """Complaints about clouds of tokens that there are not, or that are chosen by counts that there are not."""
    wanted = list(dict.fromkeys(cloud["tokens"] for cloud in sweep.config["clouds"].values()))
    for model in sweep.models.values():
        for which in wanted:
            if model.kind == "static" and which in NO_WORDS:
                yield (
                    f"points.tokens: {which!r} is nothing of {model.name}, whose static vectors are of whole words; choose "
                    "another selection, or measure them in a sweep of their own"
                )
    models = [model for model in sweep.models.values() if model.kind != "static"]
    measured = {"tokens": any(m.reads_text for m in models), "vocabulary": any(m.matrices for m in models)}
    for key in measured:
        select = sweep.config[key]["select"]
        if "special" in wanted and measured[key] and select != "all":
            yield f"points.tokens: 'special' needs special tokens, and {key}.select: {select} leaves them out; set it to all"
    counting = [which for which in wanted if which.startswith("count")]
    matrices = any(model.matrices for model in sweep.models.values())
    if counting and matrices and sweep.config["vocabulary"]["counted_in"] is None:
        yield (
            f"points.tokens: {counting[0]!r} needs to know how often the entries of vocabularies come in texts; name a "
            "dataset in vocabulary.counted_in"
        )
    if counting and sweep.config["tokens"]["select"] == "mean" and any(m.reads_text for m in sweep.models.values()):
        yield f"points.tokens: {counting[0]!r} fits no means over sequences, which are no tokens; choose another selection"


def _check_trainings(sweep: Sweep) -> Iterator[str]:
    """Complaints about what models are trained on, and about settings of equations that only their number decides."""
    for model in sweep.known.values():
        if model.source != "train":
            continue
        trained_on, at = sweep.training_corpus(model.entry), catalog_path("models", model.catalogued)
        of_equations = trained_on.entry["loader"] == "equations"
        if model.entry["train"] != "grokking" and of_equations:
            yield f"{at}.training.dataset: equations are trained on with `train: grokking`, or give a dataset of texts"
        elif model.entry["train"] == "grokking" and not of_equations:
            yield f"{at}.training.dataset: {trained_on.name} is none of loader equations, which grokking needs"
        elif of_equations:
            varied = sweep.config["catalog"]["models"][model.catalogued].get("vary", {})
            number = _number(*(trained_on.entry.get(key) for key in corpora.EQUATION_KEYS))
            for key, complaint in _wrong_for_equations(model.entry["training"], number):
                path = f"{at}.vary.training.{key}" if f"training.{key}" in varied else f"{at}.training.{key}"
                yield f"{path}: {complaint}"


@cache
def _number(task: str, modulus: int | None, degree: int | None) -> int:
    return len(equations.equations(task, modulus=modulus, degree=degree).answer)


def _wrong_for_equations(training: Mapping[str, Any], number: int) -> Iterator[tuple[str, str]]:
    """Key and complaint of settings that do not fit each other, or the number of equations."""
    fraction, batch, steps = training["fraction"], training["batch_size"], training["steps"]
    trained = round(fraction * number)
    if not 0 < trained < number:
        yield "fraction", f"{fraction} of {number} equations leaves one side empty; give each side one at least"
    elif batch > trained:
        yield "batch_size", f"{batch}, but a fraction of {fraction} trains on {trained} of {number} equations only"
    if training["decay_steps"] < steps:
        yield (
            "decay_steps",
            f"{training['decay_steps']} is less than the {steps} steps; the learning rate would be negative",
        )
    if training["warmup_steps"] >= training["decay_steps"]:
        yield "warmup_steps", f"{training['warmup_steps']} must be less than decay_steps = {training['decay_steps']}"


def _check_equations(sweep: Sweep) -> Iterator[str]:
    """Complaints about models of equations that would read something else."""
    for model in sweep.models.values():
        if model.entry.get("train") == "grokking" and model.reads_text:
            trained_on = sweep.training_corpus(model.entry)
            for name in sweep.datasets:
                if corpora.reading(sweep.corpus(name, model.entry).entry) != corpora.reading(trained_on.entry):
                    yield (
                        f"datasets: {name}: {model.name} is trained on the equations of {trained_on.name} and knows no "
                        f"other sequences; measure it on {TRAINED_ON}, {HELD_OUT} or {trained_on.name}"
                    )


def _check_tokens(sweep: Sweep) -> Iterator[str]:
    tokens = sweep.config["tokens"]
    read = [
        (name, sweep.corpus(name, model.tokenizer.owner))
        for model in sweep.models.values()
        for name in sweep.datasets
        if model.reads_text
    ]
    if tokens["select"] == "mean" and sweep.config["extraction"]["masked"]:
        yield "tokens.select: the mean over a sequence has no token that could be masked; set extraction.masked to false"
    if tokens["select"] != "classes" and "classes" in tokens:
        yield "tokens.classes: it holds for `select: classes`; remove this key, or select by classes"
    if tokens["select"] == "classes":
        if not tokens.get("classes"):
            yield "tokens.classes: name at least one, as B-person or B-*, for `select: classes`"
        for name in (name for name, corpus in read if not corpus.has_classes):
            yield f"tokens.select: {name} has no classes (no `class_column` in the catalog); choose another selection"
        if any(corpus.entry.get("loader") == "equations" for _, corpus in read):
            for wanted in tokens.get("classes", ()):
                if not _means(wanted, equations.CLASSES):
                    held = dict.fromkeys(equations.CLASSES)
                    yield f"tokens.classes: {wanted!r} is no class of equations; {choose(wanted, held)}"
    if tokens["sequences"] is None:
        for name in (name for name, corpus in read if corpus.entry.get("streaming")):
            yield f"tokens.sequences: a number is needed, since {name} is streamed and has no known end"


def _means(wanted: str, classes: Iterable[str]) -> bool:
    """Whether a class, or one that ends in *, is among the classes."""
    return any(name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted for name in classes)


def _collect(complaints: list[str], into: dict[str, Any], make: Callable[..., list[Any]], *arguments: Any) -> None:
    try:
        made = make(*arguments)
    except ConfigError as error:
        complaints += error.complaints
        return
    for item in made:
        if item.name in into:
            complaints.append(SAME_PATH.format(item.name))
        into[item.name] = item


def _datasets(name: str, config: Mapping[str, Any], at: str) -> list[Dataset]:
    """The one dataset that a sweep names: `NAME`, or `NAME:SPLIT` for another split than the entry's."""
    if name in PARTS:
        if name in config["catalog"]["datasets"]:
            raise ConfigError(
                [f"{catalog_path('datasets', name)}: this name stands for models' training texts; rename it"]
            )
        return [Dataset(name, name, {}, None)]
    whole = name in config["catalog"]["datasets"] or not re.fullmatch(r".+:[^:]+", name)
    catalogued, split = (name, "") if whole else name.rsplit(":", 1)
    entry = entry_of("datasets", catalogued, config, at)
    at = catalog_path("datasets", catalogued)
    if safe(name) == VOCABULARY:
        raise ConfigError([f"{at}: the name {VOCABULARY!r} is taken by the rows of embedding matrices; choose another"])
    try:
        if split and not corpora.offers_splits(entry):
            raise ValueError(
                f"it is one file or folder without splits, and {name!r} asks for another; give it `own_splits`, or an "
                "entry for each split"
            )
        entry = {**entry, "split": split} if split else entry
        return [Dataset(safe(name), safe(catalogued), entry, corpora.corpus_file(entry))]
    except (ValueError, OSError) as error:
        raise ConfigError([f"{at}: {error}"]) from error
