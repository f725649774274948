"""The rows of a CSV file; every value is text."""

from __future__ import annotations

from idsweep.data.loaders.registry import Loader
from idsweep.data.rows import of_files

KEYS = {
    "delimiter": {
        "description": "The character between the columns of a CSV file; default: a comma.",
        "type": "string",
        "minLength": 1,
        "maxLength": 1,
    },
}

LOADER = Loader(rows=of_files, places=frozenset({"local", "hub_files"}), encoding=True)
