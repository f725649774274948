"""What a user wants measured, told from one word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from idsweep.machine.names import nearest_name
from idsweep.measuring.folder import find_gguf, find_in_folder
from idsweep.measuring.hub_model import find_in_catalog, find_on_hub
from idsweep.measuring.source import Choice, Source, catalogued, is_hub_id, read_catalog
from idsweep.measuring.vectors import find_vectors


def find_source(given: str, choice: Choice) -> Source:
    """What `given` names: a folder or file here, a model of the catalog, or one on the hub, in this order.

    Raises
    ------
    ValueError
        If it is none of these, or does not say enough; the message tells what is missing and how to say it.
    """
    if not given.strip():
        raise ValueError("Name what is to be measured: a folder, a file of vectors, or a model; it is empty.")
    place = Path(given).expanduser()
    if place.is_dir():
        source = find_in_folder(given, choice)
        if name := catalogued(given):
            line = f"the folder {given} that is here, and not {name} of the catalog"
            source = replace(source, findings=[line, *source.findings])
        return source
    if place.suffix == ".gguf" and place.is_file():
        return find_gguf(given, choice)
    if place.is_file():
        return find_vectors(given, choice)
    if name := catalogued(given):
        return find_in_catalog(name, choice)
    if is_hub_id(given) and not place.parent.is_dir():
        return find_on_hub(given, choice)
    near = nearest_name(given, list(read_catalog()))
    raise ValueError(
        f"There is no file or folder {given!r}, and no model of that name in the catalog"
        + (f"; did you mean {near!r}?" if near else ".")
        + " Name a folder that holds a model or checkpoints, a file of vectors, a model of the catalog (docs/models.md), or an id on "
        "the hub, as EleutherAI/pythia-70m."
    )
