"""Copies and clocks: what changes only times is set right by `snakemake --touch`, and what keeps them reruns nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from workflow.checkout import Project

LARGE = "embeddings/minilm/final/lee_news.parquet"  # beyond 1 MB, of which Snakemake compares times alone
SMALL = "tokens/minilm/lee_news.parquet"


def test_a_copy_that_keeps_times_is_up_to_date(finished: Project, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", str(finished.folder), str(tmp_path / "copy")], check=True)
    assert Project(tmp_path / "copy").stale() == {}


def test_a_copy_with_new_times_is_stale_until_it_is_touched(finished: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path / "copy")
    shutil.copytree(finished.folder, copy.folder, copy_function=shutil.copyfile, symlinks=True)
    _in_another_order(copy.results)
    assert "sample_tokens" in copy.stale()
    touched = copy.snakemake("--touch")
    assert touched.returncode == 0, touched.stdout
    assert copy.stale() == {}
    copy.configure(neighbors__number=17)
    assert "find_neighbors" in copy.stale(), "with .snakemake copied, a later change is seen"


def _in_another_order(results: Path) -> None:
    """Times as of a copy that brings what is read after what is made of it."""
    now = time.time()
    files = sorted((path for path in results.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
    for age, path in enumerate(files):
        os.utime(path, (now - age, now - age))
    for folder in (results / "training/mini_neox/checkpoints", results / "tokenizers/mini_neox"):
        os.utime(folder / ".snakemake_timestamp", (now, now))


def test_a_copy_without_the_record_of_its_making_says_so(finished: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path / "copy")
    shutil.copytree(finished.folder, copy.folder, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    said = copy.snakemake("--dry-run").stdout
    assert "Nothing to be done" in said
    assert "missing provenance/metadata" in said


def test_times_in_the_future(project: Project) -> None:
    """A clock that ran ahead: of small files contents decide, large ones are stale until they are touched."""
    hour, small = time.time() + 3600, project.results / SMALL
    before = small.stat().st_mtime
    os.utime(small, (hour, hour))
    assert project.stale() == {}
    os.utime(small, (before, before))
    os.utime(project.results / LARGE, (hour, hour))
    assert project.stale()["find_neighbors"] == 1
    made_of_it = project.results / "neighbors/minilm/final/lee_news/points.parquet"
    for mode in ((), ("--touch",)):
        refused = project.snakemake(*mode)
        assert refused.returncode != 0
        assert f"results/mini/{LARGE} was written in the future" in refused.stdout
        assert "Traceback" not in refused.stdout
        assert made_of_it.exists(), "by itself, snakemake deletes it"
    mend = re.search(r"find results -newermt now -exec touch {} \+", refused.stdout)[0]
    subprocess.run(mend.split(), cwd=project.folder, check=True)
    assert project.snakemake("--touch").returncode == 0
    assert project.stale() == {}
