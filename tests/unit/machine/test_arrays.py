"""Tensors are taken as they come; what is no array of numbers, and odd parameters, are ValueErrors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from idsweep.estimators import estimate_global, estimate_local, registry
from idsweep.machine.arrays import to_array
from idsweep.neighbors import nearest_neighbors

X = np.random.default_rng(0).random((120, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(X, requires_grad=True),
        torch.nn.Parameter(torch.tensor(X)),
        torch.tensor(X).to_sparse(),
        torch.tensor(X.T.copy()).T,
        torch.tensor(X)[::1],
        torch._neg_view(torch.tensor(-X)),
    ],
    ids=["gradients", "parameter", "sparse", "transposed", "slice", "negated"],
)
def test_tensors_give_what_arrays_give(tensor: torch.Tensor) -> None:
    expected, found = nearest_neighbors(X, 5), nearest_neighbors(tensor, 5)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64])
def test_every_float_of_torch_is_taken_without_loss(dtype: torch.dtype) -> None:
    tensor = torch.tensor(X).to(dtype)
    np.testing.assert_array_equal(to_array(tensor, "X").astype(np.float64), tensor.double().numpy())
    assert np.isfinite(estimate_global(tensor.float() if dtype == torch.float8_e4m3fn else tensor, "twonn").value)


def test_a_graph_and_groups_may_be_tensors() -> None:
    graph = nearest_neighbors(X, 20)
    tensors = torch.tensor(graph.indices), torch.tensor(graph.distances, requires_grad=True)
    np.testing.assert_array_equal(
        estimate_local(X, "mle", n_neighbors=10, graph=tensors), estimate_local(X, "mle", n_neighbors=10, graph=graph)
    )
    groups = np.arange(120) // 10
    assert estimate_global(X, "twonn", groups=torch.tensor(groups)) == estimate_global(X, "twonn", groups=groups)


@pytest.mark.parametrize(
    "call",
    [
        lambda: nearest_neighbors(torch.tensor(X).to("meta"), 5),
        lambda: nearest_neighbors([[1, 2], [3]], 5),
        lambda: nearest_neighbors(None, 5),
        lambda: nearest_neighbors("abc", 5),
        lambda: nearest_neighbors(X, None),
        lambda: nearest_neighbors(X, [5]),
        lambda: nearest_neighbors(X, float("nan")),
        lambda: nearest_neighbors(X, float("inf")),
        lambda: estimate_local(X, ["twonn"]),
        lambda: estimate_local(X, None),
        lambda: estimate_local(X, "mle", n_neighbors=5, graph=3),
        lambda: estimate_local(X, "mle", n_neighbors=5, graph="x"),
        lambda: estimate_local(X, "mle", n_neighbors=5, graph=(np.zeros((0, 5), int), np.zeros((0, 5)))),
    ],
)
def test_what_is_no_array_is_a_value_error(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):
        call()


@pytest.mark.filterwarnings("ignore")
def test_a_parameter_of_a_wrong_type_is_a_value_error_in_every_estimator() -> None:
    cloud = X[:40]
    for name in registry.names():
        estimator = registry.get(name)
        for scope in estimator.scopes:
            estimate = estimate_local if scope == "local" else estimate_global
            for key in estimator.parameters(scope):
                for value in ("abc", [1], {"a": 1}, object(), 10**400, -(10**30)):
                    with pytest.raises(ValueError, match=key):
                        estimate(cloud, name, **{key: value})
