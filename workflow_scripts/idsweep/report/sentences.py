"""What a sweep found, in a few sentences made from its tables."""

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

    Plain texts. They are of the first estimate of the tables: the local one, or the global one of a sweep without local ones. A last
    one says how the other local estimates moved.

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
    contrasts = tables.get("contrasts", pd.DataFrame())
    of_first = _only(contrasts, first) if is_local and len(contrasts) else pd.DataFrame()
    said.append(_extremes(rows, of_first, is_local))
    if len(of_first) and (moved := _moved(of_first, rows)):
        said.append(moved)
        others = [
            f"{estimator_name(str(key[1]))} {counted}"
            for key, of_other in contrasts.groupby(MAIN, sort=False)
            if dict(zip(MAIN, key, strict=True)) != first and (counted := _counts(_ends(of_other)))
        ]
        if others:
            said.append(f"By other estimates: {'; '.join(others)}.")
    return said


def _only(rows: pd.DataFrame, first: Mapping[str, object]) -> pd.DataFrame:
    """Rows of one estimate."""
    return rows[np.logical_and.reduce([rows[name] == value for name, value in first.items()])]


def _measured(rows: pd.DataFrame, is_local: bool) -> str:
    neighbors = rows["n_neighbors"].dropna().unique()
    how = f" ({_range(neighbors)} neighbours)" if len(neighbors) else ""
    scope = "local" if is_local else "global"
    kind = f"The {scope} intrinsic dimension was measured by {estimator_name(rows.iloc[0]['estimator'])}{how}"
    of_model = rows.groupby("model")
    seeds = of_model["group"].first().value_counts()
    runs = f" ({_range(seeds.unique())} seeds each)" if seeds.max() > 1 else ""
    where = [
        f"in {_named(rows['group'].unique(), 'models')}{runs}",
        f"at {_ranged(of_model['checkpoint'].nunique(), 'checkpoint')} and {_ranged(of_model['representation'].nunique(), 'layer')}",
        f"on {_named(rows['dataset'].unique(), 'datasets')}",
        f"from N\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{_range(rows['n_points'].unique())} points each",
    ]
    return f"{kind} {', '.join(where)}."


def _extremes(rows: pd.DataFrame, contrasts: pd.DataFrame, is_local: bool) -> str:
    highest, lowest = (rows.loc[at] for at in (rows["mean"].idxmax(), rows["mean"].idxmin()))
    subject = "Its mean is" if is_local else "It is"
    if len(rows) == 1:
        return f"{subject} {_with_interval(highest)}, in {_place(highest, rows)}."
    said = [
        f"{subject} highest in {_place(highest, rows)}: {_with_interval(highest)}; "
        f"lowest in {_place(lowest, rows)}: {_with_interval(lowest)}."
    ]
    if len(contrasts) and (beside := _beside(highest, contrasts)):
        kinds = (
            ("significantly above", True),
            ("not significantly above", False),
            ("above, by an unknown interval,", None),
        )
        parts = [
            f"{how} {_compared([name for name, found in beside.items() if found is known])}"
            for how, known in kinds
            if known in beside.values()
        ]
        said.append(f"The highest is {', '.join(parts)}, paired over the same tokens.")
    return " ".join(said)


def _beside(cell: pd.Series, contrasts: pd.DataFrame) -> dict[str, bool | None]:
    """The cells that the highest one was compared with -> whether it is significantly above; None where that is not known.

    These are the other layers at its checkpoint, and its layer at the first and the last checkpoint.
    """
    found: dict[str, bool | None] = {}
    of_model = contrasts[(contrasts["model"] == cell["model"]) & (contrasts["dataset"] == cell["dataset"])]
    is_it = (of_model["other_representation"] == cell["representation"]) & (
        of_model["other_checkpoint"] == cell["checkpoint"]
    )
    for row in of_model[is_it & (of_model["contrast"] == "highest_layer")].itertuples():
        found[_layer(row.representation)] = bool(row.upper < 0) if np.isfinite(row.upper) else None
    is_it = (of_model["representation"] == cell["representation"]) & (of_model["checkpoint"] == cell["checkpoint"])
    for kind in ("first", "last"):
        for row in of_model[is_it & (of_model["contrast"] == kind)].itertuples():
            found[f"the {kind} checkpoint"] = bool(row.lower > 0) if np.isfinite(row.lower) else None
    return found


