"""Small trainings: sentences, settings, and what a training has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from idsweep.models.folders import weight_files

SUBJECTS = ("the dog", "the cat", "a bird", "my friend")
VERBS = ("sees", "likes", "hears", "follows")
SENTENCES = [f"{s} {v} {o}, and {o} {v} {s}." for s in SUBJECTS for v in VERBS for o in SUBJECTS]

# Of a training that starts from a base.
FROM_BASE: dict[str, Any] = {
    "identity": "test",
    "batch_size": 8,
    "gradient_accumulation": 1,
    "learning_rate": 1e-2,
    "schedule": "linear",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "precision": "float32",
    "gradient_clipping": 1.0,
    "seed": 0,
    "device": "cpu",
    "base_name": "somebody/base",
}


def values(metrics: pa.Table, name: str) -> dict[int, float]:
    """Step -> value of one metric."""
    return {row["step"]: row["value"] for row in metrics.to_pylist() if row["metric"] == name}


def weights(folder: Path) -> bytes:
    """The bytes of a checkpoint's weights, or of an adapter's."""
    adapter = folder / "adapter_model.safetensors"
    return b"".join(path.read_bytes() for path in ([adapter] if adapter.exists() else weight_files(folder)))
