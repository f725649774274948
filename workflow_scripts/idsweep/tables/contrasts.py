"""Where the local dimension differs: paired differences between checkpoints and between layers, at the tokens that both have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from idsweep.files.columns import IDENTITY
from idsweep.files.parquet import read_table, to_arrow, to_numpy
from idsweep.machine.errors import about
from idsweep.machine.progress import Progress
from idsweep.statistics.clusters import inflation, paired_differences, side_by_side
from idsweep.tables.collect import ESTIMATED
from idsweep.tables.paired import check_points, common_places, read_local

# What a cell is compared with: the same layer at the last and at the first checkpoint; at the same checkpoint the next layer that
# is measured, and the one of the highest mean.
LAST, FIRST, NEXT_LAYER, HIGHEST_LAYER = "last", "first", "next_layer", "highest_layer"
OTHER = ("checkpoint", "step", "representation", "layer")
NUMBERS = ("mean_difference", "standard_error", "lower", "upper")
COUNTS = ("n_pairs", "n_sequences", "n_undefined")
CONTRASTS = pa.schema(
    [
        *ESTIMATED,
        pa.field("contrast", pa.string()),
        *(IDENTITY.field(name).with_name(f"other_{name}") for name in OTHER),
        *(pa.field(name, pa.float64()) for name in NUMBERS),
        *(pa.field(name, pa.int32()) for name in COUNTS),
    ]
)
SERIES = ("model", "dataset", "cloud")
PLACE = (*SERIES, "checkpoint")
CLOUDS_KEPT = 64  # of which it is known in which sequences their points are
VALUES_AT_ONCE = 2**20  # differences that are in memory at a time


class Points(NamedTuple):
    """Points of a cloud and their sequences, int32 (N,), those of a sequence side by side, and where each begins, int64 (G,)."""

    points: np.ndarray
    sequences: np.ndarray
    starts: np.ndarray


class Cell(NamedTuple):
    """One estimator's local values at one representation of a checkpoint, float64 (N,), in the order of `points`."""

    identity: Mapping[str, Any]  # columns of `ESTIMATED`
    points: Points
    values: np.ndarray
    inflation: float  # of its mean's standard error: see `clusters.inflation`


class Contrast(NamedTuple):
    """A cell and the one that it is compared with."""

    kind: str
    cell: Cell
    other: Cell


Cells = dict[tuple[str, str], dict[str, Cell]]  # of a checkpoint: set and estimator -> representation -> cell


def collect_contrasts(files: Sequence[tuple[str, str]], ends: Mapping[str, Sequence[str]]) -> pa.Table:
    """Paired differences between checkpoints and between layers of all models: columns of `CONTRASTS`.

    A cell is what one estimator finds at one representation of a checkpoint. Its difference from another cell is the mean over the
    points that both have and where both are defined. Standard error and 95 % interval take the tokens of a sequence as one cluster
    and know of neighbourhoods that share points, as the standard errors of both means do (`clusters.paired_differences`); where one of
    these is not known they are NaN. `n_undefined` counts the points that both have, but where one is undefined.

    Each file is read once. In memory are the values of one checkpoint, and those of the first and the last one.

    Parameters
    ----------
    files : sequence of (str, str)
        Files of estimates, each with that of the sampled tokens behind it. Those of a model, dataset and cloud come one after
        the other: those of the last checkpoint, then those of the others in the order of training.
    ends : mapping of str to (str, str)
        Models of several checkpoints -> names of the first and of the last one.

    Returns
    -------
    pyarrow.Table
        Of each model, dataset and cloud, checkpoints in the order of training. Interval and standard error are NaN where the pairs
        are of fewer than two sequences, all numbers where there are no pairs.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If a file is damaged, has points that are none of its tokens, or comes in another order.
    """
    tables = [CONTRASTS.empty_table()]
    for _, checkpoints in groupby(_checkpoints(files), key=lambda cells: _identity(cells, SERIES)):
        tables += _of_series(checkpoints, ends)
    return pa.concat_tables(tables)


def _of_series(checkpoints: Iterator[Cells], ends: Mapping[str, Sequence[str]]) -> Iterator[pa.Table]:
    """The contrasts of one model, dataset and cloud, checkpoint by checkpoint."""
    first, last = None, next(checkpoints)
    model, name = _identity(last, ("model", "checkpoint"))
    name_of_first, name_of_last = ends.get(model, (name, name))
    _require_place(model, name, name_of_last, "first")
    names = {name}
    for cells in checkpoints:
        (name,) = _identity(cells, ("checkpoint",))
        if name in names:
            raise ValueError(
                f"The estimates of {model} at {name} are in two places; those of a checkpoint must be in one."
            )
        names.add(name)
        if first is None:
            _require_place(model, name, name_of_first, f"after those of {name_of_last}")
            first = cells
            yield _table(_contrasts(cells, {LAST: last}))
        else:
            yield _table(_contrasts(cells, {LAST: last, FIRST: first}))
    yield _table(_contrasts(last, {} if first is None else {FIRST: first}))


def _require_place(model: str, name: str, needed: str, place: str) -> None:
    if name != needed:
        raise ValueError(f"The estimates of {model} at {name} come {place}; those at {needed} must.")


