"""What would make every job of a run fail is told once, before the first of them starts.

Only what this run really needs, on the machine on which it needs it, is asked for: a GPU where jobs run here that ask
for one, the hub where something is fetched here.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idsweep.files.atomic import NO_ROOM, free
from idsweep.machine.printable import printable
from idsweep.workflow.modules import own_name

if TYPE_CHECKING:
    from idsweep.workflow.job_graph import JobGraph

SKEW = 10  # seconds by which clocks of machines that share a disk may differ

ASK_FOR_A_GPU = """
import sys
from idsweep.machine.devices import resolve
try:
    resolve("cuda")
except ValueError as error:
    sys.exit(str(error))
"""


def refuse(complaints: Iterable[str | None]) -> None:
    """End this process with all complaints as one message, if there are any."""
    if reasons := [complaint for complaint in complaints if complaint]:
        sys.exit(printable("Nothing was started:\n  " + "\n  ".join(reasons)))


def not_writable(folder: str | Path) -> str | None:
    """A complaint if `folder`, or the folder in which it is to be made, cannot be written to or is full."""
    folder = Path(folder).absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return (
            f"{there} cannot be written to (a read-only file system, or missing permissions). Make it writable, or run in "
            "another folder: snakemake --directory FOLDER."
        )
    if free(there) < NO_ROOM:
        return f"the disk of {there} is full. Make room, or link results/ to a larger disk."
    return None


def no_gpu() -> str | None:
    """A complaint if torch sees no GPU; it is asked in a process of its own, since its import takes seconds and memory."""
    answer = subprocess.run([sys.executable, "-c", ASK_FOR_A_GPU], capture_output=True, text=True)
    return answer.stderr.strip().splitlines()[-1] if answer.returncode else None


def from_the_hub(jobs: Iterable[Any], graph: JobGraph) -> tuple[list[tuple[str, str]], list[str]]:
    """Models (hub id, revision) and datasets (hub id) that some jobs of Snakemake's plan read from the hub."""
    from idsweep.sweep.models import MADE_FROM  # not where nothing is fetched: numpy

    makers = {rule for rules in MADE_FROM.values() for rule in rules}
    models, datasets = [], []
    for job in jobs:
        if own_name(job.rule) in makers:
            settings = json.loads(job.params.settings)
            models += [(settings["hub"], settings["revision"])] if "hub" in settings else []
        else:
            read = graph.corpora(own_name(job.rule), **dict(job.wildcards.items()))
            datasets += [corpus.entry["hub"] for corpus in read if corpus.remote]
    return models, datasets


def no_hub(models: Sequence[tuple[str, str]], datasets: Sequence[str]) -> str | None:
    """A complaint if models (hub id, revision) or datasets cannot be had: the hub does not answer or, where HF_HUB_OFFLINE
    forbids to ask it, the Hugging Face cache holds none of them.

    Datasets count only where the cache holds no dataset at all: which, only the library `datasets` can tell.
    """
    if not models and not datasets:
        return None
    from idsweep.models import hub  # not for sweeps without it: half a second

    if not models and hub.has_cached_datasets():
        return None
    return hub.not_cached(models, datasets) if hub.is_offline() else hub.unreachable()


def from_the_future(jobs: Sequence[Any]) -> str | None:
    """A complaint if what these jobs of Snakemake's plan read was written later than now, by the clock of this machine.

    Snakemake would throw away what is made of it, and `snakemake --touch` what was made of it.
    """
    outputs = {path for job in jobs for path in job.output}
    limit = time.time() + SKEW
    late = sorted({path for job in jobs for path in job.input if path not in outputs and _written(path) > limit})
    if not late:
        return None
    others = f" (one of {len(late)} such files)" if late[1:] else ""
    return (
        f"{late[0]} was written in the future{others}: a clock is, or was, wrong. Set the clock right. Then give such files "
        "the present time (find results -newermt now -exec touch {} +), and run the same snakemake command once with "
        "--touch, so that Snakemake takes them as current."
    )


def _written(path: str) -> float:
    """When a file was written, 0.0 if it does not exist; of folders, Snakemake looks at the time of a file of its own."""
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            status = Path(path, ".snakemake_timestamp").stat()
    except (FileNotFoundError, NotADirectoryError):
        return 0.0
    return status.st_mtime


def no_cluster(workflow: Any) -> str | None:
    """A complaint if jobs are to be submitted to SLURM where there is none."""
    plugin = workflow.executor_plugin
    if plugin is None or plugin.name != "slurm" or shutil.which("sbatch"):
        return None
    return (
        "there is no sbatch here, with which profiles/slurm submits jobs. Run snakemake on the login node of a SLURM cluster "
        "(docs/cluster.md), or on this machine with --profile profiles/local."
    )


def asks_for_a_gpu(workflow: Any, jobs: Iterable[Any]) -> bool:
    """Whether some of these jobs can use a GPU; environments of their own bring their own torch."""
    return not workflow.deployment_settings.deployment_method and any("gpu" in job.rule.resources for job in jobs)
