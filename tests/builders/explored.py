"""A small sweep's tables, local estimates and tokens, and the explorer page of them."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from idsweep.data.pieces import BYTES
from idsweep.explorer.explorer import Pass, write_explorer
from idsweep.explorer.maps import MapFile
from idsweep.explorer.points import MOST_VALUES, Sampled
from idsweep.files.columns import ESTIMATES, IDENTITY, POINTS, SEQUENCES
from idsweep.files.parquet import write_table
from idsweep.files.vectors import EmbeddingsWriter, write_estimates
from idsweep.neighbors.project_file import project_file
from idsweep.tables.collect import collect_estimates

HOSTILE = "</script><script>alert(1)</script>\u202e\"'&\x00"
UNDEFINED_POINT = 2
PACK = re.compile(r'<script type="text/plain" id="pack-([^"]+)">([^<]*)</script>')  # its name, and what it holds


class Explored(NamedTuple):
    """A page, and the local values that it was made of: (model, checkpoint, layer) -> float64 (points,), NaN where undefined."""

    page: Path
    values: dict[tuple[str, str, int], np.ndarray]
    sequence: np.ndarray
    vectors: dict[tuple[str, str, int], np.ndarray]  # of the same cells, where the page has a map: float32 (points, D)


def unpack(text: str) -> Any:
    """What `pack` packed; arrays are flat."""
    whole = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(whole[:4], "little")
    header = json.loads(whole[4 : 4 + length])

    def restore(value: Any) -> Any:
        if isinstance(value, list):
            return [restore(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "array" in value:
            described = header["arrays"][value["array"]]
            return np.frombuffer(whole, described["type"], described["length"], 4 + length + described["at"])
        return {key: restore(one) for key, one in value.items()}

    return restore(header["value"])


def byte_level(word: str) -> str:
    """A word as byte-level BPE writes it."""
    character_of = {byte: character for character, byte in BYTES.items()}
    return "".join(character_of[bytes([byte])] for byte in f" {word}".encode())


def sampled(n_sequences: int = 8, per_sequence: int = 6, word: str = "word") -> Sampled:
    """Every token of texts that are all alike: word0 word1 …"""
    number = n_sequences * per_sequence
    sequence = np.repeat(np.arange(n_sequences), per_sequence)
    position = np.tile(np.arange(per_sequence), n_sequences)
    tokens = pa.table(
        {
            "point": pa.array(np.arange(number), pa.int32()),
            "sequence": pa.array(sequence, pa.int32()),
            "position": pa.array(position, pa.int32()),
            "token_id": pa.array(position, pa.int32()),
            "token": [byte_level(f"{word}{place}") for place in position],
            "special": [False] * number,
            "token_class": pa.array([None] * number, pa.string()),
            "count": pa.array(position + 1, pa.int64()),
            "drawn": pa.array(np.arange(number), pa.int32()),
        },
        schema=POINTS,
    )
    text = " ".join(f"{word}{place}" for place in range(per_sequence))
    sequences = pa.table(
        {
            "sequence": pa.array(range(n_sequences), pa.int32()),
            "text": [text] * n_sequences,
            "input_ids": pa.array([list(range(per_sequence))] * n_sequences, pa.list_(pa.int32())),
        },
        schema=SEQUENCES,
    )
    return Sampled(tokens, sequences)


def write_explored(
    folder: Path,
    *,
    title: str = "A sweep",
    models: Sequence[str] = ("model",),
    group: str | None = None,
    checkpoints: Mapping[str, int] | None = None,
    layers: int = 2,
    dataset: str = "news",
    label: str | None = None,
    word: str = "word",
    n_sequences: int = 8,
    without_values: Sequence[tuple[str, int]] = (),
    has_losses: bool = False,
    has_map: bool = False,
    vectors_of: Callable[[tuple[int, int], int], np.ndarray] | None = None,
    most_values: int = MOST_VALUES,
) -> Explored:
    """Write files of a sweep whose local values are random (Gamma, shape 4), and its page, explorer.html.

    models: seeds of one group where `group` is given. Point `UNDEFINED_POINT` has no value anywhere; the cells (checkpoint, layer) of
    `without_values` have none at all. vectors_of: shape (points, 5) and layer -> the vectors behind the map.
    """
    checkpoints = checkpoints or {"step0": 0, "step10": 10}
    folder.mkdir(exist_ok=True)
    one, generator = sampled(n_sequences, word=word), np.random.default_rng(1)
    number = len(one.tokens)
    write_table(folder / "tokens.parquet", one.tokens, {})
    write_table(folder / "sequences.parquet", one.sequences, {})
    values, vectors, files, maps = {}, {}, [], []
    for seed, model in enumerate(models):
        for checkpoint, step in checkpoints.items():
            parts = {}
            for layer in range(layers):
                of_cell = values[model, checkpoint, layer] = generator.gamma(4.0, 3.0, number) + layer
                of_cell[UNDEFINED_POINT] = np.nan
                if (checkpoint, layer) in without_values:
                    of_cell[:] = np.nan
                parts[f"layer_{layer}"] = estimates_of(of_cell)
            if has_map:
                of_pass = {layer: (vectors_of or _elongated)((number, 5), layer) for layer in range(layers)}
                vectors |= {(model, checkpoint, layer): cloud for layer, cloud in of_pass.items()}
                maps.append(MapFile(model, checkpoint, dataset, _write_map(folder / f"map_{len(maps)}", of_pass)))
            identity = dict.fromkeys(IDENTITY.names) | {
                "set": "standard",
                "model": model,
                "group": group or model,
                "seed": seed if group else None,
                "checkpoint": checkpoint,
                "step": step,
                "dataset": dataset,
                "cloud": "points",
                "extrinsic_dimension": 16,
            }
            identities = {name: identity | {"representation": name, "layer": int(name[6:])} for name in parts}
            files.append(str(folder / f"estimates_{len(files)}.parquet"))
            write_estimates(files[-1], parts, identities, {})
    tables = collect_estimates(files)
    frames = {"local": tables.local, "global": tables.global_}
    if has_losses:
        rows = [(model, dataset, step, 5 - step / 10) for model in models for step in checkpoints.values()]
        names = ("model", "dataset", "step", "loss")
        frames["losses"] = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    for name, frame in frames.items():
        write_table(folder / f"{name}.parquet", frame, {})
    write_explorer(
        folder / "explorer.html",
        title=title,
        tables={name: str(folder / f"{name}.parquet") for name in frames},
        estimates=files,
        passes=[Pass(tuple(models), dataset, str(folder / "tokens.parquet"), str(folder / "sequences.parquet"), ())],
        maps=maps,
        labels={"dataset": {dataset: label}} if label else None,
        most_values=most_values,
    )
    return Explored(folder / "explorer.html", values, np.asarray(one.tokens["sequence"]), vectors)


def _elongated(shape: tuple[int, int], layer: int) -> np.ndarray:
    """Normal vectors, float32, that reach farthest along their first coordinates."""
    return (np.random.default_rng(layer).standard_normal(shape) * [5, 3, 1, 1, 1]).astype(np.float32)


def _write_map(path: Path, vectors: Mapping[int, np.ndarray]) -> str:
    """Embeddings and their map, which lies at the path that is returned."""
    embeddings, output = path.with_suffix(".embeddings.parquet"), path.with_suffix(".parquet")
    with EmbeddingsWriter(embeddings, dict) as file:
        file.write(np.arange(len(vectors[0])), vectors)
    settings = {"representations": [f"layer_{layer}" for layer in vectors], "combinations": {}}
    project_file(embeddings, output, settings, dict)
    return str(output)


def estimates_of(values: np.ndarray) -> pa.Table:
    """Local values of the data, float64 (N,), by twonn, and their mean."""
    number = len(values)
    defined = values[~np.isnan(values)]
    return pa.table(
        {
            "estimator": ["twonn"] * (number + 1),
            "scope": ["local"] * number + ["mean"],
            "variant": ["data"] * (number + 1),
            "point": pa.array([*range(number), None], pa.int32()),
            "value": [*values, defined.mean() if len(defined) else np.nan],
            "standard_error": [np.nan] * number + [0.5 if len(defined) else np.nan],
            "n_points": pa.array([1] * number + [number], pa.int32()),
            "n_undefined": pa.array([0] * number + [number - len(defined)], pa.int32()),
            "n_neighbors": pa.array([16] * (number + 1), pa.int32()),
            "scale": [1.0] * (number + 1),
            "scale_stable": [True] * (number + 1),
        },
        schema=ESTIMATES,
    )
