"""From an entry of the catalog to a model of the sweep: its checkpoints, layers, tokenizer, and where its weights are.

A name is what the configuration writes; tables, figures and messages show it. `path` is what stands for it in paths and
wildcards, and as a key of mappings: see `safe`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.config import steps
from idsweep.config.load import ConfigError, choose
from idsweep.files.packages import path_in_package
from idsweep.files.representations import (
    BEFORE_FINAL_NORM,
    EMBEDDING_MATRICES,
    MATRIX_FORMATS,
    VECTORS,
    VOCABULARY,
    Combination,
    of_layer,
)
from idsweep.models.folders import checkpoint_folders
from idsweep.training import kinds

LOCAL_DIMENSION = "local_dimension"
INITIAL = "initial"  # the checkpoint that the entry `initial` of a model gives


class Rules(NamedTuple):
    """The rules that make a model's weights, and its tokenizer, from what a source has."""

    weights: str
    tokenizer: str


# Source -> what makes model folders of it. What lies in a folder or a package is measured as it is.
MADE_FROM = {
    "hub": Rules("fetch_checkpoint", "fetch_tokenizer"),
    "gguf": Rules("convert_weights", "convert_tokenizer"),
}


@dataclass(frozen=True)
class Checkpoint:
    """One state of a model's weights. `revision` is what its source calls it."""

    name: str
    revision: str
    step: int | None

    @property
    def path(self) -> str:
        return safe(self.name)


@dataclass(frozen=True)
class Tokenizer:
    """What turns text into tokens; models that share one are measured on the same sampled tokens.

    name: that of the catalog entry it belongs to. source: as of models. folder: where a local one is (for static
    vectors, the file that holds their words); None where a rule of the workflow makes it. owner: that entry.
    """

    name: str
    source: str
    folder: Path | None
    owner: Mapping[str, Any]

    @property
    def path(self) -> str:
        return safe(self.name)

    @property
    def options(self) -> Mapping[str, Any]:
        return self.owner.get("tokenizer", {})

    @property
    def made_by(self) -> str | None:
        """The rule that makes it, if one does."""
        if self.folder is not None:
            return None
        if self.source in MADE_FROM:
            return MADE_FROM[self.source].tokenizer
        training = kinds.get(self.owner["train"])
        return training.tokenizer or training.rule


@dataclass(frozen=True)
class Model:
    """One entry of the catalog as it takes part in this sweep.

    group: its name but for the seed. catalogued: its name in the catalog, one for all runs of an entry. folder: where local
    weights are; None for hub models and for models that the workflow trains. depth: number of blocks, so that layers are 0 … depth. positions: the longest
    sequence that it takes, if that is known beforehand. layers: those to estimate. combinations: of layers, by name.
    before_final_norm: whether to estimate what goes into the norm behind the last block. matrices: names of the embedding
    matrices to estimate. checkpoints: by their paths. base: the model and checkpoint that PEFT adapters are merged
    into. start: the model and checkpoint that a fine-tuning starts from, or adapters were made for. initial: those whose weights are
    its checkpoint of that name. metrics: files with metrics
    from elsewhere, by name. varied: the entry's varied keys and their values in this run. failing: paths of local checkpoints
    that cannot be loaded, and why; not all of them.
    """

    name: str
    group: str
    catalogued: str
    source: str
    entry: Mapping[str, Any]
    folder: Path | None
    tokenizer: Tokenizer
    depth: int
    positions: int | None
    layers: tuple[int, ...]
    combinations: Mapping[str, Combination]
    before_final_norm: bool
    matrices: tuple[str, ...]
    checkpoints: Mapping[str, Checkpoint]
    base: tuple[Model, Checkpoint] | None
    start: tuple[Model, Checkpoint] | None
    initial: tuple[Model, Checkpoint] | None
    metrics: Mapping[str, Path]
    varied: Mapping[str, Any]
    failing: Mapping[str, str]

    @property
    def path(self) -> str:
        return safe(self.name)

    @property
    def names(self) -> tuple[str, str, str]:
        """What options may call it: as the entry that it is a run of, as the group of its seeds, as itself."""
        return self.catalogued, self.group, self.name

    def called(self, name: str) -> str | None:
        """The one of its names that `name` is, or that has the same path; None if none is."""
        return next((own for own in self.names if safe(own) == safe(name)), None)

    @property
    def seed(self) -> int | None:
        """What tells this run from its siblings."""
        return self.entry["training"]["seed"] if self.source == "train" else self.entry.get("seed")

    @property
    def training(self) -> kinds.Training | None:
        """How it is trained here, if it is."""
        return kinds.get(self.entry["train"]) if self.source == "train" else None

    @property
    def made_by(self) -> str | None:
        """The rule that trains it, if one does."""
        return self.training and self.training.rule

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that are known of it: those of its training rule, and brought ones."""
        return (*metrics_of(self.entry), *self.metrics)

    @property
    def kind(self) -> str:
        return self.entry["kind"]

    @property
    def reads_text(self) -> bool:
        """Whether hidden states are measured, not only embedding matrices."""
        return bool(self.layers) or self.before_final_norm

    @property
    def reads_labels(self) -> bool:
        """Whether it is trained on texts with labels."""
        return self.training is not None and self.training.reads_labels

    @property
    def size_gb(self) -> float:
        """GB of one checkpoint, as the catalog says; what was fine-tuned as a whole is as large as its start. 1 if unknown."""
        start = self.start[0].size_gb if self.start and not self.base else 1
        return self.entry.get("size_gb", start)

    @property
    def last_checkpoint(self) -> Checkpoint:
        return list(self.checkpoints.values())[-1]

    @property
    def example(self) -> Checkpoint:
        """The last checkpoint whose files can be read."""
        return [checkpoint for checkpoint in self.checkpoints.values() if checkpoint.path not in self.failing][-1]

    def holder(self, checkpoint: str) -> tuple[Model, str]:
        """The model, and its checkpoint, whose weights one checkpoint has: itself, but for the initial one."""
        if self.initial is not None and checkpoint == INITIAL:
            return self.initial[0], self.initial[1].path
        return self, checkpoint

    def weights(self, checkpoint: str) -> Path | None:
        """Folder (for static vectors, file) with one checkpoint's local weights; None where another rule makes them."""
        return self.folder and folder_of(self.folder, self.entry, self.checkpoints[checkpoint])

    def hub(self, checkpoint: str) -> tuple[str, str]:
        """Id and revision of one checkpoint on the hub."""
        name, revision = self.entry["hub"], self.checkpoints[checkpoint].revision
        return (name.replace("{checkpoint}", revision), self.entry["revision"]) if "{" in name else (name, revision)

    def known_as(self, checkpoint: str) -> str:
        """The name that adapters give it as their base: its id on the hub, or its path."""
        return self.hub(checkpoint)[0] if self.source == "hub" else self.path

    def representations(self, dataset: str) -> list[str]:
        """Names of what is estimated on a dataset, or on the vocabulary."""
        if dataset == VOCABULARY:
            return list(self.matrices)
        return self.states

    @property
    def states(self) -> list[str]:
        """Names of the representations that a forward pass gives."""
        return [
            *map(of_layer, self.layers),
            *self.combinations,
            *([BEFORE_FINAL_NORM] if self.before_final_norm else []),
        ]

    @property
    def layers_run(self) -> list[int]:
        """The layers that are measured, alone or in combinations."""
        return sorted({*self.layers, *(layer for one in self.combinations.values() for layer in one.layers)})

    def loading(self, dtype: str, checkpoint: str | None = None) -> dict[str, Any]:
        """How the weights are loaded: as what they build on or start from. dtype: the sweep's; auto leaves it to the entries."""
        if checkpoint is not None and (holder := self.holder(checkpoint)[0]) is not self:
            own = {key: value for key, value in self.loading(dtype).items() if key in ("kind", "dtype", "attention")}
            return holder.loading(dtype) | own
        root = self.start[0].entry if self.start else self.entry
        own = {"dtype": "auto"} | {key: root[key] for key in ("dtype", "attention") if key in root}
        own |= {key: self.entry[key] for key in ("dtype", "attention") if key in self.entry}
        if dtype != "auto":
            own["dtype"] = dtype
        # What a training saves is the model alone, whatever its start was wrapped in.
        wrapped = ("prefix",) if self.base or not self.start else ()
        own |= {key: root[key] for key in (*wrapped, "trust_remote_code") if key in root}
        return {"kind": self.kind, "layers": self.depth, **own}


