"""Make dadapy.json: what DADApy says about clouds that any numpy makes alike.

DADApy wants numpy 1.26, so it runs in an environment of its own:
python -m venv v && v/bin/pip install dadapy==0.3.4 numpy==1.26.4 && v/bin/python tests/data/make_dadapy.py
"""

import json
from pathlib import Path

import numpy as np

CLOUDS = {"gaussian in 5 of 20": (800, 5, 20), "gaussian in 12 of 60": (800, 12, 60)}


def cloud(number, dimension, coordinates):
    """Gaussian points on a curved sheet, float64 (number, coordinates)."""
    draw = np.random.RandomState(0)
    inner = draw.standard_normal((number, dimension))
    return np.tanh(inner @ draw.standard_normal((dimension, coordinates)) / dimension)


def measured(X):
    from dadapy import Data

    data = Data(X)
    data.compute_distances(maxk=200)
    ids, _, scales = data.return_id_scaling_gride(range_max=128)
    return {
        "twonn linear": float(data.compute_id_2NN(mu_fraction=0.9, algorithm="base")[0]),
        "twonn mle": float(data.compute_id_2NN(mu_fraction=1.0, algorithm="ml")[0]),
        "gride": ids.tolist(),
        "scales": scales.tolist(),
    }


if __name__ == "__main__":
    found = {name: measured(cloud(*shape)) for name, shape in CLOUDS.items()}
    Path(__file__).with_name("dadapy.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
