"""The rows of a Parquet file."""

from __future__ import annotations

from idsweep.data.loaders.registry import Loader
from idsweep.data.rows import of_files

LOADER = Loader(rows=of_files, places=frozenset({"local", "hub_files"}))
