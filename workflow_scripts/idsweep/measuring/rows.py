"""Estimates as lines of a table on the screen: a line for each layer of each checkpoint on each dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import Any

from idsweep.files.representations import in_order
from idsweep.tables.collect import Estimates

WITHIN = 1.96  # standard errors on both sides of a mean: 95 %
PLACE = ("model", "checkpoint", "dataset", "representation")
LOCAL, GLOBAL = "twonn", ("gride", "participation_ratio")

LEGEND = """\
TwoNN: mean local dimension, with its 95 % interval; null: that of a Gaussian cloud with the same covariance;
stable: whether half and a quarter of the points give the same; lPCA: mean local dimension by local PCA;
GRIDE: global dimension; PR: participation ratio. Docs: reading_results.md"""

# Column -> its name on the screen.
HEADS = {
    "model": "model", "checkpoint": "checkpoint", "dataset": "dataset", "representation": "layer", "points": "points",
    "mean": "TwoNN", "interval": "95 %", "null": "null", "stable": "stable", "lpca": "lPCA", "gride": "GRIDE",
    "participation_ratio": "PR",
}  # fmt: skip
LATER = ("stable", "lpca", "gride", "participation_ratio")  # columns that are known at the end only
NOTE = "note"  # what stands behind a line
NUMBERS = ("points", "mean", "interval", "null", *LATER[1:])

Place = tuple[str, ...]


def lines_of(estimates: Estimates, step: Mapping[str, int | None]) -> dict[Place, dict[str, str]]:
    """Place -> what its line says, by column, of the estimates that are there; missing ones are empty.

    step: of each checkpoint, by which lines are ordered.
    """
    found: dict[Place, dict[str, str]] = {}
    rows = [*estimates.local.to_pylist(), *estimates.global_.to_pylist()]
    for row in rows:
        place = tuple(row[key] for key in PLACE)
        line = found.setdefault(place, {})
        line |= dict(_columns(row))
    order = {name: i for i, name in enumerate(in_order([*{place[-1] for place in found}]))}

    def key(place: Place) -> tuple[Any, ...]:
        model, checkpoint, dataset, representation = place
        at = step.get(checkpoint)
        return model, dataset, at is None, at or 0, checkpoint, order[representation]

    return {place: found[place] for place in sorted(found, key=key)}


def _columns(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What one estimate says, and in which columns."""
    if "value" in row:
        if row["variant"] == "data" and row["estimator"] in GLOBAL:
            yield row["estimator"], _number(row["value"])
        return
    if row["estimator"] == LOCAL and row["variant"] == "gaussian":
        yield "null", _number(row["mean"])
    if row["variant"] != "data":
        return
    if row["estimator"] == LOCAL:
        yield "points", f"{row['n_points']:,}"
        yield "mean", _number(row["mean"])
        yield "interval", "" if isnan(row["standard_error"]) else f"± {_number(WITHIN * row['standard_error'])}"
        if row["n_undefined"]:  # the mean is over the others alone
            yield NOTE, f"TwoNN undefined at {row['n_undefined']:,} points"
        yield "stable", {True: "yes", False: "no", None: ""}[row["scale_stable"]]
    elif row["estimator"] == "lpca":
        yield "lpca", _number(row["mean"])


def _number(value: float) -> str:
    return "–" if isnan(value) else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


class Table:
    """Lines with columns as wide as what is expected to stand in them.

    whole: with the columns that are known at the end only.
    """

    def __init__(self, places: Iterable[Place], whole: bool) -> None:
        places = [tuple(map(_shown, place)) for place in places]
        self._differing = [
            key for i, key in enumerate(PLACE) if key == "representation" or len({place[i] for place in places}) > 1
        ]
        columns = [*self._differing, "points", "mean", "interval", "null", *(LATER if whole else ())]
        widths = {key: max((len(place[i]) for place in places), default=0) for i, key in enumerate(PLACE)}
        self._columns = {key: max(len(HEADS[key]), widths.get(key, 7)) for key in columns}

    @property
    def head(self) -> str:
        """The names of the columns."""
        return self._joined(HEADS)

    def line(self, place: Place, columns: Mapping[str, str]) -> str:
        """One line."""
        return self._joined(dict(zip(PLACE, map(_shown, place), strict=True)) | dict(columns))

    def _joined(self, said: Mapping[str, str]) -> str:
        cells = (
            f"{said.get(key, ''):>{width}}" if key in NUMBERS else f"{said.get(key, ''):<{width}}"
            for key, width in self._columns.items()
        )
        return "  ".join([*cells, said.get(NOTE, "")]).rstrip()


def _shown(name: str) -> str:
    return name.removeprefix("layer_").replace("_", " ") if name.startswith("layer_") else name


def shortened(lines: Sequence[str], most: int, file: str) -> list[str]:
    """Not more lines than fit on a screen; the file that holds the others."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most // 2], f"… {len(lines) - most:,} lines more: {file}", *lines[-(most - most // 2) :]]
