"""What all tests share: processes of Python that need not import again."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest
import warm

RUNNING = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the server in the process that starts all others."""
    config.stash[RUNNING] = ExitStack()
    if not hasattr(config, "workerinput") and hasattr(os, "pidfd_open") and os.environ.get("COLD", "0") == "0":
        config.stash[RUNNING].enter_context(warm.serving())


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[RUNNING].close()
