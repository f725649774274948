"""Rows about training: what metrics and checkpoints cost beside a bare loop."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.bench import Bench, Call, Size, Unavailable
from benchmarks.rows import Row


@dataclass(frozen=True)
class Sums:
    """All sums modulo a prime, on a part of which a small GPT-2 is trained."""

    modulus: int
    steps: int
    checkpoint_every: int
    fraction: float = 0.45

    def __str__(self) -> str:
        return f"sums mod {self.modulus}, {self.steps} steps of 512, metrics every 10, a checkpoint every {self.checkpoint_every}"


@dataclass(frozen=True)
class Turns:
    """Turns of made-up dialogues, on which a tracker with a small BERT is trained."""

    width: int
    layers: int
    turns: int
    max_length: int
    steps: int

    def __str__(self) -> str:
        return f"{self.steps} steps of {self.turns} turns × at most {self.max_length} tokens, {self.layers} layers of width {self.width}"


def training_rows(size: Size) -> list[Row]:
    """Rows for the CPU and for a GPU."""
    small = Sums(197, 250, 250) if size.real >= 10_000 else Sums(97, 20, 20) if size.real > 500 else Sums(13, 2, 2)
    turns = Turns(256, 4, 32, 180, 25) if size.real >= 10_000 else Turns(64, 2, 8 if size.real > 500 else 2, 60, 5)
    published = Turns(768, 12, 32, 180, 25) if size.real >= 10_000 else turns
    return [
        _row("Training", small, min(size.runs, 3), "cpu"),
        _tracker_row("Training", turns, "cpu"),
        _row("Training on a GPU", small, min(size.runs, 3), "cuda"),
        _tracker_row("Training on a GPU", published, "cuda"),
    ]


def _tracker_row(group: str, turns: Turns, device: str) -> Row:
    """The figure is the median over updates of the training's time by that of the bare loop just after it."""
    call = Call("trainings", "tracker_against_bare", {**asdict(turns), "device": device}, given=())

    def measure(bench: Bench, row: Row) -> None:
        ours, theirs = _measured(bench, call, f"tracker-{device}", device)
        row.ours, row.theirs, row.runs = float(np.median(ours)), float(np.median(theirs)), len(ours)
        row.figure = float(np.median(ours / theirs))

    what = "training step of the tracker"
    return Row(group, what, turns, 0, "a bare loop of the same model and batch", measure, "of its time", at_most=1.15)


def _measured(bench: Bench, call: Call, name: str, device: str) -> tuple[np.ndarray, np.ndarray]:
    """What the side found of the training and of the bare loop."""
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise Unavailable("no GPU")
    folder = bench.folder / name
    folder.mkdir()
    bench.worker(call.side).call(call, {}, folder)
    ours, theirs = (np.load(folder / f"{one}.npy") for one in ("training", "bare"))
    return ours, theirs


def _row(group: str, sums: Sums, runs: int, device: str) -> Row:
    call = Call("trainings", "equations_against_bare", {**asdict(sums), "runs": runs, "device": device}, given=())

    def measure(bench: Bench, row: Row) -> None:
        ours, theirs = _measured(bench, call, f"trainings-{device}", device)
        row.ours, row.theirs, row.runs, row.figure = ours.min(), theirs.min(), len(ours), theirs.min() / ours.min()
        row.note = f"{group}: {sums.steps / row.ours:.1f} steps a second, bare {sums.steps / row.theirs:.1f}."

    return Row(group, "on equations, with metrics and checkpoints", sums, 0, "a bare loop", measure, at_least=0.8)
