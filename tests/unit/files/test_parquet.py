"""What is written comes back, carries its provenance, and appears under its name only when whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from idsweep.cli import main
from idsweep.files.parquet import provenance, read_table, whole_or_nothing, write_table
from idsweep.files.vectors import (
    EmbeddingsWriter,
    NeighborsWriter,
    read_embeddings,
    read_estimates,
    read_neighbors,
    read_points,
    representations,
    variants,
)
from idsweep.neighbors.points import prepare_points

RNG = np.random.default_rng(0)
PROVENANCE = {"rule": "test", "settings": {"b": 1, "a": [2.5, None]}}


def write_embeddings(path: Path, chunks: int = 3, dtype: type = np.float32) -> np.ndarray:
    """Three layers of 100-point chunks, handed over in a shuffled order; returns (3, N, 5)."""
    vectors = RNG.normal(size=(3, 100 * chunks, 5)).astype(dtype)
    order = RNG.permutation(100 * chunks).astype(np.int32)
    with EmbeddingsWriter(path, lambda: PROVENANCE) as file:
        for part in np.split(order, chunks):
            file.write(part, {layer: vectors[layer, part] for layer in range(3)})
    return vectors


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_embeddings_come_back_in_the_order_of_points(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "e.parquet"
    vectors = write_embeddings(path, dtype=dtype)
    assert representations(path) == ["layer_0", "layer_1", "layer_2"]
    for layer in range(3):
        read = read_embeddings(path, layer)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, vectors[layer].astype(np.float32))
        np.testing.assert_array_equal(read_points(path, layer), np.arange(300))


def test_float16_halves_the_file_and_rounds(tmp_path: Path) -> None:
    vectors = RNG.normal(size=(2000, 64)).astype(np.float32)
    sizes = []
    for storage in ("float32", "float16"):
        with EmbeddingsWriter(path := tmp_path / storage, dict, storage) as file:
            file.write(np.arange(2000, dtype=np.int32), {0: vectors})
        sizes.append(path.stat().st_size)
        read = read_embeddings(path, 0)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, vectors, rtol=2**-11 if storage == "float16" else 0, atol=2**-25)
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.05)


def test_points_that_rounding_makes_equal_are_seen(tmp_path: Path) -> None:
    vectors = np.array([[1, 2], [1.0001, 2], [1.01, 2], [-1e-9, 2], [0, 2]], np.float32)
    kept = {}
    for storage in ("float32", "float16"):
        with EmbeddingsWriter(path := tmp_path / storage, dict, storage) as file:
            file.write(np.arange(5, dtype=np.int32), {0: vectors})
        kept[storage] = prepare_points(read_embeddings(path, 0), number=5, seed=0).rows.tolist()
    assert kept == {"float32": [0, 1, 2, 3, 4], "float16": [0, 2, 3]}


def test_values_beyond_float16_are_refused_and_named(tmp_path: Path) -> None:
    vectors = np.zeros((3, 2), np.float32)
    vectors[1, 0] = -65536
    message = r"layer_5 holds -65536, beyond ±65504, the largest float16\. Set extraction\.storage to float32"
    with (
        pytest.raises(ValueError, match=message),
        EmbeddingsWriter(tmp_path / "e.parquet", dict, "float16") as file,
    ):
        file.write(np.arange(3, dtype=np.int32), {4: np.full((3, 2), 65504, np.float32), 5: vectors})
    assert list(tmp_path.iterdir()) == []


def test_embeddings_are_plain_parquet_for_others(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    vectors = write_embeddings(path)
    frame = pd.read_parquet(path, filters=[("representation", "==", "layer_2")]).sort_values("point")
    np.testing.assert_array_equal(np.stack(frame["vector"].to_list()), vectors[2])
    schema = pq.read_schema(path)
    assert [str(field.type) for field in schema] == ["string", "int32", "fixed_size_list<element: float>[5]"]


def test_one_layer_is_read_alone(tmp_path: Path) -> None:
    """Row groups hold one representation each and say so, which is what lets a reader skip the others."""
    path = tmp_path / "e.parquet"
    write_embeddings(path)
    fragments = list(ds.dataset(path).get_fragments(ds.field("representation") == "layer_1"))
    groups = [
        group
        for fragment in fragments
        for group in fragment.split_by_row_group(ds.field("representation") == "layer_1")
    ]
    assert len(groups) == 3 < pq.ParquetFile(path).num_row_groups == 9


def test_neighbors_come_back(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    indices = RNG.integers(0, 50, (50, 4)).astype(np.int32)
    distances = np.sort(RNG.random((50, 4)))
    ids = np.arange(0, 100, 2, dtype=np.int32)
    with NeighborsWriter(path, lambda: PROVENANCE) as file:
        file.write(3, "data", ids, indices, distances)
        file.write(3, "data/2", ids[:20], indices[:20], 2 * distances[:20])
        file.write(4, "data", ids, indices, 3 * distances)
    assert representations(path) == ["layer_3", "layer_4"]
    assert variants(path, 3) == ["data", "data/2"] and variants(path, 4) == ["data"]
    for read, given in zip(read_neighbors(path, 3), (ids, indices, distances), strict=True):
        np.testing.assert_array_equal(read, given)
        assert read.dtype == given.dtype
    half = read_neighbors(path, 3, "data/2")
    np.testing.assert_array_equal(half[0], ids[:20])
    np.testing.assert_array_equal(half[2], 2 * distances[:20])
    with pytest.raises(ValueError, match=r"no layer_4, variant 'data/2'; .* variants \['data', 'data/2'\]"):
        read_neighbors(path, 4, "data/2")


def test_provenance_comes_back(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet")
    write_table(tmp_path / "t.parquet", pa.table({"a": [1]}), PROVENANCE)
    assert provenance(tmp_path / "e.parquet") == provenance(tmp_path / "t.parquet") == PROVENANCE


def test_provenance_of_a_stream_is_taken_at_its_end(tmp_path: Path) -> None:
    clock = {"seconds": 0}
    with NeighborsWriter(tmp_path / "n.parquet", lambda: clock) as file:
        file.write(0, "data", np.zeros(1, np.int32), np.zeros((1, 1), np.int32), np.zeros((1, 1)))
        clock["seconds"] = 7
    assert provenance(tmp_path / "n.parquet") == {"seconds": 7}


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    with pytest.raises(KeyError), EmbeddingsWriter(path, lambda: PROVENANCE) as file:
        file.write(np.zeros(1, np.int32), {0: np.zeros((1, 2), np.float32)})
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, pa.table({"a": [1]}), PROVENANCE)
    with pytest.raises(RuntimeError), whole_or_nothing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert read_table(path).to_pydict() == {"a": [1]}
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_an_empty_stream_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no representation held any rows"),
        EmbeddingsWriter(tmp_path / "e", dict),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_is_not_there(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=r"e\.parquet holds no layer_7; it holds layer_0, layer_1, layer_2"):
        read_embeddings(tmp_path / "e.parquet", 7)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_damage_is_noticed_and_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "e.parquet"
    write_embeddings(path)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 4] ^= 0xFF
    else:
        content = bytearray(b"not Parquet at all")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"e\.parquet .*Delete it and run snakemake again"):
        for layer in range(3):
            read_embeddings(path, layer)


def test_files_of_another_version_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, pa.table({"layer": [1], "point": [0]}), {"versions": {"idsweep": "0.0.9"}})
    for read in (read_estimates, read_embeddings):
        with pytest.raises(
            ValueError, match=r"t\.parquet was written by idsweep 0\.0\.9 with columns layer, point; this"
        ):
            read(path, 1)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(
        ValueError, match=r"written by another program or version with columns a; .*needs representation"
    ):
        read_neighbors(path, 1)


def test_show_prints_shape_and_provenance(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_embeddings(tmp_path / "e.parquet")
    assert main(["show", str(tmp_path / "e.parquet")]) == 0
    shown = capsys.readouterr().out
    assert "900 rows, layer_0, layer_1, layer_2" in shown
    assert "vector: fixed_size_list" in shown
    assert '"rule": "test"' in shown


def test_show_of_a_foreign_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    assert main(["show", str(tmp_path / "t.parquet")]) == 1
    assert "was not written by idsweep" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "none.parquet")]) == 1
    assert "no such file" in capsys.readouterr().err
