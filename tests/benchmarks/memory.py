"""Whether searches and estimates take less memory than they ask for: python -m benchmarks.memory; `make bench-memory`.

Each row is a process of its own that searches the neighbours of one file, or makes the estimates of one block, from files of
that size; its highest resident memory is set beside what `planning.costs` says. The graphs of estimates are drawn, not
searched: memory does not depend on who is near.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BOTH_NULLS = ("gaussian", "permuted")


class Size(NamedTuple):
    """One job: N points of D coordinates out of M vectors, k neighbours, variants, layers of the block, its estimates.

    estimators: none of a job that searches the neighbours.
    """

    number: int
    width: int
    neighbors: int
    estimators: tuple[str, ...]
    sampled: int = 0
    halvings: int = 2
    nulls: tuple[str, ...] = BOTH_NULLS
    layers: int = 1
    noise: float = 0.0


GRAPHS = ("twonn local", "twonn global", "mle local", "mle global", "gride global")
SIZES = (
    Size(2_000, 384, 64, GRAPHS, layers=7),
    Size(20_000, 5_120, 64, GRAPHS),
    Size(50_000, 768, 64, GRAPHS),
    Size(50_000, 64, 256, GRAPHS),
    Size(10_000, 768, 128, GRAPHS, layers=8),
    Size(2_000, 384, 64, ("lpca local",), layers=7),
    Size(20_000, 5_120, 64, ("participation_ratio global",)),
    Size(20_000, 2_048, 64, ("lpca local",), nulls=("permuted",)),
    Size(50_000, 768, 64, ("effective_rank global",)),
    Size(5_000, 4_096, 32, ("lpca global",), sampled=40_000),
    Size(8_000, 256, 32, ("persistent_homology global",), halvings=0, nulls=()),
    Size(20_000, 512, 64, ("corrint global",), halvings=1),
    Size(4_000, 128, 32, ("fisher_s global",), nulls=("gaussian",)),
    Size(1_000, 16_384, 16, ("stable_rank global", "lpca local")),
)


SEARCHES = (
    Size(2_000, 384, 64, (), layers=7),
    Size(20_000, 768, 64, ()),
    Size(20_000, 64, 512, (), nulls=()),
    Size(50_000, 64, 64, ()),
    Size(10_000, 4_096, 64, ()),
    Size(5_000, 4_096, 32, (), sampled=40_000),
    Size(5_000, 2_048, 32, (), sampled=80_000, halvings=0, nulls=()),
    Size(10_000, 2_048, 64, (), noise=0.1, nulls=()),
    Size(1_000, 16_384, 128, ()),
)


def items_of(size: Size) -> list[dict[str, Any]]:
    made = []
    for estimate in size.estimators:
        name, scope = estimate.split()
        nearest = {"n_neighbors": size.neighbors} if scope == "local" or name == "mle" else {}
        steps = {"nsteps": 4, "subsamples": 1} if name == "persistent_homology" else {}
        made.append({"estimator": name, "scope": scope, **nearest, **steps})
    return made


def asked(size: Size) -> float:
    """Bytes that the job of this size asks for."""
    from idsweep.config.load import needs_vectors, neighbors_needed
    from idsweep.planning import costs

    items = items_of(size)
    sampled = size.sampled or size.number
    variants, half = {"data": size.number}, size.number
    for power in range(size.halvings):
        half //= 2
        variants[f"data/{2 ** (power + 1)}"] = half
    variants |= dict.fromkeys(size.nulls, size.number)
    cloud = costs.Cloud(size.width, variants, size.neighbors)
    if not items:
        return costs.memory_of_search([cloud], sampled)
    return costs.memory_of_estimates(
        cloud,
        [item | {"n_neighbors": neighbors_needed(item)} for item in items],
        sampled,
        any(map(needs_vectors, items)),
        size.layers,
    )


def prepare(folder: Path, size: Size) -> dict[str, Any]:
    """Write tokens, vectors and drawn graphs of every variant; returns the settings of the job."""
    import pyarrow as pa
    from idsweep.config.load import all_parameters, label, needs_vectors
    from idsweep.files.parquet import write_table
    from idsweep.files.vectors import EmbeddingsWriter

    random, sampled, items = np.random.default_rng(0), size.sampled or size.number, items_of(size)
    points = np.arange(sampled, dtype=np.int32)
    write_table(folder / "tokens.parquet", pa.table({"point": points, "sequence": points // 50, "drawn": points}), {})
    if not items or any(map(needs_vectors, items)):
        with EmbeddingsWriter(folder / "embeddings.parquet", lambda: {"n_parameters": 1}) as file:
            for layer in range(size.layers):
                for part in np.array_split(points, max(1, sampled // 4096)):
                    file.write(part, {layer: random.standard_normal((len(part), size.width), dtype=np.float32)})
    names = [f"layer_{layer}" for layer in range(size.layers)]
    if items:
        write_graphs(folder / "neighbors.parquet", size, names)
    return {
        "representations": names,
        "combinations": {},
        "neighbors": {"number": size.neighbors},
        "variants": {"halvings": size.halvings, "seed": 0, "nulls": list(size.nulls)},
        "points": {"number": size.number, "seed": 0, "deduplicate": True, "zero_vectors": "keep", "normalize": "none"}
        | {"center": False, "noise": size.noise, "noise_seed": 0, "tokens": "all", "sequences": None},
        "tolerance": 0.1,
        "identity": {
            "set": "main",
            "model": "model",
            "checkpoint": "step1000",
            "dataset": "dataset",
            "cloud": "points",
        },
        "estimates": [
            {"name": label(item), "parameters": all_parameters(item)}
            | {key: item[key] for key in ("estimator", "scope")}
            for item in items
        ],
    }


def write_graphs(path: Path, size: Size, names: Sequence[str]) -> None:
    """Graphs of every variant, as a search would write them."""
    from idsweep.files.vectors import NeighborsWriter

    random, points = np.random.default_rng(1), np.arange(size.number, dtype=np.int32)
    facts = {name: {"extrinsic_dimension": size.width, "n_parameters": 1} for name in names}
    numbers = {"data": size.number, **{f"data/{2**i}": size.number >> i for i in range(1, size.halvings + 1)}}
    with NeighborsWriter(path, lambda: {"clouds": facts}) as file:
        for name in names:
            for variant, number in {**numbers, **dict.fromkeys(size.nulls, size.number)}.items():
                k = size.neighbors
                steps = random.integers(1, max(2, number // (k + 1)), (number, k)).cumsum(axis=1)
                lists = ((np.arange(number)[:, None] + steps) % number).astype(np.int32)
                distances = np.sort(1 + random.random((number, k)), axis=1)
                # as many as of a Gaussian null in hundreds of dimensions, twice of each member, of all its fellows
                entries = np.tile(np.repeat(np.arange(k, dtype=np.int32), 2), (number, 1)).ravel()
                fellows = np.tile(np.array([0, 1], dtype=np.int32), number * k)
                fellows[entries == 0] += 1
                fellows[(entries == 1) & (fellows == 1)] = 2
                offsets = np.arange(number + 1, dtype=np.int64) * 2 * k
                apart = 1 + random.random(len(entries))
                file.write(name, variant, points[:number], lists, distances, (offsets, entries, fellows, apart))


def measured(size: Size) -> float:
    """Highest resident memory, in bytes, of a process that makes the estimates."""
    with tempfile.TemporaryDirectory(prefix="idsweep-memory-") as name:
        folder = Path(name)
        (folder / "settings.json").write_text(json.dumps(prepare(folder, size)))
        command = [sys.executable, "-m", "benchmarks.memory", "--job", name]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def job(folder: Path) -> None:
    """What the script of the rule does; prints the highest resident memory of this process."""
    import idsweep.workflow.script  # noqa: F401 - as the job imports it

    settings = json.loads((folder / "settings.json").read_text())
    (estimate if settings["estimates"] else search)(folder, settings)
    # Not getrusage: its ru_maxrss begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(1024 * int(status.partition("VmHWM:")[2].split()[0]))


def search(folder: Path, settings: Mapping[str, Any]) -> None:
    from idsweep.neighbors.search_file import search_file

    files = (folder / name for name in ("embeddings.parquet", "tokens.parquet", "found.parquet"))
    search_file(*files, settings, lambda **facts: facts, cloud="points", device="cpu", memory_share=0.5)


def estimate(folder: Path, settings: Mapping[str, Any]) -> None:
    from idsweep.estimators.block import estimate_block
    from idsweep.files.vectors import write_estimates

    vectors = folder / "embeddings.parquet"
    read = folder / "neighbors.parquet", folder / "tokens.parquet", vectors if vectors.exists() else None
    estimates, identities = estimate_block(*read, settings)
    write_estimates(folder / "estimates.parquet", estimates, identities, {})


def table(sizes: Sequence[Size]) -> list[Mapping[str, Any]]:
    rows = []
    for size in sizes:
        rows.append({"size": size, "asked": asked(size) / 1e6, "measured": measured(size) / 1e6})
        print("{measured:8,.0f} MB of {asked:8,.0f} MB: {size}".format_map(rows[-1]), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Print the rows; returns 1 if a job took more than it asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.job:
        job(given.job)
        return 0
    return int(any(row["measured"] >= row["asked"] for row in table([*SEARCHES, *SIZES])))


if __name__ == "__main__":
    sys.exit(main())
