"""A model, or checkpoints of one, in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.measuring import checkpoints
from idsweep.measuring.hub_model import config_on_hub
from idsweep.measuring.kind import kind_of, kind_of_adapter
from idsweep.measuring.source import Choice, Source, catalogued, is_hub_id, name_of, path_of, place_of, read_catalog
from idsweep.models import gguf_files, matrices
from idsweep.models.folders import (
    ADAPTER_CONFIG,
    CONFIG,
    read_adapter_config,
    read_architecture,
    read_config,
    tokenizer_files,
)
from idsweep.tables import trainer_state

MOST = 20  # checkpoints that are measured unless a user chooses

Entries = dict[str, dict[str, Any]]


class Base(NamedTuple):
    """What adapters build on: its name in the catalog, what it adds to the sweep's own, and what is known of it."""

    name: str
    entries: Entries
    kind: str
    depth: int
    positions: int | None


def find_in_folder(given: str, choice: Choice) -> Source:
    """The model or the checkpoints in a folder.

    Raises
    ------
    ValueError
        If there is none, or what is there does not say enough; the message tells how to say it.
    """
    folder = Path(given).expanduser()
    choice.refuse(["array"], f"{given} is a folder and no file of vectors.")
    pattern = choice.checkpoints if "*" in (choice.checkpoints or "") else None
    series = checkpoints.find_checkpoints(folder, pattern)
    if series is None:
        if not checkpoints.is_model(folder):
            raise ValueError(_no_model(folder))
        choice.refuse(["checkpoints"], f"{given} is one model and holds no folders of checkpoints.")
        return _described(given, folder, folder, {}, (), (), (), choice)
    if choice.checkpoints and pattern is None:
        names = checkpoints.choose(series.steps, choice.checkpoints, given)
    else:
        names = checkpoints.spread(series.steps, len(series.steps) if pattern else MOST)
    return _series(given, folder, series, names, choice)


def find_gguf(given: str, choice: Choice) -> Source:
    """The model in a GGUF file.

    Raises
    ------
    ValueError
        If the file cannot be read, or an option has no meaning for it.
    """
    file = Path(given).expanduser()
    choice.refuse(["checkpoints", "base", "array"], f"{given} is one model.")
    if choice.kind not in (None, "causal"):
        raise ValueError(f"--kind {choice.kind}: models in GGUF are measured as causal ones. Leave it out.")
    shape, name = gguf_files.read_shape(file), name_of(Path(file.stem))
    entry: dict[str, Any] = {"path": path_of(str(Path(given).parent)), "gguf": file.name, "kind": "causal"}
    entry |= {"layers": shape.layers, "width": shape.width}
    entries: Entries = {}
    if choice.tokenizer:
        owner, entries = _tokenizer_of(name, file.parent, file.parent, {}, choice)
        entry["tokenizer"] = {"of": owner}
    return Source(
        name=name,
        place=place_of(file),
        kind="causal",
        findings=[f"a model in GGUF, kind causal; {shape.layers} blocks"],
        entries={**entries, name: entry},
        depth=shape.layers,
        positions=shape.positions,
    )


def _series(given: str, folder: Path, series: checkpoints.Found, names: Sequence[str], choice: Choice) -> Source:
    findings = [checkpoints.described(series.steps, names)]
    if checkpoints.is_model(folder):
        findings.append(
            f"{given} holds a model itself too, most often in the state of the last checkpoint; it is left out"
        )
    if series.others:
        findings.append(f"left out, of another series: {', '.join(series.others)}")
    if len(names) == 1:
        findings.append("a single checkpoint: there is no curve over training")
    last = folder / names[-1]
    _check_alike([folder / one for one in names], choice)
    steps = [series.steps[name] for name in names]
    chosen = None if len(names) == len(series.steps) else names
    return _described(given, folder, last, {"checkpoints": series.pattern}, names, steps, findings, choice, chosen)


def _check_alike(folders: Sequence[Path], choice: Choice) -> None:
    """Raise ValueError if folders are no checkpoints of one model: of another family or depth, or adapters on another base."""
    last = folders[-1]
    found = {folder: _told_apart_by(folder, choice) for folder in folders}
    if other := next((folder for folder in folders if found[folder] != found[last]), None):
        raise ValueError(
            f"{other.name} and {last.name} in {last.parent} are no checkpoints of one model: the first is {found[other]}, the second "
            f"{found[last]}. Name one of them, as {last}, or those that belong together, as --checkpoints {last.name}."
        )


