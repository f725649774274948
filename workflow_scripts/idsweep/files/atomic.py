"""Files and folders that are whole or not there: written under a temporary name, renamed when they are finished.

A job that is killed can not clean up. What it was writing stays under its temporary name, which nothing reads, until the
next job that writes the same file deletes it.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM = 64 * 1024  # bytes; torch does not tell why it could not write
SILENCE = 24 * 3600  # seconds without a word after which a writer on another machine counts as dead


class DiskFull(OSError):
    """A file could not be written for want of room."""


@contextmanager
def whole_or_nothing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, for a file or a folder; rename it to `path` on success, delete it on failure.

    A folder that is already there is replaced. Raises DiskFull, which says how much room there is, if the block fails
    because the disk is full.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{this_process()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _delete_abandoned(path)
        yield unfinished
        if path.is_dir():
            shutil.rmtree(path)
        unfinished.replace(path)
    except Exception as error:
        if _for_want_of_room(error, path.parent):
            raise DiskFull(_told(path, unfinished)) from error
        raise
    finally:
        delete(unfinished)


def move(source: Path, target: str | Path) -> None:
    """Move a file to another place, maybe on another disk; there it is whole or not there."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with whole_or_nothing(target) as unfinished:
            shutil.copyfile(source, unfinished)
        source.unlink()


def this_process() -> str:
    """This process among those of all machines."""
    return f"{platform.node()}-{os.getpid()}"


def _delete_abandoned(path: Path) -> None:
    start, end = f".{path.name}.", ".unfinished"
    for left in path.parent.iterdir():
        owner = left.name[len(start) : -len(end)]
        if left.name.startswith(start) and left.name.endswith(end) and _is_abandoned(left, owner):
            delete(left)


def _is_abandoned(left: Path, owner: str) -> bool:
    """Whether nobody writes to it any more: its process is gone or, on another machine, has long been silent."""
    try:
        gone = is_gone(owner)
        return time.time() - left.stat().st_mtime > SILENCE if gone is None else gone
    except FileNotFoundError:
        return False


def is_gone(owner: str) -> bool | None:
    """Whether a process of the past, as `this_process` told of it, has ended; None if it was on another machine."""
    host, _, process = owner.rpartition("-")
    if host != platform.node() or not process.isdigit():
        return None
    return int(process) == os.getpid() or not is_running(int(process))


def is_running(process: int) -> bool:
    """Whether a process of this number runs on this machine; one that has ended and waits for its parent does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # no /proc on this system, or it has just ended
        return True
    return state != "Z"


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _for_want_of_room(error: Exception, folder: Path) -> bool:
    if isinstance(error, DiskFull):
        return False
    if isinstance(error, OSError):
        return error.errno in FULL
    # safetensors quotes the system, torch says only that fewer bytes were written.
    return "No space left" in str(error) or (isinstance(error, RuntimeError) and free(folder) < NO_ROOM)


def _told(path: Path, unfinished: Path) -> str:
    files = [unfinished, *unfinished.rglob("*")] if unfinished.is_dir() else [unfinished]
    written = sum(file.stat().st_size for file in files if file.is_file())
    return (
        f"{path}: the disk is full. After {written / 1e6:,.1f} MB of it {free(path.parent) / 1e6:,.1f} MB are free there; "
        "what was written of it is deleted again. Make room, or link results/ to a larger disk, then run the same "
        "command again."
    )


def free(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
