"""Matrices of vectors are read as their libraries write them; what cannot be measured is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from idsweep.estimators import estimate_local
from idsweep.models.matrices import load_matrix, shape_of
from idsweep.models.static_vectors import load_vectors
from idsweep.neighbors import nearest_neighbors
from safetensors.torch import save_file

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(12, 4)).astype(np.float32)


def npy(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "v.npy", array)
    return folder / "v.npy"


def tensors(folder: Path, **named: torch.Tensor) -> Path:
    save_file(named, folder / "v.safetensors")
    return folder / "v.safetensors"


def parquet(folder: Path, **columns: pa.Array | list) -> Path:
    pq.write_table(pa.table(columns), folder / "v.parquet")
    return folder / "v.parquet"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64"])
def test_numpy_s_own_types(dtype: str, tmp_path: Path) -> None:
    array = (100 * VECTORS).astype(dtype) if "int" in dtype else VECTORS.astype(dtype)
    words, found = load_vectors(npy(tmp_path, array))
    assert words == [str(row) for row in range(12)]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array.astype(np.float32))
    assert shape_of(tmp_path / "v.npy", "npy") == (12, 4)


def test_columns_and_slices_of_other_orders_in_memory(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_matrix(npy(tmp_path, np.asfortranarray(VECTORS)), "npy"), VECTORS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.from_numpy(VECTORS).to(dtype)
    path = tensors(tmp_path, bias=torch.zeros(4), vectors=tensor)
    np.testing.assert_array_equal(load_vectors(path)[1], tensor.float().numpy())
    assert shape_of(path, "safetensors") == (12, 4)


def test_one_of_several_tensors(tmp_path: Path) -> None:
    path = tensors(tmp_path, layer_0=torch.zeros(12, 4), layer_1=torch.from_numpy(VECTORS))
    np.testing.assert_array_equal(load_vectors(path, array="layer_1")[1], VECTORS)
    with pytest.raises(ValueError, match=r"2 tensors of two dimensions, layer_0, layer_1: say which by `array`"):
        load_vectors(path)
    with pytest.raises(ValueError, match="'layer_2' is no tensor of two dimensions in it; there are layer_0, layer_1"):
        load_vectors(path, array="layer_2")


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 4), pa.large_list(pa.float64())])
def test_a_column_of_lists(kind: pa.DataType, tmp_path: Path) -> None:
    path = parquet(tmp_path, text=[f"a {i}" for i in range(12)], vector=pa.array(VECTORS.tolist(), kind))
    np.testing.assert_array_equal(load_vectors(path)[1], VECTORS)
    assert shape_of(path, "parquet") == (12, 4)


def test_lists_of_a_column_that_was_cut(tmp_path: Path) -> None:
    """pyarrow keeps the values before a slice in memory: they must not come in."""
    table = pa.table({"vector": pa.array([[9.0] * 4, *VECTORS.tolist()], pa.list_(pa.float32(), 4))}).slice(1)
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=5)
    np.testing.assert_array_equal(load_vectors(tmp_path / "v.parquet")[1], VECTORS)


def test_a_column_for_each_coordinate(tmp_path: Path) -> None:
    path = parquet(tmp_path, **{f"d{i}": VECTORS[:, i] for i in range(4)})
    np.testing.assert_array_equal(load_vectors(path)[1], VECTORS)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": [1, 2], "x": [0.5, 1.5]}, "no column holds lists of numbers.* it has id"),
        ({"a": [[1.0, 2.0]], "b": [[1.0, 2.0]]}, "2 columns of lists of numbers, a, b: say which"),
        ({"a": [[1.0, 2.0], [1.0]]}, "widths from 1 to 2"),
        ({"a": [[1.0, 2.0], None]}, "1 of its 2 rows hold no vector"),
        ({"a": [[1.0, None]]}, "1 coordinates of its vectors are missing"),
        ({"x": [0.5, None]}, "column 'x': a coordinate is missing"),
        ({"word": ["a"]}, "no column holds lists of numbers"),
    ],
)
def test_tables_that_hold_no_matrix(columns: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        load_vectors(parquet(tmp_path, **columns))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\); expected one row for each vector.* each layer's matrix"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.array([["a", "b"]]), "type <U1; expected real numbers"),
        (np.zeros((2, 2), dtype=complex), "type complex128"),
        (np.array([[2**24 + 1, 0]]), "whole numbers beyond 16,777,216"),
        (np.array([[1e300, 0.0]]), "beyond the range of 32-bit floats"),
        (np.array([[np.nan, 0.0], [1.0, 1.0]]), r"the vector of '0' holds NaN or infinity \(1 of 2 do\)"),
        (np.array([[0.0, 0.0], [np.inf, 1.0]]), "the vector of '1' holds NaN or infinity"),
    ],
)
def test_arrays_that_cannot_be_measured(array: np.ndarray, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        load_vectors(npy(tmp_path, array))


def test_vectors_that_32_bits_would_move_are_refused(tmp_path: Path) -> None:
    near = RNG.normal(size=(50, 4))
    assert load_vectors(npy(tmp_path, near + 10))[1].shape == (50, 4)
    with pytest.raises(ValueError, match=r"would move them by .* of their spread. Subtract the mean"):
        load_vectors(npy(tmp_path, 1e-3 * near + 1e4))


def test_a_curve_whose_dimension_rounding_would_raise_is_refused(tmp_path: Path) -> None:
    """Of 20,000 points on it neighbours are so near that an offset of 130 raised TwoNN by an eighth."""
    t = np.sort(RNG.random(20_000))
    curve = np.stack([np.sin(2 * np.pi * t * (i + 1) / 9 + i) for i in range(8)], axis=1)
    with pytest.raises(ValueError, match="Subtract the mean"):
        load_vectors(npy(tmp_path, curve + 130))
    means = []
    for offset in (0, 10):
        _, near = load_vectors(npy(tmp_path, curve + offset))
        means.append(np.mean(estimate_local(near, "twonn", n_neighbors=64, graph=nearest_neighbors(near, k=64))))
    assert means[1] == pytest.approx(means[0], rel=0.01)


def test_pickles_are_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_vectors(tmp_path / "v.npy")


@pytest.mark.parametrize("ending", ["npy", "safetensors", "parquet"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_files_that_were_cut_short(ending: str, share: float, tmp_path: Path) -> None:
    whole = {
        "npy": lambda: npy(tmp_path, VECTORS),
        "safetensors": lambda: tensors(tmp_path, v=torch.from_numpy(VECTORS)),
        "parquet": lambda: parquet(tmp_path, v=VECTORS.tolist()),
    }[ending]()
    content = whole.read_bytes()
    whole.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"cannot be measured as {ending}"):
        load_vectors(whole)
    assert shape_of(whole, ending) in (None, (12, 4))


def test_a_name_where_there_is_none_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"array: an .npy file holds one array"):
        load_vectors(npy(tmp_path, VECTORS), array="a")
    (tmp_path / "w.txt").write_text("a 1 2\n")
    with pytest.raises(ValueError, match="array: this key is only for npy, safetensors, parquet"):
        load_vectors(tmp_path / "w.txt", array="a")
