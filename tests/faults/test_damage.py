"""Files that a disk has changed: it is noticed, the file is named, and only what is made of it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from idsweep.files.parquet import provenance, read_table, write_table
from idsweep.files.vectors import (
    EmbeddingsWriter,
    NeighborsWriter,
    read_embeddings,
    read_neighbors,
    read_points,
    representations,
    variants,
)
from workflow.checkout import MINI, Project

RNG = np.random.default_rng(0)
LAYERS = (np.arange(10, dtype=np.int32), {layer: RNG.normal(size=(10, 3)).astype(np.float32) for layer in range(2)})
GRAPH = (np.arange(10, dtype=np.int32), RNG.integers(0, 10, (10, 3)).astype(np.int32), RNG.random((10, 3)))
COLUMNS = {
    "with_nulls": pa.array([1, None, 3] * 10, pa.int32()),
    "text": ["x", "yy", "x"] * 10,
    "value": RNG.normal(size=30),
    "flag": [True, False, None] * 10,
    "ids": [[1, 2], [3], []] * 10,
}


def write(kind: str, path: Path) -> None:
    made_by = {"rule": "x"}
    if kind == "table":
        write_table(path, pa.table(COLUMNS), made_by)
    elif kind == "embeddings":
        with EmbeddingsWriter(path, lambda: made_by) as file:
            file.write(*LAYERS)
    else:
        with NeighborsWriter(path, lambda: made_by) as file:
            for variant in ("data", "data/2"):
                file.write(1, variant, *GRAPH)


def content(kind: str, path: Path) -> str:
    """All that the library can read of a file."""
    if kind == "table":
        table = read_table(path)
        return repr([table.schema.to_string(), table.to_pydict(), provenance(path)])
    found: list = [provenance(path), representations(path)]
    for name in representations(path):
        if kind == "embeddings":
            found += [read_embeddings(path, name).tolist(), read_points(path, name).tolist()]
        else:
            found += [[array.tolist() for array in read_neighbors(path, name, v)] for v in variants(path, name)]
    return repr(found)


@pytest.mark.parametrize(("kind", "every"), [("table", 3), ("embeddings", 3), ("neighbors", 5)])
def test_each_flipped_bit_is_noticed_or_harmless(tmp_path: Path, kind: str, every: int) -> None:
    """Bits of headers, pages, statistics, footer: reading gives what was written, or an error that names the file."""
    path, damaged = tmp_path / "whole.parquet", tmp_path / "damaged.parquet"
    write(kind, path)
    written, expected = path.read_bytes(), content(kind, path)
    noticed = 0
    for bit in range(0, 8 * len(written), every):
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        try:
            assert content(kind, damaged) == expected, f"bit {bit} of {8 * len(written)} changes what is read"
        except ValueError as error:
            assert f"{damaged} is damaged" in str(error) and "Delete it and run snakemake again" in str(error)
            noticed += 1
    assert noticed > 0.8 * 8 * len(written) / every


def flip(path: Path) -> None:
    """Change one bit in the middle, and keep the time of modification, as a disk does."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def truncate(path: Path) -> None:
    times = path.stat()
    os.truncate(path, path.stat().st_size // 2)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


NEIGHBORS = [f"neighbors/mini_neox/{step}/lee_news/points.parquet" for step in ("step0", "step4")]


@pytest.mark.parametrize(
    ("damaged", "harm", "reader", "fails", "goes_on"),
    [
        ("tokens/mini_neox/lee_news.parquet", flip, "find_neighbors", NEIGHBORS, ["neighbors/minilm/final/lee_news/points.parquet"]),
        ("embeddings/mini_neox/step0/lee_news.parquet", truncate, "find_neighbors", NEIGHBORS[:1], NEIGHBORS[1:]),
        ("embeddings/mini_neox/step0/lee_news.parquet", flip, "find_neighbors", NEIGHBORS[:1], NEIGHBORS[1:]),
        (NEIGHBORS[0], truncate, "estimate_dimensions", ["estimates"], ["tables/training.parquet"]),
        ("estimates", truncate, "collect_estimates", ["tables/global.parquet"], ["tables/losses.parquet"]),
    ],
)  # fmt: skip
def test_only_what_is_made_of_a_damaged_file_fails(
    project: Project, damaged: str, harm: Callable[[Path], None], reader: str, fails: list[str], goes_on: list[str]
) -> None:
    def named(path: str) -> Path:
        # One of the estimates, whatever their files are called.
        of_sweep = project.results / path
        return next(of_sweep.rglob("mini_neox/step0/**/*.parquet")) if path == "estimates" else of_sweep

    broken, failing = named(damaged), [named(path) for path in fails]
    wanted = [*failing, *(project.results / path for path in goes_on)]
    for path in wanted:
        path.unlink()
    harm(broken)
    targets = [str(path.relative_to(project.folder)) for path in wanted]
    done = project.snakemake(*targets)
    assert done.returncode != 0
    said = done.stdout[done.stdout.rindex("job(s) failed") :]
    assert f"{broken.relative_to(project.folder)} is damaged" in said
    assert "Delete it and run snakemake again" in said
    assert f"logs/{reader}/" in said or f"logs/{reader}.log" in said
    assert "Traceback" not in done.stdout
    assert [path.exists() for path in wanted] == [path not in failing for path in wanted]

    broken.unlink()
    done = project.snakemake(*targets)
    assert done.returncode == 0, done.stdout
    assert all(path.exists() for path in [broken, *wanted])


def test_a_truncated_checkpoint_of_a_training_is_named(project: Project) -> None:
    weights = project.results / "training/mini_neox/checkpoints/step0/model.safetensors"
    truncate(weights)
    made = [f"results/mini/losses/mini_neox/{step}/lee_news.parquet" for step in ("step0", "step4")]
    for path in made:
        (project.folder / path).unlink()
    done = project.snakemake(*made)
    assert done.returncode != 0
    assert [(project.folder / path).exists() for path in made] == [False, True]
    said = done.stdout[done.stdout.rindex("job(s) failed") :]
    assert f"{weights.relative_to(project.folder)} has" in said and "bytes, but its header says" in said

    shutil.rmtree(project.results / "training/mini_neox/checkpoints")
    done = project.snakemake(*made)
    assert done.returncode == 0, done.stdout
    assert all((project.folder / path).exists() for path in made)


def test_a_truncated_checkpoint_of_a_local_folder_fails_alone(project: Project, tmp_path: Path) -> None:
    """Somebody else's checkpoints: which is not whole is told, the others are measured."""
    folder = tmp_path / "run"
    for step in (0, 4):
        source = project.results / f"training/mini_neox/checkpoints/step{step}"
        shutil.copytree(source, folder / f"checkpoint-{step}")
    entry = {"path": str(folder), "kind": "causal", "checkpoints": {"checkpoint-0": 0, "checkpoint-4": 4}}
    project.configure(
        models={"mine": {"layers": [-1]}},
        catalog={"models": {"mine": entry}},
        estimator_sets={"quick": MINI["estimator_sets"]["quick"][1:]},
        figures={},
        nulls=[],
    )
    weights = folder / "checkpoint-0/model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    targets = [f"results/mini/neighbors/mine/checkpoint-{step}/lee_news/points.parquet" for step in (0, 4)]
    done = project.snakemake(*targets)
    assert done.returncode != 0
    assert f"{weights} has" in done.stdout and "bytes, but its header says" in done.stdout
    assert "Traceback" not in done.stdout
    assert [(project.folder / target).exists() for target in targets] == [False, True]

    shutil.copy(project.results / "training/mini_neox/checkpoints/step0/model.safetensors", weights)
    done = project.snakemake(*targets)
    assert done.returncode == 0, done.stdout
