"""Where compiled code is kept, and how work is cut into threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from idsweep.machine import compiled

MODULE = """
from idsweep.machine.compiled import compiled

@compiled()
def twice(x):
    return 2 * x
"""


def library(folder: Path) -> Path:
    """A library with one compiled function, beside whose source nothing can be kept."""
    package = folder / "idsweep"
    (package / "machine").mkdir(parents=True)
    for module in ("__init__.py", "machine/__init__.py"):
        (package / module).touch()
    (package / "machine/compiled.py").write_bytes(Path(compiled.__file__).read_bytes())
    (package / "double.py").write_text(MODULE)
    (
        package / "__pycache__"
    ).touch()  # a file where a folder would be made: this fails for root too, unlike permissions
    return folder


def start(folder: Path, home: Path, **variables: str) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    environment |= {"PYTHONPATH": str(folder), "HOME": str(home), "TMPDIR": str(folder)} | variables
    code = "from idsweep.double import twice; print(twice(21), sum(twice.stats.cache_hits.values()))"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_compiled_code_is_kept_in_a_folder_of_the_user_alone(tmp_path):
    """Two jobs at once compile and keep; a third one loads what they kept."""
    home = tmp_path / "home"
    for job in [start(library(tmp_path), home), start(tmp_path, home)]:
        out, err = job.communicate(timeout=60)
        assert out.startswith("42 "), err
    kept = home / ".cache/idsweep-numba"
    assert list(kept.rglob("*.nbi"))
    assert kept.stat().st_mode & 0o777 == 0o700
    assert start(tmp_path, home).communicate(timeout=60)[0] == "42 1\n"
    kept.chmod(0o777)  # others may have put something there
    out, err = start(tmp_path, home).communicate(timeout=60)
    assert out == "42 0\n"
    assert "idsweep-numba is open to others; delete it" in err


@pytest.mark.slow
def test_without_a_home_code_runs_and_is_not_kept(tmp_path):
    (tmp_path / "home").touch()
    out, err = start(library(tmp_path), tmp_path / "home").communicate(timeout=60)
    assert out == "42 0\n"
    assert "each job compiles anew" in err
    assert not list(tmp_path.rglob("*.nbi"))


@pytest.fixture
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled.private_folder.cache_clear()
    yield tmp_path / "cache"
    compiled.private_folder.cache_clear()


def linked(folder: Path) -> None:
    (folder.parent.parent / "elsewhere").mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(folder.parent.parent / "elsewhere")


def owned_by_another(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    os.chown(folder, 12345, 12345)


def in_a_folder_of_all(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o777)


def readable(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o750)


@pytest.mark.parametrize("spoil", [linked, owned_by_another, in_a_folder_of_all, readable])
def test_no_folder_that_others_could_have_filled_is_taken(spoil, cache_home, caplog):
    if spoil is owned_by_another and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    spoil(cache_home / "idsweep-numba")
    assert compiled.private_folder() is None
    assert "each job compiles anew" in caplog.text


def test_the_folder_is_made_for_the_user_alone(cache_home, tmp_path, monkeypatch):
    assert compiled.private_folder() == cache_home / "idsweep-numba"
    assert compiled.private_folder().stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", str(tmp_path / "chosen"))
    compiled.private_folder.cache_clear()
    assert compiled.private_folder() == tmp_path / "chosen/idsweep-numba"


def test_code_is_kept_beside_its_source_only_if_that_is_as_safe(tmp_path):
    source = tmp_path / "module.py"
    tmp_path.chmod(0o755)
    assert compiled._is_safe_beside(source)
    (tmp_path / "__pycache__").chmod(0o777)
    assert not compiled._is_safe_beside(source)
    tmp_path.chmod(0o777)
    assert compiled._is_safe_beside(source), "who can write there can write the source too"


CALLER = """
from double import twice
from idsweep.machine.compiled import compiled
from constants import STEP

@compiled(OPTIONS)
def four_times(x):
    return twice(twice(x)) + STEP
"""
CALLED = "from idsweep.machine.compiled import compiled\n\n@compiled()\ndef twice(x):\n    return 2 * x\n"
BY_EACH = "from caller import four_times; print(four_times(5), sum(four_times.stats.cache_hits.values()))"


@pytest.mark.slow
@pytest.mark.parametrize(
    "file, old, new, expected",
    [
        (None, "", "", "20 1\n"),
        ("caller.py", "(OPTIONS)", "(error_model='numpy')", "20 0\n"),
        ("compiled.py", "nogil=True", "nogil=True, boundscheck=True", "20 0\n"),
        ("double.py", "2 * x", "3 * x", "45 0\n"),
        ("constants.py", "STEP = 0", "STEP = 1", "21 0\n"),
    ],
)
def test_code_that_was_made_of_something_else_is_compiled_again(tmp_path, file, old, new, expected):
    """With options, a constant or a called function of another file changed, the caller's own file not, nor sizes and times."""
    sources = {"caller.py": CALLER.replace("OPTIONS", ""), "double.py": CALLED, "constants.py": "STEP = 0\n"}
    sources["idsweep/machine/compiled.py"] = Path(compiled.__file__).read_text()
    (tmp_path / "idsweep/machine").mkdir(parents=True)
    (tmp_path / "idsweep/__init__.py").touch()
    (tmp_path / "idsweep/machine/__init__.py").touch()
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    environment |= {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", BY_EACH]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    if file is not None:
        path = next(tmp_path.rglob(file))
        times, text = path.stat(), path.read_text()
        text = text.replace(old, new) if old in text else text.replace("@compiled()", f"@compiled{new}")
        assert text != path.read_text()
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout == expected


@pytest.mark.parametrize("number", [0, 1, 2, 7])
def test_threads_cover_every_part_once(number, monkeypatch):
    monkeypatch.setattr(compiled, "available_threads", lambda: 3)
    seen = []
    compiled.in_threads(lambda start, stop: seen.extend(range(start, stop)), number)
    assert sorted(seen) == list(range(number))


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(compiled, "available_threads", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        compiled.in_threads(lambda start, stop: 1 / 0, 4)


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert compiled.available_threads() == 1
