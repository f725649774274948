"""From a checked configuration to the sweep: which models, checkpoints, datasets and layers.

Names of the catalog become safe path components here, once; everything after uses those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idsweep import checkpoints, corpora, tokenizers
from idsweep.config import ConfigError, choose, key_path

SOURCES = ("package", "path", "hub", "train")


@dataclass(frozen=True)
class Checkpoint:
    """One state of a model's weights. `revision` is its name at the source, `name` its safe form."""

    name: str
    revision: str
    step: int | None


@dataclass(frozen=True)
class Model:
    """One row of the catalog as it takes part in this sweep.

    folder: where local weights are; None for hub models and for models that the workflow trains.
    tokenizer: likewise the folder with a local tokenizer, one for all checkpoints.
    depth: number of blocks, so that layers are 0 … depth. layers: those to estimate.
    """

    name: str
    source: str
    entry: Mapping[str, Any]
    folder: Path | None
    tokenizer: Path | None
    depth: int
    layers: tuple[int, ...]
    checkpoints: Mapping[str, Checkpoint]

    @property
    def seed(self) -> int | None:
        """What tells this run from its siblings."""
        return self.entry["training"]["seed"] if self.source == "train" else self.entry.get("seed")

    @property
    def last_checkpoint(self) -> Checkpoint:
        return list(self.checkpoints.values())[-1]

    def weights(self, checkpoint: str) -> Path | None:
        """Folder with one checkpoint's local weights; None where another rule makes them."""
        if self.folder is None or "checkpoints" not in self.entry:
            return self.folder
        return self.folder / self.checkpoints[checkpoint].revision


@dataclass(frozen=True)
class Dataset:
    """One dataset of the catalog; `file` holds its content where it is local."""

    name: str
    entry: Mapping[str, Any]
    file: Path | None


@dataclass(frozen=True)
class Sweep:
    """Everything that the workflow expands over."""

    name: str
    config: Mapping[str, Any]
    models: Mapping[str, Model]
    datasets: Mapping[str, Dataset]
    corpora: Mapping[str, Dataset]  # those of `datasets` and those that models are trained on

    def clouds(self) -> Iterator[tuple[Model, Checkpoint, Dataset]]:
        """Every model × checkpoint × dataset: one embeddings and one neighbours file each."""
        for model in self.models.values():
            for checkpoint in model.checkpoints.values():
                for dataset in self.datasets.values():
                    yield model, checkpoint, dataset

    def training_corpus(self, model: Model) -> Dataset:
        """What a model is trained on."""
        return self.corpora[safe(model.entry["training"]["dataset"])]

    def trained(self) -> list[Model]:
        """The models that the workflow trains."""
        return [model for model in self.models.values() if model.source == "train"]


def expand(config: Mapping[str, Any]) -> Sweep:
    """The sweep that a configuration describes. Raises ConfigError with everything that is wrong."""
    complaints: list[str] = []
    datasets = {}
    for i, name in enumerate(config["datasets"]):
        _collect(complaints, datasets, _dataset, name, config, key_path(["datasets", i]))
    models = {}
    used = dict(datasets)
    for name, chosen in config["models"].items():
        model = _collect(complaints, models, _model, name, chosen or {}, config)
        if model is not None and model.source == "train":
            corpus = model.entry["training"]["dataset"]
            at = f"{_catalog_path('models', name)}.training.dataset"
            if safe(corpus) not in used:
                _collect(complaints, used, _dataset, corpus, config, at)
    if complaints:
        raise ConfigError(complaints)
    return Sweep(config["sweep"], config, models, datasets, used)


def _collect(complaints: list[str], into: dict[str, Any], make: Callable[..., Any], *arguments: Any) -> Any:
    try:
        made = make(*arguments)
    except ConfigError as error:
        complaints += error.complaints
        return None
    if made.name in into:
        complaints.append(f"two names become {made.name!r} as a path; rename one of them in the catalog")
    into[made.name] = made
    return made


