"""A model as it has to be called for the hidden states of its layers, and whether these are what is measured as layers."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch

from idsweep.extraction.batches import Batch, Rows
from idsweep.extraction.final_norm import FinalNorm
from idsweep.files.representations import BEFORE_FINAL_NORM
from idsweep.models.differences import has_experts, repeated, same
from idsweep.models.inputs import has_blank_matrix, only_length, without_cache
from idsweep.models.sharing import NOT_REPEATED, Sharing, find_sharing

logger = logging.getLogger(__name__)

TRIED_TOKENS = 8
# Beside the first: of decoders whose config is for two stacks, and of LongCat, whose layers are two blocks each.
BLOCK_KEYS = ("num_hidden_layers", "decoder_layers", "num_decoder_layers", "num_layers")


class HiddenStates:
    """The hidden states of some layers of `base`, a model without its head.

    layers: those that are kept, all if None. before_final_norm: keep what goes into the final norm as well. rows: what is going
    to be run.

    layers, width: the kept ones, and how many numbers each has for each token. sharing: which rows can share a batch; until
    `try_sharing` has been called, none.

    Raises ValueError if a layer or the final norm does not exist, or the kept ones do not have one vector of the same width for
    each token.
    """

    def __init__(
        self,
        base: torch.nn.Module,
        layers: Sequence[int] | None,
        device: str,
        rows: Rows,
        before_final_norm: bool = False,
    ) -> None:
        self._base, self._device, self._options = base, device, without_cache(base)
        self._takes_positions = "position_ids" in inspect.signature(base.forward).parameters
        self._experts = has_experts(base.config)
        self._has_decoder = getattr(base.config, "is_encoder_decoder", False) and hasattr(base, "encoder")
        self._kept: list[int] | bool = True
        self._final_norm: FinalNorm | None = None
        tokens = rows.tokens(0)[None, :TRIED_TOKENS].astype(np.int64)
        output = self._tried(tokens)
        last = len(output.hidden_states) - 1
        numbers = list(range(last + 1)) if layers is None else list(layers)
        if numbers or not before_final_norm:
            check_layers(numbers, last)
        self.layers: list[int | str] = [*numbers]
        if before_final_norm:
            self.layers.append(BEFORE_FINAL_NORM)
            self._final_norm = FinalNorm(base, lambda: self._tried(tokens))
            output = self._tried(tokens)
        states = self._states_of(output)
        self._check_shapes(states, tokens.shape)
        self._check_attention(tokens, output.hidden_states)
        _tell_the_last(base, output, self.layers)
        self._kept = numbers or [last]
        again = self._run(tokens, np.ones_like(tokens))[1]
        if len(again.hidden_states) != last + 1:  # Reformer gives all or none
            self._kept = True
            again = self._tried(tokens)
        again = self._states_of(again)
        if not all(repeated(again[layer][0], states[layer][0], experts=self._experts) for layer in self.layers):
            raise ValueError(f"{type(base).__name__} {NOT_REPEATED}.")
        self.width = states[self.layers[0]].shape[-1]
        self.bytes_per_token = len(self.layers) * self.width * states[self.layers[0]].element_size()
        self.sharing, self._shared = Sharing.NONE, self._run

    def __call__(self, batch: Batch) -> tuple[dict[str, torch.Tensor], Any, dict[int | str, torch.Tensor]]:
        """What the base was given, its output, and the kept layers (batch, length, D).

        Raises ValueError if these have not one vector for each token, as those of models that pad or pool inside.
        """
        inputs, output = self._shared(batch.ids, batch.mask)
        states = self._states_of(output)
        self._check_shapes(states, batch.ids.shape)
        return inputs, output, states

    def try_sharing(self, rows: Rows, batch_tokens: int, pad: int, padding_side: str) -> None:
        """Find out which of the rows can share a batch of so many tokens.

        On the left some families need positions that begin behind the padding, and others find them by themselves: what gives
        the states of a sequence that stands alone is taken.

        Raises ValueError if the model gives the same sequence other states at another call.
        """
        longest = int(np.searchsorted(-rows.lengths, -(batch_tokens // 2)))  # that has room for another
        if longest >= len(rows) - 1:
            return
        _, first = np.unique(rows.lengths[longest:], return_index=True)
        shorter = first[:-1] + longest  # a row of each length, the shortest first
        # Some models change at a length, and a sequence of one token may show nothing: hence several short ones.
        tried = sorted({0, min(1, len(shorter) - 1), len(shorter) // 4, len(shorter) // 2}) if len(shorter) else []
        with_positions = [True, False] if padding_side == "left" and self._takes_positions else [False]
        ways = {partial(self._states, positions=positions): positions for positions in with_positions}
        alone = partial(self._states, positions=False)
        self.sharing, way = find_sharing(
            alone,
            list(ways),
            rows.tokens(longest),
            [rows.tokens(row) for row in shorter[tried]],
            pad=pad,
            padding_side=padding_side,
            experts=self._experts,
        )
        self._shared = partial(self._run, positions=ways.get(way, False))
        if self.sharing is Sharing.NONE or (self.sharing is Sharing.EQUAL_LENGTHS and len(shorter)):
            logger.info(
                "What shares a batch changes the hidden states of %s: %s share one.",
                *(type(self._base).__name__, self.sharing.value),
            )

    @torch.no_grad()
    def _run(self, ids: np.ndarray, mask: np.ndarray, positions: bool = False) -> tuple[dict[str, torch.Tensor], Any]:
        inputs = {"input_ids": ids, "attention_mask": mask}
        if positions:
            inputs["position_ids"] = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        inputs = {name: torch.from_numpy(values).to(self._device) for name, values in inputs.items()}
        try:
            with self._final_norm.watched() if self._final_norm else nullcontext():
                return inputs, self._base(**inputs, **self._options, output_hidden_states=self._kept, return_dict=True)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            both = " Its encoder can be measured: kind encoder-decoder." if self._has_decoder else ""
            raise ValueError(
                f"{type(self._base).__name__} cannot be run on token ids alone, here {len(ids)} x {ids.shape[1]} of them: "
                f"{error}.{both}{only_length(self._base.config)}"
            ) from error

    def _tried(self, tokens: np.ndarray) -> Any:
        """The output for a few tokens. Raises ValueError if the model does not run on them, or tells no layers."""
        name, config = type(self._base).__name__, self._base.config.get_text_config()
        _, output = self._run(tokens, np.ones_like(tokens))
        blocks = {key: getattr(config, key, None) for key in BLOCK_KEYS}
        blocks = {key: value for key, value in blocks.items() if isinstance(value, int)}
        states = getattr(output, "hidden_states", None) or ()
        if not all(isinstance(state, torch.Tensor) for state in states):  # PEGASUS-X has pairs
            states = ()
        if not states or (blocks and len(states) - 1 not in blocks.values()):
            said = " and ".join(f"{value} blocks ({key})" for key, value in blocks.items())
            raise ValueError(
                f"{name} gives {len(states)} hidden states, but its config has {said or 'no number of blocks'}. Layers are "
                "the input of the first block and the output of each, one more than blocks, so it cannot be measured."
                f"{' Its encoder can: kind encoder-decoder.' if self._has_decoder else ''}"
            )
        return output

    def _check_attention(self, tokens: np.ndarray, states: Sequence[torch.Tensor]) -> None:
        """Raises ValueError if the attention does not work, as where MRA lacks its kernels.

        No token's last state then depends on the tokens at both ends, and some weights do nothing. A model without attention
        uses all of its weights.
        """
        changed = tokens.copy()
        changed[:, [0, -1]] = changed[:, [-1, 0]]
        if tokens.shape[1] < 3 or len(states) == 1 or (changed == tokens).all() or has_blank_matrix(self._base):
            return
        last = self._tried(changed).hidden_states[-1]
        if torch.equal(last[:, 1:-1], states[-1][:, 1:-1]) and (idle := self._idle_matrix(tokens)):
            raise ValueError(
                f"{type(self._base).__name__} gives each token the same last state whatever stands before and behind it, and its "
                f"weights {idle} change nothing: its attention does not work here. It may need kernels that are not installed, or "
                "a GPU."
            )

    def _idle_matrix(self, tokens: np.ndarray) -> str | None:
        """The name of a matrix of weights that changes nothing of what the model gives for some tokens; None if there is none."""

        def given() -> list[torch.Tensor]:
            output = self._tried(tokens)
            return [*output.hidden_states, *(part for part in output.to_tuple() if isinstance(part, torch.Tensor))]

        before = given()
        for name, matrix in self._base.named_parameters():
            if matrix.ndim == 2:
                weights = matrix.detach().clone()
                with torch.no_grad():
                    matrix.zero_()
                    after = given()
                    matrix.copy_(weights)
                if all(map(torch.equal, before, after)):
                    return name
        return None

    def _states_of(self, output: Any) -> dict[int | str, torch.Tensor]:
        """The kept layers of the last output."""
        states = {layer: output.hidden_states[layer] for layer in self.layers if layer != BEFORE_FINAL_NORM}
        if self._final_norm is not None:
            last = getattr(output, "last_hidden_state", None)
            states[BEFORE_FINAL_NORM] = self._final_norm.take(output.hidden_states[-1] if last is None else last)
        return states

    def _check_shapes(self, states: Mapping[int | str, torch.Tensor], tokens: tuple[int, ...]) -> None:
        shapes = [tuple(states[layer].shape) for layer in self.layers]
        if len(set(shapes)) == 1 and len(shapes[0]) == 3 and shapes[0][:2] == tokens:
            return
        found = []
        for shape, group in groupby(zip(self.layers, shapes, strict=True), key=lambda one: one[1]):
            named = [layer for layer, _ in group]
            found.append(f"layer{'s' if len(named) > 1 else ''} {', '.join(map(str, named))} of shape {shape}")
        raise ValueError(
            f"{type(self._base).__name__} gives {'; '.join(found)} for {tokens[0]} x {tokens[1]} tokens, where each layer must have "
            f"one vector for each token, all of the same width.{_reason(self._base, shapes, tokens)}"
        )

    def _states(self, ids: np.ndarray, mask: np.ndarray, positions: bool) -> list[torch.Tensor]:
        """Whatever of the output is used: the kept layers, and what the head stands on."""
        _, output = self._run(ids, mask, positions)
        last = getattr(output, "last_hidden_state", None)
        return [*self._states_of(output).values()] + ([] if last is None else [last])


def check_layers(layers: Sequence[int], last: int) -> None:
    """Raises ValueError if one of them is not among 0…last, or is named twice."""
    if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= last for layer in layers):
        raise ValueError(
            f"layers: {list(layers)} is not allowed; the model has layers 0…{last}, and each can be named once."
        )


def _reason(base: torch.nn.Module, shapes: Sequence[tuple[int, ...]], tokens: tuple[int, ...]) -> str:
    config = base.config.get_text_config()
    if any(len(shape) != 3 for shape in shapes):
        return " Its blocks hand on several vectors for each token. Leave the model out."
    if any(shape[:2] != tokens for shape in shapes):
        return " It pads or pools sequences inside. Leave the model out, or choose a max_length that it takes as it is."
    projected = getattr(config, "word_embed_proj_dim", None)
    because = (
        f" Its last layer is projected to the {projected} of its embedding matrix (word_embed_proj_dim)."
        if projected
        else ""
    )
    return (
        f"{because} Measure layers of one width alone (`layers` of the model, with `extraction: {{layers: measured}}`)."
    )


def _tell_the_last(base: torch.nn.Module, output: Any, layers: Sequence[int | str]) -> None:
    state, last = output.hidden_states[-1], getattr(output, "last_hidden_state", None)
    number = len(output.hidden_states) - 1
    if number in layers and last is not None and not (state.shape == last.shape and same(state[0], last[0])):
        logger.warning(
            "Layer %d of %s is before its final norm, unlike that of most models (tie_last_hidden_states: false in its "
            "config.json, or in the code of its family).",
            *(number, type(base).__name__),
        )
