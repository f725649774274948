"""How well a language model predicts the tokens that are measured, from the pass that gives their hidden states.

The model's own head is run on chosen positions: its forward is called with its base model standing aside for
hidden states that are there already. So whatever a family does after its last block (BERT's transform and
norm, Gemma's soft-capping, Cohere's and Granite's scaling) is done as the family does it. That it works position
by position is tried once, on a few tokens; where it does not, whole sequences go through the model again, each alone.

Log-probabilities of all tokens are needed for the losses of sequences, all other measures at the sampled ones alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from idsweep.extraction.batches import Batch, Rows
from idsweep.extraction.measures import MEASURES, log_probability
from idsweep.files.columns import MEAN_POSITION
from idsweep.files.parquet import to_arrow
from idsweep.models.differences import same
from idsweep.models.inputs import without_cache

logger = logging.getLogger(__name__)

LOGITS_BYTES = 128 * 2**20
MEASURED_BYTES = 4 * 2**20  # that measures look at and copy; on a CPU more would leave the caches
MEASURED_BYTES_ON_GPU = 32 * 2**20
PROBED_TOKENS = 8

NAMES = tuple(MEASURES)
LOG_PROBABILITY = NAMES.index(log_probability.__name__)
TOKEN_MEASURES = pa.schema(
    [pa.field("point", pa.int32(), nullable=False), *(pa.field(name, pa.float64()) for name in NAMES)]
)
SEQUENCE_LOSSES = pa.schema(
    [
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("loss", pa.float64(), nullable=True),
        pa.field("n_tokens", pa.int32(), nullable=False),
    ]
)


class Losses(NamedTuple):
    """How well the tokens are predicted.

    tokens: columns of `TOKEN_MEASURES`, sorted by point: each measure of the token that stands there (see `measures`). A
    causal model predicts it from what is before it, so all are null at position 0; a masked model from all others, the
    token itself masked. Null also for a mean over a sequence; NaN where a measure is undefined.
    sequences: columns of `SEQUENCE_LOSSES`, sorted by sequence, those that were run: mean of -log-probability, in nats, over
    `n_tokens` of its tokens. Causal: all but the first of the truncated sequence, sampled or not (null if there is no
    other). Masked: its sampled tokens.
    """

    tokens: pa.Table
    sequences: pa.Table


NOT_FINITE = (
    "A hidden state of {state}, sequence {sequence}, is NaN or infinite. The checkpoint may have diverged, or need "
    "a wider dtype (float32)."
)
# Made of batches, since pyarrow imports pandas to make arrays of lists.
NO_LOSSES = Losses(*(pa.Table.from_batches([], schema) for schema in (TOKEN_MEASURES, SEQUENCE_LOSSES)))


class LossRecorder:
    """Collects the losses of batches. Raises ValueError if the model does not predict what is asked for."""

    def __init__(self, model: torch.nn.Module, base: torch.nn.Module, rows: Rows) -> None:
        self._masked = rows.mask_token is not None
        _check_predicts(model, masked=self._masked)
        self._head, self._rows = Head(model, base), rows
        self._values = np.full((len(NAMES), len(rows.points)), np.nan)
        self._loss = np.full(len(rows), np.nan)

    def add(self, batch: Batch, inputs: Mapping[str, torch.Tensor], output: Any) -> None:
        """Record one batch. inputs: what the base was given; output: what it returned.

        A batch that was cut short by lack of memory can be recorded again.
        """
        rows, first, last = self._rows, batch.rows.start, batch.rows.stop
        lengths = rows.lengths[first:last]
        of_points = slice(rows.bounds[first], rows.bounds[last])
        positions = rows.positions[of_points].astype(np.int64)
        if self._masked:
            places, columns = np.arange(len(lengths)), batch.begins + positions
            targets = rows.ids[rows.starts[first:last] + positions]
            everywhere = np.ones(len(lengths), dtype=bool)
            self._values[:, of_points] = self._predict(batch, inputs, output, places, columns, targets, everywhere)
            return
        of_token = positions != MEAN_POSITION
        place_of_point = np.repeat(np.arange(len(lengths)), np.diff(rows.bounds[first : last + 1]))
        column_of_point = batch.begins[place_of_point] + np.maximum(positions, 0)
        sampled = np.zeros(batch.ids.shape, dtype=bool)
        sampled[place_of_point[of_token], column_of_point[of_token]] = True
        places, columns = np.nonzero(batch.mask)
        predicted = columns > batch.begins[places]
        places, columns = places[predicted], columns[predicted]
        values = np.full((len(NAMES), *batch.ids.shape), np.nan)
        values[:, places, columns] = self._predict(
            batch, inputs, output, places, columns - 1, batch.ids[places, columns], sampled[places, columns]
        )
        losses = -values[LOG_PROBABILITY, places, columns]
        sums = np.bincount(places, weights=losses, minlength=len(lengths))
        self._loss[first:last] = np.divide(sums, lengths - 1, out=np.full(len(lengths), np.nan), where=lengths > 1)
        self._values[:, of_points] = np.where(of_token, values[:, place_of_point, column_of_point], np.nan)

    def _predict(
        self,
        batch: Batch,
        inputs: Mapping[str, torch.Tensor],
        output: Any,
        places: np.ndarray,
        columns: np.ndarray,
        targets: np.ndarray,
        sampled: np.ndarray,
    ) -> np.ndarray:
        """float64 (measures, m), as `Head.measures` has them. Raises ValueError if a log-probability is NaN."""
        device = inputs["input_ids"].device
        where = (torch.from_numpy(index.astype(np.int64)).to(device) for index in (places, columns, targets))
        found = self._head.measures(inputs, output, *where, torch.from_numpy(sampled).to(device)).double().cpu().numpy()
        if (wrong := np.isnan(found[LOG_PROBABILITY])).any():
            place = int(places[int(np.argmax(wrong))])
            number = self._rows.numbers[batch.rows[place]]
            for layer, state in enumerate(output.hidden_states):
                if (
                    state is not None
                    and not torch.isfinite(state[place][torch.from_numpy(batch.mask[place] > 0)]).all()
                ):
                    raise ValueError(NOT_FINITE.format(state=f"layer {layer}", sequence=number))
            raise ValueError(
                f"A log-probability of sequence {number} is NaN: the logits may need a wider dtype (float32)."
            )
        return found

    def result(self) -> Losses:
        """The losses of all batches."""
        rows = self._rows
        order = np.argsort(rows.points, kind="stable")
        values = self._values[:, order]
        predicted = ~np.isnan(values[LOG_PROBABILITY])
        for name, undefined in zip(NAMES, (np.isnan(values) & predicted).sum(axis=1), strict=True):
            if undefined:
                logger.warning("%s is undefined at %d of %d tokens", name, undefined, predicted.sum())
        tokens = [
            to_arrow(rows.points[order], pa.int32()),
            *(_nullable(of_measure, predicted) for of_measure in values),
        ]
        numbers, row = np.unique(rows.numbers, return_inverse=True)
        if self._masked:
            n_tokens = np.bincount(row)
            loss = -np.bincount(row, weights=self._values[LOG_PROBABILITY]) / n_tokens
        else:
            n_tokens, loss = np.empty(len(numbers), np.int32), np.empty(len(numbers))
            n_tokens[row], loss[row] = rows.lengths - 1, self._loss
        columns = [to_arrow(numbers, pa.int32()), _nullable(loss, ~np.isnan(loss)), to_arrow(n_tokens, pa.int32())]
        return Losses(
            pa.Table.from_arrays(tokens, schema=TOKEN_MEASURES), pa.Table.from_arrays(columns, schema=SEQUENCE_LOSSES)
        )


class Head:
    """What `model` makes of the last hidden states of its `base`: measures of its logits over its vocabulary."""

    def __init__(self, model: torch.nn.Module, base: torch.nn.Module) -> None:
        self._model, self._base = model, base
        self._vocabulary = base.config.get_text_config().vocab_size
        self._options = without_cache(model)
        self._by_position: bool | None = None
        # OPT's head stands on the decoder inside its base.
        decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
        inside = isinstance(decoder, torch.nn.Module) and any(decoder is module for module in base.modules())
        self._stand_aside = {base, decoder} if inside else {base}

    def measures(
        self,
        inputs: Mapping[str, torch.Tensor],
        output: Any,
        rows: torch.Tensor,
        columns: torch.Tensor,
        targets: torch.Tensor,
        sampled: torch.Tensor,
    ) -> torch.Tensor:
        """float32 (measures, m): each measure of `targets` (m,) where the model stands at `rows`, `columns` (m,).

        inputs: what the base was given; output: what it returned. sampled: bool (m,), where measures are wanted; elsewhere
        there is the log-probability alone, and NaN. Logits of at most `LOGITS_BYTES` in float32, or of one sequence
        where the head needs whole ones, are held at a time.
        """
        if self._by_position is None:
            self._by_position = self._works_by_position(inputs)
            if not self._by_position:
                logger.info("The head of %s needs whole sequences: they are run twice.", type(self._model).__name__)
        found = torch.empty(len(NAMES), len(targets), dtype=torch.float32, device=targets.device)
        if not self._by_position:
            for row in rows.unique():
                here, there = rows == row, inputs["attention_mask"][row].bool()
                # Alone, since a head may read padding.
                alone = inputs["input_ids"][row, there][None]
                logits = self._model(input_ids=alone, attention_mask=torch.ones_like(alone), **self._options).logits[0]
                at = columns[here] - there.int().argmax()
                found[:, here] = _measured(logits[at].float().log_softmax(-1), targets[here], sampled[here])
            return found
        states = output.last_hidden_state
        step = max(1, LOGITS_BYTES // (4 * self._vocabulary))
        for part in (slice(start, start + step) for start in range(0, len(targets), step)):
            # Not by a name, which would hold a part's log-probabilities while the next one's are made.
            found[:, part] = _measured(
                self._logits(type(output), states[rows[part], columns[part]]).float().log_softmax(-1),
                targets[part],
                sampled[part],
            )
        return found

    def _logits(self, kind: type, states: torch.Tensor) -> torch.Tensor:
        """Logits (m, vocabulary) of last hidden states (m, D), as if they were one sequence's."""
        ids = torch.zeros(1, len(states), dtype=torch.long, device=states.device)
        with ExitStack() as stack:
            for module in self._stand_aside:
                stack.enter_context(_standing_aside(module, kind(last_hidden_state=states[None])))
            return self._model(input_ids=ids, attention_mask=torch.ones_like(ids), **self._options).logits[0]

    def _works_by_position(self, inputs: Mapping[str, torch.Tensor]) -> bool:
        """Whether the head makes of reversed states the reversed logits of the model, on a few tokens."""
        if self._base is self._model:
            return False
        ids = inputs["input_ids"][:1, :PROBED_TOKENS]
        few = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        whole = self._model(**few, **self._options).logits[0]
        try:
            output = self._base(**few, **without_cache(self._base))
            return same(self._logits(type(output), output.last_hidden_state[0].flip(0)).flip(0), whole)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            logger.debug("The head cannot be run by itself: %s", error)
            return False


