"""Several processes that train one model: all measure or none does, and one of them writes and logs."""

from __future__ import annotations

import torch
from torch import distributed


def is_first() -> bool:
    """Whether this process is the one that writes: the only one, or rank 0."""
    return not _are_several() or distributed.get_rank() == 0


def agreed(decision: bool, device: torch.device) -> bool:
    """What rank 0 has decided; every process calls this at the same place."""
    if not _are_several():
        return decision
    on = device if distributed.get_backend() == "nccl" else torch.device("cpu")
    decided = torch.tensor([int(decision)], device=on)
    distributed.broadcast(decided, src=0)
    return bool(decided.item())


def _are_several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
