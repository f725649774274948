"""A model's vocabulary as a point cloud: one vector for each token, without text and without a forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from idsweep.files.representations import EMBEDDING_MATRICES
from idsweep.machine.uncounted import uncounted
from idsweep.models.checkpoints import load_model, number_of_parameters


def load_matrices(settings: Mapping[str, Any], weights: str, adapter: str) -> tuple[dict[str, np.ndarray], int]:
    """The embedding matrices of a checkpoint by name, float32 (V, D), and its number of parameters.

    settings: of the job; with `vectors`, weights is a file of static vectors, else a folder. adapter: folder, empty for
    whole checkpoints. Raises ValueError as `embedding_rows` and what loads do.
    """
    if "vectors" in settings:
        # gensim's version counts for word vectors alone.
        vectors = settings["vectors"]
        load_vectors = uncounted("idsweep.models.static_vectors").load_vectors
        _, rows = load_vectors(weights, vectors["format"], vectors.get("array"))
        (name,) = settings["matrices"]
        return {name: rows}, rows.size
    base_name = settings.get("base", {}).get("hub")
    model = load_model(weights, adapter=adapter or None, base_name=base_name, **settings["model"])
    return {name: embedding_rows(model, name) for name in settings["matrices"]}, number_of_parameters(model)


def embedding_rows(model: torch.nn.Module, which: str) -> np.ndarray:
    """The rows of a model's embedding matrix: float32 (vocabulary, width), row i for token id i.

    `which` is "input_embeddings", the vectors that tokens enter the first block with (before positions are added and
    anything is scaled or normalised), or "output_embeddings", the weights of the last linear map from hidden
    states to logits. Where a model ties the two they are the same numbers. Many models have more rows than their
    tokenizer has tokens: the rest is padding.

    The rows are a copy. Raises ValueError if `which` is not known, if the model has no such matrix (an encoder
    has no output embeddings), or if a row holds NaN or an infinity.
    """
    if which not in EMBEDDING_MATRICES:
        raise ValueError(f"layers: {which!r} is not known; choose one of {', '.join(EMBEDDING_MATRICES)}.")
    name = type(model).__name__
    try:
        module = getattr(model, f"get_{which}")()
    except NotImplementedError:
        module = None
    if module is None:
        raise ValueError(
            f"layers: {name} has no {which}. Only models that predict tokens have output_embeddings: "
            "use kind causal or masked, or leave the layer out."
        )
    rows = module.weight.detach().float().cpu().numpy().copy()
    if (broken := np.flatnonzero(~np.isfinite(rows).all(axis=1))).size:
        raise ValueError(
            f"{name}: the {which} of token id {broken[0]} hold NaN or infinity ({broken.size} of {len(rows)} rows do). "
            "Check the checkpoint."
        )
    return rows


def take_rows(matrix: np.ndarray, token_ids: np.ndarray) -> np.ndarray:
    """The rows of these token ids: (len(token_ids), D), in their order.

    Raises ValueError if an id is negative or beyond the matrix: the tokenizer is then that of another model.
    """
    token_ids = np.asarray(token_ids)
    beyond = token_ids[(token_ids < 0) | (token_ids >= len(matrix))]
    if beyond.size:
        raise ValueError(
            f"The token id {beyond[0]} is not in an embedding matrix of {len(matrix)} rows: the tokenizer is that of "
            "another model. Check `tokenizer` of this model in the catalog."
        )
    return matrix[token_ids]
