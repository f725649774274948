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


def training_rows(size: Size) -> list[Row]:
    """Rows for the CPU and for a GPU."""
    small = Sums(197, 250, 250) if size.real >= 10_000 else Sums(97, 20, 20) if size.real > 500 else Sums(13, 2, 2)
    return [
        _row("Training", small, min(size.runs, 3), "cpu"),
        _row("Training on a GPU", small, min(size.runs, 3), "cuda"),
    ]


def _row(group: str, sums: Sums, runs: int, device: str) -> Row:
    call = Call("trainings", "equations_against_bare", {**asdict(sums), "runs": runs, "device": device}, given=())

    def measure(bench: Bench, row: Row) -> None:
        if device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise Unavailable("no GPU")
        folder = bench.folder / f"trainings-{device}"
        folder.mkdir()
        bench.worker(call.side).call(call, {}, folder)
        ours, theirs = (np.load(folder / f"{name}.npy") for name in ("training", "bare"))
        row.ours, row.theirs, row.runs, row.figure = ours.min(), theirs.min(), len(ours), theirs.min() / ours.min()
        row.note = f"{group}: {sums.steps / row.ours:.1f} steps a second, bare {sums.steps / row.theirs:.1f}."

    return Row(group, "on equations, with metrics and checkpoints", sums, 0, "a bare loop", measure, at_least=0.8)
