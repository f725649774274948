"""Curves of a finished sweep for trackers of experiments, one run for each model, values at its training steps; or its points.

Names of curves:
local_dimension/{dataset}/{representation}/mean, and …/standard_error     of tables/local.parquet
global_dimension/{dataset}/{representation}/value, and …/standard_error   of tables/global.parquet
{metric}                                                                  of tables/training.parquet

Single layers have two digits (`layer_06`). Split, set, estimator and cloud stand between dataset and representation where a
table has several of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.columns import IDENTITY
from idsweep.files.parquet import read_table, require_columns
from idsweep.files.representations import layer_of
from idsweep.neighbors.variants import DATA
from idsweep.tables.atlas import write_points

RESULTS = Path("results")
TABLES = {"local": ("local_dimension", "mean"), "global": ("global_dimension", "value")}
ATLAS = "embedding-atlas"
FURTHER = ("split", "set", "estimator", "cloud")  # parts of a name where there are several
METRIC_COLUMNS = ("model", "group", "seed", "step", "metric", "value")


class Run(NamedTuple):
    """The curves of one model."""

    model: str
    group: str
    seed: int | None
    curves: dict[str, dict[int, float]]  # name -> step -> value, all finite, steps increasing

    def by_step(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Each step, in their order, with all values that there are."""
        for step in sorted({step for curve in self.curves.values() for step in curve}):
            yield step, {name: curve[step] for name, curve in self.curves.items() if step in curve}


def export(sweep: str | Path, tracker: str, folder: str | Path | None = None, **cell: str | None) -> str:
    """Write the curves of a finished sweep for a tracker, or the points of one of its cells for Embedding Atlas.

    Parameters
    ----------
    sweep : path
        The folder of a sweep's results, or its name below `results/`.
    tracker : str
        One of `TRACKERS`, or `ATLAS`.
    folder : path, optional
        Where the runs are written. Without, `trackers/` in the sweep's results; for trackio, where trackio keeps its own; for Embedding
        Atlas, `atlas/`.
    **cell : str
        For Embedding Atlas alone: model, checkpoint, dataset, cloud and layer, as of `atlas.write_points`.

    Returns
    -------
    str
        What was written, and the command that shows it.

    Raises
    ------
    FileNotFoundError
        If the sweep or its tables are not there, or hidden states of the points.
    ModuleNotFoundError
        If the tracker is not installed.
    ValueError
        If the tracker is unknown, no value has a step, a curve has a step twice, or a run was written before. If there is no such
        cell, or a tracker was given one.

    Examples
    --------
    >>> from idsweep.tables.export import export
    >>> export("demo", "tensorboard")  # doctest: +SKIP
    'tiny_neox: 32 curves, 384 values.\\nWritten …'
    """
    if tracker not in (*TRACKERS, ATLAS):
        raise ValueError(
            f"{tracker!r} is no tracker that is known here; expected one of {', '.join(TRACKERS)}, or {ATLAS}."
        )
    folder = None if folder is None else Path(folder)
    results = find_results(sweep)
    named = {f"--{key}": name for key, name in cell.items() if name is not None}
    if tracker == ATLAS:
        return f"{write_points(results, folder, **cell)}\n"
    if named:
        raise ValueError(f"{', '.join(named)}: only for {ATLAS}; {tracker} gets the curves of the whole sweep.")
    runs = read_runs(results)
    shown = TRACKERS[tracker](runs, results, folder)
    lines = [f"{run.model}: {len(run.curves)} curves, {sum(map(len, run.curves.values()))} values." for run in runs]
    return "\n".join([*lines, shown, ""])


def find_results(sweep: str | Path) -> Path:
    """The folder of a sweep's results, given as it is or by its name below `results/`. Raises FileNotFoundError."""
    for folder in (Path(sweep), RESULTS / sweep):
        if (folder / "tables").is_dir():
            return folder
    places = [folder for folder in (Path(sweep), RESULTS / sweep) if folder.is_dir()]
    if places:
        raise FileNotFoundError(
            f"{places[0]} has no folder tables: the sweep is not finished, or this is not the folder of its results. "
            "Tables are made by its run: snakemake --profile profiles/local --configfile THE_SWEEP.yaml"
        )
    known = sorted(path.parent.name for path in RESULTS.glob("*/tables"))
    raise FileNotFoundError(
        f"There is no folder {sweep}, nor {RESULTS / sweep}. Expected a folder of results or the name of a sweep; "
        + (
            f"below {RESULTS} there are {', '.join(known)}."
            if known
            else f"below {RESULTS} there is no finished sweep."
        )
    )


def read_runs(results: Path) -> list[Run]:
    """The runs of the models that have values at steps, by name.

    Only estimates of the data count (no halves, nulls and further scales), and only finite values. Raises FileNotFoundError
    if a table is missing, and ValueError if no value has a step, or a curve has two values at a step.
    """
    runs: dict[str, Run] = {}
    for name, (beginning, column) in TABLES.items():
        path = results / "tables" / f"{name}.parquet"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there: the sweep is not finished. Make it with: "
                f"snakemake --profile profiles/local --configfile THE_SWEEP.yaml -- {path}"
            )
        table = read_table(path)
        columns = (*(field.name for field in IDENTITY), "estimator", "variant", column, "standard_error")
        require_columns(path, table.column_names, columns)
        _add_estimates(runs, table.select(list(dict.fromkeys(columns))), beginning, column, path)
    path = results / "tables/training.parquet"
    if path.is_file():  # only sweeps with trainings or metrics have one
        table = read_table(path)
        require_columns(path, table.column_names, METRIC_COLUMNS)
        for row in table.select(METRIC_COLUMNS).to_pylist():
            _add(runs, row, row["metric"], row["value"], path)
    if not runs:
        raise ValueError(
            f"No value in {results / 'tables'} has a training step, and trackers show curves over steps. Checkpoints "
            "have steps where a model's entry in the catalog names them by step (docs/models.md)."
        )
    return [_sorted(runs[model]) for model in sorted(runs)]


