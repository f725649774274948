"""Arrays and tensors that users of the library give, as arrays of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_array(values: Any, name: str) -> np.ndarray:
    """Values as a numpy array: lists, arrays, and tensors of torch on any device, with gradients or without.

    Tensors in a float format that numpy lacks (bfloat16, 8 bits) become float32, which holds all of their numbers; sparse ones
    dense. Raises ValueError, with `name`, for what is no array: rows of different lengths, a tensor without numbers.
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # torch is not imported for this
        if getattr(values, "is_meta", False):
            raise ValueError(f"{name} is a tensor on the device meta, which has no numbers; load its model in earnest.")
        values = values.detach().cpu()
        if str(values.layout) != "torch.strided":
            values = values.to_dense()
        if "float8" in str(values.dtype) or "bfloat16" in str(values.dtype):
            values = values.float()
        values = values.resolve_conj().resolve_neg().numpy()
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from error
