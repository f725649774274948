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
        pa.field("drawn", pa.int32(), nullable=False),
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

# What identifies an estimate, in estimates files and in all tables made of them; null where it says nothing.
RUN = [
    pa.field("model", pa.string()),
    pa.field("group", pa.string()),  # the model's name but for its seed
    pa.field("seed", pa.int32()),
]
PASS = [
    *RUN,
    pa.field("checkpoint", pa.string()),
    pa.field("step", pa.int64()),
    pa.field("dataset", pa.string()),
    pa.field("split", pa.string()),
]
CLOUD = [  # settings of the sweep's `points:`
    pa.field("cloud_number", pa.int32()),
    pa.field("cloud_sequences", pa.int32()),
    pa.field("cloud_seed", pa.int64()),
    pa.field("cloud_noise", pa.float64()),
    pa.field("cloud_noise_seed", pa.int64()),
    pa.field("cloud_tokens", pa.string()),
]
IDENTITY = pa.schema(
    [
        pa.field("set", pa.string()),
        *PASS,
        pa.field("representation", pa.string()),
        pa.field("layer", pa.int16()),  # null for what is no single layer
        pa.field("cloud", pa.string()),
        *CLOUD,
        pa.field("drawn_from", pa.string()),  # the dataset without its seeds, and these, where `tokens` lists several
        pa.field("draw_sequence_seed", pa.int64()),
        pa.field("draw_seed", pa.int64()),
        pa.field("extrinsic_dimension", pa.int32()),
        pa.field("n_parameters", pa.int64()),
        pa.field("hausdorff", pa.float64()),  # from the noisy cloud to the clean one
    ]
)
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
