"""Tables summarise what is stored, count what is undefined, and keep what identifies a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from idsweep.files import parquet
from idsweep.files.columns import ESTIMATES
from idsweep.files.vectors import write_estimates
from idsweep.tables import collect

IDENTITY = {
    "set": "standard",
    "model": "m",
    "group": "m",
    "seed": None,
    "checkpoint": "step8",
    "step": 8,
    "dataset": "d",
    "split": "train",
    "representation": "layer_3",
    "layer": 3,
    "cloud": "points",
    "extrinsic_dimension": 64,
}


def write_file(path: Path, values: list[float], layer: int = 3) -> str:
    """Local values, their mean and one global estimate of a cloud; and a null whose values are ten times as large."""
    rows = []
    for variant, factor in (("data", 1.0), ("gaussian", 10.0)):
        cloud = {"estimator": "twonn", "variant": variant, "n_points": len(values), "scale": 2.5}
        cloud |= {"n_undefined": int(np.isnan(values).sum()), "n_neighbors": 16}
        rows += [
            cloud | {"scope": "local", "point": i, "value": factor * value, "standard_error": 0.5}
            for i, value in enumerate(values)
        ]
        stable = {"scale_stable": True if variant == "data" else None}
        mean = factor * np.mean([value for value in values if value == value] or [np.nan])
        rows.append(cloud | stable | {"scope": "mean", "value": mean, "standard_error": factor * 0.125})
        rows.append(cloud | stable | {"scope": "global", "value": factor * 7.5, "standard_error": 0.25})
    table, name = pa.Table.from_pylist(rows, schema=ESTIMATES), f"layer_{layer}"
    write_estimates(path, {name: table}, {name: IDENTITY | {"representation": name, "layer": layer}}, {})
    return str(path)


def test_summaries_are_numpy_s_and_pandas(tmp_path: Path) -> None:
    values = np.random.default_rng(0).gamma(4.0, 2.0, 500)
    found = collect.collect_estimates([write_file(tmp_path / "a.parquet", values.tolist())]).local
    for row, factor in zip(found.to_pylist(), (1, 10), strict=True):
        described = pd.Series(factor * values).describe(percentiles=[0.05, 0.25, 0.5, 0.75, 0.95])
        for name, of_pandas in (("mean", "mean"), ("standard_deviation", "std"), ("median", "50%"), ("q05", "5%")):
            assert row[name] == pytest.approx(described[of_pandas], rel=1e-12)
        assert row["standard_error"] == factor * 0.125
        assert row["redundancy"] == pytest.approx(1 - factor * values.mean() / 64, rel=1e-12)
        assert row["n_points"] == 500
        assert row["n_undefined"] == 0
        assert {key: row[key] for key in IDENTITY} == IDENTITY
    assert found["variant"].to_pylist() == ["data", "gaussian"]
    assert found["scale_stable"].to_pylist() == [True, None]
    assert found["scale"].to_pylist() == [2.5, 2.5]


def test_undefined_values_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    file = write_file(tmp_path / "a.parquet", [1.0, float("nan"), 3.0])
    row = collect.collect_estimates([file]).local.to_pylist()[0]
    assert (row["mean"], row["median"], row["n_points"], row["n_undefined"]) == (2.0, 2.0, 3, 1)
    nothing = write_file(tmp_path / "b.parquet", [float("nan")] * 3)
    row = collect.collect_estimates([nothing]).local.to_pylist()[0]
    assert np.isnan(row["mean"]) and np.isnan(row["median"])
    assert row["n_undefined"] == 3


def test_global_estimates(tmp_path: Path) -> None:
    found = collect.collect_estimates([write_file(tmp_path / "a.parquet", [1.0, 2.0])]).global_
    row = found.to_pylist()[0]
    assert (row["value"], row["standard_error"], row["n_points"], row["n_undefined"]) == (7.5, 0.25, 2, 0)
    assert found["variant"].to_pylist() == ["data", "gaussian"]
    assert found["value"].to_pylist() == [7.5, 75.0]


def test_pointwise_values_carry_their_identity_and_are_of_the_data(tmp_path: Path) -> None:
    files = [write_file(tmp_path / f"{layer}.parquet", [1.0, 2.0], layer) for layer in (0, 1)]
    frame = collect.read_frame("pointwise", files)
    assert frame["layer"].tolist() == [0, 0, 1, 1]
    assert frame["value"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert set(frame["scope"]) == {"local"}


def test_training_curves() -> None:
    curve = pa.table({"step": [0, 1], "metric": ["train_loss"] * 2, "value": [5.0, 4.0]})
    brought = curve.drop_columns("metric")
    seeds = {seed: {"model": f"m-seed{seed}", "group": "m", "seed": seed, "varied": "{}"} for seed in (3, 4)}
    parts = [*((whose, curve) for whose in seeds.values()), (seeds[4] | {"metric": "accuracy"}, brought)]
    table = collect.training_curves(parts)
    assert table.schema.equals(collect.TRAINING)
    assert table.to_pylist()[1] == seeds[3] | {"step": 1, "metric": "train_loss", "value": 4.0}
    assert table["seed"].to_pylist() == [3, 3, 4, 4, 4, 4]
    assert table["metric"].to_pylist()[3:] == ["train_loss", "accuracy", "accuracy"]
    assert collect.training_curves([]).num_rows == 0
    with pytest.raises(ValueError, match="'train_loss' of m-seed3 occurs twice at step 0"):
        collect.training_curves([parts[0], (seeds[3] | {"metric": "train_loss"}, brought)])


def test_csv_keeps_all_digits(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random(50)
    parquet.write_table(tmp_path / "t.parquet", pa.table({"v": values, "s": ["a,b"] * 50}), {})
    collect.write_csv(str(tmp_path / "t.parquet"), str(tmp_path / "t.csv"))
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "t.csv", float_precision="round_trip")["v"], values)


def test_texts_that_spreadsheets_run_are_marked_where_that_is_asked_for(tmp_path: Path) -> None:
    texts = ["=1+1", "+a", "-b", "@c", "\td", "\re", "＝f", None, "", "g=h", "'i", " =j"]
    values = -np.random.default_rng(1).random(len(texts))
    coded = pa.array(texts).dictionary_encode()
    parquet.write_table(tmp_path / "t.parquet", pa.table({"v": values, "s": texts, "d": coded}), {})
    source, plain, marked = (str(tmp_path / name) for name in ("t.parquet", "plain.csv", "marked.csv"))
    collect.write_csv(source, plain)
    collect.write_csv(source, marked, escape_formulas=True)
    options = {"keep_default_na": False, "dtype": {"s": str, "d": str}, "lineterminator": "\n"}
    options["float_precision"] = "round_trip"
    before, after = (pd.read_csv(file, **options) for file in (plain, marked))
    expected = [f"'{text}" if text and text[0] in "=+-@\t\r＝" else text or "" for text in texts]
    assert list(before["s"]) == [text or "" for text in texts]
    assert list(after["s"]) == list(after["d"]) == expected
    np.testing.assert_array_equal(after["v"], values)
