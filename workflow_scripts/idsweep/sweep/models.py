"""From an entry of the catalog to a model of the sweep: its checkpoints, layers, tokenizer, and where its weights are.

Names of the catalog become safe path components here, once; everything after uses those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idsweep.config import steps
from idsweep.config.load import ConfigError, choose
from idsweep.config.runs import Run, runs
from idsweep.files.packages import path_in_package
from idsweep.files.representations import EMBEDDING_MATRICES, VOCABULARY, Combination, of_layer
from idsweep.models import adapters
from idsweep.models.folders import adapter_files, checkpoint_folders, model_files, read_architecture, tokenizer_files

SOURCES = ("package", "path", "hub", "train")
EQUATION_TOKENS = 4
METRIC_ENDINGS = (".csv", ".parquet")
LOCAL_DIMENSION = "local_dimension"
LOSSES = ("train_loss", "validation_loss")
SCORES = ("loss", "accuracy", "macro_f1", "weighted_f1")
TRAINED_METRICS = {
    "language_model": LOSSES,
    "grokking": (*LOSSES, "train_accuracy", "validation_accuracy"),
    "word_vectors": (),
    "fine_tuned_language_model": LOSSES,
    "fine_tuned_classifier": tuple(f"{split}_{score}" for split in ("train", "validation") for score in SCORES),
    "lora_embedding": (*LOSSES, "validation_perplexity", "base_validation_loss"),
}
TEST_METRICS = tuple(f"test_{score}" for score in SCORES)
# `train:` of an entry -> the rule that makes it, where that is not train_ and its name.
RULES = {
    "fine_tuned_language_model": "fine_tune_language_model",
    "fine_tuned_classifier": "fine_tune_classifier",
}
# Trainings that start from the weights of another entry, `base`, and the kinds that they make.
KINDS_FROM_BASE = {
    "fine_tuned_language_model": ("causal", "masked"),
    "fine_tuned_classifier": ("encoder",),
    "lora_embedding": ("causal", "masked"),
}
PLACEHOLDERS = {"{seed}": "seeds", "{checkpoint}": "checkpoints"}


@dataclass(frozen=True)
class Checkpoint:
    """One state of a model's weights. `revision` is its name at the source, `name` its safe form."""

    name: str
    revision: str
    step: int | None


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
    def options(self) -> Mapping[str, Any]:
        return self.owner.get("tokenizer", {})

    @property
    def made_by(self) -> str | None:
        """The rule that makes it, if one does."""
        if self.folder is not None:
            return None
        if self.source == "hub":
            return "fetch_tokenizer"
        rules = {"grokking": "write_tokenizer", "word_vectors": "train_word_vectors"}
        return rules.get(self.owner["train"], "train_tokenizer")


