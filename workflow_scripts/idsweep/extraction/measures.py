"""What a model makes of a token, told from its logits: one function, one column of `predictions/`.

A measure is a function of this file with `@measure` before it. It is called as function(log_probabilities, targets) and
returns one value for each of m tokens, of any type of number; NaN where it is undefined.

log_probabilities: float32 (m, V), the logits of the V tokens of the vocabulary where the model predicts a token, less the
logarithm of the sum of their exponentials, which is computed once for all measures. Not to be changed in place.
targets: int64 (m,), the token that stands there.

Nothing imports torch when this file is read: a configuration is checked against the names without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
LEAST = -1000.0  # the exponential of less is 0 in float32


def measure(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Make `function` a measure of its own name."""
    MEASURES[function.__name__] = function
    return function


def names() -> list[str]:
    """The names of all measures, in the order of the columns."""
    return list(MEASURES)


@measure
def log_probability(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Logarithm of the probability of the true token, in nats."""
    return log_probabilities.gather(1, targets[:, None])[:, 0]


@measure
def entropy(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """−Σ p log p over the vocabulary, in nats; a token of probability 0 adds nothing."""
    terms = log_probabilities.exp().mul_(log_probabilities.clamp_min(LEAST))
    return terms.sum(-1).abs()  # no term is above 0; abs() rather than -, for of certainty that is -0.0


@measure
def rank(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 + number of tokens that are more probable than the true one: 1 is the most probable; ties share the best rank."""
    above = log_probabilities > log_probability(log_probabilities, targets)[:, None]
    return above.sum(-1) + 1


@measure
def margin(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of the most probable token less that of the second, in nats; undefined in a vocabulary of one.

    The difference of their logits is the same.
    """
    if log_probabilities.shape[1] < 2:
        return log_probabilities.new_full((len(targets),), float("nan"))
    best = log_probabilities.topk(2).values
    return best[:, 0] - best[:, 1]
