"""A script of the workflow as Snakemake would run it, on the files of one folder: python job.py RULE FOLDER."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "workflow_scripts"
LAYER = 4
LAYERS = "layers_0-6"  # the block of it
NEIGHBORS = 64
PARAMETERS = 22_713_216  # of MiniLM
SWEEP = {
    "sweep": "benchmark",
    "models": {"minilm": {"layers": [LAYER]}},
    "datasets": ["lee_news"],
    "scales": {"halvings": 0},
    "estimator_sets": {
        "light": [
            *({"estimator": name, "scope": "local", "n_neighbors": NEIGHBORS} for name in ("twonn", "mle", "lpca")),
            {"estimator": "twonn", "scope": "global"},
            {"estimator": "mle", "scope": "global", "n_neighbors": NEIGHBORS},
            {"estimator": "participation_ratio", "scope": "global"},
        ]
    },
}
WRITES = {"find_neighbors": "neighbors", "estimate_dimensions": "estimates"}


def prepare(folder: Path, X: np.ndarray) -> None:
    """Write the tokens, their embeddings X, and the settings of both rules in a small sweep."""
    import pyarrow as pa
    from idsweep.config.load import load
    from idsweep.files.parquet import write_table
    from idsweep.files.vectors import EmbeddingsWriter
    from idsweep.sweep.expand import expand
    from idsweep.workflow.job_graph import JobGraph
    from idsweep.workflow.signature import Digests

    points = np.arange(len(X), dtype=np.int32)
    write_table(folder / "tokens.parquet", pa.table({"point": points, "sequence": points // 50, "drawn": points}), {})
    with EmbeddingsWriter(folder / "embeddings.parquet", lambda: {"n_parameters": PARAMETERS}) as writer:
        writer.write(points, {LAYER: X})
    config = SWEEP | {"points": {"number": len(X)}, "neighbors": {"number": NEIGHBORS}}
    sweep = expand(load(config, PROJECT / "config"))
    graph = JobGraph(sweep, Digests(folder / "digests.jsonl"))
    cloud = {"model": "minilm", "checkpoint": "final", "dataset": "lee_news", "cloud": "points"}
    (folder / "find_neighbors.json").write_text(json.dumps(graph.settings("find_neighbors", **cloud)))
    # All of the set together, as one process can make them; the workflow makes a part of it in each.
    parts = [
        graph.settings("estimate_dimensions", part=part, layers=LAYERS, **cloud) for part in sweep.parts_of("points")
    ]
    together = parts[0] | {"estimates": [estimate for part in parts for estimate in part["estimates"]]}
    (folder / "estimate_dimensions.json").write_text(json.dumps(together))


def run(rule: str, folder: Path) -> None:
    """Run the rule's script with what Snakemake would hand to it."""
    files = {name: str(folder / f"{name}.parquet") for name in ("tokens", "embeddings", "neighbors")}
    snakemake = SimpleNamespace(
        rule=rule,
        wildcards=_Named(cloud="points", layers=LAYERS),
        input=_Named(**files),
        output=_Named(**{WRITES[rule]: str(folder / f"{WRITES[rule]}.parquet")}),
        log=[str(folder / f"{rule}.log")],
        params=_Named(settings=(folder / f"{rule}.json").read_text(), signature=""),
        resources=_Named(device="cpu", gpu_memory=0.5, log_level="INFO"),
        threads=1,
    )
    runpy.run_path(str(SCRIPTS / f"{rule}.py"), init_globals={"snakemake": snakemake})


class _Named(SimpleNamespace):
    def __iter__(self) -> Any:
        return iter(vars(self).values())

    def items(self) -> Any:
        return vars(self).items()

    def get(self, key: str, default: Any = None) -> Any:
        return vars(self).get(key, default)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
