"""What does not fit each other among the keys of trainings that start from a base, told without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def complaints(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key (empty for the whole block) and complaint."""
    if ("steps" in training) == ("epochs" in training):
        yield "", "give either steps or epochs"
    if "lora" in training and training["freeze"]:
        yield "freeze", "with lora all weights of the base are frozen anyway; remove one of the two keys"
    if training["schedule"] == "constant" and training["warmup_steps"]:
        yield "warmup_steps", "the schedule constant has none; choose constant_with_warmup, or leave it out"
    if "sequences" not in training:
        return  # of trainings that draw none
    if training["sequences"] is None and training["choose"] != "random":
        yield "choose", "all sequences are trained on, so that none are chosen; set sequences, or remove this key"
    draws_to_train = training["sequences"] is not None and training["choose"] != "first"
    if training["draw_seed"] is not None and not draws_to_train and training["evaluated"] is None:
        yield "draw_seed", "no sequences are drawn, but the first ones or all are taken; remove this key"
