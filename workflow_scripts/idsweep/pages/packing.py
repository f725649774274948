"""Arrays and texts as one piece of text that a page holds and unpacks.

A pack is base64 of gzip of: uint32 length of the header, little-endian; the header, JSON; the arrays, each at a place that 8 divides. In the
header `value` is what was packed, with {"array": number} in place of each array, and `arrays` their types, lengths and places.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import Any

import numpy as np

TYPES = ("float64", "float32", "int32", "uint16", "uint8")
ALIGNED = 8


def pack(value: Any) -> str:
    """`value`, of mappings, sequences, texts, numbers and arrays of `TYPES`, as text of a pack. The same value gives the same text.

    Arrays lose their shape. Numbers that are NaN become null. Raises TypeError for anything else.

    >>> pack({"steps": np.array([0, 10], dtype=np.int32)})[:8]
    'H4sIAAAA'
    """
    arrays: list[np.ndarray] = []
    described = _describe(value, arrays)
    places, begin = [], 0
    for array in arrays:
        places.append({"type": array.dtype.name, "length": array.size, "at": begin})
        begin += -(-array.nbytes // ALIGNED) * ALIGNED
    header = json.dumps({"value": described, "arrays": places}, ensure_ascii=True, allow_nan=False).encode()
    header += b" " * (-(4 + len(header)) % ALIGNED)
    body = bytearray(begin)
    for array, place in zip(arrays, places, strict=True):
        body[place["at"] : place["at"] + array.nbytes] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    whole = len(header).to_bytes(4, "little") + header + bytes(body)
    return base64.b64encode(gzip.compress(whole, compresslevel=6, mtime=0)).decode()


def _describe(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.name not in TYPES:
            raise TypeError(f"an array of {value.dtype} can not be packed; make it one of {', '.join(TYPES)}.")
        arrays.append(np.ascontiguousarray(value).ravel())
        return {"array": len(arrays) - 1}
    if isinstance(value, dict):
        return {str(key): _describe(one, arrays) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(one, arrays) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} can not be packed.")
