"""What shares a batch with a sequence leaves its hidden states as they are, or does not share it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders.tiny_models import FAMILIES, VOCABULARY, tiny
from idsweep.models.sharing import Sharing, find_sharing, padded

READ_PADDING = {"convbert", "fnet", "mobilebert"}
LONG = np.random.default_rng(0).integers(4, VOCABULARY, 35)
SHORTER = [LONG[5:9], LONG[10:30]]


def runner(model, positions=False, change=None):
    """How a model is run; `change` takes the states of a layer (rows, length, D) and the mask."""

    def run(ids, mask):
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if positions:
            inputs["position_ids"] = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0))
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        return states if change is None else [change(state) for state in states]

    return run


def found(run, shorter=SHORTER, **options) -> Sharing:
    return find_sharing(run, [run], LONG, shorter, pad=0, **options)[0]


def test_the_longer_rows_decide_how_far_the_others_are_filled_up():
    ids, mask, begins = padded([np.array([5, 6]), np.array([7, 8, 9])], 1, "left")
    assert ids.tolist() == [[1, 5, 6], [7, 8, 9]] and mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert begins.tolist() == [1, 0]
    ids, mask, begins = padded([np.array([5, 6]), np.array([7, 8, 9])], 1)
    assert ids.tolist() == [[5, 6, 1], [7, 8, 9]] and mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert begins.tolist() == [0, 0]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_families_that_read_padding_share_batches_of_equal_lengths(model_type):
    model = tiny(model_type).base_model
    assert found(runner(model)) is (Sharing.EQUAL_LENGTHS if model_type in READ_PADDING else Sharing.ANY)
    assert found(runner(model), shorter=[]) is Sharing.EQUAL_LENGTHS  # there was nothing to be padded


@pytest.mark.parametrize(
    ("model_type", "chosen"),
    [
        ("bert", 0),  # needs the positions
        ("opt", 0),
        ("llama", 0),
        ("roberta", 1),  # finds them by itself, and from 2 on
        ("t5", 0),
        ("bart", None),  # counts them over padding, and takes none
        ("roformer", None),
        ("convbert", None),
    ],
)
def test_on_the_left_the_way_is_taken_that_gives_the_states_of_sequences_alone(model_type, chosen):
    model = tiny(model_type).base_model
    takes = model_type not in ("bart", "roformer", "t5")
    ways = [runner(model, positions=positions) for positions in ((True, False) if takes else (False,))]
    alone = runner(model)
    pad = 1 if model_type == "roberta" else 0
    sharing, run = find_sharing(alone, ways, LONG, SHORTER, pad=pad, padding_side="left")
    assert sharing is (Sharing.EQUAL_LENGTHS if chosen is None else Sharing.ANY)
    assert run is (alone if chosen is None else ways[chosen])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_tenth_of_a_percent_of_padding_is_found_in_any_dtype(dtype):
    model = tiny("gpt_neox").base_model.to(dtype)
    assert found(runner(model)) is Sharing.ANY

    def change(state):
        return (state.float() + 1e-3 * state[:, -1:].float()).to(dtype)  # the last of a row, padding or not

    assert found(runner(model, change=change)) is Sharing.EQUAL_LENGTHS


def test_a_tenth_of_a_percent_of_other_rows_is_found():
    model = tiny("gpt_neox").base_model
    run = runner(model, change=lambda state: state + 1e-3 * (state.mean(0, keepdim=True) - state))
    assert found(run) is Sharing.NONE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_experts_are_no_reason_to_run_sequences_alone(dtype):
    assert found(runner(tiny("mixtral").base_model.to(dtype)), experts=True) is Sharing.ANY


@pytest.mark.parametrize("model_type", ["convbert", "mobilebert"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_families_that_read_padding_are_found_in_16_bits(model_type, dtype):
    assert found(runner(tiny(model_type).base_model.to(dtype))) is Sharing.EQUAL_LENGTHS


def test_states_that_are_drawn_or_depend_on_earlier_calls_are_refused():
    model = tiny("gpt_neox").base_model
    with pytest.raises(ValueError, match="gives the same sequence other hidden states at another call"):
        found(runner(model, change=lambda state: state + 1e-3 * torch.randn_like(state)))
    lengths = []

    def remember(state):
        lengths.append(state.shape[1])
        return state * (1 + 1e-3 * min(lengths))

    with pytest.raises(ValueError, match="keeps something from call to call"):
        found(runner(model, change=remember))

    longest = []

    def grow(state):
        longest.append(state.shape[1])
        return state * (1 + 1e-3 * max(longest))

    with pytest.raises(ValueError, match="keeps something from call to call"):
        found(runner(model, change=grow))
