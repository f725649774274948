"""What is written is whole or not there, and what killed processes left is deleted, but nothing of living ones."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
from idsweep.files.atomic import SILENCE, DiskFull, is_running, move, whole_or_nothing


def left_by(path: Path, owner: str, age: float = 0) -> Path:
    left = path.with_name(f".{path.name}.{owner}.unfinished")
    left.write_text("half")
    os.utime(left, (time.time() - age, time.time() - age))
    return left


def test_what_dead_processes_left_is_deleted(tmp_path: Path) -> None:
    path, here = tmp_path / "a.b", platform.node()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [left_by(path, f"{here}-{dead.pid}"), left_by(path, "other-host.example-7", age=SILENCE + 60)]
    kept = [left_by(path, f"{here}-{os.getppid()}"), left_by(path, "other-host.example-7".replace("7", "8"))]
    kept.append(left_by(tmp_path / "a.bc", f"{here}-{dead.pid}"))
    with whole_or_nothing(path) as unfinished:
        unfinished.write_text("whole")
    assert path.read_text() == "whole"
    assert [left.exists() for left in gone] == [False, False]
    assert [left.exists() for left in kept] == [True, True, True]


def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError, match="killed"), whole_or_nothing(folder) as unfinished:
        unfinished.mkdir()
        raise RuntimeError("killed")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]
    with whole_or_nothing(folder) as unfinished:
        unfinished.mkdir()
        (unfinished / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "new"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
    ],
)
def test_a_full_disk_is_told_with_file_and_room(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(DiskFull) as told, whole_or_nothing(tmp_path / "x") as unfinished:
        unfinished.write_bytes(bytes(3_000_000))
        raise error
    assert f"{tmp_path / 'x'}: the disk is full. After 3.0 MB of it" in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), whole_or_nothing(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(RuntimeError, match="diverged"), whole_or_nothing(tmp_path / "x"):
        raise RuntimeError("diverged")


def test_a_process_that_has_ended_does_not_run_although_nobody_has_asked_for_its_end():
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    try:
        assert not is_running(process)
    finally:
        os.waitpid(process, 0)
    assert is_running(os.getpid())


@pytest.mark.parametrize("other_disk", [False, True])
def test_a_file_is_moved_also_to_another_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_disk: bool
) -> None:
    rename = Path.replace

    def replace(self: Path, target: str | Path) -> Path:
        if other_disk and self.parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    (tmp_path / "file").write_text("content")
    move(tmp_path / "file", tmp_path / "there/file")
    assert (tmp_path / "there/file").read_text() == "content"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "there"]
