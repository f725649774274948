"""A model of the catalog, or any other on the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from idsweep.files.packages import path_in_package
from idsweep.measuring import checkpoints
from idsweep.measuring.kind import kind_of
from idsweep.measuring.source import Choice, Source, name_of, read_catalog
from idsweep.models import hub
from idsweep.models.folders import Architecture, read_architecture, read_config
from idsweep.sweep.models import offered_checkpoints

MOST = 8  # checkpoints that are fetched unless a user chooses


def find_in_catalog(name: str, choice: Choice) -> Source:
    """A model of the catalog; of one with many checkpoints a few, unless the user chooses.

    Raises
    ------
    ValueError
        If an option contradicts the entry, or names a checkpoint that it has not.
    """
    entry = read_catalog()[name]
    choice.refuse(["kind", "base", "tokenizer", "array"], f"{name} is a model of the catalog, which says this itself.")
    if entry["kind"] == "static":
        raise ValueError(
            f"{name} of the catalog is a file of word vectors. Name the file, as idsweep measure {entry['path']}."
        )
    if "checkpoints" not in entry:
        choice.refuse(["checkpoints"], f"{name} has a single one in the catalog.")
    offered = {one.name: one.step for one in offered_checkpoints({"revision": "main", **entry}).values()}
    if choice.checkpoints:
        chosen = checkpoints.choose(offered, choice.checkpoints, name)
    else:
        chosen = checkpoints.spread(offered, MOST)
    several = "checkpoints" in entry
    return Source(
        name=name,
        place=f"catalog: {name}",
        kind=entry["kind"],
        findings=[
            f"{name} of the catalog, kind {entry['kind']}",
            *([checkpoints.described(offered, chosen)] if several else []),
        ],
        chosen=chosen if several and len(chosen) < len(offered) else None,
        steps=[offered[one] for one in chosen if offered[one] is not None],
        depth=_depth_of(entry),
    )


def _depth_of(entry: Mapping[str, Any]) -> int:
    if "package" in entry:
        return read_architecture(path_in_package(entry["package"], entry["folder"])).layers
    return entry.get("layers") or entry["architecture"]["num_hidden_layers"]


def find_on_hub(hub_id: str, choice: Choice) -> Source:
    """Any other model on the hub; of its revisions those that the user names as checkpoints.

    Raises
    ------
    ValueError
        If the hub cannot be reached, or has no such model.
    """
    choice.refuse(["base", "tokenizer", "array"], f"{hub_id} is read from the hub as it is.")
    if choice.checkpoints == "all":
        raise ValueError(
            f"--checkpoints all: which revisions of {hub_id} are checkpoints is not known. Name them, as step0,step1000."
        )
    named = checkpoints.names(choice.checkpoints or "")
    steps = {one: checkpoints.step_in(one) for one in named}
    config, shape = config_on_hub(hub_id, named[0] if named else "main")
    kind, name = choice.kind or kind_of(config), name_of(Path(hub_id.split("/")[1]))
    entry: dict[str, Any] = {"hub": hub_id, "kind": kind, "layers": shape.layers, "width": shape.width}
    return Source(
        name=name,
        place=f"hub: {hub_id}",
        kind=kind,
        findings=[
            f"{hub_id} on the hub, kind {kind}{'' if choice.kind else ', by its config'}; {shape.layers} blocks",
            *([checkpoints.described(steps, named)] if named else []),
        ],
        entries={name: entry | ({"checkpoints": steps} if named else {})},
        steps=sorted(step for step in steps.values() if step is not None),
        depth=shape.layers,
        positions=shape.positions,
    )


def config_on_hub(hub_id: str, revision: str) -> tuple[dict[str, Any], Architecture]:
    """What config.json of a model on the hub says, and its shape. Raises ValueError if it cannot be had."""
    if not hub.is_offline() and (reason := hub.unreachable()):  # at once; a fetch tries for a minute
        raise ValueError(f"{hub_id}: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "model")
        hub.fetch(hub_id, revision, place, weights=False)
        return read_config(place), read_architecture(place)