@dataclass(frozen=True)
class Model:
    """One row of the catalog as it takes part in this sweep.

    group: its name but for the seed. catalogued: its name in the catalog, one for all runs of an entry. folder: where local
    weights are; None for hub models and for models that the workflow trains. depth: number of blocks, so that layers are 0 … depth. positions: the longest
    sequence that it takes, if that is known beforehand. layers: those to estimate. combinations: of layers, by name.
    matrices: names of the embedding matrices to estimate. base: the model and checkpoint that PEFT adapters are merged
    into. start: the model and checkpoint that a fine-tuning starts from, or adapters were made for. metrics: files with metrics
    from elsewhere, by name. varied: the entry's varied keys and their values in this run.
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
    matrices: tuple[str, ...]
    checkpoints: Mapping[str, Checkpoint]
    base: tuple[Model, Checkpoint] | None
    start: tuple[Model, Checkpoint] | None
    metrics: Mapping[str, Path]
    varied: Mapping[str, Any]

    @property
    def seed(self) -> int | None:
        """What tells this run from its siblings."""
        return self.entry["training"]["seed"] if self.source == "train" else self.entry.get("seed")

    @property
    def made_by(self) -> str | None:
        """The rule that trains it, if one does."""
        train = self.entry.get("train")
        return train and RULES.get(train, f"train_{train}")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that are known of it: those of its training rule, and brought ones."""
        tested = TEST_METRICS if "test" in self.entry.get("training", {}) else ()
        return (*TRAINED_METRICS.get(self.entry.get("train"), ()), *tested, *self.metrics)

    @property
    def kind(self) -> str:
        return self.entry["kind"]

    @property
    def reads_text(self) -> bool:
        """Whether hidden states are measured, not only embedding matrices."""
        return bool(self.layers)

    @property
    def reads_labels(self) -> bool:
        """Whether it is trained on texts with labels."""
        return self.entry.get("train") == "fine_tuned_classifier"

    @property
    def size_gb(self) -> float:
        """GB of one checkpoint, as the catalog says; what was fine-tuned as a whole is as large as its start. 1 if unknown."""
        start = self.start[0].size_gb if self.start and not self.base else 1
        return self.entry.get("size_gb", start)

    @property
    def last_checkpoint(self) -> Checkpoint:
        return list(self.checkpoints.values())[-1]

    def weights(self, checkpoint: str) -> Path | None:
        """Folder (for static vectors, file) with one checkpoint's local weights; None where another rule makes them."""
        return self.folder and _inside(self.folder, self.entry, self.checkpoints[checkpoint])

    def hub(self, checkpoint: str) -> tuple[str, str]:
        """Id and revision of one checkpoint on the hub."""
        name, revision = self.entry["hub"], self.checkpoints[checkpoint].revision
        return (name.replace("{checkpoint}", revision), self.entry["revision"]) if "{" in name else (name, revision)

    def known_as(self, checkpoint: str) -> str:
        """The name that adapters give it as their base: its id on the hub, or its own."""
        return self.hub(checkpoint)[0] if self.source == "hub" else self.name

    def representations(self, dataset: str) -> list[str]:
        """Names of what is estimated on a dataset, or on the vocabulary."""
        if dataset == VOCABULARY:
            return list(self.matrices)
        return [*map(of_layer, self.layers), *self.combinations]

    def loading(self, dtype: str) -> dict[str, Any]:
        """How the weights are loaded: as what they build on or start from. dtype: the sweep's; auto leaves it to the entries."""
        root = self.start[0].entry if self.start else self.entry
        own = {"dtype": "auto"} | {key: root[key] for key in ("dtype", "attention") if key in root}
        own |= {key: self.entry[key] for key in ("dtype", "attention") if key in self.entry}
        if dtype != "auto":
            own["dtype"] = dtype
        # What a training saves is the model alone, whatever its start was wrapped in.
        wrapped = ("prefix",) if self.base or not self.start else ()
        own |= {key: root[key] for key in (*wrapped, "trust_remote_code") if key in root}
        return {"kind": self.kind, "layers": self.depth, **own}


