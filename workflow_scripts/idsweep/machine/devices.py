"""Which device and how many threads a job runs on. A device shapes speed, not results, and is part of no signature."""

from __future__ import annotations

import sys
from pathlib import Path


def resolve(device: str) -> str:
    """`cpu` or `cuda` for a wanted `auto`, `cpu` or `cuda`.

    torch is asked only where the driver of a GPU is there, since its import alone costs a second.
    Raises ValueError if a GPU is wanted and none is usable.
    """
    if device == "cpu" or (device == "auto" and not Path("/dev/nvidiactl").exists()):
        return "cpu"
    try:
        import torch

        if torch.cuda.is_available():
            return "cuda"
    except ImportError:  # environments that only estimate have no torch
        pass
    if device == "auto":
        return "cpu"
    raise ValueError(
        "compute.device is cuda, but torch sees no GPU here, or is not installed. Set compute.device to cpu or auto, "
        "or run on a machine with a GPU and a CUDA build of torch."
    )


def set_torch_threads(number: int) -> None:
    """Let torch, if this process has it, work in `number` threads, whatever the machine has or the environment says.

    The order in which threads add up shapes the last digits of a sum, and over a training far more than these.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(number)
