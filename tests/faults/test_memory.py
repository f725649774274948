"""Memory that runs out: the job is retried if asked, and its failure says that it was memory, whose, and what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow.checkout import Project

from faults.conftest import start

TARGET = "results/mini/embeddings/minilm/final/lee_news.parquet"
CGROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def cgroup(megabytes: int) -> Iterator[Path]:
    """A control group whose processes may have so much memory; the kernel kills the largest of them beyond it."""
    second = (CGROUPS / "cgroup.controllers").exists()
    folder = (CGROUPS if second else CGROUPS / "memory") / f"idsweep-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(megabytes * 2**20))
    except OSError as error:
        pytest.skip(f"no control group of memory can be made here: {error}")
    try:
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


def test_a_job_that_the_kernel_kills_is_retried_and_then_told(project: Project) -> None:
    (project.folder / TARGET).unlink()
    with cgroup(megabytes=330) as processes:
        within = ("sh", "-c", f'echo $$ > {processes} && exec "$@"', "sh")
        run = start(project, TARGET, "--retries", "1", before=within)
        said = run.communicate(timeout=300)[0]
    assert run.returncode == 1
    assert said.count("SIGKILL") == 2, said
    assert "Trying to restart job" in said
    last = said[said.rindex("job(s) failed") :]
    assert last.startswith("job(s) failed")
    assert "extract_embeddings/minilm/final/lee_news.log\n    killed without a reason given" in last
    assert "because memory ran out" in last and "--set-resources extract_embeddings:mem_mb=MB" in last
    assert not (project.folder / TARGET).exists()
    done = project.snakemake(TARGET)
    assert done.returncode == 0, done.stdout


def test_a_job_that_gets_no_more_memory_is_retried_and_then_told(project: Project) -> None:
    """`ulimit -v`: asked for more, the system refuses, and the job itself can say so."""
    neighbors = "results/mini/neighbors/minilm/final/lee_news/points.parquet"
    (project.folder / neighbors).unlink()
    project.edit(
        "workflow_scripts/find_neighbors.py",
        "with job(snakemake, reads=[read.embeddings]) as run:\n",
        "with job(snakemake, reads=[read.embeddings]) as run:\n    __import__('numpy').ones(2**32)\n",
    )
    run = start(project, neighbors, "--retries", "1", before=("sh", "-c", 'ulimit -v 8000000 && exec "$@"', "sh"))
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 1
    assert said.count("find_neighbors minilm final lee_news points: error: memory ran out in find_neighbors") == 2, said
    assert "Trying to restart job" in said
    last = said[said.rindex("job(s) failed") :]
    assert "(its mem_mb was " in last and "--set-resources find_neighbors:mem_mb=MB" in last
    assert "Traceback" not in said
