"""What of a sweep's parts shapes numbers: of texts, tokenizers, weights, point clouds and the configuration, as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from idsweep.config.load import all_parameters, label
from idsweep.data.entries import MADE_UP_KEYS, files_at, names_count, reading
from idsweep.files.representations import VOCABULARY
from idsweep.models.folders import adapter_files, model_files, tokenizer_files, tokenizer_identity
from idsweep.sweep.models import Model, Tokenizer, gguf_of, offered_checkpoints, safe
from idsweep.sweep.sweep import Dataset, Sweep
from idsweep.training import kinds
from idsweep.workflow.places import Places
from idsweep.workflow.signature import Digests

# Keys of a catalog entry that change no number: places, and what serves planning.
SHAPES_NOTHING = ("package", "path", "size_gb", "width")


class Shaping:
    """What shapes numbers, of the parts of one sweep; local files by their contents."""

    def __init__(self, sweep: Sweep, digests: Digests, places: Places) -> None:
        self._sweep = sweep
        self._digests = digests
        self._places = places

    def release(self, corpus: Dataset) -> dict[str, Any]:
        """Of the release of a dialogue dataset."""
        settings = {"release": corpus.entry["release"], "url": corpus.entry.get("url")}
        settings |= {key: corpus.entry[key] for key in MADE_UP_KEYS if key in corpus.entry}
        if local := self._places.release(corpus.source):
            root = Path(local)
            inside = [root] if root.is_file() else filter(Path.is_file, root.rglob("*"))
            names = {path: str(path.relative_to(root)) for path in inside}  # files' names decide about splits
            settings["content"] = {name: self._digests.one(path) for path, name in names.items()}
        return settings

    def texts(self, dataset: Dataset, labels: bool = False) -> dict[str, Any]:
        """Of a dataset's texts; labels: with their labels."""
        texts = {"dataset": dataset.path, "entry": reading(dataset.entry, labels=labels)}
        if dataset.prepared:
            return texts
        place = self._places.of_texts(dataset)
        files = files_at(Path(place), dataset.entry) if place else []
        if names_count(dataset.entry):
            texts["names"] = [str(file.relative_to(place)) for file in files]
        return texts | {"content": [self._digests.one(file) for file in files]}

    def part(self, entry: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Of the part of its dataset that a training takes (`train`) or holds out (`validation`); nothing if it takes all."""
        training = entry["training"]
        shares = {share: training[key] for share, key in kinds.get(entry["train"]).share.items()}
        return {"part": {"name": name, "seed": training["seed"], **shares}} if shares else {}

    def tokenizer(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """Of a tokenizer, or of the file of static vectors that stands for one."""
        if tokenizer.owner["kind"] == "static":
            return self.static_vectors(tokenizer)
        trusted = tokenizer.owner["trust_remote_code"]
        options = {
            key: tokenizer.options[key] for key in ("prefix_space", "truncation_side") if key in tokenizer.options
        }
        settings: dict[str, Any] = {"options": options | {"trust_remote_code": trusted}}
        if tokenizer.folder is not None:
            folder = self._places.of_tokenizer(tokenizer)
            settings["files"] = self._digests.of(tokenizer_files(folder, trusted))
            settings["identity"] = tokenizer_identity(folder)
        return settings

    def static_vectors(self, vectors: Tokenizer) -> dict[str, Any]:
        """Of a file of static vectors, its rows and words."""
        if vectors.folder is None:
            return {"vectors": {"format": "word2vec_binary"}}
        file = Path(self._places.of_tokenizer(vectors))
        endings = "".join(file.suffixes)
        shaping = {"content": self._digests.one(file), "format": vectors.owner.get("format"), "endings": endings}
        array = {key: vectors.owner[key] for key in ("array",) if key in vectors.owner}
        return {"vectors": shaping | array}

    def weights(self, model: Model, checkpoint: str) -> dict[str, Any]:
        """Of one checkpoint's weights: where they come from, or what the local files hold."""
        model, checkpoint = model.holder(checkpoint)
        if model.source == "train":
            return {"trained": checkpoint}
        if model.source == "gguf":
            return self.gguf(model.entry)
        if model.folder is None:
            hub, revision = model.hub(checkpoint)
            return {"hub": hub, "revision": revision}
        folder = self._places.of_weights(model, checkpoint)
        try:
            if model.base is not None:
                files = adapter_files(folder, whole=False)
            else:
                files = model_files(folder, trust_remote_code=model.entry["trust_remote_code"], whole=False)
            return {"files": self._digests.of(files)}
        except (ValueError, OSError) as error:
            return {"unreadable": str(error)}  # the job will say so

    def gguf(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Of a GGUF file, by its content, or where it lies on the hub."""
        if (file := gguf_of(entry)) is not None:
            return {"gguf": self._digests.one(file)}
        return {"gguf": entry["gguf"], "hub": entry["hub"], "revision": entry["revision"]}

    def loaded(self, model: Model, checkpoint: str) -> dict[str, Any]:
        """Of how a checkpoint is loaded, and what it is made of."""
        settings = {
            "model": model.loading(self._sweep.config["extraction"]["dtype"], checkpoint),
            "source": self.weights(model, checkpoint),
        }
        if model.base is not None:
            settings["base"] = self.weights(model.base[0], model.base[1].path)
        return settings

    def training(self, model: Model) -> dict[str, Any]:
        """Of a training: its keys, texts, tokenizer, checkpoints, and what it starts from."""
        kind, corpora = model.training, self._sweep.training_corpora(model.entry)
        settings: dict[str, Any] = {
            "train": kind.name,
            "training": kind.shaping(model.entry["training"]),
            "threads": kind.threads,
            "texts": {key: self.texts(corpus, kind.reads_labels) for key, corpus in corpora.items()},
        }
        if not kind.makes_vectors:
            settings["checkpoints"] = [checkpoint.step for checkpoint in offered_checkpoints(model.entry).values()]
            settings["tokenizer"] = self.tokenizer(model.tokenizer)
        if kind.from_base:
            base, checkpoint = model.start
            source = self.weights(base, checkpoint.path)
            settings["kind"] = model.kind
            settings["base"] = {"name": base.known_as(checkpoint.path), "source": source, **base.loading("float32")}
        elif not kind.makes_vectors:
            settings["architecture"] = model.entry["architecture"]
        return settings

    def combinations(self, model: Model, dataset: str) -> dict[str, Any]:
        """Of the combinations of layers that are measured on a dataset."""
        combinations = {} if dataset == VOCABULARY else model.combinations
        return {name: combination._asdict() for name, combination in combinations.items()}

    def cloud(self, model: Model, dataset: str, cloud: str) -> dict[str, Any]:
        """Of the point cloud of each representation, and its neighbour graphs."""
        chosen = self._sweep.config
        scales = {key: chosen["scales"][key] for key in ("halvings", "seed")}
        return {
            "combinations": self.combinations(model, dataset),
            "points": chosen["clouds"][cloud],
            "neighbors": {"number": self._sweep.neighbors(cloud)},
            "variants": scales | {"nulls": chosen["nulls"]},
        }

    def identity(self, model: Model, checkpoint: str, dataset: str) -> dict[str, Any]:
        """What tells a pass from others in tables, by names; checkpoint, dataset: their paths."""
        return {
            "model": model.name,
            "group": model.group,
            "seed": model.seed,
            "checkpoint": model.checkpoints[checkpoint].name,
            "step": model.checkpoints[checkpoint].step,
            "dataset": VOCABULARY if dataset == VOCABULARY else self._sweep.datasets[dataset].name,
            "split": None if dataset == VOCABULARY else self._sweep.datasets[dataset].split,
        }

    def run(self, model: Model) -> dict[str, Any]:
        """What tells a run of a catalog entry from others in the table of training curves."""
        varied = json.dumps(dict(model.varied), sort_keys=True)
        return {"model": model.name, "group": model.group, "seed": model.seed, "varied": varied}

    def brought_metrics(self) -> list[dict[str, Any]]:
        """Of metrics from elsewhere."""
        return [
            self.run(model) | {"metric": metric, "ending": Path(file).suffix, "content": self._digests.one(Path(file))}
            for (model, metric, _), file in zip(self._sweep.brought_metrics(), self._places.brought(), strict=True)
        ]

    def reference(self) -> dict[str, Any]:
        """Of the published values that the sweep is compared with."""
        file = self._places.reference()
        names = {
            "model": {safe(model.group): model.group for model in self._sweep.models.values()},
            "dataset": {dataset.path: dataset.name for dataset in self._sweep.datasets.values()},
        }
        return {"content": self._digests.one(Path(file)) if file else None, **_differing(names)}

    def names(self) -> dict[str, dict[str, dict[str, str]]]:
        """Path -> name of models, checkpoints and datasets whose name is not their path; nothing if there are none."""
        models = self._sweep.models.values()
        parts = {
            "model": models,
            "checkpoint": [checkpoint for model in models for checkpoint in model.checkpoints.values()],
            "dataset": self._sweep.datasets.values(),
        }
        return _differing({key: {one.path: one.name for one in each} for key, each in parts.items()})

    def representations(self) -> dict[str, list[str]]:
        """What is measured of each model."""
        return {
            model.name: [*model.representations(""), *model.representations(VOCABULARY)]
            for model in self._sweep.models.values()
        }

    def missing(self) -> dict[str, list[str]]:
        """What tables and figures of a part of the sweep say of the rest."""
        return {"missing": list(self._sweep.missing)} if self._sweep.missing else {}

    def config(self, *without: str) -> dict[str, Any]:
        """Of the configuration, but for some keys, and of the catalog entries that it uses."""
        left_out = {
            "compute",
            "keep_embeddings",
            "keep_neighbors",
            "explorer",
            "explorer_map",
            "partial",
            "identical_checkpoints",
            "clouds",
            *without,
        }
        config = {key: value for key, value in self._sweep.config.items() if key not in left_out}
        labelled = [model for model in self._sweep.known.values() if model.reads_labels]
        labelled = {corpus.path for model in labelled for corpus in self._sweep.training_corpora(model.entry).values()}
        used = {
            "models": {model.name: _shaping_entry(model.entry) for model in self._sweep.models.values()},
            "datasets": {
                corpus.name: reading(corpus.entry, labels=path in labelled)
                for path, corpus in self._sweep.corpora.items()
            },
        }
        return config | {"catalog": used}

    def measured(self) -> dict[str, Any]:
        """Of the configuration, what is measured, however it is written: with all defaults, and layers by their numbers."""
        written = ("title", "figures", "reference", "comparisons", "points", "layers", "representations")
        chosen = {
            model.name: {
                "layers": [*model.layers],
                "matrices": [*model.matrices],
                "combinations": {name: one._asdict() for name, one in model.combinations.items()},
                "checkpoints": [checkpoint.name for checkpoint in model.checkpoints.values()],
                **({"before_final_norm": True} if model.before_final_norm else {}),
            }
            for model in self._sweep.models.values()
        }
        sets = self._sweep.config["estimator_sets"]
        return self.config(*written) | {
            "models": chosen,
            "points": self._sweep.config["clouds"],
            "estimator_sets": {name: [*map(estimate, items)] for name, items in sets.items()},
        }


def estimate(item: Mapping[str, Any]) -> dict[str, Any]:
    """One estimate with all of its parameters, those left out at their defaults."""
    return {
        "name": label(item),
        "estimator": item["estimator"],
        "scope": item["scope"],
        "parameters": all_parameters(item),
    }


def _differing(names: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """names: of each kind, path -> name. Only those that differ count, so that plain names are no setting."""
    found = {kind: {path: name for path, name in each.items() if path != name} for kind, each in names.items()}
    return {"names": found} if any(found.values()) else {}


def _shaping_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in entry.items() if key not in SHAPES_NOTHING}
    if tokenizer := {key: value for key, value in entry.get("tokenizer", {}).items() if key != "padding_side"}:
        return own | {"tokenizer": tokenizer}
    return {key: value for key, value in own.items() if key != "tokenizer"}
