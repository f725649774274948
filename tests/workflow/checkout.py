"""Checkouts of the project in which tests run the real `snakemake` on a miniature sweep."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import warm
import yaml
from builders.project import PROJECT

PARTS = ("Snakefile", "config", "rules", "workflow_scripts", "envs", "profiles", "report")
COMPILED = [f"workflow_scripts/idsweep/{package}/__pycache__" for package in ("neighbors", "statistics")]
MINI: dict[str, Any] = yaml.safe_load((PROJECT / "tests/data/mini.yaml").read_text())


@dataclasses.dataclass
class Project:
    """A checkout of the project with the results of one sweep, and the real `snakemake` to run in it."""

    folder: Path
    sweep: str = "mini"

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.sweep

    @property
    def configfile(self) -> Path:
        return self.folder / f"{self.sweep}.yaml"

    def copied(self, folder: Path) -> Self:
        """A copy with all results, at which other processes may be working; its compiled code is its own."""
        half_written = shutil.ignore_patterns("tmp????????")  # by numba, in the shared folders of compiled code
        return dataclasses.replace(self, folder=Path(shutil.copytree(self.folder, folder, ignore=half_written)))

    def configure(self, given: Mapping[str, Any] = MINI, **changes: Any) -> None:
        """Write the sweep's config, the miniature one unless given, with dotted keys changed: `points__number=100`."""
        config = copy.deepcopy(dict(given))
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = config
            for key in parents:
                place = place.setdefault(key, {})
            place[last] = value
        self.configfile.write_text(yaml.safe_dump(config, sort_keys=False))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text that must be there in a file of the checkout."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}; the test must follow it"
        path.write_text(text.replace(old, new))

    def snakemake(
        self, *arguments: str, env: dict[str, str] | None = None, python: str | None = None
    ) -> subprocess.CompletedProcess:
        """Run `snakemake` to its end. python: what starts it and its scripts, if not processes that need not import again."""
        command = [python or warm.python(), "-m", "snakemake", *arguments]  # targets first: --configfile takes several
        command += ["--profile", "profiles/local", "--configfile", self.configfile.name]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )

    def stale(self, *arguments: str, env: dict[str, str] | None = None) -> dict[str, int]:
        """Rule -> number of its jobs that a run would do, as a dry run tells."""
        done = self.snakemake("--dry-run", *arguments, env=env)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return {}
        table = done.stdout.split("Job stats:")[1].split("total")[0]
        counts = dict(re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE))
        return {rule: int(count) for rule, count in counts.items() if rule != "all"}

    def python(self, *arguments: str) -> str:
        """What Python with this checkout's own library prints."""
        command, env = [sys.executable, *arguments], {"PYTHONPATH": str(self.folder / "workflow_scripts")}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=True).stdout

    def complaint(self) -> str:
        """What this checkout's own library says is wrong about the sweep's config; nothing if all is well."""
        return self.python("-c", COMPLAINT, self.configfile.name)

    def signature(self, rule: str, **names: str) -> str:
        """The signature of a job by this checkout's own library, quicker than a dry run tells whether it is stale."""
        return self.python("-c", SIGNATURE, self.configfile.name, rule, json.dumps(names))


COMPLAINT = """
import sys, yaml
from pathlib import Path
from idsweep.config.load import ConfigError, load
from idsweep.sweep.expand import expand
try:
    sweep = expand(load(yaml.safe_load(Path(sys.argv[1]).read_text()), Path("config")))
except ConfigError as error:
    print(error)
"""
SIGNATURE = f"""{COMPLAINT}
import json
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.signature import Digests
jobs = JobGraph(sweep, Digests(Path("digests.jsonl")))
print(jobs.signature(sys.argv[2], **json.loads(sys.argv[3])))
"""


def check_out(folder: Path, compiled: bool = True) -> Project:
    """Copy the project's working parts into a new folder.

    compiled: share the compiled code of this source tree, which takes a quarter of a minute to make; an edited module gets its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(source, folder / part)
    if compiled:
        for place in COMPILED:
            (PROJECT / place).mkdir(exist_ok=True)
            (folder / place).symlink_to(PROJECT / place)
    return Project(folder)
