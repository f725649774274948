"""DADApy, told to search for no more neighbours than an estimate needs."""

from __future__ import annotations

import os

import numpy as np
from dadapy import Data

PACKAGES = ("dadapy", "scikit-learn", "numpy")
THREADS = int(os.environ["OMP_NUM_THREADS"])


def twonn(X, discard_fraction):
    data = Data(coordinates=X, maxk=2, n_jobs=THREADS)
    return {"value": np.array(data.compute_id_2NN(algorithm="base", mu_fraction=1 - discard_fraction)[0])}


def gride_scales(X, largest):
    data = Data(coordinates=X, maxk=2 * largest, n_jobs=THREADS)
    data.compute_distances()  # faster than the search that return_id_scaling_gride does without it
    return {"value": data.return_id_scaling_gride(range_max=2 * largest)[0]}
