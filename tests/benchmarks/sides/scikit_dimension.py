"""scikit-dimension, by its documented calls."""

from __future__ import annotations

import numpy as np
from skdim import id as estimators
from skdim._commonfuncs import get_nn
from threadpoolctl import threadpool_limits

PACKAGES = ("scikit-dimension", "scikit-learn", "numpy")


def fit_pw(X, estimator, n_neighbors, indices=None):
    """The local estimates, from the graph's indices if they are given, else from those that fit_pw would find.

    One neighbourhood is too small for two threads: they wait for each other, which takes up to ten times as long.
    """
    if indices is None:
        indices = get_nn(X, k=n_neighbors)[1]
    with threadpool_limits(limits=1):
        fitted = getattr(estimators, estimator)().fit_pw(X, precomputed_knn=indices, n_neighbors=n_neighbors)
    return {"value": fitted.dimension_pw_}


def fit(X, estimator, **options):
    return {"value": np.array(getattr(estimators, estimator)().fit(X, **options).dimension_)}


def fit_mle(X, n_neighbors):
    fitted = estimators.MLE().fit(X, n_neighbors=n_neighbors)
    return {"pointwise": fitted.dimension_pw_, "value": np.array(fitted.dimension_)}


def gride_scales(X, largest):
    return {"value": estimators.GRIDE(multiscale=True, range_max=2 * largest).fit(X).dimension_scales_}
