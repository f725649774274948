"""Where the project under test lies."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "config"
RULES = PROJECT / "rules"
SCRIPTS = PROJECT / "workflow_scripts"
