"""What every figure says of what it shows: estimator and neighbours, number of points, runs."""

from __future__ import annotations

import pandas as pd

EN_DASH = "\N{EN DASH}"


def below(rows: pd.DataFrame, *, panels_differ: bool = True) -> str:
    """A line such as "N = 2,000 points; 3 seeds", of all rows that a figure shows.

    N is left out where it differs, since the panels say it then: see `of_panel`; and where it is not known. panels_differ: False
    where a panel shows rows of different N, whose lowest and highest are then named.
    """
    return "; ".join(filter(None, [points(rows, panels_differ=panels_differ), *_runs(rows)]))


def points(rows: pd.DataFrame, *, panels_differ: bool = False) -> str:
    """The first part of what `below` says: "N = 2,000 points"."""
    sizes = _sizes(rows)
    return f"N = {_range(sizes)} points" if len(sizes) == 1 or (sizes and not panels_differ) else ""


def of_panel(rows: pd.DataFrame, all_rows: pd.DataFrame) -> str:
    """ ", N = 1,200", for the title of a panel; empty where all panels of the figure have the same."""
    if len(_sizes(all_rows)) < 2:
        return ""
    return number(rows)


def number(rows: pd.DataFrame) -> str:
    """ ", N = 1,200", behind what a label says of rows; empty where it is not known."""
    sizes = _sizes(rows)
    return f", N\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{_range(sizes)}" if sizes else ""


def _sizes(rows: pd.DataFrame) -> list[int]:
    """Sorted numbers of points; none where they are not known."""
    return sorted(rows["n_points"].dropna().astype(int).unique()) if "n_points" in rows else []


def _runs(rows: pd.DataFrame) -> list[str]:
    """How many seeds the groups of `rows` have; rows over seeds say it in a column."""
    if "n_seeds" in rows:
        counts = sorted(rows["n_seeds"].dropna().astype(int).unique())
    else:
        counts = sorted(rows.groupby("group")["model"].nunique().unique())
    if not counts:
        return []
    if counts[-1] == 1:
        return ["one seed each" if rows["group"].nunique() > 1 else "one seed"]
    return [f"{_range(counts)} seeds"]


def _range(numbers: list[int]) -> str:
    """The first and the last of sorted numbers, or the one that there is."""
    return EN_DASH.join(f"{number:,}" for number in dict.fromkeys((numbers[0], numbers[-1])))
