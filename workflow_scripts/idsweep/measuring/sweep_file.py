"""The sweep that measures a source, as a configuration and as the file that says it."""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from idsweep.measuring import defaults
from idsweep.measuring.source import Source
from idsweep.version import __version__

COMMENTS = {
    "sweep": "its results lie in results/NAME; run it again with: idsweep run results/NAME/sweep.yaml",
    "models": "what is measured: checkpoints and layers",
    "datasets": "the texts",
    "tokens": "how many tokens are sampled, from how many texts of which length",
    "vocabulary": "how many of the vectors are drawn (null: all)",
    "points": "how many of them are the points of a layer's cloud",
    "neighbors": "stored for each point",
    "nulls": "clouds without structure, measured beside the data",
    "estimator_sets": "of each point (local), or of the whole cloud (global)",
    "figures": "each with its options",
    "catalog": "where models and texts are",
}
MEASURED = "# What is measured: "  # the line of the file that tells one source from another
DIGEST = "# Checksum of what follows: "  # by which edits are told
LOG = "measure.log"
WRITTEN_BY = re.compile(r"# Written by idsweep (\S+):")


def sweep_of(
    source: Source,
    name: str,
    texts: Mapping[str, Mapping[str, Any] | None],
    layers: Sequence[int | str] | str | None,
    number: int | None,
    tokens: float | None,
) -> dict[str, Any]:
    """The configuration.

    name: of the sweep. texts: datasets by name, with their entries; None for those of the catalog. layers: those that the user
    chose. number: of points, likewise. tokens: about how many the texts hold; None if that is not known.
    """
    chosen: dict[str, Any] = {"checkpoints": list(source.chosen)} if source.chosen is not None else {}
    common = {
        "neighbors": {"number": defaults.NEIGHBORS},
        "nulls": ["gaussian"],
        "estimator_sets": {"standard": defaults.ESTIMATORS},
    }
    if source.number is not None:
        drawn = min(source.number, number or defaults.VECTORS)
        return {
            "sweep": name,
            "title": f"Intrinsic dimension of {source.name}",
            "models": {source.name: None},
            "vocabulary": {"number": None if drawn == source.number else drawn},
            "points": {"number": drawn},
            **common,
            "figures": defaults.figures_of(source, "all"),
            "catalog": {"models": dict(source.entries)},
        }
    layers = layers or defaults.layers_of(source.depth)
    metrics = {"metrics": dict(source.metrics)} if source.metrics else {}
    number = number or defaults.points_of(tokens)
    base = {source.base: {"layers": layers}} if source.base else {}
    entries = {key: dict(entry) for key, entry in texts.items() if entry is not None}
    catalog = {"models": dict(source.entries)} | ({"datasets": entries} if entries else {})
    return {
        "sweep": name,
        "title": f"Intrinsic dimension of {source.name}",
        "models": {**base, source.name: {**chosen, "layers": layers, **metrics}},
        "datasets": list(texts),
        "tokens": {
            "number": number,
            "sequences": defaults.SEQUENCES,
            "max_length": min(defaults.LONGEST, source.positions or defaults.LONGEST),
        },
        "points": {"number": number},
        **common,
        "figures": defaults.figures_of(source, layers),
        "catalog": catalog,
    }


def write_sweep(file: Path, sweep: Mapping[str, Any], source: Source, command: str) -> None:
    """Write a configuration with comments; command: what it was written by."""
    parts = []
    for key, value in sweep.items():
        flow = None if isinstance(value, dict | list) else False
        text = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=120, default_flow_style=flow)
        parts += [*([f"# {COMMENTS[key]}"] if key in COMMENTS else []), text]
    file.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(parts).rstrip("\n") + "\n"
    head = [f"# Written by idsweep {__version__}: {command}", f"{MEASURED}{source.place}", f"{DIGEST}{_digest(body)}"]
    file.write_text("\n".join([*head, "", body]), encoding="utf-8")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it, no other `idsweep measure` writes to a folder of results. Raises ValueError if one does, or it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / LOG).open("a", encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written: {error.strerror}. Call idsweep in a folder that can be written, and name what is measured by "
            "its whole path."
        ) from error
    with log as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"Another call of idsweep measure is at work in {folder}. Wait for its end, or choose another name, as --name "
                f"{folder.name}_2."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def check_results(
    folder: Path, source: Source, texts: Mapping[str, Mapping[str, Any] | None] = MappingProxyType({})
) -> str | None:
    """What to say of results that are there already, those of an earlier version; None if there is nothing to say.

    texts: datasets by name, with their entries; None for those of the catalog.

    Raises
    ------
    ValueError
        If the folder holds the results of anything else, or of other texts by the same name, which would be made anew in their place, or
        a sweep that the user edited.
    """
    file = folder / "sweep.yaml"
    if not file.is_file():
        if folder.is_dir() and any(path.name != LOG for path in folder.iterdir()):
            raise ValueError(
                f"{folder} holds the results of another sweep. Choose another name for these, as --name {folder.name}_measured."
            )
        return None
    text = file.read_text(encoding="utf-8")
    place = next((line.removeprefix(MEASURED) for line in text.splitlines() if line.startswith(MEASURED)), None)
    if place != source.place:
        raise ValueError(
            f"{folder} holds the results of {place or 'another sweep'}. Choose another name for these, as --name "
            f"{folder.name}_2."
        )
    _, digest, body = text.partition(f"\n{DIGEST}")
    if digest and body[:16] != _digest(body[16:].removeprefix("\n\n")):
        raise ValueError(
            f"{file} was edited since it was written, and would be written anew. Run it as it is with `idsweep run {file}`, or choose "
            f"another name for this call, as --name {folder.name}_2."
        )
    earlier = yaml.safe_load(text)
    for name, entry in texts.items():
        before = earlier.get("catalog", {}).get("datasets", {}).get(name, {}).get("path")
        now = entry and entry["path"]
        if name in earlier.get("datasets", ()) and _is_elsewhere(before, now):
            raise ValueError(
                f"{folder} holds results on other texts of the name {name}, {before or 'of the catalog'}. Rename the file, or choose "
                f"another name for these results, as --name {folder.name}_2."
            )
    written_by = WRITTEN_BY.match(text)
    if written_by and written_by[1] != __version__:
        return f"{folder} was measured by idsweep {written_by[1]}; what this version, {__version__}, measures otherwise is measured again"
    return None


def _is_elsewhere(before: str | None, now: str | None) -> bool:
    """Whether two places of texts differ, None being the catalog; a file that is no longer there was moved."""
    if before is None or now is None:
        return before != now
    there = Path(before).expanduser()
    return there.exists() and there.resolve() != Path(now).expanduser().resolve()
