"""torchid, which searches with faiss on a CPU."""

from __future__ import annotations

import os

import faiss
import numpy as np
import torch
from torchid import estimators

PACKAGES = ("torchid", "faiss-cpu", "torch", "numpy")
faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def fit(X, estimator, **options):
    return {"value": np.array(getattr(estimators, estimator)().fit(X, **options).dimension_)}
