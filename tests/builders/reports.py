"""A report of a small sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from idsweep.files.parquet import write_table
from idsweep.report.about import write_about
from idsweep.report.report import write_report

from builders.explored import write_explored

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def write_example(folder: Path, *, title: str = "A sweep", model: str = "model", more: int = 0) -> Path:
    """report.html with a figure and the tables local and global; `more`: rows of a further table, `losses`."""
    write_explored(folder, title=title, models=[model], layers=3)
    (folder / "figures").mkdir()
    (folder / "figures/dynamics-loss.png").write_bytes(PIXEL)
    tables = {name: folder / f"{name}.parquet" for name in ("local", "global")}
    write_about(
        folder / "about.html",
        config={"title": title, "catalog": {}, "sweep": model},
        versions={"torch": "2"},
        command=f"snakemake --config title={title}",
        tables=list(tables.values()),
    )
    if more:
        steps = np.arange(more, dtype=np.int64)
        write_table(
            folder / "losses.parquet", pa.table({"model": [model] * more, "step": steps, "loss": steps / 7}), {}
        )
        tables["losses"] = folder / "losses.parquet"
    captions = {name: f"What ``{name}`` holds: {title}." for name in tables}
    write_report(
        folder / "report.html",
        title=title,
        tables=tables,
        figures={"dynamics-loss": folder / "figures/dynamics-loss.png"},
        captions={"tables": captions, "figures": {"dynamics-loss": f"A caption: {title}."}},
        about=folder / "about.html",
        results=folder,
        has_explorer=True,
    )
    return folder / "report.html"
