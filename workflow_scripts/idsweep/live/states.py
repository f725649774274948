"""What is measured of a model at one step: hidden states at the sampled tokens, or what its modules give for fixed inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from idsweep.data.tokens import SampledTokens
from idsweep.extraction.batches import rows_to_run
from idsweep.extraction.forward import extract_hidden_states
from idsweep.extraction.states import HiddenStates
from idsweep.files.columns import POINTS
from idsweep.live.undisturbed import device_of, unwrapped
from idsweep.models.inputs import known_tokens

Take = Callable[[Any], torch.Tensor]
NAME_MODULES = "Name submodules instead: modules=['encoder.layers.3', …] with inputs=[batch, …]."


class States(NamedTuple):
    """Vectors of sampled tokens, or of rows of what a module gives.

    ids: int32 (M,), rows of `tokens`. vectors: float32 (M, D). tokens: columns of `POINTS`.
    """

    ids: np.ndarray
    vectors: np.ndarray
    tokens: pa.Table


class TokenStates:
    """Hidden states of layers of a transformers model at sampled tokens.

    layers: numbers, 0 for the embedding output, negative ones from the end.

    Raises ValueError if the model gives no hidden states, lacks one of the layers or does not embed the tokens.
    """

    def __init__(self, model: nn.Module, sampled: SampledTokens, layers: Sequence[int], batch_tokens: int) -> None:
        self._sampled, self._batch_tokens = sampled, batch_tokens
        base = _base_of(model)
        rows = rows_to_run(*sampled)
        if (largest := int(rows.ids.max())) >= (known := known_tokens(base) or largest + 1):
            raise ValueError(f"The tokenizer gives token id {largest}, but the model embeds only {known} tokens.")
        try:
            last = int(max(HiddenStates(base, None, _device(base), rows).layers))
        except ValueError as error:
            raise ValueError(f"{error} {NAME_MODULES}") from error
        numbers = [layer + last + 1 if layer < 0 else layer for layer in layers]
        if not layers or len(set(numbers)) < len(numbers) or not all(0 <= number <= last for number in numbers):
            raise ValueError(
                f"layers: {list(layers)} is not allowed; the model has layers 0…{last} (or -{last + 1}…-1), and each can be "
                "named once."
            )
        self._layers = numbers
        width = max(2, len(str(last)))
        self.names = [f"layer_{number:0{width}}" for number in numbers]

    def digest(self) -> str:
        """Of what is run and measured: the same for the same tokens."""
        return _digest(column.to_pylist() for table in self._sampled for column in table.columns)

    def read(self, model: nn.Module) -> dict[str, States]:
        """The states of each layer, in the order of the points. Raises ValueError if one is not finite."""
        base = _base_of(model)
        ids: list[np.ndarray] = []
        parts: dict[int | str, list[np.ndarray]] = {layer: [] for layer in self._layers}

        def keep(points: np.ndarray, vectors: Mapping[int | str, np.ndarray]) -> None:
            ids.append(points)
            for layer, some in vectors.items():
                parts[layer].append(some)

        extract_hidden_states(
            base,
            *self._sampled,
            keep,
            layers=self._layers,
            batch_tokens=self._batch_tokens,
            device=_device(base),
        )
        points = np.concatenate(ids)
        order = np.argsort(points)  # the longest sequences were run first
        named = zip(self.names, parts.values(), strict=True)
        return {name: States(points[order], np.concatenate(some)[order], self._sampled.points) for name, some in named}


class ModuleStates:
    """What submodules of any model give for fixed inputs: a point for each row, or for each position of each row.

    Parameters
    ----------
    modules
        Names as in `model.named_modules()`.
    inputs
        Batches that are the same at every measurement: a tensor, a tuple of arguments, or a mapping of named ones.
    number, seed
        How many of the rows become points, and of which draw. They are the same at every measurement.
    take
        Makes (n, D), or (B, T, D), of what a module gives, if that is something else. Without it outputs are tensors (or tuples that
        begin with one) of 2 or 3 dimensions; of those with a mask in `attention_mask`, positions where it is 0 are left out.

    Raises ValueError if the model has no such module, or there is no input.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Sequence[str],
        inputs: Iterable[Any],
        number: int,
        seed: int,
        take: Take | None = None,
    ) -> None:
        known = dict(unwrapped(model).named_modules())
        if unknown := [name for name in modules if name not in known]:
            some = [name for name in known if name][:8]
            raise ValueError(f"modules: the model has no {unknown[0]!r}; it has {', '.join(some)} …")
        if not modules:
            raise ValueError("modules: name one at least.")
        self._inputs = [inputs] if isinstance(inputs, torch.Tensor | Mapping) else list(inputs)
        if not self._inputs:
            raise ValueError("inputs: there is no batch; the modules are measured on one at least.")
        self.names = list(modules)
        self._number, self._seed, self._take = number, seed, take

    def digest(self) -> str:
        """Of what is run, and how outputs are taken."""
        return _digest([*map(_plain, self._inputs), getattr(self._take, "__qualname__", repr(self._take))])

    def read(self, model: nn.Module) -> dict[str, States]:
        """The vectors of each module. Raises ValueError if it gives none, or others than before, or some are not finite."""
        model = unwrapped(model)
        device = device_of(model)
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in self.names}
        with ExitStack() as stack, torch.no_grad():
            for name in self.names:
                handle = model.get_submodule(name).register_forward_hook(partial(self._keep, name, found))
                stack.callback(handle.remove)
            for number, batch in enumerate(self._inputs, 1):
                self._mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
                _call(model, _copied(batch, device))
                for name, parts in found.items():
                    if len(parts) != number:
                        calls = len(parts) - number + 1
                        raise ValueError(
                            f"modules: {name} is called {calls} times when the model runs; name one that is called once."
                        )
        return {name: self._states(name, parts) for name, parts in found.items()}

    def _keep(
        self, name: str, found: Mapping[str, list[tuple[np.ndarray, np.ndarray]]], _: nn.Module, given: Any, result: Any
    ) -> None:
        # At once: what comes behind may change it in place.
        found[name].append(self._vectors(name, result, self._mask))

    def _vectors(self, name: str, output: Any, mask: torch.Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (n, D) of a batch, and the row of the batch that each is of."""
        if self._take is not None:
            tensor = self._take(output)
        else:
            tensor = output[0] if isinstance(output, tuple | list) else getattr(output, "last_hidden_state", output)
        if not isinstance(tensor, torch.Tensor) or tensor.ndim not in (2, 3):
            shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise ValueError(
                f"modules: {name} gives {shape}; points are the rows of (n, D) or the positions of (B, T, D). Say with take= "
                "how one of these is made of it, as take=lambda output: output.flatten(2).transpose(1, 2) for images."
            )
        rows = np.arange(len(tensor))
        vectors = tensor.to("cpu", torch.float32, copy=True).numpy()
        if tensor.ndim == 2:
            return vectors, rows
        rows = np.repeat(rows, tensor.shape[1])
        flat = vectors.reshape(-1, vectors.shape[-1])
        if mask is None:
            return flat, rows
        if tuple(mask.shape) != tuple(tensor.shape[:2]):
            raise ValueError(
                f"modules: {name} gives {tuple(tensor.shape)}, and attention_mask is {tuple(mask.shape)}, where (B, T) of both must be "
                "the same. Say with take= how (B, T, D) is made of it."
            )
        read = mask.bool().flatten().cpu().numpy()
        return flat[read], rows[read]

    def _states(self, name: str, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> States:
        vectors = np.concatenate([vectors for vectors, _ in parts])
        if not np.isfinite(vectors).all():
            raise ValueError(f"{name}: a value is NaN or infinite.")
        starts = np.cumsum([0, *(rows.max() + 1 for _, rows in parts)])
        rows = np.concatenate([rows + start for (_, rows), start in zip(parts, starts, strict=False)])
        drawn = np.random.Generator(np.random.PCG64(self._seed)).permutation(len(vectors))[: self._number]
        ids = np.sort(drawn).astype(np.int32)
        return States(np.arange(len(ids), dtype=np.int32), vectors[ids], as_tokens(rows[ids]))


def as_tokens(rows: np.ndarray) -> pa.Table:
    """Points that are no tokens, in the columns of tokens: `sequence` is the row of the inputs that each is of."""
    n = len(rows)
    numbers = pa.array(np.arange(n, dtype=np.int32))
    columns = {
        "point": numbers,
        "sequence": pa.array(rows.astype(np.int32)),
        "position": pa.array(np.zeros(n, dtype=np.int32)),
        "token_id": pa.array(np.zeros(n, dtype=np.int32)),
        "token": pa.array([""] * n),
        "special": pa.array([False] * n),
        "token_class": pa.nulls(n, pa.string()),
        "count": pa.nulls(n, pa.int64()),
        "drawn": numbers,
    }
    return pa.table(columns, schema=POINTS)


def _base_of(model: nn.Module) -> nn.Module:
    """The transformers model without its head; adapters stay in it, unmerged."""
    model = unwrapped(model)
    if hasattr(model, "get_base_model"):  # PEFT
        if getattr(model.active_peft_config, "is_prompt_learning", False):
            raise ValueError(
                f"{type(model.active_peft_config).__name__}: prompts and prefixes stand beside the base, whose states at the tokens of texts do "
                "not tell of them; adapters inside the base, as LoRA, can be measured."
            )
        model = model.get_base_model()
    base = getattr(model, "base_model", model)
    if not hasattr(base, "config") or not hasattr(base.config, "get_text_config"):
        raise ValueError(
            f"{type(model).__name__} is no model of transformers, whose layers have numbers. Give the model inside it (of a "
            f"LightningModule by part=). {NAME_MODULES}"
        )
    return base


def _device(model: nn.Module) -> str:
    return str(device_of(model))


def _copied(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device, copy=True)
    if isinstance(batch, Mapping):
        return {name: _copied(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(_copied(value, device) for value in batch)
    return batch


def _call(model: nn.Module, batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple) else model(batch)


def _plain(batch: Any) -> Any:
    """A batch as what has the same text wherever it has the same content."""
    if isinstance(batch, torch.Tensor):
        numbers = batch.detach().cpu().reshape(-1).contiguous()
        return (
            str(batch.dtype),
            tuple(batch.shape),
            numbers.view(torch.uint8).numpy().tobytes() if numbers.numel() else b"",
        )
    if isinstance(batch, Mapping):
        return {name: _plain(value) for name, value in batch.items()}
    return [_plain(value) for value in batch] if isinstance(batch, tuple | list) else batch


def _digest(parts: Iterable[Any]) -> str:
    return sha256(repr(list(parts)).encode()).hexdigest()
