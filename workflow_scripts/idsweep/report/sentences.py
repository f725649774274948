"""What a sweep found, in three sentences made from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from idsweep.drawing.estimator_names import estimator_name
from idsweep.files.representations import layer_of
from idsweep.neighbors.variants import DATA

NORMAL = 1.96  # quantile of the 95 % interval of a mean
NAMED_AT_MOST = 4
MINUS = "\N{MINUS SIGN}"
MAIN = ["set", "estimator", "cloud"]


def describe_results(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What was measured; where the dimension is highest and lowest, and whether significantly; what moved over training.

    Plain texts. They are of the first estimate of the tables: the local one, or the global one of a sweep without local ones.

    tables: `local` and `global`, and `contrasts` where it is there.
    """
    local = tables["local"]
    local = local[local["variant"] == DATA]
    is_local = len(local) > 0
    rows = local if is_local else tables["global"].rename(columns={"value": "mean"})
    rows = rows[rows["variant"] == DATA]
    if rows.empty:
        return ["Nothing was measured."]
    first = rows.iloc[0][MAIN].to_dict()
    rows = _only(rows, first)
    said = [_measured(rows, is_local)]
    rows = rows[np.isfinite(rows["mean"])]
    if rows.empty:
        return [*said, "No estimate is defined."]
    contrasts = tables.get("contrasts")
    contrasts = _only(contrasts, first) if is_local and contrasts is not None else pd.DataFrame()
    contrasts = contrasts if len(contrasts) else None
    said.append(_extremes(rows, contrasts))
    if contrasts is not None and (moved := _moved(rows, contrasts)):
        said.append(moved)
    return said


def _only(rows: pd.DataFrame, first: Mapping[str, object]) -> pd.DataFrame:
    """Rows of one estimate."""
    return rows[np.logical_and.reduce([rows[name] == value for name, value in first.items()])]


def _measured(rows: pd.DataFrame, is_local: bool) -> str:
    neighbors = rows["n_neighbors"].dropna().unique()
    how = f" ({_range(neighbors)} neighbours)" if len(neighbors) else ""
    scope = "local" if is_local else "global"
    kind = f"The {scope} intrinsic dimension was measured by {estimator_name(rows.iloc[0]['estimator'])}{how}"
    checkpoints = len(rows[["model", "checkpoint"]].drop_duplicates())
    layers = _range(rows.groupby("model")["representation"].nunique().unique())
    where = [
        f"in {_named(rows['group'].unique(), 'models')}",
        f"at {_counted(checkpoints, 'checkpoint')} and {layers} {'layer' if layers == '1' else 'layers'}",
        f"on {_named(rows['dataset'].unique(), 'datasets')}",
        f"from N\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{_range(rows['n_points'].unique())} points each",
    ]
    return f"{kind} {', '.join(where)}."


def _extremes(rows: pd.DataFrame, contrasts: pd.DataFrame | None) -> str:
    highest, lowest = (rows.loc[at] for at in (rows["mean"].idxmax(), rows["mean"].idxmin()))
    subject = f"Its mean is highest in {_place(highest, rows)}: {_with_interval(highest)}"
    if len(rows) == 1:
        return subject.replace("Its mean is highest in", "It is, in") + "."
    said = [f"{subject}; lowest in {_place(lowest, rows)}: {_with_interval(lowest)}."]
    if contrasts is not None and (beside := _beside(highest, contrasts)):
        parts = [
            f"{how} {_listed(names)}"
            for how, is_above in (("significantly above", True), ("not significantly above", False))
            if (names := [name for name, found in beside.items() if found is is_above])
        ]
        said.append(f"The highest is {', '.join(parts)}, paired over the same tokens.")
    return " ".join(said)


