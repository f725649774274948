"""Compiled code that is kept on disk wherever idsweep is installed, and the threads that run it."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
import threadpoolctl

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function at its first call, release the GIL in it, and keep the machine code on disk.

    numba loads what it kept by pickle, which can run any code. So it is kept beside the source, if that folder is as safe as
    the source's own, or else in a folder that is the user's alone (`private_folder`). Where there is neither, each process
    compiles anew.
    options: passed on to numba.njit.
    """

    def decorate(function: Callable) -> Callable:
        if not numba.config.CACHE_DIR and _is_safe_beside(Path(function.__code__.co_filename)):
            return numba.njit(cache=True, nogil=True, **options)(function)
        folder, given = private_folder(), numba.config.CACHE_DIR
        if folder is None:
            return numba.njit(nogil=True, **options)(function)
        numba.config.CACHE_DIR = str(folder)
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = given

    return decorate


@cache
def private_folder() -> Path | None:
    """A folder for compiled code that nobody else can write to or read: below the user's cache folder, or NUMBA_CACHE_DIR.

    None, with a warning, if it cannot be made, belongs to someone else, is open to others, or lies in a folder in which others
    could put one of theirs in its place.
    """
    try:
        folder = _cache_folder() / "idsweep-numba"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: of a user without a home
        log.warning("Compiled code is not kept, so each job compiles anew: no folder can be made for it (%s).", error)
        return None
    if (wrong := _open_to_others(folder)) is not None:
        log.warning("Compiled code is not kept, so each job compiles anew: %s.", wrong)
        return None
    return folder


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep matrix products to the thread that asks for them, so that `in_threads` alone divides the work.

    A BLAS with threads of its own waits for them busily: beside other jobs on the same cores that made
    small eigenvalue problems 20 times slower.
    """
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


def in_threads(function: Callable[[int, int], None], number: int) -> None:
    """Call `function(start, stop)` on consecutive parts of range(number), one part for each CPU thread."""
    threads = min(available_threads(), number)
    if threads <= 1:
        function(0, number)
        return
    edges = [number * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, edges[:-1], edges[1:]))


def available_threads() -> int:
    """CPU threads this process may use: its affinity, lowered by OMP_NUM_THREADS as for the BLAS."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(number)) if number.isdigit() and int(number) > 0 else usable


def _cache_folder() -> Path:
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR).absolute()
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def _is_safe_beside(source: Path) -> bool:
    """Whether numba can write beside the source, and nobody can who could not write the source itself."""
    folder = source.parent / "__pycache__"
    try:
        folder.mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        kept, beside = folder.stat(), source.parent.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    more_open = kept.st_mode & ~beside.st_mode & OTHERS_WRITE
    return kept.st_uid in (os.geteuid(), beside.st_uid) and not more_open


def _open_to_others(folder: Path) -> str | None:
    """What is wrong about a folder that is to be the user's alone; None if nothing is."""
    if not hasattr(os, "geteuid"):  # Windows has other rights, and no cache folder that users share
        return None
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return f"{folder} belongs to someone else, or is a link"
    if found.st_mode & 0o077:
        return f"{folder} is open to others; delete it, and it is made anew"
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"anyone can write to {parent}, in which {folder.name} lies"
    return None
