"""Finished results survive a job that fails to make them anew.

Snakemake deletes the outputs of a job before the job begins, and records the job's new parameters also when it fails. So
before a run each output that is to be made anew gets a second name beside it (a hard link, which takes no room), and its
record is noted down. A job that succeeds lets go of the old outputs. Those of the others are put back with their records
when the run ends, or before the next one where this one was killed. With the old settings they are current again; with the
new ones they are as stale as before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from idsweep.files.atomic import delete, is_gone, this_process, whole_or_nothing
from idsweep.workflow.modules import own_name

NOTES = ".kept.json"  # in the folder of the results: process, and of each job output -> record
BOUNDED = "fetch_checkpoint"  # its outputs are deleted after use, and must not take room beyond `checkpoint_disk_gb`


def keep(jobs: Iterable[Any], records: Any, folder: Path) -> None:
    """Keep what jobs of Snakemake's plan are going to make anew.

    records: Snakemake's persistence. folder: of the sweep's results. Where a disk has no hard links, nothing is kept.
    """
    kept: list[dict[str, Any]] = []
    for job in jobs:
        outputs = [] if own_name(job.rule) == BOUNDED else [str(path) for path in job.output if os.path.lexists(path)]
        if outputs:
            read = {path: records._read_record(path) for path in outputs}
            kept.append({path: record and dict(record.items()) for path, record in read.items()})
    if not kept:
        return
    with whole_or_nothing(folder / NOTES) as notes:
        notes.write_text(json.dumps({"run": this_process(), "jobs": kept}))
    try:
        for outputs in kept:
            for path in outputs:
                _link(Path(path), _second(path))
    except OSError:
        forget(folder)


def let_go(outputs: Iterable[str]) -> None:
    """Delete what was kept of the outputs of a job that has made them anew."""
    for path in outputs:
        delete(_second(path))


def forget(folder: Path) -> None:
    """Delete all that was kept."""
    if (folder / NOTES).is_file():
        for outputs in json.loads((folder / NOTES).read_text())["jobs"]:
            let_go(outputs)
        (folder / NOTES).unlink()


def put_back(records: Any, folder: Path) -> list[str]:
    """Put back what was kept of jobs that did not make it anew; returns its paths. records, folder: as for `keep`."""
    if not (folder / NOTES).is_file():
        return []
    kept, back = json.loads((folder / NOTES).read_text())["jobs"], []
    for outputs in kept:
        # A job has let go of all of its outputs, or of none; one that never began still has them.
        if not all(os.path.lexists(_second(path)) for path in outputs) or all(map(_is_untouched, outputs)):
            continue
        for path, record in outputs.items():
            if not _is_untouched(path):
                delete(Path(path))
                _second(path).replace(path)
                back.append(path)
            _note(records, path, record)
    records._clear_cache()
    forget(folder)
    return back


def put_back_of_killed(folder: Path) -> list[str]:
    """As `put_back`, of a run that was killed, before the next one is planned; nothing while a run is at work."""
    if not (folder / NOTES).is_file() or is_gone(json.loads((folder / NOTES).read_text())["run"]) is False:
        return []
    from snakemake.persistence.file import FilePersistence

    records = FilePersistence(nolock=True)
    return [] if any(records._read_locks()) else put_back(records, folder)


def _second(path: str) -> Path:
    return Path(path).with_name(f".{Path(path).name}.kept")


def _link(path: Path, second: Path) -> None:
    delete(second)
    if path.is_dir():
        shutil.copytree(path, second, copy_function=os.link)
    else:
        os.link(path, second)


def _is_untouched(path: str) -> bool:
    """Whether an output still is the one that was kept, with all files of a folder."""
    first, second = Path(path), _second(path)
    if not second.is_dir():
        return first.exists() and first.samefile(second)
    inside = [file for file in second.rglob("*") if file.is_file()]
    return all((here := first / file.relative_to(second)).exists() and here.samefile(file) for file in inside)


def _note(records: Any, path: str, record: dict[str, Any] | None) -> None:
    from snakemake.persistence import MetadataRecord

    records._unmark_incomplete(path)
    if record is None:
        records._delete_record(path)
    else:
        records._write_record(path, MetadataRecord.model_validate(record))
