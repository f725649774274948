"""A run of a sweep while it is watched: what is done, and estimates as they come."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from idsweep.machine.printable import printable

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_LINES = 15.0  # where the screen is a file
DONE = re.compile(r"(\d+) of (\d+) steps \(\d+%\) done")
# How the workflow's own last words begin; see workflow/run.py and workflow/preflight.py.
LAST_WORDS = re.compile(
    r"\d+ job\(s\) failed;|The run |Nothing was started:|Nothing to be done|The configuration cannot be run|Figures:|Tables:|Report:"
)
TAIL = 2**16  # bytes of a log that say how far things are
NOISE = ("Complete log(s):", "Elapsed time:", "Using profiles", "Assuming unrestricted", "Building DAG")
MOST_LINES = 20  # of a log, where none of these is found


class Screen:
    """Lines that stay, and one that says how far things are: rewritten on a terminal, seldom repeated in a file."""

    def __init__(self, output: IO[str] | None = None) -> None:
        self._output = output or sys.stdout
        self._live = self._output.isatty()
        self._status, self._last = "", time.monotonic()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._clear()
        print(printable(line), file=self._output, flush=True)
        self._rewrite()

    def status(self, text: str) -> None:
        """Say how far things are."""
        changed, self._status = text != self._status, printable(text)
        if self._live:
            self._clear()
            self._rewrite()
        elif changed and time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(self._status, file=self._output, flush=True)

    def end(self) -> None:
        """Leave nothing but the lines that stay."""
        self._clear()
        self._status = ""

    def _clear(self) -> None:
        if self._live and self._status:
            print("\r\x1b[K", end="", file=self._output, flush=True)

    def _rewrite(self) -> None:
        if self._live and self._status:
            width = shutil.get_terminal_size().columns - 1
            print(self._status[:width], end="", file=self._output, flush=True)


def follow(
    words: Sequence[str], log: Path, screen: Screen, look: Callable[[], Iterator[str]], command: str
) -> tuple[int, str]:
    """Run Snakemake to its end, with its output in a log.

    words: its call. look: what there is to say since the last look, a line each. command: what the user called, for the page about
    the sweep.

    Returns its exit code, and its last words: what was made and where, or what failed and why.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as written:
        environment = os.environ | {"IDSWEEP_COMMAND": command, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            words,
            stdout=written,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # it is stopped from here, once, whoever sends the signal to whom
        )
        with _as_interrupt(signal.SIGTERM), _as_interrupt(signal.SIGHUP):
            while process.poll() is None:
                try:
                    for line in look():
                        screen.say(line)
                    screen.status(_how_far(log, time.monotonic() - began))
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                except KeyboardInterrupt:
                    screen.say("Stopping: the jobs that run are ended, what is done is kept.")
                    os.killpg(process.pid, signal.SIGINT)
                except BaseException:
                    os.killpg(process.pid, signal.SIGINT)
                    process.wait()
                    raise
    for line in look():
        screen.say(line)
    screen.end()
    return process.returncode, _last_words(log)


@contextmanager
def _as_interrupt(number: int) -> Iterator[None]:
    """Within it, a signal does what Ctrl-C does."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _how_far(log: Path, seconds: float) -> str:
    """Jobs that are done, what was begun last, and the time."""
    with log.open("rb") as opened:
        opened.seek(max(0, log.stat().st_size - TAIL))
        text = opened.read().decode(errors="replace")
    done = DONE.findall(text)
    begun = [found[1] for found in re.finditer(r"^Job \d+: (.+)$", text, re.MULTILINE)]
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    if not done and not begun:
        return f"{clock}  planning"
    total = re.findall(r"^total\s+(\d+)$", text, re.MULTILINE)
    number, all_jobs = done[-1] if done else ("0", total[-1] if total else "?")
    return f"{clock}  {number} of {all_jobs} jobs" + (f"  {begun[-1]}" if begun else "")


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line for line in lines if not line.startswith(NOISE)]
    begins = next((i for i, line in enumerate(lines) if LAST_WORDS.match(line)), max(0, len(lines) - MOST_LINES))
    return "\n".join(lines[begins:]).strip("\n")
