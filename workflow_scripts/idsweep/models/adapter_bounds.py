"""What an adapter_config.json from elsewhere may ask PEFT for: patterns that come to an end, sizes that there are, no other code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from idsweep.models.patterns import check_patterns

LARGEST_RANK = 2**16
REFUSED = {
    "adapters": "it names further adapters, which would be fetched from wherever it says",
    "arrow_config": "it names further adapters, which would be fetched from wherever it says",
    "layer_replication": "it repeats blocks, so that the model has other layers than its base",
    "megatron_config": "it makes PEFT import a module that it names",
}


def check_adapter(said: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ValueError if an adapter's config asks for what is not done here, or for more than a machine can do.

    said: what adapter_config.json holds. names: of the model's modules and parameters.
    """
    for key, reason in REFUSED.items():
        if said.get(key):
            raise ValueError(f"it has {key}: {reason}")
    ranks = {"r": said.get("r")} | {
        f"rank_pattern.{key}": rank for key, rank in _mapping(said.get("rank_pattern")).items()
    }
    for key, rank in ranks.items():
        if isinstance(rank, int) and rank > LARGEST_RANK:
            raise ValueError(f"it has {key}: {rank}, more than any layer is wide; expected at most {LARGEST_RANK:,}")
    check_patterns(said, names)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
