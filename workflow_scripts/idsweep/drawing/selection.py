"""Choose the rows of a tidy table that a figure shows, and refuse tables that would mislead it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from idsweep.drawing import bands
from idsweep.neighbors.variants import DATA

IDENTITY = ["model", "checkpoint", "dataset", "layer"]
ACROSS_SEEDS = ["group", *IDENTITY[1:]]
LISTED = 50


def rows_of(
    table: pd.DataFrame,
    name: str,
    estimator: str,
    *,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    variant: str | None = DATA,
    clouds: Sequence[str] | None = None,
    matrices: bool = False,
) -> pd.DataFrame:
    """The rows of one estimator at single layers, of the models and datasets asked for (None: all), in that order.

    matrices: where no layer was measured, as of vectors, take the rows of embedding matrices, whose names stand in place of layers.
    `name` is what messages call the table. A model is asked for by its `group`, which takes all its seeds, or by
    the name of one run. `variant` is what was measured, by default the data themselves; None takes all of them.
    `clouds` are those of the sweep's `points:`; None takes the first that the estimator has. Raises ValueError if something
    asked for is not in the table, or if a run lacks a checkpoint × dataset × layer that the other rows of its group imply.
    """
    _require_columns(table, name, [*IDENTITY, "group", "estimator", "variant", "cloud"])
    _require_values(table, name, "estimator", [estimator])
    named = matrices and not table["layer"].notna().any()
    rows = _placed(table[table["estimator"] == estimator], named)
    rows = rows[rows["cloud"].isin(rows["cloud"].iloc[:1] if clouds is None else clouds)]
    if variant is not None:
        rows = rows[rows["variant"] == variant]
    if models is not None:
        runs = set(rows["model"])
        require_asked(rows["group"], [model for model in models if model not in runs], "model", f"the {name} table")
        rows = _in_order(rows, ["group", "model"], models)
    if datasets is not None:
        _require_values(rows, name, "dataset", datasets)
        rows = _in_order(rows, ["dataset"], datasets)
    _require_complete(rows, name)
    return rows


def axis_label(layers: Iterable[int | str]) -> str:
    """What an axis of layers shows: their numbers, or names of embedding matrices."""
    return "Representation" if any(isinstance(layer, str) for layer in layers) else "Layer"


def _placed(rows: pd.DataFrame, named: bool) -> pd.DataFrame:
    if named:
        return rows.assign(layer=rows["representation"].str.replace("_", " "))
    return rows[rows["layer"].notna()].astype({"layer": int})


def of_representations(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    representations: Sequence[str],
    *,
    models: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Local means and global values of the data at `representations`, which may be embedding matrices, as one table.

    `scope` says which of the two tables a row is of, `value` is the mean or the global value. Of all estimators and
    checkpoints, of the first cloud that each estimator has in a table, and of the models asked for (None: all; by `group` or
    by the name of one run); in the order of `representations`, then of `models`, the global values first. Raises ValueError
    if something asked for is in neither table, or if a table holds two rows of the same estimate.
    """
    name = "local and global"
    needed = ["model", "group", "checkpoint", "step", "dataset", "representation", "estimator", "variant", "cloud"]
    parts = []
    for scope, table in {"global": global_, "local": local.rename(columns={"mean": "value"})}.items():
        _require_columns(table, scope, needed)
        rows = table[table["variant"] == DATA]
        require_one_row_each(rows, scope, [column for column in needed if column not in ("group", "step")])
        parts.append(rows.assign(scope=scope))
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[rows["cloud"] == rows.groupby(["scope", "estimator"])["cloud"].transform("first")]
    _require_values(rows, name, "representation", representations)
    rows = _in_order(rows, ["representation"], representations)
    if models is not None:
        runs = set(rows["model"])
        groups = [model for model in models if model not in runs]
        require_asked(rows["group"], groups, "model", f"the {name} tables at {_joined(representations)}")
        rows = _in_order(rows, ["group", "model"], models)
    return rows


