"""Local PCA: dimension or signal rank from the eigenvalues of the covariance, by the rules of scikit-dimension 0.5.0.

Fukunaga & Olsen (1971), An algorithm for finding intrinsic dimensionality of data; Fan et al. (2010), Intrinsic
dimension estimation of data by principal component analysis; Cangelosi & Goriely (2007), Component
retention in principal component analysis. The signal-rank versions are described in skdim.id.lPCA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.neighborhoods import eigenvalues_of, leading_directions

# answered here, for all neighbourhoods at once, from the eigenvalues
RULES = ("Fan", "ratio", "participation_ratio", "Kaiser", "broken_stick")
# answered by scikit-dimension from the eigenvalues (of centred data), or from the data
FROM_EIGENVALUES = ("MP", "GD", "KN", "Minka", "denoised")
FROM_DATA = ("maxgap", "parallel", "scRMT")
VERSIONS = ("FO", *RULES, *FROM_EIGENVALUES, *FROM_DATA)


def local(
    X: np.ndarray,
    graph: NeighborGraph,
    *,
    n_neighbors: int = 64,
    version: str = "FO",
    center: bool = True,
    alpha_fo: float = 0.05,
    alpha_fan: float = 10,
    beta_fan: float = 0.8,
    p_fan: float = 0.95,
    alpha_ratio: float = 0.05,
    noise_var: float | None = None,
    alpha_kn: float = 0.05,
    n_permutations: int = 100,
    quantile: float = 0.95,
    null: str = "permute",
    random_state: int = 0,
) -> np.ndarray:
    """lPCA of each point's n_neighbors nearest other points, float64 (N,): scikit-dimension's lPCA().fit_pw.

    version: scikit-dimension's `ver`; the other parameters are its own in snake case. Versions FO, Fan, ratio,
    participation_ratio, Kaiser and broken_stick come from Gram matrices of the neighbourhoods; MP, GD, KN,
    Minka and denoised from the same eigenvalues by scikit-dimension's rules; maxgap, parallel and scRMT
    (and the former five with center=False) by scikit-dimension from the data, point by point and slowly.
    random_state: seed of parallel and scRMT (scikit-dimension draws anew each time by default).

    NaN where all members of a neighbourhood are equal: there is no direction to count.
    """
    options = {name: value for name, value in locals().items() if name not in ("X", "graph", "n_neighbors")}
    return _estimates(X, graph.indices[:, :n_neighbors], **options)


def global_(
    X: np.ndarray,
    graph: NeighborGraph | None,
    groups: np.ndarray | None = None,
    *,
    version: str = "FO",
    center: bool = True,
    alpha_fo: float = 0.05,
    alpha_fan: float = 10,
    beta_fan: float = 0.8,
    p_fan: float = 0.95,
    alpha_ratio: float = 0.05,
    noise_var: float | None = None,
    alpha_kn: float = 0.05,
    n_permutations: int = 100,
    quantile: float = 0.95,
    null: str = "permute",
    random_state: int = 0,
) -> Estimate:
    """lPCA of the cloud X (N, D): scikit-dimension's lPCA().fit. No standard error. See `local`."""
    options = {name: value for name, value in locals().items() if name not in ("X", "graph", "groups")}
    value = _estimates(X, np.arange(len(X))[None, :], **options)[0]
    return Estimate(float(value), np.nan, len(X), 0)


def _estimates(X: np.ndarray, groups: np.ndarray, *, version: str, center: bool, **options: Any) -> np.ndarray:
    """One value for each group of rows of X; groups int (M, L)."""
    if groups.shape[1] < 2 or X.shape[1] < 2:
        raise ValueError(
            f"PCA needs at least 2 points and 2 coordinates, not {groups.shape[1]} points and {X.shape[1]} coordinates."
        )
    if version == "FO":
        counts = leading_directions(X, groups, options["alpha_fo"], center=center)
        return np.where(counts > 0, counts, np.nan)
    if version in RULES:
        eigenvalues = eigenvalues_of(X, groups, center=center)
        varied = eigenvalues[:, 0] > 0
        values = np.full(len(groups), np.nan)
        values[varied] = _RULES[version](eigenvalues[varied], **options)
        return values
    return _by_scikit_dimension(X, groups, version, center, options)


