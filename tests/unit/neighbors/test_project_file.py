"""The maps of an embeddings file, as a job of the workflow writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from idsweep.files.parquet import provenance, read_table
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.neighbors.project_file import project_file
from idsweep.neighbors.projection import project

COMBINATIONS = {"mean": {"layers": [0, 2], "by": "mean"}, "both": {"layers": [0, 2], "by": "concatenation"}}


def test_each_representation_is_projected_for_itself(tmp_path: Path) -> None:
    layers = {layer: np.random.default_rng(layer).standard_normal((30, 6)).astype(np.float32) for layer in range(3)}
    points = np.arange(0, 60, 2)
    with EmbeddingsWriter(tmp_path / "vectors.parquet", lambda: {"model": "m"}) as file:
        file.write(points[20:], {layer: vectors[20:] for layer, vectors in layers.items()})
        file.write(points[:20], {layer: vectors[:20] for layer, vectors in layers.items()})
    settings = {"representations": ["layer_0", "layer_2", "mean", "both"], "combinations": COMBINATIONS}
    project_file(tmp_path / "vectors.parquet", tmp_path / "map.parquet", settings, lambda: {"settings": settings})
    table = read_table(tmp_path / "map.parquet").to_pandas()
    expected = {
        "layer_0": layers[0],
        "layer_2": layers[2],
        "mean": (layers[0] + layers[2]) / 2,
        "both": np.concatenate([layers[0], layers[2]], axis=1),
    }
    assert list(table["representation"].unique()) == list(expected)
    assert {name: str(kind) for name, kind in table.dtypes.items() if name in ("x", "y")} == {
        "x": "float32",
        "y": "float32",
    }
    for name, vectors in expected.items():
        rows, found = table[table["representation"] == name], project(vectors)
        assert rows["point"].tolist() == points.tolist()
        np.testing.assert_allclose(rows[["x", "y"]], found.coordinates, atol=1e-5)
        np.testing.assert_allclose(
            rows[["x_share", "y_share"]].drop_duplicates().to_numpy(), found.shares[None], rtol=1e-6
        )
    assert provenance(tmp_path / "map.parquet")["settings"] == settings


def test_a_representation_that_there_is_not_is_told_with_its_file(tmp_path: Path) -> None:
    with EmbeddingsWriter(tmp_path / "vectors.parquet", dict) as file:
        file.write(np.arange(3), {0: np.eye(3, dtype=np.float32)})
    settings = {"representations": ["layer_1"], "combinations": {}}
    with pytest.raises(ValueError, match=r"vectors.parquet, layer_1: .*holds no layer_1"):
        project_file(tmp_path / "vectors.parquet", tmp_path / "map.parquet", settings, dict)
    assert not (tmp_path / "map.parquet").exists()
