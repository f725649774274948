"""The whole table: what is measured, in the order of its lines."""

from __future__ import annotations

from benchmarks.bench import Size
from benchmarks.explorer import explorer_rows
from benchmarks.extraction import extraction_rows
from benchmarks.live import live_rows
from benchmarks.rows import Row, estimation_rows
from benchmarks.sweeps import sweep_rows
from benchmarks.trainings import training_rows


def rows(size: Size) -> list[Row]:
    return [
        *estimation_rows(size),
        *extraction_rows(size),
        *training_rows(size),
        *live_rows(size),
        *sweep_rows(size),
        *explorer_rows(size),
    ]
