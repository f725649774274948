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


@pytest.mark.slow
def test_compiled_code_is_kept_where_neither_source_nor_home_can_be_written(tmp_path):
    """Two jobs at once compile and keep; a third one loads what they kept."""
    library = tmp_path / "idsweep"
    library.mkdir()
    (library / "__init__.py").touch()
    (library / "machine").mkdir()
    (library / "machine/__init__.py").touch()
    (library / "machine/compiled.py").write_bytes(Path(compiled.__file__).read_bytes())
    (library / "double.py").write_text(MODULE)
    # files where folders would be made: this fails for root too, unlike permissions
    (library / "__pycache__").touch()
    (tmp_path / "home").touch()
    (tmp_path / "temporary").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    environment |= {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    code = "from idsweep.double import twice; print(twice(21), sum(twice.stats.cache_hits.values()))"

    def start():
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    for job in [start(), start()]:
        out, err = job.communicate(timeout=60)
        assert out.startswith("42 "), err
    assert list((tmp_path / "temporary").rglob("*.nbi"))
    assert start().communicate(timeout=60)[0] == "42 1\n"


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
