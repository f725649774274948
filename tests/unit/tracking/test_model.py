"""A tracker's heads and loss against what is computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from idsweep.tracking.model import ABSENT, Predicted, Targets, Tracker, class_weights, losses
from idsweep.tracking.slots import CLASSES, SLOTS
from transformers import AutoModel, RobertaConfig

B, T, S = 3, 9, len(SLOTS)


def tracker(heads: str, dropout: float = 0.3) -> Tracker:
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
    )
    return Tracker(AutoModel.from_config(config), heads, dropout)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(B, T, dtype=torch.long)
    mask[1, 6:] = 0
    user = torch.zeros(B, T, dtype=torch.bool)
    user[:, 1:4] = True
    user[2] = False  # a turn without a word
    slot_mask = torch.ones(S, 4, dtype=torch.long)
    slot_mask[::2, 3] = 0
    return {
        "input_ids": torch.randint(5, 50, (B, T)),
        "attention_mask": mask,
        "user": user,
        "slot_ids": torch.randint(5, 50, (S, 4)),
        "slot_mask": slot_mask,
    }


def attention(module: torch.nn.MultiheadAttention, query, keys, allowed) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and mean weights of one query, head by head: what `MultiheadAttention` is said to do."""
    width = query.shape[-1]
    q, k, v = (
        states @ module.in_proj_weight[part * width : (part + 1) * width].T
        + module.in_proj_bias[part * width : (part + 1) * width]
        for part, states in enumerate((query, keys, keys))
    )
    size = width // module.num_heads
    mixed, shares = [], []
    for head in range(module.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = (k[:, part] @ q[part]) / math.sqrt(size)
        share = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=0)
        shares.append(share)
        mixed.append(share @ v[:, part])
    return module.out_proj(torch.cat(mixed)), torch.stack(shares).mean(dim=0)


