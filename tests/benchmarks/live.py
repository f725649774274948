"""Rows about measurements inside a training loop."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.bench import Bench, Call, Size, Unavailable
from benchmarks.clouds import Cloud
from benchmarks.rows import Row, compared


@dataclass(frozen=True)
class Loop:
    """A loop that trains the demo's GPT-NeoX and measures its last layer."""

    steps: int
    every: int
    points: int
    n_neighbors: int

    def __str__(self) -> str:
        return f"{self.points:,} points every {self.every} steps of the demo's NeoX (8 × 128 tokens)"


def live_rows(size: Size) -> list[Row]:
    """What a measurement takes of the training, and its estimate beside that of scikit-dimension in the loop."""
    whole = Loop(500, 100, 3_000, 64)
    loop = whole if size.real >= 10_000 else Loop(40, 20, 1_000, 64) if size.real > 500 else Loop(2, 1, 60, 16)
    cloud = Cloud("real", loop.points)
    ours = Call("live", "estimate", {"n_neighbors": loop.n_neighbors})
    theirs = Call("scikit_dimension", "fit_pw", {"estimator": "TwoNN", "n_neighbors": loop.n_neighbors})
    peer = "scikit-dimension TwoNN.fit_pw, as in grokking-via-lid's loop"
    return [
        _overhead(loop, "cpu"),
        _overhead(loop, "cuda"),
        Row(
            *("Live", "estimate of the states of one layer", cloud, loop.n_neighbors, peer, compared(ours, theirs)),
            at_least=20,
            tolerance=1e-4,
        ),
    ]


def _overhead(loop: Loop, device: str) -> Row:
    call = Call("live", "training", {**asdict(loop), "device": device}, given=())

    def measure(bench: Bench, row: Row) -> None:
        if device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise Unavailable("no GPU")
        folder = bench.folder / f"live-{device}"
        folder.mkdir()
        bench.worker(call.side).call(call, {}, folder)
        seconds = {name: np.load(folder / f"{name}.npy") for name in ("training", "measurement")}
        row.ours, row.theirs = (float(np.median(seconds[name])) for name in ("measurement", "training"))
        row.runs, row.figure = len(seconds["training"]), 100 * row.ours / row.theirs

    where = "a measurement" if device == "cpu" else "a measurement on a GPU"
    return Row("Live", where, loop, loop.n_neighbors, "the steps before it", measure, unit="%")