def safe(name: str) -> str:
    """A path component that keeps letters, digits, dots, dashes and underscores of `name`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "--", name).lstrip(".-") or "_"


def catalog_path(kind: str, name: str) -> str:
    return f"catalog.{kind}.{name}"


def entry_of(kind: str, name: str, config: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    """An entry of the catalog. Raises ConfigError if there is none."""
    catalog = config["catalog"][kind]
    if name not in catalog:
        raise ConfigError([f"{at}: {name!r} is not in the catalog of {kind}; {choose(name, sorted(catalog))}"])
    return catalog[name]


def make_models(name: str, chosen: Mapping[str, Any], config: Mapping[str, Any]) -> list[Model]:
    """The models that one name of a sweep stands for: one, or one for each run of the entry. Raises ConfigError."""
    entry = entry_of("models", name, config, f"models.{name}")
    at = catalog_path("models", name)
    if {"seeds", "vary"} & entry.keys():
        _check(_wrong_keys(entry, _source(entry, at)), at)
    wanted = _wanted(name, chosen, entry)
    every_run = runs(name, entry)
    _check(_same_names(every_run), f"{at}.vary")
    models = [
        _model(run, name, chosen, config)
        for run in every_run
        if (run.seed is None or run.seed in wanted["seeds"])
        and all(value in wanted["vary"].get(key, [value]) for key, value in run.varied.items())
    ]
    _check(_shared_metrics(models), f"models.{name}.metrics")
    return models


def _same_names(every_run: Iterable[Run]) -> Iterator[str]:
    named: dict[str, Run] = {}
    for run in every_run:
        other = named.setdefault(safe(run.name), run)
        if other is not run:
            values = [", ".join(f"{key} {value!r}" for key, value in one.varied.items()) for one in (other, run)]
            yield f": {values[0]} and {values[1]} make the same name {safe(run.name)!r}; change one of them"


def _shared_metrics(models: list[Model]) -> Iterator[str]:
    """Files that would count for several runs of an entry."""
    brought: dict[Path, Model] = {}
    for model in models:
        for metric, file in model.metrics.items():
            other = brought.setdefault(file, model)
            if other is not model:
                yield (
                    f".{metric}: {str(file)!r} would count for {other.name} and {model.name}; give each run a file of its "
                    "own by {seed} or {run} in the name, or choose one run by `seeds` and `vary`"
                )


def _wanted(name: str, chosen: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The seeds and varied values that a sweep chooses of an entry's. Raises ConfigError for those it has not."""
    for key in ("seeds", "vary"):
        if key in chosen and key not in entry:
            raise ConfigError([f"models.{name}.{key}: the entry of {name} in the catalog has no `{key}`"])
    seeds, vary = chosen.get("seeds", entry.get("seeds", [])), chosen.get("vary", {})
    offered = {"seeds": entry.get("seeds", [])} | {f"vary.{key}": entry["vary"].get(key) for key in vary}
    for key, asked in {"seeds": seeds, **{f"vary.{key}": values for key, values in vary.items()}}.items():
        if offered[key] is None:
            raise ConfigError([f"models.{name}.{key}: {name} does not vary it; {choose(key[5:], list(entry['vary']))}"])
        if unknown := [value for value in asked if value not in offered[key]]:
            allowed = ", ".join(map(str, offered[key]))
            raise ConfigError([f"models.{name}.{key}: {unknown} are not offered; allowed: {allowed}"])
    return {"seeds": seeds, "vary": vary}


def _model(run: Run, catalogued: str, chosen: Mapping[str, Any], config: Mapping[str, Any]) -> Model:
    name, entry = run.name, run.entry
    at = catalog_path("models", catalogued)
    source = _source(entry, at)
    _check(_wrong_keys(entry, source), at)
    root = _root(entry, source, at)
    offered = _offered(entry, source, root, at)
    picked = _picked(chosen, offered, catalogued)
    start = _base(entry, config, at)
    base = start if source != "train" or "lora" in entry["training"] else None
    tokenizer = _tokenizer(name, entry, source, root, offered, start, config, at)
    held = {checkpoint.name: checkpoint for checkpoint in picked}
    if entry["kind"] == "static":
        _check(_wrong_static_layers(chosen), f"models.{catalogued}")
        depth, positions, layers, matrices = 0, None, (), ("input_embeddings",)
    else:
        depth, positions = _shape(entry, source, root, picked, start, at)
        layers, matrices = _layers(chosen, catalogued, entry["kind"], config, depth)
        _check_lengths(entry, tokenizer, config if layers else None, positions, catalogued, at)
        if base and root:
            _check(_wrong_base([_inside(root, entry, one) for one in picked], base, config), f"{at}.base")
    combinations = _combinations(config, catalogued, depth) if layers else {}
    return Model(
        safe(name), safe(run.group), catalogued, source, entry, root, tokenizer, depth, positions, layers, combinations,
        matrices, held, base, start, _metrics(chosen.get("metrics", {}), run, f"models.{catalogued}.metrics"), run.varied,
    )  # fmt: skip