@cache
def safe(name: str) -> str:
    """A path component that keeps letters and digits of any script, signs beyond ASCII, dots, dashes and underscores of `name`.

    One way of writing an accented letter stands for all, since some file systems do not tell them apart (NFC).
    """
    plain = unicodedata.normalize("NFC", name)
    return re.sub("\0+", "--", "".join(c if _is_plain(c) else "\0" for c in plain)).lstrip(".-") or "_"


def _is_plain(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "._-"
    return unicodedata.category(character)[0] not in "CZ"  # no spaces, and nothing that cannot be seen


def catalog_path(kind: str, name: str) -> str:
    return f"catalog.{kind}.{name}"


def entry_of(kind: str, name: str, config: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    """An entry of the catalog, without its label, which shapes nothing but figures. Raises ConfigError if there is none."""
    catalog = config["catalog"][kind]
    if name not in catalog:
        raise ConfigError([f"{at}: {name!r} is not in the catalog of {kind}; {choose(name, sorted(catalog))}"])
    return {key: value for key, value in catalog[name].items() if key != "label"}


def metrics_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics that the training of a catalog entry writes; none of an entry that is not trained here."""
    return kinds.get(entry["train"]).metrics_of(entry["training"]) if "train" in entry else ()


def offered_checkpoints(entry: Mapping[str, Any], folder: Path | None = None) -> dict[str, Checkpoint]:
    """Every checkpoint that a catalog entry offers, by its name at the source, in order of training.

    folder: where the checkpoints of a pattern with `*` are looked for. Raises ValueError if there are none.
    """
    named = entry.get("checkpoints")
    if named is None:
        return {"final": Checkpoint("final", entry["revision"], None)}
    if isinstance(named, str):
        named = dict(checkpoint_folders(folder, named)) if "*" in named else steps.expand(named)
    ordered = sorted(named.items(), key=lambda item: (item[1] is not None, item[1] or 0))
    return {name: Checkpoint(name, name, step) for name, step in ordered}


def of_static(entry: Mapping[str, Any]) -> str:
    """The representation that static vectors are: the embeddings of words, or any rows."""
    format = entry.get("format") or Path(entry.get("path") or entry.get("folder", "")).suffix[1:]
    return VECTORS if format in MATRIX_FORMATS else EMBEDDING_MATRICES[0]


def gguf_of(entry: Mapping[str, Any]) -> Path | None:
    """The local file of an entry with `gguf`; None where it is on the hub. Raises ValueError if there is none."""
    if "hub" in entry:
        return None
    if "package" in entry:
        return path_in_package(entry["package"], f"{entry['folder']}/{entry['gguf']}")
    path = Path(entry["path"]).expanduser() / entry["gguf"]
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}")
    return path


def folder_of(root: Path, entry: Mapping[str, Any], checkpoint: Checkpoint) -> Path:
    return root / checkpoint.revision if "checkpoints" in entry else root
