"""What a run shows of a sweep's estimates: lines as they come, and the whole table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from idsweep.files.parquet import read_table
from idsweep.measuring import rows
from idsweep.sweep.sweep import Sweep
from idsweep.tables.collect import Estimates, collect_estimates
from idsweep.workflow.paths import folder_of_sweep, output_of, path_of

MOST_LINES = 60  # of the table at the end


class Shown:
    """The estimates of one sweep, from its beginning on."""

    def __init__(self, sweep: Sweep) -> None:
        self._folder = Path(folder_of_sweep(sweep.name))
        self._awaited = [
            Path(
                path_of(
                    sweep.name, output_of("estimate_dimensions", "estimates", **cloud.names(), part=part, layers=block)
                )
            )
            for cloud in sweep.clouds()
            for part, block in sweep.estimates(cloud)
        ]
        self._steps = {
            checkpoint.name: checkpoint.step
            for model in sweep.models.values()
            for checkpoint in model.checkpoints.values()
        }
        self._table = rows.Table(
            [
                (cloud.model.name, cloud.checkpoint.name, _name_of(sweep, cloud.dataset), representation)
                for cloud in sweep.clouds()
                for representation in cloud.model.representations(cloud.dataset)
            ],
            whole=False,
        )
        self._began, self._has_begun = time.time(), False

    def arrived(self) -> Iterator[str]:
        """Lines of the estimates that were made since the last call; the first with the names of the columns before it."""
        for file in [file for file in self._awaited if _written(file) >= self._began]:
            self._awaited.remove(file)
            try:
                found = rows.lines_of(collect_estimates([str(file)]), self._steps)
            except (OSError, ValueError):  # it is being made anew at this moment
                continue
            for place, columns in found.items():
                if "mean" not in columns:
                    continue
                if not self._has_begun:
                    self._has_begun = True
                    yield self._table.head
                yield self._table.line(place, columns)

    def whole(self) -> Iterator[str]:
        """The lines of all estimates of a finished sweep, and what the columns say."""
        local, global_ = (self._folder / f"tables/{name}.parquet" for name in ("local", "global"))
        found = rows.lines_of(Estimates(read_table(local), read_table(global_)), self._steps)
        table = rows.Table(found, whole=True)
        yield table.head
        lines = [table.line(place, columns) for place, columns in found.items()]
        yield from rows.shortened(lines, MOST_LINES, str(local.with_suffix(".csv")))
        yield rows.LEGEND


def _name_of(sweep: Sweep, dataset: str) -> str:
    return sweep.datasets[dataset].name if dataset in sweep.datasets else dataset


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
