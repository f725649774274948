"""Which sampled tokens a point cloud is drawn from, and the clouds that are read from an embeddings file."""

from __future__ import annotations

import json
import logging
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from builders.project import PROJECT
from idsweep.files.columns import POINTS
from idsweep.files.parquet import to_numpy, write_table
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.neighbors.clouds import chosen, names, read_cloud
from idsweep.neighbors.points import prepare_points

PIECES = ["[CLS]", "play", "##ing", "the", "the", "[SEP]"]
OPTIONS = {"number": 1000, "seed": 3, "sequences": None, "tokens": "all"}


def tokens(sequences: int = 12, pieces: list[str] = PIECES) -> pa.Table:
    """The same sentence in every sequence; `the` comes twice as often as the other words."""
    rows = [
        {
            "point": i,
            "sequence": 10 * (i // len(pieces)),  # numbers in the corpus, of which some were not drawn
            "position": i % len(pieces),
            "token_id": pieces.index(pieces[i % len(pieces)]),
            "token": pieces[i % len(pieces)],
            "special": pieces[i % len(pieces)].startswith(("[", "<")),
            "token_class": None,
            "count": pieces.count(pieces[i % len(pieces)]) * sequences,
            "drawn": i,
        }
        for i in range(sequences * len(pieces))
    ]
    return pa.Table.from_pylist(rows, schema=POINTS)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("all", set(PIECES)),
        ("text", {"play", "##ing", "the"}),
        ("special", {"[CLS]", "[SEP]"}),
        ("word_start", {"play", "the"}),
        ("continuation", {"##ing"}),
        ("count>=24", {"the"}),
        ("count<24", {"[CLS]", "play", "##ing", "[SEP]"}),
        ("count=12", {"[CLS]", "play", "##ing", "[SEP]"}),
        ("count>=0", set(PIECES)),
    ],
)
def test_tokens_are_chosen_by_what_they_are(which: str, expected: set[str]) -> None:
    table = tokens()
    wanted = chosen(table, which, None, seed=0)
    assert wanted.dtype == bool
    assert wanted.tolist() == [token in expected for token in table["token"].to_pylist()]


def test_pieces_are_told_by_the_marks_of_their_vocabulary() -> None:
    table = tokens(pieces=["<s>", "play", "ing", "Ġthe", "Ġgames"])
    wanted = chosen(table, "continuation", None, seed=0)
    assert set(table.filter(wanted)["token"].to_pylist()) == {"ing"}


def test_more_sequences_hold_all_of_fewer() -> None:
    table = tokens()
    of_point = to_numpy(table["sequence"])
    held = [set(of_point[chosen(table, "all", M, seed=5)]) for M in (1, 4, 9, 12)]
    assert [len(sequences) for sequences in held] == [1, 4, 9, 12]
    assert held[0] < held[1] < held[2] < held[3]


def test_all_tokens_of_a_drawn_sequence_may_be_points() -> None:
    table = tokens()
    of_point, wanted = to_numpy(table["sequence"]), chosen(table, "all", 4, seed=5)
    assert wanted.sum() == 4 * len(PIECES)
    assert not set(of_point[wanted]) & set(of_point[~wanted])


def test_the_seed_of_the_points_draws_the_sequences_too() -> None:
    table = tokens(sequences=40)
    drawn = {seed: tuple(chosen(table, "all", 10, seed=seed)) for seed in (0, 0, 1, 2)}
    assert len(set(drawn.values())) == 3
    assert tuple(chosen(table, "all", 10, seed=0)) == drawn[0]


def test_tokens_and_sequences_are_chosen_together() -> None:
    table = tokens()
    wanted = chosen(table, "continuation", 4, seed=5)
    assert wanted.sum() == 4
    assert (wanted <= chosen(table, "all", 4, seed=5)).all()


def test_more_sequences_than_there_are_take_all_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert chosen(tokens(), "all", 13, seed=0).all()
    assert "points.sequences = 13, but only 12 sequences were sampled: all are used" in caplog.text


def test_no_token_of_a_kind_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"points\.tokens: none of the 72 sampled tokens is of 'count>=25'"):
        chosen(tokens(), "count>=25", None, seed=0)


def test_tokens_that_were_not_counted_cannot_be_chosen_by_count() -> None:
    table = tokens()
    table = table.set_column(table.column_names.index("count"), "count", pa.nulls(len(table), pa.int64()))
    with pytest.raises(
        ValueError, match=r"points\.tokens: 'count<10' needs counts; name a dataset in vocabulary\.count"
    ):
        chosen(table, "count<10", None, seed=0)
    assert chosen(table, "all", None, seed=0).all()


def test_tokens_without_a_count_are_neither_frequent_nor_rare() -> None:
    table = tokens()
    counts = [None if token == "##ing" else 12 * PIECES.count(token) for token in table["token"].to_pylist()]
    table = table.set_column(table.column_names.index("count"), "count", pa.array(counts, pa.int64()))
    for which, expected in (
        ("count>=0", set(PIECES) - {"##ing"}),
        ("count<24", {"[CLS]", "play", "[SEP]"}),
        ("count>=24", {"the"}),
        ("all", set(PIECES)),
    ):
        assert set(table.filter(chosen(table, which, None, seed=0))["token"].to_pylist()) == expected, which


