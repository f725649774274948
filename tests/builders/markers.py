"""Pages that are written by hand but for tables, which lie between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def markers(name: str) -> tuple[str, str]:
    """The lines before and after the tables of this name."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def write_between(page: Path, name: str, lines: Sequence[str]) -> None:
    """Put the lines between the markers of the page. Raises ValueError if it has none."""
    begin, end = markers(name)
    before, begun, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{page} holds no {begin} … {end}, between which the tables belong.")
    page.write_text(f"{before}{begin}\n\n" + "\n".join(lines) + f"\n\n{end}{after}", encoding="utf-8")
