"""The norm behind a model's last block, and the states that go into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from idsweep.files.representations import BEFORE_FINAL_NORM

REPEATED = (torch.nn.ModuleList, torch.nn.Sequential)  # what holds blocks
LARGEST, FACTOR = 1024.0, 4.0  # values beside which what norms add to variances (1e-5) is nothing


class FinalNorm:
    """The final norm of `base`, a model without its head.

    run: runs the model on a few tokens, gives its output with hidden states.

    The norm is found by what it does, so that no family needs to be known: it stands outside the blocks, is called once, gives
    the last hidden state, and gives the same when its input is multiplied by a number. In BERT and other models whose blocks end
    in a norm that norm belongs to the last block.

    Raises ValueError if there is none.
    """

    def __init__(self, base: torch.nn.Module, run: Callable[[], Any]) -> None:
        self._norm = _find(base, run)
        if self._norm is None:
            raise ValueError(
                f"layers: {BEFORE_FINAL_NORM}: {type(base).__name__} has no norm behind its last block, so no states before "
                "one. Its last layer (-1) is what its last block gives; name that instead."
            )
        self._states: torch.Tensor | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep what goes into the norm while the model runs."""
        with self._norm.register_forward_pre_hook(self._keep, with_kwargs=True):
            yield

    def take(self, like: torch.Tensor) -> torch.Tensor:
        """The states (batch, length, D) of the last run, in the shape of its last hidden state; they are kept no longer."""
        states, self._states = self._states, None
        return states.reshape(like.shape) if states.numel() == like.numel() else states

    def _keep(self, _: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._states = _tensor(given, named)


def _find(base: torch.nn.Module, run: Callable[[], Any]) -> torch.nn.Module | None:
    calls: dict[str, list[tuple[torch.Tensor | None, Any]]] = {}
    outside = {name: module for name, module in base.named_modules() if name and not _is_repeated(base, name)}
    with ExitStack() as stack:
        for name, module in outside.items():

            def record(_: torch.nn.Module, given: Any, named: Any, result: Any, name: str = name) -> None:
                calls.setdefault(name, []).append((_tensor(given, named), result))

            stack.enter_context(module.register_forward_hook(record, with_kwargs=True))
        output = run()
    last = getattr(output, "last_hidden_state", None)
    last = output.hidden_states[-1] if last is None else last
    for name, ((given, result), *again) in calls.items():
        if (
            again
            or given is None
            or not isinstance(result, torch.Tensor)
            or not given.numel() == result.numel() == last.numel()
        ):
            continue
        if torch.equal(result.reshape(last.shape), last) and _is_norm(outside[name], given):
            return outside[name]
    return None


def _is_repeated(base: torch.nn.Module, name: str) -> bool:
    """Whether a module stands in a list of modules, as blocks do."""
    parts = name.split(".")
    return any(isinstance(base.get_submodule(".".join(parts[:depth])), REPEATED) for depth in range(len(parts) + 1))


@torch.no_grad()
def _is_norm(module: torch.nn.Module, given: torch.Tensor) -> bool:
    """Whether a module takes the size of vectors out: what it gives for x and for 4 x is the same, and not all the same."""
    scaled = given * (LARGEST / given.abs().max().clamp(min=torch.finfo(given.dtype).tiny))
    try:
        once, larger = module(scaled), module(scaled * FACTOR)
    except Exception:  # it takes more than one tensor
        return False
    rounding = 16 * torch.finfo(given.dtype).eps * once.abs().max()
    return bool((once - larger).abs().max() <= rounding) and bool(once.std() > 0)


def _tensor(given: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor | None:
    """The first tensor of numbers that a module was called with."""
    tensors = (one for one in (*given, *named.values()) if isinstance(one, torch.Tensor) and one.is_floating_point())
    return next(tensors, None)
