"""Compiled code that is kept on disk wherever idsweep is installed, and the threads that run it."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
import threadpoolctl
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function at its first call, release the GIL in it, and keep the machine code on disk.

    numba loads what it kept by pickle, which can run any code. So it is kept beside the source, if that folder is as safe as
    the source's own, or else in a folder that is the user's alone (`private_folder`). Where there is neither, each process
    compiles anew.
    options: passed on to numba.njit.
    """
    compile_ = numba.njit(nogil=True, **options)

    def decorate(function: Callable) -> Callable:
        dispatcher = compile_(function)
        if not numba.config.CACHE_DIR and _is_safe_beside(Path(function.__code__.co_filename)):
            dispatcher._cache = _Kept(dispatcher)
        elif (folder := private_folder()) is not None:
            given, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
            try:
                dispatcher._cache = _Kept(dispatcher)
            finally:
                numba.config.CACHE_DIR = given
        return dispatcher

    return decorate


class _Kept(FunctionCache):
    """Machine code on disk, which is taken up only where all that it was made of is the same.

    numba itself compares size and time of the source file and the function's own bytecode; not the options, nor what the
    function uses: constants, and functions that it calls, which may lie in other files.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(dispatcher.py_func)
        self._dispatcher = dispatcher

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(signature, codegen), _made_of(self._dispatcher))


def _made_of(function: Dispatcher) -> str:
    """sha256 of a function's options, code and the globals that it uses, and so on of the compiled functions among these."""
    parts: list[str] = []
    waiting, seen = [function], {function}
    while waiting:
        one = waiting.pop()
        parts.append(f"{_written(one.targetoptions)} {one.py_func.__defaults__!r}")
        for code in _codes(one.py_func.__code__):
            constants = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
            parts.append(f"{code.co_code.hex()} {code.co_names} {_written(constants)}")
            used = [one.py_func.__globals__.get(name) for name in code.co_names]
            parts += [_written(value) for value in used if not isinstance(value, Dispatcher)]
            called = [value for value in used if isinstance(value, Dispatcher) and value not in seen]
            waiting += called
            seen.update(called)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _written(value: Any) -> str:
    """A value as text that is the same in every process."""
    if isinstance(value, dict):
        return str(sorted((key, _written(item)) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return str(sorted(map(_written, value)))
    if isinstance(value, list | tuple):
        return str([*map(_written, value)])
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()}"
    return value.__name__ if isinstance(value, ModuleType | FunctionType | type) else repr(value)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and those inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


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
