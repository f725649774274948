"""One forward pass over the sampled sequences: the hidden states of all layers at the sampled positions.

Layers are those of `output_hidden_states=True` in transformers: 0 is the embedding output, n the output
of block n. Where a norm follows the last block, transformers gives the last layer after that norm, and so does
this module; the other layers are before it (and the last one too with `tie_last_hidden_states: false`, which is logged). Layer 0 and the last layer, by family:

- BERT, RoBERTa, DistilBERT, BART's encoder: layer 0 is after the embeddings' norm. There is no final norm: each block
  ends in one.
- ModernBERT: layer 0 is after the embeddings' norm, the last layer after the final LayerNorm.
- GPT-2, OPT of one width: layer 0 is the sum of token and position embeddings, the last layer after the final LayerNorm.
- GPT-NeoX, Phi (LayerNorm), OLMo (LayerNorm without weights), Llama, Mistral, Qwen, SmolLM3, OLMo-2 and T5's encoder
  (RMSNorm): layer 0 is rows of the embedding matrix, the last layer after the final norm.
- Equation decoders (`train: grokking`): layer 0 is the sum of token embeddings times √D and position embeddings, the last layer
  before any norm.
- Gemma, Gemma-2, Gemma-3: layer 0 is rows of the embedding matrix times √D, the last layer after the final RMSNorm.

What goes into the final norm is `before_final_norm`, beside the layers.

The kept layers of a batch are held until the sampled positions have been picked out of them. Hooks that pick them as
each block ends took the same time, and saved memory only where few tokens are sampled; on a CPU, batches are
cut instead.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from idsweep.extraction.batches import Batch, Rows, next_batch, rows_to_run
from idsweep.extraction.losses import NOT_FINITE, Losses, LossRecorder
from idsweep.extraction.states import HiddenStates
from idsweep.files.columns import MEAN_POSITION
from idsweep.machine.progress import Progress
from idsweep.models.inputs import known_tokens, longest_input

logger = logging.getLogger(__name__)

BUFFER_BYTES = 64 * 2**20
STATES_BYTES = 256 * 2**20
CPU_TOKENS = 1024  # what larger batches gain by sharing the weights they lose by leaving the caches

Write = Callable[[np.ndarray, Mapping[int | str, np.ndarray]], None]


def extract_hidden_states(
    model: torch.nn.Module,
    points: pa.Table,
    sequences: pa.Table,
    write: Write,
    *,
    layers: Sequence[int] | None = None,
    before_final_norm: bool = False,
    masked: bool = False,
    mask_token: int | None = None,
    losses: bool = False,
    padding_side: str = "right",
    batch_tokens: int = 8192,
    device: str = "cpu",
    chunk: int | None = None,
) -> Losses | None:
    """Run `model` once over `sequences`; hand the hidden states at `points` to `write` in bounded chunks.

    Parameters
    ----------
    model: a transformers model in evaluation mode, on `device`: a base model, an encoder, or one with a head (which
        is run for `losses` only). The states are computed in the model's dtype.
    points, sequences: the tables that `idsweep.data.tokens.sample_tokens` returns. At position -1 the state is the mean
        over all tokens of the sequence, special ones included, computed in float32.
    write: called as write(points int32 (m,), {layer or name: float32 (m, D)}); every point comes exactly once,
        those of the longest sequences first. It is called in a thread of its own, one call after the other, while
        the device goes on.
    layers: which of the layers 0…n to keep; all if None.
    before_final_norm: keep what goes into the norm behind the last block as well, under that name.
    masked: run each point in a copy of its sequence in which its token is replaced by `mask_token`.
    losses: return log-probabilities from the same pass. Needs a causal model, or a masked one under `masked`.
    padding_side: where shorter sequences of a batch are filled up, "right" or "left".
    batch_tokens: sequences in a batch x length of the longest <= `batch_tokens`, but one sequence at
        least. Halved, with a warning, whenever the memory of the GPU does not suffice. On a CPU at most 1024, and
        fewer where the kept layers of a batch would take more than 256 MB.
    chunk: the most points given to `write` at once; 64 MB of hidden states is the limit in any case.

    Sequences run under an attention mask, and positions count from their first token. Which sequences share a batch is tried
    before (`models.sharing`), so that what shares one with a sequence, and the padding side, change its states by rounding only.
    Beside the model and the activations of a batch, memory grows neither with the number of points nor with that of layers.

    Raises
    ------
    ValueError: token ids, positions or lengths exceed what the model or the sequences have, a layer does not exist, a
        hidden state or log-probability is NaN, a single sequence does not fit into the memory of the
        GPU, masking lacks a mask token or meets a mean, the model does not predict what `losses` needs, or its layers are not
        what can be measured (`extraction.states`).
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"padding_side: {padding_side!r} is neither 'right' nor 'left'.")
    if masked and mask_token is None:
        raise ValueError("masked: the tokenizer has no mask token; use a model of kind masked, or masked: false.")
    rows = rows_to_run(points, sequences, mask_token if masked else None)
    base = getattr(model, "base_model", model)
    _check_inputs(rows, model, base)
    recorder = LossRecorder(model, base, rows) if losses else None
    pad = _padding(base)
    states = HiddenStates(base, layers, device, rows, before_final_norm)
    if device == "cpu":
        batch_tokens = min(batch_tokens, CPU_TOKENS, max(1, STATES_BYTES // states.bytes_per_token))
    batch_tokens = _try_sharing(states, rows, batch_tokens, pad, padding_side)
    progress = Progress("extracting", len(rows), "masked sequences" if masked else "sequences")

    done = taken = 0
    with _Buffer(write, rows, states.layers, states.width, chunk or len(rows.points)) as buffer:
        while done < len(rows):
            batch = next_batch(rows, done, batch_tokens, pad, padding_side, states.sharing)
            try:
                with torch.no_grad():
                    inputs, output, kept = states(batch)
                    if recorder:
                        recorder.add(batch, inputs, output)
                    last = int(rows.bounds[batch.rows.stop])
                    while taken < last:  # a batch that is repeated goes on where it was stopped
                        part = range(taken, min(last, taken + buffer.size))
                        buffer.take(part, _pick(rows, batch, part, kept, device))
                        taken = part.stop
                fits = True
            except torch.OutOfMemoryError:
                fits = False  # the exception keeps the batch's tensors alive until here
            output = kept = None
            if not fits:
                batch_tokens = _halved(rows, batch)
                continue
            done = batch.rows.stop
            progress.report(done)
    return recorder.result() if recorder else None


def _padding(base: torch.nn.Module) -> int:
    """The token id to pad with: the config's, unless the model does not embed it (-1 of Llama's first conversions)."""
    id, known = getattr(base.config.get_text_config(), "pad_token_id", None), known_tokens(base)
    return id if isinstance(id, int) and id in range(known or sys.maxsize) else 0


class _Buffer:
    """Picked states on their way to the host and to `write`, in a thread of its own, at most two parts at once."""

    def __init__(self, write: Write, rows: Rows, layers: Sequence[int | str], width: int, chunk: int) -> None:
        self._write, self._rows, self._layers, self._width = write, rows, layers, width
        self.size = max(1, min(chunk, len(rows.points), BUFFER_BYTES // (len(layers) * width * 4)))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._pending: Future | None = None

    def __enter__(self) -> _Buffer:
        self._start()
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        with self._thread:
            if kind is None:
                self._wait()
                self._flush()

    def _start(self) -> None:
        # A new array each time: what `write` was given stays its own. One for all layers, since the memory of many
        # smaller ones is handed back in pieces.
        self._points = np.empty(self.size, dtype=np.int32)
        self._vectors = np.empty((len(self._layers), self.size, self._width), dtype=np.float32)
        self._held = 0

    def take(self, part: range, picked: torch.Tensor) -> None:
        """Take over the points `part` of the rows and their vectors float32 (layers, m, D), m <= `size`."""
        self._wait()
        self._pending = self._thread.submit(self._append, part, picked)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _append(self, part: range, picked: torch.Tensor) -> None:
        vectors = picked.cpu().numpy()
        self._check_finite(part, vectors)
        points = self._rows.points[part.start : part.stop]
        while len(points):
            new = min(len(points), self.size - self._held)
            slots = slice(self._held, self._held + new)
            self._points[slots] = points[:new]
            self._vectors[:, slots] = vectors[:, :new]
            self._held += new
            if self._held == self.size:
                self._flush()
            points, vectors = points[new:], vectors[:, new:]

    def _flush(self) -> None:
        if self._held:
            vectors = dict(zip(self._layers, self._vectors[:, : self._held], strict=True))
            self._write(self._points[: self._held], vectors)
            self._start()

    def _check_finite(self, part: range, vectors: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            if np.isfinite(vectors.sum()):  # so are all of its terms
                return
        finite = np.isfinite(vectors).all(axis=-1)
        if finite.all():
            return
        layer, point = np.argwhere(~finite)[0]
        row = np.searchsorted(self._rows.bounds, part[point], side="right") - 1
        name = self._layers[layer]
        state = f"layer {name}" if isinstance(name, int) else name
        raise ValueError(NOT_FINITE.format(state=state, sequence=self._rows.numbers[row]))


def _pick(rows: Rows, batch: Batch, part: range, states: Mapping[int | str, torch.Tensor], device: str) -> torch.Tensor:
    """The vectors of the points `part`, float32 (layers, m, D), picked out of states (layer -> (rows, length, D))."""
    positions = rows.positions[part.start : part.stop].astype(np.int64)
    places = np.searchsorted(rows.bounds, np.arange(part.start, part.stop), side="right") - 1 - batch.rows.start
    length = batch.ids.shape[1]
    flat = torch.from_numpy(places * length + batch.begins[places] + np.maximum(positions, 0)).to(device)
    means = np.flatnonzero(positions == MEAN_POSITION)
    whole = torch.from_numpy(places[means]).to(device)
    tokens = torch.from_numpy(batch.mask[places[means], :, None].astype(bool)).to(device)
    into = torch.from_numpy(means).to(device)
    width = next(iter(states.values())).shape[-1]
    picked = torch.empty(len(states), len(part), width, dtype=torch.float32, device=device)
    for vectors, state in zip(picked, (state.to(device) for state in states.values()), strict=True):
        vectors.copy_(state.reshape(-1, state.shape[-1]).index_select(0, flat))
        if len(means):
            # Padding is left out rather than multiplied by 0, for it may hold anything.
            kept = torch.where(tokens, state.index_select(0, whole), 0)
            vectors[into] = kept.sum(1, dtype=torch.float32) / tokens.sum(1)
    return picked


def _try_sharing(states: HiddenStates, rows: Rows, batch_tokens: int, pad: int, padding_side: str) -> int:
    """Let `states` try the batches that are going to be run; the tokens of a batch for which the memory sufficed."""
    while True:
        try:
            states.try_sharing(rows, batch_tokens, pad, padding_side)
            return batch_tokens
        except torch.OutOfMemoryError:
            pass  # the exception keeps the tensors alive until here
        torch.cuda.empty_cache()
        batch_tokens //= 2
        logger.warning("Out of memory before the first batch: going on with batches of %d tokens.", batch_tokens)


def _halved(rows: Rows, batch: Batch) -> int:
    length = batch.ids.shape[1]
    if len(batch.rows) == 1:
        raise ValueError(
            f"Sequence {rows.numbers[batch.rows.start]} of {length} tokens alone does not fit into the device's "
            "memory. Set a smaller max_length, or a 16-bit dtype."
        )
    torch.cuda.empty_cache()
    batch_tokens = max(length, batch.ids.size // 2)
    logger.warning("Out of memory with %s: going on with batches of %d tokens.", batch, batch_tokens)
    return batch_tokens


def _check_inputs(rows: Rows, model: torch.nn.Module, base: torch.nn.Module) -> None:
    """Raise ValueError before any work if the sequences cannot be fed to the model."""
    known = known_tokens(model) or math.inf
    if (largest := int(rows.ids.max())) >= known:
        raise ValueError(
            f"The tokenizer gives token id {largest}, but the model embeds only {known} tokens: "
            "the tokens were sampled with a tokenizer that is not this model's."
        )
    if rows.mask_token is not None and rows.mask_token >= known:
        raise ValueError(f"mask_token: {rows.mask_token} is not a token of the model, which embeds {known} tokens.")
    limit = longest_input(base)
    if limit is not None and (longest := int(rows.lengths[0])) > limit:
        raise ValueError(
            f"A sequence has {longest} tokens, but the model takes at most {limit}: set max_length to {limit} or less."
        )
