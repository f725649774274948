"""Fetches wait for room on the disk; what failed or was killed does not make them wait for ever."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from idsweep.models import checkpoint_disk
from idsweep.models.checkpoint_disk import measuring, room_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_disk, "SECONDS_BETWEEN_LOOKS", 0.01)


def fetch(folder: Path, size: float = 1.0, bound: float | None = 2.0, patience: float = 30.0) -> None:
    with room_for(folder, size, bound, patience):
        folder.mkdir(parents=True)


def test_never_more_than_the_bound_is_there(tmp_path: Path) -> None:
    """Ten fetches at once, each checkpoint deleted a little later: three at most are ever on the disk."""
    most, lock = 0, threading.Lock()

    def job(name: str) -> None:
        nonlocal most
        with room_for(tmp_path / "model" / name, 1.0, 3.0):
            (tmp_path / "model" / name).mkdir(parents=True)
            with lock:
                most = max(most, sum(path.is_dir() for path in (tmp_path / "model").iterdir()))
        time.sleep(0.05)
        shutil.rmtree(tmp_path / "model" / name)

    jobs = [threading.Thread(target=job, args=(f"step{i}",)) for i in range(10)]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join(30)
    assert not any(thread.is_alive() for thread in jobs)
    assert most == 3


def test_a_fetch_waits_until_something_is_deleted(tmp_path: Path) -> None:
    fetch(tmp_path / "m/a")
    fetch(tmp_path / "m/b")
    waiting = threading.Thread(target=fetch, args=(tmp_path / "m/c",))
    waiting.start()
    time.sleep(0.2)
    assert not (tmp_path / "m/c").exists()
    shutil.rmtree(tmp_path / "m/a")
    waiting.join(10)
    assert (tmp_path / "m/c").is_dir()


def test_one_larger_than_the_bound_comes_alone(tmp_path: Path) -> None:
    fetch(tmp_path / "m/a", size=50)
    with pytest.raises(
        ValueError, match=r"no checkpoint in .* was finished with for .* hours, and 50 of 2 GB are taken"
    ):
        fetch(tmp_path / "m/b", patience=0.1)


def test_without_bound_nothing_waits_and_nothing_is_written(tmp_path: Path) -> None:
    for i in range(5):
        fetch(tmp_path / f"m/{i}", size=100, bound=None)
    assert not (tmp_path / ".ledger").exists()
    with measuring(tmp_path / "m/0"):
        pass


def test_a_failed_fetch_takes_no_room(tmp_path: Path) -> None:
    for _ in range(5):
        with pytest.raises(OSError, match="broken"), room_for(tmp_path / "m/a", 1.0, 1.0):
            raise OSError("broken")
    fetch(tmp_path / "m/b", bound=1.0)


def test_what_a_failed_fetch_has_brought_counts_with_the_failed(tmp_path: Path) -> None:
    for name in "abc":
        with pytest.raises(OSError, match="broken"), room_for(tmp_path / "m" / name, 1.0, 2.0):
            (tmp_path / "m" / f"{name}.partial").mkdir(parents=True)
            raise OSError("broken")
    with pytest.raises(ValueError, match="hold 3 GB"):
        fetch(tmp_path / "m/d", bound=0.5, patience=5)
    shutil.rmtree(tmp_path / "m/a.partial")
    fetch(tmp_path / "m/e")


def test_checkpoints_of_failed_jobs_do_not_block_the_others_until_they_fill_the_bound(tmp_path: Path) -> None:
    for name in "abc":
        fetch(tmp_path / "m" / name)
        with pytest.raises(ValueError, match="diverged"), measuring(tmp_path / "m" / name):
            raise ValueError("diverged")
    with pytest.raises(
        ValueError, match=r"that failed jobs or earlier runs left hold 3 GB in .*, more than the 2 GB allowed"
    ):
        fetch(tmp_path / "m/d")


def test_a_second_attempt_counts_as_live_again(tmp_path: Path) -> None:
    fetch(tmp_path / "m/a")
    for raised in (ValueError("diverged"), None):
        with suppress(ValueError), measuring(tmp_path / "m/a"):
            if raised:
                raise raised
    with pytest.raises(ValueError, match="1 of 1 GB are taken"):
        fetch(tmp_path / "m/b", bound=1.0, patience=0.1)


def test_what_another_run_left_counts_apart_until_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDSWEEP_RUN", "one")
    fetch(tmp_path / "m/a", bound=1.0)
    monkeypatch.setenv("IDSWEEP_RUN", "two")
    fetch(tmp_path / "m/b", bound=1.0)
    shutil.rmtree(tmp_path / "m/b")
    with measuring(tmp_path / "m/a"):
        pass
    with pytest.raises(ValueError, match="1 of 1 GB are taken"):
        fetch(tmp_path / "m/c", bound=1.0, patience=0.1)


@pytest.mark.parametrize("folder", ["model", "a/model", "/model"])
def test_the_error_of_a_local_checkpoint_is_its_own(folder: str) -> None:
    with pytest.raises(ValueError, match="check 'kind'"), measuring(folder):
        raise ValueError("check 'kind'")


def test_a_killed_fetch_takes_no_room(tmp_path: Path) -> None:
    code = (
        "import os; from idsweep.models.checkpoint_disk import room_for\n"
        f"with room_for({str(tmp_path / 'm/a')!r}, 1.0, 1.0): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 9
    fetch(tmp_path / "m/b", bound=1.0, patience=5)
