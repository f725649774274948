"""The report holds its tables and pictures, and nothing in them ends a part of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from builders.explored import HOSTILE
from builders.reports import write_example
from idsweep.report.about import read_about
from idsweep.report.shown_tables import describe_columns


def test_a_table_is_its_columns() -> None:
    table = pa.table(
        {
            "model": ["b", None, "a", "b"],
            "step": pa.array([0, 10, None, 3], pa.int64()),
            "mean": [1.5, float("nan"), None, 2.0],
            "stable": [True, None, False, True],
            "tokens": pa.array([[1, 2], None, [], [3]], pa.list_(pa.int32())),
            "empty": pa.nulls(4, pa.string()),
        }
    )
    model, step, mean, stable, tokens = describe_columns(table)
    assert model["words"] == ["b", "a"] and model["codes"].tolist() == [0, -1, 1, 0]
    assert step["whole"] and not mean["whole"]
    np.testing.assert_array_equal(step["values"], [0, 10, np.nan, 3])
    np.testing.assert_array_equal(mean["values"], [1.5, np.nan, np.nan, 2.0])
    assert [stable["words"][code] if code >= 0 else None for code in stable["codes"]] == ["yes", None, "no", "yes"]
    assert tokens["words"] == ["[1, 2]", "[]", "[3]"]
    assert [len(column.get("codes", column.get("values"))) for column in describe_columns(table, most_rows=2)] == [
        2,
        2,
        2,
        2,
        2,
    ]


def test_nothing_in_the_data_ends_a_part_of_the_page(tmp_path: Path) -> None:
    text = write_example(tmp_path, title=HOSTILE, model=HOSTILE).read_text()
    assert "<script>alert(1)" not in text and not re.search(r"(?:src|href)=\"https?:", text)
    assert text.count("<script") == text.count("</script>") == 1 + 3  # the page's own, and packs: list, local, global


def test_a_page_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "about.html").write_text("<html>")
    with pytest.raises(ValueError, match=r"about\.html does not say what made the sweep; delete it"):
        read_about(tmp_path / "about.html")
