"""Oracle: every neighbourhood searched on its own, in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from idsweep import neighborhoods
from idsweep.neighborhoods import nearest_two_within, spectra
from idsweep.neighbors import nearest_neighbors

LIBRARY = Path(neighborhoods.__file__).parent


def brute_force(X, indices):
    X = X.astype(np.float64)
    found = np.empty((*indices.shape, 2))
    for i, members in enumerate(indices):
        distances = np.sqrt(((X[members][:, None] - X[members][None]) ** 2).sum(axis=2))
        np.fill_diagonal(distances, np.inf)
        found[i] = np.sort(distances, axis=1)[:, :2]
    return found[..., 0], found[..., 1]


def clouds():
    rng = np.random.default_rng(0)
    gauss = rng.standard_normal((250, 70))
    return {
        "gaussian": gauss,
        "duplicates": gauss[rng.integers(0, 60, 250), :3],
        "lattice": rng.integers(0, 4, (250, 3)).astype(float),
        "hub": np.concatenate([gauss[:1] * 0, 10 * np.eye(70).repeat(3, axis=0) + 1e-3 * gauss[:210]]),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", clouds())
@pytest.mark.parametrize(("k", "n_neighbors"), [(3, 3), (16, 16), (60, 16), (150, 150)])
def test_equals_search_in_each_neighbourhood(name, dtype, k, n_neighbors):
    X = clouds()[name].astype(dtype)
    graph = nearest_neighbors(X, k)
    expected = brute_force(X, graph.indices[:, :n_neighbors])
    for found, wanted in zip(nearest_two_within(X, *graph, n_neighbors), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0)


def test_too_small_or_large_a_neighbourhood():
    X = np.random.default_rng(0).standard_normal((20, 2))
    graph = nearest_neighbors(X, 5)
    for n_neighbors in (2, 6):
        with pytest.raises(ValueError, match=f"n_neighbors = {n_neighbors}: .* holds 5"):
            nearest_two_within(X, *graph, n_neighbors)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("dimension", [4, 90])
def test_spectra_equal_singular_values(dimension, center, monkeypatch):
    monkeypatch.setattr(neighborhoods, "BATCH_BYTES", 2**18)
    X = np.random.default_rng(0).standard_normal((80, dimension)) + 1e2
    indices = nearest_neighbors(X, 30).indices
    found = spectra(X, indices, center=center)
    assert found.shape == (80, min(30, dimension))
    for members, eigenvalues in zip(X[indices], found, strict=True):
        members = members - members.mean(axis=0) * center
        expected = np.linalg.svd(members, compute_uv=False) ** 2
        np.testing.assert_allclose(eigenvalues, expected, rtol=1e-9, atol=1e-12 * expected[0])


def test_spectra_of_equal_members_are_exactly_zero():
    X = np.full((10, 3), 0.1)
    assert not spectra(X, nearest_neighbors(X, 7).indices).any()


SCRIPT = """
import numpy as np
from idsweep.neighbors import nearest_neighbors
print(nearest_neighbors(np.arange(6.0)[:, None], 2).indices.tolist())
"""


def test_compiled_code_is_kept_where_neither_source_nor_home_can_be_written(tmp_path):
    library = tmp_path / "read_only" / "idsweep"
    library.mkdir(parents=True)
    for name in ("__init__", "compiled", "kernels", "neighbors"):
        (library / f"{name}.py").write_bytes((LIBRARY / f"{name}.py").read_bytes())
    # a file where the cache folder would be made: fails for root too, unlike permissions
    (library / "__pycache__").write_text("")
    home = tmp_path / "home"
    home.write_text("")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    environment |= {"PYTHONPATH": str(library.parent), "HOME": str(home), "TMPDIR": str(temporary)}
    commands = [[sys.executable, "-c", SCRIPT]] * 2
    jobs = [
        subprocess.Popen(c, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for c in commands
    ]
    for job in jobs:
        out, err = job.communicate(timeout=120)
        assert out.startswith("[[1, 2], [0, 2]"), err
    assert list(temporary.rglob("*.nbi"))
