"""A real SLURM, and the miniature sweep that went through it: one job was cancelled, one got too little memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow.checkout import check_out

from slurm.cluster import Cluster, running
from slurm.submitted import CANCELLED, SHORT_OF_MEMORY, SubmittedProject, rule_of


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SubmittedProject:
    """The miniature sweep, finished in spite of what happened to two of its jobs. Never changed: see `project`."""
    project = SubmittedProject(check_out(tmp_path_factory.mktemp("finished") / "idsweep").folder, cluster=cluster)
    project.configure()
    project.tell(gpu_partition="gpus")
    project.edit("rules/train.smk", *(SHORT_OF_MEMORY[1].format(mb) for mb in (4000, 300)))
    before = cluster.jobs().keys()
    with project.submitting() as process:
        while process.poll() is None:
            jobs = {number: job for number, job in cluster.jobs().items() if rule_of(job) == CANCELLED}
            if [job["JobState"] for job in jobs.values()] == ["RUNNING"]:
                cluster.call("scancel", str(*jobs))
            time.sleep(0.5)
    assert process.returncode == 0, project.screen.read_text()
    project.submitted = [job for number, job in cluster.jobs().items() if number not in before]
    return project


@pytest.fixture
def project(finished: SubmittedProject, tmp_path: Path) -> SubmittedProject:
    """A copy of the finished sweep that the test may change."""
    return finished.copied(tmp_path / "idsweep")
