"""From an entry of the catalog to the models of a sweep: checkpoints, layers, tokenizer, where the weights are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from idsweep.config import steps
from idsweep.config.load import ConfigError, choose
from idsweep.config.runs import Run, runs
from idsweep.files.packages import path_in_package
from idsweep.files.representations import BEFORE_FINAL_NORM, EMBEDDING_MATRICES, NAMED, VECTORS, Combination
from idsweep.models.folders import read_architecture, read_config, tokenizer_files, tokenizer_identity, why_not_measured
from idsweep.sweep.entry_checks import (
    check,
    check_lengths,
    wrong_base,
    wrong_depth,
    wrong_final_norm,
    wrong_initial,
    wrong_keys,
    wrong_layers,
    wrong_start,
    wrong_static_layers,
)
from idsweep.sweep.models import (
    INITIAL,
    LOCAL_DIMENSION,
    MADE_FROM,
    Checkpoint,
    Model,
    Tokenizer,
    catalog_path,
    entry_of,
    folder_of,
    gguf_of,
    metrics_of,
    of_static,
    offered_checkpoints,
    safe,
)

SOURCES = ("package", "path", "hub", "train")
METRIC_ENDINGS = (".csv", ".parquet", ".json")


def make_models(name: str, chosen: Mapping[str, Any], config: Mapping[str, Any]) -> list[Model]:
    """The models that one name of a sweep stands for: one, or one for each run of the entry. Raises ConfigError."""
    entry = entry_of("models", name, config, f"models.{name}")
    at = catalog_path("models", name)
    if {"seeds", "vary"} & entry.keys():
        of_entry = wrong_keys(entry, _source(entry, at))
        check((_where_varied(complaint, entry.get("vary", {})) for complaint in of_entry), at)
    choice = _choose_runs(name, chosen, entry)
    every_run = runs(name, entry)
    check(_same_names(every_run), f"{at}.vary")
    models = [
        _model(run, name, chosen, config)
        for run in every_run
        if (run.seed is None or run.seed in choice["seeds"])
        and all(value in choice["vary"].get(key, [value]) for key, value in run.varied.items())
    ]
    check(_shared_metrics(models), f"models.{name}.metrics")
    return models


def _where_varied(complaint: str, varied: Mapping[str, Any]) -> str:
    """A complaint about a key that the entry varies begins with where its values stand."""
    return f".vary{complaint}" if complaint.split(":")[0][1:] in varied else complaint


def _same_names(every_run: Iterable[Run]) -> Iterator[str]:
    named: dict[str, Run] = {}
    for run in every_run:
        other = named.setdefault(safe(run.name), run)
        if other is not run:
            values = [", ".join(f"{key} {value!r}" for key, value in one.varied.items()) for one in (other, run)]
            yield f": {values[0]} and {values[1]} give two runs the same name, {run.name!r}; change one of them"


def _shared_metrics(models: list[Model]) -> Iterator[str]:
    """Files that would count for several runs of an entry."""
    brought: dict[Path, Model] = {}
    for model in models:
        for metric, file in model.metrics.items():
            other = brought.setdefault(file, model)
            if other is not model:
                yield (
                    f".{metric}: {str(file)!r} would be the metric of both {other.name} and {model.name}; give each run its "
                    "own file, with {seed} or {run} in the name, or choose one run with `seeds` and `vary`"
                )


def _choose_runs(name: str, chosen: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The seeds and varied values that a sweep chooses of an entry's. Raises ConfigError for those it has not."""
    for key in ("seeds", "vary"):
        if key in chosen and key not in entry:
            raise ConfigError([f"models.{name}.{key}: the entry of {name} in the catalog has no `{key}`"])
    seeds, vary = chosen.get("seeds", entry.get("seeds", [])), chosen.get("vary", {})
    offered = {"seeds": entry.get("seeds", [])} | {f"vary.{key}": entry["vary"].get(key) for key in vary}
    for key, choice in {"seeds": seeds, **{f"vary.{key}": values for key, values in vary.items()}}.items():
        if offered[key] is None:
            raise ConfigError(
                [f"models.{name}.{key}: {name} does not vary this key; {choose(key[5:], list(entry['vary']))}"]
            )
        if unknown := [value for value in choice if value not in offered[key]]:
            allowed = ", ".join(map(str, offered[key]))
            raise ConfigError([f"models.{name}.{key}: {unknown} are not offered; allowed: {allowed}"])
    return {"seeds": seeds, "vary": vary}


