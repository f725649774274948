"""The miniature sweep, finished once (as in tests/workflow), and what tests of faults share."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from builders.once import once
from workflow.checkout import Project
from workflow.conftest import finish, fresh, project  # noqa: F401 - fixtures

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The miniature sweep, finished by processes that need not import again: `make test` runs it as users do."""
    return Project(once(tmp_path_factory, "finished", partial(finish, python=None)))


def start(project: Project, *targets: str, before: tuple[str, ...] = ()) -> subprocess.Popen:  # noqa: F811
    """Start snakemake as the leader of its own process group; `before` is put before the command (unshare …)."""
    command = [*before, sys.executable, "-m", "snakemake", *targets, "--profile", "profiles/local"]
    command += ["--configfile", project.configfile.name]
    return subprocess.Popen(
        command,
        cwd=project.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_until(what: Callable[[], object], run: subprocess.Popen | None = None, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert run is None or run.poll() is None, f"it ended before that: {run.stdout.read()}"
        assert time.monotonic() < until, "that did not happen in time"
        time.sleep(0.05)


def processes_of(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


def kill(run: subprocess.Popen, *, alone: bool) -> None:
    """Kill snakemake without warning, with all its jobs or alone, and wait until none of its processes is left."""
    os.kill(run.pid, signal.SIGKILL) if alone else os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    wait_until(lambda: not processes_of(run.pid), seconds=20)


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A mount on `folder`, as `mount OPTIONS FOLDER` makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