def _told_apart_by(folder: Path, choice: Choice) -> str:
    if _is_adapter(folder):
        base = choice.base or read_adapter_config(folder).get("base_model_name_or_path")
        return f"an adapter on {base}"
    return f"a {read_config(folder).get('model_type')} of {read_architecture(folder).layers} blocks"


def _is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file()


def _described(
    given: str,
    folder: Path,
    example: Path,
    more: Mapping[str, Any],
    names: Sequence[str],
    steps: Sequence[int],
    findings: Sequence[str],
    choice: Choice,
    chosen: Sequence[str] | None = None,
) -> Source:
    """The source whose weights lie in `example` and its siblings below `folder`. more: further keys of its entry. names,
    steps: of its checkpoints."""
    name = name_of(folder)
    if _is_adapter(example):
        choice.refuse(["tokenizer"], "adapters have that of their base.")
        base = _base_of(name, example, choice)
        entries, depth, positions = base.entries, base.depth, base.positions
        kind = choice.kind or kind_of_adapter(read_adapter_config(example), base.kind)
        keys = {"base": base.name}
        own = base.entries.get(base.name, {})
        below = own.get("path") or own.get("hub") or base.name
        findings = [f"adapters on {below}, which is measured beside them", *findings]
    else:
        choice.refuse(["base"], f"{example} holds a whole model and no adapter.")
        config, base = read_config(example), None
        depth, _, positions = read_architecture(example)
        kind = choice.kind or kind_of(config)
        owner, entries = _tokenizer_of(name, folder, example, config, choice)
        keys = {"tokenizer": {"of": owner}} if owner else {}
        if owner:
            own = entries.get(owner, {})
            findings = [*findings, f"tokenizer of {own.get('path') or own.get('hub') or owner}"]
    metrics, unmatched, why = _curves(example, steps, [folder / one for one in names])
    if why:
        findings = [*findings, f"curves of {trainer_state.NAME} left out: {why}"]
    if metrics:
        findings = [*findings, f"curves of {trainer_state.NAME}: {', '.join(metrics)}"]
    if unmatched:
        findings = [*findings, f"left out, logged at no checkpoint's step: {', '.join(unmatched)}"]
    return Source(
        name=name,
        place=place_of(folder),
        kind=kind,
        findings=[f"kind {kind}{'' if choice.kind else ', by its config'}; {depth} blocks", *findings],
        entries={**entries, name: {"path": path_of(given), "kind": kind, **keys, **more}},
        chosen=chosen,
        steps=steps,
        depth=depth,
        positions=positions,
        metrics=metrics,
        base=base.name if base else None,
    )


def _base_of(name: str, adapter: Path, choice: Choice) -> Base:
    """What an adapter builds on, which a user names, or the adapter itself."""
    named = choice.base or read_adapter_config(adapter).get("base_model_name_or_path")
    if not named:
        raise ValueError(
            f"{adapter / ADAPTER_CONFIG} does not name the model that the adapter was trained on. Say it, as --base FOLDER."
        )
    places = (Path(named).expanduser(), adapter / named, adapter.parent / named)
    own = f"{name}_base"
    if folder := next((place for place in places if (place / CONFIG).is_file()), None):
        kind = kind_of(read_config(folder))
        depth, _, positions = read_architecture(folder)
        return Base(own, {own: {"path": str(folder), "kind": kind}}, kind, depth, positions)
    known = catalogued(named)
    entry = read_catalog()[known] if known else {}
    if "layers" in entry and "checkpoints" not in entry:
        return Base(known, {}, entry["kind"], entry["layers"], None)
    if known and "hub" not in entry:
        raise ValueError(f"--base: adapters cannot be put on {known} of the catalog. Name a folder, as --base FOLDER.")
    if not is_hub_id(named) and not known:
        raise ValueError(
            f"The adapter in {adapter} was trained on {named!r}, which is not here. Say where it is, as --base FOLDER."
        )
    hub_id = entry["hub"] if known else named
    config, (depth, _, positions) = config_on_hub(hub_id, "main")
    kind = kind_of(config)
    return Base(own, {own: {"hub": hub_id, "kind": kind, "layers": depth}}, kind, depth, positions)


