"""Processes of Python that need not import again: they are forked from one that has imported what jobs use.

Most of a small job's time is spent on imports. `python` is called like Python itself (a script, `-m module` or `-c code`)
and does the same in a fork of `server`, with its own arguments, environment, folder, standard streams and end. Modules
of idsweep are never imported beforehand, so each process takes those of its own checkout. Packages that read the
environment while they are imported are not there beforehand for a process with another one. With COLD=1 each process of
Python starts by itself, as in the use of the workflow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


def python() -> str:
    """The command that stands in for Python; Python itself where no server runs."""
    return os.environ.get("WARM_PYTHON", sys.executable)


def environment() -> dict[str, str]:
    """What a process with an environment of its own must have to find the server."""
    return {name: value for name, value in os.environ.items() if name.startswith("WARM_")}


@contextmanager
def serving() -> Iterator[None]:
    """Run the server; processes that are started meanwhile find it by their environment."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        command = Path(folder) / "python"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {HERE / "python.py"} {sys.executable} "$@"\n')
        command.chmod(0o755)
        address = f"{folder}/socket"
        paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        server = subprocess.Popen(
            [sys.executable, "-m", "warm.server", address, str(command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
            text=True,
        )
        os.environ |= {
            "WARM_ENVIRONMENT": server.stdout.readline(),
            "WARM_SERVER": address,
            "WARM_PYTHON": str(command),
        }
        try:
            yield
        finally:
            for name in environment():
                del os.environ[name]
            server.communicate()