def _model(run: Run, catalogued: str, chosen: Mapping[str, Any], config: Mapping[str, Any]) -> Model:
    name, entry = run.name, run.entry
    at = catalog_path("models", catalogued)
    source = _source(entry, at)
    check((_where_varied(complaint, run.varied) for complaint in wrong_keys(entry, source)), at)
    root = _root(entry, source, at)
    offered = _list_checkpoints(entry, source, root, at)
    start, initial = _other("base", entry, config, at), _other("initial", entry, config, at)
    first = {INITIAL: Checkpoint(INITIAL, INITIAL, 0)} if initial else {}
    picked = _pick_checkpoints(chosen, first | offered, catalogued)
    base = start if source != "train" or "lora" in entry["training"] else None
    tokenizer = _tokenizer(name, entry, source, root, offered, start, config, at)
    checkpoints = {checkpoint.path: checkpoint for checkpoint in picked}
    if entry["kind"] == "static":
        check(wrong_static_layers(chosen, of_static(entry)), f"models.{catalogued}")
        depth, positions, layers, before_final_norm, matrices, failing = 0, None, (), False, (of_static(entry),), {}
    else:
        own = [checkpoint for checkpoint in picked if checkpoint not in first.values()]
        check(wrong_initial(initial[0], offered, picked) if initial else (), at)
        failing = _failing(entry, root, own, base, config, at) if root else {}
        sound = [checkpoint for checkpoint in own if checkpoint.path not in failing]
        depth, positions = _shape(entry, source, root, sound, start, at)
        check(wrong_depth(initial[0], depth) if initial else (), at)
        layers, before_final_norm, matrices = _layers(chosen, catalogued, entry["kind"], config, depth)
        reads_text = bool(layers) or before_final_norm
        if before_final_norm:
            model_type = _model_type(entry, root, sound, start)
            check(wrong_final_norm(catalogued, model_type), _layers_at(chosen, catalogued))
        check_lengths(entry, tokenizer, config if reads_text else None, positions, catalogued, at)
    combinations = _combinations(config, catalogued, depth) if layers else {}
    return Model(
        name, run.group, catalogued, source, entry, root, tokenizer, depth, positions, layers, combinations,
        before_final_norm, matrices, checkpoints, base, start, initial, _metrics(chosen.get("metrics", {}), run, f"models.{catalogued}.metrics"), run.varied,
        failing,
    )  # fmt: skip


def _metrics(named: Mapping[str, str], run: Run, at: str) -> dict[str, Path]:
    """The files of metrics from elsewhere, `{seed}` and `{run}` filled in. Raises ConfigError for what cannot be one."""
    found = {}
    for metric, name in named.items():
        taken = (LOCAL_DIMENSION, *metrics_of(run.entry))
        if metric in taken:
            raise ConfigError([f"{at}.{metric}: this name is taken ({', '.join(taken)}); choose another"])
        if "{seed}" in name and run.seed is None:
            raise ConfigError(
                [f"{at}.{metric}: {name!r} contains {{seed}}, but the model has no `seeds` in the catalog"]
            )
        path = Path(name.replace("{seed}", str(run.seed)).replace("{run}", safe(run.name)))
        try:
            path = path.expanduser()
            there = path.suffix in METRIC_ENDINGS and path.is_file()
        except (OSError, RuntimeError) as error:  # a name that is too long, ~nobody
            raise ConfigError([f"{at}.{metric}: {name!r} cannot be read: {error}"]) from error
        if not there:
            raise ConfigError(
                [f"{at}.{metric}: there is no file {str(path)!r} that ends in {' or '.join(METRIC_ENDINGS)}"]
            )
        found[metric] = path
    return found


def _source(entry: Mapping[str, Any], at: str) -> str:
    sources = [source for source in SOURCES if source in entry]
    if len(sources) != 1:
        given = " and ".join(sources) or "nothing"
        raise ConfigError([f"{at}: the weights must come from exactly one of {', '.join(SOURCES)}; found {given}"])
    return "gguf" if "gguf" in entry and "train" not in entry else sources[0]


def _list_checkpoints(entry: Mapping[str, Any], source: str, root: Path | None, at: str) -> dict[str, Checkpoint]:
    named, at = entry.get("checkpoints"), f"{at}.checkpoints"
    if isinstance(named, str) and "*" in named and root is None:
        raise ConfigError([f"{at}: {named!r}: a `*` works only with a local `path`; list the steps in braces"])
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
        raise ConfigError([f"{at}: {', '.join(beyond)} are beyond training.{unit}s = {last}"])
    named_so: dict[str, str] = {}
    for written, checkpoint in offered.items():
        if (other := named_so.setdefault(checkpoint.path, written)) != written:
            raise ConfigError([f"{at}: two names become the same path, {other!r} and {written!r}; rename one of them"])
    return offered


