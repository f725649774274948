"""A bound on the disk that fetched checkpoints take: a fetch waits until those before it have been measured.

Snakemake deletes a fetched checkpoint when the last job that needs it is done, but it holds a job's resources
only while the job runs; checkpoints that wait for a GPU would pile up. So each fetch enters its size in a ledger
beside the checkpoints (a folder of small files, under a lock) and waits while the entries exceed the bound. An entry
counts as long as its checkpoint is there or being fetched. Checkpoints whose measuring failed stay on the disk for as
long as the run does, and so do what a failed fetch has brought and what a killed run has left; they are counted apart
and do not block the others.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idsweep.files.atomic import is_running, whole_or_nothing
from idsweep.models.folders import PARTIAL

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0
LEDGER = ".ledger"
PATIENCE = 24 * 3600.0  # jobs that were killed leave no word


@contextmanager
def room_for(folder: str | Path, size: float, bound: float | None, patience: float = PATIENCE) -> Iterator[None]:
    """Wait until `folder`, a checkpoint of `size` GB below the ledger's folder, fits into `bound` GB beside the others.

    folder: results/…/checkpoints/MODEL/CHECKPOINT; the ledger lies in results/…/checkpoints. A checkpoint that is
    larger than the bound by itself is let in when no other is there. No bound: nothing waits.

    Raises ValueError if what failed jobs or earlier runs left exceeds the bound by itself, or if nothing was deleted for
    `patience` seconds.
    """
    if bound is None:
        yield
        return
    folder = Path(folder).absolute()
    ledger = folder.parent.parent / LEDGER
    ledger.mkdir(parents=True, exist_ok=True)
    _wait(ledger, folder, size, bound, patience)
    try:
        yield
    finally:
        _enter(ledger, folder, size, fetching=None)


@contextmanager
def measuring(folder: str | Path) -> Iterator[None]:
    """Note in the ledger whether what is done with the checkpoint in `folder` failed; nothing if it is in no ledger."""
    folder = Path(folder).absolute()
    entry = _entry(folder.parent.parent / LEDGER, folder)
    if not entry.is_file():
        yield
        return
    given = json.loads(entry.read_text())
    _write(entry, given | {"run": _run(), "failed": False})
    try:
        yield
    except Exception:
        _write(entry, given | {"run": _run(), "failed": True})
        raise


def _wait(ledger: Path, folder: Path, size: float, bound: float, patience: float) -> None:
    since, before = time.monotonic(), None
    while True:
        with _locked(ledger):
            taken_gb, left_gb = _held(ledger)
            if left_gb > bound:
                raise ValueError(
                    f"checkpoint_disk_gb: checkpoints that failed jobs or earlier runs left hold {left_gb:.3g} GB in "
                    f"{ledger.parent}, more than the {bound:.3g} GB allowed. Mend what failed (the logs say why), delete "
                    "what is no longer wanted, and run snakemake again."
                )
            if not taken_gb or taken_gb + size <= bound:
                _enter(ledger, folder, size, fetching=os.getpid())
                return
        if before is None:
            logger.info("Waiting: %.3g GB are on disk, %.3g GB allowed, %.3g GB needed.", taken_gb, bound, size)
        if taken_gb != before:
            since, before = time.monotonic(), taken_gb
        elif time.monotonic() - since > patience:
            raise ValueError(
                f"checkpoint_disk_gb: no checkpoint in {ledger.parent} was finished with for {patience / 3600:.3g} hours, and "
                f"{taken_gb:.3g} of {bound:.3g} GB are taken. Were the jobs that measure them killed? Run snakemake again."
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _held(ledger: Path) -> tuple[float, float]:
    """GB of what is there or being fetched, and of what failed jobs and other runs left; forgets deleted checkpoints."""
    live = left = 0.0
    for path in ledger.glob("*.json"):
        entry = json.loads(path.read_text())
        fetched = Path(entry["folder"])
        if (entry["fetching"] is not None and is_running(entry["fetching"])) or (
            fetched.exists() and entry["run"] == _run() and not entry["failed"]
        ):
            live += entry["gb"]
        elif fetched.exists() or fetched.with_name(fetched.name + PARTIAL).exists():
            left += entry["gb"]
        else:
            path.unlink(missing_ok=True)
    return live, left


def _entry(ledger: Path, folder: Path) -> Path:
    return ledger / f"{folder.parent.name}@{folder.name}.json"


def _enter(ledger: Path, folder: Path, size: float, fetching: int | None) -> None:
    entry = {"folder": str(folder), "gb": size, "fetching": fetching, "run": _run(), "failed": False}
    _write(_entry(ledger, folder), entry)


def _write(path: Path, entry: Mapping[str, Any]) -> None:
    with whole_or_nothing(path) as unfinished:  # others read it at any time
        unfinished.write_text(json.dumps(entry))


def _run() -> str:
    """What tells this run of Snakemake from others; the workflow sets it."""
    return os.environ.get("IDSWEEP_RUN", "")


@contextmanager
def _locked(ledger: Path) -> Iterator[None]:
    with (ledger / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
