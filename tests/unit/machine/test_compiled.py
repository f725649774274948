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
