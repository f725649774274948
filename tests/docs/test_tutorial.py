"""The tutorial: every command that it runs, in their order, in an empty folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import idsweep
import pytest
import warm
from builders.project import PROJECT

from docs.tutorial_blocks import script

PAGE = PROJECT / "docs/tutorial.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, commands = tmp_path_factory.mktemp("tutorial"), tmp_path_factory.mktemp("commands")
    for name, words in {"python": "", "idsweep": " -m idsweep.cli"}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {warm.python()}{words} "$@"\n')
        (commands / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT / "workflow_scripts"),
    }
    done = subprocess.run(
        ["bash", "-c", script(PAGE.read_text(encoding="utf-8"))],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


@pytest.mark.slow
def test_the_commands_make_what_the_page_shows(folder: Path) -> None:
    results = folder / "my_sweep/results/my_sweep"
    assert (results / "report.html").is_file()
    assert (results / "explorer.html").is_file()
    assert (folder / "my_sweep/profiles.pdf").read_bytes().startswith(b"%PDF")
    local = idsweep.load(results).table("local").query("variant == 'data'")
    checkpoints = {"checkpoint-40", "checkpoint-80", "checkpoint-120"}
    assert {(row.checkpoint, row.layer) for row in local.itertuples()} == {
        (checkpoint, layer) for checkpoint in checkpoints for layer in range(4)
    }
    assert (local["mean"] > 1).all()
    assert "train_loss" in set(idsweep.load(results).table("training")["metric"])


@pytest.mark.slow
def test_another_estimate_repeats_no_pass_and_no_search(folder: Path) -> None:
    planned = (folder / "printed.txt").read_text(encoding="utf-8").rpartition("Job stats:")[2]
    assert "estimate_dimensions" in planned
    assert "extract_embeddings" not in planned and "find_neighbors" not in planned


def test_blocks_with_a_title_become_files_and_text_is_left_out() -> None:
    page = '```yaml title="a.yaml"\nx: 1\n```\n\n```text\nrm -r no\n```\n\n```bash\ncat a.yaml\n```\n\n```python\nprint(2)\n```\n'
    done = script(page)
    assert "rm -r no" not in done
    assert done.index("cat > a.yaml") < done.index("\ncat a.yaml") < done.index("python - <<")