def _metrics(named: Mapping[str, str], run: Run, at: str) -> dict[str, Path]:
    """The files of metrics from elsewhere, `{seed}` and `{run}` filled in. Raises ConfigError for what cannot be one."""
    found = {}
    for metric, name in named.items():
        taken = (LOCAL_DIMENSION, *TRAINED_METRICS.get(run.entry.get("train"), ()))
        if metric in taken:
            raise ConfigError([f"{at}.{metric}: this name is taken ({', '.join(taken)}); choose another"])
        if "{seed}" in name and run.seed is None:
            raise ConfigError([f"{at}.{metric}: {name!r} has a {{seed}}, but the model has no `seeds` in the catalog"])
        path = Path(name.replace("{seed}", str(run.seed)).replace("{run}", safe(run.name)))
        try:
            path = path.expanduser()
            there = path.suffix in METRIC_ENDINGS and path.is_file()
        except (OSError, RuntimeError) as error:  # a name that is too long, ~nobody
            raise ConfigError([f"{at}.{metric}: {name!r} cannot be looked for: {error}"]) from error
        if not there:
            raise ConfigError(
                [f"{at}.{metric}: there is no file {str(path)!r} that ends in {' or '.join(METRIC_ENDINGS)}"]
            )
        found[metric] = path
    return found


def _check(complaints: Iterable[str], at: str) -> None:
    if complaints := [f"{at}{complaint}" for complaint in complaints]:
        raise ConfigError(complaints)


def _source(entry: Mapping[str, Any], at: str) -> str:
    sources = [source for source in SOURCES if source in entry]
    if len(sources) != 1:
        given = " and ".join(sources) or "nothing"
        raise ConfigError([f"{at}: {given} says where the weights are; give exactly one of {', '.join(SOURCES)}"])
    return sources[0]


def _wrong_keys(entry: Mapping[str, Any], source: str) -> Iterator[str]:
    """Keys that a source or a kind needs, and those that it cannot use, each as the end of a complaint."""
    kind, tokenizer = entry["kind"], entry.get("tokenizer", {})
    if source == "train":
        yield from _wrong_training(entry, kind, tokenizer)
    else:
        for key in ("architecture", "training", "vary"):
            if key in entry:
                yield f".{key}: it holds for models that are trained here (`train`); remove this key"
        if "vocabulary_size" in tokenizer:
            yield ".tokenizer.vocabulary_size: only tokenizers of models with `train` are trained; remove this key"
    if source == "hub" and "layers" not in entry and kind != "static" and "base" not in entry:
        yield ".layers: this key is required for a model with `hub`"
    if kind == "static":
        if source not in ("path", "package") and entry.get("train") != "word_vectors":
            yield f".{source}: static vectors are a local file; give `path`, or `package` with `folder`, or `train: word_vectors`"
        for key in ("checkpoints", "base", "prefix", "tokenizer", "dtype", "attention"):
            if key in entry:
                yield f".{key}: static vectors have no {key}; remove this key"
    elif "format" in entry:
        yield f".format: it holds for static vectors, not for kind {kind!r}; remove this key"
    if "of" in tokenizer and len(tokenizer) > 1:
        others = ", ".join(sorted(tokenizer.keys() - {"of"}))
        yield f".tokenizer: options ({others}) of a shared tokenizer stand with the entry that `of` names"
    if "base" in entry:
        for key in ("prefix", "tokenizer", *(["trust_remote_code"] if entry["trust_remote_code"] else [])):
            if key in entry:
                yield f".{key}: it comes from the `base`; set it there"
    elif "base_checkpoint" in entry:
        yield ".base_checkpoint: it holds for adapters on a `base`; remove this key"
    yield from _wrong_placeholders(entry, source)