def _pick_checkpoints(chosen: Mapping[str, Any], offered: Mapping[str, Checkpoint], name: str) -> list[Checkpoint]:
    names = chosen.get("checkpoints", list(offered))
    at = f"models.{name}.checkpoints"
    if isinstance(names, str):
        try:
            names = list(steps.expand(names))
        except ValueError as error:
            raise ConfigError([f"{at}: {error}"]) from error
    unknown = [(i, w) for i, w in enumerate(names) if w not in offered]
    if unknown:
        raise ConfigError(
            [f"{at}[{i}]: {w!r} is not a checkpoint of {name}; {choose(w, _shortened(offered))}" for i, w in unknown]
        )
    return [checkpoint for given, checkpoint in offered.items() if given in set(names)]


def _shortened(names: Mapping[str, Any]) -> list[str]:
    names = list(names)
    return names if len(names) <= 24 else [*names[:20], "…", names[-1]]


def _root(entry: Mapping[str, Any], source: str, at: str) -> Path | None:
    """The local folder (file, of static vectors) that a model's entry names; None if another rule makes it."""
    if source == "gguf":
        try:
            gguf_of(entry)
        except (ValueError, OSError, RuntimeError) as error:
            raise ConfigError([f"{at}.gguf: {error}"]) from error
    if source not in ("package", "path"):
        return None
    try:
        packaged = source == "package"
        root = path_in_package(entry["package"], entry["folder"]) if packaged else Path(entry["path"]).expanduser()
        if entry["kind"] == "static":
            if not root.is_file():
                raise ValueError(f"{root if packaged else entry['path']} is not a file")
        elif not root.is_dir():
            raise ValueError(f"{root if packaged else entry['path']} is not a folder")
    except (ValueError, OSError, RuntimeError) as error:
        raise ConfigError([f"{at}.{source}: {error}"]) from error
    return root


def _other(key: str, entry: Mapping[str, Any], config: Mapping[str, Any], at: str) -> tuple[Model, Checkpoint] | None:
    """The entry that a key, `base` or `initial`, names, at `{key}_checkpoint` or its only one; None without the key."""
    if key not in entry:
        return None
    name = entry[key]
    named = entry_of("models", name, config, f"{at}.{key}")
    several = [f"`{key}`" for key in ("base", "initial", "seeds", "vary") if key in named]
    if several or named["kind"] == "static":
        found = f"has {' and '.join(several)}" if several else "is of kind 'static'"
        raise ConfigError(
            [
                f"{at}.{key}: {name!r} must be a single model with weights of its own, but {found}; name such an entry, or add one to the catalog"
            ]
        )
    if "train" in entry:
        check(wrong_start(entry, name, named), at)
    at_checkpoint = f"{key}_checkpoint"
    chosen = {"checkpoints": [entry[at_checkpoint]]} if at_checkpoint in entry else {}
    try:
        other = _model(*runs(name, named), name, {"layers": ["input_embeddings"]} | chosen, config)
    except ConfigError as error:
        chosen_at = f"models.{name}.checkpoints[0]"  # where a sweep would have chosen it
        raise ConfigError([said.replace(chosen_at, f"{at}.{at_checkpoint}") for said in error.complaints]) from error
    if len(other.checkpoints) > 1:
        raise ConfigError(
            [f"{at}.{at_checkpoint}: {name} has {len(other.checkpoints)} checkpoints; name the one to build on"]
        )
    return other, other.last_checkpoint


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
        return Tokenizer(name, source, root, entry)
    if base is not None:
        return base[0].tokenizer
    other = entry.get("tokenizer", {}).get("of")
    if other is None:
        folder = _tokenizer_folder(root, entry, offered, f"{at}.{source}") if root else None
        return Tokenizer(name, source, folder, entry)
    owner_at = f"{at}.tokenizer.of"
    owner = entry_of("models", other, config, owner_at)
    if "of" in owner.get("tokenizer", {}) or owner["kind"] == "static" or {"seeds", "vary", "base"} & owner.keys():
        raise ConfigError([f"{owner_at}: {other!r} has no tokenizer of its own; name the entry that has one"])
    at = catalog_path("models", other)
    source = _source(owner, at)
    check(wrong_keys(owner, source), at)
    root = _root(owner, source, at)
    return _tokenizer(other, owner, source, root, _list_checkpoints(owner, source, root, at), None, config, at)


def _tokenizer_folder(root: Path, entry: Mapping[str, Any], offered: Mapping[str, Checkpoint], at: str) -> Path:
    """The first of all checkpoints' folders, or the one that they lie in, that holds a tokenizer, whichever of them are measured."""
    complaint = ""
    for folder in [*(folder_of(root, entry, checkpoint) for checkpoint in offered.values()), root]:
        try:
            tokenizer_files(folder)
            tokenizer_identity(folder)
            return folder
        except (ValueError, OSError) as error:
            complaint = complaint or str(error)
    raise ConfigError([f"{at}: {complaint} Share another entry's with `tokenizer: {{of: NAME}}`."])


