"""The points of a cell for Embedding Atlas: map, neighbours, texts and values as they follow from the files of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.explored import estimates_of, sampled
from idsweep.cli import main
from idsweep.extraction.losses import TOKEN_MEASURES
from idsweep.files.columns import IDENTITY
from idsweep.files.parquet import write_table
from idsweep.files.vectors import EmbeddingsWriter, write_estimates
from idsweep.neighbors.search_file import search_file
from idsweep.tables.collect import collect_estimates

NUMBER, NEIGHBORS = 40, 5  # of 48 sampled tokens
CLOUD: dict[str, Any] = {
    "number": NUMBER,
    "seed": 0,
    "draw": "tokens",
    "choose": "random",
    "deduplicate": True,
    "zero_vectors": "keep",
    "normalize": "none",
    "center": False,
    "noise": 0.0,
    "noise_seed": 0,
    "tokens": "all",
    "sequences": None,
}
SETTINGS: dict[str, Any] = {
    "combinations": {"mean": {"layers": [0, 3], "by": "mean"}},
    "points": CLOUD,
    "neighbors": {"number": NEIGHBORS},
    "variants": {"halvings": 0, "nulls": [], "seed": 0},
}
CHECKPOINTS = {"step4": 4, "step0": 0}


def vectors_of(model: str, checkpoint: str, layer: int) -> np.ndarray:
    seed = [len(model), CHECKPOINTS[checkpoint], layer]
    return np.random.default_rng(seed).standard_normal((48, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep's files; models `one` and `a:b`, which paths call `a--b`, at two checkpoints, layers 0 and 3, and their mean."""
    folder = tmp_path_factory.mktemp("sweep")
    tokens, sequences = sampled()
    write_table(folder / "tokens/t/news.parquet", tokens, {})
    write_table(folder / "sequences/t/news.parquet", sequences, {})
    files = []
    for model, place in (("one", "one"), ("a:b", "a--b")):
        for checkpoint, step in CHECKPOINTS.items():
            files += write_cell(folder, model, place, checkpoint, step, tokens)
    for name, table in collect_estimates(files)._asdict().items():
        write_table(folder / f"tables/{name.removesuffix('_')}.parquet", table, {})
    return folder


def write_cell(folder: Path, model: str, place: str, checkpoint: str, step: int, tokens: pa.Table) -> list[str]:
    at = f"{place}/{checkpoint}/news"
    layers = {layer: vectors_of(model, checkpoint, layer) for layer in (0, 3)}
    sampling = {"rule": "sample_tokens", "wildcards": {"tokenizer": "t", "dataset": "news"}}
    with EmbeddingsWriter(folder / f"embeddings/{at}.parquet", lambda: {"n_parameters": 7, "from": [sampling]}) as file:
        file.write(np.arange(48), layers)
    search_file(
        folder / f"embeddings/{at}.parquet",
        folder / "tokens/t/news.parquet",
        folder / f"neighbors/{at}/points.parquet",
        SETTINGS,
        lambda **more: {"settings": SETTINGS},
        cloud="points",
        device="cpu",
        memory_share=0.5,
    )
    measures = {
        field.name: np.arange(47)
        if field.name == "point"
        else np.full(47, -1.5 if field.name == "log_probability" else 2)
        for field in TOKEN_MEASURES
    }
    write_table(folder / f"predictions/{at}.parquet", pa.table(measures, schema=TOKEN_MEASURES), {})
    identity = dict.fromkeys(IDENTITY.names) | {"model": model, "group": model, "checkpoint": checkpoint, "step": step}
    identity |= {"dataset": "news", "cloud": "points", "extrinsic_dimension": 6}
    files = []
    for set_name in ("quick", "slow"):
        for block, names in {"layers_0-7": ("layer_0", "layer_3"), "mean": ("mean",)}.items():
            files.append(str(folder / f"estimates/{set_name}/{at}/points/{block}.parquet"))
            values = np.arange(48.0) + (100 if set_name == "slow" else 0)
            values[2] = np.nan
            identities = {name: identity | {"set": set_name, "representation": name} for name in names}
            write_estimates(files[-1], {name: estimates_of(values) for name in names}, identities, {})
    return files


