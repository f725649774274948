"""The rows of a Parquet file."""

from __future__ import annotations

from functools import partial

from idsweep.data.loaders.registry import Loader
from idsweep.data.rows import ROWS_AT_ONCE, of_files

# Without a size, Arrow reads ahead by 16 row groups, however large they are.
LOADER = Loader(rows=partial(of_files, batch_size=ROWS_AT_ONCE), places=frozenset({"local", "hub_files"}))
