"""The part of a sweep that is measured: for figures and tables while some checkpoints cannot be measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from idsweep.config.load import ConfigError
from idsweep.files.parquet import is_current
from idsweep.machine.printable import printable
from idsweep.sweep import figure_checks
from idsweep.sweep.models import Model
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.paths import OUTPUTS, Output

# The rules of a partial run: all from the tables on. The others are not even told to Snakemake.
DRAWING = tuple(OUTPUTS)[tuple(OUTPUTS).index("describe_tokens") :]
NAMES_OF_A_PASS = ("checkpoint", "dataset", "model", "tokenizer")


def measured_part(sweep: Sweep, graph: JobGraph) -> Sweep:
    """The sweep without the checkpoints of which a file that tables and figures read is missing, damaged or stale; they are its
    `missing`.

    graph: of the whole sweep. Figures about what is left out
    (options that name it, comparisons with it) are left out too, with the reason in `undrawn`.

    Raises ConfigError if nothing is measured.
    """
    models: dict[str, Model] = {}
    missing = []
    incomplete = _touched(sweep, [output for output in _read(graph) if not _is_current(graph, output)])
    for model in sweep.models.values():
        checkpoints = {
            path: checkpoint for path, checkpoint in model.checkpoints.items() if (model.path, path) not in incomplete
        }
        missing += [f"{model.name} @ {one.name}" for path, one in model.checkpoints.items() if path not in checkpoints]
        if checkpoints:
            models[model.path] = replace(model, checkpoints=checkpoints)
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


def _read(graph: JobGraph) -> Iterator[Output]:
    """What the jobs of a partial run read that it does not make, all of it Parquet."""
    read = (output for rule, names in graph.jobs() if rule in DRAWING for output in graph.outputs_read(rule, names))
    yield from dict.fromkeys(output for output in read if output.rule not in DRAWING)


def _is_current(graph: JobGraph, output: Output) -> bool:
    return is_current(graph.path(output), graph.signature(output.rule, **dict(output.names)))


def _touched(sweep: Sweep, outputs: Iterable[Output]) -> set[tuple[str, str]]:
    """Paths of model and checkpoint of all that is measured with some files: tokens, of all models that share them; metrics, of all
    checkpoints."""
    lost = {tuple(one for one in output.names if one[0] in NAMES_OF_A_PASS) for output in outputs}
    keys = {tuple(key for key, _ in names) for names in lost}
    touched = set()
    for model, checkpoint, dataset in sweep.passes():
        own = dict(zip(NAMES_OF_A_PASS, (checkpoint.path, dataset, model.path, model.tokenizer.path), strict=True))
        if any(tuple((key, own[key]) for key in some) in lost for some in keys):
            touched.add((model.path, checkpoint.path))
    return touched
