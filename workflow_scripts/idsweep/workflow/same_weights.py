"""Checkpoints of one model that hold the same weights, told before they are measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from idsweep.models.same_weights import describe_alike, find_alike
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.modules import own_name


def in_folders(sweep: Sweep, graph: JobGraph) -> str:
    """What to say of local checkpoints, by the contents of their files; empty if each has weights of its own."""
    said = []
    for model in sweep.models.values():
        if model.folder is None or model.kind == "static" or len(model.checkpoints) < 2:
            continue
        stored = {checkpoint: graph.weights(model, checkpoint) for checkpoint in model.checkpoints}
        files = {
            model.checkpoints[checkpoint].name: {
                name: digest for name, digest in weights["files"].items() if _holds_weights(name)
            }
            for checkpoint, weights in stored.items()
            if "files" in weights
        }
        said.append(describe_alike(model.name, find_alike(files)))
    return "\n".join(filter(None, said))


def on_hub(sweep: Sweep, jobs: Iterable[Any]) -> str:
    """What to say of the checkpoints that jobs of Snakemake's plan fetch, by what the hub tells of their files.

    All checkpoints of these models are asked about, also those that were measured before. What cannot be asked is left out: its
    fetch says why.
    """
    from idsweep.models import hub  # not for sweeps without it: half a second

    names = dict.fromkeys(job.wildcards.model for job in jobs if own_name(job.rule) == "fetch_checkpoint")
    models = [model for name in names if len((model := sweep.known[name]).checkpoints) > 1]
    if not models or hub.is_offline():
        return ""
    said = []
    for model in models:
        places = {checkpoint.name: model.hub(path) for path, checkpoint in model.checkpoints.items()}
        answers = hub.weights_of_each(places, adapter=model.base is not None)
        files = {name: answer.files for name, answer in answers.items() if isinstance(answer, hub.Weights)}
        said.append(describe_alike(model.name, find_alike(files)))
    return "\n".join(filter(None, said))


def _holds_weights(name: str) -> bool:
    return not name.endswith((".json", ".py"))
