"""A copy of the library that a test may add to, and a process that uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import idsweep

from builders.project import CONFIG


def copy_library(folder: Path) -> Path:
    """Copy the library's source; returns its folder in `folder`."""
    source = Path(idsweep.__file__).parent
    return Path(shutil.copytree(source, folder / "idsweep", ignore=shutil.ignore_patterns("__pycache__")))


def check_copy(folder: Path, program: str, *arguments: str) -> str:
    """Run `program`, given the project's config folder and arguments, with the copy in `folder`; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(program), str(CONFIG), *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