@contextmanager
def _standing_aside(base: torch.nn.Module, output: Any) -> Iterator[None]:
    """Let `base` return `output`, whatever it is given."""
    own_forward = vars(base).get("forward")
    base.forward = lambda *_, **__: output
    try:
        yield
    finally:
        if own_forward is None:
            del base.forward
        else:
            base.forward = own_forward


def _measured(log_probabilities: torch.Tensor, targets: torch.Tensor, sampled: torch.Tensor) -> torch.Tensor:
    """float32 (measures, m) of log-probabilities (m, V), see `Head.measures`."""
    found = torch.full((len(NAMES), len(targets)), torch.nan, device=targets.device)
    found[LOG_PROBABILITY] = log_probability(log_probabilities, targets)
    most = MEASURED_BYTES_ON_GPU if log_probabilities.is_cuda else MEASURED_BYTES
    step = max(1, most // (4 * log_probabilities.shape[1]))
    for part in sampled.nonzero()[:, 0].split(step):
        few, of_few = log_probabilities[part], targets[part]
        for place, measure in enumerate(MEASURES.values()):
            if place != LOG_PROBABILITY:
                found[place, part] = measure(few, of_few).to(found.dtype)
    return found


def _check_predicts(model: torch.nn.Module, *, masked: bool) -> None:
    from transformers.models.auto import modeling_auto

    table = getattr(modeling_auto, f"MODEL_FOR_{'MASKED' if masked else 'CAUSAL'}_LM_MAPPING_NAMES")
    known = {name for names in table.values() for name in ([names] if isinstance(names, str) else names)}
    if not any(parent.__name__ in known for parent in type(model).__mro__):
        raise ValueError(
            f"losses: {type(model).__name__} does not predict "
            + (
                "masked tokens; they need a model of kind masked."
                if masked
                else "the next token; losses need a model of kind causal, or kind masked with masked: true."
            )
        )


def _nullable(values: np.ndarray, there: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~there)
