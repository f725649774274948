"""Which values parameters may have: every parameter of every estimator says so, to the library and to configurations."""

from __future__ import annotations

import numpy as np
import pytest
from builders import sweeps
from builders.sweeps import NEWS
from idsweep.estimators import estimate_global, estimate_local
from idsweep.estimators import registry as estimators
from idsweep.estimators.ranges import Choice, Flag, Number, Optional, Rising, Whole
from idsweep.neighbors.graph import NeighborGraph

ALL = [(name, scope) for name in estimators.names() for scope in estimators.get(name).scopes]
X = np.random.default_rng(0).standard_normal((60, 5))

# estimator -> parameter -> values that make no sense
WRONG = {
    "twonn": {
        "n_neighbors": [2, 5.0, True],
        "method": ["ols", 1],
        "discard_fraction": [-0.1, 1, 1.5, "0.1"],
    },
    "mle": {
        "n_neighbors": [1, 2.5],
        "from_neighbors": [1, "5"],
        "average": ["harmonic", True],
        "unbiased": [1, "yes"],
    },
    "gride": {"n1": [0, 1.5, True], "n2": [1, 2.5, "2"]},
    "corrint": {"k1": [0, 1.5], "k2": [1, 20.0]},
    "persistent_homology": {
        "alpha": [0, -1, "1"],
        "n_range_min": [0, -0.5],
        "n_range_max": [0, False],
        "range_type": ["share", 1],
        "nsteps": [1, 2.5],
        "subsamples": [0],
        "random_state": [-1, 2**32, 0.5],
    },
    "lpca": {
        "n_neighbors": [1, 8.0],
        "version": ["fo", 1],
        "center": [1, "no"],
        "alpha_fo": [0, 1, 1.5, -0.05, 1e-15],
        "alpha_fan": [1, 0],
        "beta_fan": [0, 1, 2],
        "p_fan": [0, 1, 95],
        "alpha_ratio": [0, 1, -1],
        "noise_var": [0, -1, "1"],
        "alpha_kn": [0.02, 0, 1],
        "n_permutations": [0, 1.5],
        "quantile": [0, 1.01],
        "null": ["permuted", True],
        "random_state": [-1, 1.5],
    },
    "participation_ratio": {"n_neighbors": [1, 2.5], "center": [0, "no"]},
    "effective_rank": {"n_neighbors": [1, 2.5], "center": [0, "no"]},
    "stable_rank": {"n_neighbors": [1, 2.5], "center": [0, "no"]},
    "danco": {
        "n_neighbors": [2],
        "k": [1, 31, 2.5],
        "D": [0, 2.5],
        "ver": ["danco"],
        "fractal": [1],
        "random_state": [-1],
    },
    "fishers": {
        "n_neighbors": [2],
        "conditional_number": [1, 0],
        "project_on_sphere": [2, "no"],
        "alphas": [0.5, "all"],
        "limit_maxdim": [1],
    },
    "knn": {"n_neighbors": [2], "k": [0, 2.5], "ps": [5, "5"], "M": [0], "gamma": [0, -2], "random_state": [-1]},
    "mind_ml": {"n_neighbors": [2], "k": [0, 2.5], "D": [0, 1.5], "ver": ["MLx"]},
    "ess": {"n_neighbors": [1], "ver": ["c"], "d": [0, 18, 1.5], "random_state": [-1], "comb": ["mle"]},
    "mada": {"n_neighbors": [1, 4.5], "comb": ["mle"]},
    "mom": {"n_neighbors": [1, 4.5], "comb": ["mle"]},
    "tle": {"n_neighbors": [1, 4.5], "epsilon": [0, 1, -1], "comb": ["mle"]},
}  # fmt: skip
# what goes wrong together
TOGETHER = [
    ("twonn", "global", {"discard_fraction": 0}, "discard_fraction = 0 leaves method 'linear'"),
    ("twonn", "local", {"n_neighbors": 10, "discard_fraction": 0.85}, "leave fewer than 2 ratios"),
    ("mle", "local", {"n_neighbors": 2, "unbiased": True}, "n_neighbors = 2 is too small; at least 3"),
    ("mle", "global", {"n_neighbors": 5, "from_neighbors": 6}, "from_neighbors = 6 is above n_neighbors = 5"),
    ("gride", "global", {"n1": 4, "n2": 4}, "n2 = 4 must be above n1 = 4"),
    ("corrint", "global", {"k1": 5, "k2": 5}, "k1 = 5 must be below k2 = 5"),
    ("persistent_homology", "global", {"n_range_min": 0.9, "n_range_max": 0.5}, "fractions of the points"),
    ("persistent_homology", "global", {"n_range_min": 5.5, "n_range_max": 9, "range_type": "num"}, "numbers of points"),
    ("danco", "global", {"D": 3}, "D = 3 dimensions are too few"),
    ("danco", "local", {"n_neighbors": 11}, "at least k \\+ 2 = 12"),
    ("mind_ml", "local", {"n_neighbors": 21}, "at least k \\+ 2 = 22"),
    ("ess", "local", {"ver": "b", "d": 2}, "d = 2 is not supported with ver 'b'"),
    ("ess", "global", {"n_neighbors": 4, "d": 3}, "n_neighbors = 4 must be at least d \\+ 2 = 5"),
]