def last_of_both(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    *,
    estimators: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Local means and global values at each model's last checkpoint, of all variants, `over_seeds`, as one table; of
    embedding matrices where no layer was measured.

    `scope` says which of the two tables a row is of, `value` is the mean or the global value. Sorted by
    estimator, in the order asked for (None: all, in the order of the tables), its global values first.

    Raises ValueError as `rows_of` does, or if a table holds two rows of the same estimate.
    """
    tables = {"global": global_, "local": local.rename(columns={"mean": "value"})}
    names = list(dict.fromkeys(name for table in tables.values() for name in table["estimator"]))
    if estimators is not None:
        require_asked(names, estimators, "estimator", "the local or global table")
    parts = []
    for estimator in names if estimators is None else estimators:
        for scope, table in tables.items():
            if not (table["estimator"] == estimator).any():
                continue
            rows = rows_of(table, scope, estimator, models=models, datasets=datasets, variant=None, matrices=True)
            require_one_row_each(rows, scope, [*IDENTITY, "variant"])
            parts.append(over_seeds(at_last_checkpoint(rows), "value", [*ACROSS_SEEDS, "variant"]).assign(scope=scope))
    return pd.concat(parts) if parts else tables["global"].assign(scope="global")


def of_layers(rows: pd.DataFrame, layers: Sequence[int] | None) -> pd.DataFrame:
    """The rows of the layers asked for, counted from each group's last one where negative; by default that one.

    Raises ValueError if no group has a layer that is asked for.
    """
    last = rows.groupby("group")["layer"].transform("max")
    if layers is None:
        return rows[rows["layer"] == last]
    parts = [rows[rows["layer"] == (layer if layer >= 0 else last + 1 + layer)] for layer in layers]
    for layer, part in zip(layers, parts, strict=True):
        if part.empty:
            require_asked(rows["layer"], [layer], "layer", "the table")
    return pd.concat(parts).drop_duplicates()


def at_last_checkpoint(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each group's last checkpoint, as `by_step` orders them."""
    last = {group: by_step(of_group)["checkpoint"].iloc[-1] for group, of_group in rows.groupby("group")}
    return rows[rows["checkpoint"] == rows["group"].map(last)]


def of_checkpoints(rows: pd.DataFrame, checkpoints: str | Sequence[str | int], where: str) -> pd.DataFrame:
    """The rows of checkpoints, "all" or a list of steps and of names of checkpoints; `where` is what messages call `rows`.

    Raises ValueError if one of them is not in `rows`, or for another text than "all".
    """
    if checkpoints == "all":
        return rows
    if isinstance(checkpoints, str):
        raise ValueError(
            f"checkpoints = {checkpoints!r} is not known; it must be all, or a list of steps or of names of checkpoints."
        )
    numbers = [step for step in checkpoints if not isinstance(step, str)]
    require_asked(rows["step"].dropna().astype(int).tolist(), numbers, "step", where)
    names = [name for name in checkpoints if isinstance(name, str)]
    require_asked(rows["checkpoint"], names, "checkpoint", where)
    return rows[rows["step"].isin(numbers) | rows["checkpoint"].isin(names)]


def over_seeds(
    rows: pd.DataFrame, value: str, keys: Sequence[str] = ACROSS_SEEDS, band: bool | str = True
) -> pd.DataFrame:
    """One row for each of `keys`, in the order of `rows`, which holds one row per run for each.

    Columns: `value`, the middle of the column named by `value` over the seeds, `low`, `high` and `band` as `bands.around` gives
    them, for a single seed by default the 95 % interval; `n_seeds`;
    `n_undefined`, the sum; `scale`, the median; `scale_stable`, whether it is so in each seed (None if not known);
    every other column as in the first seed. Undefined (NaN) values are left out, and NaN if there are no others.
    """
    keys = list(keys)
    rows = rows.assign(scale_stable=rows["scale_stable"].map({True: 1.0, False: 0.0}))
    runs = rows.groupby(keys, sort=False)
    single = rows.drop_duplicates(keys).set_index(keys).drop(columns=["model", "seed"], errors="ignore")
    drawn = bands.around(rows, keys, value, band, "interval").set_index(keys)
    stable = runs["scale_stable"].min().map({1.0: True, 0.0: False}).astype(object)
    combined = single.assign(
        value=drawn["middle"],
        low=drawn["low"],
        high=drawn["high"],
        band=drawn["band"],
        n_seeds=runs.size(),
        n_undefined=runs["n_undefined"].sum(),
        scale=runs["scale"].median(),
        scale_stable=stable.where(stable.notna(), None),
    )
    return combined.reset_index()


def n_seeds(rows: pd.DataFrame) -> int:
    """The largest number of runs that a group of `rows` has."""
    return int(rows.groupby("group")["model"].nunique().max())


def require_one_row_each(rows: pd.DataFrame, name: str, keys: Sequence[str]) -> None:
    """Raise ValueError if two rows share `keys`, naming the columns in which they differ."""
    repeated = rows[rows.duplicated(keys, keep=False)]
    if repeated.empty:
        return
    first = repeated.iloc[0]
    differing = [c for c in ("set", "seed", "split") if c in repeated and repeated[c].nunique(dropna=False) > 1]
    raise ValueError(
        f"The {name} table holds more than one row for "
        f"{', '.join(f'{key} {first[key]!r}' for key in keys)}"
        f"{f', which differ in {_joined(differing)}' if differing else ''}: "
        "leave one of them in the table, or give them different model or dataset names."
    )


def require_asked(values: Iterable[str], requests: Iterable[str], what: str, where: str) -> None:
    """Raise ValueError if one of `requests` is not in `values`, naming both."""
    values = list(dict.fromkeys(values))
    missing = [value for value in requests if value not in values]
    if missing:
        rest = len(values) - LISTED
        raise ValueError(
            f"{what} {_joined(map(repr, missing))} was asked for, but {where} holds "
            f"{_joined(map(repr, values[:LISTED])) or 'none'}{f' and {rest} more' if rest > 0 else ''}."
        )


def by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """The checkpoints of one group, one row each (`checkpoint`, `step`), in order of training.

    Checkpoints without a step come first, as in `models.offered_checkpoints`, in the order of the table.
    """
    checkpoints = rows[["checkpoint", "step"]].drop_duplicates("checkpoint")
    return checkpoints.sort_values("step", kind="stable", na_position="first")


def _in_order(rows: pd.DataFrame, columns: Sequence[str], choices: Sequence[str]) -> pd.DataFrame:
    """The rows that have one of `choices` in one of `columns`, in the order of the choices."""
    order = {value: place for place, value in enumerate(choices)}
    places = rows[columns].apply(lambda values: values.map(order)).min(axis=1).to_numpy()
    rows, places = rows[~np.isnan(places)], places[~np.isnan(places)]
    return rows.iloc[np.argsort(places, kind="stable")]


def _require_columns(table: pd.DataFrame, name: str, needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in table]
    if missing:
        raise ValueError(f"The {name} table lacks the columns {missing}; it has {list(table.columns)}.")


def _require_values(table: pd.DataFrame, name: str, column: str, requests: Sequence[str]) -> None:
    require_asked(table[column], requests, column, f"the {name} table")


def _require_complete(rows: pd.DataFrame, name: str) -> None:
    datasets = rows["dataset"].unique()
    for model, of_model in rows.groupby("model", sort=False):
        datasets_of_model = of_model["dataset"].unique()
        lacking = [dataset for dataset in datasets if dataset not in datasets_of_model]
        if lacking:
            raise ValueError(
                f"The {name} table has no estimates of model {model!r} on dataset {_joined(map(repr, lacking))}; "
                f"it has {_joined(map(repr, datasets_of_model))}. Measure them, or choose with the options models and datasets."
            )
    for group, of_group in rows.groupby("group", sort=False):
        there = set(of_group[IDENTITY].drop_duplicates().itertuples(index=False, name=None))
        for key in product(*(of_group[column].unique() for column in IDENTITY)):
            if key not in there:
                model, checkpoint, dataset, layer = key
                raise ValueError(
                    f"The {name} table has no estimate of model {model!r}, checkpoint {checkpoint!r}, dataset "
                    f"{dataset!r}, layer {layer}, though it has other rows of {group!r} with each of these. "
                    "Measure it first, or choose runs that have it with the option models."
                )


def _joined(values: Iterable[str]) -> str:
    return ", ".join(values)