def _ends(contrasts: pd.DataFrame) -> pd.DataFrame:
    """The last checkpoint of each model against its first."""
    since_first = contrasts[contrasts["contrast"] == "first"]
    # Checkpoints stand in the order of training.
    return since_first[since_first["checkpoint"] == since_first.groupby("model")["checkpoint"].transform("last")]


def _moved(contrasts: pd.DataFrame, rows: pd.DataFrame) -> str | None:
    """How the last checkpoints differ from the first; of models of one checkpoint, how layers differ from the next."""
    ends = _ends(contrasts)
    is_over_training = len(ends) > 0
    found = ends if is_over_training else _turned(contrasts[contrasts["contrast"] == "next_layer"])
    if not (counted := _counts(found)):
        return None
    begin = "From the first to the last checkpoint it" if is_over_training else "From one layer to the next it"
    said = f"{begin} {counted}"
    if found["mean_difference"].notna().any():
        most = found.loc[found["mean_difference"].abs().idxmax()]
        place = _place(most, rows, with_step=not is_over_training)
        end = "" if is_over_training else f" (to {_layer(most['other_representation'])})"
        between = f" ({_number(most['lower'])} to {_number(most['upper'])})" if np.isfinite(most["lower"]) else ""
        said += f"; most in {place}{end}: {_number(most['mean_difference'], signed=True)}{between}"
    return f"{said}."


def _turned(found: pd.DataFrame) -> pd.DataFrame:
    """Differences of the next layer from the layer, where the table has those of the layer from the next."""
    return found.assign(mean_difference=-found["mean_difference"], lower=-found["upper"], upper=-found["lower"])


def _counts(found: pd.DataFrame) -> str:
    """How many of the differences rise and fall, significantly where their intervals are known."""
    if found.empty:
        return ""
    parts = [name for name, column in (("model", "model"), ("dataset", "dataset")) if found[column].nunique() > 1]
    is_between = (found["contrast"] == "next_layer").any()
    unit = "pairs of layers" if is_between else "layers"
    number = f"{len(found):,} {unit}" if len(found) > 1 else f"1 {unit}".removesuffix("s")
    number += f" ({' by '.join([*parts, 'layer'])})" if parts else ""
    known = found[np.isfinite(found["lower"]) & np.isfinite(found["upper"])]
    if known.empty:
        rises, falls = (int((sign * found["mean_difference"] > 0).sum()) for sign in (1, -1))
        return f"rises in {rises} and falls in {falls} of {number} (intervals not known)"
    rises, falls = int((known["lower"] > 0).sum()), int((known["upper"] < 0).sum())
    unknown = f" (of {len(found) - len(known)} it is not known)" if len(known) < len(found) else ""
    if not (rises or falls):
        return f"changes significantly in none of {number}{unknown}"
    return f"rises significantly in {rises} and falls in {falls} of {number}{unknown}"


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
    between = "interval not known"
    if np.isfinite(half):
        between = f"95\N{NO-BREAK SPACE}% interval {_number(mean - half)} to {_number(mean + half)}"
    stable = cell["scale_stable"]
    warning = "" if pd.isna(stable) or stable else ", not scale-stable"
    return f"{_number(mean)} ({between}{warning})"


def _number(value: float, *, signed: bool = False) -> str:
    digits = 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return text.replace("-", MINUS)


def _compared(names: Sequence[str]) -> str:
    """Layers, their number where they are many, and checkpoints."""
    layers = [name for name in names if not name.startswith("the ")]
    shown = [f"{len(layers)} other layers"] if len(layers) > NAMED_AT_MOST else layers
    return _listed([*shown, *(name for name in names if name not in layers)])


def _ranged(numbers: pd.Series, noun: str) -> str:
    counts = _range(numbers.unique())
    return f"{counts} {noun}{'' if counts == '1' else 's'}"


def _named(names: Sequence[str], noun: str) -> str:
    return _listed(names) if len(names) <= NAMED_AT_MOST else f"{len(names)} {noun}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _range(numbers: np.ndarray) -> str:
    return "\N{EN DASH}".join(f"{int(one):,}" for one in dict.fromkeys((min(numbers), max(numbers))))
