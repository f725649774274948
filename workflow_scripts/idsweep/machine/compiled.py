"""Compiled code that is kept on disk wherever idsweep is installed, and the threads that run it."""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import threadpoolctl

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function at its first call, release the GIL in it, and keep the machine code on disk.

    numba keeps it beside the source, or in the user's cache folder where the source is read-only.
    Where neither can be written, a folder of the user below the system's temporary one is taken.
    options: passed on to numba.njit.
    """
    compile_ = numba.njit(cache=True, nogil=True, **options)

    def decorate(function: Callable) -> Callable:
        try:
            return compile_(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            numba.config.CACHE_DIR = str(Path(tempfile.gettempdir()) / f"idsweep-numba-{_user()}")
            log.debug("compiled code is kept in %s", numba.config.CACHE_DIR)
            return compile_(function)

    return decorate


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
