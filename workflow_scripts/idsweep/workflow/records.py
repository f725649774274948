"""Results of which Snakemake has no record: whether they are current, their own provenance tells.

Snakemake keeps in `.snakemake/` what a file was made with. Where that is lost, or never came along with copied results, it takes
files as they are, whatever the configuration says by now. Parquet files hold the signature of the job that made them; of
figures, pages and tokenizers it is the last line of the job's log, which lies with the results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from idsweep.files.parquet import is_current
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.paths import Names, output_of, outputs
from idsweep.workflow.script import MADE


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
        """Whether a Parquet file of a job, its log, or a file of a job that reads what it makes holds the signature of now."""
        signature = self._graph.signature(rule, **dict(names))
        own = [path for path in self._paths(rule, names) if path.endswith(".parquet") and Path(path).exists()]
        if own:
            return all(is_current(path, signature) for path in own)
        if self._logged(rule, names) == f"{MADE}{signature}":
            return True
        return any(self._is_current(*reader) for reader in self._graph.readers(rule, names))

    def _logged(self, rule: str, names: Names) -> str:
        """The last line of the log of a job with one wildcard or none, as all have that make no Parquet file."""
        log = Path(self._graph.folder, "logs", "/".join([rule, *(value for _, value in names)]) + ".log")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        return lines[-1] if lines else ""
