"""What does not fit each other among the keys of a training of equations, told without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def complaints(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and complaint."""
    steps, decay_steps, warmup_steps = (training[key] for key in ("steps", "decay_steps", "warmup_steps"))
    if decay_steps < steps:
        yield "decay_steps", f"{decay_steps} is less than the {steps} steps; the learning rate would be negative"
    if warmup_steps >= decay_steps:
        yield "warmup_steps", f"{warmup_steps} must be less than decay_steps = {decay_steps}"
