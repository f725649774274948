"""Local PCA: dimension or signal rank from the eigenvalues of the covariance, by the rules of scikit-dimension 0.5.0.

Fukunaga & Olsen (1971), An algorithm for finding intrinsic dimensionality of data; Fan et al. (2010), Intrinsic
dimension estimation of data by principal component analysis; Cangelosi & Goriely (2007), Component
retention in principal component analysis. The signal-rank versions are described in skdim.id.lPCA.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from idsweep.estimators.ranges import SEED, Choice, Flag, Number, Optional, Whole
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph, unit_of
from idsweep.neighbors.neighborhoods import eigenvalues_of, leading_directions

# answered here, for all neighbourhoods at once, from the eigenvalues
RULES = ("Fan", "maxgap", "ratio", "participation_ratio", "Kaiser", "broken_stick")
# answered by scikit-dimension from the eigenvalues, beside a model of noise that is in all directions
BESIDE_NOISE = ("MP", "GD", "KN", "Minka", "denoised")
# answered point by point from the data, beside clouds of permuted coordinates
BESIDE_PERMUTED = ("parallel", "scRMT")
VERSIONS = ("FO", *RULES, *BESIDE_NOISE, *BESIDE_PERMUTED)
NULLS = ("permute", "signflip")
# levels of which scikit-dimension holds the quantiles
LEVELS = (0.1, 0.05, 0.01, 0.005, 0.001)
# the parameters of version parallel
PARALLEL = ("n_permutations", "quantile", "null", "random_state")
# Eigenvalues, and sums of them, that differ by less as a share of the largest are equal but for rounding.
EQUAL = 1e-12
# Below this share of the largest, an eigenvalue is read off singular values, which keep twice as many digits.
COARSE = 1e-10


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

    version: scikit-dimension's `ver`; the other parameters are its own in snake case. Versions FO, Fan, maxgap, ratio,
    participation_ratio, Kaiser and broken_stick come from Gram matrices of the neighbourhoods; MP, GD, KN, Minka and
    denoised from the same eigenvalues by scikit-dimension's rules; parallel and scRMT from the data, point by point and
    slowly.
    random_state: seed of parallel and scRMT (scikit-dimension draws anew each time by default).

    NaN where all members of a neighbourhood are equal: there is no direction to count. NaN also where a rule would
    answer from rounding errors: Fan, where no variance is left above its noise (one eigenvalue has more than p_fan of
    the whole, or all are equal); maxgap, where no gap stands out; MP, GD, KN and denoised without noise_var, and Minka,
    where members lie in fewer directions than their number and the coordinates allow, so that there is no noise to
    measure; parallel, where permuting changes an eigenvalue by rounding alone; scRMT, where nothing is left between
    its edges. maxgap looks at the min(L - 1, D) eigenvalues
    that can differ from 0 (L with center=False): scikit-dimension looks at the rounding of the next one as well.
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
    size, dimension = groups.shape[1], X.shape[1]
    if size < 2 or dimension < 2:
        raise ValueError(
            f"PCA needs at least 2 points and 2 coordinates, not {size} points and {dimension} coordinates."
        )
    if version == "FO":
        counts = leading_directions(X, groups, options["alpha_fo"], center=center)
        return np.where(counts > 0, counts, np.nan)
    values = np.full(len(groups), np.nan)
    if version in BESIDE_PERMUTED:
        for i, group in enumerate(groups):
            values[i] = _beside_permuted(X[group], version, center, options)
        return values
    precise = version == "maxgap" or version in BESIDE_NOISE
    eigenvalues, units = _spectra(X, groups, center, precise)
    varied = eigenvalues[:, 0] > 0
    if version in RULES:
        # how many can differ from 0
        possible = min(size - center, dimension)
        values[varied] = _RULES[version](eigenvalues[varied], possible=possible, **options)
    else:
        noise = options["noise_var"]
        for i in np.flatnonzero(varied):
            # the neighbourhood's coordinates are multiplied by its unit
            in_units = noise if noise is None else noise * units[i] ** 2
            values[i] = _beside_noise(eigenvalues[i], size, dimension, version, center, in_units, options["alpha_kn"])
    return values


def _spectra(X: np.ndarray, groups: np.ndarray, center: bool, precise: bool) -> tuple[np.ndarray, np.ndarray]:
    """`eigenvalues_of`, those that are 0 but for rounding exactly 0; precise: small ones to 1e-30 of the largest."""
    values, units = eigenvalues_of(X, groups, center=center)
    size, dimension = groups.shape[1], X.shape[1]
    possible = min(size - center, dimension)
    values[:, possible:] = 0
    if precise:
        for i in np.flatnonzero(values[:, possible - 1] < COARSE * values[:, 0]):
            members = X[groups[i]].astype(np.float64)
            members -= members[0] if center else 0
            members = (members - (members.mean(axis=0) if center else 0)) * units[i]
            singular = np.linalg.svd(members, compute_uv=False)[:possible]
            resolved = max(size, dimension) * np.finfo(np.float64).eps * singular[0]
            values[i, :possible] = np.where(singular > resolved, singular, 0.0) ** 2
    return values, units


def _beside_noise(
    eigenvalues: np.ndarray,
    size: int,
    dimension: int,
    version: str,
    center: bool,
    noise_var: float | None,
    alpha_kn: float,
) -> float:
    """scikit-dimension's answer of the eigenvalues of one scatter matrix; NaN without noise, where it would measure it."""
    from skdim.id import lPCA

    possible = min(size - center, dimension)
    # it takes what is below for zeros
    negligible = max(size, dimension) * np.finfo(np.float64).eps * eigenvalues[0]
    if (version == "Minka" or noise_var is None) and (possible < 2 or eigenvalues[possible - 1] <= negligible):
        return np.nan
    degrees = size - center
    # it takes the degrees of freedom for one fewer than the points, but Minka's rule counts the points
    n_samples = size if version == "Minka" else degrees + 1
    rule = lPCA(ver=version, fit_explained_variance=True, n_samples=n_samples, noise_var=noise_var, alphaKN=alpha_kn)
    variances = np.pad(eigenvalues / degrees, (0, dimension - len(eigenvalues)))
    with np.errstate(all="ignore"):  # it divides neighbouring eigenvalues, which may be 0
        return float(rule.fit(variances).dimension_)


