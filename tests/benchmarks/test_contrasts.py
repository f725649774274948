"""The benchmark of the table of contrasts at a tiny size: what it counts, not its times."""

from __future__ import annotations

import pytest

from benchmarks import contrasts


def test_a_tiny_run_tells_time_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert contrasts.main(["--checkpoints", "3", "--layers", "9", "--points", "60"]) == 0
    shown = capsys.readouterr().out
    # 2 checkpoints × 9 layers against the last and as many against the first; at each of 3, 8 next and 8 other layers
    assert "in 6 files: 84 contrasts in" in shown and "MB at most" in shown
