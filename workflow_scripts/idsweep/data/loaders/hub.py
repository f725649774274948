"""A dataset on the Hugging Face hub."""

from __future__ import annotations

from idsweep.data.hub_rows import of_hub
from idsweep.data.loaders.registry import Loader

LOADER = Loader(rows=of_hub, places=frozenset({"hub"}))
