"""What the jobs of a sweep took, from the files in which Snakemake wrote it down."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

DECIMAL_MB = 1024**2 / 1e6  # Snakemake says MiB


class Runtime(NamedTuple):
    """Of all jobs of a rule: their number, seconds from start to end and of processors, and the most memory of one, in MB."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    most_memory: float


def read_runtimes(folder: str | Path) -> list[Runtime]:
    """Every rule with benchmark files below `folder` (`RULE.tsv`, or files in a folder `RULE`), the longest first.

    Jobs whose files can not be read are left out: what they took is of no weight for what they found.
    """
    folder = Path(folder)
    of_rule: dict[str, list[dict[str, str]]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        rule = file.relative_to(folder).parts[0].removesuffix(".tsv")
        try:
            rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
        except (OSError, UnicodeDecodeError):
            continue
        of_rule.setdefault(rule, []).extend(rows[-1:])
    found = [
        Runtime(
            rule,
            len(rows),
            sum(_number(row.get("s")) for row in rows),
            sum(_number(row.get("cpu_time")) for row in rows),
            max(_number(row.get("max_rss")) for row in rows) * DECIMAL_MB,
        )
        for rule, rows in of_rule.items()
        if rows
    ]
    return sorted(found, key=lambda one: -one.seconds)


def _number(text: str | None) -> float:
    """Zero for what Snakemake could not measure: a job of less than a moment says NA."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