@pytest.mark.parametrize(("name", "scope"), ALL)
def test_every_parameter_has_a_range_that_holds_its_default(name, scope):
    estimator = estimators.get(name)
    parameters = estimator.parameters(scope)
    assert parameters.keys() <= estimator.ranges.keys()
    assert [key for key, value in parameters.items() if not estimator.ranges[key].holds(value)] == []
    assert set(WRONG[name]) == {key for each in estimator.scopes for key in estimator.parameters(each)}


@pytest.mark.parametrize(("name", "scope"), ALL)
def test_what_makes_no_sense_is_refused_by_the_library(name, scope):
    estimate = {"local": estimate_local, "global": estimate_global}[scope]
    for key in estimators.get(name).parameters(scope):
        for value in WRONG[name][key]:
            with pytest.raises(ValueError, match=rf"^{key} = .* is not allowed; it must be "):
                estimate(X, name, **{key: value})


@pytest.mark.parametrize(("name", "scope"), ALL)
def test_what_makes_no_sense_is_refused_in_a_configuration(name, scope):
    items = [
        {"estimator": name, "scope": scope, "name": f"{key}-{i}", key: value}
        for key in estimators.get(name).parameters(scope)
        for i, value in enumerate(WRONG[name][key])
    ]
    if not items:
        return
    complaints = []
    for item in items:
        (complaint,) = sweeps.complaints_of(NEWS | {"models": {"minilm": {}}, "estimator_sets": {"all": [item]}})
        complaints.append(complaint)
    for item, complaint in zip(items, complaints, strict=True):
        key = item["name"].rsplit("-", 1)[0]
        assert complaint.startswith(f"estimator_sets.all[0].{key}: ")
        assert any(words in complaint for words in ("not allowed; expected", "out of range", "wrong type"))


@pytest.mark.parametrize(("name", "scope", "options", "message"), TOGETHER)
def test_what_makes_no_sense_together_is_refused(name, scope, options, message):
    with pytest.raises(ValueError, match=message):
        {"local": estimate_local, "global": estimate_global}[scope](X, name, **options)
    item = {"estimator": name, "scope": scope, **options}
    (complaint,) = sweeps.complaints_of(NEWS | {"models": {"minilm": {}}, "estimator_sets": {"all": [item]}})
    assert complaint.startswith("estimator_sets.all[0]: ")


def test_lists_of_rising_values_are_checked():
    for value in ([0.5, 0.5], [0.5, 1.0], [0.9, 0.6], [0.5]):
        with pytest.raises(ValueError, match="alphas = .* a list of rising values, each a number above 0 and below 1"):
            estimate_global(X, "fishers", alphas=value)
    for value in (np.array([0.6, 0.7]), [0.6, 0.7]):
        assert estimate_global(X, "fishers", alphas=value).n_points == 60
    with pytest.raises(ValueError, match=r"ps = \[2, 5\] must be sizes of samples above k = 2"):
        estimate_global(X, "knn", ps=[2, 5])
    assert estimate_global(X, "knn", ps=[5, 10, 20], M=3).value >= 1


def test_ranges():
    assert Whole(1).holds(np.int64(1)) and not Whole(1).holds(np.float64(1)) and not Whole(1, 3).holds(4)
    assert Number(least=0, below=1).holds(np.float32(0)) and not Number(above=0).holds(float("nan"))
    assert not Number().holds(float("inf")) and not Number().holds(True)
    assert Choice((0.1, "a")).holds(0.1) and not Choice((1,)).holds(True)
    assert Flag().holds(np.True_) and not Flag().holds(1)
    assert Optional(Whole(1)).holds(None) and Rising(Whole(1)).holds((1, 3))
    texts = [Whole(1, 3), Number(above=0, most=1), Choice(("a", "b")), Flag(), Optional(Whole(2)), Number()]
    assert [str(text) for text in texts] == [
        "a whole number of at least 1 and at most 3",
        "a number above 0 and at most 1",
        "one of a, b",
        "true or false",
        "null or a whole number of at least 2",
        "a number",
    ]


GRAPH = NeighborGraph(np.array([[1, 2], [0, 2], [1, 0]]), np.array([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]]))


@pytest.mark.parametrize(
    ("indices", "distances", "message"),
    [
        (GRAPH.indices + 1, GRAPH.distances, "whole numbers from 0 to N - 1 = 2"),
        (GRAPH.indices - 1, GRAPH.distances, "whole numbers from 0"),
        (GRAPH.indices + 0.5, GRAPH.distances, "whole numbers from 0"),
        (GRAPH.indices, GRAPH.distances[:, ::-1], "rise along each row"),
        (GRAPH.indices, -GRAPH.distances[:, ::-1], "not negative"),
        (GRAPH.indices, np.where(GRAPH.distances > 2, np.nan, GRAPH.distances), "finite"),
        (GRAPH.indices, np.where(GRAPH.distances > 2, np.inf, GRAPH.distances), "finite"),
        (GRAPH.indices, GRAPH.distances * 2.0**-1050, "where float64 loses digits"),
    ],
)
def test_a_graph_that_is_none_is_refused(indices, distances, message):
    with pytest.raises(ValueError, match=message):
        estimate_global(None, "twonn", (indices, distances))
