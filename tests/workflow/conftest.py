"""A miniature sweep, run once for real; every test works on its own copy of project and results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from builders.once import once

from workflow.checkout import Project, check_out


def finish(folder: Path, python: str | None = sys.executable) -> None:
    """Run the miniature sweep, as users do unless told: every process of Python starts by itself."""
    project = check_out(folder)
    project.configure()
    done = project.snakemake(python=python)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The miniature sweep, finished. Never changed by a test: see `project`."""
    return Project(once(tmp_path_factory, "finished", finish))


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished miniature sweep that the test may change."""
    return finished.copied(tmp_path / "idsweep")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A checkout without results."""
    project = check_out(tmp_path / "idsweep")
    project.configure()
    return project