def _beside_permuted(members: np.ndarray, version: str, center: bool, options: Mapping[str, Any]) -> float:
    """The answer of one group of points (L, D) by comparison with clouds of permuted coordinates; NaN where it has none."""
    members = members.astype(np.float64)
    if (members == members[0]).all() and (center or not members.any()):
        return np.nan
    # relative to the first, so that constant coordinates are exact zeros, and in units that no square overflows
    members -= members[0] if center else 0
    members *= unit_of(np.abs(members).max())
    if version == "scRMT":
        return _sc_rmt(members, options["random_state"])
    return _parallel(members, center, **{name: options[name] for name in PARALLEL})


def _sc_rmt(members: np.ndarray, seed: int) -> float:
    """scikit-dimension's answer; NaN where no eigenvalues are left between its edges."""
    from skdim.id import lPCA

    if np.count_nonzero((members != members[0]).any(axis=0)) < 2:
        return np.nan
    rule = lPCA(ver="scRMT", random_state=seed)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of means of nothing
        value = float(rule.fit(members - members[0]).dimension_)
    return value if np.isfinite(rule.threshold_) else np.nan


def _parallel(
    members: np.ndarray, center: bool, *, n_permutations: int, quantile: float, null: str, random_state: int
) -> float:
    """Leading eigenvalues above a quantile of those of permuted clouds, drawn as scikit-dimension does.

    NaN where one of them equals its quantile but for rounding: where coordinates do not vary, or one has all variance,
    permuting them changes nothing.
    """

    def spectrum(X: np.ndarray) -> np.ndarray:
        return np.linalg.svd(X - X.mean(axis=0) if center else X, compute_uv=False) ** 2

    generator = np.random.RandomState(random_state)
    if null == "signflip" and center:
        members = members - members.mean(axis=0)
    found = spectrum(members)
    drawn = np.empty((n_permutations, len(found)))
    for draw in drawn:
        random = generator.rand(*members.shape)
        if null == "permute":
            draw[:] = spectrum(np.take_along_axis(members, np.argsort(random, axis=0), axis=0))
        else:
            draw[:] = spectrum(members * np.where(random < 0.5, -1.0, 1.0))
    limits = np.quantile(drawn, quantile, axis=0)
    above = found > limits
    number = len(found) if above.all() else int(np.argmin(above))
    looked_at = slice(0, number + 1)
    open_ = np.abs(found - limits)[looked_at] <= EQUAL * found[0]
    return np.nan if open_.any() else float(number)


