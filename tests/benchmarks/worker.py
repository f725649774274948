"""A process that does what one side is asked to do and says how long it took; `bench.Worker` is its other end.

Run as: python worker.py SIDE, by whichever Python has that side's packages. Requests and replies are lines of JSON.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np


def main(name: str) -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the replies

    def reply(**content: Any) -> None:
        print(json.dumps(content), file=replies)

    try:
        side = importlib.import_module(f"sides.{name}")
        versions = {package: importlib.metadata.version(package) for package in side.PACKAGES}
    except ImportError as error:
        reply(unavailable=f"it lacks {error.name}")
        return
    reply(versions={"python": platform.python_version()} | versions)
    arrays: dict[str, np.ndarray] = {}
    for line in sys.stdin:
        try:
            reply(**_answer(side, json.loads(line), arrays))
        except Exception:
            reply(error=traceback.format_exc())


def _answer(side: Any, asked: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Load what is not yet loaded, then call the function; only the call is timed."""
    paths = asked["inputs"]
    for path in set(paths.values()) - arrays.keys():
        arrays[path] = np.load(path)
    for path in set(arrays) - set(paths.values()):
        del arrays[path]
    inputs = {name: arrays[path] for name, path in paths.items()}
    before = _begin_peak()
    start = time.perf_counter()
    values = getattr(side, asked["function"])(**inputs, **asked["parameters"])
    seconds = time.perf_counter() - start
    peak = _memory("VmHWM") - before if before is not None else None
    if asked["save"]:
        for name, value in values.items():
            np.save(Path(asked["save"]) / f"{name}.npy", value)
    return {"seconds": seconds, "peak": peak}


def _begin_peak() -> int | None:
    """Forget the highest memory so far; returns what is in use now, or None where there is no /proc.

    Not getrusage: its ru_maxrss begins with that of the process that started this one.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _memory("VmRSS")
    except OSError:
        return None


def _memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    main(sys.argv[1])
