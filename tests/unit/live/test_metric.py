"""The metric of torchmetrics, beside the estimator that it stands for."""

from __future__ import annotations

import pytest
import torch
from idsweep.estimators.registry import estimate_mean
from idsweep.live import LocalDimension


def cloud(number: int = 600, seed: int = 0) -> torch.Tensor:
    return torch.randn(number, 12, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("estimator", "parameters"), [("twonn", {}), ("mle", {})])
def test_it_is_the_estimate_of_all_features(estimator: str, parameters: dict) -> None:
    metric = LocalDimension(n_neighbors=32, estimator=estimator, parameters=parameters)
    for batch in cloud().split(100):
        metric.update(batch)
    expected = estimate_mean(torch.unique(cloud(), dim=0).numpy(), estimator, n_neighbors=32)
    assert metric.compute().item() == expected.value


def test_positions_are_points_and_duplicates_count_once() -> None:
    metric, flat = LocalDimension(n_neighbors=16), LocalDimension(n_neighbors=16)
    metric.update(cloud().reshape(60, 10, 12))
    flat.update(torch.cat([cloud(), cloud()[:50]]))
    assert metric.compute() == flat.compute()


def test_the_sample_is_random_bounded_and_the_same_after_a_reset() -> None:
    metric = LocalDimension(n_neighbors=16, max_samples=200, seed=3)
    values = []
    for _ in range(2):
        for batch in cloud(2000).split(300):
            metric.update(batch)
        assert [len(part) for part in metric.features] == [200]
        values.append(metric.compute().item())
        kept = metric.features[0]
        metric.reset()
    assert values[0] == values[1]
    places = [int((cloud(2000) == row).all(1).nonzero()) for row in kept]
    assert places == sorted(places)
    assert 700 < sum(places) / 200 < 1300  # of all batches: a mean of 1,000 with a deviation of 41


def test_samples_of_processes_are_one_sample() -> None:
    """What torchmetrics gathers of two processes, put together by hand."""
    one, other = (
        LocalDimension(n_neighbors=16, max_samples=200),
        LocalDimension(n_neighbors=16, max_samples=200, seed=9),
    )
    one.update(cloud(500, 1))
    other.update(cloud(500, 2))
    one.features, one.ranks = torch.cat([*one.features, *other.features]), torch.cat([*one.ranks, *other.ranks])
    assert one.compute() > 1
    assert len(one._sampled()[0]) == 200


def test_called_with_each_batch_it_gives_the_batch_s_value_and_keeps_a_bounded_sample() -> None:
    metric, expected = LocalDimension(n_neighbors=16, max_samples=100), LocalDimension(n_neighbors=16, max_samples=100)
    for batch in cloud(1000).split(50):
        value = metric(batch)
        expected.update(batch)
    alone = LocalDimension(n_neighbors=16)
    alone.update(batch)
    assert value == alone.compute()
    assert metric.compute() == expected.compute() and len(metric.features[0]) == 100
    assert metric(cloud(5)).isnan()


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(ValueError, match="max_samples: 10 points are too few"):
        LocalDimension(n_neighbors=16, max_samples=10)
    metric = LocalDimension(n_neighbors=16)
    with pytest.raises(ValueError, match="0 different points are too few"):
        metric.compute()
    with pytest.raises(ValueError, match=r"features: \(3,\) is neither"):
        metric.update(torch.zeros(3))
    metric.update(cloud(10))
    with pytest.raises(ValueError, match="10 different points are too few for 16 neighbours"):
        metric.compute()
