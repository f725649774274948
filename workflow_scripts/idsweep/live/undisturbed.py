"""A model as it has to be for a measurement, and afterwards everything as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

WRAPPERS = (DataParallel, DistributedDataParallel)
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
INSTALLED = "_output_capturing_hooks_installed"  # where transformers notes that it has installed its own


def unwrapped(model: nn.Module) -> nn.Module:
    """The model below DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(model, WRAPPERS):
            model = model.module
        elif isinstance(model, torch._dynamo.OptimizedModule):
            model = model._orig_mod
        else:
            return model


def device_of(model: nn.Module) -> torch.device:
    """Where a model's first weight lies; the CPU of one without weights."""
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without autocast; at the end modes, buffers and all generators of random numbers are as before.

    Modes are set as they are, not by `train(mode)`, which some layers have taught to merge weights. Modules that are compiled in place, or whose `forward` accelerate has put under autocast, run as they were written. That is
    how the workflow runs a saved checkpoint.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    state_of_python, state_of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global one, which others draw from)
    with ExitStack() as stack:
        kind = _kind(model)
        count = (
            getattr(torch, kind).device_count() if kind != "cpu" else 0
        )  # data may be drawn on another than the model's
        stack.enter_context(torch.random.fork_rng(devices=list(range(count)), device_type=kind))
        for one in {kind, "cpu"}:
            stack.enter_context(torch.autocast(one, enabled=False))
        stack.enter_context(_buffers_kept(modules))
        stack.enter_context(_hooks_kept(modules))
        stack.enter_context(_as_written(modules))
        try:
            for module in modules:
                module.training = False
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            random.setstate(state_of_python)
            np.random.set_state(state_of_numpy)  # noqa: NPY002


def _kind(model: nn.Module) -> str:
    if torch.cuda.is_initialized():
        return "cuda"
    kind = device_of(model).type
    return "cpu" if kind == "meta" else kind


@contextmanager
def _buffers_kept(modules: list[nn.Module]) -> Iterator[None]:
    """Rotary embeddings that grow with the sequence, and the like, change or add buffers in a forward pass."""
    names = [set(module._buffers) for module in modules]
    kept = [
        (module._buffers, name, buffer, None if buffer is None else buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
    ]
    try:
        yield
    finally:
        for module, known in zip(modules, names, strict=True):
            for name in set(module._buffers) - known:
                del module._buffers[name]
        with torch.no_grad():
            for place, name, buffer, values in kept:
                place[name] = buffer
                if buffer is not None and not torch.equal(buffer, values):
                    buffer.copy_(values)


@contextmanager
def _hooks_kept(modules: list[nn.Module]) -> Iterator[None]:
    """transformers installs hooks for hidden states when these are first asked for, and a model with them cannot be pickled."""
    places = [getattr(module, name) for module in modules for name in HOOKS if hasattr(module, name)]
    known = [set(place) for place in places]
    marked = [INSTALLED in vars(module) for module in modules]
    try:
        yield
    finally:
        for place, before in zip(places, known, strict=True):
            for key in set(place) - before:
                del place[key]
        for module, was_marked in zip(modules, marked, strict=True):
            if not was_marked:
                vars(module).pop(INSTALLED, None)


@contextmanager
def _as_written(modules: list[nn.Module]) -> Iterator[None]:
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    for module in modules:
        own = vars(module)
        if own.get("_compiled_call_impl") is not None:
            replaced.append((own, "_compiled_call_impl", own["_compiled_call_impl"]))
            own["_compiled_call_impl"] = None
        if "_original_forward" in own and "forward" in own:
            replaced.append((own, "forward", own["forward"]))
            own["forward"] = own["_original_forward"]
    try:
        yield
    finally:
        for own, name, value in replaced:
            own[name] = value
