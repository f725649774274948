"""What surrounds every script: its environment, its log, its settings, the provenance of what it writes, its failure."""

from __future__ import annotations

import copy
import importlib.metadata
import io
import json
import logging
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from idsweep.files import parquet
from idsweep.files.atomic import FULL
from idsweep.machine.printable import printable
from idsweep.version import __version__
from idsweep.workflow import kept, memory
from idsweep.workflow.library_warnings import keeping, subject_of

REASON = "error: "
MADE = "made: "
STOPPED = "the run was interrupted"
SECONDS_BETWEEN_LOOKS = 1.0
VERSIONS_OF = ("numpy", "pyarrow", "numba", "torch", "transformers", "datasets", "scikit-dimension", "snakemake")


class Job:
    """One running job: its settings and the provenance of its outputs."""

    def __init__(
        self,
        rule: str,
        wildcards: Mapping[str, str],
        settings: dict[str, Any],
        signature: str,
        threads: int,
        reads: Iterable[str],
    ) -> None:
        self._settings = settings
        self._started = time.time()
        self._fixed = {
            "rule": rule,
            "wildcards": dict(wildcards),
            "signature": signature,
            "settings": settings,
            "threads": threads,
            "versions": versions(),
            "from": [parquet.provenance(path) for path in reads],
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What shapes the numbers of this job: a copy, so that nothing a script does to it reaches the provenance."""
        return copy.deepcopy(self._settings)

    def provenance(self, **more: Any) -> dict[str, Any]:
        """Everything that made an output, up to now; `more` adds what only the job knows (device, commit …)."""
        times = {
            "started": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._started, 3),
        }
        return self._fixed | times | more

    def on_behalf_of(self, reads: Iterable[str], checkpoint: str, dataset: str, other: Mapping[str, Any]) -> Job:
        """The job of another checkpoint or dataset that begins now, and whose work this one does.

        reads: files whose provenance it carries on beside that of its tokens. other: its settings, signature and tokens.
        """
        wildcards = self._fixed["wildcards"] | {"checkpoint": checkpoint, "dataset": dataset}
        reads = [other["tokens"], *reads]
        return Job(self._fixed["rule"], wildcards, other["settings"], other["signature"], self._fixed["threads"], reads)


def versions() -> dict[str, str]:
    """Versions of idsweep, Python and of those packages of `VERSIONS_OF` that are installed."""
    found = {"idsweep": __version__, "python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def job(snakemake: Any, reads: Iterable[str] = ()) -> Iterator[Job]:
    """Run a script's body: everything it says goes to its log, progress and the reason of a failure also to the screen.

    reads: input files whose provenance the outputs carry on.
    """
    screen = sys.stderr
    with _opened(snakemake.log[0]) as log, _ending_with_snakemake(log):
        _configure_logging(log, screen, snakemake.resources.get("log_level", "INFO"), _title(snakemake))
        sys.stdout = sys.stderr = log
        wildcards = dict(snakemake.wildcards.items())
        try:
            with keeping(snakemake.log[0], subject_of(snakemake.rule, wildcards), os.environ.get("IDSWEEP_RUN", "")):
                yield Job(
                    snakemake.rule,
                    wildcards,
                    json.loads(snakemake.params.settings),
                    snakemake.params.signature,
                    snakemake.threads,
                    reads,
                )
            print(f"{MADE}{snakemake.params.signature}", file=log)  # for what holds no provenance itself
            kept.let_go(snakemake.output)
        except KeyboardInterrupt:
            print(f"{REASON}{STOPPED}", file=log)
            sys.exit(130)
        except Exception as error:
            traceback.print_exc(file=log)
            reason = f"{REASON}{_told(error, snakemake)}"
            print(reason, file=log)
            print(printable(f"{_title(snakemake)}: {reason} (log: {snakemake.log[0]})"), file=screen)
            sys.exit(1)
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


class _Log(io.FileIO):
    """A file that goes without what a full disk has no room for: that is no reason for a job to fail."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            return len(data)


class _Text(io.TextIOWrapper):
    """What is written, without codes that a terminal would obey when somebody looks at it."""

    def write(self, text: str) -> int:
        return super().write(printable(text))


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _opened(log: str) -> io.TextIOWrapper:
    return _Text(io.BufferedWriter(_Log(log, "w")), encoding="utf-8", line_buffering=True)


@contextmanager
def _ending_with_snakemake(log: io.TextIOWrapper) -> Iterator[None]:
    """End this process when the one that started it is gone.

    Where Snakemake was killed, its jobs would go on, and the next run would start them once more beside them.
    """
    parent, done = os.getppid(), threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            if os.getppid() != parent:
                print(f"{REASON}the snakemake that ran this job was killed, so the job ends.", file=log)
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _told(error: Exception, snakemake: Any) -> str:
    """What an error says and, where it does not say so itself, what to do."""
    if (cause := memory.ran_out(error)) is not None:
        return memory.explain(cause, snakemake.rule, snakemake.resources.get("mem_mb"))
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk is full ({error}). Make room, then run the same command again."
    return str(error) or type(error).__name__


def _title(snakemake: Any) -> str:
    wildcards = [value for name, value in snakemake.wildcards.items() if name != "sweep"]
    return " ".join([snakemake.rule, *map(str, wildcards)])


def _configure_logging(log: Any, screen: Any, level: str, title: str) -> None:
    to_log = logging.StreamHandler(log)
    to_log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[to_log], force=True)
    logging.captureWarnings(True)
    to_screen = logging.StreamHandler(screen)
    to_screen.setFormatter(_Printable(f"{title}: %(message)s"))
    to_screen.addFilter(lambda record: record.name == "idsweep.machine.progress" or record.levelno >= logging.WARNING)
    logging.getLogger("idsweep").addHandler(to_screen)
