"""Estimates files say what they are of, and many of them are one table to any reader of Parquet."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from idsweep.files.columns import CLOUD, ESTIMATES, IDENTITY, PASS
from idsweep.files.parquet import provenance
from idsweep.files.vectors import read_estimates, read_identities, representations, write_estimates

CLOUD_SETTINGS = {"cloud": "points", "cloud_number": 3, "cloud_sequences": None, "cloud_seed": 778, "cloud_noise": 0}
CLOUD_SETTINGS |= {"cloud_noise_seed": 0, "cloud_tokens": "all"}
TRAINED = {"set": "quick", "model": "neox-seed3", "group": "neox", "seed": 3, "checkpoint": "step4", "step": 4}
TRAINED |= {"dataset": "news", "split": "train"} | CLOUD_SETTINGS
FINAL = {
    "set": "quick",
    "model": "bert",
    "group": "bert",
    "checkpoint": "final",
    "dataset": "vocabulary",
} | CLOUD_SETTINGS


def estimates(values: list[float], scale: float | None = 2.5) -> pa.Table:
    """Local values and their mean."""
    same = {"estimator": "twonn", "variant": "data", "n_points": len(values), "n_undefined": 0, "scale": scale}
    rows = [{"scope": "local", "point": i, "value": value, "standard_error": 0.5} for i, value in enumerate(values)]
    rows.append({"scope": "mean", "value": float(np.mean(values)), "standard_error": 0.1, "scale_stable": True})
    return pa.Table.from_pylist([same | row for row in rows], schema=ESTIMATES)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three files: with seeds and steps, without, and without seeds, splits, layers, scales and points."""
    for name, identity, of_layers in (
        ("quick/neox-seed3/step4/news/points/layers_0-1", TRAINED, {"layer_0": [1.0, 2.0], "layer_1": [3.0, 5.0]}),
        ("quick/bert/final/news/points/layers_0-1", FINAL | {"dataset": "news", "split": "test"}, {"layer_1": [7.0]}),
        ("quick/bert/final/vocabulary/points/input_embeddings", FINAL, {"input_embeddings": [9.0, 11.0]}),
    ):
        tables = {layer: estimates(values, None if identity is FINAL else 2.5) for layer, values in of_layers.items()}
        numbers = {layer: int(layer[6:]) if layer.startswith("layer_") else None for layer in tables}
        identities = {
            layer: identity | {"layer": number, "extrinsic_dimension": 64} | ({"hausdorff": 0.25} if number else {})
            for layer, number in numbers.items()
        }
        path = tmp_path / "estimates" / f"{name}.parquet"
        path.parent.mkdir(parents=True)
        write_estimates(path, tables, identities, {"rule": "estimate_dimensions"})
    return tmp_path / "estimates"


def test_an_estimates_file_says_what_it_is_of(tree: Path) -> None:
    path = tree / "quick/neox-seed3/step4/news/points/layers_0-1.parquet"
    found = read_identities(path)
    assert list(found) == representations(path) == ["layer_0", "layer_1"]
    for layer, identity in found.items():
        assert list(identity) == IDENTITY.names
        expected = TRAINED | {"representation": layer, "layer": int(layer[6:]), "extrinsic_dimension": 64}
        expected |= {"hausdorff": 0.25 if layer == "layer_1" else None, "n_parameters": None}
        expected |= {"drawn_from": None, "draw_sequence_seed": None, "draw_seed": None}
        assert identity == expected
        assert read_estimates(path, layer).schema.equals(ESTIMATES)
    assert np.signbit(found["layer_0"]["cloud_noise"]) == np.False_
    assert provenance(path) == {"rule": "estimate_dimensions"}


def test_all_files_have_the_same_typed_columns(tree: Path) -> None:
    schemas = [pq.read_schema(path) for path in tree.rglob("*.parquet")]
    assert len(schemas) == 3
    for schema in schemas:
        assert schema.equals(schemas[0])
        assert set(schema.names) == {*IDENTITY.names, *ESTIMATES.names}
        assert not any(pa.types.is_null(field.type) for field in schema)
        assert all(field.nullable for field in schema if field.name in IDENTITY.names)
    assert {field.name for field in [*PASS, *CLOUD]} < set(IDENTITY.names)


def test_duckdb_opens_the_tree_as_one_table(tree: Path) -> None:
    query = f"""select "set", model, seed, checkpoint, step, dataset, split, representation, layer, scope, point, value
        from '{tree}/**/*.parquet' order by model, representation, scope, point"""
    rows = duckdb.sql(query).fetchall()
    assert len(rows) == 3 + 3 + 2 + 3
    assert rows[0] == (
        "quick",
        "bert",
        None,
        "final",
        None,
        "vocabulary",
        None,
        "input_embeddings",
        None,
        "local",
        0,
        9.0,
    )
    assert rows[-1] == ("quick", "neox-seed3", 3, "step4", 4, "news", "train", "layer_1", 1, "mean", None, 4.0)
    types = dict(duckdb.sql(f"select column_name, column_type from (describe from '{tree}/**/*.parquet')").fetchall())
    assert (types["seed"], types["step"], types["layer"], types["hausdorff"]) == (
        "INTEGER",
        "BIGINT",
        "SMALLINT",
        "DOUBLE",
    )


def test_pandas_and_pyarrow_open_the_tree_as_one_table(tree: Path) -> None:
    frame = pd.read_parquet(tree)
    assert len(frame) == 11
    mean = frame[frame["scope"] == "local"].groupby(["model", "dataset", "representation"])["value"].mean()
    assert mean["neox-seed3", "news", "layer_1"] == 4.0 and mean["bert", "vocabulary", "input_embeddings"] == 10.0
    assert frame.loc[frame["model"] == "bert", "seed"].isna().all()
    assert frame.loc[frame["model"] == "neox-seed3", "seed"].eq(3).all()
    dataset = ds.dataset(tree)
    assert dataset.schema.field("seed").type == pa.int32() and dataset.schema.field("split").type == pa.string()
    assert dataset.count_rows(filter=(ds.field("model") == "bert") & ds.field("step").is_null()) == 5
    one = dataset.to_table(filter=ds.field("layer") == 1).to_pandas()
    assert set(one["model"]) == {"neox-seed3", "bert"} and set(one["hausdorff"]) == {0.25}


def test_identity_columns_take_little_room(tmp_path: Path) -> None:
    """They are constant, so they cost what their names cost, and next to nothing for each row."""
    table = pa.concat_tables([estimates([1.0])] * 25_000)
    write_estimates(tmp_path / "e.parquet", {"layer_0": table}, {"layer_0": TRAINED}, {})
    group = pq.ParquetFile(tmp_path / "e.parquet").metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert group.num_rows == 50_000
    assert sum(column.total_compressed_size for column in columns if column.path_in_schema in IDENTITY.names) < 5_000


def test_estimates_without_identity_are_told(tmp_path: Path) -> None:
    table = estimates([1.0]).append_column("representation", pa.array(["layer_0"] * 2))
    pq.write_table(table.select(["representation", *ESTIMATES.names]), path := tmp_path / "old.parquet")
    with pytest.raises(ValueError, match=r"old\.parquet was written by another .* which needs set, model, group, seed"):
        read_identities(path)
