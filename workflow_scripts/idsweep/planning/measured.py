"""What the jobs of a sweep took that was run here, from Snakemake's benchmark files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from idsweep.planning.plan import Plan

# Snakemake 9 looks at a process every half second, thirty times, then every thirty seconds, and not at its end.
OFTEN, SELDOM = 15.0, 30.0


class Usage(NamedTuple):
    """Of all jobs of a rule: their number, core seconds of all, bytes of the largest."""

    jobs: int
    core_seconds: float
    memory: float


def usage(results: Path) -> dict[str, Usage]:
    """Rule -> what its jobs took, of the sweep whose results are in a folder; empty if it was not run."""
    used: dict[str, Usage] = {}
    folder = results / "benchmarks"
    for file in sorted(folder.rglob("*.tsv")):
        with file.open(newline="") as opened:
            row = list(csv.DictReader(opened, delimiter="\t"))[-1]
        rule = file.relative_to(folder).parts[0].removesuffix(".tsv")
        so_far = used.get(rule, Usage(0, 0.0, 0.0))
        memory = 2**20 * _number(row["max_rss"])
        used[rule] = Usage(so_far.jobs + 1, so_far.core_seconds + _core_seconds(row), max(so_far.memory, memory))
    return used


def factors(planned: Plan, used: Mapping[str, Usage]) -> dict[str, float]:
    """Rule -> measured by planned core seconds of a job, where both are there."""
    seconds, jobs = planned.core_seconds(), planned.jobs
    each = {rule: seconds[rule] / jobs[rule] for rule in used.keys() & jobs.keys()}
    return {rule: used[rule].core_seconds / used[rule].jobs / one for rule, one in each.items()}


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
