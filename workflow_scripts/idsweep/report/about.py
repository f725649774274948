"""The page about a sweep: how large it is, and the command, versions and configuration that made it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.parquet import read_table

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
  body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 52rem; padding: 0 1rem; color: #1a1a1a; background: #fff }}
  h1 {{ font-size: 1.4rem }} h3 {{ font-size: 1.1rem; margin-top: 2rem }}
  pre {{ background: #f5f5f5; padding: 0.8rem 1rem; overflow-x: auto; border-radius: 4px }}
  table {{ border-collapse: collapse }} td, th {{ padding: 0.15rem 1.2rem 0.15rem 0; text-align: left; font-weight: normal }}
  th {{ color: #555 }}
</style>
<h1>{title}</h1>
<main>
<p>{models}, {clouds} point clouds, {estimates} estimates.{missing}</p>
<h3>Command</h3>
<pre>{command}</pre>
<h3>Versions</h3>
<table>{versions}</table>
<h3>Configuration</h3>
<details><summary>Every key, with the defaults that were taken</summary>
<pre>{config}</pre>
</details>
</main>
</html>
"""
MAIN = re.compile(r"<main>(.*)</main>", re.DOTALL)


def write_about(
    path: str | Path,
    *,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    command: str,
    tables: Sequence[str | Path],
    missing: Sequence[str] = (),
) -> None:
    """Write the page.

    tables: the sweep's tables of estimates, for the counts. missing: checkpoints that are not measured.
    """
    own = dict(config)
    catalog = own.pop("catalog")
    estimates = [read_table(table) for table in tables]
    clouds = {
        row
        for frame in estimates
        for row in zip(*(frame[c].to_pylist() for c in ("model", "checkpoint", "dataset")), strict=True)
    }
    rows = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(version)}</td></tr>" for name, version in versions.items()
    )
    page = PAGE.format(
        title=html.escape(config["title"]),
        models=html.escape(", ".join(sorted({model for model, _, _ in clouds}))),
        clouds=len(clouds),
        estimates=sum(map(len, estimates)),
        missing=html.escape(f" Not measured: {', '.join(missing)}.") if missing else "",
        command=html.escape(command),
        versions="".join(rows),
        config=html.escape(yaml.safe_dump(own | {"catalog": catalog}, sort_keys=False, allow_unicode=True)),
    )
    with whole_or_nothing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


def read_about(path: str | Path) -> str:
    """What `write_about` wrote below the title, HTML. Raises ValueError if it is not such a page."""
    found = MAIN.search(Path(path).read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{path} does not say what made the sweep; delete it, and it is written again.")
    return found[1]
