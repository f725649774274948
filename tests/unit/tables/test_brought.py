"""Tables that users bring are read as they are meant, or refused with what is wrong."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.project import CONFIG
from idsweep.tables.brought import METRIC, REFERENCE, read_metric, read_reference


def csv(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


def test_a_metric_is_read_from_csv_in_the_order_of_the_steps(tmp_path: Path) -> None:
    table = read_metric(csv(tmp_path, "epoch,step,value\n2,3550,0.5\n1,1775,0.25\n"))
    assert table.schema.equals(METRIC)
    assert table.to_pylist() == [{"step": 1775, "value": 0.25}, {"step": 3550, "value": 0.5}]


def test_a_metric_is_read_from_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"value": [1, 2], "step": pa.array([0, 5], pa.int32())}), tmp_path / "t.parquet")
    assert read_metric(tmp_path / "t.parquet").to_pylist() == [{"step": 0, "value": 1.0}, {"step": 5, "value": 2.0}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,valu\n1,2\n", "has no column 'value'; it has step, valu, and needs step, value"),
        ("step,value\n", "has no row"),
        ("step,value\n1,\n", "column 'value': a value is missing"),
        ("step,value\n1,high\n", "cannot be read as a table"),
        ("step,value\n1.5,2\n", "column 'step': expected int64"),
        ("step,value\n1,2\n1,3\n", "each step must occur once"),
        ("step,value\n-1,2\n", "must not be negative"),
        ("step,value\n1,inf\n", "column 'value': a value is infinite"),
        ("step,value,value\n1,2,3\n", "has the column 'value' twice"),
    ],
)
def test_what_a_metric_lacks_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_metric(csv(tmp_path, text))


def test_published_values_are_read_with_what_they_leave_out(tmp_path: Path) -> None:
    table = read_reference(csv(tmp_path, "model,quantity,step,value,lower,upper\nm,local_dimension,500,5.5,5,6\n"))
    assert table.schema.equals(REFERENCE)
    (row,) = table.to_pylist()
    assert (row["model"], row["step"], row["lower"], row["upper"]) == ("m", 500, 5.0, 6.0)
    assert row["dataset"] is row["layer"] is row["source"] is None


@pytest.mark.parametrize(
    ("column", "message"),
    [([[1.0], [2.0]], "column 'value': expected double"), ([1.0, float("nan")], "column 'value': a value is infinite")],
)
def test_a_column_of_no_numbers_is_told(tmp_path: Path, column: list, message: str) -> None:
    pq.write_table(pa.table({"value": column, "step": [0, 5]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        read_metric(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,step,value\nm,1,2\n", "has no column 'quantity'"),
        ("quantity,step,value\na,1,2\n", "column 'model': a value is missing; only ranges"),
        ("model,quantity,step,value,lower\nm,a,1,,2\n", "column 'value': a value is missing; only ranges"),
        ("model,quantity,step,value\nm,a,-1,2\n", "column 'step': steps must not be negative"),
        ("model,quantity,step,value,lower,upper\nm,a,1,2,3,1\n", "lower is more than upper"),
        ("model,quantity,step,value,lower\nm,a,1,2,-inf\n", "column 'lower': a value is infinite"),
    ],
)
def test_what_is_wrong_about_published_values_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_reference(csv(tmp_path, text))


def test_a_range_needs_no_model_step_or_value(tmp_path: Path) -> None:
    text = "quantity,value,lower,upper,setting\nlocal_dimension,,8,10,M\n"
    (row,) = read_reference(csv(tmp_path, text)).to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "quantity": "local_dimension",
        "lower": 8.0,
        "upper": 10.0,
        "setting": "M",
    }


def test_the_reference_files_of_the_experiments_can_be_read() -> None:
    folder = CONFIG / "experiments"
    files = sorted(folder.glob("*.reference.csv"))
    assert files
    for file in files:
        assert set(read_reference(file)["quantity"].to_pylist()) <= {
            "local_dimension",
            "train_accuracy",
            "validation_accuracy",
            "redundancy",
            "test_joint_goal_accuracy",
        }
