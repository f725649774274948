"""What the jobs of a sweep took that was run here, from Snakemake's benchmark files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

# Snakemake 9 looks at a process every half second, thirty times, then every thirty seconds, and not at its end.
OFTEN, SELDOM = 15.0, 30.0


class Usage(NamedTuple):
    """Of all jobs of a rule: their number, seconds from start to end and core seconds of all, bytes of the largest."""

    jobs: int
    seconds: float
    core_seconds: float
    memory: float


def usage(results: str | Path) -> dict[str, Usage]:
    """Rule -> what its jobs took, of the sweep whose results are in a folder; empty if it was not run.

    Files that can not be read, or hold no row, are left out.
    """
    used: dict[str, Usage] = {}
    folder = Path(results) / "benchmarks"
    for file in sorted(folder.rglob("*.tsv")):
        try:
            rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
        except (OSError, UnicodeDecodeError):
            continue
        for row in rows[-1:]:
            rule = file.relative_to(folder).parts[0].removesuffix(".tsv")
            so_far = used.get(rule, Usage(0, 0.0, 0.0, 0.0))
            used[rule] = Usage(
                so_far.jobs + 1,
                so_far.seconds + _number(row["s"]),
                so_far.core_seconds + _core_seconds(row),
                max(so_far.memory, 2**20 * _number(row["max_rss"])),
            )
    return used


def _core_seconds(row: Mapping[str, str]) -> float:
    """Those at the last look, stretched to the end."""
    seconds = _number(row["s"])
    last = seconds if seconds <= OFTEN else OFTEN + SELDOM * ((seconds - OFTEN) // SELDOM)
    return _number(row["cpu_time"]) * seconds / last if last else 0.0


def _number(text: str) -> float:
    """Jobs that were too short to be looked at have NA or a dash."""
    try:
        return float(text)
    except ValueError:
        return 0.0