def _checkpoints(files: Sequence[tuple[str, str]]) -> Iterator[Cells]:
    """The cells of each checkpoint on each dataset and cloud."""
    for _, of_checkpoint in groupby(_cells(files), key=lambda cell: [cell.identity[name] for name in PLACE]):
        cells: Cells = {}
        for cell in of_checkpoint:
            key = cell.identity["set"], cell.identity["estimator"]
            cells.setdefault(key, {})[cell.identity["representation"]] = cell
        yield cells


def _cells(files: Sequence[tuple[str, str]]) -> Iterator[Cell]:
    """Every cell, file after file. Cells of the same points share them, so that `_measure` sees that they are the same."""
    sequences_of = cache(lambda tokens: to_numpy(read_table(tokens)["sequence"]))

    @lru_cache(CLOUDS_KEPT)
    def arranged(tokens: str, packed: bytes) -> tuple[np.ndarray, Points]:
        points, sequences = np.frombuffer(packed, dtype=np.int32), sequences_of(tokens)
        check_points("A representation", points, len(points), len(sequences))
        order, starts = side_by_side(sequences[points])
        return order, Points(points[order], sequences[points[order]], starts)

    progress = Progress("comparing", len(files), "files of estimates")
    for done, (file, tokens) in enumerate(files, start=1):
        for identity, of_estimators in read_local(file):
            for estimator, (points, values, error) in of_estimators.items():
                with about(f"{file}, {identity['representation']}, {estimator}"):
                    order, known = arranged(tokens, points.tobytes())
                times = inflation(np.array([error]), values[order][None], known.starts).item()
                yield Cell(identity | {"estimator": estimator}, known, values[order], times)
        progress.report(done)


def _identity(cells: Cells, names: Sequence[str]) -> list[Any]:
    """What all cells of a checkpoint have in common."""
    cell = next(iter(next(iter(cells.values())).values()))
    return [cell.identity[name] for name in names]


def _contrasts(cells: Cells, references: Mapping[str, Cells]) -> Iterator[Contrast]:
    for key, of_series in cells.items():
        for kind, reference in references.items():
            others = reference.get(key, {})
            yield from (Contrast(kind, cell, others[name]) for name, cell in of_series.items() if name in others)
        layers = [cell for cell in of_series.values() if cell.identity["layer"] is not None]
        layers.sort(key=lambda cell: cell.identity["layer"])
        yield from (Contrast(NEXT_LAYER, cell, other) for cell, other in pairwise(layers))
        if defined := [cell for cell in layers if not np.isnan(cell.values).all()]:
            highest = max(defined, key=lambda cell: np.nanmean(cell.values))
            yield from (Contrast(HIGHEST_LAYER, cell, highest) for cell in layers if cell is not highest)


def _table(contrasts: Iterable[Contrast]) -> pa.Table:
    contrasts = list(contrasts)
    numbers = {name: to_arrow(values, CONTRASTS.field(name).type) for name, values in _measure(contrasts).items()}
    rows = [
        {**cell.identity, "contrast": kind, **{f"other_{name}": other.identity[name] for name in OTHER}}
        for kind, cell, other in contrasts
    ]
    identified = pa.Table.from_pylist(rows, pa.schema([field for field in CONTRASTS if field.name not in numbers]))
    return pa.table({name: identified[name] for name in identified.column_names} | numbers, CONTRASTS)


def _measure(contrasts: Sequence[Contrast]) -> dict[str, np.ndarray]:
    """The columns `NUMBERS` and `COUNTS` of some contrasts; those between the same two sets of points are computed together."""
    found = {name: np.empty(len(contrasts)) for name in (*NUMBERS, *COUNTS)}
    alike: dict[tuple[int, int], list[int]] = {}
    for place, (_, cell, other) in enumerate(contrasts):
        alike.setdefault((id(cell.points), id(other.points)), []).append(place)
    for places in alike.values():
        _, cell, other = contrasts[places[0]]
        of_cell, of_other, starts = _common(cell.points, other.points)
        rows = max(1, VALUES_AT_ONCE // max(1, len(cell.values)))
        for chunk in (places[begin : begin + rows] for begin in range(0, len(places), rows)):
            cells, others = ([contrasts[place][which] for place in chunk] for which in (1, 2))
            means = paired_differences(
                np.stack([one.values[of_cell] for one in cells]),
                np.stack([one.values[of_other] for one in others]),
                starts,
                np.array([one.inflation for one in cells]),
                np.array([one.inflation for one in others]),
            )
            undefined = len(other.values[of_other]) - means.n_values
            for name, values in zip(found, (*means, undefined), strict=True):
                found[name][chunk] = values
    return found


def _common(points: Points, others: Points) -> tuple[np.ndarray | slice, np.ndarray | slice, np.ndarray]:
    """Places, in each, of the points that both have, those of a sequence side by side, and where each sequence begins."""
    if points is others:
        return slice(None), slice(None), points.starts
    of_points, of_others = common_places(points.points, others.points)
    order, starts = side_by_side(points.sequences[of_points])
    return of_points[order], of_others[order], starts