def _wrong_training(entry: Mapping[str, Any], kind: str, tokenizer: Mapping[str, Any]) -> Iterator[str]:
    train, training = entry["train"], entry.get("training", {})
    from_base = train in KINDS_FROM_BASE
    own_tokenizer = train == "language_model"
    needed = {"training"} | ({"checkpoints"} if train != "word_vectors" else set())
    needed |= {"base"} if from_base else {"architecture"} if train != "word_vectors" else set()
    for key in (*sorted(needed), *(("tokenizer",) if own_tokenizer else ())):
        if key not in entry:
            yield f".{key}: this key is required for a model with `train: {train}`"
    for key in ("architecture", "base", "base_checkpoint", "format"):
        if key in entry and key not in needed and not (from_base and key == "base_checkpoint"):
            yield f".{key}: it has no meaning for `train: {train}`; remove this key"
    if "seed" in entry:
        yield ".seed: the seed of a trained model is training.seed; remove this key"
    if tokenizer and not own_tokenizer and not from_base:
        yield f".tokenizer: a model with `train: {train}` has none but its own words; remove this key"
    if own_tokenizer and tokenizer and not {"vocabulary_size", "of"} & tokenizer.keys():
        yield ".tokenizer.vocabulary_size: this key is required for a tokenizer that is trained"
    if from_base and ("steps" in training) == ("epochs" in training):
        yield ".training: give either steps or epochs"
    if "lora" in training and training.get("freeze"):
        yield ".training.freeze: with lora all weights of the base are frozen anyway; remove one of the two keys"
    if training.get("schedule") == "constant" and training.get("warmup_steps"):
        yield ".training.warmup_steps: the schedule constant has none; choose constant_with_warmup, or leave it out"
    yield from _wrong_kind(train, kind, training)


def _wrong_kind(train: str, kind: str, training: Mapping[str, Any]) -> Iterator[str]:
    masking = "masking" in training
    if train == "word_vectors":
        kinds = expected = ("static",)
    elif train in KINDS_FROM_BASE:
        kinds = expected = KINDS_FROM_BASE[train]
        if masking and kind == "causal":
            yield ".training.masking: it holds for models of kind masked; remove this key"
    elif train == "language_model" and masking:
        kinds, expected = ("masked", "encoder"), ("masked", "encoder for the same without head")
    else:
        kinds = ("causal", "encoder")
        needs = " (masked needs training.masking)" if train == "language_model" else ""
        expected = (f"causal{needs}", "encoder for the same without head")
    if kind not in kinds:
        yield f".kind: {kind!r} is not what this training makes; expected {', or '.join(expected)}"


def _wrong_placeholders(entry: Mapping[str, Any], source: str) -> Iterator[str]:
    where = {key: entry[key] for key in ("path", "hub", "folder") if isinstance(entry.get(key), str)}
    used = {(key, placeholder) for key, text in where.items() for placeholder in re.findall(r"\{[^{}]*\}", text)}
    for key, placeholder in sorted(used):
        needs = PLACEHOLDERS.get(placeholder)
        if needs is None or (placeholder == "{checkpoint}" and key != "hub"):
            yield f".{key}: {placeholder} is not known here; expected {{seed}}, or {{checkpoint}} in `hub`"
        elif needs not in entry:
            yield f".{key}: {placeholder} is filled in from `{needs}`, which this entry lacks"
    if "seeds" in entry and source != "train" and not any(placeholder == "{seed}" for _, placeholder in used):
        yield ".seeds: each seed would be the same weights; write {seed} where it stands in `hub`, `path` or `folder`"


def _wrong_static_layers(chosen: Mapping[str, Any]) -> Iterator[str]:
    if chosen.get("layers", "all") not in ("all", ["input_embeddings"]):
        yield f".layers: {chosen['layers']} are not there; static vectors have input_embeddings alone"


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
    return {name: Checkpoint(safe(name), name, step) for name, step in ordered}


def _offered(entry: Mapping[str, Any], source: str, root: Path | None, at: str) -> dict[str, Checkpoint]:
    named, at = entry.get("checkpoints"), f"{at}.checkpoints"
    if isinstance(named, str) and "*" in named and root is None:
        raise ConfigError(
            [f"{at}: {named!r}: only the folders of a local `path` can be looked for; list the steps in braces"]
        )
    unit = "epoch" if source == "train" and "epochs" in entry["training"] else "step"
    as_trained = isinstance(named, str) and re.fullmatch(unit + r"\{[^{}]*\}", named)
    if source == "train" and entry["kind"] != "static" and not as_trained:
        raise ConfigError([f"{at}: {named!r} is not what training writes; expected '{unit}{{…}}'"])
    try:
        offered = offered_checkpoints(entry, root)
    except (ValueError, OSError) as error:
        raise ConfigError([f"{at}: {error}"]) from error
    last = entry.get("training", {}).get(f"{unit}s")
    if "checkpoints" in entry and last is not None and (beyond := [n for n, c in offered.items() if c.step > last]):
        raise ConfigError([f"{at}: {', '.join(beyond)} lie beyond training.{unit}s = {last}"])
    if len({checkpoint.name for checkpoint in offered.values()}) < len(offered):
        raise ConfigError([f"{at}: two names become the same path; rename one of them"])
    return offered


