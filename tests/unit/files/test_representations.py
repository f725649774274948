"""Names of representations, and combinations of layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from idsweep.files.columns import POINTS
from idsweep.files.representations import Combination, blocks, combine, in_order, layer_of, of_layer
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.neighbors import clouds

RNG = np.random.default_rng(3)
STATES = RNG.standard_normal((4, 50, 6)).astype(np.float32)
COMBINATIONS = {"average": {"layers": [1, 3], "by": "mean"}, "wide": {"layers": [3, 0], "by": "concatenation"}}
OPTIONS = {"number": 30, "seed": 5, "tokens": "all", "sequences": None}
TOKENS = pa.Table.from_arrays(
    [pa.array(range(110)).cast(field.type) if field.name == "drawn" else pa.nulls(110, field.type) for field in POINTS],
    names=POINTS.names,
)  # all are wanted


def test_names_and_numbers() -> None:
    assert layer_of(of_layer(12)) == 12
    assert layer_of("input_embeddings") is None
    assert in_order(["wide", "layer_10", "layer_9", "average"]) == ["layer_9", "layer_10", "average", "wide"]


def test_blocks_are_ranges_of_numbers() -> None:
    names = [*map(of_layer, (0, 3, 7, 8, 20)), "average"]
    assert blocks(names, 8, depth=20) == {
        "layers_0-7": ["layer_0", "layer_3", "layer_7"],
        "layers_8-15": ["layer_8"],
        "layers_16-20": ["layer_20"],
        "average": ["average"],
    }
    assert blocks(names, 1, depth=20) == {name: [name] for name in names}
    assert blocks(["layer_8"], 8, depth=8) == {"layer_8": ["layer_8"]}


def test_one_more_layer_changes_no_other_block() -> None:
    few, more = (blocks([*map(of_layer, layers)], 4, depth=11) for layers in ((1, 5, 9), (1, 5, 6, 9)))
    assert {name for name in more if more[name] != few[name]} == {"layers_4-7"}


def test_combinations_are_numpy_s() -> None:
    mean = combine(Combination((0, 1, 2), "mean"), STATES.__getitem__)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, STATES[:3].astype(np.float64).mean(axis=0), rtol=1e-7)
    np.testing.assert_array_equal(
        combine(Combination((3, 0), "concatenation"), STATES.__getitem__), np.hstack([STATES[3], STATES[0]])
    )


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    path = tmp_path / "e.parquet"
    with EmbeddingsWriter(path, dict) as file:
        for part in np.array_split(RNG.permutation(50), 3):
            file.write((10 + 2 * part).astype(np.int32), {layer: STATES[layer, part] for layer in range(4)})
    return path


def test_clouds_of_a_file_are_its_layers_and_their_combinations(embeddings: Path) -> None:
    assert clouds.names(embeddings, COMBINATIONS) == [*map(of_layer, range(4)), "average", "wide"]
    single = clouds.read_cloud(embeddings, "layer_1", COMBINATIONS, OPTIONS, TOKENS)
    average = clouds.read_cloud(embeddings, "average", COMBINATIONS, OPTIONS, TOKENS)
    np.testing.assert_array_equal(single.rows, average.rows)  # the same tokens in every representation
    places = (average.rows - 10) // 2
    np.testing.assert_array_equal(single.vectors, STATES[1, places])
    np.testing.assert_allclose(average.vectors, (STATES[1, places] + STATES[3, places]) / 2, rtol=1e-6)
    assert clouds.read_cloud(embeddings, "wide", COMBINATIONS, OPTIONS, TOKENS).vectors.shape == (30, 12)
