"""The Hausdorff distance is exact, whatever the float32 products guess."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from idsweep.neighbors import hausdorff
from idsweep.neighbors.hausdorff import hausdorff_distance
from scipy.spatial.distance import directed_hausdorff

rng = np.random.default_rng(0)
CLOUD = rng.normal(size=(60, 8))
# float32 products see the two clumps, and not the points in a clump
CLUMPS = np.repeat(1e7 * rng.normal(size=(2, 8)), 300, axis=0) + 1e-3 * rng.normal(size=(600, 8))

CLOUDS = {
    "one point each": (np.zeros((1, 3)), np.array([[2.0, 3.0, 6.0]])),
    "one coordinate": (rng.normal(size=(70, 1)), rng.normal(size=(50, 1))),
    "one against many": (CLOUD[:1], CLOUD),
    "uneven": (rng.normal(size=(3000, 20)), rng.normal(size=(2100, 20))),
    "wide": (rng.normal(size=(150, 1500)), 2 * rng.normal(size=(90, 1500))),
    "float32": (rng.normal(size=(500, 64)).astype(np.float32), rng.normal(size=(400, 64)).astype(np.float32)),
    "float32 and float64": (rng.normal(size=(300, 16)).astype(np.float32), rng.normal(size=(300, 16))),
    "whole numbers": (rng.integers(0, 3, size=(400, 3)), rng.integers(1, 5, size=(300, 3))),
    "far from the origin": (1e6 + CLOUD, 1e6 + rng.normal(size=(50, 8))),
    "far from each other": (CLOUD, 1e8 + rng.normal(size=(50, 8))),
    "clumps": (CLUMPS, CLUMPS + 1e-4 * rng.normal(size=CLUMPS.shape)),
    "large": (1e150 * CLOUD, 1e150 * rng.normal(size=(50, 8))),
    "small": (1e-150 * CLOUD, 1e-150 * rng.normal(size=(50, 8))),
    "one place and a clump": (np.ones((40, 8)), 1 + 1e-12 * rng.normal(size=(300, 8))),
}


def expected(A: np.ndarray, B: np.ndarray) -> float:
    A, B = np.float64(A), np.float64(B)
    return max(directed_hausdorff(A, B)[0], directed_hausdorff(B, A)[0])


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("device", ["cpu", "cpu:0"], ids=["compiled", "torch"])
def test_it_is_that_of_scipy(name, device):
    A, B = CLOUDS[name]
    wanted = expected(A, B)
    assert wanted > 0
    assert hausdorff_distance(A, B, device) == pytest.approx(wanted, rel=1e-13)
    assert hausdorff_distance(B, A, device) == hausdorff_distance(A, B, device)


def test_clouds_of_several_blocks_are_searched_whole(monkeypatch):
    monkeypatch.setattr(hausdorff, "BLOCK", 32)
    for kept in (hausdorff.KEPT_BYTES, 0):
        monkeypatch.setattr(hausdorff, "KEPT_BYTES", kept)
        A, B = rng.normal(size=(161, 5)), rng.normal(size=(97, 5))
        # the farthest in the last block, once of either cloud
        A[-1] = 30
        assert hausdorff_distance(A, B) == pytest.approx(expected(A, B), rel=1e-13)
        assert hausdorff_distance(A[:-1], A) == pytest.approx(expected(A[:-1], A), rel=1e-13)


@pytest.mark.parametrize("name", ["uneven", "clumps", "float32"])
def test_any_guess_leads_to_the_distance(name, monkeypatch):
    A, B = (cloud[:400] for cloud in CLOUDS[name])
    wrong = rng.integers(0, len(B), len(A)), rng.integers(0, len(A), len(B))
    monkeypatch.setattr(hausdorff, "_guesses", lambda *_: wrong)
    assert hausdorff_distance(A, B) == pytest.approx(expected(A, B), rel=1e-13)


def test_good_guesses_leave_few_points_to_search(monkeypatch):
    searched = []
    search = hausdorff._to_nearest
    monkeypatch.setattr(
        hausdorff, "_to_nearest", lambda A, rows, *rest: searched.extend(rows) or search(A, rows, *rest)
    )
    hausdorff_distance(*CLOUDS["uneven"])
    assert 2 <= len(searched) <= 2 * hausdorff.FEW


def test_a_far_copy_is_as_far_as_it_was_moved():
    shift = np.full(8, 1000.0)
    assert hausdorff_distance(CLOUD, CLOUD + shift) <= np.linalg.norm(shift) * (1 + 1e-12)
    # along a line of points, moved across it, every point's nearest is its own copy
    line = np.column_stack([np.arange(100.0), np.zeros(100)])
    assert hausdorff_distance(line, line + np.array([0, 0.25])) == 0.25
    assert hausdorff_distance(line, line + np.array([3, 0])) == 3


def test_a_part_is_as_far_as_the_point_that_it_lacks():
    line = np.array([[0.0], [1.0], [2.0], [7.0]])
    assert hausdorff_distance(line[:3], line) == 5
    assert hausdorff_distance(line, line[:3]) == 5
    assert hausdorff_distance(line[[0, 2, 3]], line) == 1


@pytest.mark.parametrize("cloud", [CLOUD, CLUMPS, np.float32(CLUMPS), np.zeros((20, 3))], ids=str)
def test_the_same_points_in_another_order_are_at_distance_zero(cloud):
    assert hausdorff_distance(cloud, rng.permutation(cloud)) == 0
    assert hausdorff_distance(cloud, np.concatenate([cloud, cloud[:7]])) == 0


def test_near_duplicates_are_told_apart():
    near = CLUMPS.copy()
    near[17, 3] += 2.0**-20
    moved = abs(near[17, 3] - CLUMPS[17, 3])
    assert 0 < moved < 1e-5
    assert hausdorff_distance(CLUMPS, near) == moved


def test_noise_moves_points_by_its_length():
    noise = 0.01 * rng.normal(size=(2000, 300))
    cloud = rng.normal(size=(2000, 300))
    assert hausdorff_distance(cloud, cloud + noise) == pytest.approx(np.linalg.norm(noise, axis=1).max(), rel=1e-9)


def test_memory_does_not_grow_with_the_pairs():
    A, B = (np.random.default_rng(seed).normal(size=(6000, 32)).astype(np.float32) for seed in (1, 2))
    hausdorff_distance(A[:50], B[:50])
    tracemalloc.start()
    try:
        hausdorff_distance(A, B)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6 < 6000**2 * 4


@pytest.mark.parametrize(
    ("A", "B", "message"),
    [
        (CLOUD, CLOUD[:, :7], "A has 8 coordinates and B has 7: .* same space"),
        (CLOUD[:0], CLOUD, r"A has shape \(0, 8\); at least one point"),
        (CLOUD, CLOUD[0], r"B has shape \(8,\); a matrix"),
        (CLOUD, np.where(np.arange(60)[:, None] == 5, np.nan, CLOUD), "B has NaN or infinite values in 1 of 60 rows"),
        (np.full((2, 8), "a"), CLOUD, "A has dtype <U1; real numbers are needed"),
    ],
    ids=["coordinates", "empty", "vector", "NaN", "text"],
)
def test_what_is_no_pair_of_clouds_is_refused(A, B, message):
    with pytest.raises(ValueError, match=message):
        hausdorff_distance(A, B)
