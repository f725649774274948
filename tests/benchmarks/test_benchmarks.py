"""The benchmarks at a tiny size, with the peers that are installed beside idsweep: their values, not their times."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.bench import SIZES
from benchmarks.clouds import Cloud
from benchmarks.dag import CHECKPOINTS, sweep_of
from benchmarks.rows import Row, largest_difference
from benchmarks.table import rows


def test_a_tiny_run_fills_the_table_and_the_page(tmp_path, capsys):
    page = tmp_path / "benchmarks.md"
    assert command.main(["--size", "tiny", "--without-peers", "--write", str(page)]) == 0
    shown = capsys.readouterr().out
    for group in (
        "Neighbours",
        "Local",
        "Global",
        "Growth",
        "Job",
        "GPU",
        "Extraction",
        "Training",
        "Live",
        "Sweep",
        "Throughput",
        "Explorer",
    ):
        assert f"{group}: " in shown
    table = page.read_text().split("|---|---|---|---:")[1].partition("\n\n")[0]
    written = [line for line in table.splitlines()[1:] if line.startswith("|")]
    assert len(written) == len(rows(SIZES["tiny"]))
    for line, row in zip(written, rows(SIZES["tiny"]), strict=True):
        assert row.what in line and row.against in line
        # without a GPU or a venv of its own a row says so; every other one has a figure, and values if it compares any
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert cells[5]
        if "not measured" not in cells[5] and row.tolerance is not None:
            assert cells[8]
    assert "peers with a venv of their own are left out" in page.read_text()


def measured(difference, bench, row):
    row.ours, row.theirs, row.figure, row.difference = 1.0, 2.0, 2.0, difference


@pytest.mark.parametrize(("difference", "status"), [(1e-3, 0), (0.5, 1), (np.nan, 1)])
def test_values_that_disagree_fail_the_run(difference, status, monkeypatch, capsys):
    row = Row("Local", "it", Cloud("real", 300), 16, "them", partial(measured, difference), tolerance=1e-2)
    monkeypatch.setattr(command, "rows", lambda size: [row])
    assert command.main(["--size", "tiny"]) == status
    assert (f"values differ by {difference:.2g}" in capsys.readouterr().out) == bool(status)


@pytest.mark.parametrize(
    ("theirs", "difference"), [([1.0, np.nan], 0.0), ([2.0, np.nan], 0.5), ([1.0, 1.0], np.inf), ([1.0], np.inf)]
)
def test_the_largest_difference_is_relative_and_minds_undefined_values(theirs, difference):
    ours = {"value": np.array([1.0, np.nan]), "indices": np.array([3])}
    assert largest_difference(ours, {"value": np.array(theirs), "indices": np.array([4])}) == difference


@pytest.mark.parametrize("estimates", CHECKPOINTS)
def test_the_plans_are_of_as_many_estimates_as_they_say(estimates):
    _, sweep = sweep_of(estimates)
    files = sum(1 for cloud in sweep.clouds() for _ in sweep.estimates(cloud))
    assert estimates / 8 < files < estimates / 4
    _, sweep = sweep_of(estimates, layers_per_job=1)
    assert sum(1 for cloud in sweep.clouds() for _ in sweep.estimates(cloud)) == estimates
