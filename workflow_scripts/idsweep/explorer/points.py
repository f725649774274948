"""The local values at single points, in as much room as a page has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from idsweep.explorer.quantized import ABSENT, quantize
from idsweep.explorer.series import places
from idsweep.files.parquet import read_table, to_numpy
from idsweep.files.vectors import each_representation
from idsweep.machine.progress import Progress
from idsweep.neighbors.variants import DATA
from idsweep.tables.collect import local_values

MOST_VALUES = 4_000_000  # 16 bits each: about 10 MB of the page
MOST_CHARACTERS = 2_000_000  # of texts


class Sampled(NamedTuple):
    """What one file of sampled tokens holds: columns of columns.POINTS, and of columns.SEQUENCES (None of a vocabulary)."""

    tokens: pa.Table
    sequences: pa.Table | None


Where = tuple[str, str]  # a model and a dataset


def choose_points(sampled: Sampled, number: int) -> np.ndarray:
    """Rows of the tokens that a page shows, int (P,): those of as many whole sequences as hold about `number` tokens, spread evenly."""
    sequence = to_numpy(sampled.tokens["sequence"])
    sequences, counts = np.unique(sequence, return_counts=True)
    kept = len(sequences)
    if number < len(sequence):
        kept = max(1, int(np.searchsorted(np.cumsum(counts), number, side="right")))
    if sampled.sequences is not None:
        lengths = sum(map(len, sampled.sequences["text"].to_pylist())) / max(1, len(sampled.sequences))
        kept = min(kept, max(1, int(MOST_CHARACTERS / max(lengths, 1))))
    chosen = sequences[np.unique(np.linspace(0, len(sequences) - 1, kept).round().astype(int))]
    return np.flatnonzero(np.isin(sequence, chosen))


def describe_points(
    estimates: Sequence[str],
    kept: Mapping[Where, np.ndarray],
    models: Sequence[Mapping[str, Any]],
    series: Sequence[Mapping[str, Any]],
) -> dict[Where, list[dict[str, Any]]]:
    """The values of every local series of the data at the kept points, for each model and dataset.

    estimates: files of estimates. kept: rows of the tokens of each model and dataset (a point is the number of its row). models, series: as `series` describes them.

    Each series: its place in `series`, `codes` uint16 (representations × checkpoints × points,), and `low`, `high` float64 and `is_log` uint8,
    (representations × checkpoints,), as `Quantized` has them.
    """
    placed = {model["name"]: places(model) for model in models}
    place_of_series = {
        (one["model"], one["dataset"], one["set"], one["estimator"], one["cloud"]): place
        for place, one in enumerate(series)
        if one["scope"] == "local" and one["variant"] == DATA
    }
    found: dict[Where, dict[int, dict[str, Any]]] = {}
    progress = Progress("reading", len(estimates), "files of estimates")
    for done, file in enumerate(estimates, start=1):
        for identity, table in each_representation(file):
            at = identity["model"], identity["dataset"]
            values_of = local_values(table)
            if at not in kept or not values_of:
                continue
            row, column = placed[identity["model"]]
            cell = row[identity["representation"]] * len(column) + column[identity["checkpoint"]]
            for estimator, (points, values) in values_of.items():
                place = place_of_series[(*at, identity["set"], estimator, identity["cloud"])]
                of_model = found.setdefault(at, {})
                if place not in of_model:
                    of_model[place] = empty_codes(len(row) * len(column), len(kept[at]))
                into = of_model[place]
                put_codes(into, cell, kept[at], points, values)
        progress.report(done)
    return {at: [{"series": place} | into for place, into in of_series.items()] for at, of_series in found.items()}


def empty_codes(size: int, number: int) -> dict[str, np.ndarray]:
    """Codes of `size` cells of `number` points each, in which nothing was measured, as `put_codes` fills them."""
    nothing = quantize(np.full(number, np.nan), np.zeros(number, dtype=bool))
    return {
        "codes": np.tile(nothing.codes, size),
        "low": np.zeros(size),
        "high": np.zeros(size),
        "is_log": np.zeros(size, dtype=np.uint8),
    }


def put_codes(into: dict[str, np.ndarray], cell: int, kept: np.ndarray, points: np.ndarray, values: np.ndarray) -> None:
    """Put values, float64 (N,), at their points, int (N,), into one cell of codes of the points `kept`, int (P,), increasing."""
    number = len(kept)
    place = np.minimum(np.searchsorted(kept, points), number - 1)
    inside = kept[place] == points
    of_kept, present = np.full(number, np.nan), np.zeros(number, dtype=bool)
    of_kept[place[inside]], present[place[inside]] = values[inside], True
    coded = quantize(of_kept, present)
    into["codes"][cell * number : (cell + 1) * number] = coded.codes
    into["low"][cell], into["high"][cell], into["is_log"][cell] = coded.low, coded.high, coded.is_log


def leave_out_absent(of_models: Iterable[list[dict[str, Any]]], number: int) -> np.ndarray:
    """Leave out of all series of some models the points that are in no cloud, and tell which stay, bool (number,)."""
    of_models = list(of_models)
    in_clouds = np.zeros(number, dtype=bool)
    for one in (one for of_series in of_models for one in of_series):
        in_clouds |= (one["codes"].reshape(-1, number) != ABSENT).any(axis=0)
    for one in (one for of_series in of_models for one in of_series):
        one["codes"] = one["codes"].reshape(-1, number)[:, in_clouds].ravel()
    return in_clouds


def describe_measures(
    predictions: Iterable[tuple[str, str]], kept: np.ndarray, checkpoints: Sequence[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Measures of the kept tokens at each checkpoint: name -> codes uint16 (checkpoints × points,), low, high, is_log as above.

    predictions: checkpoint, and its file of columns losses.TOKEN_MEASURES. A measure that no checkpoint has is left out.
    """
    measures: dict[str, dict[str, np.ndarray]] = {}
    for checkpoint, file in predictions:
        table = read_table(file)
        points = to_numpy(table["point"])
        for name in table.column_names[1:] if len(table) else ():
            values = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
            into = measures.setdefault(name, empty_codes(len(checkpoints), len(kept)))
            put_codes(into, checkpoints.index(checkpoint), kept, points, values)
    return measures
