"""Differences of vectors are relative to their lengths, and what is not finite counts where it was not so before."""

from __future__ import annotations

import pytest
import torch
from builders.tiny_models import tiny
from idsweep.models.differences import has_experts, relative_differences, repeated, same


def test_differences_are_relative_to_each_vector_and_short_ones_to_a_hundredth_of_the_mean():
    expected = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 10.0]])
    found = expected + torch.tensor([[0.0, 0.5], [0.005, 0.0], [0.0, 0.1]])
    torch.testing.assert_close(relative_differences(found, expected), torch.tensor([0.1, 0.1, 0.01]))
    assert relative_differences(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0, 0]


def test_what_was_not_finite_before_is_no_difference():
    expected = torch.tensor([[1.0, torch.nan], [1.0, torch.inf], [1.0, 1.0], [1.0, 1.0]])
    found = torch.tensor([[1.0, 1.0], [1.0, torch.inf], [1.0, torch.nan], [1.0, 1.0]])
    assert relative_differences(found, expected).tolist() == [0, 0, torch.inf, 0]


@pytest.mark.parametrize(
    ("dtype", "share", "is_same"),
    [
        (torch.float32, 4e-4, True),
        (torch.float32, 1e-3, False),
        (torch.float16, 4e-3, True),
        (torch.float16, 2e-2, False),
        (torch.bfloat16, 3e-2, True),
        (torch.bfloat16, 1e-1, False),
    ],
)
def test_rounding_is_what_the_dtype_allows(dtype, share, is_same):
    expected = torch.ones(9, 4)
    assert same((expected * (1 + share)).to(dtype), expected.to(dtype)) is is_same
    assert not repeated((expected * (1 + share)).to(dtype), expected.to(dtype))
    assert repeated((expected * (1 + share)).to(dtype), expected.to(dtype), experts=True) is is_same
    one_token = expected.clone()
    one_token[4] *= 1.5  # of nine: in 16 bits the median tells nothing of it
    assert same(one_token.to(dtype), expected.to(dtype)) is (dtype != torch.float32)
    assert not repeated(one_token.to(dtype), expected.to(dtype))


def test_experts_are_known_by_the_config():
    assert has_experts(tiny("mixtral").config)
    assert not any(has_experts(tiny(model_type).config) for model_type in ("bert", "gpt2", "llama", "t5"))
