"""What a training leaves on the disk while it runs, so that it can go on after it was killed."""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import platform
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

import torch

from idsweep.files.atomic import whole_or_nothing
from idsweep.models.folders import why_unreadable

PATIENCE = 60.0  # seconds; a job whose Snakemake was killed stops within two
SECONDS_BETWEEN_STATES = 60.0
LOCK = "lock"
logger = logging.getLogger(__name__)


class Unfinished:
    """A training under way: the checkpoints that it has written and the state from which it can go on.

    It lies beside `output_folder`, since Snakemake deletes what an interrupted job was to make, and becomes
    `output_folder` when the training is finished: half a training never looks whole. Its `with` block holds the folder,
    so that two processes do not spoil each other's state.

    identity: what shapes the training (its signature). What another identity left there is deleted.
    checkpoints: the folder to write checkpoints to.
    scratch: a folder that is deleted when a training begins or goes on, for what becomes a state by `keep`.
    patience: seconds to wait for another process that trains here.

    Raises ValueError if another process still trains here then.
    """

    def __init__(self, output_folder: str | Path, identity: str, patience: float = PATIENCE) -> None:
        self._output = Path(output_folder)
        self._folder = self._output.with_name(f".{self._output.name}.unfinished")
        self.checkpoints, self.scratch = self._folder / "checkpoints", self._folder / ".scratch.unfinished"
        self._identity, self._state = self._folder / "identity", self._folder / "state.pt"
        self._lock = _locked(self._folder, patience)
        known = self._identity.exists() and self._identity.read_text(encoding="utf-8") == identity
        # A training that was killed while it finished has given its checkpoints away.
        if not known or not self.checkpoints.is_dir():
            self._delete_all()
        self._delete_halves()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with whole_or_nothing(self._identity) as unfinished:
            Path(unfinished).write_text(identity, encoding="utf-8")
        self._kept = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._lock.close()

    def state(self) -> dict[str, Any] | None:
        """What was saved last, on the CPU; None at a training's beginning. Raises ValueError if it cannot be read."""
        if not self._state.exists():
            return None
        with self.readable(self._state):
            return torch.load(self._state, map_location="cpu", weights_only=True)

    @contextmanager
    def readable(self, state: Path) -> Iterator[None]:
        """Say of a state that cannot be loaded in the block how to begin anew."""
        try:
            yield
        except (pickle.UnpicklingError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{state}, from which the training would go on, cannot be read: {why_unreadable(error)}. Delete "
                f"{self._folder}, and the training begins anew."
            ) from error

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep tensors, numbers, text, and lists and dictionaries of these. Either all of it is on the disk or the last."""
        with whole_or_nothing(self._state) as unfinished:
            torch.save(dict(state), unfinished)
        self._kept = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last state was kept so long ago that it is time for another."""
        return time.monotonic() - self._kept > SECONDS_BETWEEN_STATES

    def kept(self) -> tuple[int, Path] | None:
        """Number and folder of the state that was kept last by `keep`; None at a training's beginning."""
        states = sorted(self._folder.glob("state-*"), key=_number)
        for older in states[:-1]:
            shutil.rmtree(older)
        return (_number(states[-1]), states[-1]) if states else None

    def keep(self, folder: Path, number: int) -> None:
        """Make a folder below `scratch` the state of that number. Either all of it is there or the last."""
        folder.replace(self._folder / f"state-{number}")
        self.kept()
        self._kept = time.monotonic()

    def finish(self) -> None:
        """Give the checkpoints their place and delete the rest."""
        shutil.rmtree(self._output, ignore_errors=True)
        self._output.parent.mkdir(parents=True, exist_ok=True)
        self.checkpoints.replace(self._output)
        self._lock.close()  # before its file goes, which network file systems keep while it is open
        shutil.rmtree(self._folder)

    def _delete_all(self) -> None:
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def _delete_halves(self) -> None:
        """Delete what a killed process was writing, under temporary names."""
        for folder in (self._folder, self.checkpoints):
            for half in folder.glob(".*.unfinished"):
                if half.is_dir():
                    shutil.rmtree(half)
                else:
                    half.unlink()


def _number(state: Path) -> int:
    return int(state.name.removeprefix("state-"))


def _locked(folder: Path, patience: float) -> TextIO:
    """The lock of a folder, held until it is closed or the process ends."""
    path, until = folder / LOCK, time.monotonic() + patience
    has_warned = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
        except OSError:  # a file system without locks
            return lock
        else:
            if _is_same(lock, path):
                lock.truncate(0)
                lock.write(f"process {os.getpid()} on {platform.node()}\n")
                lock.flush()
                return lock
            lock.close()  # the other has finished and deleted the folder meanwhile
            continue
        if time.monotonic() > until:
            raise ValueError(
                f"{folder.parent}: {owner} trains this model already, perhaps for a run that was killed. Wait until it is "
                "done, or end it, then run snakemake again."
            )
        if not has_warned:
            logger.warning("waiting for %s, which trains this model", owner)
            has_warned = True
        time.sleep(0.5)


def _is_same(lock: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False
