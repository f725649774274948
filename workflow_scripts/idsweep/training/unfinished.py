"""What a training leaves on the disk while it runs, so that it can go on after it was killed."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from idsweep.model_files import why_unreadable
from idsweep.store import whole_or_nothing


class Unfinished:
    """A training under way: the checkpoints that it has written and the state from which it can go on.

    It lies beside `output_folder`, since Snakemake deletes what an interrupted job was to make, and becomes
    `output_folder` when the training is finished: half a training never looks whole.

    identity: what shapes the training (its signature). What another identity left there is deleted.
    checkpoints: the folder to write checkpoints to.
    folder: where a training that keeps more than one file of state may put it, in whole or under a name like
        `.NAME.unfinished`, which is deleted when a training begins or goes on.
    """

    def __init__(self, output_folder: str | Path, identity: str) -> None:
        self._output = Path(output_folder)
        self.folder = self._output.with_name(f".{self._output.name}.unfinished")
        self.checkpoints = self.folder / "checkpoints"
        self._identity, self._state = self.folder / "identity", self.folder / "state.pt"
        known = self._identity.exists() and self._identity.read_text(encoding="utf-8") == identity
        # A training that was killed while it finished has given its checkpoints away.
        if not known or not self.checkpoints.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._delete_halves()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with whole_or_nothing(self._identity) as unfinished:
            Path(unfinished).write_text(identity, encoding="utf-8")

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
                f"{self.folder}, and the training begins anew."
            ) from error

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep tensors, numbers, text, and lists and dictionaries of these. Either all of it is on the disk or the last."""
        with whole_or_nothing(self._state) as unfinished:
            torch.save(dict(state), unfinished)

    def finish(self) -> None:
        """Give the checkpoints their place and delete the rest."""
        shutil.rmtree(self._output, ignore_errors=True)
        self._output.parent.mkdir(parents=True, exist_ok=True)
        self.checkpoints.replace(self._output)
        shutil.rmtree(self.folder)

    def _delete_halves(self) -> None:
        """Delete what a killed process was writing, under temporary names."""
        for folder in (self.folder, self.checkpoints):
            for half in folder.glob(".*.unfinished"):
                if half.is_dir():
                    shutil.rmtree(half)
                else:
                    half.unlink()
