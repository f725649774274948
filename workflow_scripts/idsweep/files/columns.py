"""Columns of the files that pass between stages."""

from __future__ import annotations

import pyarrow as pa

POINTS = pa.schema(
    [
        pa.field("point", pa.int32(), nullable=False),
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
        pa.field("token_class", pa.string()),
        pa.field("count", pa.int64()),
    ]
)
SEQUENCES = pa.schema(
    [
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
    ]
)
MEAN_POSITION = -1  # of a point that stands for the mean over a sequence
ESTIMATES = pa.schema(
    [
        pa.field("estimator", pa.string(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("point", pa.int32()),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("standard_error", pa.float64(), nullable=False),
        pa.field("n_points", pa.int32(), nullable=False),
        pa.field("n_undefined", pa.int32(), nullable=False),
        pa.field("n_neighbors", pa.int32()),
        pa.field("scale", pa.float64()),
        pa.field("scale_stable", pa.bool_()),
    ]
)
