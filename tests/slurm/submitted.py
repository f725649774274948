"""A checkout whose `snakemake` submits to a cluster, and what became of what it submitted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from workflow.checkout import Project

from slurm.cluster import Cluster

# The profile looks at the queue every 20 seconds and more, as is polite; here nobody else is in it.
QUICK_LOOKS = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")

# What the first run suffers: a job of this rule is cancelled while it runs …
CANCELLED = "train_language_model"
# … and one of this rule gets 300 MB at first, where spy/sitecustomize.py takes 1 GB. Only this rule has just these lines.
SHORT_OF_MEMORY = ("train_tokenizer", '**places_of("train_tokenizer"),\n        mem_mb=growing({}),')


@dataclass
class SubmittedProject(Project):
    """A checkout that is used from the login node of `cluster`."""

    cluster: Cluster = field(kw_only=True)
    submitted: list[dict[str, str]] = field(default_factory=list)  # records of the jobs of its first run

    @property
    def screen(self) -> Path:
        """What the last `snakemake` said."""
        return self.folder / "screen.txt"

    @property
    def notes(self) -> Path:
        """A line for each script that a rule ran: number of its SLURM job, GPUs that it was given."""
        return self.folder / "notes.txt"

    @property
    def environment(self) -> dict[str, str]:
        spy = str(Path(__file__).parent / "spy")
        return self.cluster.environment | {
            "IDSWEEP_TEST_NOTES": str(self.notes),
            "PYTHONPATH": os.pathsep.join(filter(None, [spy, os.environ.get("PYTHONPATH")])),
        }

    def tell(self, **settings: str) -> None:
        """Write config/cluster.yaml."""
        (self.folder / "config/cluster.yaml").write_text(yaml.safe_dump(settings))

    @contextmanager
    def submitting(self, *arguments: str, profile: str = "profiles/slurm", **env: str) -> Iterator[subprocess.Popen]:
        """`snakemake` while it runs; at the end of the block it is killed."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--profile", profile]
        command += ["--configfile", self.configfile.name, *QUICK_LOOKS]
        with self.screen.open("w") as screen:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment | env, stdout=screen, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def submit(self, *arguments: str, **how: str) -> list[dict[str, str]]:
        """Run `snakemake` to its end, which must be a good one; returns the records of the jobs that it submitted."""
        before = self.cluster.jobs().keys()
        with self.submitting(*arguments, **how) as process:
            process.wait(timeout=900)
        assert process.returncode == 0, self.screen.read_text()
        return [job for number, job in self.cluster.jobs().items() if number not in before]


def rule_of(job: dict[str, str]) -> str:
    """The rule of a submitted job, or that of a group's members, from the comment that the plugin gives it."""
    return re.sub(r"^rule_(estimates_\d+_)?|_wildcards_.*$", "", job["Comment"])
