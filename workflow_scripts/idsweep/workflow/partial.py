"""The part of a sweep that is measured: for figures and tables while some checkpoints cannot be measured."""

from __future__ import annotations

from dataclasses import replace

from idsweep.config.load import ConfigError
from idsweep.files.parquet import is_current
from idsweep.machine.printable import printable
from idsweep.sweep import figure_checks
from idsweep.sweep.models import Model
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph


def measured_part(sweep: Sweep, graph: JobGraph) -> Sweep:
    """The sweep without the checkpoints of which an estimate is missing, damaged or stale; they are its `missing`.

    graph: of the whole sweep. Figures about what is left out
    (options that name it, comparisons with it) are left out too, with the reason in `undrawn`.

    Raises ConfigError if nothing is measured.
    """
    models: dict[str, Model] = {}
    missing = []
    complete = _complete(sweep, graph)
    for model in sweep.models.values():
        checkpoints = {
            name: checkpoint for name, checkpoint in model.checkpoints.items() if complete.get((model.name, name), True)
        }
        missing += [f"{model.name} @ {name}" for name in model.checkpoints if name not in checkpoints]
        if checkpoints:
            models[model.name] = replace(model, checkpoints=checkpoints)
    if not models:
        raise ConfigError(["partial: no checkpoint of this sweep is measured yet; run it without `partial` first"])
    part = replace(sweep, models=models, missing=tuple(missing))
    kept, undrawn = {}, []
    for name, options in sweep.config["figures"].items():
        of_figure = list(figure_checks.complaints(replace(part, config={**sweep.config, "figures": {name: options}})))
        undrawn += of_figure
        if not of_figure:
            kept[name] = options
    return replace(part, config={**sweep.config, "figures": kept}, undrawn=tuple(undrawn))


def left_out(part: Sweep) -> str:
    """What a part of a sweep leaves out, for the last lines on the screen."""
    lines = [
        f"{len(part.missing)} checkpoint(s) are not measured and left out:",
        *(f"  {name}" for name in part.missing),
    ]
    if part.undrawn:
        lines += ["Figures that need them are not drawn:", *(f"  {complaint}" for complaint in part.undrawn)]
    return printable("\n".join(lines))


def _complete(sweep: Sweep, graph: JobGraph) -> dict[tuple[str, str], bool]:
    """Model and checkpoint -> whether all of its estimates are there and current."""
    complete: dict[tuple[str, str], bool] = {}
    for cloud in sweep.clouds():
        of_checkpoint = cloud.model.name, cloud.checkpoint.name
        for estimates in graph.estimates([cloud]):
            if complete.setdefault(of_checkpoint, True):
                signature = graph.signature(estimates.rule, **dict(estimates.names))
                complete[of_checkpoint] = is_current(graph.path(estimates), signature)
    return complete