def _fan(eigenvalues: np.ndarray, *, alpha_fan: float, beta_fan: float, p_fan: float, **_: Any) -> np.ndarray:
    """First place with a gap above alpha_fan or a variance share above beta_fan, after subtracting the noise.

    The noise is the mean of the eigenvalues from the place where the share exceeds p_fan. NaN where all is noise.
    """
    places = np.arange(eigenvalues.shape[1])
    totals = eigenvalues.sum(axis=1, keepdims=True)
    shares = np.cumsum(eigenvalues, axis=1) / totals
    rest = places >= np.argmax(shares > p_fan, axis=1)[:, None]
    noise = (eigenvalues * rest).sum(axis=1, keepdims=True) / rest.sum(axis=1, keepdims=True)
    signal = eigenvalues - noise
    left = signal.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        stops = np.cumsum(signal, axis=1) / left > beta_fan
        stops[:, :-1] |= signal[:, :-1] / signal[:, 1:] > alpha_fan
    stops &= left > EQUAL * len(places) * totals
    return np.where(stops.any(axis=1), 1.0 + np.argmax(stops, axis=1), np.nan)


def _maxgap(eigenvalues: np.ndarray, *, possible: int, **_: Any) -> np.ndarray:
    """Place of the largest ratio of neighbouring eigenvalues, the first of equal ones; NaN if all are equal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.nan_to_num(eigenvalues[:, : possible - 1] / eigenvalues[:, 1:possible], nan=0.0, posinf=np.inf)
    if not gaps.shape[1]:
        return np.full(len(gaps), np.nan)
    largest = gaps.max(axis=1, keepdims=True)
    first = np.argmax(gaps >= largest * (1 - EQUAL), axis=1)
    return np.where(largest[:, 0] > 1 + EQUAL, 1.0 + first, np.nan)


def _ratio(eigenvalues: np.ndarray, *, alpha_ratio: float, **_: Any) -> np.ndarray:
    totals = np.cumsum(eigenvalues, axis=1)
    return 1 + np.count_nonzero(totals / totals[:, -1:] < alpha_ratio * (1 - EQUAL), axis=1)


def _participation_ratio(eigenvalues: np.ndarray, **_: Any) -> np.ndarray:
    return eigenvalues.sum(axis=1) ** 2 / (eigenvalues**2).sum(axis=1)


def _kaiser(eigenvalues: np.ndarray, **_: Any) -> np.ndarray:
    return np.count_nonzero(eigenvalues > eigenvalues.mean(axis=1, keepdims=True) * (1 + EQUAL), axis=1)


def _broken_stick(eigenvalues: np.ndarray, **_: Any) -> np.ndarray:
    """Leading eigenvalues above the expected pieces of a stick broken at random; 0 if all are (as scikit-dimension)."""
    number = eigenvalues.shape[1]
    pieces = np.cumsum(1 / np.arange(number, 0, -1))[::-1] / number
    return np.argmax(pieces > eigenvalues / eigenvalues.sum(axis=1, keepdims=True), axis=1)


_RULES = {
    "Fan": _fan,
    "maxgap": _maxgap,
    "ratio": _ratio,
    "participation_ratio": _participation_ratio,
    "Kaiser": _kaiser,
    "broken_stick": _broken_stick,
}


ESTIMATOR = Estimator(
    name="lpca",
    local=local,
    global_=global_,
    vectors=frozenset({"local", "global"}),
    memory=lambda number, dimension: 8.0 * number * dimension + 32.0 * min(number, dimension) ** 2,  # float64
    only_with={
        "alpha_fo": ("version", "FO"),
        "alpha_fan": ("version", "Fan"),
        "beta_fan": ("version", "Fan"),
        "p_fan": ("version", "Fan"),
        "alpha_ratio": ("version", "ratio"),
    },
    ranges={
        "n_neighbors": Whole(2),
        "version": Choice(VERSIONS),
        "center": Flag(),
        # rounding moves eigenvalues by less than that share of the largest
        "alpha_fo": Number(least=EQUAL, below=1),
        # neighbouring eigenvalues never have a ratio below 1
        "alpha_fan": Number(above=1),
        "beta_fan": Number(above=0, below=1),
        "p_fan": Number(above=0, below=1),
        "alpha_ratio": Number(above=0, below=1),
        "noise_var": Optional(Number(above=0)),
        "alpha_kn": Choice(LEVELS),
        "n_permutations": Whole(1),
        "quantile": Number(above=0, most=1),
        "null": Choice(NULLS),
        "random_state": SEED,
    },
)