def _picked(chosen: Mapping[str, Any], offered: Mapping[str, Checkpoint], name: str) -> list[Checkpoint]:
    wanted = chosen.get("checkpoints", list(offered))
    at = f"models.{name}.checkpoints"
    if isinstance(wanted, str):
        try:
            wanted = list(steps.expand(wanted))
        except ValueError as error:
            raise ConfigError([f"{at}: {error}"]) from error
    unknown = [(i, w) for i, w in enumerate(wanted) if w not in offered]
    if unknown:
        raise ConfigError(
            [f"{at}[{i}]: {w!r} is no checkpoint of {name}; {choose(w, _shortened(offered))}" for i, w in unknown]
        )
    return [checkpoint for given, checkpoint in offered.items() if given in set(wanted)]


def _shortened(names: Mapping[str, Any]) -> list[str]:
    names = list(names)
    return names if len(names) <= 24 else [*names[:20], "…", names[-1]]


def _root(entry: Mapping[str, Any], source: str, at: str) -> Path | None:
    """The local folder (file, of static vectors) that a model's entry names; None if another rule makes it."""
    if source not in ("package", "path"):
        return None
    try:
        inside = source == "package"
        root = path_in_package(entry["package"], entry["folder"]) if inside else Path(entry["path"]).expanduser()
        if entry["kind"] == "static":
            if not root.is_file():
                raise ValueError(f"{root if inside else entry['path']} is not a file")
        elif not root.is_dir():
            raise ValueError(f"{root if inside else entry['path']} is not a folder")
    except (ValueError, OSError, RuntimeError) as error:
        raise ConfigError([f"{at}.{source}: {error}"]) from error
    return root


def _inside(root: Path, entry: Mapping[str, Any], checkpoint: Checkpoint) -> Path:
    return root / checkpoint.revision if "checkpoints" in entry else root


def _base(entry: Mapping[str, Any], config: Mapping[str, Any], at: str) -> tuple[Model, Checkpoint] | None:
    """What adapters are merged into: the entry that `base` names, at `base_checkpoint` or its only one."""
    if "base" not in entry:
        return None
    name = entry["base"]
    named = entry_of("models", name, config, f"{at}.base")
    several = [f"`{key}`" for key in ("base", "seeds", "vary") if key in named]
    if several or named["kind"] == "static":
        found = f"has {' and '.join(several)}" if several else "is of kind 'static'"
        raise ConfigError(
            [
                f"{at}.base: {name!r} must be a single model with weights of its own, but {found}; name or make an entry that is one"
            ]
        )
    if "train" in entry:
        _check(_wrong_start(entry, name, named), at)
    chosen = {"checkpoints": [entry["base_checkpoint"]]} if "base_checkpoint" in entry else {}
    try:
        base = _model(*runs(name, named), name, {"layers": ["input_embeddings"]} | chosen, config)
    except ConfigError as error:
        chosen_at = f"models.{name}.checkpoints[0]"  # where a sweep would have chosen it
        raise ConfigError([said.replace(chosen_at, f"{at}.base_checkpoint") for said in error.complaints]) from error
    if len(base.checkpoints) > 1:
        raise ConfigError(
            [f"{at}.base_checkpoint: {name} has {len(base.checkpoints)} checkpoints; name the one to build on"]
        )
    return base, base.last_checkpoint


