"""What users bring to compare with, metrics and published values, against the sweep that it is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from idsweep.config import choose
from idsweep.models import LOCAL_DIMENSION, Model, safe

if TYPE_CHECKING:
    from idsweep.sweep import Sweep


def complaints(sweep: Sweep) -> Iterator[str]:
    """What is wrong about the files of `metrics:` and `reference:`, told before anything runs."""
    for model, metric, file in sweep.brought_metrics():
        for complaint in _of_metric(metric, file):
            yield f"models.{model.catalogued}.metrics.{metric}: {complaint}"
    if "reference" in sweep.config:
        for complaint in _of_reference(sweep, Path(sweep.config["reference"])):
            yield f"reference: {complaint}"


def _of_metric(metric: str, file: Path) -> Iterator[str]:
    from idsweep.user_tables import read_metric

    try:
        table = read_metric(file)
    except ValueError as error:
        yield str(error)
        return
    if metric.endswith("accuracy") and (wrong := [v for v in table["value"].to_pylist() if not 0 <= v <= 1]):
        yield f"{file}: an accuracy of {wrong[0]}; expected shares from 0 to 1, or another name for the metric"


def _of_reference(sweep: Sweep, file: Path) -> Iterator[str]:
    from idsweep.user_tables import read_reference

    if not file.is_file():
        yield f"there is no file {str(file)!r}; relative paths start at the working directory"
        return
    try:
        rows = read_reference(file)
    except ValueError as error:
        yield str(error)
        return
    groups = [_group(model, sweep) for model in sweep.models.values()]
    for name in rows["model"].unique().to_pylist():
        if not any(re.fullmatch(group, name) for group in groups):
            held = list(dict.fromkeys(model.group for model in sweep.models.values()))
            yield f"{file}: {name!r} is no model of this sweep, without its seed; {choose(name, held)}"
    known = [LOCAL_DIMENSION, *dict.fromkeys(name for model in sweep.models.values() for name in model.metric_names)]
    for name in rows["quantity"].unique().to_pylist():
        if name not in known:
            yield f"{file}: the quantity {name!r} is not known in this sweep; {choose(name, known)}"


def _group(model: Model, sweep: Sweep) -> str:
    """Regular expression of the names of an entry's groups: varied keys may have values that are not in this sweep."""
    keys = sweep.config["catalog"]["models"][model.catalogued].get("vary", {})
    values = "".join(f"-{re.escape(key.rsplit('.', 1)[-1])}.+" for key in keys)
    return re.escape(safe(model.catalogued)) + values
