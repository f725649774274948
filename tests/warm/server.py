"""The process from which others are forked: `python -m warm.server SOCKET PYTHON`; it ends when its standard input does.

Packages are imported when the first request comes.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from warm.python import LENGTH, READ_AT_IMPORT, READ_BY_HUBS, read

IMPORTED = (
    "snakemake.cli",
    "pandas",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.neighbors",
    "skdim",
    "numba.typed",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "seaborn",
    "torch",
    "tokenizers",
    "gensim.models",
    "httpx2" if find_spec("httpx2") else "httpx",  # the client of newer and of older hubs
)
# What reads the environment of a hub while it is imported.
IMPORTED_BESIDE_A_HUB = (
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "datasets",
    "peft",
)


def main(address: str, python: str) -> None:
    """Serve from two processes, one with all packages and one without those of a hub, when the first request comes."""
    without, whole = (_listen(f"{address}-{name}") for name in ("without", "whole"))
    print(json.dumps([read(os.environ, READ_AT_IMPORT), read(os.environ, READ_BY_HUBS)]), flush=True)
    first = selectors.DefaultSelector()
    for one in (sys.stdin, without, whole):
        first.register(one, selectors.EVENT_READ)
    if sys.stdin in [key.fileobj for key, _ in first.select()]:
        return
    first.close()
    _import(IMPORTED)
    if os.fork():
        without.close()
        serve(whole, IMPORTED_BESIDE_A_HUB, python)
    else:
        whole.close()
        serve(without, (), python)


def _listen(address: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    return listening


def serve(listening: socket.socket, modules: tuple[str, ...], python: str) -> None:
    """Fork a process for each request until standard input ends; import `modules` before the first."""
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ)
    waiting.register(listening, selectors.EVENT_READ)
    running: dict[int, tuple[socket.socket, int]] = {}  # file descriptor of a process -> who asked for it, its id
    ready = False
    while True:
        for key, _ in waiting.select():
            if key.fileobj is sys.stdin:
                for _, process in running.values():
                    _kill(process)
                return
            if key.fileobj is listening:
                if not ready:
                    _import(modules)
                    ready = True
                asking, _ = listening.accept()
                if not (asked := _receive(asking)):
                    continue
                others = [listening, waiting, *(one for one, _ in running.values())]
                process = _fork(*asked, [asking, *others], python)
                ends = os.pidfd_open(process)
                running[ends] = asking, process
                waiting.register(ends, selectors.EVENT_READ)
                waiting.register(asking, selectors.EVENT_READ, data=process)
            elif key.fd in running:
                asking, process = running.pop(key.fd)
                waiting.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                with suppress(KeyError):
                    waiting.unregister(asking)
                with suppress(OSError):
                    asking.sendall(str(code).encode())
                asking.close()
            elif key.data in [
                process for _, process in running.values()
            ]:  # who asked is gone before the process has ended
                waiting.unregister(key.fileobj)
                _kill(key.data)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _import(modules: tuple[str, ...]) -> None:
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _receive(asking: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What is asked for, and the standard streams for it; None if who asked is gone."""
    length, streams, *_ = socket.recv_fds(asking, LENGTH, 3)
    request = b""
    while length and len(request) < int(length):
        if not (more := asking.recv(2**16)):
            break
        request += more
    if not length or len(request) < int(length):
        asking.close()
        return None
    return json.loads(request), streams


def _fork(asked: dict[str, Any], streams: list[int], others: list[Any], python: str) -> int:
    """The id of a new process that does what is asked for. others: what it must not hold open."""
    process = os.fork()
    if not process:
        os.setsid()
        for other in others:
            other.close()
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        _be(**asked, python=python)
    for stream in streams:
        os.close(stream)
    return process


def _be(arguments: list[str], environment: dict[str, str], folder: str, python: str) -> NoReturn:
    """Be what `python` with these arguments is, and end."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    first, rest = arguments[0], arguments[1:]
    beside = {"-c": "", "-m": folder}.get(first, str(Path(first).resolve().parent))
    sys.path[:] = [beside, *paths, *BASE]
    sys.executable = python
    _limit_threads(environment)
    code: Any = 0
    try:
        if first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            main = sys.modules["__main__"] = ModuleType("__main__")
            if first == "-c":
                sys.argv = ["-c", *rest[1:]]
                compiled = compile(rest[0], "<string>", "exec")
            else:
                sys.argv, main.__file__ = arguments, first
                compiled = compile(Path(first).read_bytes(), first, "exec")
            exec(compiled, vars(main))
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if not (code is None or isinstance(code, int)):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code or 0)


def _limit_threads(environment: dict[str, str]) -> None:
    """What libraries do with OMP_NUM_THREADS when they are loaded."""
    import threadpoolctl
    import torch

    number = environment.get("OMP_NUM_THREADS", "")
    threads = int(number) if number.isdigit() and int(number) else len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads)


BASE = [path for path in sys.path[1:] if path not in os.environ.get("PYTHONPATH", "").split(os.pathsep)]

if __name__ == "__main__":
    main(*sys.argv[1:])
