"""Passes that share a process: whichever job of a checkpoint comes first makes the others' passes too.

Every pass has a job and files of its own, so that a new dataset runs that dataset's passes alone. Loading a checkpoint often takes
longer than a pass. So the job that has loaded one also makes those passes of this run which no other job has begun,
and leaves them in `passes/` below the results. The jobs of these passes then move the files into place. Nothing of this
is known to Snakemake: a pass that was not made by another job is made by its own.

The libraries that models need take seconds to import, longer than many a pass. So a job that has not run for `LONG` goes
on with the next checkpoint of the same model.

This module imports neither torch nor transformers, since moving files is all that many jobs do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.parquet import is_current

log = logging.getLogger(__name__)

OUTPUTS = ("embeddings", "predictions", "losses")
RESOURCES = ("weights", "adapter", "device", "tokenizer", "padding_side", "batch_tokens")  # of a job, for its passes
PLAN = "plan.json"
LONG = 30.0  # seconds: beside these the imports are little, and a scheduler of many machines is not kept from its work
BEGUN = "begun"  # an empty file: another job tried this pass, and was not heard of again


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

    run: what tells it from other runs. most: passes of all checkpoints that may lie in `passes/` and wait for their jobs;
    None for any number. weights, adapter: as in `RESOURCES`. passes: dataset -> what a `Pass` has, but `begin`.
    following: the checkpoint whose passes come after these, by its name; after the last comes the first. Their weights
    are there whenever a job of this checkpoint runs.
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


@contextmanager
def own_pass(folder: Path, outputs: Mapping[str, str], signature: str) -> Iterator[bool]:
    """Keep other jobs from making a pass while its own job is at it; True if one has made it, and it is in place.

    Waits while another job is making it. folder: of the dataset, in that of its checkpoint. outputs: output -> path.
    """
    with _locked(folder):
        ready = _files_in(folder)
        in_place = _is_whole(folder, signature)
        if in_place:
            for name, path in ready.items():
                Path(outputs[name]).parent.mkdir(parents=True, exist_ok=True)
                path.replace(outputs[name])
        yield in_place
        for left in [*ready.values(), folder / BEGUN]:
            left.unlink(missing_ok=True)


def make_for_others(
    folder: Path, passes: Mapping[str, Pass], make: Callable[[Pass, Mapping[str, Path]], None], most: int | None
) -> None:
    """Make the passes of a checkpoint that no job has begun, each into a folder of its dataset's name.

    folder: of the checkpoint. make: writes the files of a pass, given output -> path. most: as in `Plan`.

    Passes whose tokens are not sampled yet are left to their own jobs, and so are those that raise an error, which is told
    there. A pass in which this process was killed before is left as well: it would be killed again.
    """
    for dataset, one in passes.items():
        place = folder / dataset
        if most is not None and len(list(folder.parent.parent.glob(f"*/*/*/{OUTPUTS[0]}.parquet"))) >= most:
            return
        if (place / BEGUN).exists() or not is_current(one.tokens, one.tokens_signature):
            continue
        try:
            with _locked(place, timeout=0):
                if not _is_whole(place, one.signature):
                    (place / BEGUN).touch()
                    make(one, _files_in(place))
                    (place / BEGUN).unlink()
        except Timeout:
            continue  # its own job is at it
        except Exception:
            log.exception("%s is left to its own job", dataset)


@contextmanager
def _locked(folder: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a pass; the system lets go of it when this process ends. Raises Timeout.

    On a disk without locks nobody is kept out: at worst two jobs make the same pass.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=timeout)
    try:
        lock.acquire()
    except NotImplementedError:
        log.warning("%s is on a disk without locks", folder)
    try:
        yield
    finally:
        lock.release()


def _is_whole(folder: Path, signature: str) -> bool:
    return all(is_current(path, signature) for path in _files_in(folder).values())


def _files_in(folder: Path) -> dict[str, Path]:
    """Output -> path of a pass that waits for its job."""
    return {name: folder / f"{name}.parquet" for name in OUTPUTS}