def exported(results: Path, folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[pa.Table, str]:
    """What is written, and what is said of it."""
    assert main(["export", str(results), "--to", "embedding-atlas", "--folder", str(folder), *options]) == 0
    (path,) = folder.glob("*.parquet")
    return pq.read_table(path), capsys.readouterr().out


def test_the_last_layer_of_the_first_model_is_shown_unless_another_is_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, said = exported(results, tmp_path, capsys)
    assert said.splitlines()[:5] == [
        "model: one (the first of 2; choose another with --model)",
        "checkpoint: step4 (the last of 2; choose another with --checkpoint)",
        "dataset: news (the only one)",
        "cloud: points (the only one)",
        "layer: layer_3 (the last of 3; choose another with --layer)",
    ]
    path = tmp_path / "one--step4--news--points--layer_3.parquet"
    assert said.endswith(f"embedding-atlas {path} --x x --y y --neighbors neighbors --text text\n")
    check_geometry(table, vectors_of("one", "step4", 3))


def check_geometry(table: pa.Table, vectors: np.ndarray) -> None:
    """x and y against the singular value decomposition, neighbours against all distances."""
    cloud = vectors[table["point"].to_numpy()].astype(np.float64)
    assert len(cloud) == NUMBER
    centred = cloud - cloud.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    found = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    signs = np.sign((found * left[:, :2]).sum(axis=0))
    np.testing.assert_allclose(found, left[:, :2] * sizes[:2] * signs, atol=1e-5)
    distances = np.linalg.norm(cloud[:, None] - cloud, axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :NEIGHBORS]
    neighbors = table["neighbors"].to_pylist()
    assert table.schema.field("neighbors").type == pa.struct(
        [("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float64()))]
    )
    assert [one["ids"] for one in neighbors] == nearest.tolist()
    np.testing.assert_allclose(
        [one["distances"] for one in neighbors], np.take_along_axis(distances, nearest, axis=1), rtol=1e-6
    )


def test_cells_are_named_and_combinations_made_of_their_layers(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "a:b", "--checkpoint", "step0")
    table, said = exported(results, tmp_path / "layer", capsys, *options, "--layer", "0")
    assert "model: a:b (as named)" in said and "layer: layer_0 (as named)" in said
    check_geometry(table, vectors_of("a:b", "step0", 0))
    table, _ = exported(results, tmp_path / "mean", capsys, *options, "--layer", "mean")
    check_geometry(table, (vectors_of("a:b", "step0", 0) + vectors_of("a:b", "step0", 3)) / 2)


def test_tokens_stand_in_their_texts_beside_their_values(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, _ = exported(results, tmp_path, capsys)
    rows = {row["point"]: row for row in table.to_pylist()}
    assert {"twonn_quick", "twonn_slow", "log_probability", "rank"} <= set(table.column_names)
    assert "token_class" not in table.column_names  # no token has one
    for point, row in rows.items():
        words = [f"word{place}" for place in range(6)]
        words[point % 6] = f"[word{point % 6}]"
        assert row["text"] == " ".join(words) and row["token"] == f"Ġword{point % 6}"
        assert (row["sequence"], row["position"], row["count"]) == (point // 6, point % 6, point % 6 + 1)
        expected = (None, None) if point == 2 else (point, point + 100)
        assert (row["twonn_quick"], row["twonn_slow"]) == expected
        assert row["log_probability"] == (None if point == 47 else -1.5)  # nothing is predicted there
    assert 2 in rows and 47 in rows


def test_what_is_missing_is_told(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*options: str, to: str = "embedding-atlas") -> str:
        assert main(["export", str(results), "--to", to, *options]) == 1
        return capsys.readouterr().err

    assert "There is no model 'a-b'; there are one, a:b. Is a:b meant?" in error("--model", "a-b")
    assert "no layer 'layer_1' of one, step4, news, points; there are mean, layer_0, layer_3" in error("--layer", "1")
    assert "--model, --layer: only for embedding-atlas" in error("--model", "one", "--layer", "0", to="tensorboard")
    embeddings, hidden = results / "embeddings/one/step4/news.parquet", tmp_path / "news.parquet"
    embeddings.rename(hidden)
    try:
        said = error()
        assert f"{embeddings} is not there: hidden states are deleted after use unless the sweep keeps them" in said
        assert "Set keep_embeddings: true in its configuration, and make them again with: snakemake " in said
        assert said.endswith(f"-- {embeddings}\n")
    finally:
        hidden.rename(embeddings)
