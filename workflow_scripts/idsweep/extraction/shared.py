"""Passes that share a process: a job that has loaded a checkpoint also runs it on the other datasets of this run.

Every pass has a job and files of its own, so that a new dataset runs that dataset's passes alone. Loading a checkpoint often takes
longer than a pass. So the job that has loaded one also makes those passes of this run which no other job has begun,
and leaves them in `passes/` below the results. The jobs of these passes then move the files into place. Snakemake does
not know about this: a pass that no other job has made is made by its own.

The libraries that models need take seconds to import, longer than many a pass. So a job that has not run for `LONG` goes
on with the next checkpoint of the same model. No job takes further passes in the second half of the time that a scheduler
gives it, and its own pass is safe in `passes/` meanwhile: should it be killed, it is found there.

This module imports neither torch nor transformers, since moving files is all that many jobs do.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from idsweep.files.atomic import move, whole_or_nothing
from idsweep.files.parquet import is_current

log = logging.getLogger(__name__)

OUTPUTS = ("embeddings", "predictions", "losses")
RESOURCES = ("weights", "adapter", "device", "tokenizer", "padding_side", "batch_tokens")  # of a job, for its passes
PLAN = "plan.json"
LONG = 30.0  # seconds: beside these the imports are little, and later jobs can still be spread over machines
# Files beside those of a pass.
BEGUN = "begun"  # another job tried this pass and did not finish it
WAITING = "waiting"  # another job has made this pass
TAKEN = "taken"  # its own job is done; holds the run


class Pass(NamedTuple):
    """One pass of a checkpoint, over the sampled sequences of one dataset.

    settings, signature: of its job. tokens, sequences: Parquet files. tokens_signature: of the job that makes them. begin:
    called when the pass begins, gives what has a method `provenance`, as `workflow.script.Job`.
    """

    settings: Mapping[str, Any]
    signature: str
    tokens: str
    tokens_signature: str
    sequences: str
    begin: Callable[[], Any]


class Plan(NamedTuple):
    """The passes of a checkpoint that a run is going to make.

    run: what tells it from other runs. most: passes of all checkpoints that may wait for their jobs; None for any number.
    weights, adapter: as in `RESOURCES`. passes: dataset -> what a `Pass` has, but `begin`. following: the checkpoint
    whose passes come after these, by its name; after the last comes the first. Their weights are there whenever a job of
    this checkpoint runs.
    """

    run: str
    most: int | None
    weights: str
    adapter: str
    passes: Mapping[str, Mapping[str, Any]]
    following: str


def write_plan(folder: Path, plan: Plan) -> None:
    """Write down the plan of a checkpoint. folder: of the checkpoint, below `passes/`."""
    with whole_or_nothing(folder / PLAN) as unfinished:
        unfinished.write_text(json.dumps(plan._asdict()))


def read_plans(folder: Path, run: str) -> Iterator[tuple[Path, Plan]]:
    """Folders and plans of the checkpoints whose passes a job can make, its own first; none if the run planned none.

    folder: of its own checkpoint.
    """
    first = folder
    while (folder / PLAN).is_file():
        plan = Plan(**json.loads((folder / PLAN).read_text()))
        if plan.run != run:
            return
        yield folder, plan
        folder = folder.parent / plan.following
        if folder == first:
            return


def discard(folder: Path) -> None:
    """Delete what waits for the job of one pass, unless a job is at it. folder: of the dataset, in that of its checkpoint."""
    try:
        with _locked(folder, timeout=0):
            for left in [*_files_in(folder).values(), *(folder / name for name in (BEGUN, WAITING, TAKEN))]:
                left.unlink(missing_ok=True)
    except Timeout:
        log.info("%s is in use", folder)


@contextmanager
def own_pass(
    folder: Path, outputs: Mapping[str, str], signature: str, inputs: Iterable[str], run: str
) -> Iterator[Mapping[str, Path] | None]:
    """Keep other jobs from making a pass while its own job is at it, and move its files into place at the end.

    Gives the paths to which the job is to write them, output -> path; None if they are there, made by another job or by
    this one before it was killed. Files that are older than an input are not taken. Waits while another job is at this pass.

    folder: of the dataset, in that of its checkpoint. outputs: output -> path in the end. inputs: files and folders that
    the job reads. run: what tells it from other runs.
    """
    with _locked(folder):
        files = _files_in(folder)
        yield None if _is_whole(folder, signature) and not _are_older(files.values(), inputs) else files
        for name, path in files.items():
            move(path, outputs[name])
        for marker in (BEGUN, WAITING):
            (folder / marker).unlink(missing_ok=True)
        (folder / TAKEN).write_text(run)


def make_for_others(
    folder: Path, passes: Mapping[str, Pass], make: Callable[[Pass, Mapping[str, Path]], None], plan: Plan, until: float
) -> None:
    """Make the passes of a checkpoint that no job has begun, each into a folder of its dataset's name.

    folder: of the checkpoint. make: writes the files of a pass, given output -> path. until: when to begin no further one,
    as `time.monotonic()` tells.

    Passes whose tokens are not sampled yet are left to their own jobs, and so are those that raise an error, which is told
    there. A pass in which this process was killed before is left as well: it would be killed again.
    """
    for dataset, one in passes.items():
        place = folder / dataset
        waiting = sum(1 for _ in folder.parent.parent.glob(f"*/*/*/{WAITING}"))
        if time.monotonic() > until or (plan.most is not None and waiting >= plan.most):
            return
        if (place / BEGUN).exists() or not is_current(one.tokens, one.tokens_signature):
            continue
        try:
            with _locked(place, timeout=0):
                if not _is_taken(place, plan.run) and not _is_whole(place, one.signature):
                    (place / BEGUN).touch()
                    make(one, _files_in(place))
                    (place / WAITING).touch()
                    (place / BEGUN).unlink()
        except Timeout:
            continue  # its own job is at it
        except Exception:
            log.info("%s is left to its own job, which tells what this one met", place, exc_info=True)


@contextmanager
def _locked(folder: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a pass; the system lets go of it when this process ends. Raises Timeout.

    On a disk without locks nobody is kept out: at worst two jobs make the same pass.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Not a file as a lock instead: that of a job that was killed on another machine would stay.
    lock = FileLock(folder / "lock", timeout=timeout, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        log.warning("%s is on a disk without locks (%s)", folder, error)
    try:
        yield
    finally:
        lock.release()


def _is_whole(folder: Path, signature: str) -> bool:
    return all(is_current(path, signature) for path in _files_in(folder).values())


def _is_taken(folder: Path, run: str) -> bool:
    return (folder / TAKEN).is_file() and (folder / TAKEN).read_text() == run


def _are_older(files: Iterable[Path], inputs: Iterable[str]) -> bool:
    """Whether one of the files was written before one of the inputs, as Snakemake compares."""
    oldest = min(path.stat().st_mtime_ns for path in files)
    return any(_written(Path(path)) > oldest for path in inputs)


def _written(path: Path) -> int:
    timestamp = path / ".snakemake_timestamp"  # of a folder, whose own time changes when it is read or touched
    return (timestamp if timestamp.is_file() else path).stat().st_mtime_ns


def _files_in(folder: Path) -> dict[str, Path]:
    """Output -> path of a pass that waits for its job."""
    return {name: folder / f"{name}.parquet" for name in OUTPUTS}
