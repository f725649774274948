"""Labels in the place of names, in tables and options of figures alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

COLUMNS = {"model": ("model", "group", "base_model"), "dataset": ("dataset", "drawn_from")}
OPTIONS = {"model": ("models", "static", "base"), "dataset": ("datasets",)}


def label(
    tables: Sequence[pd.DataFrame], options: Mapping[str, Any], labels: Mapping[str, Mapping[str, str]]
) -> tuple[list[pd.DataFrame], dict[str, Any]]:
    """The tables and the options of a figure with labels where names stood.

    labels: of `model` and of `dataset`, name -> label; other names stay.

    >>> table = pd.DataFrame({"model": ["tiny_neox"], "dataset": ["news"]})
    >>> (shown,), chosen = label([table], {"models": ["tiny_neox"]}, {"model": {"tiny_neox": "Tiny"}})
    >>> shown["model"][0], shown["dataset"][0], chosen
    ('Tiny', 'news', {'models': ['Tiny']})
    """
    labelled, chosen = list(tables), dict(options)
    for kind, names in labels.items():
        labelled = [_in_table(table, COLUMNS[kind], names) for table in labelled]
        for option in OPTIONS[kind]:
            if chosen.get(option) is not None:
                given = chosen[option]
                chosen[option] = (
                    names.get(given, given) if isinstance(given, str) else [names.get(name, name) for name in given]
                )
    return labelled, chosen


def _in_table(table: pd.DataFrame, columns: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    found = {column: table[column].map(lambda name: names.get(name, name)) for column in columns if column in table}
    return table.assign(**found)