@torch.no_grad()
def test_heads_of_attention_are_those_of_the_paper() -> None:
    model, given = tracker("attention").eval(), batch()
    predicted = model(**given)
    assert [tuple(part.shape) for part in predicted] == [(B, S, len(CLASSES)), (B, S, T), (B, S, S)]
    states = model.encoder(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state
    queries = model.encoder(input_ids=given["slot_ids"], attention_mask=given["slot_mask"]).pooler_output
    for turn, slot in ((0, 0), (1, 7), (1, 29)):
        read, _ = attention(model.class_att, queries[slot], states[turn], given["attention_mask"][turn] == 1)
        inside = torch.cat([queries[slot], torch.nn.functional.gelu(model.h1c(model.class_layer_norm(read)))])
        torch.testing.assert_close(
            predicted.classes[turn, slot], model.llc(torch.nn.functional.gelu(model.h2c(inside)))
        )
        _, places = attention(model.token_att, queries[slot], states[turn], given["user"][turn])
        torch.testing.assert_close(predicted.places[turn, slot], places)
        _, referred = attention(
            model.refer_att, torch.nn.functional.gelu(model.h2r(inside)), queries, torch.ones(S, dtype=torch.bool)
        )
        torch.testing.assert_close(predicted.referred[turn, slot], referred)
    assert torch.isfinite(predicted.places).all(), "a turn without a word of the user"


@torch.no_grad()
def test_scores_of_references_are_those_before_the_softmax() -> None:
    by_weights, given = tracker("attention").eval(), batch()
    by_scores = Tracker(by_weights.encoder, "attention", 0.0, "scores").eval()
    by_scores.load_state_dict(by_weights.state_dict())
    weights = []
    by_weights.refer_att.register_forward_pre_hook(
        lambda _, arguments: weights.append(nn_attention(*arguments, average_attn_weights=False)[1])
    )
    nn_attention = by_weights.refer_att.forward
    by_weights(**given)
    (of_heads,) = weights
    # The mean of the heads' scores is, but for a constant, the logarithm of the geometric mean of their weights.
    expected = of_heads.log().mean(dim=1).softmax(dim=-1)
    torch.testing.assert_close(by_scores(**given).referred.softmax(dim=-1), expected)
    assert by_scores(**given).referred.std() > by_weights(**given).referred.std()


@torch.no_grad()
@pytest.mark.parametrize("heads", ["attention", "linear"])
def test_padding_changes_nothing(heads: str) -> None:
    model, given = tracker(heads).eval(), batch()
    alone = {
        key: value[1:2, :6] if key in ("input_ids", "attention_mask", "user") else value for key, value in given.items()
    }
    together, single = model(**given), model(**alone)
    torch.testing.assert_close(together.classes[1:2], single.classes)
    torch.testing.assert_close(together.places[1:2, ..., :6], single.places)
    torch.testing.assert_close(together.referred[1:2], single.referred)


def test_heads_begin_as_the_encoder() -> None:
    for heads in ("attention", "linear"):
        model = tracker(heads)
        for name, parameter in model.named_parameters():
            if name.startswith("roberta.") or "layer_norm" in name:
                continue
            if "bias" in name:
                assert (parameter == 0).all(), name
            else:
                assert abs(parameter.std() - 0.02) < 0.004, name


def test_the_loss_is_that_of_a_hand_computed_batch() -> None:
    """Two turns, all slots none but two: one with a place, one that refers."""
    weights = class_weights(0.1)
    torch.testing.assert_close(weights, torch.tensor([0.1, *[1.0] * 7]) / 7.1)
    classes = torch.zeros(2, S, 8)
    classes[0, 0, 2] = 1.0
    places = torch.full((2, S, 5), 0.2)
    places[0, 0] = torch.tensor([0.1, 0.5, 0.3, 0.1, 0.0])
    referred = torch.full((2, S, S), 1 / S)
    referred[1, 3] = 0.0
    referred[1, 3, 4] = 1.0
    wanted = Targets(
        torch.zeros(2, S, dtype=torch.long),
        torch.full((2, S), ABSENT),
        torch.full((2, S), ABSENT),
        torch.full((2, S), ABSENT),
    )
    wanted.classes[0, 0], wanted.first[0, 0], wanted.last[0, 0] = CLASSES.index("copy_value"), 1, 2
    wanted.classes[1, 3], wanted.referred[1, 3] = CLASSES.index("refer"), 4
    found = losses(Predicted(classes, places, referred), wanted, 0.8, weights)
    none = 0.1 / 7.1 * math.log(8)
    copy = 1 / 7.1 * (math.log(7 + math.e) - 1)
    place = 0.1**2 + 0 + 0.2**2 + 0.1**2 + 0
    refer = math.log(S - 1 + math.e) - 1
    assert refer == pytest.approx(2.4569, abs=1e-4), "as published, the loss of a reference cannot come near zero"
    torch.testing.assert_close(found.classes, torch.tensor([29 * none + copy, 29 * none + math.log(8) / 7.1]))
    torch.testing.assert_close(found.places, torch.tensor([place, 0.0]))
    torch.testing.assert_close(found.referred, torch.tensor([0.0, refer]))
    torch.testing.assert_close(found.total, 0.8 * found.classes + 0.1 * (found.places + found.referred))


def test_the_loss_of_lines_is_of_the_first_and_the_last_token() -> None:
    places = torch.zeros(1, S, 2, 4)
    places[0, 5, 0, 1], places[0, 5, 1, 3] = 2.0, 1.0
    wanted = Targets(*(torch.full((1, S), ABSENT) for _ in range(4)))
    wanted.classes[:] = 0
    wanted.first[0, 5], wanted.last[0, 5], wanted.referred[0, 6] = 1, 3, S
    found = losses(Predicted(torch.zeros(1, S, 8), places, torch.zeros(1, S, S + 1)), wanted, 0.8, class_weights(1.0))
    of_first, of_last = math.log(3 + math.e**2) - 2, math.log(3 + math.e) - 1
    torch.testing.assert_close(found.places, torch.tensor([(of_first + of_last) / 2]))
    torch.testing.assert_close(found.referred, torch.tensor([math.log(S + 1)]))
    torch.testing.assert_close(found.classes, torch.tensor([S * math.log(8) / 8]))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="heads: 'lines' is not known; choose attention or linear"):
        tracker("lines")
    with pytest.raises(ValueError, match="refer_logits: 'sums' is not known; choose weights or scores"):
        Tracker(tracker("attention").encoder, "attention", 0.3, "sums")
    narrow = RobertaConfig(
        hidden_size=12, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8, vocab_size=9
    )
    with pytest.raises(ValueError, match="a width that 8 divides; the base has 12"):
        Tracker(AutoModel.from_config(narrow), "attention", 0.3)