def safe(name: str) -> str:
    """A path component that keeps letters, digits, dots, dashes and underscores of `name`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "--", name).lstrip(".-") or "_"


def _catalog_path(kind: str, name: str) -> str:
    return f"catalog.{kind}.{name}"


def _entry(kind: str, name: str, config: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    catalog = config["catalog"][kind]
    if name not in catalog:
        raise ConfigError([f"{at}: {name!r} is not in the catalog of {kind}; {choose(name, sorted(catalog))}"])
    return catalog[name]


def _dataset(name: str, config: Mapping[str, Any], at: str) -> Dataset:
    entry = _entry("datasets", name, config, at)
    at = _catalog_path("datasets", name)
    try:
        return Dataset(safe(name), entry, corpora.corpus_file(entry))
    except (ValueError, OSError) as error:
        raise ConfigError([f"{at}: {error}"]) from error


def _model(name: str, chosen: Mapping[str, Any], config: Mapping[str, Any]) -> Model:
    entry = _entry("models", name, config, f"models.{name}")
    at = _catalog_path("models", name)
    sources = [source for source in SOURCES if source in entry]
    if len(sources) != 1:
        raise ConfigError(
            [
                f"{at}: {' and '.join(sources) or 'nothing'} says where the weights are; give exactly one of {', '.join(SOURCES)}"
            ]
        )
    source = sources[0]
    needed = {"train": ("architecture", "tokenizer", "training", "checkpoints"), "hub": ("layers",)}.get(source, ())
    missing = [key for key in needed if key not in entry]
    if missing:
        raise ConfigError([f"{at}.{key}: this key is required for a model with `{source}`" for key in missing])
    offered = offered_checkpoints(entry)
    if not offered:
        raise ConfigError(
            [f"{at}.checkpoints.steps: {entry['checkpoints']['steps']} names no step; expected first ≤ last"]
        )
    if source == "train":
        beyond = [c.name for c in offered.values() if c.step > entry["training"]["steps"]]
        if beyond:
            raise ConfigError(
                [
                    f"{at}.checkpoints.steps: {', '.join(beyond)} lie beyond training.steps = {entry['training']['steps']}"
                ]
            )
    wanted = chosen.get("checkpoints", list(offered))
    unknown = [(i, w) for i, w in enumerate(wanted) if w not in offered]
    if unknown:
        raise ConfigError(
            [
                f"models.{name}.checkpoints[{i}]: {w!r} is no checkpoint of {name}; {choose(w, _shortened(offered))}"
                for i, w in unknown
            ]
        )
    if source == "train":
        complaints = []
        if (pattern := entry["checkpoints"]["pattern"]) != "step{}":
            complaints.append(f"{at}.checkpoints.pattern: {pattern!r} is not what training writes; expected 'step{{}}'")
        if "seed" in entry:
            complaints.append(f"{at}.seed: the seed of a trained model is training.seed; remove this key")
        if complaints:
            raise ConfigError(complaints)
    picked = sorted((offered[w] for w in wanted), key=lambda c: -1 if c.step is None else c.step)
    folder = _folder(entry, source, at)
    folders = [folder / c.revision if "checkpoints" in entry else folder for c in picked] if folder else []
    tokenizer = _tokenizer(folders, f"{at}.{source}") if folder else None
    depth, positions = _shape(entry, source, folders, f"{at}.{source}")
    _check_lengths(entry, config, positions, name, at)
    layers = _layers(chosen, name, config, depth)
    return Model(safe(name), source, entry, folder, tokenizer, depth, layers, {c.name: c for c in picked})


def offered_checkpoints(entry: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """Every checkpoint that a catalog entry offers, by its name as written in a config."""
    if "checkpoints" not in entry:
        return {"final": Checkpoint("final", entry["revision"], None)}
    pattern = entry["checkpoints"]["pattern"]
    steps = sorted({step for given in entry["checkpoints"]["steps"] for step in _steps(given)})
    names = ((pattern.replace("{}", str(step)), step) for step in steps)
    return {name: Checkpoint(safe(name), name, step) for name, step in names}


def _steps(given: int | str) -> range:
    """7 -> 7; "1000..3000/1000" -> 1000, 2000, 3000 (both ends belong to it)."""
    if isinstance(given, int):
        return range(given, given + 1)
    first, last, stride = map(int, re.fullmatch(r"(\d+)\.\.(\d+)/(\d+)", given).groups())
    return range(first, last + 1, stride)


def _shortened(names: Mapping[str, Any]) -> list[str]:
    names = list(names)
    return names if len(names) <= 24 else [*names[:20], "…", names[-1]]


def _folder(entry: Mapping[str, Any], source: str, at: str) -> Path | None:
    try:
        match source:
            case "package":
                return checkpoints.package_folder(entry["package"], entry["folder"])
            case "path":
                folder = Path(entry["path"]).expanduser()
                if not folder.is_dir():
                    raise ValueError(f"{entry['path']} is not a folder")
                return folder
    except ValueError as error:
        raise ConfigError([f"{at}.{source}: {error}"]) from error
    return None


def _tokenizer(folders: list[Path], at: str) -> Path:
    """The first of the checkpoints' folders that holds a tokenizer: one for all of them."""
    for folder in folders:
        try:
            tokenizers.tokenizer_files(folder)
            return folder
        except ValueError as error:
            complaint = str(error)
    raise ConfigError([f"{at}: {complaint}"])


def _shape(entry: Mapping[str, Any], source: str, folders: list[Path], at: str) -> tuple[int, int | None]:
    """Number of blocks, and the longest sequence where that is known beforehand; every local folder is looked at."""
    if source == "train":
        return entry["architecture"]["num_hidden_layers"], entry["architecture"].get("max_position_embeddings")
    if source == "hub":
        return entry["layers"], None
    try:
        for folder in folders:
            checkpoints.model_files(folder)
        shape = checkpoints.read_architecture(folders[0])
    except (ValueError, OSError) as error:
        raise ConfigError([f"{at}: {error}"]) from error
    return shape.layers, shape.positions


def _check_lengths(
    entry: Mapping[str, Any], config: Mapping[str, Any], positions: int | None, name: str, at: str
) -> None:
    given = {"tokens.max_length": config["tokens"]["max_length"]}
    if "training" in entry:
        given[f"{at}.training.sequence_length"] = entry["training"]["sequence_length"]
    wrong = {key: length for key, length in given.items() if positions is not None and length > positions}
    if wrong:
        raise ConfigError(
            [
                f"{key}: {length} tokens are more than {name} takes; expected at most {positions}"
                for key, length in wrong.items()
            ]
        )


def _layers(chosen: Mapping[str, Any], name: str, config: Mapping[str, Any], depth: int) -> tuple[int, ...]:
    own = "layers" in chosen
    wanted = chosen["layers"] if own else config["layers"]
    if wanted == "all":
        return tuple(range(depth + 1))
    at = f"models.{name}.layers" if own else "layers"
    wrong = [(i, layer) for i, layer in enumerate(wanted) if not -depth - 1 <= layer <= depth]
    if wrong:
        raise ConfigError(
            [
                f"{at}[{i}]: {layer} is no layer of {name}, which has layers 0 (embedding output) to {depth}; "
                f"expected {-depth - 1} to {depth}"
                for i, layer in wrong
            ]
        )
    return tuple(sorted({layer % (depth + 1) for layer in wanted}))