def _by_scikit_dimension(
    X: np.ndarray, groups: np.ndarray, version: str, center: bool, options: dict[str, Any]
) -> np.ndarray:
    from skdim.id import lPCA

    names = {"noise_var": "noise_var", "alpha_kn": "alphaKN", "n_permutations": "n_permutations"}
    names |= {"quantile": "quantile", "null": "null", "random_state": "random_state"}
    settings = {"ver": version, "center": center} | {theirs: options[ours] for ours, theirs in names.items()}
    size, dimension = groups.shape[1], X.shape[1]
    values = np.full(len(groups), np.nan)
    with np.errstate(all="ignore"):  # it divides neighbouring eigenvalues, which may be 0
        if version in FROM_DATA or not center:
            rule = lPCA(**settings)
            for i, group in enumerate(groups):
                members = X[group].astype(np.float64)
                if (members != members[0]).any():
                    values[i] = rule.fit(members).dimension_
            return values
        rule = lPCA(**settings, fit_explained_variance=True, n_samples=size)
        for i, eigenvalues in enumerate(eigenvalues_of(X, groups) / (size - 1)):
            if eigenvalues[0] > 0:
                values[i] = rule.fit(np.pad(eigenvalues, (0, dimension - len(eigenvalues)))).dimension_
    return values


def _fan(eigenvalues: np.ndarray, *, alpha_fan: float, beta_fan: float, p_fan: float, **_: Any) -> np.ndarray:
    """First place with a gap above alpha_fan or a variance share above beta_fan, after subtracting the noise.

    The noise is the mean of the eigenvalues from the place where the share exceeds p_fan.
    """
    places = np.arange(eigenvalues.shape[1])
    shares = np.cumsum(eigenvalues, axis=1) / eigenvalues.sum(axis=1, keepdims=True)
    rest = places >= np.argmax(shares > p_fan, axis=1)[:, None]
    noise = (eigenvalues * rest).sum(axis=1, keepdims=True) / rest.sum(axis=1, keepdims=True)
    signal = eigenvalues - noise
    with np.errstate(divide="ignore", invalid="ignore"):
        stops = np.cumsum(signal, axis=1) / signal.sum(axis=1, keepdims=True) > beta_fan
        stops[:, :-1] |= signal[:, :-1] / signal[:, 1:] > alpha_fan
    return np.where(stops.any(axis=1), 1.0 + np.argmax(stops, axis=1), np.nan)


def _ratio(eigenvalues: np.ndarray, *, alpha_ratio: float, **_: Any) -> np.ndarray:
    totals = np.cumsum(eigenvalues, axis=1)
    return 1 + np.count_nonzero(totals / totals[:, -1:] < alpha_ratio, axis=1)


def _participation_ratio(eigenvalues: np.ndarray, **_: Any) -> np.ndarray:
    return eigenvalues.sum(axis=1) ** 2 / (eigenvalues**2).sum(axis=1)


def _kaiser(eigenvalues: np.ndarray, **_: Any) -> np.ndarray:
    return np.count_nonzero(eigenvalues > eigenvalues.mean(axis=1, keepdims=True), axis=1)


def _broken_stick(eigenvalues: np.ndarray, **_: Any) -> np.ndarray:
    """Leading eigenvalues above the expected pieces of a stick broken at random; 0 if all are (as scikit-dimension)."""
    number = eigenvalues.shape[1]
    pieces = np.cumsum(1 / np.arange(number, 0, -1))[::-1] / number
    return np.argmax(pieces > eigenvalues / eigenvalues.sum(axis=1, keepdims=True), axis=1)


_RULES = {
    "Fan": _fan,
    "ratio": _ratio,
    "participation_ratio": _participation_ratio,
    "Kaiser": _kaiser,
    "broken_stick": _broken_stick,
}


def _check(parameters: Mapping[str, Any]) -> None:
    if (version := parameters["version"]) not in VERSIONS:
        raise ValueError(f"version = {version!r} is not known; it must be one of {', '.join(VERSIONS)}.")


ESTIMATOR = Estimator(name="lpca", local=local, global_=global_, vectors=frozenset({"local", "global"}), check=_check)
