"""Tables that a model computes when it is made and no file holds: rotary frequencies, sinusoids, masks, slopes.

transformers makes a model without memory, reads its weights, and then asks the model's `_init_weights` for its tables (buffers that are
not saved). Code that a model folder brings was often written for versions in which `__init__` ran for real, and
computes them there. They would then be whatever the memory held before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules import module

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGEST_TABLES = 2**34  # bytes


@contextmanager
def without_weights(seed: int, most: int) -> Iterator[None]:
    """Models that are made here take no memory for their parameters; all else in their `__init__` runs for real.

    seed: of the random numbers that `__init__` may draw. The generator is left as it was. most: parameters that the model may
    have, each a matrix or a vector.

    Raises ValueError once it has more, or tables of more than `LARGEST_TABLES` bytes.
    """
    from accelerate import init_empty_weights

    with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False), _bounded(most):
        torch.manual_seed(seed)
        yield


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    parameters = size = 0

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> None:
        nonlocal parameters
        parameters += 1
        if parameters > most:
            raise ValueError(
                f"its config.json asks for more than {most:,} weights, many more than its files hold. Check that it is this "
                "model's (number of layers)"
            )

    def weigh(module: torch.nn.Module, name: str, buffer: torch.Tensor | None) -> None:
        nonlocal size
        size += 0 if buffer is None or buffer.is_meta else buffer.nbytes
        if size > LARGEST_TABLES:
            raise ValueError(f"its config.json asks for tables of more than {LARGEST_TABLES / 2**30:.0f} GB, as {name}")

    hooks = [
        module.register_module_parameter_registration_hook(count),
        module.register_module_buffer_registration_hook(weigh),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def restore_tables(
    model: PreTrainedModel, skeleton: PreTrainedModel, make_again: Callable[[], PreTrainedModel], unsaved: set[str]
) -> None:
    """Give a model whose weights are loaded the tables that its `__init__` computes, in their dtypes.

    skeleton: the same model, made under `without_weights`, in float32. make_again: makes it once more with another seed; called for code of
    a model's own alone. unsaved: names of further buffers that no file holds.

    Raises ValueError if a table depends on weights, or is drawn at random, or if one of a class of transformers is not
    what `__init__` computes.
    """
    own_code = type(model).is_custom_code()
    computed = _tables(skeleton, unsaved)
    again = _tables(make_again(), unsaved) if own_code else computed
    for name, loaded in _tables(model, unsaved).items():
        table = computed.get(name)
        if table is None or _is_without_numbers(table):
            raise ValueError(
                f"{type(model).__name__} computes the table {name} from its weights when it is made, before they are loaded, and no "
                "file holds it. Save it with the weights (a buffer with persistent=True), or compute it in forward."
            )
        if not _same(table, again.get(name)):
            raise ValueError(
                f"{type(model).__name__} draws the table {name} at random when it is made, and no file holds it: hidden states "
                "would differ in each process. Save it with the weights (a buffer with persistent=True)."
            )
        if own_code or _is_without_numbers(loaded):
            _set(model, name, _like(table, loaded))
        elif not _same(table, loaded, _rounding(loaded)):
            raise ValueError(
                f"transformers gives {type(model).__name__} another table {name} than its __init__ computes. Install another "
                "version of transformers, or leave this model out."
            )


def _tables(model: PreTrainedModel, unsaved: set[str]) -> dict[str, Any]:
    """Name -> buffers that are not saved, and tensors (or lists, tuples and mappings with some) that modules hold as attributes."""
    found: dict[str, Any] = dict(model.named_non_persistent_buffers(remove_duplicate=False))
    found |= {name: tensor for name, tensor in model.named_buffers(remove_duplicate=False) if name in unsaved}
    for path, part in model.named_modules():
        for name, value in vars(part).items():
            if not name.startswith("_") and any(True for _ in _tensors(value)):
                found[f"{path}.{name}".lstrip(".")] = value
    return found


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _is_without_numbers(value: Any) -> bool:
    return any(tensor.is_meta for tensor in _tensors(value))


def _same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two tables hold the same numbers, up to `tolerance`, relative to each and absolute."""
    ones, others = list(_tensors(one)), list(_tensors(other))
    return len(ones) == len(others) and all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance)
        for a, b in zip(ones, others, strict=True)
    )


def _rounding(value: Any) -> float:
    """What tables of this dtype may differ by, where one was rounded at the end and the other on the way."""
    return max((8 * torch.finfo(one.dtype).eps for one in _tensors(value) if one.is_floating_point()), default=0.0)


def _like(table: Any, loaded: Any) -> Any:
    """A table in the dtype that the loaded model has for it."""
    if isinstance(table, torch.Tensor) and isinstance(loaded, torch.Tensor):
        return table.to(loaded.dtype)
    return table


def _set(model: PreTrainedModel, name: str, value: Any) -> None:
    path, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(path), attribute, value)
