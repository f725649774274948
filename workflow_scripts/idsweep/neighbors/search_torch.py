"""The search of `neighbors` on a torch device: same candidates, same certificate, same exact distances."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from idsweep.neighbors.graph import LEAST_SQUARE, candidates_kept, center_and_scale, lengths, unit_and_slope

log = logging.getLogger(__name__)

# What work buffers take where the device is no GPU.
MEMORY_BYTES = 256 * 2**20


def search(
    X: np.ndarray, k: int, device: str, dtype: str = "float32", memory_share: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest neighbours of X, float32 or float64 (N, D), on a torch device ("cuda", "cpu" …).

    Returns indices int32 (N, k), distances float64 (N, k). See `neighbors.nearest_neighbors`.
    """
    with torch.inference_mode(), _full_precision():
        return _search(torch.from_numpy(X).to(device), k, X, dtype, memory_share)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 matrices in float32, not in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _search(
    cloud: torch.Tensor, k: int, X: np.ndarray, dtype: str, memory_share: float
) -> tuple[np.ndarray, np.ndarray]:
    number, dimension = cloud.shape
    mean, scale = center_and_scale(X)
    mean = torch.from_numpy(mean).to(cloud.device)
    budget = _budget(cloud.device, memory_share)
    height = int(np.clip(budget // (8 * 4 * dimension), 16, number))
    centred = torch.cat([((part - mean) * scale).float() for part in cloud.split(height)])
    squares = torch.cat([part.double().square().sum(1) for part in centred.split(height)])
    norms = squares.sqrt()
    kept = candidates_kept(k, number - 1)
    half_norms = (squares / 2).float()
    unit, slope = unit_and_slope(np.float32, dimension)

    width = int(np.clip(np.sqrt(budget / 16), 64, 32768))
    height = int(np.clip(budget // (16 * width), 16, 16384))
    found = torch.empty((number, k), dtype=torch.int32, device=cloud.device)
    distances = torch.empty((number, k), dtype=torch.float64, device=cloud.device)
    unproven = [] if dtype == "float32" else [torch.arange(number, device=cloud.device)]
    for start in range(0, number, height) if dtype == "float32" else ():
        rows = torch.arange(start, min(start + height, number), device=cloud.device)
        values, ids = _candidates(centred, half_norms, rows, kept, width)
        exact = _exact(cloud, rows, ids, budget)
        order, nearest = _nearest(exact, ids, k)
        found[rows], distances[rows] = order, nearest
        if kept < number - 1:
            reach = _largest_value(nearest[:, -1] * scale, norms[rows], unit, slope)
            unproven.append(rows[~(reach < values.amax(1).double())])
    again = torch.cat(unproven) if unproven else torch.empty(0, dtype=torch.int64)
    if len(again):
        log.debug("%d of %d points are searched again in float64", len(again), number)
        # an upper bound of the norms of the float64 cloud
        norms = norms * (1 + 2.0**-22) + 1e-36
        height = int(np.clip(budget // (24 * number), 1, 4096))
        for rows in again.split(height):
            _search_in_float64(cloud, mean, scale, norms, rows, k, budget, found, distances)
    return found.cpu().numpy(), distances.cpu().numpy()


def _budget(device: torch.device, memory_share: float) -> int:
    return int(torch.cuda.mem_get_info(device)[0] * memory_share) if device.type == "cuda" else MEMORY_BYTES


def _candidates(
    centred: torch.Tensor, half_norms: torch.Tensor, rows: torch.Tensor, kept: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The `kept` others of least half squared distance by float32 products: values, ids (rows, kept)."""
    values = ids = None
    left = centred[rows[0] : rows[-1] + 1]
    for column in range(0, len(centred), width):
        right = centred[column : column + width]
        block = torch.addmm(half_norms[column : column + width], left, right.T, alpha=-1)
        block += half_norms[rows, None]
        own = (rows >= column) & (rows < column + width)
        block[own, rows[own] - column] = torch.inf
        best, places = block.topk(min(kept, block.shape[1]), dim=1, largest=False)
        places += column
        if values is not None:
            best, places = torch.cat([values, best], 1), torch.cat([ids, places], 1)
            best, order = best.topk(min(kept, best.shape[1]), dim=1, largest=False)
            places = places.gather(1, order)
        values, ids = best, places
    return values, ids


def _exact(cloud: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor, budget: int) -> torch.Tensor:
    """Float64 distances (rows, ids.shape[1]) from differences of the given values."""
    flat = torch.empty(ids.numel(), dtype=torch.float64, device=cloud.device)
    owners = rows.repeat_interleave(ids.shape[1])
    step = max(1, budget // (32 * cloud.shape[1]))
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        difference = cloud[owners[part]].double() - cloud[ids.reshape(-1)[part]].double()
        squares = difference.square().sum(1)
        flat[part] = squares.sqrt()
        odd = torch.nonzero((squares < LEAST_SQUARE) | (squares == torch.inf))[:, 0]
        odd = odd[difference[odd].any(1)]
        if len(odd):
            flat[start + odd] = torch.from_numpy(lengths(difference[odd].cpu().numpy())).to(flat.device)
    return flat.view(ids.shape)


def _nearest(exact: torch.Tensor, ids: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest ids and their distances, ties by id."""
    ids, order = ids.sort(dim=1)
    exact, places = exact.gather(1, order).sort(dim=1, stable=True)
    return ids.gather(1, places)[:, :k].int(), exact[:, :k]


def _largest_value(distance: torch.Tensor, norm: torch.Tensor, unit: float, slope: float) -> torch.Tensor:
    """Upper bound of the computed half squared distance of a pair at true distance `distance`; as in `kernels`."""
    moved = (distance * (1 + 1e-12) + 2.1 * unit * norm) * (1 + 1.1 * unit) + 1e-36
    error = slope * (norm * (norm + moved)) + 4 * unit * (norm**2 + (norm + moved) ** 2)
    return (0.5 * moved**2 + error) * (1 + 1e-12) + 1e-36


def _search_in_float64(
    cloud: torch.Tensor,
    mean: torch.Tensor,
    scale: float,
    norms: torch.Tensor,
    rows: torch.Tensor,
    k: int,
    budget: int,
    found: torch.Tensor,
    distances: torch.Tensor,
) -> None:
    number, dimension = cloud.shape
    unit, slope = unit_and_slope(np.float64, dimension)
    left = (cloud[rows] - mean) * scale
    own = left.square().sum(1, keepdim=True) / 2
    values = torch.empty((len(rows), number), dtype=torch.float64, device=cloud.device)
    step = max(1, budget // (32 * dimension))
    for column in range(0, number, step):
        right = (cloud[column : column + step] - mean) * scale
        values[:, column : column + step] = own + right.square().sum(1) / 2 - left @ right.T
    values[torch.arange(len(rows), device=cloud.device), rows] = torch.inf
    first = values.topk(k, dim=1, largest=False).indices
    farthest = _exact(cloud, rows, first, budget).amax(1)
    reach = _largest_value(farthest * scale, norms[rows], unit, slope)
    counts = (values <= reach[:, None]).sum(1)
    # rows with about as many candidates together, so that one crowded row does not cost all of them
    for count in counts.unique():
        part = torch.nonzero(counts == count)[:, 0]
        ids = values[part].topk(int(count), dim=1, largest=False).indices
        exact = _exact(cloud, rows[part], ids, budget)
        found[rows[part]], distances[rows[part]] = _nearest(exact, ids, k)
