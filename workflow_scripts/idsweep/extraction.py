"""One forward pass over the sampled sequences: the hidden states of all layers at the sampled positions.

Layers are those of `output_hidden_states=True` in transformers: 0 is the embedding output, n the output
of block n. Where a final norm follows the last block (GPT-2, GPT-NeoX, Llama, Gemma, Qwen, ModernBERT),
transformers gives the last layer after that norm, and so does this module; the other layers are before
it. BERT and RoBERTa have no final norm: each of their blocks ends in a norm of its own.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from idsweep.progress import Progress

logger = logging.getLogger(__name__)

BUFFER_BYTES = 64 * 2**20

Write = Callable[[np.ndarray, Mapping[int, np.ndarray]], None]


class _Sequence(NamedTuple):
    """A sequence to run: its token ids, and the points sampled from it with their positions."""

    number: int
    ids: np.ndarray
    points: np.ndarray
    positions: np.ndarray


def extract_hidden_states(
    model: torch.nn.Module,
    points: pa.Table,
    sequences: pa.Table,
    write: Write,
    *,
    layers: Sequence[int] | None = None,
    batch_tokens: int = 4096,
    device: str = "cpu",
    chunk: int | None = None,
) -> None:
    """Run `model` once over `sequences`; hand the hidden states at `points` to `write` in bounded chunks.

    Parameters
    ----------
    model: a transformers model in evaluation mode, on `device`; its head, if any, is not run.
    points, sequences: the tables that `idsweep.tokens.sample_tokens` returns.
    write: called as write(points int32 (m,), {layer: float32 (m, D)}); every point comes exactly once,
        those of the longest sequences first.
    layers: which of the layers 0…n to keep; all if None.
    batch_tokens: sequences in a batch x length of the longest <= `batch_tokens`, but one sequence at
        least. Halved, with a warning, whenever the memory of the GPU does not suffice.
    chunk: the most points given to `write` at once; 64 MB of hidden states is the limit in any case.

    Sequences are padded on the right under an attention mask, so that positions count from the first
    token in every family, and what shares a batch with a sequence changes its states by rounding only.

    Raises
    ------
    ValueError: token ids or lengths exceed what the model knows, a layer does not exist, a hidden state
        is NaN or infinite, or a single sequence does not fit into the memory of the GPU.
    """
    waiting = _sequences_to_run(points, sequences)
    base = getattr(model, "base_model", model)
    config = base.config.get_text_config()
    _check_inputs(waiting, base, config)
    pad = config.pad_token_id if isinstance(getattr(config, "pad_token_id", None), int) else 0
    options = {"use_cache": False} if "use_cache" in inspect.signature(base.forward).parameters else {}
    buffer: _Buffer | None = None
    progress = Progress("extracting", len(waiting), "sequences")

    done = 0
    while done < len(waiting):
        batch = _next_batch(waiting[done:], batch_tokens)
        try:
            with torch.inference_mode():
                inputs = _padded(batch, pad, device)
                states = base(**inputs, **options, output_hidden_states=True, return_dict=True).hidden_states
        except torch.OutOfMemoryError as error:
            batch_tokens = _halved(batch, error)
            continue
        if buffer is None:
            layers = range(len(states)) if layers is None else layers
            _check_layers(layers, len(states) - 1)
            buffer = _Buffer(write, layers, states[0].shape[-1], chunk or points.num_rows, points.num_rows)
        _gather(batch, states, buffer, device)
        del states
        done += len(batch)
        progress.report(done)
    if buffer is not None:
        buffer.flush()


class _Buffer:
    """Hidden states on their way to `write`, gathered until the chunk is full."""

    def __init__(self, write: Write, layers: Sequence[int], width: int, chunk: int, total: int) -> None:
        self._write, self.layers, self._width = write, list(layers), width
        self.rows = max(1, min(chunk, total, BUFFER_BYTES // (len(self.layers) * width * 4)))
        self._start()

    def _start(self) -> None:
        # New arrays each time: what `write` was given stays its own.
        self._points = np.empty(self.rows, dtype=np.int32)
        self._vectors = [np.empty((self.rows, self._width), dtype=np.float32) for _ in self.layers]
        self._held = 0

    @property
    def free(self) -> int:
        return self.rows - self._held

    def append(self, points: np.ndarray, vectors: np.ndarray) -> None:
        """Take over points (m <= free,) and their vectors (layers, m, D)."""
        rows = slice(self._held, self._held + len(points))
        self._points[rows] = points
        for held, new in zip(self._vectors, vectors, strict=True):
            held[rows] = new
        self._held += len(points)
        if not self.free:
            self.flush()

    def flush(self) -> None:
        if self._held:
            vectors = (held[: self._held] for held in self._vectors)
            self._write(self._points[: self._held], dict(zip(self.layers, vectors, strict=True)))
            self._start()


def _sequences_to_run(points: pa.Table, sequences: pa.Table) -> list[_Sequence]:
    """The sequences, longest first: the batch that needs most memory comes at once, not at the end."""
    of_point = points["sequence"].to_numpy()
    order = np.argsort(of_point, kind="stable")
    point, position = points["point"].to_numpy()[order], points["position"].to_numpy()[order]
    numbers = sequences["sequence"].to_numpy()
    begins = np.searchsorted(of_point[order], numbers, side="left")
    ends = np.searchsorted(of_point[order], numbers, side="right")
    ids = sequences["input_ids"].combine_chunks()
    flat, offsets = ids.values.to_numpy(), ids.offsets.to_numpy()
    run = [
        _Sequence(int(number), flat[offsets[i] : offsets[i + 1]], point[begin:end], position[begin:end])
        for i, (number, begin, end) in enumerate(zip(numbers, begins, ends, strict=True))
        if end > begin
    ]
    return sorted(run, key=lambda sequence: (-len(sequence.ids), sequence.number))


def _next_batch(waiting: Sequence[_Sequence], batch_tokens: int) -> Sequence[_Sequence]:
    return waiting[: max(1, batch_tokens // len(waiting[0].ids))]


def _halved(batch: Sequence[_Sequence], error: torch.OutOfMemoryError) -> int:
    length = len(batch[0].ids)
    if len(batch) == 1:
        raise ValueError(
            f"Sequence {batch[0].number} of {length} tokens alone does not fit into the device's memory. "
            "Set a smaller max_length, or a 16-bit dtype."
        ) from error
    torch.cuda.empty_cache()
    batch_tokens = max(length, len(batch) * length // 2)
    logger.warning("Out of memory with %d sequences of %d tokens: going on with batches of %d tokens.",
                   len(batch), length, batch_tokens)  # fmt: skip
    return batch_tokens


def _padded(batch: Sequence[_Sequence], pad: int, device: str) -> dict[str, torch.Tensor]:
    ids = np.full((len(batch), len(batch[0].ids)), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence.ids)] = sequence.ids
        mask[row, : len(sequence.ids)] = 1
    return {
        "input_ids": torch.from_numpy(ids).to(device),
        "attention_mask": torch.from_numpy(mask).to(device),
    }


def _gather(batch: Sequence[_Sequence], states: Sequence[torch.Tensor], buffer: _Buffer, device: str) -> None:
    """Pick the sampled positions out of states (layer -> (batch, length, D)) before they leave the device."""
    counts = [len(sequence.points) for sequence in batch]
    rows = np.repeat(np.arange(len(batch)), counts)
    positions = np.concatenate([sequence.positions for sequence in batch]).astype(np.int64)
    points = np.concatenate([sequence.points for sequence in batch])
    taken = 0
    while taken < len(points):
        part = slice(taken, taken + buffer.free)
        row = torch.from_numpy(rows[part]).to(device)
        position = torch.from_numpy(positions[part]).to(device)
        picked = torch.stack([states[layer][row, position] for layer in buffer.layers]).float()
        finite = torch.isfinite(picked).all(dim=-1)
        if not finite.all():
            layer, point = (int(i) for i in (~finite).nonzero()[0])
            number = batch[rows[part][point]].number
            raise ValueError(
                f"A hidden state of layer {buffer.layers[layer]}, sequence {number}, is "
                "NaN or infinite. The checkpoint may have diverged, or need a wider dtype (float32)."
            )
        buffer.append(points[part], picked.cpu().numpy())
        taken = part.stop


def _check_layers(layers: Sequence[int], last: int) -> None:
    if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= last for layer in layers):
        raise ValueError(f"layers: {list(layers)} were asked for; the model has 0…{last}, each can be named once.")


def _check_inputs(waiting: Sequence[_Sequence], base: torch.nn.Module, config: object) -> None:
    """Raise ValueError before any work if the sequences cannot be fed to the model."""
    if not waiting:
        raise ValueError("There is nothing to extract: the tokens table is empty, or fits no sequence.")
    known = base.get_input_embeddings().weight.shape[0]
    largest = max(int(sequence.ids.max()) for sequence in waiting)
    if largest >= known:
        raise ValueError(
            f"The tokenizer gives token id {largest}, but the model embeds only {known} tokens: "
            "the tokens were sampled with a tokenizer that is not this model's."
        )
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None:
        return
    for name, module in base.named_modules():
        # RoBERTa counts positions from padding_idx + 1, which takes rows from its table.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limit = module.num_embeddings - module.padding_idx - 1
    longest = len(waiting[0].ids)
    if longest > limit:
        raise ValueError(
            f"A sequence has {longest} tokens, the model takes {limit}: set max_length to {limit} or less."
        )