@pytest.fixture
def embeddings(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A file of two layers and their vectors, float32 (72, 5)."""
    generator = np.random.Generator(np.random.PCG64(0))
    vectors = {f"layer_{i}": generator.standard_normal((72, 5)).astype(np.float32) for i in (0, 2)}
    path = tmp_path / "embeddings.parquet"
    with EmbeddingsWriter(path, dict) as file:
        file.write(np.arange(72), vectors)
    return path, vectors


def test_a_cloud_of_all_tokens_is_the_prepared_layer(embeddings: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, vectors = embeddings
    options = OPTIONS | {"number": 30, "noise": 0.1}
    points = read_cloud(path, "layer_2", {}, options, tokens())
    expected = prepare_points(vectors["layer_2"], number=30, seed=3, noise=0.1)
    np.testing.assert_array_equal(points.rows, expected.rows)
    np.testing.assert_array_equal(points.vectors, expected.vectors)


def test_rows_are_ids_of_the_chosen_tokens(embeddings: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, vectors = embeddings
    table = tokens()
    points = read_cloud(path, "layer_0", {}, OPTIONS | {"tokens": "continuation", "sequences": 7, "number": 5}, table)
    assert len(points.rows) == 5
    assert set(table.take(points.rows)["token"].to_pylist()) == {"##ing"}
    assert len(set(table.take(points.rows)["sequence"].to_pylist())) == 5
    np.testing.assert_array_equal(points.vectors, vectors["layer_0"][points.rows])


def test_ids_count_where_a_file_holds_some_of_the_tokens(tmp_path: Path) -> None:
    """Points keep the ids they have in the table of tokens, whichever rows a file holds."""
    vectors = np.arange(20, dtype=np.float32).reshape(4, 5)
    held = np.array([2, 8, 9, 14])  # ##ing, ##ing, the, ##ing
    path = tmp_path / "embeddings.parquet"
    with EmbeddingsWriter(path, dict) as file:
        file.write(held, {"layer_1": vectors})
    points = read_cloud(path, "layer_1", {}, OPTIONS | {"tokens": "continuation"}, tokens())
    assert points.rows.tolist() == [2, 8, 14]
    np.testing.assert_array_equal(points.vectors, vectors[[0, 1, 3]])


def test_all_layers_and_combinations_have_the_same_points(embeddings: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, vectors = embeddings
    combinations = {"both": {"layers": (0, 2), "by": "concatenation"}, "middle": {"layers": (0, 2), "by": "mean"}}
    assert names(path, list(combinations)) == ["layer_0", "layer_2", "both", "middle"]
    options = OPTIONS | {"number": 12, "tokens": "text"}
    made = {name: read_cloud(path, name, combinations, options, tokens()) for name in names(path, list(combinations))}
    rows = made["layer_0"].rows
    assert len(rows) == 12
    assert all(np.array_equal(points.rows, rows) for points in made.values())
    np.testing.assert_array_equal(made["both"].vectors, np.hstack([vectors["layer_0"], vectors["layer_2"]])[rows])
    np.testing.assert_allclose(
        made["middle"].vectors, ((vectors["layer_0"] + vectors["layer_2"]) / 2)[rows], rtol=1e-6, atol=1e-7
    )


def test_noise_moves_the_points_and_chooses_no_others(embeddings: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, _ = embeddings
    options = OPTIONS | {"number": 20, "tokens": "text", "sequences": 9}
    clean, noisy, other = (
        read_cloud(path, "layer_0", {}, options | more, tokens())
        for more in ({}, {"noise": 0.5}, {"noise": 0.5, "noise_seed": 1})
    )
    np.testing.assert_array_equal(clean.rows, noisy.rows)
    assert 0.3 < (noisy.vectors - clean.vectors).std() < 0.7
    assert not np.array_equal(noisy.vectors, other.vectors)


def test_the_settings_of_a_cloud_are_not_changed_by_reading_it(embeddings: tuple[Path, dict[str, np.ndarray]]) -> None:
    options = OPTIONS | {"tokens": "text", "sequences": 3}
    before = dict(options)
    read_cloud(embeddings[0], "layer_0", {}, options, tokens())
    assert options == before


class Named(dict):
    """What Snakemake gives a script: values by name."""

    __getattr__ = dict.__getitem__


def test_too_few_points_are_told_with_the_cloud_and_its_tokens(
    embeddings: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    vectors, path = embeddings[1], tmp_path / "with_parameters.parquet"
    with EmbeddingsWriter(path, lambda: {"n_parameters": 1}) as file:
        file.write(np.arange(72), vectors)
    write_table(tmp_path / "tokens.parquet", tokens(), {})
    options = OPTIONS | {"tokens": "special", "noise": 0}
    variants = {"halvings": 0, "seed": 0, "nulls": []}
    settings = {"neighbors": {"number": 24}, "points": options, "combinations": {}, "variants": variants}
    snakemake = Named(
        rule="find_neighbors",
        wildcards=Named(sweep="s", model="m", cloud="tokensspecial"),
        params=Named(settings=json.dumps(settings), signature="x"),
        resources=Named(device="cpu", gpu_memory=0.5),
        input=Named(embeddings=str(path), tokens=str(tmp_path / "tokens.parquet")),
        output=Named(neighbors=str(tmp_path / "neighbors.parquet")),
        log=[str(tmp_path / "log")],
        threads=1,
    )
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROJECT / "workflow_scripts/find_neighbors.py"), {"snakemake": snakemake})
    said = (tmp_path / "log").read_text()
    assert "in the cloud 'tokensspecial' (points.tokens: special) no representation has more than 24 different" in said
    assert not (tmp_path / "neighbors.parquet").exists()


def test_a_representation_that_is_not_there_is_named(embeddings: tuple[Path, dict[str, np.ndarray]]) -> None:
    with pytest.raises(ValueError, match="layer_7"):
        read_cloud(embeddings[0], "layer_7", {}, OPTIONS, tokens())
