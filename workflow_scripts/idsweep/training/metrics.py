"""What a training tells of itself while it runs."""

from __future__ import annotations

import pyarrow as pa

METRICS = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
