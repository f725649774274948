"""A dataset on the Hugging Face hub."""

from __future__ import annotations

from idsweep.data.loaders.registry import Loader
from idsweep.data.rows import of_hub

LOADER = Loader(rows=of_hub, places=frozenset({"hub"}))
