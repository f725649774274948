"""idsweep itself."""

from __future__ import annotations

import time

import numpy as np
from idsweep.estimators import estimate_global, estimate_local
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.search import nearest_neighbors

PACKAGES = ("idsweep", "numpy", "scipy", "numba", "pyarrow", "torch")


def neighbors(X, k, device="cpu"):
    return nearest_neighbors(X, k, device)._asdict()


def local(X, estimator, indices=None, distances=None, **parameters):
    """The local estimates, from the graph if it is given."""
    return {"value": estimate_local(X, estimator, graph=_graph(indices, distances), **parameters)}


def global_(X, estimator, indices=None, distances=None, **parameters):
    return {"value": np.array(estimate_global(X, estimator, graph=_graph(indices, distances), **parameters).value)}


def pointwise_and_global(X, estimator, n_neighbors):
    """Both from one search, as scikit-dimension's fit() gives them."""
    graph = nearest_neighbors(X, n_neighbors)
    values = estimate_local(X, estimator, n_neighbors=n_neighbors, graph=graph)
    whole = estimate_global(X, estimator, n_neighbors=n_neighbors, graph=graph).value
    return {"pointwise": values, "value": np.array(whole)}


def gride_scales(X, largest):
    """GRIDE at n1 = 1, 2, 4 … largest, n2 = 2 n1, from one search."""
    graph = nearest_neighbors(X, 2 * largest)
    scales = [2**i for i in range(largest.bit_length())]
    return {"value": np.array([estimate_global(X, "gride", graph=graph, n1=n1).value for n1 in scales])}


def _graph(indices, distances):
    return None if indices is None else NeighborGraph(indices, distances)


def matmul_rate(size, device):
    """Floating-point operations per second of a float32 product of two size × size matrices, best of 5."""
    import torch

    torch.set_float32_matmul_precision("highest")
    left, right = torch.randn(2, size, size, device=device)
    seconds = []
    for _ in range(6):  # the first one is a warm-up
        _wait(torch)
        start = time.perf_counter()
        left @ right
        _wait(torch)
        seconds.append(time.perf_counter() - start)
    return {"value": np.array(2 * size**3 / min(seconds[1:]))}


def _wait(torch):
    if torch.cuda.is_available():
        torch.cuda.synchronize()