def _tokenizer_of(
    name: str, folder: Path, example: Path, config: Mapping[str, Any], choice: Choice
) -> tuple[str | None, Entries]:
    """The entry whose tokenizer is taken, and what it adds to the catalog; None where the folder has its own. Without one, that of
    what the model was made from is taken."""
    given = choice.tokenizer
    if given is None:
        if any(map(_has_tokenizer, (example, folder))):
            return None, {}
        given = config.get("_name_or_path")  # releases of transformers before 5 write it
    owner = f"{name}_tokenizer"
    if given and _has_tokenizer(Path(given).expanduser()):
        return owner, {owner: {"path": given, "kind": "encoder"}}
    if given and (known := catalogued(given)):
        entry = read_catalog()[known]
        of_known = entry.get("tokenizer", {}).get("of", known)
        # a folder of that name is this model's own entry, which takes the place of the catalog's
        return (of_known, {}) if of_known != name else (owner, {owner: entry})
    if given and not Path(given).exists() and is_hub_id(given):
        return owner, {owner: {"hub": given, "kind": "encoder", "layers": 1}}
    raise ValueError(
        (
            f"--tokenizer: {given} holds no tokenizer, and is no name in the catalog and no id on the hub."
            if choice.tokenizer
            else f"{example} holds no tokenizer, and does not say which the model was trained with."
        )
        + " Say it, as --tokenizer FOLDER, --tokenizer gpt2 (a name in the catalog), or an id on the hub."
    )


def _has_tokenizer(folder: Path) -> bool:
    try:
        return folder.is_dir() and bool(tokenizer_files(folder))
    except (ValueError, OSError):
        return False


def _curves(
    example: Path, steps: Sequence[int], folders: Sequence[Path]
) -> tuple[dict[str, str], list[str], str | None]:
    """Metric -> the file that holds it, of the last checkpoint's log; the metrics that were logged at none of the steps; and why the
    log says nothing of these checkpoints, if so: their names count something else than steps, or another training wrote some."""
    file = example / trainer_state.NAME
    if not file.is_file() or len(steps) < 2:
        return {}, [], None
    curves = trainer_state.read_curves(file)
    for step, folder in zip(steps, folders, strict=True):
        if not (own := folder / trainer_state.NAME).is_file():
            continue
        if (written := trainer_state.read_step(own)) not in (None, step):
            return {}, [], f"{folder.name} was saved at step {written}, so its name counts something else"
        for metric, curve in trainer_state.read_curves(own).items():
            if any(curves.get(metric, {}).get(at, value) != value for at, value in curve.items()):
                return {}, [], f"{folder.name} has another {metric} than {example.name}, so another training wrote it"
    shared = {metric: bool(curve.keys() & {*steps}) for metric, curve in curves.items()}
    return (
        {metric: str(file) for metric, matched in shared.items() if matched},
        [metric for metric, matched in shared.items() if not matched],
        None,
    )


def _no_model(folder: Path) -> str:
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    if models := [path for path in below if checkpoints.is_model(path) and not checkpoints.is_part(path)]:
        return (
            f"{folder} holds {', '.join(path.name for path in models[:5])}{' …' if len(models) > 5 else ''}: models whose names hold no "
            f"number that could be a step. Name one of them, as {models[0]}."
        )
    near = next((path for path in below if any(map(checkpoints.is_model, filter(Path.is_dir, path.iterdir())))), None)
    vectors = sorted(path for path in folder.iterdir() if path.suffix[1:] in matrices.FORMATS)
    in_gguf = sorted(folder.glob("*.gguf"))
    if near:
        hint = f"Did you mean {near}?"
    elif in_gguf:
        hint = f"To measure a model in GGUF, name its file, as {in_gguf[0]}."
    elif vectors:
        hint = f"To measure vectors, name their file, as {vectors[0]}."
    else:
        hint = (
            "Expected what transformers saves: config.json with weights and a tokenizer, or folders with these in it."
        )
    return f"{folder} holds no model: there is no {CONFIG} in it or in a folder directly below. {hint}"