def _beside(cell: pd.Series, contrasts: pd.DataFrame) -> dict[str, bool]:
    """The cells that a cell was compared with, but itself -> whether it is significantly above."""
    found = {}
    of_model = contrasts[(contrasts["model"] == cell["model"]) & (contrasts["dataset"] == cell["dataset"])]
    here = (of_model["representation"] == cell["representation"]) & (of_model["checkpoint"] == cell["checkpoint"])
    there = (of_model["other_representation"] == cell["representation"]) & (
        of_model["other_checkpoint"] == cell["checkpoint"]
    )
    is_next = of_model["contrast"] == "next_layer"
    for row in of_model[there & is_next].itertuples():
        found[_layer(row.representation)] = bool(row.upper < 0)
    for row in of_model[here & is_next].itertuples():
        found[_layer(row.other_representation)] = bool(row.lower > 0)
    for kind in ("first", "last"):
        for row in of_model[here & (of_model["contrast"] == kind)].itertuples():
            found[f"the {kind} checkpoint"] = bool(row.lower > 0)
    return found


def _moved(rows: pd.DataFrame, contrasts: pd.DataFrame) -> str | None:
    """How the last checkpoints differ from the first; of models of one checkpoint, how layers differ from the next."""
    since_first = contrasts[contrasts["contrast"] == "first"]
    last = since_first.groupby("model")["step"].transform("max")
    since_first = since_first[since_first["step"] == last]
    if len(since_first):
        return _changes(since_first, rows, "From the first to the last checkpoint", sign=1, unit="layer")
    between = contrasts[contrasts["contrast"] == "next_layer"]
    return _changes(between, rows, "From one layer to the next", sign=-1, unit="step") if len(between) else None


def _changes(found: pd.DataFrame, rows: pd.DataFrame, begin: str, *, sign: int, unit: str) -> str:
    """sign: 1 where the difference is that of the later cell less the earlier one."""
    later = found["mean_difference"] * sign
    lower, upper = (found["lower"], found["upper"]) if sign > 0 else (-found["upper"], -found["lower"])
    rises, falls = int((lower > 0).sum()), int((upper < 0).sum())
    number = _counted(len(found), unit)
    said = f"{begin} it changes significantly in none of {number}"
    if rises or falls:
        said = f"{begin} it rises significantly in {rises} and falls in {falls} of {number}"
    if later.notna().sum() == 0:
        return f"{said}."
    at = later.abs().idxmax()
    most = found.loc[at]
    place = _place(most, rows, with_step=sign < 0)
    end = f" (to {_layer(most['other_representation'])})" if sign < 0 else ""
    return f"{said}; most in {place}{end}: {_number(later[at], signed=True)} ({_number(lower[at])} to {_number(upper[at])})."


def _place(cell: pd.Series, rows: pd.DataFrame, *, with_step: bool = True) -> str:
    of_model = rows[rows["model"] == cell["model"]]
    parts = [str(cell["model"]), _layer(cell["representation"])]
    if with_step and of_model["checkpoint"].nunique() > 1:
        parts.append(f"checkpoint {cell['checkpoint']}" if pd.isna(cell["step"]) else f"step {int(cell['step']):,}")
    if rows["dataset"].nunique() > 1:
        parts.append(f"on {cell['dataset']}")
    return ", ".join(parts)


def _layer(representation: str) -> str:
    layer = layer_of(representation)
    return representation.replace("_", " ") if layer is None else f"layer {layer}"


def _with_interval(cell: pd.Series) -> str:
    mean, half = cell["mean"], NORMAL * cell["standard_error"]
    if not np.isfinite(half):
        return _number(mean)
    return f"{_number(mean)} (95\N{NO-BREAK SPACE}% interval {_number(mean - half)} to {_number(mean + half)})"


def _number(value: float, *, signed: bool = False) -> str:
    digits = 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return text.replace("-", MINUS)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _named(names: Sequence[str], noun: str) -> str:
    return _listed(names) if len(names) <= NAMED_AT_MOST else f"{len(names)} {noun}"


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _range(numbers: np.ndarray) -> str:
    return "\N{EN DASH}".join(f"{int(one):,}" for one in dict.fromkeys((min(numbers), max(numbers))))
