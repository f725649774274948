"""What would make every job of a run fail is told once, before the first of them starts.

Only what this run really needs, on the machine on which it needs it, is asked for: a GPU where jobs run here that ask
for one, the hub where something is fetched here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from idsweep.atomic import NO_ROOM, free

ASK_FOR_A_GPU = """
import sys
from idsweep.devices import resolve
try:
    resolve("cuda")
except ValueError as error:
    sys.exit(str(error))
"""


def refuse(complaints: Iterable[str | None]) -> None:
    """End this process with all complaints as one message, if there are any."""
    if told := [complaint for complaint in complaints if complaint]:
        sys.exit("Nothing was started:\n  " + "\n  ".join(told))


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
    asked = subprocess.run([sys.executable, "-c", ASK_FOR_A_GPU], capture_output=True, text=True)
    return asked.stderr.strip().splitlines()[-1] if asked.returncode else None


def no_hub(models: Sequence[tuple[str, str]], datasets: Sequence[str]) -> str | None:
    """A complaint if models (hub id, revision) or datasets cannot be had: the hub does not answer or, where HF_HUB_OFFLINE
    forbids to ask it, the Hugging Face cache holds none of them.

    Datasets count only where the cache holds no dataset at all: which, only the library `datasets` can tell.
    """
    if not models and not datasets:
        return None
    from idsweep import hub  # not for sweeps without it: half a second

    if not models and hub.has_cached_datasets():
        return None
    return hub.not_cached(models, datasets) if hub.is_offline() else hub.unreachable()


def local_jobs(workflow: Any) -> list[Any]:
    """The jobs of Snakemake's plan that are to run on this machine."""
    return [job for job in workflow.dag.needrun_jobs() if workflow.is_local(job.rule)]


def asks_for_a_gpu(workflow: Any, jobs: Iterable[Any]) -> bool:
    """Whether some of these jobs choose a device; environments of their own bring their own torch."""
    return not workflow.deployment_settings.deployment_method and any("device" in job.rule.resources for job in jobs)
