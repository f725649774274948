"""Results of which Snakemake has no record: whether they are current, their own provenance tells.

Snakemake keeps in `.snakemake/` what a file was made with. Where that is lost, or never came along with copied results, it takes
files as they are, whatever the configuration says by now. Parquet files hold the signature of the job that made them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from idsweep.files.parquet import is_current
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.paths import Names, output_of, outputs


class Unrecorded:
    """Tells of jobs whose files Snakemake knows nothing of whether these files are what the jobs would make."""

    def __init__(self, graph: JobGraph) -> None:
        self._graph = graph
        self._is_current = cache(self._find_out)

    def stale(self, rule: str, names: Names, recorded: Callable[[str], bool]) -> list[str]:
        """The files of a job that are there, if one of them has no record and the job is not shown to be current.

        recorded: path -> whether Snakemake has a record of it.
        """
        there = [path for path in self._paths(rule, names) if Path(path).exists()]
        unknown = any(not recorded(path) for path in there)
        return there if unknown and not self._is_current(rule, names) else []

    def _paths(self, rule: str, names: Names) -> list[str]:
        return [self._graph.path(output_of(rule, output, **dict(names))) for output in outputs(rule)]

    def _find_out(self, rule: str, names: Names) -> bool:
        """Whether a Parquet file of a job, or of one that reads what it makes, holds the signature that it would get now."""
        own = [path for path in self._paths(rule, names) if path.endswith(".parquet") and Path(path).exists()]
        if own:
            signature = self._graph.signature(rule, **dict(names))
            return all(is_current(path, signature) for path in own)
        return any(self._is_current(*reader) for reader in self._graph.readers(rule, names))
