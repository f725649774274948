"""The tables of docs/experiments.md that hold each experiment against what was published: python -m builders.published_tables."""

from __future__ import annotations

import sys
from pathlib import Path

from idsweep.config import published

from builders.markers import markers, write_between
from builders.project import CONFIG, PROJECT

PAGE = PROJECT / "docs/experiments.md"


def folded(name: str) -> list[str]:
    """Lines of the page: the table of an experiment, shown on request, under how many of its settings differ."""
    _, rows = published.compare(name, CONFIG)
    differing = sum(row.differs is not None for row in rows)
    summary = f"Published settings: {len(rows) - differing} of {len(rows)} are the same"
    return [f"<details><summary>{summary}</summary>", "", published.table(name, CONFIG).rstrip(), "", "</details>"]


def write(page: Path) -> None:
    for name in published.names(CONFIG):
        write_between(page, marker(name), folded(name))


def marker(name: str) -> str:
    return f"published settings of {name}"


def written(name: str, page: Path) -> str:
    """What the page holds for an experiment. Raises ValueError if it has no place for it."""
    begin, end = markers(marker(name))
    _, begun, rest = page.read_text(encoding="utf-8").partition(begin)
    inside, ended, _ = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{page} holds no {begin} … {end}.")
    return inside.strip()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