def _wrong_start(entry: Mapping[str, Any], name: str, base: Mapping[str, Any]) -> Iterator[str]:
    """What of a base keeps trainings from starting there, each as the end of a complaint."""
    if base["kind"] == "encoder-decoder":
        yield f".base: {name!r} is of kind 'encoder-decoder', from which no training starts; name a causal, masked or encoder model"
    elif {entry["kind"], base["kind"]} == {"causal", "masked"}:
        yield f".kind: {entry['kind']!r} needs another head than that of {name}; expected {base['kind']!r}, or another `base`"
    if base.get("train") == "grokking":
        yield f".base: {name!r} knows the words of equations alone; name a model of texts"
    if base.get("attention") == "flash_attention_2":
        yield (
            f".base: {name!r} has attention 'flash_attention_2', which does not take the 32-bit weights of trainings; "
            "set `attention: sdpa` in that entry, or in a copy of it"
        )


def _tokenizer(
    name: str,
    entry: Mapping[str, Any],
    source: str,
    root: Path | None,
    offered: Mapping[str, Checkpoint],
    base: tuple[Model, Checkpoint] | None,
    config: Mapping[str, Any],
    at: str,
) -> Tokenizer:
    """An entry's own tokenizer, its base's, or that of the entry which `tokenizer: of` names."""
    if entry["kind"] == "static":
        return Tokenizer(safe(name), source, root, entry)
    if base is not None:
        return base[0].tokenizer
    other = entry.get("tokenizer", {}).get("of")
    if other is None:
        folder = _tokenizer_folder(root, entry, offered, f"{at}.{source}") if root else None
        return Tokenizer(safe(name), source, folder, entry)
    owner_at = f"{at}.tokenizer.of"
    owner = entry_of("models", other, config, owner_at)
    if "of" in owner.get("tokenizer", {}) or owner["kind"] == "static" or {"seeds", "vary", "base"} & owner.keys():
        raise ConfigError([f"{owner_at}: {other!r} has no tokenizer of its own; name the entry that has"])
    at = catalog_path("models", other)
    source = _source(owner, at)
    _check(_wrong_keys(owner, source), at)
    root = _root(owner, source, at)
    return _tokenizer(other, owner, source, root, _offered(owner, source, root, at), None, config, at)


def _tokenizer_folder(root: Path, entry: Mapping[str, Any], offered: Mapping[str, Checkpoint], at: str) -> Path:
    """The first of all checkpoints' folders that holds a tokenizer, whichever of them are measured."""
    for checkpoint in offered.values():
        folder = _inside(root, entry, checkpoint)
        try:
            tokenizer_files(folder)
            return folder
        except ValueError as error:
            complaint = str(error)
    raise ConfigError([f"{at}: {complaint} Share another entry's with `tokenizer: {{of: NAME}}`."])


def _shape(
    entry: Mapping[str, Any],
    source: str,
    root: Path | None,
    picked: list[Checkpoint],
    base: tuple[Model, Checkpoint] | None,
    at: str,
) -> tuple[int, int | None]:
    """Number of blocks, and the longest sequence where that is known beforehand; every local folder is looked at."""
    if source == "train" and base:
        return base[0].depth, base[0].positions
    if source == "train":
        return entry["architecture"]["num_hidden_layers"], entry["architecture"].get("max_position_embeddings")
    if source == "hub":
        return (base[0].depth, base[0].positions) if base else (entry["layers"], None)
    folders = [_inside(root, entry, checkpoint) for checkpoint in picked]
    files = adapter_files if base else model_files
    try:
        for folder in folders:
            # One that is not whole fails in its own job, beside others; alone it is told at once.
            files(folder, whole=len(folders) == 1)
        if base:
            return base[0].depth, base[0].positions
        shape = read_architecture(folders[0])
    except (ValueError, OSError) as error:
        raise ConfigError([f"{at}.{source}: {error}"]) from error
    return shape.layers, shape.positions


