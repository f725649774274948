"""Trackers: an encoder and what tells of each slot its class, where its value stands and which other slot has it.

`heads: attention` is TripPy-R's (Heck et al. 2022, "Robust Dialogue State Tracking with Weak Supervision and Sparse Data"),
`heads: linear` TripPy's (Heck et al. 2020). Heads are called as in TripPy-R's checkpoints, so that both are known by the same names.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, linear
from transformers import PreTrainedModel

from idsweep.tracking.slots import CLASSES, NONE, SLOTS

HEADS = ("attention", "linear")
REFER_LOGITS = ("weights", "scores")
ATTENTION_HEADS = 8
ABSENT = -1  # of targets: a slot that has no place, or refers to none


class Predicted(NamedTuple):
    """Of B turns of T tokens and S slots.

    classes: float32 (B, S, classes), logits. referred: float32 (B, S, S), or (B, S, S + 1) with a last column for none, logits.
    places: float32 (B, S, T), weights that sum to one (heads: attention), or (B, S, 2, T), logits of the first and the last token.
    """

    classes: torch.Tensor
    places: torch.Tensor
    referred: torch.Tensor


class Targets(NamedTuple):
    """classes: int64 (B, S). first, last: int64 (B, S), token places, `ABSENT` without one. referred: int64 (B, S) or `ABSENT`."""

    classes: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    referred: torch.Tensor


class Losses(NamedTuple):
    """Summed over slots, float32 (B,): all, and each part before it is weighted."""

    total: torch.Tensor
    classes: torch.Tensor
    places: torch.Tensor
    referred: torch.Tensor


class Tracker(nn.Module):
    """An encoder below the name that its family has (`roberta`, `bert` …), and heads.

    The slots' descriptions, int64 (S, t), and their mask are given to each pass with `heads: attention`; linear heads do not read them.

    refer_logits: what attention over the other slots gives for logits: its weights, as published, or the scores that they are the softmax
    of. Weights lie between 0 and 1, so their softmax is nearly flat, and so is the loss. Linear heads have no such choice.
    """

    def __init__(self, encoder: PreTrainedModel, heads: str, dropout: float, refer_logits: str = "weights") -> None:
        super().__init__()
        for key, value, known in (("heads", heads, HEADS), ("refer_logits", refer_logits, REFER_LOGITS)):
            if value not in known:
                raise ValueError(f"{key}: {value!r} is not known; choose {' or '.join(known)}.")
        self.config, self.prefix = encoder.config, encoder.base_model_prefix
        self.add_module(self.prefix, encoder)
        self.dropout = nn.Dropout(dropout)
        width, n_slots, n_classes = encoder.config.hidden_size, len(SLOTS), len(CLASSES)
        self.heads, self.refer_logits = heads, refer_logits
        if heads == "attention":
            if width % ATTENTION_HEADS:
                raise ValueError(
                    f"heads: attention needs a width that {ATTENTION_HEADS} divides; the base has {width}."
                )
            self.class_att, self.token_att, self.refer_att = (
                nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True) for _ in range(3)
            )
            self.class_layer_norm = nn.LayerNorm(width, eps=getattr(encoder.config, "layer_norm_eps", 1e-5))
            self.h1c, self.h2c = nn.Linear(width, width), nn.Linear(2 * width, 2 * width)
            self.llc, self.h2r = nn.Linear(2 * width, n_classes), nn.Linear(2 * width, width)
        else:
            self.class_linear = nn.Linear(width, n_slots * n_classes)
            self.token_linear = nn.Linear(width, n_slots * 2)
            self.refer_linear = nn.Linear(width, n_slots * (n_slots + 1))
        self._initialize(getattr(encoder.config, "initializer_range", 0.02))

    @property
    def encoder(self) -> PreTrainedModel:
        return getattr(self, self.prefix)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        user: torch.Tensor,
        slot_ids: torch.Tensor,
        slot_mask: torch.Tensor,
    ) -> Predicted:
        """input_ids, attention_mask: int64 (B, T). user: bool (B, T), the tokens that a value may be copied from."""
        encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        states = self.dropout(encoded.last_hidden_state)
        if self.heads == "linear":
            return self._by_lines(states, self.dropout(encoded.pooler_output), user)
        queries = self.encoder(input_ids=slot_ids, attention_mask=slot_mask).pooler_output
        return self._by_attention(states, queries, attention_mask == 0, ~user)

    def _by_attention(
        self, states: torch.Tensor, queries: torch.Tensor, padding: torch.Tensor, not_user: torch.Tensor
    ) -> Predicted:
        slot_queries = queries.expand(len(states), -1, -1)
        read, _ = self.class_att(slot_queries, states, states, key_padding_mask=padding, need_weights=False)
        inside = torch.cat([slot_queries, gelu(self.h1c(self.class_layer_norm(read)))], dim=-1)
        classes = self.llc(gelu(self.h2c(inside)))
        # A turn without a word of the user has no place to attend to; weights over its padding count for nothing.
        empty = not_user.all(dim=1, keepdim=True)
        _, places = self.token_att(slot_queries, states, states, key_padding_mask=not_user & ~empty)
        asking = gelu(self.h2r(inside))
        if self.refer_logits == "weights":
            _, referred = self.refer_att(asking, slot_queries, slot_queries)
        else:
            referred = _scores(self.refer_att, asking, slot_queries)
        return Predicted(classes.float(), places.float(), referred.float())

    def _by_lines(self, states: torch.Tensor, pooled: torch.Tensor, user: torch.Tensor) -> Predicted:
        n_slots = len(SLOTS)
        places = self.token_linear(states).float().unflatten(-1, (n_slots, 2)).permute(0, 2, 3, 1)
        places = places.masked_fill(~user[:, None, None], torch.finfo(torch.float32).min)
        classes = self.class_linear(pooled).float().unflatten(-1, (n_slots, -1))
        return Predicted(classes, places, self.refer_linear(pooled).float().unflatten(-1, (n_slots, n_slots + 1)))

    def _initialize(self, spread: float) -> None:
        """As the encoder's family: N(0, `spread`²) and no bias."""
        for name, module in self.named_children():
            if name == self.prefix:
                continue
            for part in module.modules():
                if isinstance(part, nn.Linear):
                    nn.init.normal_(part.weight, std=spread)
                    nn.init.zeros_(part.bias)
                if isinstance(part, nn.MultiheadAttention):
                    nn.init.normal_(part.in_proj_weight, std=spread)
                    nn.init.zeros_(part.in_proj_bias)


