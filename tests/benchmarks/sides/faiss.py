"""faiss: exact search by IndexFlatL2."""

from __future__ import annotations

import os

import faiss
import numpy as np

PACKAGES = ("faiss-cpu", "numpy")
faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def neighbors(X, k):
    """The k nearest others: each point is its own first hit, since no two are equal."""
    index = faiss.IndexFlatL2(X.shape[1])
    index.add(X)
    squares, indices = index.search(X, k + 1)
    return {"indices": indices[:, 1:], "distances": np.sqrt(squares[:, 1:])}
