"""AdamW without bias correction takes the steps of its definition."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from idsweep.training.adamw import UncorrectedAdamW

BETAS, EPSILON = (0.9, 0.999), 1e-8
RATES = [0.01, 0.02, 0.03, 0.03, 0.01, 0.0]


def start() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in ((3, 4), (5,))
    ]


def gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Those of a loss whose gradient depends on where the parameters are."""
    for parameter in parameters:
        parameter.grad = parameter.detach().sin() + 0.1


def test_steps_are_those_of_the_definition_number_by_number():
    decays = (0.3, 0.0)
    trained, plain = start(), [parameter.flatten().tolist() for parameter in start()]
    groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(trained, decays, strict=True)]
    optimizer = UncorrectedAdamW(groups, lr=1.0)
    first, second = ([[0.0] * len(values) for values in plain] for _ in range(2))
    for rate in RATES:
        gradients(trained)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        for values, m, v, decay in zip(plain, first, second, decays, strict=True):
            for i, value in enumerate(values):
                gradient = math.sin(value) + 0.1
                m[i] = 0.9 * m[i] + 0.1 * gradient
                v[i] = 0.999 * v[i] + 0.001 * gradient**2
                updated = value - rate * m[i] / (math.sqrt(v[i]) + EPSILON)
                values[i] = updated - rate * decay * updated
    for parameter, values in zip(trained, plain, strict=True):
        assert parameter.flatten().tolist() == pytest.approx(values, rel=1e-12)


def test_the_correction_is_all_that_tells_it_from_torch_s_adam():
    ours, theirs = start(), start()
    uncorrected, adam = UncorrectedAdamW(ours, lr=1.0), torch.optim.Adam(theirs, lr=1.0)
    for number, rate in enumerate(RATES, start=1):
        one, two = (1 - beta**number for beta in BETAS)
        gradients(ours)
        gradients(theirs)
        uncorrected.param_groups[0]["lr"] = rate
        adam.param_groups[0] |= {"lr": rate * one / math.sqrt(two), "eps": EPSILON / math.sqrt(two)}
        uncorrected.step()
        adam.step()
        for one_of_ours, one_of_theirs in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one_of_ours, one_of_theirs, rtol=1e-12, atol=0)


def test_its_state_is_all_that_it_needs_to_go_on():
    def go(parameters: list[torch.nn.Parameter], optimizer: UncorrectedAdamW) -> None:
        for _ in range(3):
            gradients(parameters)
            optimizer.step()

    whole = start()
    optimizer = UncorrectedAdamW(whole, lr=0.1)
    go(whole, optimizer)
    halfway, state = copy.deepcopy(whole), copy.deepcopy(optimizer.state_dict())
    go(whole, optimizer)
    other = UncorrectedAdamW(halfway, lr=0.5)
    other.load_state_dict(state)
    go(halfway, other)
    assert all(torch.equal(one, two) for one, two in zip(whole, halfway, strict=True))


def test_parameters_without_a_gradient_stay():
    trained, still = start()
    before = still.clone()
    trained.grad = torch.ones_like(trained)
    UncorrectedAdamW([trained, still], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(still, before) and still.grad is None