def _scores(attention: nn.MultiheadAttention, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """What attention takes the softmax of, mean over its heads: (B, queries, keys)."""
    width, n_heads = attention.embed_dim, attention.num_heads
    q, k = (
        linear(given, attention.in_proj_weight[part], attention.in_proj_bias[part]).unflatten(-1, (n_heads, -1))
        for given, part in ((queries, slice(0, width)), (keys, slice(width, 2 * width)))
    )
    return torch.einsum("bqhd,bkhd->bqk", q, k) / (n_heads * (width // n_heads) ** 0.5)


def losses(predicted: Predicted, targets: Targets, class_share: float, class_weights: torch.Tensor) -> Losses:
    """The loss of each turn: its slots' sum of class_share · L_class + (1 - class_share) / 2 · (L_place + L_refer).

    L_class is the cross-entropy in nats times the weight of the right class, float32 (classes,), not divided by the weights' sum. L_place
    is, with weights of attention, their squared distance, summed over tokens, from equal weights on the value's tokens, else the mean of
    the cross-entropies of its first and last token. L_refer is the cross-entropy of the slot that is referred to. The last
    two are zero where there is no place or no reference.
    """
    of_class = cross_entropy(
        predicted.classes.flatten(0, 1), targets.classes.flatten(), class_weights, reduction="none"
    )
    of_class = of_class.view_as(targets.classes)
    has_place = targets.first != ABSENT
    length = predicted.places.shape[-1]
    if predicted.places.ndim == 3:
        place = torch.arange(length, device=has_place.device)
        inside = (place >= targets.first[..., None]) & (place <= targets.last[..., None]) & has_place[..., None]
        shares = inside / inside.sum(-1, keepdim=True).clamp(min=1)
        of_place = (predicted.places - shares).square().sum(-1)
    else:
        ends = [
            cross_entropy(predicted.places[:, :, end].flatten(0, 1), at.clamp(min=0).flatten(), reduction="none")
            for end, at in enumerate((targets.first, targets.last))
        ]
        of_place = (sum(ends) / 2).view_as(targets.first)
    of_place = torch.where(has_place, of_place, 0.0)
    refers = targets.referred != ABSENT
    of_refer = cross_entropy(
        predicted.referred.flatten(0, 1), targets.referred.clamp(min=0).flatten(), reduction="none"
    ).view_as(targets.referred)
    of_refer = torch.where(refers, of_refer, 0.0)
    rest = (1 - class_share) / 2
    summed = [part.sum(dim=1) for part in (of_class, of_place, of_refer)]
    return Losses(class_share * summed[0] + rest * (summed[1] + summed[2]), *summed)


def class_weights(none_weight: float) -> torch.Tensor:
    """float32 (classes,), summing to one: `none_weight` for the class none, one for the others, divided by their sum."""
    weights = torch.tensor([none_weight if name == NONE else 1.0 for name in CLASSES])
    return weights / weights.sum()
