"""What bands around curves reach over, and how legends name it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from scipy.stats import t

from idsweep.drawing import style

BANDS = ("range", "std", "quartiles", "interval")
OVER_SEEDS = {
    "range": "lowest to highest seed",
    "std": "mean ± standard deviation over seeds",
    "quartiles": "quartiles over seeds",
    "interval": "95 % interval of the mean over seeds",
}
OF_ONE = {
    "std": "mean ± standard deviation of local values",
    "quartiles": "quartiles of local values",
    "interval": "95 % interval of the mean",
}
OF_ESTIMATES = {OF_ONE["interval"]: "95 % interval"}  # where not all that is drawn are means
COLUMNS = {"std": ["standard_deviation"], "quartiles": ["q25", "q75"], "interval": ["standard_error"]}
NORMAL_95 = 1.96


def kind_of(band: bool | str, several: bool, of_one: str) -> str | None:
    """The kind of band to draw, of `BANDS`: the one asked for, none for False; for True the range of several seeds, or
    `of_one` for a single one.
    """
    if isinstance(band, str):
        return band
    return None if not band else "range" if several else of_one


def around(rows: pd.DataFrame, keys: Sequence[str], value: str, band: bool | str, of_one: str) -> pd.DataFrame:
    """`middle`, `low` and `high` of each of `keys`, in the order of `rows`, which holds one row per run for each.

    Where there are several runs, `middle` is their median, or their mean if the band is std or interval (by Student's t); the
    standard deviation has one degree of freedom less than there are runs. A single run's band is made of its columns
    `standard_deviation` (of local values), `q25` and `q75`, or `standard_error` (as of a normal distribution). Column
    `band` names what the band shows, as in legends; None, and low and high NaN, where there is none.
    """
    keys = list(keys)
    runs = rows.groupby(keys, sort=False)
    at, number = runs[value], runs[value].count()
    found = pd.DataFrame({"middle": at.median()}).assign(low=np.nan, high=np.nan, band=None)
    for several in (True, False):
        kind = kind_of(band, several, of_one)
        here = (runs.size() > 1) == several
        if several and kind in ("std", "interval"):
            margin = at.std() if kind == "std" else at.std() / np.sqrt(number) * t.ppf(0.975, number - 1)
            middle, low, high = at.mean(), at.mean() - margin, at.mean() + margin
        elif several and kind is not None:
            share = 0.25 if kind == "quartiles" else 0.0
            middle, low, high = at.median(), at.quantile(share), at.quantile(1 - share)
        elif kind in OF_ONE and set(COLUMNS[kind]) <= set(rows.columns):
            middle, first = at.first(), runs[COLUMNS[kind]].first()
            margin = first.iloc[:, 0] * (NORMAL_95 if kind == "interval" else 1.0)
            low, high = (first["q25"], first["q75"]) if kind == "quartiles" else (middle - margin, middle + margin)
        else:
            continue
        name = (OVER_SEEDS if several else OF_ONE)[kind]
        found = found.assign(
            middle=found["middle"].where(~here, middle),
            low=found["low"].where(~here, low),
            high=found["high"].where(~here, high),
            band=found["band"].where(~here | low.isna(), name),
        )
    return found.reset_index()


def handles(names: Collection[str]) -> list[Patch]:
    """What a legend says of the bands that are drawn; `names` as in the column `band`, None where there is none.

    A band of intervals ends where an interval rests on too little to be known; then the legend says so.
    """
    intervals = (OF_ONE["interval"], *OF_ESTIMATES.values())
    shown = dict.fromkeys(name for name in names if name is not None)
    ends = any(name is None for name in names)
    labels = (f"band: {name}{', where it is known' * (ends and name in intervals)}" for name in shown)
    return [Patch(facecolor=style.GREY, alpha=0.3, linewidth=0, label=label) for label in labels]
