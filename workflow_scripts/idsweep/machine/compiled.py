"""Compiled code that is kept on disk wherever idsweep is installed, and the threads that run it."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
import threadpoolctl
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function at its first call, release the GIL in it, and keep the machine code on disk.

    numba keeps it beside the source, or in the user's cache folder where the source is read-only.
    Where neither can be written, a folder of the user below the system's temporary one is taken.
    options: passed on to numba.njit.
    """
    compile_ = numba.njit(nogil=True, **options)

    def decorate(function: Callable) -> Callable:
        dispatcher = compile_(function)
        try:
            dispatcher._cache = _Kept(dispatcher)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            numba.config.CACHE_DIR = str(Path(tempfile.gettempdir()) / f"idsweep-numba-{_user()}")
            log.debug("compiled code is kept in %s", numba.config.CACHE_DIR)
            dispatcher._cache = _Kept(dispatcher)
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


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "user"
