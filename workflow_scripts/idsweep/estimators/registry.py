"""Which estimators there are, what they need, and how they are called.

A new estimator is a new module of this package that ends in `ESTIMATOR = Estimator(...)`; nothing else
lists it. Modules are imported when their estimator is asked for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from idsweep.estimators.ranges import Range
from idsweep.machine.arrays import to_array
from idsweep.machine.names import nearest_name
from idsweep.neighbors.graph import NeighborGraph, WholeGraph, check_cloud, check_distances
from idsweep.neighbors.search import nearest_neighbors
from idsweep.statistics.uncertainty import mean_error

ADAPTER = "scikit_dimension"
LARGEST = 2**63 - 1  # of whole numbers


@dataclass(frozen=True)
class Estimate:
    """One dimension for a whole cloud.

    value: NaN if undefined. standard_error: NaN if the estimator has none. n_points: points of the cloud.
    n_undefined: those that had to be left out because the estimator is not defined there.
    """

    value: float
    standard_error: float
    n_points: int
    n_undefined: int


@dataclass(frozen=True)
class Estimator:
    """An estimator and what it needs.

    local: (X, graph, *, n_neighbors, ...) -> float64 (N,); global_: (X, graph, groups, *, ...) -> Estimate, with
    groups as in `uncertainty`; None where it offers no such scope. local_errors: (values, parameters) -> standard
    error of each local value, where there is a closed form. local_with_parts: as local -> the values, and float64 (N, L),
    what each member of a neighbourhood adds to its value by chance, as in `uncertainty.mean_error`; None where nothing is
    known that is right. vectors: the scopes that need X; in others X may be None if the graph is a `WholeGraph`.
    neighbors: parameters -> neighbours needed in the graph, where no parameter `n_neighbors` says so. beyond: neighbours
    needed -> how many more a standard error looks at; without them it is NaN.
    memory: (N, D) -> bytes that a global estimate takes beside a cloud of N points of D coordinates and its graph.
    coarser: (parameters, k) -> {label: parameters} of the same estimate at the larger scales that a graph of k
    neighbours holds. defaults: scope -> {parameter: default}, if not those of the signatures.
    only_with: parameter -> another one, and its value without which the first has no effect.
    ranges: parameter -> the values that it may have, in every scope that has it; check: raises ValueError for values that
    are each allowed and cannot go together. Both are asked before anything runs, of a configuration too.
    """

    name: str
    local: Callable[..., np.ndarray] | None = None
    global_: Callable[..., Estimate] | None = None
    local_errors: Callable[[np.ndarray, Mapping[str, Any]], np.ndarray] | None = None
    local_with_parts: Callable[..., tuple[np.ndarray, np.ndarray]] | None = None
    vectors: frozenset[str] = frozenset()
    neighbors: Callable[[Mapping[str, Any]], int] = lambda parameters: 0
    beyond: Callable[[int], int] = lambda needed: 0
    memory: Callable[[int, int], float] = lambda number, dimension: 0.0
    coarser: Callable[[Mapping[str, Any], int], Mapping[str, Mapping[str, Any]]] | None = None
    defaults: Mapping[str, Mapping[str, Any]] | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict)
    only_with: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], None] | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes on offer, of "local" and "global"."""
        offered = {"local": self.local, "global": self.global_}
        return tuple(scope for scope, function in offered.items() if function is not None)

    def function(self, scope: str) -> Callable[..., Any]:
        """The function of one scope. Raises ValueError if it is not on offer."""
        if scope not in self.scopes:
            raise ValueError(f"{self.name} offers no {scope} estimate; it offers {', '.join(self.scopes)}.")
        return self.local if scope == "local" else self.global_

    def parameters(self, scope: str) -> dict[str, Any]:
        """Every parameter of one scope with its default."""
        function = self.function(scope)
        if self.defaults is not None:
            return dict(self.defaults[scope])
        found = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def errors_of(self, values: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        """Standard error of each local value, float64 (N,); NaN where there is no closed form."""
        if self.local_errors is None:
            return np.full(len(values), np.nan)
        return self.local_errors(values, self.parameters("local") | dict(parameters))

    def neighbors_needed(self, parameters: Mapping[str, Any]) -> int:
        """How many neighbours of each point the graph must hold; 0 if no graph is needed."""
        return int(parameters.get("n_neighbors") or self.neighbors(parameters))


def names() -> list[str]:
    """The names of all estimators, sorted: this package's modules and the classes of scikit-dimension."""
    return sorted([*_modules(), *_adapted()])


def get(name: str) -> Estimator:
    """The estimator called `name`; imports its module. Raises ValueError, listing the names, if there is none."""
    if isinstance(name, str) and name in _adapted():
        return _adapted()[name]
    return importlib.import_module(module_of(name)).ESTIMATOR


def module_of(name: str) -> str:
    """The full name of the module that holds estimator `name`. Raises ValueError if there is none."""
    if name in _modules():
        return f"{__package__}.{name}"
    if isinstance(name, str) and name in _adapted():
        return f"{__package__}.{ADAPTER}"
    near = nearest_name(name, names())
    meant = f"did you mean {near!r}? " if near else ""
    raise ValueError(f"There is no estimator {name!r}; {meant}the estimators are {', '.join(names())}.")


def estimate_local(
    X: np.ndarray | None,
    name: str,
    n_neighbors: int | None = None,
    graph: NeighborGraph | tuple[np.ndarray, np.ndarray] | None = None,
    **params: Any,
) -> np.ndarray:
    """Estimate the intrinsic dimension around each point.

    Parameters
    ----------
    X : array (N, D) or None
        The points: float16, float32, float64 or integers. None if the estimator needs the graph alone.
    name : str
        Name of an estimator, as "twonn"; docs/estimators.md lists them.
    n_neighbors : int, optional
        Size of a neighbourhood, the point itself left out. The estimator's default if None.
    graph : NeighborGraph or (indices, distances), optional
        What `nearest_neighbors(X, k)` returned with k of at least `n_neighbors`. Computed if None.
    **params
        Further parameters of the estimator.

    Returns
    -------
    array (N,), float64
        The dimension at each point; NaN where it is undefined.

    Raises
    ------
    ValueError
        If the name or a parameter is not known, the estimator has no local estimate, the points are not a finite numeric
        matrix, or the graph does not fit.

    References
    ----------
    docs/estimators.md names the paper and the equation of each estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.estimators import estimate_local
    >>> X = np.random.default_rng(0).random((1000, 2))  # a square: two dimensions
    >>> values = estimate_local(X, "mle", n_neighbors=50)
    >>> values.shape, values.dtype
    ((1000,), dtype('float64'))
    >>> bool(1.5 < values.mean() < 2.5)
    True
    """
    if n_neighbors is not None:
        params["n_neighbors"] = n_neighbors
    function, X, graph = _prepared(X, name, "local", graph, params)
    return function(X, graph, **params)


def estimate_mean(
    X: np.ndarray | None,
    name: str,
    n_neighbors: int | None = None,
    graph: NeighborGraph | tuple[np.ndarray, np.ndarray] | None = None,
    groups: np.ndarray | None = None,
    **params: Any,
) -> Estimate:
    """Estimate the mean of the local intrinsic dimension, with its standard error where there is one.

    The mean is over the points at which the local dimension is defined. `twonn` has a standard error; for the means of other
    estimators no way is known that is right on clouds of tokens, as docs/estimators.md says.

    Parameters
    ----------
    X, name, n_neighbors, graph, **params
        As for `estimate_local`.
    groups : array (N,) of int, optional
        The sequence (or other group) of each point. Points with the same number depend on each other, which widens the
        standard error. None takes all points as independent.

    Returns
    -------
    Estimate
        `value`, NaN if it is undefined at every point; `standard_error`, NaN if none is known; `n_points`; and
        `n_undefined`, the points that were left out.

    Raises
    ------
    ValueError
        As `estimate_local`, and if `groups` does not have one number for each point.

    References
    ----------
    docs/estimators.md names the paper and the equation of each estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.estimators import estimate_mean
    >>> X = np.random.default_rng(0).random((1000, 2))
    >>> mean = estimate_mean(X, "twonn", n_neighbors=50, groups=np.arange(1000) // 10)
    >>> bool(1.5 < mean.value < 2.5), bool(0.01 < mean.standard_error < 0.1)
    (True, True)
    >>> mean.n_points, mean.n_undefined
    (1000, 0)
    """
    return estimate_local_and_mean(X, name, n_neighbors, graph, groups, **params)[1]


def estimate_local_and_mean(
    X: np.ndarray | None,
    name: str,
    n_neighbors: int | None = None,
    graph: NeighborGraph | tuple[np.ndarray, np.ndarray] | None = None,
    groups: np.ndarray | None = None,
    **params: Any,
) -> tuple[np.ndarray, Estimate]:
    """`estimate_local` and `estimate_mean` in one, float64 (N,) and an Estimate; arguments and errors as there."""
    if n_neighbors is not None:
        params["n_neighbors"] = n_neighbors
    estimator = get(name)
    function, X, graph = _prepared(X, name, "local", graph, params)
    if estimator.local_with_parts is None:
        values, error = function(X, graph, **params), np.nan
    else:
        values, parts = estimator.local_with_parts(X, graph, **params)
        members = graph.indices[:, : parts.shape[1]]
        error = mean_error(values, members, parts, _checked_groups(groups, len(values)))
    known = values[~np.isnan(values)]
    value = float(known.mean()) if len(known) else np.nan
    return values, Estimate(value, error, len(values), len(values) - len(known))


def estimate_global(
    X: np.ndarray | None,
    name: str,
    graph: NeighborGraph | tuple[np.ndarray, np.ndarray] | None = None,
    groups: np.ndarray | None = None,
    **params: Any,
) -> Estimate:
    """Estimate the intrinsic dimension of a whole cloud, with its standard error where there is one.

    Parameters
    ----------
    X, name, graph, **params
        As for `estimate_local`.
    groups : array (N,) of int, optional
        The sequence (or other group) of each point. Points with the same number depend on each other, which widens the
        standard error. None takes all points as independent.

    Returns
    -------
    Estimate
        `value`, NaN if it is undefined; `standard_error`, NaN if the estimator has none; `n_points`; and `n_undefined`,
        the points that were left out.

    Raises
    ------
    ValueError
        As `estimate_local`, but where the estimator has no global estimate; and if `groups` does not have one number for
        each point.

    References
    ----------
    docs/estimators.md names the paper and the equation of each estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.estimators import estimate_global
    >>> X = np.random.default_rng(0).random((1000, 2))
    >>> whole = estimate_global(X, "twonn")
    >>> bool(1.5 < whole.value < 2.5), whole.n_points
    (True, 1000)
    """
    function, X, graph = _prepared(X, name, "global", graph, params)
    groups = _checked_groups(groups, len(X) if X is not None else len(graph.indices))
    return function(X, graph, groups, **params)


def _prepared(X: Any, name: str, scope: str, graph: Any, params: Mapping[str, Any]) -> tuple[Callable, Any, Any]:
    """The function to call, the checked points and their graph."""
    estimator = get(name)
    function = estimator.function(scope)
    allowed = estimator.parameters(scope)
    unknown = sorted(params.keys() - allowed.keys())
    if unknown:
        raise ValueError(
            f"{name} ({scope}) has no parameter {', '.join(unknown)}; its parameters are "
            f"{', '.join(sorted(allowed)) or 'none'}."
        )
    used = {**allowed, **params}
    for key, value in params.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{key} is not allowed to be beyond 2**63, as this one of {value.bit_length()} bits.")
        if key in estimator.ranges and not estimator.ranges[key].holds(value):
            raise ValueError(f"{key} = {value!r} is not allowed; it must be {estimator.ranges[key]}.")
    if estimator.check is not None:
        estimator.check(used)
    needed = estimator.neighbors_needed(used)
    if X is not None:
        X = check_cloud(X)
    elif scope in estimator.vectors or (needed and graph is None):
        raise ValueError(f"{name} ({scope}) needs the points X; None was given.")
    if needed and graph is not None:
        graph = _checked(graph, X, needed)
    elif needed:
        graph = nearest_neighbors(X, max(needed, min(needed + estimator.beyond(needed), len(X) - 1)))
    return function, X, graph


def _checked_groups(groups: Any, number: int) -> np.ndarray | None:
    if groups is None:
        return None
    groups = to_array(groups, "groups")
    if groups.shape != (number,):
        raise ValueError(f"groups has shape {groups.shape}; one number for each of the {number} points is needed.")
    return groups


def _checked(graph: Any, X: np.ndarray | None, needed: int) -> NeighborGraph:
    try:
        indices, distances = graph
    except (TypeError, ValueError) as error:
        raise ValueError("graph must be what nearest_neighbors returns, or indices and distances.") from error
    indices, distances = to_array(indices, "the graph's indices"), to_array(distances, "the graph's distances")
    if indices.ndim != 2 or indices.shape != distances.shape or 0 in indices.shape:
        raise ValueError(
            f"the graph's indices {indices.shape} and distances {distances.shape} must be matrices of one shape (N, k)."
        )
    if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= len(indices):
        raise ValueError(f"the graph's indices must be whole numbers from 0 to N - 1 = {len(indices) - 1}.")
    if not np.isfinite(distances).all() or (distances[:, 0] < 0).any() or (np.diff(distances, axis=1) < 0).any():
        raise ValueError("the graph's distances must be finite, not negative, and rise along each row.")
    check_distances(distances)
    if X is not None and len(indices) != len(X):
        raise ValueError(f"the graph has {len(indices)} points, but X has {len(X)}; give the graph of these points.")
    if indices.shape[1] < needed:
        raise ValueError(
            f"{needed} neighbours are needed, but the graph holds {indices.shape[1]} of each point; lower n_neighbors "
            "or build the graph with more."
        )
    lists = np.ascontiguousarray(indices, dtype=np.int32), np.ascontiguousarray(distances, dtype=np.float64)
    return WholeGraph(*lists, graph.fellows) if isinstance(graph, WholeGraph) else NeighborGraph(*lists)


@cache
def _modules() -> list[str]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if "\nESTIMATOR = " in file.read_text(encoding="utf-8")]


def _adapted() -> Mapping[str, Estimator]:
    return importlib.import_module(f"{__package__}.{ADAPTER}").ESTIMATORS
