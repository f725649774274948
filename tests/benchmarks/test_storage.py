"""The table of what float16 changes, on few tokens: its form, and what must hold at any size."""

from __future__ import annotations

import re
from pathlib import Path

from builders.markers import markers

from benchmarks import storage


def test_a_small_run_fills_the_page(tmp_path: Path) -> None:
    page = tmp_path / "files.md"
    page.write_text("before\n{}\nold\n{}\nafter\n".format(*markers("storage")))
    assert storage.main(["--number", "200", "--write", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| layer_")]
    assert len(rows) == 7 + len(storage.MOVED_BY)
    assert all(len(row) == 4 + len(storage.ESTIMATES) for row in rows)
    float32, float16 = map(float, re.findall(r"([\d.]+) MB", text))
    assert 1.9 < float32 / float16 < 2.1
    # Outliers leave less of the 11 bits to what tells the points apart.
    error = [float(re.search(r"\((.*)\)", row[5])[1]) for row in rows]
    assert max(error[:7]) < 1e-3 < error[-1]
