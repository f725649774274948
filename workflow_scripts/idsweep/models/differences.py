"""What rounding alone may change, and what it may not: the measure by which models are tried before they are used."""

from __future__ import annotations

import torch

ROUNDINGS = 8
TOLERANCE = 5e-4  # of float32, where rounding makes about 1e-6
SMALLEST = 0.01  # of the mean length: what is shorter counts as this long
TINY = torch.finfo(torch.float32).tiny


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether vectors (tokens, D), computed in batches of different shapes, differ by rounding only.

    In float32 no vector may differ by more than 0.05 % of its length. In 16 bits rounding makes more than that of single
    tokens, so the median token counts, and may differ by 8 roundings: 0.8 % in float16, 6 % in bfloat16. What is less than
    that shows in `repeated`.
    """
    differences = relative_differences(found, expected)
    if torch.finfo(found.dtype).bits > 16:
        return bool((differences <= TOLERANCE).all())
    return bool(differences.median() <= ROUNDINGS * torch.finfo(found.dtype).eps)


def repeated(found: torch.Tensor, expected: torch.Tensor, *, experts: bool = False) -> bool:
    """Whether vectors (tokens, D), computed in batches of the same shape, are the same.

    The same kernels round alike in any dtype, so that no more than 8 roundings of float32 are allowed, 1e-6. With experts, the
    number of tokens that each gets decides shapes inside, and `same` is the measure.
    """
    if experts:
        return same(found, expected)
    return bool((relative_differences(found, expected) <= ROUNDINGS * torch.finfo(torch.float32).eps).all())


def relative_differences(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Length of each difference over the length of the expected vector: float32 (tokens,).

    Infinite where only the found vector is not finite, 0 where the expected one is not: that is for others to tell.
    """
    found, expected = found.float(), expected.float()
    lengths = expected.norm(dim=-1)
    finite = lengths.isfinite()
    shortest = SMALLEST * lengths[finite].mean() if finite.any() else 0.0
    differences = (found - expected).norm(dim=-1) / lengths.clamp(min=max(float(shortest), TINY))
    return torch.where(finite, differences.nan_to_num(torch.inf), 0.0)


def has_experts(config: object) -> bool:
    """Whether a model's tokens are divided among experts, as its configuration says."""
    values = config.get_text_config().to_dict()
    return any("expert" in key and isinstance(value, int) and value > 1 for key, value in values.items())
