"""What heads Snakemake's own report of a sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def heading(config: Mapping[str, Any]) -> dict[str, str]:
    """Title, models and datasets of a sweep for the head of Snakemake's report, whose language, reStructuredText, they are kept from."""
    return {
        "title": _words(config["title"]),
        "models": ", ".join(map(_words, config["models"])),
        "datasets": ", ".join(map(_words, config["datasets"])),
    }


def _words(text: str) -> str:
    """The text in one line, in which nothing is markup: no directive that would include a file or a script."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", " ".join(text.split()))