def _wrong_base(folders: Iterable[Path], base: tuple[Model, Checkpoint], config: Mapping[str, Any]) -> Iterator[str]:
    """Complaints about adapters of another model; a local base may be one under any name but those that are given here."""
    model, checkpoint = base
    here = {safe(name) for name in config["catalog"]["models"]}
    for folder in folders:
        named = adapters.base_of(folder)
        if (model.folder is None or named in here) and (
            wrong := adapters.wrong_base(named, model.known_as(checkpoint.name))
        ):
            yield f": {folder}: {wrong}"


def _check_lengths(
    entry: Mapping[str, Any],
    tokenizer: Tokenizer,
    config: Mapping[str, Any] | None,
    positions: int | None,
    name: str,
    at: str,
) -> None:
    """config: of the sweep; None if the model reads no text in it."""
    if entry.get("train") == "grokking":
        _check_equations(config, positions, at)
        return
    own = tokenizer.options.get("max_length")
    given = {}
    if own is None and config is not None:
        given = {"tokens.max_length": config["tokens"]["max_length"]}
    elif own is not None:
        given = {f"{catalog_path('models', tokenizer.name)}.tokenizer.max_length": own}
    for key in ("sequence_length", "max_length"):
        if entry.get("training", {}).get(key) is not None:
            given[f"{at}.training.{key}"] = entry["training"][key]
    wrong = {key: length for key, length in given.items() if positions is not None and length > positions}
    _check(
        (f"{key}: {length} tokens are more than {name} takes; expected at most {positions}" for key, length in wrong.items()),
        "",
    )  # fmt: skip


def _check_equations(config: Mapping[str, Any] | None, positions: int | None, at: str) -> None:
    """Equations are shorter than any limit that makes sense; a smaller one would cut them."""
    given = {} if config is None else {"tokens.max_length": config["tokens"]["max_length"]}
    given[f"{at}.architecture.max_position_embeddings"] = EQUATION_TOKENS if positions is None else positions
    wrong = {key: length for key, length in given.items() if length < EQUATION_TOKENS}
    _check(
        (f"{key}: {length} is less than an equation's {EQUATION_TOKENS} tokens" for key, length in wrong.items()), ""
    )


def _layers(
    chosen: Mapping[str, Any], name: str, kind: str, config: Mapping[str, Any], depth: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The layers to estimate, by number, and the embedding matrices, by name."""
    own = "layers" in chosen
    wanted = chosen["layers"] if own else config["layers"]
    if wanted == "all":
        return tuple(range(depth + 1)), ()
    at = f"models.{name}.layers" if own else "layers"
    _check(_wrong_layers(wanted, name, depth), at)
    if "output_embeddings" in wanted and kind not in ("causal", "masked"):
        raise ConfigError([f"{at}: {name} is of kind {kind!r} and has no output_embeddings; leave them out"])
    numbers = {layer % (depth + 1) for layer in wanted if layer not in EMBEDDING_MATRICES}
    return tuple(sorted(numbers)), tuple(matrix for matrix in EMBEDDING_MATRICES if matrix in wanted)


def _wrong_layers(wanted: list[int | str], name: str, depth: int) -> Iterator[str]:
    for i, layer in enumerate(wanted):
        if layer not in EMBEDDING_MATRICES and not -depth - 1 <= layer <= depth:
            yield (
                f"[{i}]: {layer} is no layer of {name}, which has layers 0 (embedding output) to {depth}; "
                f"expected {-depth - 1} to {depth}"
            )


def _combinations(config: Mapping[str, Any], name: str, depth: int) -> dict[str, Combination]:
    made = {}
    for label, given in config["representations"].items():
        at = f"representations.{label}"
        if label in EMBEDDING_MATRICES or re.fullmatch(r"layer_\d+|layers_\d+-\d+", label):
            raise ConfigError([f"{at}: this name is taken; choose another"])
        _check(_wrong_layers(given["layers"], name, depth), f"{at}.layers")
        layers = tuple(layer % (depth + 1) for layer in given["layers"])
        if len(set(layers)) < len(layers):
            raise ConfigError([f"{at}.layers: {given['layers']} names a layer of {name} twice"])
        made[label] = Combination(layers, given["by"])
    return made
