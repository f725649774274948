"""A file of vectors: no model, no text and no forward pass."""

from __future__ import annotations

from pathlib import Path

from idsweep.measuring import defaults
from idsweep.measuring.source import Choice, Source, path_of, place_of, safe_name
from idsweep.models import matrices
from idsweep.models.folders import CONFIG
from idsweep.models.static_vectors import WORD_FORMATS, load_vectors, told_format

ENDINGS = (*(f".{ending}" for ending in matrices.FORMATS), ".vec", ".bin", ".txt", ".gz")


def find_vectors(given: str, choice: Choice) -> Source:
    """The vectors in a file, which are read once to see that they can be measured.

    Raises
    ------
    ValueError
        If the file holds a model's weights, or no vectors that can be measured.
    """
    file = Path(given).expanduser()
    if file.suffix == ".safetensors" and (file.parent / CONFIG).is_file() and choice.array is None:
        raise ValueError(f"{given} holds the weights of a model. To measure the model, name its folder: {file.parent}.")
    if file.suffix not in ENDINGS:
        raise ValueError(
            f"{given}: vectors are read from files that end in {', '.join(ENDINGS)}; numpy.save writes the first. To measure a model, name its folder; name texts "
            "after --text."
        )
    choice.refuse(["checkpoints", "base", "tokenizer"], f"{given} holds vectors, which have none.")
    if choice.kind not in (None, "static"):
        raise ValueError(f"--kind {choice.kind}: {given} holds vectors, which are of kind static. Leave it out.")
    format = told_format(file)
    try:
        words, vectors = load_vectors(file, format, choice.array)
    except ValueError as error:
        if ".txt" not in file.suffixes:
            raise
        raise ValueError(f"{error} If it holds texts, name it after --text, behind a model.") from error
    different = len({hash(vector.tobytes()) for vector in vectors})
    if different < defaults.FEWEST:
        raise ValueError(
            f"{given} holds {len(words)} vectors{f', of which {different} differ' if different < len(words) else ''}. A dimension "
            f"needs {defaults.FEWEST} different ones at least."
        )
    name = safe_name(_stem(file.resolve()), "vectors")
    entry = {"path": path_of(given), "kind": "static", "format": format} | (
        {"array": choice.array} if choice.array else {}
    )
    what = "word vectors" if format in WORD_FORMATS else "vectors"
    part = "" if format in WORD_FORMATS else matrices.said_to_hold(file, format, choice.array)
    return Source(
        name=name,
        place=place_of(file) + (f", array {choice.array}" if choice.array else ""),
        kind="static",
        findings=[
            f"{len(words):,} {what} of width {vectors.shape[1]:,}, format {format}{part and ', '}{part}",
            *([f"{different:,} of them differ; equal ones are one point"] if different < len(words) else []),
        ],
        entries={name: entry},
        number=len(words),
    )


def _stem(file: Path) -> str:
    """The name of a file without what says its format: layer.6 of layer.6.npy."""
    while file.suffix in ENDINGS:
        file = file.with_suffix("")
    return file.name