def _shape(
    entry: Mapping[str, Any],
    source: str,
    root: Path | None,
    sound: list[Checkpoint],
    base: tuple[Model, Checkpoint] | None,
    at: str,
) -> tuple[int, int | None]:
    """Number of blocks, and the longest sequence where that is known beforehand. sound: checkpoints that can be read."""
    if source == "train" and base:
        return base[0].depth, base[0].positions
    if source == "train":
        return entry["architecture"]["num_hidden_layers"], entry["architecture"].get("max_position_embeddings")
    if source in MADE_FROM:
        return (base[0].depth, base[0].positions) if base else (entry["layers"], None)
    if base:
        return base[0].depth, base[0].positions
    shape = read_architecture(folder_of(root, entry, sound[0]))
    return shape.layers, shape.positions


def _failing(
    entry: Mapping[str, Any],
    root: Path,
    picked: list[Checkpoint],
    base: tuple[Model, Checkpoint] | None,
    config: Mapping[str, Any],
    at: str,
) -> dict[str, str]:
    """Path of a local checkpoint -> why the job that loads it would fail. It fails beside others, which are measured.

    Raises ConfigError if none is left, or if a folder that is named is not there at all.
    """
    found: dict[str, list[str]] = {}
    folders = {checkpoint.path: folder_of(root, entry, checkpoint) for checkpoint in picked}
    for name, folder in folders.items():
        if not os.path.lexists(folder):
            raise ConfigError([f"{at}.checkpoints: there is no folder {str(folder)!r}; mend the name, or leave it out"])
        if error := why_not_measured(folder, adapter=base is not None, trusted=entry["trust_remote_code"]):
            found[name] = [f".{'path' if 'path' in entry else 'package'}: {error}"]
        elif base and (wrong := [*wrong_base([folder], base, config)]):
            found[name] = [f".base{line}" for line in wrong]
    if len(found) == len(folders):
        raise ConfigError([f"{at}{line}" for lines in found.values() for line in lines])
    return {name: "; ".join(line.partition(": ")[2] for line in lines) for name, lines in found.items()}


def _layers(
    chosen: Mapping[str, Any], name: str, kind: str, config: Mapping[str, Any], depth: int
) -> tuple[tuple[int, ...], bool, tuple[str, ...]]:
    """The layers to estimate, by number, whether to estimate what is before the final norm, and the embedding matrices, by name."""
    layers, at = chosen.get("layers", config["layers"]), _layers_at(chosen, name)
    if layers == "all":
        return tuple(range(depth + 1)), False, ()
    check(wrong_layers(layers, name, depth), at)
    if "output_embeddings" in layers and kind not in ("causal", "masked"):
        raise ConfigError([f"{at}: {name} is of kind {kind!r} and has no output_embeddings; leave them out"])
    numbers = {layer % (depth + 1) for layer in layers if isinstance(layer, int)}
    matrices = tuple(matrix for matrix in EMBEDDING_MATRICES if matrix in layers)
    return tuple(sorted(numbers)), BEFORE_FINAL_NORM in layers, matrices


def _layers_at(chosen: Mapping[str, Any], name: str) -> str:
    return f"models.{name}.layers" if "layers" in chosen else "layers"


def _model_type(
    entry: Mapping[str, Any], root: Path | None, sound: list[Checkpoint], base: tuple[Model, Checkpoint] | None
) -> str | None:
    """The family of a model, where that is known before anything is fetched."""
    if base:
        start, checkpoint = base
        return _model_type(start.entry, start.folder, [checkpoint], start.start)
    if root is not None:
        return read_config(folder_of(root, entry, sound[0])).get("model_type")
    return entry.get("architecture", {}).get("model_type")


def _combinations(config: Mapping[str, Any], name: str, depth: int) -> dict[str, Combination]:
    combinations = {}
    for label, given in config["representations"].items():
        at = f"representations.{label}"
        if label in (*NAMED, VECTORS) or re.fullmatch(r"layer_\d+|layers_\d+-\d+", label):
            raise ConfigError([f"{at}: this name is taken; choose another"])
        check(wrong_layers(given["layers"], name, depth), f"{at}.layers")
        layers = tuple(layer % (depth + 1) for layer in given["layers"])
        if len(set(layers)) < len(layers):
            raise ConfigError([f"{at}.layers: {given['layers']} names a layer of {name} twice"])
        combinations[label] = Combination(layers, given["by"])
    return combinations
