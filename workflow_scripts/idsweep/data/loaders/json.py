"""The objects of a JSON file, one a line or in a list; values keep their types."""

from __future__ import annotations

from idsweep.data.loaders.registry import Loader
from idsweep.data.rows import of_files

LOADER = Loader(rows=of_files, places=frozenset({"local", "hub_files"}), encoding=True)