def _add_estimates(runs: dict[str, Run], table: pa.Table, beginning: str, column: str, path: Path) -> None:
    rows = [row for row in table.to_pylist() if row["variant"] == DATA and row["step"] is not None]
    several = [part for part in FURTHER if part != "split" and len({row[part] for row in rows}) > 1]
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["dataset"], set()).add(row["split"])
    for row in rows:
        parts = [
            row[part] for part in FURTHER if part in several or (part == "split" and len(splits[row["dataset"]]) > 1)
        ]
        name = "/".join(map(str, (beginning, row["dataset"], *parts, _padded(row["representation"]))))
        for value in (column, "standard_error"):
            _add(runs, row, f"{name}/{value}", row[value], path)


def _padded(representation: str) -> str:
    layer = layer_of(representation)
    return representation if layer is None else f"layer_{layer:02d}"


def _add(runs: dict[str, Run], row: Mapping[str, Any], name: str, value: float | None, path: Path) -> None:
    if row["step"] is None or value is None or not np.isfinite(value):
        return
    run = runs.setdefault(row["model"], Run(row["model"], row["group"], row["seed"], {}))
    curve, step = run.curves.setdefault(name, {}), int(row["step"])
    if step in curve:
        raise ValueError(
            f"{path}: {name} of model {row['model']!r} has several values at step {step}; a curve has one value at a step. "
            "Give runs that differ in more than their checkpoint different names."
        )
    curve[step] = float(value)


def _sorted(run: Run) -> Run:
    return run._replace(curves={name: dict(sorted(curve.items())) for name, curve in run.curves.items()})


# ---- trackers; each writes the runs of a sweep and returns what to say about it


def _imported(module: str, package: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise ModuleNotFoundError(f"{package} is not installed. Install it with: pip install {package}") from error


def _file_name(name: str) -> str:
    """A name as a folder, one to one: what file systems do not take as in web addresses."""
    written = re.sub(r"[^\w.,+=@ -]", lambda sign: quote(sign[0], safe=""), name)
    return f"%2E{written[1:]}" if written.startswith(".") else written


def write_tensorboard(runs: Sequence[Run], results: Path, folder: Path | None) -> str:
    """Event files, a folder for each model. Values are float32, as everywhere in TensorBoard.

    Raises FileExistsError, before anything is written, if a model's folder is there: TensorBoard would show both.
    """
    writers = _imported("tensorboard.summary.writer.event_file_writer", "tensorboard")
    events = import_module("tensorboard.compat.proto.event_pb2")
    summaries = import_module("tensorboard.compat.proto.summary_pb2")
    folder = results / "trackers/tensorboard" if folder is None else folder
    places = {run.model: folder / _file_name(run.model) for run in runs}
    if present := [str(place) for place in places.values() if place.exists()]:
        raise FileExistsError(f"{', '.join(present)}: already there. Delete it, or give another --folder.")
    for run in runs:
        with whole_or_nothing(places[run.model]) as unfinished:
            writer = writers.EventFileWriter(str(unfinished))
            for step, values in run.by_step():
                scalars = [summaries.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
                writer.add_event(events.Event(step=step, summary=summaries.Summary(value=scalars)))
            writer.close()
    return f"Written to {folder}. Look at it with: tensorboard --logdir {folder}"


def write_trackio(runs: Sequence[Run], results: Path, folder: Path | None) -> str:
    """Runs of the trackio project that is called like the sweep, in trackio's own folder or another one."""
    if folder is not None:
        os.environ["TRACKIO_DIR"] = str(folder.resolve())  # read when trackio is imported
    trackio = _imported("trackio", "trackio")
    project = results.resolve().name
    for run in runs:
        tracked = trackio.init(
            project=project,
            name=run.model,
            group=run.group,
            config={"seed": run.seed},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        for step, values in run.by_step():
            tracked.log(values, step=step)
        tracked.finish()
    place = f"TRACKIO_DIR={folder.resolve()} " if folder is not None else ""
    return f"Written to the project {project}. Look at it with: {place}trackio show --project {project}"


def write_wandb(runs: Sequence[Run], results: Path, folder: Path | None) -> str:
    """Offline runs of the W&B project that is called like the sweep; nothing is sent."""
    wandb = _imported("wandb", "wandb")
    folder = results / "trackers" if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_meta=True)
    for run in runs:
        tracked = wandb.init(
            project=results.resolve().name,
            name=run.model,
            group=run.group,
            config={"seed": run.seed},
            dir=str(folder),
            mode="offline",
            reinit="finish_previous",
            settings=settings,
        )
        for step, values in run.by_step():
            tracked.log(values, step=step)
        tracked.finish()
    return f"Written to {folder / 'wandb'}. Send it with: wandb sync {folder / 'wandb'}/offline-run-*"


TRACKERS: Mapping[str, Callable[[Sequence[Run], Path, Path | None], str]] = {
    "tensorboard": write_tensorboard,
    "trackio": write_trackio,
    "wandb": write_wandb,
}
