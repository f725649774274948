"""From a checked configuration to the sweep: which models, checkpoints, datasets and representations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.config.load import LONGEST_NAME, at_size, label, needs_vectors, neighbors_needed
from idsweep.data.loaders import registry as loaders
from idsweep.data.loaders.registry import TextGenerator
from idsweep.files.representations import VOCABULARY, blocks
from idsweep.sweep.models import Checkpoint, Model, Tokenizer, safe
from idsweep.training import kinds

TRAINED_ON, HELD_OUT = "trained_on", "held_out"
PARTS = {TRAINED_ON: "train", HELD_OUT: "validation"}


@dataclass(frozen=True)
class Dataset:
    """One split of a dataset of the catalog.

    name: as the sweep names it. source: the name of its entry in the catalog, the same for all splits. file: the local file or folder
    that its texts come from, where there is one. drawn_from: its name without seeds, where `tokens` has several; seeds: those that
    its sequences and tokens are drawn by. `trained_on` and `held_out`, which are other texts for each model, have
    no entry: see `Sweep.corpus`.
    """

    name: str
    source: str
    entry: Mapping[str, Any]
    file: Path | None
    drawn_from: str | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return safe(self.name)

    @property
    def source_path(self) -> str:
        return safe(self.source)

    @property
    def prepared(self) -> bool:
        """Whether a rule of the workflow turns a release into texts first."""
        return "release" in self.entry

    @property
    def remote(self) -> bool:
        """Whether its texts come from the hub when they are read."""
        return "hub" in self.entry

    @property
    def generator(self) -> TextGenerator | None:
        """How its texts are made, if they are not read."""
        return loaders.get(self.entry["loader"]).generator if "loader" in self.entry else None

    @property
    def split(self) -> str:
        if self.name in PARTS:
            return PARTS[self.name]
        return "all" if self.generator is not None else self.entry["split"]

    @property
    def has_classes(self) -> bool:
        return "class_column" in self.entry or self.generator is not None


class Part(NamedTuple):
    """Estimates of one set that one job makes of each block of representations."""

    set: str
    items: list[Mapping[str, Any]]


class Cloud(NamedTuple):
    """One point cloud for each representation: of a model at a checkpoint on a dataset, or of its vocabulary.

    dataset: its path. cloud: its name among the sweep's `points:`.
    """

    model: Model
    checkpoint: Checkpoint
    dataset: str
    cloud: str

    def names(self) -> dict[str, str]:
        """The wildcards of its jobs."""
        return {
            "model": self.model.path,
            "checkpoint": self.checkpoint.path,
            "dataset": self.dataset,
            "cloud": self.cloud,
        }


@dataclass(frozen=True)
class Sweep:
    """Everything that the workflow expands over.

    Mappings are by paths. models: those that are measured. known: these, and those that adapters build on.
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
    def parts(self) -> dict[str, Part]:
        """The parts in which sets are estimated, by the name of their folder.

        Estimates that need the neighbour graph alone are one part, of the set's name: they are made in seconds from what is
        stored. Each that needs the vectors is a part by itself, so that no other estimate repeats a forward pass for it.
        """
        parts = {}
        for set, items in self.config["estimator_sets"].items():
            if of_graphs := [item for item in items if not needs_vectors(item)]:
                parts[set] = Part(set, of_graphs)
            parts |= {_part_name(set, item): Part(set, [item]) for item in items if needs_vectors(item)}
        return parts

    @cached_property
    def _items(self) -> dict[str, dict[int, list[tuple[Mapping[str, Any], int]]]]:
        """Part -> size of a cloud -> estimates and the neighbours that each looks at, found once: jobs of large sweeps ask
        thousands of times."""
        sizes = {cloud["number"] for cloud in self.config["clouds"].values()}
        return {
            name: {
                size: [(item, neighbors_needed(item)) for item in (at_size(one, size) for one in part.items)]
                for size in sizes
            }
            for name, part in self.parts.items()
        }

    def neighbors(self, cloud: str) -> int:
        """Neighbours that are stored for each point of a cloud: neighbors.number, but no more than half of the points, so that
        duplicates and halves leave enough, unless an estimate needs more."""
        number, points = self.config["neighbors"]["number"], self.config["clouds"][cloud]["number"]
        needed = [k for of_part in self._items.values() for _, k in of_part[points]]
        return max(min(number, (points - 1) // 2), *(k for k in [1, *needed] if k < points))

    def items(self, part: str, cloud: str) -> list[Mapping[str, Any]]:
        """The estimates of a part that a cloud has neighbours enough for."""
        number = self.neighbors(cloud)
        return [item for item, needed in self._items[part][self.config["clouds"][cloud]["number"]] if needed <= number]

    def parts_of(self, cloud: str, set: str | None = None) -> list[str]:
        """The parts, of one set or of all, of which a cloud has an estimate."""
        return [name for name, part in self.parts.items() if set in (None, part.set) and self.items(name, cloud)]

    def blocks(self, model: Model, dataset: str) -> dict[str, list[str]]:
        """The representations that one job estimates, by the name of its file: `layers_per_job` neighbouring layers."""
        return blocks(model.representations(dataset), self.config["compute"]["layers_per_job"], model.depth)

    def estimates(self, cloud: Cloud, set: str | None = None) -> Iterator[tuple[str, str]]:
        """Part and block of every estimates file of a cloud, of one set or of all."""
        blocks = self.blocks(cloud.model, cloud.dataset)
        for part in self.parts_of(cloud.cloud, set):
            for block in blocks:
                yield part, block

    def corpus(self, dataset: str, owner: Mapping[str, Any]) -> Dataset:
        """The dataset of that name; for `trained_on` and `held_out` that which the model of an entry is trained on."""
        return self.training_corpus(owner) if dataset in PARTS else self.corpora[dataset]

    @property
    def counted_corpus(self) -> Dataset | None:
        """The dataset in which the entries of a vocabulary are counted, if they are."""
        name = self.config["vocabulary"]["counted_in"]
        return None if name is None else self.corpora[safe(name)]

    def draws_of(self, name: str) -> list[str]:
        """The datasets that a name in the config stands for: one for each seed that its sequences or tokens are drawn by."""
        draws = [dataset.name for dataset in self.datasets.values() if dataset.drawn_from == name]
        return draws or [name]

    def training_corpus(self, entry: Mapping[str, Any]) -> Dataset:
        """What the model of an entry, and its tokenizer, are trained on."""
        return self.corpora[safe(entry["training"]["dataset"])]

    def training_corpora(self, entry: Mapping[str, Any]) -> dict[str, Dataset]:
        """What a training reads, by the keys of its block that name it, as dataset and validation."""
        training = entry["training"]
        return {key: self.corpora[safe(training[key])] for key in kinds.get(entry["train"]).texts if key in training}

    def called(self, name: str) -> list[Model]:
        """The measured models that a name in the config stands for: that of an entry or a group for all its runs."""
        return [model for model in self.models.values() if model.called(name)]

    def trained(self) -> list[Model]:
        """The measured models that the workflow trains."""
        return [model for model in self.models.values() if model.source == "train"]

    def brought_metrics(self) -> list[tuple[Model, str, Path]]:
        """Model, metric and file of every metric that comes from elsewhere."""
        return [(model, metric, file) for model in self.models.values() for metric, file in model.metrics.items()]

    def failing(self) -> dict[str, str]:
        """`MODEL @ CHECKPOINT` -> why it cannot be measured, of what is known before anything runs."""
        return {
            f"{model.name} @ {model.checkpoints[path].name}": error
            for model in self.models.values()
            for path, error in model.failing.items()
            if path in model.checkpoints
        }

    def has_dynamics(self) -> bool:
        """Whether a model is measured at several known steps."""
        steps = ({c.step for c in model.checkpoints.values() if c.step is not None} for model in self.models.values())
        return any(len(known) > 1 for known in steps)

    def releases(self) -> dict[str, Dataset]:
        """Path of an entry in the catalog -> one of its splits, of what is prepared from a release."""
        return {corpus.source_path: corpus for corpus in self.corpora.values() if corpus.prepared}

    def tokenizers(self) -> dict[str, Tokenizer]:
        return {model.tokenizer.path: model.tokenizer for model in self.known.values()}

    def masks(self, model: Model) -> bool:
        """Whether each sampled token of a model is masked where it is measured."""
        return self.config["extraction"]["masked"] and model.kind == "masked"

    def has_losses(self, model: Model) -> bool:
        """Whether the pass over a model's texts also gives log-probabilities of the true tokens."""
        return self.config["extraction"]["losses"] and (model.kind == "causal" or self.masks(model))


def _part_name(set: str, item: Mapping[str, Any]) -> str:
    """The name of the part of one estimate; no name of a config holds the sign +."""
    name = f"{set}+{label(item)}+{item['scope']}"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    beginning = name.encode()[: LONGEST_NAME - 17].decode(errors="ignore")
    return f"{beginning}+{hashlib.sha256(name.encode()).hexdigest()[:16]}"
