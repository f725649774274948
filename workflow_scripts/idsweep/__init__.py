"""idsweep: intrinsic dimension of language-model representations over sweeps."""

from idsweep.machine.faces import offer

__getattr__, __dir__, __all__ = offer(
    __name__,
    {
        "detect_events": "idsweep.tables.events",
        "estimate_global": "idsweep.estimators.registry",
        "estimate_local": "idsweep.estimators.registry",
        "estimate_mean": "idsweep.estimators.registry",
        "load": "idsweep.results",
        "nearest_neighbors": "idsweep.neighbors.search",
        "provenance": "idsweep.files.parquet",
        "read_embeddings": "idsweep.files.vectors",
        "read_estimates": "idsweep.files.vectors",
        "read_neighbors": "idsweep.files.vectors",
        "read_table": "idsweep.files.parquet",
        "snakefile": "idsweep.files.project",
    },
)
