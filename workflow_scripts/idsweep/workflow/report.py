"""What the report adds to the figures: the page about the sweep, and the call of Snakemake's own report."""

from __future__ import annotations

import html
import os
import re
import subprocess
import tempfile
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
  h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
  pre {{ background: #f5f5f5; padding: 0.8rem 1rem; overflow-x: auto; border-radius: 4px }}
  table {{ border-collapse: collapse }} td, th {{ padding: 0.15rem 1.2rem 0.15rem 0; text-align: left; font-weight: normal }}
  th {{ color: #555 }}
</style>
<h1>{title}</h1>
<p>{models}, {clouds} point clouds, {estimates} estimates.{missing}</p>
<h2>Command</h2>
<pre>{command}</pre>
<h2>Versions</h2>
<table>{versions}</table>
<h2>Configuration</h2>
<pre>{config}</pre>
</html>
"""


def heading(config: Mapping[str, Any]) -> dict[str, str]:
    """Title, models and datasets of a sweep for the head of the report, whose language, reStructuredText, they are kept from."""
    return {
        "title": _words(config["title"]),
        "models": ", ".join(map(_words, config["models"])),
        "datasets": ", ".join(map(_words, config["datasets"])),
    }


def _words(text: str) -> str:
    """The text in one line, in which nothing is markup: no directive that would include a file or a script."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", " ".join(text.split()))


def write_about(
    path: str | Path,
    *,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    command: str,
    tables: Sequence[str | Path],
    missing: Sequence[str] = (),
) -> None:
    """Write the page about a sweep: how large it is, the command, versions and configuration that made it.

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


def write_report(
    path: str | Path, *, python: str, snakefile: Path, config: Mapping[str, Any], contents: Sequence[str | Path]
) -> None:
    """Write Snakemake's report of `contents`, which a running workflow has just made.

    python: the interpreter that runs this workflow's Snakemake.

    Raises RuntimeError with Snakemake's own words if it cannot be made.
    """
    path = Path(path)
    environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
    with tempfile.TemporaryDirectory() as folder:
        configfile = Path(folder) / "config.yaml"
        configfile.write_text(yaml.safe_dump(_plain(config)), encoding="utf-8")
        unfinished = path.with_name(f".{path.stem}.{os.getpid()}.html")  # Snakemake goes by the ending
        command = [python, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", str(configfile)]
        command += ["--nolock", "--cores", "1", "--report", str(unfinished), *map(str, contents)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        try:
            if done.returncode:
                raise RuntimeError(f"Snakemake could not write the report:\n{done.stderr}")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _plain(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _plain(value) for key, value in config.items()}
    return [_plain(value) for value in config] if isinstance(config, list | tuple) else config
